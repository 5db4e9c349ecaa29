// SPDX-License-Identifier: GPL-2.0
/*
 * Reads the stream of image.h. Nothing in it is trusted: every length is bounded before it is used, records are
 * believed when the end record's digest agrees with them, pages when the digests at the end do; until then nobody
 * runs on them.
 */
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/swap.h>

#include "compat/file.h"
#include "crew.h"
#include "family.h"
#include "fault.h"
#include "load.h"
#include "pages.h"
#include "share.h"

#define LOAD_MAX_RECORDS	(1ULL << 30)	/* bytes of all records and objects, as they lie in memory */

struct kckpt_load *kckpt_load_alloc(void)
{
	struct kckpt_load *load = kckpt_alloc(sizeof(*load));

	if (!load)
		return NULL;
	kckpt_stream_init(&load->stream, false);
	xxh64_reset(&load->body, 0);
	kckpt_ahead_init(&load->ahead);
	return load;
}

static void load_unpin(struct kckpt_load *load)
{
	u32 i;

	for (i = 0; i < load->nr_pinned; i++) {
		/* Reclaim may have written the page to swap while we filled it. */
		if (!kckpt_family(load->target->family)->pages_write)
			set_page_dirty_lock(load->pinned[i]);
		put_page(load->pinned[i]);
	}
	load->nr_pinned = load->pin_at = load->byte_at = 0;
}

/* Those of objects stay with them. */
static void load_drop_record(struct kckpt_load *load)
{
	if (load->rec && load->rec->head.family == KCKPT_F_stream)
		kvfree(load->rec);
	load->rec = NULL;
}

void kckpt_load_free(struct kckpt_load *load)
{
	if (!load)
		return;
	kckpt_ahead_end(&load->ahead);
	load_unpin(load);
	kckpt_stream_free(&load->stream);
	load_drop_record(load);
	kvfree(load->scratch);
	kvfree(load->buffer);
	kckpt_share_rows_free(&load->shares);
	kvfree(load);
}

/* How much of the record being read is in the digests before all of it is. */
static u32 load_digested(const struct kckpt_load *load)
{
	return load->phase == KCKPT_LOAD_PAYLOAD && load->head.family == KCKPT_F_stream ? sizeof(load->head) : 0;
}

/* The offset in the image of what comes next. */
static u64 load_at(const struct kckpt_load *load)
{
	return load->stream.at + load->have - load_digested(load);
}

static int load_bad(struct kckpt_ctx *ctx, struct kckpt_load *load, const char *what)
{
	return kckpt_fail(ctx, NULL, KCKPT_E_IMAGE_DAMAGED, 0, "%s, before byte %llu", what, load_at(load));
}

/* ---- header ---- */

static int load_header(struct kckpt_ctx *ctx, struct kckpt_load *load)
{
	const struct kckpt_header *header = &load->header;

	if (memcmp(header->magic, KCKPT_IMAGE_MAGIC, sizeof(header->magic)))
		return kckpt_fail(ctx, NULL, KCKPT_E_IMAGE_MAGIC, 0, "the first 8 bytes are not " KCKPT_IMAGE_MAGIC);
	if (header->major != KCKPT_IMAGE_MAJOR)
		return kckpt_fail(ctx, NULL, KCKPT_E_IMAGE_NEWER, 0, "format %u.%u", header->major, header->minor);
	if (memchr_inv(header->parent, 0, sizeof(header->parent)))
		return kckpt_fail(ctx, NULL, KCKPT_E_IMAGE_PARENT, 0, "image %pUb", header->parent);
	if (header->header_size != sizeof(*header) || header->page_shift != PAGE_SHIFT ||
	    !memchr_inv(header->uuid, 0, sizeof(header->uuid)) ||
	    header->header_flags || header->parent_digest ||
	    memchr_inv(header->reserved, 0, sizeof(header->reserved)) ||
	    strncmp(header->arch, "x86_64", sizeof(header->arch)))
		return load_bad(ctx, load, "header");
	ctx->monotonic_shift = -header->monotonic_ns;
	ctx->boottime_shift = -header->boottime_ns;
	memcpy(ctx->image, header->uuid, sizeof(ctx->image));
	load->phase = KCKPT_LOAD_RECORD;
	return 0;
}

