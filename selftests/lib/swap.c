// SPDX-License-Identifier: GPL-2.0
/* See swap.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/swap.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "harness.h"
#include "swap.h"
#include "util.h"

#define PAGE 4096
#define PATH "/disk/kckpt-swap"

/* As mkswap writes it: the size, and a signature at the end of the first page. */
void swap_on(unsigned int pages)
{
	static char first[PAGE];
	uint32_t *version = (uint32_t *)(first + 1024);
	struct statfs fs;
	int fd;

	if (statfs("/disk", &fs) || fs.f_type != EXT4_SUPER_MAGIC)
		test_skip("no ext4 at /disk");
	version[0] = 1;
	version[1] = pages - 1;
	memcpy(first + PAGE - 10, "SWAPSPACE2", 10);
	fd = open(PATH, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ASSERT_TRUE(fd >= 0 && write(fd, first, PAGE) == PAGE);
	ASSERT_EQ(0, posix_fallocate(fd, PAGE, (off_t)(pages - 1) * PAGE));
	ASSERT_EQ(0, fsync(fd));
	close(fd);
	ASSERT_TRUE(!swapon(PATH, 0) || errno == EBUSY);
}

void swap_off(void)
{
	EXPECT_EQ(0, swapoff(PATH));
	unlink(PATH);
}

long swap_events(const char *name)
{
	const char *at = strstr(read_file("/proc/vmstat"), format("\n%s ", name));

	return at ? atol(at + strlen(name) + 2) : 0;
}
