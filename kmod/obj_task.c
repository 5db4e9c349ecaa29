// SPDX-License-Identifier: GPL-2.0
/*
 * Threads. What a thread has of its own and is not in its registers.
 *
 * Saved: id, name, personality, signal mask (and the one to return to), alternate stack, own pending signals,
 * clear_child_tid, robust list, rseq, the call to be resumed; with prctl.c and sched.c, what those set. Of one that has
 * ended (a zombie, or a leader whose threads live on): ids, name, credentials, exit code.
 * Refused: what would be lost otherwise; see task_check_*().
 * Not saved: accounting (times, faults, switches, start time), scheduler history, set_child_tid (used at the start
 * only), audit session (the restorer's), core and perf events attached from outside, readahead and
 * I/O contexts, session keyring (the restorer's).
 */
#include <linux/audit.h>
#include <linux/cgroup.h>
#include <linux/futex.h>
#include <linux/nsproxy.h>
#include <linux/personality.h>
#include <linux/posix-timers.h>
#include <linux/rseq.h>
#include <linux/sched/signal.h>
#include <linux/security.h>
#include <linux/time_namespace.h>
#include <asm/syscall.h>

#include "compat/futex.h"
#include "compat/task.h"
#include "crew.h"
#include "family.h"
#include "fault.h"
#include "ksym.h"
#include "obj_cpu.h"
#include "obj_cred.h"
#include "obj_files.h"
#include "obj_fs.h"
#include "obj_lock.h"
#include "obj_mm.h"
#include "obj_process.h"
#include "obj_sighand.h"
#include "obj_task.h"
#include "prctl.h"
#include "sched.h"
#include "timer.h"

static void task_put(void *ptr)
{
	put_task_struct(ptr);
}

/* ---- dump ---- */

#define refuse(ctx, obj, code, ...) ({ kckpt_fail(ctx, obj, KCKPT_E_##code, 0, __VA_ARGS__); false; })

/* Is it parked in the freezer's trap, with registers that are complete? */
static bool task_check_parked(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct task_struct *task)
{
	if (task->flags & PF_EXITING)
		return refuse(ctx, obj, TASK_DYING, "");
	if (task->ptrace)
		return refuse(ctx, obj, TASK_TRACED, "");
	if (task->jobctl & JOBCTL_STOP_PENDING)
		return refuse(ctx, obj, TASK_STOPPED, "");
	if (!task->frozen)
		return refuse(ctx, obj, JOB_MOVED, "it is not frozen");
	if (READ_ONCE(task->__state) & TASK_UNINTERRUPTIBLE)	/* who waits for its child there is taken for frozen */
		return refuse(ctx, obj, TASK_VFORK, "");
	return true;
}

static bool task_check_security(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct task_struct *task)
{
	if (task->seccomp.mode)
		return refuse(ctx, obj, TASK_SECCOMP, "mode %d", task->seccomp.mode);
	if (task_spec_ssb_disable(task) || task_spec_ib_disable(task) || test_tsk_thread_flag(task, TIF_SPEC_L1D_FLUSH))
		return refuse(ctx, obj, TASK_ATTRIBUTE, "speculation controls (PR_SET_SPECULATION_CTRL)");
	return true;
}

static bool task_check_namespaces(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct task_struct *task)
{
	const struct nsproxy *mine = current->nsproxy;
	struct nsproxy *ns;
	const char *differs = NULL;

	task_lock(task);
	ns = task->nsproxy;
	if (!ns)
		differs = "none (exiting)";
	else if (ns->uts_ns != mine->uts_ns)
		differs = "uts";
	else if (ns->ipc_ns != mine->ipc_ns)
		differs = "ipc";
	else if (ns->mnt_ns != mine->mnt_ns)
		differs = "mnt";
	else if (ns->net_ns != mine->net_ns)
		differs = "net";
	else if (ns->time_ns != mine->time_ns || ns->time_ns_for_children != mine->time_ns_for_children)
		differs = "time";
	else if (ns->cgroup_ns != mine->cgroup_ns)
		differs = "cgroup";
	else if (ns->pid_ns_for_children != mine->pid_ns_for_children)
		differs = "pid (of children)";
	task_unlock(task);
	if (!differs && task_active_pid_ns(task) != ctx->pidns)
		differs = "pid";
	return differs ? refuse(ctx, obj, TASK_NAMESPACE, "%s namespace", differs) : true;
}

