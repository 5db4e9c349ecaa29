// SPDX-License-Identifier: GPL-2.0
/* See crew.h. */
#include <linux/delay.h>
#include <linux/module.h>
#include <linux/rseq.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/wait.h>
#include <uapi/linux/wait.h>

#include "compat/task.h"
#include "fault.h"
#include "ksym.h"
#include "obj_file.h"
#include "obj_mm.h"
#include "obj_process.h"
#include "obj_task.h"
#include "session.h"

void kckpt_crew_init(struct kckpt_crew *crew)
{
	spin_lock_init(&crew->lock);
	init_waitqueue_head(&crew->wait);
}

void kckpt_crew_put(struct kckpt_crew *crew)
{
	if (crew->root)
		put_task_struct(crew->root);
	crew->root = NULL;
}

static bool crew_set_stage(struct kckpt_crew *crew, enum kckpt_stage stage)
{
	bool alive;

	spin_lock(&crew->lock);
	alive = crew->stage != KCKPT_STAGE_DEAD;
	if (alive) {
		crew->stage = stage;
		crew->arrived = 0;
	}
	spin_unlock(&crew->lock);
	wake_up_all(&crew->wait);
	return alive;
}

void kckpt_crew_kill(struct kckpt_crew *crew)
{
	crew_set_stage(crew, KCKPT_STAGE_DEAD);
	if (crew->root)
		send_sig(SIGKILL, crew->root, 1);
}

/* ---- in the context of a restored thread ---- */

/* A thread has done its part of the current stage: wait for @next. */
static int crew_arrive(struct kckpt_crew *crew, enum kckpt_stage next)
{
	int err;

	spin_lock(&crew->lock);
	crew->arrived++;
	spin_unlock(&crew->lock);
	wake_up_all(&crew->wait);
	err = kckpt_should_fail() ? -EINTR : wait_event_killable(crew->wait, READ_ONCE(crew->stage) >= next);
	return err ?: READ_ONCE(crew->stage) == KCKPT_STAGE_DEAD ? -EINTR : 0;
}

static struct kckpt_thread *thread_alloc(struct kckpt_session *session, struct kckpt_object *task)
{
	struct kckpt_thread *thread = kckpt_alloc(sizeof(*thread));

	if (!thread)
		return NULL;
	thread->session = session;
	thread->task = task;
	kref_get(&session->ref);
	__module_get(THIS_MODULE);
	spin_lock(&session->crew.lock);
	session->crew.live++;
	spin_unlock(&session->crew.lock);
	return thread;
}

/* The last thing that a thread does in our text; module exit waits until it has really left it. */
static void thread_free(struct kckpt_thread *thread)
{
	struct kckpt_session *session = thread->session;

	spin_lock(&session->crew.lock);
	session->crew.live--;
	spin_unlock(&session->crew.lock);
	wake_up_all(&session->crew.wait);
	kckpt_session_put(session);
	kvfree(thread);
	module_put(THIS_MODULE);
}

static void thread_go(struct callback_head *work)
{
	struct kckpt_thread *thread = container_of(work, struct kckpt_thread, work);

	/* With a signal flagged, the kernel's own rules for restarting the call apply to what is in ax. */
	if (!(current->flags & PF_EXITING)) {
		*current_pt_regs() = thread->regs;
		set_tsk_thread_flag(current, TIF_SIGPENDING);
	}
	thread_free(thread);
}

/* From the built thread to the freezer. */
static int thread_run(struct kckpt_thread *thread)
{
	struct kckpt_session *session = thread->session;
	int err;

	err = crew_arrive(&session->crew, KCKPT_STAGE_FINISH) ?:
	      kckpt_thread_finish(&session->ctx, thread) ?:
	      crew_arrive(&session->crew, KCKPT_STAGE_GO);
	if (err)
		return err;
	init_task_work(&thread->work, thread_go);
	return kckpt_should_fail() ? -ESRCH : task_work_add(current, &thread->work, TWA_RESUME);
}

static int thread_end(struct kckpt_thread *thread, int err)
{
	if (err) {
		kckpt_crew_kill(&thread->session->crew);
		send_sig(SIGKILL, current, 1);
		thread_free(thread);
	}
	return 0;
}

static int thread_main(void *arg)
{
	struct kckpt_thread *thread = arg;

	kckpt_task_disown(current);
	return thread_end(thread, thread_run(thread));
}

