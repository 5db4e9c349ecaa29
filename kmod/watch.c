// SPDX-License-Identifier: GPL-2.0
/*
 * See watch.h.
 *
 * A change is told before it is made, and again after. So it does not matter that bits are set while the job runs: who
 * sets one compares the page tables afterwards, under their lock, and what is done later is told later.
 *
 * Locks: mmap_lock of the job, its page table locks, then kckpt_watch.lock. The kernel calls us with locks of its own,
 * maybe to get memory: nothing is allocated there.
 */
#include <linux/bitmap.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/pagewalk.h>
#include <linux/rcupdate.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

#include "blocks.h"
#include "compat/mm.h"
#include "family.h"
#include "fault.h"
#include "ksym.h"
#include "main.h"
#include "share.h"
#include "snapshot.h"
#include "stream.h"
#include "watch.h"

#define HUGE_BLOCKS	(PMD_SIZE / KCKPT_BLOCK_SIZE)
#define AT_ONCE		64	/* page tables that are compared with the job's memory locked */
#define MANY_RUNS	(1U << 18)	/* one layer has less */
#define RUNS_AT_ONCE	1024	/* in which bits are cleared under the spinlock */

static LIST_HEAD(ended);	/* forgotten by a worker */
static DEFINE_SPINLOCK(ended_lock);

/* Of less memory all is looked at: that costs less than to be told. */
static u32 least_watched(void)
{
	return kckpt_checks_unchanged() ? 1 : 32 * HUGE_BLOCKS;
}

/* So many blocks of older layers may be copied again whatever has changed: there shall be few layers. */
static u32 least_merged(void)
{
	return kckpt_checks_unchanged() ? 0 : 16 * HUGE_BLOCKS;
}

/* ---- what the kernel tells ---- */

/*
 * Does @each for the bits of what is watched from @start to @end, in as many as @max runs, until that is true. Tells
 * where to go on.
 */
static unsigned long blocks_each(struct kckpt_blocks *blocks, unsigned long start, unsigned long end, u32 max,
				 bool (*each)(unsigned long *unchanged, u32 bit, u32 nr))
{
	u32 i = kckpt_blocks_find(blocks->runs, blocks->nr_runs, start), bit, nr;
	const struct kckpt_block_run *run;

	for (; i < blocks->nr_runs && blocks->runs[i].start < end; i++) {
		run = &blocks->runs[i];
		if (!max--)
			return run->start;
		bit = start > run->start ? (start - run->start) / KCKPT_BLOCK_SIZE : 0;
		nr = DIV_ROUND_UP(min(end, run->end) - run->start, KCKPT_BLOCK_SIZE);
		if (run->huge) {
			bit = round_down(bit, HUGE_BLOCKS);
			nr = round_up(nr, HUGE_BLOCKS);
		}
		if (each(blocks->unchanged, run->first + bit, nr - bit))
			return max(start, run->start);
	}
	return end;
}

static bool bits_any(unsigned long *unchanged, u32 bit, u32 nr)
{
	return find_next_bit(unchanged, bit + nr, bit) < bit + nr;
}

static bool bits_clear(unsigned long *unchanged, u32 bit, u32 nr)
{
	bitmap_clear(unchanged, bit, nr);
	return false;
}

/*
 * Most of what is told is of blocks that were changed before, and takes no lock. Others may be about to be watched just
 * now: their tables are compared under a lock that who changes them takes as well, so they are in @blocks when we are
 * told again after the change.
 */
static void watch_forget(struct kckpt_watch *watch, unsigned long start, unsigned long end)
{
	struct kckpt_blocks *blocks;

	rcu_read_lock();
	blocks = rcu_dereference(watch->blocks);
	if (blocks)
		start = blocks_each(blocks, start, end, U32_MAX, bits_any);
	while (blocks && start < end) {
		spin_lock(&watch->lock);
		blocks = rcu_dereference_protected(watch->blocks, lockdep_is_held(&watch->lock));
		if (blocks)
			start = blocks_each(blocks, start, end, RUNS_AT_ONCE, bits_clear);
		spin_unlock(&watch->lock);
	}
	rcu_read_unlock();
}

