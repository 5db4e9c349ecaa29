// SPDX-License-Identifier: GPL-2.0
/*
 * See shadow.h.
 *
 * An area of the shadow is anonymous and linked to the anon_vma of the job's like a child's after fork(), so that
 * reclaim and migration find both mappings of a page. Nobody runs there and nobody finds it: it has no task, no owner,
 * no file. What the job writes to later is copied by the usual fault, for the job; ours stays.
 *
 * The copies that the job makes are charged to it. Whether there is room for all of them is asked before.
 *
 * Locks: mmap_lock of the job's address space, then that of the shadow (nested), both for writing; where several CPUs
 * copy, cgroup_mutex, which is only tried.
 */
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/rmap.h>
#include <linux/sched/mm.h>
#include <linux/swap.h>

#include "compat/mm.h"
#include "family.h"
#include "fault.h"
#include "freeze.h"
#include "ksym.h"
#include "session.h"
#include "shadow.h"
#include "share.h"
#include "snapshot.h"
#include "tables.h"
#include "watch.h"

#define MAX_COPIES	(64UL << (20 - PAGE_SHIFT))	/* pages; more would take too long */
#define SLACK		(16UL << (20 - PAGE_SHIFT))	/* pages that are left to others */
#define SLACK_SHARE	16				/* what stays for long leaves this part of the limit, too */

#define HOLD_TRIES	25	/* for a lock that others have for a moment: half a millisecond */

/* In the address that a reader has come to: it is at the copies of an address space. */
#define AT_COPIES	BIT(BITS_PER_LONG - 1)

/* ---- is there room? ---- */

/* What the job may have to copy, in pages. */
struct need {
	unsigned long mapped;	/* by all of its address spaces, each for itself */
	unsigned long swapped;	/* comes back for us, and is copied then */
	unsigned long tables;	/* that map them for us */
};

/* The address space that is dumped, or was restored; NULL: it is something else. */
static struct mm_struct *mm_of(const struct kckpt_object *obj)
{
	return obj->family != KCKPT_F_mm ? NULL : obj->made ?: (struct mm_struct *)obj->ptr;
}

static struct need need_of(struct kckpt_ctx *ctx)
{
	struct kckpt_object *obj;
	struct need need = {};
	struct mm_struct *mm;

	kckpt_for_each_object(&ctx->objs, obj) {
		mm = mm_of(obj);
		if (!mm)
			continue;
		need.mapped += get_mm_counter(mm, MM_ANONPAGES);
		need.swapped += 2 * get_mm_counter(mm, MM_SWAPENTS);
		need.tables += mm_pgtables_bytes(mm) >> PAGE_SHIFT;
	}
	return need;
}

/* Pages of some lists (bits of enum lru_list) that are charged to a memory cgroup itself. */
static unsigned long memcg_own_lists(struct mem_cgroup *memcg, unsigned long lists)
{
	unsigned long nr = 0;
	int nid, zone, list;

	for_each_online_node(nid)
		for (zone = 0; zone < MAX_NR_ZONES; zone++)
			for_each_set_bit(list, &lists, NR_LRU_LISTS)
				nr += READ_ONCE(memcg->nodeinfo[nid]->lru_zone_size[zone][list]);
	return nr;
}

/* Or to one below it. */
static unsigned long memcg_lists(struct mem_cgroup *memcg, unsigned long lists)
{
	struct cgroup_subsys_state *css;
	unsigned long nr = 0;

	rcu_read_lock();
	css_for_each_descendant_pre(css, &memcg->css)
		nr += memcg_own_lists(mem_cgroup_from_css(css), lists);
	rcu_read_unlock();
	return nr;
}

/*
 * In the memory cgroup of @mm and those above it, of which @share parts of the limit stay free. Processes that share
 * pages have no more of them than there are, so the highest one, which has the whole job, tells what *@most is in all.
 */
static bool memcg_has_room(struct mm_struct *mm, const struct need *need, unsigned long share, unsigned long *most)
{
	struct mem_cgroup *memcg = get_mem_cgroup_from_mm(mm), *up;
	unsigned long usage, limit;
	bool has = true;

	for (up = memcg; up && parent_mem_cgroup(up) && has; up = parent_mem_cgroup(up)) {
		usage = page_counter_read(&up->memory);
		/* Page cache that goes when room is wanted: half of it, as si_mem_available() guesses. */
		usage -= min(usage, memcg_lists(up, BIT(LRU_INACTIVE_FILE)) / 2);
		limit = min(READ_ONCE(up->memory.max), READ_ONCE(up->memory.high));
		*most = min(need->mapped, usage) + need->swapped + need->tables + SLACK;
		has = usage + *most + (share && limit < PAGE_COUNTER_MAX ? limit / share : 0) <= limit;
	}
	mem_cgroup_put(memcg);
	return has;
}

