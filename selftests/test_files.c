// SPDX-License-Identifier: GPL-2.0
/* Descriptors, open files, regular files, memory devices. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "job.h"

static int open_file(int flags)
{
	return open(test_path("data"), flags, 0644);
}

static bool make_file(const char *text)
{
	return write_file(test_path("data"), text);
}

static int keeps_offset(void)
{
	char got[4] = "";
	int fd;

	JOB_SETUP(make_file("0123456789") && (fd = open_file(O_RDWR)) >= 0 && lseek(fd, 4, SEEK_SET) == 4);
	job_roundtrip();
	JOB_CHECK(read(fd, got, 3) == 3 && !strcmp(got, "456"));
	JOB_CHECK(write(fd, "X", 1) == 1 && pread(fd, got, 1, 7) == 1 && got[0] == 'X');
	return 0;
}

TEST(files_offset)
{
	EXPECT_EQ(0, roundtrip(keeps_offset));
}

static int offset_past_end(void)
{
	const off_t far = 5LL << 30;
	int fd;

	JOB_SETUP(make_file("x") && (fd = open_file(O_RDWR)) >= 0 && lseek(fd, far, SEEK_SET) == far);
	job_roundtrip();
	JOB_CHECK(lseek(fd, 0, SEEK_CUR) == far);
	return 0;
}

TEST(files_offset_past_the_end)
{
	EXPECT_EQ(0, roundtrip(offset_past_end));
}

static int appends(void)
{
	char got[16] = "";
	int fd;

	JOB_SETUP(make_file("first") && (fd = open_file(O_WRONLY | O_APPEND)) >= 0);
	job_roundtrip();
	JOB_CHECK(write(fd, "last", 4) == 4);
	JOB_CHECK((fd = open_file(O_RDONLY)) >= 0 && read(fd, got, sizeof(got)) == 9 && !strcmp(got, "firstlast"));
	return 0;
}

TEST(files_append)
{
	EXPECT_EQ(0, roundtrip(appends));
}

/* What was said at open() comes back, but is not done again: nothing is truncated, nothing must be new. */
static int created(void)
{
	int fd = open_file(O_RDWR | O_CREAT | O_EXCL | O_TRUNC);

	JOB_SETUP(fd >= 0 && write(fd, "kept", 4) == 4);
	job_roundtrip();
	JOB_CHECK(lseek(fd, 0, SEEK_END) == 4);
	return 0;
}

TEST(files_created_and_truncated_are_kept)
{
	EXPECT_EQ(0, roundtrip(created));
}

static int flags(void)
{
	static const int each[] = { O_RDONLY, O_WRONLY, O_RDWR, O_RDONLY | O_NONBLOCK, O_RDWR | O_APPEND | O_SYNC,
				    O_RDWR | O_DSYNC, O_RDONLY | O_NOATIME, O_RDONLY | O_NOFOLLOW };
	int fd[8], want[8];
	unsigned int i;
	char c;

	JOB_SETUP(make_file("x"));
	for (i = 0; i < 8; i++)
		JOB_SETUP((fd[i] = open_file(each[i])) >= 0 && (want[i] = fcntl(fd[i], F_GETFL)) >= 0);
	job_roundtrip();
	for (i = 0; i < 8; i++)
		JOB_CHECK(fcntl(fd[i], F_GETFL) == want[i]);
	JOB_CHECK(write(fd[0], "x", 1) == -1 && errno == EBADF);
	JOB_CHECK(read(fd[1], &c, 1) == -1 && errno == EBADF);
	return 0;
}

TEST(files_flags_and_modes)
{
	EXPECT_EQ(0, roundtrip(flags));
}

static int shares_offset(void)
{
	int fd, again, apart;
	char c;

	JOB_SETUP(make_file("abc") && (fd = open_file(O_RDONLY)) >= 0 && (again = dup(fd)) >= 0);
	JOB_SETUP((apart = open_file(O_RDONLY)) >= 0);
	job_roundtrip();
	JOB_CHECK(read(fd, &c, 1) == 1 && c == 'a');
	JOB_CHECK(read(again, &c, 1) == 1 && c == 'b');
	JOB_CHECK(read(apart, &c, 1) == 1 && c == 'a');
	JOB_CHECK(syscall(SYS_kcmp, getpid(), getpid(), 0 /* KCMP_FILE */, fd, again) == 0);
	return 0;
}

