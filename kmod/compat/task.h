/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCKPT_COMPAT_TASK_H
#define KCKPT_COMPAT_TASK_H

#include <linux/rseq.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>
#include <linux/version.h>

/*
 * kckpt_rseq() - the area of restartable sequences that is registered, or NULL; kckpt_rseq_len(), kckpt_rseq_sig() -
 * its length and signature. kckpt_rseq_set() - registers it for the running thread. The length is kept since
 * ee3e3ac05c26 ("rseq: Introduce extensible rseq ABI") (v6.3); before, it was always 32. Set by hand since sys_rseq()
 * of some versions clears a critical section that the thread was frozen in; on the way to user mode the kernel then
 * aborts it as after any preemption.
 *
 * All in a struct of its own since rseq was made anew (v6.19). The kernel remembers what it has written to the area
 * and kills who has changed it; it looks for a critical section only after an interrupt. An area that cannot be read
 * is met again on the way to user mode.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 19, 0)
static inline struct rseq __user *kckpt_rseq(const struct task_struct *task)
{
	return task->rseq.usrptr;
}

static inline u32 kckpt_rseq_len(const struct task_struct *task)
{
	return task->rseq.len;
}

static inline u32 kckpt_rseq_sig(const struct task_struct *task)
{
	return task->rseq.sig;
}

static inline void kckpt_rseq_set(struct rseq __user *rseq, u32 len, u32 sig)
{
	struct rseq_data *data = &current->rseq;

	if (!rseq)
		return;
	data->usrptr = rseq;
	data->len = len;
	data->sig = sig;
	if (get_user(data->ids.cpu_id, &rseq->cpu_id_start) || get_user(data->ids.mm_cid, &rseq->mm_cid) ||
	    get_user(data->ids.node_id, &rseq->node_id))
		data->ids.cpu_id = RSEQ_CPU_ID_UNINITIALIZED;
	data->event.user_irq = true;
	data->event.has_rseq = len > 32 ? 2 : 1;	/* as rseq_register() has it */
	rseq_force_update();
}
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
static inline struct rseq __user *kckpt_rseq(const struct task_struct *task)
{
	return task->rseq;
}

static inline u32 kckpt_rseq_len(const struct task_struct *task)
{
	return task->rseq_len;
}

static inline u32 kckpt_rseq_sig(const struct task_struct *task)
{
	return task->rseq_sig;
}

static inline void kckpt_rseq_set(struct rseq __user *rseq, u32 len, u32 sig)
{
	current->rseq = rseq;
	current->rseq_len = len;
	current->rseq_sig = sig;
	rseq_set_notify_resume(current);
}
#else
static inline struct rseq __user *kckpt_rseq(const struct task_struct *task)
{
	return task->rseq;
}

static inline u32 kckpt_rseq_len(const struct task_struct *task)
{
	return sizeof(struct rseq);
}

static inline u32 kckpt_rseq_sig(const struct task_struct *task)
{
	return task->rseq_sig;
}

static inline void kckpt_rseq_set(struct rseq __user *rseq, u32 len, u32 sig)
{
	current->rseq = rseq;
	current->rseq_sig = sig;
	rseq_set_notify_resume(current);
}
#endif

