// SPDX-License-Identifier: GPL-2.0
/* The list of families, and what their verbs have in common. */
#include <linux/dcache.h>
#include <linux/fs_struct.h>
#include <linux/sched.h>

#include "crew.h"
#include "drift.h"
#include "family.h"
#include "fault.h"
#include "ksym.h"
#include "load.h"
#include "obj_path.h"

static const struct kckpt_family_ops *const families[] = {
#define KCKPT_FAMILY(name, id, title) [id] = &kckpt_##name##_ops,
#include <kckpt/families.def>
#undef KCKPT_FAMILY
};

/* The frame of the stream has no objects. */
const struct kckpt_family_ops kckpt_stream_ops = { .name = "stream" };

const struct kckpt_family_ops *kckpt_family(u32 id)
{
	return id < ARRAY_SIZE(families) ? families[array_index_nospec(id, ARRAY_SIZE(families))] : NULL;
}

const char *kckpt_family_lacks(u32 id)
{
	return kckpt_ksym_missing(id) ?: kckpt_drift(id);
}

int kckpt_family_check(struct kckpt_ctx *ctx, const struct kckpt_object *obj)
{
	const char *lacks = kckpt_ksym_missing(obj->family);

	if (lacks)
		return kckpt_fail(ctx, obj, KCKPT_E_NO_SYMBOL, 0, "%s", lacks);
	lacks = kckpt_drift(obj->family);
	return lacks ? kckpt_fail(ctx, obj, KCKPT_E_KERNEL_DRIFT, 0, "%s", lacks) : 0;
}

u32 kckpt_family_of_file(struct file *file)
{
	u32 id;

	for (id = 1; id < ARRAY_SIZE(families); id++)
		if (families[id] && families[id]->claims && !kckpt_ksym_missing(id) && families[id]->claims(file))
			return id;
	return 0;
}

/* The end of a long path says more than its beginning. */
static void detail_cut(char *detail, size_t room, const char *text, size_t len)
{
	if (len < room) {
		memcpy(detail, text, len);
		return;
	}
	memcpy(detail, "...", 3);
	memcpy(detail + 3, text + len - (room - 4), room - 4);
}

int kckpt_fail(struct kckpt_ctx *ctx, const struct kckpt_object *obj, u32 code, int err, const char *fmt, ...)
{
	struct kckpt_error error = { .code = code, .err = err ?: kckpt_error_errno(code), .fd = -1 };
	char *text;
	va_list args;

	if (obj) {
		error.pid = obj->where.pid;
		error.fd = obj->where.fd;
		error.family = obj->family;
		error.object = obj->id;
		memcpy(error.comm, obj->where.comm, sizeof(error.comm));
	}
	va_start(args, fmt);
	text = kvasprintf(GFP_KERNEL, fmt, args);
	va_end(args);
	if (text)
		detail_cut(error.detail, sizeof(error.detail), text, strlen(text));
	kfree(text);
	kckpt_report_add(&ctx->report, &error);
	return error.err;
}

struct kckpt_object *kckpt_intern(struct kckpt_ctx *ctx, u32 family, const void *ptr,
				  const struct kckpt_where *where)
{
	const struct kckpt_family_ops *ops = kckpt_family(family);
	struct kckpt_object *obj = kckpt_objtab_find(&ctx->objs, family, ptr);

	if (obj) {
		if (ops->put)
			ops->put((void *)ptr);
	} else {
		obj = kckpt_objtab_add(&ctx->objs, family, ptr);
		if (IS_ERR(obj)) {
			if (ops->put)
				ops->put((void *)ptr);
			kckpt_fail(ctx, NULL, KCKPT_E_NO_MEMORY, 0, "%s", ops->name);
			return obj;
		}
		obj->where = *where;
	}
	obj->seen++;
	return obj;
}

u64 kckpt_id_of(struct kckpt_ctx *ctx, u32 family, const void *ptr)
{
	const struct kckpt_object *obj = ptr ? kckpt_objtab_find(&ctx->objs, family, ptr) : NULL;

	return obj ? obj->id : 0;
}

