// SPDX-License-Identifier: GPL-2.0
/* Descriptors that belong to the outside and are handed over with --inherit-fd. */
#include <fcntl.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "job.h"

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
