// SPDX-License-Identifier: GPL-2.0
/*
 * Open file descriptions (struct file): flags, offset, and what they refer to, an object of the family that claims the
 * file. Saved once however many descriptors, tasks and areas have it.
 *
 * A file that was named with --inherit-fd is not described; the restorer hands over another in its place.
 *
 * Refused: kinds that no family claims, O_PATH, signal owners (F_SETOWN), leases. Locks are of the family `lock`.
 * Not saved: the credentials it was opened with (the restorer's), readahead state and fadvise() hints, errors of
 * writing back that nobody has asked for yet, sharing of the offset with a process outside.
 */
#include <linux/fcntl.h>
#include <linux/file.h>

#include "compat/file.h"
#include "family.h"
#include "fault.h"
#include "obj_lock.h"

/* What F_GETFL may tell of a file that we open again. */
#define FILE_FLAGS (O_ACCMODE | O_APPEND | O_NONBLOCK | O_SYNC | O_DSYNC | O_DIRECT | O_LARGEFILE | O_DIRECTORY | \
		    O_NOFOLLOW | O_NOATIME | __O_TMPFILE)

static void file_put(void *ptr)
{
	fput(ptr);
}

static void file_release(struct kckpt_object *obj)
{
	if (obj->made)
		fput(obj->made);
}

/* ---- dump ---- */

struct kckpt_object *kckpt_intern_file(struct kckpt_ctx *ctx, struct file *file, const struct kckpt_where *where)
{
	return kckpt_intern(ctx, KCKPT_F_file, file, where);
}

static const struct kckpt_inherit *file_inherited(const struct kckpt_ctx *ctx, const struct file *file)
{
	u32 i;

	for (i = 0; i < ctx->nr_inherit; i++)
		if (ctx->inherit_files[i] == file)
			return &ctx->inherit[i];
	return NULL;
}

static const char *file_unsupported(const struct file *file)
{
	if (file->f_mode & FMODE_PATH)
		return "O_PATH";
	if (file->f_flags & FASYNC)
		return "O_ASYNC";
	if ((file->f_flags & O_ACCMODE) == O_ACCMODE)
		return "access mode 3";
	if (kckpt_file_has_owner(file))
		return "a signal owner (F_SETOWN, F_SETSIG)";
	if (kckpt_file_has_lease(file))
		return "a lease (F_SETLEASE)";
	return NULL;
}

/* What to call a file that nobody knows: its name, as /proc/PID/fd shows it. */
static void file_refuse_kind(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct file *file)
{
	char *buf = kckpt_alloc(PATH_MAX), *name;

	name = buf ? d_path(&file->f_path, buf, PATH_MAX) : NULL;
	kckpt_fail(ctx, obj, KCKPT_E_FILE_KIND, 0, "%s", IS_ERR_OR_NULL(name) ? "?" : name);
	kvfree(buf);
}

static const void *file_key(u32 family, struct file *file)
{
	const struct kckpt_family_ops *ops = kckpt_family(family);

	return ops->key ? ops->key(file) : file;
}

static int file_collect(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct file *file = (struct file *)obj->ptr;
	const char *unsupported;
	u32 family;

	if (file_inherited(ctx, file))
		return 0;
	unsupported = file_unsupported(file);
	if (unsupported)
		kckpt_fail(ctx, obj, KCKPT_E_FILE_STATE, 0, "%s on %pD4", unsupported, file);
	family = kckpt_family_of_file(file);
	if (!family) {
		file_refuse_kind(ctx, obj, file);
		return 0;
	}
	/* Lives as long as the file, which we hold. */
	return PTR_ERR_OR_ZERO(kckpt_intern(ctx, family, file_key(family, file), &obj->where));
}

static int file_closed(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	return kckpt_lock_collect(ctx, obj, file_inherited(ctx, obj->ptr));
}

static int file_dump(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct file *file = (struct file *)obj->ptr;
	const struct kckpt_inherit *in = file_inherited(ctx, file);
	struct kckpt_file_rec rec = {
		.open_flags = file->f_flags & FILE_FLAGS,
		.file_flags = (file->f_mode & FMODE_READ ? KCKPT_FILE_READ : 0) |
			      (file->f_mode & FMODE_WRITE ? KCKPT_FILE_WRITE : 0),
	};
	u32 family;

	if (in) {
		rec.file_flags |= KCKPT_FILE_INHERIT;
		strscpy_pad(rec.inherit, in->name, sizeof(rec.inherit));
	} else {
		family = kckpt_family_of_file(file);
		rec.target = family ? kckpt_id_of(ctx, family, file_key(family, file)) : 0;
		if (!rec.target)
			return kckpt_fail(ctx, obj, KCKPT_E_JOB_MOVED, 0, "");
		rec.pos = file->f_pos;
	}
	return kckpt_put(ctx, obj, KCKPT_K_file, &rec, sizeof(rec), NULL, 0);
}