/* ---- records ---- */

static bool kind_known(u16 family, u16 kind)
{
	switch (family << 16 | kind) {
#define KCKPT_RECORD(name, fam, kind, tail, meaning) case KCKPT_F_##fam << 16 | kind:
#include <kckpt/image/records.def>
		return true;
	default:
		return false;
	}
}

static int load_stream_record(struct kckpt_ctx *ctx, struct kckpt_load *load)
{
	const struct kckpt_record *head = &load->head;
	u64 at = load->stream.at - sizeof(*head);

	if (!load->records_done) {
		if (head->kind != KCKPT_K_end || head->size != sizeof(struct kckpt_end_rec))
			return load_bad(ctx, load, "order of records");
		return 0;
	}
	switch (head->kind) {
	case KCKPT_K_pages:
		if (load->digests_at || head->size < sizeof(struct kckpt_pages_rec) ||
		    head->size > sizeof(struct kckpt_pages_rec) + KCKPT_MAX_RUNS * sizeof(struct kckpt_page_run))
			return load_bad(ctx, load, "page batch");
		return 0;
	case KCKPT_K_shares:
		if (load->digests_at || head->size < sizeof(struct kckpt_shares_rec) ||
		    head->size > sizeof(struct kckpt_shares_rec) + KCKPT_MAX_SHARES * sizeof(struct kckpt_share_run))
			return load_bad(ctx, load, "shared pages");
		return 0;
	case KCKPT_K_digests:
		/* The chunk that the digests are compared with ends where their record begins. */
		if (load->digests_at || head->size != 8 + load->stream.digests.bytes)
			return load_bad(ctx, load, "digests");
		load->digests_at = at;
		return 0;
	case KCKPT_K_index:
		if (!load->digests_at || load->index_at || !head->size || head->size & 7)
			return load_bad(ctx, load, "index");
		load->index_at = at;
		load->skip = head->size;
		load->phase = KCKPT_LOAD_SKIP;
		load->have = 0;
		return 0;
	case KCKPT_K_trailer:
		if (!load->index_at || head->size != sizeof(struct kckpt_trailer_rec))
			return load_bad(ctx, load, "trailer");
		return 0;
	default:
		return load_bad(ctx, load, "order of records");
	}
}

static struct kckpt_object *load_object(struct kckpt_ctx *ctx, struct kckpt_load *load)
{
	const struct kckpt_record *head = &load->head;
	struct kckpt_object *obj = load->last;

	if (obj && head->object == obj->id)
		return head->family == obj->family ? obj : NULL;
	if (head->object != ctx->objs.nr + 1)
		return NULL;
	ctx->objs.bytes += sizeof(*obj);
	obj = kckpt_objtab_add(&ctx->objs, head->family, NULL);
	load->last = obj;
	return obj;
}

/* Rows are collected until something else comes. */
static int load_shares(struct kckpt_ctx *ctx, struct kckpt_load *load)
{
	const struct kckpt_shares_rec *rec = (void *)load->rec->data;
	struct kckpt_object *obj = kckpt_objtab_get(&ctx->objs, load->head.object);

	/* Into an address space that has no pages of its own yet. */
	if (!obj || obj->family != KCKPT_F_mm || obj->seen || rec->reserved || !rec->nr_runs ||
	    load->head.size != sizeof(*rec) + (u64)rec->nr_runs * sizeof(struct kckpt_share_run))
		return load_bad(ctx, load, "shared pages");
	load->shared = obj;
	return kckpt_share_add(ctx, obj, &load->shares, (const void *)(rec + 1), rec->nr_runs);
}

static int load_apply_shares(struct kckpt_ctx *ctx, struct kckpt_load *load)
{
	struct kckpt_object *obj = load->shared;

	load->shared = NULL;
	obj->seen = 1;
	return kckpt_share_apply(ctx, obj, &load->shares);
}

int kckpt_load_check_limit(struct kckpt_ctx *ctx)
{
	if (ctx->objs.bytes + ctx->records.held <= LOAD_MAX_RECORDS)
		return 0;
	return kckpt_fail(ctx, NULL, KCKPT_E_IMAGE_LIMIT, 0, "records of more than %llu bytes", LOAD_MAX_RECORDS);
}

