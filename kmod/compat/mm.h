/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCKPT_COMPAT_MM_H
#define KCKPT_COMPAT_MM_H

#include <linux/mm.h>
#include <linux/pagewalk.h>
#include <linux/version.h>

/*
 * kckpt_gup() - get_user_pages_remote() without the vmas argument, gone since ca5e863233e8 ("mm/gup: remove vmas
 * parameter from get_user_pages_remote()") (v6.5). mmap_lock is held and stays so.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 5, 0)
static inline long kckpt_gup(struct mm_struct *mm, unsigned long addr, unsigned long nr, unsigned int flags,
			     struct page **pages)
{
	return get_user_pages_remote(mm, addr, nr, flags, pages, NULL);
}
#else
static inline long kckpt_gup(struct mm_struct *mm, unsigned long addr, unsigned long nr, unsigned int flags,
			     struct page **pages)
{
	return get_user_pages_remote(mm, addr, nr, flags, pages, NULL, NULL);
}
#endif

/*
 * KCKPT_WALK_RDLOCK - the walk holds mmap_lock for reading. mm_walk_ops says so since 49b0638502da ("mm: enable
 * page walking API to lock vmas during the walk") (v6.5).
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 5, 0)
#define KCKPT_WALK_RDLOCK .walk_lock = PGWALK_RDLOCK,
#else
#define KCKPT_WALK_RDLOCK
#endif

/*
 * kckpt_vma_flags_change() - set and clear flags under mmap_lock for writing. vm_flags is only written by
 * accessors since bc292ab00f6c ("mm: introduce vma->vm_flags wrapper functions") (v6.3).
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
static inline void kckpt_vma_flags_change(struct vm_area_struct *vma, unsigned long set, unsigned long clear)
{
	vm_flags_mod(vma, set, clear);
}
#else
static inline void kckpt_vma_flags_change(struct vm_area_struct *vma, unsigned long set, unsigned long clear)
{
	mmap_assert_write_locked(vma->vm_mm);
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
}
#endif

/*
 * kckpt_mm_unsupported() - properties of an address space that v6.1 does not have: PR_SET_MDWE since b507808ebce2 ("mm:
 * implement memory-deny-write-execute as a prctl") (v6.3), PR_SET_MEMORY_MERGE since d7597f59d1d3 ("mm: add new api
 * to enable ksm per process") (v6.4).
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
static inline const char *kckpt_mm_unsupported(struct mm_struct *mm)
{
	if (test_bit(MMF_HAS_MDWE, &mm->flags))
		return "memory-deny-write-execute (PR_SET_MDWE)";
	return test_bit(MMF_VM_MERGE_ANY, &mm->flags) ? "merging of all memory (PR_SET_MEMORY_MERGE)" : NULL;
}
#else
static inline const char *kckpt_mm_unsupported(struct mm_struct *mm)
{
	return NULL;
}
#endif

/*
 * kckpt_vma_start_write() - a change of the area or its tables, under mmap_lock for writing: faults under the lock of
 * the area alone are kept out since 5e31275cc997 ("mm: add per-VMA lock and helper functions to control it") (v6.4).
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
static inline void kckpt_vma_start_write(struct vm_area_struct *vma)
{
	vma_start_write(vma);
}
#else
static inline void kckpt_vma_start_write(struct vm_area_struct *vma)
{
	mmap_assert_write_locked(vma->vm_mm);
}
#endif

/*
 * kckpt_page_has_others() - may another address space map it, too? For a part of a huge page that is mapped in pieces,
 * newer kernels only know of all pieces together: true is then no proof.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 11, 0)
static inline bool kckpt_page_has_others(struct page *page)
{
	return folio_mapcount(page_folio(page)) > 1;
}
#else
static inline bool kckpt_page_has_others(struct page *page)
{
	return page_mapcount(page) > 1;
}
#endif

/*
 * VM_DROPPABLE: since 9651fcedf7b9 ("mm: add MAP_DROPPABLE for designating always lazily freeable mappings")
 * (v6.11).
 */
#ifndef VM_DROPPABLE
#define VM_DROPPABLE VM_NONE
#define MAP_DROPPABLE 0x08
#endif

/* VM_SEALED: since 8be7258aad44 ("mseal: add mseal syscall") (v6.10). */
#ifndef VM_SEALED
#define VM_SEALED VM_NONE
#endif

/* VM_SHADOW_STACK: since 54007f818206 ("mm: Introduce VM_SHADOW_STACK for shadow stack memory") (v6.6). */
#ifndef VM_SHADOW_STACK
#define VM_SHADOW_STACK VM_NONE
#endif

#endif
