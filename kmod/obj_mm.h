/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCKPT_OBJ_MM_H
#define KCKPT_OBJ_MM_H

struct kckpt_ctx;
struct kckpt_object;
struct kckpt_where;
struct task_struct;

/* kckpt_intern_mm() - the address space of @task; interned once per task. */
struct kckpt_object *kckpt_intern_mm(struct kckpt_ctx *ctx, struct task_struct *task, const struct kckpt_where *where);

/* kckpt_mm_finish() - in the restored leader, pages are in place: advice, locks, attributes. */
int kckpt_mm_finish(struct kckpt_ctx *ctx, struct kckpt_object *obj);

/* kckpt_mm_seal() - when all threads are finished: what a change of credentials resets. */
void kckpt_mm_seal(struct kckpt_ctx *ctx);

#endif
