/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tells what sessions do, to whoever listens; <kckpt/netlink.h> is the contract. Nothing here fails, waits or can be
 * felt by a session: without a listener each call is a look at a bit.
 */
#ifndef KCKPT_EVENTS_H
#define KCKPT_EVENTS_H

#include <linux/types.h>
#include <kckpt/netlink.h>

struct kckpt_capture;
struct kckpt_instantiate;
struct kckpt_session;
struct net;

/* Part of the session. */
struct kckpt_events {
	struct net *net;		/* where it was opened, with a reference; NULL: only the initial one hears */
	u64 number;
	u32 operation;			/* enum kckpt_operation */
	unsigned long flags;		/* of events.c; atomic, since the watchdog takes no lock */
	unsigned long next_progress;	/* jiffies */
	u64 total;			/* estimate of all bytes; 0: not known */
};

/* kckpt_events_init() - without memory, or on a kernel that cannot guard the group, the module does without. */
void kckpt_events_init(void);
void kckpt_events_exit(void);

/* kckpt_events_open() - number a new session, in the context of its opener. */
void kckpt_events_open(struct kckpt_session *session);
void kckpt_events_free(struct kckpt_session *session);

/* What has happened. By the request, under session.lock, except thawed and expired, which the watchdog also tells. */
void kckpt_event_begun(struct kckpt_session *session, u32 operation);
void kckpt_event_frozen(struct kckpt_session *session);
void kckpt_event_captured(struct kckpt_session *session, const struct kckpt_capture *req);
void kckpt_event_progress(struct kckpt_session *session);
void kckpt_event_saved(struct kckpt_session *session);
void kckpt_event_instantiated(struct kckpt_session *session, const struct kckpt_instantiate *req);
void kckpt_event_complete(struct kckpt_session *session);
void kckpt_event_committed(struct kckpt_session *session);
void kckpt_event_killed(struct kckpt_session *session);
void kckpt_event_released(struct kckpt_session *session);
void kckpt_event_expired(struct kckpt_session *session);
void kckpt_event_closed(struct kckpt_session *session);

/* kckpt_event_thawed() - after each thaw; silent if what was frozen has been told as killed or released. */
void kckpt_event_thawed(struct kckpt_session *session);

/* kckpt_event_failed() - after each request; silent unless it failed with a report, or ended the session. */
void kckpt_event_failed(struct kckpt_session *session, long err);

#endif
