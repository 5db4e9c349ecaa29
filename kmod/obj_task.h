/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCKPT_OBJ_TASK_H
#define KCKPT_OBJ_TASK_H

#include <linux/sched.h>
#include <linux/signal_types.h>

#include "objtab.h"

struct kckpt_ctx;
struct kckpt_task_rec;
struct kckpt_thread;

/* kckpt_task_rec() - restore: its record, which was checked. */
static inline const struct kckpt_task_rec *kckpt_task_rec(const struct kckpt_object *task)
{
	return task->fields;
}

/*
 * kckpt_task_disown() - a new task lets go of what it inherited from the caller's memory.
 * kckpt_task_disown_end() - its end is told to nobody who shares memory with it. Any context.
 */
void kckpt_task_disown(struct task_struct *task);
void kckpt_task_disown_end(struct task_struct *task);

/*
 * kckpt_task_ends_quietly() - would the end of @task, which is frozen, write to memory only where its id is to be
 * cleared? Not if it holds locks that tell of its end. May sleep.
 * kckpt_task_quiet_end() - then it will not write there, either; returns where that is, for kckpt_task_usual_end().
 */
bool kckpt_task_ends_quietly(struct task_struct *task);
int __user *kckpt_task_quiet_end(struct task_struct *task);
void kckpt_task_usual_end(struct task_struct *task, int __user *clear_child_tid);

/* kckpt_task_clone_flags() - restore: what a thread shares with its leader from birth on. */
u64 kckpt_task_clone_flags(struct kckpt_object *leader, struct kckpt_object *task);

/* kckpt_task_plan() - restore: claim what nobody has claimed before; see kckpt_process_plan(). */
void kckpt_task_plan(struct kckpt_ctx *ctx, struct kckpt_object *obj);

/* kckpt_task_pid() - restore: its pid, with a reference; NULL: it is gone. */
struct pid *kckpt_task_pid(struct kckpt_ctx *ctx, u64 id);

/*
 * kckpt_task_build() - in the restored thread: the descriptor table and directory, if they are its to make;
 * kckpt_task_builds() - are they?
 */
bool kckpt_task_builds(struct kckpt_ctx *ctx, struct kckpt_object *obj);
int kckpt_task_build(struct kckpt_ctx *ctx, struct kckpt_object *obj);

/* kckpt_task_check_pid() - restore: reports if somebody has that number. */
int kckpt_task_check_pid(struct kckpt_ctx *ctx, struct kckpt_object *obj, u32 tid);

/*
 * kckpt_task_finish() - in the restored thread: all but the registers, which go to @thread, and what kckpt_task_go()
 * does. When all have built, unless it stands alone.
 * kckpt_task_stands_alone() - does it need nothing of what others build, having been born with it?
 */
int kckpt_task_finish(struct kckpt_ctx *ctx, struct kckpt_thread *thread);
bool kckpt_task_stands_alone(struct kckpt_ctx *ctx, struct kckpt_object *leader, struct kckpt_object *task);

/*
 * kckpt_task_go() - in the restored thread, on its way to user mode: what the kernel would act on by itself if the
 * thread were killed before, or got a signal, and what depends on when that is.
 */
void kckpt_task_go(struct kckpt_ctx *ctx, const struct kckpt_thread *thread);

/*
 * kckpt_put_pending() - write a record of kind @kind for every signal in @pending of @task. The sighand lock is taken
 * and dropped.
 */
int kckpt_put_pending(struct kckpt_ctx *ctx, const struct kckpt_object *obj, u16 kind, struct task_struct *task,
		      struct sigpending *pending);

/*
 * kckpt_stillness_note(), kckpt_stillness_broken() - has @task run since, or has a signal come from outside? Which of
 * them, or NULL.
 */
void kckpt_stillness_note(struct kckpt_object *obj, struct task_struct *task);
const char *kckpt_stillness_broken(const struct kckpt_object *obj, struct task_struct *task);

/* kckpt_queue_pending() - queue the signals of such records again, for the current thread or its process. */
int kckpt_queue_pending(struct kckpt_ctx *ctx, const struct kckpt_object *obj, u16 kind, enum pid_type type);

/* kckpt_has_pending() - are there any such records? */
bool kckpt_has_pending(const struct kckpt_object *obj, u16 kind);

/* kckpt_check_pending() - are the records of that kind well-formed? */
int kckpt_check_pending(struct kckpt_ctx *ctx, const struct kckpt_object *obj, u16 kind);

#endif
