// SPDX-License-Identifier: GPL-2.0
/*
 * Jobs that never stand still, and others who interfere: they are dumped, and run on, or are refused for a reason that goes
 * away by itself; those who hold sessions are killed at any moment.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device.h"
#include "job.h"
#include "runner.h"

#define WORKERS 5

/* A random number below @end. */
static uint32_t below(uint32_t *seed, uint32_t end)
{
	return random_next(seed) % end;
}

/* ---- the job ---- */

static pid_t workers[WORKERS];
static volatile sig_atomic_t heard;

static void hear(int sig)
{
	(void)sig;
	heard++;
}

/* A child, sometimes with a child that outlives it, or in a group or session of its own. */
static bool storm_fork(uint32_t *seed)
{
	uint32_t kind = below(seed, 5);
	pid_t pid = fork();

	if (!pid) {
		if (kind == 1)
			setsid();
		if (kind == 2)
			setpgid(0, 0);
		if (kind == 3 && !fork())
			usleep(2000);
		_exit(0);
	}
	return pid > 0 && (kind == 4 || waitpid(pid, NULL, 0) == pid);	/* 4: the next one reaps it */
}

static bool storm_exec(uint32_t *seed)
{
	char *argv[] = { "true", NULL }, *none[] = { NULL };
	pid_t pid;

	(void)seed;
	return !posix_spawn(&pid, "/bin/true", NULL, NULL, argv, none) && waitpid(pid, NULL, 0) == pid;
}

static void *wake_up_and_end(void *arg)
{
	usleep(1 + below(arg, 500));
	return NULL;
}

static bool storm_threads(uint32_t *seed)
{
	uint32_t seeds[3] = { random_next(seed), random_next(seed), random_next(seed) };
	pthread_t threads[3];
	int i, nr = 0;

	while (nr < 3 && !pthread_create(&threads[nr], NULL, wake_up_and_end, &seeds[nr]))
		nr++;
	for (i = 0; i < nr; i++)
		pthread_join(threads[i], NULL);
	return nr == 3;
}

static bool storm_memory(uint32_t *seed)
{
	size_t len = 4096 * (1 + below(seed, 64)), at = below(seed, len / 4096) * 4096;
	int shared = below(seed, 2) ? MAP_SHARED : MAP_PRIVATE;
	char *area = mmap(NULL, len, PROT_READ | PROT_WRITE, shared | MAP_ANONYMOUS, -1, 0);

	if (area == MAP_FAILED)
		return false;
	area[at] = 1;
	mprotect(area + at, 4096, PROT_READ);
	madvise(area, len, MADV_DONTNEED);
	munmap(area + at, 4096);
	return !munmap(area, len);
}

static bool storm_files(uint32_t *seed)
{
	int ends[2], fd = open("/proc/self/exe", O_RDONLY), copy = dup(fd), counter = eventfd(1, 0);
	bool ok = fd >= 0 && copy >= 0 && counter >= 0 && !pipe(ends);

	if (ok && below(seed, 2))
		ok = write(ends[1], "some", 4) == 4;
	return ok & !close(ends[0]) & !close(ends[1]) & !close(fd) & !close(copy) & !close(counter);
}

static bool storm_signals(uint32_t *seed)
{
	kill(workers[below(seed, WORKERS)], SIGUSR1);
	return !raise(SIGUSR2);
}

static int work(int nr)
{
	static bool (*const storms[])(uint32_t *seed) = { storm_fork, storm_threads, storm_memory, storm_files, storm_signals,
							  storm_exec };
	uint32_t seed = 77 + nr, kind;

	for (;;) {
		kind = below(&seed, 32);
		kind = kind < 31 ? kind % 5 : 5;	/* exec takes long */
		if (!storms[kind](&seed))
			return 10 + kind;
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		__atomic_add_fetch(&job_notes()[1 + nr], 1, __ATOMIC_SEQ_CST);
	}
}

