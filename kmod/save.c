// SPDX-License-Identifier: GPL-2.0
/*
 * Writes the stream of image.h. Records were prepared while capturing; pages are looked up batch by batch when the
 * reader wants them; digests and index come at the end, since they are known only then.
 */
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/timekeeping.h>
#include <linux/utsname.h>
#include <linux/uuid.h>

#include "family.h"
#include "fault.h"
#include "save.h"
#include "shadow.h"
#include "share.h"

struct kckpt_save *kckpt_save_alloc(void)
{
	struct kckpt_save *save = kckpt_alloc(sizeof(*save));

	if (!save)
		return NULL;
	kckpt_digest_init(&save->digest);
	kckpt_recbuf_init(&save->index);
	kckpt_recbuf_init(&save->tail);
	return save;
}

void kckpt_save_free(struct kckpt_save *save)
{
	if (!save)
		return;
	kckpt_batch_put(&save->batch);
	kckpt_digest_free(&save->digest);
	kckpt_recbuf_free(&save->index);
	kckpt_recbuf_free(&save->tail);
	kvfree(save);
}

int kckpt_save_begin(struct kckpt_ctx *ctx)
{
	struct kckpt_header header = {
		.major = KCKPT_IMAGE_MAJOR,
		.minor = KCKPT_IMAGE_MINOR,
		.header_size = sizeof(header),
		.page_shift = PAGE_SHIFT,
		.realtime_ns = ktime_get_real_ns(),
		.monotonic_ns = ktime_get_ns(),
		.boottime_ns = ktime_get_boottime_ns(),
		.nr_tasks = ctx->nr_tasks,
		.arch = "x86_64",
	};

	memcpy(header.magic, KCKPT_IMAGE_MAGIC, sizeof(header.magic));
	generate_random_uuid((u8 *)header.uuid);
	strscpy(header.kernel, init_utsname()->release, sizeof(header.kernel));
	strscpy(header.host, utsname()->nodename, sizeof(header.host));
	return kckpt_recbuf_add(&ctx->records, &header, sizeof(header));
}

static int save_index(struct kckpt_save *save, u64 offset, const struct kckpt_record *head)
{
	struct kckpt_index_row row = {
		.offset = offset, .object = head->object, .family = head->family, .kind = head->kind,
	};

	save->nr_rows++;
	return kckpt_recbuf_add(&save->index, &row, sizeof(row));
}

/* Copies @len bytes at the cursor to @dst, NULL: over them; the digest state @hash sees them all. */
static void records_step(struct kckpt_ctx *ctx, struct kckpt_recbuf_cursor *cursor, void *dst, size_t len,
			 struct xxh64_state *hash)
{
	const void *data;
	size_t part;

	while (len) {
		data = kckpt_recbuf_next(&ctx->records, cursor, &part);
		if (WARN_ON_ONCE(!data))
			return;
		part = min(part, len);
		xxh64_update(hash, data, part);
		if (dst) {
			memcpy(dst, data, part);
			dst += part;
		}
		cursor->at += part;
		len -= part;
	}
}

int kckpt_save_records_end(struct kckpt_ctx *ctx, struct kckpt_save *save)
{
	struct kckpt_record head, end = { .family = KCKPT_F_stream, .kind = KCKPT_K_end };
	struct kckpt_end_rec rec = { .nr_objects = ctx->objs.nr, .nr_pages = ctx->nr_pages };
	struct kckpt_recbuf_cursor cursor = {};
	u64 object = 0, at = sizeof(struct kckpt_header);
	struct xxh64_state hash;
	int err = 0;

	xxh64_reset(&hash, 0);
	records_step(ctx, &cursor, NULL, at, &hash);
	while (at < ctx->records.bytes && !err) {
		records_step(ctx, &cursor, &head, sizeof(head), &hash);
		records_step(ctx, &cursor, NULL, ALIGN(head.size, 8), &hash);
		if (head.object != object)
			err = save_index(save, at, &head);
		object = head.object;
		at += sizeof(head) + ALIGN(head.size, 8);
		rec.nr_records++;
	}
	rec.digest = xxh64_digest(&hash);
	end.size = sizeof(rec);
	return err ?: kckpt_recbuf_add(&ctx->records, &end, sizeof(end)) ?:
	       kckpt_recbuf_add(&ctx->records, &rec, sizeof(rec));
}

/* ---- pages ---- */

/* The next object that has pages. */
static struct kckpt_object *save_next_source(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct list_head *list = &ctx->objs.list;
	struct list_head *pos = obj ? obj->node.next : list->next;

	for (; pos != list; pos = pos->next) {
		obj = list_entry(pos, struct kckpt_object, node);
		if (kckpt_family(obj->family)->pages_find)
			return obj;
	}
	return NULL;
}