static void watch_told(struct mmu_notifier *notifier, const struct mmu_notifier_range *range)
{
	/* Other rights to the same pages. */
	if (range->event == MMU_NOTIFY_PROTECTION_VMA || range->event == MMU_NOTIFY_PROTECTION_PAGE ||
	    range->event == MMU_NOTIFY_SOFT_DIRTY)
		return;
	watch_forget(container_of(notifier, struct kckpt_watch, notifier), range->start, range->end);
}

static int watch_before(struct mmu_notifier *notifier, const struct mmu_notifier_range *range)
{
	watch_told(notifier, range);
	return 0;
}

static void watch_release(struct mmu_notifier *notifier, struct mm_struct *mm)
{
	watch_forget(container_of(notifier, struct kckpt_watch, notifier), 0, ULONG_MAX);
}

static const struct mmu_notifier_ops watch_ops = {
	.invalidate_range_start = watch_before,
	.invalidate_range_end = watch_told,
	.release = watch_release,
};

/* ---- watching ---- */

static void blocks_free(struct kckpt_blocks *blocks)
{
	if (blocks)
		kvfree_rcu(blocks, rcu);
}

static struct kckpt_blocks *watch_blocks(const struct kckpt_watch *watch)
{
	/* Only who has the snapshot open puts others in their place. */
	return watch ? rcu_dereference_protected(watch->blocks, true) : NULL;
}

/* @mm has users, among them us. */
static struct kckpt_watch *watch_begin(struct mm_struct *mm)
{
	struct kckpt_watch *watch = kckpt_alloc(sizeof(*watch));
	int err;

	if (!watch)
		return NULL;
	spin_lock_init(&watch->lock);
	watch->notifier.ops = &watch_ops;
	err = kckpt_should_fail() ? -EINTR : mmap_write_lock_killable(mm);
	if (!err) {
		err = __mmu_notifier_register(&watch->notifier, mm);
		mmap_write_unlock(mm);
	}
	if (!err)
		return watch;
	kvfree(watch);
	return NULL;
}

/* It waits for whoever is being told of something, of any process: not where somebody waits for us. */
static void ended_free(struct work_struct *work)
{
	struct kckpt_watch *watch, *next;
	LIST_HEAD(list);

	spin_lock(&ended_lock);
	list_splice_init(&ended, &list);
	spin_unlock(&ended_lock);
	list_for_each_entry_safe(watch, next, &list, node) {
		mmu_notifier_unregister(&watch->notifier, watch->notifier.mm);
		blocks_free(watch_blocks(watch));
		kvfree(watch);
	}
}

static DECLARE_WORK(ended_work, ended_free);

void kckpt_watch_end(struct kckpt_snapshot_mm *snapshot)
{
	if (!snapshot->watch)
		return;
	spin_lock(&ended_lock);
	list_add(&snapshot->watch->node, &ended);
	spin_unlock(&ended_lock);
	queue_work(kckpt_workers, &ended_work);
	snapshot->watch = NULL;
}

void kckpt_watches_exit(void)
{
	flush_work(&ended_work);
}

/* ---- what is to be watched ---- */

/* A list that is made of two: what is carried over, and what has a table in the newest layer besides. */
struct merge {
	struct kckpt_block_list list;
	const struct kckpt_block_list *carried;
	const u16 *numbers;	/* that layers of @carried have now */
	u32 at;			/* the next of @carried */
};

static unsigned long merge_end(const struct merge *merge)
{
	return merge->list.nr ? merge->list.runs[merge->list.nr - 1].end : 0;
}