TEST(files_dup_shares_its_offset)
{
	EXPECT_EQ(0, roundtrip(shares_offset));
}

static int cloexec(void)
{
	int plain = open("/dev/null", O_RDONLY), with = dup3(plain, 50, O_CLOEXEC);

	JOB_SETUP(plain >= 0 && with == 50);
	job_roundtrip();
	JOB_CHECK(fcntl(plain, F_GETFD) == 0 && fcntl(with, F_GETFD) == FD_CLOEXEC);
	return 0;
}

TEST(files_close_on_exec)
{
	EXPECT_EQ(0, roundtrip(cloexec));
}

/* All that is there is what was there: no stray descriptor of the tool or of the restore. */
static int sparse_numbers(void)
{
	static const int at[] = { 0, 3, 63, 64, 65, 255, 1000, 20000 };
	struct rlimit limit = { 30000, 30000 };
	int null, fd;
	unsigned int i;

	JOB_SETUP(!setrlimit(RLIMIT_NOFILE, &limit));
	JOB_SETUP((null = open("/dev/null", O_RDWR)) >= 0);
	for (i = 0; i < 8; i++)
		JOB_SETUP(dup2(null, at[i]) == at[i]);
	if (null != 3)
		close(null);
	job_roundtrip();
	for (fd = i = 0; fd < 30000; fd++) {
		bool want = fd == 1 || fd == 2 || (i < 8 && at[i] == fd);

		i += i < 8 && at[i] == fd;
		JOB_CHECK((fcntl(fd, F_GETFD) >= 0) == want);
	}
	JOB_CHECK(dup(0) == 4);
	return 0;
}

TEST(files_sparse_numbers)
{
	EXPECT_EQ(0, roundtrip(sparse_numbers));
}

/* Far out under a raised limit, with a sign on some. */
static int far_numbers(void)
{
	static const int at[] = { 65536, 999999, 1000000, 1048575 };
	struct rlimit limit = { 1048576, 1048576 }, after;
	int null, i, nr = 0, fd;

	JOB_SETUP(!setrlimit(RLIMIT_NOFILE, &limit) && (null = open("/dev/null", O_RDWR)) >= 0);
	for (i = 0; i < 4; i++)
		JOB_SETUP(dup3(null, at[i], i % 2 ? O_CLOEXEC : 0) == at[i]);
	JOB_SETUP(!setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 100, 200 }));
	job_roundtrip();
	for (i = 0; i < 4; i++)
		JOB_CHECK(fcntl(at[i], F_GETFD) == (i % 2 ? FD_CLOEXEC : 0) && write(at[i], "x", 1) == 1);
	for (fd = 0; fd < 1048576; fd++)
		nr += fcntl(fd, F_GETFD) >= 0;
	JOB_CHECK(nr == 4 + 4 && !getrlimit(RLIMIT_NOFILE, &after) && after.rlim_cur == 100 && after.rlim_max == 200);
	JOB_CHECK(dup(null) == null + 1);
	return 0;
}

TEST(files_far_numbers)
{
	EXPECT_EQ(0, roundtrip(far_numbers));
}

static int none_open(void)
{
	close_range(0, ~0U, 0);
	job_roundtrip();
	return open("/dev/null", O_RDONLY) == 0 ? 0 : 1;
}

TEST(files_none_open)
{
	EXPECT_EQ(0, roundtrip(none_open));
}

static int many(void)
{
	int fd[900], i;
	char c;

	JOB_SETUP(make_file(format("%0900d", 0)));
	for (i = 0; i < 900; i++)
		JOB_SETUP((fd[i] = open_file(O_RDONLY)) >= 0 && lseek(fd[i], i, SEEK_SET) == i);
	job_roundtrip();
	for (i = 0; i < 900; i++)
		JOB_CHECK(lseek(fd[i], 0, SEEK_CUR) == i && read(fd[i], &c, 1) == 1);
	return 0;
}

TEST(files_many)
{
	EXPECT_EQ(0, roundtrip(many));
}

