/* SPDX-License-Identifier: GPL-2.0 */
/* Between the files of the family `timer`: obj_timer.c, posix_timer.c, itimer.c. Also: times of an image as ours. */
#ifndef KCKPT_TIMER_H
#define KCKPT_TIMER_H

#include <linux/overflow.h>
#include <linux/posix-timers.h>
#include <linux/timekeeping.h>
#include <kckpt/image.h>

#include "family.h"

/* ---- posix_timer.c ---- */

/*
 * kckpt_posix_timer_describe() - under siglock of @leader's process, the timer's lock, and RCU. Returns why it cannot
 * be saved, or NULL.
 */
const char *kckpt_posix_timer_describe(struct kckpt_ctx *ctx, struct kckpt_posix_timer_rec *rec,
				       struct k_itimer *timer, struct task_struct *leader);
bool kckpt_posix_timer_sane(const struct kckpt_posix_timer_rec *rec);

/* kckpt_posix_timer_create() - not armed. @scratch: memory of the process, where the kernel wants to tell the id. */
int kckpt_posix_timer_create(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_posix_timer_rec *rec,
			     unsigned long scratch);
/* kckpt_posix_timer_arm() - from now on its time runs. */
int kckpt_posix_timer_arm(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_posix_timer_rec *rec);

/* kckpt_cpu_clock_now() - a clock of CPU time as the kernel's timers read it; the task does not run. Under siglock. */
u64 kckpt_cpu_clock_now(clockid_t clock, struct task_struct *task);

/* ---- itimer.c ---- */

/* kckpt_itimers_describe() - under siglock. -EAGAIN: one expires just now. */
int kckpt_itimers_describe(struct task_struct *leader, struct kckpt_timers_rec *rec);
bool kckpt_itimers_sane(const struct kckpt_timers_rec *rec);
int kckpt_itimers_arm(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_timers_rec *rec);

/* ---- times of an image ---- */

static inline bool kckpt_is_time(s64 ns)
{
	return ns >= 0;
}

/* A time of the dump's @clock as one of ours. */
static inline s64 kckpt_time_shift(const struct kckpt_ctx *ctx, s64 ns, int clock)
{
	s64 shift = clock == CLOCK_MONOTONIC ? ctx->monotonic_shift : clock == CLOCK_BOOTTIME ? ctx->boottime_shift : 0;

	return check_add_overflow(ns, shift, &ns) ? KTIME_MAX : max_t(s64, ns, 0);
}

/* What is left until then, at least 1. */
static inline s64 kckpt_time_left(const struct kckpt_ctx *ctx, s64 ns, int clock)
{
	s64 now = clock == CLOCK_BOOTTIME ? ktime_get_boottime_ns() : ktime_get_ns();

	return max_t(s64, kckpt_time_shift(ctx, ns, clock) - now, 1);
}

#endif
