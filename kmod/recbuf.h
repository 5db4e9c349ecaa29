/* SPDX-License-Identifier: GPL-2.0 */
/* A growing buffer of bytes, for records: written once from front to back, then read so. */
#ifndef KCKPT_RECBUF_H
#define KCKPT_RECBUF_H

#include <linux/list.h>
#include <linux/types.h>

struct kckpt_recbuf {
	struct list_head blocks;
	u64 bytes;
	u64 held;	/* memory taken for them */
};

void kckpt_recbuf_init(struct kckpt_recbuf *buf);
void kckpt_recbuf_free(struct kckpt_recbuf *buf);

/* kckpt_recbuf_add() - append; -ENOMEM, also past the limit of 512 MiB. */
int kckpt_recbuf_add(struct kckpt_recbuf *buf, const void *data, size_t len);

/*
 * kckpt_recbuf_reserve() - @len bytes, zero, that lie together and stay where they are, or NULL; no limit. In a buffer
 * that is not read in order.
 */
void *kckpt_recbuf_reserve(struct kckpt_recbuf *buf, size_t len);

/* The cursor makes reading in order cheap. */
struct kckpt_recbuf_block {
	struct list_head node;
	u32 used, room;
	u8 data[] __aligned(8);
};

struct kckpt_recbuf_cursor {
	const struct kckpt_recbuf_block *block;
	u32 at;
};

/* kckpt_recbuf_next() - what lies together at the cursor; NULL at the end. */
const void *kckpt_recbuf_next(const struct kckpt_recbuf *buf, struct kckpt_recbuf_cursor *cursor, size_t *len);

#endif
