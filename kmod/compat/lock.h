/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCKPT_COMPAT_LOCK_H
#define KCKPT_COMPAT_LOCK_H

#include <linux/fs.h>
#include <linux/version.h>
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
#include <linux/filelock.h>	/* part of fs.h until v6.2 */
#endif

/*
 * kckpt_fl() - a field that locks and leases have in common. In a struct of its own since a69ce85ec9af ("filelock:
 * split common fields into struct file_lock_core") (v6.9). struct kckpt_lease - apart from locks since c69ff4071935
 * ("filelock: split leases out of struct file_lock") (v6.9).
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 9, 0)
#define kckpt_fl(lock, field) ((lock)->c.flc_##field)
#define kckpt_for_each_lock(lock, head) list_for_each_entry(lock, head, c.flc_list)
#define kckpt_lease file_lease
#else
#define kckpt_fl(lock, field) ((lock)->fl_##field)
#define kckpt_for_each_lock(lock, head) list_for_each_entry(lock, head, fl_list)
#define kckpt_lease file_lock
#endif

/* kckpt_lock_context() - the locks on an inode, or NULL; the kernel's own helper is not there before v6.3. */
static inline struct file_lock_context *kckpt_lock_context(const struct inode *inode)
{
	/* Pairs with the cmpxchg() in locks_get_lock_context(). */
	return smp_load_acquire(&inode->i_flctx);
}

#endif
