/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a thread asks of the schedulers: policy and priority, nice value, the CPUs that it is bound to, I/O priority.
 * The fields are in the task record.
 */
#ifndef KCKPT_SCHED_H
#define KCKPT_SCHED_H

#include <kckpt/image.h>

struct kckpt_ctx;
struct kckpt_object;
struct task_struct;

/* kckpt_sched_refused() - what of it cannot be saved, or NULL; with the scheduler's lock on the task. */
const char *kckpt_sched_refused(const struct task_struct *task);

/* kckpt_sched_describe() - fills in the fields of @rec; kckpt_sched_put() writes the records besides. */
void kckpt_sched_describe(struct task_struct *task, struct kckpt_task_rec *rec);
int kckpt_sched_put(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct task_struct *task);

/* kckpt_sched_check() - are the records sane, can this machine do that, and may the caller? */
int kckpt_sched_check(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_task_rec *rec);

/* kckpt_sched_restore() - in the restored thread, with the caller's rights. */
int kckpt_sched_restore(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_task_rec *rec);

#endif
