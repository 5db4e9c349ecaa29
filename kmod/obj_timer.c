// SPDX-License-Identifier: GPL-2.0
/*
 * The timers of a process: those of timer_create() and the three of setitimer(), which alarm() uses, too.
 *
 * What a timer is and which of its signals are pending must fit together, while timers go on expiring in a frozen job.
 * So all are looked at in one moment, with siglock and the timer's lock; a signal that one of them queues later
 * is left out of the image, where the timer has not yet expired. The kernel takes the locks in the other order,
 * so ours are only tried.
 *
 * Saved: ids, clocks, what is told to whom, intervals, the time that is left, overruns, whether the signal is pending.
 * CPU time begins anew in a restored process, so of a timer on it the rest is saved. Waits for a time of
 * CLOCK_REALTIME or CLOCK_TAI keep that time; all others keep the time that was left.
 * Refused: clocks of devices, alarm clocks, CPU time of other processes or ended threads, timers that tell an
 * ended thread.
 * Not saved: who is charged for the preallocated signal (the restorer is), the timers' order in /proc/PID/timers.
 */
#include <linux/bsearch.h>
#include <linux/hrtimer.h>
#include <linux/mman.h>
#include <linux/posix-timers.h>
#include <linux/sched/signal.h>
#include <linux/sort.h>

#include "compat/timer.h"
#include "family.h"
#include "fault.h"
#include "freeze.h"
#include "ksym.h"
#include "obj_timer.h"
#include "timer.h"

#define TIMERS_MAX	65536		/* more than any RLIMIT_SIGPENDING in use */
#define TIMER_TRIES	200		/* some 0.4 s, for what takes microseconds */

struct timer_entry {
	struct kckpt_posix_timer_rec rec;
	const char *refused;
};

/* All timers of a process at one moment. */
struct timer_snapshot {
	struct kckpt_timers_rec rec;
	bool alarm_due;			/* ITIMER_REAL is armed, and has no signal pending */
	u32 nr;
	struct timer_entry entry[];	/* ascending by id */
};

static void timer_put(void *ptr)
{
	put_task_struct(ptr);
}

static void timer_release(struct kckpt_object *obj)
{
	kvfree(obj->made);
	obj->made = NULL;
}

/* ---- dump ---- */

static bool has_timers(const struct signal_struct *signal)
{
	/* A timer that has just fired is set up again when its signal is taken. */
	return kckpt_has_posix_timers(signal) || hrtimer_active(&signal->real_timer) || signal->it_real_incr ||
	       signal->it[CPUCLOCK_PROF].expires || signal->it[CPUCLOCK_PROF].incr ||
	       signal->it[CPUCLOCK_VIRT].expires || signal->it[CPUCLOCK_VIRT].incr;
}

struct kckpt_object *kckpt_intern_timers(struct kckpt_ctx *ctx, struct task_struct *leader,
					 const struct kckpt_object *process)
{
	if (!has_timers(leader->signal))
		return NULL;
	get_task_struct(leader);
	return kckpt_intern(ctx, KCKPT_F_timer, leader, &process->where);
}

/* Under siglock. -EAGAIN: a timer expires just now. */
static int fill_posix_timers(struct kckpt_ctx *ctx, struct task_struct *leader, struct timer_snapshot *snapshot,
			     u32 room)
{
	struct k_itimer *timer;
	struct timer_entry *entry;

	kckpt_for_each_posix_timer(timer, leader->signal) {
		if (snapshot->nr == room || !spin_trylock(&timer->it_lock))
			return -EAGAIN;
		entry = &snapshot->entry[snapshot->nr++];
		entry->refused = kckpt_posix_timer_describe(ctx, &entry->rec, timer, leader);
		spin_unlock(&timer->it_lock);
	}
	return 0;
}

