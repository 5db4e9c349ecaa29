/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCKPT_OBJ_PROCESS_H
#define KCKPT_OBJ_PROCESS_H

struct kckpt_ctx;
struct kckpt_object;
struct kckpt_thread;
struct task_struct;

/* kckpt_intern_process() - the process that @task belongs to; interned once per thread. */
struct kckpt_object *kckpt_intern_process(struct kckpt_ctx *ctx, struct task_struct *task);

/* kckpt_process_leader() - restore: the task object of the leader. */
struct kckpt_object *kckpt_process_leader(struct kckpt_ctx *ctx, struct kckpt_object *process);

/* kckpt_process_build() - in the new leader: all that does not need the pages, and the other threads. */
int kckpt_process_build(struct kckpt_ctx *ctx, struct kckpt_thread *leader);

/* kckpt_thread_finish() - in every thread, when the pages are in; the leader does the process' part, too. */
int kckpt_thread_finish(struct kckpt_ctx *ctx, struct kckpt_thread *thread);

/* kckpt_process_seal() - when all threads are finished: limits, which their finishing must not run into. */
int kckpt_process_seal(struct kckpt_ctx *ctx, struct task_struct *root);

#endif
