// SPDX-License-Identifier: GPL-2.0
/* Open files of proc, of the system and of processes; and of sysfs. */
#include <dirent.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "job.h"

#define PAGE 4096L
#define NOBODY 65534

static char *rest_of(int fd)
{
	const size_t room = 1 << 20;
	char *text = calloc(1, room);
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, text + len, room - 1 - len)) > 0)
		len += n;
	return n ? NULL : text;
}

static char *fd_link(int fd)
{
	char *text = calloc(1, 4096);

	return readlink(format("/proc/self/fd/%d", fd), text, 4095) < 0 ? NULL : text;
}

static bool equal(const char *a, const char *b)
{
	return a && b && !strcmp(a, b);
}

/* ---- of the system ---- */

/* Half read, and the other half is what it would have been. */
static int half_read(void)
{
	static const char *const paths[] = { "/proc/filesystems", "/proc/version", "/proc/devices",
					     "/proc/sys/kernel/ostype", "/proc/cpuinfo", "/proc/self/limits" };
	char got[16], *whole;
	int fds[6], i;

	for (i = 0; i < 6; i++)
		JOB_SETUP((fds[i] = open(paths[i], O_RDONLY)) >= 0 && read(fds[i], got, i + 1) == i + 1);
	job_roundtrip();
	for (i = 0; i < 6; i++) {
		JOB_CHECK(lseek(fds[i], 0, SEEK_CUR) == i + 1 && (whole = rest_of(open(paths[i], O_RDONLY))));
		JOB_CHECK(i == 3 || equal(rest_of(fds[i]), whole + i + 1));
		JOB_CHECK(lseek(fds[i], 0, SEEK_SET) == 0 && equal(rest_of(fds[i]), whole));
	}
	return 0;
}

TEST(procfs_half_read)
{
	EXPECT_EQ(0, roundtrip(half_read));
}

static int changes(void)
{
	int stat, mem, up;
	char *before;

	JOB_SETUP((stat = open("/proc/stat", O_RDONLY)) >= 0 && (mem = open("/proc/meminfo", O_RDONLY)) >= 0);
	JOB_SETUP((up = open("/proc/uptime", O_RDONLY | O_CLOEXEC)) >= 0 && (before = rest_of(up)) && rest_of(mem));
	job_roundtrip();
	JOB_CHECK(!strncmp(rest_of(stat), "cpu ", 4) && !strlen(rest_of(mem)) && fcntl(up, F_GETFD) == FD_CLOEXEC);
	JOB_CHECK(lseek(mem, 0, SEEK_SET) == 0 && !strncmp(rest_of(mem), "MemTotal", 8));
	JOB_CHECK(lseek(up, 0, SEEK_SET) == 0 && strtod(rest_of(up), NULL) > strtod(before, NULL));
	return 0;
}

TEST(procfs_of_the_system_as_it_is_now)
{
	EXPECT_EQ(0, roundtrip(changes));
}

static int sysctl_written(void)
{
	char value[64] = "";
	int fd, len;

	JOB_SETUP((fd = open("/proc/sys/fs/lease-break-time", O_RDWR)) >= 0);
	JOB_SETUP((len = pread(fd, value, sizeof(value), 0)) > 0);
	job_roundtrip();
	JOB_CHECK(pwrite(fd, "77", 2, 0) == 2 && atoi(read_file("/proc/sys/fs/lease-break-time")) == 77);
	JOB_CHECK(pwrite(fd, value, len, 0) == len);
	return 0;
}

TEST(procfs_sysctl_for_writing)
{
	EXPECT_EQ(0, roundtrip(sysctl_written));
}

/* What is left to be read of a folder, in one string. */
static char *names_left(DIR *dir)
{
	char *names = calloc(1, 1 << 16);
	struct dirent *entry;

	while ((entry = readdir(dir)))
		strcat(strcat(names, entry->d_name), " ");
	return names;
}

