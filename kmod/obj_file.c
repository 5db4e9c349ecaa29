// SPDX-License-Identifier: GPL-2.0
/*
 * Open file descriptions (struct file): flags, offset, and what they refer to, an object of the family that claims the
 * file. Saved once however many descriptors, tasks and areas have it.
 *
 * A file that belongs to the outside is not described; the restorer hands over another in its place (outside.c).
 *
 * Refused: kinds that no family claims, signal owners (F_SETOWN) outside the job. Locks and leases: `lock`, `lease`.
 * Not saved: the credentials it was opened with (the restorer's), readahead state and fadvise() hints, errors of
 * writing back that nobody has asked for yet, sharing of the offset with a process outside.
 */
#include <linux/delay.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/mount.h>

#include "compat/file.h"
#include "compat/pidfd.h"
#include "family.h"
#include "fault.h"
#include "fowner.h"
#include "holders.h"
#include "obj_file.h"
#include "obj_lease.h"
#include "obj_lock.h"
#include "obj_path.h"

/* What F_GETFL may tell of a file that we open again. */
#define FILE_FLAGS (O_ACCMODE | O_APPEND | O_NONBLOCK | O_SYNC | O_DSYNC | O_DIRECT | O_LARGEFILE | O_DIRECTORY | \
		    O_NOFOLLOW | O_NOATIME | O_PATH | FASYNC | __O_TMPFILE | O_EXCL)

#define FILE_FILE_FLAGS (KCKPT_FILE_INHERIT | KCKPT_FILE_READ | KCKPT_FILE_WRITE | KCKPT_FILE_NO_WRITER | \
			 KCKPT_FILE_FIRST)

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

static bool file_has_path(u32 family, const struct file *file)
{
	return kckpt_family(family)->named && !(file->f_path.mnt->mnt_flags & MNT_INTERNAL);
}

/* The family of the name that it was opened by. */
static u32 file_via_family(const struct file *file)
{
	return kckpt_path_is_deleted(kckpt_file_path(file)) ? KCKPT_F_ghost : KCKPT_F_path;
}

u64 kckpt_file_via(struct kckpt_ctx *ctx, struct file *file)
{
	return kckpt_id_of(ctx, file_via_family(file), file_key(file_via_family(file), file));
}

static int file_intern_target(struct kckpt_ctx *ctx, const struct kckpt_object *obj, struct file *file, u32 family)
{
	/* Lives as long as the file, which we hold. */
	struct kckpt_object *target = kckpt_intern(ctx, family, file_key(family, file), &obj->where);

	if (!IS_ERR(target) && !target->file)
		target->file = file;
	return PTR_ERR_OR_ZERO(target);
}

static int file_collect(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct file *file = (struct file *)obj->ptr;
	u32 family;
	int err, outside = kckpt_outside_claims(ctx, obj);

	if (outside)
		return min(outside, 0);
	if (file->f_flags & ~(FILE_FLAGS | KCKPT_FILE_FLAGS_INTERNAL))
		kckpt_fail(ctx, obj, KCKPT_E_FILE_STATE, 0, "an unknown flag on %pD4", file);
	family = kckpt_family_of_file(file);
	if (!family) {
		file_refuse_kind(ctx, obj, file);
		return 0;
	}
	err = file_intern_target(ctx, obj, file, family);
	return !err && file_has_path(family, file) ? file_intern_target(ctx, obj, file, file_via_family(file)) : err;
}

static bool file_is(struct file *file, const void *data)
{
	return file == data;
}

/*
 * What flows through an open file must not be cut off from a holder outside. A count that is too high for a moment is
 * somebody who looks (/proc/PID/fd): look again, then name who holds it.
 */
static int file_check_holders(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct file *file, u32 code)
{
	struct kckpt_where holder;
	int i;

	for (i = 0; i < 3; i++) {
		/* Met so often inside, and held by us. */
		if (kckpt_file_count(file) <= obj->seen + 1)
			return 0;
		if (kckpt_find_holder(ctx, file_is, file, &holder))
			return kckpt_fail(ctx, obj, code, 0, "by pid %d (%s), fd %d", holder.pid, holder.comm,
					  holder.fd), 0;
		msleep(1);
	}
	kckpt_fail(ctx, obj, code, 0, "by a mapping, the kernel or a message in flight");
	return 0;
}