/* Room for a record, whose header is known. */
static int load_alloc_record(struct kckpt_ctx *ctx, struct kckpt_load *load)
{
	size_t size = sizeof(*load->rec) + ALIGN(load->head.size, 8);
	int err;

	if (load->head.family == KCKPT_F_stream) {
		load->rec = kckpt_alloc(size);
	} else {
		if (load->records_done || !load->head.size)
			return load_bad(ctx, load, "order of records");
		load->rec = kckpt_recbuf_reserve(&ctx->records, size);
		err = kckpt_load_check_limit(ctx);
		if (err)
			return err;
	}
	if (!load->rec)
		return kckpt_fail(ctx, NULL, KCKPT_E_NO_MEMORY, 0, "record of %zu bytes", size);
	load->rec->head = load->head;
	return 0;
}

/* A record's header was read: make room for the payload. */
static int load_record(struct kckpt_ctx *ctx, struct kckpt_load *load)
{
	const struct kckpt_record *head = &load->head;
	bool has_object = head->family != KCKPT_F_stream || head->kind == KCKPT_K_pages ||
			  head->kind == KCKPT_K_shares;
	int err = 0;

	if (load->shared && (head->kind != KCKPT_K_shares || head->object != load->shared->id))
		err = load_apply_shares(ctx, load);
	if (err)
		return err;
	if (head->size > KCKPT_MAX_RECORD || !head->object == has_object)
		return load_bad(ctx, load, "record header");
	if (!kind_known(head->family, head->kind))
		return kckpt_fail(ctx, NULL, KCKPT_E_IMAGE_NEWER, 0, "record %u.%u before byte %llu is unknown",
				  head->family, head->kind, load->stream.at);
	load->phase = KCKPT_LOAD_PAYLOAD;
	if (head->family == KCKPT_F_stream)
		err = load_stream_record(ctx, load);
	return err || load->phase == KCKPT_LOAD_SKIP ? err : load_alloc_record(ctx, load);
}

static int load_end(struct kckpt_ctx *ctx, struct kckpt_load *load, u64 digest)
{
	const struct kckpt_end_rec *rec = (void *)load->rec->data;

	if (rec->digest != digest || rec->nr_records != load->nr_records || rec->nr_objects != ctx->objs.nr)
		return load_bad(ctx, load, "the records do not match their digest");
	ctx->nr_pages = rec->nr_pages;
	ctx->image_digest = xxh64_digest(&load->body);
	load->records_done = true;
	return 0;
}

static int load_digests(struct kckpt_ctx *ctx, struct kckpt_load *load)
{
	struct kckpt_recbuf_cursor cursor = {};
	const u8 *want = load->rec->data + 8;
	u64 chunk = 0, nr = *(u64 *)load->rec->data;
	const void *have;
	size_t len, i;

	if (nr * 8 != load->stream.digests.bytes)
		return load_bad(ctx, load, "digests");
	while ((have = kckpt_recbuf_next(&load->stream.digests, &cursor, &len))) {
		for (i = 0; i < len; i += 8, chunk++)
			if (memcmp(want + chunk * 8, have + i, 8))
				return kckpt_fail(ctx, NULL, KCKPT_E_IMAGE_DAMAGED, 0,
						  "pages: bytes %llu to %llu do not match their digest",
						  chunk * KCKPT_CHUNK_SIZE,
						  min((chunk + 1) * KCKPT_CHUNK_SIZE, load->digests_at));
		cursor.at += len;
	}
	return 0;
}

static int load_trailer(struct kckpt_ctx *ctx, struct kckpt_load *load, u64 root)
{
	const struct kckpt_trailer_rec *rec = (void *)load->rec->data;
	struct {
		struct kckpt_record head;
		struct kckpt_trailer_rec rec;
	} all = { .head = load->head, .rec = *rec };

	if (rec->self != xxh64(&all, offsetof(typeof(all), rec.self), 0) || rec->bytes != load->stream.at ||
	    rec->digests_at != load->digests_at || rec->index_at != load->index_at)
		return load_bad(ctx, load, "trailer");
	if (rec->root != root)
		return load_bad(ctx, load, "records, page runs, digests or index do not match the root digest");
	load->phase = KCKPT_LOAD_DONE;
	return 0;
}

