// SPDX-License-Identifier: GPL-2.0
/*
 * See prctl.h.
 *
 * Saved: parent-death signal, PR_MCE_KILL, PR_SET_IO_FLUSHER. The parent of the job's first process is `kckpt restore`,
 * so that this process gets its parent-death signal when that ends.
 */
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/signal.h>

#include "family.h"
#include "fault.h"
#include "ksym.h"
#include "prctl.h"

#define PF_IO_FLUSHER (PF_MEMALLOC_NOIO | PF_LOCAL_THROTTLE)	/* as in kernel/sys.c */

static u32 mce_kill_of(const struct task_struct *task)
{
	if (!(task->flags & PF_MCE_PROCESS))
		return PR_MCE_KILL_DEFAULT;
	return task->flags & PF_MCE_EARLY ? PR_MCE_KILL_EARLY : PR_MCE_KILL_LATE;
}

void kckpt_prctl_describe(const struct task_struct *task, struct kckpt_task_rec *rec)
{
	rec->pdeath_signal = task->pdeath_signal;
	rec->mce_kill = mce_kill_of(task);
	if ((task->flags & PF_IO_FLUSHER) == PF_IO_FLUSHER)
		rec->task_flags |= KCKPT_TASK_IO_FLUSHER;
}

int kckpt_prctl_check(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_task_rec *rec)
{
	if (!valid_signal(rec->pdeath_signal) || rec->mce_kill > PR_MCE_KILL_DEFAULT)
		return kckpt_bad_image(ctx, obj, "prctl");
	if (rec->task_flags & KCKPT_TASK_IO_FLUSHER && !capable(CAP_SYS_RESOURCE))
		kckpt_fail(ctx, obj, KCKPT_E_TASK_CREDS, 0, "CAP_SYS_RESOURCE is missing");
	return 0;
}

static int do_prctl(struct kckpt_ctx *ctx, struct kckpt_object *obj, int option, unsigned long arg2,
		    unsigned long arg3)
{
	struct pt_regs regs = { .di = option, .si = arg2, .dx = arg3 };
	long err = kckpt_should_fail() ? -EINVAL : kcall(__x64_sys_prctl)(&regs);

	return err < 0 ? kckpt_fail(ctx, obj, KCKPT_E_CREATE, err, "prctl %d", option) : 0;
}

int kckpt_prctl_restore(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_task_rec *rec)
{
	bool flusher = rec->task_flags & KCKPT_TASK_IO_FLUSHER;
	int err = 0;

	if (flusher != ((current->flags & PF_IO_FLUSHER) == PF_IO_FLUSHER))
		err = do_prctl(ctx, obj, PR_SET_IO_FLUSHER, flusher, 0);
	if (!err && rec->mce_kill != mce_kill_of(current))
		err = do_prctl(ctx, obj, PR_MCE_KILL, PR_MCE_KILL_SET, rec->mce_kill);
	return err;
}
