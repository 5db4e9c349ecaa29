/* SPDX-License-Identifier: GPL-2.0 */
/* Restore: leases are taken at the very end, when nothing but what the job itself has open can stand in their way. */
#ifndef KCKPT_OBJ_LEASE_H
#define KCKPT_OBJ_LEASE_H

#include <linux/types.h>

struct inode;
struct kckpt_ctx;
struct kckpt_object;

/* kckpt_lease_collect() - dump: the lease of the open file @file, if it has one, when all files are known. */
int kckpt_lease_collect(struct kckpt_ctx *ctx, struct kckpt_object *file);

/* kckpt_lease_hinders() - dump: would opening @obj, the file @inode, for reading break a lease? That is reported. */
bool kckpt_lease_hinders(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct inode *inode);

/* kckpt_leases_keep() - before what was made is released: hold the open files that want a lease. */
void kckpt_leases_keep(struct kckpt_ctx *ctx);

/*
 * kckpt_leases_take() - afterwards, when owners of signals are set: take the leases, and let go of the files. @err: of
 * what came before; then none is taken. Returns it, or an error of its own.
 */
int kckpt_leases_take(struct kckpt_ctx *ctx, int err);

#endif
