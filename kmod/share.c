// SPDX-License-Identifier: GPL-2.0
/*
 * See share.h.
 *
 * Dump: a page with several mappings is remembered by its frame when it is saved, with a reference, so that the frame
 * stands for nothing else meanwhile. An address space is walked twice: first for the rows of what is known already,
 * then for the rest. What is not known at the same address is saved again.
 *
 * Restore: the rows of an address space come before its own pages. The page tables of the source are copied by the
 * kernel's own function for fork(), for the range of the row. Both areas then have the same anon_vma, without which
 * nobody would find all mappings of a page: the new area is linked like a child's to that of the youngest source,
 * which has those of its elders. Where the areas do not fit, the contents are copied.
 *
 * Locks: mmap_lock of the source, then that of the new one (nested); no program runs in either.
 */
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/huge_mm.h>
#include <linux/rmap.h>
#include <linux/sched/mm.h>

#include "compat/mm.h"
#include "crew.h"
#include "family.h"
#include "fault.h"
#include "ksym.h"
#include "share.h"

/* An entry of kckpt_share.seen: address, whether it is the head of a huge page, and who. */
#define SEEN_ADDR_BITS	35
#define SEEN_HUGE	(1UL << SEEN_ADDR_BITS)
#define SEEN_ID_SHIFT	(SEEN_ADDR_BITS + 1)
#define SEEN_MAX_ID	(1UL << (BITS_PER_LONG - 1 - SEEN_ID_SHIFT))

#define MAX_ROWS	(4U << 20)

/* ---- rows ---- */

void kckpt_share_rows_free(struct kckpt_share_rows *rows)
{
	kvfree(rows->runs);
	*rows = (struct kckpt_share_rows){};
}

static int rows_add(struct kckpt_share_rows *rows, const struct kckpt_share_run *run)
{
	struct kckpt_share_run *last = rows->nr ? &rows->runs[rows->nr - 1] : NULL, *more;
	u32 room = rows->room ? rows->room * 2 : 256;

	if (last && last->source == run->source && last->flags == run->flags &&
	    run->nr_pages <= U32_MAX - last->nr_pages &&
	    last->vaddr + (u64)last->nr_pages * PAGE_SIZE == run->vaddr) {
		last->nr_pages += run->nr_pages;
		return 0;
	}
	if (rows->nr == rows->room) {
		more = rows->nr < MAX_ROWS ? kckpt_alloc((size_t)room * sizeof(*more)) : NULL;
		if (!more)
			return -ENOMEM;
		memcpy(more, rows->runs, (size_t)rows->nr * sizeof(*more));
		kvfree(rows->runs);
		rows->runs = more;
		rows->room = room;
	}
	rows->runs[rows->nr++] = *run;
	return 0;
}

/* ---- dump ---- */

static int trees_add(struct kckpt_share *share, const struct vm_area_struct *vma, u64 id)
{
	unsigned long tree = (unsigned long)vma->anon_vma->root / sizeof(long);
	void *entry = xa_load(&share->trees, tree);

	if (entry && xa_to_value(entry) != id)
		id = 0;
	if (entry && xa_to_value(entry) == id)
		return 0;
	return kckpt_should_fail() ? -ENOMEM :
				     xa_err(xa_store(&share->trees, tree, xa_mk_value(id), GFP_KERNEL_ACCOUNT));
}

static int trees_add_mm(struct kckpt_share *share, struct mm_struct *mm, u64 id)
{
	struct vm_area_struct *vma;
	int err = 0;
	VMA_ITERATOR(it, mm, 0);

	if (mmap_read_lock_killable(mm))
		return -EINTR;
	for_each_vma(it, vma) {
		if (!vma->anon_vma)
			continue;
		err = trees_add(share, vma, id);
		if (err)
			break;
		cond_resched();
	}
	mmap_read_unlock(mm);
	return err;
}

/* Who has a page of another one has it by fork(): its area is of the same tree, by which the kernel finds them both. */
static bool trees_find(struct kckpt_ctx *ctx, struct kckpt_share *share)
{
	struct kckpt_object *obj;

	kckpt_for_each_object(&ctx->objs, obj)
		if (obj->family == KCKPT_F_mm && trees_add_mm(share, (struct mm_struct *)obj->ptr, obj->id))
			return false;
	return true;
}

