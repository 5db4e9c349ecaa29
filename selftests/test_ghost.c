// SPDX-License-Identifier: GPL-2.0
/* Files of all kinds that were deleted while in use: refused, or carried in the image with --files=capture. */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "job.h"

#define PAGE 4096L
#define MIB (1L << 20)
#define EXT4_MAGIC 0xef53
#define OVERLAY_MAGIC 0x794c7630

/* ---- where ---- */

static const char *place;	/* the folder of the files */

static char *at(const char *name)
{
	return format("%s/%s", place, name);
}

static void use_place(const char *root, long magic)
{
	struct statfs fs;

	if (!root) {
		place = test_folder();
		return;
	}
	if (statfs(root, &fs) || fs.f_type != magic)
		test_skip("%s is of another file system", root);
	place = mkdtemp(format("%s/kckpt-ghost-XXXXXX", root));
	ASSERT_TRUE(place);
}

static const struct job_options capture = { .dump_args = { "--files=capture" } };

/* Nothing is left in the folder but what the job put there: no name that the restore made. */
static bool nothing_new(void)
{
	DIR *dir = opendir(place);
	struct dirent *entry;
	bool found = false;

	while (dir && (entry = readdir(dir)))
		found |= !strncmp(entry->d_name, ".kckpt", 6) || !strcmp(entry->d_name, "gone");
	if (dir)
		closedir(dir);
	return dir && !found;
}

