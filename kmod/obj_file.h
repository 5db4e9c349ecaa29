/* SPDX-License-Identifier: GPL-2.0 */
/* Restore: signal owners are set at the very end, when nothing that we do can signal them any more. */
#ifndef KCKPT_OBJ_FILE_H
#define KCKPT_OBJ_FILE_H

struct file;
struct kckpt_ctx;

/* kckpt_file_via() - dump: id of the path that a named pipe was opened by, or of what was deleted there; 0: none. */
u64 kckpt_file_via(struct kckpt_ctx *ctx, struct file *file);

/* kckpt_files_keep_owned() - before what was made is released: hold those open files that want an owner. */
void kckpt_files_keep_owned(struct kckpt_ctx *ctx);

/* kckpt_files_own() - afterwards: set it, and let go of them. */
int kckpt_files_own(struct kckpt_ctx *ctx);

#endif
