/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What it costs a job that its memory is kept while it runs on (shadow.h): it makes a copy of what it writes to, which
 * takes time and room. When that is too much, what is kept goes.
 */
#ifndef KCKPT_COW_H
#define KCKPT_COW_H

#include <linux/mutex.h>
#include <linux/xarray.h>

struct cgroup;
struct kckpt_ctx;
struct mem_cgroup;

struct kckpt_cow {
	struct mutex lock;		/* all that follows, but for max */
	struct cgroup *cgrp;		/* of the job, with a reference; NULL: nothing is kept, or it stands still */
	struct mem_cgroup **memcgs;	/* those of the processes when the job went on, with references */
	u32 nr_memcgs;
	u64 max;			/* bytes of copies; 0: no bound */
	u64 copies;			/* pages, as counted until now; read without the lock */
	u64 since;			/* ns of CLOCK_MONOTONIC: when the job went on */
	struct xarray faults;		/* of each process at the last look, by its id */
	unsigned long next;		/* look, in jiffies */
	int err;			/* what the last look has found */
};

void kckpt_cow_init(struct kckpt_cow *cow);

/* kckpt_cow_begin() - the job, still frozen, is about to run on. 0, or after a report a negative errno. */
int kckpt_cow_begin(struct kckpt_ctx *ctx, struct kckpt_cow *cow, struct cgroup *cgrp);

/*
 * kckpt_cow_check() - may what is kept stay? Looks a few times a second, however often and by whomever it is called,
 * with or without session.lock. 0, or after a report (KEPT_DROPPED) a negative errno, then and ever after.
 */
int kckpt_cow_check(struct kckpt_ctx *ctx, struct kckpt_cow *cow);

/* kckpt_cow_end() - nothing is kept any more, or needed. As kckpt_cow_check(), but does not look. */
int kckpt_cow_end(struct kckpt_cow *cow);

#endif
