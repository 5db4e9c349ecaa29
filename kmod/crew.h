/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The tasks being restored. Each one runs in the kernel through the same stages and waits for the others between
 * them; none returns to user mode before the session says GO. DEAD ends them all.
 */
#ifndef KCKPT_CREW_H
#define KCKPT_CREW_H

#include <linux/ptrace.h>
#include <linux/spinlock.h>
#include <linux/task_work.h>
#include <linux/wait.h>

struct kckpt_ctx;
struct kckpt_object;
struct kckpt_session;

enum kckpt_stage {
	KCKPT_STAGE_BEGIN,	/* the skeleton: processes and threads */
	KCKPT_STAGE_BUILD,	/* areas, files, handlers */
	KCKPT_STAGE_FINISH,	/* pages are in: what needs them, then registers */
	KCKPT_STAGE_GO,		/* off to user mode, or to the end */
	KCKPT_STAGE_DEAD,
};

struct kckpt_crew {
	spinlock_t lock;		/* stage and counts, and who is there: kckpt_object.made of processes */
	/* Apart, since of thousands of threads most wait for a stage while others come to its end or make something. */
	wait_queue_head_t arrivals;	/* the caller: for the end of the stage, or of all, or for `awaited` */
	wait_queue_head_t stages[KCKPT_STAGE_DEAD];	/* threads: each for the stage that is its next one */
	wait_queue_head_t makings;	/* threads: for what another one makes */
	const struct kckpt_object *awaited;
	enum kckpt_stage stage;
	bool started;			/* the objects are complete, and made of processes is ours */
	bool killed;			/* all have got their SIGKILL */
	u32 expected;			/* threads */
	u32 arrived[KCKPT_STAGE_DEAD];	/* of them at the end of each stage; who has no part in one, before it began */
	u32 live;			/* threads that are still in our text */
	pid_t root_pid;			/* of the first root, in the namespace of who called instantiate */
};

/* One restored thread. */
struct kckpt_thread {
	struct kckpt_session *session;
	struct kckpt_object *task;	/* its task object */
	struct callback_head work;	/* puts the registers in place, last of all */
	bool leaves;			/* by this work, which frees it */
	bool early;			/* needs nothing of others, and finishes before they build */
	struct pt_regs regs;
};

void kckpt_crew_init(struct kckpt_crew *crew);

/*
 * kckpt_crew_start() - create the roots, and they the others; wait until all threads are there. They go on to build
 * themselves.
 */
int kckpt_crew_start(struct kckpt_session *session, u64 *create_ns);

/* kckpt_crew_next_thread() - the next thread of @process that is to be created, now by the caller; NULL: no more. */
struct kckpt_object *kckpt_crew_next_thread(struct kckpt_crew *crew, struct kckpt_object *process);

/*
 * kckpt_crew_clone_thread() - in the context of a restored leader, or of a thread with the same descriptor table and
 * directory: create another one of the process, with @clone_flags.
 */
int kckpt_crew_clone_thread(struct kckpt_session *session, struct kckpt_object *task, u64 clone_flags);

/*
 * kckpt_crew_clone_process() - in the context of its creator, a restored thread or for a root the caller: create a
 * process in its cgroup. Sets *@nr to its id unless NULL.
 */
int kckpt_crew_clone_process(struct kckpt_session *session, struct kckpt_object *process, pid_t *nr);

/* kckpt_crew_made() - @obj, which only its creator makes, is complete; kckpt_crew_wait_made() - others need it. */
void kckpt_crew_made(struct kckpt_crew *crew, struct kckpt_object *obj);
int kckpt_crew_wait_made(struct kckpt_crew *crew, struct kckpt_object *obj);

/*
 * kckpt_crew_wait_built() - in the context of the session's caller: until @obj is made, or all threads have built
 * themselves and it never will be. NULL: until they have. Nothing to wait for in a dry run. The error of a thread that
 * failed is returned here.
 */
int kckpt_crew_wait_built(struct kckpt_ctx *ctx, struct kckpt_object *obj);

/* kckpt_crew_check() - in the context of the session's caller: the reason to end, which has been reported, or 0. */
int kckpt_crew_check(struct kckpt_ctx *ctx);

/* kckpt_crew_is_dead() - has something failed? */
static inline bool kckpt_crew_is_dead(const struct kckpt_crew *crew)
{
	return READ_ONCE(crew->stage) == KCKPT_STAGE_DEAD;
}

/* kckpt_crew_finish() - let them finish: their memory is now as it will be. */
int kckpt_crew_finish(struct kckpt_session *session, u32 timeout_ms);

/* kckpt_crew_seal() - after that: what is not theirs to do, so that they can go. */
int kckpt_crew_seal(struct kckpt_session *session);

/* kckpt_crew_go_trapped() - after the seal: freeze the cgroup, let them go into the freezer. */
int kckpt_crew_go_trapped(struct kckpt_session *session, u32 timeout_ms);

/*
 * kckpt_crew_go() - after the seal: let them go, and wait until they have, as far as @timeout_ms and a fatal signal
 * let us. An error means that none of them has run, or will.
 */
int kckpt_crew_go(struct kckpt_session *session, u32 timeout_ms);

/* kckpt_crew_kill() - end them all; does not wait. */
void kckpt_crew_kill(struct kckpt_session *session);

/* kckpt_crew_reap() - after kill: wait until they are gone, at most 10 s; the caller's children are reaped. */
void kckpt_crew_reap(struct kckpt_session *session);

#endif
