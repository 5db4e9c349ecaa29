/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Lists of *blocks*: pieces of an address space that are looked at as a whole, aligned. Larger ones would mean that
 * more is copied and compared where single pages have changed, smaller ones longer lists; of these, the page table
 * entries fill two cache lines.
 */
#ifndef KCKPT_BLOCKS_H
#define KCKPT_BLOCKS_H

#include <linux/mm.h>
#include <linux/types.h>

#define KCKPT_BLOCK_PAGES	16
#define KCKPT_BLOCK_SIZE	(KCKPT_BLOCK_PAGES * PAGE_SIZE)
#define KCKPT_MAX_BLOCKS	(1U << 28)	/* in all: 16 TiB */
#define KCKPT_MAX_BLOCK_RUNS	(1U << 20)

/* Blocks that follow each other. */
struct kckpt_block_run {
	unsigned long start, end;	/* addresses */
	u32 first;			/* bit of the first one, if they are watched; see watch.h */
	u16 layer;			/* of a snapshot, that has them */
	bool huge;			/* huge pages: their blocks are all in it, and change together */
};

/* Runs in order of their addresses; zeroed: none. */
struct kckpt_block_list {
	struct kckpt_block_run *runs;
	u32 nr, room;
};

/* kckpt_blocks_add() - adds what lies behind the last one, if anything; 0 or -ENOMEM. */
int kckpt_blocks_add(struct kckpt_block_list *list, unsigned long start, unsigned long end, u16 layer, bool huge);

/* kckpt_blocks_find() - the first of @nr runs that ends behind @addr, or @nr. */
u32 kckpt_blocks_find(const struct kckpt_block_run *runs, u32 nr, unsigned long addr);

void kckpt_blocks_free(struct kckpt_block_list *list);

static inline u32 kckpt_run_blocks(const struct kckpt_block_run *run)
{
	return (run->end - run->start) / KCKPT_BLOCK_SIZE;
}

#endif
