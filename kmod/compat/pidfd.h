/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCKPT_COMPAT_PIDFD_H
#define KCKPT_COMPAT_PIDFD_H

#include <linux/anon_inodes.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/pid.h>
#include <linux/version.h>
#include <uapi/linux/pidfd.h>

/*
 * kckpt_pidfd_file() - an open file on @pid, which pidfd_open() makes only of what has a task, with access mode @mode:
 * one that was opened again by /proc/self/fd may have another than O_RDWR, since pidfds have an inode of their own,
 * cb12fd8e0dab ("pidfd: add pidfs") (v6.9). KCKPT_KSYM_PIDFD_CALLS, _DATA: what that needs; see ksym.h.
 *
 * KCKPT_PIDFD_THREAD - the flag of those that stand for a thread, since 64bef697d33b ("pidfd: implement PIDFD_THREAD
 * flag for pidfd_open()") (v6.9); 0: there are none.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 9, 0)
#include <linux/pidfs.h>

#define KCKPT_PIDFD_THREAD PIDFD_THREAD
#define KCKPT_KSYM_PIDFD_CALLS(X) X(pidfs_alloc_file, pidfd, "make a pidfd without taking an fd number")
#define KCKPT_KSYM_PIDFD_DATA(X)

#define kckpt_pidfd_file(pid, mode) kcall(pidfs_alloc_file)(pid, mode)
#else
#define KCKPT_PIDFD_THREAD 0
#define KCKPT_KSYM_PIDFD_CALLS(X)
#define KCKPT_KSYM_PIDFD_DATA(X) X(pidfd_fops, pidfd, "make a pidfd without taking an fd number")

static inline struct file *kckpt_pidfd_make(const struct file_operations *fops, struct pid *pid, int mode)
{
	struct file *file = anon_inode_getfile("[pidfd]", fops, pid, mode);

	if (!IS_ERR(file))
		get_pid(pid);	/* dropped with the file */
	return file;
}

#define kckpt_pidfd_file(pid, mode) kckpt_pidfd_make(kdata(pidfd_fops), pid, mode)
#endif

#endif
