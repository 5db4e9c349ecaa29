// SPDX-License-Identifier: GPL-2.0
/* Pages that fork() left shared copy-on-write are shared again, and still nobody sees what another one writes. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "job.h"

#define MIB (1 << 20)
#define HUGE_SIZE (2 * MIB)

struct board {
	uint32_t ready, go, verdict[8];
};

static struct board *board;
static unsigned char *area;
static size_t area_size;

static unsigned char content(size_t page, int who)
{
	return 1 + (page * 7 + who * 31) % 255;
}

static void fill(size_t from, size_t to, int who)
{
	size_t page;

	for (page = from; page < to; page++)
		memset(area + page * 4096, content(page, who), 4096);
}

static bool is_filled(size_t from, size_t to, int who)
{
	size_t page, i;

	for (page = from; page < to; page++)
		for (i = 0; i < 4096; i += 511)
			if (area[page * 4096 + i] != content(page, who))
				return false;
	return true;
}

static bool set_up(size_t size, int advice)
{
	board = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	area = mmap(NULL, size + HUGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (board == MAP_FAILED || area == MAP_FAILED)
		return false;
	area = (unsigned char *)(((uintptr_t)area + HUGE_SIZE - 1) & ~(uintptr_t)(HUGE_SIZE - 1));
	area_size = size;
	return !madvise(area, size, advice);
}

/* The sum over the job's area of what /proc says, in KiB: a page counts once, however many have it. */
static long pss_of(pid_t pid)
{
	char *text = read_file(format("/proc/%d/smaps", pid)), *at;
	long pss = -1;

	at = text ? strstr(text, format("%lx-", (unsigned long)area)) : NULL;
	at = at ? strstr(at, "\nPss:") : NULL;
	if (at)
		sscanf(at, "\nPss: %ld", &pss);
	return pss;
}

static long pss_sum(const pid_t *pid, int nr)
{
	long sum = pss_of(getpid());
	int i;

	for (i = 0; i < nr; i++)
		sum += pss_of(pid[i]);
	return sum;
}

static void wait_for_all(uint32_t nr)
{
	uint32_t now;

	while ((now = __atomic_load_n(&board->ready, __ATOMIC_SEQ_CST)) < nr)
		futex_wait(&board->ready, now, 1000);
}

/* A child changes something, sleeps over the trip, and says whether all is as it should be. */
static pid_t fork_changer(int who, bool (*change)(int who), bool (*check)(int who))
{
	pid_t pid = fork();

	if (pid)
		return pid;
	change(who);
	__atomic_add_fetch(&board->ready, 1, __ATOMIC_SEQ_CST);
	futex_wake(&board->ready);
	while (!__atomic_load_n(&board->go, __ATOMIC_SEQ_CST))
		futex_wait(&board->go, 0, -1);
	_exit(!check(who));
}

static int trip_with(int nr, bool (*change)(int who), bool (*check)(int who))
{
	pid_t pid[8];
	long before, after;
	int i, status;

	for (i = 0; i < nr; i++) {
		JOB_SETUP((pid[i] = fork_changer(i + 1, change, check)) > 0);
		wait_for_all(i + 1);
	}
	JOB_SETUP(change(0));
	before = pss_sum(pid, nr);
	JOB_SETUP(before > 0);
	job_roundtrip();
	after = pss_sum(pid, nr);
	job_notes()[0] = before;
	job_notes()[1] = after;
	JOB_CHECK(labs(after - before) <= before / 50);
	JOB_CHECK(check(0));
	__atomic_store_n(&board->go, 1, __ATOMIC_SEQ_CST);
	futex_wake(&board->go);
	for (i = 0; i < nr; i++)
		JOB_CHECK(waitpid(pid[i], &status, 0) == pid[i] && !status);
	JOB_CHECK(check(0));
	return 0;
}

/* ---- what they change ---- */

static bool change_nothing(int who)
{
	(void)who;
	return true;
}

static bool check_nothing_changed(int who)
{
	return is_filled(0, area_size / 4096, 0) && (fill(who, who + 1, who), is_filled(who, who + 1, who));
}

/* Each its own eighth, and one page in sixteen of the rest of what it has. */
static bool change_some(int who)
{
	size_t nr = area_size / 4096, page;

	fill(who * nr / 8, (who + 1) * nr / 8, who);
	for (page = who; page < nr; page += 64)
		fill(page, page + 1, who);
	return true;
}

/* Children are forked before the parent writes: what they have of it is the first content. */
static bool check_some(int who)
{
	size_t nr = area_size / 4096, page;

	for (page = 0; page < nr; page++) {
		bool own = (page >= who * nr / 8 && page < (who + 1) * nr / 8) || page % 64 == (size_t)who;

		if (!is_filled(page, page + 1, own ? who : 0))
			return false;
	}
	return true;
}

