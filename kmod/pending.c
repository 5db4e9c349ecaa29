// SPDX-License-Identifier: GPL-2.0
/* Pending signals, of a thread or of a process, with their siginfo. Queued but not delivered, so nothing is taken. */
#include <linux/sched/signal.h>
#include <linux/signal.h>

#include "compat/task.h"
#include "family.h"
#include "fault.h"
#include "freeze.h"
#include "ksym.h"
#include "obj_task.h"
#include "obj_timer.h"

#define PENDING_MAX 65536	/* more than any RLIMIT_SIGPENDING in use */
#define STILL_TRIES 200		/* some 0.4 s; then a dump that looks wrong later has to be made again */

/* The records of threads and processes have the same fields. */
#define pending_rec struct kckpt_task_signal_rec
static_assert(sizeof(struct kckpt_task_signal_rec) == sizeof(struct kckpt_process_signal_rec));
static_assert(sizeof(siginfo_t) == sizeof_field(pending_rec, info));

/* Under siglock. */
static u32 pending_count(const struct sigpending *pending)
{
	const struct sigqueue *q;
	u32 nr = 0;

	list_for_each_entry(q, &pending->list, list)
		nr++;
	return nr;
}

/* Under siglock. What is pending but for the signals of timers, which are counted in *@nr_timers. */
static u64 pending_print(const struct sigpending *pending, u32 *nr_timers)
{
	sigset_t timers = {}, others = {};
	const struct sigqueue *q;
	u32 nr = 0;

	list_for_each_entry(q, &pending->list, list) {
		bool timer = kckpt_is_timer_signal(q);

		sigaddset(timer ? &timers : &others, q->info.si_signo);
		nr += !timer;
		*nr_timers += timer;
	}
	/* Without an entry in the queue: it was full. */
	others.sig[0] |= pending->signal.sig[0] & ~timers.sig[0];
	return nr * 0x9e3779b97f4a7c15ULL + others.sig[0];
}

static bool is_asleep(struct task_struct *task)
{
	unsigned int state = READ_ONCE(task->__state);

	return state != TASK_RUNNING && state != TASK_WAKING && kckpt_is_off_cpu(task);
}

/* False: a signal that is counted has just woken the task, so that its switches are still to come. */
static bool pending_stillness(struct task_struct *task, struct kckpt_stillness *still)
{
	unsigned long flags;
	bool asleep;

	*still = (struct kckpt_stillness){};
	if (!kckpt_lock_task_sighand(task, &flags))
		return true;
	asleep = is_asleep(task);
	still->switches = READ_ONCE(task->nvcsw) + READ_ONCE(task->nivcsw);
	still->signals = pending_print(&task->pending, &still->nr_timer_signals);
	still->signals = still->signals * 0x9e3779b97f4a7c15ULL +
			 pending_print(&task->signal->shared_pending, &still->nr_timer_signals);
	unlock_task_sighand(task, &flags);
	return asleep;
}

void kckpt_stillness_note(struct kckpt_object *obj, struct task_struct *task)
{
	unsigned int i;

	for (i = 0; !pending_stillness(task, &obj->still) && i < STILL_TRIES; i++)
		kckpt_nap(i);
}

const char *kckpt_stillness_broken(const struct kckpt_object *obj, struct task_struct *task)
{
	struct kckpt_stillness now;
	u32 expired;

	pending_stillness(task, &now);
	expired = now.nr_timer_signals - obj->still.nr_timer_signals;
	/*
	 * A timer that expires wakes a task of the job in the freezer's trap, which falls asleep again at once; it
	 * may be preempted on the way. That is nothing: it is saved as not yet expired.
	 */
	if (now.nr_timer_signals < obj->still.nr_timer_signals || now.switches - obj->still.switches > 2ULL * expired)
		return "the task ran";
	return now.signals != obj->still.signals ? "a signal came" : NULL;
}

/* For what is pending now, and for every signal without an entry in the queue; mostly there is none at all. */
static u32 pending_room(struct task_struct *task, struct sigpending *pending)
{
	bool none = false;
	unsigned long flags;
	u32 nr = 0;

	if (kckpt_lock_task_sighand(task, &flags)) {
		nr = pending_count(pending);
		none = !nr && sigisemptyset(&pending->signal);
		unlock_task_sighand(task, &flags);
	}
	return none ? 0 : min_t(u32, nr + _NSIG, PENDING_MAX);
}