bool kckpt_share_may_have_others(struct kckpt_share *share, const struct vm_area_struct *vma)
{
	void *entry;

	if (!share->trees_known || !vma->anon_vma)
		return true;
	entry = xa_load(&share->trees, (unsigned long)vma->anon_vma->root / sizeof(long));
	return !entry || !xa_to_value(entry);
}

struct kckpt_share *kckpt_share_begin(struct kckpt_ctx *ctx)
{
	const struct kckpt_object *obj;
	struct kckpt_share *share;
	u32 nr = 0;

	kckpt_for_each_object(&ctx->objs, obj)
		nr += obj->family == KCKPT_F_mm;
	if (nr < 2)
		return NULL;
	share = kckpt_alloc(sizeof(*share));
	if (!share)
		return ERR_PTR(kckpt_fail(ctx, NULL, KCKPT_E_NO_MEMORY, 0, "shared pages"));
	share->memcg = get_mem_cgroup_from_mm(current->mm);
	xa_init_flags(&share->seen, XA_FLAGS_ACCOUNT);
	xa_init_flags(&share->trees, XA_FLAGS_ACCOUNT);
	share->trees_known = ctx->parent && trees_find(ctx, share);
	return share;
}

void kckpt_share_end(struct kckpt_share *share)
{
	unsigned long pfn;
	void *entry;

	if (!share)
		return;
	xa_for_each(&share->seen, pfn, entry) {
		put_page(pfn_to_page(pfn));
		cond_resched();
	}
	xa_destroy(&share->seen);
	xa_destroy(&share->trees);
	kckpt_share_rows_free(&share->rows);
	mem_cgroup_put(share->memcg);
	kvfree(share);
}

void kckpt_share_note(struct kckpt_share *share, const struct kckpt_object *obj, unsigned long addr, struct page *page,
		      bool huge)
{
	/* Nobody is killed for it; and workers, who may be the ones that note, are not charged by themselves. */
	const gfp_t gfp = GFP_KERNEL_ACCOUNT | __GFP_NORETRY | __GFP_NOWARN;
	struct mem_cgroup *others;
	void *entry;

	if (!kckpt_page_has_others(page) || obj->id >= SEEN_MAX_ID)
		return;
	entry = xa_mk_value(obj->id << SEEN_ID_SHIFT | (huge ? SEEN_HUGE : 0) | addr >> PAGE_SHIFT);
	get_page(page);
	others = set_active_memcg(share->memcg);
	/* Without memory for it, the others save it again. One that is known stays where it was. */
	if (kckpt_should_fail() || xa_insert(&share->seen, page_to_pfn(page), entry, gfp))
		put_page(page);
	set_active_memcg(others);
}

/* The address space that this page was saved with, at the same address; 0: none. */
static u64 share_source(struct kckpt_share *share, struct page *page, unsigned long addr)
{
	struct page *head = compound_head(page);
	unsigned long seen;
	void *entry;

	entry = xa_load(&share->seen, page_to_pfn(page));
	if (entry) {
		seen = xa_to_value(entry);
		return (seen & (SEEN_HUGE - 1)) == addr >> PAGE_SHIFT ? seen >> SEEN_ID_SHIFT : 0;
	}
	entry = head == page ? NULL : xa_load(&share->seen, page_to_pfn(head));
	if (!entry)
		return 0;
	seen = xa_to_value(entry);
	if (!(seen & SEEN_HUGE) || (seen & (SEEN_HUGE - 1)) + (page - head) != addr >> PAGE_SHIFT)
		return 0;
	return seen >> SEEN_ID_SHIFT;
}

static int share_find_in(struct kckpt_share *share, const struct kckpt_batch *batch)
{
	u32 i;
	int err = 0;

	for (i = 0; i < batch->nr_data && !err; i++) {
		struct page *page = kckpt_batch_page(batch, i);
		struct kckpt_share_run run = {
			.vaddr = batch->huge ? batch->addr[0] + i * PAGE_SIZE : batch->addr[i], .nr_pages = 1,
		};

		run.source = page ? share_source(share, page, run.vaddr) : 0;
		/* Without room for more of them the rest is saved again. */
		if (run.source)
			err = rows_add(&share->rows, &run);
	}
	return err;
}