static const char *task_attribute(struct task_struct *task)
{
	if ((unsigned long)kckpt_robust_list(task) >= TASK_SIZE_MAX ||
	    (unsigned long)task->clear_child_tid >= TASK_SIZE_MAX)
		return "a robust list or thread id at a kernel address";
	if (kckpt_compat_robust_list(task))
		return "a robust list of 32-bit code";
	if (task->io_uring || task->flags & PF_IO_WORKER)
		return "io_uring";
	if (kckpt_has_sem_undo(task))
		return "SysV semaphore undo values";
	if (test_task_syscall_work(task, SYSCALL_USER_DISPATCH))
		return "syscall user dispatch";
	return kckpt_task_unsupported(task) ?: kckpt_sched_refused(task);
}

/* Runs with the scheduler's lock on the task, so that it cannot wake up and exit while we look. */
static int task_attribute_locked(struct task_struct *task, void *arg)
{
	if (task->flags & PF_EXITING || !task->frozen)
		return -ESRCH;
	*(const char **)arg = task_attribute(task);
	return 0;
}

/* Which call is to be resumed through the restart block? Only if ax says so. */
static int task_restart(struct task_struct *task, const struct pt_regs *regs, struct kckpt_task_rec *rec)
{
	const struct restart_block *block = &task->restart_block;
	void *fn = block->fn;

	if ((long)regs->ax != -ERESTART_RESTARTBLOCK || (long)regs->orig_ax < 0)
		return 0;
	if (fn == kdata(hrtimer_nanosleep_restart)) {
		rec->restart = KCKPT_RESTART_NANOSLEEP;
		rec->restart_clock = block->nanosleep.clockid;
		rec->restart_expires = block->nanosleep.expires;
		if (block->nanosleep.type == TT_COMPAT)
			return -EOPNOTSUPP;
		if (block->nanosleep.type == TT_NATIVE) {
			rec->restart_flags = KCKPT_RESTART_F_REMAINDER;
			rec->restart_addr = (unsigned long)block->nanosleep.rmtp;
		}
	} else if (fn == kdata(futex_wait_restart)) {
		rec->restart = KCKPT_RESTART_FUTEX;
		rec->restart_addr = (unsigned long)block->futex.uaddr;
		rec->restart_val = block->futex.val;
		rec->restart_bitset = block->futex.bitset;
		rec->restart_expires = block->futex.time;
		rec->restart_flags = kckpt_futex_flags_out(block->futex.flags);
	} else if (fn == kdata(do_restart_poll)) {
		rec->restart = KCKPT_RESTART_POLL;
		rec->restart_addr = (unsigned long)block->poll.ufds;
		rec->restart_val = block->poll.nfds;
		rec->restart_flags = block->poll.has_timeout ? KCKPT_RESTART_F_TIMED : 0;
		rec->restart_expires = kckpt_poll_end(block);
	} else {
		return -EOPNOTSUPP;
	}
	return 0;
}

static bool task_check_restart(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct task_struct *task)
{
	struct kckpt_task_rec rec = {};
	struct pt_regs regs;

	if (!kckpt_cpu_regs(task, &regs))
		return refuse(ctx, obj, TASK_DYING, "");
	if (task_restart(task, &regs, &rec))
		return refuse(ctx, obj, TASK_RESTART, "system call %ld", (long)regs.orig_ax);
	return true;
}

/* What may be shared with others, each met once per task: so the counts can be compared with the kernel's. */
static int task_collect_shared(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct task_struct *task)
{
	struct kckpt_object *other;

	other = kckpt_intern_mm(ctx, task, &obj->where);
	if (!IS_ERR(other))
		other = kckpt_intern_sighand(ctx, task, &obj->where);
	if (!IS_ERR(other))
		other = kckpt_intern_files(ctx, task, &obj->where);
	if (!IS_ERR(other))
		other = kckpt_intern_fs(ctx, task, &obj->where);
	return PTR_ERR_OR_ZERO(other);
}

