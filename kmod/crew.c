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
#include "hide.h"
#include "ksym.h"
#include "obj_file.h"
#include "obj_lease.h"
#include "obj_mm.h"
#include "obj_process.h"
#include "obj_task.h"
#include "session.h"

void kckpt_crew_init(struct kckpt_crew *crew)
{
	unsigned int i;

	spin_lock_init(&crew->lock);
	init_waitqueue_head(&crew->arrivals);
	for (i = 0; i < ARRAY_SIZE(crew->stages); i++)
		init_waitqueue_head(&crew->stages[i]);
	init_waitqueue_head(&crew->makings);
}

static bool crew_set_stage(struct kckpt_crew *crew, enum kckpt_stage stage)
{
	unsigned int i;
	bool alive;

	spin_lock(&crew->lock);
	alive = crew->stage != KCKPT_STAGE_DEAD;
	if (alive)
		crew->stage = stage;
	spin_unlock(&crew->lock);
	for (i = 0; i < ARRAY_SIZE(crew->stages) && i <= stage; i++)
		wake_up_all(&crew->stages[i]);
	wake_up_all(&crew->makings);
	wake_up_all(&crew->arrivals);
	return alive;
}

/*
 * All of its threads, also when the leader has ended already. Who was let go, into the freezer, is not to tell others
 * of its end: for them nobody came back.
 */
static void crew_kill_process(struct task_struct *leader)
{
	struct task_struct *task;
	struct pid *pid;

	rcu_read_lock();
	for_each_thread(leader, task)
		kckpt_task_disown_end(task);
	pid = task_tgid(leader);
	if (pid)
		kill_pid(pid, SIGKILL, 1);
	rcu_read_unlock();
}

void kckpt_crew_kill(struct kckpt_session *session)
{
	struct kckpt_crew *crew = &session->crew;
	struct kckpt_object *obj;

	/* Who is created after this finds the stage so, and is killed by its creator. */
	crew_set_stage(crew, KCKPT_STAGE_DEAD);
	kckpt_session_wake(session);
	spin_lock(&crew->lock);
	/* Once is enough; but nobody comes back before it is done, and lets go of the freeze. */
	if (crew->started && !crew->killed) {
		kckpt_for_each_object(&session->ctx.objs, obj)
			if (obj->family == KCKPT_F_process && obj->made)
				crew_kill_process(obj->made);
		crew->killed = true;
	}
	spin_unlock(&crew->lock);
}

/* ---- in the context of a restored thread ---- */

/* All threads are at the end of the stage. Under the lock. */
static bool crew_is_through(const struct kckpt_crew *crew)
{
	return crew->stage == KCKPT_STAGE_DEAD || crew->arrived[crew->stage] == crew->expected;
}

/*
 * Killed while it waited for @next. Either that had come before, and it is killed like anybody else: 0. Or it will not
 * come any more.
 */
static int crew_killed_before(struct kckpt_crew *crew, enum kckpt_stage next)
{
	bool too_late;

	spin_lock(&crew->lock);
	too_late = crew->stage >= next && crew->stage != KCKPT_STAGE_DEAD;
	if (!too_late)
		crew->stage = KCKPT_STAGE_DEAD;
	spin_unlock(&crew->lock);
	return too_late ? 0 : -EINTR;
}

/* A thread has done its part of the current stage, and has none in those before @next: wait for that. */
static int crew_arrive(struct kckpt_crew *crew, enum kckpt_stage next)
{
	enum kckpt_stage stage;
	bool last;
	int err;

	if (kckpt_should_fail())
		return -EINTR;
	spin_lock(&crew->lock);
	for (stage = crew->stage; stage < next; stage++)
		crew->arrived[stage]++;
	last = crew_is_through(crew);
	spin_unlock(&crew->lock);
	if (last)
		wake_up_all(&crew->arrivals);
	err = wait_event_killable(crew->stages[next], READ_ONCE(crew->stage) >= next);
	err = err ? crew_killed_before(crew, next) : 0;
	return err ?: kckpt_crew_is_dead(crew) ? -EINTR : 0;
}