static int merge_carried(struct merge *merge)
{
	const struct kckpt_block_run *run = &merge->carried->runs[merge->at++];

	return kckpt_blocks_add(&merge->list, run->start, run->end, merge->numbers[run->layer], run->huge);
}

/* What of a huge page is carried cannot be: it changes as a whole. */
static int merge_piece(struct merge *merge, unsigned long start, unsigned long end, bool huge)
{
	if (huge && !(IS_ALIGNED(start, PMD_SIZE) && IS_ALIGNED(end, PMD_SIZE)))
		return 0;
	return kckpt_blocks_add(&merge->list, start, end, 0, huge);
}

static int merge_newest(struct merge *merge, unsigned long start, unsigned long end, bool huge)
{
	const struct kckpt_block_run *run;
	int err = 0;

	while (!err && merge->at < merge->carried->nr && merge->carried->runs[merge->at].start < end) {
		run = &merge->carried->runs[merge->at];
		start = max(start, merge_end(merge));
		err = merge_piece(merge, start, min(run->start, end), huge) ?: merge_carried(merge);
	}
	return err ?: merge_piece(merge, max(start, merge_end(merge)), end, huge);
}

/* The blocks with a table in one area of the newest layer. */
static int merge_area(struct merge *merge, struct vm_area_struct *vma)
{
	const unsigned long last = round_down(vma->vm_end, KCKPT_BLOCK_SIZE);
	unsigned long addr = round_up(vma->vm_start, KCKPT_BLOCK_SIZE), end;
	pmd_t *pmd, val;
	int err = 0;

	for (; addr < last && !err; addr = end) {
		pmd = kckpt_pmd_at(vma->vm_mm, addr);
		end = min(round_down(addr, pmd ? PMD_SIZE : PUD_SIZE) + (pmd ? PMD_SIZE : PUD_SIZE), last);
		val = pmd ? READ_ONCE(*pmd) : __pmd(0);
		if (pmd_present(val))
			err = merge_newest(merge, addr, end, pmd_trans_huge(val));
		cond_resched();
	}
	return err;
}

static int merge_layer(struct merge *merge, struct mm_struct *mm)
{
	struct vm_area_struct *vma;
	int err = 0;
	VMA_ITERATOR(it, mm, 0);

	mmap_read_lock(mm);
	for_each_vma(it, vma) {
		err = merge_area(merge, vma);
		if (err)
			break;
	}
	mmap_read_unlock(mm);
	while (!err && merge->at < merge->carried->nr)
		err = merge_carried(merge);
	return err;
}

/* @few: even if that is not worthwhile. */
static struct kckpt_blocks *blocks_of(const struct kckpt_block_list *list, bool few)
{
	struct kckpt_blocks *blocks;
	u64 nr = 0;
	size_t runs;
	u32 i;

	for (i = 0; i < list->nr; i++)
		nr += kckpt_run_blocks(&list->runs[i]);
	if (nr > KCKPT_MAX_BLOCKS || !(few || nr >= least_watched()))
		return NULL;
	runs = ALIGN(struct_size(blocks, runs, list->nr), sizeof(long));
	blocks = kckpt_alloc(runs + BITS_TO_LONGS(nr) * sizeof(long));
	if (!blocks)
		return NULL;
	blocks->unchanged = (void *)blocks + runs;
	memcpy(blocks->runs, list->runs, list->nr * sizeof(*list->runs));
	for (i = 0, nr = 0; i < list->nr; i++) {
		blocks->runs[i].first = nr;
		nr += kckpt_run_blocks(&list->runs[i]);
	}
	blocks->nr_runs = list->nr;
	blocks->nr = nr;
	return blocks;
}

/* The bit of what is watched at @addr, or -1. */
static long blocks_bit(const struct kckpt_blocks *blocks, unsigned long addr)
{
	u32 i = blocks ? kckpt_blocks_find(blocks->runs, blocks->nr_runs, addr) : 0;

	if (!blocks || i == blocks->nr_runs || blocks->runs[i].start > addr)
		return -1;
	return blocks->runs[i].first + (addr - blocks->runs[i].start) / KCKPT_BLOCK_SIZE;
}

