/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCKPT_OBJ_FILES_H
#define KCKPT_OBJ_FILES_H

struct kckpt_ctx;
struct kckpt_object;

struct kckpt_where;
struct task_struct;

/* kckpt_intern_files() - the descriptor table of @task; interned once per task. */
struct kckpt_object *kckpt_intern_files(struct kckpt_ctx *ctx, struct task_struct *task,
					const struct kckpt_where *where);

/* kckpt_files_adopt() - the current, restored task shares the table that another one has made. */
void kckpt_files_adopt(struct kckpt_object *obj);

/*
 * kckpt_files_disown() - the current, new process gets an empty descriptor table in place of the caller's. Must be its
 * first act: as long as it has the caller's, it holds the session.
 */
int kckpt_files_disown(struct kckpt_ctx *ctx, struct kckpt_object *process);

/* kckpt_files_mark() - restore: `seen` of each open file that is in the table @files becomes the id of the table. */
int kckpt_files_mark(struct kckpt_ctx *ctx, struct kckpt_object *files);

/* kckpt_files_take() - the file behind a descriptor of ours that a system call has just made, without the number. */
struct file *kckpt_files_take(int fd);

#endif
