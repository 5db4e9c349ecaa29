// SPDX-License-Identifier: GPL-2.0
/* What belongs to the outside and is handed over with --inherit-fd and --external. */
#include <fcntl.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "runner.h"

#define IN 40
#define OUT 41

static int talks(void)
{
	char got[8] = "";

	JOB_SETUP(write(OUT, "before", 6) == 6);
	job_roundtrip();
	JOB_CHECK(read(IN, got, 5) == 5 && !memcmp(got, "input", 5));
	JOB_CHECK(write(OUT, "after", 5) == 5);
	return 0;
}

/* The options that hand over @nr descriptors, IN and OUT. Not 0 and 1: the tool itself talks on these. */
static struct job_options handing_over(int nr, const int *of_job, const int *of_restore)
{
	struct job_options options = { .nr_fds = nr, .nr_restore_fds = nr };
	int i;

	for (i = 0; i < nr; i++) {
		options.fds[i] = (struct job_fd){ of_job[i], IN + i };
		options.restore_fds[i] = (struct job_fd){ of_restore[i], IN + i };
		options.dump_args[2 * i] = options.restore_args[2 * i] = "--inherit-fd";
		options.dump_args[2 * i + 1] = options.restore_args[2 * i + 1] = format("%d", IN + i);
	}
	return options;
}

static bool gets(int fd, const char *text)
{
	char got[64] = "";

	return read(fd, got, strlen(text)) == (ssize_t)strlen(text) && !strcmp(got, text);
}

TEST(inherit_same_pipes)
{
	int in[2], out[2];
	struct job_options options;

	ASSERT_TRUE(!pipe(in) && !pipe(out) && write(in[1], "input", 5) == 5);
	options = handing_over(2, (int[]){ in[0], out[1] }, (int[]){ in[0], out[1] });
	EXPECT_EQ(0, roundtrip_with(talks, &options));
	EXPECT_TRUE(gets(out[0], "beforeafter"));
}

TEST(inherit_other_pipes)
{
	int in[2], out[2], in2[2], out2[2];
	struct job_options options;

	ASSERT_TRUE(!pipe(in) && !pipe(out) && !pipe(in2) && !pipe(out2) && write(in2[1], "input", 5) == 5);
	options = handing_over(2, (int[]){ in[0], out[1] }, (int[]){ in2[0], out2[1] });
	EXPECT_EQ(0, roundtrip_with(talks, &options));
	EXPECT_TRUE(gets(out[0], "before") && gets(out2[0], "after"));
	/* Nobody but us holds the writing end of it: the restored job has let go, as has the tool. */
	close(out2[1]);
	EXPECT_TRUE(read(out2[0], &in, 1) == 0);
}

TEST(inherit_files)
{
	struct job_options options;
	int in, out, in2, out2;

	ASSERT_TRUE(write_file(test_path("in"), "") && write_file(test_path("in2"), "input"));
	in = open(test_path("in"), O_RDONLY);
	in2 = open(test_path("in2"), O_RDONLY);
	out = open(test_path("out"), O_RDWR | O_CREAT, 0600);
	out2 = open(test_path("out2"), O_RDWR | O_CREAT, 0600);
	options = handing_over(2, (int[]){ in, out }, (int[]){ in2, out2 });
	EXPECT_EQ(0, roundtrip_with(talks, &options));
	EXPECT_TRUE(!strcmp(read_file(test_path("out")), "before") && !strcmp(read_file(test_path("out2")), "after"));
}

static int talks_on_terminal(void)
{
	struct termios mode;

	JOB_SETUP(isatty(OUT) && write(OUT, "before", 6) == 6);
	job_roundtrip();
	JOB_CHECK(isatty(OUT) && !tcgetattr(OUT, &mode) && write(OUT, "after", 5) == 5);
	return 0;
}

TEST(inherit_terminal)
{
	struct job_options options;
	int master, slave;

	ASSERT_EQ(0, openpty(&master, &slave, NULL, NULL, NULL));
	options = handing_over(2, (int[]){ slave, slave }, (int[]){ slave, slave });
	EXPECT_EQ(0, roundtrip_with(talks_on_terminal, &options));
	EXPECT_TRUE(gets(master, "beforeafter"));
}

/* Two descriptors of the job on one description need only one name. */
static int talks_twice(void)
{
	JOB_SETUP(dup2(OUT, 30) == 30);
	job_roundtrip();
	JOB_CHECK(write(OUT, "1", 1) == 1 && write(30, "2", 1) == 1);
	return 0;
}