/* One that has ended shares nothing any more but handlers, which it does not need: they only count. */
static int task_collect_ended(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct task_struct *task)
{
	struct kckpt_object *other = kckpt_objtab_find(&ctx->objs, KCKPT_F_sighand, READ_ONCE(task->sighand));

	if (other)
		other->seen++;
	if (task->ptrace)
		return refuse(ctx, obj, TASK_TRACED, "");
	other = kckpt_intern(ctx, KCKPT_F_cred, get_task_cred(task), &obj->where);
	if (!IS_ERR(other))
		other = kckpt_intern_process(ctx, task);
	return PTR_ERR_OR_ZERO(other);
}

/* The leader of a process may have ended before its threads; the cgroup does not list it any more. */
static int task_collect_leader(struct kckpt_ctx *ctx, struct task_struct *task)
{
	struct task_struct *leader = NULL;
	int err = 0;

	rcu_read_lock();
	if (pid_alive(task) && READ_ONCE(task->group_leader->exit_state) &&
	    !kckpt_objtab_find(&ctx->objs, KCKPT_F_task, task->group_leader))
		leader = get_task_struct(task->group_leader);
	rcu_read_unlock();
	if (leader) {
		err = kckpt_capture_task(ctx, leader);
		put_task_struct(leader);
	}
	return err;
}

static int task_collect(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct task_struct *task = (struct task_struct *)obj->ptr;
	struct kckpt_object *other;
	const char *attribute = NULL;
	int err;

	if (!kcall(ptrace_may_access)(task, PTRACE_MODE_ATTACH_FSCREDS))
		return kckpt_fail(ctx, obj, KCKPT_E_NOT_PERMITTED, 0, ""), 0;
	if (task->exit_state)
		return task_collect_ended(ctx, obj, task);
	if (!task_check_parked(ctx, obj, task) || !task_check_security(ctx, obj, task) ||
	    !task_check_namespaces(ctx, obj, task) || !task_check_restart(ctx, obj, task))
		return 0;
	if (kcall(task_call_func)(task, task_attribute_locked, &attribute))
		return kckpt_fail(ctx, obj, KCKPT_E_JOB_MOVED, 0, "it was killed");
	if (attribute)
		refuse(ctx, obj, TASK_ATTRIBUTE, "%s", attribute);

	get_task_struct(task);
	other = kckpt_intern(ctx, KCKPT_F_cpu, task, &obj->where);
	if (!IS_ERR(other))
		other = kckpt_intern(ctx, KCKPT_F_cred, get_task_cred(task), &obj->where);
	if (!IS_ERR(other))
		other = kckpt_intern_process(ctx, task);
	if (IS_ERR(other))
		return PTR_ERR(other);
	err = task_collect_leader(ctx, task);
	return err ?: task_collect_shared(ctx, obj, task);
}

static u64 sigset_to_u64(const sigset_t *set)
{
	return set->sig[0];
}

