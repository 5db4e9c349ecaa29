/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Pages that address spaces share copy-on-write, as after fork(): saved with the first one, shared again by the others.
 */
#ifndef KCKPT_SHARE_H
#define KCKPT_SHARE_H

#include <linux/xarray.h>
#include <kckpt/image.h>

struct kckpt_ctx;
struct kckpt_object;
struct mm_struct;
struct page;

/* What an address space has from others, in order of its addresses. */
struct kckpt_share_rows {
	struct kckpt_share_run *runs;
	u32 nr, room;
};

/* Of a dump. */
struct kckpt_share {
	/* By frame: which address space it was saved with, and at what address. Each with a reference to the page. */
	struct xarray seen;
	struct mem_cgroup *memcg;	/* that pays for this */
	/* For increments: anon_vma tree -> the address space that has areas of it; 0: several. */
	struct xarray trees;
	bool trees_known;
	struct kckpt_share_rows rows;	/* of the address space that is being saved */
	u32 at;				/* the row that the walk has come to */
	u32 staged;			/* rows that are in the stream */
};

/* kckpt_share_begin() - shares if the job has several address spaces, NULL if not, or an error. */
struct kckpt_share *kckpt_share_begin(struct kckpt_ctx *ctx);
void kckpt_share_end(struct kckpt_share *share);

/*
 * kckpt_share_may_have_others() - may another address space of the job have a page of this private area, too? Pages
 * that were merged (KSM) aside. Its mmap_lock is held.
 */
bool kckpt_share_may_have_others(struct kckpt_share *share, const struct vm_area_struct *vma);

/* kckpt_share_find() - find the rows of @obj; before its pages are walked for the stream. */
int kckpt_share_find(struct kckpt_ctx *ctx, struct kckpt_object *obj);

/* kckpt_share_covers() - is the page at @addr in a row? To be asked with rising addresses. */
bool kckpt_share_covers(struct kckpt_share *share, unsigned long addr);

/* kckpt_share_note() - the page goes into the stream with @obj: others refer to it. */
void kckpt_share_note(struct kckpt_share *share, const struct kckpt_object *obj, unsigned long addr, struct page *page,
		      bool huge);

/* Restore: rows as they come; bounded, in order, from earlier address spaces. */
int kckpt_share_add(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct kckpt_share_rows *rows,
		    const struct kckpt_share_run *runs, u32 nr);

/* kckpt_share_apply() - map what @rows tell into the new address space @obj, which has no pages yet. */
int kckpt_share_apply(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct kckpt_share_rows *rows);

/*
 * kckpt_share_part() - copy the page tables from @start to @end as fork() does, for areas that have the same pages in
 * the same places; both locked by kckpt_share_lock_pair(). @parts: room for two areas.
 */
int kckpt_share_part(struct vm_area_struct *parts, struct vm_area_struct *dst, struct vm_area_struct *src,
		     unsigned long start, unsigned long end);

/*
 * kckpt_share_lock_pair() - mmap_lock of both for writing, as copy_page_range() wants it; nobody else has @dst yet.
 * -EINTR: killed.
 */
int kckpt_share_lock_pair(struct mm_struct *src, struct mm_struct *dst);
void kckpt_share_unlock_pair(struct mm_struct *src, struct mm_struct *dst);

void kckpt_share_rows_free(struct kckpt_share_rows *rows);

#endif