static int process_main(void *arg)
{
	struct kckpt_thread *thread = arg;
	int err;

	kckpt_task_disown(current);
	err = kckpt_process_build(&thread->session->ctx, thread) ?: thread_run(thread);
	return thread_end(thread, err);
}

/* Clone refuses while a signal is pending, and wants the call to be begun anew; ours cannot be. */
static int crew_clone_error(int err)
{
	return err == -ERESTARTNOINTR ? -EINTR : err;
}

int kckpt_crew_clone_thread(struct kckpt_session *session, struct kckpt_object *task, u32 tid)
{
	struct kckpt_thread *thread = thread_alloc(session, task);
	pid_t want = tid;
	struct kernel_clone_args args = {
		.flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
			 CLONE_UNTRACED,
		.fn = thread_main,
		.fn_arg = thread,
		.set_tid = &want,
		.set_tid_size = 1,
	};
	pid_t pid;

	if (!thread)
		return kckpt_fail(&session->ctx, task, KCKPT_E_NO_MEMORY, 0, "thread");
	pid = kckpt_should_fail() ? -EAGAIN : crew_clone_error(kcall(kernel_clone)(&args));
	if (pid >= 0)
		return 0;
	thread_free(thread);
	return kckpt_fail(&session->ctx, task, pid == -EEXIST ? KCKPT_E_PID_TAKEN : KCKPT_E_CREATE, pid,
			  "thread %u", tid);
}

/* ---- in the context of the session's caller ---- */

static bool crew_arrived(struct kckpt_crew *crew)
{
	bool there;

	spin_lock(&crew->lock);
	there = crew->stage == KCKPT_STAGE_DEAD || crew->arrived == crew->expected;
	spin_unlock(&crew->lock);
	return there;
}

/* Who failed has said why, unless it was killed. */
static int crew_why_dead(struct kckpt_session *session)
{
	struct kckpt_error first;

	if (kckpt_report_get(&session->ctx.report, 0, &first))
		return first.err ?: -EIO;
	return kckpt_fail(&session->ctx, NULL, KCKPT_E_CREATE, -EINTR, "a restored task was killed");
}

static bool crew_doomed(const struct kckpt_crew *crew)
{
	return !crew->root || crew->root->signal->flags & SIGNAL_GROUP_EXIT;
}

/* All at the end of the stage, or the reason why not. @timeout_ms: 0 leaves that to the watchdog. */
static int crew_wait(struct kckpt_session *session, u32 timeout_ms)
{
	unsigned long end = jiffies + msecs_to_jiffies(timeout_ms);
	struct kckpt_crew *crew = &session->crew;
	long left;

	/* A root that is killed from outside never arrives: look at it from time to time. */
	do {
		left = kckpt_should_fail() ? -EINTR :
		       wait_event_killable_timeout(crew->wait, crew_arrived(crew), HZ / 10);
	} while (!left && !crew_doomed(crew) && !(timeout_ms && time_after(jiffies, end)));

	if (left < 0)
		return kckpt_fail(&session->ctx, NULL, KCKPT_E_INTERRUPTED, 0, "restore");
	if (READ_ONCE(crew->stage) == KCKPT_STAGE_DEAD)
		return crew_why_dead(session);
	if (!left)
		return kckpt_fail(&session->ctx, NULL, KCKPT_E_CREATE, -ETIMEDOUT,
				  "the tasks were killed from outside, or did not come far enough in time");
	return 0;
}

/* The descriptor named the cgroup twice, to us and to clone: was it the same? */
static int crew_check_place(struct kckpt_session *session)
{
	bool there;

	if (!session->crew.root)
		return crew_why_dead(session);
	rcu_read_lock();
	there = task_dfl_cgroup(session->crew.root) == session->freezer.cgrp;
	rcu_read_unlock();
	return there ? 0 : kckpt_fail(&session->ctx, NULL, KCKPT_E_JOB_MOVED, 0, "the tasks are in another cgroup");
}

static struct kckpt_object *crew_root(struct kckpt_ctx *ctx)
{
	struct kckpt_object *obj;

	kckpt_for_each_object(&ctx->objs, obj)
		if (obj->family == KCKPT_F_process)
			return obj;
	return NULL;
}

