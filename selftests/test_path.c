// SPDX-License-Identifier: GPL-2.0
/* Files and directories found by path: ways of opening them, O_PATH, directories half read, overlays, bind mounts. */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "job.h"

#define MANY 16

static const char *name_of(int fd)
{
	return realpath(format("/proc/self/fd/%d", fd), NULL) ?: "";
}

/* The path of a symbolic link itself. */
static const char *link_of(int fd)
{
	char name[4096] = "";

	return readlink(format("/proc/self/fd/%d", fd), name, sizeof(name) - 1) < 0 ? "" : format("%s", name);
}

static int mnt_id(int fd)
{
	const char *info = read_file(format("/proc/self/fdinfo/%d", fd)) ?: "", *at = strstr(info, "mnt_id:");

	return at ? atoi(at + 7) : -1;
}

/* Every way to open a file shows the same flags afterwards; some file systems lack one or the other. */
static int flags(void)
{
	static const int each[] = {
		O_RDONLY, O_WRONLY, O_RDWR, 3, O_RDONLY | O_NOATIME, O_RDWR | O_APPEND, O_RDWR | O_SYNC,
		O_WRONLY | O_DSYNC, O_RDONLY | O_DIRECT, O_RDWR | O_DIRECT | O_NONBLOCK, O_RDONLY | O_NOFOLLOW,
		O_PATH, O_PATH | O_NOFOLLOW, O_RDONLY | O_NOCTTY, O_RDWR | O_CREAT, 3 | O_APPEND,
	};
	int fd[MANY], want[MANY], i;
	char c;

	JOB_SETUP(write_file(test_path("data"), "x"));
	for (i = 0; i < MANY; i++) {
		fd[i] = open(test_path("data"), each[i], 0600);
		JOB_SETUP(fd[i] >= 0 || each[i] & O_DIRECT);
		want[i] = fcntl(fd[i], F_GETFL);
	}
	job_roundtrip();
	for (i = 0; i < MANY; i++)
		JOB_CHECK(fcntl(fd[i], F_GETFL) == want[i]);
	JOB_CHECK(read(fd[3], &c, 1) == -1 && errno == EBADF && write(fd[3], "x", 1) == -1 && errno == EBADF);
	JOB_CHECK(read(fd[11], &c, 1) == -1 && errno == EBADF);
	return 0;
}

TEST(path_flags)
{
	EXPECT_EQ(0, roundtrip(flags));
}

static int flags_set_later(void)
{
	int fd, want;
	char got[8] = "";

	JOB_SETUP(write_file(test_path("data"), "ab") && (fd = open(test_path("data"), O_RDWR)) >= 0);
	JOB_SETUP(!fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK | O_NOATIME) && (want = fcntl(fd, F_GETFL)) & O_APPEND);
	job_roundtrip();
	JOB_CHECK(fcntl(fd, F_GETFL) == want && write(fd, "cd", 2) == 2);
	JOB_CHECK(pread(fd, got, 8, 0) == 4 && !strcmp(got, "abcd"));
	return 0;
}

TEST(path_flags_set_later)
{
	EXPECT_EQ(0, roundtrip(flags_set_later));
}

