// SPDX-License-Identifier: GPL-2.0
/* Address spaces: areas, their pages, advice, locks, heap, stack, vdso. */
#include <elf.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "image.h"
#include "job.h"
#include "runner.h"

#define PAGE 4096UL
#define HUGE (2UL << 20)

static char *map(size_t len, int prot)
{
	return mmap(NULL, len, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* A value that tells the page. */
static void mark(char *at, size_t pages)
{
	size_t i;

	for (i = 0; i < pages; i++)
		*(uint64_t *)(at + i * PAGE) = (uintptr_t)at + i * 0x9e3779b97f4a7c15;
}

/* The pages from @first on, of those that were marked from @at on. */
static bool is_marked_from(const char *at, size_t first, size_t pages)
{
	size_t i;

	for (i = first; i < first + pages; i++)
		if (*(uint64_t *)(at + i * PAGE) != (uintptr_t)at + i * 0x9e3779b97f4a7c15)
			return false;
	return true;
}

static bool is_marked(const char *at, size_t pages)
{
	return is_marked_from(at, 0, pages);
}

static bool is_zero(const char *at, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (at[i])
			return false;
	return true;
}

/* It would be shared with children; the pages are its own all the same. */
static int shared_anonymous(void)
{
	char *at = mmap(NULL, 100 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	JOB_SETUP(at != MAP_FAILED);
	mark(at + 10 * PAGE, 20);
	job_roundtrip();
	JOB_CHECK(is_marked(at + 10 * PAGE, 20) && is_zero(at, 10 * PAGE) && is_zero(at + 30 * PAGE, 70 * PAGE));
	return 0;
}

TEST(mm_shared_anonymous)
{
	EXPECT_EQ(0, roundtrip(shared_anonymous));
}

/* ---- what /proc tells is the same before and after ---- */

static char before[8 << 20], after[8 << 20];

static void read_into(char *into, const char *path)
{
	int fd = open(path, O_RDONLY);
	size_t at = 0;
	ssize_t n;

	while (at < sizeof(before) - 1 && (n = read(fd, into + at, sizeof(before) - 1 - at)) > 0)
		at += n;
	into[at] = 0;
	close(fd);
}

struct row {
	unsigned long from, to, offset;
	char perms[8], name[400], flags[200];
};

static struct row rows[2][6000];

/*
 * "sd" only tells that it was written since somebody asked, "gu" that there may be guard pages: in any of the areas that
 * this one was made of.
 */
static void drop_hints(char *flags)
{
	static const char *const hints[] = { "sd ", "gu " };
	char *at;
	int i;

	for (i = 0; i < 2; i++)
		if ((at = strstr(flags, hints[i])))
			memmove(at, at + 3, strlen(at + 3) + 1);
}

/* Equal neighbours may be one area or two: whichever, here they are one. */
static bool continues(const struct row *a, const struct row *b)
{
	return a->to == b->from && !strcmp(a->perms, b->perms) && !strcmp(a->name, b->name) &&
	       !strcmp(a->flags, b->flags) && (!strchr(a->name, '/') || a->offset + (a->to - a->from) == b->offset);
}

/* The areas of smaps with their properties; returns how many. */
static int parse_smaps(char *text, struct row *list)
{
	struct row row = {}, head;
	char *line;
	int nr = 0;

	while ((line = strsep(&text, "\n"))) {
		if (!strncmp(line, "VmFlags: ", 9)) {
			snprintf(row.flags, sizeof(row.flags), "%s", line + 9);
			drop_hints(row.flags);
			if (nr && continues(&list[nr - 1], &row))
				list[nr - 1].to = row.to;
			else if (nr < 6000)
				list[nr++] = row;
			continue;
		}
		memset(&head, 0, sizeof(head));
		if (sscanf(line, "%lx-%lx %7s %lx %*s %399[^\n]", &head.from, &head.to, head.perms, &head.offset,
			   head.name) >= 4)
			row = head;
	}
	return nr;
}

static void tell_row(const char *when, const struct row *row)
{
	dprintf(2, "%s: %lx-%lx %s %lx %s, %s\n", when, row->from, row->to, row->perms, row->offset, row->name, row->flags);
}

static int tell_difference(void)
{
	int nr = parse_smaps(before, rows[0]), nr_after = parse_smaps(after, rows[1]), i;

	for (i = 0; i < nr && i < nr_after; i++) {
		if (!memcmp(&rows[0][i], &rows[1][i], offsetof(struct row, perms)) &&
		    !strcmp(rows[0][i].perms, rows[1][i].perms) && !strcmp(rows[0][i].name, rows[1][i].name) &&
		    !strcmp(rows[0][i].flags, rows[1][i].flags))
			continue;
		tell_row("before", &rows[0][i]);
		tell_row("after", &rows[1][i]);
		return 1;
	}
	if (nr != nr_after)
		dprintf(2, "%d areas before, %d after\n", nr, nr_after);
	return nr != nr_after;
}

/* No area may come or go between the two looks, so all that is used is touched before. */
static int same_maps_after_trip(void)
{
	memset(before, 1, sizeof(before));
	memset(after, 1, sizeof(after));
	memset(rows, 1, sizeof(rows));
	read_into(before, "/proc/self/smaps");
	job_roundtrip();
	read_into(after, "/proc/self/smaps");
	return tell_difference();
}

TEST(mm_maps_are_the_same)
{
	EXPECT_EQ(0, roundtrip(same_maps_after_trip));
}

/* Each kind of advice that is remembered. */
static int advice(void)
{
	static const int each[] = { MADV_DONTFORK, MADV_DONTDUMP, MADV_WIPEONFORK, MADV_HUGEPAGE, MADV_NOHUGEPAGE,
				    MADV_SEQUENTIAL, MADV_RANDOM, MADV_MERGEABLE };
	unsigned int i;

	for (i = 0; i < 8; i++) {
		char *at = map(16 * PAGE, PROT_READ | PROT_WRITE);

		JOB_SETUP(at != MAP_FAILED);
		mark(at, 16);
		if (madvise(at, 16 * PAGE, each[i]) && each[i] != MADV_MERGEABLE)
			return JOB_SETUP_FAILED;
		/* keeps the next one from lying beside it */
		JOB_SETUP(map(PAGE, PROT_NONE) != MAP_FAILED);
	}
	return same_maps_after_trip();
}

TEST(mm_advice)
{
	EXPECT_EQ(0, roundtrip(advice));
}

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif

static char *map_droppable(void)
{
	return mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_DROPPABLE | MAP_ANONYMOUS, -1, 0);
}

/* It comes back empty: what it is for must not exist twice. Only of such memory the dump cannot be asked for. */
static int droppable(void)
{
	char *at = map_droppable();

	JOB_SETUP(at != MAP_FAILED);
	mark(at, 4);
	job_roundtrip();
	JOB_CHECK(is_zero(at, 4 * PAGE));
	JOB_CHECK(madvise(at, 4 * PAGE, MADV_DODUMP) && errno == EINVAL);
	mark(at, 4);
	JOB_CHECK(is_marked(at, 4));
	return 0;
}

TEST(mm_droppable)
{
	if (map_droppable() == MAP_FAILED)
		test_skip("no droppable memory before Linux 6.11");
	EXPECT_EQ(0, roundtrip(droppable));
}

static int locked(void)
{
	char *all = map(8 * PAGE, PROT_READ | PROT_WRITE), *lazy;
	long size;

	JOB_SETUP(all != MAP_FAILED && !mlock(all, 8 * PAGE));
	JOB_SETUP(map(PAGE, PROT_NONE) != MAP_FAILED);
	lazy = map(8 * PAGE, PROT_READ | PROT_WRITE);
	JOB_SETUP(lazy != MAP_FAILED && !mlock2(lazy, 8 * PAGE, MLOCK_ONFAULT));
	size = status_field(getpid(), "VmLck", 10);
	JOB_TRY(same_maps_after_trip());
	JOB_CHECK(status_field(getpid(), "VmLck", 10) == size && size == 64);
	return 0;
}

TEST(mm_locked)
{
	EXPECT_EQ(0, roundtrip(locked));
}

static int no_reserve(void)
{
	char *at = mmap(NULL, 1UL << 40, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	JOB_SETUP(at != MAP_FAILED);
	mark(at + (1UL << 39), 10);
	JOB_TRY(same_maps_after_trip());
	JOB_CHECK(is_marked(at + (1UL << 39), 10) && is_zero(at, 100 * PAGE));
	return 0;
}

TEST(mm_huge_area_without_reserve)
{
	EXPECT_EQ(0, roundtrip(no_reserve));
}

/* ---- contents ---- */

static int protections(void)
{
	static const int each[] = { PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC,
				    PROT_READ | PROT_WRITE | PROT_EXEC, PROT_WRITE };
	char *at[6];
	int i;

	for (i = 0; i < 6; i++) {
		JOB_SETUP((at[i] = map(10 * PAGE, PROT_READ | PROT_WRITE)) != MAP_FAILED);
		mark(at[i], 10);
		JOB_SETUP(!mprotect(at[i], 10 * PAGE, each[i]));
	}
	JOB_TRY(same_maps_after_trip());
	for (i = 0; i < 6; i++) {
		JOB_CHECK(!mprotect(at[i], 10 * PAGE, PROT_READ));
		JOB_CHECK(is_marked(at[i], 10));
	}
	return 0;
}

TEST(mm_contents_whatever_the_protection)
{
	EXPECT_EQ(0, roundtrip(protections));
}

/* Never touched, read only, written with zeros, written, and holes in between. */
static int zeros_and_holes(void)
{
	char *at = map(1000 * PAGE, PROT_READ | PROT_WRITE);
	volatile char c;
	int i;

	JOB_SETUP(at != MAP_FAILED);
	for (i = 0; i < 1000; i++) {
		if (i % 5 == 1)
			c = at[i * PAGE];
		if (i % 5 == 2)
			memset(at + i * PAGE, 0, PAGE);
		if (i % 5 == 3)
			mark(at + i * PAGE, 1);
		if (i % 5 == 4)
			JOB_SETUP(!munmap(at + i * PAGE, PAGE));
	}
	(void)c;
	JOB_TRY(same_maps_after_trip());
	for (i = 0; i < 1000; i++) {
		if (i % 5 < 3)
			JOB_CHECK(is_zero(at + i * PAGE, PAGE));
		if (i % 5 == 3)
			JOB_CHECK(is_marked(at + i * PAGE, 1));
	}
	return 0;
}

TEST(mm_zeros_and_holes)
{
	EXPECT_EQ(0, roundtrip(zeros_and_holes));
}

static long resident(const char *at, size_t pages)
{
	static uint64_t map_bits[1 << 16];
	int fd = open("/proc/self/pagemap", O_RDONLY);
	long nr = 0;
	size_t i;

	if (pread(fd, map_bits, pages * 8, (uintptr_t)at / PAGE * 8) == (ssize_t)(pages * 8))
		for (i = 0; i < pages; i++)
			nr += map_bits[i] >> 63;
	close(fd);
	return nr;
}

/* What was never touched takes no memory afterwards either. */
static int stays_sparse(void)
{
	char *at = map(60000 * PAGE, PROT_READ | PROT_WRITE);
	int i;

	JOB_SETUP(at != MAP_FAILED && !madvise(at, 60000 * PAGE, MADV_NOHUGEPAGE));
	for (i = 0; i < 60000; i += 1000)
		mark(at + i * PAGE, 1);
	job_roundtrip();
	JOB_CHECK(resident(at, 60000) == 60);
	for (i = 0; i < 60000; i += 1000)
		JOB_CHECK(is_marked(at + i * PAGE, 1));
	return 0;
}

TEST(mm_stays_sparse)
{
	EXPECT_EQ(0, roundtrip(stays_sparse));
}

static int large(void)
{
	char *at = map(96UL << 20, PROT_READ | PROT_WRITE);

	JOB_SETUP(at != MAP_FAILED);
	mark(at, (96UL << 20) / PAGE);
	job_roundtrip();
	JOB_CHECK(is_marked(at, (96UL << 20) / PAGE));
	return 0;
}

TEST(mm_large)
{
	EXPECT_EQ(0, roundtrip(large));
}

static int many_areas(void)
{
	char *at = map(4000 * PAGE, PROT_READ | PROT_WRITE);
	int i;

	JOB_SETUP(at != MAP_FAILED);
	mark(at, 4000);
	for (i = 0; i < 4000; i += 2)
		JOB_SETUP(!mprotect(at + i * PAGE, PAGE, PROT_READ));
	JOB_TRY(same_maps_after_trip());
	JOB_CHECK(is_marked(at, 4000));
	return 0;
}

TEST(mm_many_areas)
{
	EXPECT_EQ(0, roundtrip(many_areas));
}

/* ---- files ---- */

static char file_data[16 * PAGE];

static int make_file(void)
{
	size_t i;

	for (i = 0; i < sizeof(file_data); i++)
		file_data[i] = i * 13 + i / 256;
	return write_bytes(test_path("data"), file_data, sizeof(file_data)) ? open(test_path("data"), O_RDWR) : -1;
}

/* Some pages written, some overwritten with zeros, the others still the file's. */
static int private_file(void)
{
	int fd = make_file();
	char *at = mmap(NULL, sizeof(file_data), PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	JOB_SETUP(fd >= 0 && at != MAP_FAILED);
	close(fd);
	memset(at + 2 * PAGE, 'x', PAGE);
	memset(at + 5 * PAGE, 0, PAGE);
	at[7 * PAGE]++;
	JOB_SETUP(!mprotect(at, 6 * PAGE, PROT_READ));
	JOB_TRY(same_maps_after_trip());
	JOB_CHECK(!memcmp(at, file_data, 2 * PAGE) && !memcmp(at + 8 * PAGE, file_data + 8 * PAGE, 8 * PAGE));
	JOB_CHECK(at[2 * PAGE] == 'x' && at[3 * PAGE - 1] == 'x' && is_zero(at + 5 * PAGE, PAGE));
	JOB_CHECK(at[7 * PAGE] == (char)(file_data[7 * PAGE] + 1));
	JOB_CHECK(!memcmp(at + 7 * PAGE + 1, file_data + 7 * PAGE + 1, PAGE - 1));
	return 0;
}

TEST(mm_private_file)
{
	EXPECT_EQ(0, roundtrip(private_file));
}

/* Mapped shared; what is written through it is in the file. */
static int shared_file(void)
{
	int fd = make_file(), only_read = open(test_path("data"), O_RDONLY);
	char *ro = mmap(NULL, 4 * PAGE, PROT_READ, MAP_SHARED, only_read, 2 * PAGE);
	char *rw = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), c;

	JOB_SETUP(ro != MAP_FAILED && rw != MAP_FAILED);
	rw[3 * PAGE] = 'A';
	JOB_TRY(same_maps_after_trip());
	JOB_CHECK(rw[3 * PAGE] == 'A' && ro[PAGE] == 'A');
	rw[3 * PAGE] = 'B';
	JOB_CHECK(ro[PAGE] == 'B' && pread(fd, &c, 1, 3 * PAGE) == 1 && c == 'B');
	JOB_CHECK(!memcmp(ro + 2 * PAGE, file_data + 4 * PAGE, 2 * PAGE));
	return 0;
}

TEST(mm_shared_file)
{
	EXPECT_EQ(0, roundtrip(shared_file));
}

/* One file in many areas, each with a protection of its own. */
static int file_in_pieces(void)
{
	int fd = make_file(), i;
	char *at[48];

	for (i = 0; i < 48; i++) {
		at[i] = mmap(NULL, PAGE, i % 3 ? PROT_READ : PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, i % 16 * PAGE);
		JOB_SETUP(at[i] != MAP_FAILED);
	}
	JOB_TRY(same_maps_after_trip());
	for (i = 0; i < 48; i++)
		JOB_CHECK(!memcmp(at[i], file_data + i % 16 * PAGE, PAGE));
	return 0;
}

TEST(mm_file_in_pieces)
{
	EXPECT_EQ(0, roundtrip(file_in_pieces));
}

/* An area that reaches past the end of its file. */
static int past_the_end(void)
{
	int fd;
	char *at;

	JOB_SETUP(write_file(test_path("data"), "short") && (fd = open(test_path("data"), O_RDONLY)) >= 0);
	JOB_SETUP((at = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0)) != MAP_FAILED);
	at[100] = 'x';
	JOB_TRY(same_maps_after_trip());
	JOB_CHECK(!strcmp(at, "short") && at[100] == 'x');
	return 0;
}

TEST(mm_file_past_its_end)
{
	EXPECT_EQ(0, roundtrip(past_the_end));
}

/* ---- guard pages ---- */

#ifndef MADV_GUARD_REMOVE
#define MADV_GUARD_REMOVE 103
#endif

/* At both ends, side by side, one page between two; some over tables that were never there. */
static int guards(void)
{
	char *at = map(40 * PAGE, PROT_READ | PROT_WRITE), *fresh = map(3 * HUGE, PROT_READ | PROT_WRITE);
	size_t many = 3 * HUGE / PAGE;

	JOB_SETUP(at != MAP_FAILED && fresh != MAP_FAILED && !is_guarded(at, 1));
	mark(at, 40);
	JOB_SETUP(guard_pages(at, 2) && guard_pages(at + 10 * PAGE, 5) && guard_pages(at + 16 * PAGE, 1));
	JOB_SETUP(guard_pages(at + 39 * PAGE, 1) && guard_pages(fresh + 20 * PAGE, many - 40));
	JOB_SETUP(!mprotect(at + 12 * PAGE, 4 * PAGE, PROT_READ));
	JOB_TRY(same_maps_after_trip());
	JOB_CHECK(is_guarded(at, 2) && is_guarded(at + 10 * PAGE, 5) && is_guarded(at + 16 * PAGE, 1));
	JOB_CHECK(is_guarded(at + 39 * PAGE, 1) && is_guarded(fresh + 20 * PAGE, many - 40));
	JOB_CHECK(is_marked_from(at, 2, 8) && is_marked_from(at, 15, 1) && is_marked_from(at, 17, 22));
	JOB_CHECK(is_zero(fresh, 20 * PAGE) && is_zero(fresh + (many - 20) * PAGE, 20 * PAGE));
	/* They are there the second time, too, and can be taken away. */
	job_roundtrip();
	JOB_CHECK(is_guarded(at, 2) && is_marked_from(at, 2, 8));
	JOB_CHECK(!madvise(at, 40 * PAGE, MADV_GUARD_REMOVE) && is_zero(at + 10 * PAGE, 5 * PAGE));
	JOB_CHECK(!madvise(fresh, 3 * HUGE, MADV_GUARD_REMOVE) && is_zero(fresh, 3 * HUGE));
	return 0;
}

TEST(mm_guards)
{
	if (!have_guards())
		test_skip("no guard pages before Linux 6.13");
	EXPECT_EQ(0, roundtrip(guards));
}

/* In an area that was locked since, in what was a huge page, in shared memory, over a file. */
static int guards_anywhere(void)
{
	char *locked = map(8 * PAGE, PROT_READ | PROT_WRITE), *room = map(3 * HUGE, PROT_READ | PROT_WRITE);
	char *shared = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char *file = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, make_file(), 0);
	char *huge = (char *)(((uintptr_t)room + HUGE - 1) & ~(HUGE - 1));

	JOB_SETUP(locked != MAP_FAILED && room != MAP_FAILED && shared != MAP_FAILED && file != MAP_FAILED);
	madvise(huge, 2 * HUGE, MADV_HUGEPAGE);
	mark(locked, 8);
	mark(huge, 2 * HUGE / PAGE);
	mark(shared, 8);
	file[PAGE] ^= 1;
	JOB_SETUP(guard_pages(locked + 3 * PAGE, 2) && guard_pages(huge + 7 * PAGE, 3));
	JOB_SETUP(guard_pages(shared + PAGE, 1) && guard_pages(file + 2 * PAGE, 2));
	JOB_SETUP(mlock(locked, 8 * PAGE));	/* it is locked, and the guards could not be read */
	job_roundtrip();
	JOB_CHECK(is_guarded(locked + 3 * PAGE, 2) && is_marked(locked, 3) && is_marked_from(locked, 5, 3));
	JOB_CHECK(is_guarded(huge + 7 * PAGE, 3) && is_marked(huge, 7));
	JOB_CHECK(is_marked_from(huge, 10, 2 * HUGE / PAGE - 10));
	JOB_CHECK(is_guarded(shared + PAGE, 1) && is_marked(shared, 1) && is_marked_from(shared, 2, 6));
	JOB_CHECK(is_guarded(file + 2 * PAGE, 2) && file[PAGE] == (char)(file_data[PAGE] ^ 1));
	JOB_CHECK(!memcmp(file, file_data, PAGE) && !memcmp(file + 4 * PAGE, file_data + 4 * PAGE, 4 * PAGE));
	return 0;
}

TEST(mm_guards_anywhere)
{
	if (!have_guards())
		test_skip("no guard pages before Linux 6.13");
	EXPECT_EQ(0, roundtrip(guards_anywhere));
}

/* The last area of the image becomes guard pages at @start: what a dry run says. */
static uint32_t try_guard(const struct image *image, uint64_t start)
{
	struct image bad = image_copy(image);
	struct kckpt_mm_rec *mm = image_find(&bad, KCKPT_F_mm, KCKPT_K_mm, 0);
	struct kckpt_vma_rec *last = image_find(&bad, KCKPT_F_mm, KCKPT_K_vma, mm->nr_areas - 1);
	struct kckpt_guard_rec guard = { .start = start, .end = start + PAGE };
	int dev = device_open();
	uint32_t code;

	image_head(last)->kind = KCKPT_K_guard;
	memset(last, 0, sizeof(*last));
	memcpy(last, &guard, sizeof(guard));
	mm->nr_areas--;
	image_seal(&bad);
	device_restore(dev, &bad, NULL, KCKPT_INSTANTIATE_DRY_RUN);
	code = device_first_code(dev);
	close(dev);
	return code;
}

/* A kernel without them says so before anything is made. */
TEST(mm_guards_in_an_image)
{
	const struct kckpt_vma_rec *first;
	struct image image = {};
	struct job job;

	runner_start(&job);
	runner_dump(&job, &image);
	first = image_find(&image, KCKPT_F_mm, KCKPT_K_vma, 0);
	EXPECT_EQ(have_guards() ? 0 : KCKPT_E_VMA_FLAG, try_guard(&image, first->start));
	EXPECT_EQ(KCKPT_E_IMAGE_RECORD, try_guard(&image, first->start - PAGE));	/* no area is there */
	EXPECT_EQ(KCKPT_E_IMAGE_RECORD, try_guard(&image, first->start + 8));
	EXPECT_EQ(KCKPT_E_IMAGE_RECORD, try_guard(&image, 1UL << 62));
	runner_restore(&job, &image);
}

/* ---- heap, stack ---- */

static int heap_grows(void)
{
	char *at = sbrk(0), *more;

	JOB_SETUP(sbrk(20 * PAGE) == at);
	memset(at, 'h', 20 * PAGE);
	job_roundtrip();
	JOB_CHECK(sbrk(0) == at + 20 * PAGE && at[0] == 'h' && at[20 * PAGE - 1] == 'h');
	more = sbrk(100 * PAGE);
	JOB_CHECK(more == at + 20 * PAGE && is_zero(more, 100 * PAGE));
	JOB_CHECK(sbrk(-110 * PAGE) != (void *)-1 && sbrk(0) == at + 10 * PAGE);
	return 0;
}

TEST(mm_heap_grows_afterwards)
{
	EXPECT_EQ(0, roundtrip(heap_grows));
}

static __attribute__((noinline)) int use_stack(int depth)
{
	volatile char room[4000];

	room[0] = depth;
	room[3999] = depth;
	return depth ? use_stack(depth - 1) + room[0] - room[3999] : 0;
}

static int stack_grows(void)
{
	job_roundtrip();
	JOB_CHECK(use_stack(1500) == 0);	/* 6 of 8 MB */
	return 0;
}

TEST(mm_stack_grows_afterwards)
{
	EXPECT_EQ(0, roundtrip(stack_grows));
}

static int grows_down(void)
{
	char *room = map(256 * PAGE, PROT_NONE), *at;

	/* With the room that the kernel keeps free below it. */
	JOB_SETUP(room != MAP_FAILED && !munmap(room, 256 * PAGE));
	at = mmap(room + 250 * PAGE, PAGE, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED_NOREPLACE, -1, 0);
	JOB_SETUP(at == room + 250 * PAGE);
	at[0] = 'g';
	at[-(long)PAGE] = 'G';
	JOB_TRY(same_maps_after_trip());
	JOB_CHECK(at[0] == 'g' && at[-(long)PAGE] == 'G');
	at[-2 * (long)PAGE] = 'x';
	JOB_CHECK(at[-2 * (long)PAGE] == 'x');
	return 0;
}

TEST(mm_grows_down)
{
	EXPECT_EQ(0, roundtrip(grows_down));
}

/* ---- huge pages ---- */

/* In the area that begins there. */
static long huge_kb(const char *area)
{
	char *text = read_file("/proc/self/smaps"), *at;

	at = text ? strstr(text, format("\n%lx-", (unsigned long)area)) : NULL;
	at = at ? strstr(at, "AnonHugePages:") : NULL;
	return at ? atol(at + 14) : -1;
}

static int huge_pages(void)
{
	char *room = map(5 * HUGE, PROT_READ | PROT_WRITE), *at;
	long kb;

	JOB_SETUP(room != MAP_FAILED);
	at = (char *)(((uintptr_t)room + HUGE - 1) & ~(HUGE - 1));
	if (madvise(at, 3 * HUGE, MADV_HUGEPAGE))
		return job_skip("no huge pages");
	mark(at, 3 * HUGE / PAGE);
	kb = huge_kb(at);
	if (kb < 3 * 2048)
		return job_skip("the kernel gave no huge pages");
	JOB_TRY(same_maps_after_trip());
	JOB_CHECK(is_marked(at, 3 * HUGE / PAGE));
	JOB_CHECK(huge_kb(at) >= 3 * 2048);
	return 0;
}

TEST(mm_huge_pages_stay_huge)
{
	EXPECT_EQ(0, roundtrip(huge_pages));
}

static int small_pages(void)
{
	char *room = map(5 * HUGE, PROT_READ | PROT_WRITE), *at;

	JOB_SETUP(room != MAP_FAILED);
	at = (char *)(((uintptr_t)room + HUGE - 1) & ~(HUGE - 1));
	JOB_SETUP(!madvise(at, 3 * HUGE, MADV_NOHUGEPAGE));
	mark(at, 3 * HUGE / PAGE);
	JOB_SETUP(huge_kb(at) == 0);
	JOB_TRY(same_maps_after_trip());
	JOB_CHECK(is_marked(at, 3 * HUGE / PAGE) && huge_kb(at) == 0);
	return 0;
}

TEST(mm_small_pages_stay_small)
{
	EXPECT_EQ(0, roundtrip(small_pages));
}

static int thp_disabled(void)
{
	JOB_SETUP(!prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	job_roundtrip();
	JOB_CHECK(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 1);
	return 0;
}

TEST(mm_thp_disabled)
{
	EXPECT_EQ(0, roundtrip(thp_disabled));
}

/* ---- vdso and the rest ---- */

static int vdso(void)
{
	unsigned long ehdr = getauxval(AT_SYSINFO_EHDR);
	struct timespec fast, slow;

	job_roundtrip();
	JOB_CHECK(getauxval(AT_SYSINFO_EHDR) == ehdr && !memcmp((void *)ehdr, ELFMAG, SELFMAG));
	JOB_CHECK(!clock_gettime(CLOCK_MONOTONIC, &fast) && !syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &slow));
	JOB_CHECK(slow.tv_sec - fast.tv_sec <= 1 && slow.tv_sec >= fast.tv_sec);
	JOB_CHECK(sched_getcpu() >= 0);
	return 0;
}

TEST(mm_vdso_works)
{
	EXPECT_EQ(0, roundtrip(vdso));
}

static int dumpable(void)
{
	JOB_SETUP(!prctl(PR_SET_DUMPABLE, 0));
	JOB_SETUP(write_file("/proc/self/coredump_filter", "0x77"));
	job_roundtrip();
	JOB_CHECK(prctl(PR_GET_DUMPABLE) == 0);
	JOB_CHECK(strtol(read_file("/proc/self/coredump_filter"), NULL, 16) == 0x77);
	return 0;
}

TEST(mm_dumpable_and_core_filter)
{
	EXPECT_EQ(0, roundtrip(dumpable));
}

static uint64_t turns;

static void *scribble(void *arg)
{
	uint64_t *at = arg, n;

	for (n = 1;; n++) {
		/* The whole area says the same, but for the place where the turn is. */
		for (size_t i = 0; i < 200 * PAGE / 8; i += 64)
			__atomic_store_n(&at[i], n, __ATOMIC_SEQ_CST);
		__atomic_store_n(&turns, n, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

/* Memory that is written all the time is of one moment. */
static int busy_memory(void)
{
	uint64_t *at = (uint64_t *)map(200 * PAGE, PROT_READ | PROT_WRITE), last;
	pthread_t thread;
	int i;

	JOB_SETUP(!pthread_create(&thread, NULL, scribble, at));
	for (i = 0; i < 3; i++) {
		last = __atomic_load_n(&turns, __ATOMIC_SEQ_CST);
		job_roundtrip();
		while (__atomic_load_n(&turns, __ATOMIC_SEQ_CST) < last + 2)
			sched_yield();
	}
	return 0;
}

TEST(mm_busy_memory)
{
	EXPECT_EQ(0, roundtrip(busy_memory));
}

/* Where new areas go is what a program was started with: upwards for those of setarch -L. */
static const char places_two[] =
	"import mmap, os, sys\n"
	"first = mmap.mmap(-1, 4 << 20)\n"
	"os.write(1, b'x')\n"
	"os.read(0, 1)\n"
	"second = mmap.mmap(-1, 8 << 20)\n"
	"at = {}\n"
	"for line in open('/proc/self/maps'):\n"
	"	if '/dev/zero' in line:\n"
	"		start, end = (int(x, 16) for x in line.split()[0].split('-'))\n"
	"		at[end - start >> 20] = start\n"
	"sys.exit(0 if at[8] > at[4] else 3)\n";

static int places_areas(unsigned long persona)
{
	int ready[2], go[2], status;
	pid_t pid;
	char x;

	JOB_SETUP(!pipe(ready) && !pipe(go));
	pid = fork();
	if (!pid) {
		dup2(go[0], 0);
		dup2(ready[1], 1);
		personality(persona);
		execlp("python3", "python3", "-c", places_two, NULL);
		_exit(1);
	}
	JOB_SETUP(read(ready[0], &x, 1) == 1);
	job_roundtrip();
	JOB_CHECK(write(go[1], "x", 1) == 1 && waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int places_areas_upwards(void)
{
	return places_areas(ADDR_COMPAT_LAYOUT);
}

static int places_areas_downwards(void)
{
	return places_areas(PER_LINUX);
}

TEST(mm_places_areas_where_it_would)
{
	EXPECT_EQ(0, roundtrip(places_areas_upwards));
	EXPECT_EQ(3, roundtrip(places_areas_downwards));
}

static void *map_and_unmap(void *arg)
{
	uint32_t seed = 4711;

	(void)arg;
	for (;;) {
		size_t pages = 1 + random_next(&seed) % 50;
		char *at = map(pages * PAGE, PROT_READ | PROT_WRITE);

		if (at == MAP_FAILED)
			continue;
		mark(at, pages);
		if (!is_marked(at, pages))
			abort();
		munmap(at, pages * PAGE);
		__atomic_add_fetch(&turns, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

static int busy_areas(void)
{
	pthread_t thread;
	uint64_t last;
	int i;

	JOB_SETUP(!pthread_create(&thread, NULL, map_and_unmap, NULL));
	for (i = 0; i < 3; i++) {
		last = __atomic_load_n(&turns, __ATOMIC_SEQ_CST);
		job_roundtrip();
		while (__atomic_load_n(&turns, __ATOMIC_SEQ_CST) < last + 20)
			sched_yield();
	}
	return 0;
}

TEST(mm_busy_areas)
{
	EXPECT_EQ(0, roundtrip(busy_areas));
}
