// SPDX-License-Identifier: GPL-2.0
#include "usage.h"

#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <unistd.h>

#include "harness.h"
#include "util.h"

static const char *const caches[USAGE_CACHES] = { "task_struct", "mm_struct", "files_cache", "signal_cache", "sighand_cache", "filp",
				      "pid", "fs_cache", "cred_jar", "anon_vma", "vm_area_struct", "kmalloc" };
#define NR_QUIET (USAGE_CACHES - 2)	/* those before the last two, which others use a lot */

/* Objects in use of all caches whose name begins like that. */
static long objects(const char *cache)
{
	char *text = read_file("/proc/slabinfo"), *at = text, *line;
	long sum = 0;

	while ((line = strsep(&at, "\n")))
		if (!strncmp(line, cache, strlen(cache)) && strchr(line, ' '))
			sum += atol(strchr(line, ' '));
	free(text);
	return sum;
}

/*
 * Slabs that a CPU has to itself count as full in slabinfo: several hundred objects of a small cache, which come and go
 * with what else the CPU did. After this they are given back, and the numbers are right.
 */
static void shrink(const char *cache)
{
	glob_t found;
	size_t i;

	if (glob(format("/sys/kernel/slab/%s*/shrink", cache), 0, NULL, &found))
		return;
	for (i = 0; i < found.gl_pathc; i++)
		write_file(found.gl_pathv[i], "1");
	globfree(&found);
}

static long number_in(const char *path, const char *name)
{
	char *text = read_file(path), *at = text ? strstr(text, name) : NULL;
	long nr = at ? atol(at + strlen(name)) : -1;

	free(text);
	return nr;
}

struct usage usage_now(void)
{
	struct usage usage;
	unsigned int i;

	sync();
	write_file("/proc/sys/vm/drop_caches", "3");
	usleep(300000);	/* what RCU frees */
	for (i = 0; i < USAGE_CACHES; i++)
		shrink(caches[i]);
	for (i = 0; i < USAGE_CACHES; i++)
		usage.objects[i] = objects(caches[i]);
	usage.vmalloc_kb = number_in("/proc/meminfo", "VmallocUsed:");
	usage.groups = number_in("/sys/fs/cgroup/cgroup.stat", "nr_descendants ");
	return usage;
}

/*
 * How much more there may be of a cache after so many trips without it being a leak: what CPUs have at hand, some slabs
 * of 16 files each, counts as used.
 */
static long noise_of(unsigned int cache, int trips)
{
	return cache < NR_QUIET ? MAX(trips * 9 / 10, 64) : MAX(4 * trips, 300);
}

/* Of memory that is mapped by pages, in KiB: the stacks of two threads that have ended stay for each CPU, 32 KiB at most. */
static long vmalloc_noise(int trips)
{
	return 4 * trips + 2 * 32 * sysconf(_SC_NPROCESSORS_ONLN);
}

static bool has_grown(const struct usage *before, const struct usage *after, int trips)
{
	unsigned int i;

	for (i = 0; i < USAGE_CACHES; i++)
		if (after->objects[i] - before->objects[i] > noise_of(i, trips))
			return true;
	return after->vmalloc_kb - before->vmalloc_kb >= vmalloc_noise(trips) || after->groups != before->groups;
}

void usage_expect_no_growth(const struct usage *before, const struct usage *then, int trips)
{
	/* A kernel with KASAN keeps what was freed for a while, as much as it likes. There kmemleak tells in the end. */
	bool freed_late = !access("/sys/kernel/debug/kmemleak", F_OK);
	struct usage after = *then;
	unsigned int i;
	long grown;

	/* Workers of the kernel free some of it, when they get to it: what has leaked stays. */
	for (i = 0; i < 20 && has_grown(before, &after, trips); i++) {
		usleep(200000);
		after = usage_now();
	}
	for (i = 0; i < USAGE_CACHES; i++) {
		grown = after.objects[i] - before->objects[i];
		test_say("%s: %ld, %+ld in %d trips", caches[i], before->objects[i], grown, trips);
		if (grown > noise_of(i, trips) && !freed_late)
			test_failed(__FILE__, __LINE__, "%s grows", caches[i]);
	}
	grown = after.vmalloc_kb - before->vmalloc_kb;
	test_say("vmalloc: %ld KiB, %+ld", before->vmalloc_kb, grown);
	EXPECT_TRUE(grown < vmalloc_noise(trips));
	EXPECT_EQ(before->groups, after.groups);
}
