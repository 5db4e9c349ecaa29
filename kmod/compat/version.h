/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernels that these sources know: those that tests run on, see selftests/vm/kernels. On any other one the module
 * loads with allow_untested=1 only; selftests/vm/untested reads this list, too. Where compat/ names versions that lie
 * between two of them, they are those of the patches: nothing was tried there.
 */
#ifndef KCKPT_COMPAT_VERSION_H
#define KCKPT_COMPAT_VERSION_H

#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error "kckpt needs Linux 6.1 or later"
#endif

/* X(major, minor) */
#define KCKPT_TESTED(X) X(6, 1) X(6, 12) X(7, 2)

static inline bool kckpt_kernel_untested(void)
{
#define KCKPT_IS_VERSION(major, minor) || (LINUX_VERSION_CODE >> 8 == KERNEL_VERSION(major, minor, 0) >> 8)
	return !(false KCKPT_TESTED(KCKPT_IS_VERSION));
}

#endif
