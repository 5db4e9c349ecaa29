// SPDX-License-Identifier: GPL-2.0
/*
 * See outside.h.
 *
 * A name stands for one open file description, as a descriptor does. Where several of the job come under one name (two
 * opens of a terminal, both ends of a pipe), the first that is met has it, the next ones are NAME.2, NAME.3, ...
 *
 * What is handed over is either open, and becomes the job's as it is, with its mode, flags and offset; or it is an
 * O_PATH descriptor, which only tells what to open: that is done with the flags and at the offset that the job had,
 * and again for each of NAME, NAME.2, ...
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/major.h>
#include <linux/sched/signal.h>
#include <linux/stat.h>
#include <linux/tty.h>

#include "compat/file.h"
#include "family.h"
#include "fault.h"
#include "ksym.h"
#include "session.h"

/* ---- what the caller names ---- */

static bool external_is_valid(const struct kckpt_external *ext)
{
	bool has_dev = ext->kind == KCKPT_EXTERNAL_FILE || ext->kind == KCKPT_EXTERNAL_DEV;
	bool has_ino = ext->kind == KCKPT_EXTERNAL_FILE || ext->kind == KCKPT_EXTERNAL_PIPE ||
		       ext->kind == KCKPT_EXTERNAL_SOCKET;

	return ext->kind >= KCKPT_EXTERNAL_PIPE && ext->kind <= KCKPT_EXTERNAL_TTY && !ext->reserved &&
	       (has_dev || !ext->dev) && (has_ino || !ext->ino) && ext->name[0] &&
	       strnlen(ext->name, sizeof(ext->name)) < sizeof(ext->name);
}

int kckpt_outside_copy(struct kckpt_ctx *ctx, u64 user, u32 nr)
{
	struct kckpt_outside *out = &ctx->outside;
	u32 i;

	kckpt_outside_drop(ctx);
	if (!nr)
		return 0;
	if (nr > KCKPT_MAX_INHERIT)
		return -E2BIG;
	out->external = kckpt_alloc(nr * sizeof(*out->external));
	out->used = kckpt_alloc(nr * sizeof(*out->used));
	if (!out->external || !out->used)
		return kckpt_fail(ctx, NULL, KCKPT_E_NO_MEMORY, 0, "external");
	if (kckpt_copy_in(out->external, u64_to_user_ptr(user), nr * sizeof(*out->external)))
		return -EFAULT;
	for (i = 0; i < nr; i++)
		if (!external_is_valid(&out->external[i]))
			return -EINVAL;
	out->nr_external = nr;
	return 0;
}

void kckpt_outside_drop(struct kckpt_ctx *ctx)
{
	kvfree(ctx->outside.external);
	kvfree(ctx->outside.used);
	ctx->outside = (struct kckpt_outside){};
}

/* ---- dump: which of the job's files are these? ---- */

static dev_t task_tty(struct task_struct *task)
{
	unsigned long flags;
	dev_t dev = 0;

	if (!kckpt_lock_task_sighand(task, &flags))
		return 0;
	if (task->signal->tty)
		dev = tty_devnum(task->signal->tty);
	unlock_task_sighand(task, &flags);
	return dev;
}

/* The controlling terminal of the first task that has one. */
static dev_t outside_tty(struct kckpt_ctx *ctx)
{
	struct kckpt_outside *out = &ctx->outside;
	struct kckpt_object *obj;

	if (out->tty_known)
		return out->tty;
	kckpt_for_each_object(&ctx->objs, obj) {
		if (obj->family != KCKPT_F_task)
			continue;
		out->tty = task_tty((struct task_struct *)obj->ptr);
		if (out->tty)
			break;
	}
	out->tty_known = true;
	return out->tty;
}

/* /dev/tty is whatever was the controlling terminal of who opened it. */
static bool file_is_tty(const struct file *file, dev_t tty)
{
	const struct inode *inode = file_inode(file);

	if (!tty || !S_ISCHR(inode->i_mode))
		return false;
	if (inode->i_rdev == MKDEV(TTYAUX_MAJOR, 0))
		return tty_devnum(((struct tty_file_private *)file->private_data)->tty) == tty;
	return inode->i_rdev == tty;
}

static bool file_is_inode(const struct file *file, umode_t type, unsigned long magic, u64 ino)
{
	const struct inode *inode = file_inode(file);

	return (inode->i_mode & S_IFMT) == type && inode->i_sb->s_magic == magic && inode->i_ino == ino;
}

/* By what stat() says of it, which on an overlay is not what the inode says. */
static int file_is_path(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_external *ext)
{
	struct file *file = (struct file *)obj->ptr;
	struct kstat stat;
	int err = kckpt_should_fail() ? -EIO :
					vfs_getattr(kckpt_file_path(file), &stat, STATX_INO, AT_STATX_DONT_SYNC);

	if (err)
		return kckpt_fail(ctx, obj, KCKPT_E_FILE_OPEN, err, "stat of %pD4", file);
	return new_encode_dev(stat.dev) == ext->dev && stat.ino == ext->ino;
}

