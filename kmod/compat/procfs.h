/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCKPT_COMPAT_PROCFS_H
#define KCKPT_COMPAT_PROCFS_H

#include <linux/mm_types.h>
#include <linux/version.h>

/*
 * The head of struct proc_maps_private, what fs/proc/internal.h keeps of an open file on areas. The address space came
 * to stand behind the position with "fs/proc/task_mmu: factor out proc_maps_private fields used by PROCMAP_QUERY"
 * (v6.18).
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 18, 0)
struct kckpt_proc_maps {
	struct inode *inode;
	struct task_struct *task;
	struct vma_iterator iter;
	loff_t last_pos;
	struct mm_struct *mm;
};
#else
struct kckpt_proc_maps {
	struct inode *inode;
	struct task_struct *task;
	struct mm_struct *mm;
};
#endif

#endif