void kckpt_crew_made(struct kckpt_crew *crew, struct kckpt_object *obj)
{
	smp_store_release(&obj->state, KCKPT_OBJ_MADE);	/* what was made of it, too: pairs with kckpt_is_made() */
	wake_up_all(&crew->makings);
	/* Either we see that the caller waits for it, or the caller that it is made. */
	smp_mb();	/* pairs with crew_wait() */
	if (READ_ONCE(crew->awaited) == obj)
		wake_up_all(&crew->arrivals);
}

int kckpt_crew_wait_made(struct kckpt_crew *crew, struct kckpt_object *obj)
{
	int err = kckpt_should_fail() ? -EINTR :
		  wait_event_killable(crew->makings, kckpt_is_made(obj) || kckpt_crew_is_dead(crew));

	return err ?: kckpt_crew_is_dead(crew) ? -EINTR : 0;
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

	bool last;

	spin_lock(&session->crew.lock);
	last = !--session->crew.live;
	spin_unlock(&session->crew.lock);
	if (last)
		wake_up_all(&session->crew.arrivals);
	kckpt_session_put(session);
	kvfree(thread);
	module_put(THIS_MODULE);
}

/*
 * Its process is marked as stopped: so it joins the others without anybody being told (no JOBCTL_STOP_CONSUME), in
 * do_signal_stop(), where it counts as frozen.
 */
static void thread_stop(u32 signal)
{
	if (!signal)
		return;
	spin_lock_irq(&current->sighand->siglock);
	current->jobctl &= ~JOBCTL_STOP_SIGMASK;
	current->jobctl |= JOBCTL_STOP_PENDING | signal;
	spin_unlock_irq(&current->sighand->siglock);
}

static void thread_become(struct kckpt_thread *thread)
{
	struct kckpt_ctx *ctx = &thread->session->ctx;

	kckpt_task_go(ctx, thread);
	*current_pt_regs() = thread->regs;
	thread_stop(kckpt_thread_stop_signal(thread->task));
	/* With a signal flagged, the kernel's own rules for restarting the call apply to what is in ax. */
	set_tsk_thread_flag(current, TIF_SIGPENDING);
}

static void thread_go(struct callback_head *work)
{
	struct kckpt_thread *thread = container_of(work, struct kckpt_thread, work);

	if (kckpt_crew_is_dead(&thread->session->crew))
		send_sig(SIGKILL, current, 1);	/* its registers are nobody's; others come to kill it */
	else if (!(current->flags & PF_EXITING))
		thread_become(thread);
	thread_free(thread);
}

/* Most of many threads have nothing to do here, and are not woken up for it. */
static int thread_run_build(struct kckpt_thread *thread)
{
	struct kckpt_session *session = thread->session;

	if (!kckpt_thread_builds(&session->ctx, thread))
		return 0;
	return crew_arrive(&session->crew, KCKPT_STAGE_BUILD) ?: kckpt_thread_build(&session->ctx, thread);
}

/* The same: who needs nothing of what others build is done when it has begun, and woken up once, to go. */
static int thread_run_finish(struct kckpt_thread *thread)
{
	struct kckpt_session *session = thread->session;

	thread->early = kckpt_thread_stands_alone(&session->ctx, thread);
	return (thread->early ? 0 : crew_arrive(&session->crew, KCKPT_STAGE_FINISH)) ?:
	       kckpt_thread_finish(&session->ctx, thread);
}

/* From birth to the last barrier. */
static int thread_run(struct kckpt_thread *thread)
{
	struct kckpt_session *session = thread->session;

	return kckpt_thread_begin(&session->ctx, thread) ?:
	       thread_run_build(thread) ?:
	       thread_run_finish(thread);
}

/* What could fail is done before the barrier. */
static int thread_leave(struct kckpt_thread *thread, bool ends)
{
	int err = 0;

	if (!ends) {
		init_task_work(&thread->work, thread_go);
		err = kckpt_should_fail() ? -ESRCH : task_work_add(current, &thread->work, TWA_RESUME);
		thread->leaves = !err;
	}
	return err ?: crew_arrive(&thread->session->crew, KCKPT_STAGE_GO);
}

static int thread_main(void *arg)
{
	struct kckpt_thread *thread = arg;
	bool ends = false;
	u32 code = 0;
	int err;

	kckpt_task_disown(current);
	err = thread_run(thread);
	if (!err) {
		ends = kckpt_thread_exit_code(thread->task, &code);
		err = thread_leave(thread, ends);
	}
	if (err) {
		kckpt_crew_kill(thread->session);
		send_sig(SIGKILL, current, 1);
	}
	if (!thread->leaves)
		thread_free(thread);
	if (!err && ends)
		kcall(do_exit)(code);
	return 0;
}