static bool has_room(struct kckpt_ctx *ctx)
{
	struct need need = need_of(ctx);
	unsigned long most = need.mapped + need.swapped + need.tables + SLACK;
	struct kckpt_object *obj;

	kckpt_for_each_object(&ctx->objs, obj)
		if (mm_of(obj) && !memcg_has_room(mm_of(obj), &need, 0, &most))
			return false;
	return si_mem_available() >= (long)(most + MAX_COPIES);
}

bool kckpt_shadow_may_stay(struct mm_struct *of)
{
	struct need nothing = {};
	unsigned long most;

	return memcg_has_room(of, &nothing, SLACK_SHARE, &most) && si_mem_available() >= (long)MAX_COPIES;
}

static bool all_may_stay(struct kckpt_ctx *ctx)
{
	struct kckpt_object *obj;

	kckpt_for_each_object(&ctx->objs, obj)
		if (mm_of(obj) && !kckpt_shadow_may_stay(mm_of(obj)))
			return false;
	return true;
}

/* Without swapping or killing. Reclaimable slab is not known here, and counts as in use. */
bool kckpt_shadow_fills(struct mem_cgroup *memcg)
{
	const unsigned long cache = BIT(LRU_INACTIVE_FILE) | BIT(LRU_ACTIVE_FILE);
	unsigned long usage, limit;
	struct mem_cgroup *up;

	for (up = memcg; up && parent_mem_cgroup(up); up = parent_mem_cgroup(up)) {
		usage = page_counter_read(&up->memory);
		usage -= min(usage, memcg_lists(up, cache));
		limit = min(READ_ONCE(up->memory.max), READ_ONCE(up->memory.high));
		if (usage + SLACK > limit)
			return true;
	}
	return false;
}

bool kckpt_shadow_machine_has_room(void)
{
	return si_mem_available() >= (long)SLACK;
}

/* ---- copies ---- */

static int shadow_copy(struct kckpt_shadow *shadow, unsigned long addr, struct page *from)
{
	/* Where there is no room for it nobody shall be killed: the job can be dumped otherwise. */
	const gfp_t gfp = GFP_KERNEL_ACCOUNT | __GFP_NORETRY | __GFP_NOWARN;
	struct page *to = kckpt_should_fail() ? NULL : alloc_page(gfp);
	int err;

	if (!to)
		return -ENOMEM;
	copy_page(page_address(to), page_address(from));
	err = xa_err(xa_store(&shadow->copies, addr >> PAGE_SHIFT, to, gfp));
	if (err)
		__free_page(to);
	return err;
}

static int shadow_copy_batch(struct kckpt_shadow *shadow, const struct kckpt_batch *batch)
{
	u32 i;
	int err = 0;

	for (i = 0; i < batch->nr_data && !err; i++)
		err = shadow_copy(shadow, batch->huge ? batch->addr[0] + i * PAGE_SIZE : batch->addr[i],
				  kckpt_batch_page(batch, i));
	return err;
}

/* All that @find finds of @obj; counts it in *@nr. */
static int shadow_copy_all(struct kckpt_ctx *ctx, struct kckpt_object *obj, unsigned long *nr,
			   int (*find)(struct kckpt_ctx *ctx, struct kckpt_object *obj, unsigned long *addr,
				       struct kckpt_batch *batch))
{
	struct kckpt_batch *batch = kckpt_alloc(sizeof(*batch));
	unsigned long addr = 0;
	int ret;

	if (!batch)
		return -ENOMEM;
	while ((ret = find(ctx, obj, &addr, batch)) > 0) {
		*nr += batch->nr_data;
		ret = *nr > MAX_COPIES ? -E2BIG : shadow_copy_batch(obj->shadow, batch);
		kckpt_batch_put(batch);
		kckpt_progress(ctx);
		if (ret)
			break;
		cond_resched();
	}
	kvfree(batch);
	return ret;
}

/* ---- address spaces ---- */

