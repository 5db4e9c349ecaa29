/* SPDX-License-Identifier: GPL-2.0 */
/* Who gets a signal when something can be done with an open file: F_SETOWN, F_SETSIG, O_ASYNC. */
#ifndef KCKPT_FOWNER_H
#define KCKPT_FOWNER_H

#include <linux/types.h>

struct file;
struct kckpt_ctx;
struct kckpt_file_rec;
struct kckpt_object;

/* kckpt_fowner_unsupported() - what cannot be saved of it, or NULL; for `closed`, when all tasks are known. */
const char *kckpt_fowner_unsupported(struct kckpt_ctx *ctx, struct file *file);

/* kckpt_fowner_dump() - fills the fields of @rec. */
void kckpt_fowner_dump(struct kckpt_ctx *ctx, struct file *file, struct kckpt_file_rec *rec);

/* kckpt_fowner_needed() - is there anything to be set? */
bool kckpt_fowner_needed(const struct kckpt_file_rec *rec);

int kckpt_fowner_check(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_file_rec *rec);

/* kckpt_fowner_set() - for the open file @file of @obj, when all tasks are there and what made it signals no more. */
int kckpt_fowner_set(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct file *file,
		     const struct kckpt_file_rec *rec);

/* kckpt_fowner_clear() - that has none: take away the one that it got meanwhile. */
void kckpt_fowner_clear(struct file *file, const struct kckpt_file_rec *rec);

#endif
