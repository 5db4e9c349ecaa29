// SPDX-License-Identifier: GPL-2.0
/*
 * Working directory and umask. The object's pointer is only a name, since an fs_struct cannot be held: one of its tasks
 * is. A working directory that was removed, or is one of proc, is saved by way of an open file on it, which the
 * families `ghost` and `procfs` know to make.
 *
 * Refused: another root directory than the caller's, sharing with tasks outside.
 */
#include <linux/fs_struct.h>
#include <linux/magic.h>
#include <linux/namei.h>

#include "compat/fs.h"
#include "family.h"
#include "fault.h"
#include "ksym.h"
#include "obj_fs.h"
#include "obj_path.h"

static struct task_struct *fs_task(const struct kckpt_object *obj)
{
	return obj->made2;
}

static void fs_put_users(struct fs_struct *fs)
{
	bool last;

	kckpt_fs_lock(fs);
	last = !--fs->users;
	kckpt_fs_unlock(fs);
	if (last)
		kcall(free_fs_struct)(fs);
}

/* A dump has a task, a restore the fs_struct that was made. */
static void fs_release(struct kckpt_object *obj)
{
	if (obj->made2)
		put_task_struct(obj->made2);
	if (obj->made)
		fs_put_users(obj->made);
}

/* ---- dump ---- */

struct kckpt_object *kckpt_intern_fs(struct kckpt_ctx *ctx, struct task_struct *task, const struct kckpt_where *where)
{
	const void *fs = READ_ONCE(task->fs);
	struct kckpt_object *obj;

	if (!fs)
		return ERR_PTR(kckpt_fail(ctx, NULL, KCKPT_E_JOB_MOVED, 0, "it was killed"));
	obj = kckpt_intern(ctx, KCKPT_F_fs, fs, where);
	if (!IS_ERR(obj) && !obj->made2)
		obj->made2 = get_task_struct(task);
	return obj;
}

static bool fs_paths(struct task_struct *task, struct path *root, struct path *pwd, int *umask)
{
	struct fs_struct *fs;

	task_lock(task);
	fs = task->fs;
	if (fs) {
		kckpt_fs_lock(fs);
		*root = fs->root;
		*pwd = fs->pwd;
		path_get(root);
		path_get(pwd);
		*umask = fs->umask;
		kckpt_fs_unlock(fs);
	}
	task_unlock(task);
	return fs;
}

static int fs_collect_pwd(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct path *pwd, char *buf)
{
	struct kckpt_object *other;
	struct file *file;

	if (!kckpt_path_is_deleted(pwd) && pwd->dentry->d_sb->s_magic != PROC_SUPER_MAGIC) {
		kckpt_path(ctx, obj, pwd, buf);
		return 0;
	}
	file = kckpt_should_fail() ? ERR_PTR(-ENFILE) : dentry_open(pwd, O_PATH | O_DIRECTORY, current_cred());
	if (IS_ERR(file))
		return kckpt_fail(ctx, obj, KCKPT_E_FILE_OPEN, PTR_ERR(file), "working directory %pd4", pwd->dentry);
	other = kckpt_intern_file(ctx, file, &obj->where);
	if (IS_ERR(other))
		return PTR_ERR(other);
	obj->value = other->id;
	return 0;
}

static int fs_collect(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct task_struct *task = fs_task(obj);
	struct path root, pwd;
	char *buf = kckpt_alloc(PATH_MAX);
	int umask, err = 0;

	if (!buf)
		return kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, 0, "path");
	if (fs_paths(task, &root, &pwd, &umask)) {
		if (!path_equal(&root, &ctx->root))
			kckpt_fail(ctx, obj, KCKPT_E_TASK_ROOT, 0, "");
		else
			err = fs_collect_pwd(ctx, obj, &pwd, buf);
		path_put(&root);
		path_put(&pwd);
	} else {
		kckpt_fail(ctx, obj, KCKPT_E_TASK_DYING, 0, "");
	}
	kvfree(buf);
	return err;
}

/* Only tasks count as users of an fs_struct, so a number too high is a task outside. */
static int fs_closed(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct task_struct *task = fs_task(obj);
	int users = 0;

	task_lock(task);
	if (task->fs)
		users = task->fs->users;
	task_unlock(task);
	if (users > obj->seen)
		kckpt_fail(ctx, obj, KCKPT_E_TASK_SHARES, 0, "working directory and umask (CLONE_FS)");
	return 0;
}

