/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The interface of /dev/kckpt: ioctls and the error record.
 *
 * One open of the device is a *session*: one dump or one restore. All that a session holds dies with its
 * last descriptor, whatever the reason: a cgroup that it froze is thawed, tasks that it created and that
 * were not committed are killed. A process that is killed in the middle of anything therefore leaves the
 * job running, or nothing behind. A session is used by one thread at a time; a second one waits.
 *
 * A dump:
 *	fd = open("/dev/kckpt", O_RDWR | O_CLOEXEC);
 *	KCKPT_IOC_FREEZE	stop the cgroup		EMPTY    -> FROZEN
 *	KCKPT_IOC_CAPTURE	describe it, or refuse	FROZEN   -> CAPTURED
 *	read() until it returns 0: the image		CAPTURED -> SAVED
 *	KCKPT_IOC_KILL or KCKPT_IOC_THAW or KCKPT_IOC_RELEASE_FROZEN	-> DONE
 *	close()
 * The job is changed by none of these but the last. After any failure: close, and it runs on. THAW and
 * RELEASE_FROZEN are also good in FROZEN, all three in CAPTURED. With KCKPT_CAPTURE_KEEP, THAW may come before the
 * image is read. read() never returns 0 before the image is complete: an error
 * (EIO, ETIMEDOUT, EAGAIN, ...) means that no image can be had from it any more.
 *
 * A restore:
 *	fd = open("/dev/kckpt", O_RDWR | O_CLOEXEC);
 *	write() the image from its first byte until a write is short: the records	EMPTY -> LOADED
 *	KCKPT_IOC_CGROUPS	which sub-cgroups to make below the job's
 *	KCKPT_IOC_INSTANTIATE	create the tasks, all of them held in the kernel	LOADED -> INSTANTIATED
 *	write() the rest: the pages go to their places		INSTANTIATED -> COMPLETE
 *	KCKPT_IOC_COMMIT	check everything, let go		COMPLETE -> DONE
 *	close()
 * No restored thread executes a user instruction before COMMIT. With KCKPT_INSTANTIATE_DRY_RUN nothing is
 * created: the records are checked against this kernel and file system, the rest of the image is verified
 * by the following writes, and COMMIT says whether it was whole.
 *
 * INSTANTIATE returns when all tasks exist and have their places in the tree. They go on to make their memory,
 * files and handlers while the pages are written; what fails there fails the write() that is under way, or the
 * next one, and wakes who polls. The write that completes the image returns when all are done.
 *
 * write() takes the image in pieces of any size. It stops at the end of the records with a short count; a
 * write there before INSTANTIATE fails with EBUSY. Writing past the end of the image fails with EFBIG.
 * LOAD from a file does the same without a copy by way of the caller; less than was asked for may be due to a failure,
 * too: the next one tells. A session that has failed gives the same errno for whatever is asked of it but STATS, REPORT
 * and ABORT.
 *
 * poll() tells what makes sense now: EPOLLOUT in EMPTY, LOADING and INSTANTIATED, where write() takes the image;
 * EPOLLIN in CAPTURED and SAVED, where read() gives it; EPOLLHUP in DONE; EPOLLERR when the session has failed, a
 * task could not build itself, or the watchdog has ended it, which wakes who polls. splice() from the device does
 * as read(); where memory is kept (KCKPT_CAPTURE_KEEP), or the job is to be killed (KCKPT_CAPTURE_KILL), its pages go
 * into the pipe as they are, else copies of them. It does not wait for another thread that uses the session, but
 * fails with EBUSY; nor is the session changed by EAGAIN (the pipe is full; else poll() tells EPOLLERR), EPIPE, or
 * ENOMEM without a report. The pipe is locked meanwhile: to let somebody read from it while pages are looked up and
 * copied, call SAVE with KCKPT_TRANSFER_AHEAD before, and splice no more than that says.
 *
 * Errors: an ioctl, read or write that fails returns -1 with errno as usual, and the session keeps a *report*,
 * a list of struct kckpt_error that says what, which task, descriptor and path, to be fetched with
 * KCKPT_IOC_REPORT. CAPTURE lists all that keeps the job from being dumped, not just the first. A caller
 * that lacks the rights gets EPERM from open() or the ioctl.
 *
 * Time: FREEZE waits at most timeout_ms. A session without progress for stall_ms is rolled back (the
 * job thawed, restored tasks killed), and so is one that holds a job frozen for longer than max_pause_ms;
 * requests then fail with ETIMEDOUT and the report has WATCHDOG or PAUSE_BOUND.
 *
 * Growth: each struct may grow at the end. The kernel takes a shorter one as if the rest were zero, a longer
 * one if the tail it does not know is zero (else E2BIG); unknown flags and non-zero reserved fields are
 * EINVAL. Elements of arrays do not grow. All pids are in the pid namespace of the caller. All integers are in host
 * byte order.
 */