static int file_closed(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct file *file = (struct file *)obj->ptr;
	const char *unsupported;
	u32 family;
	int err = 0;

	if (kckpt_outside_has(ctx, file))
		return kckpt_lock_collect(ctx, obj, true);
	unsupported = kckpt_fowner_unsupported(ctx, file);
	if (unsupported)
		kckpt_fail(ctx, obj, KCKPT_E_FILE_STATE, 0, "%s on %pD4", unsupported, file);
	family = kckpt_family_of_file(file);
	if (family && kckpt_family(family)->outside)
		err = file_check_holders(ctx, obj, file, kckpt_family(family)->outside);
	return err ?: kckpt_lock_collect(ctx, obj, false) ?: kckpt_lease_collect(ctx, obj);
}

static int file_dump(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct file *file = (struct file *)obj->ptr;
	const struct kckpt_family_ops *ops;
	struct kckpt_file_rec rec = {
		.open_flags = file->f_flags & FILE_FLAGS,
		.file_flags = (file->f_mode & FMODE_READ ? KCKPT_FILE_READ : 0) |
			      (file->f_mode & FMODE_WRITE ? KCKPT_FILE_WRITE : 0),
	};
	u32 family;

	if (kckpt_file_is_backing(file))
		rec.open_flags &= ~(O_NOATIME | O_NOFOLLOW);
	if (kckpt_outside_has(ctx, file)) {
		rec.file_flags |= KCKPT_FILE_INHERIT;
		rec.open_flags &= ~O_EXCL;
		kckpt_outside_name(ctx, obj, rec.inherit, sizeof(rec.inherit));
		rec.pos = S_ISREG(file_inode(file)->i_mode) ? file->f_pos : 0;
	} else {
		family = kckpt_family_of_file(file);
		rec.target = family ? kckpt_id_of(ctx, family, file_key(family, file)) : 0;
		rec.via = family && file_has_path(family, file) ? kckpt_file_via(ctx, file) : 0;
		if (!rec.target || (file_has_path(family, file) && !rec.via))
			return kckpt_fail(ctx, obj, KCKPT_E_JOB_MOVED, 0, "");
		ops = kckpt_family(family);
		rec.file_flags |= ops->file_flags ? ops->file_flags(file) : 0;
		rec.pos = file->f_pos;
		kckpt_fowner_dump(ctx, file, &rec);
	}
	return kckpt_put(ctx, obj, KCKPT_K_file, &rec, sizeof(rec), NULL, 0);
}

/* ---- restore ---- */

static int file_rec(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct kckpt_file_rec *rec)
{
	return kckpt_rec_only(ctx, obj, KCKPT_K_file, rec, sizeof(*rec), NULL, 0, NULL);
}

/* What was opened to be read or written is so again; 3 is for ioctl() alone. */
static bool file_mode_agrees(const struct kckpt_file_rec *rec)
{
	u32 mode = rec->open_flags & O_ACCMODE, flags = rec->file_flags & (KCKPT_FILE_READ | KCKPT_FILE_WRITE);

	if (rec->open_flags & O_PATH || mode == O_ACCMODE)
		return !flags;
	if (rec->file_flags & KCKPT_FILE_FIRST && mode != O_RDWR)
		return false;
	return (mode == O_RDONLY && flags == KCKPT_FILE_READ) || (mode == O_WRONLY && flags == KCKPT_FILE_WRITE) ||
	       (mode == O_RDWR && flags == (KCKPT_FILE_READ | KCKPT_FILE_WRITE));
}

/* Targets come after their files in the image, so their check knows where and how they are used. */
static void file_note_use(const struct kckpt_object *obj, struct kckpt_object *target, u32 file_flags)
{
	if (target->where.fd < 0)
		target->where = obj->where;
	target->value |= file_flags;
}

static int file_check_via(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_file_rec *rec,
			  const struct kckpt_object *target)
{
	struct kckpt_object *via;

	if (!rec->via)
		return 0;
	via = kckpt_objtab_get(&ctx->objs, rec->via);
	if (!via || (via->family != KCKPT_F_path && via->family != KCKPT_F_ghost) ||
	    !kckpt_family(target->family)->named)
		return kckpt_bad_image(ctx, obj, "open file by path %llu", rec->via);
	file_note_use(obj, via, rec->file_flags);
	return 0;
}

