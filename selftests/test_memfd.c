// SPDX-License-Identifier: GPL-2.0
/* memfds and POSIX shared memory: contents, name, seals, who shares them. */
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/memfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "job.h"

#define PAGE 4096L

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x10
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x20
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif

static int make(const char *name, unsigned int flags, off_t size)
{
	int fd = memfd_create(name, flags);

	return fd >= 0 && !ftruncate(fd, size) ? fd : -1;
}

static char *map(int fd, int prot, int flags, size_t pages)
{
	char *at = mmap(NULL, pages * PAGE, prot, flags, fd, 0);

	return at == MAP_FAILED ? NULL : at;
}

static const char *name_of(int fd)
{
	char name[4096] = "";

	return readlink(format("/proc/self/fd/%d", fd), name, sizeof(name) - 1) < 0 ? "" : format("%s", name);
}

static int keeps_all(void)
{
	int fd = make("a name/with (odd) characters", MFD_CLOEXEC, 3 * PAGE + 100), flags = fcntl(fd, F_GETFL);
	struct stat before, after;
	char got[8] = "";

	JOB_SETUP(fd >= 0 && pwrite(fd, "begin", 5, 0) == 5 && pwrite(fd, "end", 3, 3 * PAGE + 97) == 3);
	JOB_SETUP(lseek(fd, 2, SEEK_SET) == 2 && !fchmod(fd, 0640) && !fchown(fd, 12, 34) && !fstat(fd, &before));
	job_roundtrip();
	JOB_CHECK(fcntl(fd, F_GETFL) == flags && fcntl(fd, F_GETFD) == FD_CLOEXEC && lseek(fd, 0, SEEK_CUR) == 2);
	JOB_CHECK(!strcmp(name_of(fd), "/memfd:a name/with (odd) characters (deleted)"));
	JOB_CHECK(!fstat(fd, &after) && after.st_size == before.st_size && after.st_mode == before.st_mode);
	JOB_CHECK(after.st_uid == 12 && after.st_gid == 34 && after.st_blocks == before.st_blocks);
	JOB_CHECK(read(fd, got, 3) == 3 && !strcmp(got, "gin"));
	JOB_CHECK(pread(fd, got, 8, 3 * PAGE + 97) == 3 && !memcmp(got, "end", 3));
	JOB_CHECK(fcntl(fd, F_GET_SEALS) == F_SEAL_SEAL && !ftruncate(fd, 10 * PAGE));
	return 0;
}

TEST(memfd_keeps_all)
{
	EXPECT_EQ(0, roundtrip(keeps_all));
}

static int empty(void)
{
	int fd = make("", 0, 0), other = make("", 0, 0);

	JOB_SETUP(fd >= 0 && other >= 0);
	job_roundtrip();
	JOB_CHECK(lseek(fd, 0, SEEK_END) == 0 && !strcmp(name_of(fd), "/memfd: (deleted)"));
	JOB_CHECK(write(fd, "x", 1) == 1 && lseek(other, 0, SEEK_END) == 0);
	return 0;
}

TEST(memfd_empty)
{
	EXPECT_EQ(0, roundtrip(empty));
}

/* Data far behind a hole. */
static int sparse(void)
{
	const off_t far = 40LL << 30;
	int fd = make("sparse", 0, far + PAGE);
	struct stat st;
	char c;

	JOB_SETUP(fd >= 0 && pwrite(fd, "x", 1, far) == 1 && pwrite(fd, "y", 1, far / 2) == 1);
	job_roundtrip();
	JOB_CHECK(pread(fd, &c, 1, far) == 1 && c == 'x' && pread(fd, &c, 1, far / 2) == 1 && c == 'y');
	JOB_CHECK(!fstat(fd, &st) && st.st_size == far + PAGE && st.st_blocks == 16);
	return 0;
}

TEST(memfd_sparse)
{
	EXPECT_EQ(0, roundtrip(sparse));
}

static int large(void)
{
	const int pages = 3000;
	int fd = make("large", 0, pages * PAGE), i;
	char *at = map(fd, PROT_READ | PROT_WRITE, MAP_SHARED, pages);

	JOB_SETUP(fd >= 0 && at);
	for (i = 0; i < pages; i++)
		if (i % 7)
			memset(at + i * PAGE, i % 251 + 1, PAGE);
	job_roundtrip();
	for (i = 0; i < pages; i++)
		JOB_CHECK(at[i * PAGE + i] == (char)(i % 7 ? i % 251 + 1 : 0));
	return 0;
}

TEST(memfd_large)
{
	EXPECT_EQ(0, roundtrip(large));
}

