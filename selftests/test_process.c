// SPDX-License-Identifier: GPL-2.0
/* What threads share and /proc shows: limits, folder, umask, ids, executable, arguments, environment. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "job.h"

static int limits(void)
{
	struct rlimit want[RLIM_NLIMITS], have;
	int i;

	for (i = 0; i < RLIM_NLIMITS; i++) {
		JOB_SETUP(!getrlimit(i, &want[i]));
		if (want[i].rlim_max == RLIM_INFINITY || want[i].rlim_max > 1000000000)
			want[i].rlim_max = 1000000000 + i;
		want[i].rlim_cur = want[i].rlim_max - 1 - i;
		if (want[i].rlim_max < 100)	/* core, nice, rtprio */
			want[i].rlim_cur = want[i].rlim_max;
		JOB_SETUP(!setrlimit(i, &want[i]));
	}
	job_roundtrip();
	for (i = 0; i < RLIM_NLIMITS; i++)
		JOB_CHECK(!getrlimit(i, &have) && !memcmp(&have, &want[i], sizeof(have)));
	return 0;
}

TEST(process_limits)
{
	EXPECT_EQ(0, roundtrip(limits));
}

/* Limits that the job is over already: it has more than it could get now. */
static int over_its_limits(void)
{
	static const int which[] = { RLIMIT_AS, RLIMIT_DATA, RLIMIT_STACK, RLIMIT_NOFILE, RLIMIT_NPROC, RLIMIT_MEMLOCK };
	struct rlimit limit = { 4096, 4096 };
	int fd = open("/dev/null", O_RDONLY);
	unsigned int i;

	JOB_SETUP(fd >= 0 && dup2(fd, 800) == 800);
	for (i = 0; i < 6; i++) {
		limit.rlim_cur = limit.rlim_max = which[i] == RLIMIT_NOFILE ? 100 : 4096;
		JOB_SETUP(!setrlimit(which[i], &limit));
	}
	job_roundtrip();
	JOB_CHECK(fcntl(800, F_GETFD) >= 0 && dup2(fd, 801) == -1 && errno == EBADF);
	JOB_CHECK(!getrlimit(RLIMIT_AS, &limit) && limit.rlim_cur == 4096);
	return 0;
}

TEST(process_over_its_limits)
{
	EXPECT_EQ(0, roundtrip(over_its_limits));
}

static int folder_and_umask(void)
{
	char *folder = format("%s/a folder", test_folder()), cwd[4096];

	JOB_SETUP(!mkdir(folder, 0700) && !chdir(folder));
	umask(0137);
	job_roundtrip();
	JOB_CHECK(getcwd(cwd, sizeof(cwd)) && !strcmp(cwd, folder));
	JOB_CHECK(umask(0) == 0137);
	return 0;
}

TEST(process_folder_and_umask)
{
	EXPECT_EQ(0, roundtrip(folder_and_umask));
}

static int oom_score(void)
{
	JOB_SETUP(write_file("/proc/self/oom_score_adj", "123"));
	job_roundtrip();
	JOB_CHECK(atoi(read_file("/proc/self/oom_score_adj")) == 123);
	return 0;
}

TEST(process_oom_score)
{
	EXPECT_EQ(0, roundtrip(oom_score));
}

static int ids(void)
{
	pid_t pid = getpid();

	JOB_SETUP(getsid(0) == pid && getpgid(0) == pid);
	job_roundtrip();
	JOB_CHECK(getpid() == pid && gettid() == pid && getsid(0) == pid && getpgid(0) == pid);
	return 0;
}

TEST(process_ids)
{
	EXPECT_EQ(0, roundtrip(ids));
}

static int subreaper(void)
{
	int is = 0;

	JOB_SETUP(!prctl(PR_SET_CHILD_SUBREAPER, 1));
	job_roundtrip();
	JOB_CHECK(!prctl(PR_GET_CHILD_SUBREAPER, &is) && is);
	return 0;
}