/* The first process only looks after the others: those that others kill are started again. */
static int storm(void)
{
	struct sigaction action = { .sa_handler = hear, .sa_flags = SA_RESTART };
	int nr, status;
	pid_t pid;

	JOB_SETUP(!sigaction(SIGUSR1, &action, NULL) && !sigaction(SIGUSR2, &action, NULL));
	for (;;) {
		for (nr = 0; nr < WORKERS; nr++) {
			if (workers[nr])
				continue;
			workers[nr] = fork();
			if (!workers[nr])
				_exit(work(nr));
			JOB_CHECK(workers[nr] > 0);
		}
		__atomic_add_fetch(job_notes(), 1, __ATOMIC_SEQ_CST);
		pid = waitpid(-1, &status, WNOHANG);
		for (nr = 0; pid > 0 && nr < WORKERS; nr++) {
			if (workers[nr] != pid)
				continue;
			workers[nr] = 0;
			/* Who ended by itself has seen something that should not be. */
			if (WIFEXITED(status))
				job_notes()[10 + nr] = WEXITSTATUS(status);
		}
		usleep(500);
	}
	return 0;
}

static void start(struct job *job)
{
	job_start(job, storm, NULL);
	ASSERT_TRUE(runner_runs(job));
}

/* All of them do something, none has seen an error. */
static bool goes_on(struct job *job)
{
	uint64_t before[WORKERS];
	double end = now() + 20 * test_patience();
	int nr;

	for (nr = 0; nr < WORKERS; nr++)
		before[nr] = job_notes()[1 + nr];
	for (nr = 0; nr < WORKERS && now() < end; usleep(500))
		while (nr < WORKERS && __atomic_load_n(&job_notes()[1 + nr], __ATOMIC_SEQ_CST) > before[nr])
			nr++;
	if (nr < WORKERS)
		test_say("worker %d stands still", nr);
	for (nr = 0; nr < WORKERS; nr++)
		if (!EXPECT_EQ(0, job_notes()[10 + nr]))
			return false;
	return nr == WORKERS && !cgroup_is_frozen(job->cgroup) && runner_runs(job);
}

/* ---- dumps ---- */

/* What may keep a job from being dumped for a moment, and not for longer. */
static bool is_transient(uint32_t code)
{
	return code == KCKPT_E_TASK_VFORK || code == KCKPT_E_TASK_DYING || code == KCKPT_E_TASK_STOPPED ||
	       code == KCKPT_E_JOB_MOVED;
}

/* 0, or the code of an error that goes away; any other fails the test. Closes @dev. */
static uint32_t transient(int dev, int err)
{
	uint32_t code = device_first_code(dev);

	if (err && !is_transient(code)) {
		test_failed(__FILE__, __LINE__, "dump: error %d", err);
		device_say_report(dev);
	}
	close(dev);
	return err ? code : 0;
}

static uint32_t dump(const char *cgroup, struct image *image, unsigned long end)
{
	int dev = device_open();

	return transient(dev, device_freeze(dev, cgroup) ?: device_capture(dev) ?: device_read(dev, image) ?:
			      device_do(dev, end));
}

static uint32_t dump_and_thaw(const char *cgroup, struct image *image, uint32_t flags)
{
	struct kckpt_capture request = { .flags = flags | KCKPT_CAPTURE_FILES };
	int dev = device_open();

	return transient(dev, device_freeze(dev, cgroup) ?: device_capture_with(dev, &request) ?:
			      device_read_and_thaw(dev, &request, image));
}

static void leave_running(uint32_t flags)
{
	int i, nr = test_is_long() ? 2000 : 60, refused = 0;
	struct image image = {};
	struct job job;

	start(&job);
	for (i = 0; i < nr; i++) {
		refused += !!dump_and_thaw(job.cgroup, &image, flags);
		if (!EXPECT_TRUE(goes_on(&job)))
			break;
	}
	test_say("%d dumps, %d of them refused for a moment", i, refused);
	EXPECT_TRUE(refused * 2 < nr);
}

TEST_LIMIT(storm_dumped_and_left_running, 1200)
{
	leave_running(0);
}

/* While its memory is read it does all of that. */
TEST_LIMIT(storm_dumped_while_it_runs, 1200)
{
	leave_running(KCKPT_CAPTURE_KEEP);
}

static void *ends_at_once(void *arg)
{
	return arg;
}

static void *makes_threads(void *arg)
{
	pthread_t thread;

	for (;;) {
		if (pthread_create(&thread, NULL, ends_at_once, arg) || pthread_join(thread, NULL))
			job_notes()[1]++;
		__atomic_add_fetch(job_notes(), 1, __ATOMIC_SEQ_CST);
	}
	return arg;
}