static int task_dump(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct task_struct *task = (struct task_struct *)obj->ptr;
	const struct cred *cred = get_task_cred(task);
	struct kckpt_task_rec rec = {
		.process = kckpt_id_of(ctx, KCKPT_F_process, task->signal),
		.cpu = kckpt_id_of(ctx, KCKPT_F_cpu, task),
		.cred = kckpt_id_of(ctx, KCKPT_F_cred, cred),
		.files = kckpt_id_of(ctx, KCKPT_F_files, task->files),
		.fs = kckpt_id_of(ctx, KCKPT_F_fs, task->fs),
		.tid = obj->where.pid,
		.personality = task->personality,
		/* SS_ONSTACK is taken by sigaltstack(), and means nothing there. */
		.altstack_flags = task->sas_ss_flags & (SS_DISABLE | SS_AUTODISARM),
		.altstack_sp = task->sas_ss_sp,
		.altstack_size = task->sas_ss_size,
		.blocked = sigset_to_u64(&task->blocked),
		.clear_child_tid = (unsigned long)task->clear_child_tid,
		.robust_list = (unsigned long)kckpt_robust_list(task),
		.rseq = (unsigned long)kckpt_rseq(task),
		.timer_slack_ns = task->timer_slack_ns,
		.default_timer_slack_ns = task->default_timer_slack_ns,
		.loginuid = from_kuid(current_user_ns(), audit_get_loginuid(task)),
		.stop_signal = task->jobctl & JOBCTL_STOP_SIGMASK,
	};
	struct pt_regs regs;

	put_cred(cred);
	get_task_comm(rec.comm, task);
	if (task_no_new_privs(task))
		rec.task_flags |= KCKPT_TASK_NO_NEW_PRIVS;
	if (task->exit_state) {
		rec.task_flags |= KCKPT_TASK_ENDED;
		rec.exit_code = task->exit_code;
		rec.rseq = rec.robust_list = rec.clear_child_tid = 0;	/* in memory that it has no more */
		return kckpt_put(ctx, obj, KCKPT_K_task, &rec, sizeof(rec), NULL, 0);
	}
	if (task->restore_sigmask) {
		rec.task_flags |= KCKPT_TASK_RESTORE_SIGMASK;
		rec.saved_blocked = sigset_to_u64(&task->saved_sigmask);
	}
	if (kckpt_rseq(task)) {
		rec.rseq_len = kckpt_rseq_len(task);
		rec.rseq_sig = kckpt_rseq_sig(task);
	}
	if (!kckpt_cpu_regs(task, &regs) || task_restart(task, &regs, &rec))
		return kckpt_fail(ctx, obj, KCKPT_E_JOB_MOVED, 0, "");
	kckpt_prctl_describe(task, &rec);
	kckpt_sched_describe(task, &rec);
	return kckpt_put(ctx, obj, KCKPT_K_task, &rec, sizeof(rec), NULL, 0) ?:
	       kckpt_sched_put(ctx, obj, task) ?:
	       kckpt_put_pending(ctx, obj, KCKPT_K_task_signal, task, &task->pending);
}

/* ---- the end ---- */

/* See exit_robust_list(): the kernel marks each lock in the list, and the one that is just being taken. */
bool kckpt_task_ends_quietly(struct task_struct *task)
{
	unsigned long at = (unsigned long)kckpt_robust_list(task);
	struct robust_list_head head;

	if (!at)
		return true;
	if (kckpt_should_fail() || access_process_vm(task, at, &head, sizeof(head), 0) != sizeof(head))
		return false;
	return (unsigned long)head.list.next == at && !head.list_op_pending;
}

int __user *kckpt_task_quiet_end(struct task_struct *task)
{
	int __user *at = task->clear_child_tid;

	WRITE_ONCE(task->clear_child_tid, NULL);
	return at;
}

void kckpt_task_usual_end(struct task_struct *task, int __user *clear_child_tid)
{
	WRITE_ONCE(task->clear_child_tid, clear_child_tid);
}

/* ---- restore ---- */

static bool task_restart_sane(const struct kckpt_task_rec *rec)
{
	const u32 known = KCKPT_RESTART_F_TIMED | KCKPT_RESTART_F_SHARED | KCKPT_RESTART_F_REALTIME |
			  KCKPT_RESTART_F_REMAINDER;

	if (rec->restart > KCKPT_RESTART_POLL || rec->restart_flags & ~known)
		return false;
	/* The clocks that hrtimer_nanosleep() is used with. */
	if (rec->restart == KCKPT_RESTART_NANOSLEEP)
		return rec->restart_clock == CLOCK_REALTIME || rec->restart_clock == CLOCK_MONOTONIC ||
		       rec->restart_clock == CLOCK_BOOTTIME || rec->restart_clock == CLOCK_TAI;
	return rec->restart != KCKPT_RESTART_POLL || rec->restart_val <= INT_MAX;
}

int kckpt_task_check_pid(struct kckpt_ctx *ctx, struct kckpt_object *obj, u32 tid)
{
	struct task_struct *other = kcall(find_get_task_by_vpid)(tid);

	if (!other)
		return 0;
	kckpt_fail(ctx, obj, KCKPT_E_PID_TAKEN, 0, "pid %u is %s", tid, other->comm);
	put_task_struct(other);
	return 0;
}

