/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCKPT_OBJ_LOCK_H
#define KCKPT_OBJ_LOCK_H

struct kckpt_ctx;
struct kckpt_object;

/* kckpt_lock_check_shared() - dump: what belongs to the open file of @file must not have a holder outside. */
void kckpt_lock_check_shared(struct kckpt_ctx *ctx, struct kckpt_object *file);

/*
 * kckpt_lock_collect() - the locks of the job that were set by the open file @file, when all files and descriptor
 * tables are known. @inherited: it is not ours to describe; but a lock of ours may be on it.
 */
int kckpt_lock_collect(struct kckpt_ctx *ctx, struct kckpt_object *file, bool inherited);

/*
 * kckpt_lock_finish() - in the context of a restored process whose descriptor table is @files: take its locks again,
 * and those of open files that nobody has taken yet.
 */
int kckpt_lock_finish(struct kckpt_ctx *ctx, struct kckpt_object *files);

#endif
