/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCKPT_COMPAT_SCHED_H
#define KCKPT_COMPAT_SCHED_H

#include <linux/sched.h>
#include <linux/version.h>

/*
 * kckpt_sched_slice() - the slice that a thread of SCHED_OTHER or SCHED_BATCH has asked for, in ns; 0: none. Since
 * 857b158dc5e8 ("sched/eevdf: Use sched_attr::sched_runtime to set request/slice suggestion") (v6.12).
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
static inline bool kckpt_sched_has_slices(void)
{
	return true;
}

static inline u64 kckpt_sched_slice(const struct task_struct *task)
{
	return task->se.custom_slice ? task->se.slice : 0;
}
#else
static inline bool kckpt_sched_has_slices(void)
{
	return false;
}

static inline u64 kckpt_sched_slice(const struct task_struct *task)
{
	return 0;
}
#endif

#endif