/* On a tmpfs, an ext4, and an overlay. */
#define TEST_PLACES(name, run)								\
	TEST(ghost_##name)           { use_place(NULL, 0); run; }			\
	TEST(ghost_##name##_ext4)    { use_place("/disk", EXT4_MAGIC); run; }		\
	TEST(ghost_##name##_overlay) { use_place("/var/tmp", OVERLAY_MAGIC); run; }

#define TRIP(fn) do { EXPECT_EQ(0, roundtrip_with(fn, &capture)); EXPECT_TRUE(nothing_new()); } while (0)

/* ---- in the job ---- */

static char *link_of(const char *path)
{
	char *text = calloc(1, 4096);

	return readlink(path, text, 4095) < 0 ? NULL : text;
}

static char *fd_link(int fd)
{
	return link_of(format("/proc/self/fd/%d", fd));
}

static bool ends_deleted(const char *link)
{
	return link && strlen(link) > 10 && !strcmp(link + strlen(link) - 10, " (deleted)");
}

/* A name that was deleted while the descriptor was open. */
static int open_gone(const char *text)
{
	int fd = open(at("gone"), O_RDWR | O_CREAT | O_EXCL, 0640);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || unlink(at("gone")))
		return -1;
	return fd;
}

static unsigned char pattern(size_t i)
{
	return i * 31 + (i >> 8) + (i >> 16) * 7 + 1;
}

static bool write_pattern(int fd, size_t len)
{
	unsigned char *data = malloc(len);
	size_t i;

	for (i = 0; i < len; i++)
		data[i] = pattern(i);
	for (i = 0; i < len; ) {
		ssize_t n = write(fd, data + i, len - i);

		if (n <= 0)
			break;
		i += n;
	}
	free(data);
	return i == len;
}

static bool is_pattern(const unsigned char *data, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (data[i] != pattern(i))
			return false;
	return true;
}

/* ---- what comes back ---- */

static int keeps_all(void)
{
	struct timespec times[2] = { { .tv_sec = 1000 }, { .tv_sec = 1234567890, .tv_nsec = 123456000 } };
	struct stat before, after;
	char got[16] = "";
	int fd;

	JOB_SETUP((fd = open_gone("0123456789")) >= 0 && lseek(fd, 4, SEEK_SET) == 4);
	JOB_SETUP(!fchown(fd, 1234, 4321) && !fchmod(fd, 06751) && !futimens(fd, times) && !fstat(fd, &before));
	job_roundtrip();
	JOB_CHECK(!fstat(fd, &after) && after.st_size == 10 && after.st_nlink == 0);
	JOB_CHECK(after.st_mode == before.st_mode && after.st_uid == 1234 && after.st_gid == 4321);
	JOB_CHECK(after.st_mtim.tv_sec == 1234567890 && after.st_mtim.tv_nsec == before.st_mtim.tv_nsec);
	JOB_CHECK(after.st_dev == before.st_dev && fcntl(fd, F_GETFL) == (O_RDWR | 0100000));
	JOB_CHECK(!strcmp(fd_link(fd), format("%s (deleted)", at("gone"))));
	JOB_CHECK(read(fd, got, 3) == 3 && !strcmp(got, "456"));
	JOB_CHECK(pwrite(fd, "X", 1, 20) == 1 && pread(fd, got, 1, 20) == 1 && got[0] == 'X');
	JOB_CHECK(access(at("gone"), F_OK) && link(format("/proc/self/fd/%d", fd), at("again")));
	return 0;
}

TEST_PLACES(content_and_attributes, TRIP(keeps_all))

/* A second time, from what was restored. */
static int twice(void)
{
	char got[8] = "";
	int fd;

	JOB_SETUP((fd = open_gone("twice")) >= 0);
	job_roundtrip();
	JOB_CHECK(pwrite(fd, "T", 1, 0) == 1);
	job_roundtrip();
	JOB_CHECK(pread(fd, got, 8, 0) == 5 && !strcmp(got, "Twice") && ends_deleted(fd_link(fd)));
	return 0;
}

TEST_PLACES(twice, TRIP(twice))

/* The name was given to another file, as an update does. */
static int replaced(void)
{
	char got[8] = "";
	int fd, new;

	JOB_SETUP(write_file(at("new"), "new") && (fd = open(at("new"), O_RDONLY)) >= 0);
	JOB_SETUP(write_file(at("newer"), "newer") && !rename(at("newer"), at("new")));
	job_roundtrip();
	JOB_CHECK(pread(fd, got, 8, 0) == 3 && !strcmp(got, "new") && ends_deleted(fd_link(fd)));
	if (!strstr(place, "/var/tmp"))
		JOB_CHECK(!strcmp(fd_link(fd), format("%s (deleted)", at("new"))));
	JOB_CHECK((new = open(at("new"), O_RDONLY)) >= 0 && read(new, got, 8) == 5 && !memcmp(got, "newer", 5));
	JOB_CHECK(!strcmp(fd_link(new), at("new")));
	return 0;
}

TEST_PLACES(replaced, TRIP(replaced))

static int sparse(void)
{
	struct stat before, after;
	char got[5] = "";
	int fd;

	JOB_SETUP((fd = open_gone("head")) >= 0 && !ftruncate(fd, 1024 * MIB));
	JOB_SETUP(pwrite(fd, "middle", 6, 512 * MIB + 5) == 6 && pwrite(fd, "tail", 4, 1024 * MIB - 4) == 4);
	JOB_SETUP(!fstat(fd, &before));
	job_roundtrip();
	JOB_CHECK(!fstat(fd, &after) && after.st_size == 1024 * MIB && after.st_blocks <= before.st_blocks + 64);
	JOB_CHECK(pread(fd, got, 4, 0) == 4 && !memcmp(got, "head", 4));
	JOB_CHECK(pread(fd, got, 4, 512 * MIB + 5) == 4 && !memcmp(got, "midd", 4));
	JOB_CHECK(pread(fd, got, 4, 1024 * MIB - 4) == 4 && !memcmp(got, "tail", 4));
	JOB_CHECK(pread(fd, got, 1, 700 * MIB) == 1 && !got[0]);
	JOB_CHECK(lseek(fd, MIB, SEEK_HOLE) == MIB && lseek(fd, MIB, SEEK_DATA) == 512 * MIB);
	return 0;
}

static char *image_path(void)
{
	FILE *find = popen(format("ls %s/image.*", test_folder()), "r");
	char *line = NULL;
	size_t size = 0;

	ASSERT_TRUE(getline(&line, &size, find) > 0);
	pclose(find);
	line[strcspn(line, "\n")] = 0;
	return line;
}

static void image_is_small(void)
{
	struct stat st;

	ASSERT_TRUE(!stat(image_path(), &st));
	EXPECT_TRUE(st.st_size < 32 * MIB);
}

static void trip_sparse(void)
{
	struct job_options options = capture;

	options.between = image_is_small;
	EXPECT_EQ(0, roundtrip_with(sparse, &options));
}

TEST_PLACES(sparse, trip_sparse())

/* Ends within a page, is longer than batches and chunks. */
static int large(void)
{
	const size_t len = 9 * MIB + 12345;
	unsigned char *data;
	int fd;

	JOB_SETUP((fd = open_gone("")) >= 0 && write_pattern(fd, len));
	job_roundtrip();
	JOB_CHECK(lseek(fd, 0, SEEK_CUR) == (off_t)len && lseek(fd, 0, SEEK_END) == (off_t)len);
	JOB_CHECK((data = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0)) != MAP_FAILED && is_pattern(data, len));
	return 0;
}

TEST_PLACES(large, TRIP(large))

/* More than the job itself may write. */
static int over_its_limit(void)
{
	struct rlimit limit = { 10, 10 };
	char got[21] = "";
	int fd;

	JOB_SETUP((fd = open_gone("longer than the limit")) >= 0 && !setrlimit(RLIMIT_FSIZE, &limit));
	job_roundtrip();
	JOB_CHECK(!getrlimit(RLIMIT_FSIZE, &limit) && limit.rlim_cur == 10);
	JOB_CHECK(pread(fd, got, 21, 0) == 21 && !memcmp(got, "longer than the limit", 21));
	return 0;
}

TEST(ghost_over_the_limit_of_the_job)
{
	use_place(NULL, 0);
	TRIP(over_its_limit);
}

static int empty_and_append(void)
{
	char got[8] = "";
	int fd, empty;

	JOB_SETUP((empty = open_gone("")) >= 0);
	JOB_SETUP((fd = open(at("gone"), O_RDWR | O_CREAT | O_APPEND, 0600)) >= 0 && write(fd, "abc", 3) == 3);
	JOB_SETUP(!unlink(at("gone")));
	job_roundtrip();
	JOB_CHECK(lseek(empty, 0, SEEK_END) == 0);
	JOB_CHECK(lseek(fd, 0, SEEK_SET) == 0 && write(fd, "d", 1) == 1 && pread(fd, got, 8, 0) == 4);
	JOB_CHECK(!strcmp(got, "abcd"));
	return 0;
}

TEST_PLACES(empty_and_append, TRIP(empty_and_append))

static bool same_inode(int a, int b)
{
	struct stat first, second;

	return !fstat(a, &first) && !fstat(b, &second) && first.st_ino == second.st_ino &&
	       first.st_dev == second.st_dev;
}

static bool maps_tell_deleted(const void *addr)
{
	char *maps = read_file("/proc/self/maps"), *line;

	while (maps && (line = strsep(&maps, "\n")))
		if (strtoul(line, NULL, 16) == (uintptr_t)addr)
			return ends_deleted(line);
	return false;
}

/* Opened several times, mapped shared and private, changed through all of them. */
static int shared_by_many(void)
{
	char *shared, *private, *only, got[4] = "";
	int fd, reader, writer, spare;

	JOB_SETUP((fd = open(at("gone"), O_RDWR | O_CREAT, 0600)) >= 0 && !ftruncate(fd, 4 * PAGE));
	JOB_SETUP((reader = open(at("gone"), O_RDONLY)) >= 0 && (writer = open(at("gone"), O_WRONLY)) >= 0);
	JOB_SETUP((spare = open(at("gone"), O_RDWR)) >= 0 && !unlink(at("gone")));
	shared = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	private = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, reader, 0);
	only = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, spare, PAGE);
	JOB_SETUP(shared != MAP_FAILED && private != MAP_FAILED && only != MAP_FAILED && !close(spare));
	/* Through the mapping alone: dirty in the page cache, and nowhere else. */
	strcpy(shared, "one");
	strcpy(shared + 3 * PAGE, "three");
	strcpy(private + 2 * PAGE, "mine");
	job_roundtrip();
	JOB_CHECK(same_inode(fd, reader) && same_inode(fd, writer));
	JOB_CHECK(!strcmp(shared, "one") && !strcmp(private, "one") && !strcmp(private + 3 * PAGE, "three"));
	JOB_CHECK(!strcmp(private + 2 * PAGE, "mine") && !shared[2 * PAGE]);
	strcpy(only, "two");
	JOB_CHECK(!strcmp(shared + PAGE, "two") && pread(reader, got, 3, PAGE) == 3 && !memcmp(got, "two", 3));
	JOB_CHECK(pwrite(writer, "ONE", 3, 0) == 3 && !strcmp(shared, "ONE") && !strcmp(private, "ONE"));
	JOB_CHECK(maps_tell_deleted(shared) && maps_tell_deleted(private) && maps_tell_deleted(only));
	JOB_CHECK(ends_deleted(fd_link(fd)) && ends_deleted(fd_link(reader)));
	return 0;
}

