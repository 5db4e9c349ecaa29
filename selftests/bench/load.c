// SPDX-License-Identifier: GPL-2.0
/*
 * load processes|threads|tree N READY - a job of N small processes, or threads, besides the first; of a tree each has
 *	the first one's memory, TREE_MEMORY, of which nobody has written anything since.
 * load memory|huge|busy N READY - one with N MiB of memory, in small or huge pages, and a thread that looks at the clock;
 *	if busy, all of its time is spent on writing to pages at random.
 * load steps N READY - one with N MiB in small pages, that writes to some of them, and more each time, after each look.
 * load descriptors|areas N READY - one with N open files, or areas of memory.
 *
 * Makes the file READY when all of it is there. On SIGUSR1 each looks whether what it has is what it had; when all have,
 * READY is made anew. In it are, for the second line: for how long the thread did not run at most, in ns, how many
 * pages it wrote to, since the last time, and when it ran again, in ns of CLOCK_REALTIME; else three zeros. The first
 * time how long it took until all was there follows, in ns, then 0. Ends with 1 if something is wrong.
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
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define OWN (16 << 10)		/* memory that each writes to, bytes */
#define TREE_MEMORY (16UL << 20)

static volatile int *answers;	/* one for all */

static bool memory_is_as_it_was(void);

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
		if (!is_filled(me) || !memory_is_as_it_was())
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

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static uint64_t began;

static void tell(const char *path, uint64_t ns, uint64_t writes, uint64_t again)
{
	uint64_t took = began ? clock_ns(CLOCK_MONOTONIC) - began : 0;
	int fd = open(path, O_CREAT | O_WRONLY, 0600);

	if (fd < 0 || dprintf(fd, "%llu %llu %llu %llu\n", (unsigned long long)ns, (unsigned long long)writes,
			      (unsigned long long)again, (unsigned long long)took) < 0 || close(fd))
		exit(1);
	began = 0;
}

/* ---- memory ---- */

#define HUGE (2UL << 20)
#define PAGE 4096UL
#define WORDS_PER_PAGE 512

static volatile uint64_t longest, ran_again;	/* ns, and when that ended, of CLOCK_REALTIME */
static volatile uint64_t writes;
static bool is_busy;
static volatile bool halt, pauses;	/* who writes is to, and does, while others look */

static struct {
	uint64_t *at;
	size_t pages;
} memory;

static uint64_t look_at_the_clock(uint64_t last)
{
	uint64_t this = clock_ns(CLOCK_MONOTONIC);

	if (this - last > longest) {
		longest = this - last;
		ran_again = clock_ns(CLOCK_REALTIME);
	}
	return this;
}

static void *only_look_at_the_clock(void *arg)
{
	uint64_t last = clock_ns(CLOCK_MONOTONIC);

	for (;;)
		last = look_at_the_clock(last);
	return arg;
}

/* The first word of a page counts. */
static void *write_at_random(void *arg)
{
	uint64_t last = clock_ns(CLOCK_MONOTONIC), seed = 1;

	for (;;) {
		last = look_at_the_clock(last);
		pauses = halt;
		if (pauses)
			continue;
		seed = seed * 6364136223846793005 + 1442695040888963407;
		memory.at[(seed >> 33) % memory.pages * WORDS_PER_PAGE]++;
		writes++;
	}
	return arg;
}