TEST(process_subreaper)
{
	EXPECT_EQ(0, roundtrip(subreaper));
}

static bool same_file(const char *name, const char *was, size_t len)
{
	size_t now_len;
	char *is = read_bytes(name, &now_len);

	return is && now_len == len && !memcmp(is, was, len);
}

static int shown_in_proc(void)
{
	static const char *const each[] = { "/proc/self/cmdline", "/proc/self/environ", "/proc/self/auxv", "/proc/self/comm" };
	char *was[4], exe[4096] = "", again[4096] = "";
	size_t len[4];
	int i;

	for (i = 0; i < 4; i++)
		JOB_SETUP((was[i] = read_bytes(each[i], &len[i])) && len[i]);
	JOB_SETUP(readlink("/proc/self/exe", exe, sizeof(exe) - 1) > 0);
	job_roundtrip();
	for (i = 0; i < 4; i++)
		JOB_CHECK(same_file(each[i], was[i], len[i]));
	JOB_CHECK(readlink("/proc/self/exe", again, sizeof(again) - 1) > 0 && !strcmp(exe, again));
	return 0;
}

TEST(process_shown_in_proc)
{
	EXPECT_EQ(0, roundtrip(shown_in_proc));
}

/* start_brk, start_stack, arg_start and so on, as /proc/self/stat tells them; times are not kept. */
static int addresses_in_stat(void)
{
	static const int each[] = { 26, 27, 28, 45, 46, 47, 48, 49, 50, 51 };
	char *before = strrchr(read_file("/proc/self/stat"), ')'), *after;
	unsigned int i;
	int field;

	job_roundtrip();
	after = strrchr(read_file("/proc/self/stat"), ')');
	for (field = 2, i = 0; before && after && i < 10; field++) {
		unsigned long was = strtoul(before + 1, NULL, 10), is = strtoul(after + 1, NULL, 10);

		if (field == each[i]) {
			if (was != is)
				dprintf(2, "field %d was %lu, is %lu\n", field, was, is);
			JOB_CHECK(was == is);
			i++;
		}
		before = strchr(before + 1, ' ');
		after = strchr(after + 1, ' ');
	}
	JOB_CHECK(i == 10);
	return 0;
}

TEST(process_addresses_in_stat)
{
	EXPECT_EQ(0, roundtrip(addresses_in_stat));
}

/* It can do what processes do: have children, run programs. */
static int forks_and_runs(void)
{
	int status;
	pid_t pid;

	job_roundtrip();
	pid = fork();
	if (!pid) {
		execl("/bin/true", "true", NULL);
		_exit(1);
	}
	JOB_CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && !status);
	pid = fork();
	if (!pid)
		_exit(7);
	JOB_CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 7);
	return 0;
}

TEST(process_forks_and_runs_programs)
{
	EXPECT_EQ(0, roundtrip(forks_and_runs));
}

static int exits_with_77(void)
{
	job_roundtrip();
	return 77;
}

TEST(process_exit_status)
{
	EXPECT_EQ(77, roundtrip(exits_with_77));
}

static int ten_trips(void)
{
	int i;

	for (i = 0; i < 10; i++)
		job_roundtrip();
	return 0;
}

TEST(process_ten_trips)
{
	EXPECT_EQ(0, roundtrip(ten_trips));
}

/* ---- refused at the restore ---- */

static int in_folder(void)
{
	char *folder = format("%s/gone", test_folder());

	JOB_SETUP(!mkdir(folder, 0700) && !chdir(folder));
	job_roundtrip();
	return 0;
}

static void remove_folder(void)
{
	rmdir(format("%s/gone", test_folder()));
}

TEST(process_folder_missing_is_refused_at_restore)
{
	EXPECT_RESTORE_REFUSED(KCKPT_E_FILE_MISSING, in_folder, &((struct job_options){ .between = remove_folder }));
}
