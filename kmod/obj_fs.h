/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCKPT_OBJ_FS_H
#define KCKPT_OBJ_FS_H

struct kckpt_ctx;
struct kckpt_object;
struct kckpt_where;
struct task_struct;

/* kckpt_intern_fs() - the working directory and umask of @task; interned once per task. */
struct kckpt_object *kckpt_intern_fs(struct kckpt_ctx *ctx, struct task_struct *task, const struct kckpt_where *where);

/* kckpt_fs_adopt() - the current, restored task shares what another one has made, unless it does already. */
void kckpt_fs_adopt(struct kckpt_object *obj);

#endif
