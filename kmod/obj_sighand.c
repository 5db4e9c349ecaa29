// SPDX-License-Identifier: GPL-2.0
/*
 * Signal handlers (sighand_struct): of one process, or of several that were cloned with CLONE_SIGHAND.
 *
 * The object's pointer is only a name: what holds the sighand is one of its tasks, which we hold.
 *
 * Saved: all actions. Refused: sharing with tasks outside.
 */
#include <linux/sched/signal.h>

#include "family.h"
#include "fault.h"
#include "ksym.h"
#include "obj_sighand.h"

static struct task_struct *sighand_task(const struct kckpt_object *obj)
{
	return obj->made;
}

static void sighand_release(struct kckpt_object *obj)
{
	if (obj->made)
		put_task_struct(obj->made);
}

/* ---- dump ---- */

struct kckpt_object *kckpt_intern_sighand(struct kckpt_ctx *ctx, struct task_struct *task,
					  const struct kckpt_where *where)
{
	const void *sighand = READ_ONCE(task->sighand);
	struct kckpt_object *obj;

	if (!sighand)
		return ERR_PTR(kckpt_fail(ctx, NULL, KCKPT_E_JOB_MOVED, 0, "it was killed"));
	obj = kckpt_intern(ctx, KCKPT_F_sighand, sighand, where);
	if (!IS_ERR(obj) && !obj->made)
		obj->made = get_task_struct(task);
	return obj;
}

static unsigned int sighand_users(struct task_struct *task)
{
	struct sighand_struct *sighand;
	unsigned int users = 0;
	unsigned long flags;

	sighand = kckpt_lock_task_sighand(task, &flags);
	if (sighand) {
		users = refcount_read(&sighand->count);
		unlock_task_sighand(task, &flags);
	}
	return users;
}

/* Only tasks count as users of a sighand_struct, so a number too high is a task outside. */
static int sighand_closed(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	if (sighand_users(sighand_task(obj)) > obj->seen)
		kckpt_fail(ctx, obj, KCKPT_E_TASK_SHARES, 0, "signal handlers (CLONE_SIGHAND)");
	return 0;
}

/* The action of @sig as a record; false if it is the default. */
static int sighand_action(struct kckpt_ctx *ctx, struct kckpt_object *obj, int sig, struct kckpt_action_rec *rec)
{
	struct task_struct *task = sighand_task(obj);
	struct sighand_struct *sighand;
	struct k_sigaction ka;
	unsigned long flags;

	sighand = kckpt_lock_task_sighand(task, &flags);
	if (!sighand)
		return kckpt_fail(ctx, obj, KCKPT_E_JOB_MOVED, 0, "it was killed");
	ka = sighand->action[sig - 1];
	unlock_task_sighand(task, &flags);
	*rec = (struct kckpt_action_rec){
		.handler = (unsigned long)ka.sa.sa_handler,
		.sa_flags = ka.sa.sa_flags,
		.restorer = (unsigned long)ka.sa.sa_restorer,
		.mask = ka.sa.sa_mask.sig[0],
		.signo = sig,
	};
	return rec->handler || rec->sa_flags || rec->mask;
}

static int sighand_dump(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_sighand_rec head = {};
	struct kckpt_action_rec rec;
	int sig, ret;

	for (sig = 1; sig <= _NSIG; sig++) {
		ret = sighand_action(ctx, obj, sig, &rec);
		if (ret < 0)
			return ret;
		head.nr_actions += ret;
	}
	ret = kckpt_put(ctx, obj, KCKPT_K_sighand, &head, sizeof(head), NULL, 0);
	for (sig = 1; sig <= _NSIG && !ret; sig++) {
		ret = sighand_action(ctx, obj, sig, &rec);
		if (ret > 0)
			ret = kckpt_put(ctx, obj, KCKPT_K_action, &rec, sizeof(rec), NULL, 0);
	}
	return ret;
}

/* ---- restore ---- */

static int sighand_check(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_sighand_rec head;
	struct kckpt_action_rec action;
	const struct kckpt_rec *rec;
	u32 nr = 0;
	int err;

	err = kckpt_rec_only(ctx, obj, KCKPT_K_sighand, &head, sizeof(head), NULL, 0, NULL);
	if (err)
		return err;
	kckpt_for_each_rec(rec, obj, KCKPT_K_action) {
		err = kckpt_rec_get(ctx, obj, rec, &action, sizeof(action), NULL, 0, NULL);
		if (err)
			return err;
		if (!valid_signal(action.signo) || !action.signo || action.reserved ||
		    (sig_kernel_only(action.signo) && action.handler))
			return kckpt_bad_image(ctx, obj, "handler of signal %u", action.signo);
		nr++;
	}
	return nr == head.nr_actions && !head.reserved ? 0 : kckpt_bad_image(ctx, obj, "number of handlers");
}

static int sighand_set(struct kckpt_ctx *ctx, struct kckpt_object *obj, int sig, struct k_sigaction *ka)
{
	int err = kckpt_should_fail() ? -EINVAL : kcall(do_sigaction)(sig, ka, NULL);

	return err ? kckpt_fail(ctx, obj, KCKPT_E_CREATE, err, "handler of signal %d", sig) : 0;
}

/* Nothing of the caller's handlers stays, not even what it ignores. */
int kckpt_sighand_reset(struct kckpt_ctx *ctx, struct kckpt_object *process)
{
	int sig, err = 0;

	for (sig = 1; sig <= _NSIG && !err; sig++) {
		struct k_sigaction ka = {};

		if (!sig_kernel_only(sig))
			err = sighand_set(ctx, process, sig, &ka);
	}
	return err;
}

/* In the context of the process that has it first; it has the default everywhere. */
static int sighand_restore(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct kckpt_rec *rec;
	struct kckpt_action_rec action;
	int err;

	kckpt_for_each_rec(rec, obj, KCKPT_K_action) {
		struct k_sigaction ka = {};

		err = kckpt_rec_get(ctx, obj, rec, &action, sizeof(action), NULL, 0, NULL);
		if (err)
			return err;
		if (sig_kernel_only(action.signo))
			continue;
		ka.sa.sa_handler = (__sighandler_t)action.handler;
		ka.sa.sa_flags = action.sa_flags;
		ka.sa.sa_restorer = (__sigrestore_t)action.restorer;
		ka.sa.sa_mask.sig[0] = action.mask;
		err = sighand_set(ctx, obj, action.signo, &ka);
		if (err)
			return err;
	}
	return 0;
}

const struct kckpt_family_ops kckpt_sighand_ops = {
	.name = "sighand",
	.closed = sighand_closed, .dump = sighand_dump,
	.check = sighand_check, .restore = sighand_restore,
	.release = sighand_release,
};
