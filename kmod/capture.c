// SPDX-License-Identifier: GPL-2.0
/*
 * Describes a frozen cgroup: walk its tasks, intern what they are made of, look whether all of it belongs to the job,
 * write the records. Every blocker is reported, not just the first.
 */
#include <linux/cgroup.h>
#include <linux/sched/signal.h>

#include "family.h"
#include "fault.h"
#include "freeze.h"
#include "ksym.h"
#include "obj_cgroup.h"
#include "obj_task.h"
#include "session.h"
#include "shadow.h"
#include "share.h"
#include "snapshot.h"

#define CAPTURE_MAX_TASKS 1000000

/* How many times longer than for one that does not even begin to. */
#define KILL_PATIENCE 10

/* In kckpt_object.value of a task: had ended when it was captured. */
#define ENDED U64_MAX

int kckpt_capture_task(struct kckpt_ctx *ctx, struct task_struct *task)
{
	struct kckpt_where where = kckpt_where(task, ctx->pidns, -1);
	struct kckpt_object *obj;

	get_task_struct(task);
	obj = kckpt_intern(ctx, KCKPT_F_task, task, &where);
	if (IS_ERR(obj))
		return PTR_ERR(obj);
	obj->value = task->exit_state ? ENDED : 0;
	if (!task->exit_state)
		kckpt_stillness_note(obj, task);
	return ++ctx->nr_tasks > CAPTURE_MAX_TASKS ?
	       kckpt_fail(ctx, NULL, KCKPT_E_NO_MEMORY, -E2BIG, "more than %u tasks", CAPTURE_MAX_TASKS) : 0;
}

/* Those that live; the dead are found by their parents and threads. */
static int capture_tasks(struct kckpt_ctx *ctx)
{
	struct css_task_iter it;
	struct task_struct *task;
	int err = 0;
	u32 i;

	/* The iterator holds no lock while we look at a task; after an error we only let it end. */
	for (i = 0; i < ctx->nr_cgroups; i++)
		kckpt_for_each_cgroup_task(&it, task, ctx->cgroups[i])
			if (!err)
				err = kckpt_capture_task(ctx, task);
	return err;
}

static int capture_collect(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct kckpt_family_ops *ops = kckpt_family(obj->family);

	if (kckpt_family_check(ctx, obj))
		return 0;
	kckpt_progress(ctx);
	return ops->collect ? ops->collect(ctx, obj) : 0;
}

static int capture_closed(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct kckpt_family_ops *ops = kckpt_family(obj->family);

	if (!ops->closed || kckpt_family_lacks(obj->family))
		return 0;
	kckpt_progress(ctx);
	return ops->closed(ctx, obj);
}

static int capture_dump(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct kckpt_family_ops *ops = kckpt_family(obj->family);

	return ops->dump ? ops->dump(ctx, obj) : 0;
}

typedef int capture_verb_t(struct kckpt_ctx *ctx, struct kckpt_object *obj);

/* The list may grow behind us: what is found is visited, too. */
static int capture_each(struct kckpt_ctx *ctx, capture_verb_t *verb)
{
	struct kckpt_object *obj;
	int err;

	kckpt_for_each_object(&ctx->objs, obj) {
		err = verb(ctx, obj);
		if (!err && fatal_signal_pending(current))
			err = kckpt_fail(ctx, NULL, KCKPT_E_INTERRUPTED, 0, "capture");
		if (err)
			return err;
		cond_resched();
	}
	return 0;
}

static int capture_check_inherit(struct kckpt_ctx *ctx)
{
	u32 i;

	for (i = 0; i < ctx->nr_inherit; i++)
		if (!ctx->inherit_files[i])
			kckpt_fail(ctx, NULL, KCKPT_E_INHERIT_UNUSED, 0, "descriptor %d", ctx->inherit[i].fd);
	kckpt_outside_check_used(ctx);
	return 0;
}

static int capture_verify_task(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct task_struct *task = (struct task_struct *)obj->ptr;
	const char *moved;

	if (obj->value == ENDED)
		return pid_alive(task) ? 0 : kckpt_fail(ctx, obj, KCKPT_E_JOB_MOVED, 0, "it was waited for");
	moved = task->flags & PF_EXITING ? "the task is exiting" : kckpt_stillness_broken(obj, task);
	return moved ? kckpt_fail(ctx, obj, KCKPT_E_JOB_MOVED, 0, "%s", moved) : 0;
}

