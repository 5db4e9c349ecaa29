// SPDX-License-Identifier: GPL-2.0
/* Named pipes: what pipes are, and ends that are opened by a path. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "job.h"

static bool make_fifo(void)
{
	return !mkfifo(test_path("fifo"), 0600);
}

static int open_fifo(int flags)
{
	return open(test_path("fifo"), flags);
}

static int revents(int fd)
{
	struct pollfd poller = { .fd = fd, .events = POLLIN };

	return poll(&poller, 1, 0) < 0 ? -1 : poller.revents;
}

static int both_ends(void)
{
	int in, out, in_flags, out_flags;
	char got[8] = "";

	JOB_SETUP(make_fifo() && (in = open_fifo(O_RDONLY | O_NONBLOCK)) >= 0 && (out = open_fifo(O_WRONLY)) >= 0);
	JOB_SETUP(!fcntl(in, F_SETFL, 0) && write(out, "hello", 5) == 5);
	in_flags = fcntl(in, F_GETFL);
	out_flags = fcntl(out, F_GETFL);
	job_roundtrip();
	JOB_CHECK(fcntl(in, F_GETFL) == in_flags && fcntl(out, F_GETFL) == out_flags);
	JOB_CHECK(read(in, got, sizeof(got)) == 5 && !strcmp(got, "hello"));
	JOB_CHECK(write(out, "x", 1) == 1 && read(in, got, sizeof(got)) == 1 && *got == 'x');
	close(out);
	JOB_CHECK(read(in, got, sizeof(got)) == 0);
	return 0;
}

TEST(fifo_both_ends)
{
	EXPECT_EQ(0, roundtrip(both_ends));
}

static int both_ways(void)
{
	char got[8] = "";
	int fd;

	JOB_SETUP(make_fifo() && (fd = open_fifo(O_RDWR | O_NONBLOCK)) >= 0 && write(fd, "hello", 5) == 5);
	job_roundtrip();
	JOB_CHECK((fcntl(fd, F_GETFL) & ~0100000) == (O_RDWR | O_NONBLOCK));
	JOB_CHECK(read(fd, got, sizeof(got)) == 5 && !strcmp(got, "hello"));
	JOB_CHECK(read(fd, got, sizeof(got)) == -1 && errno == EAGAIN);
	JOB_CHECK(strstr(format("%s", realpath(format("/proc/self/fd/%d", fd), NULL)), "/fifo"));
	return 0;
}

TEST(fifo_both_ways)
{
	EXPECT_EQ(0, roundtrip(both_ways));
}

static int several(void)
{
	int in[3], out[3], i;
	char got[16] = "";

	JOB_SETUP(make_fifo());
	for (i = 0; i < 3; i++) {
		JOB_SETUP((in[i] = open_fifo(O_RDONLY | O_NONBLOCK)) >= 0);
		JOB_SETUP((out[i] = open_fifo(O_WRONLY | (i == 1 ? O_NONBLOCK : 0))) >= 0);
		JOB_SETUP(write(out[i], format("%d", i), 1) == 1);
	}
	job_roundtrip();
	JOB_CHECK(fcntl(out[1], F_GETFL) & O_NONBLOCK && !(fcntl(out[0], F_GETFL) & O_NONBLOCK));
	JOB_CHECK(read(in[0], got, 1) == 1 && read(in[2], got + 1, 1) == 1 && read(in[1], got + 2, 5) == 1);
	JOB_CHECK(!strcmp(got, "012"));
	close(out[0]);
	close(out[1]);
	JOB_CHECK(read(in[1], got, 1) == -1 && errno == EAGAIN);
	close(out[2]);
	JOB_CHECK(read(in[1], got, 1) == 0);
	return 0;
}

TEST(fifo_opened_several_times)
{
	EXPECT_EQ(0, roundtrip(several));
}

/* No writer has ever come: nothing to read, but no end of it either. */
static int reader_before_writers(void)
{
	int in, out;
	char c;

	JOB_SETUP(make_fifo() && (in = open_fifo(O_RDONLY | O_NONBLOCK)) >= 0 && revents(in) == 0);
	job_roundtrip();
	JOB_CHECK(revents(in) == 0 && read(in, &c, 1) == 0);
	JOB_CHECK((out = open_fifo(O_WRONLY | O_NONBLOCK)) >= 0 && write(out, "x", 1) == 1 && revents(in) == POLLIN);
	JOB_CHECK(read(in, &c, 1) == 1 && c == 'x');
	close(out);
	JOB_CHECK(revents(in) == POLLHUP);
	return 0;
}