TEST_PLACES(shared_by_many, TRIP(shared_by_many))

static int two_hard_links(void)
{
	char got[4] = "";
	int fd, other;

	JOB_SETUP(write_file(at("gone"), "one") && !link(at("gone"), at("gone2")));
	JOB_SETUP((fd = open(at("gone"), O_RDWR)) >= 0 && (other = open(at("gone2"), O_RDWR)) >= 0);
	JOB_SETUP(!unlink(at("gone")) && !unlink(at("gone2")) && same_inode(fd, other));
	job_roundtrip();
	JOB_CHECK(same_inode(fd, other) && pread(other, got, 3, 0) == 3 && !strcmp(got, "one"));
	JOB_CHECK(pwrite(fd, "ONE", 3, 0) == 3 && pread(other, got, 3, 0) == 3);
	JOB_CHECK(!strcmp(got, "ONE") && ends_deleted(fd_link(fd)) && ends_deleted(fd_link(other)));
	return 0;
}

TEST_PLACES(two_hard_links, TRIP(two_hard_links))

/* A thread that never stops writing, whatever happens around it. */
static uint64_t *written;

static void *write_on(void *arg)
{
	const int *fd = arg;
	uint64_t i;

	for (i = 0; ; i++) {
		if (pwrite(*fd, &i, sizeof(i), (i % 100000) * sizeof(i)) != sizeof(i))
			return NULL;
		__atomic_store_n(written, i, __ATOMIC_SEQ_CST);
	}
}

static int written_on(void)
{
	uint64_t done, last, value, i;
	pthread_t thread;
	int fd;

	written = job_notes();
	JOB_SETUP((fd = open_gone("")) >= 0 && !pthread_create(&thread, NULL, write_on, &fd));
	while (__atomic_load_n(written, __ATOMIC_SEQ_CST) < 1000)
		usleep(1000);
	job_roundtrip();
	done = __atomic_load_n(written, __ATOMIC_SEQ_CST);
	usleep(10000);
	last = __atomic_load_n(written, __ATOMIC_SEQ_CST);
	JOB_CHECK(last > done);
	for (i = 0; i < 100000 && i <= done; i++)
		JOB_CHECK(pread(fd, &value, sizeof(value), i * sizeof(i)) == sizeof(value) && value % 100000 == i);
	return 0;
}

TEST_PLACES(written_on, TRIP(written_on))

