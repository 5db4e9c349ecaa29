/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCKPT_OBJ_CRED_H
#define KCKPT_OBJ_CRED_H

struct cred;
struct kckpt_ctx;
struct kckpt_object;

/* kckpt_cred_prepare() - new credentials as in the image, of nobody yet, or a reported error. */
struct cred *kckpt_cred_prepare(struct kckpt_ctx *ctx, struct kckpt_object *obj);

/* kckpt_cred_restore() - give the current thread the credentials of the image: the last thing that needs rights. */
int kckpt_cred_restore(struct kckpt_ctx *ctx, struct kckpt_object *obj);

#endif
