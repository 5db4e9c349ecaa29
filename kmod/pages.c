// SPDX-License-Identifier: GPL-2.0
/*
 * Which pages go into the image: the anonymous ones of private mappings, and the data of files whose families want
 * that. Those of the page cache come back with the file, the zero page with the first fault. Pages that are all zero
 * are left out, too; in a private file mapping they leave a mark, since the file has something else there.
 *
 * Locks: mmap_lock for reading around a batch, the page table lock inside. Neither is held while the pages are
 * copied to the reader.
 */
#include <linux/highmem.h>
#include <linux/huge_mm.h>
#include <linux/mm.h>
#include <linux/pagewalk.h>
#include <linux/swap.h>
#include <linux/swapops.h>

#include "compat/mm.h"
#include "family.h"
#include "fault.h"
#include "ksym.h"
#include "pages.h"
#include "shadow.h"
#include "share.h"
#include "snapshot.h"
#include "watch.h"

#define MAX_SAME	65536	/* pages that the parent has, in one walk of an area */
#define MAX_UNCHANGED	(1U << 30)	/* pages in one run */
#define BATCH_FULL 1	/* ends a walk; the address to go on from is in find.next */
#define BATCH_CUT 2	/* the same, and what comes next has to be waited for */

struct batch_find {
	struct kckpt_batch *batch;
	const struct kckpt_snapshot_mm *parent;	/* NULL: all is wanted */
	pmd_t *parent_pmd;	/* what it has of the block at parent_block; NULL: nothing */
	unsigned long parent_block;
	u32 nr_same;		/* pages in the runs of what it has */
	bool no_wait;		/* pages that have to be brought in end the walk */
	bool noted;		/* others may have the same pages, and want to know about all of them */
	u32 room;		/* up to so many pages */
	unsigned long next;
	int bad;		/* an entry that is neither page nor swap */
};

/* Adds to a list of runs that has room for one more. */
static void runs_add(struct kckpt_page_run *runs, u32 *nr, unsigned long addr, u32 nr_pages, u32 flags)
{
	struct kckpt_page_run *last = *nr ? &runs[*nr - 1] : NULL;

	if (last && last->flags == flags && nr_pages <= U32_MAX - last->nr_pages &&
	    last->vaddr + (u64)last->nr_pages * PAGE_SIZE == addr)
		last->nr_pages += nr_pages;
	else
		runs[(*nr)++] = (struct kckpt_page_run){ .vaddr = addr, .nr_pages = nr_pages, .flags = flags };
}

/* ---- what the parent has ---- */

pmd_t *kckpt_pmd_at(struct mm_struct *mm, unsigned long addr)
{
	pgd_t *pgd = pgd_offset(mm, addr);
	p4d_t *p4d;
	pud_t *pud;

	if (pgd_none(*pgd))
		return NULL;
	p4d = p4d_offset(pgd, addr);
	if (p4d_none(*p4d))
		return NULL;
	pud = pud_offset(p4d, addr);
	return pud_none(*pud) ? NULL : pmd_offset(pud, addr);
}

static pmd_t parent_pmd_at(struct batch_find *find, unsigned long addr)
{
	unsigned long block = round_down(addr, KCKPT_BLOCK_SIZE);

	if (block != find->parent_block) {
		find->parent_block = block;
		find->parent_pmd = kckpt_pmd_at(kckpt_watch_layer(find->parent, addr), addr);
	}
	return find->parent_pmd ? READ_ONCE(*find->parent_pmd) : __pmd(0);
}

/*
 * Does it map @page at @addr? We hold the lock under which @page is mapped there in the job's memory, so it is that
 * page all the time, and nobody writes to what is also mapped in a snapshot: it is as it was. Nothing is locked in the
 * snapshot, which is ours alone: its tables stay until we are done, and an entry that is just being changed (by reclaim
 * or migration) at worst looks like another page.
 */
static bool parent_has(struct batch_find *find, unsigned long addr, const struct page *page)
{
	pmd_t pmd = parent_pmd_at(find, addr);
	pte_t pte;

	if (!pmd_present(pmd))
		return false;
	if (pmd_trans_huge(pmd))
		return pmd_page(pmd) + ((addr & ~HPAGE_PMD_MASK) >> PAGE_SHIFT) == page;
	pte = READ_ONCE(*pte_offset_kernel(&pmd, addr));
	return pte_present(pte) && pte_page(pte) == page;
}

