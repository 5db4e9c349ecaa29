// SPDX-License-Identifier: GPL-2.0
/* Event counters: value, kind, flags, who shares them. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "job.h"

static int keeps_value(void)
{
	int fd = eventfd(3, 0), flags = fcntl(fd, F_GETFL);
	eventfd_t value;

	JOB_SETUP(fd >= 0 && !eventfd_write(fd, 4));
	job_roundtrip();
	JOB_CHECK(fcntl(fd, F_GETFL) == flags && fcntl(fd, F_GETFD) == 0);
	JOB_CHECK(!eventfd_read(fd, &value) && value == 7);
	JOB_CHECK(!eventfd_write(fd, 1) && !eventfd_read(fd, &value) && value == 1);
	return 0;
}

TEST(eventfd_keeps_its_value)
{
	EXPECT_EQ(0, roundtrip(keeps_value));
}

static int empty(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), flags = fcntl(fd, F_GETFL);
	struct pollfd poller = { .fd = fd, .events = POLLIN | POLLOUT };
	eventfd_t value;

	JOB_SETUP(fd >= 0);
	job_roundtrip();
	JOB_CHECK(fcntl(fd, F_GETFL) == flags && fcntl(fd, F_GETFD) == FD_CLOEXEC);
	JOB_CHECK(poll(&poller, 1, 0) == 1 && poller.revents == POLLOUT);
	JOB_CHECK(eventfd_read(fd, &value) == -1 && errno == EAGAIN);
	JOB_CHECK(!eventfd_write(fd, 2) && !eventfd_read(fd, &value) && value == 2);
	return 0;
}

TEST(eventfd_empty_and_nonblocking)
{
	EXPECT_EQ(0, roundtrip(empty));
}

static int semaphore(void)
{
	int fd = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
	eventfd_t value;

	JOB_SETUP(fd >= 0);
	job_roundtrip();
	JOB_CHECK(!eventfd_read(fd, &value) && value == 1);
	JOB_CHECK(!eventfd_read(fd, &value) && value == 1);
	JOB_CHECK(eventfd_read(fd, &value) == -1 && errno == EAGAIN);
	return 0;
}

TEST(eventfd_semaphore)
{
	EXPECT_EQ(0, roundtrip(semaphore));
}

/* As full as a write can make it. */
static int full(void)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	eventfd_t value;

	JOB_SETUP(fd >= 0 && !eventfd_write(fd, ~0ULL - 1));
	job_roundtrip();
	JOB_CHECK(eventfd_write(fd, 1) == -1 && errno == EAGAIN);
	JOB_CHECK(!eventfd_read(fd, &value) && value == ~0ULL - 1);
	return 0;
}

TEST(eventfd_full)
{
	EXPECT_EQ(0, roundtrip(full));
}

/* Flags that were set later, and for all that share the description. */
static int duplicated(void)
{
	int fd = eventfd(5, 0), again = dup(fd), other = eventfd(6, 0);
	eventfd_t value;

	JOB_SETUP(again >= 0 && other >= 0 && !fcntl(fd, F_SETFL, O_NONBLOCK | O_APPEND));
	job_roundtrip();
	JOB_CHECK(fcntl(again, F_GETFL) == (O_RDWR | O_NONBLOCK | O_APPEND) && fcntl(other, F_GETFL) == O_RDWR);
	JOB_CHECK(syscall(SYS_kcmp, getpid(), getpid(), 0 /* KCMP_FILE */, fd, again) == 0);
	JOB_CHECK(!eventfd_read(again, &value) && value == 5 && eventfd_read(fd, &value) == -1 && errno == EAGAIN);
	JOB_CHECK(!eventfd_read(other, &value) && value == 6);
	return 0;
}

TEST(eventfd_dup_is_one_counter)
{
	EXPECT_EQ(0, roundtrip(duplicated));
}

static void *waiter(void *fd)
{
	eventfd_t value = 0;

	return !eventfd_read(*(int *)fd, &value) ? (void *)(uintptr_t)value : NULL;
}

static int waited_for(void)
{
	pthread_t thread;
	void *got;
	int fd = eventfd(0, 0);

	JOB_SETUP(fd >= 0 && !pthread_create(&thread, NULL, waiter, &fd));
	usleep(100000);
	job_roundtrip();
	usleep(100000);
	JOB_CHECK(!eventfd_write(fd, 9) && !pthread_join(thread, &got) && got == (void *)9);
	return 0;
}

TEST(eventfd_with_a_reader_waiting)
{
	EXPECT_EQ(0, roundtrip(waited_for));
}

static int many(void)
{
	eventfd_t value;
	int fd[500], i;

	for (i = 0; i < 500; i++)
		JOB_SETUP((fd[i] = eventfd(i + 1, 0)) >= 0);
	job_roundtrip();
	for (i = 0; i < 500; i++)
		JOB_CHECK(!eventfd_read(fd[i], &value) && value == (eventfd_t)i + 1);
	return 0;
}

TEST(eventfd_many)
{
	EXPECT_EQ(0, roundtrip(many));
}

/* ---- refused ---- */

static int has_one_of_outside(void)
{
	eventfd_t value;

	job_roundtrip();
	JOB_CHECK(!eventfd_read(7, &value) && value == 3);
	return 0;
}

TEST(eventfd_held_outside_is_refused)
{
	struct job_options options = { .nr_fds = 1 };

	options.fds[0] = (struct job_fd){ eventfd(3, 0), 7 };
	EXPECT_REFUSED_WITH(KCKPT_E_FILE_OUTSIDE, has_one_of_outside, &options);
}
