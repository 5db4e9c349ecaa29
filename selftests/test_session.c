// SPDX-License-Identifier: GPL-2.0
/*
 * Sessions that do not come to their end, whatever the reason: the job runs on, or nothing is left. Here through the
 * ioctls; test_tool.c does the like with the command.
 */
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device.h"
#include "job.h"
#include "runner.h"

/* ---- requests in states that do not allow them ---- */

TEST(session_requests_out_of_order)
{
	struct image image = { (uint8_t *)"x", 1 };
	int dev = device_open();

	EXPECT_EQ(EINVAL, device_capture(dev));
	EXPECT_EQ(KCKPT_E_BAD_STATE, device_first_code(dev));
	EXPECT_EQ(EINVAL, device_do(dev, KCKPT_IOC_THAW));
	EXPECT_EQ(EINVAL, device_do(dev, KCKPT_IOC_KILL));
	EXPECT_EQ(EINVAL, device_do(dev, KCKPT_IOC_RELEASE_FROZEN));
	EXPECT_EQ(EINVAL, device_instantiate(dev, NULL, KCKPT_INSTANTIATE_DRY_RUN));
	EXPECT_EQ(EINVAL, device_commit(dev));
	EXPECT_EQ(EINVAL, read(dev, &image, 1) < 0 ? errno : 0);
	EXPECT_EQ(KCKPT_EMPTY, device_state(dev));
	close(dev);
}

/* ---- a dump that ends early, in every state ---- */

static void dump_until(int dev, const char *cgroup, enum kckpt_state state)
{
	struct image image = {};
	char part[1000];

	if (state >= KCKPT_FROZEN)
		ASSERT_EQ(0, device_freeze(dev, cgroup));
	if (state >= KCKPT_CAPTURED)
		ASSERT_EQ(0, device_capture(dev));
	if (state == KCKPT_CAPTURED)
		ASSERT_EQ(sizeof(part), read(dev, part, sizeof(part)));
	if (state >= KCKPT_SAVED)
		ASSERT_EQ(0, device_read(dev, &image));
	EXPECT_EQ(state, device_state(dev));
}

TEST(session_dump_closed_in_every_state)
{
	enum kckpt_state state;
	struct job job;

	runner_start(&job);
	for (state = KCKPT_EMPTY; state <= KCKPT_SAVED; state++) {
		int dev = device_open();

		dump_until(dev, job.cgroup, state);
		close(dev);
		EXPECT_TRUE(runner_runs(&job) && !cgroup_is_frozen(job.cgroup));
	}
}

TEST(session_dump_aborted_in_every_state)
{
	enum kckpt_state state;
	struct job job;

	runner_start(&job);
	for (state = KCKPT_FROZEN; state <= KCKPT_SAVED; state++) {
		int dev = device_open();

		dump_until(dev, job.cgroup, state);
		EXPECT_EQ(0, device_do(dev, KCKPT_IOC_ABORT));
		EXPECT_TRUE(runner_runs(&job) && !cgroup_is_frozen(job.cgroup));
		EXPECT_EQ(KCKPT_FAILED, device_state(dev));
		close(dev);
	}
}

TEST(session_dump_then_thaw)
{
	struct image image = {};
	struct job job;

	runner_start(&job);
	EXPECT_EQ(0, device_dump(job.cgroup, &image, KCKPT_IOC_THAW));
	EXPECT_TRUE(runner_runs(&job));
}

/* What the operator froze stays frozen. */
TEST(session_dump_of_a_frozen_cgroup)
{
	struct image image = {};
	struct job job;

	runner_start(&job);
	ASSERT_TRUE(write_file(format("%s/cgroup.freeze", job.cgroup), "1"));
	EXPECT_EQ(0, device_dump(job.cgroup, &image, KCKPT_IOC_THAW));
	EXPECT_TRUE(cgroup_is_frozen(job.cgroup));
	ASSERT_TRUE(write_file(format("%s/cgroup.freeze", job.cgroup), "0"));
	EXPECT_TRUE(runner_runs(&job));
}