/* Clone refuses while a signal is pending, and wants the call to be begun anew; ours cannot be. */
static int crew_clone_error(int err)
{
	return err == -ERESTARTNOINTR ? -EINTR : err;
}

static int crew_clone_failed(struct kckpt_session *session, struct kckpt_object *task, int err)
{
	err = crew_clone_error(err);
	/* One that is killed is not why. */
	if (fatal_signal_pending(current))
		return -EINTR;
	return kckpt_fail(&session->ctx, task, err == -EEXIST ? KCKPT_E_PID_TAKEN : KCKPT_E_CREATE, err, "pid %d",
			  task->where.pid);
}

struct kckpt_object *kckpt_crew_next_thread(struct kckpt_crew *crew, struct kckpt_object *process)
{
	struct kckpt_object *task;

	spin_lock(&crew->lock);
	task = process->rest;
	if (task)
		process->rest = task->next;
	spin_unlock(&crew->lock);
	return task;
}

int kckpt_crew_clone_thread(struct kckpt_session *session, struct kckpt_object *task, u64 clone_flags)
{
	struct kckpt_thread *thread = thread_alloc(session, task);
	pid_t want = task->where.pid;
	struct kernel_clone_args args = {
		.flags = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_UNTRACED | clone_flags,
		.fn = thread_main,
		.fn_arg = thread,
		.set_tid = &want,
		.set_tid_size = 1,
	};
	pid_t pid;

	if (!thread)
		return kckpt_fail(&session->ctx, task, KCKPT_E_NO_MEMORY, 0, "thread");
	pid = kckpt_should_fail() ? -EAGAIN : kcall(kernel_clone)(&args);
	if (pid >= 0)
		return 0;
	thread_free(thread);
	return crew_clone_failed(session, task, pid);
}

/* Before anybody could reap it: its creator calls this, and is its parent or the elder sibling that is waited for. */
static void crew_enlist(struct kckpt_session *session, struct kckpt_object *process, pid_t pid)
{
	struct task_struct *task = kcall(find_get_task_by_vpid)(pid);
	struct kckpt_crew *crew = &session->crew;

	spin_lock(&crew->lock);
	process->made = task;
	if (task && crew->stage == KCKPT_STAGE_DEAD)
		crew_kill_process(task);
	spin_unlock(&crew->lock);
}

/* Is it born in its cgroup, as the one of its creator? To be cloned into one takes a lock of the whole hierarchy. */
static bool crew_inherits_cgroup(struct kckpt_ctx *ctx, const struct kckpt_object *process, u64 cgroup)
{
	struct kckpt_object *creator = process->creator ? kckpt_process_of(ctx, process->creator) : NULL;

	return creator && kckpt_process_rec(creator)->cgroup == cgroup;
}

/* The folder of its cgroup, at a descriptor of the creator for as long as it takes. -ENOENT: there is no need. */
static int crew_open_cgroup(struct kckpt_session *session, struct kckpt_object *process)
{
	struct kckpt_ctx *ctx = &session->ctx;
	u64 id = kckpt_process_rec(process)->cgroup;
	struct kckpt_object *cgroup = kckpt_objtab_get(&ctx->objs, id);
	int fd;

	/* A zombie's may be gone. */
	if (!cgroup || crew_inherits_cgroup(ctx, process, id))
		return -ENOENT;
	fd = kckpt_should_fail() ? -EMFILE : get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return kckpt_fail(ctx, process, KCKPT_E_CREATE, fd, "descriptor");
	fd_install(fd, get_file(cgroup->made));
	return fd;
}