int kckpt_crew_start(struct kckpt_session *session, int cgroup, u64 *create_ns)
{
	struct kckpt_object *process = crew_root(&session->ctx);
	struct kckpt_crew *crew = &session->crew;
	pid_t want = process->where.pid;
	struct kernel_clone_args args = {
		/* The table is shared only until the first act of the child, which takes an empty one. */
		.flags = CLONE_INTO_CGROUP | CLONE_FILES | CLONE_UNTRACED,
		.cgroup = cgroup,
		.exit_signal = SIGCHLD,
		.fn = process_main,
		.set_tid = &want,
		.set_tid_size = 1,
	};
	ktime_t start = ktime_get();
	struct kckpt_thread *thread;
	int err;

	thread = thread_alloc(session, kckpt_process_leader(&session->ctx, process));
	if (!thread)
		return kckpt_fail(&session->ctx, process, KCKPT_E_NO_MEMORY, 0, "process");
	args.fn_arg = thread;
	crew->root_pid = kckpt_should_fail() ? -EAGAIN : kcall(kernel_clone)(&args);
	if (crew->root_pid < 0) {
		err = crew_clone_error(crew->root_pid);
		thread_free(thread);
		return kckpt_fail(&session->ctx, process, err == -EEXIST ? KCKPT_E_PID_TAKEN : KCKPT_E_CREATE, err,
				  "process %d", want);
	}
	/* Before anybody could reap it: we are its parent, and here. */
	crew->root = kcall(find_get_task_by_vpid)(crew->root_pid);
	err = crew_wait(session, 0) ?: crew_check_place(session);
	*create_ns = ktime_to_ns(ktime_sub(ktime_get(), start));
	return err;
}

static int crew_freeze(struct kckpt_session *session, unsigned long end)
{
	struct kckpt_freezer *freezer = &session->freezer;
	struct kckpt_crew *crew = &session->crew;

	while (!kckpt_freezer_is_frozen(freezer) || READ_ONCE(crew->live)) {
		if (kckpt_should_fail() || fatal_signal_pending(current))
			return kckpt_fail(&session->ctx, NULL, KCKPT_E_INTERRUPTED, 0, "commit");
		if (READ_ONCE(crew->stage) == KCKPT_STAGE_DEAD || crew_doomed(crew))
			return kckpt_fail(&session->ctx, NULL, KCKPT_E_JOB_MOVED, 0, "killed before the commit");
		if (time_after(jiffies, end))
			return kckpt_fail(&session->ctx, NULL, KCKPT_E_FREEZE_TIMEOUT, 0, "restored tasks");
		usleep_range(50, 100);
	}
	/* An empty cgroup counts as frozen, too. */
	if (READ_ONCE(crew->stage) == KCKPT_STAGE_DEAD || crew_doomed(crew) ||
	    !cgroup_is_populated(freezer->cgrp))
		return kckpt_fail(&session->ctx, NULL, KCKPT_E_JOB_MOVED, 0, "killed before the commit");
	return 0;
}

int kckpt_crew_finish(struct kckpt_session *session, u32 timeout_ms)
{
	unsigned long end = jiffies + msecs_to_jiffies(timeout_ms);
	struct kckpt_crew *crew = &session->crew;
	int err;

	if (!crew_set_stage(crew, KCKPT_STAGE_FINISH))
		return crew_why_dead(session);
	err = crew_wait(session, timeout_ms);
	if (err)
		return err;
	kckpt_mm_seal(&session->ctx);
	err = kckpt_process_seal(&session->ctx, crew->root);
	if (err)
		return err;
	kckpt_files_keep_owned(&session->ctx);
	/* Before anybody runs: an end of a pipe that we still hold would keep others from seeing its end. */
	kckpt_objtab_release_made(&session->ctx.objs);
	if (task_work_pending(current))
		kcall(task_work_run)();
	err = kckpt_files_own(&session->ctx);
	if (err)
		return err;
	err = kckpt_freezer_start_restored(&session->ctx, &session->freezer);
	if (err)
		return err;
	if (!crew_set_stage(crew, KCKPT_STAGE_GO))
		return crew_why_dead(session);
	return crew_freeze(session, end);
}

void kckpt_crew_reap(struct kckpt_crew *crew)
{
	unsigned long end = jiffies + 10 * HZ;

	/* The leader can only be waited for when the last of its threads is gone. */
	while (!time_after(jiffies, end)) {
		if (!READ_ONCE(crew->live) &&
		    (!crew->root || kcall(kernel_wait4)(crew->root_pid, NULL, WNOHANG | __WALL, NULL)))
			break;
		usleep_range(100, 500);
	}
}