/* Tasks of the job's cgroups that are alive. */
static u32 capture_count(struct kckpt_ctx *ctx)
{
	struct css_task_iter it;
	struct task_struct *task;
	u32 i, nr = 0;

	for (i = 0; i < ctx->nr_cgroups; i++)
		kckpt_for_each_cgroup_task(&it, task, ctx->cgroups[i])
			nr++;
	return nr;
}

int kckpt_capture_verify(struct kckpt_ctx *ctx)
{
	struct kckpt_object *obj;
	u32 nr = 0;
	int err;

	if (!test_bit(CGRP_FROZEN, &ctx->cgrp->flags))
		return kckpt_fail(ctx, NULL, KCKPT_E_JOB_MOVED, 0, "it is not frozen any more");
	kckpt_for_each_object(&ctx->objs, obj) {
		if (obj->family != KCKPT_F_task)
			continue;
		err = capture_verify_task(ctx, obj);
		if (err)
			return err;
		nr += obj->value != ENDED;
	}
	return nr == capture_count(ctx) && ctx->cgrp->nr_descendants + 1 == ctx->nr_cgroups ? 0 :
	       kckpt_fail(ctx, NULL, KCKPT_E_JOB_MOVED, 0, "the cgroup has other tasks or sub-cgroups");
}

/* The next of our tasks, after @obj, that is still alive; NULL: none. */
static struct kckpt_object *capture_next_alive(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	obj = obj ?: list_entry(&ctx->objs.list, struct kckpt_object, node);
	list_for_each_entry_continue(obj, &ctx->objs.list, node)
		if (obj->family == KCKPT_F_task && !READ_ONCE(((struct task_struct *)obj->ptr)->exit_state))
			return obj;
	return NULL;
}

/* Who gets it takes all other threads along: with each sent to as well, they would only wait for each other's locks. */
static void capture_send_kill(struct kckpt_ctx *ctx)
{
	struct kckpt_object *obj = NULL;
	struct task_struct *task;

	while ((obj = capture_next_alive(ctx, obj))) {
		task = (struct task_struct *)obj->ptr;
		if (!(READ_ONCE(task->signal->flags) & SIGNAL_GROUP_EXIT))
			send_sig(SIGKILL, task, 1);
	}
}

/* Who is killed by somebody else before this has run is found to have moved, and who is after it writes nothing. */
static void capture_quiet_end(struct kckpt_ctx *ctx)
{
	struct kckpt_object *obj = NULL;

	while ((obj = capture_next_alive(ctx, obj)))
		if (((struct task_struct *)obj->ptr)->frozen)
			obj->clear_child_tid = kckpt_task_quiet_end((struct task_struct *)obj->ptr);
	smp_mb();	/* before capture_verify_task() looks at PF_EXITING */
}

static void capture_usual_end(struct kckpt_ctx *ctx)
{
	struct kckpt_object *obj = NULL;

	while ((obj = capture_next_alive(ctx, obj)))
		if (obj->clear_child_tid)
			kckpt_task_usual_end((struct task_struct *)obj->ptr, obj->clear_child_tid);
}

bool kckpt_capture_ends_quietly(struct kckpt_ctx *ctx)
{
	struct kckpt_object *obj = NULL;

	while ((obj = capture_next_alive(ctx, obj))) {
		if (!kckpt_task_ends_quietly((struct task_struct *)obj->ptr))
			return false;
		cond_resched();
	}
	return true;
}

static bool capture_has_ended(struct task_struct *leader)
{
	return READ_ONCE(leader->exit_state) && thread_group_empty(leader);
}

/* The first of our processes that is still there; NULL: none. */
static struct kckpt_object *capture_first_process(struct kckpt_ctx *ctx)
{
	struct kckpt_object *obj;

	kckpt_for_each_object(&ctx->objs, obj)
		if (obj->family == KCKPT_F_process && !capture_has_ended(obj->made))
			return obj;
	return NULL;
}

/* A thread that has not begun to end, with a reference; NULL: they all have. */
static struct task_struct *capture_idle_thread(struct task_struct *leader)
{
	struct task_struct *task, *idle = NULL;

	rcu_read_lock();
	for_each_thread(leader, task) {
		if (task->flags & PF_EXITING)
			continue;
		idle = task;
		get_task_struct(idle);
		break;
	}
	rcu_read_unlock();
	return idle;
}

/* Until it has ended, or some time has passed. Who polls its pidfd is woken by the same. */
static void capture_await(struct task_struct *leader)
{
	struct pid *pid = get_task_pid(leader, PIDTYPE_TGID);

	if (pid)
		wait_event_killable_timeout(pid->wait_pidfd, capture_has_ended(leader), HZ / 10);
	put_pid(pid);
}