/* As one huge page? */
static bool parent_has_huge(struct batch_find *find, unsigned long addr, const struct page *head)
{
	pmd_t pmd = parent_pmd_at(find, addr);

	return pmd_present(pmd) && pmd_trans_huge(pmd) && pmd_page(pmd) == head;
}

/* Nobody else needs to know of these. */
static int batch_same(struct batch_find *find, unsigned long addr, u32 nr_pages, u32 flags)
{
	struct kckpt_batch *batch = find->batch;

	if (batch->nr_same == KCKPT_MAX_RUNS || find->nr_same >= MAX_SAME) {
		find->next = addr;
		return BATCH_FULL;
	}
	find->nr_same += nr_pages;
	runs_add(batch->same, &batch->nr_same, addr, nr_pages, flags);
	return 0;
}

/* ---- the walk ---- */

static int batch_add(struct batch_find *find, unsigned long addr, struct page *page)
{
	struct kckpt_batch *batch = find->batch;

	if (batch->nr_data == find->room || (!page && find->no_wait)) {
		find->next = addr;
		return page || !find->no_wait ? BATCH_FULL : BATCH_CUT;
	}
	batch->addr[batch->nr_data] = addr;
	__clear_bit(batch->nr_data, batch->is_same);
	batch->pages[batch->nr_data++] = page;
	find->next = addr + PAGE_SIZE;
	return 0;
}

/* One that is there: takes a reference. */
static int batch_add_page(struct batch_find *find, unsigned long addr, struct page *page)
{
	bool same = find->parent && parent_has(find, addr, page);

	if (same && !find->noted)
		return batch_same(find, addr, 1, 0);
	if (batch_add(find, addr, page))
		return BATCH_FULL;
	if (same)
		__set_bit(find->batch->nr_data - 1, find->batch->is_same);
	get_page(page);
	return 0;
}

static int batch_pte(void *private, unsigned long addr, pte_t pte)
{
	struct batch_find *find = private;
	struct page *page;

	if (pte_none(pte))
		return 0;
	if (!pte_present(pte)) {
		if (kckpt_pte_is_guard(pte))
			return 0;
		if (kckpt_pte_is_elsewhere(pte))
			return batch_add(find, addr, NULL);
		find->bad = 1;
		find->next = addr;
		return BATCH_FULL;
	}
	if (pte_special(pte) || kckpt_pte_devmap(pte))
		return 0;
	page = pte_page(pte);
	return PageAnon(page) ? batch_add_page(find, addr, page) : 0;
}

/* The walk came back to the middle of what has become a huge page since, or is of a part of it. */
static int batch_huge_rest(struct batch_find *find, unsigned long addr, unsigned long end, struct page *head)
{
	struct page *page = head + ((addr & ~HPAGE_PMD_MASK) >> PAGE_SHIFT);

	for (; addr < end; addr += PAGE_SIZE, page++)
		if (batch_add_page(find, addr, page))
			return BATCH_FULL;
	return 0;
}

static int batch_huge(struct batch_find *find, unsigned long addr, unsigned long end, pmd_t pmd)
{
	struct kckpt_batch *batch = find->batch;
	struct page *head = pmd_page(pmd);
	bool same;

	if (!PageAnon(head))
		return 0;	/* the huge zero page, or page cache */
	if (!IS_ALIGNED(addr, HPAGE_PMD_SIZE) || end - addr < HPAGE_PMD_SIZE)
		return batch_huge_rest(find, addr, end, head);
	same = find->parent && parent_has_huge(find, addr, head);
	if (same && !find->noted)
		return batch_same(find, addr, HPAGE_PMD_NR, KCKPT_RUN_HUGE);
	find->next = addr;
	if (batch->nr_data || batch->nr_runs || batch->nr_same)
		return BATCH_FULL;	/* has a batch of its own */
	get_page(head);
	__assign_bit(0, batch->is_same, same);
	batch->huge = true;
	batch->nr_data = HPAGE_PMD_NR;
	batch->pages[0] = head;
	batch->addr[0] = addr;
	find->next = addr + HPAGE_PMD_SIZE;
	return BATCH_FULL;
}