/* ---- pages ---- */

bool kckpt_run_sane(const struct kckpt_page_run *run)
{
	return run->nr_pages && run->nr_pages <= (TASK_SIZE_MAX >> PAGE_SHIFT) &&
	       IS_ALIGNED(run->vaddr, PAGE_SIZE) && run->vaddr < TASK_SIZE_MAX &&
	       run->vaddr + (u64)run->nr_pages * PAGE_SIZE <= TASK_SIZE_MAX &&
	       !(run->flags & ~(KCKPT_RUN_ZERO | KCKPT_RUN_HUGE));
}

static u64 load_batch_bytes(const struct kckpt_load *load)
{
	const struct kckpt_pages_rec *rec = (void *)load->rec->data;

	return (u64)rec->nr_data * PAGE_SIZE;
}

/* The pages of the batch come next; in a dry run they have no place to go to. */
static void load_begin_data(struct kckpt_load *load)
{
	load->skip = load->target->made ? 0 : load_batch_bytes(load);
	load->phase = KCKPT_LOAD_DATA;
}

static int load_batch(struct kckpt_ctx *ctx, struct kckpt_load *load)
{
	const struct kckpt_pages_rec *rec = (void *)load->rec->data;
	u64 nr_data = 0, nr_all = 0;
	int err;
	u32 i;

	load->target = kckpt_objtab_get(&ctx->objs, load->head.object);
	if (!load->target || !kckpt_family(load->target->family)->pages_pin ||
	    load->head.size != sizeof(*rec) + (u64)rec->nr_runs * sizeof(*load->runs))
		return load_bad(ctx, load, "page batch");
	err = kckpt_crew_wait_built(ctx, load->target);
	if (err)
		return err;
	load->target->seen = 1;
	load->runs = (void *)(rec + 1);
	load->nr_runs = rec->nr_runs;
	load->run_at = load->page_at = 0;
	for (i = 0; i < rec->nr_runs; i++) {
		if (!kckpt_run_sane(&load->runs[i]))
			return load_bad(ctx, load, "page run");
		nr_all += load->runs[i].nr_pages;
		if (!(load->runs[i].flags & KCKPT_RUN_ZERO))
			nr_data += load->runs[i].nr_pages;
	}
	if (nr_data != rec->nr_data || nr_all > 2 * KCKPT_MAX_BATCH)
		return load_bad(ctx, load, "page batch");
	load->skip = nr_data ? -load->stream.at & (KCKPT_PAGE_SIZE - 1) : 0;
	load->phase = KCKPT_LOAD_DATA_PAD;
	if (!load->skip)
		load_begin_data(load);
	return 0;
}

/* The pages pinned are full. */
static int load_filled(struct kckpt_ctx *ctx, struct kckpt_load *load)
{
	const struct kckpt_family_ops *ops = kckpt_family(load->target->family);
	int err = 0;

	if (ops->pages_write && load->nr_pinned)
		err = ops->pages_write(ctx, load->target, load->pin_addr, load->nr_pinned, load->pinned);
	load_unpin(load);
	return err;
}

/* The one whose pages come next; NULL: the batch is done. */
static const struct kckpt_page_run *load_next_run(struct kckpt_load *load)
{
	if (load->run_at < load->nr_runs && load->page_at == load->runs[load->run_at].nr_pages) {
		load->run_at++;
		load->page_at = 0;
	}
	return load->run_at < load->nr_runs ? &load->runs[load->run_at] : NULL;
}

/* Its pages are filled together with those pinned already: small runs of memory are read at once. */
static bool load_joins(const struct kckpt_load *load, const struct kckpt_page_run *run)
{
	if (!load->nr_pinned)
		return true;
	return load->nr_pinned < KCKPT_LOAD_PIN && !load->pin_zero && !(run->flags & KCKPT_RUN_ZERO) &&
	       !kckpt_family(load->target->family)->pages_write;
}

