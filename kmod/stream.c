// SPDX-License-Identifier: GPL-2.0
/* See stream.h. */
#include <linux/minmax.h>
#include <linux/mm.h>

#include "fault.h"
#include "stream.h"

#define MAX_CHUNKS 10	/* waiting for their digests; more CPUs than that are not needed to keep up with one writer */
#define ROOM 2		/* of them are begun by up to a chunk and a record */

struct workqueue_struct *kckpt_workers;

int kckpt_workers_init(void)
{
	kckpt_workers = alloc_workqueue("kckpt", WQ_UNBOUND | WQ_SYSFS, 0);
	return kckpt_workers ? 0 : -ENOMEM;
}

void kckpt_workers_exit(void)
{
	destroy_workqueue(kckpt_workers);
}

/* ---- one chunk ---- */

static void chunk_digest(struct kckpt_chunk *chunk)
{
	u32 at;

	for (at = chunk->hashed; at < chunk->digested; at += PAGE_SIZE)
		xxh64_update(&chunk->hash, page_address(chunk->pages[at / PAGE_SIZE]),
			     min_t(u32, chunk->digested - at, PAGE_SIZE));
	chunk->digest = xxh64_digest(&chunk->hash);
}

static void chunk_work(struct work_struct *work)
{
	chunk_digest(container_of(work, struct kckpt_chunk, work));
}

/* All that its digest is over is there. A short one, of a small image or the last, is not worth waking a worker. */
static void chunk_close(struct kckpt_chunk *chunk)
{
	chunk->digested = chunk->len;
	if (chunk->len < KCKPT_CHUNK_SIZE || chunk->hashed == chunk->len) {
		chunk_digest(chunk);
		return;
	}
	chunk->queued = true;
	queue_work(kckpt_workers, &chunk->work);
}

static struct kckpt_chunk *stream_last(struct kckpt_stream *stream)
{
	return list_empty(&stream->chunks) ? NULL : list_last_entry(&stream->chunks, struct kckpt_chunk, node);
}

static struct kckpt_chunk *stream_first(struct kckpt_stream *stream)
{
	return list_first_entry(&stream->chunks, struct kckpt_chunk, node);
}

/* Puts the digest into the list, after those of the chunks before. */
static int stream_count(struct kckpt_stream *stream, struct kckpt_chunk *chunk)
{
	int err;

	if (chunk->queued)
		flush_work(&chunk->work);
	if (chunk->counted || !chunk->digested)
		return 0;
	err = kckpt_recbuf_add(&stream->digests, &chunk->digest, sizeof(chunk->digest));
	if (err)
		return err;
	chunk->counted = true;
	stream->nr_digests++;
	return 0;
}

/* One of our own that no pipe has any more does for the next copy: new ones would have to be cleared. */
static void stream_put_page(struct kckpt_stream *stream, const struct kckpt_chunk *chunk, struct page *page)
{
	if (stream->pages == KCKPT_PAGES_COPY && !chunk->foreign && page_count(page) == 1 &&
	    stream->nr_spare < ARRAY_SIZE(stream->spare))
		stream->spare[stream->nr_spare++] = page;
	else
		put_page(page);
}

static void stream_drop_first(struct kckpt_stream *stream)
{
	struct kckpt_chunk *chunk = stream_first(stream);
	u32 i;

	if (chunk->queued)
		flush_work(&chunk->work);
	for (i = chunk->hashed / PAGE_SIZE; i < KCKPT_CHUNK_PAGES && chunk->pages[i]; i++)
		stream_put_page(stream, chunk, chunk->pages[i]);
	list_del(&chunk->node);
	stream->nr_chunks--;
	kvfree(chunk);
}

/* The digests of those that go are waited for; they were taken. */
static int stream_bound(struct kckpt_stream *stream, u32 nr_chunks)
{
	int err;

	while (stream->nr_chunks > nr_chunks) {
		err = stream_count(stream, stream_first(stream));
		if (err)
			return err;
		stream_drop_first(stream);
	}
	return 0;
}

int kckpt_stream_make_room(struct kckpt_stream *stream)
{
	return stream_bound(stream, MAX_CHUNKS - ROOM);
}

/* The chunk that the next byte goes into. */
static struct kckpt_chunk *stream_chunk(struct kckpt_stream *stream)
{
	struct kckpt_chunk *chunk = stream_last(stream);

	if (chunk && chunk->len < KCKPT_CHUNK_SIZE)
		return chunk;
	if (stream_bound(stream, MAX_CHUNKS - 1))
		return NULL;
	chunk = kckpt_alloc(sizeof(*chunk));
	if (!chunk)
		return NULL;
	INIT_WORK(&chunk->work, chunk_work);
	xxh64_reset(&chunk->hash, 0);
	chunk->at = stream->at;
	list_add_tail(&chunk->node, &stream->chunks);
	stream->nr_chunks++;
	return chunk;
}

static void stream_advance(struct kckpt_stream *stream, struct kckpt_chunk *chunk, u32 len)
{
	chunk->len += len;
	stream->at += len;
	if (chunk->len == KCKPT_CHUNK_SIZE && !stream->ended)
		chunk_close(chunk);
}

/* ---- the stream ---- */

