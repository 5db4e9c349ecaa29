// SPDX-License-Identifier: GPL-2.0
/*
 * Events over generic netlink. A message is built without waiting for memory, since the job may stand still meanwhile,
 * and delivered without waiting for readers: a socket that is full loses what comes, and is told so.
 */
#include <linux/cgroup.h>
#include <linux/ktime.h>
#include <linux/nsproxy.h>
#include <linux/pid_namespace.h>
#include <linux/user_namespace.h>
#include <net/net_namespace.h>

#include "compat/netlink.h"
#include "events.h"
#include "fault.h"
#include "session.h"

#define EVENT_GFP	(GFP_NOWAIT | __GFP_NOWARN)
#define EVENT_GROUP	0		/* in the array below */
#define EVENT_PATH_MAX	2048		/* of a cgroup; with all else it fits into one message */
#define PROGRESS_EVERY	(HZ / 10)

enum { EVENTS_BEGUN, EVENTS_FROZEN, EVENTS_FAILED };	/* bits of kckpt_events.flags */

static const struct genl_multicast_group event_groups[] = {
	[EVENT_GROUP] = { .name = KCKPT_GENL_GROUP, .flags = KCKPT_GROUP_ADMIN },
};

static struct genl_family event_family __ro_after_init = {
	.name		= KCKPT_GENL_NAME,
	.version	= KCKPT_GENL_VERSION,
	.module		= THIS_MODULE,
	.netnsok	= true,
	.mcgrps		= event_groups,
	.n_mcgrps	= ARRAY_SIZE(event_groups),
};

static bool events_registered __ro_after_init;
static atomic64_t events_sessions = ATOMIC64_INIT(0);

/* ---- messages ---- */

struct event {
	struct sk_buff *skb;
	void *head;
};

/* Of any net namespace: the kernel counts them together. */
static bool event_wanted(void)
{
	return events_registered && genl_has_listeners(&event_family, &init_net, EVENT_GROUP);
}

/* What was to be sent is lost: whoever would have got it hears that. */
static void event_lost(const struct kckpt_events *events)
{
	genl_set_err(&event_family, &init_net, 0, EVENT_GROUP, -ENOBUFS);
	if (events->net)
		genl_set_err(&event_family, events->net, 0, EVENT_GROUP, -ENOBUFS);
}

/* The attributes beyond the common ones are small and few, or put with a look at the room: see event_put_cgroup(). */
static void event_put_u32(struct event *event, int attr, u32 value)
{
	nla_put_u32(event->skb, attr, value);
}

static void event_put_u64(struct event *event, int attr, u64 value)
{
	nla_put_u64_64bit(event->skb, attr, value, KCKPT_A_PAD);
}

/* False: nobody wants it, or there is no memory for it. */
static bool event_begin(struct kckpt_session *session, struct event *event, u8 what)
{
	struct kckpt_events *events = &session->events;

	if (!test_bit(EVENTS_BEGUN, &events->flags) || !event_wanted())
		return false;
	event->skb = kckpt_should_fail() ? NULL : genlmsg_new(GENLMSG_DEFAULT_SIZE, EVENT_GFP);
	if (!event->skb) {
		event_lost(events);
		return false;
	}
	event->head = genlmsg_put(event->skb, 0, 0, &event_family, 0, what);
	event_put_u64(event, KCKPT_A_SESSION, events->number);
	event_put_u64(event, KCKPT_A_TIME, ktime_get_ns());
	event_put_u32(event, KCKPT_A_OPERATION, READ_ONCE(events->operation));
	return true;
}

static void event_send(struct kckpt_session *session, struct event *event)
{
	struct net *net = session->events.net;
	struct sk_buff *other;

	genlmsg_end(event->skb, event->head);
	if (net) {
		other = kckpt_should_fail() ? NULL : skb_clone(event->skb, EVENT_GFP);
		if (other)
			genlmsg_multicast_netns(&event_family, net, other, 0, EVENT_GROUP, EVENT_GFP);
		else
			genl_set_err(&event_family, net, 0, EVENT_GROUP, -ENOBUFS);
	}
	genlmsg_multicast_netns(&event_family, &init_net, event->skb, 0, EVENT_GROUP, EVENT_GFP);
}

static void event_simple(struct kckpt_session *session, u8 what)
{
	struct event event;

	if (event_begin(session, &event, what))
		event_send(session, &event);
}

static void event_with_duration(struct kckpt_session *session, u8 what, u64 ns)
{
	struct event event;

	if (!event_begin(session, &event, what))
		return;
	if (ns)
		event_put_u64(&event, KCKPT_A_DURATION, ns);
	event_send(session, &event);
}

