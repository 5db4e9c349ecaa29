// SPDX-License-Identifier: GPL-2.0
/*
 * Regular files, open or mapped, directories, and of what is open with O_PATH anything. Not their contents: they are
 * found again by their path, and a file must be what it was, by size and time of change (device and inode too when the
 * caller is strict); what can be neither read nor written only by type.
 *
 * Refused: files that their path does not lead to, mappings of what overlayfs has copied up since. Deleted ones are of
 * the family `ghost`.
 */
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/stat.h>

#include "compat/file.h"
#include "family.h"
#include "fault.h"
#include "obj_path.h"

/* Open files of these have state that a path does not bring back, and rights that the restorer must not lend. */
static bool path_is_pseudo(unsigned long magic)
{
	static const unsigned long pseudo[] = {
		PROC_SUPER_MAGIC, SYSFS_MAGIC, CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, DEBUGFS_MAGIC, TRACEFS_MAGIC,
		SECURITYFS_MAGIC, BPF_FS_MAGIC, SELINUX_MAGIC, SMACK_MAGIC, HUGETLBFS_MAGIC, PSTOREFS_MAGIC,
		EFIVARFS_MAGIC, BINFMTFS_MAGIC, NSFS_MAGIC, RDTGROUP_SUPER_MAGIC, DEVPTS_SUPER_MAGIC,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(pseudo); i++)
		if (magic == pseudo[i])
			return true;
	return false;
}

bool kckpt_path_is_ordinary(struct file *file)
{
	const struct inode *inode = d_backing_inode(kckpt_file_path(file)->dentry);
	unsigned long magic = inode->i_sb->s_magic;

	if (file->f_path.mnt->mnt_flags & MNT_INTERNAL)
		return false;
	/* Nothing can be done with it but to open it once more; only what belongs to a task will not be there. */
	if (file->f_mode & FMODE_PATH)
		return magic != PROC_SUPER_MAGIC && magic != NSFS_MAGIC;
	return !path_is_pseudo(magic) && (S_ISREG(inode->i_mode) || S_ISDIR(inode->i_mode));
}

static bool path_claims(struct file *file)
{
	return kckpt_path_is_ordinary(file) && !kckpt_path_is_deleted(kckpt_file_path(file));
}

/* ---- dump ---- */

/* A mapping stays on the file below that overlayfs had when it was made; the path leads to the copy. */
static bool path_is_stale(const struct file *file, const struct path *path)
{
	return file_inode(file) != d_inode(path->dentry) && file_inode(file) != d_real_inode(path->dentry);
}

static int path_collect(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct path *path = kckpt_file_path(obj->ptr);
	char *buf = kckpt_alloc(PATH_MAX), *name;
	struct path found;

	if (!buf)
		return kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, 0, "path");
	name = kckpt_path(ctx, obj, path, buf);
	if (name && (kern_path(name, 0, &found) || (path_put(&found), found.dentry != path->dentry)))
		kckpt_fail(ctx, obj, KCKPT_E_FILE_UNREACHABLE, 0, "%s", name);
	else if (name && path_is_stale(obj->ptr, path))
		kckpt_fail(ctx, obj, KCKPT_E_FILE_STATE, 0, "mapped before overlayfs copied it up: %s", name);
	kvfree(buf);
	return 0;
}

static int path_stat(const struct path *path, struct kckpt_path_rec *rec)
{
	struct kstat stat;
	int err = kckpt_should_fail() ? -EIO : vfs_getattr(path, &stat, STATX_BASIC_STATS, AT_STATX_SYNC_AS_STAT);

	if (err)
		return err;
	rec->size = stat.size;
	rec->mtime = stat.mtime.tv_sec;
	rec->mtime_nsec = stat.mtime.tv_nsec;
	rec->mode = stat.mode;
	rec->dev = new_encode_dev(stat.dev);
	rec->ino = stat.ino;
	rec->uid = from_kuid(current_user_ns(), stat.uid);
	rec->gid = from_kgid(current_user_ns(), stat.gid);
	return 0;
}

static int path_dump(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct path *path = kckpt_file_path(obj->ptr);
	char *buf = kckpt_alloc(PATH_MAX), *name;
	struct kckpt_path_rec rec = {};
	int err;

	if (!buf)
		return kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, 0, "path");
	name = kckpt_path(ctx, obj, path, buf);
	if (!name) {
		err = -ESTALE;
		goto free_buf;
	}
	err = path_stat(path, &rec);
	if (err) {
		kckpt_fail(ctx, obj, KCKPT_E_FILE_OPEN, err, "%s", name);
		goto free_buf;
	}
	rec.path_len = strlen(name);
	err = kckpt_put(ctx, obj, KCKPT_K_path, &rec, sizeof(rec), name, rec.path_len);