/* Whose end a tracer has not heard of yet, who came when it was captured: it is dead all the same. */
TEST(session_killed_while_a_thread_is_traced)
{
	struct image image = {};
	struct job job;
	double start;
	int dev = device_open();
	pid_t tid;

	runner_with_threads = true;
	runner_start(&job);
	tid = thread_of(job.pid);
	ASSERT_TRUE(tid);
	ASSERT_EQ(0, device_freeze(dev, job.cgroup) ?: device_capture(dev) ?: device_read(dev, &image));
	ASSERT_EQ(0, ptrace(PTRACE_SEIZE, tid, 0, 0));
	start = now();
	EXPECT_EQ(0, device_do(dev, KCKPT_IOC_KILL));
	EXPECT_TRUE(now() - start < 5 * test_patience());
	EXPECT_EQ(tid, waitpid(tid, NULL, __WALL));
	EXPECT_TRUE(runner_is_gone(&job));
	close(dev);
}

#define SLOW_MEMORY (16UL << 20)

static int has_memory(void)
{
	char *at = mmap(NULL, SLOW_MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	JOB_SETUP(at != MAP_FAILED && !madvise(at, SLOW_MEMORY, MADV_NOHUGEPAGE));
	memset(at, 1, SLOW_MEMORY);
	for (;;)
		__atomic_add_fetch(job_notes(), 1, __ATOMIC_SEQ_CST);
}

/* Who gives back memory in a thousandth of a CPU's time is not stuck. */
TEST_LIMIT(session_killed_without_haste, 300)
{
	struct image image = {};
	double start;
	struct job job;
	int dev;

	if (!test_is_long())
		test_skip("takes long");
	dev = device_open();
	job_start(&job, has_memory, NULL);
	ASSERT_TRUE(runner_runs(&job));
	ASSERT_EQ(0, device_freeze(dev, job.cgroup) ?: device_capture(dev) ?: device_read(dev, &image));
	ASSERT_TRUE(write_file(format("%s/cpu.max", job.cgroup), "1000 1000000"));
	start = now();
	EXPECT_EQ(0, device_do(dev, KCKPT_IOC_KILL));
	test_say("killed after %.1f s", now() - start);
	EXPECT_TRUE(runner_is_gone(&job));
	close(dev);
}

TEST(session_released_frozen)
{
	struct image image = {};
	struct job job;

	runner_start(&job);
	EXPECT_EQ(0, device_dump(job.cgroup, &image, KCKPT_IOC_RELEASE_FROZEN));
	EXPECT_TRUE(cgroup_is_frozen(job.cgroup));
	ASSERT_TRUE(write_file(format("%s/cgroup.freeze", job.cgroup), "0"));
	EXPECT_TRUE(runner_runs(&job));
}

/* ---- a restore that ends early, in every state ---- */

static void restore_until(int dev, const struct image *image, const char *cgroup, enum kckpt_state state)
{
	struct image begin = { image->data, 300 };
	size_t at = 0;

	if (state == KCKPT_LOADING)
		ASSERT_EQ(0, device_write(dev, &begin, &at));
	if (state >= KCKPT_LOADED)
		ASSERT_EQ(0, device_write(dev, image, &at));
	if (state >= KCKPT_INSTANTIATED)
		ASSERT_EQ(0, device_instantiate(dev, cgroup, 0));
	if (state >= KCKPT_COMPLETE)
		ASSERT_EQ(0, device_write(dev, image, &at));
	EXPECT_EQ(state, device_state(dev));
}

TEST(session_restore_closed_in_every_state)
{
	struct image image = {};
	enum kckpt_state state;
	struct job job;

	runner_start(&job);
	runner_dump(&job, &image);
	for (state = KCKPT_LOADING; state <= KCKPT_COMPLETE; state++) {
		int dev = device_open();

		restore_until(dev, &image, job.cgroup, state);
		close(dev);
		EXPECT_TRUE(runner_is_gone(&job));
	}
	runner_restore(&job, &image);
}

TEST(session_restore_aborted_in_every_state)
{
	struct image image = {};
	enum kckpt_state state;
	struct job job;

	runner_start(&job);
	runner_dump(&job, &image);
	for (state = KCKPT_LOADING; state <= KCKPT_COMPLETE; state++) {
		int dev = device_open();

		restore_until(dev, &image, job.cgroup, state);
		EXPECT_EQ(0, device_do(dev, KCKPT_IOC_ABORT));
		EXPECT_TRUE(runner_is_gone(&job));
		close(dev);
	}
	runner_restore(&job, &image);
}

static void *holds(void *lock)
{
	pthread_mutex_lock(lock);
	__atomic_add_fetch(job_notes(), 1, __ATOMIC_SEQ_CST);
	for (;;)
		pause();
	return NULL;
}

/* In a file, where its end would be told to others. */
static int holds_lock_in_a_file(void)
{
	pthread_mutexattr_t attributes;
	pthread_mutex_t *lock;
	pthread_t thread;
	int fd = open(test_path("lock"), O_RDWR);

	lock = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	JOB_SETUP(fd >= 0 && lock != MAP_FAILED && !pthread_mutexattr_init(&attributes));
	JOB_SETUP(!pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST));
	JOB_SETUP(!pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED));
	JOB_SETUP(!pthread_mutex_init(lock, &attributes) && !pthread_create(&thread, NULL, holds, lock));
	for (;;)
		pause();
	return 0;
}

