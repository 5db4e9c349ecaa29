// SPDX-License-Identifier: GPL-2.0
/*
 * See cow.h.
 *
 * The kernel does not count copies. Each of them takes a page fault of a task of the job, and those are counted: so
 * there are no more copies than faults. Only what the kernel itself writes for others (ptrace, /proc/PID/mem, vhost) is
 * missed, and faults of a process between the last look and its end, whose copies go with it.
 *
 * Locks: css_set_lock of the kernel, inside session.lock.
 */
#include <linux/cgroup.h>
#include <linux/sched/signal.h>

#include "cow.h"
#include "family.h"
#include "fault.h"
#include "freeze.h"
#include "ksym.h"
#include "shadow.h"

#define LOOK_AGAIN	(HZ / 20)
#define LOOK_SHARE	20		/* what takes long is done less often: this part of the time at most */

/* Those of threads that have ended are with their process. */
static u64 task_faults(struct task_struct *task)
{
	const struct signal_struct *signal = task->signal;
	u64 nr = READ_ONCE(task->min_flt) + READ_ONCE(task->maj_flt);

	return thread_group_leader(task) ? nr + READ_ONCE(signal->min_flt) + READ_ONCE(signal->maj_flt) : nr;
}

static u64 cgroup_faults(struct cgroup *top)
{
	struct cgroup_subsys_state *css;
	struct css_task_iter it;
	struct task_struct *task;
	u64 nr = 0;

	rcu_read_lock();
	css_for_each_descendant_pre(css, &top->self)
		kckpt_for_each_cgroup_task(&it, task, css->cgroup)
			nr += task_faults(task);
	rcu_read_unlock();
	return nr;
}

/* A process that has ended takes what it has counted with it. */
static void cow_count(struct kckpt_cow *cow)
{
	u64 faults = cgroup_faults(cow->cgrp);

	if (faults > cow->faults)
		cow->copies += faults - cow->faults;
	cow->faults = faults;
}

void kckpt_cow_begin(struct kckpt_cow *cow, struct cgroup *cgrp)
{
	cgroup_get(cgrp);
	cow->faults = cgroup_faults(cgrp);
	cow->copies = 0;
	cow->next = jiffies;
	WRITE_ONCE(cow->cgrp, cgrp);
}

int kckpt_cow_check(struct kckpt_ctx *ctx, struct kckpt_cow *cow)
{
	unsigned long start = jiffies;
	bool room;

	if (!cow->cgrp || time_before(start, cow->next))
		return 0;
	cow_count(cow);
	room = !kckpt_should_fail() && kckpt_shadow_has_room(ctx);
	cow->next = jiffies + LOOK_AGAIN + LOOK_SHARE * (jiffies - start);
	if (cow->max && cow->copies > cow->max / PAGE_SIZE)
		return kckpt_fail(ctx, NULL, KCKPT_E_KEPT_DROPPED, 0, "%llu page faults, of %llu that are allowed",
				  cow->copies, cow->max / PAGE_SIZE);
	return room ? 0 : kckpt_fail(ctx, NULL, KCKPT_E_KEPT_DROPPED, 0,
				     "its cgroup or the machine is short of memory");
}

void kckpt_cow_end(struct kckpt_cow *cow)
{
	struct cgroup *cgrp = cow->cgrp;

	if (!cgrp)
		return;
	cow_count(cow);
	WRITE_ONCE(cow->cgrp, NULL);
	cgroup_put(cgrp);
}