/* As the caller would name it. cgroup_path_ns() does the same under cgroup_mutex, for which nobody shall wait here. */
static void event_put_cgroup(struct event *event, struct cgroup *cgrp)
{
	struct kernfs_node *root = current->nsproxy->cgroup_ns->root_cset->dfl_cgrp->kn;
	char *path;
	int len;

	event_put_u64(event, KCKPT_A_CGROUP_ID, cgroup_id(cgrp));
	path = kckpt_should_fail() ? NULL : kmalloc(EVENT_PATH_MAX, EVENT_GFP);
	if (!path)
		return;
	len = kernfs_path_from_node(cgrp->kn, root, path, EVENT_PATH_MAX);
	if (len > 0 && len < EVENT_PATH_MAX)
		nla_put_string(event->skb, KCKPT_A_CGROUP, path);
	kfree(path);
}

static void event_put_stats(struct event *event, struct kckpt_session *session)
{
	struct kckpt_stats stats;

	kckpt_session_stats(session, &stats);
	event_put_u64(event, KCKPT_A_BYTES, stats.bytes);
	event_put_u64(event, KCKPT_A_PAGES, stats.pages);
	event_put_u64(event, KCKPT_A_ZERO_PAGES, stats.zero_pages);
}

static void event_put_error(struct event *event, const struct kckpt_error *error)
{
	event_put_u32(event, KCKPT_A_ERROR_CODE, error->code);
	event_put_u32(event, KCKPT_A_ERROR_ERRNO, abs(error->err));
	if (error->pid > 0)
		event_put_u32(event, KCKPT_A_ERROR_PID, error->pid);
	if (error->fd >= 0)
		event_put_u32(event, KCKPT_A_ERROR_FD, error->fd);
	if (error->family)
		event_put_u32(event, KCKPT_A_ERROR_FAMILY, error->family);
	if (error->object)
		event_put_u64(event, KCKPT_A_ERROR_OBJECT, error->object);
	if (error->comm[0])
		nla_put_string(event->skb, KCKPT_A_ERROR_COMM, error->comm);
	if (error->detail[0])
		nla_put_string(event->skb, KCKPT_A_ERROR_DETAIL, error->detail);
}

/* The first fact of the report; without one, what the request returned. */
static void event_put_first_error(struct event *event, struct kckpt_session *session, int err)
{
	struct kckpt_error error = { .err = err, .fd = -1 };

	kckpt_report_get(&session->ctx.report, 0, &error);
	event_put_error(event, &error);
	event_put_u32(event, KCKPT_A_ERRORS, session->ctx.report.total);
}

/* ---- what happens ---- */

void kckpt_event_begun(struct kckpt_session *session, u32 operation)
{
	struct event event;

	WRITE_ONCE(session->events.operation, operation);
	set_bit(EVENTS_BEGUN, &session->events.flags);
	session->events.next_progress = jiffies + PROGRESS_EVERY;
	if (!event_begin(session, &event, KCKPT_EVENT_BEGUN))
		return;
	event_put_u32(&event, KCKPT_A_PID, task_tgid_nr_ns(current, session->ctx.pidns));
	if (session->freezer.cgrp)
		event_put_cgroup(&event, session->freezer.cgrp);
	event_send(session, &event);
}

void kckpt_event_frozen(struct kckpt_session *session)
{
	/* One that was frozen before does not run on when we let go of it. */
	if (session->freezer.ours)
		set_bit(EVENTS_FROZEN, &session->events.flags);
	event_with_duration(session, KCKPT_EVENT_FROZEN, session->freezer.freeze_ns);
}

void kckpt_event_captured(struct kckpt_session *session, const struct kckpt_capture *req)
{
	struct event event;

	WRITE_ONCE(session->events.operation, req->flags & KCKPT_CAPTURE_CHECK ? KCKPT_OP_CHECK : KCKPT_OP_DUMP);
	session->events.next_progress = jiffies + PROGRESS_EVERY;
	session->events.total = req->image_bytes;
	if (!event_begin(session, &event, KCKPT_EVENT_CAPTURED))
		return;
	event_put_u32(&event, KCKPT_A_TASKS, req->nr_tasks);
	event_put_u32(&event, KCKPT_A_OBJECTS, req->nr_objects);
	event_put_u64(&event, KCKPT_A_TOTAL, req->image_bytes);
	event_put_u64(&event, KCKPT_A_DURATION, session->capture_ns);
	event_send(session, &event);
}

