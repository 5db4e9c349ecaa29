/* SPDX-License-Identifier: GPL-2.0 */
/* Which files have a name to be found again by (family path), and which had one (family ghost). */
#ifndef KCKPT_OBJ_PATH_H
#define KCKPT_OBJ_PATH_H

#include <linux/dcache.h>
#include <linux/fs.h>
#include <linux/path.h>

struct kckpt_ctx;
struct kckpt_object;

/* kckpt_path_is_ordinary() - a regular file or directory on a file system that keeps files. */
bool kckpt_path_is_ordinary(struct file *file);

/* kckpt_path_is_deleted() - its name is gone. NFS gives a deleted file that is open another one until it is closed. */
static inline bool kckpt_path_is_deleted(const struct path *path)
{
	return d_unlinked(path->dentry) || path->dentry->d_flags & DCACHE_NFSFS_RENAMED;
}

/* kckpt_path_find() - restore: where the path of @obj leads now, referenced; if nowhere, its check tells. */
int kckpt_path_find(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct path *path);

/* kckpt_path_open() - restore: opens what the path of @obj leads to, if it is what it was; @use: KCKPT_FILE_*. */
struct file *kckpt_path_open(struct kckpt_ctx *ctx, struct kckpt_object *obj, u32 open_flags, u32 use);

#endif
