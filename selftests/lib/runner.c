// SPDX-License-Identifier: GPL-2.0
#include "runner.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WAIT_S 20

/* One that expires, unheard; the others are set for later. */
static bool set_timers(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGURG };
	struct itimerspec often = { { 0, 7000000 }, { 0, 7000000 } }, later = { { 0, 0 }, { 1000, 0 } };
	struct itimerval cpu = { { 1000, 0 }, { 1000, 0 } };
	timer_t timer[2];

	return !timer_create(CLOCK_MONOTONIC, &event, &timer[0]) && !timer_settime(timer[0], 0, &often, NULL) &&
	       !timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer[1]) &&
	       !timer_settime(timer[1], 0, &later, NULL) && !setitimer(ITIMER_PROF, &cpu, NULL);
}

/* Memory with a seal, a counter, and a pipe that signals. */
static bool open_some(const int *ends)
{
	int fd = memfd_create("some", MFD_ALLOW_SEALING);

	return fd >= 0 && write(fd, "text", 4) == 4 && !fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) &&
	       mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED && eventfd(5, 0) >= 0 &&
	       !fcntl(ends[0], F_SETOWN, getpid()) && !fcntl(ends[0], F_SETSIG, SIGURG) &&
	       !fcntl(ends[0], F_SETFL, O_ASYNC);
}

bool runner_with_ghosts;

/* A named pipe with a byte in it and a symbolic link, both deleted, and a file that has another name. */
static bool have_odd_ghosts(void)
{
	const char *path = format("/var/tmp/kckpt-linked-%d", getpid()), *other = format("/var/tmp/kckpt-other-%d", getpid());
	int fd;

	if (mkfifo(path, 0600) || (fd = open(path, O_RDWR)) < 0 || write(fd, "x", 1) != 1 || unlink(path))
		return false;
	if (symlink("/nowhere", path) || open(path, O_PATH | O_NOFOLLOW) < 0 || unlink(path))
		return false;
	return write_file(path, "x") && open(path, O_RDONLY) >= 0 && !link(path, other) && !unlink(path) &&
	       !access(other, F_OK);
}

/* Of the system, of its own, and of a child that has ended. */
static bool have_proc_files(void)
{
	pid_t pid = fork();

	if (!pid)
		for (;;)
			pause();
	return open("/proc/stat", O_RDONLY) >= 0 && open("/proc/self/maps", O_RDONLY) >= 0 &&
	       open(format("/proc/%d", pid), O_RDONLY) >= 0 && !kill(pid, SIGKILL) && waitpid(pid, NULL, 0) == pid;
}

/* A deleted file on a tmpfs and one on the root file system, locked, a removed working directory, and files of proc. */
static bool have_ghosts(void)
{
	const char *paths[] = { test_path("ghost"), format("/var/tmp/kckpt-ghost-%d", getpid()) };
	int fd, i;

	for (i = 0; i < 2; i++) {
		fd = open(paths[i], O_RDWR | O_CREAT | O_EXCL, 0600);
		if (fd < 0 || write(fd, "content", 7) != 7 || ftruncate(fd, 1 << 20) || pwrite(fd, "end", 3, 100000) != 3 ||
		    flock(fd, LOCK_EX) || unlink(paths[i]))
			return false;
	}
	return have_odd_ghosts() && have_proc_files() && !mkdir(paths[0], 0700) && !chdir(paths[0]) && !rmdir(paths[0]);
}

bool runner_with_children;

/* A pidfd of a process that is gone. */
static bool have_dead_pidfd(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	return pid > 0 && pidfd_open(pid, 0) >= 0 && waitpid(pid, NULL, 0) == pid;
}

/* They share memory copy-on-write, and descriptors, with some pidfds among them. */
static bool have_children(void)
{
	siginfo_t info;
	pid_t pid;

	if (!have_dead_pidfd())
		return false;
	pid = fork();
	if (!pid) {
		setpgid(0, 0);
		fork();
		for (;;)
			pause();
	}
	if (pid < 0 || pidfd_open(pid, 0) < 0 || (pid = fork()) < 0)
		return false;
	if (!pid)
		_exit(3);
	return pidfd_open(pid, 0) >= 0 && !waitid(P_PID, pid, &info, WEXITED | WNOWAIT);
}

size_t runner_with_memory;