/*
 * All of it is taken for unchanged: of what the newest layer has we do not know yet, watch_compare() looks. What is
 * carried over was a part of @old; where that is not marked any more it was changed in between, and after @blocks has
 * taken its place @old is not told any more.
 */
static void watch_put(struct kckpt_watch *watch, struct kckpt_blocks *blocks)
{
	struct kckpt_blocks *old = watch_blocks(watch);
	const struct kckpt_block_run *run;
	unsigned long first, bit, end;
	u32 i;

	bitmap_set(blocks->unchanged, 0, blocks->nr);
	spin_lock(&watch->lock);
	rcu_assign_pointer(watch->blocks, blocks);
	spin_unlock(&watch->lock);
	for (i = 0; old && i < blocks->nr_runs; i++) {
		run = &blocks->runs[i];
		if (!run->layer)
			continue;
		first = blocks_bit(old, run->start);
		bit = first;
		for_each_clear_bitrange_from(bit, end, old->unchanged, first + kckpt_run_blocks(run))
			watch_forget(watch, run->start + (bit - first) * KCKPT_BLOCK_SIZE,
				     run->start + (end - first) * KCKPT_BLOCK_SIZE);
		cond_resched();
	}
	blocks_free(old);
}

/* ---- comparing ---- */

struct compare {
	const pte_t *layer;	/* the next entry of its table */
	u32 nr;			/* entries that were looked at */
	bool lenient;		/* what is just not there in the layer, for reclaim or migration, passes */
	DECLARE_BITMAP(others, HUGE_BLOCKS);	/* blocks of the table that are not the same */
};

static int compare_pte(void *private, unsigned long addr, pte_t pte)
{
	struct compare *compare = private;
	pte_t has = READ_ONCE(*compare->layer++);

	compare->nr++;
	if (compare->lenient && !pte_present(has) && !pte_none(has))
		return 0;
	/* The zero page may be replaced without a word to anybody. */
	if (!pte_present(pte) || pte_special(pte) || !pte_present(has) || pte_pfn(pte) != pte_pfn(has))
		__set_bit((addr & ~PMD_MASK) / KCKPT_BLOCK_SIZE, compare->others);
	return 0;
}

/*
 * Which blocks from @addr to @end, of one page table of @of, which is locked for reading, have not the same pages as
 * @layer, or not all of them?
 */
static void compare_table(struct mm_struct *of, struct mm_struct *layer, unsigned long addr, unsigned long end,
			  bool huge, bool lenient, unsigned long *others)
{
	pmd_t *pmd = kckpt_pmd_at(of, addr), *layer_pmd = kckpt_pmd_at(layer, addr), has, val;
	struct compare compare = { .lenient = lenient };
	struct mm_walk walk = { .mm = of, .private = &compare };
	spinlock_t *lock;

	bitmap_fill(others, HUGE_BLOCKS);
	if (!pmd || !layer_pmd)
		return;
	lock = pmd_lock(of, pmd);
	val = *pmd;
	/* Only now: what the job has cannot have been freed since, and be something else. */
	has = READ_ONCE(*layer_pmd);
	if (!pmd_present(val) || !pmd_present(has) || kckpt_pmd_devmap(val) || pmd_trans_huge(val) != huge ||
	    pmd_trans_huge(has) != huge) {
		/* It may just be split or moved, there first, and nobody has been told of the job yet. */
		if (lenient && !(pmd_present(has) && pmd_trans_huge(has) == huge))
			bitmap_zero(others, HUGE_BLOCKS);
		spin_unlock(lock);
		return;
	}
	if (huge) {
		if (pmd_page(val) == pmd_page(has) && PageAnon(pmd_page(val)))
			bitmap_zero(others, HUGE_BLOCKS);
		spin_unlock(lock);
		return;
	}
	compare.layer = pte_offset_kernel(&has, addr);
	/* A table that is gone by now has nothing in common with anything. */
	kckpt_each_pte(&walk, pmd, lock, addr, end, compare_pte);
	if (compare.nr == (end - addr) / PAGE_SIZE)
		bitmap_copy(others, compare.others, HUGE_BLOCKS);
}