TEST(session_restore_closed_tells_nobody_of_locks)
{
	char held[4096], then[4096] = {};
	struct image image = {};
	struct job job;
	size_t at = 0;
	int fd, dev;

	fd = open(test_path("lock"), O_RDWR | O_CREAT, 0600);
	ASSERT_TRUE(fd >= 0 && !ftruncate(fd, 4096));
	job_start(&job, holds_lock_in_a_file, NULL);
	while (!__atomic_load_n(job_notes(), __ATOMIC_SEQ_CST))
		usleep(1000);
	ASSERT_EQ(sizeof(held), pread(fd, held, sizeof(held), 0));
	runner_dump(&job, &image);
	/* The end of the first one is told. */
	ASSERT_EQ(sizeof(then), pread(fd, then, sizeof(then), 0));
	EXPECT_TRUE(memcmp(held, then, sizeof(held)));
	ASSERT_EQ(sizeof(held), pwrite(fd, held, sizeof(held), 0));

	dev = device_open();
	ASSERT_EQ(0, device_write(dev, &image, &at));
	ASSERT_EQ(0, device_instantiate(dev, job.cgroup, KCKPT_INSTANTIATE_FILES_CHANGED));
	ASSERT_EQ(0, device_write(dev, &image, &at));
	ASSERT_EQ(KCKPT_COMPLETE, device_state(dev));
	close(dev);
	EXPECT_TRUE(runner_is_gone(&job));
	ASSERT_EQ(sizeof(then), pread(fd, then, sizeof(then), 0));
	EXPECT_TRUE(!memcmp(held, then, sizeof(held)));
}

/* Not one instruction: it would count. */
TEST(session_restored_tasks_wait_for_the_commit)
{
	struct image image = {};
	enum kckpt_state state;
	uint64_t count;
	struct job job;
	int dev;

	runner_start(&job);
	runner_dump(&job, &image);
	count = job_notes()[0];
	for (state = KCKPT_INSTANTIATED; state <= KCKPT_COMPLETE; state++) {
		dev = device_open();
		restore_until(dev, &image, job.cgroup, state);
		usleep(300000);
		EXPECT_EQ(count, job_notes()[0]);
		close(dev);
		EXPECT_TRUE(runner_is_gone(&job));
		EXPECT_EQ(count, job_notes()[0]);
	}
	runner_restore(&job, &image);
	EXPECT_TRUE(job_notes()[0] > count);
}

static void *waits_for_ever(void *ends)
{
	while (!ends)
		pause();
	return NULL;
}

static long own_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

#define NR_OWN_PAGES 1000

/*
 * Tasks are created from it. What was copied for them is written to with a fault afterwards: @copied. What later children
 * have of it stays as it was.
 */
