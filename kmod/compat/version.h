/* SPDX-License-Identifier: GPL-2.0 */
/* The range of kernels that these sources know. selftests/vm/kernels lists those that tests run on. */
#ifndef KCKPT_COMPAT_VERSION_H
#define KCKPT_COMPAT_VERSION_H

#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
#error "kckpt needs Linux 6.1 or later"
#endif

static inline bool kckpt_kernel_untested(void)
{
	return LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0);
}

#endif
