/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCKPT_COMPAT_NAMEI_H
#define KCKPT_COMPAT_NAMEI_H

#include <linux/fs.h>
#include <linux/mount.h>
#include <linux/namei.h>
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

/*
 * kckpt_lookup_one() - a name in a directory that is locked. A qstr since "VFS: improve interface for lookup_one
 * functions" (v6.16).
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 16, 0)
static inline struct dentry *kckpt_lookup_one(const struct path *dir, const char *name)
{
	return lookup_one(mnt_idmap(dir->mnt), &QSTR(name), dir->dentry);
}
#else
static inline struct dentry *kckpt_lookup_one(const struct path *dir, const char *name)
{
	return lookup_one(kckpt_idmap(dir->mnt), name, dir->dentry, strlen(name));
}
#endif

/*
 * kckpt_mkdir(), kckpt_mknod(), kckpt_symlink(), kckpt_rmdir() - in a directory that is locked and stays so. They give
 * notice of a delegated directory since "vfs: make vfs_mkdir break delegations on parent directory" and its like
 * (v6.19), for which we do not wait. vfs_mkdir() then takes @dentry and the lock with it if it fails, and may give
 * another dentry in its place, which we do not want: @dentry is then still negative.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 19, 0)
static inline int kckpt_mkdir(const struct path *dir, struct dentry *dentry, umode_t mode)
{
	struct inode *inode = d_inode(dir->dentry);
	struct dentry *made = vfs_mkdir(mnt_idmap(dir->mnt), inode, dget(dentry), mode, NULL);

	if (!IS_ERR(made)) {
		dput(made);
		return 0;
	}
	inode_lock_nested(inode, I_MUTEX_PARENT);
	return PTR_ERR(made);
}

static inline int kckpt_mknod(const struct path *dir, struct dentry *dentry, umode_t mode)
{
	return vfs_mknod(mnt_idmap(dir->mnt), d_inode(dir->dentry), dentry, mode, 0, NULL);
}

static inline int kckpt_symlink(const struct path *dir, struct dentry *dentry, const char *target)
{
	return vfs_symlink(mnt_idmap(dir->mnt), d_inode(dir->dentry), dentry, target, NULL);
}

static inline int kckpt_rmdir(const struct path *dir, struct dentry *dentry)
{
	return vfs_rmdir(mnt_idmap(dir->mnt), d_inode(dir->dentry), dentry, NULL);
}
#else
static inline int kckpt_mkdir(const struct path *dir, struct dentry *dentry, umode_t mode)
{
	return vfs_mkdir(kckpt_idmap(dir->mnt), d_inode(dir->dentry), dentry, mode);
}

static inline int kckpt_mknod(const struct path *dir, struct dentry *dentry, umode_t mode)
{
	return vfs_mknod(kckpt_idmap(dir->mnt), d_inode(dir->dentry), dentry, mode, 0);
}

static inline int kckpt_symlink(const struct path *dir, struct dentry *dentry, const char *target)
{
	return vfs_symlink(kckpt_idmap(dir->mnt), d_inode(dir->dentry), dentry, target);
}

static inline int kckpt_rmdir(const struct path *dir, struct dentry *dentry)
{
	return vfs_rmdir(kckpt_idmap(dir->mnt), d_inode(dir->dentry), dentry);
}
#endif

/*
 * kckpt_dentry_ops() - the operations of all dentries of a file system, or NULL. Hidden from file systems, but not
 * changed, by "new helper: set_default_d_op()" (v6.17). kckpt_for_each_alias() - the dentries of an inode, under its
 * lock. The union that they hang in has no name since v7.1. kckpt_inode_state() - behind an accessor since v6.19.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 17, 0)
#define kckpt_dentry_ops(sb) ((sb)->__s_d_op)
#else
#define kckpt_dentry_ops(sb) ((sb)->s_d_op)
#endif

#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 1, 0)
#define kckpt_for_each_alias(dentry, inode) hlist_for_each_entry(dentry, &(inode)->i_dentry, d_alias)
#else
#define kckpt_for_each_alias(dentry, inode) hlist_for_each_entry(dentry, &(inode)->i_dentry, d_u.d_alias)
#endif

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 19, 0)
#define kckpt_inode_state(inode) inode_state_read_once(inode)
#else
#define kckpt_inode_state(inode) READ_ONCE((inode)->i_state)
#endif

#endif
