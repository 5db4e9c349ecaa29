// SPDX-License-Identifier: GPL-2.0
/* Pipes: unread bytes, packets, size, who has which end. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "job.h"

static unsigned char pattern(size_t i)
{
	return i * 31 + (i >> 8);
}

static void fill(unsigned char *data, size_t from, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		data[i] = pattern(from + i);
}

/* Reads @total bytes in pieces of any size; are they the pattern from its start? */
static bool reads_pattern(int fd, size_t total)
{
	unsigned char data[10000], want[10000];
	size_t at = 0;
	ssize_t n;

	while (at < total && (n = read(fd, data, sizeof(data))) > 0) {
		fill(want, at, n);
		if (memcmp(data, want, n))
			return false;
		at += n;
	}
	return at == total;
}

static int holds_unread_bytes(void)
{
	char got[8] = "";
	int fd[2];

	JOB_SETUP(!pipe(fd) && write(fd[1], "hello", 5) == 5);
	job_roundtrip();
	JOB_CHECK(read(fd[0], got, sizeof(got)) == 5 && !strcmp(got, "hello"));
	return 0;
}

TEST(pipe_keeps_unread_bytes)
{
	EXPECT_EQ(0, roundtrip(holds_unread_bytes));
}

static int empty(void)
{
	struct pollfd poller;
	int fd[2];
	char c;

	JOB_SETUP(!pipe(fd));
	job_roundtrip();
	poller = (struct pollfd){ .fd = fd[0], .events = POLLIN };
	JOB_CHECK(poll(&poller, 1, 0) == 0);
	JOB_CHECK(write(fd[1], "x", 1) == 1 && read(fd[0], &c, 1) == 1 && c == 'x');
	return 0;
}

TEST(pipe_stays_empty)
{
	EXPECT_EQ(0, roundtrip(empty));
}

/* How the bytes lie in pages is not kept: a pipe whose pages have gaps is less full afterwards. */
static int full(void)
{
	unsigned char data[4096];
	size_t total = 0;
	ssize_t n;
	int fd[2];

	JOB_SETUP(!pipe2(fd, O_NONBLOCK));
	do {
		fill(data, total, sizeof(data));
		n = write(fd[1], data, sizeof(data));
		total += n > 0 ? n : 0;
	} while (n > 0);
	job_roundtrip();
	JOB_CHECK(write(fd[1], "x", 1) == -1 && errno == EAGAIN);
	JOB_CHECK(reads_pattern(fd[0], total));
	JOB_CHECK(read(fd[0], data, 1) == -1 && errno == EAGAIN);
	return 0;
}

TEST(pipe_full)
{
	EXPECT_EQ(0, roundtrip(full));
}

/* One byte per slot: the ring is full although it holds few bytes. */
static int full_of_crumbs(void)
{
	unsigned char data[64];
	int fd[2], i;

	JOB_SETUP(!pipe2(fd, O_NONBLOCK | O_DIRECT));
	fill(data, 0, sizeof(data));
	for (i = 0; i < 16; i++)
		JOB_SETUP(write(fd[1], data + i, 1) == 1);
	JOB_SETUP(write(fd[1], data, 1) == -1 && errno == EAGAIN);
	job_roundtrip();
	JOB_CHECK(write(fd[1], data, 1) == -1 && errno == EAGAIN);
	for (i = 0; i < 16; i++) {
		unsigned char got[8];

		JOB_CHECK(read(fd[0], got, sizeof(got)) == 1 && got[0] == pattern(i));
	}
	return 0;
}

TEST(pipe_full_of_one_byte_packets)
{
	EXPECT_EQ(0, roundtrip(full_of_crumbs));
}

static int packets(void)
{
	static const char *const sent[] = { "one", "twotwo", "t", "four" };
	char got[100];
	int fd[2];
	size_t i;

	JOB_SETUP(!pipe2(fd, O_DIRECT));
	for (i = 0; i < 4; i++)
		JOB_SETUP(write(fd[1], sent[i], strlen(sent[i])) == (ssize_t)strlen(sent[i]));
	job_roundtrip();
	for (i = 0; i < 4; i++) {
		memset(got, 0, sizeof(got));
		JOB_CHECK(read(fd[0], got, sizeof(got)) == (ssize_t)strlen(sent[i]) && !strcmp(got, sent[i]));
	}
	JOB_CHECK(fcntl(fd[1], F_GETFL) == (O_WRONLY | O_DIRECT));
	JOB_CHECK(write(fd[1], "a", 1) == 1 && write(fd[1], "b", 1) == 1 && read(fd[0], got, 2) == 1);
	return 0;
}

