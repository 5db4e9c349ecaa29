/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The range of kernels that these sources know: to the newest one that tests run on; selftests/vm/kernels lists all of
 * those. Of what compat/ says to have come between 6.12 and 7.2 only these two ends are tested: the versions named for
 * it are those of the patches. What is newer loads with allow_untested=1 only, and selftests/vm/untested tells it from
 * the others.
 */
#ifndef KCKPT_COMPAT_VERSION_H
#define KCKPT_COMPAT_VERSION_H

#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error "kckpt needs Linux 6.1 or later"
#endif

#define KCKPT_NEWEST_MAJOR 7
#define KCKPT_NEWEST_MINOR 2

static inline bool kckpt_kernel_untested(void)
{
	return LINUX_VERSION_CODE >= KERNEL_VERSION(KCKPT_NEWEST_MAJOR, KCKPT_NEWEST_MINOR + 1, 0);
}

#endif
