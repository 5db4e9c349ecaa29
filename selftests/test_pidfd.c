// SPDX-License-Identifier: GPL-2.0
/* Pidfds: of processes that live, zombies, threads, processes that are gone; who shares them, who waits for them. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "job.h"

#ifndef PIDFD_NONBLOCK
#define PIDFD_NONBLOCK O_NONBLOCK
#endif
#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif
#ifndef PIDFD_SIGNAL_PROCESS_GROUP
#define PIDFD_SIGNAL_PROCESS_GROUP (1U << 2)
#endif
#ifndef P_PIDFD
#define P_PIDFD 3
#endif

/* What fdinfo tells: the process, -1: it is gone; -2: nothing. */
static int pid_of(int fd)
{
	char *text = read_file(format("/proc/self/fdinfo/%d", fd)), *line = text ? strstr(text, "\nPid:\t") : NULL;

	return line ? atoi(line + 6) : -2;
}

static bool is_ended(int fd)
{
	struct pollfd poller = { .fd = fd, .events = POLLIN };

	return poll(&poller, 1, 0) == 1 && poller.revents & POLLIN;
}

static bool ends_soon(int fd)
{
	struct pollfd poller = { .fd = fd, .events = POLLIN };

	return poll(&poller, 1, 20000) == 1 && poller.revents & POLLIN;
}

static int send_signal(int fd, int signo)
{
	return pidfd_send_signal(fd, signo, NULL, 0);
}

static bool is_gone(int fd)
{
	return is_ended(fd) && pid_of(fd) == -1 && send_signal(fd, 0) == -1 && errno == ESRCH;
}

static bool same_file(int one, int other)
{
	return syscall(SYS_kcmp, getpid(), getpid(), 0 /* KCMP_FILE */, one, other) == 0;
}

/* Linux 6.9 and later has an inode for each process. */
static bool same_inode(int one, int other)
{
	struct stat a, b;

	return !fstat(one, &a) && !fstat(other, &b) && a.st_ino == b.st_ino;
}

static pid_t fork_waiting(void)
{
	pid_t pid = fork();

	while (!pid)
		pause();
	return pid;
}

static int reap(pid_t pid, int status)
{
	int got;

	return waitpid(pid, &got, 0) == pid && got == status ? 0 : -1;
}

static int open_dead(void)
{
	pid_t pid = fork_waiting();
	int fd = pidfd_open(pid, 0);

	return pid > 0 && !kill(pid, SIGKILL) && !reap(pid, SIGKILL) ? fd : -1;
}

/* ---- processes that live ---- */

static int of_itself(void)
{
	int fd = pidfd_open(getpid(), 0), again = pidfd_open(getpid(), PIDFD_NONBLOCK), flags = fcntl(fd, F_GETFL);

	JOB_SETUP(fd >= 0 && again >= 0 && !fcntl(again, F_SETFD, 0));
	job_roundtrip();
	JOB_CHECK(fcntl(fd, F_GETFL) == flags && fcntl(fd, F_GETFD) == FD_CLOEXEC && pid_of(fd) == getpid());
	JOB_CHECK(fcntl(again, F_GETFL) == (flags | O_NONBLOCK) && fcntl(again, F_GETFD) == 0 && pid_of(again) == getpid());
	JOB_CHECK(!is_ended(fd) && !send_signal(fd, 0) && !send_signal(again, 0));
	JOB_CHECK(same_inode(fd, again) && !same_file(fd, again));
	return 0;
}

TEST(pidfd_of_itself)
{
	EXPECT_EQ(0, roundtrip(of_itself));
}

/* What has an inode can be opened by it. */
static int opened_again(void)
{
	int fd = pidfd_open(getpid(), 0), again = open(format("/proc/self/fd/%d", fd), O_RDONLY | O_NONBLOCK), flags;

	if (fd >= 0 && again < 0)
		return job_skip("pidfds cannot be opened again");
	JOB_SETUP(fd >= 0 && (flags = fcntl(again, F_GETFL)) >= 0 && pid_of(again) == getpid());
	job_roundtrip();
	JOB_CHECK(fcntl(again, F_GETFL) == flags && pid_of(again) == getpid() && !send_signal(again, 0));
	JOB_CHECK(same_inode(fd, again));
	return 0;
}

TEST(pidfd_opened_again)
{
	EXPECT_EQ(0, roundtrip(opened_again));
}

