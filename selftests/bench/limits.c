// SPDX-License-Identifier: GPL-2.0
/*
 * limits N FOLDER - how long this machine takes for what nobody can do without, with N MiB in small pages; as JSON.
 *
 *	copy_s		memcpy() of each page into a buffer of 1 MiB: a stream that somebody takes
 *	tables_s	fork(): copying the page tables
 *	fill_s		new pages, and a copy into each: a restore
 *	write_s		write() into a new file in FOLDER: an image
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL
#define BUFFER (1UL << 20)

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

int main(int argc, char **argv)
{
	size_t len = argc == 3 ? (size_t)atoi(argv[1]) << 20 : 0;
	char *from;

	if (!len || len % BUFFER)
		return 2;
	from = memory(len);
	memset(from, 7, len);
	printf("{\"copy_s\": %f, \"tables_s\": %f, ", copy(from, len), tables());
	printf("\"fill_s\": %f, \"write_s\": %f}\n", fill(from, len), write_out(from, len, argv[2]));
	return 0;
}