TEST(fifo_reader_before_any_writer)
{
	EXPECT_EQ(0, roundtrip(reader_before_writers));
}

static int reader_after_writers(void)
{
	int in, out;
	char got[4];

	JOB_SETUP(make_fifo() && (in = open_fifo(O_RDONLY | O_NONBLOCK)) >= 0 && (out = open_fifo(O_WRONLY)) >= 0);
	JOB_SETUP(write(out, "ab", 2) == 2 && !close(out) && revents(in) == (POLLIN | POLLHUP));
	job_roundtrip();
	JOB_CHECK(revents(in) == (POLLIN | POLLHUP));
	JOB_CHECK(read(in, got, 4) == 2 && !memcmp(got, "ab", 2) && revents(in) == POLLHUP);
	return 0;
}

TEST(fifo_reader_after_its_writers)
{
	EXPECT_EQ(0, roundtrip(reader_after_writers));
}

static int writer_alone(void)
{
	int in, out;
	char got[4];

	signal(SIGPIPE, SIG_IGN);
	JOB_SETUP(make_fifo() && (in = open_fifo(O_RDONLY | O_NONBLOCK)) >= 0 && (out = open_fifo(O_WRONLY)) >= 0);
	JOB_SETUP(write(out, "ab", 2) == 2 && !close(in));
	job_roundtrip();
	JOB_CHECK(write(out, "x", 1) == -1 && errno == EPIPE);
	JOB_CHECK((in = open_fifo(O_RDONLY)) >= 0 && read(in, got, 4) == 2 && !memcmp(got, "ab", 2));
	JOB_CHECK(write(out, "x", 1) == 1);
	return 0;
}

TEST(fifo_writer_without_reader)
{
	EXPECT_EQ(0, roundtrip(writer_alone));
}

static int large_with_packets(void)
{
	unsigned char data[4096], got[4096];
	int fd, i;

	JOB_SETUP(make_fifo() && (fd = open_fifo(O_RDWR | O_NONBLOCK)) >= 0);
	JOB_SETUP(fcntl(fd, F_SETPIPE_SZ, 1 << 20) == 1 << 20);
	for (i = 0; i < 100; i++) {
		memset(data, i, sizeof(data));
		JOB_SETUP(write(fd, data, sizeof(data)) == sizeof(data));
	}
	JOB_SETUP(!fcntl(fd, F_SETFL, O_NONBLOCK | O_DIRECT) && write(fd, "packet", 6) == 6 && write(fd, "p", 1) == 1);
	job_roundtrip();
	JOB_CHECK(fcntl(fd, F_GETPIPE_SZ) == 1 << 20 && fcntl(fd, F_GETFL) & O_DIRECT);
	for (i = 0; i < 100; i++) {
		memset(data, i, sizeof(data));
		JOB_CHECK(read(fd, got, sizeof(got)) == sizeof(got) && !memcmp(got, data, sizeof(got)));
	}
	JOB_CHECK(read(fd, got, sizeof(got)) == 6 && read(fd, got, sizeof(got)) == 1);
	return 0;
}

TEST(fifo_large_with_packets)
{
	EXPECT_EQ(0, roundtrip(large_with_packets));
}

/* One pipe, two names; each end keeps its own. */
static int two_links(void)
{
	int in, out;
	char c;

	JOB_SETUP(make_fifo() && !link(test_path("fifo"), test_path("other")));
	JOB_SETUP((in = open_fifo(O_RDONLY | O_NONBLOCK)) >= 0 && (out = open(test_path("other"), O_WRONLY)) >= 0);
	JOB_SETUP(write(out, "x", 1) == 1);
	job_roundtrip();
	JOB_CHECK(read(in, &c, 1) == 1 && c == 'x');
	JOB_CHECK(strstr(realpath(format("/proc/self/fd/%d", in), NULL), "/fifo"));
	JOB_CHECK(strstr(realpath(format("/proc/self/fd/%d", out), NULL), "/other"));
	return 0;
}

TEST(fifo_two_hard_links)
{
	EXPECT_EQ(0, roundtrip(two_links));
}

static int opened_by_child(void)
{
	int in, out;
	char c;

	JOB_SETUP(make_fifo() && (in = open_fifo(O_RDONLY | O_NONBLOCK)) >= 0);
	JOB_SETUP((out = open(format("/proc/self/fd/%d", in), O_WRONLY)) >= 0 && write(out, "x", 1) == 1);
	job_roundtrip();
	JOB_CHECK(read(in, &c, 1) == 1 && c == 'x' && !close(out) && read(in, &c, 1) == 0);
	return 0;
}