/* ---- restore ---- */

static int file_rec(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct kckpt_file_rec *rec)
{
	return kckpt_rec_only(ctx, obj, KCKPT_K_file, rec, sizeof(*rec), NULL, 0, NULL);
}

static struct file *file_handed_over(struct kckpt_ctx *ctx, const struct kckpt_file_rec *rec)
{
	u32 i;

	for (i = 0; i < ctx->nr_inherit; i++)
		if (!strncmp(ctx->inherit[i].name, rec->inherit, sizeof(rec->inherit)))
			return ctx->inherit_files[i];
	return NULL;
}

static int file_check_inherit(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_file_rec *rec)
{
	struct file *file;

	if (rec->target || !rec->inherit[0] || strnlen(rec->inherit, sizeof(rec->inherit)) == sizeof(rec->inherit))
		return kckpt_bad_image(ctx, obj, "descriptor of the outside");
	file = file_handed_over(ctx, rec);
	if (!file)
		kckpt_fail(ctx, obj, KCKPT_E_INHERIT_MISSING, 0, "%s", rec->inherit);
	else if ((rec->file_flags & KCKPT_FILE_READ && !(file->f_mode & FMODE_READ)) ||
		 (rec->file_flags & KCKPT_FILE_WRITE && !(file->f_mode & FMODE_WRITE)))
		kckpt_fail(ctx, obj, KCKPT_E_INHERIT_MODE, 0, "%s", rec->inherit);
	return 0;
}

/* What was opened to be read or written is so again; 3, for ioctl() alone, is not supported. */
static bool file_mode_agrees(const struct kckpt_file_rec *rec)
{
	u32 mode = rec->open_flags & O_ACCMODE, flags = rec->file_flags & (KCKPT_FILE_READ | KCKPT_FILE_WRITE);

	return (mode == O_RDONLY && flags == KCKPT_FILE_READ) || (mode == O_WRONLY && flags == KCKPT_FILE_WRITE) ||
	       (mode == O_RDWR && flags == (KCKPT_FILE_READ | KCKPT_FILE_WRITE));
}

static int file_check(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_object *target;
	struct kckpt_file_rec rec;
	int err = file_rec(ctx, obj, &rec);

	if (err)
		return err;
	if (rec.pos < 0 || rec.open_flags & ~FILE_FLAGS || !file_mode_agrees(&rec) ||
	    rec.file_flags & ~(KCKPT_FILE_INHERIT | KCKPT_FILE_READ | KCKPT_FILE_WRITE))
		return kckpt_bad_image(ctx, obj, "open file");
	if (rec.file_flags & KCKPT_FILE_INHERIT)
		return file_check_inherit(ctx, obj, &rec);
	target = kckpt_objtab_get(&ctx->objs, rec.target);
	if (!target || !kckpt_family(target->family)->open)
		return kckpt_bad_image(ctx, obj, "open file on object %llu", rec.target);
	if (rec.open_flags & __O_TMPFILE && target->family != KCKPT_F_ghost)
		return kckpt_bad_image(ctx, obj, "O_TMPFILE of what has a name");
	/* Targets come after their files in the image, so their check knows where and how they are used. */
	if (target->where.fd < 0)
		target->where = obj->where;
	target->value |= rec.file_flags;
	return 0;
}

static int file_seek(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct file *file, loff_t pos)
{
	loff_t at;

	if (!pos)
		return 0;
	at = kckpt_should_fail() ? -EINVAL : vfs_llseek(file, pos, SEEK_SET);
	return at == pos ? 0 : kckpt_fail(ctx, obj, KCKPT_E_FILE_OPEN, at < 0 ? at : -EINVAL, "offset %lld", pos);
}

static int file_restore(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_object *target;
	struct kckpt_file_rec rec;
	struct file *file;
	int err = file_rec(ctx, obj, &rec);

	if (err)
		return err;
	if (rec.file_flags & KCKPT_FILE_INHERIT) {
		obj->made = get_file(file_handed_over(ctx, &rec));
		return 0;
	}
	target = kckpt_objtab_get(&ctx->objs, rec.target);
	file = kckpt_family(target->family)->open(ctx, target, &rec);
	if (IS_ERR(file))
		return PTR_ERR(file);
	obj->made = file;
	return file_seek(ctx, obj, file, rec.pos);
}

const struct kckpt_family_ops kckpt_file_ops = {
	.name = "file",
	.put = file_put,
	.collect = file_collect, .closed = file_closed, .dump = file_dump,
	.check = file_check, .restore = file_restore,
	.release = file_release,
};