static void expect_memory_of_caller(bool copied, bool has_left_out)
{
	char *area = mmap(NULL, NR_OWN_PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *left_out = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct image image = {};
	struct job job;
	long faults;
	pid_t pid;
	int dev, i;

	runner_start(&job);
	runner_dump(&job, &image);
	ASSERT_TRUE(area != MAP_FAILED && !madvise(area, NR_OWN_PAGES * 4096, MADV_NOHUGEPAGE));
	ASSERT_TRUE(!has_left_out || !madvise(left_out, 4096, MADV_DONTFORK));
	memset(area, 1, NR_OWN_PAGES * 4096);
	dev = device_open();
	restore_until(dev, &image, job.cgroup, KCKPT_COMPLETE);
	ASSERT_EQ(0, device_commit(dev));
	close(dev);
	EXPECT_TRUE(runner_runs(&job));
	faults = own_faults();
	for (i = 0; i < NR_OWN_PAGES; i++)
		area[i * 4096] = 2;
	faults = own_faults() - faults;
	EXPECT_TRUE(copied ? faults >= NR_OWN_PAGES : faults < NR_OWN_PAGES / 2);
	pid = fork();
	if (!pid)
		_exit(area[0] - 2);
	EXPECT_EQ(0, wait_exit(pid, 5000));
	pid = fork();
	if (!pid)
		_exit(left_out[0]);
	EXPECT_EQ(has_left_out ? 128 + SIGSEGV : 0, wait_exit(pid, 5000));
}

TEST(session_restore_copies_no_memory_of_its_caller)
{
	expect_memory_of_caller(false, false);
}

TEST(session_restore_keeps_what_no_child_gets)
{
	expect_memory_of_caller(true, true);
}

/* Others might be forking just now. */
TEST(session_restore_by_one_of_many_threads)
{
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, waits_for_ever, NULL));
	expect_memory_of_caller(true, false);
}

/* Killed from outside while all is held in the kernel. */
TEST(session_restored_tasks_killed_from_outside)
{
	struct image image = {};
	struct job job;
	int dev;

	runner_start(&job);
	runner_dump(&job, &image);
	dev = device_open();
	restore_until(dev, &image, job.cgroup, KCKPT_COMPLETE);
	ASSERT_TRUE(write_file(format("%s/cgroup.kill", job.cgroup), "1"));
	EXPECT_TRUE(device_commit(dev) != 0);
	close(dev);
	EXPECT_TRUE(runner_is_gone(&job));
	/* Some kernels kill at once what is cloned into a cgroup that has ever been killed: take another. */
	job.cgroup = test_new_cgroup();
	runner_restore(&job, &image);
}

/* ---- cgroups ---- */

TEST(session_wrong_cgroups)
{
	const char *empty = test_new_cgroup(), *own = test_new_cgroup();
	struct job job;
	int dev, other;

	runner_start(&job);
	dev = device_open();
	EXPECT_EQ(EBADF, device_freeze(dev, "/tmp"));
	EXPECT_EQ(KCKPT_E_NOT_CGROUP, device_first_code(dev));
	EXPECT_EQ(EINVAL, device_freeze(dev, "/sys/fs/cgroup"));
	EXPECT_EQ(KCKPT_E_CGROUP_ROOT, device_first_code(dev));
	EXPECT_EQ(ESRCH, device_freeze(dev, empty));
	EXPECT_EQ(KCKPT_E_CGROUP_EMPTY, device_first_code(dev));

	ASSERT_TRUE(write_file(format("%s/cgroup.procs", own), "0"));
	EXPECT_EQ(EDEADLK, device_freeze(dev, own));
	EXPECT_EQ(KCKPT_E_CGROUP_HAS_TOOL, device_first_code(dev));
	ASSERT_TRUE(write_file("/sys/fs/cgroup/cgroup.procs", "0"));

	ASSERT_EQ(0, device_freeze(dev, job.cgroup));
	other = device_open();
	EXPECT_EQ(EBUSY, device_freeze(other, job.cgroup));
	EXPECT_EQ(KCKPT_E_CGROUP_BUSY, device_first_code(other));
	close(dev);
	EXPECT_EQ(0, device_freeze(other, job.cgroup));
	close(other);
	EXPECT_TRUE(runner_runs(&job));
}

static int restore_into(const struct image *image, const char *cgroup, uint32_t *code)
{
	int dev = device_open();
	/* The page that two jobs share with the test is changed by the other one. */
	int err = device_restore(dev, image, cgroup, KCKPT_INSTANTIATE_FILES_CHANGED);

	*code = device_first_code(dev);
	close(dev);
	return err;
}