TEST(pipe_packets_keep_their_bounds)
{
	EXPECT_EQ(0, roundtrip(packets));
}

/* A packet between bytes that were spliced, so that it was not merged with them, and bytes that came later. */
static int mixed(void)
{
	char got[100] = "";
	int fd[2], file;

	JOB_SETUP(write_file(test_path("data"), "ab") && (file = open(test_path("data"), O_RDONLY)) >= 0);
	JOB_SETUP(!pipe(fd) && splice(file, NULL, fd[1], NULL, 2, 0) == 2 && !fcntl(fd[1], F_SETFL, O_DIRECT));
	JOB_SETUP(write(fd[1], "packet", 6) == 6 && !fcntl(fd[1], F_SETFL, 0) && write(fd[1], "cd", 2) == 2);
	job_roundtrip();
	JOB_CHECK(fcntl(fd[1], F_GETFL) == O_WRONLY);
	JOB_CHECK(read(fd[0], got, 5) == 5 && !memcmp(got, "abpac", 5));	/* the rest of the packet is dropped */
	JOB_CHECK(read(fd[0], got, 5) == 2 && !memcmp(got, "cd", 2));
	return 0;
}

TEST(pipe_packets_among_bytes)
{
	EXPECT_EQ(0, roundtrip(mixed));
}

/* Slots whose front was read already, before the rest is saved. */
static int partly_read(void)
{
	unsigned char data[20000];
	int fd[2];

	fill(data, 0, sizeof(data));
	JOB_SETUP(!pipe(fd) && write(fd[1], data, sizeof(data)) == sizeof(data));
	JOB_SETUP(read(fd[0], data, 5001) == 5001);
	job_roundtrip();
	JOB_CHECK(read(fd[0], data, 14999) == 14999);
	for (size_t i = 0; i < 14999; i++)
		JOB_CHECK(data[i] == pattern(5001 + i));
	return 0;
}

TEST(pipe_read_in_part)
{
	EXPECT_EQ(0, roundtrip(partly_read));
}

static int sizes(void)
{
	int small[2], large[2], bytes;
	unsigned char *data = malloc(1 << 20);

	JOB_SETUP(!pipe(small) && !pipe(large) && data);
	JOB_SETUP(fcntl(small[1], F_SETPIPE_SZ, 4096) == 4096 && fcntl(large[1], F_SETPIPE_SZ, 1 << 20) == 1 << 20);
	fill(data, 0, 1 << 20);
	JOB_SETUP(write(large[1], data, 1 << 20) == 1 << 20);
	job_roundtrip();
	JOB_CHECK(fcntl(small[0], F_GETPIPE_SZ) == 4096 && fcntl(large[0], F_GETPIPE_SZ) == 1 << 20);
	JOB_CHECK(!ioctl(large[0], FIONREAD, &bytes) && bytes == 1 << 20);
	JOB_CHECK(reads_pattern(large[0], 1 << 20));
	return 0;
}

TEST(pipe_keeps_its_size)
{
	EXPECT_EQ(0, roundtrip(sizes));
}

static int writer_closes_after(void)
{
	char got[8];
	int fd[2];

	JOB_SETUP(!pipe(fd) && write(fd[1], "end", 3) == 3);
	job_roundtrip();
	close(fd[1]);
	JOB_CHECK(read(fd[0], got, sizeof(got)) == 3);
	JOB_CHECK(read(fd[0], got, sizeof(got)) == 0);
	return 0;
}

TEST(pipe_ends_when_the_writer_closes_later)
{
	EXPECT_EQ(0, roundtrip(writer_closes_after));
}

static int writer_closed_before(void)
{
	char got[8];
	int fd[2];

	JOB_SETUP(!pipe(fd) && write(fd[1], "end", 3) == 3);
	close(fd[1]);
	job_roundtrip();
	JOB_CHECK(read(fd[0], got, sizeof(got)) == 3);
	JOB_CHECK(read(fd[0], got, sizeof(got)) == 0);
	return 0;
}

TEST(pipe_ends_when_the_writer_closed_before)
{
	EXPECT_EQ(0, roundtrip(writer_closed_before));
}

static int reader_closed_before(void)
{
	int fd[2];

	signal(SIGPIPE, SIG_IGN);
	JOB_SETUP(!pipe(fd));
	close(fd[0]);
	job_roundtrip();
	JOB_CHECK(write(fd[1], "x", 1) == -1 && errno == EPIPE);
	return 0;
}

TEST(pipe_breaks_when_the_reader_closed_before)
{
	EXPECT_EQ(0, roundtrip(reader_closed_before));
}

