// SPDX-License-Identifier: GPL-2.0
/*
 * Ends a captured job: all of it at once, provided that it is still what was captured, and waits until it is gone.
 *
 * Locks: cgroup_mutex while it is looked at and killed; none while it is waited for.
 */
#include <linux/sched/signal.h>
#include <linux/wait.h>

#include "family.h"
#include "freeze.h"
#include "ksym.h"
#include "obj_task.h"
#include "session.h"

/* How many times longer than for one that does not even begin to end. */
#define PATIENCE 10

/* ---- all at once ---- */

static struct task_struct *task_of(const struct kckpt_object *obj)
{
	return (struct task_struct *)obj->ptr;
}

/* The next of our tasks, after @obj, that is still alive; NULL: none. */
static struct kckpt_object *next_alive(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	obj = obj ?: list_entry(&ctx->objs.list, struct kckpt_object, node);
	list_for_each_entry_continue(obj, &ctx->objs.list, node)
		if (obj->family == KCKPT_F_task && !READ_ONCE(task_of(obj)->exit_state))
			return obj;
	return NULL;
}

/* Who gets it takes all other threads along: with each sent to as well, they would only wait for each other's locks. */
static void send_kill(struct kckpt_ctx *ctx)
{
	struct kckpt_object *obj = NULL;

	while ((obj = next_alive(ctx, obj)))
		if (!(READ_ONCE(task_of(obj)->signal->flags) & SIGNAL_GROUP_EXIT))
			send_sig(SIGKILL, task_of(obj), 1);
}

/* Who is killed by somebody else before this has run is found to have moved, and who is after it writes nothing. */
static void make_quiet(struct kckpt_ctx *ctx)
{
	struct kckpt_object *obj = NULL;

	while ((obj = next_alive(ctx, obj)))
		if (task_of(obj)->frozen)
			obj->clear_child_tid = kckpt_task_quiet_end(task_of(obj));
	smp_mb();	/* before kckpt_capture_verify() looks at PF_EXITING */
}

static void make_usual(struct kckpt_ctx *ctx)
{
	struct kckpt_object *obj = NULL;

	while ((obj = next_alive(ctx, obj)))
		if (obj->clear_child_tid)
			kckpt_task_usual_end(task_of(obj), obj->clear_child_tid);
}

bool kckpt_kill_is_quiet(struct kckpt_ctx *ctx)
{
	struct kckpt_object *obj = NULL;

	while ((obj = next_alive(ctx, obj))) {
		if (!kckpt_task_ends_quietly(task_of(obj)))
			return false;
		cond_resched();
	}
	return true;
}

/* ---- until they are gone ---- */

/*
 * Of the threads of @leader one that has not ended, with a reference; rather one that has not even begun to. NULL: all
 * have, though a tracer may not have let go of some.
 */
static struct task_struct *get_slowest(struct task_struct *leader)
{
	struct task_struct *task, *slowest = NULL;

	rcu_read_lock();
	for_each_thread(leader, task) {
		if (READ_ONCE(task->exit_state) || (slowest && task->flags & PF_EXITING))
			continue;
		slowest = task;
		if (!(task->flags & PF_EXITING))
			break;
	}
	if (slowest)
		get_task_struct(slowest);
	rcu_read_unlock();
	return slowest;
}

static bool has_ended(struct task_struct *leader)
{
	struct task_struct *task;

	if (!READ_ONCE(leader->exit_state))
		return false;
	task = get_slowest(leader);
	if (task)
		put_task_struct(task);
	return !task;
}

/* The first of our processes, from @obj on, that is still there; NULL: none. Who has ended has ended. */
static struct kckpt_object *next_process(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	obj = obj ?: list_first_entry(&ctx->objs.list, struct kckpt_object, node);
	list_for_each_entry_from(obj, &ctx->objs.list, node) {
		if (obj->family == KCKPT_F_process && !has_ended(obj->made))
			return obj;
		cond_resched();
	}
	return NULL;
}

/* Until it has ended, or some time has passed. Who polls its pidfd is woken by the same. */
static void await(struct task_struct *leader)
{
	struct pid *pid = get_task_pid(leader, PIDTYPE_TGID);

	if (pid)
		wait_event_killable_timeout(pid->wait_pidfd, has_ended(leader), HZ / 10);
	else
		schedule_timeout_killable(1);
	put_pid(pid);
}