/* From @addr to @end, of one page table. */
static void watch_compare_table(struct kckpt_watch *watch, struct mm_struct *of, struct mm_struct *layer,
				const struct kckpt_block_run *run, unsigned long addr, unsigned long end)
{
	DECLARE_BITMAP(others, HUGE_BLOCKS);
	unsigned long base = round_down(addr, PMD_SIZE), bit, to;

	compare_table(of, layer, addr, end, run->huge, false, others);
	for_each_set_bitrange(bit, to, others, HUGE_BLOCKS)
		watch_forget(watch, max(base + bit * KCKPT_BLOCK_SIZE, addr),
			     min(base + to * KCKPT_BLOCK_SIZE, end));
}

/* Some tables of a run from @addr on; tells how far it came. */
static unsigned long watch_compare_some(struct kckpt_watch *watch, struct mm_struct *of, struct mm_struct *layer,
					const struct kckpt_block_run *run, unsigned long addr)
{
	bool locked = !kckpt_should_fail() && !fatal_signal_pending(current) && !mmap_read_lock_killable(of);
	unsigned long end;
	u32 i;

	if (!locked) {
		watch_forget(watch, addr, run->end);
		return run->end;
	}
	for (i = 0; i < AT_ONCE && addr < run->end; i++, addr = end) {
		end = min(round_down(addr, PMD_SIZE) + PMD_SIZE, run->end);
		watch_compare_table(watch, of, layer, run, addr, end);
	}
	mmap_read_unlock(of);
	cond_resched();
	return addr;
}

/* What the newest layer has is unchanged if it is complete, and the job still has the same. */
static void watch_compare(struct kckpt_watch *watch, struct mm_struct *of, struct mm_struct *layer)
{
	const struct kckpt_blocks *blocks = watch_blocks(watch);
	const struct kckpt_block_run *run;
	unsigned long addr;
	u32 i;

	for (i = 0; i < blocks->nr_runs; i++) {
		run = &blocks->runs[i];
		for (addr = run->start; !run->layer && addr < run->end;)
			addr = watch_compare_some(watch, of, layer, run, addr);
	}
}

/* ---- from one snapshot to the next ---- */

/* Gives the layers of @carried their numbers in @now, which is to have them; @numbers: by those they had. */
static void layers_number(const struct kckpt_block_list *carried, u16 *numbers, u32 *nr)
{
	u32 i;

	*nr = 1;
	memset(numbers, 0, KCKPT_MAX_LAYERS * sizeof(*numbers));
	for (i = 0; i < carried->nr; i++)
		if (!numbers[carried->runs[i].layer])
			numbers[carried->runs[i].layer] = (*nr)++;
}

static struct kckpt_blocks *blocks_make(struct mm_struct *newest, const struct kckpt_block_list *carried,
					const u16 *numbers)
{
	struct merge merge = { .carried = carried, .numbers = numbers };
	struct kckpt_blocks *blocks = NULL;

	if (!merge_layer(&merge, newest))
		blocks = blocks_of(&merge.list, carried->nr);
	kckpt_blocks_free(&merge.list);
	return blocks;
}

static void layers_take_over(struct kckpt_snapshot_mm *now, struct kckpt_snapshot_mm *old, const u16 *numbers, u32 nr)
{
	u32 i;

	for (i = 0; i < old->nr_layers; i++) {
		if (!numbers[i])
			continue;
		mmget(old->layers[i]);
		now->layers[numbers[i]] = old->layers[i];
	}
	now->nr_layers = nr;
}