TEST(session_restore_into_wrong_cgroups)
{
	const char *parent, *child;
	struct image image = {};
	struct job job, other;
	uint32_t code;

	runner_start(&job);
	runner_dump(&job, &image);
	runner_start(&other);
	EXPECT_EQ(ENOTEMPTY, restore_into(&image, other.cgroup, &code));
	EXPECT_EQ(KCKPT_E_CGROUP_NOT_EMPTY, code);
	EXPECT_TRUE(runner_runs(&other));

	parent = test_new_cgroup();
	child = format("%s/child", parent);
	ASSERT_EQ(0, mkdir(child, 0755));
	EXPECT_EQ(ENOTEMPTY, restore_into(&image, parent, &code));
	ASSERT_TRUE(write_file(format("%s/cgroup.freeze", parent), "1"));
	EXPECT_EQ(EBUSY, restore_into(&image, child, &code));
	EXPECT_EQ(KCKPT_E_CGROUP_FROZEN, code);
	rmdir(child);
	EXPECT_EQ(0, restore_into(&image, job.cgroup, &code));
}

/* ---- the job is changed by others while it is dumped ---- */

static void expect_moved(struct job *job, void (*disturb)(struct job *job))
{
	struct image image = {};
	int dev = device_open(), err;

	ASSERT_EQ(0, device_freeze(dev, job->cgroup));
	ASSERT_EQ(0, device_capture(dev));
	disturb(job);
	err = device_read(dev, &image) ?: device_do(dev, KCKPT_IOC_KILL);
	EXPECT_EQ(EAGAIN, err);
	EXPECT_EQ(KCKPT_E_JOB_MOVED, device_first_code(dev));
	close(dev);
}

static void thaw(struct job *job)
{
	write_file(format("%s/cgroup.freeze", job->cgroup), "0");
	runner_runs(job);
}

static void thaw_and_freeze_again(struct job *job)
{
	thaw(job);
	write_file(format("%s/cgroup.freeze", job->cgroup), "1");
}

static pid_t added;

static void add_task(struct job *job)
{
	added = fork();
	if (!added)
		for (;;)
			pause();
	write_file(format("%s/cgroup.procs", job->cgroup), format("%d", added));
}

static void kill_it(struct job *job)
{
	kill(job->pid, SIGKILL);
	wait_exit(job->pid, 20000);
}

TEST(session_thawed_from_outside)
{
	struct job job;

	runner_start(&job);
	expect_moved(&job, thaw);
	EXPECT_TRUE(runner_runs(&job) && !cgroup_is_frozen(job.cgroup));
}

TEST(session_thawed_and_frozen_from_outside)
{
	struct job job;

	runner_start(&job);
	expect_moved(&job, thaw_and_freeze_again);
	EXPECT_TRUE(write_file(format("%s/cgroup.freeze", job.cgroup), "0") && runner_runs(&job));
}

TEST(session_task_moved_in)
{
	struct job job;

	runner_start(&job);
	expect_moved(&job, add_task);
	EXPECT_TRUE(runner_runs(&job));
	kill(added, SIGKILL);
}

TEST(session_job_killed_from_outside)
{
	struct job job;

	runner_start(&job);
	expect_moved(&job, kill_it);
	EXPECT_TRUE(runner_is_gone(&job));
}

/* ---- time ---- */

static bool thaws_by_itself(const char *cgroup)
{
	double end = now() + 20;

	while (cgroup_is_frozen(cgroup) && now() < end)
		usleep(10000);
	return !cgroup_is_frozen(cgroup);
}

TEST(session_watchdog_thaws)
{
	struct kckpt_freeze request = { .stall_ms = 200 };
	struct image image = {};
	struct job job;
	int dev;

	runner_start(&job);
	dev = device_open();
	ASSERT_EQ(0, device_freeze_with(dev, &request, job.cgroup));
	EXPECT_TRUE(thaws_by_itself(job.cgroup) && runner_runs(&job));
	EXPECT_EQ(ETIMEDOUT, device_capture(dev) ?: device_read(dev, &image));
	EXPECT_EQ(KCKPT_E_WATCHDOG, device_first_code(dev));
	close(dev);
}

TEST(session_pause_is_bounded)
{
	struct kckpt_freeze request = { .max_pause_ms = 300 };
	struct image image = {};
	struct job job;
	int dev;

	runner_start(&job);
	dev = device_open();
	ASSERT_EQ(0, device_freeze_with(dev, &request, job.cgroup));
	ASSERT_EQ(0, device_capture(dev));
	EXPECT_TRUE(thaws_by_itself(job.cgroup) && runner_runs(&job));
	EXPECT_EQ(ETIMEDOUT, device_read(dev, &image));
	EXPECT_EQ(KCKPT_E_PAUSE_BOUND, device_first_code(dev));
	close(dev);
}

