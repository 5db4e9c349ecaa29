// SPDX-License-Identifier: GPL-2.0
/* See timer.h: one timer of timer_create(). */
#include <linux/hrtimer.h>
#include <linux/sched/cputime.h>
#include <linux/sched/signal.h>

#include "compat/timer.h"
#include "fault.h"
#include "ksym.h"
#include "obj_timer.h"
#include "timer.h"

#define TIMER_FAR	(NSEC_PER_SEC << 32)	/* what is armed so far ahead can be taken back safely */

/* ---- dump ---- */

u64 kckpt_cpu_clock_now(clockid_t clock, struct task_struct *task)
{
	const struct task_cputime_atomic *counted = &task->signal->cputimer.cputime_atomic;
	struct task_cputime time = {};

	if (CPUCLOCK_PERTHREAD(clock)) {
		kckpt_task_cputime(task, &time.utime, &time.stime);
		time.sum_exec_runtime = READ_ONCE(task->se.sum_exec_runtime);
	} else if (READ_ONCE(task->signal->posix_cputimers.timers_active)) {
		time.utime = atomic64_read(&counted->utime);
		time.stime = atomic64_read(&counted->stime);
		time.sum_exec_runtime = atomic64_read(&counted->sum_exec_runtime);
	} else {
		kcall(thread_group_cputime)(task, &time);
	}
	switch (CPUCLOCK_WHICH(clock)) {
	case CPUCLOCK_PROF:
		return time.utime + time.stime;
	case CPUCLOCK_VIRT:
		return time.utime;
	default:
		return time.sum_exec_runtime;
	}
}

/* What is left to @expires. As timer_gettime() does, moves an end that was missed to the next one. */
static s64 cpu_clock_left(struct kckpt_posix_timer_rec *rec, u64 expires, u64 now)
{
	s64 left = expires - now;
	u64 missed;

	if (rec->timer_flags & KCKPT_TIMER_ARMED)
		return max_t(s64, left, 1);
	if (left <= 0 && rec->interval) {
		missed = div64_u64(-left, rec->interval) + 1;
		rec->overrun += missed;
		left += missed * rec->interval;
	}
	return max_t(s64, left, 0);
}

static const char *describe_cpu_timer(struct kckpt_ctx *ctx, struct kckpt_posix_timer_rec *rec, struct k_itimer *timer,
				      struct task_struct *leader)
{
	bool thread = CPUCLOCK_PERTHREAD(timer->it_clock);
	struct cpu_timer *cpu = &timer->it.cpu;
	struct task_struct *task;

	task = pid_task(cpu->pid, thread ? PIDTYPE_PID : PIDTYPE_TGID);
	if (!task || !same_thread_group(task, leader))
		return "the CPU time of another process, or of a thread that has ended";
	if (thread)
		rec->clock_tid = pid_nr_ns(cpu->pid, ctx->pidns);
	if (cpu_timer_queued(cpu))
		rec->timer_flags |= KCKPT_TIMER_ARMED;
	else if (rec->notify == SIGEV_NONE && cpu_timer_getexpires(cpu))
		rec->timer_flags |= KCKPT_TIMER_SILENT;
	if (rec->timer_flags & (KCKPT_TIMER_ARMED | KCKPT_TIMER_SILENT | KCKPT_TIMER_EXPIRED))
		rec->expires = cpu_clock_left(rec, cpu_timer_getexpires(cpu),
					      kckpt_cpu_clock_now(timer->it_clock, task));
	return NULL;
}

static const char *describe_hrtimer(struct kckpt_posix_timer_rec *rec, const struct k_itimer *timer)
{
	const struct hrtimer *hrtimer = &timer->it.real.timer;

	/* A relative wait on CLOCK_REALTIME is one on CLOCK_MONOTONIC. */
	rec->expires_clock = hrtimer->base->clockid;
	if (kckpt_timer_is_armed(timer))
		rec->timer_flags |= KCKPT_TIMER_ARMED;
	else if (rec->notify == SIGEV_NONE && hrtimer_get_expires(hrtimer))
		rec->timer_flags |= KCKPT_TIMER_SILENT;
	if (rec->timer_flags & (KCKPT_TIMER_ARMED | KCKPT_TIMER_SILENT | KCKPT_TIMER_EXPIRED))
		rec->expires = ktime_to_ns(hrtimer_get_expires(hrtimer));
	return NULL;
}