/* Flags that only some kinds of files have. */
static int file_check_flags(struct kckpt_ctx *ctx, struct kckpt_object *obj, u32 open_flags, u32 family)
{
	if (open_flags & __O_TMPFILE && family != KCKPT_F_ghost)
		return kckpt_bad_image(ctx, obj, "O_TMPFILE of what has a name");
	if (open_flags & O_EXCL && family != KCKPT_F_pidfd)
		return kckpt_bad_image(ctx, obj, "O_EXCL of what is no pidfd");
	if (open_flags & O_EXCL & ~KCKPT_PIDFD_THREAD)
		kckpt_fail(ctx, obj, KCKPT_E_FILE_STATE, 0, "a pidfd of a thread, of which this kernel has none");
	return 0;
}

static int file_check(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_object *target;
	struct kckpt_file_rec rec;
	int err = file_rec(ctx, obj, &rec);

	if (err)
		return err;
	if (rec.pos < 0 || rec.open_flags & ~FILE_FLAGS || !file_mode_agrees(&rec) ||
	    rec.file_flags & ~FILE_FILE_FLAGS)
		return kckpt_bad_image(ctx, obj, "open file");
	if (rec.file_flags & KCKPT_FILE_INHERIT)
		return rec.open_flags & O_EXCL ? kckpt_bad_image(ctx, obj, "O_EXCL of what is handed over") :
						 kckpt_outside_check(ctx, obj, &rec);
	target = kckpt_objtab_get(&ctx->objs, rec.target);
	if (!target || !kckpt_family(target->family)->open)
		return kckpt_bad_image(ctx, obj, "open file on object %llu", rec.target);
	file_note_use(obj, target, rec.file_flags);
	return file_check_flags(ctx, obj, rec.open_flags, target->family) ?:
	       file_check_via(ctx, obj, &rec, target) ?:
	       kckpt_fowner_check(ctx, obj, &rec);
}

static int file_seek(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct file *file, loff_t pos)
{
	loff_t at;

	if (file->f_pos == pos)
		return 0;
	at = kckpt_should_fail() ? -EINVAL : vfs_llseek(file, pos, SEEK_SET);
	return at == pos ? 0 : kckpt_fail(ctx, obj, KCKPT_E_FILE_OPEN, at < 0 ? at : -EINVAL, "offset %lld", pos);
}

/* Opening takes some flags for what they are not, and knows others only later (F_SETFL). */
static void file_set_flags(struct file *file, u32 flags)
{
	spin_lock(&file->f_lock);
	file->f_flags = flags;
	file->f_iocb_flags = iocb_flags(file);
	spin_unlock(&file->f_lock);
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
		file = kckpt_outside_open(ctx, obj, &rec);
		if (!IS_ERR(file))
			obj->made = file;
		return PTR_ERR_OR_ZERO(file);
	}
	/* Nobody is to be signalled for what we do. */
	rec.open_flags &= ~FASYNC;
	target = kckpt_objtab_get(&ctx->objs, rec.target);
	file = kckpt_family(target->family)->open(ctx, target, &rec);
	if (IS_ERR(file))
		return PTR_ERR(file);
	obj->made = file;
	file_set_flags(file, rec.open_flags);
	return file_seek(ctx, obj, file, rec.pos);
}

void kckpt_files_keep_owned(struct kckpt_ctx *ctx)
{
	struct kckpt_object *obj;
	struct kckpt_file_rec rec;

	kckpt_for_each_object(&ctx->objs, obj)
		if (obj->family == KCKPT_F_file && obj->made && !file_rec(ctx, obj, &rec) && kckpt_fowner_needed(&rec))
			obj->value = (unsigned long)get_file(obj->made);
}

int kckpt_files_own(struct kckpt_ctx *ctx)
{
	struct kckpt_object *obj;
	struct kckpt_file_rec rec;
	struct file *file;
	int err = 0;

	kckpt_for_each_object(&ctx->objs, obj) {
		if (obj->family != KCKPT_F_file || !obj->value)
			continue;
		file = (struct file *)(unsigned long)obj->value;
		err = err ?: file_rec(ctx, obj, &rec) ?: kckpt_fowner_set(ctx, obj, file, &rec);
		fput(file);
		obj->value = 0;
	}
	return err;
}

const struct kckpt_family_ops kckpt_file_ops = {
	.name = "file",
	.put = file_put,
	.collect = file_collect, .closed = file_closed, .dump = file_dump,
	.check = file_check, .restore = file_restore,
	.release = file_release,
};