#ifndef KCKPT_UAPI_H
#define KCKPT_UAPI_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define KCKPT_DEVICE	"/dev/kckpt"
#define KCKPT_ABI	1	/* of this header; KCKPT_IOC_INFO tells the module's: another one is incompatible */

enum kckpt_family_id {
	KCKPT_F_NONE = 0,
#define KCKPT_FAMILY(name, id, title) KCKPT_F_##name = id,
#include <kckpt/families.def>
#undef KCKPT_FAMILY
};

enum kckpt_error_code {
	KCKPT_E_NONE = 0,
#define KCKPT_ERROR(name, err, text, remedy) KCKPT_E_##name,
#include <kckpt/errors.def>
#undef KCKPT_ERROR
	KCKPT_E_END
};

/* One fact of the report. */
struct kckpt_error {
	__u32 code;		/* enum kckpt_error_code */
	__s32 err;		/* the errno behind it, negative; 0 if none */
	__s32 pid;		/* the task's id in the caller's pid namespace; 0: no task, or not visible there */
	__s32 fd;		/* -1: no descriptor */
	__u32 family;		/* enum kckpt_family_id; 0: none */
	__u32 reserved;
	__u64 object;		/* object id of the image; 0: none */
	char  comm[16];		/* the task's name; empty: no task */
	char  detail[168];	/* a path, an address, a field: NUL-terminated, cut in front ("...") when too long */
};

enum kckpt_state {
	KCKPT_EMPTY,
	KCKPT_FROZEN, KCKPT_CAPTURED, KCKPT_SAVED,
	KCKPT_LOADING, KCKPT_LOADED, KCKPT_INSTANTIATED, KCKPT_COMPLETE,
	KCKPT_DONE,		/* nothing is held any more */
	KCKPT_FAILED,		/* rolled back; see the report */
};

/* KCKPT_IOC_INFO, any state. Pointers may be 0; nr_families: in, room in the array; out, how many there are. */
struct kckpt_info {
	__u32 abi;		/* KCKPT_ABI of the module */
	__u32 image_major, image_minor;
	__u32 flags;		/* KCKPT_INFO_* */
	__u64 families;		/* struct kckpt_family_info * */
	__u32 nr_families;
	__u32 reserved;
	char  version[32];	/* of the module */
};
#define KCKPT_INFO_FAULTS	(1u << 0)	/* built with the fail-nth hook */
#define KCKPT_INFO_UNTESTED	(1u << 1)	/* allow_untested was needed: a kernel that is newer or has changed */

struct kckpt_family_info {
	__u32 id;
	__u32 available;	/* 1: this kernel has what the family needs, and no more than it knows */
	char  name[16];
	char  missing[64];	/* when not available: a symbol that is missing, or what is not as expected */
};

/* KCKPT_IOC_FREEZE: EMPTY -> FROZEN. A cgroup that was frozen before stays so on close and on THAW. */
struct kckpt_freeze {
	__s32 cgroup;		/* descriptor of a cgroup v2 directory; not the root */
	__u32 flags;		/* none yet */
	__u32 timeout_ms;	/* how long to wait for the last task; 0: 10000 */
	__u32 max_pause_ms;	/* thaw after that, whatever happens; 0: no bound */
	__u32 stall_ms;		/* thaw after that long without a request or a byte read; 0: 60000 */
	__u32 reserved;
};

/*
 * What belongs to the outside: the image has no more of such an open file than its name, its access mode, flags and
 * offset; the restorer brings another one in its place. Capture: fd is that of the job's root process. Restore: it is
 * the caller's own. One that is open takes the place as it is. One that was opened with O_PATH tells only what to open:
 * a regular file, directory or device, which is then opened with the flags and set to the offset that the job had.
 *
 * A name stands for one open file description. When several of the job come under one name, the first that is met
 * has it, the next ones are "NAME.2", "NAME.3" in the image; at restore an O_PATH descriptor called NAME is good for
 * all of them, unless there is one of that very name.
 */
