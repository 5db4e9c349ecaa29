// SPDX-License-Identifier: GPL-2.0
/* See blocks.h. */
#include <linux/mm.h>

#include "blocks.h"
#include "fault.h"

void kckpt_blocks_free(struct kckpt_block_list *list)
{
	kvfree(list->runs);
	*list = (struct kckpt_block_list){};
}

static int blocks_grow(struct kckpt_block_list *list)
{
	u32 room = list->room ? list->room * 2 : 16;
	struct kckpt_block_run *more = room > KCKPT_MAX_BLOCK_RUNS ? NULL : kckpt_alloc((size_t)room * sizeof(*more));

	if (!more)
		return -ENOMEM;
	if (list->nr)
		memcpy(more, list->runs, (size_t)list->nr * sizeof(*more));
	kvfree(list->runs);
	list->runs = more;
	list->room = room;
	return 0;
}

int kckpt_blocks_add(struct kckpt_block_list *list, unsigned long start, unsigned long end, u16 layer, bool huge)
{
	struct kckpt_block_run *last = list->nr ? &list->runs[list->nr - 1] : NULL;
	int err;

	if (start >= end)
		return 0;
	if (last && last->end == start && last->layer == layer && last->huge == huge) {
		last->end = end;
		return 0;
	}
	err = list->nr == list->room ? blocks_grow(list) : 0;
	if (!err)
		list->runs[list->nr++] = (struct kckpt_block_run){
			.start = start, .end = end, .layer = layer, .huge = huge,
		};
	return err;
}

u32 kckpt_blocks_find(const struct kckpt_block_run *runs, u32 nr, unsigned long addr)
{
	u32 low = 0, high = nr, mid;

	while (low < high) {
		mid = low + (high - low) / 2;
		if (runs[mid].end <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}