/* Not present but in use: each page is faulted in by itself, which splits the entry if need be. */
static int batch_huge_swapped(struct batch_find *find, unsigned long addr, unsigned long end)
{
	int ret = 0;

	for (; addr < end && !ret; addr += PAGE_SIZE)
		ret = batch_add(find, addr, NULL);
	return ret;
}

/*
 * A table with private pages or marks in it is only taken away under mmap_lock for writing, which we exclude. One
 * without may go at any time: it is freed by RCU, and the look at the entry tells. It had nothing for us.
 */
int kckpt_each_pte(struct mm_walk *walk, pmd_t *pmd, spinlock_t *pmd_lock, unsigned long addr, unsigned long end,
		   int (*each)(void *private, unsigned long addr, pte_t pte))
{
	pmd_t val = *pmd;
	spinlock_t *lock;
	pte_t *pte;
	int ret = 0;

	rcu_read_lock();
	spin_unlock(pmd_lock);
	lock = pte_lockptr(walk->mm, &val);
	pte = pte_offset_kernel(&val, addr);
	spin_lock(lock);
	if (pmd_same(val, READ_ONCE(*pmd)))
		for (; addr < end && !ret; addr += PAGE_SIZE, pte++)
			ret = each(walk->private, addr, *pte);
	spin_unlock(lock);
	rcu_read_unlock();
	return ret;
}

static int batch_pmd(pmd_t *pmd, unsigned long addr, unsigned long end, struct mm_walk *walk)
{
	struct batch_find *find = walk->private;
	spinlock_t *ptl = pmd_lock(walk->mm, pmd);
	pmd_t val = *pmd;
	int ret;

	if (pmd_none(val)) {
		spin_unlock(ptl);
		return 0;
	}
	if (pmd_trans_huge(val) || !pmd_present(val) || kckpt_pmd_devmap(val)) {
		ret = pmd_present(val) ? batch_huge(find, addr, end, val) : batch_huge_swapped(find, addr, end);
		spin_unlock(ptl);
		return ret;
	}

	return kckpt_each_pte(walk, pmd, ptl, addr, end, batch_pte);
}

static const struct mm_walk_ops batch_walk = {
	.pmd_entry = batch_pmd,
	KCKPT_WALK_RDLOCK
};

bool kckpt_has_private_pages(const struct vm_area_struct *vma)
{
	const unsigned long other = VM_SHARED | VM_PFNMAP | VM_MIXEDMAP | VM_IO | VM_DROPPABLE;

	return !(vma->vm_flags & other) && vma->anon_vma;
}

static bool page_is_zero(struct page *page, u32 nr)
{
	u32 i;

	for (i = 0; i < nr; i++)
		if (memchr_inv(page_address(page + i), 0, PAGE_SIZE))
			return false;
	return true;
}

static void batch_run(struct kckpt_batch *batch, unsigned long addr, u32 nr, u32 flags)
{
	runs_add(batch->runs, &batch->nr_runs, addr, nr, flags);
}

/* A page of the walk that the parent has, too; takes over the reference. */
static void batch_turn_same(struct kckpt_batch *batch, unsigned long addr, struct page *page, u32 nr, u32 flags)
{
	runs_add(batch->same, &batch->nr_same, addr, nr, flags);
	put_page(page);
}

void kckpt_batch_add(struct kckpt_batch *batch, unsigned long addr, struct page *page, bool mark_zero)
{
	if (page_is_zero(page, 1)) {
		if (mark_zero)
			batch_run(batch, addr, 1, KCKPT_RUN_ZERO);
		put_page(page);
		batch->nr_marked += mark_zero;
		batch->nr_zero++;
		return;
	}
	batch_run(batch, addr, 1, 0);
	batch->addr[batch->nr_data] = addr;
	batch->pages[batch->nr_data++] = page;
}

/* Swapped out or just being migrated: the usual fault brings it in. */
static int batch_fault_in(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct mm_struct *mm,
			  struct kckpt_batch *batch, u32 i)
{
	long got = kckpt_should_fail() ? -ENOMEM : kckpt_gup(mm, batch->addr[i], 1, FOLL_FORCE, &batch->pages[i]);

