// SPDX-License-Identifier: GPL-2.0
/*
 * The cgroup v2 freezer. Tasks end up in a trap on their way to user mode, with complete registers; tracers and job
 * control go on working. Anybody else may write cgroup.freeze meanwhile: freezing is a help, never a guarantee.
 */
#include <linux/cgroup.h>
#include <linux/delay.h>
#include <linux/sched/signal.h>

#include "compat/task.h"
#include "family.h"
#include "fault.h"
#include "freeze.h"
#include "ksym.h"

static LIST_HEAD(held);
static DEFINE_MUTEX(held_lock);		/* inside freezer.lock */

void kckpt_freezer_init(struct kckpt_freezer *freezer)
{
	mutex_init(&freezer->lock);
	INIT_LIST_HEAD(&freezer->node);
}

static int held_add(struct kckpt_freezer *freezer, struct cgroup *cgrp)
{
	struct kckpt_freezer *other;
	int err = 0;

	mutex_lock(&held_lock);
	list_for_each_entry(other, &held, node)
		if (cgroup_is_descendant(other->cgrp, cgrp) || cgroup_is_descendant(cgrp, other->cgrp))
			err = -EBUSY;
	if (!err) {
		freezer->cgrp = cgrp;
		list_add(&freezer->node, &held);
	}
	mutex_unlock(&held_lock);
	return err;
}

int kckpt_freezer_hold(struct kckpt_ctx *ctx, struct kckpt_freezer *freezer, int fd)
{
	struct cgroup *cgrp = cgroup_get_from_fd(fd);
	int err;

	if (IS_ERR(cgrp))
		return kckpt_fail(ctx, NULL, KCKPT_E_NOT_CGROUP, PTR_ERR(cgrp), "descriptor %d", fd);
	if (!cgrp->level)
		err = kckpt_fail(ctx, NULL, KCKPT_E_CGROUP_ROOT, 0, "/");
	else if (held_add(freezer, cgrp))
		err = kckpt_fail(ctx, NULL, KCKPT_E_CGROUP_BUSY, 0, "");
	else
		return 0;
	cgroup_put(cgrp);
	return err;
}

void kckpt_freezer_drop(struct kckpt_freezer *freezer)
{
	struct cgroup *cgrp;

	kckpt_freezer_thaw(freezer);
	mutex_lock(&freezer->lock);
	mutex_lock(&held_lock);
	cgrp = freezer->cgrp;
	freezer->cgrp = NULL;
	list_del_init(&freezer->node);
	mutex_unlock(&held_lock);
	mutex_unlock(&freezer->lock);
	if (cgrp)
		cgroup_put(cgrp);
}

static bool cgroup_alive(struct cgroup *cgrp)
{
	return cgrp->self.flags & CSS_ONLINE;
}

/* Under freezer.lock. -ETIMEDOUT: the watchdog, who has reported it, does not want it any more. */
static int freezer_set(struct kckpt_freezer *freezer, bool freeze)
{
	struct cgroup *cgrp = freezer->cgrp;
	int err = 0;

	if (freeze && freezer->expired)
		return -ETIMEDOUT;
	mutex_lock(kdata(cgroup_mutex));
	if (!cgroup_alive(cgrp)) {
		err = -ENODEV;
	} else if (cgrp->freezer.freeze != freeze) {
		kcall(cgroup_freeze)(cgrp, freeze);
		freezer->ours = freeze;
	}
	mutex_unlock(kdata(cgroup_mutex));
	return err;
}

static int freezer_start(struct kckpt_ctx *ctx, struct kckpt_freezer *freezer)
{
	struct cgroup *cgrp = freezer->cgrp;
	bool inside;
	int err;

	rcu_read_lock();
	inside = cgroup_is_descendant(task_dfl_cgroup(current), cgrp);
	rcu_read_unlock();
	if (inside)
		return kckpt_fail(ctx, NULL, KCKPT_E_CGROUP_HAS_TOOL, 0, "");
	if (!cgroup_is_populated(cgrp))
		return kckpt_fail(ctx, NULL, KCKPT_E_CGROUP_EMPTY, 0, "");

	mutex_lock(&freezer->lock);
	freezer->since = ktime_get();
	err = kckpt_should_fail() ? -ENODEV : freezer_set(freezer, true);
	mutex_unlock(&freezer->lock);
	return err && err != -ETIMEDOUT ? kckpt_fail(ctx, NULL, KCKPT_E_CGROUP_EMPTY, err, "") : err;
}