static int folder_half_read(void)
{
	static const char *const paths[] = { "/proc/sys", "/proc/self", "/proc/self/task", "/sys/class", "/proc/self/fd" };
	char *seen[5], *whole;
	struct dirent *entry;
	DIR *dirs[5];
	int i, j;

	for (i = 0; i < 5; i++) {
		JOB_SETUP((dirs[i] = opendir(paths[i])));
		/* What the C library has read ahead is forgotten. */
		for (seen[i] = "", j = 0; j < 3; j++)
			if ((entry = readdir(dirs[i])))
				seen[i] = format("%s%s ", seen[i], entry->d_name);
		if (i < 4)
			seekdir(dirs[i], telldir(dirs[i]));
		else
			rewinddir(dirs[i]);
	}
	job_roundtrip();
	for (i = 0; i < 4; i++) {
		JOB_CHECK((whole = names_left(opendir(paths[i]))));
		JOB_CHECK(equal(format("%s%s", seen[i], names_left(dirs[i])), whole));
	}
	JOB_CHECK(strstr(names_left(dirs[4]), format(" %d ", dirfd(dirs[4]))));
	return 0;
}

TEST(procfs_folder_half_read)
{
	EXPECT_EQ(0, roundtrip(folder_half_read));
}

/* ---- of processes ---- */

static volatile int target = 1;

static int own_files(void)
{
	static const char *const names[] = { "status", "stat", "maps", "smaps", "environ", "cmdline", "auxv",
					     "mountinfo", "io", "comm", "cgroup", "net/dev", "smaps_rollup",
					     "oom_score_adj" };
	char got[8], *rest, *fresh;
	int fds[14], i, late;

	for (i = 0; i < 14; i++)
		JOB_SETUP((fds[i] = open(format("/proc/self/%s", names[i]), O_RDONLY)) >= 0);
	JOB_SETUP((late = open("/proc/self/maps", O_RDONLY)) >= 0 && read(late, got, 5) == 5);
	job_roundtrip();
	for (i = 0; i < 14; i++) {
		JOB_CHECK(equal(fd_link(fds[i]), format("/proc/%d/%s", getpid(), names[i])));
		JOB_CHECK((rest = rest_of(fds[i])) && (fresh = rest_of(open(fd_link(fds[i]), O_RDONLY))));
		JOB_CHECK(!strncmp(rest, fresh, 5) && (*fresh || !*rest));
	}
	JOB_CHECK(strstr(read_file(fd_link(late)), "[stack]") && strstr(rest_of(late), "[stack]"));
	return 0;
}

TEST(procfs_own_files)
{
	EXPECT_EQ(0, roundtrip(own_files));
}

static int own_memory(void)
{
	int fd, comm, value = 0;
	uint64_t entry;
	int pages;

	JOB_SETUP((fd = open("/proc/self/mem", O_RDWR)) >= 0 && (comm = open("/proc/self/comm", O_RDWR)) >= 0);
	JOB_SETUP(lseek(fd, (uintptr_t)&target, SEEK_SET) == (off_t)(uintptr_t)&target);
	JOB_SETUP((pages = open("/proc/self/pagemap", O_RDONLY)) >= 0);
	job_roundtrip();
	JOB_CHECK(read(fd, &value, sizeof(value)) == sizeof(value) && value == 1);
	value = 2;
	JOB_CHECK(pwrite(fd, &value, sizeof(value), (uintptr_t)&target) == sizeof(value) && target == 2);
	JOB_CHECK(write(comm, "renamed", 7) == 7 && equal(read_file("/proc/self/comm"), "renamed\n"));
	JOB_CHECK(pread(pages, &entry, 8, (uintptr_t)&target / PAGE * 8) == 8 && entry >> 63);
	return 0;
}

TEST(procfs_own_memory)
{
	EXPECT_EQ(0, roundtrip(own_memory));
}

static int by_path(void)
{
	char exe[4096] = "", want[4096] = "";
	int self, link;

	JOB_SETUP((self = open("/proc/self", O_PATH)) >= 0);
	JOB_SETUP((link = open("/proc/self/exe", O_PATH | O_NOFOLLOW)) >= 0 && readlink("/proc/self/exe", want, 4095) > 0);
	job_roundtrip();
	JOB_CHECK(fcntl(link, F_GETFL) == (O_PATH | O_NOFOLLOW) && !faccessat(self, "status", R_OK, 0));
	JOB_CHECK(readlinkat(link, "", exe, 4095) > 0 && !strcmp(exe, want));
	return 0;
}

TEST(procfs_by_path)
{
	EXPECT_EQ(0, roundtrip(by_path));
}

static int working_directory(void)
{
	char cwd[4096];

	JOB_SETUP(!chdir("/proc/self"));
	job_roundtrip();
	JOB_CHECK(equal(getcwd(cwd, sizeof(cwd)), format("/proc/%d", getpid())) && !access("stat", R_OK));
	return 0;
}

