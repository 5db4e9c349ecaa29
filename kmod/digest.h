/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The digests of a stream: one for each chunk of 1 MiB, and one, the root, over all that is not page data.
 * XXH64 finds damage, not malice.
 */
#ifndef KCKPT_DIGEST_H
#define KCKPT_DIGEST_H

#include <linux/xxhash.h>
#include "recbuf.h"

struct kckpt_digest {
	struct xxh64_state chunk, root;
	u64 at;				/* bytes so far */
	struct kckpt_recbuf chunks;	/* u64 each, of the chunks that are complete */
	u64 nr_chunks;
	bool ended;			/* what follows is in no chunk */
};

void kckpt_digest_init(struct kckpt_digest *digest);
void kckpt_digest_free(struct kckpt_digest *digest);

/* kckpt_digest_add() - the next bytes of the stream; 0 or -ENOMEM. */
int kckpt_digest_add(struct kckpt_digest *digest, const void *data, size_t len, bool is_page);

/* kckpt_digest_end() - close the last, short chunk. */
int kckpt_digest_end(struct kckpt_digest *digest);

static inline u64 kckpt_digest_root(const struct kckpt_digest *digest)
{
	return xxh64_digest(&digest->root);
}

#endif
