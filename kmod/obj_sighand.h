/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCKPT_OBJ_SIGHAND_H
#define KCKPT_OBJ_SIGHAND_H

struct kckpt_ctx;
struct kckpt_object;
struct kckpt_where;
struct task_struct;

/* kckpt_intern_sighand() - the handlers of @task; interned once per task. */
struct kckpt_object *kckpt_intern_sighand(struct kckpt_ctx *ctx, struct task_struct *task,
					  const struct kckpt_where *where);

/* kckpt_sighand_reset() - the current process, @process, forgets the handlers of the caller. */
int kckpt_sighand_reset(struct kckpt_ctx *ctx, struct kckpt_object *process);

#endif