/* But for @unchanged, from its run @i on, which an older snapshot has. */
static int shadow_parts(struct vm_area_struct *copy, struct vm_area_struct *vma,
			const struct kckpt_block_list *unchanged, u32 i)
{
	struct vm_area_struct *parts = kckpt_alloc(2 * sizeof(*parts));
	unsigned long addr = vma->vm_start;
	int err = parts ? 0 : -ENOMEM;

	for (; i < unchanged->nr && unchanged->runs[i].start < vma->vm_end && !err; i++) {
		if (unchanged->runs[i].start > addr)
			err = kckpt_share_part(parts, copy, vma, addr, unchanged->runs[i].start);
		addr = min(unchanged->runs[i].end, vma->vm_end);
	}
	if (!err && addr < vma->vm_end)
		err = kckpt_share_part(parts, copy, vma, addr, vma->vm_end);
	kvfree(parts);
	return err;
}

static int shadow_tables(struct vm_area_struct *copy, struct vm_area_struct *vma,
			 const struct kckpt_block_list *unchanged, const struct kckpt_tables_how *how)
{
	u32 i = kckpt_blocks_find(unchanged->runs, unchanged->nr, vma->vm_start);

	if (i < unchanged->nr && unchanged->runs[i].start < vma->vm_end)
		return shadow_parts(copy, vma, unchanged, i);
	return kckpt_tables_copy(copy, vma, how);
}

/* Is all of the area in there? */
static bool all_unchanged(const struct vm_area_struct *vma, const struct kckpt_block_list *unchanged)
{
	u32 i = kckpt_blocks_find(unchanged->runs, unchanged->nr, vma->vm_start);
	unsigned long addr = vma->vm_start;

	for (; i < unchanged->nr && unchanged->runs[i].start <= addr && addr < vma->vm_end; i++)
		addr = unchanged->runs[i].end;
	return addr >= vma->vm_end;
}

/* Copies the page tables of an area, and makes the pages read-only in both. */
static int shadow_area(struct mm_struct *mm, struct vm_area_struct *vma, const struct kckpt_block_list *unchanged,
		       const struct kckpt_tables_how *how)
{
	unsigned long pgoff = vma->vm_pgoff;
	struct vm_area_struct *copy;

	kckpt_vma_start_write(vma);
	copy = kckpt_should_fail() ? NULL : kcall(vm_area_dup)(vma);
	if (!copy)
		return -ENOMEM;
	copy->vm_mm = mm;
	copy->anon_vma = NULL;
	copy->vm_file = NULL;		/* one of /dev/zero; its pages are anonymous all the same */
	kckpt_vma_flags_change(copy, 0, VM_LOCKED | VM_LOCKONFAULT | VM_SEALED);
	if (kckpt_should_fail() || kcall(insert_vm_struct)(mm, copy)) {
		kcall(vm_area_free)(copy);
		return -ENOMEM;
	}
	copy->vm_pgoff = pgoff;		/* the insertion takes it for one without pages yet */
	kcall(vm_stat_account)(mm, copy->vm_flags, vma_pages(copy));	/* vm_munmap() takes it off again */
	if (kckpt_should_fail())
		return -ENOMEM;
	return kcall(anon_vma_fork)(copy, vma) ?: shadow_tables(copy, vma, unchanged, how);
}

/* Its anonymous areas; others are copied. */
static int shadow_areas(struct kckpt_ctx *ctx, struct mm_struct *mm, struct mm_struct *from,
			const struct kckpt_block_list *unchanged, const struct kckpt_tables_how *how)
{
	struct vm_area_struct *vma;
	int err = 0;
	VMA_ITERATOR(it, from, 0);

	for_each_vma(it, vma) {
		if (err || !kckpt_has_private_pages(vma) || !vma_is_anonymous(vma) || all_unchanged(vma, unchanged))
			continue;
		/* Who wants to thaw the job may be waiting for us. */
		err = READ_ONCE(*how->stop) ?: fatal_signal_pending(current) ? -EINTR :
		      shadow_area(mm, vma, unchanged, how);
		kckpt_progress(ctx);
		cond_resched();
	}
	kcall(flush_tlb_mm_range)(from, 0, TLB_FLUSH_ALL, 0, true);
	return err;
}

static int shadow_alloc(struct kckpt_object *obj)
{
	obj->shadow = kckpt_alloc(sizeof(*obj->shadow));
	if (!obj->shadow)
		return -ENOMEM;
	xa_init(&obj->shadow->copies);
	return 0;
}

/*
 * Sees to it that the job cannot run while CPUs copy together: to thaw it, or to move a task out of the freeze, this
 * lock of cgroups is needed, too. The kernel takes mmap_lock inside of it (cpuset_attach()), so it is only tried. Not
 * held: it is not worth it, or not to be had at once, or there are more users than tasks, as threads of the kernel may
 * use the memory of one (vhost).
 */
