// SPDX-License-Identifier: GPL-2.0
/*
 * Processes: signal_struct and sighand_struct, and which mm, fs and descriptor table its threads share.
 *
 * Saved: ids, handlers, shared pending signals, limits, oom_score_adj, child subreaper. A process group or session
 * whose leader is outside the job becomes that of the restorer.
 * Refused: more than one process, children (also zombies), timers, sharing with tasks outside.
 * Not saved: accounting of ended threads and children, audit tty, autogroup, core dump in progress, tty (comes
 * with the session of the restorer).
 */
#include <linux/oom.h>
#include <linux/sched/signal.h>
#include <linux/sched/user.h>

#include "compat/task.h"
#include "crew.h"
#include "family.h"
#include "fault.h"
#include "ksym.h"
#include "obj_files.h"
#include "obj_lock.h"
#include "obj_mm.h"
#include "obj_process.h"
#include "obj_task.h"
#include "session.h"

/* The object's pointer is the signal_struct; the leader, which carries it, is what we hold: it lives longer. */
static struct task_struct *process_leader(const struct kckpt_object *obj)
{
	return obj->made;
}

static void process_release(struct kckpt_object *obj)
{
	if (obj->made)
		put_task_struct(obj->made);
}

/* ---- dump ---- */

struct kckpt_object *kckpt_intern_process(struct kckpt_ctx *ctx, struct task_struct *task)
{
	struct task_struct *leader = NULL;
	struct kckpt_object *obj;
	struct kckpt_where where;

	rcu_read_lock();
	if (pid_alive(task)) {
		leader = task->group_leader;
		get_task_struct(leader);
	}
	rcu_read_unlock();
	if (!leader)
		return ERR_PTR(kckpt_fail(ctx, NULL, KCKPT_E_JOB_MOVED, 0, "it was killed"));
	where = kckpt_where(leader, ctx->pidns, -1);
	obj = kckpt_intern(ctx, KCKPT_F_process, task->signal, &where);
	if (!IS_ERR(obj) && !obj->made)
		obj->made = leader;
	else
		put_task_struct(leader);
	return obj;
}

static const char *process_timers(const struct signal_struct *signal)
{
	if (kckpt_has_posix_timers(signal))
		return "a POSIX timer (timer_create)";
	/* One that has just fired is set up again when its signal is taken. */
	if (hrtimer_active(&signal->real_timer) || signal->it_real_incr)
		return "ITIMER_REAL (setitimer, alarm)";
	if (signal->it[CPUCLOCK_PROF].expires || signal->it[CPUCLOCK_VIRT].expires)
		return "ITIMER_PROF or ITIMER_VIRTUAL (setitimer)";
	return NULL;
}

static bool process_has_children(struct task_struct *leader)
{
	struct task_struct *task;
	bool has = false;

	rcu_read_lock();
	for_each_thread(leader, task)
		has |= !list_empty(&task->children) || !list_empty(&task->ptraced);
	rcu_read_unlock();
	return has;
}

static int process_collect_shared(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct task_struct *leader)
{
	struct kckpt_object *other = NULL;
	struct files_struct *files;
	struct fs_struct *fs;
	struct mm_struct *mm = get_task_mm(leader);

	if (!mm) {
		kckpt_fail(ctx, obj, KCKPT_E_TASK_DYING, 0, "");
		return 0;
	}
	other = kckpt_intern(ctx, KCKPT_F_mm, mm, &obj->where);
	if (IS_ERR(other))
		return PTR_ERR(other);

	task_lock(leader);
	files = leader->files;
	fs = leader->fs;
	if (files)
		atomic_inc(&files->count);
	task_unlock(leader);
	if (!files || !fs) {
		kckpt_fail(ctx, obj, KCKPT_E_TASK_DYING, 0, "");
		if (files)
			kcall(put_files_struct)(files);
		return 0;
	}
	other = kckpt_intern(ctx, KCKPT_F_files, files, &obj->where);
	if (IS_ERR(other))
		return PTR_ERR(other);
	get_task_struct(leader);
	return PTR_ERR_OR_ZERO(kckpt_intern(ctx, KCKPT_F_fs, leader, &obj->where));
}

