// SPDX-License-Identifier: GPL-2.0
/* See hide.h. dup_mmap() leaves out areas that are marked so, as by MADV_DONTFORK. */
#include <linux/mm.h>

#include "compat/mm.h"
#include "fault.h"
#include "hide.h"

/* What no child gets in any case. Others can split and join areas meanwhile (userfaultfd), so it is told by address. */
struct kckpt_hidden {
	u32 nr;
	struct {
		unsigned long start, end;
	} out[];
};

static u32 count_left_out(struct mm_struct *mm)
{
	struct vm_area_struct *vma;
	VMA_ITERATOR(it, mm, 0);
	u32 nr = 0;

	for_each_vma(it, vma)
		nr += !!(vma->vm_flags & VM_DONTCOPY);
	return nr;
}

static struct kckpt_hidden *leave_all_out(struct mm_struct *mm)
{
	struct kckpt_hidden *hidden = kckpt_alloc(struct_size(hidden, out, count_left_out(mm)));
	struct vm_area_struct *vma;
	VMA_ITERATOR(it, mm, 0);

	if (!hidden)
		return NULL;
	for_each_vma(it, vma) {
		if (vma->vm_flags & VM_DONTCOPY) {
			hidden->out[hidden->nr].start = vma->vm_start;
			hidden->out[hidden->nr++].end = vma->vm_end;
		} else {
			kckpt_vma_flags_change(vma, VM_DONTCOPY, 0);
		}
	}
	return hidden;
}

struct kckpt_hidden *kckpt_hide_memory(void)
{
	struct mm_struct *mm = current->mm;
	struct kckpt_hidden *hidden = NULL;

	mmap_write_lock(mm);
	if (atomic_read(&mm->mm_users) == 1)
		hidden = leave_all_out(mm);
	mmap_write_unlock(mm);
	return hidden;
}

void kckpt_show_memory(struct kckpt_hidden *hidden)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	VMA_ITERATOR(it, mm, 0);
	u32 i = 0;

	if (!hidden)
		return;
	mmap_write_lock(mm);
	for_each_vma(it, vma) {
		while (i < hidden->nr && hidden->out[i].end <= vma->vm_start)
			i++;
		if (i == hidden->nr || vma->vm_start < hidden->out[i].start)
			kckpt_vma_flags_change(vma, 0, VM_DONTCOPY);
	}
	mmap_write_unlock(mm);
	kvfree(hidden);
}