static int fill_snapshot(struct kckpt_ctx *ctx, struct task_struct *leader, struct timer_snapshot *snapshot, u32 room)
{
	unsigned long flags;
	int err;

	if (!kckpt_lock_task_sighand(leader, &flags))
		return -ESRCH;
	rcu_read_lock();
	err = kckpt_itimers_describe(leader, &snapshot->rec) ?: fill_posix_timers(ctx, leader, snapshot, room);
	snapshot->rec.next_id = kckpt_timer_next_id(leader->signal);
	snapshot->alarm_due = snapshot->rec.timers_flags & KCKPT_TIMERS_REAL &&
			      !sigismember(&leader->signal->shared_pending.signal, SIGALRM);
	rcu_read_unlock();
	unlock_task_sighand(leader, &flags);
	return err;
}

static int count_timers(struct task_struct *leader)
{
	struct k_itimer *timer;
	unsigned long flags;
	int nr = 0;

	if (!kckpt_lock_task_sighand(leader, &flags))
		return -ESRCH;
	kckpt_for_each_posix_timer(timer, leader->signal)
		nr++;
	unlock_task_sighand(leader, &flags);
	return nr;
}

static int entry_cmp(const void *a, const void *b)
{
	const struct timer_entry *left = a, *right = b;

	return left->rec.timer_id < right->rec.timer_id ? -1 : left->rec.timer_id > right->rec.timer_id;
}

static int take_snapshot(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct task_struct *leader, int room)
{
	struct timer_snapshot *snapshot = kckpt_alloc(struct_size(snapshot, entry, room));
	unsigned int i = 0;
	int err;

	if (!snapshot)
		return kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, 0, "timers");
	obj->made = snapshot;
	err = kckpt_should_fail() ? -ESRCH : fill_snapshot(ctx, leader, snapshot, room);
	while (err == -EAGAIN && i < TIMER_TRIES) {
		kckpt_nap(i++);
		memset(snapshot, 0, struct_size(snapshot, entry, room));
		err = fill_snapshot(ctx, leader, snapshot, room);
	}
	if (err)
		return kckpt_fail(ctx, obj, KCKPT_E_JOB_MOVED, 0, "timers");
	sort(snapshot->entry, snapshot->nr, sizeof(snapshot->entry[0]), entry_cmp, NULL);
	return 0;
}

static int timer_collect(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct task_struct *leader = (struct task_struct *)obj->ptr;
	const struct timer_snapshot *snapshot;
	int room = count_timers(leader), err;
	u32 i;

	if (room < 0)
		return kckpt_fail(ctx, obj, KCKPT_E_JOB_MOVED, 0, "it was killed");
	if (room > TIMERS_MAX) {
		kckpt_fail(ctx, obj, KCKPT_E_TASK_TIMER, 0, "%d POSIX timers", room);
		return 0;
	}
	err = take_snapshot(ctx, obj, leader, room);
	if (err)
		return err;
	snapshot = obj->made;
	for (i = 0; i < snapshot->nr; i++)
		if (snapshot->entry[i].refused)
			kckpt_fail(ctx, obj, KCKPT_E_TASK_TIMER, 0, "timer %d: %s", snapshot->entry[i].rec.timer_id,
				   snapshot->entry[i].refused);
	return 0;
}

static int timer_dump(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct timer_snapshot *snapshot = obj->made;
	int err = kckpt_put(ctx, obj, KCKPT_K_timers, &snapshot->rec, sizeof(snapshot->rec), NULL, 0);
	u32 i;

	for (i = 0; !err && i < snapshot->nr; i++)
		err = kckpt_put(ctx, obj, KCKPT_K_posix_timer, &snapshot->entry[i].rec,
				sizeof(snapshot->entry[i].rec), NULL, 0);
	return err;
}

/* ---- dump: the signals of timers ---- */

bool kckpt_is_timer_signal(const struct sigqueue *q)
{
	return q->flags & SIGQUEUE_PREALLOC || (q->info.si_signo == SIGALRM && q->info.si_code == SI_KERNEL);
}

static bool was_queued(const struct timer_snapshot *snapshot, int id)
{
	const struct timer_entry key = { .rec.timer_id = id }, *entry;

	entry = bsearch(&key, snapshot->entry, snapshot->nr, sizeof(key), entry_cmp);
	return entry && entry->rec.timer_flags & KCKPT_TIMER_QUEUED;
}