static int process_collect(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct task_struct *leader = process_leader(obj);
	const char *timer = process_timers(leader->signal);

	if (timer)
		kckpt_fail(ctx, obj, KCKPT_E_TASK_TIMER, 0, "%s", timer);
	if (process_has_children(leader))
		kckpt_fail(ctx, obj, KCKPT_E_TASK_CHILDREN, 0, "");
	if (leader->signal->leader && leader->signal->tty)
		kckpt_fail(ctx, obj, KCKPT_E_TASK_ATTRIBUTE, 0, "a controlling terminal of its own session");
	if (leader->exit_signal != SIGCHLD)
		kckpt_fail(ctx, obj, KCKPT_E_TASK_ATTRIBUTE, 0, "an exit signal other than SIGCHLD");
	if (leader->exit_state)
		kckpt_fail(ctx, obj, KCKPT_E_TASK_DYING, 0, "the leader of the threads has ended");
	return process_collect_shared(ctx, obj, leader);
}

static bool is_first_process(struct kckpt_ctx *ctx, const struct kckpt_object *obj)
{
	const struct kckpt_object *other;

	kckpt_for_each_object(&ctx->objs, other)
		if (other->family == KCKPT_F_process)
			return other == obj;
	return true;
}

static unsigned int process_sighand_users(struct task_struct *leader)
{
	struct sighand_struct *sighand;
	unsigned int users = 0;
	unsigned long flags;

	sighand = kcall(__lock_task_sighand)(leader, &flags);
	if (sighand) {
		users = refcount_read(&sighand->count);
		unlock_task_sighand(leader, &flags);
	}
	return users;
}

/* What the threads share must be shared by all of them, and by nobody else. */
static int process_closed(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct task_struct *leader = process_leader(obj), *task;
	const char *differs = NULL;

	if (!is_first_process(ctx, obj))
		kckpt_fail(ctx, obj, KCKPT_E_TASK_TREE, 0, "");
	rcu_read_lock();
	for_each_thread(leader, task) {
		if (task->files != leader->files)
			differs = "a thread with a descriptor table of its own";
		if (task->fs != leader->fs)
			differs = "a thread with a working directory of its own";
	}
	rcu_read_unlock();
	if (differs)
		kckpt_fail(ctx, obj, KCKPT_E_TASK_ATTRIBUTE, 0, "%s", differs);
	if (get_nr_threads(leader) != obj->seen)
		kckpt_fail(ctx, obj, KCKPT_E_TASK_SUBCGROUP, 0, "%d threads, %u of them in the cgroup",
			   get_nr_threads(leader), obj->seen);
	if (process_sighand_users(leader) > obj->seen)
		kckpt_fail(ctx, obj, KCKPT_E_TASK_SHARES, 0, "signal handlers (CLONE_SIGHAND)");
	return 0;
}

static int process_put_actions(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct task_struct *leader)
{
	struct sighand_struct *sighand;
	struct k_sigaction ka;
	unsigned long flags;
	int sig, err = 0;

	for (sig = 1; sig <= _NSIG && !err; sig++) {
		struct kckpt_action_rec rec = { .signo = sig };

		sighand = kcall(__lock_task_sighand)(leader, &flags);
		if (!sighand)
			return kckpt_fail(ctx, obj, KCKPT_E_JOB_MOVED, 0, "it was killed");
		ka = sighand->action[sig - 1];
		unlock_task_sighand(leader, &flags);
		rec.handler = (unsigned long)ka.sa.sa_handler;
		rec.sa_flags = ka.sa.sa_flags;
		rec.restorer = (unsigned long)ka.sa.sa_restorer;
		rec.mask = ka.sa.sa_mask.sig[0];
		if (rec.handler || rec.sa_flags || rec.mask)
			err = kckpt_put(ctx, obj, KCKPT_K_action, &rec, sizeof(rec), NULL, 0);
	}
	return err;
}

static int process_put_limits(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct task_struct *leader)
{
	struct rlimit limit;
	u32 i;
	int err = 0;

	for (i = 0; i < RLIM_NLIMITS && !err; i++) {
		struct kckpt_limit_rec rec = { .resource = i };

		task_lock(leader);
		limit = leader->signal->rlim[i];
		task_unlock(leader);
		rec.cur = limit.rlim_cur;
		rec.max = limit.rlim_max;
		err = kckpt_put(ctx, obj, KCKPT_K_limit, &rec, sizeof(rec), NULL, 0);
	}
	return err;
}

