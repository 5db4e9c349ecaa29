// SPDX-License-Identifier: GPL-2.0
/* See timer.h: the three timers of setitimer(), of which alarm() uses the first. */
#include <linux/hrtimer.h>
#include <linux/sched/signal.h>
#include <linux/time.h>

#include "fault.h"
#include "ksym.h"
#include "timer.h"

static u64 cpu_itimer_left(struct task_struct *leader, unsigned int clock)
{
	u64 expires = leader->signal->it[clock].expires;

	if (!expires)
		return 0;
	return max_t(s64, expires - kckpt_cpu_clock_now(make_process_cpuclock(0, clock), leader), 1);
}

int kckpt_itimers_describe(struct task_struct *leader, struct kckpt_timers_rec *rec)
{
	struct signal_struct *signal = leader->signal;

	/* It waits for the lock to send its signal, or has just sent it. */
	if (signal->real_timer.base->running == &signal->real_timer)
		return -EAGAIN;
	if (hrtimer_is_queued(&signal->real_timer))
		rec->timers_flags |= KCKPT_TIMERS_REAL;
	rec->real_expires = ktime_to_ns(hrtimer_get_expires(&signal->real_timer));
	rec->real_interval = signal->it_real_incr;
	rec->prof_left = cpu_itimer_left(leader, CPUCLOCK_PROF);
	rec->prof_interval = signal->it[CPUCLOCK_PROF].incr;
	rec->virt_left = cpu_itimer_left(leader, CPUCLOCK_VIRT);
	rec->virt_interval = signal->it[CPUCLOCK_VIRT].incr;
	return 0;
}

bool kckpt_itimers_sane(const struct kckpt_timers_rec *rec)
{
	return !(rec->timers_flags & ~KCKPT_TIMERS_REAL) && kckpt_is_time(rec->real_expires) &&
	       kckpt_is_time(rec->real_interval) && kckpt_is_time(rec->prof_left) &&
	       kckpt_is_time(rec->prof_interval) && kckpt_is_time(rec->virt_left) && kckpt_is_time(rec->virt_interval);
}

static int itimer_arm(struct kckpt_ctx *ctx, struct kckpt_object *obj, int which, u64 left, u64 interval)
{
	struct itimerspec64 set = {
		.it_value = ns_to_timespec64(left),
		.it_interval = ns_to_timespec64(interval),
	};
	int err;

	if (!left && !interval)
		return 0;
	err = kckpt_should_fail() ? -EINVAL : kcall(do_setitimer)(which, &set, NULL);
	return err ? kckpt_fail(ctx, obj, KCKPT_E_CREATE, err, "interval timer %d", which) : 0;
}

/* It has expired, and is armed again when its SIGALRM is taken. */
static void itimer_real_expired(const struct kckpt_ctx *ctx, const struct kckpt_timers_rec *rec)
{
	ktime_t expires = ns_to_ktime(kckpt_time_shift(ctx, rec->real_expires, CLOCK_MONOTONIC));

	spin_lock_irq(&current->sighand->siglock);
	current->signal->it_real_incr = ns_to_ktime(rec->real_interval);
	hrtimer_set_expires(&current->signal->real_timer, expires);
	spin_unlock_irq(&current->sighand->siglock);
}

/* setitimer() adds a tick to CPU time, so that it is never too early. */
static u64 less_a_tick(u64 left)
{
	return left > TICK_NSEC ? left - TICK_NSEC : !!left;
}

int kckpt_itimers_arm(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_timers_rec *rec)
{
	int err;

	err = itimer_arm(ctx, obj, ITIMER_PROF, less_a_tick(rec->prof_left), rec->prof_interval) ?:
	      itimer_arm(ctx, obj, ITIMER_VIRTUAL, less_a_tick(rec->virt_left), rec->virt_interval);
	if (err)
		return err;
	if (rec->timers_flags & KCKPT_TIMERS_REAL)
		return itimer_arm(ctx, obj, ITIMER_REAL, kckpt_time_left(ctx, rec->real_expires, CLOCK_MONOTONIC),
				  rec->real_interval);
	itimer_real_expired(ctx, rec);
	return 0;
}
