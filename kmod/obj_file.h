/* SPDX-License-Identifier: GPL-2.0 */
/* Restore: signal owners are set at the very end, when nothing that we do can signal them any more. */
#ifndef KCKPT_OBJ_FILE_H
#define KCKPT_OBJ_FILE_H

struct kckpt_ctx;

/* kckpt_files_keep_owned() - before what was made is released: hold those open files that want an owner. */
void kckpt_files_keep_owned(struct kckpt_ctx *ctx);

/* kckpt_files_own() - afterwards: set it, and let go of them. */
int kckpt_files_own(struct kckpt_ctx *ctx);

#endif
