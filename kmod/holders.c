// SPDX-License-Identifier: GPL-2.0
/* See holders.h. */
#include <linux/fdtable.h>
#include <linux/sched/signal.h>

#include "family.h"
#include "holders.h"

/* The descriptor of @task that matches, or -1. Under RCU; the lock of the table is a spinlock. */
static int holder_fd(struct task_struct *task, bool (*match)(struct file *file, const void *data), const void *data)
{
	struct files_struct *files;
	struct fdtable *fdt;
	struct file *file;
	int fd, found = -1;

	task_lock(task);
	files = task->files;
	if (files) {
		spin_lock(&files->file_lock);
		fdt = files_fdtable(files);
		for (fd = 0; fd < fdt->max_fds && found < 0; fd++) {
			file = rcu_dereference_protected(fdt->fd[fd], lockdep_is_held(&files->file_lock));
			if (file && match(file, data))
				found = fd;
		}
		spin_unlock(&files->file_lock);
	}
	task_unlock(task);
	return found;
}

bool kckpt_find_holder(struct kckpt_ctx *ctx, bool (*match)(struct file *file, const void *data), const void *data,
		       struct kckpt_where *where)
{
	struct task_struct *process;
	int fd = -1;

	rcu_read_lock();
	for_each_process(process) {
		if (kckpt_objtab_find(&ctx->objs, KCKPT_F_task, process))
			continue;
		fd = holder_fd(process, match, data);
		if (fd >= 0) {
			*where = kckpt_where(process, ctx->pidns, fd);
			break;
		}
	}
	rcu_read_unlock();
	return fd >= 0;
}
