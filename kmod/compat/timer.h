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

#endif
