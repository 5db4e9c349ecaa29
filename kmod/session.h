/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A session: one open of the device, one dump or one restore. See <kckpt/uapi.h> for what it does.
 *
 * Lock order:
 *	session.lock		a request; held while it sleeps on readers, writers, tasks, and on workers that take
 *				nothing below but page table locks and, only trying, a mmap_lock. splice() from
 *				the device has a pipe's lock outside, and so only tries
 *	  objtab.make_lock	restored tasks make shared objects one at a time (their context, without session.lock)
 *	    mmap_lock of a task, other locks of the kernel as its functions take them
 *	  cow.lock		what kept memory costs; also taken by the watchdog, without session.lock
 *	  freezer.lock		who owns the freeze; also taken by the watchdog, without session.lock
 *	    cgroup_mutex
 *	  tasklist_lock		of the kernel: children are listed, groups joined
 *	  crew.lock		spinlock; stage and counts of restored tasks, and who they are
 *	  report.lock		spinlock, innermost
 *
 * Lifetime: the file holds a reference, and so does each restored task while it is in our text. Nobody waits for
 * another in release(), which may run in any context, even that of a restored task.
 */
#ifndef KCKPT_SESSION_H
#define KCKPT_SESSION_H

#include <linux/kref.h>
#include <linux/mutex.h>
#include <linux/poll.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "cow.h"
#include "crew.h"
#include "events.h"
#include "family.h"
#include "freeze.h"
#include "load.h"
#include "save.h"

struct kckpt_session {
	struct kref ref;
	struct mutex lock;
	enum kckpt_state state;		/* under lock */
	int error;			/* in FAILED: why */
	struct kckpt_ctx ctx;
	struct kckpt_freezer freezer;
	struct kckpt_crew crew;
	struct kckpt_save *save;
	struct kckpt_load *load;
	struct kckpt_snapshot *snapshot; /* what could be retained; NULL: nothing */
	struct kckpt_cow cow;

	struct delayed_work watchdog;
	unsigned long stall;		/* jiffies; 0: the watchdog is off */
	unsigned long pause;		/* jiffies; 0: no bound */
	int expired;			/* errno once the watchdog has fired: nothing is accepted any more */

	u64 capture_ns, create_ns, commit_ns, transfer_ns;
	struct kckpt_events events;
	wait_queue_head_t wait;		/* who polls */
};

struct kckpt_session *kckpt_session_open(void);
void kckpt_session_release(struct kckpt_session *session);
void kckpt_session_put(struct kckpt_session *session);

/* kckpt_session_check() - after each sleep: has the watchdog fired? Also counts as progress. */
static inline int kckpt_session_check(struct kckpt_session *session)
{
	kckpt_progress(&session->ctx);
	return READ_ONCE(session->expired);
}

/* kckpt_session_expired() - what others may look at while a request goes on: not zero once the watchdog has fired. */
static inline const int *kckpt_session_expired(struct kckpt_ctx *ctx)
{
	return &container_of(ctx, struct kckpt_session, ctx)->expired;
}

/* kckpt_session_wake() - the state may be another now. */
static inline void kckpt_session_wake(struct kckpt_session *session)
{
	wake_up_poll(&session->wait, EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP);
}

/* The requests; session.lock is held. */
int kckpt_session_freeze(struct kckpt_session *session, const struct kckpt_freeze *req);
int kckpt_session_capture(struct kckpt_session *session, struct kckpt_capture *req);
int kckpt_session_thaw(struct kckpt_session *session);
int kckpt_session_kill(struct kckpt_session *session);
int kckpt_session_release_frozen(struct kckpt_session *session);
int kckpt_session_retain(struct kckpt_session *session);
int kckpt_session_forget(struct kckpt_forget *req);
int kckpt_session_cgroups(struct kckpt_session *session, struct kckpt_cgroups *req);
int kckpt_session_instantiate(struct kckpt_session *session, struct kckpt_instantiate *req);
int kckpt_session_commit(struct kckpt_session *session, const struct kckpt_commit *req);
int kckpt_session_abort(struct kckpt_session *session);
void kckpt_session_stats(struct kckpt_session *session, struct kckpt_stats *stats);
int kckpt_session_save(struct kckpt_session *session, struct kckpt_transfer *req);
int kckpt_session_load(struct kckpt_session *session, struct kckpt_transfer *req);
ssize_t kckpt_session_read(struct kckpt_session *session, struct iov_iter *to);
ssize_t kckpt_session_splice(struct kckpt_session *session, struct pipe_inode_info *pipe, size_t len);
ssize_t kckpt_session_write(struct kckpt_session *session, struct iov_iter *from);

/* kckpt_is_session() - is this an open /dev/kckpt? */
bool kckpt_is_session(struct file *file);

int kckpt_chardev_init(void);
void kckpt_chardev_exit(void);

/* kckpt_capture() - walk the frozen cgroup of ctx->cgrp, collect, check, and unless @check_only write the records. */
int kckpt_capture(struct kckpt_ctx *ctx, struct kckpt_save *save, bool check_only);

/* kckpt_capture_verify() - 0 if every task is still where it was when it was captured, else JOB_MOVED. */
int kckpt_capture_verify(struct kckpt_ctx *ctx);

/* kckpt_kill_is_quiet() - will none of its pages change when it is killed, of CAPTURE with KILL? */
bool kckpt_kill_is_quiet(struct kckpt_ctx *ctx);

/*
 * kckpt_kill() - if so, end every task that was captured, and wait for that. @quietly: none of them writes to
 * its memory at its end.
 */
int kckpt_kill(struct kckpt_ctx *ctx, bool quietly, u32 timeout_ms);

#endif