int kckpt_put(struct kckpt_ctx *ctx, const struct kckpt_object *obj, u16 kind, const void *rec, size_t size,
	      const void *tail, size_t tail_len)
{
	static const u8 zeros[8];
	struct kckpt_record head = {
		.family = obj->family, .kind = kind, .size = size + tail_len, .object = obj->id,
	};
	int err;

	err = kckpt_recbuf_add(&ctx->records, &head, sizeof(head)) ?:
	      kckpt_recbuf_add(&ctx->records, rec, size) ?:
	      kckpt_recbuf_add(&ctx->records, tail, tail_len) ?:
	      kckpt_recbuf_add(&ctx->records, zeros, -(size + tail_len) & 7);
	if (err)
		return kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, err, "records");
	ctx->nr_records++;
	kckpt_progress(ctx);
	return 0;
}

const struct kckpt_rec *kckpt_rec_next(const struct kckpt_object *obj, u16 kind, const struct kckpt_rec *after)
{
	const struct list_head *head = &obj->records;
	const struct list_head *pos = after ? after->node.next : head->next;

	for (; pos != head; pos = pos->next) {
		const struct kckpt_rec *rec = list_entry(pos, struct kckpt_rec, node);

		if (rec->head.kind == kind)
			return rec;
	}
	return NULL;
}

static int rec_unknown_fields(struct kckpt_ctx *ctx, const struct kckpt_object *obj, const struct kckpt_rec *rec)
{
	return kckpt_fail(ctx, obj, KCKPT_E_IMAGE_NEWER, 0, "record %u.%u has unknown fields", obj->family,
			  rec->head.kind);
}

int kckpt_rec_get(struct kckpt_ctx *ctx, const struct kckpt_object *obj, const struct kckpt_rec *rec, void *dst,
		  size_t size, const u32 *tail_nr, u32 tail_unit, const void **tail)
{
	size_t fields = rec->head.size, have = min(size, fields);
	u64 tail_len;

	memcpy(dst, rec->data, have);
	memset(dst + have, 0, size - have);
	if (tail_nr) {
		tail_len = (u64)*tail_nr * tail_unit;
		if (tail_len > fields || (const u8 *)(tail_nr + 1) - (u8 *)dst > fields - tail_len)
			return kckpt_bad_image(ctx, obj, "record %u.%u: tail of %llu bytes", obj->family,
					       rec->head.kind, tail_len);
		fields -= tail_len;
		*tail = rec->data + fields;
	}
	if (fields < size)
		memset(dst + fields, 0, size - fields);
	else if (memchr_inv(rec->data + size, 0, fields - size))
		return rec_unknown_fields(ctx, obj, rec);
	return 0;
}

/* NULL, after a report: there is not just one. */
static const struct kckpt_rec *rec_only(struct kckpt_ctx *ctx, const struct kckpt_object *obj, u16 kind)
{
	const struct kckpt_rec *rec = kckpt_rec_next(obj, kind, NULL);

	if (rec && !kckpt_rec_next(obj, kind, rec))
		return rec;
	kckpt_bad_image(ctx, obj, "not one record %u.%u", obj->family, kind);
	return NULL;
}

int kckpt_rec_only(struct kckpt_ctx *ctx, const struct kckpt_object *obj, u16 kind, void *dst, size_t size,
		   const u32 *tail_nr, u32 tail_unit, const void **tail)
{
	const struct kckpt_rec *rec = rec_only(ctx, obj, kind);

	return rec ? kckpt_rec_get(ctx, obj, rec, dst, size, tail_nr, tail_unit, tail) : -EBADMSG;
}

/* One that is shorter, since its version had fewer fields. */
static int rec_keep_longer(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_rec *rec, size_t size)
{
	int err = kckpt_load_check_limit(ctx);
	void *fields;

	if (err)
		return err;
	fields = kckpt_should_fail() ? NULL : kckpt_recbuf_reserve(&ctx->records, size);
	if (!fields)
		return kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, 0, "record of %zu bytes", size);
	err = kckpt_rec_get(ctx, obj, rec, fields, size, NULL, 0, NULL);
	if (!err)
		obj->fields = fields;
	return err;
}