static int shadow_hold_still(struct kckpt_ctx *ctx, struct kckpt_object *obj, bool *held)
{
	struct mm_struct *from = mm_of(obj);
	unsigned int i;
	int err;

	if (!kckpt_tables_are_many(from) || atomic_read(&from->mm_users) > obj->seen + 1)
		return 0;
	for (i = 0; !mutex_trylock(kdata(cgroup_mutex)); i++) {
		if (i == HOLD_TRIES)
			return 0;
		kckpt_nap(i);
	}
	err = kckpt_capture_verify(ctx);
	*held = !err;
	if (err)
		mutex_unlock(kdata(cgroup_mutex));
	return err;
}

/* Both locked. @restored: none of its tasks can run before we are through. */
static int shadow_mm_areas(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct mm_struct *mm, bool restored)
{
	struct kckpt_tables_how how = { .stop = kckpt_session_expired(ctx) };
	bool held = false;
	int err = 0;

	kckpt_watch_unchanged(ctx, obj);
	/* Where only parts of areas are copied, that is not much. */
	if (!restored && !obj->unchanged.nr)
		err = shadow_hold_still(ctx, obj, &held);
	if (err)
		return err;
	how.together = restored || held;
	err = shadow_areas(ctx, mm, mm_of(obj), &obj->unchanged, &how);
	if (held)
		mutex_unlock(kdata(cgroup_mutex));
	return err;
}

static int shadow_mm(struct kckpt_ctx *ctx, struct kckpt_object *obj, bool restored)
{
	struct mm_struct *from = mm_of(obj), *mm;
	struct mem_cgroup *memcg, *others;
	int err;

	mm = kckpt_should_fail() ? NULL : kcall(mm_alloc)();
	if (!mm)
		return -ENOMEM;
#ifdef CONFIG_MEMCG
	RCU_INIT_POINTER(mm->owner, NULL);	/* the caller, who may end before it */
#endif
	/* Page tables and areas, too, are memory that the job costs, not its dumper. */
	memcg = get_mem_cgroup_from_mm(from);
	others = set_active_memcg(memcg);
	err = kckpt_share_lock_pair(from, mm);
	if (!err) {
		err = shadow_mm_areas(ctx, obj, mm, restored);
		kckpt_share_unlock_pair(from, mm);
	}
	set_active_memcg(others);
	mem_cgroup_put(memcg);
	if (err) {
		mmput(mm);
		return err;
	}
	mmgrab(from);
	obj->shadow->of = from;
	obj->shadow->mm = mm;
	return 0;
}

static int shadow_object(struct kckpt_ctx *ctx, struct kckpt_object *obj, unsigned long *nr)
{
	const struct kckpt_family_ops *ops = kckpt_family(obj->family);

	if (!ops->pages_find)
		return 0;
	if (obj->family != KCKPT_F_mm)
		return shadow_alloc(obj) ?: shadow_copy_all(ctx, obj, nr, ops->pages_find);
	/* While obj->shadow->mm is not there, the pages of the job's own address space are found. */
	return shadow_alloc(obj) ?: shadow_copy_all(ctx, obj, nr, kckpt_batch_find_unshareable) ?:
	       shadow_mm(ctx, obj, false);
}

static void shadow_free(struct kckpt_shadow *shadow)
{
	unsigned long index;
	struct page *page;

	xa_for_each(&shadow->copies, index, page) {
		__free_page(page);
		cond_resched();
	}
	xa_destroy(&shadow->copies);
	if (shadow->mm) {
		mmput(shadow->mm);
		mmdrop(shadow->of);
	}
	kvfree(shadow);
}

void kckpt_shadow_drop(struct kckpt_ctx *ctx)
{
	struct kckpt_object *obj;

	kckpt_for_each_object(&ctx->objs, obj) {
		if (obj->shadow)
			shadow_free(obj->shadow);
		obj->shadow = NULL;
	}
}

/* Nothing is kept, then; without memory for it that is no error. */
static int shadow_failed(struct kckpt_ctx *ctx, struct kckpt_object *obj, int err, bool reported, u32 *kept)
{
	kckpt_shadow_drop(ctx);
	*kept = err == -E2BIG ? KCKPT_KEPT_TOO_MUCH : KCKPT_KEPT_NO_ROOM;
	if (reported)
		return err;
	return err == -E2BIG || err == -ENOMEM ? 0 : kckpt_fail(ctx, obj, KCKPT_E_INTERRUPTED, err, "memory");
}

