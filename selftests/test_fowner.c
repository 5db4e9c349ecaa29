// SPDX-License-Identifier: GPL-2.0
/* Signals of open files: F_SETOWN, F_SETSIG, O_ASYNC. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "job.h"

static int open_data(void)
{
	return open(test_path("data"), O_RDWR | O_CREAT, 0600);
}

static bool owner_is(int fd, int type, pid_t pid)
{
	struct f_owner_ex owner = {};

	return !fcntl(fd, F_GETOWN_EX, &owner) && owner.type == (enum __pid_type)type && owner.pid == pid;
}

static int set_owner(int fd, int type, pid_t pid)
{
	return fcntl(fd, F_SETOWN_EX, &(struct f_owner_ex){ .type = type, .pid = pid });
}

static pid_t other_tid;

static void *wait_for_end(void *end)
{
	char c;

	__atomic_store_n(&other_tid, gettid(), __ATOMIC_SEQ_CST);
	return read(*(int *)end, &c, 1) == 1 ? end : NULL;
}

static int owners(void)
{
	int none, process, group, thread, sig, freed, ends[2];
	pthread_t other;

	JOB_SETUP(!pipe(ends) && !pthread_create(&other, NULL, wait_for_end, &ends[0]));
	while (!__atomic_load_n(&other_tid, __ATOMIC_SEQ_CST))
		usleep(1000);
	none = open_data();
	JOB_SETUP((process = open_data()) >= 0 && !fcntl(process, F_SETOWN, getpid()));
	JOB_SETUP((group = open_data()) >= 0 && !fcntl(group, F_SETOWN, -getpgrp()));
	JOB_SETUP((thread = open_data()) >= 0 && !set_owner(thread, F_OWNER_TID, other_tid));
	JOB_SETUP((sig = open_data()) >= 0 && !fcntl(sig, F_SETSIG, SIGRTMIN + 3));
	JOB_SETUP((freed = open_data()) >= 0 && !fcntl(freed, F_SETOWN, getpid()) && !fcntl(freed, F_SETOWN, 0));
	job_roundtrip();
	JOB_CHECK(owner_is(none, F_OWNER_TID, 0) && fcntl(none, F_GETSIG) == 0);
	JOB_CHECK(owner_is(process, F_OWNER_PID, getpid()) && fcntl(process, F_GETOWN) == getpid());
	JOB_CHECK(owner_is(group, F_OWNER_PGRP, getpgrp()) && owner_is(thread, F_OWNER_TID, other_tid));
	JOB_CHECK(fcntl(sig, F_GETSIG) == SIGRTMIN + 3 && owner_is(sig, F_OWNER_TID, 0));
	JOB_CHECK(fcntl(freed, F_GETOWN) == 0);
	JOB_CHECK(write(ends[1], "x", 1) == 1 && !pthread_join(other, NULL));
	return 0;
}

TEST(fowner_kinds)
{
	EXPECT_EQ(0, roundtrip(owners));
}

static volatile int nr_got, got_fd, got_band;

static void note(int signo, siginfo_t *info, void *context)
{
	(void)signo, (void)context;
	nr_got++;
	got_fd = info->si_fd;
	got_band = info->si_band;
}

static bool make_async(int fd, int signo)
{
	struct sigaction action = { .sa_sigaction = note, .sa_flags = SA_SIGINFO };

	return !sigaction(signo, &action, NULL) && !fcntl(fd, F_SETOWN, getpid()) && !fcntl(fd, F_SETSIG, signo) &&
	       !fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK);
}

/* Nothing comes for what the restore itself does with the pipe. */
static int async_pipe(void)
{
	int ends[2], flags;
	char c;

	JOB_SETUP(!pipe(ends) && make_async(ends[0], SIGRTMIN) && (flags = fcntl(ends[0], F_GETFL)) & O_ASYNC);
	JOB_SETUP(write(ends[1], "a", 1) == 1 && nr_got == 1);
	job_roundtrip();
	JOB_CHECK(nr_got == 1 && fcntl(ends[0], F_GETFL) == flags && read(ends[0], &c, 1) == 1 && c == 'a');
	JOB_CHECK(nr_got == 1 && write(ends[1], "b", 1) == 1);
	JOB_CHECK(nr_got == 2 && got_fd == ends[0]);
	JOB_CHECK(!fcntl(ends[0], F_SETFL, 0) && write(ends[1], "c", 1) == 1 && nr_got == 2);
	return 0;
}