int kckpt_rec_keep(struct kckpt_ctx *ctx, struct kckpt_object *obj, u16 kind, size_t size)
{
	const struct kckpt_rec *rec;

	if (obj->fields)
		return 0;
	rec = rec_only(ctx, obj, kind);
	if (!rec)
		return -EBADMSG;
	if (rec->head.size < size)
		return rec_keep_longer(ctx, obj, rec, size);
	if (memchr_inv(rec->data + size, 0, rec->head.size - size))
		return rec_unknown_fields(ctx, obj, rec);
	obj->fields = rec->data;
	return 0;
}

char *kckpt_rec_path(struct kckpt_ctx *ctx, const struct kckpt_object *obj, const void *tail, u32 len)
{
	const char *text = tail;
	char *path;

	if (!len || len >= PATH_MAX || text[0] != '/' || memchr(text, 0, len)) {
		kckpt_bad_image(ctx, obj, "bad path");
		return NULL;
	}
	path = kckpt_should_fail() ? NULL : kmemdup_nul(text, len, GFP_KERNEL);
	if (!path)
		kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, 0, "path");
	return path;
}

struct kckpt_object *kckpt_ref(struct kckpt_ctx *ctx, const struct kckpt_object *from, u64 id, u32 family)
{
	struct kckpt_object *obj = kckpt_objtab_get(&ctx->objs, id);

	if (obj && obj->family == family)
		return obj;
	kckpt_bad_image(ctx, from, "refers to object %llu, which is no %s", id, kckpt_family(family)->name);
	return NULL;
}

int kckpt_make(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	int err;

	lockdep_assert_held(&ctx->objs.make_lock);
	kckpt_progress(ctx);
	if (obj->state == KCKPT_OBJ_MADE)
		return 0;
	/* Who tried has said why. Not again: what was made of it so far is still held, and would be lost. */
	if (obj->state == KCKPT_OBJ_FAILED)
		return -EINTR;
	if (obj->state == KCKPT_OBJ_MAKING)
		return kckpt_bad_image(ctx, obj, "an object refers to itself");
	obj->state = KCKPT_OBJ_MAKING;
	err = kckpt_family(obj->family)->restore(ctx, obj);
	if (err)
		obj->state = KCKPT_OBJ_FAILED;
	else
		kckpt_crew_made(ctx->crew, obj);
	return err;
}

int kckpt_make_shared(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	int err;

	if (kckpt_is_made(obj))
		return 0;
	if (mutex_lock_killable(&ctx->objs.make_lock))
		return kckpt_fail(ctx, obj, KCKPT_E_INTERRUPTED, 0, "restore");
	err = kckpt_make(ctx, obj);
	mutex_unlock(&ctx->objs.make_lock);
	return err;
}

int kckpt_make_own(struct kckpt_ctx *ctx, const struct kckpt_object *creator, u64 id)
{
	struct kckpt_object *obj = kckpt_objtab_get(&ctx->objs, id);
	int err;

	if (!obj || obj->creator != creator || kckpt_is_made(obj))
		return 0;
	kckpt_progress(ctx);
	err = kckpt_family(obj->family)->restore(ctx, obj);
	if (!err)
		kckpt_crew_made(ctx->crew, obj);
	return err;
}

char *kckpt_path(struct kckpt_ctx *ctx, const struct kckpt_object *obj, const struct path *path, char *buf)
{
	char *name = kckpt_path_of_deleted(ctx, obj, path, buf);

	if (!name || !kckpt_path_is_deleted(path))
		return name;
	kckpt_fail(ctx, obj, KCKPT_E_FILE_UNLINKED, 0, "%s", name);
	return NULL;
}

char *kckpt_path_of_deleted(struct kckpt_ctx *ctx, const struct kckpt_object *obj, const struct path *path, char *buf)
{
	char *name = kcall(__d_path)(path, &ctx->root, buf, PATH_MAX);

	if (IS_ERR_OR_NULL(name)) {
		name = d_path(path, buf, PATH_MAX);
		kckpt_fail(ctx, obj, KCKPT_E_FILE_UNREACHABLE, 0, "%s", IS_ERR(name) ? "?" : name);
		return NULL;
	}
	return name;
}