int kckpt_crew_clone_process(struct kckpt_session *session, struct kckpt_object *process, pid_t *nr)
{
	struct kckpt_ctx *ctx = &session->ctx;
	struct kckpt_object *leader = kckpt_process_leader(ctx, process);
	struct kckpt_thread *thread = thread_alloc(session, leader);
	bool ended = kckpt_process_ended(process);
	pid_t want = process->where.pid, pid;
	struct kernel_clone_args args = {
		.flags = CLONE_UNTRACED | kckpt_process_clone_flags(process),
		/* Nobody is told of the end of one that shall be found ended. */
		.exit_signal = ended ? 0 : SIGCHLD,
		.fn = thread_main,
		.fn_arg = thread,
		.set_tid = &want,
		.set_tid_size = 1,
	};
	int fd;

	if (!thread)
		return kckpt_fail(ctx, process, KCKPT_E_NO_MEMORY, 0, "process");
	/* The caller's table is shared only until the first act of the child, which takes an empty one. */
	if (!process->creator)
		args.flags |= CLONE_FILES;
	fd = crew_open_cgroup(session, process);
	if (fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = fd;
	} else if (fd != -ENOENT) {
		thread_free(thread);
		return fd;
	}
	pid = kckpt_should_fail() ? -EAGAIN : kcall(kernel_clone)(&args);
	if (fd >= 0)
		close_fd(fd);
	if (pid < 0) {
		thread_free(thread);
		return crew_clone_failed(session, leader, pid);
	}
	crew_enlist(session, process, pid);
	if (nr)
		*nr = pid;
	return 0;
}

/* ---- in the context of the session's caller ---- */

/* All are, or @obj is made, which may be NULL, or that will never be. */
static bool crew_arrived(struct kckpt_crew *crew, struct kckpt_object *obj)
{
	bool there;

	spin_lock(&crew->lock);
	there = crew_is_through(crew);
	spin_unlock(&crew->lock);
	return there || (obj && kckpt_is_made(obj));
}

/* Who failed has said why, unless it was killed. */
static int crew_why_dead(struct kckpt_session *session)
{
	struct kckpt_error first;

	if (kckpt_report_get(&session->ctx.report, 0, &first))
		return first.err ?: -EIO;
	return kckpt_fail(&session->ctx, NULL, KCKPT_E_CREATE, -EINTR, "a restored task was killed");
}

/* One that is killed from outside never arrives. Those that end by themselves do so after the last barrier. */
static bool crew_doomed(struct kckpt_session *session)
{
	const struct task_struct *task;
	struct kckpt_object *obj;
	bool doomed = false;

	spin_lock(&session->crew.lock);
	kckpt_for_each_object(&session->ctx.objs, obj) {
		task = obj->made;
		if (obj->family == KCKPT_F_process && task && task->signal->flags & SIGNAL_GROUP_EXIT)
			doomed |= !kckpt_process_ended(obj);
	}
	spin_unlock(&session->crew.lock);
	return doomed;
}

/*
 * All at the end of the stage, or @obj made, or the reason why not. @timeout_ms: without any progress; 0 leaves that to
 * the watchdog.
 */
static int crew_wait(struct kckpt_session *session, struct kckpt_object *obj, u32 timeout_ms)
{
	unsigned long timeout = msecs_to_jiffies(timeout_ms);
	struct kckpt_crew *crew = &session->crew;
	long left;

	kckpt_progress(&session->ctx);
	WRITE_ONCE(crew->awaited, obj);
	smp_mb();	/* pairs with kckpt_crew_made() */
	do {
		left = kckpt_should_fail() ? -EINTR :
		       wait_event_killable_timeout(crew->arrivals, crew_arrived(crew, obj), HZ / 10);
	} while (!left && !crew_doomed(session) &&
		 !(timeout && time_after(jiffies, READ_ONCE(session->ctx.progress) + timeout)));

	if (left < 0)
		return kckpt_fail(&session->ctx, NULL, KCKPT_E_INTERRUPTED, 0, "restore");
	if (kckpt_crew_is_dead(crew))
		return crew_why_dead(session);
	if (!left)
		return kckpt_fail(&session->ctx, NULL, KCKPT_E_CREATE, -ETIMEDOUT,
				  "the tasks were killed from outside, or did not come far enough in time");
	return 0;
}

int kckpt_crew_check(struct kckpt_ctx *ctx)
{
	struct kckpt_session *session = container_of(ctx, struct kckpt_session, ctx);

	if (fatal_signal_pending(current))
		return kckpt_fail(ctx, NULL, KCKPT_E_INTERRUPTED, 0, "restore");
	return kckpt_crew_is_dead(&session->crew) ? crew_why_dead(session) : 0;
}