TEST(inherit_dup_in_the_job)
{
	struct job_options options;
	int out[2];

	ASSERT_EQ(0, pipe(out));
	options = handing_over(2, (int[]){ out[0], out[1] }, (int[]){ out[0], out[1] });
	EXPECT_EQ(0, roundtrip_with(talks_twice, &options));
	EXPECT_TRUE(gets(out[0], "12"));
}

/* ---- refused ---- */

static int nothing_special(void)
{
	job_roundtrip();
	return 0;
}

TEST(inherit_unused_is_refused)
{
	EXPECT_REFUSED_WITH(KCKPT_E_INHERIT_UNUSED, nothing_special,
			    &((struct job_options){ .dump_args = { "--inherit-fd", "500" } }));
}

TEST(inherit_missing_is_refused_at_restore)
{
	struct job_options options;
	int fd[2];

	ASSERT_EQ(0, pipe(fd));
	options = handing_over(2, (int[]){ fd[0], fd[1] }, (int[]){ fd[0], fd[1] });
	options.restore_args[2] = NULL;
	EXPECT_RESTORE_REFUSED(KCKPT_E_INHERIT_MISSING, nothing_special, &options);
}

TEST(inherit_of_another_mode_is_refused_at_restore)
{
	struct job_options options;
	int fd[2];

	ASSERT_EQ(0, pipe(fd));
	options = handing_over(2, (int[]){ fd[0], fd[1] }, (int[]){ fd[1], fd[0] });
	EXPECT_RESTORE_REFUSED(KCKPT_E_INHERIT_MODE, nothing_special, &options);
}

/* ---- names ---- */

TEST(inherit_by_name)
{
	int in[2], out[2];

	ASSERT_TRUE(!pipe(in) && !pipe(out) && write(in[1], "input", 5) == 5);
	EXPECT_EQ(0, roundtrip_with(talks, &((struct job_options){
		.nr_fds = 2, .fds = { { in[0], IN }, { out[1], OUT } },
		.dump_args = { "--inherit-fd", "the input=40", "--inherit-fd", "a:b/c=41" },
		.nr_restore_fds = 2, .restore_fds = { { in[0], 77 }, { out[1], 78 } },
		.restore_args = { "--inherit-fd", "a:b/c=78", "--inherit-fd", "the input=77" } })));
	EXPECT_TRUE(gets(out[0], "beforeafter"));
}

/* Two descriptions under one name are numbered, in the order of the descriptors. */
TEST(inherit_one_name_for_two)
{
	int in[2], out[2];

	ASSERT_TRUE(!pipe(in) && !pipe(out) && write(in[1], "input", 5) == 5);
	EXPECT_EQ(0, roundtrip_with(talks, &((struct job_options){
		.nr_fds = 2, .fds = { { in[0], IN }, { out[1], OUT } },
		.dump_args = { "--inherit-fd", "a=41", "--inherit-fd", "a=40" },
		.nr_restore_fds = 2, .restore_fds = { { in[0], 77 }, { out[1], 78 } },
		.restore_args = { "--inherit-fd", "a=77", "--inherit-fd", "a.2=78" } })));
	EXPECT_TRUE(gets(out[0], "beforeafter"));
}

static int has_three(void)
{
	JOB_SETUP(open("/dev/null", O_RDONLY) == 3 && open("/dev/null", O_RDONLY) == 4 &&
		  open("/dev/null", O_RDONLY) == 5);
	job_roundtrip();
	return 0;
}

TEST(inherit_names_that_collide_are_refused)
{
	EXPECT_REFUSED_WITH(KCKPT_E_INHERIT_NAME, has_three, &((struct job_options){
		.dump_args = { "--inherit-fd", "a=3", "--inherit-fd", "a=4", "--inherit-fd", "a.2=5" } }));
}

TEST(inherit_name_without_room_for_a_number_is_refused)
{
	char *name = format("%055d", 1);

	EXPECT_REFUSED_WITH(KCKPT_E_INHERIT_NAME, has_three, &((struct job_options){
		.dump_args = { "--inherit-fd", format("%s=3", name), "--inherit-fd", format("%s=4", name) } }));
}

static int has_o_path(void)
{
	JOB_SETUP(open("/dev/null", O_PATH) == 3);
	job_roundtrip();
	return 0;
}

