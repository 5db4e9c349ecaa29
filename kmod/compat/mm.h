/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCKPT_COMPAT_MM_H
#define KCKPT_COMPAT_MM_H

#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/pagewalk.h>
#include <linux/sched/coredump.h>
#include <linux/swap.h>
#include <linux/swapops.h>
#include <linux/version.h>
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 2, 0)
#include <linux/sched/exec_state.h>
#endif
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 19, 0)
#include <linux/leafops.h>
#endif

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
 * kckpt_mm_test(), kckpt_mm_assign() - the flags of an address space, MMF_*. Only to be used by accessors since
 * "mm: add bitmap mm->flags field" (v6.18). KCKPT_MMF_DISABLE_THP: PR_SET_THP_DISABLE, of which there are two kinds
 * since "prctl: extend PR_SET_THP_DISABLE to optionally exclude VM_HUGEPAGE" (v6.18).
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 18, 0)
#define KCKPT_MMF_DISABLE_THP MMF_DISABLE_THP_COMPLETELY

static inline bool kckpt_mm_test(const struct mm_struct *mm, unsigned int flag)
{
	return mm_flags_test(flag, mm);
}

static inline void kckpt_mm_assign(struct mm_struct *mm, unsigned int flag, bool on)
{
	if (on)
		mm_flags_set(flag, mm);
	else
		mm_flags_clear(flag, mm);
}
#else
#define KCKPT_MMF_DISABLE_THP MMF_DISABLE_THP

static inline bool kckpt_mm_test(const struct mm_struct *mm, unsigned int flag)
{
	return test_bit(flag, &mm->flags);
}

static inline void kckpt_mm_assign(struct mm_struct *mm, unsigned int flag, bool on)
{
	assign_bit(flag, &mm->flags, on);
}
#endif