/* Fills @recs with room for @room; returns how many there are, or -EAGAIN if they are too many. */
static int pending_fill(const struct sigpending *pending, pending_rec *recs, u32 room)
{
	sigset_t bare = pending->signal;
	const struct sigqueue *q;
	u32 nr = 0;
	int sig;

	list_for_each_entry(q, &pending->list, list) {
		if (nr == room)
			return -EAGAIN;
		sigdelset(&bare, q->info.si_signo);
		recs[nr].signo = q->info.si_signo;
		recs[nr].info_valid = q->flags & SIGQUEUE_PREALLOC ? KCKPT_SIGNAL_TIMER : KCKPT_SIGNAL_INFO;
		copy_siginfo_to_external((siginfo_t *)recs[nr].info, &q->info);
		nr++;
	}
	for (sig = 1; sig <= _NSIG; sig++) {
		if (!sigismember(&bare, sig))
			continue;
		if (nr == room)
			return -EAGAIN;
		recs[nr++].signo = sig;	/* the queue was full when it came */
	}
	return nr;
}

static int pending_snapshot(struct task_struct *task, struct sigpending *pending, pending_rec *recs, u32 room)
{
	struct sighand_struct *sighand;
	unsigned long flags;
	int nr;

	sighand = kckpt_lock_task_sighand(task, &flags);
	if (!sighand)
		return -ESRCH;
	nr = pending_fill(pending, recs, room);
	unlock_task_sighand(task, &flags);
	return nr;
}

int kckpt_put_pending(struct kckpt_ctx *ctx, const struct kckpt_object *obj, u16 kind, struct task_struct *task,
		      struct sigpending *pending)
{
	u32 i, room = pending_room(task, pending);
	pending_rec *recs;
	int nr, err = 0;

	if (!room)
		return 0;
	recs = kckpt_alloc(room * sizeof(*recs));
	if (!recs)
		return kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, 0, "pending signals");
	nr = pending_snapshot(task, pending, recs, room);
	if (nr < 0)
		err = kckpt_fail(ctx, obj, KCKPT_E_JOB_MOVED, nr, "pending signals");
	for (i = 0; !err && i < nr; i++)
		if (!kckpt_timer_signal_is_late(ctx, task, recs[i].signo, recs[i].info_valid,
						(siginfo_t *)recs[i].info))
			err = kckpt_put(ctx, obj, kind, &recs[i], sizeof(recs[i]), NULL, 0);
	kvfree(recs);
	return err;
}

bool kckpt_has_pending(const struct kckpt_object *obj, u16 kind)
{
	const struct kckpt_rec *rec;

	kckpt_for_each_rec(rec, obj, kind)
		return true;
	return false;
}

int kckpt_check_pending(struct kckpt_ctx *ctx, const struct kckpt_object *obj, u16 kind)
{
	const struct kckpt_rec *rec;
	pending_rec signal;
	int err;

	kckpt_for_each_rec(rec, obj, kind) {
		err = kckpt_rec_get(ctx, obj, rec, &signal, sizeof(signal), NULL, 0, NULL);
		if (err)
			return err;
		if (!valid_signal(signal.signo) || !signal.signo || sig_kernel_only(signal.signo) ||
		    signal.info_valid > KCKPT_SIGNAL_TIMER)
			return kckpt_bad_image(ctx, obj, "pending signal %u", signal.signo);
	}
	return 0;
}

static int pending_queue_one(const pending_rec *rec, enum pid_type type)
{
	const siginfo_t *from = (const siginfo_t *)rec->info;
	struct kernel_siginfo info;
	unsigned long flags;
	int err;

	if (rec->info_valid == KCKPT_SIGNAL_TIMER)
		return kckpt_timer_signal(from, type);
	clear_siginfo(&info);
	if (rec->info_valid)
		memcpy(&info, from, sizeof(info));
	info.si_signo = rec->signo;
	spin_lock_irqsave(&current->sighand->siglock, flags);
	err = kcall(send_signal_locked)(rec->signo, rec->info_valid ? &info : SEND_SIG_NOINFO, current, type);
	spin_unlock_irqrestore(&current->sighand->siglock, flags);
	return err;
}

int kckpt_queue_pending(struct kckpt_ctx *ctx, const struct kckpt_object *obj, u16 kind, enum pid_type type)
{
	const struct kckpt_rec *rec;
	pending_rec signal;
	int err;

	kckpt_for_each_rec(rec, obj, kind) {
		err = kckpt_rec_get(ctx, obj, rec, &signal, sizeof(signal), NULL, 0, NULL);
		if (err)
			return err;
		err = kckpt_should_fail() ? -EAGAIN : pending_queue_one(&signal, type);
		if (err)
			return kckpt_fail(ctx, obj, KCKPT_E_CREATE, err, "pending signal %u", signal.signo);
	}
	return 0;
}
