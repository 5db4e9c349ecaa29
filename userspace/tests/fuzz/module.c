// SPDX-License-Identifier: GPL-2.0
/*
 * The module's reader of images under a fuzzer: a session gets the image in pieces, checks it as for a dry run of restore,
 * and takes its pages, first over them and then into memory.
 */
#include <linux/mm.h>
#include <linux/uio.h>

#include "fault.h"
#include "kernel.h"
#include "load.h"
#include "obj_process.h"
#include "session.h"

int printf(const char *fmt, ...);
char *getenv(const char *name);
int fuzz_load(const u8 *image, size_t len);
int LLVMFuzzerTestOneInput(const u8 *image, size_t len);

/* Pages of an address space that was made. What is shared would need page tables. */
int __wrap_kckpt_pages_pin(struct kckpt_ctx *ctx, struct kckpt_object *obj, unsigned long addr, u32 nr, bool huge,
			   struct page **pages);
int __wrap_kckpt_pages_pin(struct kckpt_ctx *ctx, struct kckpt_object *obj, unsigned long addr, u32 nr, bool huge,
			   struct page **pages)
{
	if (addr >= TASK_SIZE_MAX || nr > (TASK_SIZE_MAX - addr) >> PAGE_SHIFT || !IS_ALIGNED(addr, PAGE_SIZE))
		panic("pages outside of an address space");
	/* Not always as many as were asked for. */
	return kernel_pin(1 + (addr >> PAGE_SHIFT) % nr, pages);
}

/* Each record by itself, so that ASan sees who reads beyond its end; in the second round as they really lie. */
static bool records_apart;
void *__real_kckpt_recbuf_reserve(struct kckpt_recbuf *buf, size_t len);
void *__wrap_kckpt_recbuf_reserve(struct kckpt_recbuf *buf, size_t len);
void *__wrap_kckpt_recbuf_reserve(struct kckpt_recbuf *buf, size_t len)
{
	struct kckpt_recbuf_block *block;

	if (!records_apart)
		return __real_kckpt_recbuf_reserve(buf, len);
	block = kckpt_alloc(sizeof(*block) + len);
	if (!block)
		return NULL;
	block->room = block->used = len;
	buf->bytes += len;
	buf->held += sizeof(*block) + len;
	list_add(&block->node, &buf->blocks);
	return block->data;
}

int __real_kckpt_share_apply(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct kckpt_share_rows *rows);
int __wrap_kckpt_share_apply(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct kckpt_share_rows *rows);
int __wrap_kckpt_share_apply(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct kckpt_share_rows *rows)
{
	void *made = obj->made;
	u64 end = 0;
	int err;
	u32 i;

	/* What those rely on who map the pages. */
	for (i = 0; i < rows->nr; i++) {
		if (rows->runs[i].vaddr < end || !rows->runs[i].nr_pages)
			panic("rows of shared pages that are out of order");
		end = rows->runs[i].vaddr + (u64)rows->runs[i].nr_pages * PAGE_SIZE;
		if (end > TASK_SIZE_MAX)
			panic("shared pages outside of an address space");
	}
	obj->made = NULL;
	err = __real_kckpt_share_apply(ctx, obj, rows);
	obj->made = made;
	return err;
}

static int feed(struct kckpt_session *session, const u8 *image, size_t len, size_t *at, size_t piece)
{
	struct kvec vec;
	struct iov_iter iter;
	ssize_t n = 1;

	while (n > 0 && *at < len) {
		vec = (struct kvec){ (void *)(image + *at), min(len - *at, piece) };
		iter = (struct iov_iter){ .iter_type = ITER_KVEC, .kvec = &vec, .nr_segs = 1, .count = vec.iov_len };
		n = kckpt_session_write(session, &iter);
		if (n > (ssize_t)vec.iov_len)
			panic("more was taken than was given");
		*at += max_t(ssize_t, n, 0);
		if (session->state == KCKPT_LOADED)
			break;
	}
	return min_t(ssize_t, n, 0);
}

/* Is all that was found wrong with the image due to the kernel, files and rights that are not there? */
static bool only_outside(const struct kckpt_ctx *ctx)
{
	u32 i;

	for (i = 0; i < ctx->report.nr; i++)
		switch (ctx->report.errors[i].code) {
		case KCKPT_E_VDSO_DIFFERS:
		case KCKPT_E_FILE_CHANGED:
		case KCKPT_E_FILE_MISSING:
		case KCKPT_E_INHERIT_MISSING:
			break;
		default:
			return false;
		}
	return true;
}

/* Goes on as if all files were there. */
static int check(struct kckpt_session *session, bool made)
{
	struct kckpt_instantiate req = { .flags = KCKPT_INSTANTIATE_DRY_RUN | KCKPT_INSTANTIATE_FILES_CHANGED };
	int err = kckpt_session_instantiate(session, &req);
	struct kckpt_object *obj;

	if (err && only_outside(&session->ctx)) {
		kckpt_report_clear(&session->ctx.report);
		err = kckpt_process_plan(&session->ctx);
		session->state = err ? session->state : KCKPT_INSTANTIATED;
		session->load->go_on = !err;
	}
	if (made && !err)
		kckpt_for_each_object(&session->ctx.objs, obj)
			if (obj->family == KCKPT_F_mm)
				obj->made = obj;
	return err;
}

static void unmake(struct kckpt_session *session)
{
	struct kckpt_object *obj;

	kckpt_for_each_object(&session->ctx.objs, obj)
		obj->made = NULL;
}

/* FUZZ_TELL=1: what is said about the image. */
static void tell(const struct kckpt_ctx *ctx)
{
	u32 i;

	for (i = 0; getenv("FUZZ_TELL") && i < ctx->report.nr; i++)
		printf("code %u, object %llu: %s\n", ctx->report.errors[i].code, ctx->report.errors[i].object,
		       ctx->report.errors[i].detail);
}

static int load(const u8 *image, size_t len, bool made)
{
	struct kckpt_session *session = kckpt_session_open();
	struct kckpt_commit commit = { .flags = 0 };
	size_t at = 0, piece = made ? len : 1 + len / 7;
	int err;

	records_apart = !made;
	err = feed(session, image, len, &at, piece);
	if (!err && session->state == KCKPT_LOADED)
		err = check(session, made) ?: feed(session, image, len, &at, piece);
	if (!err && session->state != KCKPT_EMPTY)
		err = kckpt_session_commit(session, &commit);
	if (err && !session->ctx.report.total)
		panic("an error without a word");
	tell(&session->ctx);
	if (session->load)	/* who released its pages looks at what they are of */
		err = err ?: session->load->phase != KCKPT_LOAD_DONE;
	kckpt_load_free(session->load);
	session->load = NULL;
	unmake(session);
	kckpt_session_release(session);
	return err;
}

/* 0: the image is whole. */
int fuzz_load(const u8 *image, size_t len)
{
	int err;

	kernel_begin();
	err = load(image, len, false);
	return load(image, len, true) ?: err;
}

int LLVMFuzzerTestOneInput(const u8 *image, size_t len)
{
	fuzz_load(image, len);
	return 0;
}
