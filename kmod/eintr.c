// SPDX-License-Identifier: GPL-2.0
/*
 * Some system calls tell EINTR when the freezer wakes them, though no signal came: epoll_wait, sigtimedwait,
 * semtimedop, io_getevents, and socket calls with a time-out. A program must not see that. Its result is turned
 * into "restart unless a handler runs", which is what it would be had the call been written like the others; a
 * signal that comes while frozen still interrupts it. This is the only thing in a live task that a dump changes.
 *
 * A call with a finite time-out starts anew with the whole time-out. So that a checkpoint every second cannot keep a
 * wait of five seconds from ever expiring, it is restarted once; if the task has not run anything else by the
 * next freeze, its EINTR is let through, as it would without us.
 */
#include <linux/ptrace.h>
#include <linux/sched/signal.h>
#include <linux/sched/task_stack.h>
#include <linux/spinlock.h>
#include <linux/hash.h>
#include <asm/syscall.h>
#include <asm/unistd.h>

#include "freeze.h"
#include "ksym.h"

#define EINTR_SLOTS_LOG2 10

/* The last restart of a task; two tasks on one slot only make that a call is restarted once more. */
static struct eintr_slot {
	u64 start_time;
	pid_t pid;
	unsigned long switches;
} eintr_slots[1 << EINTR_SLOTS_LOG2];
static DEFINE_SPINLOCK(eintr_lock);

enum eintr_wait { EINTR_KEEP, EINTR_FINITE, EINTR_INFINITE };

static enum eintr_wait eintr_wait(const struct pt_regs *regs)
{
	switch (regs->orig_ax) {
	case __NR_epoll_wait:
	case __NR_epoll_pwait:
		return (int)regs->r10 < 0 ? EINTR_INFINITE : EINTR_FINITE;
	case __NR_rt_sigtimedwait:
		return regs->dx ? EINTR_FINITE : EINTR_INFINITE;
	case __NR_epoll_pwait2:
	case __NR_semtimedop:
		return regs->r10 ? EINTR_FINITE : EINTR_INFINITE;
	case __NR_semop:
		return EINTR_INFINITE;
	case __NR_io_getevents:
	case __NR_io_pgetevents:
		return regs->r8 ? EINTR_FINITE : EINTR_INFINITE;
	/* Sockets: without a time-out they restart by themselves. */
	case __NR_read:
	case __NR_readv:
	case __NR_recvfrom:
	case __NR_recvmsg:
	case __NR_recvmmsg:
	case __NR_write:
	case __NR_writev:
	case __NR_sendto:
	case __NR_sendmsg:
	case __NR_sendmmsg:
	case __NR_accept:
	case __NR_accept4:
	case __NR_connect:
		return EINTR_FINITE;
	default:
		return EINTR_KEEP;
	}
}

/* A restarted wait that is frozen again has slept twice: in the call, and in the freezer. */
static bool eintr_may_restart(struct task_struct *task)
{
	struct eintr_slot *slot = &eintr_slots[hash_ptr(task, EINTR_SLOTS_LOG2)];
	unsigned long switches = READ_ONCE(task->nvcsw);
	bool restarted_before;

	spin_lock(&eintr_lock);
	restarted_before = slot->pid == task->pid && slot->start_time == task->start_boottime &&
			   switches - slot->switches <= 2;
	slot->pid = task->pid;
	slot->start_time = task->start_boottime;
	slot->switches = switches;
	if (restarted_before)
		slot->pid = 0;
	spin_unlock(&eintr_lock);
	return !restarted_before;
}

/* Under siglock. */
static bool has_deliverable_signal(struct task_struct *task)
{
	sigset_t pending;

	sigorsets(&pending, &task->pending.signal, &task->signal->shared_pending.signal);
	sigandnsets(&pending, &pending, &task->blocked);
	return !sigisemptyset(&pending);
}

/* Parked: whoever thaws it meanwhile, it takes siglock before it looks at its registers again. */
static bool eintr_parked(struct task_struct *task, const struct pt_regs *regs)
{
	return task->frozen && task->jobctl & JOBCTL_TRAP_FREEZE && regs->cs == __USER_CS;
}

static void eintr_hide(struct task_struct *task, struct pt_regs *regs)
{
	enum eintr_wait wait;

	if (!eintr_parked(task, regs) || regs->ax != -EINTR || (long)regs->orig_ax < 0 || has_deliverable_signal(task))
		return;
	wait = eintr_wait(regs);
	if (wait == EINTR_INFINITE || (wait == EINTR_FINITE && eintr_may_restart(task)))
		regs->ax = -ERESTARTNOHAND;
}

void kckpt_hide_eintr(struct task_struct *task)
{
	unsigned long flags;

	if (!try_get_task_stack(task))
		return;
	if (kckpt_lock_task_sighand(task, &flags)) {
		eintr_hide(task, task_pt_regs(task));
		unlock_task_sighand(task, &flags);
	}
	kcall(put_task_stack)(task);
}