TEST(procfs_working_directory)
{
	EXPECT_EQ(0, roundtrip(working_directory));
}

static void *wait_for_ever(void *tid)
{
	*(pid_t *)tid = syscall(SYS_gettid);
	for (;;)
		pause();
	return NULL;
}

static int of_thread(void)
{
	volatile pid_t tid = 0;
	pthread_t thread;
	int stat, alias;

	JOB_SETUP(!pthread_create(&thread, NULL, wait_for_ever, (void *)&tid));
	while (!tid)
		usleep(1000);
	JOB_SETUP((stat = open(format("/proc/self/task/%d/stat", tid), O_RDONLY)) >= 0);
	JOB_SETUP((alias = open(format("/proc/%d/comm", tid), O_RDONLY)) >= 0);
	job_roundtrip();
	JOB_CHECK(atoi(rest_of(stat)) == tid && equal(rest_of(alias), read_file(format("/proc/%d/comm", tid))));
	return 0;
}

TEST(procfs_of_a_thread)
{
	EXPECT_EQ(0, roundtrip(of_thread));
}

/* Parent and child have each other's, one of them without any rights. */
static int of_each_other(void)
{
	int mem, stat, value = 0, status;
	pid_t pid = fork();

	if (!pid) {
		stat = open(format("/proc/%d/stat", getppid()), O_RDONLY);
		job_notes()[0] = 1;
		while (job_notes()[0] == 1)
			usleep(1000);
		_exit(atoi(rest_of(stat)) == getppid() && target == 5 ? 0 : 1);
	}
	while (!job_notes()[0])
		usleep(1000);
	JOB_SETUP((mem = open(format("/proc/%d/mem", pid), O_RDWR)) >= 0);
	JOB_SETUP((stat = open(format("/proc/%d/stat", pid), O_RDONLY)) >= 0);
	job_roundtrip();
	JOB_CHECK(pread(mem, &value, sizeof(value), (uintptr_t)&target) == sizeof(value) && value == 1);
	value = 5;
	JOB_CHECK(pwrite(mem, &value, sizeof(value), (uintptr_t)&target) == sizeof(value) && target == 1);
	job_notes()[0] = 2;
	JOB_CHECK(waitpid(pid, &status, 0) == pid && !status);
	JOB_CHECK(!rest_of(stat) && errno == ESRCH);
	return 0;
}

TEST(procfs_of_parent_and_child)
{
	EXPECT_EQ(0, roundtrip(of_each_other));
}

