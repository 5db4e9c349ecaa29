// SPDX-License-Identifier: GPL-2.0
/*
 * Describes a frozen cgroup: walk its tasks, intern what they are made of, look whether all of it belongs to the job,
 * write the records. Every blocker is reported, not just the first.
 */
#include <linux/cgroup.h>
#include <linux/sched/signal.h>

#include "family.h"
#include "fault.h"
#include "freeze.h"
#include "ksym.h"
#include "obj_cgroup.h"
#include "obj_task.h"
#include "session.h"
#include "shadow.h"
#include "share.h"
#include "snapshot.h"

#define CAPTURE_MAX_TASKS 1000000

/* In kckpt_object.value of a task: had ended when it was captured. */
#define ENDED U64_MAX

int kckpt_capture_task(struct kckpt_ctx *ctx, struct task_struct *task)
{
	struct kckpt_where where = kckpt_where(task, ctx->pidns, -1);
	struct kckpt_object *obj;

	get_task_struct(task);
	obj = kckpt_intern(ctx, KCKPT_F_task, task, &where);
	if (IS_ERR(obj))
		return PTR_ERR(obj);
	obj->value = task->exit_state ? ENDED : 0;
	if (!task->exit_state)
		kckpt_stillness_note(obj, task);
	return ++ctx->nr_tasks > CAPTURE_MAX_TASKS ?
	       kckpt_fail(ctx, NULL, KCKPT_E_NO_MEMORY, -E2BIG, "more than %u tasks", CAPTURE_MAX_TASKS) : 0;
}

/* Those that live; the dead are found by their parents and threads. */
static int capture_tasks(struct kckpt_ctx *ctx)
{
	struct css_task_iter it;
	struct task_struct *task;
	int err = 0;
	u32 i;

	/* The iterator holds no lock while we look at a task; after an error we only let it end. */
	for (i = 0; i < ctx->nr_cgroups; i++)
		kckpt_for_each_cgroup_task(&it, task, ctx->cgroups[i])
			if (!err)
				err = kckpt_capture_task(ctx, task);
	return err;
}

static int capture_collect(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct kckpt_family_ops *ops = kckpt_family(obj->family);

	if (kckpt_family_check(ctx, obj))
		return 0;
	kckpt_progress(ctx);
	return ops->collect ? ops->collect(ctx, obj) : 0;
}

static int capture_closed(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct kckpt_family_ops *ops = kckpt_family(obj->family);

	if (!ops->closed || kckpt_family_lacks(obj->family))
		return 0;
	kckpt_progress(ctx);
	return ops->closed(ctx, obj);
}

static int capture_dump(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct kckpt_family_ops *ops = kckpt_family(obj->family);

	return ops->dump ? ops->dump(ctx, obj) : 0;
}

typedef int capture_verb_t(struct kckpt_ctx *ctx, struct kckpt_object *obj);

/* The list may grow behind us: what is found is visited, too. */
static int capture_each(struct kckpt_ctx *ctx, capture_verb_t *verb)
{
	struct kckpt_object *obj;
	int err;

	kckpt_for_each_object(&ctx->objs, obj) {
		err = verb(ctx, obj);
		if (!err && fatal_signal_pending(current))
			err = kckpt_fail(ctx, NULL, KCKPT_E_INTERRUPTED, 0, "capture");
		if (err)
			return err;
		cond_resched();
	}
	return 0;
}

static int capture_check_inherit(struct kckpt_ctx *ctx)
{
	u32 i;

	for (i = 0; i < ctx->nr_inherit; i++)
		if (!ctx->inherit_files[i])
			kckpt_fail(ctx, NULL, KCKPT_E_INHERIT_UNUSED, 0, "descriptor %d", ctx->inherit[i].fd);
	kckpt_outside_check_used(ctx);
	return 0;
}

static int capture_verify_task(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct task_struct *task = (struct task_struct *)obj->ptr;
	const char *moved;

	if (obj->value == ENDED)
		return pid_alive(task) ? 0 : kckpt_fail(ctx, obj, KCKPT_E_JOB_MOVED, 0, "it was waited for");
	moved = task->flags & PF_EXITING ? "the task is exiting" : kckpt_stillness_broken(obj, task);
	return moved ? kckpt_fail(ctx, obj, KCKPT_E_JOB_MOVED, 0, "%s", moved) : 0;
}

/* Tasks of the job's cgroups that are alive. */
static u32 capture_count(struct kckpt_ctx *ctx)
{
	struct css_task_iter it;
	struct task_struct *task;
	u32 i, nr = 0;

	for (i = 0; i < ctx->nr_cgroups; i++)
		kckpt_for_each_cgroup_task(&it, task, ctx->cgroups[i])
			nr++;
	return nr;
}

int kckpt_capture_verify(struct kckpt_ctx *ctx)
{
	struct kckpt_object *obj;
	u32 nr = 0;
	int err;

	if (!test_bit(CGRP_FROZEN, &ctx->cgrp->flags))
		return kckpt_fail(ctx, NULL, KCKPT_E_JOB_MOVED, 0, "it is not frozen any more");
	kckpt_for_each_object(&ctx->objs, obj) {
		if (obj->family != KCKPT_F_task)
			continue;
		err = capture_verify_task(ctx, obj);
		if (err)
			return err;
		nr += obj->value != ENDED;
	}
	return nr == capture_count(ctx) && ctx->cgrp->nr_descendants + 1 == ctx->nr_cgroups ? 0 :
	       kckpt_fail(ctx, NULL, KCKPT_E_JOB_MOVED, 0, "the cgroup has other tasks or sub-cgroups");
}

int kckpt_capture(struct kckpt_ctx *ctx, struct kckpt_save *save, bool check_only)
{
	int err;

	err = kckpt_cgroup_collect_tree(ctx) ?:
	      capture_tasks(ctx) ?:
	      capture_each(ctx, capture_collect) ?:
	      capture_each(ctx, capture_closed) ?:
	      capture_check_inherit(ctx);
	if (err)
		return err;
	if (ctx->report.total) {
		struct kckpt_error first;

		kckpt_report_get(&ctx->report, 0, &first);
		return first.err;
	}
	if (check_only)
		return kckpt_capture_verify(ctx);
	ctx->share = kckpt_share_begin(ctx);
	if (IS_ERR(ctx->share)) {
		err = PTR_ERR(ctx->share);
		ctx->share = NULL;
		return err;
	}
	return kckpt_snapshot_match(ctx) ?:
	       kckpt_save_begin(ctx) ?:
	       capture_each(ctx, capture_dump) ?:
	       kckpt_save_records_end(ctx, save) ?:
	       (ctx->capture_flags & KCKPT_CAPTURE_KEEP ? kckpt_shadow_make(ctx, &ctx->kept) : 0) ?:
	       kckpt_capture_verify(ctx);
}