struct kckpt_inherit {
	__s32 fd;
	__u32 reserved;
	char  name[56];		/* NUL-terminated, not empty; the same at dump and restore */
};
#define KCKPT_MAX_INHERIT 1024	/* and of externals */

/*
 * The same, for capture, of whatever open files of the job are what is told here. The first entry that matches a file
 * counts, and those of kckpt_inherit before all; one that nothing comes under is refused (INHERIT_UNUSED).
 */
struct kckpt_external {
	__u32 kind;		/* enum kckpt_external_kind */
	__u32 reserved;
	__u64 dev;		/* FILE: st_dev, DEV: st_rdev, of stat(2); else 0 */
	__u64 ino;		/* PIPE, SOCKET: the number in "pipe:[123]" of /proc/PID/fd; FILE: st_ino; else 0 */
	char  name[56];		/* as in kckpt_inherit */
};

enum kckpt_external_kind {
	KCKPT_EXTERNAL_PIPE = 1,	/* not a named one, which is a FILE */
	KCKPT_EXTERNAL_SOCKET,
	KCKPT_EXTERNAL_FILE,		/* anything with a path */
	KCKPT_EXTERNAL_DEV,		/* a character device, by whatever path it was opened */
	KCKPT_EXTERNAL_TTY,		/* the controlling terminal of the job, also when opened as /dev/tty */
};

/* KCKPT_IOC_CAPTURE: FROZEN -> CAPTURED; FROZEN -> FROZEN on a refusal, or with CHECK. */
struct kckpt_capture {
	__u32 flags;		/* KCKPT_CAPTURE_* */
	__u32 nr_inherit;
	__u64 inherit;		/* struct kckpt_inherit * */
	/* out */
	__u64 image_bytes;	/* estimate, for a progress bar */
	__u32 nr_tasks;		/* threads */
	__u32 nr_objects;
	__s32 root_pid;
	__u32 kept;		/* enum kckpt_kept */
	/* in */
	__u64 external;		/* struct kckpt_external * */
	__u32 nr_external;
	__u32 reserved2;
	__u8  parent[16];	/* with PARENT: UUID of the image that this one is to build on */
	/* out */
	__u8  image[16];	/* UUID of this one */
	/* in */
	__u64 max_cow;		/* with KEEP: bytes of copies that the job may make after its thaw; 0: no bound */
};
#define KCKPT_CAPTURE_CHECK	(1u << 0)	/* only report; nothing is kept */
#define KCKPT_CAPTURE_FILES	(1u << 1)	/* files that were deleted go into the image, with their contents */
#define KCKPT_CAPTURE_KEEP	(1u << 2)	/* keep the memory as it is, copy-on-write, if that can be */
#define KCKPT_CAPTURE_PARENT	(1u << 3)	/* an increment: without what was not written since `parent` */
#define KCKPT_CAPTURE_SNAPSHOT	(1u << 4)	/* with KEEP: hold what is kept until RETAIN, for the next increment */
#define KCKPT_CAPTURE_KILL	(1u << 5)	/* KILL is to follow: pages may go into a pipe as they are, see below */

/*
 * What came of KEEP. Where memory is kept, the job may be thawed before the image is read: THAW then leaves the session
 * in CAPTURED, and the image is that of the time of the capture. Else the job has to stand still as without KEEP.
 *
 * From the thaw on the job makes a copy of each page that it writes to, until the image has that page. What is kept
 * goes, and the session fails (KEPT_DROPPED), when it has made more than max_cow bytes of copies, or when its cgroup or
 * the machine is short of memory. Both are looked at up to 20 times a second; copies are counted as the page faults of
 * the job, so there may be fewer. The job runs on in any case. What goes is given back when the request that reads it
 * has come to its end, at once if there is none. With SNAPSHOT nobody looks from the end of the image until RETAIN.
 */
enum kckpt_kept {
	KCKPT_KEPT_NOT,		/* not asked for */
	KCKPT_KEPT,
	KCKPT_KEPT_NO_ROOM,	/* no room for all that the job may write to: in its cgroup, or the machine */
	KCKPT_KEPT_TOO_MUCH,	/* too much of what can only be copied while the job stands still: shared memory */
};

/*
 * With KCKPT_CAPTURE_KILL pages are copied all the same where a thread holds locks that tell of its end (robust
 * futexes). The job may be thawed, too, or handed over, as after any failure. But who has not read all of the image
 * from the pipe by then may find in it what the job writes later: it does not match its digests any more. So it is with
 * what its threads write at their end, if somebody else kills it; KCKPT_IOC_KILL then fails (JOB_MOVED).
 */

