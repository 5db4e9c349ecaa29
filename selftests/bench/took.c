// SPDX-License-Identifier: GPL-2.0
/*
 * took FILE COMMAND... - runs it, ends as it did, and writes into FILE when it began, in ns of CLOCK_REALTIME, and how
 * long it took until it had ended, in ns: without what an interpreter takes to start a program and to notice its end.
 * took - does nothing. That is the least that a program takes.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

int main(int argc, char **argv)
{
	uint64_t began, start, end;
	int status;
	pid_t pid;
	FILE *file;

	if (argc == 1)
		return 0;
	if (argc < 3) {
		fprintf(stderr, "took FILE COMMAND...\n");
		return 127;
	}
	began = clock_ns(CLOCK_REALTIME);
	start = clock_ns(CLOCK_MONOTONIC);
	pid = vfork();
	if (!pid) {
		execvp(argv[2], argv + 2);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 127;
	end = clock_ns(CLOCK_MONOTONIC);
	file = fopen(argv[1], "w");
	if (!file || fprintf(file, "%llu %llu\n", (unsigned long long)began, (unsigned long long)(end - start)) < 0 ||
	    fclose(file)) {
		perror(argv[1]);
		return 127;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
