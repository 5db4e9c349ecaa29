// SPDX-License-Identifier: GPL-2.0
/* The memory devices without state: /dev/null, zero, full, random, urandom. Opened again by path. */
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/kdev_t.h>
#include <linux/major.h>
#include <linux/namei.h>

#include "family.h"
#include "fault.h"

/* Documentation/admin-guide/devices.txt */
static bool memdev_known(u32 minor)
{
	return minor == 3 || minor == 5 || minor == 7 || minor == 8 || minor == 9;
}

static bool memdev_is(const struct inode *inode)
{
	return S_ISCHR(inode->i_mode) && imajor(inode) == MEM_MAJOR && memdev_known(iminor(inode));
}

static bool memdev_claims(struct file *file)
{
	return memdev_is(file_inode(file));
}

/* ---- dump ---- */

static int memdev_collect(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct file *file = obj->ptr;
	char *buf = kckpt_alloc(PATH_MAX);

	if (!buf)
		return kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, 0, "path");
	kckpt_path(ctx, obj, &file->f_path, buf);
	kvfree(buf);
	return 0;
}

static int memdev_dump(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct file *file = obj->ptr;
	struct kckpt_memdev_rec rec = { .minor = iminor(file_inode(file)) };
	char *buf = kckpt_alloc(PATH_MAX), *name;
	int err = -ESTALE;

	if (!buf)
		return kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, 0, "path");
	name = kckpt_path(ctx, obj, &file->f_path, buf);
	if (name) {
		rec.path_len = strlen(name);
		err = kckpt_put(ctx, obj, KCKPT_K_memdev, &rec, sizeof(rec), name, rec.path_len);
	}
	kvfree(buf);
	return err;
}

/* ---- restore ---- */

static int memdev_rec(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct kckpt_memdev_rec *rec, char **name)
{
	const void *tail;
	int err;

	err = kckpt_rec_only(ctx, obj, KCKPT_K_memdev, rec, sizeof(*rec), &rec->path_len, 1, &tail);
	if (err)
		return err;
	if (!memdev_known(rec->minor))
		return kckpt_bad_image(ctx, obj, "memory device %u", rec->minor);
	*name = kckpt_rec_path(ctx, obj, tail, rec->path_len);
	return *name ? 0 : -EBADMSG;
}

static int memdev_check(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_memdev_rec rec;
	struct inode *inode;
	struct path path;
	char *name;
	int err = memdev_rec(ctx, obj, &rec, &name);

	if (err)
		return err;
	err = kckpt_should_fail() ? -EIO : kern_path(name, 0, &path);
	if (err) {
		kckpt_fail(ctx, obj, KCKPT_E_FILE_MISSING, err, "%s", name);
	} else {
		inode = d_backing_inode(path.dentry);
		if (!memdev_is(inode) || iminor(inode) != rec.minor)
			kckpt_fail(ctx, obj, KCKPT_E_FILE_CHANGED, 0, "%s: it is another device", name);
		path_put(&path);
	}
	kfree(name);
	return 0;
}

static struct file *memdev_open(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_file_rec *file_rec)
{
	struct kckpt_memdev_rec rec;
	struct file *file;
	char *name;
	int err = memdev_rec(ctx, obj, &rec, &name);

	if (err)
		return ERR_PTR(err);
	file = kckpt_should_fail() ? ERR_PTR(-EMFILE) : filp_open(name, file_rec->open_flags, 0);
	if (IS_ERR(file)) {
		kckpt_fail(ctx, obj, KCKPT_E_FILE_OPEN, PTR_ERR(file), "%s", name);
	} else if (!memdev_claims(file)) {
		fput(file);
		file = ERR_PTR(kckpt_fail(ctx, obj, KCKPT_E_FILE_CHANGED, 0, "%s: it is another device", name));
	}
	kfree(name);
	return file;
}

const struct kckpt_family_ops kckpt_memdev_ops = {
	.name = "memdev",
	.claims = memdev_claims,
	.collect = memdev_collect, .dump = memdev_dump,
	.check = memdev_check, .open = memdev_open,
};