static int task_check_refs(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_task_rec *rec)
{
	bool has = rec->cpu || rec->files || rec->fs;

	if (!kckpt_ref(ctx, obj, rec->process, KCKPT_F_process) || !kckpt_ref(ctx, obj, rec->cred, KCKPT_F_cred))
		return -EBADMSG;
	if (rec->task_flags & KCKPT_TASK_ENDED)
		return has ? kckpt_bad_image(ctx, obj, "what an ended task has") : 0;
	return kckpt_ref(ctx, obj, rec->cpu, KCKPT_F_cpu) && kckpt_ref(ctx, obj, rec->files, KCKPT_F_files) &&
	       kckpt_ref(ctx, obj, rec->fs, KCKPT_F_fs) ? 0 : -EBADMSG;
}

static int task_check(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct kckpt_task_rec *rec;
	int err = kckpt_rec_keep(ctx, obj, KCKPT_K_task, sizeof(*rec));

	if (err)
		return err;
	rec = kckpt_task_rec(obj);
	obj->where.pid = rec->tid;
	memcpy(obj->where.comm, rec->comm, sizeof(rec->comm));
	obj->where.comm[sizeof(rec->comm) - 1] = 0;
	if (!rec->tid || rec->tid > PID_MAX_LIMIT || !task_restart_sane(rec) ||
	    rec->task_flags & ~(KCKPT_TASK_RESTORE_SIGMASK | KCKPT_TASK_NO_NEW_PRIVS | KCKPT_TASK_ENDED |
				KCKPT_TASK_IO_FLUSHER) ||
	    rec->stop_signal > JOBCTL_STOP_SIGMASK || rec->exit_code > 0xffff ||
	    rec->altstack_flags & ~(SS_DISABLE | SS_AUTODISARM) || rec->reserved ||
	    rec->robust_list >= TASK_SIZE_MAX || rec->rseq >= TASK_SIZE_MAX || rec->clear_child_tid >= TASK_SIZE_MAX)
		return kckpt_bad_image(ctx, obj, "task record");
	if (rec->rseq && (rec->rseq_len < 32 || !IS_ALIGNED(rec->rseq, 32)))
		return kckpt_bad_image(ctx, obj, "rseq");
	err = task_check_refs(ctx, obj, rec);
	if (err)
		return err;
	/* One that is not set may be set once. */
	if (!(rec->task_flags & KCKPT_TASK_ENDED) && audit_loginuid_set(current) && !capable(CAP_AUDIT_CONTROL) &&
	    !uid_eq(make_kuid(current_user_ns(), rec->loginuid), audit_get_loginuid(current)))
		kckpt_fail(ctx, obj, KCKPT_E_TASK_CREDS, 0, "CAP_AUDIT_CONTROL is missing");
	ctx->nr_tasks++;
	return kckpt_prctl_check(ctx, obj, rec) ?:
	       kckpt_sched_check(ctx, obj, rec) ?:
	       kckpt_check_pending(ctx, obj, KCKPT_K_task_signal) ?: kckpt_task_check_pid(ctx, obj, rec->tid);
}

void kckpt_task_disown_end(struct task_struct *task)
{
	kckpt_robust_list(task) = NULL;
	WRITE_ONCE(task->clear_child_tid, NULL);
}

void kckpt_task_disown(struct task_struct *task)
{
	sigset_t all;

	sigfillset(&all);
	sigdelsetmask(&all, sigmask(SIGKILL) | sigmask(SIGSTOP));
	kcall(__set_current_blocked)(&all);
	/* They point into the caller's memory; the kernel would write there when this task exits. */
	rseq_execve(task);
	kckpt_task_disown_end(task);
	task->pdeath_signal = 0;
}