/* Pins the next pages to be filled. 1: pinned, 0: the batch is done. */
static int load_pin(struct kckpt_ctx *ctx, struct kckpt_load *load)
{
	const struct kckpt_page_run *run;
	int got = load_filled(ctx, load);
	u64 addr;

	while (got >= 0 && (run = load_next_run(load)) && load_joins(load, run)) {
		addr = run->vaddr + (u64)load->page_at * PAGE_SIZE;
		if (!load->nr_pinned) {
			load->pin_addr = addr;
			load->pin_zero = run->flags & KCKPT_RUN_ZERO;
		}
		got = kckpt_family(load->target->family)->pages_pin(ctx, load->target, addr,
				min_t(u32, KCKPT_LOAD_PIN - load->nr_pinned, run->nr_pages - load->page_at),
				run->flags & KCKPT_RUN_HUGE, load->pinned + load->nr_pinned);
		if (got > 0) {
			load->nr_pinned += got;
			load->page_at += got;
		}
	}
	return got < 0 ? got : load->nr_pinned > 0;
}

static void load_zero_pinned(struct kckpt_load *load)
{
	for (; load->pin_at < load->nr_pinned; load->pin_at++, load->nr_zero++)
		clear_page(page_address(load->pinned[load->pin_at]));
}

/* There are pages to be filled next. 1: so it is, 0: the batch is done. */
static int load_want(struct kckpt_ctx *ctx, struct kckpt_load *load)
{
	int ret = 1;

	while (load->pin_at == load->nr_pinned && ret > 0) {
		ret = load_pin(ctx, load);
		if (ret > 0 && load->pin_zero)
			load_zero_pinned(load);
	}
	return ret;
}

/* @len bytes have come into the pinned pages. */
static int load_came(struct kckpt_load *load, size_t len)
{
	int err = 0;

	for (load->byte_at += len; load->byte_at >= PAGE_SIZE && !err; load->byte_at -= PAGE_SIZE) {
		err = kckpt_stream_add_page(&load->stream, load->pinned[load->pin_at++]);
		load->nr_pages++;
	}
	return err;
}

/* Takes page data into pinned pages. Bytes; 0: the batch is done. */
static ssize_t load_data(struct kckpt_ctx *ctx, struct kckpt_load *load, struct iov_iter *from)
{
	size_t len = PAGE_SIZE - load->byte_at;
	int ret = load_want(ctx, load);
	size_t n;

	if (ret <= 0)
		return ret;
	n = kckpt_should_fail() ? 0 : copy_from_iter(page_address(load->pinned[load->pin_at]) + load->byte_at, len,
						     from);
	if (!n)
		return kckpt_fail(ctx, NULL, KCKPT_E_BAD_ADDRESS, 0, "page data");
	return load_came(load, n) ?: n;
}

/* Bytes that are only looked at by the digests: padding, the index, and pages of a dry run. */
static ssize_t load_skip(struct kckpt_ctx *ctx, struct kckpt_load *load, struct iov_iter *from, bool is_page)
{
	size_t n = min_t(u64, load->skip, PAGE_SIZE);
	int err;

	if (!load->scratch)
		load->scratch = kckpt_alloc(PAGE_SIZE);
	if (!load->scratch)
		return kckpt_fail(ctx, NULL, KCKPT_E_NO_MEMORY, 0, "page");
	n = kckpt_should_fail() ? 0 : copy_from_iter(load->scratch, n, from);
	if (!n)
		return kckpt_fail(ctx, NULL, KCKPT_E_BAD_ADDRESS, 0, "image");
	err = kckpt_stream_add(&load->stream, load->scratch, n, !is_page);
	load->skip -= n;
	return err ?: n;
}

/* ---- write() ---- */