static int reader_closes_after(void)
{
	int fd[2];

	signal(SIGPIPE, SIG_IGN);
	JOB_SETUP(!pipe(fd));
	job_roundtrip();
	close(fd[0]);
	JOB_CHECK(write(fd[1], "x", 1) == -1 && errno == EPIPE);
	return 0;
}

TEST(pipe_breaks_when_the_reader_closes_later)
{
	EXPECT_EQ(0, roundtrip(reader_closes_after));
}

/* The same description twice has common flags; the end goes when both are closed. */
static int duplicated(void)
{
	int fd[2], again;
	char c;

	JOB_SETUP(!pipe(fd) && (again = dup(fd[1])) >= 0);
	job_roundtrip();
	JOB_CHECK(!fcntl(again, F_SETFL, O_NONBLOCK) && fcntl(fd[1], F_GETFL) & O_NONBLOCK);
	close(fd[1]);
	JOB_CHECK(write(again, "x", 1) == 1 && read(fd[0], &c, 1) == 1);
	close(again);
	JOB_CHECK(read(fd[0], &c, 1) == 0);
	return 0;
}

TEST(pipe_dup_is_one_description)
{
	EXPECT_EQ(0, roundtrip(duplicated));
}

/* Opened anew through /proc: descriptions of their own on the same pipe, one of them for both directions. */
static int opened_anew(void)
{
	int fd[2], both, other;
	char got[4] = "";

	JOB_SETUP(!pipe(fd));
	JOB_SETUP((both = open(format("/proc/self/fd/%d", fd[0]), O_RDWR)) >= 0);
	JOB_SETUP((other = open(format("/proc/self/fd/%d", fd[0]), O_RDONLY | O_NONBLOCK)) >= 0);
	JOB_SETUP(write(both, "ab", 2) == 2);
	job_roundtrip();
	JOB_CHECK((fcntl(both, F_GETFL) & O_ACCMODE) == O_RDWR);
	JOB_CHECK(!(fcntl(fd[0], F_GETFL) & O_NONBLOCK) && fcntl(other, F_GETFL) & O_NONBLOCK);
	JOB_CHECK(read(other, got, 1) == 1 && read(both, got + 1, 1) == 1 && !strcmp(got, "ab"));
	close(fd[1]);
	JOB_CHECK(write(both, "c", 1) == 1 && read(fd[0], got, 4) == 1);
	close(both);
	JOB_CHECK(read(other, got, 4) == 0);
	return 0;
}

TEST(pipe_opened_anew)
{
	EXPECT_EQ(0, roundtrip(opened_anew));
}

static int many(void)
{
	int fd[100][2], i;
	char got[16];

	for (i = 0; i < 100; i++)
		JOB_SETUP(!pipe(fd[i]) && write(fd[i][1], format("%d", i), 3) == 3);
	job_roundtrip();
	for (i = 0; i < 100; i++)
		JOB_CHECK(read(fd[i][0], got, sizeof(got)) == 3 && atoi(got) == i);
	return 0;
}

TEST(pipe_many)
{
	EXPECT_EQ(0, roundtrip(many));
}

/* ---- refused ---- */

static int has_end_of_outside(void)
{
	char c;

	job_roundtrip();
	JOB_CHECK(write(7, "x", 1) == 1);
	JOB_CHECK(read(8, &c, 1) == 1 && c == 'x');
	return 0;
}

TEST(pipe_held_outside_is_refused)
{
	struct job_options options = { .nr_fds = 2 };
	int fd[2];

	ASSERT_EQ(0, pipe(fd));
	options.fds[0] = (struct job_fd){ fd[1], 7 };
	options.fds[1] = (struct job_fd){ fd[0], 8 };
	EXPECT_REFUSED_WITH(KCKPT_E_PIPE_OUTSIDE, has_end_of_outside, &options);
}

/* <linux/watch_queue.h> cannot be had together with <fcntl.h>. */
#ifndef O_NOTIFICATION_PIPE
#define O_NOTIFICATION_PIPE O_EXCL
#define IOC_WATCH_QUEUE_SET_SIZE _IO('W', 0x60)
#endif

static int has_watch_queue(void)
{
	int fd[2];

	if (pipe2(fd, O_NOTIFICATION_PIPE))
		return job_skip("no watch queues");
	JOB_SETUP(!ioctl(fd[0], IOC_WATCH_QUEUE_SET_SIZE, 16));
	job_roundtrip();
	JOB_CHECK(fcntl(fd[0], F_GETFL) >= 0);
	return 0;
}

TEST(pipe_with_watch_is_refused)
{
	EXPECT_REFUSED(KCKPT_E_PIPE_STATE, has_watch_queue);
}
