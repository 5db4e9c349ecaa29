/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which parts of an address space nobody has changed since its last snapshot: told by the kernel, so that the next
 * increment need not look at them.
 *
 * An mmu_notifier is told of whatever is done to pages that are mapped. It is not told of first faults; so only a
 * *block* (see blocks.h) that was mapped completely, and as the snapshot has it, can be unchanged. From then on each
 * change of it is told: who wants to write to a page that the snapshot maps too gets a copy, and that is one. See
 * docs/adr/0025-unchanged-blocks-told-by-the-kernel.md for what was looked at in the kernel.
 */
#ifndef KCKPT_WATCH_H
#define KCKPT_WATCH_H

#include <linux/mmu_notifier.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include "blocks.h"

#ifndef CONFIG_MMU_NOTIFIER
#error "a kernel with CONFIG_MMU_NOTIFIER is needed, which KVM selects"
#endif

struct kckpt_ctx;
struct kckpt_object;
struct kckpt_snapshot_mm;

/* What is watched; the runs never change. */
struct kckpt_blocks {
	struct rcu_head rcu;
	unsigned long *unchanged;	/* a bit for each block */
	u32 nr, nr_runs;
	struct kckpt_block_run runs[];
};

struct kckpt_watch {
	struct mmu_notifier notifier;	/* holds the address space */
	struct list_head node;		/* of those that are to be forgotten */
	spinlock_t lock;		/* to clear bits, or to put others in their place; innermost */
	struct kckpt_blocks __rcu *blocks;
};

/*
 * kckpt_watch_unchanged() - dump: what of the address space @obj, which is frozen and locked, is as its parent image
 * has it. Makes @obj->unchanged, which is empty where there is no memory for it; for an increment on which another one
 * will build it leaves out what that is to have a new copy of. What is copied by it is to be copied under the same
 * lock, for writing: huge pages may be made of small ones else. kckpt_watch_find() - the same, and locks. An error is
 * one of the dump.
 */
void kckpt_watch_unchanged(struct kckpt_ctx *ctx, struct kckpt_object *obj);
int kckpt_watch_find(struct kckpt_ctx *ctx, struct kckpt_object *obj);

/* kckpt_watch_layer() - the layer of a snapshot that has what was mapped at @addr. Only for who has it open. */
struct mm_struct *kckpt_watch_layer(const struct kckpt_snapshot_mm *snapshot, unsigned long addr);

/*
 * kckpt_watch_follow() - watch what @now is of, from now on. @carried: what it has not a copy of, since it was
 * unchanged; @now takes the watch and these layers over from @old, which must be open, or NULL. @old keeps what is
 * to be freed, and trimmed by kckpt_watch_trim(), in a worker. The job may run, and may have ended. Where something
 * fails, less is known to be unchanged.
 */
void kckpt_watch_follow(struct kckpt_snapshot_mm *now, struct kckpt_block_list *carried, struct kckpt_snapshot_mm *old);
void kckpt_watch_trim(struct kckpt_snapshot_mm *old);

/* kckpt_watch_end() - of @snapshot. The kernel forgets it later, in a worker. */
void kckpt_watch_end(struct kckpt_snapshot_mm *snapshot);

void kckpt_watches_exit(void);

#endif
