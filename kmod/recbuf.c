// SPDX-License-Identifier: GPL-2.0
/* See recbuf.h. */
#include "fault.h"
#include "recbuf.h"

#define BLOCK_BYTES	(64 * 1024)
#define BLOCK_ROOM	(BLOCK_BYTES - sizeof(struct kckpt_recbuf_block))
#define RECBUF_MAX	(512ULL << 20)

void kckpt_recbuf_init(struct kckpt_recbuf *buf)
{
	INIT_LIST_HEAD(&buf->blocks);
	buf->bytes = buf->held = 0;
}

void kckpt_recbuf_free(struct kckpt_recbuf *buf)
{
	struct kckpt_recbuf_block *block, *next;

	list_for_each_entry_safe(block, next, &buf->blocks, node)
		kvfree(block);
	kckpt_recbuf_init(buf);
}

static struct kckpt_recbuf_block *recbuf_block(struct kckpt_recbuf *buf, size_t room)
{
	struct kckpt_recbuf_block *block = kckpt_alloc(sizeof(*block) + room);

	if (!block)
		return NULL;
	block->room = room;
	buf->held += sizeof(*block) + room;
	return block;
}

/* The last block, if it has @len bytes left, or a new one. */
static struct kckpt_recbuf_block *recbuf_room(struct kckpt_recbuf *buf, size_t len)
{
	struct kckpt_recbuf_block *block;

	if (!list_empty(&buf->blocks)) {
		block = list_last_entry(&buf->blocks, struct kckpt_recbuf_block, node);
		if (block->room - block->used >= len)
			return block;
	}
	block = recbuf_block(buf, BLOCK_ROOM);
	if (block)
		list_add_tail(&block->node, &buf->blocks);
	return block;
}

int kckpt_recbuf_add(struct kckpt_recbuf *buf, const void *data, size_t len)
{
	struct kckpt_recbuf_block *block;
	size_t part;

	if (len > RECBUF_MAX - buf->bytes)
		return -ENOMEM;
	while (len) {
		block = recbuf_room(buf, 1);
		if (!block)
			return -ENOMEM;
		part = min_t(size_t, len, block->room - block->used);
		memcpy(block->data + block->used, data, part);
		block->used += part;
		buf->bytes += part;
		data += part;
		len -= part;
	}
	return 0;
}

void *kckpt_recbuf_reserve(struct kckpt_recbuf *buf, size_t len)
{
	struct kckpt_recbuf_block *block;
	void *data;

	len = ALIGN(len, 8);
	if (len <= BLOCK_ROOM / 4) {
		block = recbuf_room(buf, len);
	} else {	/* apart, so that no other block is left half empty */
		block = recbuf_block(buf, len);
		if (block)
			list_add(&block->node, &buf->blocks);
	}
	if (!block)
		return NULL;
	data = block->data + block->used;
	block->used += len;
	buf->bytes += len;
	return data;
}

const void *kckpt_recbuf_next(const struct kckpt_recbuf *buf, struct kckpt_recbuf_cursor *cursor, size_t *len)
{
	if (!cursor->block) {
		if (list_empty(&buf->blocks))
			return NULL;
		cursor->block = list_first_entry(&buf->blocks, struct kckpt_recbuf_block, node);
	}
	if (cursor->at == cursor->block->used) {
		if (list_is_last(&cursor->block->node, &buf->blocks))
			return NULL;
		cursor->block = list_next_entry(cursor->block, node);
		cursor->at = 0;
	}
	*len = cursor->block->used - cursor->at;
	return cursor->block->data + cursor->at;
}