/* How long that which does not even begin to end has been in the way. */
struct capture_patience {
	unsigned long left, since, end;	/* jiffies */
	const void *last;
};

static int capture_lose_patience(struct kckpt_ctx *ctx, struct task_struct *leader, struct capture_patience *patience)
{
	struct task_struct *idle = capture_idle_thread(leader);
	struct kckpt_object about = {
		.family = KCKPT_F_task, .where = kckpt_where(idle ?: leader, ctx->pidns, -1),
	};

	if (patience->last != (idle ?: leader))	/* others have begun, with the CPU time that it did not get */
		patience->since = jiffies;
	patience->last = idle ?: leader;
	if (idle)
		put_task_struct(idle);
	return time_after(jiffies, patience->end) || (idle && time_after(jiffies, patience->since + patience->left)) ?
	       kckpt_fail(ctx, &about, KCKPT_E_KILL_TIMEOUT, 0, "") : 0;
}

/*
 * Who is ending gives back memory and files meanwhile, perhaps with as little CPU time as the job is allowed: that
 * takes what it takes. Not for ever: it may hang in a file system.
 */
static int capture_wait_for_end(struct kckpt_ctx *ctx, u32 timeout_ms)
{
	struct capture_patience patience = { .left = msecs_to_jiffies(timeout_ms), .since = jiffies };
	struct kckpt_object *obj;
	int err = 0;

	patience.end = jiffies + KILL_PATIENCE * patience.left;
	while (!err && (obj = capture_first_process(ctx))) {
		capture_await(obj->made);
		err = fatal_signal_pending(current) ? -EINTR : capture_lose_patience(ctx, obj->made, &patience);
	}
	return err;
}

/* Ended ones whose parent was in the job, too: somebody else inherits them, and has not waited for them yet. */
static bool capture_orphans(struct kckpt_ctx *ctx)
{
	struct kckpt_object *obj;

	kckpt_for_each_object(&ctx->objs, obj)
		if (obj->family == KCKPT_F_process && obj->value && pid_alive(obj->made))
			return true;
	return false;
}

int kckpt_capture_kill(struct kckpt_ctx *ctx, bool quietly, u32 timeout_ms)
{
	unsigned long end;
	unsigned int i;
	int err;

	/* Thawing and moving tasks need this lock, too: what is verified is what dies. A frozen task obeys SIGKILL. */
	mutex_lock(kdata(cgroup_mutex));
	if (quietly)
		capture_quiet_end(ctx);
	err = kckpt_capture_verify(ctx);
	if (!err)
		capture_send_kill(ctx);
	else if (quietly)
		capture_usual_end(ctx);
	mutex_unlock(kdata(cgroup_mutex));
	if (!err) {
		kckpt_objtab_let_go(&ctx->objs, KCKPT_HELD_PROCESSES);
		err = capture_wait_for_end(ctx, timeout_ms);
	}
	/* Their ids are wanted again soon: give those who have to wait for orphans a moment. */
	end = jiffies + HZ;
	for (i = 0; !err && capture_orphans(ctx) && !time_after(jiffies, end); i++)
		kckpt_nap(i);
	return err;
}

int kckpt_capture(struct kckpt_ctx *ctx, struct kckpt_save *save, bool check_only)
{
	int err;

	err = kckpt_cgroup_collect_tree(ctx) ?:
	      capture_tasks(ctx) ?:
	      capture_each(ctx, capture_collect) ?:
	      capture_each(ctx, capture_closed) ?:
	      capture_check_inherit(ctx);
	if (err)
		return err;
	if (ctx->report.total) {
		struct kckpt_error first;

		kckpt_report_get(&ctx->report, 0, &first);
		return first.err;
	}
	if (check_only)
		return kckpt_capture_verify(ctx);
	ctx->share = kckpt_share_begin(ctx);
	if (IS_ERR(ctx->share)) {
		err = PTR_ERR(ctx->share);
		ctx->share = NULL;
		return err;
	}
	return kckpt_snapshot_match(ctx) ?:
	       kckpt_save_begin(ctx) ?:
	       capture_each(ctx, capture_dump) ?:
	       kckpt_save_records_end(ctx, save) ?:
	       (ctx->capture_flags & KCKPT_CAPTURE_KEEP ? kckpt_shadow_make(ctx, &ctx->kept) : 0) ?:
	       kckpt_capture_verify(ctx);
}