int kckpt_share_find(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_share *share = ctx->share;
	struct kckpt_batch *batch;
	unsigned long addr = 0;
	int ret;

	share->rows.nr = share->at = share->staged = 0;
	if (xa_empty(&share->seen))
		return 0;
	batch = kckpt_alloc(sizeof(*batch));
	if (!batch)
		return kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, 0, "shared pages");
	while ((ret = kckpt_batch_find_mapped(ctx, obj, &addr, batch)) > 0) {
		ret = share_find_in(share, batch);
		kckpt_batch_put(batch);
		kckpt_progress(ctx);
		if (ret) {
			ret = 0;
			break;
		}
	}
	kvfree(batch);
	return ret;
}

bool kckpt_share_covers(struct kckpt_share *share, unsigned long addr)
{
	const struct kckpt_share_rows *rows = &share->rows;

	while (share->at < rows->nr &&
	       rows->runs[share->at].vaddr + (u64)rows->runs[share->at].nr_pages * PAGE_SIZE <= addr)
		share->at++;
	return share->at < rows->nr && rows->runs[share->at].vaddr <= addr;
}

/* ---- restore ---- */

int kckpt_share_add(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct kckpt_share_rows *rows,
		    const struct kckpt_share_run *runs, u32 nr)
{
	const struct kckpt_share_run *last;
	const struct kckpt_object *source;
	u32 i;

	for (i = 0; i < nr; i++) {
		last = rows->nr ? &rows->runs[rows->nr - 1] : NULL;
		source = kckpt_objtab_get(&ctx->objs, runs[i].source);
		if (!source || source->family != KCKPT_F_mm || source->id >= obj->id || runs[i].flags ||
		    !runs[i].nr_pages || !IS_ALIGNED(runs[i].vaddr, PAGE_SIZE) || runs[i].vaddr >= TASK_SIZE_MAX ||
		    runs[i].nr_pages > (TASK_SIZE_MAX - runs[i].vaddr) >> PAGE_SHIFT ||
		    (last && runs[i].vaddr < last->vaddr + (u64)last->nr_pages * PAGE_SIZE))
			return kckpt_bad_image(ctx, obj, "shared pages at 0x%llx", runs[i].vaddr);
		if (kckpt_should_fail() || rows_add(rows, &runs[i]))
			return kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, 0, "shared pages");
	}
	return 0;
}

int kckpt_share_lock_pair(struct mm_struct *src, struct mm_struct *dst)
{
	if (kckpt_should_fail() || mmap_write_lock_killable(src))
		return -EINTR;
	mmap_write_lock_nested(dst, SINGLE_DEPTH_NESTING);
	return 0;
}

void kckpt_share_unlock_pair(struct mm_struct *src, struct mm_struct *dst)
{
	mmap_write_unlock(dst);
	mmap_write_unlock(src);
}

/* The area of private pages at @addr. */
static struct vm_area_struct *share_area(struct mm_struct *mm, unsigned long addr)
{
	struct vm_area_struct *vma = vma_lookup(mm, addr);
	const unsigned long other = VM_SHARED | VM_PFNMAP | VM_MIXEDMAP | VM_IO | VM_HUGETLB;

	return vma && !(vma->vm_flags & other) ? vma : NULL;
}

static bool has_anon_vma(const struct vm_area_struct *vma, const struct anon_vma *anon_vma)
{
	const struct anon_vma_chain *avc;

	list_for_each_entry(avc, &vma->anon_vma_chain, same_vma)
		if (avc->anon_vma == anon_vma)
			return true;
	return false;
}

static const struct inode *area_inode(const struct vm_area_struct *vma)
{
	return vma->vm_file ? file_inode(vma->vm_file) : NULL;
}

/* The same thing at the same addresses: so a page has the same place in both. */
static bool areas_alike(const struct vm_area_struct *dst, const struct vm_area_struct *src)
{
	return dst->vm_ops == src->vm_ops && area_inode(dst) == area_inode(src) &&
	       dst->vm_pgoff - (dst->vm_start >> PAGE_SHIFT) == src->vm_pgoff - (src->vm_start >> PAGE_SHIFT);
}

