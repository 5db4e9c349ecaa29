/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCKPT_OBJ_GROUP_H
#define KCKPT_OBJ_GROUP_H

#include <linux/pid.h>

struct kckpt_ctx;
struct kckpt_object;
struct kckpt_where;
struct task_struct;

/* kckpt_intern_group() - dump: the group or session (@type) of a process, unless it belongs to the outside. */
int kckpt_intern_group(struct kckpt_ctx *ctx, struct task_struct *leader, enum pid_type type,
		       const struct kckpt_where *where);

/* kckpt_group_of() - dump: id of its object; 0 if it belongs to the outside. */
u64 kckpt_group_of(struct kckpt_ctx *ctx, struct task_struct *leader, enum pid_type type);

/* kckpt_group_take_ids() - restore: take the ids of groups whose leader is gone. */
int kckpt_group_take_ids(struct kckpt_ctx *ctx);

/*
 * kckpt_group_join() - restore: put a created process into the group with object @id; 0: it stays where it was born.
 * All processes exist, none has anything to say.
 */
int kckpt_group_join(struct kckpt_ctx *ctx, struct kckpt_object *process, u64 id, enum pid_type type);

#endif
