/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCKPT_COMPAT_MEMFD_H
#define KCKPT_COMPAT_MEMFD_H

#include <linux/fcntl.h>
#include <linux/mm.h>
#include <linux/shmem_fs.h>
#include <linux/version.h>

/* F_SEAL_EXEC: since 6fd7353829ca ("mm/memfd: add F_SEAL_EXEC") (v6.3). */
#ifdef F_SEAL_EXEC
#define KCKPT_SEAL_EXEC F_SEAL_EXEC
#else
#define KCKPT_SEAL_EXEC 0
#endif

#define KCKPT_SEALS_KNOWN (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE | \
			   KCKPT_SEAL_EXEC)

/*
 * kckpt_shmem_setup() - a file of shared memory; @noreserve: its size is not accounted for, only what is used of it. A
 * type of their own for the flags since "mm: update shmem_[kernel]_file_*() functions to use vma_flags_t" (v7.0).
 * kckpt_shmem_noreserve() - was it made so? Flags of its own in the inode since "mm: shmem: use SHMEM_F_* flags instead
 * of VM_* flags" (v6.19).
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 0, 0)
static inline struct file *kckpt_shmem_setup(const char *name, loff_t size, bool noreserve)
{
	return shmem_file_setup(name, size, noreserve ? mk_vma_flags(VMA_NORESERVE_BIT) : EMPTY_VMA_FLAGS);
}

static inline bool kckpt_shmem_noreserve(struct inode *inode)
{
	return SHMEM_I(inode)->flags & SHMEM_F_NORESERVE;
}
#else
static inline struct file *kckpt_shmem_setup(const char *name, loff_t size, bool noreserve)
{
	return shmem_file_setup(name, size, noreserve ? VM_NORESERVE : 0);
}

static inline bool kckpt_shmem_noreserve(struct inode *inode)
{
	return SHMEM_I(inode)->flags & VM_NORESERVE;
}
#endif

#endif
