// SPDX-License-Identifier: GPL-2.0
/*
 * Guard pages (MADV_GUARD_INSTALL), as libraries have them below the stacks of threads: who touches one gets SIGSEGV.
 * They are marks in the page tables and no areas of their own. Saved: each range of them.
 *
 * They come back when all pages are in: a mark would make the area one of its own before pages that fork() left shared
 * are shared again, and no area that is locked takes any.
 *
 * Locks: mmap_lock for reading, the page table lock inside.
 */
#include <linux/mm.h>
#include <linux/pagewalk.h>
#include <linux/sched/signal.h>

#include "compat/mm.h"
#include "fault.h"
#include "guard.h"
#include "ksym.h"
#include "pages.h"

struct guard_range {
	unsigned long start, end;	/* end 0: none found yet */
};

/* Ends the walk behind the first range. */
static int guard_pte(void *private, unsigned long addr, pte_t pte)
{
	struct guard_range *range = private;

	if (!kckpt_pte_is_guard(pte))
		return range->end != 0;
	if (!range->end)
		range->start = addr;
	else if (range->end != addr)
		return 1;
	range->end = addr + PAGE_SIZE;
	return 0;
}

static int guard_pmd(pmd_t *pmd, unsigned long addr, unsigned long end, struct mm_walk *walk)
{
	spinlock_t *lock = pmd_lock(walk->mm, pmd);
	pmd_t val = *pmd;

	if (pmd_none(val) || pmd_trans_huge(val) || !pmd_present(val) || kckpt_pmd_devmap(val)) {
		spin_unlock(lock);
		return 0;
	}
	return kckpt_each_pte(walk, pmd, lock, addr, end, guard_pte);
}

static const struct mm_walk_ops guard_walk = {
	.pmd_entry = guard_pmd,
	KCKPT_WALK_RDLOCK
};

/* From @addr on. 1: found. */
static int guard_next(struct vm_area_struct *vma, unsigned long addr, struct guard_range *range)
{
	int err;

	*range = (struct guard_range){};
	if (addr >= vma->vm_end)
		return 0;
	err = kckpt_should_fail() ? -ENOMEM : kcall(walk_page_range)(vma->vm_mm, addr, vma->vm_end, &guard_walk, range);
	return err < 0 ? err : range->end != 0;
}

int kckpt_guards_dump(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct vm_area_struct *vma)
{
	struct kckpt_guard_rec rec;
	struct guard_range range;
	int found, err;

	if (!kckpt_vma_may_guard(vma))
		return 0;
	for (found = guard_next(vma, vma->vm_start, &range); found > 0; found = guard_next(vma, range.end, &range)) {
		rec = (struct kckpt_guard_rec){ .start = range.start, .end = range.end };
		err = kckpt_put(ctx, obj, KCKPT_K_guard, &rec, sizeof(rec), NULL, 0);
		if (err)
			return err;
		if (fatal_signal_pending(current))
			return kckpt_fail(ctx, obj, KCKPT_E_INTERRUPTED, 0, "guard pages");
		kckpt_progress(ctx);
		cond_resched();
	}
	return found < 0 ? kckpt_fail(ctx, obj, KCKPT_E_PAGE_READ, found, "guard pages") : 0;
}

static int guard_rec(struct kckpt_ctx *ctx, const struct kckpt_object *obj, const struct kckpt_rec *rec,
		     struct kckpt_guard_rec *guard)
{
	return kckpt_rec_get(ctx, obj, rec, guard, sizeof(*guard), NULL, 0, NULL);
}

/* The first area, of those from *@at on, that ends behind @addr. All are in order. */
static bool guard_area(const struct kckpt_object *obj, const struct kckpt_rec **at, u64 addr,
		       struct kckpt_vma_rec *area)
{
	for (; *at; *at = kckpt_rec_next(obj, KCKPT_K_vma, *at)) {
		*area = (struct kckpt_vma_rec){};
		memcpy(area, (*at)->data, min_t(size_t, sizeof(*area), (*at)->head.size));
		if (area->end > addr)
			return true;
	}
	return false;
}

static bool guard_in_area(const struct kckpt_object *obj, const struct kckpt_rec **at,
			  const struct kckpt_guard_rec *guard)
{
	struct kckpt_vma_rec area;

	return guard_area(obj, at, guard->start, &area) && guard->start >= area.start && guard->end <= area.end &&
	       !(area.vma_flags & (KCKPT_VMA_VDSO | KCKPT_VMA_VVAR));
}

int kckpt_guards_check(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct kckpt_rec *rec, *area = kckpt_rec_next(obj, KCKPT_K_vma, NULL);
	struct kckpt_guard_rec guard;
	u64 after = 0;
	int err;

	kckpt_for_each_rec(rec, obj, KCKPT_K_guard) {
		err = guard_rec(ctx, obj, rec, &guard);
		if (err)
			return err;
		if (guard.start < after || guard.start >= guard.end || guard.end > TASK_SIZE_MAX ||
		    !IS_ALIGNED(guard.start, PAGE_SIZE) || !IS_ALIGNED(guard.end, PAGE_SIZE) ||
		    !guard_in_area(obj, &area, &guard))
			return kckpt_bad_image(ctx, obj, "guard pages at 0x%llx", guard.start);
		if (!KCKPT_MADV_GUARD_INSTALL)
			return kckpt_fail(ctx, obj, KCKPT_E_VMA_FLAG, 0, "guard pages (MADV_GUARD_INSTALL) at 0x%llx",
					  guard.start);
		after = guard.end;
	}
	return 0;
}

/* The kernel, when a fault comes in between, wants to be asked again by way of user mode; it pretends a signal. */
static void guard_forget_signal(void)
{
	spin_lock_irq(&current->sighand->siglock);
	recalc_sigpending();
	spin_unlock_irq(&current->sighand->siglock);
}

static long guard_install(const struct kckpt_guard_rec *guard)
{
	struct pt_regs regs = { .di = guard->start, .si = guard->end - guard->start, .dx = KCKPT_MADV_GUARD_INSTALL };
	unsigned int tries;
	long err = 0;

	for (tries = 0; tries < 10; tries++) {
		err = kckpt_should_fail() ? -ENOMEM : kcall(__x64_sys_madvise)(&regs);
		if (err != -ERESTARTNOINTR)
			return err;
		guard_forget_signal();
		cond_resched();
	}
	return -EAGAIN;
}

int kckpt_guards_install(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_guard_rec guard;
	const struct kckpt_rec *rec;
	long err;

	kckpt_for_each_rec(rec, obj, KCKPT_K_guard) {
		err = guard_rec(ctx, obj, rec, &guard);
		if (err)
			return err;
		err = guard_install(&guard);
		if (err)
			return kckpt_fail(ctx, obj, KCKPT_E_VMA_MAP, err, "guard pages at 0x%llx-0x%llx", guard.start,
					  guard.end);
		if (fatal_signal_pending(current))
			return -EINTR;
		kckpt_progress(ctx);
		cond_resched();
	}
	return 0;
}