/* Can pages of @src be mapped in @dst, and be found there? */
static bool areas_fit(const struct vm_area_struct *dst, const struct vm_area_struct *src)
{
	const unsigned long same = VM_READ | VM_WRITE | VM_EXEC;
	const struct anon_vma_chain *avc;

	if (!dst->anon_vma || !src->anon_vma || (dst->vm_flags ^ src->vm_flags) & same || !areas_alike(dst, src))
		return false;
	list_for_each_entry(avc, &src->anon_vma_chain, same_vma)
		if (!has_anon_vma(dst, avc->anon_vma))
			return false;
	return true;
}

/* What stands for a part of an area in a call of copy_page_range(). */
static void area_part(struct vm_area_struct *part, const struct vm_area_struct *vma, unsigned long start,
		      unsigned long end)
{
	memcpy(part, vma, sizeof(*part));
	part->vm_start = start;
	part->vm_end = end;
	part->vm_pgoff += (start - vma->vm_start) >> PAGE_SHIFT;
}

int kckpt_share_part(struct vm_area_struct *parts, struct vm_area_struct *dst, struct vm_area_struct *src,
		     unsigned long start, unsigned long end)
{
	kckpt_vma_start_write(src);
	kckpt_vma_start_write(dst);
	area_part(&parts[0], dst, start, end);
	area_part(&parts[1], src, start, end);
	return kcall(copy_page_range)(&parts[0], &parts[1]);
}

static int share_tables(struct vm_area_struct *dst, struct vm_area_struct *src, unsigned long start, unsigned long end)
{
	struct vm_area_struct *parts = kckpt_alloc(2 * sizeof(*parts));
	int err = parts ? kckpt_share_part(parts, dst, src, start, end) : -ENOMEM;

	kvfree(parts);
	return err;
}

static bool is_huge_at(struct mm_struct *mm, unsigned long addr)
{
	pmd_t *pmd = kckpt_pmd_at(mm, addr);

	return pmd && (pmd_trans_huge(*pmd) || (!pmd_none(*pmd) && !pmd_present(*pmd)));
}

static bool is_free_at(struct mm_struct *mm, unsigned long addr)
{
	pmd_t *pmd = kckpt_pmd_at(mm, addr);

	return !pmd || pmd_none(*pmd);
}

/* Nothing is mapped from @addr to @end, of one block, and as long as the area is locked nothing will be. */
static bool is_free_range(struct mm_struct *mm, unsigned long addr, unsigned long end)
{
	pmd_t *pmd = kckpt_pmd_at(mm, addr);
	bool is_free = true;
	spinlock_t *lock;
	pte_t *pte;

	if (!pmd || pmd_none(*pmd))
		return true;
	if (!pmd_present(*pmd) || pmd_trans_huge(*pmd))
		return false;
	/* Reclaim and migration change what is there under this lock alone. */
	lock = pte_lockptr(mm, pmd);
	spin_lock(lock);
	for (pte = pte_offset_kernel(pmd, addr); addr < end && is_free; addr += PAGE_SIZE, pte++)
		is_free = pte_none(*pte);
	spin_unlock(lock);
	return is_free;
}

/* The last way: contents, page by page. */
static int share_contents(struct mm_struct *dst, struct mm_struct *src, unsigned long addr, unsigned long end)
{
	struct page *from, *to;
	long got;

	for (; addr < end; addr += PAGE_SIZE) {
		got = kckpt_should_fail() ? -ENOMEM : kckpt_gup(src, addr, 1, FOLL_FORCE, &from);
		if (got != 1)
			return got ?: -EFAULT;
		got = kckpt_gup(dst, addr, 1, FOLL_WRITE | FOLL_FORCE, &to);
		if (got == 1) {
			copy_page(page_address(to), page_address(from));
			set_page_dirty_lock(to);
			put_page(to);
		}
		put_page(from);
		if (got != 1)
			return got ?: -EFAULT;
		cond_resched();
	}
	return 0;
}