static int of_a_child(void)
{
	int null = open("/dev/null", O_RDONLY), fd, other;
	pid_t pid = fork_waiting();
	siginfo_t info = {};

	JOB_SETUP(null >= 0 && (fd = pidfd_open(pid, PIDFD_NONBLOCK)) >= 0);
	job_roundtrip();
	JOB_CHECK(pid_of(fd) == pid && !is_ended(fd) && waitid(P_PIDFD, fd, &info, WEXITED) == -1 && errno == EAGAIN);
	JOB_CHECK((other = pidfd_getfd(fd, null, 0)) >= 0 && same_file(null, other));
	JOB_CHECK(!send_signal(fd, SIGTERM) && ends_soon(fd) && pid_of(fd) == pid);
	JOB_CHECK(!waitid(P_PIDFD, fd, &info, WEXITED) && info.si_pid == pid && info.si_status == SIGTERM);
	JOB_CHECK(is_gone(fd) && wait(NULL) == -1);
	return 0;
}

TEST(pidfd_of_a_child)
{
	EXPECT_EQ(0, roundtrip(of_a_child));
}

/* Neither parent nor child: a sibling, and the job's root by a child. */
static int of_others(void)
{
	uint32_t *told = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t root = getpid(), one, two;
	int up, side;

	JOB_SETUP(told != MAP_FAILED && (one = fork_waiting()) > 0);
	two = fork();
	if (!two) {
		up = pidfd_open(root, 0);
		side = pidfd_open(one, 0);
		told[0] = up >= 0 && side >= 0;
		futex_wake(&told[0]);
		futex_wait(&told[1], 0, -1);
		_exit(pid_of(up) == root && pid_of(side) == one && !send_signal(side, SIGKILL) && !send_signal(up, 0) ?
		      7 : 1);
	}
	JOB_SETUP(two > 0 && futex_wait(&told[0], 0, 20000) && told[0]);
	job_roundtrip();
	told[1] = 1;
	futex_wake(&told[1]);
	JOB_CHECK(!reap(two, 7 << 8) && !reap(one, SIGKILL));
	return 0;
}

TEST(pidfd_of_other_processes)
{
	EXPECT_EQ(0, roundtrip(of_others));
}

/* ---- processes that have ended ---- */

static int of_a_zombie(void)
{
	siginfo_t info = {};
	pid_t pid = fork();
	int fd;

	if (!pid)
		_exit(9);
	JOB_SETUP((fd = pidfd_open(pid, 0)) >= 0 && !waitid(P_PIDFD, fd, &info, WEXITED | WNOWAIT));
	job_roundtrip();
	JOB_CHECK(is_ended(fd) && pid_of(fd) == pid && !send_signal(fd, 0));
	JOB_CHECK(!waitid(P_PIDFD, fd, &info, WEXITED) && info.si_pid == pid && info.si_status == 9);
	JOB_CHECK(is_gone(fd));
	return 0;
}

TEST(pidfd_of_a_zombie)
{
	EXPECT_EQ(0, roundtrip(of_a_zombie));
}

/* Two of one process, and one of another. */
static int of_the_dead(void)
{
	int fd = open_dead(), other = open_dead(), again;
	pid_t pid = fork_waiting();
	int twice[2] = { pidfd_open(pid, 0), pidfd_open(pid, PIDFD_NONBLOCK) };
	bool apart = !same_inode(fd, other);
	siginfo_t info;

	JOB_SETUP(fd >= 0 && other >= 0 && pid > 0 && twice[1] >= 0 && !kill(pid, SIGKILL) && !reap(pid, SIGKILL));
	JOB_SETUP((again = dup(fd)) >= 0 && is_gone(fd) && is_gone(other) && is_gone(twice[1]));
	job_roundtrip();
	JOB_CHECK(is_gone(fd) && is_gone(other) && is_gone(twice[0]) && is_gone(twice[1]));
	JOB_CHECK(same_file(fd, again) && !same_file(fd, other) && !same_file(twice[0], twice[1]));
	JOB_CHECK(same_inode(twice[0], twice[1]) && same_inode(fd, other) == !apart && same_inode(fd, twice[0]) == !apart);
	JOB_CHECK(fcntl(twice[1], F_GETFL) & O_NONBLOCK && !(fcntl(twice[0], F_GETFL) & O_NONBLOCK));
	JOB_CHECK(waitid(P_PIDFD, fd, &info, WEXITED) == -1 && errno == ECHILD);
	JOB_CHECK(pidfd_getfd(fd, 0, 0) == -1 && errno == ESRCH);
	/* Nobody who comes later is taken for it. */
	pid = fork_waiting();
	JOB_CHECK(pid > 0 && is_gone(fd) && is_gone(other) && !kill(pid, SIGKILL) && !reap(pid, SIGKILL));
	return 0;
}

TEST(pidfd_of_processes_that_are_gone)
{
	EXPECT_EQ(0, roundtrip(of_the_dead));
}