static int in_removed_folder(void)
{
	char got[8] = "";
	int fd, folder;

	JOB_SETUP(!mkdir(at("gone"), 0755) && write_file(at("gone/file"), "inside"));
	JOB_SETUP((fd = open(at("gone/file"), O_RDONLY)) >= 0 && (folder = open(at("gone"), O_RDONLY | O_DIRECTORY)) >= 0);
	JOB_SETUP(!unlink(at("gone/file")) && !rmdir(at("gone")));
	job_roundtrip();
	JOB_CHECK(read(fd, got, 8) == 6 && !strcmp(got, "inside") && ends_deleted(fd_link(fd)));
	JOB_CHECK(ends_deleted(fd_link(folder)) && openat(folder, "new", O_CREAT | O_RDWR, 0600) == -1);
	return 0;
}

TEST_PLACES(in_removed_folder, TRIP(in_removed_folder))

static int removed_cwd(void)
{
	struct stat st;
	char *cwd;

	JOB_SETUP(!mkdir(at("gone"), 0755) && !chdir(at("gone")) && !chmod(".", 0711) && !rmdir(at("gone")));
	job_roundtrip();
	JOB_CHECK(!getcwd(NULL, 0) && errno == ENOENT);
	cwd = link_of("/proc/self/cwd");
	JOB_CHECK(cwd && !strcmp(cwd, format("%s (deleted)", at("gone"))));
	JOB_CHECK(!stat(".", &st) && S_ISDIR(st.st_mode) && (st.st_mode & 07777) == 0711);
	JOB_CHECK(open("new", O_CREAT | O_RDWR, 0600) == -1 && errno == ENOENT);
	JOB_CHECK(access(at("gone"), F_OK) && fcntl(3, F_GETFD) == -1);
	return 0;
}

TEST_PLACES(removed_cwd, TRIP(removed_cwd))

/* Never had a name, but may be given one. */
static int temporary(void)
{
	char got[8] = "";
	int fd = open(place, O_TMPFILE | O_RDWR, 0600), flags, named;

	if (fd < 0 && errno == EOPNOTSUPP)
		return job_skip("no O_TMPFILE here");
	JOB_SETUP(fd >= 0 && write(fd, "later", 5) == 5 && (flags = fcntl(fd, F_GETFL)) >= 0);
	job_roundtrip();
	JOB_CHECK(fcntl(fd, F_GETFL) == flags && ends_deleted(fd_link(fd)));
	JOB_CHECK(!linkat(AT_FDCWD, format("/proc/self/fd/%d", fd), AT_FDCWD, at("named"), AT_SYMLINK_FOLLOW));
	JOB_CHECK((named = open(at("named"), O_RDONLY)) >= 0 && read(named, got, 8) == 5 && !strcmp(got, "later"));
	return 0;
}

TEST_PLACES(temporary, TRIP(temporary))

/* This program from a copy that is deleted; the copy's own test process has it mapped, too, which does no harm. */
static int executable(void)
{
	char *exe;

	job_roundtrip();
	exe = link_of("/proc/self/exe");
	JOB_CHECK(exe && !strcmp(exe, format("%s (deleted)", getenv("GHOST_EXE"))));
	JOB_CHECK(open("/proc/self/exe", O_WRONLY) == -1 && errno == ETXTBSY);
	return 0;
}

static int run_from_copy(const char *name, const char *copy)
{
	pid_t pid;
	const char *log = test_path("log");
	char *text, *line;
	int status;

	ASSERT_EQ(0, system(format("cp /proc/%d/exe %s", getpid(), copy)));
	pid = fork();
	if (!pid) {
		setenv("GHOST_EXE", copy, 1);
		freopen(log, "w", stdout);
		execl(copy, copy, name, NULL);
		_exit(127);
	}
	status = wait_exit(pid, 60000);
	text = status ? read_file(log) : NULL;
	while (text && (line = strsep(&text, "\n")))
		test_say("%s", line);
	return status;
}

static void executable_test(const char *name)
{
	const char *copy = getenv("GHOST_EXE");

	if (!copy) {
		EXPECT_EQ(0, run_from_copy(name, at("program")));
		return;
	}
	ASSERT_TRUE(!unlink(copy));
	EXPECT_EQ(0, roundtrip_with(executable, &capture));
}

TEST(ghost_executable)
{
	use_place(NULL, 0);
	executable_test("ghost_executable");
}

TEST(ghost_program_ext4)
{
	use_place("/disk", EXT4_MAGIC);
	executable_test("ghost_program_ext4");
}

TEST(ghost_program_overlay)
{
	use_place("/var/tmp", OVERLAY_MAGIC);
	executable_test("ghost_program_overlay");
}

/* ---- deleted under one name, there under another ---- */

/* Overlayfs forgets a name that was linked, until somebody looks at it. */
static bool move_link(void)
{
	return !link(at("gone"), at("other")) && !unlink(at("gone")) && !access(at("other"), F_OK);
}