/* The object of a task, which is not held any more. */
static const struct kckpt_object *find_object(struct kckpt_ctx *ctx, struct task_struct *task)
{
	struct kckpt_where where = kckpt_where(task, ctx->pidns, -1);
	struct kckpt_object *obj;

	kckpt_for_each_object(&ctx->objs, obj)
		if (obj->family == KCKPT_F_task && obj->where.pid == where.pid)
			return obj;
	return NULL;
}

/* How many threads of the job have not even begun to end. */
static u64 nr_to_begin(struct kckpt_ctx *ctx)
{
	struct kckpt_object *obj;
	struct task_struct *task;
	u64 nr = 0;

	kckpt_for_each_object(&ctx->objs, obj) {
		if (obj->family != KCKPT_F_process)
			continue;
		rcu_read_lock();
		for_each_thread((struct task_struct *)obj->made, task)
			nr += !READ_ONCE(task->exit_state) && !(task->flags & PF_EXITING);
		rcu_read_unlock();
		cond_resched();
	}
	return nr;
}

struct patience {
	unsigned long left, since, end;	/* jiffies: while nobody begins to end, since when, and for all of them */
	u64 nr_to_begin;
};

/* Others may have begun meanwhile, with the CPU time that @slowest did not get. */
static bool is_over(struct kckpt_ctx *ctx, struct patience *patience, const struct task_struct *slowest)
{
	u64 nr = nr_to_begin(ctx);

	if (nr < patience->nr_to_begin)
		patience->since = jiffies;
	patience->nr_to_begin = nr;
	return time_after(jiffies, patience->end) ||
	       (!(slowest->flags & PF_EXITING) && time_after(jiffies, patience->since + patience->left));
}

static int lose_patience(struct kckpt_ctx *ctx, struct task_struct *leader, struct patience *patience)
{
	struct task_struct *slowest = get_slowest(leader);
	int err = 0;

	if (!slowest)
		return 0;
	if (is_over(ctx, patience, slowest))
		err = kckpt_fail(ctx, find_object(ctx, slowest), KCKPT_E_KILL_TIMEOUT, 0, "");
	put_task_struct(slowest);
	return err;
}

/*
 * Who is ending gives back memory and files meanwhile, perhaps with as little CPU time as the job is allowed: that
 * takes what it takes. Not for ever: it may hang in a file system.
 */
static int wait_for_end(struct kckpt_ctx *ctx, u32 timeout_ms)
{
	struct patience patience = { .left = msecs_to_jiffies(timeout_ms), .since = jiffies,
				     .nr_to_begin = U64_MAX };
	struct kckpt_object *obj = NULL, *last = NULL;
	int err = 0;

	patience.end = jiffies + PATIENCE * patience.left;
	while (!err && (obj = next_process(ctx, obj))) {
		if (obj != last)	/* another one has ended, on CPU time that this one did not get */
			patience.since = jiffies;
		last = obj;
		await(obj->made);
		err = fatal_signal_pending(current) ? -EINTR : lose_patience(ctx, obj->made, &patience);
	}
	return err;
}

/* Ended ones whose parent was in the job, too: somebody else inherits them, and has not waited for them yet. */
static bool are_orphans_left(struct kckpt_ctx *ctx)
{
	struct kckpt_object *obj;

	kckpt_for_each_object(&ctx->objs, obj)
		if (obj->family == KCKPT_F_process && obj->value && pid_alive(obj->made))
			return true;
	return false;
}

/* Their ids are wanted again soon: gives those who have to wait for orphans a moment. */
static void wait_for_orphans(struct kckpt_ctx *ctx)
{
	unsigned long end = jiffies + HZ;
	unsigned int i;

	for (i = 0; are_orphans_left(ctx) && !time_after(jiffies, end) && !fatal_signal_pending(current); i++)
		kckpt_nap(i);
}

int kckpt_kill(struct kckpt_ctx *ctx, bool quietly, u32 timeout_ms)
{
	int err;

	/* Thawing and moving tasks need this lock, too: what is verified is what dies. A frozen task obeys SIGKILL. */
	mutex_lock(kdata(cgroup_mutex));
	if (quietly)
		make_quiet(ctx);
	err = kckpt_capture_verify(ctx);
	if (!err)
		send_kill(ctx);
	else if (quietly)
		make_usual(ctx);
	mutex_unlock(kdata(cgroup_mutex));
	if (err)
		return err;
	kckpt_objtab_let_go(&ctx->objs, KCKPT_HELD_PROCESSES);
	err = wait_for_end(ctx, timeout_ms);
	if (!err)
		wait_for_orphans(ctx);
	return err;
}