static int devices(void)
{
	char buf[16] = "", zero[16] = "";
	int null = open("/dev/null", O_RDWR), zeros = open("/dev/zero", O_RDONLY), full = open("/dev/full", O_WRONLY);
	int random = open("/dev/random", O_RDONLY | O_NONBLOCK), urandom = open("/dev/urandom", O_RDONLY);

	JOB_SETUP(null >= 0 && zeros >= 0 && full >= 0 && random >= 0 && urandom >= 0);
	job_roundtrip();
	JOB_CHECK(write(null, buf, 16) == 16 && read(null, buf, 16) == 0);
	JOB_CHECK(read(urandom, buf, 16) == 16 && memcmp(buf, zero, 16));
	JOB_CHECK(read(zeros, buf, 16) == 16 && !memcmp(buf, zero, 16));
	JOB_CHECK(write(full, buf, 1) == -1 && errno == ENOSPC);
	JOB_CHECK(fcntl(random, F_GETFL) == (O_RDONLY | O_NONBLOCK | 0100000) ||
		  fcntl(random, F_GETFL) == (O_RDONLY | O_NONBLOCK));
	return 0;
}

TEST(files_memory_devices)
{
	EXPECT_EQ(0, roundtrip(devices));
}

/* By a symbolic link, in a folder with a long name with odd characters. */
static int odd_names(void)
{
	char *folder = format("%s/a b\n\\\t%0200d", test_folder(), 1), *file = format("%s/\377 (deleted)", folder);
	char *link = format("%s/link", folder);
	int fd, by_link;
	char c;

	JOB_SETUP(!mkdir(folder, 0755) && write_file(file, "x") && !symlink(file, link));
	JOB_SETUP((fd = open(file, O_RDONLY)) >= 0 && (by_link = open(link, O_RDONLY)) >= 0);
	job_roundtrip();
	JOB_CHECK(read(fd, &c, 1) == 1 && read(by_link, &c, 1) == 1);
	return 0;
}

TEST(files_odd_names)
{
	EXPECT_EQ(0, roundtrip(odd_names));
}

static int two_links(void)
{
	struct stat first, second;
	int fd, other;

	JOB_SETUP(make_file("x") && !link(test_path("data"), test_path("other")));
	JOB_SETUP((fd = open_file(O_RDWR)) >= 0 && (other = open(test_path("other"), O_RDWR)) >= 0);
	job_roundtrip();
	JOB_CHECK(!fstat(fd, &first) && !fstat(other, &second) && first.st_ino == second.st_ino);
	JOB_CHECK(strstr(format("%s", realpath(format("/proc/self/fd/%d", other), NULL)), "other"));
	return 0;
}

TEST(files_two_hard_links)
{
	EXPECT_EQ(0, roundtrip(two_links));
}

static int has_folder(void)
{
	int fd = open(test_folder(), O_RDONLY | O_DIRECTORY), in;

	JOB_SETUP(fd >= 0 && make_file("x"));
	job_roundtrip();
	JOB_CHECK((in = openat(fd, "data", O_RDONLY)) >= 0);
	return 0;
}

TEST(files_folder)
{
	EXPECT_EQ(0, roundtrip(has_folder));
}

/* ---- refused at the dump ---- */

static int deleted(void)
{
	int fd;
	char c;

	JOB_SETUP(make_file("x") && (fd = open_file(O_RDONLY)) >= 0 && !unlink(test_path("data")));
	job_roundtrip();
	JOB_CHECK(read(fd, &c, 1) == 1);
	return 0;
}

TEST(files_deleted_is_refused)
{
	EXPECT_REFUSED(KCKPT_E_FILE_UNLINKED, deleted);
}

static int replaced(void)
{
	int fd;
	char c;

	JOB_SETUP(make_file("x") && (fd = open_file(O_RDONLY)) >= 0);
	JOB_SETUP(!rename(test_path("data"), test_path("moved")) && make_file("y"));
	JOB_SETUP(!link(test_path("moved"), test_path("again")) && !unlink(test_path("moved")));
	job_roundtrip();
	JOB_CHECK(fcntl(fd, F_GETFL) == (O_RDONLY | 0100000) && read(fd, &c, 1) == 1 && c == 'x');
	return 0;
}