static int of_zombie(void)
{
	siginfo_t info;
	int stat, maps;
	pid_t pid = fork();

	if (!pid)
		for (;;)
			pause();
	JOB_SETUP((stat = open(format("/proc/%d/stat", pid), O_RDONLY)) >= 0);
	JOB_SETUP((maps = open(format("/proc/%d/maps", pid), O_RDONLY)) >= 0);
	JOB_SETUP(!kill(pid, SIGKILL) && !waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
	job_roundtrip();
	JOB_CHECK(strstr(rest_of(stat), ") Z ") && equal(rest_of(maps), ""));
	JOB_CHECK(waitpid(pid, NULL, 0) == pid);
	return 0;
}

TEST(procfs_of_a_zombie)
{
	EXPECT_EQ(0, roundtrip(of_zombie));
}

static pid_t child(void)
{
	pid_t pid = fork();

	if (!pid)
		for (;;)
			pause();
	return pid;
}

static bool end(pid_t pid)
{
	return !kill(pid, SIGKILL) && waitpid(pid, NULL, 0) == pid;
}

/* Reaped, and its number is nobody's. */
static int of_ended(void)
{
	char before[4096] = "", after[4096] = "";
	int stat, folder;
	pid_t pid = child();

	job_notes()[1] = pid;
	JOB_SETUP((stat = open(format("/proc/%d/stat", pid), O_RDONLY)) >= 0 && !chdir(format("/proc/%d", pid)));
	JOB_SETUP((folder = open(format("/proc/%d/fd", pid), O_RDONLY | O_DIRECTORY)) >= 0 && end(pid));
	JOB_SETUP(!getcwd(before, sizeof(before)) && readlink("/proc/self/cwd", before, sizeof(before) - 1) > 0);
	job_roundtrip();
	JOB_CHECK(!getcwd(after, sizeof(after)) && errno == ENOENT);
	JOB_CHECK(readlink("/proc/self/cwd", after, sizeof(after) - 1) > 0 && !strcmp(after, before));
	JOB_CHECK(!rest_of(stat) && errno == ESRCH && openat(folder, "0", O_PATH) == -1 && errno == ENOENT);
	JOB_CHECK(kill(pid, 0) == -1 && errno == ESRCH && waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
	return 0;
}

TEST(procfs_of_an_ended_process)
{
	EXPECT_EQ(0, roundtrip(of_ended));
}

static int own_namespaces(void)
{
	static const char *const names[] = { "net", "mnt", "uts", "ipc", "pid", "user", "cgroup" };
	char *links[7];
	int fds[7], i;

	for (i = 0; i < 7; i++) {
		JOB_SETUP((fds[i] = open(format("/proc/self/ns/%s", names[i]), O_RDONLY)) >= 0);
		JOB_SETUP((links[i] = fd_link(fds[i])));
	}
	job_roundtrip();
	for (i = 0; i < 7; i++)
		JOB_CHECK(equal(fd_link(fds[i]), links[i]));
	JOB_CHECK(!setns(fds[2], CLONE_NEWUTS));
	return 0;
}

TEST(procfs_own_namespaces)
{
	EXPECT_EQ(0, roundtrip(own_namespaces));
}

/* ---- rights ---- */

/* Whoever opened it may see addresses, or not; it makes no difference who runs the restore, or who reads. */
static int sees_addresses(bool root_opens)
{
	char before[65] = "", after[65] = "";
	int fd = root_opens ? open("/proc/kallsyms", O_RDONLY) : -1;

	JOB_SETUP(!setresgid(NOBODY, NOBODY, NOBODY) && !setresuid(NOBODY, NOBODY, NOBODY));
	if (!root_opens)
		fd = open("/proc/kallsyms", O_RDONLY);
	/* The first symbols are per CPU, near zero. */
	JOB_SETUP(fd >= 0 && lseek(fd, 200000, SEEK_SET) == 200000 && read(fd, before, 64) == 64);
	JOB_SETUP(lseek(fd, 200000, SEEK_SET) == 200000);
	job_roundtrip();
	JOB_CHECK(read(fd, after, 64) == 64);
	JOB_CHECK(!strcmp(before, after) && !!strstr(after, "0000000000000000") == !root_opens);
	return 0;
}

static int opened_by_root(void)
{
	return sees_addresses(true);
}

static int opened_by_nobody(void)
{
	return sees_addresses(false);
}

TEST(procfs_rights_of_who_opened)
{
	EXPECT_EQ(0, roundtrip(opened_by_root));
	EXPECT_EQ(0, roundtrip(opened_by_nobody));
}

/* One that could not be opened any more. */
static int opened_before(void)
{
	int pages, mem, value = 0;
	uint64_t entry;

	JOB_SETUP((mem = open("/proc/self/mem", O_RDWR)) >= 0 && (pages = open("/proc/self/pagemap", O_RDONLY)) >= 0);
	JOB_SETUP(!setresgid(NOBODY, NOBODY, NOBODY) && !setresuid(NOBODY, NOBODY, NOBODY));
	JOB_SETUP(open("/proc/self/mem", O_RDWR) == -1);
	job_roundtrip();
	JOB_CHECK(open("/proc/self/mem", O_RDWR) == -1 && errno == EACCES);
	JOB_CHECK(pread(mem, &value, sizeof(value), (uintptr_t)&target) == sizeof(value) && value == 1);
	/* Root's pagemap tells of frames. */
	JOB_CHECK(pread(pages, &entry, 8, (uintptr_t)&target / PAGE * 8) == 8 && entry & ((1ULL << 55) - 1));
	return 0;
}

TEST(procfs_opened_before_rights_were_dropped)
{
	EXPECT_EQ(0, roundtrip(opened_before));
}

/* ---- sysfs ---- */

static int of_sysfs(void)
{
	const char *path = "/sys/kernel/uevent_seqnum";
	char c, *whole;
	int fd;

	JOB_SETUP((fd = open(path, O_RDONLY)) >= 0 && read(fd, &c, 1) == 1);
	job_roundtrip();
	JOB_CHECK((whole = read_file(path)) && equal(rest_of(fd), whole + 1));
	JOB_CHECK(lseek(fd, 0, SEEK_SET) == 0 && equal(rest_of(fd), whole));
	return 0;
}

TEST(procfs_sysfs)
{
	EXPECT_EQ(0, roundtrip(of_sysfs));
}

/* ---- refused ---- */

static int holds(const char *path, int flags)
{
	JOB_SETUP(open(path, flags) >= 0);
	job_roundtrip();
	return 0;
}

static int holds_init(void)		{ return holds("/proc/1/status", O_RDONLY); }
static int holds_folder_of_init(void)	{ return holds("/proc/1", O_PATH); }
static int holds_fdinfo(void)		{ return holds("/proc/self/fdinfo/0", O_RDONLY); }
static int holds_trigger(void)		{ return holds("/proc/sysrq-trigger", O_WRONLY); }
static int holds_affinity(void)		{ return holds("/proc/irq/default_smp_affinity", O_RDWR); }
static int holds_sysfs(void)		{ return holds("/sys/kernel/profiling", O_RDWR); }
static int holds_other(void)		{ return holds(test_path("proc/1/stat"), O_RDONLY); }
static int holds_mounted(void)		{ return holds(test_path("proc/version"), O_RDONLY); }

TEST(procfs_of_the_outside_is_refused)
{
	EXPECT_REFUSED(KCKPT_E_FILE_OUTSIDE, holds_init);
	EXPECT_REFUSED(KCKPT_E_FILE_OUTSIDE, holds_folder_of_init);
}

TEST(procfs_of_one_descriptor_is_refused)
{
	EXPECT_REFUSED(KCKPT_E_FILE_KIND, holds_fdinfo);
}

TEST(procfs_for_writing_is_refused)
{
	EXPECT_REFUSED(KCKPT_E_FILE_KIND, holds_affinity);
	if (!access("/proc/sysrq-trigger", W_OK))
		EXPECT_REFUSED(KCKPT_E_FILE_KIND, holds_trigger);
	if (!access("/sys/kernel/profiling", W_OK))
		EXPECT_REFUSED(KCKPT_E_FILE_KIND, holds_sysfs);
}

static int of_ended_memory(void)
{
	int fd;
	pid_t pid = child();

	JOB_SETUP((fd = open(format("/proc/%d/maps", pid), O_RDONLY)) >= 0 && end(pid));
	job_roundtrip();
	JOB_CHECK(!rest_of(fd) && errno == ESRCH);
	return 0;
}

static void *end_at_once(void *fd)
{
	*(int *)fd = open(format("/proc/self/task/%ld/stat", syscall(SYS_gettid)), O_RDONLY);
	return NULL;
}

static int of_ended_thread(void)
{
	pthread_t thread;
	int fd;

	JOB_SETUP(!pthread_create(&thread, NULL, end_at_once, &fd) && !pthread_join(thread, NULL) && fd >= 0);
	while (pread(fd, &(char){0}, 1, 0) > 0)
		usleep(1000);
	job_roundtrip();
	JOB_CHECK(!rest_of(fd) && errno == ESRCH);
	return 0;
}

/* Its number is that of the group that it has left behind. */
static int of_ended_leader(void)
{
	pid_t pid = child(), other = child();

	JOB_SETUP(!setpgid(pid, pid) && !setpgid(other, pid) && !chdir(format("/proc/%d", pid)) && end(pid));
	job_roundtrip();
	JOB_CHECK(end(other));
	return 0;
}

TEST(procfs_of_ended_ones_is_refused)
{
	EXPECT_REFUSED(KCKPT_E_FILE_STATE, of_ended_leader);
	EXPECT_REFUSED(KCKPT_E_FILE_STATE, of_ended_memory);
	EXPECT_REFUSED(KCKPT_E_FILE_STATE, of_ended_thread);
}

/* Its number is in use when the file is wanted back. */
static pid_t taken;

static void take_number(void)
{
	struct clone_args args = { .exit_signal = SIGCHLD, .set_tid = (uintptr_t)&(pid_t){ job_notes()[1] },
				   .set_tid_size = 1 };

	taken = syscall(SYS_clone3, &args, sizeof(args));
	if (!taken)
		for (;;)
			pause();
	ASSERT_TRUE(taken > 0);
}

TEST(procfs_number_of_an_ended_process_is_taken_at_restore)
{
	EXPECT_RESTORE_REFUSED(KCKPT_E_PID_TAKEN, of_ended, &((struct job_options){ .between = take_number }));
	kill(taken, SIGKILL);
}

/* The program that the file was opened on is not the one that runs now. */
static int of_left_memory(void)
{
	int fd, ends[2];
	pid_t pid;
	char c;

	JOB_SETUP(!pipe2(ends, O_CLOEXEC) && (pid = fork()) >= 0);
	if (!pid) {
		while (!job_notes()[0])
			usleep(1000);
		execl("/bin/sleep", "sleep", "1000", NULL);
		_exit(127);
	}
	JOB_SETUP((fd = open(format("/proc/%d/maps", pid), O_RDONLY)) >= 0 && !close(ends[1]));
	job_notes()[0] = 1;
	JOB_SETUP(read(ends[0], &c, 1) == 0 && !close(ends[0]));
	job_roundtrip();
	JOB_CHECK(equal(rest_of(fd), "") && !kill(pid, SIGKILL) && waitpid(pid, NULL, 0) == pid);
	return 0;
}

TEST(procfs_of_left_memory_is_refused)
{
	EXPECT_REFUSED(KCKPT_E_FILE_STATE, of_left_memory);
}

TEST(procfs_of_another_pid_namespace_is_refused)
{
	const char *folder = test_path("proc");
	pid_t pid;

	ASSERT_TRUE(!mkdir(folder, 0755) && (pid = fork()) >= 0);
	if (!pid) {
		execlp("unshare", "unshare", "--pid", "--fork", "--kill-child", "sh", "-c",
		       format("mount --make-private /; mount -t proc proc %s; sleep 1000", folder), NULL);
		_exit(127);
	}
	while (access(test_path("proc/1/stat"), F_OK))
		usleep(10000);
	EXPECT_REFUSED(KCKPT_E_TASK_NAMESPACE, holds_other);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	EXPECT_EQ(0, system(format("umount -l %s", folder)));
}

static int holds_namespace(void)
{
	JOB_SETUP(fcntl(9, F_GETFD) >= 0);
	job_roundtrip();
	return 0;
}

TEST(procfs_other_namespace_is_refused)
{
	int ours = open("/proc/self/ns/uts", O_RDONLY), other;

	ASSERT_TRUE(ours >= 0 && !unshare(CLONE_NEWUTS) && (other = open("/proc/self/ns/uts", O_RDONLY)) >= 0);
	ASSERT_TRUE(!setns(ours, CLONE_NEWUTS));
	EXPECT_REFUSED_WITH(KCKPT_E_FILE_KIND, holds_namespace,
			    &((struct job_options){ .fds = { { other, 9 } }, .nr_fds = 1 }));
}

static int holds_own_stat(void)
{
	JOB_SETUP(open(format("/proc/%d/stat", getpid()), O_RDONLY) >= 0);
	job_roundtrip();
	return 0;
}

/* There the job has its numbers, but this proc tells of others. */
TEST(procfs_of_another_pid_namespace_is_refused_at_restore)
{
	struct tool_result result;
	struct job job;

	job_start(&job, holds_own_stat, NULL);
	ASSERT_EQ(JOB_WAITS, job_wait(&job));
	ASSERT_EQ(0, job_dump(&job).status);
	job_notes()[1] = job.pid;
	take_number();
	ASSERT_EQ(0, unshare(CLONE_NEWPID));
	result = job_restore(&job);
	result.text = read_file(test_path("tool.1")) ?: "";	/* it was process 1 there */
	if (!EXPECT_EQ(1, result.status) || !EXPECT_TRUE(tool_said(&result, "FILE_CHANGED")))
		test_say("%s", result.text);
	kill(taken, SIGKILL);
	EXPECT_TRUE(cgroup_is_empty(job.cgroup));
}

static void unmount(void)
{
	ASSERT_EQ(0, system(format("umount %s", test_path("proc"))));
}

TEST(procfs_missing_is_refused_at_restore)
{
	ASSERT_TRUE(!mkdir(test_path("proc"), 0755));
	ASSERT_EQ(0, system(format("mount -t proc proc %s", test_path("proc"))));
	EXPECT_RESTORE_REFUSED(KCKPT_E_FILE_MISSING, holds_mounted, &((struct job_options){ .between = unmount }));
}
