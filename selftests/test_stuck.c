// SPDX-License-Identifier: GPL-2.0
/*
 * Servers that do not answer: a task that waits for one cannot be frozen, and a dump or restore that needs one cannot go on.
 * Each is told within its bound, and the job runs on.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device.h"
#include "fuse.h"
#include "job.h"
#include "runner.h"

static const char *folder;

/* ---- a task in an uninterruptible call ---- */

static pid_t stuck;

static int one_is_stuck(void)
{
	struct stat st;

	stuck = fork();
	if (!stuck) {
		job_notes()[1] = getpid();
		stat(format("%s/file", folder), &st);	/* it forgets what it knew at once */
		_exit(0);
	}
	for (;;) {
		__atomic_add_fetch(job_notes(), 1, __ATOMIC_SEQ_CST);
		usleep(1000);
	}
	return 0;
}

/* Is there an error of that code about that process? */
static bool is_reported(int dev, uint32_t code, pid_t pid)
{
	struct kckpt_error errors[16] = {};
	struct kckpt_report request = { .errors = (uintptr_t)errors, .nr = 16 };
	uint32_t i;

	ASSERT_EQ(0, ioctl(dev, KCKPT_IOC_REPORT, &request));
	for (i = 0; i < request.nr; i++)
		if (errors[i].code == code && errors[i].pid == pid)
			return true;
	device_say_report(dev);
	return false;
}

/* Returns the process that is stuck. */
static pid_t start_with_one_stuck(struct job *job)
{
	pid_t pid;

	folder = fuse_mount();
	fuse_silence();
	job_start(job, one_is_stuck, NULL);
	ASSERT_TRUE(runner_runs(job));
	while (!(pid = __atomic_load_n(&job_notes()[1], __ATOMIC_SEQ_CST)))
		usleep(1000);
	ASSERT_TRUE(wait_in_syscall(pid, pid, SYS_newfstatat));
	return pid;
}

TEST(stuck_task_is_named_in_time)
{
	struct kckpt_freeze request = { .timeout_ms = 500 };
	double from, took;
	struct job job;
	pid_t pid;
	int dev;

	pid = start_with_one_stuck(&job);
	dev = device_open();
	from = now();
	EXPECT_EQ(ETIMEDOUT, device_freeze_with(dev, &request, job.cgroup));
	took = now() - from;
	EXPECT_TRUE(is_reported(dev, KCKPT_E_FREEZE_TIMEOUT, pid));
	/* All run on before the answer is there. */
	EXPECT_TRUE(!cgroup_is_frozen(job.cgroup) && runner_runs(&job));
	EXPECT_TRUE(took > 0.4 && took < 0.5 + 5 * test_patience());
	close(dev);
	fuse_abort();
}

/* splice() has the pipe locked, which the one who has the session might want: it does not wait. */
TEST(stuck_request_does_not_lock_a_pipe)
{
	struct kckpt_freeze request = { .timeout_ms = 2000 * test_patience() };
	struct job job;
	int dev, ends[2];
	pid_t pid;

	start_with_one_stuck(&job);
	dev = device_open();
	ASSERT_EQ(0, pipe(ends));
	pid = fork();
	if (!pid)
		_exit(device_freeze_with(dev, &request, job.cgroup) != ETIMEDOUT);
	ASSERT_TRUE(wait_in_syscall(pid, pid, SYS_ioctl));
	EXPECT_TRUE(splice(dev, NULL, ends[1], NULL, 4096, 0) == -1 && errno == EBUSY);
	EXPECT_EQ(-1, wait_exit(pid, 0));	/* it was still at it */
	EXPECT_EQ(0, wait_exit(pid, 60000));
	close(dev);
	fuse_abort();
}

/* ---- a task that does not end ---- */

/* Held by a tracer, us, before it even begins to. */
static void let_end(pid_t tid)
{
	EXPECT_EQ(tid, waitpid(tid, NULL, __WALL));
	EXPECT_EQ(0, ptrace(PTRACE_DETACH, tid, 0, 0));
}

