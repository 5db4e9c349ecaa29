// SPDX-License-Identifier: GPL-2.0
/*
 * The job of the golden images: a little of much. Static, so that they are small, and hold no files of the machine that
 * made them.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096

static char *memory;	/* eight pages: text in the first, nothing in the second, one word in each of the others */

static void check(int ok, const char *what)
{
	if (!ok) {
		perror(what);
		exit(1);
	}
}

static void make_memory(void)
{
	int i;

	memory = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	check(memory != MAP_FAILED, "mmap");
	strcpy(memory, "of the parent");
	for (i = 2; i < 8; i++)
		*(int *)(memory + i * PAGE) = i;
}

static void make_files(void)
{
	int pipes[2], fd;

	check(!pipe(pipes) && write(pipes[1], "unread", 6) == 6, "pipe");
	check(eventfd(7, EFD_NONBLOCK) >= 0, "eventfd");
	fd = memfd_create("golden", MFD_ALLOW_SEALING);
	check(fd >= 0 && write(fd, "in memory", 9) == 9, "memfd");
	check(!fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), "seals");
	fd = open("/tmp/golden/deleted", O_RDWR | O_CREAT | O_TRUNC, 0600);
	check(fd >= 0 && write(fd, "deleted", 7) == 7 && !unlink("/tmp/golden/deleted"), "deleted file");
	fd = open("/tmp/golden/file", O_RDWR | O_CREAT | O_TRUNC, 0644);
	check(fd >= 0 && write(fd, "a file", 6) == 6 && !flock(fd, LOCK_EX), "file");
	check(open("/tmp/golden", O_PATH) >= 0 && open("/proc/self/status", O_RDONLY) >= 0, "open");
	check(syscall(SYS_pidfd_open, getpid(), 0) >= 0, "pidfd");
}

static void make_signals(void)
{
	const struct itimerspec time = { .it_value.tv_sec = 1000000, .it_interval.tv_sec = 1 };
	struct sigevent event = { .sigev_notify = SIGEV_NONE };
	timer_t timer;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	check(!sigprocmask(SIG_BLOCK, &set, NULL) && !kill(getpid(), SIGUSR1), "pending signal");
	check(signal(SIGUSR2, SIG_IGN) != SIG_ERR, "signal");
	check(!timer_create(CLOCK_MONOTONIC, &event, &timer) && !timer_settime(timer, 0, &time, NULL), "timer");
}

static void *sleep_long(void *arg)
{
	prctl(PR_SET_NAME, arg);
	sleep(1000000);
	return NULL;
}

static void make_tasks(void)
{
	static char name[] = "a thread";
	pthread_t thread;
	pid_t pid;

	check(!pthread_create(&thread, NULL, sleep_long, name), "thread");
	pid = fork();
	check(pid >= 0, "fork");
	if (!pid) {
		strcpy(memory, "of the child");
		setpgid(0, 0);
		sleep_long("a child");
	}
	pid = fork();
	check(pid >= 0, "fork");
	if (!pid)
		_exit(42);
	check(!waitid(P_PID, pid, NULL, WEXITED | WNOWAIT), "zombie");
}

static void write_again(int signal)
{
	*(int *)(memory + 5 * PAGE) = signal;
}

int main(void)
{
	int fd;

	signal(SIGHUP, write_again);
	make_memory();
	make_files();
	make_signals();
	make_tasks();
	fd = open("/tmp/golden/ready", O_WRONLY | O_CREAT, 0600);
	check(fd >= 0 && !close(fd), "ready");
	for (;;)
		pause();
}