static int fs_dump(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct task_struct *task = fs_task(obj);
	struct kckpt_fs_rec rec = {};
	char *buf = kckpt_alloc(PATH_MAX), *name;
	struct path root, pwd;
	int umask, err;

	if (!buf)
		return kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, 0, "path");
	if (!fs_paths(task, &root, &pwd, &umask)) {
		kvfree(buf);
		return kckpt_fail(ctx, obj, KCKPT_E_JOB_MOVED, 0, "");
	}
	rec.cwd_file = obj->value;
	name = rec.cwd_file ? kckpt_path_of_deleted(ctx, obj, &pwd, buf) : kckpt_path(ctx, obj, &pwd, buf);
	if (name) {
		rec.umask = umask;
		rec.cwd_len = strlen(name);
		err = kckpt_put(ctx, obj, KCKPT_K_fs, &rec, sizeof(rec), name, rec.cwd_len);
	} else {
		err = -ESTALE;
	}
	path_put(&root);
	path_put(&pwd);
	kvfree(buf);
	return err;
}

/* ---- restore ---- */

static int fs_rec(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct kckpt_fs_rec *rec, char **name)
{
	const void *tail;
	int err;

	err = kckpt_rec_only(ctx, obj, KCKPT_K_fs, rec, sizeof(*rec), &rec->cwd_len, 1, &tail);
	if (err)
		return err;
	if (rec->umask & ~0777)
		return kckpt_bad_image(ctx, obj, "umask");
	*name = kckpt_rec_path(ctx, obj, tail, rec->cwd_len);
	return *name ? 0 : -EBADMSG;
}

static int fs_lookup(struct kckpt_ctx *ctx, struct kckpt_object *obj, const char *name, struct path *pwd)
{
	int err = kckpt_should_fail() ? -EIO : kern_path(name, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, pwd);

	return err ? kckpt_fail(ctx, obj, KCKPT_E_FILE_MISSING, err, "working directory %s", name) : 0;
}

static int fs_check(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_fs_rec rec;
	struct path pwd;
	char *name;
	int err = fs_rec(ctx, obj, &rec, &name);

	if (err)
		return err;
	if (rec.cwd_file) {
		err = kckpt_ref(ctx, obj, rec.cwd_file, KCKPT_F_file) ? 0 : -EBADMSG;
	} else {
		err = fs_lookup(ctx, obj, name, &pwd);
		if (!err)
			path_put(&pwd);
	}
	kfree(name);
	return err;
}

/* The directory that the file is open on. */
static int fs_open_by_file(struct kckpt_ctx *ctx, u64 id, struct path *pwd)
{
	struct kckpt_object *obj = kckpt_objtab_get(&ctx->objs, id);
	int err = kckpt_make_shared(ctx, obj);

	if (err)
		return err;
	*pwd = ((struct file *)obj->made)->f_path;
	if (!d_is_dir(pwd->dentry))
		return kckpt_bad_image(ctx, obj, "no working directory");
	path_get(pwd);
	return 0;
}

static int fs_restore(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_fs_rec rec;
	struct path pwd;
	char *name;
	int err = fs_rec(ctx, obj, &rec, &name);

	if (err)
		return err;
	err = rec.cwd_file ? fs_open_by_file(ctx, rec.cwd_file, &pwd) : fs_lookup(ctx, obj, name, &pwd);
	kfree(name);
	if (err)
		return err;
	kcall(set_fs_pwd)(current->fs, &pwd);
	path_put(&pwd);
	current->fs->umask = rec.umask;
	kckpt_fs_lock(current->fs);
	current->fs->users++;
	kckpt_fs_unlock(current->fs);
	obj->made = current->fs;
	return 0;
}

void kckpt_fs_adopt(struct kckpt_object *obj)
{
	struct fs_struct *fs = obj->made, *old = current->fs;

	if (fs == old)
		return;
	kckpt_fs_lock(fs);
	fs->users++;
	kckpt_fs_unlock(fs);
	task_lock(current);
	current->fs = fs;
	task_unlock(current);
	fs_put_users(old);
}

const struct kckpt_family_ops kckpt_fs_ops = {
	.name = "fs",
	.collect = fs_collect, .closed = fs_closed, .dump = fs_dump,
	.check = fs_check, .restore = fs_restore,
	.release = fs_release,
};