static int external_matches(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_external *ext)
{
	const struct file *file = obj->ptr;

	switch (ext->kind) {
	case KCKPT_EXTERNAL_PIPE:
		return file_is_inode(file, S_IFIFO, PIPEFS_MAGIC, ext->ino);
	case KCKPT_EXTERNAL_SOCKET:
		return file_is_inode(file, S_IFSOCK, SOCKFS_MAGIC, ext->ino);
	case KCKPT_EXTERNAL_FILE:
		return file_is_path(ctx, obj, ext);
	case KCKPT_EXTERNAL_DEV:
		return S_ISCHR(file_inode(file)->i_mode) && new_encode_dev(file_inode(file)->i_rdev) == ext->dev;
	default:
		return file_is_tty(file, outside_tty(ctx));
	}
}

/*
 * Which entry of the caller @obj comes under: one of ctx->inherit, which says it most exactly, or, counted on from
 * there, the first external that matches; -ENOENT if none.
 */
static int outside_source(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	u32 i;
	int ret;

	for (i = 0; i < ctx->nr_inherit; i++)
		if (ctx->inherit_files[i] == obj->ptr)
			return i;
	for (i = 0; i < ctx->outside.nr_external; i++) {
		ret = external_matches(ctx, obj, &ctx->outside.external[i]);
		if (ret < 0)
			return ret;
		if (ret) {
			ctx->outside.used[i] = true;
			return ctx->nr_inherit + i;
		}
	}
	return -ENOENT;
}

/* ---- dump: their names ---- */

/* In kckpt_object.value: the entry, from 1 on, and which of the files under its name this is, from 1 on. */
#define VALUE(source, number)	((u64)(number) << 32 | ((source) + 1))
#define VALUE_SOURCE(value)	((u32)(value) - 1)
#define VALUE_NUMBER(value)	((u32)((value) >> 32))

static const char *outside_base(const struct kckpt_ctx *ctx, u32 source)
{
	return source < ctx->nr_inherit ? ctx->inherit[source].name :
					  ctx->outside.external[source - ctx->nr_inherit].name;
}

#define for_each_outside_file(ctx, obj)			\
	kckpt_for_each_object(&(ctx)->objs, obj)	\
		if ((obj)->family == KCKPT_F_file && (obj)->value)

void kckpt_outside_name(const struct kckpt_ctx *ctx, const struct kckpt_object *obj, char *name, size_t size)
{
	const char *base = outside_base(ctx, VALUE_SOURCE(obj->value));

	if (VALUE_NUMBER(obj->value) == 1)
		strscpy_pad(name, base, size);
	else
		snprintf(name, size, "%s.%u", base, VALUE_NUMBER(obj->value));
}

/* How many came under that name before. */
static u32 outside_count(struct kckpt_ctx *ctx, const char *base)
{
	struct kckpt_object *other;
	u32 nr = 0;

	for_each_outside_file(ctx, other)
		nr += !strcmp(outside_base(ctx, VALUE_SOURCE(other->value)), base);
	return nr;
}

/* A number may have made it what somebody else is called, or cut it short. */
static void outside_check_name(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	char name[2 * sizeof_field(struct kckpt_file_rec, inherit)], other_name[sizeof(name)];
	struct kckpt_object *other;

	kckpt_outside_name(ctx, obj, name, sizeof(name));
	if (strlen(name) >= sizeof_field(struct kckpt_file_rec, inherit)) {
		kckpt_fail(ctx, obj, KCKPT_E_INHERIT_NAME, 0, "%s is too long", name);
		return;
	}
	for_each_outside_file(ctx, other) {
		if (other == obj)
			continue;
		kckpt_outside_name(ctx, other, other_name, sizeof(other_name));
		if (!strcmp(name, other_name)) {
			kckpt_fail(ctx, obj, KCKPT_E_INHERIT_NAME, 0, "%s is already another one", name);
			return;
		}
	}
}

int kckpt_outside_claims(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct file *file = obj->ptr;
	int source;

	source = outside_source(ctx, obj);
	if (source < 0)
		return source == -ENOENT ? 0 : source;
	/* Nothing that is handed over could stand for these. */
	if (file->f_mode & FMODE_PATH || (file->f_flags & O_ACCMODE) == O_ACCMODE) {
		kckpt_fail(ctx, obj, KCKPT_E_FILE_STATE, 0, "O_PATH or access mode 3, which cannot be handed over");
		return 0;
	}
	obj->value = VALUE(source, 1 + outside_count(ctx, outside_base(ctx, source)));
	outside_check_name(ctx, obj);
	return 1;
}