/* Under cgroup_mutex: the tree stands still. */
static int list_cgroups(struct kckpt_ctx *ctx, struct cgroup *top)
{
	struct cgroup_subsys_state *css;
	u32 nr = 0;

	css_for_each_descendant_pre(css, &top->self)
		nr++;
	ctx->cgroups = kckpt_alloc(nr * sizeof(*ctx->cgroups));
	if (!ctx->cgroups)
		return kckpt_fail(ctx, NULL, KCKPT_E_NO_MEMORY, 0, "cgroups");
	css_for_each_descendant_pre(css, &top->self) {
		if (!(css->flags & CSS_ONLINE))
			continue;
		cgroup_get(css->cgroup);
		ctx->cgroups[ctx->nr_cgroups++] = css->cgroup;
	}
	return 0;
}

/* What is frozen: the cgroup itself and all below it. */
static int freezer_list(struct kckpt_ctx *ctx, struct kckpt_freezer *freezer)
{
	int err;

	mutex_lock(kdata(cgroup_mutex));
	err = list_cgroups(ctx, freezer->cgrp);
	mutex_unlock(kdata(cgroup_mutex));
	return err;
}

void kckpt_freezer_unlist(struct kckpt_ctx *ctx)
{
	while (ctx->nr_cgroups)
		cgroup_put(ctx->cgroups[--ctx->nr_cgroups]);
	kvfree(ctx->cgroups);
	ctx->cgroups = NULL;
}

int kckpt_freezer_start_restored(struct kckpt_ctx *ctx, struct kckpt_freezer *freezer)
{
	int err;

	mutex_lock(&freezer->lock);
	err = kckpt_should_fail() ? -ENODEV : freezer_set(freezer, true);
	mutex_unlock(&freezer->lock);
	return err && err != -ETIMEDOUT ? kckpt_fail(ctx, NULL, KCKPT_E_JOB_MOVED, err, "the cgroup was removed") : err;
}

int kckpt_freezer_check_empty(struct kckpt_ctx *ctx, struct kckpt_freezer *freezer, u32 nr_below)
{
	struct cgroup *cgrp = freezer->cgrp;

	if (cgroup_is_populated(cgrp) || cgrp->nr_descendants != nr_below)
		return kckpt_fail(ctx, NULL, KCKPT_E_CGROUP_NOT_EMPTY, 0, "");
	if (cgrp->freezer.e_freeze || test_bit(CGRP_FREEZE, &cgrp->flags))
		return kckpt_fail(ctx, NULL, KCKPT_E_CGROUP_FROZEN, 0, "");
	return 0;
}

bool kckpt_freezer_is_frozen(const struct kckpt_freezer *freezer)
{
	return freezer->cgrp && test_bit(CGRP_FROZEN, &freezer->cgrp->flags);
}

/* A few tasks are there before a timer would be; more of them within a millisecond. */
void kckpt_nap(unsigned int i)
{
	if (i < 20) {
		cond_resched();
		udelay(5);
	} else if (i < 120) {
		usleep_range(50, 100);
	} else {
		msleep(5);
	}
}

static void report_stuck_in(struct kckpt_ctx *ctx, struct cgroup *cgrp)
{
	struct kckpt_object about = { .family = KCKPT_F_task };
	struct css_task_iter it;
	struct task_struct *task;

	kckpt_for_each_cgroup_task(&it, task, cgrp) {
		if (task->frozen || task->exit_state)
			continue;
		about.where = kckpt_where(task, ctx->pidns, -1);
		kckpt_fail(ctx, &about, KCKPT_E_FREEZE_TIMEOUT, 0, "state %c", task_state_to_char(task));
	}
}

static void report_stuck(struct kckpt_ctx *ctx, struct kckpt_freezer *freezer)
{
	u32 i;

	if (!freezer_list(ctx, freezer))
		for (i = 0; i < ctx->nr_cgroups; i++)
			report_stuck_in(ctx, ctx->cgroups[i]);
	kckpt_freezer_unlist(ctx);
}

/* Why nobody is to wait any longer, though there is time; 0: nothing is wrong. */
static int freezer_check(struct kckpt_ctx *ctx, struct kckpt_freezer *freezer)
{
	if (signal_pending(current))
		return kckpt_fail(ctx, NULL, KCKPT_E_INTERRUPTED, 0, "freeze");
	if (READ_ONCE(freezer->expired))
		return -ETIMEDOUT;
	if (!READ_ONCE(freezer->cgrp->freezer.e_freeze))
		return kckpt_fail(ctx, NULL, KCKPT_E_JOB_MOVED, 0, "it was thawed from outside");
	return 0;
}