/*
 * A huge page of the source, of which the new one may have only parts: it gets the whole, and loses what no row covers.
 * Rows of the same block that follow at once are done with it. *@i: the row; *@addr: where it goes on.
 */
static int share_huge(struct vm_area_struct *dst, struct vm_area_struct *src, const struct kckpt_share_rows *rows,
		      u32 *i, unsigned long *addr)
{
	unsigned long block = *addr & HPAGE_PMD_MASK, block_end = block + HPAGE_PMD_SIZE, done = block;
	const struct kckpt_share_run *run;
	u64 source = rows->runs[*i].source;
	unsigned long end;
	int err = share_tables(dst, src, block, block_end);

	if (err)
		return err;
	for (;;) {
		run = &rows->runs[*i];
		end = run->vaddr + (u64)run->nr_pages * PAGE_SIZE;
		if (*addr > done)
			kckpt_zap(dst, done, *addr - done);
		done = min(end, block_end);
		*addr = done;
		if (end > block_end || *i + 1 == rows->nr || run[1].vaddr >= block_end || run[1].source != source)
			break;
		++*i;
		*addr = run[1].vaddr;
	}
	if (done < block_end)
		kckpt_zap(dst, done, block_end - done);
	return 0;
}

/* One step of row *@i from *@addr on, under both locks. */
static int share_step(struct mm_struct *dst_mm, struct mm_struct *src_mm, const struct kckpt_share_rows *rows, u32 *i,
		      unsigned long *addr)
{
	const struct kckpt_share_run *run = &rows->runs[*i];
	struct vm_area_struct *dst = share_area(dst_mm, *addr), *src = share_area(src_mm, *addr);
	unsigned long end = run->vaddr + (u64)run->nr_pages * PAGE_SIZE, block = *addr & HPAGE_PMD_MASK;
	bool fits, huge;
	int err;

	if (!dst || !src)
		return -EFAULT;
	end = min3(end, dst->vm_end, src->vm_end);
	end = min(end, block + HPAGE_PMD_SIZE);
	kckpt_vma_start_write(dst);
	fits = areas_fit(dst, src);
	huge = is_huge_at(src_mm, *addr);
	if (fits && huge && is_free_at(dst_mm, *addr) && block >= dst->vm_start &&
	    block + HPAGE_PMD_SIZE <= dst->vm_end)
		return share_huge(dst, src, rows, i, addr);
	/* Filled by the contents of a row before, which may have made a huge page, or by a collapse since. */
	if (fits && !huge && !is_free_range(dst_mm, *addr, end))
		kckpt_zap(dst, *addr, end - *addr);
	err = fits && !huge ? share_tables(dst, src, *addr, end) : share_contents(dst_mm, src_mm, *addr, end);
	*addr = end;
	return err;
}

/* The youngest source that rows from @i on name for an area from @addr to @end, and @at which address. */
static struct kckpt_object *share_youngest(struct kckpt_ctx *ctx, const struct kckpt_share_rows *rows, u32 i,
					   unsigned long addr, unsigned long end, unsigned long *at)
{
	u64 youngest = 0;

	for (; i < rows->nr && rows->runs[i].vaddr < end; i++) {
		if (rows->runs[i].source > youngest)
			*at = max_t(unsigned long, rows->runs[i].vaddr, addr);
		youngest = max(youngest, rows->runs[i].source);
	}
	return kckpt_objtab_get(&ctx->objs, youngest);
}

/*
 * Links the area at @addr, which row @i covers, like a child's to that of the youngest source that any row of it names.
 * Sets its *@end.
 */