/* The file of the other name and no copy: nothing has changed of it, and what is written to one is in both. */
static int linked_elsewhere(void)
{
	struct stat before, after;
	char got[8] = "";
	int fd, other;

	JOB_SETUP(write_file(at("gone"), "one") && (fd = open(at("gone"), O_RDWR)) >= 0);
	JOB_SETUP(move_link() && lseek(fd, 1, SEEK_SET) == 1);
	JOB_SETUP(!fstat(fd, &before) && before.st_nlink == 1);
	job_roundtrip();
	JOB_CHECK(!fstat(fd, &after) && after.st_nlink == 1 && after.st_ino == before.st_ino);
	JOB_CHECK(after.st_mtim.tv_sec == before.st_mtim.tv_sec && after.st_mtim.tv_nsec == before.st_mtim.tv_nsec);
	JOB_CHECK(read(fd, got, 8) == 2 && !strcmp(got, "ne") && ends_deleted(fd_link(fd)));
	JOB_CHECK((other = open(at("other"), O_RDWR)) >= 0 && same_inode(fd, other) && access(at("gone"), F_OK));
	JOB_CHECK(!strcmp(fd_link(other), at("other")));
	JOB_CHECK(pwrite(fd, "ONE", 3, 0) == 3 && !strcmp(read_file(at("other")), "ONE"));
	JOB_CHECK(pwrite(other, "two", 3, 0) == 3 && pread(fd, got, 3, 0) == 3 && !memcmp(got, "two", 3));
	JOB_CHECK(!unlink(at("other")) && !fstat(fd, &after) && after.st_nlink == 0);
	return 0;
}

/* Nothing has to be captured. */
TEST_PLACES(linked_elsewhere,
	    TRIP(linked_elsewhere);
	    EXPECT_EQ(0, roundtrip(linked_elsewhere));
	    EXPECT_TRUE(nothing_new()))

static int linked_name(void)
{
	int fd;

	JOB_SETUP(write_file(at("gone"), "x") && (fd = open(at("gone"), O_RDWR)) >= 0 && move_link());
	job_roundtrip();
	JOB_CHECK(!strcmp(fd_link(fd), format("%s (deleted)", at("gone"))));
	JOB_CHECK(!unlink(at("other")));
	return 0;
}

TEST_PLACES(linked_name, TRIP(linked_name))

static int linked_and_mapped(void)
{
	char *shared, *private, got[4] = "";
	int fd, reader, other;

	JOB_SETUP((fd = open(at("gone"), O_RDWR | O_CREAT, 0600)) >= 0 && !ftruncate(fd, 2 * PAGE));
	JOB_SETUP((reader = open(at("gone"), O_RDONLY)) >= 0 && move_link());
	JOB_SETUP((other = open(at("other"), O_RDWR)) >= 0);
	shared = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	private = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, reader, 0);
	JOB_SETUP(shared != MAP_FAILED && private != MAP_FAILED);
	strcpy(shared, "one");
	strcpy(private + PAGE, "mine");
	JOB_SETUP(!msync(shared, 2 * PAGE, MS_SYNC));
	job_roundtrip();
	JOB_CHECK(same_inode(fd, reader) && same_inode(fd, other) && maps_tell_deleted(shared));
	JOB_CHECK(!strcmp(shared, "one") && !strcmp(private, "one") && !strcmp(private + PAGE, "mine"));
	strcpy(shared + PAGE, "two");
	JOB_CHECK(pread(other, got, 3, PAGE) == 3 && !memcmp(got, "two", 3) && !unlink(at("other")));
	return 0;
}

TEST_PLACES(linked_and_mapped, TRIP(linked_and_mapped))

/* Made without a name, and given one. */
static int temporary_linked(void)
{
	int fd = open(place, O_TMPFILE | O_RDWR, 0600);
	char *name;

	if (fd < 0 && errno == EOPNOTSUPP)
		return job_skip("no O_TMPFILE here");
	JOB_SETUP(fd >= 0 && write(fd, "x", 1) == 1 && (name = fd_link(fd)));
	JOB_SETUP(!linkat(AT_FDCWD, format("/proc/self/fd/%d", fd), AT_FDCWD, at("other"), AT_SYMLINK_FOLLOW));
	JOB_SETUP(!access(at("other"), F_OK));
	job_roundtrip();
	JOB_CHECK(!strcmp(name, fd_link(fd)) && pwrite(fd, "y", 1, 0) == 1 && !strcmp(read_file(at("other")), "y"));
	JOB_CHECK(!unlink(at("other")));
	return 0;
}

TEST_PLACES(temporary_linked, TRIP(temporary_linked))

static int waits_linked(void)
{
	JOB_SETUP(write_file(at("gone"), "x") && open(at("gone"), O_RDWR) >= 0 && move_link());
	job_roundtrip();
	return 0;
}

static void remove_other(void)
{
	ASSERT_TRUE(!unlink(at("other")));
}

static void change_other(void)
{
	ASSERT_TRUE(write_file(at("other"), "something else"));
}

static void exchange_other(void)
{
	remove_other();
	ASSERT_TRUE(!mkdir(at("other"), 0700));
}

TEST_PLACES(linked_is_refused_at_restore,
	    struct job_options options = { .between = remove_other };
	    EXPECT_RESTORE_REFUSED(KCKPT_E_FILE_MISSING, waits_linked, &options);
	    options.between = change_other;
	    EXPECT_RESTORE_REFUSED(KCKPT_E_FILE_CHANGED, waits_linked, &options);
	    unlink(at("other"));
	    options.between = exchange_other;
	    EXPECT_RESTORE_REFUSED(KCKPT_E_FILE_CHANGED, waits_linked, &options);
	    EXPECT_TRUE(nothing_new()))

/* The name that it had was given to another file. */
static void take_gone(void)
{
	ASSERT_TRUE(write_file(at("gone"), "taken"));
}

