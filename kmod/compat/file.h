/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCKPT_COMPAT_FILE_H
#define KCKPT_COMPAT_FILE_H

#include <linux/fs.h>
#include <linux/version.h>

/*
 * kckpt_file_path() - the path that the user opened. A file that overlayfs maps is the one below: at first it bore
 * the user's path, since def3ae83da02 ("fs: store real path instead of fake path in backing file f_path") it
 * keeps that aside.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
static inline const struct path *kckpt_file_path(const struct file *file)
{
	return file_user_path(file);
}
#else
static inline const struct path *kckpt_file_path(const struct file *file)
{
	return &file->f_path;
}
#endif

/*
 * kckpt_file_has_owner() - F_SETOWN or F_SETSIG was used. The owner is allocated apart since 1934b212615d ("file:
 * reclaim 24 bytes from f_owner") (v6.12).
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
static inline bool kckpt_file_has_owner(const struct file *file)
{
	const struct fown_struct *owner = file_f_owner(file);

	return owner && (owner->pid || owner->signum);
}
#else
static inline bool kckpt_file_has_owner(const struct file *file)
{
	return file->f_owner.pid || file->f_owner.signum;
}
#endif

#endif