/* O_PATH of whatever has a path. */
static int of_anything(void)
{
	int file, folder, link, fifo, null, cgroup, again;
	struct stat st;
	char got[8] = "";

	JOB_SETUP(write_file(test_path("data"), "x") && !symlink("nowhere", test_path("link")));
	JOB_SETUP(!mkfifo(test_path("fifo"), 0600));
	JOB_SETUP((file = open(test_path("data"), O_PATH)) >= 0 && (folder = open(test_folder(), O_PATH)) >= 0);
	JOB_SETUP((link = open(test_path("link"), O_PATH | O_NOFOLLOW | O_CLOEXEC)) >= 0);
	JOB_SETUP((fifo = open(test_path("fifo"), O_PATH)) >= 0 && (null = open("/dev/null", O_PATH)) >= 0);
	JOB_SETUP((cgroup = open("/sys/fs/cgroup", O_PATH | O_DIRECTORY)) >= 0 && (again = dup(file)) >= 0);
	job_roundtrip();
	JOB_CHECK(fcntl(link, F_GETFL) == (O_PATH | O_NOFOLLOW) && fcntl(link, F_GETFD) == FD_CLOEXEC);
	JOB_CHECK(!strcmp(link_of(link), test_path("link")) && readlinkat(link, "", got, sizeof(got)) == 7);
	JOB_CHECK(fcntl(file, F_GETFL) == O_PATH && !strcmp(name_of(file), test_path("data")));
	JOB_CHECK(!fstatat(folder, "data", &st, 0) && st.st_size == 1);
	JOB_CHECK(!fstat(fifo, &st) && S_ISFIFO(st.st_mode) && !fstat(null, &st) && S_ISCHR(st.st_mode));
	JOB_CHECK(fcntl(cgroup, F_GETFL) == (O_PATH | O_DIRECTORY) && !faccessat(cgroup, "cgroup.procs", R_OK, 0));
	JOB_CHECK(open(format("/proc/self/fd/%d", file), O_RDONLY) >= 0);
	JOB_CHECK(syscall(SYS_kcmp, getpid(), getpid(), 0 /* KCMP_FILE */, file, again) == 0);
	return 0;
}

TEST(path_only)
{
	EXPECT_EQ(0, roundtrip(of_anything));
}

/* What cannot be read may be written by others meanwhile. */
static int path_of_log(void)
{
	JOB_SETUP(write_file(test_path("data"), "x") && open(test_path("data"), O_PATH) >= 0);
	job_roundtrip();
	return 0;
}

static void grow_data(void)
{
	write_file(test_path("data"), "something longer");
}

static void make_data_a_folder(void)
{
	unlink(test_path("data"));
	mkdir(test_path("data"), 0700);
}

TEST(path_only_of_a_file_that_changes)
{
	EXPECT_EQ(0, roundtrip_with(path_of_log, &(struct job_options){ .between = grow_data }));
	EXPECT_RESTORE_REFUSED(KCKPT_E_FILE_CHANGED, path_of_log,
			       &(struct job_options){ .between = make_data_a_folder });
}

#define ENTRIES 200

/* The entries that a read of a few at a time tells; false if one comes twice. */
static bool read_some(int fd, bool *seen, int most, int *nr)
{
	char buf[256];
	long n, at;

	while (*nr < most && (n = syscall(SYS_getdents64, fd, buf, sizeof(buf))) > 0) {
		for (at = 0; at < n; at += *(unsigned short *)(buf + at + 16)) {
			const char *name = buf + at + 19;
			int i = atoi(name + 1);

			if (*name != 'e')
				continue;
			if (seen[i])
				return false;
			seen[i] = true;
			++*nr;
		}
	}
	return true;
}

static int half_read(const char *folder)
{
	bool seen[ENTRIES] = {};
	int fd, i, nr = 0;

	for (i = 0; i < ENTRIES; i++)
		JOB_SETUP(write_file(format("%s/e%d", folder, i), ""));
	JOB_SETUP((fd = open(folder, O_RDONLY | O_DIRECTORY)) >= 0 && read_some(fd, seen, ENTRIES / 2, &nr));
	JOB_SETUP(nr >= ENTRIES / 2 && nr < ENTRIES);
	job_roundtrip();
	JOB_CHECK(read_some(fd, seen, ENTRIES + 1, &nr) && nr == ENTRIES);
	JOB_CHECK(lseek(fd, 0, SEEK_SET) == 0);
	return 0;
}

static int folder_half_read(void)
{
	JOB_SETUP(!mkdir(test_path("folder"), 0700));
	return half_read(test_path("folder"));
}

TEST(path_folder_half_read)
{
	EXPECT_EQ(0, roundtrip(folder_half_read));
}

/* ---- mounts: made by the job, of the tmpfs at "mnt"; taken away by the test ---- */

