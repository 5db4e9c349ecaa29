/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Jobs: functions that are dumped, killed and restored in their middle.
 *
 * A job runs in a process of its own, in a fresh cgroup and session (unless told otherwise), with /dev/null as input and a file as output. It
 * and the test hand each other the turn by a word in a mapped file: that needs no open descriptor, and is there
 * again in the restored job.
 */
#ifndef JOB_H
#define JOB_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <kckpt/uapi.h>

#include "harness.h"
#include "tool.h"
#include "util.h"

#define JOB_SETUP_FAILED 99	/* the machine did not let the job come as far as the dump */
#define JOB_SKIP 98		/* see job_skip() */

/* ---- in the job ---- */

typedef int job_fn(void);	/* 0: all is as it should be */

/* Dumped, killed, restored: we return in the restored task. With a dump that is refused: we return. */
void job_roundtrip(void);

/* Why the job cannot run here: return job_skip("no huge pages"). */
int job_skip(const char *reason);
/* Tells where and errno, on the job's stderr; 1. */
int job_complain(const char *file, int line, const char *what);

#define JOB_CHECK(cond) do { if (!(cond)) return job_complain(__FILE__, __LINE__, #cond); } while (0)
#define JOB_SETUP(cond) do { if (!(cond)) return job_complain(__FILE__, __LINE__, #cond), JOB_SETUP_FAILED; } while (0)
#define JOB_TRY(call) do { int __ret = (call); if (__ret) return __ret; } while (0)

/* When the last dump and restore began and ended (CLOCK_MONOTONIC, seconds): the job stood still in between. */
struct job_times {
	double dump_from, dump_to, restore_from, restore_to;
};
const struct job_times *job_times(void);

/* Room for a job to tell its test something, and the other way round. */
uint64_t *job_notes(void);	/* 64 of them, zero at first */

/* ---- in the test ---- */

#define JOB_MAX_FDS 4
#define JOB_MAX_ARGS 12

struct job_fd {
	int from, to;		/* descriptor of the test, its number in the job or the tool */
};

struct job_options {
	struct job_fd fds[JOB_MAX_FDS];			/* what the job has besides its own */
	int nr_fds;
	const char *dump_args[JOB_MAX_ARGS], *restore_args[JOB_MAX_ARGS];
	struct job_fd restore_fds[JOB_MAX_FDS];		/* what the tool gets for the restore */
	int nr_restore_fds;
	bool in_our_session;				/* that of the test, with its terminal */
	void (*before_dump)(pid_t pid);			/* when the job waits for it */
	void (*after_refusal)(pid_t pid);		/* of the dump, before the job goes on */
	void (*between)(void);				/* after the dump, before the restore */
	void (*before_go)(pid_t pid);			/* after the restore, before the job goes on */
};

struct job {
	pid_t pid;
	const char *cgroup, *image;
	struct job_options options;
};

enum job_event { JOB_WAITS, JOB_ENDED, JOB_SILENT };

void job_start(struct job *job, job_fn *fn, const struct job_options *options);
/* Until it is in job_roundtrip(), or has ended. */
enum job_event job_wait(struct job *job);
/* The tool's results; the dump's also waits for the end of the killed process. */
struct tool_result job_dump(struct job *job);
struct tool_result job_restore(struct job *job);
void job_go(struct job *job);		/* out of job_roundtrip() */
int job_end(struct job *job);		/* waits; its exit status, 128 + signal, -1: none in time */
void job_show_log(void);
/* What the exit status of a job means for the test; ends it on JOB_SKIP. */
int job_result(int status);

/* A job whose trips all succeed: what it returned, or -1. */
int roundtrip(job_fn *fn);
int roundtrip_with(job_fn *fn, const struct job_options *options);

/* True if the dump is refused with that code, and the job runs on as if nothing was. */
bool dump_refused(job_fn *fn, const struct job_options *options, uint32_t code);
/* True if it can be dumped, but not restored for that reason, and nothing is left of the attempt. */
bool restore_refused(job_fn *fn, const struct job_options *options, uint32_t code);

#define EXPECT_REFUSED(code, fn) EXPECT_TRUE(dump_refused(fn, NULL, code))
#define EXPECT_REFUSED_WITH(code, fn, options) EXPECT_TRUE(dump_refused(fn, options, code))
#define EXPECT_RESTORE_REFUSED(code, fn, options) EXPECT_TRUE(restore_refused(fn, options, code))

const char *error_name(uint32_t code);
bool cgroup_is_empty(const char *cgroup);
bool cgroup_is_frozen(const char *cgroup);

#endif