static bool have_memory(void)
{
	uint64_t *at = mmap(NULL, runner_with_memory, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t i;

	if (at == MAP_FAILED)
		return false;
	for (i = 0; i < runner_with_memory / sizeof(*at); i++)
		at[i] = i + 1;
	return true;
}

bool runner_with_threads;
static uint32_t never;		/* woken */

/* As no other one, and as nobody who makes threads. */
static bool be_different(void)
{
	const struct sched_param param = {};
	cpu_set_t first;

	CPU_ZERO(&first);
	CPU_SET(0, &first);
	return !setpriority(PRIO_PROCESS, gettid(), 3) && !sched_setscheduler(0, SCHED_BATCH, &param) &&
	       !sched_setaffinity(0, sizeof(first), &first);
}

static void *wait_for_ever(void *how)
{
	sigset_t urgent;

	if (how == (void *)8 && !be_different())
		abort();
	sigemptyset(&urgent);
	sigaddset(&urgent, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &urgent, NULL);
	pthread_kill(pthread_self(), SIGUSR1);
	for (;;) {
		if ((intptr_t)how % 3 == 0)
			futex_wait(&never, 0, -1);
		else if ((intptr_t)how % 3 == 1)
			sleep(1000);
		else
			poll(NULL, 0, 1000000);
	}
	return NULL;
}

static bool have_threads(void)
{
	pthread_t thread;
	sigset_t all;
	intptr_t how;

	/* One for the process, that none of them takes. */
	sigemptyset(&all);
	sigaddset(&all, SIGUSR2);
	if (pthread_sigmask(SIG_BLOCK, &all, NULL) || kill(getpid(), SIGUSR2))
		return false;
	/* So many that a restore lets them create each other. */
	for (how = 0; how < 9; how++)
		if (pthread_create(&thread, NULL, wait_for_ever, (void *)how))
			return false;
	return true;
}

/* With a few pages, open files of several kinds, locks, timers: so that its image has something of everything. */
static int count(void)
{
	struct flock lock = { .l_type = F_RDLCK, .l_len = 2 };
	const char *data = test_path(format("data.%d", getpid()));
	int ends[2], file;
	char *at = mmap(NULL, 20 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	at[0] = at[9 * 4096] = 1;
	JOB_SETUP(!pipe(ends) && write(ends[1], "unread", 6) == 6);
	JOB_SETUP(write_file(data, "data") && (file = open(data, O_RDONLY)) >= 0);
	JOB_SETUP(!flock(file, LOCK_SH) && !fcntl(file, F_SETLK, &lock) && !fcntl(file, F_OFD_SETLK, &lock));
	JOB_SETUP(!fcntl(file, F_SETLEASE, F_RDLCK) && set_timers());
	JOB_SETUP(open_some(ends));
	JOB_SETUP(!runner_with_ghosts || have_ghosts());
	JOB_SETUP(!runner_with_children || have_children());
	JOB_SETUP(!runner_with_threads || have_threads());
	JOB_SETUP(!runner_with_memory || have_memory());
	for (;;) {
		__atomic_add_fetch(job_notes(), 1, __ATOMIC_SEQ_CST);
		usleep(1000);
	}
	return 0;
}

void runner_start(struct job *job)
{
	job_start(job, count, NULL);
	ASSERT_TRUE(runner_runs(job));
}

bool runner_runs(struct job *job)
{
	uint64_t before = __atomic_load_n(job_notes(), __ATOMIC_SEQ_CST);
	double end = now() + WAIT_S;

	(void)job;
	while (now() < end) {
		if (__atomic_load_n(job_notes(), __ATOMIC_SEQ_CST) > before + 1)
			return true;
		usleep(1000);
	}
	return false;
}

bool runner_is_gone(struct job *job)
{
	double end = now() + WAIT_S;
	bool childless;

	while (now() < end) {
		childless = reap_children();
		/* A task leaves its cgroup before it becomes a zombie. */
		if (kill(job->pid, 0) && cgroup_is_empty(job->cgroup) && (childless || !runner_with_children))
			return !cgroup_is_frozen(job->cgroup);
		usleep(1000);
	}
	return false;
}

/* Ends the test, with the reasons. */
static void give_up(const char *what, int err, int dev)
{
	test_say("%s: error %d", what, err);
	device_say_report(dev);
	test_give_up();
}

void runner_dump(struct job *job, struct image *image)
{
	int dev = device_open();
	int err = device_freeze(dev, job->cgroup) ?: device_capture(dev) ?: device_read(dev, image) ?:
		  device_do(dev, KCKPT_IOC_KILL);

	if (err)
		give_up("dump", err, dev);
	close(dev);
	ASSERT_TRUE(runner_is_gone(job));
}

void runner_restore(struct job *job, const struct image *image)
{
	int dev = device_open();
	int err = device_restore(dev, image, job->cgroup, 0);

	if (err)
		give_up("restore", err, dev);
	close(dev);
	ASSERT_TRUE(runner_runs(job));
}