TEST(fifo_opened_anew_by_descriptor)
{
	EXPECT_EQ(0, roundtrip(opened_by_child));
}

static void *open_reader(void *fd)
{
	*(int *)fd = open_fifo(O_RDONLY);
	return fd;
}

/* A thread that waits in open() for the other end begins that call again. */
static int waits_for_partner(void)
{
	pthread_t thread;
	int in = -1, out;
	char c;

	JOB_SETUP(make_fifo() && !pthread_create(&thread, NULL, open_reader, &in));
	usleep(200000);
	JOB_SETUP(in == -1);
	job_roundtrip();
	usleep(100000);
	JOB_CHECK(in == -1 && (out = open_fifo(O_WRONLY)) >= 0 && !pthread_join(thread, NULL) && in >= 0);
	JOB_CHECK(write(out, "x", 1) == 1 && read(in, &c, 1) == 1 && c == 'x');
	return 0;
}

TEST(fifo_opening_that_waits)
{
	EXPECT_EQ(0, roundtrip(waits_for_partner));
}

/* ---- deleted ---- */

static const struct job_options capture = { .dump_args = { "--files=capture" } };

static bool is_deleted_fifo(int fd, const struct stat *before)
{
	char text[4096] = "";
	struct stat after;

	return readlink(format("/proc/self/fd/%d", fd), text, sizeof(text) - 1) > 0 &&
	       !strcmp(text, format("%s (deleted)", test_path("fifo"))) && !fstat(fd, &after) &&
	       after.st_mode == before->st_mode && after.st_uid == before->st_uid && after.st_gid == before->st_gid &&
	       after.st_nlink == before->st_nlink && after.st_mtim.tv_sec == before->st_mtim.tv_sec &&
	       after.st_mtim.tv_nsec == before->st_mtim.tv_nsec && access(test_path("fifo"), F_OK);
}

static int deleted(void)
{
	int in, out, both, path, in_flags, out_flags;
	struct stat before;
	char got[8] = "";

	JOB_SETUP(make_fifo() && (in = open_fifo(O_RDONLY | O_NONBLOCK)) >= 0 && (out = open_fifo(O_WRONLY)) >= 0);
	JOB_SETUP((both = open_fifo(O_RDWR)) >= 0 && (path = open_fifo(O_PATH)) >= 0);
	JOB_SETUP(!fchown(in, 1234, 4321) && !fchmod(in, 0751) && !unlink(test_path("fifo")));
	JOB_SETUP(!fcntl(in, F_SETFL, 0) && write(out, "hello", 5) == 5 && !fstat(in, &before));
	in_flags = fcntl(in, F_GETFL);
	out_flags = fcntl(out, F_GETFL);
	job_roundtrip();
	JOB_CHECK(fcntl(in, F_GETFL) == in_flags && fcntl(out, F_GETFL) == out_flags);
	JOB_CHECK(is_deleted_fifo(in, &before) && is_deleted_fifo(out, &before) && is_deleted_fifo(path, &before));
	JOB_CHECK(read(in, got, sizeof(got)) == 5 && !strcmp(got, "hello"));
	JOB_CHECK(write(both, "x", 1) == 1 && read(in, got, sizeof(got)) == 1 && *got == 'x');
	close(out);
	close(both);
	JOB_CHECK(read(in, got, sizeof(got)) == 0);
	JOB_CHECK((out = open(format("/proc/self/fd/%d", path), O_WRONLY)) >= 0 && write(out, "y", 1) == 1);
	JOB_CHECK(read(in, got, sizeof(got)) == 1 && *got == 'y');
	return 0;
}

TEST(fifo_deleted)
{
	EXPECT_EQ(0, roundtrip_with(deleted, &capture));
	EXPECT_TRUE(access(test_path("fifo"), F_OK));
}

TEST(fifo_deleted_is_refused_unless_asked_for)
{
	EXPECT_REFUSED(KCKPT_E_FILE_UNLINKED, deleted);
}

