/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCKPT_COMPAT_EVENTFD_H
#define KCKPT_COMPAT_EVENTFD_H

#include <linux/kref.h>
#include <linux/wait.h>

/* As in fs/eventfd.c, where it is private; the same from v6.1 to v6.12. */
struct kckpt_eventfd_ctx {
	struct kref kref;
	wait_queue_head_t wqh;
	__u64 count;
	unsigned int flags;
	int id;
};

#endif
