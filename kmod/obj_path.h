/* SPDX-License-Identifier: GPL-2.0 */
/* Which files have a name to be found again by (family path), and which had one (family ghost). */
#ifndef KCKPT_OBJ_PATH_H
#define KCKPT_OBJ_PATH_H

#include <linux/dcache.h>
#include <linux/fs.h>
#include <linux/path.h>

/* kckpt_path_is_ordinary() - a regular file or directory on a file system that keeps files. */
bool kckpt_path_is_ordinary(struct file *file);

/* kckpt_path_is_deleted() - its name is gone. NFS gives a deleted file that is open another one until it is closed. */
static inline bool kckpt_path_is_deleted(const struct path *path)
{
	return d_unlinked(path->dentry) || path->dentry->d_flags & DCACHE_NFSFS_RENAMED;
}

#endif