TEST(fowner_async_pipe)
{
	EXPECT_EQ(0, roundtrip(async_pipe));
}

/* The ends that the restore needs go last: their end is none for the job. */
static int async_half_pipe(void)
{
	int ends[2];
	char c;

	JOB_SETUP(!pipe(ends) && write(ends[1], "x", 1) == 1 && !close(ends[1]) && make_async(ends[0], SIGRTMIN));
	job_roundtrip();
	JOB_CHECK(nr_got == 0 && read(ends[0], &c, 1) == 1 && read(ends[0], &c, 1) == 0 && nr_got == 0);
	return 0;
}

TEST(fowner_async_pipe_without_writer)
{
	EXPECT_EQ(0, roundtrip(async_half_pipe));
}

static int async_fifo(void)
{
	int in, out;

	JOB_SETUP(!mkfifo(test_path("fifo"), 0600) && (in = open(test_path("fifo"), O_RDONLY | O_NONBLOCK)) >= 0);
	JOB_SETUP(make_async(in, SIGIO));
	job_roundtrip();
	JOB_CHECK(nr_got == 0 && (out = open(test_path("fifo"), O_WRONLY)) >= 0);
	JOB_CHECK(write(out, "x", 1) == 1 && nr_got == 1);
	return 0;
}

TEST(fowner_async_fifo)
{
	EXPECT_EQ(0, roundtrip(async_fifo));
}

#ifndef F_GETOWNER_UIDS
#define F_GETOWNER_UIDS 17
#endif

/* Who set it counts, not who restores it. */
static int by_another_user(void)
{
	uid_t ids[2] = {};
	int fd;

	JOB_SETUP((fd = open_data()) >= 0 && !prctl(PR_SET_KEEPCAPS, 1) && !setresuid(1001, 1002, 0));
	JOB_SETUP(!fcntl(fd, F_SETOWN, getpid()) && !seteuid(0));
	JOB_SETUP(!fcntl(fd, F_GETOWNER_UIDS, ids) && ids[0] == 1001 && ids[1] == 1002);
	job_roundtrip();
	JOB_CHECK(!fcntl(fd, F_GETOWNER_UIDS, ids) && ids[0] == 1001 && ids[1] == 1002);
	return 0;
}

TEST(fowner_keeps_its_rights)
{
	EXPECT_EQ(0, roundtrip(by_another_user));
}

static int dead_owner(void)
{
	pid_t child = fork();
	int fd;

	if (!child) {
		pause();
		_exit(0);
	}
	JOB_SETUP((fd = open_data()) >= 0 && !fcntl(fd, F_SETOWN, child) && !kill(child, SIGKILL));
	JOB_SETUP(waitpid(child, NULL, 0) == child);
	job_roundtrip();
	JOB_CHECK(owner_is(fd, F_OWNER_PID, 0));
	return 0;
}

TEST(fowner_dead)
{
	EXPECT_EQ(0, roundtrip(dead_owner));
}

/* ---- refused ---- */

static int owned_by_parent(void)
{
	int fd;

	JOB_SETUP((fd = open_data()) >= 0 && !fcntl(fd, F_SETOWN, getppid()));
	job_roundtrip();
	JOB_CHECK(fcntl(fd, F_GETOWN) == getppid());
	return 0;
}

TEST(fowner_outside_is_refused)
{
	EXPECT_REFUSED(KCKPT_E_FILE_STATE, owned_by_parent);
}

static int owned_by_group_of_parent(void)
{
	int fd;

	JOB_SETUP((fd = open_data()) >= 0 && !fcntl(fd, F_SETOWN, -getpgid(getppid())));
	job_roundtrip();
	JOB_CHECK(owner_is(fd, F_OWNER_PGRP, getpgid(getppid())));
	return 0;
}

TEST(fowner_group_outside_is_refused)
{
	EXPECT_REFUSED(KCKPT_E_FILE_STATE, owned_by_group_of_parent);
}

static int watches_folder(void)
{
	int fd;

	signal(SIGIO, SIG_IGN);
	JOB_SETUP((fd = open(test_folder(), O_RDONLY)) >= 0 && !fcntl(fd, F_NOTIFY, DN_CREATE | DN_MULTISHOT));
	job_roundtrip();
	JOB_CHECK(fcntl(fd, F_GETFL) >= 0);
	return 0;
}

TEST(fowner_notify_is_refused)
{
	EXPECT_REFUSED(KCKPT_E_FILE_STATE, watches_folder);
}
