/* SPDX-License-Identifier: GPL-2.0 */
/* Page contents of address spaces: found in batches for a dump, filled in batches for a restore. */
#ifndef KCKPT_PAGES_H
#define KCKPT_PAGES_H

#include <linux/mm_types.h>
#include <kckpt/image.h>

struct kckpt_ctx;
struct kckpt_object;

/* A batch, with references to its pages. */
struct kckpt_batch {
	u32 nr_runs, nr_data, nr_zero;
	bool huge;				/* one huge page: pages[0] is its head, the only reference */
	unsigned long addr[KCKPT_MAX_BATCH];	/* of each page of data */
	struct page *pages[KCKPT_MAX_BATCH];	/* NULL: not present, to be faulted in */
	struct kckpt_page_run runs[KCKPT_MAX_RUNS];
};

/*
 * kckpt_batch_find() - the next batch of private pages of @mm at or after *@addr, which moves on. 1: found, 0: no
 * more, negative: reported. The mm is that of @obj; nobody else changes it, but reclaim and migration may.
 */
int kckpt_batch_find(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct mm_struct *mm, unsigned long *addr,
		     struct kckpt_batch *batch);

/* kckpt_batch_page() - the i-th page of data. */
static inline struct page *kckpt_batch_page(const struct kckpt_batch *batch, u32 i)
{
	return batch->huge ? batch->pages[0] + i : batch->pages[i];
}

void kckpt_batch_put(struct kckpt_batch *batch);

/*
 * kckpt_pages_pin() - get up to @nr pages of @mm from @addr on, made private and writable whatever the protection
 * of their area is. @huge: prefer a huge page. Returns the number, at least 1, or a negative errno after kckpt_fail().
 */
int kckpt_pages_pin(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct mm_struct *mm, unsigned long addr,
		    u32 nr, bool huge, struct page **pages);

#endif