	if (got == 1)
		return 0;
	batch->pages[i] = NULL;
	return kckpt_fail(ctx, obj, KCKPT_E_PAGE_READ, got ?: -EFAULT, "address 0x%lx", batch->addr[i]);
}

/* Not in the rows of what is shared with others; if it is the first of those who share it, they will find it. */
static bool batch_takes(struct kckpt_ctx *ctx, struct kckpt_object *obj, unsigned long addr, struct page *page,
			bool huge)
{
	if (!ctx->share)
		return true;
	if (kckpt_share_covers(ctx->share, addr))
		return false;
	kckpt_share_note(ctx->share, obj, addr, page, huge);
	return true;
}

/* As if it had not been found; it is the only one of its batch. */
static void batch_drop_huge(struct kckpt_batch *batch)
{
	batch->huge = false;
	batch->nr_data = 0;
}

/* A huge page of which others have parts: what is left of it. */
static void batch_finish_parts(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct vm_area_struct *vma,
			       struct kckpt_batch *batch)
{
	struct page *head = batch->pages[0];
	bool same = test_bit(0, batch->is_same);
	unsigned long addr = batch->addr[0];
	u32 i;

	batch_drop_huge(batch);
	for (i = 0; i < HPAGE_PMD_NR; i++, addr += PAGE_SIZE) {
		if (!batch_takes(ctx, obj, addr, head + i, false))
			continue;
		get_page(head + i);
		if (same)
			batch_turn_same(batch, addr, head + i, 1, 0);
		else
			kckpt_batch_add(batch, addr, head + i, vma->vm_file);
	}
	put_page(head);
}

static bool batch_is_shared(struct kckpt_ctx *ctx, const struct kckpt_batch *batch)
{
	u32 i;

	for (i = 0; ctx->share && i < HPAGE_PMD_NR; i++)
		if (kckpt_share_covers(ctx->share, batch->addr[0] + i * PAGE_SIZE))
			return true;
	return false;
}

static int batch_finish_huge(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct vm_area_struct *vma,
			     struct kckpt_batch *batch)
{
	if (batch_is_shared(ctx, batch)) {
		batch_finish_parts(ctx, obj, vma, batch);
		return 0;
	}
	if (test_bit(0, batch->is_same)) {
		batch_takes(ctx, obj, batch->addr[0], batch->pages[0], true);
		batch_turn_same(batch, batch->addr[0], batch->pages[0], HPAGE_PMD_NR, KCKPT_RUN_HUGE);
		batch_drop_huge(batch);
		return 0;
	}
	if (vma->vm_file || !page_is_zero(batch->pages[0], HPAGE_PMD_NR)) {
		batch_takes(ctx, obj, batch->addr[0], batch->pages[0], true);
		batch_run(batch, batch->addr[0], HPAGE_PMD_NR, KCKPT_RUN_HUGE);
		return 0;
	}
	put_page(batch->pages[0]);
	batch_drop_huge(batch);
	batch->nr_zero += HPAGE_PMD_NR;
	return 0;
}

/* Turns what the walk found, from the page @from on, into runs, in place; drops the pages that are zero. */
static int batch_finish(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct vm_area_struct *vma,
			struct kckpt_batch *batch, u32 from)
{
	u32 i, found = batch->nr_data;
	int err = 0;

	if (batch->huge)
		return batch_finish_huge(ctx, obj, vma, batch);
	batch->nr_data = from;
	for (i = from; i < found; i++) {
		if (!err && !batch->pages[i])
			err = batch_fault_in(ctx, obj, vma->vm_mm, batch, i);
		if (err || !batch_takes(ctx, obj, batch->addr[i], batch->pages[i], false)) {
			if (batch->pages[i])
				put_page(batch->pages[i]);
		} else if (test_bit(i, batch->is_same)) {
			batch_turn_same(batch, batch->addr[i], batch->pages[i], 1, 0);
		} else {
			kckpt_batch_add(batch, batch->addr[i], batch->pages[i], vma->vm_file);
		}
	}
	return err;
}

enum batch_want {
	BATCH_DATA,		/* what goes into the stream, as runs */
	BATCH_MAPPED,		/* as the walk finds it */
	BATCH_UNSHAREABLE,	/* the same of areas that are not anonymous, brought in */
};