static bool make_tmpfs(void)
{
	return !mkdir(test_path("mnt"), 0700) && !mount("tmpfs", test_path("mnt"), "tmpfs", 0, NULL);
}

static bool make_folder(const char *name)
{
	return !mkdir(test_path(name), 0755);
}

static bool make_overlay(void)
{
	char *options = format("lowerdir=%s/mnt/low,upperdir=%s/mnt/up,workdir=%s/mnt/work", test_folder(), test_folder(),
			       test_folder());

	return make_tmpfs() && make_folder("mnt/low") && make_folder("mnt/up") && make_folder("mnt/work") &&
	       make_folder("mnt/all") && write_file(test_path("mnt/low/a"), "alpha") &&
	       write_file(test_path("mnt/low/b"), "beta") && write_file(test_path("mnt/low/c"), "gamma") &&
	       !mount("overlay", test_path("mnt/all"), "overlay", 0, options);
}

static void unmount(void)
{
	umount2(test_path("mnt/all"), MNT_DETACH);
	umount2(test_path("mnt"), MNT_DETACH);
}

/* One file of below, one copied up when it was opened, one copied up since. */
static int on_overlay(void)
{
	int below, up, since, in, only;
	char got[8] = "", *map, *shared;
	struct stat st;
	ino_t ino;

	JOB_SETUP(make_overlay() && (below = open(test_path("mnt/all/a"), O_RDONLY)) >= 0 && read(below, got, 2) == 2);
	JOB_SETUP((up = open(test_path("mnt/all/b"), O_RDWR)) >= 0 && write(up, "B", 1) == 1);
	JOB_SETUP((since = open(test_path("mnt/all/c"), O_RDONLY)) >= 0 && !chmod(test_path("mnt/all/c"), 0600));
	JOB_SETUP((in = open(test_path("mnt/all"), O_RDONLY)) >= 0 && !fstat(since, &st));
	JOB_SETUP((only = open(test_path("mnt/all/a"), O_PATH)) >= 0);
	ino = st.st_ino;
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, below, 0);
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, up, 0);
	JOB_SETUP(map != MAP_FAILED && shared != MAP_FAILED);
	job_roundtrip();
	JOB_CHECK(!strcmp(name_of(below), test_path("mnt/all/a")) && !strcmp(name_of(up), test_path("mnt/all/b")));
	JOB_CHECK(!strcmp(name_of(since), test_path("mnt/all/c")) && !strcmp(name_of(in), test_path("mnt/all")));
	JOB_CHECK(read(below, got, 3) == 3 && !memcmp(got, "pha", 3) && !memcmp(map, "alpha", 5));
	JOB_CHECK(write(up, "E", 1) == 1 && !memcmp(shared, "BEta", 4));
	memcpy(shared, "X", 1);
	JOB_CHECK(pread(up, got, 4, 0) == 4 && !memcmp(got, "XEta", 4));
	JOB_CHECK(pread(since, got, 5, 0) == 5 && !memcmp(got, "gamma", 5) && !fstat(since, &st) && st.st_ino == ino);
	JOB_CHECK(!fstat(only, &st) && st.st_size == 5 && strstr(read_file("/proc/self/maps"), "/mnt/all/a"));
	return 0;
}

TEST(path_overlay)
{
	EXPECT_EQ(0, roundtrip(on_overlay));
	unmount();
}

static int overlay_half_read(void)
{
	JOB_SETUP(make_overlay());
	return half_read(test_path("mnt/all"));
}

TEST(path_overlay_folder_half_read)
{
	EXPECT_EQ(0, roundtrip(overlay_half_read));
	unmount();
}