static int share_link(struct kckpt_ctx *ctx, struct mm_struct *dst_mm, const struct kckpt_share_rows *rows, u32 i,
		      unsigned long addr, unsigned long *end)
{
	unsigned long at = addr;
	struct vm_area_struct *dst, *src;
	struct kckpt_object *source;
	bool linked = false;
	int err;

	mmap_read_lock(dst_mm);
	dst = share_area(dst_mm, addr);
	if (dst) {
		*end = dst->vm_end;
		linked = dst->anon_vma;
	}
	mmap_read_unlock(dst_mm);
	/* Not page by page through where there is nothing: a row may be of 16 TiB. */
	if (!dst)
		return -EFAULT;
	if (linked)
		return 0;
	source = share_youngest(ctx, rows, i, addr, *end, &at);
	/* An address space that no process has was not made. */
	if (!source || !source->made)
		return -EFAULT;
	err = kckpt_share_lock_pair(source->made, dst_mm);
	if (err)
		return err;
	dst = share_area(dst_mm, addr);
	src = share_area(source->made, at);
	if (dst && src && !dst->anon_vma && src->anon_vma && areas_alike(dst, src)) {
		kckpt_vma_start_write(dst);
		err = kckpt_should_fail() ? -ENOMEM : kcall(anon_vma_fork)(dst, src);
	}
	kckpt_share_unlock_pair(source->made, dst_mm);
	return err;
}

static int share_failed(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_share_run *run, int err)
{
	return kckpt_fail(ctx, obj, KCKPT_E_PAGE_WRITE, err, "shared pages at 0x%llx", run->vaddr);
}

/*
 * Each area once, which may not be possible: then its pages are copied. A row may cover several areas, and an area have
 * many rows.
 */
static int share_link_all(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_share_rows *rows)
{
	unsigned long end = 0, row_end;
	u32 i;
	int err;

	for (i = 0; i < rows->nr; i++) {
		row_end = rows->runs[i].vaddr + rows->runs[i].nr_pages * PAGE_SIZE;
		end = max_t(unsigned long, end, rows->runs[i].vaddr);
		while (end < row_end) {
			err = kckpt_crew_check(ctx);
			if (err)
				return err;
			err = share_link(ctx, obj->made, rows, i, end, &end);
			if (err)
				return share_failed(ctx, obj, &rows->runs[i], err);
			kckpt_progress(ctx);
			cond_resched();
		}
	}
	return 0;
}

/* Row *@i, or what is left of it. It may take some that follow with it. */
static int share_apply_row(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct mm_struct *src,
			   const struct kckpt_share_rows *rows, u32 *i, unsigned long *addr)
{
	int err;

	*addr = rows->runs[*i].vaddr;
	while (*addr < rows->runs[*i].vaddr + (u64)rows->runs[*i].nr_pages * PAGE_SIZE) {
		err = kckpt_crew_check(ctx);
		if (err)
			return err;
		err = share_step(obj->made, src, rows, i, addr);
		if (err)
			return share_failed(ctx, obj, &rows->runs[*i], err);
		kckpt_progress(ctx);
		cond_resched();
	}
	return 0;
}

/* Row *@i and those behind it of the same source. */
static int share_apply_rows(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_share_rows *rows,
			    u32 *i)
{
	const struct kckpt_share_run *first = &rows->runs[*i];
	struct mm_struct *src = kckpt_objtab_get(&ctx->objs, first->source)->made;
	unsigned long addr = first->vaddr;
	int err = src ? kckpt_share_lock_pair(src, obj->made) : -EFAULT;

	if (err)
		return share_failed(ctx, obj, first, err);
	for (; !err && *i < rows->nr && rows->runs[*i].source == first->source; ++*i)
		err = share_apply_row(ctx, obj, src, rows, i, &addr);
	/* The source's tables were made read-only; no program runs on it, but the kernel may have looked at them. */
	kcall(flush_tlb_mm_range)(src, first->vaddr, addr, PAGE_SHIFT, false);
	kckpt_share_unlock_pair(src, obj->made);
	return err;
}

/* Until the address spaces that take part are there. */
static int share_wait_made(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_share_rows *rows)
{
	int err = kckpt_crew_wait_built(ctx, obj);
	u32 i;

	for (i = 0; i < rows->nr && !err; i++)
		err = kckpt_crew_wait_built(ctx, kckpt_objtab_get(&ctx->objs, rows->runs[i].source));
	return err;
}

int kckpt_share_apply(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct kckpt_share_rows *rows)
{
	u32 i = 0;
	int err = share_wait_made(ctx, obj, rows);

	if (!err && obj->made)
		err = share_link_all(ctx, obj, rows);
	while (!err && obj->made && i < rows->nr)
		err = share_apply_rows(ctx, obj, rows, &i);
	rows->nr = 0;
	return err;
}
