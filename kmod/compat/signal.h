/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCKPT_COMPAT_SIGNAL_H
#define KCKPT_COMPAT_SIGNAL_H

#include <linux/sched/signal.h>
#include <linux/version.h>

/*
 * kckpt_lock_task_sighand() - takes the siglock of a task that may end; NULL: it has. A function since
 * "compiler-context-analysis: Remove __cond_lock() function-like helper" (v7.0); before, an inline around another one.
 * KCKPT_KSYM_SIGNAL_CALLS: what that needs; see ksym.h.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 0, 0)
#define KCKPT_KSYM_SIGNAL_CALLS(X) X(lock_task_sighand, process, "read pending signals")
#define kckpt_lock_task_sighand(task, flags) kcall(lock_task_sighand)(task, flags)
#else
#define KCKPT_KSYM_SIGNAL_CALLS(X) X(__lock_task_sighand, process, "read pending signals")
#define kckpt_lock_task_sighand(task, flags) kcall(__lock_task_sighand)(task, flags)
#endif

#endif
