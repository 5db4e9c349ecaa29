/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCKPT_COMPAT_PROCFS_H
#define KCKPT_COMPAT_PROCFS_H

#include <linux/mm_types.h>
#include <linux/version.h>

/*
 * The head of struct proc_maps_private, what fs/proc/internal.h keeps of an open file on areas. The address space came
 * to stand behind the position with "fs/proc/task_mmu: factor out proc_maps_private fields used by PROCMAP_QUERY"
 * (v6.18). KCKPT_PROC_MAPS_COPIES: what drift.c compares with the running kernel.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 18, 0)
struct kckpt_proc_maps_locking_ctx {
	struct mm_struct *mm;
#ifdef CONFIG_PER_VMA_LOCK
	bool mmap_locked;
	struct vm_area_struct *locked_vma;
#endif
};

struct kckpt_proc_maps {
	struct inode *inode;
	struct task_struct *task;
	struct vma_iterator iter;
	loff_t last_pos;
	struct kckpt_proc_maps_locking_ctx lock_ctx;
};

#define kckpt_proc_maps_mm(maps) ((maps)->lock_ctx.mm)
#define KCKPT_PROC_MAPS_COPIES(X)								\
	X(procfs, proc_maps_private, kckpt_proc_maps, lock_ctx),				\
	X(procfs, proc_maps_locking_ctx, kckpt_proc_maps_locking_ctx, mm)
#else
struct kckpt_proc_maps {
	struct inode *inode;
	struct task_struct *task;
	struct mm_struct *mm;
};

#define kckpt_proc_maps_mm(maps) ((maps)->mm)
#define KCKPT_PROC_MAPS_COPIES(X) X(procfs, proc_maps_private, kckpt_proc_maps, mm)
#endif

#endif