/* A group or session that the job brings along is one whose leader it has. */
static u32 own_id(struct kckpt_ctx *ctx, struct task_struct *leader, enum pid_type type)
{
	struct pid *pid;
	u32 nr = 0;

	rcu_read_lock();
	pid = type == PIDTYPE_PGID ? task_pgrp(leader) : task_session(leader);
	if (pid == task_pid(leader))
		nr = pid_nr_ns(pid, ctx->pidns);
	rcu_read_unlock();
	return nr;
}

static int process_dump(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct task_struct *leader = process_leader(obj);
	struct signal_struct *signal = leader->signal;
	struct kckpt_process_rec rec = {
		.leader = kckpt_id_of(ctx, KCKPT_F_task, leader),
		.mm = kckpt_id_of(ctx, KCKPT_F_mm, leader->mm),
		.fs = kckpt_id_of(ctx, KCKPT_F_fs, leader),
		.files = kckpt_id_of(ctx, KCKPT_F_files, leader->files),
		.pid = obj->where.pid,
		.pgid = own_id(ctx, leader, PIDTYPE_PGID),
		.sid = own_id(ctx, leader, PIDTYPE_SID),
		.exit_signal = leader->exit_signal,
		.nr_threads = obj->seen,
		.oom_score_adj = signal->oom_score_adj,
		.process_flags = signal->is_child_subreaper ? KCKPT_PROCESS_SUBREAPER : 0,
	};

	rcu_read_lock();
	rec.ppid = task_tgid_nr_ns(rcu_dereference(leader->real_parent), ctx->pidns);
	rcu_read_unlock();
	return kckpt_put(ctx, obj, KCKPT_K_process, &rec, sizeof(rec), NULL, 0) ?:
	       process_put_actions(ctx, obj, leader) ?:
	       kckpt_put_pending(ctx, obj, KCKPT_K_process_signal, leader, &signal->shared_pending) ?:
	       process_put_limits(ctx, obj, leader);
}

/* ---- restore ---- */

static int process_rec(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct kckpt_process_rec *rec)
{
	return kckpt_rec_only(ctx, obj, KCKPT_K_process, rec, sizeof(*rec), NULL, 0, NULL);
}

struct kckpt_object *kckpt_process_leader(struct kckpt_ctx *ctx, struct kckpt_object *process)
{
	struct kckpt_process_rec rec;

	return process_rec(ctx, process, &rec) ? NULL : kckpt_ref(ctx, process, rec.leader, KCKPT_F_task);
}

static int process_check_lists(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct kckpt_rec *rec;
	struct kckpt_action_rec action;
	struct kckpt_limit_rec limit;
	int err;

	kckpt_for_each_rec(rec, obj, KCKPT_K_action) {
		err = kckpt_rec_get(ctx, obj, rec, &action, sizeof(action), NULL, 0, NULL);
		if (err)
			return err;
		if (!valid_signal(action.signo) || !action.signo || action.reserved ||
		    (sig_kernel_only(action.signo) && action.handler))
			return kckpt_bad_image(ctx, obj, "handler of signal %u", action.signo);
	}
	kckpt_for_each_rec(rec, obj, KCKPT_K_limit) {
		err = kckpt_rec_get(ctx, obj, rec, &limit, sizeof(limit), NULL, 0, NULL);
		if (err)
			return err;
		if (limit.resource >= RLIM_NLIMITS || limit.cur > limit.max || limit.reserved)
			return kckpt_bad_image(ctx, obj, "limit %u", limit.resource);
	}
	return kckpt_check_pending(ctx, obj, KCKPT_K_process_signal);
}