/* A reader whose writers have gone, in one process, and who holds the other end in another. */
static int deleted_shared(void)
{
	int in, out, status;
	char got[4];
	pid_t pid;

	JOB_SETUP(make_fifo() && (in = open_fifo(O_RDONLY | O_NONBLOCK)) >= 0 && (out = open_fifo(O_WRONLY)) >= 0);
	JOB_SETUP(!unlink(test_path("fifo")) && write(out, "ab", 2) == 2 && (pid = fork()) >= 0);
	if (!pid) {
		close(in);
		job_notes()[0] = 1;
		while (job_notes()[0] == 1)
			usleep(1000);
		_exit(write(out, "c", 1) == 1 ? 0 : 1);
	}
	while (!job_notes()[0])
		usleep(1000);
	JOB_SETUP(!close(out));
	job_roundtrip();
	JOB_CHECK(read(in, got, 4) == 2 && !memcmp(got, "ab", 2) && read(in, got, 4) == -1 && errno == EAGAIN);
	job_notes()[0] = 2;
	JOB_CHECK(waitpid(pid, &status, 0) == pid && !status && read(in, got, 4) == 1 && *got == 'c');
	JOB_CHECK(revents(in) == POLLHUP);
	return 0;
}

TEST(fifo_deleted_shared)
{
	EXPECT_EQ(0, roundtrip_with(deleted_shared, &capture));
}

/* One end by a name that was deleted, one by another that is there. */
static int deleted_half(void)
{
	struct stat st;
	int in, out;
	char c;

	JOB_SETUP(make_fifo() && !link(test_path("fifo"), test_path("other")));
	JOB_SETUP((in = open_fifo(O_RDONLY | O_NONBLOCK)) >= 0 && (out = open(test_path("other"), O_WRONLY)) >= 0);
	JOB_SETUP(!unlink(test_path("fifo")) && write(out, "x", 1) == 1);
	job_roundtrip();
	JOB_CHECK(read(in, &c, 1) == 1 && c == 'x' && !fstat(in, &st) && st.st_nlink == 1);
	JOB_CHECK(access(test_path("fifo"), F_OK) && !unlink(test_path("other")));
	return 0;
}

TEST(fifo_deleted_under_one_of_two_names)
{
	EXPECT_EQ(0, roundtrip(deleted_half));
}

/* ---- refused ---- */

static int holds_reader(void)
{
	int in;
	char c;

	JOB_SETUP((in = open_fifo(O_RDONLY | O_NONBLOCK)) >= 0);
	job_roundtrip();
	JOB_CHECK(read(in, &c, 1) == 1 && c == 'x');
	return 0;
}

static int outside_end;

static void write_outside(pid_t pid)
{
	(void)pid;
	if (write(outside_end, "x", 1) != 1)
		test_give_up();
}

TEST(fifo_other_end_outside_is_refused)
{
	struct job_options options = { .after_refusal = write_outside };

	ASSERT_TRUE(make_fifo() && (outside_end = open_fifo(O_RDWR)) >= 0);
	EXPECT_REFUSED_WITH(KCKPT_E_PIPE_OUTSIDE, holds_reader, &options);
}

static int holds_deleted_reader(void)
{
	JOB_SETUP(open_fifo(O_RDONLY | O_NONBLOCK) >= 0 && !unlink(test_path("fifo")));
	job_roundtrip();
	return 0;
}

TEST(fifo_deleted_with_other_end_outside_is_refused)
{
	struct job_options options = { .dump_args = { "--files=capture" } };

	ASSERT_TRUE(make_fifo() && (outside_end = open_fifo(O_RDWR)) >= 0);
	EXPECT_REFUSED_WITH(KCKPT_E_PIPE_OUTSIDE, holds_deleted_reader, &options);
}

static int holds_both(void)
{
	JOB_SETUP(make_fifo() && open_fifo(O_RDWR) >= 0);
	job_roundtrip();
	return 0;
}

static void remove_fifo(void)
{
	unlink(test_path("fifo"));
}

static void exchange_fifo(void)
{
	remove_fifo();
	write_file(test_path("fifo"), "x");
}

static void use_fifo(void)
{
	outside_end = open_fifo(O_RDWR);
}

TEST(fifo_missing_is_refused_at_restore)
{
	EXPECT_RESTORE_REFUSED(KCKPT_E_FILE_MISSING, holds_both, &((struct job_options){ .between = remove_fifo }));
}

TEST(fifo_exchanged_is_refused_at_restore)
{
	EXPECT_RESTORE_REFUSED(KCKPT_E_FILE_CHANGED, holds_both, &((struct job_options){ .between = exchange_fifo }));
}

TEST(fifo_in_use_is_refused_at_restore)
{
	EXPECT_RESTORE_REFUSED(KCKPT_E_PIPE_OUTSIDE, holds_both, &((struct job_options){ .between = use_fifo }));
}