TEST_PLACES(linked_name_is_taken_at_restore,
	    struct job_options options = { .between = take_gone };
	    EXPECT_EQ(0, roundtrip_with(waits_linked, &options));
	    EXPECT_TRUE(!strcmp(read_file(at("gone")) ?: "", "taken") && !unlink(at("gone")) && nothing_new()))

static void forget_names(pid_t pid)
{
	(void)pid;
	ASSERT_TRUE(write_file("/proc/sys/vm/drop_caches", "2"));
}

static int linked_forgotten(void)
{
	JOB_SETUP(write_file(at("gone"), "x") && open(at("gone"), O_RDWR) >= 0 && move_link());
	job_roundtrip();
	JOB_CHECK(!strcmp(read_file(at("other")), "x") && !unlink(at("other")));
	return 0;
}

TEST(ghost_linked_but_forgotten_is_refused)
{
	use_place("/disk", EXT4_MAGIC);
	EXPECT_REFUSED_WITH(KCKPT_E_FILE_LINKED, linked_forgotten,
			    &((struct job_options){ .before_dump = forget_names }));
}

/* The other name is above what the job's mount shows. */
static int linked_out_of_sight(void)
{
	JOB_SETUP(write_file(test_path("whole/part/gone"), "x") && open(test_path("seen/gone"), O_RDWR) >= 0);
	JOB_SETUP(!link(test_path("whole/part/gone"), test_path("whole/other")));
	JOB_SETUP(!unlink(test_path("whole/part/gone")));
	job_roundtrip();
	return 0;
}

TEST(ghost_linked_out_of_sight_is_refused)
{
	ASSERT_TRUE(!mkdir(test_path("whole"), 0755) && !mkdir(test_path("whole/part"), 0755));
	ASSERT_TRUE(!mkdir(test_path("seen"), 0755));
	ASSERT_EQ(0, system(format("mount --bind %s %s", test_path("whole/part"), test_path("seen"))));
	EXPECT_REFUSED(KCKPT_E_FILE_LINKED, linked_out_of_sight);
	EXPECT_EQ(0, system(format("umount %s", test_path("seen"))));
}

/* ---- what is no regular file, by O_PATH ---- */

static int symlink_with(const char *target)
{
	struct timespec times[2] = { { .tv_sec = 1000 }, { .tv_sec = 1234567890 } };
	char *got = calloc(1, 4096), *same = calloc(1, 4096);
	struct stat before, after;
	int fd, again;

	JOB_SETUP(!symlink(target, at("gone")) && (fd = open(at("gone"), O_PATH | O_NOFOLLOW)) >= 0);
	JOB_SETUP(!lchown(at("gone"), 1234, 4321) && !utimensat(AT_FDCWD, at("gone"), times, AT_SYMLINK_NOFOLLOW));
	JOB_SETUP((again = open(at("gone"), O_PATH | O_NOFOLLOW)) >= 0 && !unlink(at("gone")) && !fstat(fd, &before));
	job_roundtrip();
	JOB_CHECK(!fstat(fd, &after) && S_ISLNK(after.st_mode) && after.st_mode == before.st_mode);
	JOB_CHECK(after.st_nlink == 0 && after.st_uid == 1234 && after.st_gid == 4321);
	JOB_CHECK(after.st_mtim.tv_sec == 1234567890 && after.st_size == before.st_size);
	JOB_CHECK(readlinkat(fd, "", got, 4095) == (ssize_t)strlen(target) && !strcmp(got, target));
	JOB_CHECK(readlinkat(again, "", same, 4095) > 0 && !strcmp(same, target) && same_inode(fd, again));
	JOB_CHECK(!strcmp(fd_link(fd), format("%s (deleted)", at("gone"))) && access(at("gone"), F_OK));
	return 0;
}

static int short_symlink(void)
{
	return symlink_with("/nowhere");
}

/* Has a block of its own. */
static int long_symlink(void)
{
	char target[1001] = "";

	memset(target, 'x', sizeof(target) - 1);
	return symlink_with(target);
}

TEST_PLACES(symlink,
	    TRIP(short_symlink);
	    TRIP(long_symlink);
	    EXPECT_REFUSED(KCKPT_E_FILE_UNLINKED, short_symlink))

static int linked_symlink(void)
{
	char got[16] = "";
	struct stat st;
	int fd;

	JOB_SETUP(!symlink("/nowhere", at("gone")) && (fd = open(at("gone"), O_PATH | O_NOFOLLOW)) >= 0);
	JOB_SETUP(!link(at("gone"), at("other")) && !unlink(at("gone")) && !lstat(at("other"), &st));
	job_roundtrip();
	JOB_CHECK(!fstat(fd, &st) && st.st_nlink == 1 && readlinkat(fd, "", got, 15) == 8 && !strcmp(got, "/nowhere"));
	JOB_CHECK(ends_deleted(fd_link(fd)) && !unlink(at("other")));
	return 0;
}

TEST_PLACES(linked_symlink, TRIP(linked_symlink))

