// SPDX-License-Identifier: GPL-2.0
/*
 * See cow.h.
 *
 * The kernel does not count copies. Each of them takes a page fault of a process of the job, and those are counted, so
 * there are hardly more copies than that. Missed are what the kernel itself writes for others (ptrace, /proc/PID/mem,
 * vhost), and faults of a process between the last look and its end, whose copies go with it.
 *
 * Locks: cow.lock inside session.lock, or alone; in it css_set_lock and stats_lock of the kernel.
 */
#include <linux/cgroup.h>
#include <linux/memcontrol.h>
#include <linux/sched/signal.h>

#include "cow.h"
#include "family.h"
#include "fault.h"
#include "freeze.h"
#include "ksym.h"
#include "shadow.h"

#define LOOK_AGAIN	(HZ / 20)
#define LOOK_AT_LEAST	(HZ / 4)
#define LOOK_SHARE	20		/* what takes long is done less often: this part of the time, if possible */

void kckpt_cow_init(struct kckpt_cow *cow)
{
	mutex_init(&cow->lock);
	xa_init(&cow->faults);
}

/* ---- copies ---- */

/* Of all its threads, also of those that have ended. */
static u64 process_faults(struct task_struct *leader)
{
	struct signal_struct *signal = leader->signal;
	struct task_struct *task;
	unsigned int seq;
	u64 nr;

	do {
		seq = read_seqbegin(&signal->stats_lock);
		nr = signal->min_flt + signal->maj_flt;
		for_each_thread(leader, task)
			nr += READ_ONCE(task->min_flt) + READ_ONCE(task->maj_flt);
	} while (read_seqretry(&signal->stats_lock, seq));
	return nr;
}

/* One that we have not met may be a new one, or have been moved here with all that it has counted. */
static void cow_count_process(struct kckpt_cow *cow, struct task_struct *leader)
{
	u64 now = process_faults(leader) & LONG_MAX, before;
	void *last = xa_load(&cow->faults, task_tgid_nr(leader));

	before = last ? xa_to_value(last) : leader->start_time > cow->since ? 0 : now;
	if (now < before)	/* another one has its id */
		before = 0;
	/* What cannot be remembered is counted at a later look. */
	if (!xa_err(xa_store(&cow->faults, task_tgid_nr(leader), xa_mk_value(now), GFP_NOWAIT | __GFP_NOWARN)))
		cow->copies += now - before;
}

static void cow_count(struct kckpt_cow *cow)
{
	struct cgroup_subsys_state *css;
	struct css_task_iter it;
	struct task_struct *leader;

	rcu_read_lock();
	css_for_each_descendant_pre(css, &cow->cgrp->self)
		kckpt_for_each_cgroup_process(&it, leader, css->cgroup)
			cow_count_process(cow, leader);
	rcu_read_unlock();
}

/* ---- room ---- */

static void cow_put_memcgs(struct kckpt_cow *cow)
{
	while (cow->nr_memcgs)
		mem_cgroup_put(cow->memcgs[--cow->nr_memcgs]);
	kvfree(cow->memcgs);
	cow->memcgs = NULL;
}

static bool cow_has_memcg(const struct kckpt_cow *cow, const struct mem_cgroup *memcg)
{
	u32 i;

	for (i = cow->nr_memcgs; i; i--)
		if (cow->memcgs[i - 1] == memcg)
			return true;
	return false;
}

/* Now: a process that executes another program, or ends, does not lead there any more. */
static int cow_get_memcgs(struct kckpt_ctx *ctx, struct kckpt_cow *cow)
{
	struct kckpt_object *obj;
	struct mem_cgroup *memcg;
	u32 nr = 0;

	kckpt_for_each_object(&ctx->objs, obj)
		nr += obj->shadow && obj->shadow->mm;
	cow->memcgs = kckpt_alloc(max(nr, 1U) * sizeof(*cow->memcgs));
	if (!cow->memcgs)
		return kckpt_fail(ctx, NULL, KCKPT_E_NO_MEMORY, 0, "memory cgroups");
	kckpt_for_each_object(&ctx->objs, obj) {
		memcg = obj->shadow && obj->shadow->mm ? get_mem_cgroup_from_mm(obj->shadow->of) : NULL;
		if (memcg && !cow_has_memcg(cow, memcg))
			cow->memcgs[cow->nr_memcgs++] = memcg;
		else
			mem_cgroup_put(memcg);
	}
	return 0;
}

static bool cow_has_room(const struct kckpt_cow *cow)
{
	u32 i;

	for (i = 0; i < cow->nr_memcgs; i++) {
		if (kckpt_shadow_fills(cow->memcgs[i]))
			return false;
		cond_resched();
	}
	return kckpt_shadow_machine_has_room();
}

/* ---- looks ---- */

int kckpt_cow_begin(struct kckpt_ctx *ctx, struct kckpt_cow *cow, struct cgroup *cgrp)
{
	int err;

	mutex_lock(&cow->lock);
	cow->copies = cow->err = 0;
	cow->since = ktime_get_ns();
	err = cow_get_memcgs(ctx, cow);
	if (!err) {
		cgroup_get(cgrp);
		WRITE_ONCE(cow->cgrp, cgrp);
		cow_count(cow);
		cow->next = jiffies;
	}
	mutex_unlock(&cow->lock);
	return err;
}

static int cow_look(struct kckpt_ctx *ctx, struct kckpt_cow *cow)
{
	unsigned long start = jiffies;
	bool room;

	cow_count(cow);
	room = !kckpt_should_fail() && cow_has_room(cow);
	cow->next = jiffies + clamp_t(unsigned long, LOOK_SHARE * (jiffies - start), LOOK_AGAIN, LOOK_AT_LEAST);
	if (cow->max && cow->copies > cow->max / PAGE_SIZE)
		return kckpt_fail(ctx, NULL, KCKPT_E_KEPT_DROPPED, 0, "%llu page faults, of %llu that are allowed",
				  cow->copies, cow->max / PAGE_SIZE);
	return room ? 0 : kckpt_fail(ctx, NULL, KCKPT_E_KEPT_DROPPED, 0,
				     "its cgroup or the machine is short of memory");
}

int kckpt_cow_check(struct kckpt_ctx *ctx, struct kckpt_cow *cow)
{
	int err;

	if (!READ_ONCE(cow->cgrp))
		return 0;
	mutex_lock(&cow->lock);
	if (cow->cgrp && !cow->err && !time_before(jiffies, cow->next))
		cow->err = cow_look(ctx, cow);
	err = cow->cgrp ? cow->err : 0;
	mutex_unlock(&cow->lock);
	return err;
}

int kckpt_cow_end(struct kckpt_cow *cow)
{
	struct cgroup *cgrp;
	int err;

	mutex_lock(&cow->lock);
	cgrp = cow->cgrp;
	err = cow->err;
	if (cgrp)
		cow_count(cow);
	WRITE_ONCE(cow->cgrp, NULL);
	cow_put_memcgs(cow);
	xa_destroy(&cow->faults);
	mutex_unlock(&cow->lock);
	if (cgrp)
		cgroup_put(cgrp);
	return err;
}