/*
 * Increments. An image that is captured with PARENT has only those private anonymous pages that the job has written to
 * since its parent was captured; of others it says that the parent has them. It takes a *snapshot* of that time for it:
 * capture the parent with KEEP and SNAPSHOT, read it, and when it is safe where it is to be, KCKPT_IOC_RETAIN hands the
 * snapshot to the module. There it is, without any descriptor, for later sessions: one for each cgroup, until
 * another takes its place, or FORGET, or the job ends, or its memory gets short, or the module is unloaded.
 * Until RETAIN the snapshot before is still there: nothing is lost when an image cannot be written. But a capture with
 * KEEP and without PARENT that finds no room drops it.
 * CAPTURE fails (PARENT_NOT_KEPT) when there is no snapshot of `parent`: an image without parent can then be had. One
 * session at a time builds on a snapshot, until its image has been read, or with SNAPSHOT until RETAIN or its end; for
 * others CAPTURE fails (PARENT_BUSY).
 * RETAIN fails (NO_SNAPSHOT) where memory was not kept. It, and COMMIT with SNAPSHOT, lock the memory of the job, which
 * may run, for a look at what the snapshot has, and so may have to wait for it; a fatal signal ends that.
 *
 * COMMIT with SNAPSHOT keeps one of what was restored, as RETAIN does: the next image can build on the one that was
 * loaded. Where that cannot be, the restore is none the worse for it; kckpt_stats.kept tells. Page tables are copied
 * before the first task runs, but with its timers running. Nobody else may have written to the tasks' memory since
 * INSTANTIATE: what is kept is taken for what the image has.
 *
 * LOAD and write() take whole images only (else IMAGE_PARENT): who restores an increment puts it together with its
 * parents first. docs/image-format.md tells how; the tool does, see kckpt-flatten(8).
 *
 * KCKPT_IOC_FORGET, any state: drops the snapshot of a cgroup.
 */
struct kckpt_forget {
	__s32 cgroup;		/* descriptor of a cgroup v2 directory; -1: all there are */
	__u32 flags;		/* none yet */
	__u32 nr;		/* out: how many there were */
	__u32 reserved;
};

/*
 * KCKPT_IOC_SAVE, as read(), and KCKPT_IOC_LOAD, as write(): the kernel itself writes the image into a file, or reads
 * it from one, without a copy between. A regular file or a block device: else, and for O_DIRECT on an overlay, EINVAL.
 * From the file's position on, which is moved at the end; O_DIRECT is used for what is aligned. An errno of the file
 * leaves the session as it was, and nothing of the image is lost. SAVE moves 0 bytes when the image is complete; LOAD
 * at the end of the file, and fails with EBUSY where the records end.
 */
struct kckpt_transfer {
	__s32 fd;
	__u32 flags;		/* KCKPT_TRANSFER_* */
	__u64 bytes;		/* in: at most; 0: all that there is. out: moved */
};
/* SAVE with fd -1 and 0 bytes: moves nothing, but gets ready what splice() takes next, about 1 MiB; tells how much. */
#define KCKPT_TRANSFER_AHEAD	(1u << 0)

/* KCKPT_IOC_INSTANTIATE: LOADED -> INSTANTIATED; stays LOADED on a refusal of the check, else FAILED. */
struct kckpt_instantiate {
	__s32 cgroup;		/* descriptor of a cgroup v2 directory without tasks, with the sub-cgroups that
				 * CGROUPS lists and no others; -1 with DRY_RUN */
	__u32 flags;		/* KCKPT_INSTANTIATE_* */
	__u32 nr_inherit;
	__u32 stall_ms;		/* give up after that long without a request or a byte; 0: 60000 */
	__u64 inherit;		/* struct kckpt_inherit * */
	/* out */
	__s32 root_pid;
	__u32 nr_tasks;
};
#define KCKPT_INSTANTIATE_DRY_RUN	(1u << 0)
#define KCKPT_INSTANTIATE_FILES_CHANGED	(1u << 1)	/* take files open for writing in any size and age */
#define KCKPT_INSTANTIATE_FILES_STRICT	(1u << 2)	/* device and inode must be the same, too */

/*
 * KCKPT_IOC_CGROUPS, in LOADED: the cgroups below the job's that INSTANTIATE wants to find, empty, below the one that
 * it is given: relative paths, parents first, each with its NUL. With too little room nothing is copied.
 */