/* Descriptors and mappings on the same memory; one of these private, with changes of its own. */
static int mapped(void)
{
	int fd = make("mapped", 0, 4 * PAGE), again, apart;
	char *shared = map(fd, PROT_READ | PROT_WRITE, MAP_SHARED, 4), *second, *private, *none, c;

	JOB_SETUP(fd >= 0 && shared && (again = dup(fd)) >= 0);
	JOB_SETUP((apart = open(format("/proc/self/fd/%d", fd), O_RDONLY)) >= 0 && lseek(apart, 7, SEEK_SET) == 7);
	JOB_SETUP((second = map(apart, PROT_READ, MAP_SHARED, 2)) && (none = map(fd, PROT_NONE, MAP_SHARED, 1)));
	JOB_SETUP((private = map(fd, PROT_READ | PROT_WRITE, MAP_PRIVATE, 4)));
	strcpy(shared, "one");
	strcpy(shared + PAGE, "two");
	strcpy(private + PAGE, "own");
	private[3 * PAGE] = 'z';
	private[3 * PAGE] = 0;
	job_roundtrip();
	JOB_CHECK(!strcmp(shared, "one") && !strcmp(second + PAGE, "two"));
	JOB_CHECK(!strcmp(private, "one") && !strcmp(private + PAGE, "own"));
	shared[0] = 'O';
	shared[3 * PAGE] = 'q';
	JOB_CHECK(second[0] == 'O' && private[0] == 'O' && private[3 * PAGE] == 0);
	JOB_CHECK(pread(apart, &c, 1, 0) == 1 && c == 'O' && pread(again, &c, 1, 0) == 1 && c == 'O');
	JOB_CHECK(lseek(apart, 0, SEEK_CUR) == 7 && lseek(fd, 3, SEEK_SET) == 3 && lseek(again, 0, SEEK_CUR) == 3);
	JOB_CHECK(write(apart, "x", 1) == -1 && errno == EBADF && !mprotect(none, PAGE, PROT_READ) && *none == 'O');
	JOB_CHECK(strstr(read_file("/proc/self/maps"), "/memfd:mapped (deleted)"));
	return 0;
}

TEST(memfd_mapped_shared_and_private)
{
	EXPECT_EQ(0, roundtrip(mapped));
}

static int only_mapped(void)
{
	int fd = make("only", 0, 2 * PAGE);
	char *shared = map(fd, PROT_READ | PROT_WRITE, MAP_SHARED, 2), *second = map(fd, PROT_READ, MAP_SHARED, 2);

	JOB_SETUP(shared && second && !close(fd));
	strcpy(shared + PAGE, "text");
	job_roundtrip();
	JOB_CHECK(!strcmp(second + PAGE, "text"));
	shared[0] = 'x';
	JOB_CHECK(second[0] == 'x');
	return 0;
}

TEST(memfd_only_mapped)
{
	EXPECT_EQ(0, roundtrip(only_mapped));
}

static int sealed(void)
{
	int plain = make("plain", MFD_ALLOW_SEALING, PAGE), some = make("some", MFD_ALLOW_SEALING, PAGE);
	int all = make("all", MFD_ALLOW_SEALING, PAGE);
	char c;

	JOB_SETUP(plain >= 0 && some >= 0 && all >= 0 && write(all, "x", 1) == 1);
	JOB_SETUP(!fcntl(some, F_ADD_SEALS, F_SEAL_SHRINK));
	JOB_SETUP(!fcntl(all, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE));
	job_roundtrip();
	JOB_CHECK(fcntl(plain, F_GET_SEALS) == 0 && fcntl(some, F_GET_SEALS) == F_SEAL_SHRINK);
	JOB_CHECK(fcntl(all, F_GET_SEALS) == (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE));
	JOB_CHECK(pread(all, &c, 1, 0) == 1 && c == 'x' && pwrite(all, "y", 1, 0) == -1 && errno == EPERM);
	JOB_CHECK(!map(all, PROT_READ | PROT_WRITE, MAP_SHARED, 1) && ftruncate(all, 0) == -1);
	JOB_CHECK(fcntl(all, F_ADD_SEALS, F_SEAL_SHRINK) == -1 && ftruncate(some, 0) == -1 && !ftruncate(some, 2 * PAGE));
	JOB_CHECK(!fcntl(plain, F_ADD_SEALS, F_SEAL_WRITE) && pwrite(plain, "y", 1, 0) == -1);
	return 0;
}

TEST(memfd_seals)
{
	EXPECT_EQ(0, roundtrip(sealed));
}

