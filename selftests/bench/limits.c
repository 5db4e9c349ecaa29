// SPDX-License-Identifier: GPL-2.0
/*
 * limits N FOLDER - how long this machine takes for what nobody can do without, with N MiB in small pages; as JSON.
 *
 *	copy_s		memcpy() of each page into a buffer of 1 MiB: a stream that somebody takes
 *	tables_s	fork(): copying the page tables
 *	fill_s		new pages, and a copy into each: a restore
 *	write_s		write() into a new file in FOLDER: an image
 *
 * limits processes N FILE - the same for N small processes, by calls of the kernel alone, on all CPUs:
 *	bare_s		each is cloned, maps AREAS, most of FILE, and writes to PAGES of its own: as those of load.c have
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL
#define BUFFER (1UL << 20)

#define AREAS 23
#define AREAS_OF_FILE 20
#define AREA (8 * PAGE)
#define PAGES 13

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static char *memory(size_t len)
{
	char *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED || madvise(at, len, MADV_NOHUGEPAGE))
		exit(1);
	return at;
}

static double copy(const char *from, size_t len)
{
	static char buffer[BUFFER];
	double start = now();
	size_t at;

	for (at = 0; at < len; at += PAGE)
		memcpy(buffer + at % BUFFER, from + at, PAGE);
	return now() - start;
}

static double tables(void)
{
	double start = now(), end;
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	end = now();
	if (pid < 0 || waitpid(pid, NULL, 0) != pid)
		exit(1);
	return end - start;
}

static double fill(const char *from, size_t len)
{
	char *to = memory(len);
	double start = now(), end;
	size_t at;

	if (madvise(to, len, MADV_POPULATE_WRITE))
		exit(1);
	for (at = 0; at < len; at += PAGE)
		memcpy(to + at, from + at, PAGE);
	end = now();
	munmap(to, len);
	return end - start;
}

static double write_out(const char *from, size_t len, const char *folder)
{
	int fd = open(folder, O_TMPFILE | O_WRONLY, 0600);
	double start = now(), end;
	size_t at;

	for (at = 0; at < len; at += BUFFER)
		if (write(fd, from + at, BUFFER) != BUFFER)
			exit(1);
	end = now();
	close(fd);
	return end - start;
}

/* Tells when it is there. */
static void bare_process(int fd, int ready)
{
	char *at, *all = mmap(NULL, 2 * AREAS * AREA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int i, prot, flags;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL))
		_exit(1);
	munmap(all, 2 * AREAS * AREA);
	for (i = 0; i < AREAS; i++) {
		at = all + 2 * i * AREA;	/* with a gap: they do not become one */
		prot = i < AREAS_OF_FILE && i % 2 ? PROT_READ : PROT_READ | PROT_WRITE;
		flags = MAP_PRIVATE | MAP_FIXED | (i < AREAS_OF_FILE ? 0 : MAP_ANONYMOUS);
		if (mmap(at, AREA, prot, flags, i < AREAS_OF_FILE ? fd : -1, 0) != at)
			_exit(1);
	}
	for (i = 0; i < PAGES; i++)	/* of the last areas, which are anonymous */
		all[2 * (AREAS - 1 - i / 8) * AREA + i % 8 * PAGE] = 1;
	if (write(ready, "", 1) != 1)
		_exit(1);
	close(ready);
	for (;;)
		pause();
}

static double bare(int nr, const char *file)
{
	int fd = open(file, O_RDONLY), ready[2], i;
	pid_t *pids = calloc(nr, sizeof(*pids));
	double start, end;
	char byte;

	if (fd < 0 || pipe(ready) || !pids)
		exit(1);
	start = now();
	for (i = 0; i < nr; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			exit(1);
		if (!pids[i])
			bare_process(fd, ready[1]);
	}
	close(ready[1]);
	for (i = 0; i < nr; i++)
		if (read(ready[0], &byte, 1) != 1)
			exit(1);
	end = now();
	for (i = 0; i < nr; i++)
		if (kill(pids[i], SIGKILL) || waitpid(pids[i], NULL, 0) != pids[i])
			exit(1);
	return end - start;
}

int main(int argc, char **argv)
{
	size_t len = argc == 3 ? (size_t)atoi(argv[1]) << 20 : 0;
	char *from;

	if (argc == 4 && !strcmp(argv[1], "processes")) {
		printf("{\"bare_s\": %f}\n", bare(atoi(argv[2]), argv[3]));
		return 0;
	}
	if (!len || len % BUFFER)
		return 2;
	from = memory(len);
	memset(from, 7, len);
	printf("{\"copy_s\": %f, \"tables_s\": %f, ", copy(from, len), tables());
	printf("\"fill_s\": %f, \"write_s\": %f}\n", fill(from, len), write_out(from, len, argv[2]));
	return 0;
}