static void stage_add(struct kckpt_save *save, const void *data, size_t len)
{
	memcpy(save->stage + save->staged, data, len);
	save->staged += len;
}

static int save_stage_batch(struct kckpt_save *save)
{
	struct kckpt_batch *batch = &save->batch;
	struct kckpt_pages_rec rec = { .nr_runs = batch->nr_runs, .nr_data = batch->nr_data };
	struct kckpt_record head = {
		.family = KCKPT_F_stream, .kind = KCKPT_K_pages, .object = save->source->id,
		.size = sizeof(rec) + batch->nr_runs * sizeof(batch->runs[0]),
	};
	u64 at = save->digest.at;
	size_t pad;

	save->staged = save->staged_at = 0;
	stage_add(save, &head, sizeof(head));
	stage_add(save, &rec, sizeof(rec));
	stage_add(save, batch->runs, batch->nr_runs * sizeof(batch->runs[0]));
	if (batch->nr_data) {
		pad = -(at + save->staged) & (KCKPT_PAGE_SIZE - 1);
		memset(save->stage + save->staged, 0, pad);
		save->staged += pad;
	}
	save->nr_pages += batch->nr_data;
	return save_index(save, at, &head);
}

/* The next rows of what the address space shares with earlier ones. 1: they are staged, 0: there are no more. */
static int save_stage_shares(struct kckpt_ctx *ctx, struct kckpt_save *save)
{
	struct kckpt_share *share = ctx->share;
	struct kckpt_shares_rec rec = {};
	struct kckpt_record head = {
		.family = KCKPT_F_stream, .kind = KCKPT_K_shares, .object = save->source->id,
	};

	if (!share || share->staged == share->rows.nr)
		return 0;
	rec.nr_runs = min(share->rows.nr - share->staged, KCKPT_MAX_SHARES);
	head.size = sizeof(rec) + rec.nr_runs * sizeof(*share->rows.runs);
	save->staged = save->staged_at = 0;
	stage_add(save, &head, sizeof(head));
	stage_add(save, &rec, sizeof(rec));
	stage_add(save, share->rows.runs + share->staged, rec.nr_runs * sizeof(*share->rows.runs));
	share->staged += rec.nr_runs;
	return save_index(save, save->digest.at, &head) ?: 1;
}

/* On to the next object that has pages, if there is one. */
static int save_next(struct kckpt_ctx *ctx, struct kckpt_save *save)
{
	save->source = save_next_source(ctx, save->begun ? save->source : NULL);
	save->begun = true;
	save->addr = 0;
	return save->source && ctx->share && save->source->family == KCKPT_F_mm ?
	       kckpt_share_find(ctx, save->source) : 0;
}

/* 1: a batch is staged, 0: there are no more pages. */
static int save_next_batch(struct kckpt_ctx *ctx, struct kckpt_save *save)
{
	int ret = 0;

	kckpt_batch_put(&save->batch);
	save->page_at = save->byte_at = 0;
	if (!save->begun)
		ret = save_next(ctx, save);
	while (!ret && save->source) {
		ret = save_stage_shares(ctx, save);
		if (ret)
			return ret;
		ret = kckpt_shadow_find(ctx, save->source, &save->addr, &save->batch);
		save->nr_zero += save->batch.nr_zero;
		if (ret < 0)
			return ret;
		if (ret)
			return save_stage_batch(save) ?: 1;
		ret = save_next(ctx, save);
	}
	return ret;
}

/* ---- the tail ---- */

/* Appends to the tail; the root digest sees it. */
static int tail_add(struct kckpt_save *save, const void *data, size_t len)
{
	xxh64_update(&save->digest.root, data, len);
	return kckpt_recbuf_add(&save->tail, data, len);
}

static int tail_add_buf(struct kckpt_save *save, const struct kckpt_recbuf *buf)
{
	struct kckpt_recbuf_cursor cursor = {};
	const void *data;
	size_t len;
	int err;

	while ((data = kckpt_recbuf_next(buf, &cursor, &len))) {
		err = tail_add(save, data, len);
		if (err)
			return err;
		cursor.at += len;
	}
	return 0;
}

static int tail_add_list(struct kckpt_save *save, u16 kind, u64 nr, const struct kckpt_recbuf *buf)
{
	struct kckpt_record head = { .family = KCKPT_F_stream, .kind = kind, .size = sizeof(nr) + buf->bytes };

	if (buf->bytes > KCKPT_MAX_RECORD - sizeof(nr))
		return -EFBIG;
	return tail_add(save, &head, sizeof(head)) ?: tail_add(save, &nr, sizeof(nr)) ?: tail_add_buf(save, buf);
}