static void watch_follow(struct kckpt_snapshot_mm *now, struct kckpt_block_list *carried, struct kckpt_snapshot_mm *old)
{
	u16 numbers[KCKPT_MAX_LAYERS];
	struct kckpt_blocks *blocks;
	u32 nr;

	layers_number(carried, numbers, &nr);
	blocks = blocks_make(now->layers[0], carried, numbers);
	if (!blocks)
		return;
	now->watch = old && old->watch ? old->watch : watch_begin(now->of);
	if (!now->watch) {
		blocks_free(blocks);
		return;
	}
	if (old) {
		old->watch = NULL;
		layers_take_over(now, old, numbers, nr);
		swap(old->trimmed, *carried);
	}
	watch_put(now->watch, blocks);
	watch_compare(now->watch, now->of, now->layers[0]);
}

void kckpt_watch_follow(struct kckpt_snapshot_mm *now, struct kckpt_block_list *carried, struct kckpt_snapshot_mm *old)
{
	/* What another kernel tells nobody has looked at, unless it is compared. Nobody dumps who has ended. */
	if ((kckpt_untested && !kckpt_checks_unchanged()) || !mmget_not_zero(now->of))
		return;
	watch_follow(now, carried, old);
	mmput(now->of);
}

/* ---- layers ---- */

struct mm_struct *kckpt_watch_layer(const struct kckpt_snapshot_mm *snapshot, unsigned long addr)
{
	const struct kckpt_blocks *blocks = snapshot->nr_layers > 1 ? watch_blocks(snapshot->watch) : NULL;
	u32 i = blocks ? kckpt_blocks_find(blocks->runs, blocks->nr_runs, addr) : 0;

	if (blocks && i < blocks->nr_runs && blocks->runs[i].start <= addr)
		return snapshot->layers[blocks->runs[i].layer];
	return snapshot->layers[0];
}

/* Unmaps what is in an area, but for the runs of layer @nr; true: there are none. */
static bool trim_area(struct vm_area_struct *vma, const struct kckpt_block_list *keep, u32 nr)
{
	unsigned long addr = vma->vm_start;
	u32 i = kckpt_blocks_find(keep->runs, keep->nr, addr);
	bool kept = false;

	for (; i < keep->nr && keep->runs[i].start < vma->vm_end; i++) {
		if (keep->runs[i].layer != nr)
			continue;
		kept = true;
		if (keep->runs[i].start > addr)
			kckpt_zap(vma, addr, keep->runs[i].start - addr);
		addr = keep->runs[i].end;
		cond_resched();
	}
	if (addr < vma->vm_end)
		kckpt_zap(vma, addr, vma->vm_end - addr);
	return !kept;
}

/* The first area behind @*end, which moves on; true: nothing is left in it, false: something, or there is none. */
static bool trim_next(struct mm_struct *mm, const struct kckpt_block_list *keep, u32 nr, unsigned long *start,
		      unsigned long *end)
{
	struct vm_area_struct *vma;
	bool empty = false;

	mmap_read_lock(mm);
	vma = find_vma(mm, *end);
	*start = vma ? vma->vm_start : ULONG_MAX;
	*end = vma ? vma->vm_end : ULONG_MAX;
	if (vma)
		empty = trim_area(vma, keep, nr);
	mmap_read_unlock(mm);
	return empty;
}

/*
 * Areas of which nothing is left go as well: others have to look into them for each page that they have in common.
 * Newer kernels unmap areas of any address space, but take them off the account of the current one.
 */
static void trim_layer(struct mm_struct *mm, const struct kckpt_block_list *keep, u32 nr)
{
	unsigned long start = 0, end = 0;

	kthread_use_mm(mm);
	while (start < ULONG_MAX) {
		/* Without memory for that it stays, empty. */
		if (trim_next(mm, keep, nr, &start, &end))
			(void)vm_munmap(start, end - start);
		cond_resched();
	}
	kthread_unuse_mm(mm);
}