struct kckpt_cgroups {
	__u64 paths;		/* char * */
	__u32 size;		/* in: room in bytes; out: what all of them need */
	__u32 nr;		/* out: how many */
	__u32 flags;		/* none yet */
	__u32 reserved;
};

/* KCKPT_IOC_COMMIT: COMPLETE -> DONE. Earlier it fails (IMAGE_TRUNCATED) and ends the session. */
struct kckpt_commit {
	__u32 flags;		/* KCKPT_COMMIT_* */
	__u32 timeout_ms;	/* give up when the tasks get no further for that long, before they run; 0: 10000 */
};
#define KCKPT_COMMIT_FROZEN	(1u << 0)	/* leave the cgroup frozen; the operator thaws it */
#define KCKPT_COMMIT_SNAPSHOT	(1u << 1)	/* keep a snapshot of what was restored; see "Increments" */

/* KCKPT_IOC_REPORT, any state. The list is at most KCKPT_MAX_REPORT long; what came later is only counted. */
struct kckpt_report {
	__u64 errors;		/* struct kckpt_error * */
	__u32 first;		/* skip that many */
	__u32 nr;		/* in: room; out: filled */
	__u32 total;		/* out: all that happened */
	__u32 reserved;
};
#define KCKPT_MAX_REPORT 256

/* KCKPT_IOC_STATS, any state; all out. Times in ns of CLOCK_MONOTONIC; 0: has not happened. */
struct kckpt_stats {
	__u32 state;		/* enum kckpt_state */
	__u32 nr_tasks;
	__u64 bytes;		/* of the image, read or written so far */
	__u64 pages;		/* carried in it */
	__u64 zero_pages;	/* left out since they are zero */
	__u64 freeze_ns;	/* from the request until the last task was frozen */
	__u64 capture_ns;	/* describing the job */
	__u64 pause_ns;		/* from the freeze request until the thaw; still growing while frozen */
	__u64 create_ns;	/* until all tasks existed, some with their memory */
	__u64 commit_ns;
	__u64 transfer_ns;	/* within read, write, splice, SAVE and LOAD */
	__u64 parent_pages;	/* left out since the parent image has them */
	__u64 cow_pages;	/* copied while memory was kept, or fewer: page faults of the job */
	__u32 kept;		/* enum kckpt_kept, of CAPTURE or COMMIT */
	__u32 reserved;
	__u64 unchanged_pages;	/* those of parent_pages of which the kernel told that nobody had changed them */
};

#define KCKPT_IOC_INFO		_IOWR(0xCB, 0, struct kckpt_info)
#define KCKPT_IOC_FREEZE	_IOW(0xCB, 1, struct kckpt_freeze)
#define KCKPT_IOC_CAPTURE	_IOWR(0xCB, 2, struct kckpt_capture)
#define KCKPT_IOC_THAW		_IO(0xCB, 3)	/* let the job run on */
#define KCKPT_IOC_KILL		_IO(0xCB, 4)	/* end the job and wait for that, at most 100 s, 10 while nobody begins
						 * to end who has not; zombies are left to their parent */
#define KCKPT_IOC_RELEASE_FROZEN _IO(0xCB, 5)	/* from now on the freeze belongs to the operator */
#define KCKPT_IOC_INSTANTIATE	_IOWR(0xCB, 6, struct kckpt_instantiate)
#define KCKPT_IOC_COMMIT	_IOW(0xCB, 7, struct kckpt_commit)
#define KCKPT_IOC_ABORT		_IO(0xCB, 8)	/* roll back now and wait for it; -> FAILED */
#define KCKPT_IOC_REPORT	_IOWR(0xCB, 9, struct kckpt_report)
#define KCKPT_IOC_STATS		_IOR(0xCB, 10, struct kckpt_stats)
#define KCKPT_IOC_CGROUPS	_IOWR(0xCB, 11, struct kckpt_cgroups)
#define KCKPT_IOC_SAVE		_IOWR(0xCB, 12, struct kckpt_transfer)
#define KCKPT_IOC_LOAD		_IOWR(0xCB, 13, struct kckpt_transfer)
#define KCKPT_IOC_RETAIN	_IO(0xCB, 14)	/* in SAVED: the module keeps the snapshot */
#define KCKPT_IOC_FORGET	_IOWR(0xCB, 15, struct kckpt_forget)

#endif /* KCKPT_UAPI_H */