free_buf:
	kvfree(buf);
	return err;
}

/* ---- restore ---- */

static int path_rec(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct kckpt_path_rec *rec, char **name)
{
	const void *tail;
	int err;

	err = kckpt_rec_only(ctx, obj, KCKPT_K_path, rec, sizeof(*rec), &rec->path_len, 1, &tail);
	if (err)
		return err;
	*name = kckpt_rec_path(ctx, obj, tail, rec->path_len);
	return *name ? 0 : -EBADMSG;
}

/* What is not as it was, or NULL. @use: KCKPT_FILE_READ and KCKPT_FILE_WRITE, as it is open somewhere in the job. */
static const char *path_differs(const struct kckpt_ctx *ctx, const struct kckpt_path_rec *was,
				const struct kckpt_path_rec *is, u32 use)
{
	if ((was->mode ^ is->mode) & S_IFMT)
		return "type";
	if (ctx->flags & KCKPT_INSTANTIATE_FILES_STRICT && (was->dev != is->dev || was->ino != is->ino))
		return "device or inode";
	if (!S_ISREG(was->mode) || !(use & (KCKPT_FILE_READ | KCKPT_FILE_WRITE)))
		return NULL;
	/* Who can lead the path to another's file cannot make that their own. */
	if (was->uid != is->uid || was->gid != is->gid)
		return "owner";
	if (use & KCKPT_FILE_WRITE && ctx->flags & KCKPT_INSTANTIATE_FILES_CHANGED)
		return NULL;
	if (was->size != is->size)
		return "size";
	if (was->mtime != is->mtime || was->mtime_nsec != is->mtime_nsec)
		return "time of change";
	return NULL;
}

static int path_check_same(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_path_rec *was,
			   const struct path *path, const char *name, u32 use)
{
	struct kckpt_path_rec is = {};
	const char *differs;
	int err = path_stat(path, &is);

	if (err)
		return kckpt_fail(ctx, obj, KCKPT_E_FILE_OPEN, err, "%s", name);
	differs = path_differs(ctx, was, &is, use);
	if (!differs)
		return 0;
	return kckpt_fail(ctx, obj, KCKPT_E_FILE_CHANGED, 0, "%s: its %s differs", name, differs);
}

static int path_check(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_path_rec rec;
	struct path path;
	char *name;
	int err = path_rec(ctx, obj, &rec, &name);

	if (err)
		return err;
	err = kckpt_should_fail() ? -EIO : kern_path(name, 0, &path);
	if (err) {
		/* Goes on, so that all that is missing is reported at once. */
		kckpt_fail(ctx, obj, err == -ENOENT ? KCKPT_E_FILE_MISSING : KCKPT_E_FILE_OPEN, err, "%s", name);
	} else {
		path_check_same(ctx, obj, &rec, &path, name, obj->value);
		path_put(&path);
	}
	kfree(name);
	return 0;
}

int kckpt_path_find(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct path *path)
{
	struct kckpt_path_rec rec;
	char *name;
	int err = path_rec(ctx, obj, &rec, &name);

	if (err)
		return err;
	err = kckpt_should_fail() ? -EIO : kern_path(name, 0, path);
	kfree(name);
	return err;
}

struct file *kckpt_path_open(struct kckpt_ctx *ctx, struct kckpt_object *obj, u32 open_flags, u32 use)
{
	struct kckpt_path_rec rec;
	struct file *file;
	char *name;
	int err = path_rec(ctx, obj, &rec, &name);

	if (err)
		return ERR_PTR(err);
	file = kckpt_should_fail() ? ERR_PTR(-EMFILE) : filp_open(name, open_flags | O_NOFOLLOW | O_NOCTTY, 0);
	if (IS_ERR(file)) {
		kckpt_fail(ctx, obj, KCKPT_E_FILE_OPEN, PTR_ERR(file), "%s", name);
		goto free_name;
	}
	if (!(open_flags & O_NOFOLLOW))
		file->f_flags &= ~O_NOFOLLOW;	/* fcntl() tells it */
	/* Between the check and now it may have been exchanged. */
	err = path_check_same(ctx, obj, &rec, &file->f_path, name, use);
	if (err) {
		fput(file);
		file = ERR_PTR(err);
	}
free_name:
	kfree(name);
	return file;
}

static struct file *path_open(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_file_rec *rec)
{
	return kckpt_path_open(ctx, obj, rec->open_flags, rec->file_flags);
}

const struct kckpt_family_ops kckpt_path_ops = {
	.name = "path",
	.claims = path_claims,
	.collect = path_collect, .dump = path_dump,
	.check = path_check, .open = path_open,
};
