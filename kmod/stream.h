/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The stream of an image on its way, in either direction. What passes is held, chunk by chunk, until the digest of its
 * chunk is known, which another CPU computes meanwhile; in a dump also until somebody took it.
 *
 * A chunk is KCKPT_CHUNK_SIZE bytes of the stream, and each page of it is a page of memory: those of the job are
 * referenced where they are, since their contents lie at multiples of a page in the stream; all else is copied
 * into pages of our own. So are those of the job, if they may change and somebody wants pages that never do. In a
 * restore, what comes before the first page of a chunk, as the records do, goes into its digest at once.
 *
 * Who has the session uses it, or the worker that it has asked to go on and waits for (save.h); the others have only
 * the chunk that they were given.
 */
#ifndef KCKPT_STREAM_H
#define KCKPT_STREAM_H

#include <linux/bvec.h>
#include <linux/list.h>
#include <linux/workqueue.h>
#include <linux/xxhash.h>
#include <kckpt/image.h>

#include "recbuf.h"

#define KCKPT_CHUNK_PAGES (KCKPT_CHUNK_SIZE / KCKPT_PAGE_SIZE)

struct kckpt_chunk {
	struct list_head node;
	struct work_struct work;	/* computes the digest */
	u64 at;				/* where it begins in the stream */
	u32 len;			/* bytes that are there */
	u32 digested;			/* of them are under the digest; 0: not known yet how many */
	bool queued, counted;		/* given to a worker; its digest is in the list */
	bool foreign;			/* some of its pages are not our own, */
	bool changes;			/* and may change once the job runs */
	u64 digest;
	struct xxh64_state hash;	/* over what came before any page in a restore, */
	u32 hashed;			/* so many bytes; they are not kept */
	struct page *pages[KCKPT_CHUNK_PAGES];	/* a reference each */
};

/* What kckpt_stream_add_page() does with it. */
enum kckpt_stream_pages {
	KCKPT_PAGES_CHANGE,	/* reference it: it may change once the job runs */
	KCKPT_PAGES_STAY,	/* reference it: it never changes */
	KCKPT_PAGES_COPY,	/* copy it */
};

/* XXH64 finds damage, not malice. */
struct kckpt_stream {
	struct xxh64_state root;	/* over all that is not page data */
	u64 at;				/* bytes so far */
	u64 taken;			/* of them were taken out */
	bool is_dump;			/* chunks wait for that */
	enum kckpt_stream_pages pages;
	bool ended;			/* what follows is in no chunk's digest */
	struct list_head chunks;	/* in order; what is added goes into the last one */
	u32 nr_chunks;
	struct kckpt_recbuf digests;	/* u64 each */
	u64 nr_digests;
	struct page *spare[KCKPT_CHUNK_PAGES];	/* that were copied into, for the next ones; nobody else has them */
	u32 nr_spare;
};

void kckpt_stream_init(struct kckpt_stream *stream, bool is_dump);

/* kckpt_stream_drop() - let go of all pages. What was not taken yet is lost. */
void kckpt_stream_drop(struct kckpt_stream *stream);
void kckpt_stream_free(struct kckpt_stream *stream);

/* kckpt_stream_add() - copy the next bytes; @in_root: the root digest is over them, too. 0 or -ENOMEM. */
int kckpt_stream_add(struct kckpt_stream *stream, const void *data, size_t len, bool in_root);

/* kckpt_stream_add_page() - the next page of data, referenced or copied. 0 or -ENOMEM. */
int kckpt_stream_add_page(struct kckpt_stream *stream, struct page *page);

/* kckpt_stream_copy_page() - a copy of @page, with a reference for the caller; NULL: no memory. */
struct page *kckpt_stream_copy_page(struct kckpt_stream *stream, struct page *page);

/* kckpt_stream_end_digests() - what follows is in none. Waits for those that are missing. */
int kckpt_stream_end_digests(struct kckpt_stream *stream);

static inline u64 kckpt_stream_root(const struct kckpt_stream *stream)
{
	return xxh64_digest(&stream->root);
}

/* kckpt_stream_make_room() - what is added next, up to a chunk and a record, waits for no digest. 0 or -ENOMEM. */
int kckpt_stream_make_room(struct kckpt_stream *stream);

/* kckpt_stream_left() - bytes that nobody has taken yet. */
static inline u64 kckpt_stream_left(const struct kckpt_stream *stream)
{
	return stream->at - stream->taken;
}

/* kckpt_stream_next() - where the bytes to be taken next lie: up to @len of them, from @from on in the chunk. */
struct kckpt_chunk *kckpt_stream_next(struct kckpt_stream *stream, u32 *from, u32 *len);

/* kckpt_chunk_bvec() - describe bytes of a chunk in @bvec, pages that lie together as one; how many entries. */
u32 kckpt_chunk_bvec(const struct kckpt_chunk *chunk, u32 from, u32 len, struct bio_vec bvec[KCKPT_CHUNK_PAGES]);

/* Who computes, and fetches pages ahead, beside those who have sessions. */
extern struct workqueue_struct *kckpt_workers;
int kckpt_workers_init(void);
void kckpt_workers_exit(void);

#endif