/* Who mapped it before may still write; a later mapping cannot even be made writable. */
static int sealed_for_the_future(void)
{
	int fd = make("future", MFD_ALLOW_SEALING, PAGE);
	char *writer = map(fd, PROT_READ | PROT_WRITE, MAP_SHARED, 1), *idle = map(fd, PROT_READ, MAP_SHARED, 1), *reader;

	JOB_SETUP(fd >= 0 && writer && idle && !fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
	JOB_SETUP((reader = map(fd, PROT_READ, MAP_SHARED, 1)) && mprotect(reader, PAGE, PROT_READ | PROT_WRITE) == -1);
	strcpy(writer, "text");
	job_roundtrip();
	JOB_CHECK(fcntl(fd, F_GET_SEALS) == F_SEAL_FUTURE_WRITE && !strcmp(reader, "text"));
	JOB_CHECK(pwrite(fd, "x", 1, 0) == -1 && errno == EPERM);
	JOB_CHECK(!map(fd, PROT_READ | PROT_WRITE, MAP_SHARED, 1) && errno == EPERM);
	writer[0] = 'T';
	JOB_CHECK(reader[0] == 'T' && mprotect(reader, PAGE, PROT_READ | PROT_WRITE) == -1 && errno == EACCES);
	JOB_CHECK(!mprotect(idle, PAGE, PROT_READ | PROT_WRITE));
	idle[1] = 'E';
	JOB_CHECK(!strcmp(reader, "TExt"));
	return 0;
}

TEST(memfd_sealed_for_future_writers)
{
	EXPECT_EQ(0, roundtrip(sealed_for_the_future));
}

static int write_sealed_and_mapped(void)
{
	int fd = make("x", MFD_ALLOW_SEALING, PAGE);
	char *reader;

	JOB_SETUP(fd >= 0 && write(fd, "x", 1) == 1 && !fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	reader = map(fd, PROT_READ, MAP_SHARED, 1);
	if (!reader)
		return job_skip("write-sealed memory cannot be mapped shared here");
	job_roundtrip();
	JOB_CHECK(*reader == 'x' && fcntl(fd, F_GET_SEALS) == F_SEAL_WRITE);
	JOB_CHECK(mprotect(reader, PAGE, PROT_READ | PROT_WRITE) == -1);
	return 0;
}

TEST(memfd_write_sealed_and_mapped)
{
	EXPECT_EQ(0, roundtrip(write_sealed_and_mapped));
}

static int not_executable(void)
{
	int fd = make("x", MFD_NOEXEC_SEAL, PAGE), seals;
	struct stat st;

	if (fd < 0)
		return job_skip("no MFD_NOEXEC_SEAL");
	JOB_SETUP((seals = fcntl(fd, F_GET_SEALS)) & F_SEAL_EXEC);
	job_roundtrip();
	JOB_CHECK(fcntl(fd, F_GET_SEALS) == seals && !fstat(fd, &st) && (st.st_mode & 0777) == 0666);
	JOB_CHECK(fchmod(fd, 0777) == -1 && errno == EPERM);
	return 0;
}

TEST(memfd_not_executable)
{
	EXPECT_EQ(0, roundtrip(not_executable));
}

static int executes(int fd)
{
	char *const args[] = { "true", NULL };
	pid_t pid = fork();
	int status;

	if (!pid) {
		syscall(SYS_execveat, fd, "", args, args, AT_EMPTY_PATH);
		_exit(errno);
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Can be executed although it is open for writing, which cannot be done with what was opened so by a path. */
static int executable(void)
{
	size_t len = 0;
	char *program = read_bytes("/bin/true", &len);
	int fd = memfd_create("program", MFD_CLOEXEC), writer;

	JOB_SETUP(program && fd >= 0 && write(fd, program, len) == (ssize_t)len && executes(fd) == 0);
	job_roundtrip();
	JOB_CHECK(executes(fd) == 0);
	JOB_CHECK((writer = open(format("/proc/self/fd/%d", fd), O_WRONLY)) >= 0 && executes(fd) == ETXTBSY);
	close(writer);
	JOB_CHECK(executes(fd) == 0);
	return 0;
}

TEST(memfd_executable)
{
	EXPECT_EQ(0, roundtrip(executable));
}

/* A dump leaves the offset alone, and the room between the data. */
static int survives_dumps(void)
{
	int fd = make("x", 0, 100 * PAGE), i;
	struct stat st;

	JOB_SETUP(fd >= 0 && pwrite(fd, "x", 1, 50 * PAGE) == 1 && lseek(fd, 5, SEEK_SET) == 5);
	for (i = 0; i < 3; i++) {
		job_roundtrip();
		JOB_CHECK(lseek(fd, 0, SEEK_CUR) == 5 && !fstat(fd, &st) && st.st_blocks == 8);
	}
	return 0;
}

TEST(memfd_dumped_again)
{
	EXPECT_EQ(0, roundtrip(survives_dumps));
}

static int many(void)
{
	int fd[300], i;
	char got[16];

	for (i = 0; i < 300; i++)
		JOB_SETUP((fd[i] = make(format("m%d", i), 0, PAGE)) >= 0 && write(fd[i], format("%d", i), 4) > 0);
	job_roundtrip();
	for (i = 0; i < 300; i++)
		JOB_CHECK(pread(fd[i], got, 4, 0) == 4 && atoi(got) == i && strstr(name_of(fd[i]), format(":m%d ", i)));
	return 0;
}

TEST(memfd_many)
{
	EXPECT_EQ(0, roundtrip(many));
}

/* An ordinary file on an ordinary tmpfs: its contents stay there. */
static int posix_shm(void)
{
	const char *name = format("/kckpt-%d", getpid());
	int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
	char *shared, c;

	if (fd < 0)
		return job_skip("no /dev/shm");
	JOB_SETUP(!ftruncate(fd, PAGE) && (shared = map(fd, PROT_READ | PROT_WRITE, MAP_SHARED, 1)));
	strcpy(shared, "text");
	job_roundtrip();
	shm_unlink(name);
	JOB_CHECK(!strcmp(shared, "text"));
	shared[0] = 'T';
	JOB_CHECK(pread(fd, &c, 1, 0) == 1 && c == 'T');
	return 0;
}

TEST(memfd_posix_shared_memory)
{
	EXPECT_EQ(0, roundtrip(posix_shm));
}

/* ---- refused ---- */

static int huge(void)
{
	int fd = memfd_create("huge", MFD_HUGETLB);

	if (fd < 0)
		return job_skip("no huge pages");
	job_roundtrip();
	JOB_CHECK(fcntl(fd, F_GETFL) >= 0);
	return 0;
}

TEST(memfd_huge_is_refused)
{
	EXPECT_REFUSED(KCKPT_E_FILE_KIND, huge);
}

static int has_chattr_flags(void)
{
	int fd = memfd_create("nodump", 0), flags = FS_NODUMP_FL;

	JOB_SETUP(fd >= 0);
	if (ioctl(fd, FS_IOC_SETFLAGS, &flags))
		return job_skip("no flags of chattr here");
	job_roundtrip();
	JOB_CHECK(!ioctl(fd, FS_IOC_GETFLAGS, &flags) && flags == FS_NODUMP_FL);
	return 0;
}

TEST(memfd_with_chattr_flags_is_refused)
{
	EXPECT_REFUSED(KCKPT_E_FILE_STATE, has_chattr_flags);
}

static int has_one_of_outside(void)
{
	char c;

	job_roundtrip();
	JOB_CHECK(pread(7, &c, 1, 0) == 1 && c == 'x');
	return 0;
}

TEST(memfd_held_outside_is_refused)
{
	struct job_options options = { .nr_fds = 1 };
	int fd = make("x", 0, PAGE);

	ASSERT_TRUE(fd >= 0 && write(fd, "x", 1) == 1);
	options.fds[0] = (struct job_fd){ fd, 7 };
	EXPECT_REFUSED_WITH(KCKPT_E_TASK_SHARES, has_one_of_outside, &options);
}

/* The same memory, but not the same open file. */
TEST(memfd_opened_outside_is_refused)
{
	struct job_options options = { .nr_fds = 1 };
	int fd = make("x", 0, PAGE), other = open(format("/proc/self/fd/%d", fd), O_RDWR | O_CLOEXEC);

	ASSERT_TRUE(other >= 0 && write(fd, "x", 1) == 1);
	options.fds[0] = (struct job_fd){ other, 7 };
	close(other);
	options.fds[0].from = open(format("/proc/self/fd/%d", fd), O_RDWR);
	EXPECT_REFUSED_WITH(KCKPT_E_TASK_SHARES, has_one_of_outside, &options);
}

TEST(memfd_mapped_outside_is_refused)
{
	struct job_options options = { .nr_fds = 1 };
	int fd = make("x", 0, PAGE);

	ASSERT_TRUE(fd >= 0 && write(fd, "x", 1) == 1 && map(fd, PROT_READ, MAP_SHARED, 1));
	options.fds[0] = (struct job_fd){ open(format("/proc/self/fd/%d", fd), O_RDWR), 7 };
	close(fd);
	EXPECT_REFUSED_WITH(KCKPT_E_TASK_SHARES, has_one_of_outside, &options);
}
