// SPDX-License-Identifier: GPL-2.0
#include "tool.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "job.h"
#include "util.h"

#define MAX_ARGS 40

static const char *output_path(pid_t pid)
{
	return test_path(format("tool.%d", pid));
}

/* In the child. */
static void tool_exec(const char *const *argv, const struct job_fd *fds, int nr_fds)
{
	const char *tool = getenv("KCKPT") ?: "kckpt", *all[MAX_ARGS] = { tool };
	int i, out;

	for (i = 0; argv[i] && i < MAX_ARGS - 2; i++)
		all[i + 1] = argv[i];
	out = open(output_path(getpid()), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	dup2(out, 1);
	dup2(out, 2);
	dup2(open("/dev/null", O_RDWR | O_CLOEXEC), 0);
	for (i = 0; i < nr_fds; i++)
		dup2(fds[i].from, fds[i].to);
	execvp(tool, (char **)all);
	dprintf(2, "%s: %m\n", tool);
	_exit(127);
}

pid_t tool_start(const char *const *argv, const struct job_fd *fds, int nr_fds)
{
	pid_t pid = fork();

	if (!pid)
		tool_exec(argv, fds, nr_fds);
	return pid;
}

struct tool_result tool_end(pid_t pid)
{
	struct tool_result result = { .status = wait_exit(pid, TOOL_TIMEOUT_MS) };

	if (result.status < 0)
		kill(pid, SIGKILL);
	result.text = read_file(output_path(pid)) ?: "";
	return result;
}

struct tool_result tool_run(const char *const *argv)
{
	return tool_end(tool_start(argv, NULL, 0));
}

bool tool_said(const struct tool_result *result, const char *error)
{
	return strstr(result->text, format("\"%s\"", error));
}
