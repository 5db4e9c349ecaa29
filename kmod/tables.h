/* SPDX-License-Identifier: GPL-2.0 */
/* Page tables that are copied, as by fork(), by all CPUs: that is what a job stands still for. */
#ifndef KCKPT_TABLES_H
#define KCKPT_TABLES_H

struct vm_area_struct;

/*
 * kckpt_tables_copy() - copy_page_range() of areas that have the same pages in the same places; both locked by
 * kckpt_share_lock_pair() in the caller. No task that has the source runs, so that nobody looks up its pages without a
 * lock. May sleep. 0, -ENOMEM, or -EINTR if the caller was killed: part of it is copied, then.
 */
int kckpt_tables_copy(struct vm_area_struct *dst, struct vm_area_struct *src);

#endif