static const char *describe_clock(struct kckpt_ctx *ctx, struct kckpt_posix_timer_rec *rec, struct k_itimer *timer,
				  struct task_struct *leader)
{
	switch (timer->it_clock) {
	case CLOCK_REALTIME:
	case CLOCK_MONOTONIC:
	case CLOCK_BOOTTIME:
	case CLOCK_TAI:
		return describe_hrtimer(rec, timer);
	case CLOCK_REALTIME_ALARM:
	case CLOCK_BOOTTIME_ALARM:
		return "an alarm clock (CLOCK_REALTIME_ALARM, CLOCK_BOOTTIME_ALARM)";
	default:
		if (timer->it_clock >= 0 || CPUCLOCK_WHICH(timer->it_clock) >= CPUCLOCK_MAX)
			return "a clock of a device, or one that is not known";
		return describe_cpu_timer(ctx, rec, timer, leader);
	}
}

const char *kckpt_posix_timer_describe(struct kckpt_ctx *ctx, struct kckpt_posix_timer_rec *rec,
				       struct k_itimer *timer, struct task_struct *leader)
{
	struct task_struct *target;

	*rec = (struct kckpt_posix_timer_rec){
		.timer_id = timer->it_id,
		.clock = timer->it_clock,
		.notify = timer->it_sigev_notify,
		.signo = kckpt_timer_queue(timer)->info.si_signo,
		.sigval = (unsigned long)kckpt_timer_queue(timer)->info.si_value.sival_ptr,
		.interval = timer->it_interval,
		.overrun = timer->it_overrun,
		.overrun_last = timer->it_overrun_last,
	};
	if (kckpt_timer_is_queued(timer))
		rec->timer_flags |= KCKPT_TIMER_QUEUED;
	if (kckpt_timer_is_expired(timer) && timer->it_interval)
		rec->timer_flags |= KCKPT_TIMER_EXPIRED;
	if (timer->it_sigev_notify & SIGEV_THREAD_ID) {
		target = pid_task(timer->it_pid, PIDTYPE_PID);
		if (!target || !same_thread_group(target, leader))
			return "a thread to be told that has ended";
		rec->notify_tid = pid_nr_ns(timer->it_pid, ctx->pidns);
	}
	return describe_clock(ctx, rec, timer, leader);
}

/* ---- restore ---- */

/* Sums of overruns must not run over. */
static bool is_overrun(s64 nr)
{
	return nr >= -1 && nr < S64_MAX / 4;
}

static bool clock_sane(const struct kckpt_posix_timer_rec *rec)
{
	switch (rec->clock) {
	case CLOCK_REALTIME:
		if (rec->expires_clock == CLOCK_MONOTONIC)
			return !rec->clock_tid;
		fallthrough;
	case CLOCK_MONOTONIC:
	case CLOCK_BOOTTIME:
	case CLOCK_TAI:
		return rec->expires_clock == rec->clock && !rec->clock_tid;
	default:
		return rec->clock < 0 && CPUCLOCK_WHICH(rec->clock) < CPUCLOCK_MAX && !rec->expires_clock &&
		       !rec->clock_tid == !CPUCLOCK_PERTHREAD(rec->clock) && rec->clock_tid <= PID_MAX_LIMIT;
	}
}

static bool notify_sane(const struct kckpt_posix_timer_rec *rec)
{
	switch (rec->notify) {
	case SIGEV_SIGNAL | SIGEV_THREAD_ID:
		return rec->notify_tid && rec->notify_tid <= PID_MAX_LIMIT && rec->signo > 0 &&
		       valid_signal(rec->signo);
	case SIGEV_SIGNAL:
	case SIGEV_THREAD:
		return !rec->notify_tid && rec->signo > 0 && valid_signal(rec->signo);
	default:
		return rec->notify == SIGEV_NONE && !rec->notify_tid;
	}
}

