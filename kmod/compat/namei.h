/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCKPT_COMPAT_NAMEI_H
#define KCKPT_COMPAT_NAMEI_H

#include <linux/fs.h>
#include <linux/mount.h>
#include <linux/version.h>

/*
 * kckpt_idmap() - how ids are mapped on a mount, for vfs_unlink() and its like. A user namespace until abf08576afe3
 * ("fs: port vfs_*() helpers to struct mnt_idmap") (v6.3).
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
static inline struct mnt_idmap *kckpt_idmap(const struct vfsmount *mnt)
{
	return mnt_idmap(mnt);
}
#else
static inline struct user_namespace *kckpt_idmap(const struct vfsmount *mnt)
{
	return mnt_user_ns(mnt);
}
#endif

/*
 * kckpt_iter_write() - vfs_iter_write(). It waits for a frozen file system since 269aed7014b3 ("fs: move
 * file_start_write() into vfs_iter_write()") (v6.8); before, the caller had to.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
static inline ssize_t kckpt_iter_write(struct file *file, struct iov_iter *iter, loff_t *pos)
{
	return vfs_iter_write(file, iter, pos, 0);
}
#else
static inline ssize_t kckpt_iter_write(struct file *file, struct iov_iter *iter, loff_t *pos)
{
	ssize_t n;

	file_start_write(file);
	n = vfs_iter_write(file, iter, pos, 0);
	file_end_write(file);
	return n;
}
#endif

#endif