static void task_set_restart(const struct kckpt_ctx *ctx, const struct kckpt_task_rec *rec)
{
	struct restart_block *block = &current->restart_block;
	u64 at;

	switch (rec->restart) {
	case KCKPT_RESTART_NANOSLEEP:
		block->nanosleep.clockid = rec->restart_clock;
		block->nanosleep.type = rec->restart_flags & KCKPT_RESTART_F_REMAINDER ? TT_NATIVE : TT_NONE;
		block->nanosleep.rmtp = (void __user *)rec->restart_addr;
		block->nanosleep.expires = kckpt_time_shift(ctx, rec->restart_expires, rec->restart_clock);
		block->fn = kdata(hrtimer_nanosleep_restart);
		break;
	case KCKPT_RESTART_FUTEX:
		block->futex.uaddr = (u32 __user *)rec->restart_addr;
		block->futex.val = rec->restart_val;
		block->futex.bitset = rec->restart_bitset;
		block->futex.flags = kckpt_futex_flags_in(rec->restart_flags);
		block->futex.time = kckpt_time_shift(ctx, rec->restart_expires,
						 rec->restart_flags & KCKPT_RESTART_F_REALTIME ? CLOCK_REALTIME :
												 CLOCK_MONOTONIC);
		block->fn = kdata(futex_wait_restart);
		break;
	case KCKPT_RESTART_POLL:
		at = kckpt_time_shift(ctx, rec->restart_expires, CLOCK_MONOTONIC);
		block->poll.ufds = (struct pollfd __user *)rec->restart_addr;
		block->poll.nfds = rec->restart_val;
		block->poll.has_timeout = !!(rec->restart_flags & KCKPT_RESTART_F_TIMED);
		kckpt_poll_set_end(block, at);
		block->fn = kdata(do_restart_poll);
		break;
	default:
		block->fn = kdata(do_no_restart_syscall);
	}
}

static void task_set_masks(const struct kckpt_task_rec *rec)
{
	sigset_t set = { .sig[0] = rec->blocked };

	sigdelsetmask(&set, sigmask(SIGKILL) | sigmask(SIGSTOP));
	kcall(__set_current_blocked)(&set);
	current->restore_sigmask = rec->task_flags & KCKPT_TASK_RESTORE_SIGMASK;
	current->saved_sigmask.sig[0] = rec->saved_blocked;
	/* The kernel relies on it when it puts this mask back. */
	sigdelsetmask(&current->saved_sigmask, sigmask(SIGKILL) | sigmask(SIGSTOP));
}

u64 kckpt_task_clone_flags(struct kckpt_object *leader, struct kckpt_object *task)
{
	const struct kckpt_task_rec *its = kckpt_task_rec(leader), *rec = kckpt_task_rec(task);

	return (rec->files == its->files ? CLONE_FILES : 0) | (rec->fs == its->fs ? CLONE_FS : 0);
}

/* Tables and directories are made by the first task that has them, and taken over by the others afterwards. */
static void task_claim(struct kckpt_ctx *ctx, struct kckpt_object *task, u64 id)
{
	struct kckpt_object *obj = kckpt_objtab_get(&ctx->objs, id);

	if (obj && !obj->creator)
		obj->creator = task;
}

void kckpt_task_plan(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct kckpt_task_rec *rec = kckpt_task_rec(obj);

	task_claim(ctx, obj, rec->files);
	task_claim(ctx, obj, rec->fs);
}

struct pid *kckpt_task_pid(struct kckpt_ctx *ctx, u64 id)
{
	const struct kckpt_task_rec *rec = kckpt_task_rec(kckpt_objtab_get(&ctx->objs, id));
	struct pid *pid;

	rcu_read_lock();
	pid = get_pid(find_pid_ns(rec->tid, ctx->pidns));
	rcu_read_unlock();
	return pid;
}

static bool task_makes(struct kckpt_ctx *ctx, const struct kckpt_object *obj, u64 id)
{
	const struct kckpt_object *it = kckpt_objtab_get(&ctx->objs, id);

	return it && it->creator == obj;
}

bool kckpt_task_builds(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct kckpt_task_rec *rec = kckpt_task_rec(obj);

	return task_makes(ctx, obj, rec->fs) || task_makes(ctx, obj, rec->files);
}

int kckpt_task_build(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct kckpt_task_rec *rec = kckpt_task_rec(obj);

	return kckpt_make_own(ctx, obj, rec->fs) ?: kckpt_make_own(ctx, obj, rec->files);
}

/* The locks of a descriptor table, in the task that made it: all tables are complete, and whose they are is known. */
static int task_take_locks(struct kckpt_ctx *ctx, struct kckpt_object *task, u64 id)
{
	struct kckpt_object *files = kckpt_objtab_get(&ctx->objs, id);

	return files->creator == task ? kckpt_lock_finish(ctx, files) : 0;
}

/* By the kernel's own function, which knows whether it may be changed. */
static int task_set_loginuid(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_task_rec *rec)
{
	kuid_t uid = make_kuid(current_user_ns(), rec->loginuid);
	int err;

	if (uid_eq(uid, audit_get_loginuid(current)))
		return 0;
	err = kckpt_should_fail() ? -EPERM : kcall(audit_set_loginuid)(uid);
	return err ? kckpt_fail(ctx, obj, KCKPT_E_TASK_CREDS, err, "the login id") : 0;
}