/* The tasks of the image that say they belong to @obj; the leader must be one of them, with the process id. */
static int process_check_threads(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_process_rec *rec)
{
	const struct kckpt_object *other;
	struct kckpt_task_rec task;
	bool led = false;
	u32 nr = 0;
	int err;

	kckpt_for_each_object(&ctx->objs, other) {
		if (other->family != KCKPT_F_task)
			continue;
		err = kckpt_rec_only(ctx, other, KCKPT_K_task, &task, sizeof(task), NULL, 0, NULL);
		if (err)
			return err;
		if (task.process != obj->id)
			return kckpt_bad_image(ctx, obj, "more than one process");
		led |= other->id == rec->leader && task.tid == rec->pid;
		nr++;
	}
	return led && nr == rec->nr_threads ? 0 : kckpt_bad_image(ctx, obj, "threads of the process");
}

static int process_check(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_process_rec rec;
	int err = process_rec(ctx, obj, &rec);

	if (err)
		return err;
	obj->where.pid = rec.pid;
	if (!kckpt_ref(ctx, obj, rec.leader, KCKPT_F_task) || !kckpt_ref(ctx, obj, rec.mm, KCKPT_F_mm) ||
	    !kckpt_ref(ctx, obj, rec.fs, KCKPT_F_fs) || !kckpt_ref(ctx, obj, rec.files, KCKPT_F_files))
		return -EBADMSG;
	if ((rec.sid && rec.sid != rec.pid) || (rec.pgid && rec.pgid != rec.pid) ||
	    rec.oom_score_adj < OOM_SCORE_ADJ_MIN || rec.oom_score_adj > OOM_SCORE_ADJ_MAX ||
	    rec.process_flags & ~KCKPT_PROCESS_SUBREAPER || rec.exit_signal != SIGCHLD || !is_first_process(ctx, obj))
		return kckpt_bad_image(ctx, obj, "process record");
	return process_check_lists(ctx, obj) ?: process_check_threads(ctx, obj, &rec);
}

/* While building, the caller's limits must not stand in the way of what the job had. */
static int process_lift_limits(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	static const u32 lifted[] = { RLIMIT_AS, RLIMIT_DATA, RLIMIT_STACK, RLIMIT_MEMLOCK, RLIMIT_NOFILE,
				      RLIMIT_SIGPENDING, RLIMIT_NPROC, RLIMIT_FSIZE };
	unsigned int i;
	int err;

	for (i = 0; i < ARRAY_SIZE(lifted); i++) {
		struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

		if (lifted[i] == RLIMIT_NOFILE)
			limit.rlim_cur = limit.rlim_max = kvalue(sysctl_nr_open);
		err = kckpt_should_fail() ? -EPERM : kcall(do_prlimit)(current, lifted[i], &limit, NULL);
		if (err)
			return kckpt_fail(ctx, obj, KCKPT_E_CREATE, err, "limit %u", lifted[i]);
	}
	return 0;
}

static int process_set_limits(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct task_struct *task)
{
	const struct kckpt_rec *rec;
	struct kckpt_limit_rec limit;
	int err;

	kckpt_for_each_rec(rec, obj, KCKPT_K_limit) {
		struct rlimit want;

		err = kckpt_rec_get(ctx, obj, rec, &limit, sizeof(limit), NULL, 0, NULL);
		if (err)
			return err;
		want = (struct rlimit){ limit.cur, limit.max };
		err = kckpt_should_fail() ? -EPERM : kcall(do_prlimit)(task, limit.resource, &want, NULL);
		if (err)
			return kckpt_fail(ctx, obj, KCKPT_E_CREATE, err, "limit %u", limit.resource);
	}
	return 0;
}

static int process_set_action(struct kckpt_ctx *ctx, struct kckpt_object *obj, int sig, struct k_sigaction *ka)
{
	int err = kckpt_should_fail() ? -EINVAL : kcall(do_sigaction)(sig, ka, NULL);

	return err ? kckpt_fail(ctx, obj, KCKPT_E_CREATE, err, "handler of signal %d", sig) : 0;
}

/* Nothing of the caller's handlers stays, not even what it ignores. */
static int process_reset_actions(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	int sig, err = 0;

	for (sig = 1; sig <= _NSIG && !err; sig++) {
		struct k_sigaction ka = {};

		if (!sig_kernel_only(sig))
			err = process_set_action(ctx, obj, sig, &ka);
	}
	return err;
}

static int process_set_actions(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct kckpt_rec *rec;
	struct kckpt_action_rec action;
	int err = process_reset_actions(ctx, obj);

	if (err)
		return err;
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
		err = process_set_action(ctx, obj, action.signo, &ka);
		if (err)
			return err;
	}
	return 0;
}