TEST(inherit_o_path_is_refused)
{
	EXPECT_REFUSED_WITH(KCKPT_E_FILE_STATE, has_o_path, &((struct job_options){
		.dump_args = { "--inherit-fd", "3" } }));
}

/* ---- externals ---- */

static unsigned long inode_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? 0 : st.st_ino;
}

static int says(void)
{
	JOB_SETUP(write(OUT, "before", 6) == 6);
	job_roundtrip();
	JOB_CHECK(write(OUT, "after", 5) == 5);
	return 0;
}

TEST(external_pipe)
{
	int out[2], out2[2];

	ASSERT_TRUE(!pipe(out) && !pipe(out2));
	EXPECT_EQ(0, roundtrip_with(says, &((struct job_options){
		.nr_fds = 1, .fds = { { out[1], OUT } },
		.dump_args = { "--external", format("pipe:%lu", inode_of(out[1])) },
		.nr_restore_fds = 1, .restore_fds = { { out2[1], 77 } },
		.restore_args = { "--inherit-fd", format("pipe:%lu=77", inode_of(out[1])) } })));
	EXPECT_TRUE(gets(out[0], "before") && gets(out2[0], "after"));
	close(out2[1]);
	EXPECT_TRUE(read(out2[0], out, 1) == 0);
}

/* Several descriptors, one of them a description of its own, as /proc/PID/fd makes it. */
static int says_twice(void)
{
	JOB_SETUP(dup2(OUT, 30) == 30 && open(format("/proc/self/fd/%d", OUT), O_WRONLY) == 3);
	job_roundtrip();
	JOB_CHECK(write(OUT, "1", 1) == 1 && write(30, "2", 1) == 1 && write(3, "3", 1) == 1);
	JOB_CHECK(fcntl(3, F_SETFL, O_NONBLOCK) == 0 && !(fcntl(30, F_GETFL) & O_NONBLOCK));
	return 0;
}

TEST(external_pipe_opened_twice)
{
	int out[2], out2[2];

	ASSERT_TRUE(!pipe(out) && !pipe(out2));
	EXPECT_EQ(0, roundtrip_with(says_twice, &((struct job_options){
		.nr_fds = 1, .fds = { { out[1], OUT } },
		.dump_args = { "--external", format("pipe:[%lu]=log", inode_of(out[1])) },
		.nr_restore_fds = 2, .restore_fds = { { out[1], 77 }, { out2[1], 78 } },
		.restore_args = { "--inherit-fd", "log=77", "--inherit-fd", "log.2=78" } })));
	EXPECT_TRUE(gets(out2[0], "12") && gets(out[0], "3"));
}

TEST(external_socket)
{
	int ends[2], ends2[2];

	ASSERT_TRUE(!socketpair(AF_UNIX, SOCK_STREAM, 0, ends) && !socketpair(AF_UNIX, SOCK_STREAM, 0, ends2));
	EXPECT_EQ(0, roundtrip_with(says, &((struct job_options){
		.nr_fds = 1, .fds = { { ends[1], OUT } },
		.dump_args = { "--external", format("socket:%lu=s", inode_of(ends[1])) },
		.nr_restore_fds = 1, .restore_fds = { { ends2[1], 77 } },
		.restore_args = { "--inherit-fd", "s=77" } })));
	EXPECT_TRUE(gets(ends[0], "before") && gets(ends2[0], "after"));
}

/* One that reads in the middle, one that appends, one that writes over: flags and offsets stay, contents do not. */
static int has_files(void)
{
	char got[8] = "";
	int flags;

	JOB_SETUP(open(test_path("in"), O_RDONLY) == 3 && lseek(3, 2, SEEK_SET) == 2);
	JOB_SETUP(open(test_path("log"), O_WRONLY | O_APPEND | O_CREAT, 0600) == 4 && write(4, "one", 3) == 3);
	JOB_SETUP(open(test_path("log"), O_RDWR) == 5 && lseek(5, 1, SEEK_SET) == 1);
	flags = fcntl(4, F_GETFL);
	job_roundtrip();
	JOB_CHECK(read(3, got, 8) == 3 && !strcmp(got, "put"));
	JOB_CHECK(fcntl(4, F_GETFL) == flags && write(4, "two", 3) == 3);
	JOB_CHECK(lseek(5, 0, SEEK_CUR) == 1 && write(5, "X", 1) == 1 && lseek(4, 0, SEEK_CUR) == 7);
	return 0;
}

