/* SPDX-License-Identifier: GPL-2.0 */
/* Mappings made under F_SEAL_FUTURE_WRITE can never be written, even by those who could before and still can. */
#ifndef KCKPT_OBJ_SHMEM_H
#define KCKPT_OBJ_SHMEM_H

#include <linux/types.h>

struct file;
struct vm_area_struct;

/* kckpt_shmem_vma_flags() - KCKPT_VMA_SEALED, if so. */
u32 kckpt_shmem_vma_flags(const struct vm_area_struct *vma);

/* kckpt_shmem_seal_begin(), _end() - restore: in between, mappings are made under the seal. Under make_lock. */
void kckpt_shmem_seal_begin(struct file *file);
void kckpt_shmem_seal_end(struct file *file);

#endif