bool kckpt_outside_has(struct kckpt_ctx *ctx, const struct file *file)
{
	const struct kckpt_object *obj = kckpt_objtab_find(&ctx->objs, KCKPT_F_file, file);

	return obj && obj->value;
}

void kckpt_outside_check_used(struct kckpt_ctx *ctx)
{
	u32 i;

	for (i = 0; i < ctx->outside.nr_external; i++)
		if (!ctx->outside.used[i])
			kckpt_fail(ctx, NULL, KCKPT_E_INHERIT_UNUSED, 0, "%s", ctx->outside.external[i].name);
}

/* ---- restore ---- */

/* Is @name that of the entry with a number behind it? */
static bool name_is_numbered(const char *name, const char *base)
{
	size_t len = strlen(base);
	unsigned int number;

	return !strncmp(name, base, len) && name[len] == '.' && !kstrtouint(name + len + 1, 10, &number);
}

static struct file *outside_handed_over(struct kckpt_ctx *ctx, const char *name)
{
	u32 i;

	for (i = 0; i < ctx->nr_inherit; i++)
		if (!strcmp(ctx->inherit[i].name, name))
			return ctx->inherit_files[i];
	for (i = 0; i < ctx->nr_inherit; i++)
		if (ctx->inherit_files[i]->f_mode & FMODE_PATH && name_is_numbered(name, ctx->inherit[i].name))
			return ctx->inherit_files[i];
	return NULL;
}

/* To be opened when the task is there that wants it. */
static void outside_check_path(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_file_rec *rec,
			       const struct file *file)
{
	umode_t mode = file_inode(file)->i_mode;
	int mask = MAY_OPEN | (rec->file_flags & KCKPT_FILE_READ ? MAY_READ : 0) |
		   (rec->file_flags & KCKPT_FILE_WRITE ? MAY_WRITE : 0);
	int err;

	/* Opening one end of a named pipe waits for the other. */
	if (S_ISFIFO(mode) || S_ISSOCK(mode) || S_ISLNK(mode)) {
		kckpt_fail(ctx, obj, KCKPT_E_INHERIT_MODE, 0, "%s: to be handed over open, not as O_PATH",
			   rec->inherit);
		return;
	}
	err = kckpt_should_fail() ? -EACCES : path_permission(&file->f_path, mask);
	if (err)
		kckpt_fail(ctx, obj, KCKPT_E_INHERIT_MODE, err, "%s: %pD4", rec->inherit, file);
}

/* Goes on, so that all that is missing is reported at once. */
int kckpt_outside_check(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_file_rec *rec)
{
	struct file *file;

	if (rec->target || !rec->inherit[0] || strnlen(rec->inherit, sizeof(rec->inherit)) == sizeof(rec->inherit))
		return kckpt_bad_image(ctx, obj, "descriptor of the outside");
	file = outside_handed_over(ctx, rec->inherit);
	if (!file)
		kckpt_fail(ctx, obj, KCKPT_E_INHERIT_MISSING, 0, "%s", rec->inherit);
	else if (file->f_mode & FMODE_PATH)
		outside_check_path(ctx, obj, rec, file);
	else if ((rec->file_flags & KCKPT_FILE_READ && !(file->f_mode & FMODE_READ)) ||
		 (rec->file_flags & KCKPT_FILE_WRITE && !(file->f_mode & FMODE_WRITE)))
		kckpt_fail(ctx, obj, KCKPT_E_INHERIT_MODE, 0, "%s", rec->inherit);
	return 0;
}

struct file *kckpt_outside_open(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_file_rec *rec)
{
	struct file *handed = outside_handed_over(ctx, rec->inherit), *file;
	int err = 0;

	if (!(handed->f_mode & FMODE_PATH))
		return get_file(handed);
	/* It must not become the controlling terminal of a session that has none. */
	file = kckpt_should_fail() ? ERR_PTR(-EMFILE) :
				     file_open_root(&handed->f_path, "", rec->open_flags | O_NOCTTY, 0);
	if (IS_ERR(file)) {
		kckpt_fail(ctx, obj, KCKPT_E_FILE_OPEN, PTR_ERR(file), "%s: %pD4", rec->inherit, handed);
		return file;
	}
	if (kckpt_is_session(file))
		err = kckpt_fail(ctx, obj, KCKPT_E_INHERIT_MODE, 0, "%s: a session", rec->inherit);
	else if (rec->pos && file->f_mode & FMODE_LSEEK && vfs_llseek(file, rec->pos, SEEK_SET) != rec->pos)
		err = kckpt_fail(ctx, obj, KCKPT_E_FILE_OPEN, -EINVAL, "%s: offset %lld", rec->inherit, rec->pos);
	if (!err)
		return file;
	fput(file);
	return ERR_PTR(err);
}