void kckpt_watch_trim(struct kckpt_snapshot_mm *old)
{
	const struct kckpt_block_list *keep = &old->trimmed;
	unsigned long done = 0;
	u32 i, nr;

	for (i = 0; i < keep->nr; i++) {
		nr = keep->runs[i].layer;
		if (!__test_and_set_bit(nr, &done))
			trim_layer(old->layers[nr], keep, nr);
	}
	kckpt_blocks_free(&old->trimmed);
}

/* ---- dump ---- */

static u32 bits_count(const unsigned long *bits, unsigned long first, unsigned long end)
{
	unsigned long bit = first, to;
	u32 nr = 0;

	for_each_set_bitrange_from(bit, to, bits, end)
		nr += to - bit;
	return nr;
}

/* Unchanged blocks by layer; returns all of them. */
static u32 layers_count(const struct kckpt_blocks *blocks, u32 *counts)
{
	const struct kckpt_block_run *run;
	u32 i, nr, all = 0;

	for (i = 0; i < blocks->nr_runs; i++) {
		run = &blocks->runs[i];
		nr = bits_count(blocks->unchanged, run->first, run->first + kckpt_run_blocks(run));
		counts[run->layer] += nr;
		all += nr;
	}
	return all;
}

/*
 * Which layers are to be copied again, as if they were changed: bits of their numbers. Small ones beside what is copied
 * anyway; so a page table is copied as often as there are powers of two up to the whole, at most, and there are as many
 * layers. All of them, where the lists have become long.
 */
static unsigned long layers_to_merge(const struct kckpt_blocks *blocks, struct mm_struct *mm, u32 nr_layers)
{
	unsigned long mapped = get_mm_counter(mm, MM_ANONPAGES) / KCKPT_BLOCK_PAGES, room, merged = 0;
	u32 counts[KCKPT_MAX_LAYERS] = {}, all = layers_count(blocks, counts), left = nr_layers, i, least;

	if (blocks->nr_runs > MANY_RUNS)
		return ~0UL;
	room = max_t(unsigned long, mapped > all ? 2 * (mapped - all) : 0, least_merged());

	for (;; left--) {
		for (i = 0, least = nr_layers; i < nr_layers; i++)
			if (!test_bit(i, &merged) && (least == nr_layers || counts[i] < counts[least]))
				least = i;
		if (least == nr_layers || (counts[least] > room && left < KCKPT_MAX_LAYERS))
			return merged;
		room -= min_t(unsigned long, room, counts[least]);
		__set_bit(least, &merged);
	}
}

/* The unchanged blocks of a run from @start to @end, as far as these are aligned. */
static int list_add_unchanged(struct kckpt_block_list *list, const struct kckpt_blocks *blocks,
			      const struct kckpt_block_run *run, unsigned long start, unsigned long end)
{
	const unsigned long align = run->huge ? PMD_SIZE : KCKPT_BLOCK_SIZE;
	unsigned long bit, to, last;
	int err = 0;

	start = round_up(start, align);
	end = round_down(end, align);
	if (start >= end)
		return 0;
	bit = run->first + (start - run->start) / KCKPT_BLOCK_SIZE;
	last = run->first + (end - run->start) / KCKPT_BLOCK_SIZE;
	for_each_set_bitrange_from(bit, to, blocks->unchanged, last) {
		/* They are all carried over, with what has changed in between: the list then must not be too long. */
		if (list->nr == MANY_RUNS)
			return -E2BIG;
		err = kckpt_blocks_add(list, run->start + (bit - run->first) * KCKPT_BLOCK_SIZE,
				       run->start + (to - run->first) * KCKPT_BLOCK_SIZE, run->layer, run->huge);
		if (err)
			break;
	}
	return err;
}

