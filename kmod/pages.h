/* SPDX-License-Identifier: GPL-2.0 */
/* Page contents of address spaces: found in batches for a dump, filled in batches for a restore. */
#ifndef KCKPT_PAGES_H
#define KCKPT_PAGES_H

#include <linux/fs.h>
#include <linux/mm_types.h>
#include <kckpt/image.h>

struct mm_walk;
struct kckpt_ctx;
struct kckpt_object;

/* A batch, with references to its pages. */
struct kckpt_batch {
	u32 nr_runs, nr_data;
	u32 nr_zero, nr_marked;			/* zero pages; those of them that have runs */
	bool huge;				/* one huge page: pages[0] is its head, the only reference */
	unsigned long addr[KCKPT_MAX_BATCH];	/* of each page of data */
	struct page *pages[KCKPT_MAX_BATCH];	/* NULL: not present, to be faulted in */
	struct kckpt_page_run runs[KCKPT_MAX_RUNS];

	/* what the parent image has */
	u32 nr_same;
	u64 nr_unchanged;			/* pages of it that were not looked at; see watch.h */
	struct kckpt_page_run same[KCKPT_MAX_RUNS];
	DECLARE_BITMAP(is_same, KCKPT_MAX_BATCH);	/* pages[] that may become runs of these */
};

/* With ctx->no_wait: what comes next has to be waited for, or nobody wants it any more. *@addr tells how far it is. */
#define KCKPT_WAITS 2

/*
 * The pages_find verb: the next batch of @obj's pages at or after *@addr, which moves on. 1: found, 0: no more,
 * KCKPT_WAITS, negative: reported. Nobody in the job changes them meanwhile, but reclaim and migration may.
 * This is the one of address spaces.
 */
int kckpt_batch_find(struct kckpt_ctx *ctx, struct kckpt_object *obj, unsigned long *addr, struct kckpt_batch *batch);

/*
 * kckpt_batch_find_mapped() - the same without a look at contents: all private pages that are mapped, zero ones too;
 * NULL for those that are swapped out. The batch has no runs. kckpt_batch_find_unshareable() - so, but only those in
 * areas that are not anonymous, and brought in.
 */
int kckpt_batch_find_mapped(struct kckpt_ctx *ctx, struct kckpt_object *obj, unsigned long *addr,
			    struct kckpt_batch *batch);
int kckpt_batch_find_unshareable(struct kckpt_ctx *ctx, struct kckpt_object *obj, unsigned long *addr,
				 struct kckpt_batch *batch);

/* kckpt_has_private_pages() - may there be pages in the area that go into the image? */
bool kckpt_has_private_pages(const struct vm_area_struct *vma);

/* kckpt_batch_add() - one page at @addr, with a reference; zero ones are dropped, or marked if @mark_zero. */
void kckpt_batch_add(struct kckpt_batch *batch, unsigned long addr, struct page *page, bool mark_zero);

/*
 * kckpt_batch_find_data() - the same as kckpt_batch_find() for what lies between the holes of @file. @get: the page at
 * an offset, with a reference, or an error that it has reported.
 */
int kckpt_batch_find_data(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct file *file, unsigned long *addr,
			  struct kckpt_batch *batch,
			  struct page *(*get)(struct kckpt_ctx *ctx, struct kckpt_object *obj, loff_t at));

/*
 * kckpt_each_pte() - from within a walk under mmap_lock for reading: @each, with the walk's private data, for the
 * entries of the table in *@pmd, which is there and not huge; until it returns other than 0. The lock of @pmd is held,
 * and dropped.
 */
int kckpt_each_pte(struct mm_walk *walk, pmd_t *pmd, spinlock_t *pmd_lock, unsigned long addr, unsigned long end,
		   int (*each)(void *private, unsigned long addr, pte_t pte));

/* kckpt_pmd_at() - where @mm has what is mapped at @addr; NULL: there is no table for that. */
pmd_t *kckpt_pmd_at(struct mm_struct *mm, unsigned long addr);

static inline void kckpt_batch_reset(struct kckpt_batch *batch)
{
	batch->nr_runs = batch->nr_data = batch->nr_zero = batch->nr_marked = batch->nr_same = 0;
	batch->nr_unchanged = 0;
	batch->huge = false;
}

/* kckpt_batch_page() - the i-th page of data. */
static inline struct page *kckpt_batch_page(const struct kckpt_batch *batch, u32 i)
{
	return batch->huge ? batch->pages[0] + i : batch->pages[i];
}

void kckpt_batch_put(struct kckpt_batch *batch);

/*
 * The pages_pin verb: get up to @nr pages of the restored @obj from @addr on, to be filled; each with a reference.
 * @huge: prefer a huge page. Returns the number, at least 1, or a negative errno after kckpt_fail(). This is the one
 * of address spaces: pages are made private and writable whatever the protection of their area is.
 */
int kckpt_pages_pin(struct kckpt_ctx *ctx, struct kckpt_object *obj, unsigned long addr, u32 nr, bool huge,
		    struct page **pages);

/*
 * kckpt_pages_pin_ahead() - the same without an object, as far as nobody has to be waited for: in anonymous memory,
 * where such pages are wanted now. 0: none.
 */
u32 kckpt_pages_pin_ahead(struct mm_struct *mm, unsigned long addr, u32 nr, bool huge, struct page **pages);

#endif
