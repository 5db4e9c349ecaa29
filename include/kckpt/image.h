/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The image: one stream, header first.
 *
 *	header | records ... | end | batches of pages ... | digests | index | trailer
 *
 * A record is struct kckpt_record, its payload (a struct from image/<family>.def, then the tail), and zeros
 * up to a multiple of 8. All numbers are little-endian. Objects refer to each other by object id, forward and
 * back; ids are dense and start at 1, in the order of the records. Records of one object follow each other.
 *
 * Growth: a payload that is shorter than the struct reads as if zeros followed; one with a known tail is
 * located by the size of the fields as written, which is `size` less the length of the tail. Fields are only
 * appended, never moved. docs/image-format.md has the whole text.
 */
#ifndef KCKPT_IMAGE_H
#define KCKPT_IMAGE_H

#include <linux/types.h>

#define KCKPT_IMAGE_MAGIC	"KCKPTIMG"
#define KCKPT_IMAGE_MAJOR	1
#define KCKPT_IMAGE_MINOR	1
#define KCKPT_PAGE_SIZE		4096u
#define KCKPT_CHUNK_SIZE	(1u << 20)	/* bytes of the stream under one digest */
#define KCKPT_MAX_RECORD	(64u << 20)	/* payload of one record */
#define KCKPT_MAX_RUNS		512u		/* page runs in one batch */
#define KCKPT_MAX_SHARES	256u		/* share runs in one record */
#define KCKPT_MAX_BATCH		512u		/* pages of data in one batch; as many more in zero runs */

struct kckpt_record {
	__u16 family;		/* enum kckpt_family_id */
	__u16 kind;		/* within the family */
	__u32 size;		/* of the payload, without the padding that follows */
	__u64 object;		/* 0: belongs to no object */
};

struct kckpt_page_run {
	__u64 vaddr;
	__u32 nr_pages;
	__u32 flags;		/* KCKPT_RUN_* */
};
#define KCKPT_RUN_ZERO	(1u << 0)	/* all zero: no data in the image */
#define KCKPT_RUN_HUGE	(1u << 1)	/* was one huge page */

/* Copy-on-write: each of them has the page until one of them writes to it. */
struct kckpt_share_run {
	__u64 vaddr;
	__u64 source;		/* an address space with a lower object id */
	__u32 nr_pages;
	__u32 flags;		/* none yet */
};

struct kckpt_index_row {
	__u64 offset;		/* of the record, from the start of the image */
	__u64 object;
	__u16 family, kind;
	__u32 reserved;
};

#define KCKPT_BYTES(name, len, since, show, meaning) char name[len];
#define KCKPT_FIELD(type, name, since, show, meaning) __##type name;
struct kckpt_header {
#include <kckpt/image/header.def>
};
#define KCKPT_RECORD(name, family, kind, tail, meaning) struct kckpt_##name##_rec {
#define KCKPT_RECORD_END(name) };
#include <kckpt/image/records.def>

enum kckpt_record_kind {
#define KCKPT_RECORD(name, family, kind, tail, meaning) KCKPT_K_##name = kind,
#include <kckpt/image/records.def>
};