static int by_path(void)
{
	struct stat st;
	int fd, fifo, reader;
	char c;

	JOB_SETUP((reader = open_gone("x")) >= 0 && (fd = open(format("/proc/self/fd/%d", reader), O_PATH)) >= 0);
	JOB_SETUP(!mkfifo(at("gone"), 0640) && (fifo = open(at("gone"), O_PATH)) >= 0 && !unlink(at("gone")));
	job_roundtrip();
	JOB_CHECK(fcntl(fd, F_GETFL) & O_PATH && fcntl(fifo, F_GETFL) & O_PATH && same_inode(fd, reader));
	JOB_CHECK(!fstat(fifo, &st) && S_ISFIFO(st.st_mode) && (st.st_mode & 07777) == 0640 && st.st_nlink == 0);
	JOB_CHECK(ends_deleted(fd_link(fd)) && ends_deleted(fd_link(fifo)) && read(fifo, &c, 1) == -1);
	JOB_CHECK((fd = open(format("/proc/self/fd/%d", fifo), O_RDWR)) >= 0 && write(fd, "x", 1) == 1);
	return 0;
}

TEST_PLACES(by_path, TRIP(by_path))

static int socket_by_path(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, path;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", at("gone"));
	JOB_SETUP((fd = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0);
	JOB_SETUP(!bind(fd, (struct sockaddr *)&address, sizeof(address)) && (path = open(at("gone"), O_PATH)) >= 0);
	JOB_SETUP(!close(fd) && !unlink(at("gone")));
	job_roundtrip();
	return 0;
}

static int device_by_path(void)
{
	JOB_SETUP(!mknod(at("gone"), S_IFCHR | 0600, 0) && open(at("gone"), O_PATH) >= 0 && !unlink(at("gone")));
	job_roundtrip();
	return 0;
}

TEST(ghost_socket_or_device_is_refused)
{
	use_place(NULL, 0);
	EXPECT_REFUSED_WITH(KCKPT_E_FILE_KIND, socket_by_path, &capture);
	EXPECT_REFUSED_WITH(KCKPT_E_FILE_KIND, device_by_path, &capture);
}

/* ---- what is refused ---- */

static int has_ghost(void)
{
	int fd;
	char c;

	JOB_SETUP((fd = open_gone("x")) >= 0);
	job_roundtrip();
	JOB_CHECK(pread(fd, &c, 1, 0) == 1 && c == 'x');
	return 0;
}

static int maps_ghost(void)
{
	char *map;
	int fd;

	JOB_SETUP((fd = open_gone("x")) >= 0 && (map = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0)) != MAP_FAILED);
	close(fd);
	job_roundtrip();
	JOB_CHECK(*map == 'x');
	return 0;
}

static int works_in_ghost(void)
{
	JOB_SETUP(!mkdir(at("gone"), 0755) && !chdir(at("gone")) && !rmdir(at("gone")));
	job_roundtrip();
	JOB_CHECK(!getcwd(NULL, 0));
	return 0;
}

TEST(ghost_is_refused_unless_asked_for)
{
	use_place(NULL, 0);
	EXPECT_REFUSED(KCKPT_E_FILE_UNLINKED, has_ghost);
	EXPECT_REFUSED(KCKPT_E_FILE_UNLINKED, maps_ghost);
	EXPECT_REFUSED(KCKPT_E_FILE_UNLINKED, works_in_ghost);
}

/* The check knows about the option, too. */
static void check_first(pid_t pid)
{
	const char *target = format("%d", pid);
	struct tool_result result = TOOL("check", "--json", "--pid", target);

	EXPECT_TRUE(result.status == 3 && tool_said(&result, "FILE_UNLINKED"));
	EXPECT_EQ(0, TOOL("check", "--files=capture", "--pid", target).status);
}

TEST(ghost_check)
{
	struct job_options options = capture;

	use_place(NULL, 0);
	options.before_dump = check_first;
	EXPECT_EQ(0, roundtrip_with(has_ghost, &options));
}

static int with_xattr(void)
{
	int fd = open_gone("x");
	char c;

	JOB_SETUP(fd >= 0);
	if (fsetxattr(fd, "trusted.test", "value", 5, 0))
		return job_skip("no extended attributes here");
	job_roundtrip();
	JOB_CHECK(fgetxattr(fd, "trusted.test", &c, 1) == -1 && errno == ERANGE);
	return 0;
}

TEST_PLACES(with_attribute_is_refused, EXPECT_REFUSED_WITH(KCKPT_E_FILE_STATE, with_xattr, &capture))

/* The test itself has the file of the job open, or mapped. */
static int kept_fd;
static char *kept_map;

static void keep_fd(pid_t pid)
{
	kept_fd = open(format("/proc/%d/fd/%lu", pid, job_notes()[0]), O_RDONLY);
	ASSERT_TRUE(kept_fd >= 0);
}

static void keep_map(pid_t pid)
{
	keep_fd(pid);
	kept_map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, kept_fd, 0);
	close(kept_fd);
	ASSERT_TRUE(kept_map != MAP_FAILED);
}

static int writes_what_is_shared(void)
{
	int fd = open_gone("x");

	JOB_SETUP(fd >= 0);
	job_notes()[0] = fd;
	job_roundtrip();
	JOB_CHECK(pwrite(fd, "y", 1, 0) == 1);
	return 0;
}

static int reads_what_is_shared(void)
{
	int fd = open_gone("x"), reader = open(format("/proc/self/fd/%d", fd), O_RDONLY);
	char c;

	JOB_SETUP(fd >= 0 && reader >= 0 && !close(fd));
	job_notes()[0] = reader;
	job_roundtrip();
	JOB_CHECK(pread(reader, &c, 1, 0) == 1 && c == 'x');
	return 0;
}

