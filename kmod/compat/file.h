/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCKPT_COMPAT_FILE_H
#define KCKPT_COMPAT_FILE_H

#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/uio.h>
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
 * kckpt_file_is_backing() - is it such a file? It never updates times of access (O_NOATIME), whatever the user wanted,
 * and nobody sees its flags.
 * Marked since 62d53c4a1dfe ("fs: use backing_file container for internal files with "fake" f_path") (v6.5); before,
 * its path led to another inode.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 5, 0)
static inline bool kckpt_file_is_backing(const struct file *file)
{
	return file->f_mode & FMODE_BACKING;
}
#else
static inline bool kckpt_file_is_backing(const struct file *file)
{
	return file_inode(file) != d_inode(file->f_path.dentry);
}
#endif

/*
 * kckpt_file_owner() - who gets SIGIO, may be NULL; kckpt_file_owner_alloc() - there is one afterwards. Allocated apart
 * since 1934b212615d ("file: reclaim 24 bytes from f_owner") (v6.12).
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
static inline struct fown_struct *kckpt_file_owner(struct file *file)
{
	return file_f_owner(file);
}

static inline int kckpt_file_owner_alloc(struct file *file)
{
	return file_f_owner_allocate(file);
}
#else
static inline struct fown_struct *kckpt_file_owner(struct file *file)
{
	return &file->f_owner;
}

static inline int kckpt_file_owner_alloc(struct file *file)
{
	return 0;
}
#endif

/*
 * kckpt_pipe_seen() - a field of a reading end of a named pipe: how many writers had come when it was opened.
 * f_version until 11068e0b64cb ("fs: remove f_version") (v6.12).
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0)
#define kckpt_pipe_seen(file) ((file)->f_pipe)
#else
#define kckpt_pipe_seen(file) ((file)->f_version)
#endif

/*
 * KCKPT_FILE_FLAGS_INTERNAL - what the kernel keeps in f_flags of files that it opened itself: executables, files below
 * an overlay. The latter is kept in f_mode alone since v6.14.
 */
#ifdef __FMODE_NONOTIFY
#define KCKPT_FILE_FLAGS_INTERNAL (__FMODE_EXEC | __FMODE_NONOTIFY)
#else
#define KCKPT_FILE_FLAGS_INTERNAL __FMODE_EXEC
#endif

/*
 * kckpt_file_write(), kckpt_file_read() - at *@pos, which moves on; @direct: without the page cache, if the file was
 * opened so. vfs_iocb_iter_write() waits for a frozen file system since 6ae654392bb5 ("fs: move
 * kiocb_start_write() into vfs_iocb_iter_write()") (v6.8); before, the caller had to.
 */
static inline void kckpt_file_iocb(struct file *file, struct kiocb *iocb, loff_t pos, bool direct)
{
	init_sync_kiocb(iocb, file);
	iocb->ki_pos = pos;
	if (!direct)
		iocb->ki_flags &= ~IOCB_DIRECT;
}

/*
 * kckpt_file_is_seekable() - may the image go there, or come from there? Not through a file system above another one
 * with O_DIRECT, which asks the one below for it whatever the request says.
 */
static inline bool kckpt_file_is_seekable(const struct file *file)
{
	umode_t mode = file_inode(file)->i_mode;

	return (S_ISREG(mode) || S_ISBLK(mode)) &&
	       !(file->f_flags & O_DIRECT && file->f_path.dentry->d_flags & DCACHE_OP_REAL);
}

static inline ssize_t kckpt_file_write(struct file *file, struct iov_iter *iter, loff_t *pos, bool direct)
{
	struct kiocb iocb;
	ssize_t n;

	kckpt_file_iocb(file, &iocb, *pos, direct);
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
	n = vfs_iocb_iter_write(file, &iocb, iter);
#else
	file_start_write(file);
	n = vfs_iocb_iter_write(file, &iocb, iter);
	file_end_write(file);
#endif
	*pos = iocb.ki_pos;
	return n;
}

static inline ssize_t kckpt_file_read(struct file *file, struct iov_iter *iter, loff_t *pos, bool direct)
{
	struct kiocb iocb;
	ssize_t n;

	kckpt_file_iocb(file, &iocb, *pos, direct);
	n = vfs_iocb_iter_read(file, &iocb, iter);
	*pos = iocb.ki_pos;
	return n;
}

/*
 * kckpt_file_may_read_cached() - can, and may, @len bytes be read by kckpt_file_read_cached()? Asks who may have to be
 * asked (security modules, listeners of fanotify), which the caller can be killed out of. tmpfs does not say that it
 * can do without waiting, nor has it to: it has nothing else. A device node is in one, too.
 */
static inline bool kckpt_file_may_read_cached(struct file *file, loff_t pos, size_t len)
{
	const struct inode *inode = file_inode(file);

	return S_ISREG(inode->i_mode) && !(file->f_flags & O_DIRECT) &&
	       (file->f_mode & FMODE_NOWAIT || inode->i_sb->s_magic == TMPFS_MAGIC) &&
	       !rw_verify_area(READ, file, &pos, len);
}

/* kckpt_file_read_cached() - what is in memory already, without asking for the rest; waits for nobody but swap. */
static inline ssize_t kckpt_file_read_cached(struct file *file, struct iov_iter *iter, loff_t pos)
{
	struct kiocb iocb;

	kckpt_file_iocb(file, &iocb, pos, false);
	iocb.ki_flags |= IOCB_NOWAIT | IOCB_NOIO;
	return file->f_op->read_iter(&iocb, iter);
}

/* kckpt_file_count() - references to an open file. file_count() does not want it const since v6.13. */
static inline unsigned long kckpt_file_count(const struct file *file)
{
	return file_count((struct file *)file);
}

#endif
