/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCKPT_COMPAT_TASK_H
#define KCKPT_COMPAT_TASK_H

#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/version.h>

/*
 * kckpt_rseq_len(), kckpt_rseq_set() - the registration of restartable sequences. The length is kept since ee3e3ac05c26
 * ("rseq: Introduce extensible rseq ABI") (v6.3); before, it was always 32. Set by hand since sys_rseq() of
 * some versions clears a critical section that the thread was frozen in; on the way to user mode the kernel then
 * aborts it as after any preemption.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
static inline u32 kckpt_rseq_len(const struct task_struct *task)
{
	return task->rseq_len;
}

static inline void kckpt_rseq_set(struct task_struct *task, struct rseq __user *rseq, u32 len, u32 sig)
{
	task->rseq = rseq;
	task->rseq_len = len;
	task->rseq_sig = sig;
}
#else
static inline u32 kckpt_rseq_len(const struct task_struct *task)
{
	return sizeof(struct rseq);
}

static inline void kckpt_rseq_set(struct task_struct *task, struct rseq __user *rseq, u32 len, u32 sig)
{
	task->rseq = rseq;
	task->rseq_sig = sig;
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

#endif