static int batch_fault_all_in(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct mm_struct *mm,
			      struct kckpt_batch *batch, u32 from)
{
	u32 i;
	int err = 0;

	for (i = from; i < batch->nr_data && !err && !batch->huge; i++)
		if (!batch->pages[i])
			err = batch_fault_in(ctx, obj, mm, batch, i);
	return err;
}

/* Adds what one area has up to @end. 0: that is done; BATCH_FULL, BATCH_CUT: it is not. */
static int batch_find_in(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct vm_area_struct *vma,
			 unsigned long *addr, unsigned long end, struct kckpt_batch *batch, enum batch_want want)
{
	u32 from = batch->nr_data;
	struct batch_find find = {
		.batch = batch, .next = *addr, .no_wait = ctx->no_wait, .noted = ctx->share,
		.parent_block = ULONG_MAX,
		.parent = want == BATCH_DATA ? obj->parent : NULL,
		/* Each page may become data, or zero, or a run of its own. */
		.room = from + min(min3(KCKPT_MAX_BATCH - from, KCKPT_MAX_BATCH - batch->nr_marked,
					KCKPT_MAX_RUNS - batch->nr_runs), KCKPT_MAX_RUNS - batch->nr_same),
	};
	int full, err;

	full = kckpt_should_fail() ? -ENOMEM : kcall(walk_page_range)(vma->vm_mm, *addr, end, &batch_walk, &find);
	*addr = full > 0 ? find.next : end;
	if (full < 0 || find.bad)
		return kckpt_fail(ctx, obj, KCKPT_E_PAGE_READ, full < 0 ? full : -EHWPOISON, "address 0x%lx",
				  find.next);
	err = want == BATCH_DATA ? batch_finish(ctx, obj, vma, batch, from) :
	      want == BATCH_UNSHAREABLE ? batch_fault_all_in(ctx, obj, vma->vm_mm, batch, from) : 0;
	return err ?: full;
}

/* What nobody has changed, from *@addr on; of it nothing else is wanted than that. 1: full. */
static int batch_unchanged(const struct kckpt_block_run *run, unsigned long *addr, struct kckpt_batch *batch,
			   enum batch_want want)
{
	u32 nr = min_t(unsigned long, (run->end - *addr) / PAGE_SIZE, MAX_UNCHANGED);

	if (want != BATCH_DATA) {
		*addr = run->end;
		return 0;
	}
	if (batch->nr_same == KCKPT_MAX_RUNS)
		return BATCH_FULL;
	runs_add(batch->same, &batch->nr_same, *addr, nr, run->huge ? KCKPT_RUN_HUGE : 0);
	batch->nr_unchanged += nr;
	*addr += nr * PAGE_SIZE;
	return 0;
}

/* The first unchanged blocks that end behind @addr; NULL: there are none. */
static const struct kckpt_block_run *unchanged_at(const struct kckpt_object *obj, unsigned long addr)
{
	u32 i = kckpt_blocks_find(obj->unchanged.runs, obj->unchanged.nr, addr);

	return i < obj->unchanged.nr ? &obj->unchanged.runs[i] : NULL;
}

static bool batch_is_enough(const struct kckpt_batch *batch, int full, enum batch_want want)
{
	return full > 0 && (batch->nr_runs || batch->nr_same || (want != BATCH_DATA && batch->nr_data));
}

/* From *@addr on, over as many areas as it takes. 0, KCKPT_WAITS, or a negative errno. */
static int batch_fill(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct mm_struct *mm, unsigned long *addr,
		      struct kckpt_batch *batch, enum batch_want want)
{
	const struct kckpt_block_run *run;
	struct vm_area_struct *vma;
	int full = 0;

	while (!batch_is_enough(batch, full, want)) {
		run = unchanged_at(obj, *addr);
		vma = find_vma(mm, *addr);
		if (run && run->start <= (vma ? max(*addr, vma->vm_start) : run->start)) {
			*addr = max(*addr, run->start);
			full = batch_unchanged(run, addr, batch, want);
			continue;
		}
		if (!vma)
			break;
		*addr = max(*addr, vma->vm_start);
		if (!kckpt_has_private_pages(vma) || (want == BATCH_UNSHAREABLE && vma_is_anonymous(vma))) {
			*addr = vma->vm_end;
			continue;
		}
		full = batch_find_in(ctx, obj, vma, addr, run ? min(run->start, vma->vm_end) : vma->vm_end, batch,
				     want);
		if (full < 0)
			return full;
		if (full == BATCH_CUT || READ_ONCE(ctx->stop))
			return batch_is_enough(batch, BATCH_CUT, want) ? 0 : KCKPT_WAITS;
		if (fatal_signal_pending(current))
			return kckpt_fail(ctx, obj, KCKPT_E_INTERRUPTED, 0, "pages");
		cond_resched();
	}
	return 0;
}

