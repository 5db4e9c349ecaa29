/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCKPT_COMPAT_FS_H
#define KCKPT_COMPAT_FS_H

#include <linux/fs_struct.h>
#include <linux/version.h>

/*
 * kckpt_fs_lock(), kckpt_fs_unlock() - the lock of root, working directory and number of users. A spin lock next to a
 * sequence counter; one seqlock in v7.2, and not yet in v6.12.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 17, 0)
static inline void kckpt_fs_lock(struct fs_struct *fs)
{
	read_seqlock_excl(&fs->seq);
}

static inline void kckpt_fs_unlock(struct fs_struct *fs)
{
	read_sequnlock_excl(&fs->seq);
}
#else
static inline void kckpt_fs_lock(struct fs_struct *fs)
{
	spin_lock(&fs->lock);
}

static inline void kckpt_fs_unlock(struct fs_struct *fs)
{
	spin_unlock(&fs->lock);
}
#endif

#endif
