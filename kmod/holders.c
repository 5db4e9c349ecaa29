// SPDX-License-Identifier: GPL-2.0
/* See holders.h. */
#include <linux/fdtable.h>
#include <linux/fs.h>
#include <linux/mm.h>
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

bool kckpt_find_mapper(struct kckpt_ctx *ctx, struct address_space *mapping, struct kckpt_where *where)
{
	struct vm_area_struct *vma;
	struct task_struct *owner;
	struct rb_node *node;
	bool found = false;

	i_mmap_lock_read(mapping);
	for (node = rb_first_cached(&mapping->i_mmap); node && !found; node = rb_next(node)) {
		vma = rb_entry(node, struct vm_area_struct, shared.rb);
		found = !kckpt_objtab_find(&ctx->objs, KCKPT_F_mm, vma->vm_mm);
		rcu_read_lock();
		owner = found ? rcu_dereference(vma->vm_mm->owner) : NULL;
		if (owner)
			*where = kckpt_where(owner, ctx->pidns, -1);
		rcu_read_unlock();
	}
	i_mmap_unlock_read(mapping);
	return found;
}