static int process_set_ids(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_process_rec *rec)
{
	struct pt_regs none = {};
	int err = 0;

	if (rec->sid)
		err = kcall(ksys_setsid)();
	else if (rec->pgid)
		err = kcall(__x64_sys_setpgid)(&none);
	if (err < 0 || kckpt_should_fail())
		return kckpt_fail(ctx, obj, KCKPT_E_CREATE, err ?: -EPERM, "session or process group");
	current->signal->oom_score_adj = rec->oom_score_adj;
	current->signal->oom_score_adj_min = min_t(short, current->signal->oom_score_adj_min, rec->oom_score_adj);
	current->signal->is_child_subreaper = rec->process_flags & KCKPT_PROCESS_SUBREAPER;
	return 0;
}

static int process_clone_threads(struct kckpt_ctx *ctx, struct kckpt_thread *leader)
{
	struct kckpt_object *other;
	int err = 0;

	kckpt_for_each_object(&ctx->objs, other) {
		if (other->family == KCKPT_F_task && other != leader->task && !err)
			err = kckpt_crew_clone_thread(leader->session, other, other->where.pid);
	}
	return err;
}

static struct kckpt_object *process_of(struct kckpt_ctx *ctx, struct kckpt_object *task)
{
	struct kckpt_task_rec rec;

	if (kckpt_rec_only(ctx, task, KCKPT_K_task, &rec, sizeof(rec), NULL, 0, NULL))
		return NULL;
	return kckpt_ref(ctx, task, rec.process, KCKPT_F_process);
}

static int process_make_shared(struct kckpt_ctx *ctx, const struct kckpt_process_rec *rec)
{
	int err;

	mutex_lock(&ctx->objs.make_lock);
	err = kckpt_make(ctx, kckpt_objtab_get(&ctx->objs, rec->mm)) ?:
	      kckpt_make(ctx, kckpt_objtab_get(&ctx->objs, rec->fs)) ?:
	      kckpt_make(ctx, kckpt_objtab_get(&ctx->objs, rec->files));
	mutex_unlock(&ctx->objs.make_lock);
	return err;
}

int kckpt_process_build(struct kckpt_ctx *ctx, struct kckpt_thread *leader)
{
	struct kckpt_object *obj = process_of(ctx, leader->task);
	struct kckpt_process_rec rec;

	if (!obj)
		return -EBADMSG;
	return kckpt_files_disown(ctx, obj) ?:
	       process_rec(ctx, obj, &rec) ?:
	       process_lift_limits(ctx, obj) ?:
	       process_set_ids(ctx, obj, &rec) ?:
	       process_set_actions(ctx, obj) ?:
	       process_make_shared(ctx, &rec) ?:
	       process_clone_threads(ctx, leader);
}

static int process_finish(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_process_rec rec;

	return process_rec(ctx, obj, &rec) ?:
	       kckpt_mm_finish(ctx, kckpt_objtab_get(&ctx->objs, rec.mm)) ?:
	       kckpt_lock_finish(ctx, kckpt_objtab_get(&ctx->objs, rec.files)) ?:
	       kckpt_queue_pending(ctx, obj, KCKPT_K_process_signal, PIDTYPE_TGID);
}

int kckpt_process_seal(struct kckpt_ctx *ctx, struct task_struct *root)
{
	struct kckpt_object *obj;
	int err = 0;

	kckpt_for_each_object(&ctx->objs, obj)
		if (obj->family == KCKPT_F_process && !err)
			err = process_set_limits(ctx, obj, root);
	return err;
}

int kckpt_thread_finish(struct kckpt_ctx *ctx, struct kckpt_thread *thread)
{
	int err = 0;

	/* All threads block everything until their own mask is set, so that queueing kills nobody. */
	if (thread_group_leader(current))
		err = process_finish(ctx, process_of(ctx, thread->task));
	return err ?: kckpt_task_finish(ctx, thread);
}

const struct kckpt_family_ops kckpt_process_ops = {
	.name = "process",
	.collect = process_collect, .closed = process_closed, .dump = process_dump,
	.check = process_check,
	.release = process_release,
};