/* A record is complete. */
static int load_payload_done(struct kckpt_ctx *ctx, struct kckpt_load *load)
{
	struct kckpt_rec *rec = load->rec;
	u32 size = rec->head.size;
	struct kckpt_object *obj;
	int err;

	if (memchr_inv(rec->data + size, 0, ALIGN(size, 8) - size))
		return load_bad(ctx, load, "padding of a record");
	if (load->head.family != KCKPT_F_stream) {
		obj = load_object(ctx, load);
		if (IS_ERR_OR_NULL(obj))
			return obj ? kckpt_fail(ctx, NULL, KCKPT_E_NO_MEMORY, 0, "object") :
				     load_bad(ctx, load, "object id of a record");
		list_add_tail(&rec->node, &obj->records);
		load->rec = NULL;
		load->nr_records++;
		return 0;
	}
	switch (rec->head.kind) {
	case KCKPT_K_end:
		err = load_end(ctx, load, load->before);
		break;
	case KCKPT_K_digests:
		err = load_digests(ctx, load);
		break;
	case KCKPT_K_trailer:
		err = load_trailer(ctx, load, load->before);
		break;
	case KCKPT_K_shares:
		err = load_shares(ctx, load);
		break;
	default:
		return load_batch(ctx, load);	/* the runs stay in load->rec until the pages are in */
	}
	load_drop_record(load);
	return err;
}

/* Collects @size bytes at @dst. 1: they are complete, 0: more is needed. */
static int load_collect(struct kckpt_ctx *ctx, struct kckpt_load *load, void *dst, size_t size,
			struct iov_iter *from)
{
	size_t n = min(size - load->have, iov_iter_count(from));

	n = kckpt_should_fail() ? 0 : copy_from_iter(dst + load->have, n, from);
	if (!n && size > load->have)
		return kckpt_fail(ctx, NULL, KCKPT_E_BAD_ADDRESS, 0, "image");
	load->have += n;
	return load->have == size;
}

static int load_step_header(struct kckpt_ctx *ctx, struct kckpt_load *load, struct iov_iter *from)
{
	int ret = load_collect(ctx, load, &load->header, sizeof(load->header), from);

	if (ret <= 0)
		return ret;
	load->have = 0;
	return kckpt_stream_add(&load->stream, &load->header, sizeof(load->header), true) ?: load_header(ctx, load);
}

static int load_step_record(struct kckpt_ctx *ctx, struct kckpt_load *load, struct iov_iter *from)
{
	int ret = load_collect(ctx, load, &load->head, sizeof(load->head), from);

	if (ret <= 0)
		return ret;
	if (load->head.family != KCKPT_F_stream)
		return load_record(ctx, load);
	/* The end record and the trailer tell the digest of all before themselves. */
	load->before = kckpt_stream_root(&load->stream);
	ret = load->head.kind == KCKPT_K_digests ? kckpt_stream_end_digests(&load->stream) : 0;
	return ret ?: kckpt_stream_add(&load->stream, &load->head, sizeof(load->head), true) ?:
	       load_record(ctx, load);
}

static int load_step_payload(struct kckpt_ctx *ctx, struct kckpt_load *load, struct iov_iter *from)
{
	struct kckpt_record *head = &load->rec->head;
	size_t size = sizeof(*head) + ALIGN(head->size, 8);
	u32 digested = load_digested(load);
	int ret = load_collect(ctx, load, head, size, from);

	if (ret <= 0)
		return ret;
	load->phase = KCKPT_LOAD_RECORD;
	load->have = 0;
	if (head->family != KCKPT_F_stream)
		xxh64_update(&load->body, head, size);
	return kckpt_stream_add(&load->stream, (u8 *)head + digested, size - digested, true) ?:
	       load_payload_done(ctx, load);
}

static void load_batch_done(struct kckpt_load *load)
{
	load_drop_record(load);
	load->phase = KCKPT_LOAD_RECORD;
}

static int load_step_pad(struct kckpt_ctx *ctx, struct kckpt_load *load, struct iov_iter *from)
{
	ssize_t n = load_skip(ctx, load, from, false);

	if (!load->skip)
		load_begin_data(load);
	return n < 0 ? n : 0;
}

static int load_step_data(struct kckpt_ctx *ctx, struct kckpt_load *load, struct iov_iter *from)
{
	ssize_t n = 0;

	if (load->target->made)
		n = load_data(ctx, load, from);
	else if (load->skip)
		n = load_skip(ctx, load, from, true);
	if (!n)
		load_batch_done(load);
	return n < 0 ? n : 0;
}

static int load_step_skip(struct kckpt_ctx *ctx, struct kckpt_load *load, struct iov_iter *from)
{
	ssize_t n = load_skip(ctx, load, from, false);

	if (!load->skip) {
		load->phase = KCKPT_LOAD_RECORD;
		load->have = 0;
	}
	return n < 0 ? n : 0;
}