static int threads_for_ever(void)
{
	pthread_t thread;
	int i;

	for (i = 0; i < 3; i++)
		JOB_SETUP(!pthread_create(&thread, NULL, makes_threads, NULL));
	makes_threads(NULL);
	return 0;
}

/* One that ends has left the cgroup, which is frozen without it, and is still one of its process. */
TEST_LIMIT(storm_of_threads_that_end, 1200)
{
	int i, nr = test_is_long() ? 5000 : 200;
	struct image image = {};
	struct job job;

	job_start(&job, threads_for_ever, NULL);
	ASSERT_TRUE(runner_runs(&job));
	for (i = 0; i < nr; i++)
		if (!EXPECT_EQ(0, dump_and_thaw(job.cgroup, &image, 0)))
			break;
	EXPECT_TRUE(runner_runs(&job) && !job_notes()[1]);
}

static void reap(void)
{
	while (waitpid(-1, NULL, WNOHANG | __WALL) > 0)
		;
}

static bool is_gone(const struct job *job)
{
	double end = now() + 20;

	for (; now() < end; usleep(1000)) {
		reap();
		if (kill(job->pid, 0) && cgroup_is_empty(job->cgroup))
			return true;
	}
	return false;
}

TEST_LIMIT(storm_killed_and_restored, 1200)
{
	int i, nr = test_is_long() ? 500 : 8, refused = 0;
	struct image image = {};
	struct job job;

	start(&job);
	for (i = 0; i < nr; i++) {
		if (dump(job.cgroup, &image, KCKPT_IOC_KILL)) {
			refused++;
		} else {
			ASSERT_TRUE(is_gone(&job));
			runner_restore(&job, &image);
		}
		if (!EXPECT_TRUE(goes_on(&job)))
			break;
	}
	test_say("%d trips, and %d refused for a moment", i - refused, refused);
	EXPECT_TRUE(refused * 2 < nr);
}

/* ---- others interfere ---- */

static pid_t some_worker(const struct job *job, uint32_t *seed)
{
	char *pids = read_file(format("%s/cgroup.procs", job->cgroup)), *at = pids, *line;
	pid_t pid = 0, one;
	uint32_t nr = below(seed, 8);

	while (at && (line = strsep(&at, "\n"))) {
		one = atoi(line);
		if (one > 0 && one != job->pid) {
			pid = one;
			if (!nr--)
				break;
		}
	}
	free(pids);
	return pid;
}

/* Thaws it, kills and moves what is in it, puts others into it, until it is killed. */
static void interfere(const struct job *job, const char *elsewhere)
{
	uint32_t seed = 4711;
	pid_t pid;

	for (;;) {
		usleep(below(&seed, 80000));
		pid = some_worker(job, &seed);
		switch (below(&seed, 5)) {
		case 0:
			write_file(format("%s/cgroup.freeze", job->cgroup), "0");
			break;
		case 1:
			if (pid)
				kill(pid, SIGKILL);
			break;
		case 2:
			if (!pid)
				break;
			write_file(format("%s/cgroup.procs", elsewhere), format("%d", pid));
			usleep(below(&seed, 10000));
			write_file(format("%s/cgroup.procs", job->cgroup), format("%d", pid));
			break;
		case 3:
			if (!pid)
				break;
			kill(pid, SIGSTOP);
			usleep(below(&seed, 10000));
			kill(pid, SIGCONT);
			break;
		default:
			pid = fork();
			if (!pid) {
				close_range(0, ~0U, 0);
				usleep(below(&seed, 40000));
				_exit(0);
			}
			write_file(format("%s/cgroup.procs", job->cgroup), format("%d", pid));
		}
		reap();
	}
}

/* Of what runs on while it is looked at anything may be said, but for two things: nothing, and that it did not stop. */
static bool is_of_the_others(uint32_t code)
{
	return code && code != KCKPT_E_FREEZE_TIMEOUT && code != KCKPT_E_NO_MEMORY;
}

