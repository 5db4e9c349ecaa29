/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The flags in the restart block of a futex wait, from the private kernel/futex/futex.h. They got other values with
 * the futex2 system calls (v6.7), and the size of the futex word among them. Only waits with a time-out have
 * a restart block.
 */
#ifndef KCKPT_COMPAT_FUTEX_H
#define KCKPT_COMPAT_FUTEX_H

#include <linux/version.h>
#include <kckpt/image.h>

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0)
#define KCKPT_FUTEX_SHARED	0x10
#define KCKPT_FUTEX_CLOCKRT	0x20
#define KCKPT_FUTEX_BASE	(0x40 | 0x02)	/* has a time-out, 32 bits */
#else
#define KCKPT_FUTEX_SHARED	0x01
#define KCKPT_FUTEX_CLOCKRT	0x02
#define KCKPT_FUTEX_BASE	0x04
#endif

static inline u32 kckpt_futex_flags_out(u32 flags)
{
	return (flags & KCKPT_FUTEX_SHARED ? KCKPT_RESTART_F_SHARED : 0) |
	       (flags & KCKPT_FUTEX_CLOCKRT ? KCKPT_RESTART_F_REALTIME : 0);
}

static inline u32 kckpt_futex_flags_in(u32 flags)
{
	return KCKPT_FUTEX_BASE | (flags & KCKPT_RESTART_F_SHARED ? KCKPT_FUTEX_SHARED : 0) |
	       (flags & KCKPT_RESTART_F_REALTIME ? KCKPT_FUTEX_CLOCKRT : 0);
}

#endif
