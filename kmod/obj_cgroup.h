/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCKPT_OBJ_CGROUP_H
#define KCKPT_OBJ_CGROUP_H

#include <linux/types.h>

struct kckpt_ctx;
struct kckpt_recbuf;
struct task_struct;

/* kckpt_cgroup_collect_tree() - dump: intern the cgroup of the job and all below it, parents first. */
int kckpt_cgroup_collect_tree(struct kckpt_ctx *ctx);

/* kckpt_cgroup_of() - dump: id of the cgroup that @task is in; 0 if that is none of the job's. */
u64 kckpt_cgroup_of(struct kckpt_ctx *ctx, struct task_struct *task);

/* kckpt_cgroup_list() - restore: the paths of the sub-cgroups that the image wants, each with its NUL. */
int kckpt_cgroup_list(struct kckpt_ctx *ctx, struct kckpt_recbuf *paths, u32 *nr);

/* kckpt_cgroup_open_tree() - restore: find them below ctx->cgroup_path. */
int kckpt_cgroup_open_tree(struct kckpt_ctx *ctx);

#endif