static int load_step(struct kckpt_ctx *ctx, struct kckpt_load *load, struct iov_iter *from)
{
	switch (load->phase) {
	case KCKPT_LOAD_HEADER:
		return load_step_header(ctx, load, from);
	case KCKPT_LOAD_RECORD:
		return load_step_record(ctx, load, from);
	case KCKPT_LOAD_PAYLOAD:
		return load_step_payload(ctx, load, from);
	case KCKPT_LOAD_SKIP:
		return load_step_skip(ctx, load, from);
	case KCKPT_LOAD_DATA_PAD:
		return load_step_pad(ctx, load, from);
	case KCKPT_LOAD_DATA:
		return load_step_data(ctx, load, from);
	default:
		return kckpt_fail(ctx, NULL, KCKPT_E_IMAGE_DAMAGED, -EFBIG, "bytes after the trailer");
	}
}

ssize_t kckpt_load_write(struct kckpt_ctx *ctx, struct kckpt_load *load, struct iov_iter *from)
{
	size_t count = iov_iter_count(from);

	while (!load->err && iov_iter_count(from)) {
		if (load->phase == KCKPT_LOAD_RECORD && load->records_done && !load->go_on)
			break;
		load->err = fatal_signal_pending(current) ? -EINTR : load_step(ctx, load, from);
		kckpt_progress(ctx);
		cond_resched();
	}
	/* What failed ends the session: bytes taken before do not matter any more. */
	return load->err ?: count - iov_iter_count(from);
}

/* ---- from a file ---- */

#define LOAD_BUFFER (64u << 10)

/* Pages that are pinned, straight from the file. Bytes; 0: it ends. */
static ssize_t load_direct(struct kckpt_load *load, struct file *file, loff_t *pos, u64 max)
{
	u32 i, nr = load->nr_pinned - load->pin_at, len = min_t(u64, max, nr * PAGE_SIZE - load->byte_at);
	bool whole = !offset_in_page(*pos) && !offset_in_page(len) && !load->byte_at;
	struct bio_vec bvec[KCKPT_LOAD_PIN];
	struct iov_iter iter;
	ssize_t n;

	for (i = 0; i < nr; i++)
		bvec[i] = (struct bio_vec){ .bv_page = load->pinned[load->pin_at + i], .bv_len = PAGE_SIZE };
	bvec[0].bv_offset = load->byte_at;
	bvec[0].bv_len -= load->byte_at;
	iov_iter_bvec(&iter, READ, bvec, nr, len);
	n = kckpt_should_fail() ? -EIO : kckpt_file_read(file, &iter, pos, whole);
	if (n > 0)
		load->err = load_came(load, n);
	return n;
}

/* How much may be read without a look at it: page data that has a place is not to be among it. */
static u32 load_lookahead(const struct kckpt_load *load)
{
	if (load->phase == KCKPT_LOAD_DATA && load->skip)
		return min_t(u64, load->skip, LOAD_BUFFER);
	if (!load->records_done || load->digests_at)
		return LOAD_BUFFER;
	return PAGE_SIZE - offset_in_page(load_at(load));
}

static ssize_t load_buffered(struct kckpt_ctx *ctx, struct kckpt_load *load, struct file *file, loff_t *pos, u64 max)
{
	struct iov_iter iter;
	struct kvec kvec;
	loff_t at = *pos;
	ssize_t n;

	if (!load->buffer)
		load->buffer = kckpt_alloc(LOAD_BUFFER);
	if (!load->buffer)
		return load->err = kckpt_fail(ctx, NULL, KCKPT_E_NO_MEMORY, 0, "buffer");
	kvec = (struct kvec){ .iov_base = load->buffer, .iov_len = min_t(u64, max, load_lookahead(load)) };
	iov_iter_kvec(&iter, READ, &kvec, 1, kvec.iov_len);
	n = kckpt_should_fail() ? -EIO : kckpt_file_read(file, &iter, &at, false);
	if (n <= 0)
		return n;
	iov_iter_kvec(&iter, WRITE, &kvec, 1, n);
	n = kckpt_load_write(ctx, load, &iter);
	if (n > 0)
		*pos += n;
	return n;
}

