// SPDX-License-Identifier: GPL-2.0
/*
 * Do soft-dirty bits tell all pages that were written to? Shows two ways in which they do not; see
 * docs/adr/0023-increments.md. What to look for are pages that are called clean though they have changed.
 *
 *	cc -o build/soft_dirty docs/experiments/soft_dirty.c
 *	make vm				and there: build/soft_dirty
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096UL
#define TABLE (2UL << 20)	/* what one page table maps */
#define RW (PROT_READ | PROT_WRITE)

static void need(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

static void *map_at(char *at, size_t len, int prot)
{
	at = mmap(at, len, prot, MAP_PRIVATE | MAP_ANONYMOUS | (at ? MAP_FIXED : 0), -1, 0);
	need(at != MAP_FAILED, "mmap");
	return at;
}

static void begin(void)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY);

	need(fd >= 0 && write(fd, "4", 1) == 1, "clear_refs");
	close(fd);
}

static int is_dirty(const char *page)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	uint64_t entry;

	need(pread(fd, &entry, 8, (uintptr_t)page / PAGE * 8) == 8, "pagemap");
	close(fd);
	return entry >> 55 & 1;
}

static void tell(const char *what, const char *page)
{
	printf("  %-40s has '%c', %s\n", what, *page, is_dirty(page) ? "dirty" : "clean");
}

/* Else nothing is ever dirty. */
static void need_soft_dirty_bits(void)
{
	char *page = map_at(NULL, PAGE, RW);
	int before;

	*page = 'a';
	begin();
	before = is_dirty(page);
	*page = 'b';
	need(!before && is_dirty(page), "no soft-dirty bits");
}

/*
 * An area that is mapped beside another one becomes one with it, and the whole is then marked. As long as it is, nobody
 * takes note of single pages: mprotect() makes them writable without a fault. And then it becomes one with a third area,
 * which is not marked.
 */
static void areas_that_merge(void)
{
	char *third = (char *)map_at(NULL, 5 * PAGE, PROT_NONE) + PAGE, *page = third + PAGE;

	puts("areas that merge:");
	map_at(third, 2 * PAGE, RW);
	*third = *page = 'a';
	need(!mprotect(third, PAGE, PROT_READ | PROT_EXEC), "mprotect");
	begin();
	tell("at the beginning", page);
	map_at(page + PAGE, PAGE, RW);
	need(!mprotect(page, PAGE, PROT_READ), "mprotect");
	need(!mprotect(page, PAGE, RW), "mprotect");
	*page = 'b';
	tell("written to, in an area that is marked", page);
	need(!mprotect(third, PAGE, RW), "mprotect");
	tell("the area has merged with the third one", page);
}

/* Whole page tables are moved as they are. */
static void tables_that_move(void)
{
	char *room = map_at(NULL, 4 * TABLE, PROT_NONE);
	char *from = (char *)(((uintptr_t)room + TABLE - 1) & ~(TABLE - 1)), *to = from + 2 * TABLE;

	puts("tables that move:");
	map_at(from, TABLE, RW);
	map_at(to, TABLE, RW);
	need(!madvise(from, 3 * TABLE, MADV_NOHUGEPAGE), "madvise");
	memset(from, 'a', TABLE);
	memset(to, 'b', TABLE);
	begin();
	tell("at the beginning", to);
	need(mremap(from, TABLE, TABLE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to, "mremap");
	tell("another area was moved there", to);
}

int main(void)
{
	need_soft_dirty_bits();
	areas_that_merge();
	tables_that_move();
	return 0;
}