static void exchange_files(void)
{
	EXPECT_TRUE(write_file(test_path("in2"), "input") && write_file(test_path("log"), "1234"));
	EXPECT_TRUE(!rename(test_path("in2"), test_path("in")));
}

TEST(external_files)
{
	char *in = format("file:%s=in", test_path("in")), *log = format("file:%s=log", test_path("log"));

	ASSERT_TRUE(write_file(test_path("in"), "old input"));
	EXPECT_EQ(0, roundtrip_with(has_files, &((struct job_options){
		.dump_args = { "--external", in, "--external", log }, .between = exchange_files,
		.restore_args = { "--external", log, "--external", in } })));
	EXPECT_TRUE(!strcmp(read_file(test_path("log")), "1X34two"));
}

static int has_log(void)
{
	JOB_SETUP(open(test_path("log"), O_WRONLY | O_APPEND | O_CREAT, 0600) == 3 && write(3, "one", 3) == 3);
	job_roundtrip();
	JOB_CHECK(write(3, "two", 3) == 3);
	return 0;
}

/* Its path leads nowhere any more, that of /proc does. */
static void unlink_before(pid_t pid)
{
	(void)pid;
	EXPECT_TRUE(!unlink(test_path("log")));
}

TEST(external_file_that_was_deleted)
{
	struct tool_result result;
	struct job job;

	job_start(&job, has_log, NULL);
	ASSERT_EQ(JOB_WAITS, job_wait(&job));
	job.options = (struct job_options){
		.before_dump = unlink_before,
		.dump_args = { "--external", format("file:/proc/%d/fd/3=log", job.pid) },
		.restore_args = { "--external", format("file:%s=log", test_path("log")) },
	};
	result = job_dump(&job);
	if (!EXPECT_EQ(0, result.status))
		test_say("%s", result.text);
	EXPECT_TRUE(write_file(test_path("log"), "new "));
	result = job_restore(&job);
	if (!EXPECT_EQ(0, result.status))
		test_say("%s", result.text);
	job_go(&job);
	EXPECT_EQ(0, job_end(&job));
	EXPECT_TRUE(!strcmp(read_file(test_path("log")), "new two"));
}

static int has_device(void)
{
	int flags;

	JOB_SETUP(open("/dev/kmsg", O_WRONLY | O_NONBLOCK) == 3);
	flags = fcntl(3, F_GETFL);
	job_roundtrip();
	JOB_CHECK(fcntl(3, F_GETFL) == flags);
	return 0;
}

TEST(external_device)
{
	EXPECT_EQ(0, roundtrip_with(has_device, &((struct job_options){
		.dump_args = { "--external", "dev:/dev/kmsg" },
		.restore_args = { "--external", "dev:/dev/kmsg" } })));
}

/* A shell has its terminal from outside, and opens it once more. */
static int talks_on_its_terminal(void)
{
	struct termios mode;

	JOB_SETUP(isatty(OUT) && write(OUT, "1", 1) == 1);
	JOB_SETUP(open("/dev/tty", O_RDWR | O_NONBLOCK) == 3 && write(3, "2", 1) == 1);
	job_roundtrip();
	JOB_CHECK(isatty(OUT) && !tcgetattr(3, &mode) && write(OUT, "3", 1) == 1 && write(3, "4", 1) == 1);
	JOB_CHECK(fcntl(3, F_GETFL) & O_NONBLOCK && !(fcntl(OUT, F_GETFL) & O_NONBLOCK));
	return 0;
}

static void expect_on_terminal(const char *name, int master, int slave)
{
	EXPECT_EQ(0, roundtrip_with(talks_on_its_terminal, &((struct job_options){
		.in_our_session = true, .nr_fds = 1, .fds = { { slave, OUT } },
		.dump_args = { "--external", format("tty%s", name) },
		.restore_args = { "--external", format("tty%s", name) } })));
	EXPECT_TRUE(gets(master, "1234"));
}

TEST(external_terminal)
{
	int master, slave;

	ASSERT_EQ(0, openpty(&master, &slave, NULL, NULL, NULL));
	ASSERT_EQ(0, ioctl(slave, TIOCSCTTY, 0));
	expect_on_terminal("", master, slave);
	expect_on_terminal("=console", master, slave);
}

/* ---- refused ---- */