/* Only where no other address space of the job can have the same pages: it would have to be told of them. */
static int list_add_alone(struct kckpt_ctx *ctx, struct kckpt_block_list *list, const struct kckpt_blocks *blocks,
			  const struct kckpt_block_run *run, struct mm_struct *mm)
{
	struct vm_area_struct *vma;
	int err = 0;
	VMA_ITERATOR(it, mm, run->start);

	for_each_vma_range(it, vma, run->end) {
		if (kckpt_share_may_have_others(ctx->share, vma))
			continue;
		err = list_add_unchanged(list, blocks, run, max(vma->vm_start, run->start), min(vma->vm_end, run->end));
		if (err)
			break;
	}
	return err;
}

static int list_fill(struct kckpt_ctx *ctx, struct kckpt_block_list *list, const struct kckpt_blocks *blocks,
		     unsigned long merged, struct mm_struct *mm)
{
	const struct kckpt_block_run *run;
	u32 i;
	int err = 0;

	for (i = 0; i < blocks->nr_runs && !err; i++) {
		run = &blocks->runs[i];
		if (!test_bit(run->layer, &merged))
			err = ctx->share ? list_add_alone(ctx, list, blocks, run, mm) :
					   list_add_unchanged(list, blocks, run, run->start, run->end);
		cond_resched();
	}
	return err;
}

/* For tests: is it as it is said to be? Something that changes just now has been told before. */
static int check_table(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_block_run *run,
		       unsigned long addr, unsigned long end)
{
	const struct kckpt_blocks *blocks = watch_blocks(obj->parent->watch);
	unsigned long base = round_down(addr, PMD_SIZE), bit, at;
	DECLARE_BITMAP(others, HUGE_BLOCKS);

	compare_table((struct mm_struct *)obj->ptr, kckpt_watch_layer(obj->parent, addr), addr, end, run->huge, true,
		      others);
	for_each_set_bit(bit, others, HUGE_BLOCKS) {
		at = base + bit * KCKPT_BLOCK_SIZE;
		if (at >= addr && at < end && test_bit(blocks_bit(blocks, at), blocks->unchanged))
			return kckpt_fail(ctx, obj, KCKPT_E_PAGE_READ, -EUCLEAN, "a change at 0x%lx was not told", at);
	}
	return 0;
}

static int check_unchanged(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct kckpt_block_run *run;
	unsigned long addr, end;
	u32 i;
	int err = 0;

	for (i = 0; i < obj->unchanged.nr; i++) {
		run = &obj->unchanged.runs[i];
		for (addr = run->start; addr < run->end && !err; addr = end) {
			end = min(round_down(addr, PMD_SIZE) + PMD_SIZE, run->end);
			err = check_table(ctx, obj, run, addr, end);
		}
	}
	return err;
}

void kckpt_watch_unchanged(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct kckpt_blocks *blocks = obj->parent ? watch_blocks(obj->parent->watch) : NULL;
	struct mm_struct *mm = (struct mm_struct *)obj->ptr;
	unsigned long merged = 0;

	kckpt_blocks_free(&obj->unchanged);
	if (!blocks)
		return;
	if (ctx->capture_flags & KCKPT_CAPTURE_SNAPSHOT)
		merged = layers_to_merge(blocks, mm, obj->parent->nr_layers);
	if (list_fill(ctx, &obj->unchanged, blocks, merged, mm))
		kckpt_blocks_free(&obj->unchanged);
}

int kckpt_watch_find(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct mm_struct *mm = (struct mm_struct *)obj->ptr;
	int err = 0;

	if (!obj->parent || !obj->parent->watch)
		return 0;
	if (mmap_read_lock_killable(mm))
		return kckpt_fail(ctx, obj, KCKPT_E_INTERRUPTED, 0, "pages");
	kckpt_watch_unchanged(ctx, obj);
	if (kckpt_checks_unchanged())
		err = check_unchanged(ctx, obj);
	mmap_read_unlock(mm);
	return err;
}