bool kckpt_timer_signal_is_late(struct kckpt_ctx *ctx, const struct task_struct *task, u32 signo, u32 info_valid,
				const siginfo_t *info)
{
	const struct kckpt_object *obj = kckpt_objtab_find(&ctx->objs, KCKPT_F_timer, task->group_leader);
	const struct timer_snapshot *snapshot = obj ? obj->made : NULL;

	if (!snapshot)
		return false;
	if (info_valid == KCKPT_SIGNAL_TIMER)
		return !was_queued(snapshot, info->si_tid);
	return snapshot->alarm_due && signo == SIGALRM && (!info_valid || info->si_code == SI_KERNEL);
}

/* ---- restore ---- */

static int timers_rec(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct kckpt_timers_rec *rec)
{
	return kckpt_rec_only(ctx, obj, KCKPT_K_timers, rec, sizeof(*rec), NULL, 0, NULL);
}

static int timer_rec(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_rec *from,
		     struct kckpt_posix_timer_rec *rec)
{
	return kckpt_rec_get(ctx, obj, from, rec, sizeof(*rec), NULL, 0, NULL);
}

static int timer_check(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_posix_timer_rec timer;
	const struct kckpt_rec *rec;
	struct kckpt_timers_rec all;
	s64 before = -1;
	int err = timers_rec(ctx, obj, &all);

	if (err)
		return err;
	if (all.next_id > INT_MAX || !kckpt_itimers_sane(&all))
		return kckpt_bad_image(ctx, obj, "timers");
	kckpt_for_each_rec(rec, obj, KCKPT_K_posix_timer) {
		err = timer_rec(ctx, obj, rec, &timer);
		if (err)
			return err;
		if (timer.timer_id <= before || !kckpt_posix_timer_sane(&timer))
			return kckpt_bad_image(ctx, obj, "timer %d", timer.timer_id);
		before = timer.timer_id;
	}
	return 0;
}

static int timers_create(struct kckpt_ctx *ctx, struct kckpt_object *obj, unsigned long scratch)
{
	struct kckpt_posix_timer_rec timer;
	const struct kckpt_rec *rec;
	int err;

	kckpt_for_each_rec(rec, obj, KCKPT_K_posix_timer) {
		err = timer_rec(ctx, obj, rec, &timer) ?: kckpt_posix_timer_create(ctx, obj, &timer, scratch);
		if (err)
			return err;
	}
	return 0;
}

int kckpt_timers_create(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_timers_rec all;
	unsigned long scratch;
	int err = timers_rec(ctx, obj, &all);

	if (err || !kckpt_rec_next(obj, KCKPT_K_posix_timer, NULL))
		goto out;
	/* Shared, so that it is merged with nothing and leaves no trace. */
	scratch = kckpt_should_fail() ? -ENOMEM :
		  vm_mmap(NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, 0);
	if (IS_ERR_VALUE(scratch))
		return kckpt_fail(ctx, obj, KCKPT_E_CREATE, scratch, "room to create timers");
	err = timers_create(ctx, obj, scratch);
	vm_munmap(scratch, PAGE_SIZE);
out:
	kckpt_timer_set_next_id(current->signal, all.next_id);
	return err;
}

int kckpt_timers_arm(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_posix_timer_rec timer;
	const struct kckpt_rec *rec;
	struct kckpt_timers_rec all;
	int err = timers_rec(ctx, obj, &all);

	if (err)
		return err;
	kckpt_for_each_rec(rec, obj, KCKPT_K_posix_timer) {
		err = timer_rec(ctx, obj, rec, &timer) ?: kckpt_posix_timer_arm(ctx, obj, &timer);
		if (err)
			return err;
	}
	return kckpt_itimers_arm(ctx, obj, &all);
}

const struct kckpt_family_ops kckpt_timer_ops = {
	.name = "timer",
	.put = timer_put,
	.collect = timer_collect, .dump = timer_dump, .check = timer_check,
	.release = timer_release,
};