TEST(files_of_another_link)
{
	EXPECT_EQ(0, roundtrip(replaced));
}

static int renamed(void)
{
	int fd;
	char c;

	JOB_SETUP(make_file("x") && (fd = open_file(O_RDONLY)) >= 0 && !rename(test_path("data"), test_path("moved")));
	JOB_SETUP(make_file("y"));
	job_roundtrip();
	JOB_CHECK(read(fd, &c, 1) == 1 && c == 'x');
	return 0;
}

TEST(files_renamed)
{
	EXPECT_EQ(0, roundtrip(renamed));
}

/* ---- refused at the restore ---- */

static int reads_file(void)
{
	JOB_SETUP(make_file("something") && open_file(O_RDONLY) >= 0);
	job_roundtrip();
	return 0;
}

static int writes_file(void)
{
	JOB_SETUP(make_file("something") && open_file(O_RDWR) >= 0);
	job_roundtrip();
	return 0;
}

static void remove_data(void)
{
	unlink(test_path("data"));
}

static void grow_data(void)
{
	truncate(test_path("data"), 100);
}

/* Of the same size. */
static void touch_data(void)
{
	int fd = open(test_path("data"), O_WRONLY);
	struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };

	futimens(fd, times);
	close(fd);
}

/* Of the same size and age, but another's. */
static void give_data_away(void)
{
	struct timespec times[2] = {};
	struct stat st;

	ASSERT_TRUE(!stat(test_path("data"), &st) && !chown(test_path("data"), 1234, 0));
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	ASSERT_TRUE(!utimensat(AT_FDCWD, test_path("data"), times, 0));
}

TEST(files_of_another_owner)
{
	struct job_options options = { .between = give_data_away };

	EXPECT_RESTORE_REFUSED(KCKPT_E_FILE_CHANGED, reads_file, &options);
	remove_data();
	options.restore_args[0] = "--files";
	options.restore_args[1] = "changed";
	EXPECT_RESTORE_REFUSED(KCKPT_E_FILE_CHANGED, writes_file, &options);
}

/* Of the same size and age, but another file. */
static void exchange_data(void)
{
	struct timespec times[2];
	struct stat st;
	int fd;

	stat(test_path("data"), &st);
	fd = open(test_path("new"), O_WRONLY | O_CREAT, 0644);
	if (write(fd, "something", 9) != 9)
		test_give_up();
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	futimens(fd, times);
	close(fd);
	rename(test_path("new"), test_path("data"));
}

static void make_data_a_folder(void)
{
	unlink(test_path("data"));
	mkdir(test_path("data"), 0755);
}

TEST(files_missing_is_refused_at_restore)
{
	EXPECT_RESTORE_REFUSED(KCKPT_E_FILE_MISSING, reads_file, &((struct job_options){ .between = remove_data }));
}

TEST(files_grown_is_refused_at_restore)
{
	EXPECT_RESTORE_REFUSED(KCKPT_E_FILE_CHANGED, reads_file, &((struct job_options){ .between = grow_data }));
}

TEST(files_touched_is_refused_at_restore)
{
	EXPECT_RESTORE_REFUSED(KCKPT_E_FILE_CHANGED, writes_file, &((struct job_options){ .between = touch_data }));
}

TEST(files_of_another_type_is_refused_at_restore)
{
	EXPECT_RESTORE_REFUSED(KCKPT_E_FILE_CHANGED, reads_file,
			       &((struct job_options){ .between = make_data_a_folder }));
}

TEST(files_changed_are_taken_on_request)
{
	struct job_options options = { .between = grow_data, .restore_args = { "--files", "changed" } };

	EXPECT_EQ(0, roundtrip_with(writes_file, &options));
	EXPECT_RESTORE_REFUSED(KCKPT_E_FILE_CHANGED, reads_file, &options);
}

TEST(files_exchanged_are_noticed_on_request)
{
	struct job_options options = { .between = exchange_data };

	EXPECT_EQ(0, roundtrip_with(reads_file, &options));
	options.restore_args[0] = "--files";
	options.restore_args[1] = "strict";
	EXPECT_RESTORE_REFUSED(KCKPT_E_FILE_CHANGED, reads_file, &options);
}