static int save_build_tail(struct kckpt_save *save)
{
	struct {
		struct kckpt_record head;
		struct kckpt_trailer_rec rec;
	} trailer = {
		.head = { .family = KCKPT_F_stream, .kind = KCKPT_K_trailer, .size = sizeof(trailer.rec) },
		.rec.digests_at = save->digest.at,
	};
	int err;

	err = kckpt_digest_end(&save->digest) ?:
	      tail_add_list(save, KCKPT_K_digests, save->digest.nr_chunks, &save->digest.chunks);
	if (err)
		return err;
	trailer.rec.index_at = trailer.rec.digests_at + save->tail.bytes;
	err = tail_add_list(save, KCKPT_K_index, save->nr_rows, &save->index);
	if (err)
		return err;
	trailer.rec.bytes = trailer.rec.digests_at + save->tail.bytes + sizeof(trailer);
	trailer.rec.root = kckpt_digest_root(&save->digest);
	trailer.rec.self = xxh64(&trailer, offsetof(typeof(trailer), rec.self), 0);
	return kckpt_recbuf_add(&save->tail, &trailer, sizeof(trailer));
}

/* ---- read() ---- */

/* Copies what lies together, as far as the reader has room; the digest sees what was copied. */
static ssize_t save_copy(struct kckpt_save *save, const void *data, size_t len, struct iov_iter *to, bool is_page)
{
	size_t n = kckpt_should_fail() ? 0 : copy_to_iter(data, min(len, iov_iter_count(to)), to);
	int err;

	if (!n)
		return -EFAULT;
	err = save->phase == KCKPT_SAVE_TAIL ? 0 : kckpt_digest_add(&save->digest, data, n, is_page);
	return err ?: n;
}

static ssize_t save_copy_buf(struct kckpt_save *save, const struct kckpt_recbuf *buf, struct iov_iter *to)
{
	const void *data;
	size_t len;
	ssize_t n;

	data = kckpt_recbuf_next(buf, &save->cursor, &len);
	if (!data)
		return 0;
	n = save_copy(save, data, len, to, false);
	if (n > 0)
		save->cursor.at += n;
	return n;
}

static ssize_t save_copy_page(struct kckpt_save *save, struct iov_iter *to)
{
	void *data = page_address(kckpt_batch_page(&save->batch, save->page_at));
	ssize_t n = save_copy(save, data + save->byte_at, PAGE_SIZE - save->byte_at, to, true);

	if (n > 0) {
		save->byte_at += n;
		if (save->byte_at == PAGE_SIZE) {
			save->byte_at = 0;
			save->page_at++;
		}
	}
	return n;
}

static ssize_t save_copy_pages(struct kckpt_ctx *ctx, struct kckpt_save *save, struct iov_iter *to)
{
	ssize_t n;
	int ret;

	if (save->staged_at == save->staged && save->page_at == save->batch.nr_data) {
		ret = save_next_batch(ctx, save);
		if (ret <= 0)
			return ret;
	}
	if (save->staged_at == save->staged)
		return save_copy_page(save, to);
	n = save_copy(save, save->stage + save->staged_at, save->staged - save->staged_at, to, false);
	if (n > 0)
		save->staged_at += n;
	return n;
}

/* 0: the phase is over. */
static ssize_t save_step(struct kckpt_ctx *ctx, struct kckpt_save *save, struct iov_iter *to)
{
	switch (save->phase) {
	case KCKPT_SAVE_RECORDS:
		return save_copy_buf(save, &ctx->records, to);
	case KCKPT_SAVE_PAGES:
		return save_copy_pages(ctx, save, to);
	case KCKPT_SAVE_TAIL:
		return save_copy_buf(save, &save->tail, to);
	default:
		return 0;
	}
}

static int save_next_phase(struct kckpt_save *save)
{
	save->phase++;
	save->cursor = (struct kckpt_recbuf_cursor){};
	return save->phase == KCKPT_SAVE_TAIL ? save_build_tail(save) : 0;
}

ssize_t kckpt_save_read(struct kckpt_ctx *ctx, struct kckpt_save *save, struct iov_iter *to, bool *at_tail)
{
	size_t done = 0;
	ssize_t n = 0;

	while (!save->err && iov_iter_count(to) && save->phase != KCKPT_SAVE_DONE) {
		n = save_step(ctx, save, to);
		if (n < 0)
			break;
		done += n;
		kckpt_progress(ctx);
		if (fatal_signal_pending(current)) {
			n = -EINTR;
			break;
		}
		cond_resched();
		if (n)
			continue;
		if (save->phase == KCKPT_SAVE_PAGES && !*at_tail) {
			*at_tail = true;
			break;
		}
		n = save_next_phase(save);
		if (n)
			break;
	}
	if (n < 0)
		save->err = n;
	return done ?: save->err;
}
