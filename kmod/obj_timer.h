/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCKPT_OBJ_TIMER_H
#define KCKPT_OBJ_TIMER_H

#include <linux/pid.h>
#include <linux/signal_types.h>

struct kckpt_ctx;
struct kckpt_object;
struct sigqueue;
struct task_struct;

/* kckpt_intern_timers() - the timers of a process, if it has any. */
struct kckpt_object *kckpt_intern_timers(struct kckpt_ctx *ctx, struct task_struct *leader,
					 const struct kckpt_object *process);

/* kckpt_is_timer_signal() - was this queued by a timer of the process itself? */
bool kckpt_is_timer_signal(const struct sigqueue *q);

/*
 * kckpt_timer_signal_is_late() - did this pending signal of @task come after its timers were looked at? Then the timer
 * is saved as not yet expired. @info_valid: KCKPT_SIGNAL_*.
 */
bool kckpt_timer_signal_is_late(struct kckpt_ctx *ctx, const struct task_struct *task, u32 signo, u32 info_valid,
				const siginfo_t *info);

/* kckpt_timers_create() - in the leader, when its threads exist: all timers, none armed. */
int kckpt_timers_create(struct kckpt_ctx *ctx, struct kckpt_object *obj);

/* kckpt_timer_signal() - in the thread that it was sent to: the timer's signal becomes pending again. */
int kckpt_timer_signal(const siginfo_t *info, enum pid_type type);

/* kckpt_timers_arm() - in the leader, as late as may be. */
int kckpt_timers_arm(struct kckpt_ctx *ctx, struct kckpt_object *obj);

#endif
