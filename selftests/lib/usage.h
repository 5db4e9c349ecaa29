/* SPDX-License-Identifier: GPL-2.0 */
/* What the kernel has in use, so that a test sees what does not come back. */
#ifndef USAGE_H
#define USAGE_H

#define USAGE_CACHES 12

struct usage {
	long objects[USAGE_CACHES];	/* of slab caches */
	long vmalloc_kb, groups;
};

/* usage_now() - after caches were dropped, and slabs that are not full given back. */
struct usage usage_now(void);

/*
 * usage_expect_no_growth() - fails the test if there is more than before. One of each per trip would be a leak: @trips must
 * be many enough for that to stand out of what caches of the kernel come and go with.
 */
void usage_expect_no_growth(const struct usage *before, const struct usage *then, int trips);

#endif