/* Who kills is patient as long as others begin to end, and not for ever: who does not is named, and ends when it can. */
TEST_LIMIT(stuck_before_its_end_is_named_in_time, 120)
{
	const int first_s = 5, patience_s = 10;
	struct image image = {};
	int dev = device_open();
	struct job job;
	double from;
	pid_t pid, tid;

	runner_with_threads = true;
	runner_start(&job);
	tid = thread_of(job.pid);
	ASSERT_TRUE(tid);
	ASSERT_EQ(0, device_freeze(dev, job.cgroup) ?: device_capture(dev) ?: device_read(dev, &image));
	ASSERT_EQ(0, ptrace(PTRACE_SEIZE, job.pid, 0, PTRACE_O_TRACEEXIT));
	ASSERT_EQ(0, ptrace(PTRACE_SEIZE, tid, 0, PTRACE_O_TRACEEXIT));
	from = now();
	pid = fork();
	if (!pid)
		_exit(device_do(dev, KCKPT_IOC_KILL) != ETIMEDOUT);
	sleep(first_s);
	let_end(tid);
	EXPECT_EQ(0, wait_exit(pid, 60000));
	EXPECT_TRUE(now() - from > first_s + patience_s - 1 &&
		    now() - from < first_s + patience_s + 5 * test_patience());
	EXPECT_TRUE(is_reported(dev, KCKPT_E_KILL_TIMEOUT, job.pid));
	close(dev);
	let_end(job.pid);
	EXPECT_TRUE(runner_is_gone(&job));
}

/* ---- a dump, and a restore, that need its answer ---- */

static int open_one(void)
{
	JOB_SETUP(open(format("%s/file", folder), O_RDONLY) >= 0);
	for (;;) {
		__atomic_add_fetch(job_notes(), 1, __ATOMIC_SEQ_CST);
		usleep(1000);
	}
	return 0;
}

/* A job with a file of a server that answers as yet. */
static void start_with_file(struct job *job)
{
	folder = fuse_mount();
	job_start(job, open_one, NULL);
	ASSERT_TRUE(runner_runs(job));
}

static bool thaws_within(const struct job *job, double seconds)
{
	double end = now() + seconds;

	while (cgroup_is_frozen(job->cgroup) && now() < end)
		usleep(1000);
	return !cgroup_is_frozen(job->cgroup);
}

/* The watchdog does not need who is stuck. */
static void expect_a_way_out(struct job *job, pid_t dumper)
{
	double end = now() + 20;

	while (!cgroup_is_frozen(job->cgroup) && now() < end)
		usleep(100);
	EXPECT_TRUE(cgroup_is_frozen(job->cgroup));
	EXPECT_TRUE(thaws_within(job, 1 + 5 * test_patience()) && runner_runs(job));
	EXPECT_TRUE(!kill(dumper, SIGKILL) && wait_exit(dumper, 10000) == 128 + SIGKILL);
	EXPECT_TRUE(runner_runs(job));
}

TEST(stuck_dump_thaws_and_can_be_killed)
{
	struct kckpt_freeze request = { .stall_ms = 1000 };
	struct image image = {};
	struct job job;
	pid_t pid;
	int dev;

	start_with_file(&job);
	fuse_silence();
	pid = fork();
	if (!pid) {
		dev = device_open();
		device_freeze_with(dev, &request, job.cgroup);
		device_capture(dev);
		device_read(dev, &image);
		_exit(0);
	}
	expect_a_way_out(&job, pid);
	fuse_abort();
}

TEST(stuck_restore_can_be_killed)
{
	struct image image = {};
	struct job job;
	pid_t pid;
	int dev;

	start_with_file(&job);
	runner_dump(&job, &image);
	fuse_silence();
	pid = fork();
	if (!pid) {
		dev = device_open();
		device_restore(dev, &image, job.cgroup, KCKPT_INSTANTIATE_FILES_CHANGED);
		_exit(0);
	}
	usleep(500000 * test_patience());	/* it waits for the server by then */
	ASSERT_EQ(-1, wait_exit(pid, 0));
	EXPECT_TRUE(!kill(pid, SIGKILL) && wait_exit(pid, 10000) == 128 + SIGKILL);
	EXPECT_TRUE(runner_is_gone(&job));
	fuse_abort();
}
