/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCKPT_COMPAT_TIMER_H
#define KCKPT_COMPAT_TIMER_H

#include <linux/posix-timers.h>
#include <linux/sched/signal.h>
#include <linux/version.h>

/* kckpt_for_each_posix_timer() - the timers of timer_create(), under siglock. A list on 6.1, an hlist on 6.12. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
#define kckpt_for_each_posix_timer(timer, signal) hlist_for_each_entry(timer, &(signal)->posix_timers, list)

static inline bool kckpt_has_posix_timers(const struct signal_struct *signal)
{
	return !hlist_empty(&signal->posix_timers);
}
#else
#define kckpt_for_each_posix_timer(timer, signal) list_for_each_entry(timer, &(signal)->posix_timers, list)

static inline bool kckpt_has_posix_timers(const struct signal_struct *signal)
{
	return !list_empty(&signal->posix_timers);
}
#endif

/*
 * The state of a timer of timer_create(), under its lock. kckpt_timer_queue() - its signal;
 * kckpt_timer_is_armed(); kckpt_timer_is_expired() - it is armed again when its signal is taken;
 * kckpt_timer_is_queued() - its signal is pending, and will be delivered; kckpt_timer_set_idle() - it is not armed.
 * kckpt_timer_send() - queues its signal; kckpt_timer_send_ignored() - of one that has expired and has none pending.
 *
 * With the signals in their timers, since "posix-timers: Embed sigqueue in struct k_itimer" and what belongs to it
 * (v6.13), a signal is dropped if the timer was set anew since, and one that is ignored waits apart until it is not: so
 * there is always a signal that arms the timer again. Before, a timer whose pending signal became ignored stood still.
 *
 * kckpt_timer_next_id(), kckpt_timer_set_next_id() - the id of the next timer. Atomic since "posix-timers: Make
 * signal_struct::next_posix_timer_id an atomic_t" (v6.15).
 *
 * KCKPT_KSYM_TIMER_CALLS: what these need; see ksym.h.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
enum kckpt_timer_status {	/* as in kernel/time/posix-timers.h, where it is private */
	KCKPT_TIMER_STATUS_DISARMED,
	KCKPT_TIMER_STATUS_ARMED,
	KCKPT_TIMER_STATUS_REQUEUE_PENDING,
};

static inline struct sigqueue *kckpt_timer_queue(struct k_itimer *timer)
{
	return &timer->sigq;
}

static inline bool kckpt_timer_is_armed(const struct k_itimer *timer)
{
	return timer->it_status == KCKPT_TIMER_STATUS_ARMED;
}

static inline bool kckpt_timer_is_expired(const struct k_itimer *timer)
{
	return timer->it_status == KCKPT_TIMER_STATUS_REQUEUE_PENDING;
}

static inline bool kckpt_timer_is_queued(const struct k_itimer *timer)
{
	return !list_empty(&timer->sigq.list) && timer->it_signal_seq == timer->it_sigqueue_seq;
}

static inline void kckpt_timer_set_idle(struct k_itimer *timer, bool expired)
{
	timer->it_status = expired ? KCKPT_TIMER_STATUS_REQUEUE_PENDING : KCKPT_TIMER_STATUS_DISARMED;
}

#define KCKPT_KSYM_TIMER_CALLS(X) X(posixtimer_send_sigqueue, timer, "queue the signal of a POSIX timer again")

/* Of an image of an older kernel: a signal from before the timer was set anew. */
#define kckpt_timer_send(timer, type) \
	(kckpt_timer_is_armed(timer) ? 0 : (kcall(posixtimer_send_sigqueue)(timer), 0))
#define kckpt_timer_send_ignored(timer) kcall(posixtimer_send_sigqueue)(timer)
#else
static inline struct sigqueue *kckpt_timer_queue(struct k_itimer *timer)
{
	return timer->sigq;
}

static inline bool kckpt_timer_is_armed(const struct k_itimer *timer)
{
	return timer->it_active;
}

static inline bool kckpt_timer_is_expired(const struct k_itimer *timer)
{
	return timer->it_requeue_pending & REQUEUE_PENDING;
}

static inline bool kckpt_timer_is_queued(const struct k_itimer *timer)
{
	return !list_empty(&timer->sigq->list);
}

static inline void kckpt_timer_set_idle(struct k_itimer *timer, bool expired)
{
	timer->it_active = 0;
	if (expired)
		timer->it_requeue_pending |= REQUEUE_PENDING;
}

/* With si_sys_private the timer is armed again when the signal is taken. */
static inline void kckpt_timer_set_requeue(struct k_itimer *timer)
{
	timer->sigq->info.si_sys_private = kckpt_timer_is_expired(timer) ? timer->it_requeue_pending : 0;
}

#define KCKPT_KSYM_TIMER_CALLS(X) X(send_sigqueue, timer, "queue the signal of a POSIX timer again")

#define kckpt_timer_send(timer, type) \
	(kckpt_timer_set_requeue(timer), kcall(send_sigqueue)((timer)->sigq, (timer)->it_pid, type))
#define kckpt_timer_send_ignored(timer) do { } while (0)
#endif

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 15, 0)
static inline u32 kckpt_timer_next_id(const struct signal_struct *signal)
{
	return atomic_read(&signal->next_posix_timer_id) & INT_MAX;
}

static inline void kckpt_timer_set_next_id(struct signal_struct *signal, u32 id)
{
	atomic_set(&signal->next_posix_timer_id, id);
}
#else
static inline u32 kckpt_timer_next_id(const struct signal_struct *signal)
{
	return signal->next_posix_timer_id;
}

static inline void kckpt_timer_set_next_id(struct signal_struct *signal, u32 id)
{
	signal->next_posix_timer_id = id;
}
#endif

/*
 * kckpt_task_cputime() - CPU time of a thread in user mode and in the kernel, in ns. Where it is not counted at the
 * entries of the kernel it is but read. KCKPT_KSYM_CPUTIME_CALLS: what it needs; see ksym.h.
 */
#ifdef CONFIG_VIRT_CPU_ACCOUNTING_GEN
#define KCKPT_KSYM_CPUTIME_CALLS(X) X(task_cputime, timer, "read the CPU time of a thread")
#define kckpt_task_cputime(task, user, system) kcall(task_cputime)(task, user, system)
#else
#define KCKPT_KSYM_CPUTIME_CALLS(X)
#define kckpt_task_cputime(task, user, system) task_cputime(task, user, system)
#endif

#endif