void kckpt_event_progress(struct kckpt_session *session)
{
	struct event event;

	if (time_before(jiffies, session->events.next_progress))
		return;
	session->events.next_progress = jiffies + PROGRESS_EVERY;
	if (!event_begin(session, &event, KCKPT_EVENT_PROGRESS))
		return;
	event_put_stats(&event, session);
	if (session->events.total)
		event_put_u64(&event, KCKPT_A_TOTAL, session->events.total);
	event_send(session, &event);
}

static void event_with_stats(struct kckpt_session *session, u8 what)
{
	struct event event;

	if (!event_begin(session, &event, what))
		return;
	event_put_stats(&event, session);
	event_send(session, &event);
}

void kckpt_event_saved(struct kckpt_session *session)
{
	event_with_stats(session, KCKPT_EVENT_SAVED);
}

void kckpt_event_complete(struct kckpt_session *session)
{
	event_with_stats(session, KCKPT_EVENT_COMPLETE);
}

void kckpt_event_instantiated(struct kckpt_session *session, const struct kckpt_instantiate *req)
{
	struct event event;

	if (req->flags & KCKPT_INSTANTIATE_DRY_RUN)
		WRITE_ONCE(session->events.operation, KCKPT_OP_DRY_RUN);
	if (!event_begin(session, &event, KCKPT_EVENT_INSTANTIATED))
		return;
	event_put_u32(&event, KCKPT_A_TASKS, req->nr_tasks);
	if (session->freezer.cgrp) {
		/* What the request returns is in the namespace of its caller. */
		event_put_u32(&event, KCKPT_A_PID, session->crew.root_pid);
		event_put_cgroup(&event, session->freezer.cgrp);
		event_put_u64(&event, KCKPT_A_DURATION, session->create_ns);
	}
	event_send(session, &event);
}

void kckpt_event_committed(struct kckpt_session *session)
{
	/* Frozen on its way or not, the job begins to run, unless it is left to the operator. A dry run has none. */
	if (session->freezer.cgrp)
		set_bit(EVENTS_FROZEN, &session->events.flags);
	event_with_duration(session, KCKPT_EVENT_COMMITTED, session->commit_ns);
}

void kckpt_event_thawed(struct kckpt_session *session)
{
	if (test_and_clear_bit(EVENTS_FROZEN, &session->events.flags))
		event_with_duration(session, KCKPT_EVENT_THAWED, session->freezer.pause_ns);
}

void kckpt_event_killed(struct kckpt_session *session)
{
	clear_bit(EVENTS_FROZEN, &session->events.flags);
	event_simple(session, KCKPT_EVENT_KILLED);
}

void kckpt_event_released(struct kckpt_session *session)
{
	clear_bit(EVENTS_FROZEN, &session->events.flags);
	event_simple(session, KCKPT_EVENT_RELEASED);
}

void kckpt_event_expired(struct kckpt_session *session)
{
	struct event event;

	if (!event_begin(session, &event, KCKPT_EVENT_EXPIRED))
		return;
	event_put_first_error(&event, session, READ_ONCE(session->expired));
	event_send(session, &event);
}

void kckpt_event_failed(struct kckpt_session *session, long err)
{
	bool ended = session->state == KCKPT_FAILED;
	struct event event;

	/* What comes after the end only hears of it again. Without a report it was no more than a wrong argument. */
	if (err >= 0 || (ended ? test_and_set_bit(EVENTS_FAILED, &session->events.flags) : !session->ctx.report.total))
		return;
	if (!event_begin(session, &event, KCKPT_EVENT_FAILED))
		return;
	event_put_u32(&event, KCKPT_A_STATE, session->state);
	event_put_first_error(&event, session, err);
	event_send(session, &event);
}

void kckpt_event_closed(struct kckpt_session *session)
{
	struct event event;

	if (!event_begin(session, &event, KCKPT_EVENT_CLOSED))
		return;
	event_put_u32(&event, KCKPT_A_STATE, session->state);
	event_send(session, &event);
}

/* ---- begin and end ---- */

void kckpt_events_open(struct kckpt_session *session)
{
	struct net *net = current->nsproxy->net_ns;

	session->events.number = atomic64_inc_return(&events_sessions);
	/* Who rules one that belongs to another user namespace could not have opened a session. */
	if (!net_eq(net, &init_net) && net->user_ns == &init_user_ns)
		session->events.net = get_net(net);
}

void kckpt_events_free(struct kckpt_session *session)
{
	if (session->events.net)
		put_net(session->events.net);
}

void __init kckpt_events_init(void)
{
	int err = -EOPNOTSUPP;

	if (KCKPT_CAN_GUARD_GROUP)
		err = genl_register_family(&event_family);
	events_registered = !err;
	if (err)
		pr_warn("no events: error %d\n", err);
}

void kckpt_events_exit(void)
{
	if (events_registered)
		genl_unregister_family(&event_family);
}