/* Of memory, of which nothing has been looked up yet. */
static bool load_begins_batch(const struct kckpt_load *load)
{
	return load->target->family == KCKPT_F_mm && !load->run_at && !load->page_at && !load->nr_pinned;
}

static bool load_stops(const struct kckpt_load *load)
{
	return load->phase == KCKPT_LOAD_RECORD && load->records_done && !load->go_on;
}

/* @nr pages of the batch are full. */
static void load_pass(struct kckpt_load *load, u32 nr)
{
	u32 part;

	for (; nr; nr -= part) {
		part = min(nr, load_next_run(load)->nr_pages - load->page_at);
		load->page_at += part;
	}
}

static int load_file_changed(struct kckpt_ctx *ctx, struct kckpt_load *load)
{
	return load_bad(ctx, load, "the file changes while it is read");
}

/* What others have read of the batch already. Bytes; 0: nothing. */
static ssize_t load_take(struct kckpt_ctx *ctx, struct kckpt_load *load, struct file *file, loff_t *pos, u64 max)
{
	const struct kckpt_ahead_place place = {
		.file = file, .pos = *pos, .shift = load->stream.at - *pos, .target = load->target,
		.runs = load->runs, .nr_runs = load->nr_runs, .bytes = load_batch_bytes(load),
	};
	struct page **pages;
	int i, nr = kckpt_ahead_batch(&load->ahead, &place, &pages);

	if (nr < 0)
		return load_file_changed(ctx, load);
	nr = min_t(u64, nr, max / PAGE_SIZE);
	for (i = 0; i < nr && !load->err; i++)
		load->err = kckpt_stream_add_page(&load->stream, pages[i]);
	load_pass(load, nr);
	load->nr_pages += nr;
	*pos += (u64)nr * PAGE_SIZE;
	return (u64)nr * PAGE_SIZE;
}

/* The next bytes from the file. How many; 0: it ends. */
static ssize_t load_file_step(struct kckpt_ctx *ctx, struct kckpt_load *load, struct file *file, loff_t *pos, u64 max)
{
	ssize_t n;
	int ret;

	while (!load->err && load->phase == KCKPT_LOAD_DATA && load->target->made) {
		n = load_begins_batch(load) ? load_take(ctx, load, file, pos, max) : 0;
		if (n < 0)
			load->err = n;
		if (n)
			return n;
		ret = load_want(ctx, load);
		if (ret > 0)
			return load_direct(load, file, pos, max);
		load->err = ret;
		if (!ret)
			load_batch_done(load);
	}
	return load->err || load_stops(load) ? load->err : load_buffered(ctx, load, file, pos, max);
}

ssize_t kckpt_load_file(struct kckpt_ctx *ctx, struct kckpt_load *load, struct file *file, loff_t *pos, u64 max)
{
	u64 done = 0;
	ssize_t n = 1;

	while (done < max && n > 0 && !load->err) {
		n = fatal_signal_pending(current) ? -EINTR : load_file_step(ctx, load, file, pos, max - done);
		if (n > 0)
			done += n;
		kckpt_progress(ctx);
		cond_resched();
	}
	if (!load->err && load->phase == KCKPT_LOAD_DONE && !kckpt_ahead_done(&load->ahead))
		load->err = load_file_changed(ctx, load);
	return load->err ?: done ? done : n;
}

static int load_pages_end(struct kckpt_ctx *ctx)
{
	const struct kckpt_family_ops *ops;
	struct kckpt_object *obj;
	int err = 0;

	kckpt_for_each_object(&ctx->objs, obj) {
		ops = kckpt_family(obj->family);
		if (!err && ops->pages_end && obj->made)
			err = ops->pages_end(ctx, obj);
	}
	return err;
}

int kckpt_load_complete(struct kckpt_ctx *ctx, struct kckpt_load *load)
{
	if (load->err)
		return load->err;
	if (load->phase == KCKPT_LOAD_DONE)
		return load_pages_end(ctx);
	return kckpt_fail(ctx, NULL, KCKPT_E_IMAGE_TRUNCATED, 0, "it ends after %llu bytes%s", load_at(load),
			  load->records_done ? "" : ", within the records");
}