/*
 * kckpt_mm_bottom_up() - are new areas placed upwards? A flag since 529ce23a764f ("mm: switch mm->get_unmapped_area()
 * to a flag") (v6.10).
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 10, 0)
#define kckpt_mm_bottom_up(mm) (!kckpt_mm_test(mm, MMF_TOPDOWN))
#define kckpt_mm_set_bottom_up(mm, on) kckpt_mm_assign(mm, MMF_TOPDOWN, !(on))
#define KCKPT_KSYM_MM_DATA(X)
#else
#define kckpt_mm_bottom_up(mm) ((void *)(mm)->get_unmapped_area == kdata(arch_get_unmapped_area))
#define kckpt_mm_set_bottom_up(mm, on) \
	((mm)->get_unmapped_area = (on) ? kdata(arch_get_unmapped_area) : kdata(arch_get_unmapped_area_topdown))
#define KCKPT_KSYM_MM_DATA(X)									\
	X(arch_get_unmapped_area, mm,	"place areas upwards")					\
	X(arch_get_unmapped_area_topdown, mm, "place areas downwards")
#endif

/*
 * kckpt_mm_unsupported() - properties of an address space that v6.1 does not have: PR_SET_MDWE since b507808ebce2 ("mm:
 * implement memory-deny-write-execute as a prctl") (v6.3), PR_SET_MEMORY_MERGE since d7597f59d1d3 ("mm: add new api
 * to enable ksm per process") (v6.4), PR_THP_DISABLE_EXCEPT_ADVISED (v6.18).
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 18, 0)
static inline const char *kckpt_mm_unsupported(struct mm_struct *mm)
{
	if (kckpt_mm_test(mm, MMF_HAS_MDWE))
		return "memory-deny-write-execute (PR_SET_MDWE)";
	if (kckpt_mm_test(mm, MMF_DISABLE_THP_EXCEPT_ADVISED))
		return "no huge pages unless advised (PR_THP_DISABLE_EXCEPT_ADVISED)";
	return kckpt_mm_test(mm, MMF_VM_MERGE_ANY) ? "merging of all memory (PR_SET_MEMORY_MERGE)" : NULL;
}
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
static inline const char *kckpt_mm_unsupported(struct mm_struct *mm)
{
	if (kckpt_mm_test(mm, MMF_HAS_MDWE))
		return "memory-deny-write-execute (PR_SET_MDWE)";
	return kckpt_mm_test(mm, MMF_VM_MERGE_ANY) ? "merging of all memory (PR_SET_MEMORY_MERGE)" : NULL;
}
#else
static inline const char *kckpt_mm_unsupported(struct mm_struct *mm)
{
	return NULL;
}
#endif

/*
 * kckpt_dumpable(), kckpt_set_dumpable() - who may look into an address space, SUID_DUMP_*. Since v7.2
 * (kernel/exec_state.c) kept not in the address space, but for all tasks that have shared it from their birth on, or
 * since an exec; the owner is one of them.
 *
 * kckpt_zap() - unmaps a part of an area. Renamed to zap_vma_range(), without the argument for details, in v7.1.
 * KCKPT_KSYM_MM_CALLS: what these need; see ksym.h.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 2, 0)
static inline struct task_exec_state *kckpt_exec_state(struct mm_struct *mm)
{
	struct task_struct *owner = rcu_dereference(mm->owner);

	return owner ? rcu_dereference(owner->exec_state) : NULL;
}

static inline u32 kckpt_dumpable(struct mm_struct *mm)
{
	struct task_exec_state *state;
	u32 dumpable = TASK_DUMPABLE_OFF;

	rcu_read_lock();
	state = kckpt_exec_state(mm);
	if (state)
		dumpable = READ_ONCE(state->dumpable);
	rcu_read_unlock();
	return dumpable;
}

static inline void kckpt_set_dumpable(struct mm_struct *mm, u32 dumpable)
{
	struct task_exec_state *state;

	rcu_read_lock();
	state = kckpt_exec_state(mm);
	if (state)
		WRITE_ONCE(state->dumpable, dumpable);
	rcu_read_unlock();
}

#define KCKPT_KSYM_MM_CALLS(X) X(zap_vma_range, mm, "unmap what is not shared of a huge page")
#define kckpt_zap(vma, addr, size) kcall(zap_vma_range)(vma, addr, size)
#else
#define KCKPT_KSYM_MM_CALLS(X)									\
	X(zap_page_range_single, mm,	"unmap what is not shared of a huge page")		\
	X(set_dumpable,		mm,	"set who may look into an address space")
#define kckpt_dumpable(mm) get_dumpable(mm)
#define kckpt_set_dumpable(mm, dumpable) kcall(set_dumpable)(mm, dumpable)
#define kckpt_zap(vma, addr, size) kcall(zap_page_range_single)(vma, addr, size, NULL)
#endif

/*
 * kckpt_pte_is_elsewhere() - of an entry that is not present: does it stand for a page that is swapped out, or just
 * being moved? By the type of the entry since "mm: introduce leaf entry type and use to simplify leaf entry logic"
 * (v6.19). kckpt_pte_devmap(), kckpt_pmd_devmap() - memory of a device: gone with "mm: remove devmap related functions
 * and page table bits" (v6.17); such pages are then like any other that is not anonymous.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 19, 0)
static inline bool kckpt_pte_is_elsewhere(pte_t pte)
{
	softleaf_t entry = softleaf_from_pte(pte);

	return softleaf_is_swap(entry) || softleaf_is_migration(entry);
}

static inline bool kckpt_pte_devmap(pte_t pte)
{
	return false;
}

static inline bool kckpt_pmd_devmap(pmd_t pmd)
{
	return false;
}
#else
static inline bool kckpt_pte_is_elsewhere(pte_t pte)
{
	swp_entry_t entry = pte_to_swp_entry(pte);

	return !non_swap_entry(entry) || is_migration_entry(entry);
}

static inline bool kckpt_pte_devmap(pte_t pte)
{
	return pte_devmap(pte);
}

static inline bool kckpt_pmd_devmap(pmd_t pmd)
{
	return pmd_devmap(pmd);
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

/*
 * KCKPT_MADV_GUARD_INSTALL - advice that makes guard pages, since "mm: madvise: implement lightweight guard page
 * mechanism" (v6.13); 0: there are none. kckpt_pte_is_guard() - is it such a mark? kckpt_vma_may_guard() - can there be
 * one in this area? A flag tells since "mm: introduce VM_MAYBE_GUARD and make visible in /proc/$pid/smaps" (v6.19);
 * before, only a look.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 19, 0)
#define KCKPT_MADV_GUARD_INSTALL MADV_GUARD_INSTALL

static inline bool kckpt_pte_is_guard(pte_t pte)
{
	return softleaf_is_guard_marker(softleaf_from_pte(pte));
}

static inline bool kckpt_vma_may_guard(const struct vm_area_struct *vma)
{
	return vma->vm_flags & VM_MAYBE_GUARD;
}
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
#define KCKPT_MADV_GUARD_INSTALL MADV_GUARD_INSTALL
#define VM_MAYBE_GUARD VM_NONE

static inline bool kckpt_pte_is_guard(pte_t pte)
{
	return !pte_none(pte) && !pte_present(pte) && is_guard_swp_entry(pte_to_swp_entry(pte));
}

static inline bool kckpt_vma_may_guard(const struct vm_area_struct *vma)
{
	return !(vma->vm_flags & (VM_SPECIAL | VM_HUGETLB));
}
#else
#define KCKPT_MADV_GUARD_INSTALL 0
#define VM_MAYBE_GUARD VM_NONE

static inline bool kckpt_pte_is_guard(pte_t pte)
{
	return false;
}

static inline bool kckpt_vma_may_guard(const struct vm_area_struct *vma)
{
	return false;
}
#endif

#endif