static bool state_sane(const struct kckpt_posix_timer_rec *rec)
{
	const u32 state = rec->timer_flags & (KCKPT_TIMER_ARMED | KCKPT_TIMER_EXPIRED | KCKPT_TIMER_SILENT);

	if (rec->timer_flags & ~(state | KCKPT_TIMER_QUEUED) || hweight32(state) > 1 ||
	    (state & KCKPT_TIMER_EXPIRED && !rec->interval) || (state & KCKPT_TIMER_ARMED && !rec->expires))
		return false;
	return kckpt_is_time(rec->expires) && kckpt_is_time(rec->interval) && is_overrun(rec->overrun) &&
	       is_overrun(rec->overrun_last);
}

bool kckpt_posix_timer_sane(const struct kckpt_posix_timer_rec *rec)
{
	return rec->timer_id >= 0 && clock_sane(rec) && notify_sane(rec) && state_sane(rec);
}

/* Timers of the restored process only go when it dies, so that one that was found stays. The newest comes first. */
static struct k_itimer *timer_find(int id)
{
	struct k_itimer *timer, *found = NULL;

	spin_lock_irq(&current->sighand->siglock);
	kckpt_for_each_posix_timer(timer, current->signal)
		if (timer->it_id == id && !found)
			found = timer;
	spin_unlock_irq(&current->sighand->siglock);
	return found;
}

/* Waits for a time that was set on a clock of the world go on until then. */
static bool clock_is_absolute(const struct kckpt_posix_timer_rec *rec)
{
	return rec->clock >= 0 && (rec->expires_clock == CLOCK_REALTIME || rec->expires_clock == CLOCK_TAI);
}

static int timer_set(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_posix_timer_rec *rec,
		     s64 value)
{
	struct itimerspec64 set = {
		.it_value = ns_to_timespec64(value),
		.it_interval = ns_to_timespec64(rec->interval),
	};
	int err;

	err = kckpt_should_fail() ? -EINVAL :
	      kcall(do_timer_settime)(rec->timer_id, clock_is_absolute(rec) ? TIMER_ABSTIME : 0, &set, NULL);
	return err ? kckpt_fail(ctx, obj, KCKPT_E_CREATE, err, "timer %d", rec->timer_id) : 0;
}

/* It has an end, and does not run: the next is due when its signal is taken, or nobody is to be told. */
static bool timer_is_set(const struct kckpt_posix_timer_rec *rec)
{
	return rec->timer_flags & (KCKPT_TIMER_EXPIRED | KCKPT_TIMER_SILENT);
}

/* The way back from timer_set(TIMER_FAR): it is set, but does not run. Under the timer's lock. */
static void timer_take_back(const struct kckpt_posix_timer_rec *rec, struct k_itimer *timer)
{
	struct cpu_timer *cpu = &timer->it.cpu;

	if (rec->clock >= 0) {
		hrtimer_try_to_cancel(&timer->it.real.timer);
	} else {
		spin_lock(&current->sighand->siglock);
		cpu_timer_dequeue(cpu);
		cpu_timer_setexpires(cpu, cpu_timer_getexpires(cpu) - TIMER_FAR + rec->expires);
		spin_unlock(&current->sighand->siglock);
	}
	kckpt_timer_set_idle(timer, rec->timer_flags & KCKPT_TIMER_EXPIRED);
}

/* It may expire meanwhile, so what the kernel has counted is added to. */
static void timer_set_overrun(const struct kckpt_posix_timer_rec *rec, struct k_itimer *timer)
{
	timer->it_overrun += rec->overrun + 1;
	timer->it_overrun_last = rec->overrun_last;
}

/* All that can be without it being armed. */
static int timer_prepare(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_posix_timer_rec *rec,
			 struct k_itimer *timer)
{
	bool set = timer_is_set(rec);
	unsigned long flags;
	int err = 0;

	if (rec->timer_flags & KCKPT_TIMER_ARMED)
		return 0;
	if (set || rec->interval)
		err = timer_set(ctx, obj, rec, set ? TIMER_FAR : 0);
	if (err)
		return err;
	spin_lock_irqsave(&timer->it_lock, flags);
	if (set)
		timer_take_back(rec, timer);
	timer_set_overrun(rec, timer);
	spin_unlock_irqrestore(&timer->it_lock, flags);
	return 0;
}

static clockid_t clock_to_create(const struct kckpt_posix_timer_rec *rec)
{
	if (rec->clock >= 0)
		return rec->clock;
	return rec->clock_tid ? make_thread_cpuclock(rec->clock_tid, CPUCLOCK_WHICH(rec->clock)) :
				make_process_cpuclock(0, CPUCLOCK_WHICH(rec->clock));
}