TEST_PLACES(shared_with_outside,
	    struct job_options options = capture;
	    options.before_dump = keep_fd;
	    EXPECT_REFUSED_WITH(KCKPT_E_FILE_SHARED, writes_what_is_shared, &options);
	    close(kept_fd);
	    EXPECT_EQ(0, roundtrip_with(reads_what_is_shared, &options));
	    options.before_dump = keep_map;
	    EXPECT_REFUSED_WITH(KCKPT_E_FILE_SHARED, writes_what_is_shared, &options);
	    munmap(kept_map, PAGE);
	    EXPECT_EQ(0, roundtrip_with(reads_what_is_shared, &options)))

/* ---- refused at the restore ---- */

static int in_folder(void)
{
	int fd;

	JOB_SETUP(!mkdir(at("folder"), 0755) && (fd = open(at("folder/gone"), O_RDWR | O_CREAT, 0600)) >= 0);
	JOB_SETUP(write(fd, "x", 1) == 1 && !unlink(at("folder/gone")));
	job_roundtrip();
	JOB_CHECK(lseek(fd, 0, SEEK_END) == 1 && ends_deleted(fd_link(fd)));
	return 0;
}

static void remove_folder(void)
{
	ASSERT_TRUE(!rmdir(at("folder")));
}

TEST_PLACES(folder_is_gone_at_restore,
	    struct job_options options = capture;
	    options.between = remove_folder;
	    EXPECT_EQ(0, roundtrip_with(in_folder, &options)))

/* Who owns the folder would have us make files elsewhere. */
static void redirect_folder(void)
{
	remove_folder();
	ASSERT_TRUE(!mkdir(at("elsewhere"), 0755) && !symlink(at("elsewhere"), at("folder")));
}

TEST_PLACES(folder_leads_elsewhere_at_restore,
	    struct job_options options = capture;
	    options.between = redirect_folder;
	    EXPECT_RESTORE_REFUSED(KCKPT_E_FILE_MISSING, in_folder, &options))

/* The name is taken when the file is wanted back. */
static void take_name(void)
{
	ASSERT_TRUE(write_file(at("gone"), "taken"));
}

TEST_PLACES(name_is_taken_at_restore,
	    struct job_options options = capture;
	    options.between = take_name;
	    EXPECT_EQ(0, roundtrip_with(has_ghost, &options));
	    EXPECT_TRUE(!strcmp(read_file(at("gone")) ?: "", "taken")))

/* A byte of the contents in the image. */
static void damage(void)
{
	char *path = image_path(), *data;
	size_t len, i;

	data = read_bytes(path, &len);
	ASSERT_TRUE(data);
	/* The file's pages come after those of the memory. */
	for (i = len / 2; i + PAGE < len; i++)
		if (is_pattern((unsigned char *)data + i, 1000))
			break;
	ASSERT_TRUE(i + PAGE < len);
	data[i + 500] ^= 4;
	ASSERT_TRUE(write_bytes(path, data, len));
}

TEST_PLACES(damage_is_refused,
	    struct job_options options = capture;
	    options.between = damage;
	    EXPECT_RESTORE_REFUSED(KCKPT_E_IMAGE_DAMAGED, large, &options);
	    EXPECT_TRUE(nothing_new()))

/* No room for the contents: refused, and what was written is free again. */
static int needs_room(void)
{
	int fd;

	JOB_SETUP((fd = open_gone("")) >= 0 && write_pattern(fd, 3 * MIB));
	job_roundtrip();
	return 0;
}

static void fill_place(void)
{
	ASSERT_EQ(0, system(format("head -c 3M /dev/zero >%s/fill", place)));
}

TEST(ghost_without_room_is_refused_at_restore)
{
	struct job_options options = capture;
	struct statfs fs;

	place = test_path("small");
	ASSERT_TRUE(!mkdir(place, 0755));
	ASSERT_EQ(0, system(format("mount -t tmpfs -o size=4M tmpfs %s", place)));
	options.between = fill_place;
	EXPECT_RESTORE_REFUSED(KCKPT_E_PAGE_WRITE, needs_room, &options);
	EXPECT_TRUE(nothing_new() && !statfs(place, &fs) && fs.f_bfree >= 250);
	EXPECT_EQ(0, system(format("umount %s", place)));
}

static void make_read_only(void)
{
	ASSERT_EQ(0, system(format("mount -o remount,ro %s", place)));
}

static void unmount(void)
{
	ASSERT_EQ(0, system(format("umount %s && rmdir %s", place, place)));
}

TEST(ghost_on_another_mount_is_refused_at_restore)
{
	struct job_options options = capture;

	place = test_path("small");
	ASSERT_TRUE(!mkdir(place, 0755));
	ASSERT_EQ(0, system(format("mount -t tmpfs tmpfs %s", place)));
	options.between = make_read_only;
	EXPECT_RESTORE_REFUSED(KCKPT_E_CREATE, has_ghost, &options);
	ASSERT_EQ(0, system(format("mount -o remount,rw %s", place)));
	options.between = unmount;
	EXPECT_RESTORE_REFUSED(KCKPT_E_FILE_MISSING, has_ghost, &options);
}