/* Neither padding nor odd sizes: what the table says is what the bytes are. */
#ifdef __cplusplus
#define KCKPT_STATIC_ASSERT static_assert
#else
#define KCKPT_STATIC_ASSERT _Static_assert
#endif
#define KCKPT_RECORD(name, family, kind, tail, meaning) \
	KCKPT_STATIC_ASSERT(sizeof(struct kckpt_##name##_rec) % 8 == 0 && sizeof(struct kckpt_##name##_rec) == 0
#define KCKPT_FIELD(type, name, since, show, meaning) + sizeof(__##type)
#define KCKPT_BYTES(name, len, since, show, meaning) + (len)
#define KCKPT_RECORD_END(name) , "hidden padding in kckpt_" #name "_rec");
#include <kckpt/image/records.def>
KCKPT_STATIC_ASSERT(sizeof(struct kckpt_header) == 256, "size of the header");

/* task.task_flags */
#define KCKPT_TASK_RESTORE_SIGMASK	(1u << 0)	/* saved_blocked counts */
#define KCKPT_TASK_NO_NEW_PRIVS		(1u << 1)
#define KCKPT_TASK_ENDED		(1u << 2)	/* a zombie, or a leader that waits for its threads */
#define KCKPT_TASK_IO_FLUSHER		(1u << 3)	/* PR_SET_IO_FLUSHER */

/* task.restart */
enum kckpt_restart {
	KCKPT_RESTART_NONE,
	KCKPT_RESTART_NANOSLEEP,
	KCKPT_RESTART_FUTEX,
	KCKPT_RESTART_POLL,
};
#define KCKPT_RESTART_F_TIMED	(1u << 0)	/* restart_expires counts */
#define KCKPT_RESTART_F_SHARED	(1u << 1)	/* futex shared between processes */
#define KCKPT_RESTART_F_REALTIME (1u << 2)	/* futex time-out is on CLOCK_REALTIME */
#define KCKPT_RESTART_F_REMAINDER (1u << 3)	/* restart_addr wants the remaining time when interrupted */

/* process.process_flags */
#define KCKPT_PROCESS_SUBREAPER	(1u << 0)	/* adopts orphans of its descendants */
#define KCKPT_PROCESS_ENDED	(1u << 1)	/* a zombie */
#define KCKPT_PROCESS_STOPPED	(1u << 2)	/* by a signal; exit_code: not 0 until its parent knows */
#define KCKPT_PROCESS_CONTINUED	(1u << 3)	/* and its parent does not know yet */
#define KCKPT_PROCESS_PARENT_EXECED (1u << 4)	/* and is told of the end by SIGCHLD, whatever exit_signal says */

/* mm.mm_flags */
#define KCKPT_MM_THP_DISABLED	(1u << 0)	/* PR_SET_THP_DISABLE */
#define KCKPT_MM_LOCK_FUTURE	(1u << 1)	/* mlockall(MCL_FUTURE) */
#define KCKPT_MM_LOCK_ONFAULT	(1u << 2)	/* ... with MCL_ONFAULT */
#define KCKPT_MM_BOTTOM_UP	(1u << 3)	/* new areas are placed above mmap_legacy_base (setarch -L) */

/* vma.vma_flags */
#define KCKPT_VMA_SHARED	(1u << 0)
#define KCKPT_VMA_GROWSDOWN	(1u << 1)
#define KCKPT_VMA_ACCOUNT	(1u << 2)	/* charged as private writable memory, maybe from earlier */
#define KCKPT_VMA_NORESERVE	(1u << 3)
#define KCKPT_VMA_LOCKED	(1u << 4)
#define KCKPT_VMA_LOCKONFAULT	(1u << 5)
#define KCKPT_VMA_DONTFORK	(1u << 6)
#define KCKPT_VMA_DONTDUMP	(1u << 7)
#define KCKPT_VMA_WIPEONFORK	(1u << 8)
#define KCKPT_VMA_HUGEPAGE	(1u << 9)
#define KCKPT_VMA_NOHUGEPAGE	(1u << 10)
#define KCKPT_VMA_SEQ_READ	(1u << 11)
#define KCKPT_VMA_RAND_READ	(1u << 12)
#define KCKPT_VMA_MERGEABLE	(1u << 13)
#define KCKPT_VMA_VVAR		(1u << 14)	/* data pages of the vdso: come with it */
#define KCKPT_VMA_VDSO		(1u << 15)
#define KCKPT_VMA_SEALED	(1u << 20)	/* shared, but never to be written: mapped under F_SEAL_FUTURE_WRITE */
#define KCKPT_VMA_DROPPABLE	(1u << 21)	/* the kernel may empty it at any time: its pages are not saved */

/* shmem.shmem_flags */
#define KCKPT_SHMEM_NORESERVE	(1u << 0)	/* charged page by page, not at once */
#define KCKPT_SHMEM_MEMFD	(1u << 1)	/* made by memfd_create(); the name as given there */

/* timers.timers_flags */
#define KCKPT_TIMERS_REAL	(1u << 0)	/* ITIMER_REAL is armed */

/* posix_timer.timer_flags */
#define KCKPT_TIMER_ARMED	(1u << 0)
#define KCKPT_TIMER_EXPIRED	(1u << 1)	/* armed again when its signal is taken */
#define KCKPT_TIMER_SILENT	(1u << 2)	/* set, but never expires (SIGEV_NONE) */
#define KCKPT_TIMER_QUEUED	(1u << 3)	/* its signal is pending */

/* task_signal.info_valid, process_signal.info_valid */
#define KCKPT_SIGNAL_BARE	0u
#define KCKPT_SIGNAL_INFO	1u
#define KCKPT_SIGNAL_TIMER	2u		/* queued by the timer si_timerid */

/* file.file_flags */
#define KCKPT_FILE_INHERIT	(1u << 0)	/* of the outside: handed over */
#define KCKPT_FILE_READ		(1u << 1)
#define KCKPT_FILE_WRITE	(1u << 2)
#define KCKPT_FILE_NO_WRITER	(1u << 3)	/* end of a named pipe that no writer has come to: no POLLHUP yet */
#define KCKPT_FILE_FIRST	(1u << 4)	/* of memory: came with it, was not opened later */

/* lock.lock_kind */
enum kckpt_lock_kind {
	KCKPT_LOCK_POSIX = 1,	/* of a process, by fcntl(F_SETLK) */
	KCKPT_LOCK_OFD,		/* of an open file, by fcntl(F_OFD_SETLK) */
	KCKPT_LOCK_FLOCK,	/* of an open file, by flock() */
};

/* lock.lock_flags */
#define KCKPT_LOCK_WRITE	(1u << 0)	/* exclusive */

/* lease.lease_flags */
#define KCKPT_LEASE_WRITE	(1u << 0)	/* F_WRLCK; else F_RDLCK */
#define KCKPT_LEASE_UNLOCK	(1u << 1)	/* being broken: its holder is to give it up, */
#define KCKPT_LEASE_DOWNGRADE	(1u << 2)	/* or to make it one for reading */

/* ghost.ghost_flags */
#define KCKPT_GHOST_LINKABLE	(1u << 0)	/* opened with O_TMPFILE: may be given a name */

#endif /* KCKPT_IMAGE_H */