static int task_finish_ended(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_task_rec *rec)
{
	kcall(__set_task_comm)(current, obj->where.comm, false);
	set_user_nice(current, rec->nice);
	task_set_masks(rec);
	return kckpt_cred_restore(ctx, kckpt_ref(ctx, obj, rec->cred, KCKPT_F_cred));
}

/* What it has from others, who made it meanwhile. */
static int task_adopt(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_task_rec *rec)
{
	kckpt_fs_adopt(kckpt_objtab_get(&ctx->objs, rec->fs));
	kckpt_files_adopt(kckpt_objtab_get(&ctx->objs, rec->files));
	return task_take_locks(ctx, obj, rec->files);
}

bool kckpt_task_stands_alone(struct kckpt_ctx *ctx, struct kckpt_object *leader, struct kckpt_object *task)
{
	const struct kckpt_task_rec *rec = kckpt_task_rec(task);

	return !(rec->task_flags & KCKPT_TASK_ENDED) &&
	       kckpt_task_clone_flags(leader, task) == (CLONE_FILES | CLONE_FS) &&
	       task_makes(ctx, leader, rec->fs) && task_makes(ctx, leader, rec->files) &&
	       kckpt_cred_has_ids(ctx, kckpt_ref(ctx, task, rec->cred, KCKPT_F_cred)) &&
	       !kckpt_has_pending(task, KCKPT_K_task_signal);
}

int kckpt_task_finish(struct kckpt_ctx *ctx, struct kckpt_thread *thread)
{
	struct kckpt_object *obj = thread->task;
	const struct kckpt_task_rec *rec = kckpt_task_rec(obj);
	int err;

	if (rec->task_flags & KCKPT_TASK_ENDED)
		return task_finish_ended(ctx, obj, rec);
	err = (thread->early ? 0 : task_adopt(ctx, obj, rec)) ?:
	      kckpt_cpu_restore(ctx, kckpt_ref(ctx, obj, rec->cpu, KCKPT_F_cpu), &thread->regs);
	if (err)
		return err;
	kcall(__set_task_comm)(current, obj->where.comm, false);
	current->personality = rec->personality;
	current->sas_ss_sp = rec->altstack_sp;
	current->sas_ss_size = rec->altstack_size;
	current->sas_ss_flags = rec->altstack_flags;
	err = task_set_loginuid(ctx, obj, rec) ?:
	      kckpt_sched_restore(ctx, obj, rec) ?:
	      kckpt_prctl_restore(ctx, obj, rec) ?:
	      kckpt_cred_restore(ctx, kckpt_ref(ctx, obj, rec->cred, KCKPT_F_cred));
	if (err)
		return err;
	/* Which a real-time policy sets to 0. */
	current->timer_slack_ns = rec->timer_slack_ns;
	current->default_timer_slack_ns = rec->default_timer_slack_ns;
	if (rec->task_flags & KCKPT_TASK_NO_NEW_PRIVS)
		task_set_no_new_privs(current);
	if (!thread->early)
		task_set_masks(rec);
	/* Last: from here on an interruptible wait would return at once. */
	return kckpt_queue_pending(ctx, obj, KCKPT_K_task_signal, PIDTYPE_PID);
}

void kckpt_task_go(struct kckpt_ctx *ctx, const struct kckpt_thread *thread)
{
	const struct kckpt_task_rec *rec = kckpt_task_rec(thread->task);

	current->pdeath_signal = rec->pdeath_signal;	/* which new credentials take away */
	current->clear_child_tid = (int __user *)rec->clear_child_tid;
	kckpt_robust_list(current) = (struct robust_list_head __user *)rec->robust_list;
	kckpt_rseq_set((struct rseq __user *)rec->rseq, rec->rseq_len, rec->rseq_sig);
	task_set_restart(ctx, rec);
	if (thread->early)
		task_set_masks(rec);
}

const struct kckpt_family_ops kckpt_task_ops = {
	.name = "task",
	.put = task_put,
	.collect = task_collect, .dump = task_dump, .check = task_check,
};
