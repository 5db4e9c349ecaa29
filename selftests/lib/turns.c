// SPDX-License-Identifier: GPL-2.0
#include "turns.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "job.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#define PAGE 4096UL
#define HUGE (2UL << 20)

/* Pages of all kinds, written in turns: at any moment those in front have a number, and the rest the one before it. */
#define NR_PRIVATE 600
#define NR_SHARED 50
#define NR_FILE 50
#define NR_HUGE (HUGE / PAGE)
#define NR (NR_PRIVATE + NR_SHARED + NR_FILE + NR_HUGE)

static volatile uint64_t *pages[NR];

static int add_pages(int at, char *from, size_t nr)
{
	size_t i;

	for (i = 0; i < nr; i++)
		pages[at + i] = (uint64_t *)(from + i * PAGE);
	return at + nr;
}

static char *map_file(void)
{
	const char *path = format("%s.pages", test_path("file"));
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	char *map;

	if (fd < 0 || ftruncate(fd, NR_FILE * PAGE))
		return MAP_FAILED;
	map = mmap(NULL, NR_FILE * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	close(fd);
	return map;
}

static bool is_huge(const void *at)
{
	char *text = read_file("/proc/self/smaps"), *area = strstr(text, format("%lx-", (unsigned long)at));
	bool huge = area && strtol(strstr(area, "AnonHugePages:") + 14, NULL, 10);

	free(text);
	return huge;
}

static bool map_pages(void)
{
	char *private = mmap(NULL, NR_PRIVATE * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *shared = mmap(NULL, NR_SHARED * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char *room = mmap(NULL, 2 * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *huge = (char *)(((uintptr_t)room + HUGE - 1) & ~(HUGE - 1)), *file = map_file();
	int at = 0;

	if (private == MAP_FAILED || shared == MAP_FAILED || room == MAP_FAILED || file == MAP_FAILED)
		return false;
	madvise(private, NR_PRIVATE * PAGE, MADV_NOHUGEPAGE);
	if (mprotect(huge, HUGE, PROT_READ | PROT_WRITE) || madvise(huge, HUGE, MADV_HUGEPAGE))
		return false;
	*huge = 0;
	at = add_pages(at, private, NR_PRIVATE / 2);
	at = add_pages(at, shared, NR_SHARED);
	at = add_pages(at, file, NR_FILE);
	at = add_pages(at, huge, NR_HUGE);
	at = add_pages(at, private + NR_PRIVATE / 2 * PAGE, NR_PRIVATE - NR_PRIVATE / 2);
	return at == NR && is_huge(huge);
}

/* Ends when a page is of another time than the others. */
static int take_turns(void)
{
	uint64_t turn;
	int i;

	for (turn = 1;; turn++) {
		for (i = 0; i < (int)NR; i++) {
			if (*pages[i] != turn - 1)
				return job_complain(__FILE__, __LINE__, format("page %d", i));
			*pages[i] = turn;
		}
		__atomic_add_fetch(job_notes(), 1, __ATOMIC_SEQ_CST);
	}
}

int writes_in_turns(void)
{
	JOB_SETUP(map_pages());
	return take_turns();
}

/* The same in a child, that has everything from its parent, which waits. */
int child_writes_in_turns(void)
{
	int i;
	pid_t pid;

	JOB_SETUP(map_pages());
	for (i = 0; i < (int)NR; i++)
		*pages[i] = 4711;
	pid = fork();
	if (!pid) {
		for (i = 0; i < (int)NR; i++)
			*pages[i] = 0;
		take_turns();
		_exit(1);
	}
	for (;;) {
		usleep(1000);
		/* What is private is untouched. */
		for (i = 0; i < NR_PRIVATE / 2; i++)
			if (*pages[i] != 4711) {
				kill(pid, SIGKILL);
				return job_complain(__FILE__, __LINE__, format("page %d of the parent", i));
			}
	}
}

/* ---- here and there ---- */

#define NR_PLACES 4000			/* pages of small ones, in areas of AREA of them */
#define AREA 100
#define NR_ALL (NR_PLACES + NR_HUGE)

static volatile uint64_t *areas[NR_PLACES / AREA], *huge_area;
static uint64_t wanted[NR_ALL];		/* what is in each page */
static bool or_zero[NR_ALL];		/* the kernel may take it, and has not been told otherwise */
static uint32_t seed = 1;
bool turns_without_free;
bool turns_on_request;

static volatile uint64_t *place(uint32_t i)
{
	return i < NR_PLACES ? areas[i / AREA] + i % AREA * (PAGE / 8) : huge_area + (i - NR_PLACES) * (PAGE / 8);
}

static bool map_places(void)
{
	const int prot = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS;
	char *room = mmap(NULL, 2 * HUGE, PROT_NONE, flags, -1, 0);
	uint32_t i;

	for (i = 0; i < NR_PLACES / AREA; i++) {
		areas[i] = mmap(NULL, AREA * PAGE, prot, flags, -1, 0);
		if (areas[i] == MAP_FAILED || madvise((void *)areas[i], AREA * PAGE, MADV_NOHUGEPAGE))
			return false;
		if (i % 4 == 0)	/* where they are alike they become one, if the machine does that */
			madvise((void *)areas[i], AREA * PAGE, MADV_MERGEABLE);
	}
	huge_area = (uint64_t *)(((uintptr_t)room + HUGE - 1) & ~(HUGE - 1));
	if (room == MAP_FAILED || mprotect((void *)huge_area, HUGE, prot) ||
	    madvise((void *)huge_area, HUGE, MADV_HUGEPAGE))
		return false;
	for (i = 0; i < NR_ALL; i++)
		*place(i) = wanted[i] = i + 1;
	job_notes()[2] = (uintptr_t)huge_area;
	return true;
}

/* Its pages get other addresses; another area may be where it was. */
static bool move_area(uint32_t nr)
{
	void *to = mmap(NULL, AREA * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (to == MAP_FAILED)
		return false;
	areas[nr] = mremap((void *)areas[nr], AREA * PAGE, AREA * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	return areas[nr] != MAP_FAILED;
}

static bool change_something(void)
{
	uint32_t i = random_next(&seed) % NR_ALL, what = random_next(&seed) % 200;

	if (what == 0)
		return move_area(random_next(&seed) % (NR_PLACES / AREA));
	if (what < 8) {
		wanted[i] = 0;
		return !madvise((void *)place(i), PAGE, MADV_DONTNEED);
	}
	if (what < 16) {
		if (turns_without_free)
			return true;
		or_zero[i] = true;
		return !madvise((void *)place(i), PAGE, MADV_FREE);
	}
	if (what < 24)		/* not where there is no swap */
		return madvise((void *)place(i), PAGE, MADV_PAGEOUT) <= 0;
	if (what < 26)		/* since 6.1 */
		return madvise((void *)huge_area, HUGE, MADV_COLLAPSE) <= 0;
	*place(i) = ++wanted[i];
	or_zero[i] = false;
	return true;
}

static int look_everywhere(void)
{
	uint32_t i;

	for (i = 0; i < NR_ALL; i++)
		if (*place(i) != wanted[i] && !(or_zero[i] && !*place(i)))
			return job_complain(__FILE__, __LINE__, format("page %u is %lu, not %lu", i,
								       (unsigned long)*place(i),
								       (unsigned long)wanted[i]));
	return 0;
}

/* The note is of all processes of the job. */
static bool wants_a_change(void)
{
	uint64_t left = __atomic_load_n(&job_notes()[1], __ATOMIC_SEQ_CST);

	while (left && !__atomic_compare_exchange_n(&job_notes()[1], &left, left - 1, false, __ATOMIC_SEQ_CST,
						    __ATOMIC_SEQ_CST))
		;
	return left;
}

static int go_on_here_and_there(void)
{
	int i;

	for (;;) {
		JOB_TRY(look_everywhere());
		for (i = 0; i < 40 && (!turns_on_request || wants_a_change()); i++)
			JOB_SETUP(change_something());
		__atomic_add_fetch(job_notes(), 1, __ATOMIC_SEQ_CST);
		usleep(2000);
	}
}

int writes_here_and_there(void)
{
	JOB_SETUP(map_places());
	return go_on_here_and_there();
}

int both_write_here_and_there(void)
{
	pid_t pid, parent = getpid();
	int ret;

	JOB_SETUP(map_places());
	pid = fork();
	JOB_SETUP(pid >= 0);
	if (!pid)
		seed = 2;
	ret = go_on_here_and_there();
	kill(pid ? pid : parent, SIGKILL);	/* one that is wrong is enough */
	return ret;
}
