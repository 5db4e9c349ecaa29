/* SPDX-License-Identifier: GPL-2.0 */
/* What a path leads to, for families whose files have one, too. */
#ifndef KCKPT_OBJ_PATH_H
#define KCKPT_OBJ_PATH_H

#include <linux/path.h>

struct file;
struct kckpt_ctx;
struct kckpt_object;

/* kckpt_path_find() - restore: where the path of @obj leads now, referenced; if nowhere, its check tells. */
int kckpt_path_find(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct path *path);

/* kckpt_path_open() - restore: opens what the path of @obj leads to, if it is what it was; @use: KCKPT_FILE_*. */
struct file *kckpt_path_open(struct kckpt_ctx *ctx, struct kckpt_object *obj, u32 open_flags, u32 use);

#endif
