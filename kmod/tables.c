// SPDX-License-Identifier: GPL-2.0
/*
 * See tables.h.
 *
 * A large area is cut into pieces, of which each CPU takes the next one. No piece shares a page table with another;
 * those above are made under locks of the kernel's, as by page faults of several threads. The caller copies, too, and
 * at the end waits only for pieces that were begun.
 *
 * Locks: the workers use those of the caller, which waits for them. They charge the job, as the caller does; where its
 * memory cgroup is above memory.high, which has_room() of shadow.c is to prevent, they are slowed down for it.
 */
#include <linux/atomic.h>
#include <linux/cpumask.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/workqueue.h>

#include "compat/mm.h"
#include "compat/task.h"
#include "fault.h"
#include "ksym.h"
#include "share.h"
#include "stream.h"
#include "tables.h"

#define PIECE		(32UL << 20)	/* bytes: some 16 tables, a fraction of a millisecond */
#define MAX_HELPERS	15U		/* beside the caller: memory is what they wait for then */

struct helper {
	struct work_struct work;
	struct tables *tables;
	struct vm_area_struct parts[2];
};

struct tables {
	struct vm_area_struct *dst, *src;
	struct mem_cgroup *memcg;	/* that pays for the tables */
	const struct kckpt_tables_how *how;
	unsigned long piece;		/* bytes */
	atomic_long_t next;		/* address that nobody has taken */
	int err;			/* the first one: the others stop */
	struct helper helpers[];	/* the last one is the caller */
};

static void tables_fail(struct tables *tables, int err)
{
	cmpxchg(&tables->err, 0, err);
}

static void tables_copy_pieces(struct tables *tables, struct vm_area_struct *parts)
{
	struct vm_area_struct *src = tables->src;
	unsigned long start, end;
	int err = 0;

	while (!err && !READ_ONCE(tables->err)) {
		err = READ_ONCE(*tables->how->stop);
		if (err)
			break;
		start = atomic_long_fetch_add(tables->piece, &tables->next);
		if (start >= src->vm_end)
			return;
		end = min(start + tables->piece, src->vm_end);
		err = fatal_signal_pending(current) ? -EINTR :
		      kckpt_share_part(parts, tables->dst, src, max(start, src->vm_start), end);
		cond_resched();
	}
	if (err)
		tables_fail(tables, err);
}

static void helper_work(struct work_struct *work)
{
	struct helper *helper = container_of(work, struct helper, work);
	struct tables *tables = helper->tables;
	struct mem_cgroup *others = set_active_memcg(tables->memcg);

	tables_copy_pieces(tables, helper->parts);
	set_active_memcg(others);
}

/*
 * The kernel's copy makes this odd for as long as it takes, for lookups without a lock that run beside it
 * (57efa1fe5957, "mm/gup: prevent gup_fast from racing with COW during fork"): of these there are none, as only tasks
 * that have the address space make them, and those cannot run. Copies side by side may lose a count, and an odd one
 * that stays would make all later lookups slow.
 */
static void settle_sequence(struct mm_struct *mm, unsigned int before)
{
	smp_wmb();	/* as at the end of each */
	WRITE_ONCE(mm->write_protect_seq.sequence, before + 2);
}

static void tables_run(struct tables *tables, u32 nr_helpers)
{
	struct mm_struct *mm = tables->src->vm_mm;
	unsigned int before = READ_ONCE(mm->write_protect_seq.sequence);
	u32 i;

	for (i = 0; i < nr_helpers; i++) {
		tables->helpers[i].tables = tables;
		INIT_WORK(&tables->helpers[i].work, helper_work);
		queue_work(kckpt_workers, &tables->helpers[i].work);
	}
	tables_copy_pieces(tables, tables->helpers[i].parts);
	if (!nr_helpers)
		return;
	while (i--)
		cancel_work_sync(&tables->helpers[i].work);
	settle_sequence(mm, before);
}

/* As for little memory, in tests. */
static unsigned long piece_size(void)
{
	return kckpt_checks_unchanged() ? PMD_SIZE : PIECE;
}

bool kckpt_tables_are_many(struct mm_struct *mm)
{
	return get_mm_counter(mm, MM_ANONPAGES) >= 2 * piece_size() >> PAGE_SHIFT;
}

/*
 * None if the kernel checks itself: whether that count is odd (DEBUG_VM), and whether who copies has the locks
 * (LOCKDEP). Nor for who is not to wait for others of less priority.
 */
static u32 tables_helpers(unsigned long pieces, const struct kckpt_tables_how *how)
{
	if (!how->together || kckpt_is_realtime(current) || IS_ENABLED(CONFIG_DEBUG_VM) || IS_ENABLED(CONFIG_LOCKDEP))
		return 0;
	return min3(num_online_cpus() - 1, MAX_HELPERS, (unsigned int)min(pieces / 2, 1UL << 16));
}

int kckpt_tables_copy(struct vm_area_struct *dst, struct vm_area_struct *src, const struct kckpt_tables_how *how)
{
	unsigned long piece = piece_size(), pieces = (src->vm_end - src->vm_start) / piece;
	u32 nr_helpers = tables_helpers(pieces, how);
	struct tables *tables = NULL;
	int err;

	if (pieces > 1)
		tables = kckpt_alloc(struct_size(tables, helpers, nr_helpers + 1));
	if (!tables)
		return kcall(copy_page_range)(dst, src);
	/* So that nobody else has to. */
	kckpt_vma_start_write(src);
	kckpt_vma_start_write(dst);
	tables->dst = dst;
	tables->src = src;
	tables->how = how;
	tables->piece = piece;
	tables->memcg = get_mem_cgroup_from_mm(src->vm_mm);
	atomic_long_set(&tables->next, round_down(src->vm_start, piece));
	tables_run(tables, nr_helpers);
	mem_cgroup_put(tables->memcg);
	err = tables->err;
	kvfree(tables);
	return err;
}
