/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The memory of a job as it was when it was captured, so that the job can run on before the image has been read.
 *
 * Private memory is kept in an address space of our own, without a task, whose page tables are a copy of the job's:
 * both share the pages copy-on-write, as after fork(). What cannot be shared so (shared memory, contents of deleted
 * files, private pages over a file, which would go when the file is cut) is copied while the job stands still.
 */
#ifndef KCKPT_SHADOW_H
#define KCKPT_SHADOW_H

#include <linux/xarray.h>
#include <kckpt/uapi.h>

struct kckpt_batch;
struct kckpt_ctx;
struct kckpt_object;
struct mem_cgroup;
struct mm_struct;

/* Of one object that has pages. */
struct kckpt_shadow {
	struct mm_struct *mm;		/* of an address space; NULL: not made yet, or no address space */
	struct mm_struct *of;		/* whose copy that is, held against being another one's */
	struct xarray copies;		/* struct page by number of the page */
	unsigned long read_to;		/* what is below is not there any more: the image has it */
};

/*
 * kckpt_shadow_make() - keep the memory of all objects; the job is frozen. Says in *@kept whether (KCKPT_KEPT), or why
 * not, and then nothing is kept and the job must stand still until the image has been read. An error is one of the
 * dump.
 */
int kckpt_shadow_make(struct kckpt_ctx *ctx, u32 *kept);
void kckpt_shadow_drop(struct kckpt_ctx *ctx);

/*
 * kckpt_shadow_make_restored() - the same of the address spaces that were restored, and no more than these; nobody runs
 * in them yet.
 */
int kckpt_shadow_make_restored(struct kckpt_ctx *ctx, u32 *kept);

/* kckpt_shadow_may_stay() - is there still room for copies that are kept of @of? */
bool kckpt_shadow_may_stay(struct mm_struct *of);

/*
 * May a job go on making copies of what is kept, for as long as it is read?
 * kckpt_shadow_fills() - no: there is next to nothing left in its memory cgroup, or in one above.
 */
bool kckpt_shadow_fills(struct mem_cgroup *memcg);
bool kckpt_shadow_machine_has_room(void);

/* kckpt_shadow_find() - the pages_find verb of @obj, or, if it is kept, of what was kept. */
int kckpt_shadow_find(struct kckpt_ctx *ctx, struct kckpt_object *obj, unsigned long *addr, struct kckpt_batch *batch);

#endif