/* The number of one that is gone is still that of a session and group. */
static int of_a_gone_leader(void)
{
	pid_t leader, member;
	int fd, ends[2];

	JOB_SETUP(!prctl(PR_SET_CHILD_SUBREAPER, 1) && !pipe(ends));
	leader = fork();
	if (!leader) {
		setsid();
		member = fork_waiting();
		_exit(write(ends[1], &member, sizeof(member)) != sizeof(member));
	}
	JOB_SETUP((fd = pidfd_open(leader, 0)) >= 0 && read(ends[0], &member, sizeof(member)) == sizeof(member));
	JOB_SETUP(!reap(leader, 0) && is_gone(fd) && getsid(member) == leader);
	job_roundtrip();
	JOB_CHECK(is_gone(fd) && getsid(member) == leader);
	/* Linux 6.9 and later reaches the group by it. */
	if (pidfd_send_signal(fd, SIGTERM, NULL, PIDFD_SIGNAL_PROCESS_GROUP)) {
		JOB_CHECK(errno == EINVAL && !kill(-leader, SIGTERM));
	}
	JOB_CHECK(!reap(member, SIGTERM) && kill(-leader, 0) == -1 && is_gone(fd));
	return 0;
}

TEST(pidfd_of_a_leader_that_is_gone)
{
	EXPECT_EQ(0, roundtrip(of_a_gone_leader));
}

/* ---- threads ---- */

static uint32_t thread_may_end;
static pid_t thread_id[2];
static volatile pid_t signalled;

static void note(int signo)
{
	(void)signo;
	signalled = gettid();
}

static void *thread(void *arg)
{
	__atomic_store_n((pid_t *)arg, gettid(), __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&thread_may_end, __ATOMIC_SEQ_CST))
		futex_wait(&thread_may_end, 0, 1000);
	return NULL;
}

static bool start_thread(pthread_t *id, pid_t *tid)
{
	if (pthread_create(id, NULL, thread, tid))
		return false;
	while (!__atomic_load_n(tid, __ATOMIC_SEQ_CST))
		usleep(1000);
	return true;
}

static int of_threads(void)
{
	pthread_t id[2];
	int fd, gone, whole, flags;

	JOB_SETUP(start_thread(&id[0], &thread_id[0]));
	gone = pidfd_open(thread_id[0], PIDFD_THREAD);
	if (gone < 0)
		return job_skip("no pidfds of threads");
	thread_may_end = 1;
	JOB_SETUP(!pthread_join(id[0], NULL) && ends_soon(gone) && signal(SIGUSR1, note) != SIG_ERR);
	thread_may_end = 0;
	JOB_SETUP(start_thread(&id[1], &thread_id[1]) && (fd = pidfd_open(thread_id[1], PIDFD_THREAD | PIDFD_NONBLOCK)) >= 0);
	JOB_SETUP((whole = pidfd_open(getpid(), PIDFD_THREAD)) >= 0 && (flags = fcntl(fd, F_GETFL)) & PIDFD_THREAD);
	job_roundtrip();
	JOB_CHECK(fcntl(fd, F_GETFL) == flags && is_gone(gone) && fcntl(gone, F_GETFL) & PIDFD_THREAD);
	JOB_CHECK(pid_of(fd) == thread_id[1] && pid_of(whole) == getpid() && !is_ended(fd) && !is_ended(whole));
	JOB_CHECK(!send_signal(whole, SIGUSR1) && signalled == getpid());
	JOB_CHECK(!send_signal(fd, SIGUSR1));
	thread_may_end = 1;
	JOB_CHECK(!pthread_join(id[1], NULL) && ends_soon(fd) && signalled == thread_id[1] && is_gone(fd));
	return 0;
}

TEST(pidfd_of_threads)
{
	EXPECT_EQ(0, roundtrip(of_threads));
}

/* ---- shared and waited for ---- */

static int shared(void)
{
	uint32_t *go = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t target = fork_waiting(), pid;
	int fd = pidfd_open(target, 0), again = dup(fd), dead = open_dead();

	JOB_SETUP(go != MAP_FAILED && fd >= 0 && again >= 0 && dead >= 0);
	pid = fork();
	if (!pid) {
		futex_wait(go, 0, -1);
		_exit(fcntl(fd, F_GETFL) & O_NONBLOCK && pid_of(again) == target && is_gone(dead) &&
		      !send_signal(again, SIGKILL) ? 5 : 1);
	}
	JOB_SETUP(pid > 0);
	job_roundtrip();
	JOB_CHECK(same_file(fd, again) && !fcntl(again, F_SETFL, O_NONBLOCK) && fcntl(fd, F_GETFL) & O_NONBLOCK);
	JOB_CHECK(syscall(SYS_kcmp, getpid(), pid, 0 /* KCMP_FILE */, fd, again) == 0);
	JOB_CHECK(syscall(SYS_kcmp, getpid(), pid, 0 /* KCMP_FILE */, dead, dead) == 0);
	*go = 1;
	futex_wake(go);
	JOB_CHECK(!reap(pid, 5 << 8) && !reap(target, SIGKILL) && is_gone(fd) && is_gone(again));
	return 0;
}

