/* SPDX-License-Identifier: GPL-2.0 */
/* Page tables that are copied, as by fork(), by all CPUs: that is what a job stands still for. */
#ifndef KCKPT_TABLES_H
#define KCKPT_TABLES_H

#include <linux/types.h>

struct mm_struct;
struct vm_area_struct;

struct kckpt_tables_how {
	/*
	 * No task that has the source can run before this is over, whatever others do, so that nobody looks up its
	 * pages without a lock: then by all CPUs.
	 */
	bool together;
	const int *stop;	/* becomes an error when nobody wants it any more */
};

/* kckpt_tables_are_many() - does @mm have so many that it is worth to have the job held still for it? A guess. */
bool kckpt_tables_are_many(struct mm_struct *mm);

/*
 * kckpt_tables_copy() - copy_page_range() of areas that have the same pages in the same places; both locked by
 * kckpt_share_lock_pair() in the caller. May sleep. 0, -ENOMEM, *how->stop, or -EINTR if the caller was killed: part of
 * it is copied, then.
 */
int kckpt_tables_copy(struct vm_area_struct *dst, struct vm_area_struct *src, const struct kckpt_tables_how *how);

#endif
