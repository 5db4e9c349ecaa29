/* SPDX-License-Identifier: GPL-2.0 */
/* Runs the kckpt command, $KCKPT. */
#ifndef TOOL_H
#define TOOL_H

#include <stdbool.h>
#include <sys/types.h>

struct job_fd;

struct tool_result {
	int status;		/* exit status, 128 + signal, -1: not done in time */
	const char *text;	/* what it printed, stdout and stderr */
};

#define TOOL_TIMEOUT_MS (60000 * test_patience())

/* @argv: its arguments, without its name, up to NULL. @fds: descriptors that it gets. */
pid_t tool_start(const char *const *argv, const struct job_fd *fds, int nr_fds);
struct tool_result tool_end(pid_t pid);
struct tool_result tool_run(const char *const *argv);

#define TOOL(...) tool_run((const char *const[]){ __VA_ARGS__, NULL })

/* Does the result, of a run with --json, have that error? */
bool tool_said(const struct tool_result *result, const char *error);

#endif