/* Who looks at a command line may hold it for as long as a file system takes. */
static int batch_lock(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct mm_struct *mm)
{
	if (ctx->no_wait)
		return mmap_read_trylock(mm) ? 0 : KCKPT_WAITS;
	return mmap_read_lock_killable(mm) ? kckpt_fail(ctx, obj, KCKPT_E_INTERRUPTED, 0, "pages") : 0;
}

static int batch_find(struct kckpt_ctx *ctx, struct kckpt_object *obj, unsigned long *addr, struct kckpt_batch *batch,
		      enum batch_want want)
{
	/* As it was, if that is kept. */
	struct mm_struct *mm = obj->shadow && obj->shadow->mm ? obj->shadow->mm : (struct mm_struct *)obj->ptr;
	u32 nr_zero;
	int err;

	kckpt_batch_reset(batch);
	err = batch_lock(ctx, obj, mm);
	if (err)
		return err;
	err = batch_fill(ctx, obj, mm, addr, batch, want);
	mmap_read_unlock(mm);
	nr_zero = batch->nr_zero;
	if (err)
		kckpt_batch_put(batch);
	batch->nr_zero = nr_zero;	/* have been passed, as *@addr tells */
	return err ?: batch->nr_runs > 0 || batch->nr_same > 0 || batch->nr_data > 0;
}

int kckpt_batch_find(struct kckpt_ctx *ctx, struct kckpt_object *obj, unsigned long *addr, struct kckpt_batch *batch)
{
	return batch_find(ctx, obj, addr, batch, BATCH_DATA);
}

int kckpt_batch_find_mapped(struct kckpt_ctx *ctx, struct kckpt_object *obj, unsigned long *addr,
			    struct kckpt_batch *batch)
{
	return batch_find(ctx, obj, addr, batch, BATCH_MAPPED);
}

int kckpt_batch_find_unshareable(struct kckpt_ctx *ctx, struct kckpt_object *obj, unsigned long *addr,
				 struct kckpt_batch *batch)
{
	return batch_find(ctx, obj, addr, batch, BATCH_UNSHAREABLE);
}

/* What lies between two holes. Pages of zeros are not worth saving either. */
static int batch_find_between(struct kckpt_ctx *ctx, struct kckpt_object *obj, loff_t from, loff_t to,
			      struct kckpt_batch *batch, unsigned long *addr,
			      struct page *(*get)(struct kckpt_ctx *ctx, struct kckpt_object *obj, loff_t at))
{
	struct page *page;
	loff_t at;

	for (at = from; at < to && batch->nr_data < KCKPT_MAX_BATCH; at += PAGE_SIZE) {
		if (fatal_signal_pending(current))
			return kckpt_fail(ctx, obj, KCKPT_E_INTERRUPTED, 0, "pages");
		page = get(ctx, obj, at);
		if (IS_ERR(page))
			return PTR_ERR(page);
		kckpt_batch_add(batch, at, page, false);
		kckpt_progress(ctx);
		cond_resched();
	}
	*addr = at;
	return 0;
}

int kckpt_batch_find_data(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct file *file, unsigned long *addr,
			  struct kckpt_batch *batch,
			  struct page *(*get)(struct kckpt_ctx *ctx, struct kckpt_object *obj, loff_t at))
{
	loff_t from, to;
	int err = 0;

	kckpt_batch_reset(batch);
	while (!err && batch->nr_data < KCKPT_MAX_BATCH) {
		from = kckpt_should_fail() ? -EIO : vfs_llseek(file, *addr, SEEK_DATA);
		if (from == -ENXIO)
			break;	/* nothing behind */
		to = from < 0 ? from : vfs_llseek(file, from, SEEK_HOLE);
		err = to < 0 ? kckpt_fail(ctx, obj, KCKPT_E_PAGE_READ, to, "%pD4 at %lu", file, *addr) :
			       batch_find_between(ctx, obj, round_down(from, PAGE_SIZE), to, batch, addr, get);
		if (err)
			kckpt_batch_put(batch);
	}
	return err ?: batch->nr_runs > 0;
}