/*
 * kckpt_task_unsupported() - properties of a thread and its process that v6.12 does not have:
 * PR_TIMER_CREATE_RESTORE_IDS (v6.15), time slice extension by rseq (v7.0), restrictions of io_uring that all later
 * rings of a task inherit, and CLONE_AUTOREAP (both since v7.1).
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 1, 0)
static inline const char *kckpt_task_unsupported(const struct task_struct *task)
{
	if (task->signal->timer_create_restore_ids)
		return "timer ids of its choice (PR_TIMER_CREATE_RESTORE_IDS)";
	if (task->signal->autoreap)
		return "an end that nobody waits for (CLONE_AUTOREAP)";
	if (task->io_uring_restrict)
		return "restrictions of io_uring";
#ifdef CONFIG_RSEQ_SLICE_EXTENSION
	if (task->rseq.slice.state.enabled)
		return "time slice extension (PR_RSEQ_SLICE_EXTENSION)";
#endif
	return NULL;
}
#else
static inline const char *kckpt_task_unsupported(const struct task_struct *task)
{
	return NULL;
}
#endif

/*
 * kckpt_robust_list(), kckpt_compat_robust_list() - the heads of the robust futexes, of 64- and 32-bit code. With the
 * rest of futexes in one struct since v7.1.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 1, 0)
#define kckpt_robust_list(task) ((task)->futex.robust_list)
#define kckpt_compat_robust_list(task) ((task)->futex.compat_robust_list)
#else
#define kckpt_robust_list(task) ((task)->robust_list)
#define kckpt_compat_robust_list(task) ((task)->compat_robust_list)
#endif

/*
 * kckpt_poll_end(), kckpt_poll_set_end() - until when a poll that is to be resumed waits, in ns of CLOCK_MONOTONIC.
 * A timespec64 since v6.19.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 19, 0)
static inline s64 kckpt_poll_end(const struct restart_block *block)
{
	return block->poll.end_time.tv_sec * NSEC_PER_SEC + block->poll.end_time.tv_nsec;
}

static inline void kckpt_poll_set_end(struct restart_block *block, u64 end)
{
	block->poll.end_time.tv_sec = end / NSEC_PER_SEC;
	block->poll.end_time.tv_nsec = end % NSEC_PER_SEC;
}
#else
static inline s64 kckpt_poll_end(const struct restart_block *block)
{
	return block->poll.tv_sec * NSEC_PER_SEC + block->poll.tv_nsec;
}

static inline void kckpt_poll_set_end(struct restart_block *block, u64 end)
{
	block->poll.tv_sec = end / NSEC_PER_SEC;
	block->poll.tv_nsec = end % NSEC_PER_SEC;
}
#endif

/*
 * kckpt_has_shadow_stack() - user shadow stacks came with b2926a36b97a ("x86/shstk: Handle thread shadow stack")
 * (v6.6).
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0) && defined(CONFIG_X86_USER_SHADOW_STACK)
static inline bool kckpt_has_shadow_stack(const struct task_struct *task)
{
	return task->thread.features || task->thread.features_locked;
}
#else
static inline bool kckpt_has_shadow_stack(const struct task_struct *task)
{
	return false;
}
#endif

/* As in ipc/sem.c, where it is private; every thread created with CLONE_SYSVSEM has one, mostly empty. */
struct kckpt_sem_undo_list {
	refcount_t refcnt;
	spinlock_t lock;
	struct list_head list_proc;
};

static inline bool kckpt_has_sem_undo(const struct task_struct *task)
{
	const struct kckpt_sem_undo_list *undo = (const void *)task->sysvsem.undo_list;

	return undo && !list_empty(&undo->list_proc);
}

/*
 * kckpt_is_off_cpu() - does @task neither run nor want to? Since 152e11f6df29 ("sched/fair: Implement delayed dequeue")
 * (v6.12) one that sleeps may stay in the queue for a while.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
static inline bool kckpt_is_queued(const struct task_struct *task)
{
	return READ_ONCE(task->on_rq) && !READ_ONCE(task->se.sched_delayed);
}
#else
static inline bool kckpt_is_queued(const struct task_struct *task)
{
	return READ_ONCE(task->on_rq);
}
#endif

static inline bool kckpt_is_off_cpu(struct task_struct *task)
{
	bool queued = kckpt_is_queued(task);

	/* Pairs with finish_task(): what the task wrote before it left the CPU is seen. */
	return !queued && !smp_load_acquire(&task->on_cpu);
}

/*
 * kckpt_change_pid() - change_pid(), under tasklist_lock. @freed, one for each type: ids that nobody bears any more,
 * for free_pid() after the lock, since "pid: perform free_pid() calls outside of tasklist_lock" (v6.15).
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 15, 0)
#define kckpt_change_pid(freed, task, type, pid) kcall(change_pid)(freed, task, type, pid)
#else
#define kckpt_change_pid(freed, task, type, pid) kcall(change_pid)(task, type, pid)
#endif

/*
 * kckpt_is_realtime() - is it of a policy that goes before all usual tasks? rt_task() leaves out deadlines since
 * 130fd056dd82 ("sched/rt: Clean up usage of rt_task()") (v6.12).
 */
static inline bool kckpt_is_realtime(const struct task_struct *task)
{
	return task->prio < MAX_RT_PRIO;
}

#endif
