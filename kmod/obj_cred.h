/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCKPT_OBJ_CRED_H
#define KCKPT_OBJ_CRED_H

#include <linux/types.h>

struct cred;
struct kckpt_ctx;
struct kckpt_object;

/*
 * kckpt_cred_get() - a reference to the credentials of the image, the same for all who had the same, or a reported
 * error. By a task that still has those of the caller of restore.
 */
struct cred *kckpt_cred_get(struct kckpt_ctx *ctx, struct kckpt_object *obj);

/*
 * kckpt_cred_has_ids() - are those of the image the ids that the current thread has? Else giving it them makes its
 * memory undumpable, and what is in proc of it others'.
 */
bool kckpt_cred_has_ids(struct kckpt_ctx *ctx, struct kckpt_object *obj);

/* kckpt_cred_restore() - give the current thread the credentials of the image: the last thing that needs rights. */
int kckpt_cred_restore(struct kckpt_ctx *ctx, struct kckpt_object *obj);

#endif
