/* SPDX-License-Identifier: GPL-2.0 */
/* Stops and resumes a cgroup, and knows whose freeze it is. */
#ifndef KCKPT_FREEZE_H
#define KCKPT_FREEZE_H

#include <linux/ktime.h>
#include <linux/mutex.h>

struct cgroup;
struct kckpt_ctx;

struct kckpt_freezer {
	struct mutex lock;
	struct cgroup *cgrp;		/* with a reference; NULL: none */
	bool ours;			/* we froze it, and shall thaw it */
	bool expired;			/* time is over: it is not frozen again */
	struct list_head node;		/* in the list of cgroups that sessions hold */
	ktime_t since;			/* when the freeze was asked for; 0: not frozen by us */
	u64 freeze_ns, pause_ns;
};

void kckpt_freezer_init(struct kckpt_freezer *freezer);

/* kckpt_freezer_hold() - take the cgroup behind a descriptor; one session at a time has it. */
int kckpt_freezer_hold(struct kckpt_ctx *ctx, struct kckpt_freezer *freezer, int fd);

/* kckpt_freezer_drop() - let it go; thaws it if it is ours. */
void kckpt_freezer_drop(struct kckpt_freezer *freezer);

/*
 * kckpt_freezer_freeze() - freeze and wait for the last task, at most @timeout_ms; reports who did not stop. Lists what
 * is frozen in ctx->cgroups.
 */
int kckpt_freezer_freeze(struct kckpt_ctx *ctx, struct kckpt_freezer *freezer, u32 timeout_ms);

/* kckpt_freezer_unlist() - forget ctx->cgroups. */
void kckpt_freezer_unlist(struct kckpt_ctx *ctx);

/* kckpt_freezer_check_empty() - fit to restore into: no tasks, @nr_below cgroups below it, not frozen. */
int kckpt_freezer_check_empty(struct kckpt_ctx *ctx, struct kckpt_freezer *freezer, u32 nr_below);

/* kckpt_freezer_start_restored() - begin to freeze what we restored there; the caller waits. */
int kckpt_freezer_start_restored(struct kckpt_ctx *ctx, struct kckpt_freezer *freezer);

/* kckpt_freezer_thaw() - resume, if the freeze is ours. Any context that may sleep. */
void kckpt_freezer_thaw(struct kckpt_freezer *freezer);

/* kckpt_freezer_expire() - the same, for good. */
void kckpt_freezer_expire(struct kckpt_freezer *freezer);

/* kckpt_freezer_give() - from now on the freeze belongs to the operator. */
void kckpt_freezer_give(struct kckpt_freezer *freezer);

bool kckpt_freezer_is_frozen(const struct kckpt_freezer *freezer);
u64 kckpt_freezer_pause_ns(const struct kckpt_freezer *freezer);

/* kckpt_nap() - between two looks at tasks that take their time, the @i-th: longer each time. */
void kckpt_nap(unsigned int i);

/*
 * kckpt_for_each_cgroup_task() - tasks of the cgroup itself; a reference is held in the loop only.
 * kckpt_for_each_cgroup_process() - their leaders, also those that have ended before their threads.
 */
#define kckpt_for_each_cgroup_task(it, task, cgrp)	kckpt_for_each_cgroup_(it, task, cgrp, 0)
#define kckpt_for_each_cgroup_process(it, task, cgrp)	kckpt_for_each_cgroup_(it, task, cgrp, CSS_TASK_ITER_PROCS)
#define kckpt_for_each_cgroup_(it, task, cgrp, flags)				\
	for (kcall(css_task_iter_start)(&(cgrp)->self, flags, it);		\
	     ((task) = kcall(css_task_iter_next)(it)) || (kcall(css_task_iter_end)(it), 0);)

/* kckpt_hide_eintr() - see eintr.c. @task is frozen. */
void kckpt_hide_eintr(struct task_struct *task);

#endif
