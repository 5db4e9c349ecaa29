/* SPDX-License-Identifier: GPL-2.0 */
/* Attributes of a thread that prctl() sets, and that are nothing else's business. The fields are in the task record. */
#ifndef KCKPT_PRCTL_H
#define KCKPT_PRCTL_H

#include <kckpt/image.h>

struct kckpt_ctx;
struct kckpt_object;
struct task_struct;

void kckpt_prctl_describe(const struct task_struct *task, struct kckpt_task_rec *rec);
int kckpt_prctl_check(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_task_rec *rec);

/* kckpt_prctl_restore() - in the restored thread, with the caller's rights. The parent-death signal comes later. */
int kckpt_prctl_restore(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_task_rec *rec);

#endif
