// SPDX-License-Identifier: GPL-2.0
/*
 * Makes the stream of image.h. Records were prepared while capturing; pages are looked up batch by batch when somebody
 * wants them; digests and index come at the end, since they are known only then.
 */
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/timekeeping.h>
#include <linux/utsname.h>
#include <linux/uuid.h>

#include "compat/task.h"
#include "family.h"
#include "fault.h"
#include "save.h"
#include "shadow.h"
#include "share.h"
#include "snapshot.h"

static void save_work(struct work_struct *work);

struct kckpt_save *kckpt_save_alloc(void)
{
	struct kckpt_save *save = kckpt_alloc(sizeof(*save));

	if (!save)
		return NULL;
	INIT_WORK(&save->ahead, save_work);
	init_completion(&save->ahead_done);
	kckpt_stream_init(&save->stream, true);
	kckpt_recbuf_init(&save->index);
	kckpt_recbuf_init(&save->tail);
	return save;
}

void kckpt_save_free(struct kckpt_save *save)
{
	if (!save)
		return;
	kckpt_batch_put(&save->batch);
	kckpt_stream_free(&save->stream);
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
	generate_random_uuid(ctx->image);
	memcpy(header.uuid, ctx->image, sizeof(header.uuid));
	if (ctx->parent) {
		memcpy(header.parent, ctx->parent->image, sizeof(header.parent));
		header.parent_digest = ctx->parent->digest;
	}
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

/* Copies @len bytes at the cursor to @dst, NULL: over them; the digests see them all, @body may be NULL. */
static void records_step(struct kckpt_ctx *ctx, struct kckpt_recbuf_cursor *cursor, void *dst, size_t len,
			 struct xxh64_state *hash, struct xxh64_state *body)
{
	const void *data;
	size_t part;

	while (len) {
		data = kckpt_recbuf_next(&ctx->records, cursor, &part);
		if (WARN_ON_ONCE(!data))
			return;
		part = min(part, len);
		xxh64_update(hash, data, part);
		if (body)
			xxh64_update(body, data, part);
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
	struct xxh64_state hash, body;
	int err = 0;

	xxh64_reset(&hash, 0);
	xxh64_reset(&body, 0);
	records_step(ctx, &cursor, NULL, at, &hash, NULL);
	while (at < ctx->records.bytes && !err) {
		records_step(ctx, &cursor, &head, sizeof(head), &hash, &body);
		records_step(ctx, &cursor, NULL, ALIGN(head.size, 8), &hash, &body);
		if (head.object != object)
			err = save_index(save, at, &head);
		object = head.object;
		at += sizeof(head) + ALIGN(head.size, 8);
		rec.nr_records++;
	}
	rec.digest = xxh64_digest(&hash);
	ctx->image_digest = xxh64_digest(&body);
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

/* A record of the stream: its fields @rec of @size bytes, and the runs behind them. */
static int save_runs(struct kckpt_save *save, const struct kckpt_record *head, const void *rec, size_t size,
		     const void *runs)
{
	struct kckpt_stream *stream = &save->stream;
	u64 at = stream->at;

	return kckpt_stream_add(stream, head, sizeof(*head), true) ?: kckpt_stream_add(stream, rec, size, true) ?:
	       kckpt_stream_add(stream, runs, head->size - size, true) ?: save_index(save, at, head);
}

/* The pages of the batch that the parent has. */
static int save_parent(struct kckpt_save *save)
{
	struct kckpt_batch *batch = &save->batch;
	struct kckpt_parent_rec rec = { .nr_runs = batch->nr_same };
	struct kckpt_record head = {
		.family = KCKPT_F_stream, .kind = KCKPT_K_parent, .object = save->source->id,
		.size = sizeof(rec) + batch->nr_same * sizeof(batch->same[0]),
	};
	u32 i;

	if (!batch->nr_same)
		return 0;
	rec.source = save->source->parent->object;
	for (i = 0; i < batch->nr_same; i++)
		save->nr_parent += batch->same[i].nr_pages;
	save->nr_unchanged += batch->nr_unchanged;
	return save_runs(save, &head, &rec, sizeof(rec), batch->same);
}

/* What goes before the pages of a batch. */
static int save_batch_head(struct kckpt_save *save)
{
	static const u8 zeros[KCKPT_PAGE_SIZE];
	struct kckpt_batch *batch = &save->batch;
	struct kckpt_stream *stream = &save->stream;
	struct kckpt_pages_rec rec = { .nr_runs = batch->nr_runs, .nr_data = batch->nr_data };
	struct kckpt_record head = {
		.family = KCKPT_F_stream, .kind = KCKPT_K_pages, .object = save->source->id,
		.size = sizeof(rec) + batch->nr_runs * sizeof(batch->runs[0]),
	};

	if (!batch->nr_runs)
		return 0;
	save->nr_pages += batch->nr_data;
	return save_runs(save, &head, &rec, sizeof(rec), batch->runs) ?:
	       kckpt_stream_add(stream, zeros, batch->nr_data ? -stream->at & (KCKPT_PAGE_SIZE - 1) : 0, true);
}

/* The next rows of what the address space shares with earlier ones. 1: added, 0: there are no more. */
static int save_shares(struct kckpt_ctx *ctx, struct kckpt_save *save)
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
	share->staged += rec.nr_runs;
	return save_runs(save, &head, &rec, sizeof(rec), share->rows.runs + share->staged - rec.nr_runs) ?: 1;
}

/* On to the next object that has pages, if there is one. 0, KCKPT_WAITS, or a negative errno. */
static int save_next(struct kckpt_ctx *ctx, struct kckpt_save *save)
{
	if (ctx->no_wait)
		return KCKPT_WAITS;
	save->source = save_next_source(ctx, save->begun ? save->source : NULL);
	save->begun = true;
	save->addr = 0;
	return save->source && ctx->share && save->source->family == KCKPT_F_mm ?
	       kckpt_share_find(ctx, save->source) : 0;
}

/* Looks up the next batch, and begins it. 1: added, 0: there are no more pages, KCKPT_WAITS. */
static int save_next_batch(struct kckpt_ctx *ctx, struct kckpt_save *save)
{
	int ret = 0;

	kckpt_batch_put(&save->batch);
	save->page_at = 0;
	if (!save->begun)
		ret = save_next(ctx, save);
	/* What a file has is read as files are. */
	if (!ret && ctx->no_wait && save->source && save->source->family != KCKPT_F_mm)
		return KCKPT_WAITS;
	while (!ret && save->source) {
		ret = save_shares(ctx, save);
		if (ret)
			return ret;
		ret = kckpt_shadow_find(ctx, save->source, &save->addr, &save->batch);
		save->nr_zero += save->batch.nr_zero;
		if (ret < 0 || ret == KCKPT_WAITS)
			return ret;
		if (ret)
			return save_parent(save) ?: save_batch_head(save) ?: 1;
		ret = save_next(ctx, save);
	}
	return ret;
}

static int save_pages(struct kckpt_ctx *ctx, struct kckpt_save *save)
{
	if (save->page_at == save->batch.nr_data)
		return save_next_batch(ctx, save);
	return kckpt_stream_add_page(&save->stream, kckpt_batch_page(&save->batch, save->page_at++)) ?: 1;
}

/* ---- the tail ---- */

/* Appends to the tail; the root digest sees it. */
static int tail_add(struct kckpt_save *save, const void *data, size_t len)
{
	xxh64_update(&save->stream.root, data, len);
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
		.rec.digests_at = save->stream.at,
	};
	int err;

	err = kckpt_stream_end_digests(&save->stream) ?:
	      tail_add_list(save, KCKPT_K_digests, save->stream.nr_digests, &save->stream.digests);
	if (err)
		return err;
	trailer.rec.index_at = trailer.rec.digests_at + save->tail.bytes;
	err = tail_add_list(save, KCKPT_K_index, save->nr_rows, &save->index);
	if (err)
		return err;
	trailer.rec.bytes = trailer.rec.digests_at + save->tail.bytes + sizeof(trailer);
	trailer.rec.root = kckpt_stream_root(&save->stream);
	trailer.rec.self = xxh64(&trailer, offsetof(typeof(trailer), rec.self), 0);
	return kckpt_recbuf_add(&save->tail, &trailer, sizeof(trailer));
}

/* ---- bytes ---- */

/* What lies together in a buffer. 1: added, 0: there is no more. */
static int save_buf(struct kckpt_save *save, const struct kckpt_recbuf *buf, bool in_root)
{
	const void *data;
	size_t len;

	data = kckpt_recbuf_next(buf, &save->cursor, &len);
	if (!data)
		return 0;
	len = min_t(size_t, len, KCKPT_PAGE_SIZE);
	save->cursor.at += len;
	return kckpt_stream_add(&save->stream, data, len, in_root) ?: 1;
}

/* 1: added, 0: the phase is over, KCKPT_WAITS. */
static int save_step(struct kckpt_ctx *ctx, struct kckpt_save *save)
{
	switch (save->phase) {
	case KCKPT_SAVE_RECORDS:
		return save_buf(save, &ctx->records, true);
	case KCKPT_SAVE_PAGES:
		return save_pages(ctx, save);
	case KCKPT_SAVE_TAIL:
		return save_buf(save, &save->tail, false);
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

/* Until so much of it is @left, or it ends. */
static int save_fill(struct kckpt_ctx *ctx, struct kckpt_save *save, u64 left, bool *at_tail)
{
	int ret;

	while (!save->err && save->phase != KCKPT_SAVE_DONE && kckpt_stream_left(&save->stream) < left &&
	       !READ_ONCE(ctx->stop)) {
		ret = fatal_signal_pending(current) ? -EINTR : save_step(ctx, save);
		if (!ret && save->phase == KCKPT_SAVE_PAGES && !*at_tail) {
			save->has_pages = true;
			*at_tail = !kckpt_stream_left(&save->stream);
			break;
		}
		if (ret == KCKPT_WAITS)
			break;
		save->err = ret ? min(ret, 0) : save_next_phase(save);
		kckpt_progress(ctx);
		cond_resched();
	}
	return save->err;
}

int kckpt_save_fill(struct kckpt_ctx *ctx, struct kckpt_save *save, bool *at_tail)
{
	return save_fill(ctx, save, KCKPT_CHUNK_SIZE, at_tail);
}

/* ---- ahead ---- */

/*
 * Only what nobody has to be waited for: who has asked can be killed, and the worker cannot. What is being taken counts
 * as left all the time, so it never gets to the tail.
 */
static void save_work(struct work_struct *work)
{
	struct kckpt_save *save = container_of(work, struct kckpt_save, ahead);
	bool at_tail = false;

	save->ctx->no_wait = true;
	save_fill(save->ctx, save, kckpt_stream_left(&save->stream) + KCKPT_CHUNK_SIZE, &at_tail);
	save->ctx->no_wait = false;
	complete(&save->ahead_done);
}

void kckpt_save_ahead(struct kckpt_ctx *ctx, struct kckpt_save *save)
{
	/* Real-time tasks are not to wait for others of less priority. */
	if (save->err || save->has_pages || kckpt_stream_left(&save->stream) >= 2 * KCKPT_CHUNK_SIZE ||
	    kckpt_is_realtime(current))
		return;
	save->err = kckpt_stream_make_room(&save->stream);
	if (save->err)
		return;
	save->ctx = ctx;
	reinit_completion(&save->ahead_done);
	queue_work(kckpt_workers, &save->ahead);
}

/* If nobody has begun it meanwhile, it is not begun any more: who takes can do it as well. */
void kckpt_save_join(struct kckpt_save *save)
{
	if (!save->ctx)
		return;
	if (!cancel_work(&save->ahead)) {
		if (wait_for_completion_killable(&save->ahead_done))
			WRITE_ONCE(save->ctx->stop, true);
		flush_work(&save->ahead);
		save->ctx->stop = false;
	}
	save->ctx = NULL;
}