/* Each word of it says where it is; the first one of a page is 0. */
static bool make_memory(size_t len, bool huge)
{
	char *room = mmap(NULL, len + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t *at = (uint64_t *)(((uintptr_t)room + HUGE - 1) & ~(HUGE - 1));
	size_t i;

	if (room == MAP_FAILED || madvise(room, len + HUGE, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE))
		return false;
	for (i = 0; i < len / sizeof(*at); i++)
		at[i] = i % WORDS_PER_PAGE ? i * 0x9e3779b97f4a7c15 : 0;
	memory.at = at;
	memory.pages = len / PAGE;
	return true;
}

/* A word of each page, another one each, and the sum of the first ones. */
static bool memory_is_as_it_was(void)
{
	uint64_t sum = 0;
	size_t page, i;

	for (page = 0; page < memory.pages; page++) {
		i = page * WORDS_PER_PAGE + page % (WORDS_PER_PAGE - 1) + 1;
		if (memory.at[i] != i * 0x9e3779b97f4a7c15)
			return false;
		sum += memory.at[page * WORDS_PER_PAGE];
	}
	return sum == writes;
}

static bool start_thread(void *(*run)(void *))
{
	pthread_t thread;

	return !pthread_create(&thread, NULL, run, NULL);
}

static unsigned int step;	/* of those who write in steps; 0: others */

static bool has_memory_in_steps(int nr)
{
	step = 1;
	return make_memory((size_t)nr << 20, false);
}

/* As many pages, far from each other, as the square of the step tells; in the first one none. */
static void take_a_step(void)
{
	size_t nr = step ? 64ul * (step - 1) * (step - 1) : 0, i;

	for (i = 0; i < nr; i++)
		memory.at[i * 7 % memory.pages * WORDS_PER_PAGE]++;
	writes += nr;
	step += !!step;
}

static bool has_memory(int nr)
{
	return make_memory((size_t)nr << 20, false) && start_thread(only_look_at_the_clock);
}

static bool has_huge_pages(int nr)
{
	return make_memory((size_t)nr << 20, true) && start_thread(only_look_at_the_clock);
}

static bool has_busy_memory(int nr)
{
	is_busy = true;
	return make_memory((size_t)nr << 20, false) && start_thread(write_at_random);
}

/* ---- descriptors and areas ---- */

static int nr_descriptors, first_descriptor;

static bool has_descriptors(int nr)
{
	const struct rlimit limit = { nr + 100, nr + 100 };
	char path[] = "/tmp/load.XXXXXX";
	int i, fd = mkstemp(path);

	if (setrlimit(RLIMIT_NOFILE, &limit) || close(fd))
		return false;
	for (i = 0; i < nr; i++) {
		fd = open(path, O_RDONLY);
		if (!i)
			first_descriptor = fd;
		if (fd != first_descriptor + i || lseek(fd, i, SEEK_SET) != i)
			return false;
	}
	nr_descriptors = nr;
	return true;
}

static bool descriptors_are_as_they_were(void)
{
	int i;

	for (i = 0; i < nr_descriptors; i++)
		if (lseek(first_descriptor + i, 0, SEEK_CUR) != i)
			return false;
	return true;
}

static char *areas;
static int nr_areas;

/* Every other page can be written to, and some of them are. */
static bool has_areas(int nr)
{
	int i;

	areas = mmap(NULL, nr * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (areas == MAP_FAILED)
		return false;
	for (i = 0; i < nr; i += 2) {
		if (mprotect(areas + i * PAGE, PAGE, PROT_READ | PROT_WRITE))
			return false;
		if (i % 32 == 0)
			areas[i * PAGE] = i % 127;
	}
	nr_areas = nr;
	return true;
}

static bool areas_are_as_they_were(void)
{
	int i;

	for (i = 0; i < nr_areas; i++)
		if (areas[i * PAGE] != (i % 32 ? 0 : i % 127))
			return false;
	return true;
}

/* ---- one process ---- */

static const struct kind {
	const char *name;
	bool (*has)(int nr);
} kinds[] = {
	{ "memory", has_memory }, { "huge", has_huge_pages }, { "busy", has_busy_memory },
	{ "steps", has_memory_in_steps },
	{ "descriptors", has_descriptors }, { "areas", has_areas },
};

static const struct kind *find_kind(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strcmp(name, kinds[i].name))
			return &kinds[i];
	return NULL;
}

static int serve_alone(const struct kind *kind, int nr, const char *ready)
{
	uint64_t before = 0;
	sigset_t set;
	int signo;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (!kind->has(nr))
		return 1;
	do {
		halt = true;
		while (is_busy && !pauses)
			usleep(1000);
		if (!memory_is_as_it_was() || !descriptors_are_as_they_were() || !areas_are_as_they_were())
			return 1;
		take_a_step();
		tell(ready, longest, writes - before, ran_again);
		before = writes;
		longest = 0;
		halt = false;
		while (pauses)
			usleep(1000);
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

	began = clock_ns(CLOCK_MONOTONIC);
	if (nr > 0 && find_kind(argv[1]))
		return serve_alone(find_kind(argv[1]), nr, argv[3]);
	answers = mmap(NULL, sizeof(*answers), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (nr <= 0 || !members || answers == MAP_FAILED ||
	    (!strcmp(argv[1], "tree") && !make_memory(TREE_MEMORY, false)))
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
		tell(argv[3], 0, 0, 0);
		if (sigwait(&set, &signo))
			return 1;
		for (i = 0; i < nr; i++)
			if (threads ? pthread_kill(members[i].thread, SIGUSR2) : kill(members[i].pid, SIGUSR2))
				return 1;
	} while (true);
}