int kckpt_crew_wait_built(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_session *session = container_of(ctx, struct kckpt_session, ctx);

	return session->crew.started ? crew_wait(session, obj, 0) : 0;
}

/* The descriptor named the cgroup twice, to us and to clone: was it the same? */
static int crew_check_place(struct kckpt_session *session)
{
	struct kckpt_object *obj;
	bool there = true;

	rcu_read_lock();
	kckpt_for_each_object(&session->ctx.objs, obj)
		if (obj->family == KCKPT_F_process)
			there &= obj->made && cgroup_is_descendant(task_dfl_cgroup(obj->made), session->freezer.cgrp);
	rcu_read_unlock();
	return there ? 0 : kckpt_fail(&session->ctx, NULL, KCKPT_E_JOB_MOVED, 0, "the tasks are in another cgroup");
}

static int crew_create_roots(struct kckpt_session *session)
{
	struct kckpt_object *root, *first = NULL;
	bool hidden = kckpt_hide_memory();
	int err = 0;
	pid_t pid;

	for (root = session->ctx.roots; root && !err; root = root->next) {
		err = kckpt_crew_clone_process(session, root, &pid);
		if (!err && (!first || root->id < first->id)) {
			first = root;
			session->crew.root_pid = pid;
		}
	}
	if (hidden)
		kckpt_show_memory();
	return err;
}

int kckpt_crew_start(struct kckpt_session *session, u64 *create_ns)
{
	struct kckpt_crew *crew = &session->crew;
	ktime_t start = ktime_get();
	int err;

	spin_lock(&crew->lock);
	crew->started = true;
	spin_unlock(&crew->lock);
	err = crew_create_roots(session);
	if (err == -EINTR)
		err = kckpt_crew_check(&session->ctx) ?: err;
	err = err ?: crew_wait(session, NULL, 0) ?: crew_check_place(session) ?: kckpt_process_link(&session->ctx);
	if (!err && !crew_set_stage(crew, KCKPT_STAGE_BUILD))
		err = crew_why_dead(session);
	*create_ns = ktime_to_ns(ktime_sub(ktime_get(), start));
	return err;
}

/* Zombies are where they shall be, and nobody was told. */
static bool crew_all_ended(struct kckpt_session *session)
{
	const struct task_struct *task;
	struct kckpt_object *obj;

	kckpt_for_each_object(&session->ctx.objs, obj) {
		task = obj->made;
		if (obj->family == KCKPT_F_process && kckpt_process_ended(obj) &&
		    READ_ONCE(task->exit_state) != EXIT_ZOMBIE)
			return false;
	}
	return true;
}

static int crew_freeze(struct kckpt_session *session, u32 timeout_ms)
{
	unsigned long end = jiffies + msecs_to_jiffies(timeout_ms);
	struct kckpt_freezer *freezer = &session->freezer;
	struct kckpt_crew *crew = &session->crew;

	while (!kckpt_freezer_is_frozen(freezer) || READ_ONCE(crew->live) || !crew_all_ended(session)) {
		if (kckpt_should_fail() || fatal_signal_pending(current))
			return kckpt_fail(&session->ctx, NULL, KCKPT_E_INTERRUPTED, 0, "commit");
		if (kckpt_crew_is_dead(crew) || crew_doomed(session))
			return kckpt_fail(&session->ctx, NULL, KCKPT_E_JOB_MOVED, 0, "killed before the commit");
		if (time_after(jiffies, end))
			return kckpt_fail(&session->ctx, NULL, KCKPT_E_FREEZE_TIMEOUT, 0, "restored tasks");
		usleep_range(50, 100);
	}
	/* An empty cgroup counts as frozen, too. */
	if (kckpt_crew_is_dead(crew) || crew_doomed(session) ||
	    !cgroup_is_populated(freezer->cgrp))
		return kckpt_fail(&session->ctx, NULL, KCKPT_E_JOB_MOVED, 0, "killed before the commit");
	return 0;
}

int kckpt_crew_finish(struct kckpt_session *session, u32 timeout_ms)
{
	if (!crew_set_stage(&session->crew, KCKPT_STAGE_FINISH))
		return crew_why_dead(session);
	return crew_wait(session, NULL, timeout_ms);
}

