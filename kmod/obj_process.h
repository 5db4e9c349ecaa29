/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Processes and their tree. A restore plans who creates whom, so that parents, siblings and what is shared at birth
 * come out as they were; then each thread goes through begin, build and finish, in its own context.
 */
#ifndef KCKPT_OBJ_PROCESS_H
#define KCKPT_OBJ_PROCESS_H

#include <linux/types.h>

#include "objtab.h"

struct kckpt_ctx;
struct kckpt_process_rec;
struct kckpt_thread;
struct task_struct;

/* kckpt_intern_process() - the process that @task belongs to; interned once per thread. */
struct kckpt_object *kckpt_intern_process(struct kckpt_ctx *ctx, struct task_struct *task);

/*
 * kckpt_process_rec() - restore: its record, which was checked. kckpt_process_rec_keep() - who needs it before that
 * has it read, by kckpt_rec_keep().
 */
static inline const struct kckpt_process_rec *kckpt_process_rec(const struct kckpt_object *process)
{
	return process->fields;
}
int kckpt_process_rec_keep(struct kckpt_ctx *ctx, struct kckpt_object *obj);

/* kckpt_process_of() - restore: the process object of a thread. */
struct kckpt_object *kckpt_process_of(struct kckpt_ctx *ctx, struct kckpt_object *task);

/* kckpt_process_leader() - restore: the task object of the leader. */
struct kckpt_object *kckpt_process_leader(struct kckpt_ctx *ctx, struct kckpt_object *process);

/*
 * kckpt_process_plan() - all records are checked: make the lists of ctx->roots, of the threads of each process, and of
 * the processes that each thread creates; kckpt_object.first, next and creator.
 */
int kckpt_process_plan(struct kckpt_ctx *ctx);

/* kckpt_process_clone_flags() - CLONE_VM and the like, by the plan. */
u64 kckpt_process_clone_flags(const struct kckpt_object *process);

/* kckpt_thread_begin() - in every new thread: what children inherit, and the tasks that it creates. */
int kckpt_thread_begin(struct kckpt_ctx *ctx, struct kckpt_thread *thread);

/* kckpt_process_link() - in the caller, all tasks exist: sessions and groups. */
int kckpt_process_link(struct kckpt_ctx *ctx);

/* kckpt_thread_build() - in every thread: all that does not need the pages; kckpt_thread_builds() - is there any? */
bool kckpt_thread_builds(struct kckpt_ctx *ctx, const struct kckpt_thread *thread);
int kckpt_thread_build(struct kckpt_ctx *ctx, struct kckpt_thread *thread);

/*
 * kckpt_thread_finish() - in every thread, when the pages are in; the leader does the process' part, too.
 * kckpt_thread_stands_alone() - may it do so as soon as it has begun?
 */
bool kckpt_thread_stands_alone(struct kckpt_ctx *ctx, const struct kckpt_thread *thread);
int kckpt_thread_finish(struct kckpt_ctx *ctx, struct kckpt_thread *thread);

/* kckpt_thread_stop_signal() - the signal that a thread shall be stopped by; 0: it runs. */
u32 kckpt_thread_stop_signal(struct kckpt_object *task);

/* kckpt_thread_exit_code() - shall it end at once, and with what? */
bool kckpt_thread_exit_code(struct kckpt_object *task, u32 *code);

/* kckpt_process_seal() - when all threads are finished: limits, which their finishing must not run into. */
int kckpt_process_seal(struct kckpt_ctx *ctx);

/* kckpt_process_ended() - restore: is it a zombie? */
bool kckpt_process_ended(struct kckpt_object *obj);

/* kckpt_process_set_exit_signal() - what its parent is told when it ends; until now nothing, since zombies are made. */
void kckpt_process_set_exit_signal(struct kckpt_ctx *ctx, struct kckpt_object *obj);

#endif