TEST(pidfd_shared_by_dup_and_fork)
{
	EXPECT_EQ(0, roundtrip(shared));
}

static int waited_fd;

static void *poller(void *arg)
{
	(void)arg;
	return ends_soon(waited_fd) ? &waited_fd : NULL;
}

static void *waiter(void *arg)
{
	siginfo_t *info = arg;

	return waitid(P_PIDFD, waited_fd, info, WEXITED | WNOWAIT) ? NULL : arg;
}

static int waited_for(void)
{
	pid_t pid = fork_waiting();
	siginfo_t info = {};
	pthread_t id[2];
	void *got[2];

	JOB_SETUP((waited_fd = pidfd_open(pid, 0)) >= 0);
	JOB_SETUP(!pthread_create(&id[0], NULL, poller, NULL) && !pthread_create(&id[1], NULL, waiter, &info));
	JOB_SETUP(wait_in_syscall(getpid(), pid + 1, SYS_poll) && wait_in_syscall(getpid(), pid + 2, SYS_waitid));
	job_roundtrip();
	JOB_CHECK(!send_signal(waited_fd, SIGTERM));
	JOB_CHECK(!pthread_join(id[0], &got[0]) && !pthread_join(id[1], &got[1]) && got[0] && got[1]);
	JOB_CHECK(info.si_pid == pid && info.si_status == SIGTERM && !reap(pid, SIGTERM));
	return 0;
}

TEST(pidfd_waited_for)
{
	EXPECT_EQ(0, roundtrip(waited_for));
}

static int many(void)
{
	int fd[300], i;
	pid_t pid = fork_waiting();

	for (i = 0; i < 300; i++)
		JOB_SETUP((fd[i] = i % 3 ? pidfd_open(i % 3 == 1 ? pid : getpid(), 0) : open_dead()) >= 0);
	job_roundtrip();
	for (i = 0; i < 300; i++)
		JOB_CHECK(i % 3 ? pid_of(fd[i]) == (i % 3 == 1 ? pid : getpid()) : is_gone(fd[i]));
	JOB_CHECK(!send_signal(fd[1], SIGKILL) && !reap(pid, SIGKILL) && is_gone(fd[298]));
	return 0;
}

TEST(pidfd_many)
{
	EXPECT_EQ(0, roundtrip(many));
}

/* Closed for exec and opened by clone(). */
static int by_clone(void)
{
	int fd = -1;
	pid_t pid = syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, NULL, &fd, NULL, 0);

	while (!pid)
		pause();
	JOB_SETUP(pid > 0 && fd >= 0);
	job_roundtrip();
	JOB_CHECK(pid_of(fd) == pid && fcntl(fd, F_GETFD) == FD_CLOEXEC && !send_signal(fd, SIGKILL));
	JOB_CHECK(!reap(pid, SIGKILL) && is_gone(fd));
	return 0;
}

TEST(pidfd_by_clone)
{
	EXPECT_EQ(0, roundtrip(by_clone));
}

/* ---- of the outside ---- */

static int of_the_outside(void)
{
	int fd = pidfd_open(1, 0);

	JOB_SETUP(fd >= 0);
	job_roundtrip();
	JOB_CHECK(pid_of(fd) == 1);
	return 0;
}

TEST(pidfd_of_outside_is_refused)
{
	EXPECT_REFUSED(KCKPT_E_FILE_STATE, of_the_outside);
}

static int has_one(void)
{
	int pid = pid_of(7);

	job_roundtrip();
	JOB_CHECK(pid > 0 && pid_of(7) == pid && !is_ended(7));
	return 0;
}

TEST(pidfd_of_outside_is_handed_over)
{
	struct job_options options = { .nr_fds = 1, .nr_restore_fds = 1, .dump_args = { "--inherit-fd", "7" },
				       .restore_args = { "--inherit-fd", "7" } };

	options.fds[0] = options.restore_fds[0] = (struct job_fd){ pidfd_open(getpid(), 0), 7 };
	EXPECT_EQ(0, roundtrip_with(has_one, &options));
}

/* Of one that is gone, the outside may have one, too. */
static int has_a_dead_one(void)
{
	JOB_SETUP(is_gone(7));
	job_roundtrip();
	JOB_CHECK(is_gone(7));
	return 0;
}

TEST(pidfd_of_outside_that_is_gone)
{
	struct job_options options = { .nr_fds = 1 };

	options.fds[0] = (struct job_fd){ open_dead(), 7 };
	EXPECT_EQ(0, roundtrip_with(has_a_dead_one, &options));
}
