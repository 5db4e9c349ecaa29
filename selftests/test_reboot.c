// SPDX-License-Identifier: GPL-2.0
/*
 * An image outlives the machine: what is dumped in one is restored in the next, which vm/run-tests starts when it finds an
 * image in /share.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device.h"
#include "harness.h"
#include "util.h"

#define IMAGE "/share/reboot.image"
#define COUNT "/share/reboot.count"
#define PID 20001	/* that no machine has so soon */

/* Its count goes on in memory; who watches sees it in a file. */
static void count(void)
{
	uint64_t *nr = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int null = open("/dev/null", O_RDWR), file = open(COUNT, O_RDWR | O_CREAT | O_TRUNC, 0600), fd;

	for (fd = 0; fd < 3; fd++)
		dup2(null, fd);
	if (file != 5)
		dup2(file, 5);
	close_range(6, ~0U, 0);
	close(3);
	close(4);
	setsid();
	if (chdir("/"))
		_exit(1);
	for (;; usleep(1000)) {
		++*nr;
		if (pwrite(5, nr, sizeof(*nr), 0) != sizeof(*nr))
			_exit(1);
	}
}

static uint64_t counted(void)
{
	uint64_t nr = 0;
	int fd = open(COUNT, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, &nr, sizeof(nr)) != sizeof(nr))
		nr = 0;
	close(fd);
	return nr;
}

static bool reaches(uint64_t nr)
{
	double end = now() + 20 * test_patience();

	while (counted() < nr && now() < end)
		usleep(1000);
	return counted() >= nr;
}

static void before(void)
{
	const char *cgroup = test_new_cgroup();
	struct image image = {};
	pid_t pid;

	ASSERT_TRUE(write_file("/proc/sys/kernel/ns_last_pid", format("%d", PID - 1)));
	pid = fork();
	if (!pid)
		count();
	ASSERT_EQ(PID, pid);
	ASSERT_TRUE(reaches(5) && write_file(format("%s/cgroup.procs", cgroup), format("%d", pid)));
	ASSERT_EQ(0, device_dump(cgroup, &image, KCKPT_IOC_KILL));
	ASSERT_TRUE(write_bytes(IMAGE, image.data, image.len));
	test_say("dumped at %llu", (unsigned long long)counted());
}

static void after(void)
{
	const char *cgroup = test_new_cgroup();
	uint64_t was = counted(), is;
	struct image image = {};
	int dev = device_open();

	image.data = (uint8_t *)read_bytes(IMAGE, &image.len);
	ASSERT_TRUE(image.data && was >= 5);
	if (!EXPECT_EQ(0, device_restore(dev, &image, cgroup, 0)))
		device_say_report(dev);
	close(dev);
	EXPECT_TRUE(reaches(was + 5));
	is = counted();
	/* It has gone on from there, not begun anew or jumped. */
	EXPECT_TRUE(is > was && is < was + 60000);
	test_say("restored at %llu, now %llu", (unsigned long long)was, (unsigned long long)is);
	kill(PID, SIGKILL);
	unlink(IMAGE);
}

TEST(reboot_and_restore)
{
	if (access("/share", W_OK))
		test_skip("no folder that outlives the machine");
	if (access(IMAGE, F_OK))
		before();
	else
		after();
}
