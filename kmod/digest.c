// SPDX-License-Identifier: GPL-2.0
/* See digest.h. */
#include <linux/minmax.h>
#include <kckpt/image.h>

#include "digest.h"

void kckpt_digest_init(struct kckpt_digest *digest)
{
	xxh64_reset(&digest->chunk, 0);
	xxh64_reset(&digest->root, 0);
	digest->at = 0;
	digest->nr_chunks = 0;
	digest->ended = false;
	kckpt_recbuf_init(&digest->chunks);
}

void kckpt_digest_free(struct kckpt_digest *digest)
{
	kckpt_recbuf_free(&digest->chunks);
}

static int digest_close_chunk(struct kckpt_digest *digest)
{
	u64 value = xxh64_digest(&digest->chunk);

	xxh64_reset(&digest->chunk, 0);
	digest->nr_chunks++;
	return kckpt_recbuf_add(&digest->chunks, &value, sizeof(value));
}

int kckpt_digest_add(struct kckpt_digest *digest, const void *data, size_t len, bool is_page)
{
	int err;

	if (!is_page)
		xxh64_update(&digest->root, data, len);
	if (digest->ended) {
		digest->at += len;
		return 0;
	}
	while (len) {
		size_t room = KCKPT_CHUNK_SIZE - (digest->at & (KCKPT_CHUNK_SIZE - 1));
		size_t part = min(len, room);

		xxh64_update(&digest->chunk, data, part);
		digest->at += part;
		data += part;
		len -= part;
		if (part == room) {
			err = digest_close_chunk(digest);
			if (err)
				return err;
		}
	}
	return 0;
}

int kckpt_digest_end(struct kckpt_digest *digest)
{
	digest->ended = true;
	return digest->at & (KCKPT_CHUNK_SIZE - 1) ? digest_close_chunk(digest) : 0;
}