int kckpt_crew_seal(struct kckpt_session *session)
{
	int err;

	kckpt_mm_seal(&session->ctx);
	err = kckpt_process_seal(&session->ctx);
	if (err)
		return err;
	kckpt_files_keep_owned(&session->ctx);
	kckpt_leases_keep(&session->ctx);
	/* Before anybody runs: an end of a pipe that we still hold would keep others from seeing its end. */
	kckpt_objtab_release_made(&session->ctx.objs);
	if (task_work_pending(current))
		kcall(task_work_run)();
	err = kckpt_leases_take(&session->ctx, kckpt_files_own(&session->ctx));
	if (task_work_pending(current))
		kcall(task_work_run)();
	return err;
}

/* Their parents may be told of their end. */
static void crew_set_exit_signals(struct kckpt_session *session)
{
	struct kckpt_object *obj;

	kckpt_for_each_object(&session->ctx.objs, obj)
		if (obj->family == KCKPT_F_process)
			kckpt_process_set_exit_signal(&session->ctx, obj);
}

int kckpt_crew_go_trapped(struct kckpt_session *session, u32 timeout_ms)
{
	int err = kckpt_freezer_start_restored(&session->ctx, &session->freezer);

	if (err)
		return err;
	if (!crew_set_stage(&session->crew, KCKPT_STAGE_GO))
		return crew_why_dead(session);
	/* Somebody who was moved out of the cgroup meanwhile is not in the freezer. */
	err = crew_freeze(session, timeout_ms) ?: crew_check_place(session);
	if (!err)
		crew_set_exit_signals(session);
	return err;
}

int kckpt_crew_go(struct kckpt_session *session, u32 timeout_ms)
{
	struct kckpt_crew *crew = &session->crew;
	int err;

	if (kckpt_should_fail() || fatal_signal_pending(current))
		return kckpt_fail(&session->ctx, NULL, KCKPT_E_INTERRUPTED, 0, "commit");
	if (crew_doomed(session))
		return kckpt_fail(&session->ctx, NULL, KCKPT_E_JOB_MOVED, 0, "killed before the commit");
	err = crew_check_place(session);
	if (err)
		return err;
	crew_set_exit_signals(session);
	if (!crew_set_stage(crew, KCKPT_STAGE_GO))
		return crew_why_dead(session);
	/* They run, whatever happens. When we return they have left our text, as far as can be. */
	wait_event_killable_timeout(crew->arrivals, !READ_ONCE(crew->live), msecs_to_jiffies(timeout_ms));
	return 0;
}

enum crew_left {
	CREW_GONE,
	CREW_OTHERS,		/* ended, and for others to wait for: whom they were left to, or who made them */
	CREW_ALIVE,		/* or ours to wait for */
};

/* Waits for those that have ended and are ours; tells what is left. */
static enum crew_left crew_reap_once(struct kckpt_session *session)
{
	enum crew_left left = READ_ONCE(session->crew.live) ? CREW_ALIVE : CREW_GONE;
	struct kckpt_object *obj;
	struct task_struct *task;
	bool ours;
	pid_t pid;

	kckpt_for_each_object(&session->ctx.objs, obj) {
		if (obj->family != KCKPT_F_process || !obj->made || !pid_alive(obj->made))
			continue;
		/* A leader can only be waited for when its last thread is gone. 0 would mean any child of ours. */
		pid = task_pid_vnr(obj->made);
		ours = pid > 0 && kcall(kernel_wait4)(pid, NULL, WNOHANG | __WALL, NULL) != -ECHILD;
		task = obj->made;
		if (pid_alive(task))
			left = max(left, ours || !READ_ONCE(task->exit_state) || get_nr_threads(task) > 1 ?
					 CREW_ALIVE : CREW_OTHERS);
	}
	return left;
}

void kckpt_crew_reap(struct kckpt_session *session)
{
	unsigned long end = jiffies + 10 * HZ, moment = jiffies + HZ;
	enum crew_left left;

	if (!session->crew.started)
		return;
	/* Others may be waiting for the session themselves. */
	while ((left = crew_reap_once(session)) && !time_after(jiffies, left == CREW_OTHERS ? moment : end)) {
		if (left == CREW_ALIVE)
			moment = jiffies + HZ;
		usleep_range(100, 500);
	}
}
