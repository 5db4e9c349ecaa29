/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The events of the module: a generic netlink family that tells, and takes no requests.
 *
 * A listener resolves the family KCKPT_GENL_NAME with CTRL_CMD_GETFAMILY, finds the number of its multicast group
 * KCKPT_GENL_GROUP there, and joins it with NETLINK_ADD_MEMBERSHIP. That takes CAP_SYS_ADMIN in the user namespace
 * that owns its net namespace (EPERM). ENOENT: the module is not loaded, or cannot tell events on this kernel.
 *
 * Events are a help for people and monitors; nothing depends on them. They are built only while somebody listens.
 * What cannot be delivered is dropped, and the next receive of the listeners fails with ENOBUFS: some of what came
 * before it is missing. The truth about a session is what its requests return.
 *
 * Who sees what: the events of a session go to the initial net namespace, and to the one in which the session was
 * opened if that belongs to the initial user namespace, too: whoever may listen there could have opened the session.
 * All pids are in the pid namespace of the session's opener, 0 when not visible there.
 *
 * Each event is a message of its own: struct nlmsghdr, struct genlmsghdr with the event as its command (a number of
 * enum kckpt_event) and KCKPT_GENL_VERSION, then attributes, in any order. SESSION, TIME and OPERATION are in every
 * event, the others as told below; one that does not apply is absent. Integers are in host byte order and not
 * aligned to more than 4 bytes, strings end with NUL. Events and attributes are only added: a listener steps over
 * those that it does not know.
 *
 * A session tells nothing before BEGUN, which comes again if it begins anew after a freeze that failed; CLOSED is the
 * last of it. A dump:
 *	BEGUN FROZEN CAPTURED PROGRESS... SAVED, and KILLED, THAWED or RELEASED, CLOSED
 * a restore:
 *	BEGUN PROGRESS... INSTANTIATED PROGRESS... COMPLETE COMMITTED, and THAWED or RELEASED, CLOSED
 * FAILED, EXPIRED and CLOSED may come at any point. A failure that ends the session thaws the job, and so does its
 * close: THAWED then comes before FAILED or CLOSED, and after EXPIRED. After a failure that does not (STATE tells),
 * such as a capture that was refused, more may follow.
 */
#ifndef KCKPT_NETLINK_H
#define KCKPT_NETLINK_H

#define KCKPT_GENL_NAME		"kckpt"
#define KCKPT_GENL_VERSION	1
#define KCKPT_GENL_GROUP	"events"

enum kckpt_event {
	KCKPT_EVENT_NONE = 0,
#define KCKPT_EVENT(name, word, meaning) KCKPT_EVENT_##name,
#include <kckpt/events.def>
#undef KCKPT_EVENT
	KCKPT_EVENT_END
};

/* What a session is about, as far as it is known. */
enum kckpt_operation {
	KCKPT_OP_NONE = 0,
	KCKPT_OP_FREEZE,	/* a cgroup is held; whether for a dump or a check, CAPTURED tells */
	KCKPT_OP_DUMP,
	KCKPT_OP_CHECK,
	KCKPT_OP_RESTORE,
	KCKPT_OP_DRY_RUN,	/* of a restore; INSTANTIATED tells */
};

enum kckpt_event_attr {
	KCKPT_A_UNSPEC = 0,
	KCKPT_A_PAD,		/* to be stepped over */
	KCKPT_A_SESSION,	/* u64: counts the sessions since the module was loaded, from 1 */
	KCKPT_A_TIME,		/* u64: CLOCK_MONOTONIC, ns */
	KCKPT_A_OPERATION,	/* u32: enum kckpt_operation */
	KCKPT_A_PID,		/* u32: BEGUN: the process that asked; INSTANTIATED: the restored root process */
	KCKPT_A_CGROUP,		/* string: BEGUN of a dump, INSTANTIATED: path in the cgroup namespace of who asked;
				 * absent when too long */
	KCKPT_A_CGROUP_ID,	/* u64: with it: inode number of its directory */
	KCKPT_A_TASKS,		/* u32: CAPTURED, INSTANTIATED: threads */
	KCKPT_A_OBJECTS,	/* u32: CAPTURED */
	KCKPT_A_BYTES,		/* u64: PROGRESS, SAVED, COMPLETE: of the image, so far */
	KCKPT_A_TOTAL,		/* u64: CAPTURED; PROGRESS of a dump: estimate of all bytes */
	KCKPT_A_PAGES,		/* u64: PROGRESS, SAVED, COMPLETE: carried in the image */
	KCKPT_A_ZERO_PAGES,	/* u64: PROGRESS, SAVED, COMPLETE: left out since they are zero */
	KCKPT_A_DURATION,	/* u64, ns: FROZEN, CAPTURED, INSTANTIATED, COMMITTED: it took; THAWED of a dump: the
				 * job stood still */
	KCKPT_A_STATE,		/* u32: FAILED, CLOSED: enum kckpt_state, in which the session is left */
	/* FAILED, EXPIRED: the fields of struct kckpt_error, absent when they tell nothing */
	KCKPT_A_ERROR_CODE,	/* u32: enum kckpt_error_code; 0: only ERRNO tells */
	KCKPT_A_ERROR_ERRNO,	/* u32: positive */
	KCKPT_A_ERROR_PID,	/* u32 */
	KCKPT_A_ERROR_FD,	/* u32 */
	KCKPT_A_ERROR_FAMILY,	/* u32: enum kckpt_family_id */
	KCKPT_A_ERROR_OBJECT,	/* u64 */
	KCKPT_A_ERROR_COMM,	/* string */
	KCKPT_A_ERROR_DETAIL,	/* string */
	KCKPT_A_ERRORS,		/* u32: how many facts the report has */
	KCKPT_A_END
};

#endif /* KCKPT_NETLINK_H */