int kckpt_shadow_make(struct kckpt_ctx *ctx, u32 *kept)
{
	unsigned long nr = 0;
	struct kckpt_object *obj;
	int err = 0;

	*kept = KCKPT_KEPT;
	/* What was kept before may be what is in the way; it is of use to this image only if that builds on it. */
	if (!has_room(ctx))
		kckpt_snapshot_settle();
	if (!has_room(ctx) && !ctx->parent)
		kckpt_snapshot_forget(ctx->cgroup_id);
	if (!has_room(ctx)) {
		*kept = KCKPT_KEPT_NO_ROOM;
		return 0;
	}
	kckpt_for_each_object(&ctx->objs, obj) {
		err = shadow_object(ctx, obj, &nr);
		if (err)
			break;
	}
	return err ? shadow_failed(ctx, obj, err, ctx->report.total, kept) : 0;
}

int kckpt_shadow_make_restored(struct kckpt_ctx *ctx, u32 *kept)
{
	struct kckpt_object *obj;
	int err = 0;

	*kept = has_room(ctx) && all_may_stay(ctx) ? KCKPT_KEPT : KCKPT_KEPT_NO_ROOM;
	if (*kept != KCKPT_KEPT)
		return 0;
	kckpt_for_each_object(&ctx->objs, obj) {
		err = mm_of(obj) ? shadow_alloc(obj) ?: shadow_mm(ctx, obj, true) : 0;
		if (err)
			break;
	}
	return err ? shadow_failed(ctx, obj, err, false, kept) : 0;
}

/* ---- reading ---- */

static int copies_find(struct kckpt_object *obj, unsigned long *addr, struct kckpt_batch *batch)
{
	unsigned long index, from = (*addr & ~AT_COPIES) >> PAGE_SHIFT;
	struct page *page;

	kckpt_batch_reset(batch);
	xa_for_each_start(&obj->shadow->copies, index, page, from) {
		if (batch->nr_data + batch->nr_marked == KCKPT_MAX_BATCH || batch->nr_runs == KCKPT_MAX_RUNS)
			break;
		get_page(page);
		/* Over a file there is something else; in a hole there is nothing. */
		kckpt_batch_add(batch, index << PAGE_SHIFT, page, obj->family == KCKPT_F_mm);
		from = index + 1;
		cond_resched();
	}
	*addr = (*addr & AT_COPIES) | from << PAGE_SHIFT;
	return batch->nr_runs > 0;
}

/*
 * What the image has already goes: the job can write to it without making a copy, and has that memory again. In whole
 * blocks, so that no huge page is split.
 */
static void shadow_drop_read(struct kckpt_ctx *ctx, struct kckpt_shadow *shadow, unsigned long addr)
{
	unsigned long from = shadow->read_to, to = round_down(addr, PMD_SIZE);
	struct vm_area_struct *vma;
	VMA_ITERATOR(it, shadow->mm, from);

	/* Others may have the same pages, and look for them; or it is to stay as a whole. */
	if (ctx->share || ctx->capture_flags & KCKPT_CAPTURE_SNAPSHOT || to <= from)
		return;
	if (ctx->no_wait ? !mmap_read_trylock(shadow->mm) : mmap_read_lock_killable(shadow->mm))
		return;		/* it can be done later */
	for_each_vma_range(it, vma, to) {
		kckpt_zap(vma, max(vma->vm_start, from), min(vma->vm_end, to) - max(vma->vm_start, from));
		cond_resched();
	}
	mmap_read_unlock(shadow->mm);
	shadow->read_to = to;
}

int kckpt_shadow_find(struct kckpt_ctx *ctx, struct kckpt_object *obj, unsigned long *addr, struct kckpt_batch *batch)
{
	u32 nr_zero = 0;
	int ret;

	if (!obj->shadow)
		return kckpt_family(obj->family)->pages_find(ctx, obj, addr, batch);
	if (obj->shadow->mm && !(*addr & AT_COPIES)) {
		shadow_drop_read(ctx, obj->shadow, *addr);
		ret = kckpt_batch_find(ctx, obj, addr, batch);
		if (ret)
			return ret;
		*addr = AT_COPIES;
		nr_zero = batch->nr_zero;
	}
	ret = copies_find(obj, addr, batch);
	batch->nr_zero += nr_zero;
	return ret;
}
