// SPDX-License-Identifier: GPL-2.0
/* poll() on a session tells what it is ready for; splice() reads like read(). */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "device.h"
#include "runner.h"

static int ready(int dev, int timeout_ms)
{
	struct pollfd fd = { .fd = dev, .events = POLLIN | POLLOUT };

	return poll(&fd, 1, timeout_ms) == 1 ? fd.revents : 0;
}

TEST(poll_in_a_dump)
{
	struct image image = {};
	struct job job;
	int dev;

	runner_start(&job);
	dev = device_open();
	EXPECT_EQ(POLLOUT, ready(dev, 0));
	ASSERT_EQ(0, device_freeze(dev, job.cgroup));
	EXPECT_EQ(0, ready(dev, 0));
	ASSERT_EQ(0, device_capture(dev));
	EXPECT_EQ(POLLIN, ready(dev, 0));
	ASSERT_EQ(0, device_read(dev, &image));
	EXPECT_EQ(POLLIN, ready(dev, 0));
	ASSERT_EQ(0, device_do(dev, KCKPT_IOC_THAW));
	EXPECT_EQ(POLLHUP, ready(dev, 0));
	close(dev);
}

TEST(poll_in_a_restore)
{
	struct image image = {};
	size_t at = 0;
	struct job job;
	int dev;

	runner_start(&job);
	runner_dump(&job, &image);
	dev = device_open();
	ASSERT_EQ(0, device_write(dev, &image, &at));
	ASSERT_EQ(KCKPT_LOADED, device_state(dev));
	EXPECT_EQ(0, ready(dev, 0));
	ASSERT_EQ(0, device_instantiate(dev, job.cgroup, 0));
	EXPECT_EQ(POLLOUT, ready(dev, 0));
	ASSERT_EQ(0, device_write(dev, &image, &at));
	EXPECT_EQ(0, ready(dev, 0));
	ASSERT_EQ(0, device_commit(dev));
	EXPECT_EQ(POLLHUP, ready(dev, 0));
	close(dev);
	EXPECT_TRUE(runner_runs(&job));
}

TEST(poll_tells_of_a_failure)
{
	struct image image = { (uint8_t *)"not an image, whatever it may say", 33 };
	int dev = device_open();
	size_t at = 0;

	EXPECT_TRUE(device_write(dev, &image, &at) || device_do(dev, KCKPT_IOC_ABORT) == 0);
	EXPECT_EQ(POLLERR, ready(dev, 0));
	close(dev);
}

/* The watchdog wakes who sleeps there. */
TEST(poll_wakes_at_the_end_of_the_time)
{
	struct kckpt_freeze request = { .max_pause_ms = 500 };
	struct epoll_event event = { .events = EPOLLIN };
	int dev = device_open(), set = epoll_create1(EPOLL_CLOEXEC);
	struct job job;

	runner_start(&job);
	ASSERT_EQ(0, device_freeze_with(dev, &request, job.cgroup));
	ASSERT_EQ(0, epoll_ctl(set, EPOLL_CTL_ADD, dev, &event));
	EXPECT_EQ(0, epoll_wait(set, &event, 1, 0));
	ASSERT_EQ(1, epoll_wait(set, &event, 1, 20000));
	EXPECT_EQ(EPOLLERR, event.events);
	EXPECT_TRUE(runner_runs(&job));
	close(dev);
	close(set);
}

TEST(poll_and_splice_a_whole_image)
{
	int dev, ends[2], file = open(test_path("image"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct image image = {};
	ssize_t n, m;
	struct job job;

	runner_start(&job);
	dev = device_open();
	ASSERT_TRUE(file >= 0 && !pipe(ends));
	ASSERT_EQ(0, device_freeze(dev, job.cgroup) ?: device_capture(dev));
	while ((n = splice(dev, NULL, ends[1], NULL, 1 << 20, 0)) > 0)
		for (; n > 0; n -= m)
			ASSERT_TRUE((m = splice(ends[0], NULL, file, NULL, n, 0)) > 0);
	EXPECT_EQ(0, n);
	ASSERT_EQ(0, device_do(dev, KCKPT_IOC_KILL));
	close(dev);
	ASSERT_TRUE(runner_is_gone(&job));
	image.data = (uint8_t *)read_bytes(test_path("image"), &image.len);
	ASSERT_TRUE(image.data && image.len > 4096);
	runner_restore(&job, &image);
}