int kckpt_posix_timer_create(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_posix_timer_rec *rec,
			     unsigned long scratch)
{
	struct sigevent event = {
		.sigev_notify = rec->notify,
		.sigev_signo = rec->signo,
		.sigev_value.sival_ptr = (void __user *)rec->sigval,
		.sigev_notify_thread_id = rec->notify_tid,
	};
	struct k_itimer *timer;
	int err;

	kckpt_timer_set_next_id(current->signal, rec->timer_id);
	err = kckpt_should_fail() ? -EAGAIN :
	      kcall(do_timer_create)(clock_to_create(rec), &event, (timer_t __user *)scratch);
	if (err)
		return kckpt_fail(ctx, obj, KCKPT_E_CREATE, err, "timer %d", rec->timer_id);
	timer = timer_find(rec->timer_id);
	if (!timer)
		return kckpt_fail(ctx, obj, KCKPT_E_CREATE, -EEXIST, "timer %d", rec->timer_id);
	timer->it_clock = rec->clock;	/* the same clock, by the name that the program used */
	return timer_prepare(ctx, obj, rec, timer);
}

/* The end of one that does not run: what comes after is counted from it. CPU time knew it before. */
static void timer_set_end(const struct kckpt_ctx *ctx, const struct kckpt_posix_timer_rec *rec, struct k_itimer *timer)
{
	unsigned long flags;

	if (rec->clock < 0 || !timer_is_set(rec))
		return;
	spin_lock_irqsave(&timer->it_lock, flags);
	hrtimer_set_expires(&timer->it.real.timer,
			    ns_to_ktime(kckpt_time_shift(ctx, rec->expires, rec->expires_clock)));
	spin_unlock_irqrestore(&timer->it_lock, flags);
}

/* Its signal is neither pending nor taken: where the kernel keeps it until it is wanted again. */
static void timer_set_ignored(const struct kckpt_posix_timer_rec *rec, struct k_itimer *timer)
{
	unsigned long flags;

	if (!(rec->timer_flags & KCKPT_TIMER_EXPIRED) || rec->timer_flags & KCKPT_TIMER_QUEUED)
		return;
	spin_lock_irqsave(&timer->it_lock, flags);
	kckpt_timer_send_ignored(timer);
	spin_unlock_irqrestore(&timer->it_lock, flags);
}

int kckpt_posix_timer_arm(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_posix_timer_rec *rec)
{
	struct k_itimer *timer = timer_find(rec->timer_id);
	s64 value = rec->expires;
	unsigned long flags;
	int err;

	if (!timer)
		return kckpt_fail(ctx, obj, KCKPT_E_CREATE, -ENOENT, "timer %d", rec->timer_id);
	if (!(rec->timer_flags & KCKPT_TIMER_ARMED)) {
		timer_set_end(ctx, rec, timer);
		timer_set_ignored(rec, timer);
		return 0;
	}
	if (rec->clock >= 0 && !clock_is_absolute(rec))
		value = kckpt_time_left(ctx, rec->expires, rec->expires_clock);
	err = timer_set(ctx, obj, rec, value);
	if (err)
		return err;
	spin_lock_irqsave(&timer->it_lock, flags);
	timer_set_overrun(rec, timer);
	spin_unlock_irqrestore(&timer->it_lock, flags);
	return 0;
}

int kckpt_timer_signal(const siginfo_t *info, enum pid_type type)
{
	struct k_itimer *timer = timer_find(info->si_tid);
	unsigned long flags;
	enum pid_type own;
	int err;

	if (!timer)
		return -ENOENT;
	own = timer->it_sigev_notify & SIGEV_THREAD_ID ? PIDTYPE_PID : PIDTYPE_TGID;
	if (own != type || timer->it_pid != task_pid_type(current, type))
		return -EINVAL;
	spin_lock_irqsave(&timer->it_lock, flags);
	err = kckpt_timer_send(timer, type);
	spin_lock(&current->sighand->siglock);
	kckpt_timer_queue(timer)->info.si_overrun = info->si_overrun;
	spin_unlock(&current->sighand->siglock);
	spin_unlock_irqrestore(&timer->it_lock, flags);
	return min(err, 0);
}