void kckpt_stream_init(struct kckpt_stream *stream, bool is_dump)
{
	*stream = (struct kckpt_stream){ .is_dump = is_dump };
	xxh64_reset(&stream->root, 0);
	INIT_LIST_HEAD(&stream->chunks);
	kckpt_recbuf_init(&stream->digests);
}

void kckpt_stream_drop(struct kckpt_stream *stream)
{
	while (!list_empty(&stream->chunks))
		stream_drop_first(stream);
	while (stream->nr_spare)
		put_page(stream->spare[--stream->nr_spare]);
}

void kckpt_stream_free(struct kckpt_stream *stream)
{
	kckpt_stream_drop(stream);
	kckpt_recbuf_free(&stream->digests);
}

/* Copies what goes into one page, if it has to be kept for the digest or who takes it. */
static int stream_copy(struct kckpt_stream *stream, const void *data, u32 *len)
{
	struct kckpt_chunk *chunk = stream_chunk(stream);
	struct page **page;
	u32 at;

	if (!chunk)
		return -ENOMEM;
	if (!stream->is_dump && chunk->hashed == chunk->len) {
		*len = min_t(u32, *len, KCKPT_CHUNK_SIZE - chunk->len);
		xxh64_update(&chunk->hash, data, *len);
		chunk->hashed += *len;
		stream_advance(stream, chunk, *len);
		return 0;
	}
	page = &chunk->pages[chunk->len / PAGE_SIZE];
	at = offset_in_page(chunk->len);
	if (!*page)
		*page = kckpt_should_fail() ? NULL : alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!*page)
		return -ENOMEM;
	*len = min_t(u32, *len, PAGE_SIZE - at);
	memcpy(page_address(*page) + at, data, *len);
	stream_advance(stream, chunk, *len);
	return 0;
}

int kckpt_stream_add(struct kckpt_stream *stream, const void *data, size_t len, bool in_root)
{
	u32 part;
	int err;

	if (in_root)
		xxh64_update(&stream->root, data, len);
	if (stream->ended && !stream->is_dump) {
		stream->at += len;
		return 0;
	}
	for (; len; data += part, len -= part) {
		part = min_t(size_t, len, PAGE_SIZE);
		err = stream_copy(stream, data, &part);
		if (err)
			return err;
	}
	return 0;
}

struct page *kckpt_stream_copy_page(struct kckpt_stream *stream, struct page *page)
{
	struct page *copy = NULL;

	if (kckpt_should_fail())
		return NULL;
	if (stream->nr_spare)
		copy = stream->spare[--stream->nr_spare];
	else
		copy = alloc_page(GFP_KERNEL_ACCOUNT);
	if (copy)
		copy_page(page_address(copy), page_address(page));
	return copy;
}

int kckpt_stream_add_page(struct kckpt_stream *stream, struct page *page)
{
	struct kckpt_chunk *chunk = stream_chunk(stream);

	if (!chunk)
		return -ENOMEM;
	if (WARN_ON_ONCE(offset_in_page(chunk->len)))
		return -EINVAL;
	if (stream->pages == KCKPT_PAGES_COPY) {
		page = kckpt_stream_copy_page(stream, page);
		if (!page)
			return -ENOMEM;
	} else {
		get_page(page);
		chunk->foreign = true;
		chunk->changes |= stream->pages == KCKPT_PAGES_CHANGE;
	}
	chunk->pages[chunk->len / PAGE_SIZE] = page;
	stream_advance(stream, chunk, PAGE_SIZE);
	return 0;
}

int kckpt_stream_end_digests(struct kckpt_stream *stream)
{
	struct kckpt_chunk *chunk = stream_last(stream);
	int err = 0;

	stream->ended = true;
	if (chunk && !chunk->digested)
		chunk_close(chunk);
	list_for_each_entry(chunk, &stream->chunks, node) {
		err = stream_count(stream, chunk);
		if (err)
			return err;
	}
	/* In a dump the last one is still to be taken, and gets more. */
	while (stream->nr_chunks > stream->is_dump)
		stream_drop_first(stream);
	return 0;
}

struct kckpt_chunk *kckpt_stream_next(struct kckpt_stream *stream, u32 *from, u32 *len)
{
	struct kckpt_chunk *chunk;

	list_for_each_entry_reverse(chunk, &stream->chunks, node) {
		if (chunk->at > stream->taken)
			continue;
		*from = stream->taken - chunk->at;
		*len = chunk->len - *from;
		return *len ? chunk : NULL;
	}
	return NULL;
}

u32 kckpt_chunk_bvec(const struct kckpt_chunk *chunk, u32 from, u32 len, struct bio_vec bvec[KCKPT_CHUNK_PAGES])
{
	struct bio_vec *last = NULL;
	u32 nr = 0, part;

	for (; len; from += part, len -= part) {
		struct page *page = chunk->pages[from / PAGE_SIZE];

		part = min_t(u32, len, PAGE_SIZE - offset_in_page(from));
		if (last && page_to_pfn(last->bv_page) * PAGE_SIZE + last->bv_offset + last->bv_len ==
				    page_to_pfn(page) * PAGE_SIZE) {
			last->bv_len += part;
			continue;
		}
		last = &bvec[nr++];
		*last = (struct bio_vec){ .bv_page = page, .bv_offset = offset_in_page(from), .bv_len = part };
	}
	return nr;
}
