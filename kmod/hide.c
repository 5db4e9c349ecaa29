// SPDX-License-Identifier: GPL-2.0
/* See hide.h. dup_mmap() leaves out areas that are marked so, as by MADV_DONTFORK. */
#include <linux/mm.h>

#include "compat/mm.h"
#include "hide.h"

static bool has_left_out(struct mm_struct *mm)
{
	struct vm_area_struct *vma;
	VMA_ITERATOR(it, mm, 0);

	for_each_vma(it, vma)
		if (vma->vm_flags & VM_DONTCOPY)
			return true;
	return false;
}

static void change_all(struct mm_struct *mm, unsigned long set, unsigned long clear)
{
	struct vm_area_struct *vma;
	VMA_ITERATOR(it, mm, 0);

	for_each_vma(it, vma)
		kckpt_vma_flags_change(vma, set, clear);
}

bool kckpt_hide_memory(void)
{
	struct mm_struct *mm = current->mm;
	bool hides;

	mmap_write_lock(mm);
	hides = atomic_read(&mm->mm_users) == 1 && !has_left_out(mm);
	if (hides)
		change_all(mm, VM_DONTCOPY, 0);
	mmap_write_unlock(mm);
	return hides;
}

void kckpt_show_memory(void)
{
	struct mm_struct *mm = current->mm;

	mmap_write_lock(mm);
	change_all(mm, 0, VM_DONTCOPY);
	mmap_write_unlock(mm);
}