/* The parent writes all of it after the forks: the children share what it had. */
static bool change_parent(int who)
{
	if (!who)
		fill(0, area_size / 4096, 7);
	return true;
}

static bool check_parent(int who)
{
	return is_filled(0, area_size / 4096, who ? 0 : 7);
}

/* Parts are unmapped, dropped, or protected in another way. */
static bool change_areas(int who)
{
	size_t step = area_size / 8;

	if (who == 1)
		return !munmap(area + step, step);
	if (who == 2)
		return !madvise(area + 2 * step + 4096, step, MADV_DONTNEED);
	if (who == 3)
		return !mprotect(area + 3 * step, step, PROT_READ);
	return true;
}

static bool check_areas(int who)
{
	size_t nr = area_size / 4096, eighth = nr / 8;

	if (who == 1)
		return is_filled(0, eighth, 0) && is_filled(2 * eighth, nr, 0) && msync(area + eighth * 4096, 4096, 0);
	if (who == 2)
		return is_filled(0, 2 * eighth + 1, 0) && !area[(2 * eighth + 1) * 4096] &&
		       is_filled(3 * eighth + 1, nr, 0);
	return is_filled(0, nr, 0);
}

/* ---- the tests ---- */

#define SHARE(name, size, advice, nr, change, check)				\
	static int job_##name(void)						\
	{									\
		JOB_SETUP(set_up(size, advice));				\
		fill(0, area_size / 4096, 0);					\
		return trip_with(nr, change, check);				\
	}									\
	TEST(share_##name)							\
	{									\
		EXPECT_EQ(0, roundtrip(job_##name));				\
	}

SHARE(small, 4 * MIB, MADV_NOHUGEPAGE, 3, change_nothing, check_nothing_changed)
SHARE(huge, 8 * MIB, MADV_HUGEPAGE, 3, change_nothing, check_nothing_changed)
SHARE(small_changed, 4 * MIB, MADV_NOHUGEPAGE, 4, change_some, check_some)
SHARE(huge_changed, 8 * MIB, MADV_HUGEPAGE, 3, change_some, check_some)
SHARE(among_siblings, 4 * MIB, MADV_NOHUGEPAGE, 3, change_parent, check_parent)
SHARE(among_siblings_huge, 8 * MIB, MADV_HUGEPAGE, 3, change_parent, check_parent)
SHARE(areas_changed, 4 * MIB, MADV_NOHUGEPAGE, 3, change_areas, check_areas)
SHARE(areas_changed_huge, 16 * MIB, MADV_HUGEPAGE, 3, change_areas, check_areas)

/* Guard pages, one for all from before the children were there, and others of each its own. */
static bool change_guards(int who)
{
	return guard_pages(area + (10 + 3 * who) * 4096, 2);
}

static bool check_guards(int who)
{
	size_t own = 10 + 3 * who;

	return is_guarded(area + 4 * 4096, 1) && is_guarded(area + own * 4096, 2) && is_filled(0, 4, 0) &&
	       is_filled(5, own > 10 ? 10 : own, 0) && is_filled(own + 2, own + 3, 0) && is_filled(30, area_size / 4096, 0);
}

static int shared_with_guards(void)
{
	JOB_SETUP(set_up(4 * MIB, MADV_NOHUGEPAGE));
	fill(0, area_size / 4096, 0);
	JOB_SETUP(guard_pages(area + 4 * 4096, 1));
	return trip_with(3, change_guards, check_guards);
}

TEST(share_beside_guards)
{
	if (!have_guards())
		test_skip("no guard pages before Linux 6.13");
	EXPECT_EQ(0, roundtrip(shared_with_guards));
}

/* The same pages go into the image once. */
static int shared_by_many(void)
{
	JOB_SETUP(set_up(4 * MIB, MADV_NOHUGEPAGE));
	fill(0, area_size / 4096, 0);
	return trip_with(7, change_nothing, check_nothing_changed);
}

static char *image_seen;
static long image_bytes;
static bool image_is_whole, image_tells;

static void look_at_image(void)
{
	struct tool_result shown = TOOL("show", "--records", image_seen);
	char *bytes;
	size_t len;

	bytes = read_bytes(image_seen, &len);
	image_bytes = bytes ? (long)len : -1;
	image_is_whole = !TOOL("verify", image_seen).status;
	image_tells = !shown.status && strstr(shown.text, "shares record");
}

TEST(share_is_stored_once)
{
	struct job_options options = { .between = look_at_image };

	image_seen = (char *)test_path("image.-0");
	EXPECT_EQ(0, roundtrip_with(shared_by_many, &options));
	EXPECT_TRUE(image_bytes > 4 * MIB && image_bytes < 8 * MIB);
	EXPECT_TRUE(image_is_whole && image_tells);
}