void kckpt_batch_put(struct kckpt_batch *batch)
{
	u32 i;

	if (batch->huge)
		put_page(batch->pages[0]);
	else
		for (i = 0; i < batch->nr_data; i++)
			if (batch->pages[i])
				put_page(batch->pages[i]);
	kckpt_batch_reset(batch);
}

/* The private area that holds @addr; shared ones are the file's and never written from an image. */
static struct vm_area_struct *pages_area(struct mm_struct *mm, unsigned long addr)
{
	struct vm_area_struct *vma = find_vma(mm, addr);

	return vma && vma->vm_start <= addr && !(vma->vm_flags & VM_SHARED) ? vma : NULL;
}

static bool pages_are_wanted(const struct vm_area_struct *vma, bool huge)
{
	return (vma->vm_flags & (VM_HUGEPAGE | VM_NOHUGEPAGE)) == (huge ? VM_HUGEPAGE : VM_NOHUGEPAGE);
}

/*
 * Huge pages stay huge and small ones small: the advice of the area is bent for the time of the fill, so that the
 * fault makes what was there. obj_mm.c sets the final advice when all pages are in. An error is that of who was killed,
 * and does not have the lock any more.
 */
static struct vm_area_struct *pages_bend_advice(struct mm_struct *mm, unsigned long addr, bool huge)
{
	unsigned long want = huge ? VM_HUGEPAGE : VM_NOHUGEPAGE;
	struct vm_area_struct *vma = pages_area(mm, addr);

	if (!vma || pages_are_wanted(vma, huge))
		return vma;
	mmap_read_unlock(mm);
	if (mmap_write_lock_killable(mm))
		return ERR_PTR(-EINTR);
	vma = pages_area(mm, addr);
	if (vma)
		kckpt_vma_flags_change(vma, want, want ^ (VM_HUGEPAGE | VM_NOHUGEPAGE));
	mmap_write_downgrade(mm);
	return vma;
}

/* As many as @nr, with a reference each, from @addr on in an area. */
static long pages_get(struct mm_struct *mm, struct vm_area_struct *vma, unsigned long addr, unsigned long nr,
		      struct page **pages)
{
	nr = min(nr, (vma->vm_end - addr) >> PAGE_SHIFT);
	return kckpt_gup(mm, addr, nr, FOLL_WRITE | FOLL_FORCE, pages);
}

int kckpt_pages_pin(struct kckpt_ctx *ctx, struct kckpt_object *obj, unsigned long addr, u32 nr, bool huge,
		    struct page **pages)
{
	struct mm_struct *mm = obj->made;
	struct vm_area_struct *vma = ERR_PTR(-EINTR);
	long got = -EFAULT;

	if (!mmap_read_lock_killable(mm))
		vma = pages_bend_advice(mm, addr, huge);
	if (IS_ERR(vma))
		return kckpt_fail(ctx, obj, KCKPT_E_INTERRUPTED, 0, "pages");
	if (vma)
		got = kckpt_should_fail() ? -ENOMEM : pages_get(mm, vma, addr, nr, pages);
	mmap_read_unlock(mm);
	if (got <= 0)
		return kckpt_fail(ctx, obj, KCKPT_E_PAGE_WRITE, got ?: -EFAULT, "address 0x%lx", addr);
	return got;
}

u32 kckpt_pages_pin_ahead(struct mm_struct *mm, unsigned long addr, u32 nr, bool huge, struct page **pages)
{
	struct vm_area_struct *vma;
	long got = 0;

	/* Who looks at a command line may hold it for as long as a file system takes. */
	if (!mmap_read_trylock(mm))
		return 0;
	vma = pages_area(mm, addr);
	if (vma && vma_is_anonymous(vma) && pages_are_wanted(vma, huge))
		got = pages_get(mm, vma, addr, nr, pages);
	mmap_read_unlock(mm);
	return max(got, 0L);
}
