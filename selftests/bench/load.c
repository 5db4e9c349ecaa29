// SPDX-License-Identifier: GPL-2.0
/*
 * load processes|threads N READY - a job of N small processes, or threads, besides the first.
 * load memory|huge N READY - one with N MiB of memory, in small or huge pages, and a thread that looks at the clock.
 *
 * Makes the file READY when all of it is there. On SIGUSR1 each looks whether what it has is what it had; when all have,
 * READY is made anew. In it is, for the second kind, for how long the thread did not run at most, in ns, since the last
 * time. Ends with 1 if something is wrong.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define OWN (16 << 10)		/* memory that each writes to, bytes */

static volatile int *answers;	/* one for all */
static __thread unsigned char own[OWN];

static void fill(int me)
{
	size_t i;

	for (i = 0; i < sizeof(own); i++)
		own[i] = me * 31 + i;
}

static bool is_filled(int me)
{
	size_t i;

	for (i = 0; i < sizeof(own); i++)
		if (own[i] != (unsigned char)(me * 31 + i))
			return false;
	return true;
}

/* Waits for signals, and answers each. */
static void *serve(void *arg)
{
	int me = (int)(long)arg, signo;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	fill(me);
	__sync_fetch_and_add(answers, 1);
	while (!sigwait(&set, &signo)) {
		if (!is_filled(me))
			exit(1);
		__sync_fetch_and_add(answers, 1);
	}
	return NULL;
}

static void wait_for_answers(int nr)
{
	while (*answers < nr)
		usleep(1000);
	*answers = 0;
}

static void tell(const char *path, uint64_t ns)
{
	int fd = open(path, O_CREAT | O_WRONLY, 0600);

	if (fd < 0 || dprintf(fd, "%llu\n", (unsigned long long)ns) < 0 || close(fd))
		exit(1);
}

/* ---- memory ---- */

#define HUGE (2UL << 20)
#define WORDS_PER_PAGE 512

static volatile uint64_t longest;	/* ns */

static uint64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static void *look_at_the_clock(void *arg)
{
	uint64_t last = clock_ns(), this;

	for (;;) {
		this = clock_ns();
		if (this - last > longest)
			longest = this - last;
		last = this;
	}
	return arg;
}

/* Each word of it says where it is. */
static uint64_t *make_memory(size_t len, bool huge)
{
	char *room = mmap(NULL, len + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t *at = (uint64_t *)(((uintptr_t)room + HUGE - 1) & ~(HUGE - 1));
	size_t i;

	if (room == MAP_FAILED || madvise(room, len + HUGE, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE))
		return NULL;
	for (i = 0; i < len / sizeof(*at); i++)
		at[i] = i * 0x9e3779b97f4a7c15;
	return at;
}

/* A word of each page, another one each. */
static bool is_as_it_was(const uint64_t *at, size_t len)
{
	size_t page, i;

	for (page = 0; page < len / sizeof(*at) / WORDS_PER_PAGE; page++) {
		i = page * WORDS_PER_PAGE + page % WORDS_PER_PAGE;
		if (at[i] != i * 0x9e3779b97f4a7c15)
			return false;
	}
	return true;
}

static int have_memory(size_t len, bool huge, const char *ready)
{
	uint64_t *memory = make_memory(len, huge);
	pthread_t thread;
	sigset_t set;
	int signo;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (!memory || pthread_create(&thread, NULL, look_at_the_clock, NULL))
		return 1;
	do {
		if (!is_as_it_was(memory, len))
			return 1;
		tell(ready, longest);
		longest = 0;
	} while (!sigwait(&set, &signo));
	return 1;
}

/* ---- processes and threads ---- */

union member {
	pid_t pid;
	pthread_t thread;
};

static void make_process(int me, union member *member)
{
	member->pid = fork();
	if (!member->pid) {
		serve((void *)(long)me);
		exit(1);
	}
	if (member->pid < 0)
		exit(1);
}

static void make_thread(int me, union member *member)
{
	pthread_attr_t attr;

	if (pthread_attr_init(&attr) || pthread_attr_setstacksize(&attr, 4 * OWN) ||
	    pthread_create(&member->thread, &attr, serve, (void *)(long)me))
		exit(1);
}

int main(int argc, char **argv)
{
	bool threads = argc == 4 && !strcmp(argv[1], "threads");
	int nr = argc == 4 ? atoi(argv[2]) : 0, i, signo;
	union member *members = calloc(nr + 1, sizeof(*members));
	sigset_t set;

	if (nr > 0 && (!strcmp(argv[1], "memory") || !strcmp(argv[1], "huge")))
		return have_memory((size_t)nr << 20, !strcmp(argv[1], "huge"), argv[3]);
	answers = mmap(NULL, sizeof(*answers), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (nr <= 0 || !members || answers == MAP_FAILED)
		return 2;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigdelset(&set, SIGUSR2);
	for (i = 0; i < nr; i++)
		(threads ? make_thread : make_process)(i + 1, &members[i]);
	do {
		wait_for_answers(nr);
		tell(argv[3], 0);
		if (sigwait(&set, &signo))
			return 1;
		for (i = 0; i < nr; i++)
			if (threads ? pthread_kill(members[i].thread, SIGUSR2) : kill(members[i].pid, SIGUSR2))
				return 1;
	} while (true);
}