TEST_LIMIT(storm_with_others_who_interfere, 1200)
{
	int i, nr = test_is_long() ? 5000 : 150, refused = 0, dev, err;
	const char *elsewhere = test_new_cgroup();
	int nr_of[KCKPT_E_END] = {};
	struct image image = {};
	struct job job;
	pid_t others;

	start(&job);
	others = fork();
	if (!others)
		interfere(&job, elsewhere);
	for (i = 0; i < nr; i++) {
		dev = device_open();
		err = device_freeze(dev, job.cgroup) ?: device_capture(dev) ?: device_read(dev, &image) ?:
		      device_do(dev, KCKPT_IOC_THAW);
		refused += !!err;
		nr_of[device_first_code(dev)] += !!err;
		if (err && !is_of_the_others(device_first_code(dev))) {
			test_failed(__FILE__, __LINE__, "dump %d: error %d", i, err);
			device_say_report(dev);
		}
		close(dev);
		if (!EXPECT_TRUE(!cgroup_is_frozen(job.cgroup) && runner_runs(&job)))
			break;
	}
	kill(others, SIGKILL);
	waitpid(others, NULL, 0);
	test_say("%d dumps, %d of them refused", i, refused);
	for (i = 0; i < KCKPT_E_END; i++)
		if (nr_of[i])
			test_say("%d times %s", nr_of[i], error_name(i));
	EXPECT_TRUE(refused > 0 && refused < nr);
}

/* ---- who holds a session is killed ---- */

static int kills(void)
{
	return test_is_long() ? 10000 : 600;
}

/* Does all of it again and again until it is killed. */
static void dump_for_ever(const struct job *job)
{
	struct image image = {};

	for (;;)
		device_dump(job->cgroup, &image, KCKPT_IOC_THAW);
}

TEST_LIMIT(storm_of_kills_during_dumps, 3000)
{
	uint32_t seed = 5;
	struct job job;
	pid_t pid;
	int i;

	runner_with_children = true;
	runner_start(&job);
	for (i = 0; i < kills(); i++) {
		pid = fork();
		if (!pid)
			dump_for_ever(&job);
		usleep(below(&seed, 12000));
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, NULL, 0));
		/* The thaw had begun before its end could be seen. */
		if (cgroup_is_frozen(job.cgroup) || !runner_runs(&job)) {
			test_failed(__FILE__, __LINE__, "killed %d times, and the job does not run", i + 1);
			break;
		}
	}
	test_say("%d kills", i);
}

static void restore_for_ever(const struct job *job, const struct image *image)
{
	int dev;

	for (;;) {
		dev = device_open();
		device_restore(dev, image, job->cgroup, KCKPT_INSTANTIATE_FILES_CHANGED);
		device_do(dev, KCKPT_IOC_ABORT);
		close(dev);
		while (!cgroup_is_empty(job->cgroup)) {
			kill(job->pid, SIGKILL);
			reap();
		}
	}
}

/* Restored or not, by then. */
static bool runs_or_is_gone(struct job *job)
{
	double end = now() + 20;

	for (; now() < end; usleep(1000)) {
		reap();
		if (kill(job->pid, 0) && cgroup_is_empty(job->cgroup))
			return !cgroup_is_frozen(job->cgroup);
		if (!cgroup_is_frozen(job->cgroup))
			kill(job->pid, SIGKILL);
	}
	return false;
}

TEST_LIMIT(storm_of_kills_during_restores, 3000)
{
	struct image image = {};
	uint32_t seed = 6;
	struct job job;
	pid_t pid;
	int i, dev;

	runner_start(&job);
	runner_dump(&job, &image);
	for (i = 0; i < kills(); i++) {
		pid = fork();
		if (!pid)
			restore_for_ever(&job, &image);
		usleep(below(&seed, 25000));
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, NULL, 0));
		if (!runs_or_is_gone(&job)) {
			test_failed(__FILE__, __LINE__, "killed %d times, and something is left", i + 1);
			break;
		}
	}
	test_say("%d kills", i);
	ASSERT_EQ(0, system("ls -a /tmp /var/tmp | grep -q -e '^[.]kckpt'") == 0);
	dev = device_open();
	EXPECT_EQ(0, device_restore(dev, &image, job.cgroup, KCKPT_INSTANTIATE_FILES_CHANGED));
	close(dev);
	EXPECT_TRUE(runner_runs(&job));
}