/* Until the last task has stopped. */
static int freezer_wait(struct kckpt_ctx *ctx, struct kckpt_freezer *freezer, unsigned long end)
{
	unsigned int i;
	int err;

	for (i = 0; !kckpt_freezer_is_frozen(freezer); i++) {
		err = kckpt_should_fail() ? kckpt_fail(ctx, NULL, KCKPT_E_INTERRUPTED, 0, "freeze") :
					    freezer_check(ctx, freezer);
		if (err)
			return err;
		if (time_after(jiffies, end)) {
			report_stuck(ctx, freezer);
			return kckpt_error_errno(KCKPT_E_FREEZE_TIMEOUT);
		}
		kckpt_nap(i);
	}
	return 0;
}

/* In the middle of vfork(): waits in the kernel for its child, without registers to go on from. */
static bool waits_for_vfork(struct task_struct *task)
{
	return task->frozen && READ_ONCE(task->__state) & TASK_UNINTERRUPTIBLE;
}

/*
 * It says that it is frozen before it sleeps; its FPU state is in memory only after that. A job that was let go
 * meanwhile need not sleep any more. *@vfork: somebody waits for a child.
 */
static int freezer_settle(struct kckpt_ctx *ctx, struct kckpt_freezer *freezer, unsigned long end, bool *vfork)
{
	struct css_task_iter it;
	struct task_struct *task;
	unsigned int i;
	int err = 0;
	u32 c;

	*vfork = false;
	for (c = 0; c < ctx->nr_cgroups; c++) {
		kckpt_for_each_cgroup_task(&it, task, ctx->cgroups[c]) {
			for (i = 0; !err && !kckpt_is_off_cpu(task) && !time_after(jiffies, end); i++) {
				kckpt_nap(i);
				err = freezer_check(ctx, freezer);
			}
			kckpt_hide_eintr(task);
			*vfork |= waits_for_vfork(task);
		}
	}
	return err;
}

/*
 * A child of vfork() is mostly gone after a moment: let the job run on for a little, longer each time, and try again.
 * When there is no time left it stays frozen, and the walk names those who wait.
 */
static int freezer_retry(struct kckpt_ctx *ctx, struct kckpt_freezer *freezer, unsigned int round, unsigned long end)
{
	kckpt_freezer_unlist(ctx);
	kckpt_freezer_thaw(freezer);
	WRITE_ONCE(freezer->pause_ns, 0);	/* the bound is for each pause */
	msleep(1 << min(round, 6U));
	return freezer_start(ctx, freezer) ?: freezer_wait(ctx, freezer, end) ?: freezer_list(ctx, freezer);
}

int kckpt_freezer_freeze(struct kckpt_ctx *ctx, struct kckpt_freezer *freezer, u32 timeout_ms)
{
	unsigned long end = jiffies + msecs_to_jiffies(timeout_ms);
	unsigned int round;
	bool vfork;
	int err;

	err = freezer_start(ctx, freezer) ?: freezer_wait(ctx, freezer, end) ?: freezer_list(ctx, freezer);
	for (round = 0; !err; round++) {
		err = freezer_settle(ctx, freezer, end, &vfork);
		/* Not to the very end: what is frozen then must stay so. */
		if (err || !vfork || !freezer->ours || time_after(jiffies + HZ / 4, end))
			break;
		err = freezer_retry(ctx, freezer, round, end);
	}
	if (err) {
		kckpt_freezer_unlist(ctx);
		kckpt_freezer_thaw(freezer);
		return err;
	}
	freezer->freeze_ns = ktime_to_ns(ktime_sub(ktime_get(), freezer->since));
	return 0;
}

static void freezer_thaw_locked(struct kckpt_freezer *freezer)
{
	if (freezer->cgrp && freezer->ours)
		freezer_set(freezer, false);
	freezer->pause_ns = kckpt_freezer_pause_ns(freezer);
	freezer->since = 0;
	freezer->ours = false;
}

void kckpt_freezer_thaw(struct kckpt_freezer *freezer)
{
	mutex_lock(&freezer->lock);
	freezer_thaw_locked(freezer);
	mutex_unlock(&freezer->lock);
}

void kckpt_freezer_expire(struct kckpt_freezer *freezer)
{
	mutex_lock(&freezer->lock);
	WRITE_ONCE(freezer->expired, true);
	freezer_thaw_locked(freezer);
	mutex_unlock(&freezer->lock);
}

void kckpt_freezer_give(struct kckpt_freezer *freezer)
{
	mutex_lock(&freezer->lock);
	freezer->ours = false;
	mutex_unlock(&freezer->lock);
}

u64 kckpt_freezer_pause_ns(const struct kckpt_freezer *freezer)
{
	ktime_t since = READ_ONCE(freezer->since);	/* the watchdog may look while it ends */

	return since ? ktime_to_ns(ktime_sub(ktime_get(), since)) : freezer->pause_ns;
}
