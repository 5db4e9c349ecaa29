/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What it costs a job that its memory is kept while it runs on (shadow.h): it makes a copy of what it writes to, which
 * takes time and room. When that is too much, what is kept goes.
 */
#ifndef KCKPT_COW_H
#define KCKPT_COW_H

#include <linux/types.h>

struct cgroup;
struct kckpt_ctx;

/* Under session.lock. */
struct kckpt_cow {
	struct cgroup *cgrp;	/* of the job, with a reference; NULL: nothing is kept, or the job stands still */
	u64 max;		/* bytes of copies; 0: no bound */
	u64 faults;		/* of all tasks, at the last look */
	u64 copies;		/* pages; at most so many were made */
	unsigned long next;	/* look, in jiffies */
};

/* kckpt_cow_begin() - the job is about to run on. */
void kckpt_cow_begin(struct kckpt_cow *cow, struct cgroup *cgrp);

/*
 * kckpt_cow_check() - may what is kept stay? Looks a few times a second, however often it is called. 0, or after a
 * report (KEPT_DROPPED) a negative errno.
 */
int kckpt_cow_check(struct kckpt_ctx *ctx, struct kckpt_cow *cow);

/* kckpt_cow_end() - nothing is kept any more. cow->copies stays. */
void kckpt_cow_end(struct kckpt_cow *cow);

#endif