/* The mapping still shows what was there; who maps the path anew sees something else. */
static int mapped_before_copy_up(void)
{
	int fd, again;
	char *map;

	JOB_SETUP(make_overlay() && (fd = open(test_path("mnt/all/a"), O_RDONLY)) >= 0);
	JOB_SETUP((map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0)) != MAP_FAILED && !memcmp(map, "alpha", 5));
	JOB_SETUP((again = open(test_path("mnt/all/a"), O_WRONLY)) >= 0 && write(again, "ALPHA", 5) == 5);
	job_roundtrip();
	JOB_CHECK(!memcmp(map, "alpha", 5));
	return 0;
}

TEST(path_mapped_before_copy_up_is_refused)
{
	EXPECT_REFUSED(KCKPT_E_FILE_STATE, mapped_before_copy_up);
	unmount();
}

static int on_bind_mount(void)
{
	int fd, in, original, id, in_id;
	struct stat st, other;
	char got[8];

	JOB_SETUP(make_tmpfs() && make_folder("mnt/from") && make_folder("mnt/all"));
	JOB_SETUP(write_file(test_path("mnt/from/data"), "text"));
	JOB_SETUP(!mount(test_path("mnt/from"), test_path("mnt/all"), NULL, MS_BIND, NULL));
	JOB_SETUP(!mount(NULL, test_path("mnt/all"), NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL));
	JOB_SETUP((fd = open(test_path("mnt/all/data"), O_RDONLY)) >= 0 && (in = open(test_path("mnt/all"), O_RDONLY)) >= 0);
	JOB_SETUP((original = open(test_path("mnt/from/data"), O_RDWR)) >= 0 && read(fd, got, 1) == 1);
	id = mnt_id(fd);
	in_id = mnt_id(in);
	JOB_SETUP(id != mnt_id(original));
	job_roundtrip();
	JOB_CHECK(!strcmp(name_of(fd), test_path("mnt/all/data")) && mnt_id(fd) == id && mnt_id(in) == in_id);
	JOB_CHECK(!strcmp(name_of(original), test_path("mnt/from/data")) && mnt_id(original) != id);
	JOB_CHECK(!fstat(fd, &st) && !fstat(original, &other) && st.st_ino == other.st_ino && st.st_dev == other.st_dev);
	JOB_CHECK(pwrite(original, "T", 1, 1) == 1 && read(fd, got, 3) == 3 && !memcmp(got, "Txt", 3));
	JOB_CHECK(openat(in, "new", O_WRONLY | O_CREAT, 0600) == -1 && errno == EROFS);
	return 0;
}

TEST(path_bind_mount)
{
	EXPECT_EQ(0, roundtrip(on_bind_mount));
	unmount();
}

static int hidden_by_bind_mount(void)
{
	int fd;
	char c;

	JOB_SETUP(make_tmpfs() && make_folder("mnt/from") && make_folder("mnt/all"));
	JOB_SETUP(write_file(test_path("mnt/from/data"), "x") && write_file(test_path("mnt/all/data"), "y"));
	JOB_SETUP((fd = open(test_path("mnt/all/data"), O_PATH)) >= 0);
	JOB_SETUP(!mount(test_path("mnt/from"), test_path("mnt/all"), NULL, MS_BIND, NULL));
	job_roundtrip();
	fd = open(format("/proc/self/fd/%d", fd), O_RDONLY);
	JOB_CHECK(read(fd, &c, 1) == 1 && c == 'y');
	return 0;
}

TEST(path_hidden_by_bind_mount_is_refused)
{
	EXPECT_REFUSED(KCKPT_E_FILE_UNREACHABLE, hidden_by_bind_mount);
	unmount();
}

/* ---- refused: what O_PATH cannot bring back ---- */

static int path_only_of_nothing(void)
{
	int ends[2], fd;

	JOB_SETUP(!pipe(ends) && (fd = open(format("/proc/self/fd/%d", ends[0]), O_PATH)) >= 0);
	job_roundtrip();
	JOB_CHECK(fcntl(fd, F_GETFL) == O_PATH);
	return 0;
}

TEST(path_only_of_a_pipe_is_refused)
{
	EXPECT_REFUSED(KCKPT_E_FILE_KIND, path_only_of_nothing);
}