/* A restore that stalls is rolled back, too. */
TEST(session_watchdog_kills_restored_tasks)
{
	struct kckpt_instantiate request = { .stall_ms = 200 };
	struct image image = {};
	struct job job;
	size_t at = 0;
	int dev;

	runner_start(&job);
	runner_dump(&job, &image);
	dev = device_open();
	ASSERT_EQ(0, device_write(dev, &image, &at));
	request.cgroup = open(job.cgroup, O_RDONLY);
	ASSERT_EQ(0, ioctl(dev, KCKPT_IOC_INSTANTIATE, &request));
	EXPECT_TRUE(runner_is_gone(&job));
	EXPECT_EQ(ETIMEDOUT, device_write(dev, &image, &at));
	EXPECT_EQ(KCKPT_E_WATCHDOG, device_first_code(dev));
	close(dev);
}

/* ---- ids, rights, inheritance ---- */

static pid_t fork_with_pid(pid_t pid)
{
	struct clone_args args = { .exit_signal = SIGCHLD, .set_tid = (uintptr_t)&pid, .set_tid_size = 1 };
	pid_t child = syscall(SYS_clone3, &args, sizeof(args));

	if (!child)
		for (;;)
			pause();
	return child;
}

TEST(session_pid_taken)
{
	struct image image = {};
	struct job job;
	int dev;

	runner_start(&job);
	runner_dump(&job, &image);
	ASSERT_EQ(job.pid, fork_with_pid(job.pid));
	dev = device_open();
	EXPECT_EQ(EEXIST, device_restore(dev, &image, job.cgroup, 0));
	EXPECT_EQ(KCKPT_E_PID_TAKEN, device_first_code(dev));
	close(dev);
	kill(job.pid, SIGKILL);
	waitpid(job.pid, NULL, 0);
	runner_restore(&job, &image);
}

/* A descriptor of the session itself cannot be handed over: it would never end. */
TEST(session_is_not_inherited)
{
	struct kckpt_inherit in = { .name = "fd 9" };
	struct kckpt_instantiate request = { .nr_inherit = 1, .inherit = (uintptr_t)&in };
	struct image image = {};
	struct job job;
	size_t at = 0;
	int dev;

	runner_start(&job);
	runner_dump(&job, &image);
	in.fd = dev = device_open();
	ASSERT_EQ(0, device_write(dev, &image, &at));
	request.cgroup = open(job.cgroup, O_RDONLY);
	EXPECT_EQ(-1, ioctl(dev, KCKPT_IOC_INSTANTIATE, &request));
	EXPECT_EQ(EBADF, errno);
	close(dev);
	EXPECT_TRUE(runner_is_gone(&job));
}

TEST(session_caller_is_confined)
{
	struct image image = {};
	struct job job;
	int dev;

	runner_start(&job);
	runner_dump(&job, &image);
	ASSERT_EQ(0, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	dev = device_open();
	EXPECT_EQ(EPERM, device_restore(dev, &image, job.cgroup, 0));
	EXPECT_EQ(KCKPT_E_CALLER_CONFINED, device_first_code(dev));
	close(dev);
	EXPECT_TRUE(runner_is_gone(&job));
}

TEST(session_unknown_requests)
{
	struct { struct kckpt_freeze known; uint64_t more; } longer = { .more = 1 };
	struct kckpt_freeze freeze = { .flags = 1 };
	struct kckpt_capture capture = { .flags = 1U << 31 };
	int dev = device_open();

	EXPECT_EQ(ENOTTY, device_do(dev, _IO(0xCB, 99)));
	EXPECT_EQ(ENOTTY, device_do(dev, _IO(0xCC, 3)));
	EXPECT_TRUE(ioctl(dev, KCKPT_IOC_FREEZE, &freeze) == -1 && errno == EINVAL);
	EXPECT_TRUE(ioctl(dev, KCKPT_IOC_CAPTURE, &capture) == -1 && errno == EINVAL);
	EXPECT_TRUE(ioctl(dev, _IOW(0xCB, 1, longer), &longer) == -1 && errno == E2BIG);
	EXPECT_TRUE(ioctl(dev, KCKPT_IOC_FREEZE, (void *)1) == -1 && errno == EFAULT);
	close(dev);
}