TEST(external_unused_is_refused)
{
	static const char *const externals[] = { "pipe:1", "socket:1", "file:/etc/passwd=x", "dev:/dev/full", "tty" };
	unsigned int i;

	for (i = 0; i < sizeof(externals) / sizeof(externals[0]); i++)
		EXPECT_REFUSED_WITH(KCKPT_E_INHERIT_UNUSED, nothing_special,
				    &((struct job_options){ .dump_args = { "--external", externals[i] } }));
}

/* The first one counts. */
TEST(external_twice_is_refused)
{
	EXPECT_REFUSED_WITH(KCKPT_E_INHERIT_UNUSED, has_device, &((struct job_options){
		.dump_args = { "--external", "dev:/dev/kmsg=a", "--external", "file:/dev/kmsg=b" } }));
}

TEST(external_missing_is_refused_at_restore)
{
	EXPECT_RESTORE_REFUSED(KCKPT_E_INHERIT_MISSING, has_device, &((struct job_options){
		.dump_args = { "--external", "dev:/dev/kmsg" },
		.restore_args = { "--external", "dev:/dev/kmsg=x" } }));
}

static void make_fifo(void)
{
	EXPECT_TRUE(!mkfifo(test_path("fifo"), 0600));
}

TEST(external_named_pipe_in_place_is_refused_at_restore)
{
	EXPECT_RESTORE_REFUSED(KCKPT_E_INHERIT_MODE, has_device, &((struct job_options){
		.dump_args = { "--external", "dev:/dev/kmsg=x" }, .between = make_fifo,
		.restore_args = { "--external", format("file:%s=x", test_path("fifo")) } }));
}

/* The rest of a pipe whose one end was named is not the job's own. */
TEST(external_leaves_other_pipes_alone)
{
	int a[2], b[2];

	ASSERT_TRUE(!pipe(a) && !pipe(b));
	EXPECT_REFUSED_WITH(KCKPT_E_PIPE_OUTSIDE, nothing_special, &((struct job_options){
		.nr_fds = 2, .fds = { { a[1], IN }, { b[1], OUT } },
		.dump_args = { "--external", format("pipe:%lu", inode_of(a[1])) } }));
}

static int capture(int dev, struct kckpt_capture request)
{
	return ioctl(dev, KCKPT_IOC_CAPTURE, &request) ? errno : 0;
}

static int capture_external(int dev, struct kckpt_external external)
{
	return capture(dev, (struct kckpt_capture){ .external = (uintptr_t)&external, .nr_external = 1 });
}

TEST(external_of_the_interface)
{
	struct kckpt_external ext = { .kind = KCKPT_EXTERNAL_TTY };
	int dev = device_open();
	struct job job;

	runner_start(&job);
	ASSERT_EQ(0, device_freeze(dev, job.cgroup));
	EXPECT_EQ(EINVAL, capture_external(dev, ext));	/* no name */
	memset(ext.name, 'x', sizeof(ext.name));
	EXPECT_EQ(EINVAL, capture_external(dev, ext));	/* no end of it */
	ext.name[1] = 0;
	EXPECT_EQ(EBADF, capture_external(dev, ext));	/* unused */
	ext.kind = 0;
	EXPECT_EQ(EINVAL, capture_external(dev, ext));
	ext.kind = KCKPT_EXTERNAL_TTY + 1;
	EXPECT_EQ(EINVAL, capture_external(dev, ext));
	ext.kind = KCKPT_EXTERNAL_PIPE;
	ext.dev = 1;
	EXPECT_EQ(EINVAL, capture_external(dev, ext));
	ext.kind = KCKPT_EXTERNAL_DEV;
	ext.ino = 1;
	EXPECT_EQ(EINVAL, capture_external(dev, ext));
	ext.ino = 0;
	ext.reserved = 1;
	EXPECT_EQ(EINVAL, capture_external(dev, ext));
	EXPECT_EQ(EINVAL, capture(dev, (struct kckpt_capture){ .reserved2 = 1 }));
	EXPECT_EQ(E2BIG, capture(dev, (struct kckpt_capture){ .nr_external = KCKPT_MAX_INHERIT + 1 }));
	EXPECT_EQ(EFAULT, capture(dev, (struct kckpt_capture){ .external = 8, .nr_external = 1 }));
	EXPECT_EQ(0, device_capture(dev));
	close(dev);
	EXPECT_TRUE(runner_runs(&job));
}
