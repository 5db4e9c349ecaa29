// SPDX-License-Identifier: GPL-2.0
/*
 * Every point of the module that can fail (an allocation, a copy, a wait) is made to fail, one after the other. After
 * each the job runs on, or nothing is left.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device.h"
#include "runner.h"

#define FAIL_NTH "/sys/kernel/debug/kckpt/fail_nth"
#define MOST 20000	/* points of one dump or restore: more is an endless loop */

static void need_faults(void)
{
	struct kckpt_info info = {};
	int dev = device_open();

	if (ioctl(dev, KCKPT_IOC_INFO, &info) || !(info.flags & KCKPT_INFO_FAULTS))
		test_skip("the module was built without FAULTS=1");
	close(dev);
	if (access(FAIL_NTH, W_OK))
		test_skip("no debugfs");
}

static void set_fault(int nth)
{
	ASSERT_TRUE(write_file(FAIL_NTH, format("%d", nth)));
}

/* Was the point that was to fail passed? Turns the hook off. */
static bool fault_hit(int nth)
{
	int passed = atoi(read_file(FAIL_NTH));

	set_fault(0);
	return passed >= nth;
}

static int step(void)
{
	return test_is_long() ? 1 : 3;
}

/* What makes the nth point fail. */
struct hook {
	void (*set)(int nth);
	bool (*hit)(int nth);
	int (*step)(void);
};

static const struct hook of_the_module = { set_fault, fault_hit, step };

/* What is tried, all of it with the job and the image of this test. */
static struct job job;
static struct image image;

struct attempt {
	const char *name;
	void (*prepare)(void);		/* undisturbed; may be NULL */
	int (*run)(void);		/* 0 or an errno */
	const char *(*wrong)(int err);	/* after it: what is not as it should be, or NULL */
};

/* Point by point, until there are no more; tells how many attempts failed. The last one has succeeded, undisturbed. */
static int walk(const struct hook *hook, const struct attempt *attempt)
{
	int nth, failed = 0, err = 0;
	const char *wrong = NULL;

	for (nth = 1; nth < MOST; nth += hook->step()) {
		if (attempt->prepare)
			attempt->prepare();
		hook->set(nth);
		err = attempt->run();
		if (!hook->hit(nth))
			break;
		failed += !!err;
		wrong = attempt->wrong(err);
		if (wrong)
			break;
	}
	if (wrong) {
		test_failed(__FILE__, __LINE__, "after fault %d (error %d) %s", nth, err, wrong);
		test_give_up();
	}
	EXPECT_EQ(0, err);
	EXPECT_TRUE(nth < MOST);
	test_say("%d points, %d of those tried made the %s fail", nth, failed, attempt->name);
	return failed;
}

/* Not device_open(): opening is one of the things that fail. */
static int dump(void)
{
	int dev = open(KCKPT_DEVICE, O_RDWR | O_CLOEXEC), err;

	if (dev < 0)
		return errno;
	err = device_freeze(dev, job.cgroup) ?: device_capture(dev) ?: device_read(dev, &image) ?:
	      device_do(dev, KCKPT_IOC_THAW);
	close(dev);
	return err;
}

static const char *job_does_not_run(int err)
{
	(void)err;
	return cgroup_is_frozen(job.cgroup) || !runner_runs(&job) ? "the job does not run" : NULL;
}

static const struct attempt a_dump = { "dump", NULL, dump, job_does_not_run };

static uint32_t restore_code;	/* of the error that it reported */

static int restore(void)
{
	int dev = open(KCKPT_DEVICE, O_RDWR | O_CLOEXEC), err;

	if (dev < 0)
		return errno;
	/* A run of it before may have changed the page that it shares with us. */
	err = device_restore(dev, &image, job.cgroup, KCKPT_INSTANTIATE_FILES_CHANGED);
	restore_code = device_first_code(dev);
	close(dev);
	return err;
}

/* Not by cgroup.kill, which on some kernels also kills what is put into the cgroup later. */
static void kill_all(void)
{
	char *pids = read_file(format("%s/cgroup.procs", job.cgroup)), *pid;

	while (pids && (pid = strsep(&pids, "\n")))
		if (atoi(pid) > 0)	/* 0: it ended just now */
			kill(atoi(pid), SIGKILL);
}

static const char *something_is_left(int err)
{
	if (!err && !runner_runs(&job))
		return "the job seems restored, but does not run";
	if (!err)
		kill_all();
	return runner_is_gone(&job) ? NULL : "something is left";
}

static const struct attempt a_restore = { "restore", NULL, restore, something_is_left };

static void dump_faults(void)
{
	need_faults();
	runner_start(&job);
	EXPECT_TRUE(walk(&of_the_module, &a_dump) > 50 / step());
	/* What was dumped last was not disturbed. */
	runner_dump(&job, &image);
	runner_restore(&job, &image);
}

TEST_LIMIT(faults_in_a_dump, 300)
{
	runner_with_ghosts = true;
	dump_faults();
}

TEST_LIMIT(faults_in_a_dump_of_a_tree, 300)
{
	runner_with_children = true;
	dump_faults();
}

TEST_LIMIT(faults_in_a_dump_of_threads, 300)
{
	runner_with_threads = true;
	dump_faults();
}

static int splice_all(int dev, int pipe)
{
	struct kckpt_transfer ahead;
	ssize_t n;

	do {
		ahead = (struct kckpt_transfer){ .fd = -1, .flags = KCKPT_TRANSFER_AHEAD };
		if (ioctl(dev, KCKPT_IOC_SAVE, &ahead))
			return errno;
		n = splice(dev, NULL, pipe, NULL, 1 << 30, 0);
	} while (n > 0);
	return n ? errno : 0;
}

/* Begins by reading, so that there are pages which may change, and are copied late. */
static int dump_to_pipe(void)
{
	int dev = open(KCKPT_DEVICE, O_RDWR | O_CLOEXEC), ends[2], err;
	char head[100];

	if (dev < 0)
		return errno;
	ASSERT_TRUE(!pipe2(ends, O_NONBLOCK | O_CLOEXEC) && fcntl(ends[1], F_SETPIPE_SZ, 16 << 20) > 0);
	err = device_freeze(dev, job.cgroup) ?: device_capture(dev);
	if (!err && read(dev, head, sizeof(head)) != sizeof(head))
		err = errno;
	err = err ?: splice_all(dev, ends[1]) ?: device_do(dev, KCKPT_IOC_THAW);
	close(dev);
	close(ends[0]);
	close(ends[1]);
	return err;
}

static const struct attempt a_dump_to_a_pipe = { "dump", NULL, dump_to_pipe, job_does_not_run };

TEST_LIMIT(faults_in_a_dump_to_a_pipe, 300)
{
	need_faults();
	runner_with_ghosts = true;
	runner_start(&job);
	EXPECT_TRUE(walk(&of_the_module, &a_dump_to_a_pipe) > 50 / step());
	/* What was dumped last was not disturbed. */
	runner_dump(&job, &image);
	runner_restore(&job, &image);
}

/* Where the memory cannot be kept the job stands still until it has been read. */
static int dump_kept(void)
{
	struct kckpt_capture request = { .flags = KCKPT_CAPTURE_KEEP | KCKPT_CAPTURE_FILES };
	int dev = open(KCKPT_DEVICE, O_RDWR | O_CLOEXEC), err;

	if (dev < 0)
		return errno;
	err = device_freeze(dev, job.cgroup) ?: device_capture_with(dev, &request) ?:
	      device_read_and_thaw(dev, &request, &image);
	close(dev);
	return err;
}

static const struct attempt a_kept_dump = { "dump", NULL, dump_kept, job_does_not_run };

/* On top of the one before, whose snapshot is there until this one is retained. */
static uint8_t parent[16];
static bool has_parent;

static int dump_increment(void)
{
	struct kckpt_capture request = { .flags = KCKPT_CAPTURE_KEEP | KCKPT_CAPTURE_SNAPSHOT | KCKPT_CAPTURE_FILES };
	int dev = open(KCKPT_DEVICE, O_RDWR | O_CLOEXEC), err;

	if (dev < 0)
		return errno;
	if (has_parent) {
		request.flags |= KCKPT_CAPTURE_PARENT;
		memcpy(request.parent, parent, sizeof(parent));
	}
	err = device_freeze(dev, job.cgroup) ?: device_capture_with(dev, &request) ?:
	      device_read_and_thaw(dev, &request, &image);
	if (!err && request.kept == KCKPT_KEPT)
		err = device_do(dev, KCKPT_IOC_RETAIN);
	if (!err && request.kept == KCKPT_KEPT) {
		memcpy(parent, request.image, sizeof(parent));
		has_parent = true;
	}
	close(dev);
	return err;
}

static const struct attempt an_increment = { "dump", NULL, dump_increment, job_does_not_run };

TEST_LIMIT(faults_in_an_increment, 300)
{
	need_faults();
	runner_with_children = true;
	runner_start(&job);
	ASSERT_EQ(0, dump_increment());
	ASSERT_TRUE(has_parent);
	EXPECT_TRUE(walk(&of_the_module, &an_increment) > 50 / step());
}

TEST_LIMIT(faults_in_a_dump_that_keeps_the_memory, 300)
{
	need_faults();
	runner_with_ghosts = runner_with_children = true;
	runner_start(&job);
	EXPECT_TRUE(walk(&of_the_module, &a_kept_dump) > 50 / step());
	/* What was dumped last was not disturbed. */
	kill_all();
	ASSERT_TRUE(runner_is_gone(&job));
	EXPECT_EQ(0, restore());
	EXPECT_TRUE(runner_runs(&job));
}

/* The kernel itself writes the image into a file, and reads it from there. */
static int file = -1;

static int dump_to_file(void)
{
	int dev = open(KCKPT_DEVICE, O_RDWR | O_CLOEXEC), err;

	if (dev < 0)
		return errno;
	ASSERT_TRUE(!ftruncate(file, 0) && !lseek(file, 0, SEEK_SET));
	err = device_freeze(dev, job.cgroup) ?: device_capture(dev) ?: device_save_to(dev, file) ?:
	      device_do(dev, KCKPT_IOC_THAW);
	close(dev);
	return err;
}

static int restore_from_file(void)
{
	int dev = open(KCKPT_DEVICE, O_RDWR | O_CLOEXEC), err;

	if (dev < 0)
		return errno;
	ASSERT_TRUE(!lseek(file, 0, SEEK_SET));
	err = device_restore_from(dev, file, job.cgroup, KCKPT_INSTANTIATE_FILES_CHANGED);
	close(dev);
	return err;
}

static const struct attempt a_dump_to_file = { "dump", NULL, dump_to_file, job_does_not_run };
static const struct attempt a_restore_from_file = { "restore", NULL, restore_from_file, something_is_left };

TEST_LIMIT(faults_where_the_kernel_moves_the_image, 900)
{
	need_faults();
	file = memfd_create("image", MFD_CLOEXEC);
	runner_with_memory = 3 << 20;	/* so that workers take part */
	runner_start(&job);
	EXPECT_TRUE(walk(&of_the_module, &a_dump_to_file) > 50 / step());
	kill_all();
	ASSERT_TRUE(runner_is_gone(&job));
	EXPECT_TRUE(walk(&of_the_module, &a_restore_from_file) > 50 / step());
	EXPECT_TRUE(runner_runs(&job));
}

static void restore_faults(void)
{
	need_faults();
	runner_start(&job);
	runner_dump(&job, &image);
	EXPECT_TRUE(walk(&of_the_module, &a_restore) > 50 / step());
	if (!EXPECT_TRUE(runner_runs(&job)))
		test_say("without a fault: %s", error_name(restore_code));
	EXPECT_TRUE(system("ls -a /tmp /var/tmp | grep -q -e '^[.]kckpt' -e '^kckpt-linked'"));
	EXPECT_TRUE(access(test_path("ghost"), F_OK));
}

TEST_LIMIT(faults_in_a_restore, 600)
{
	runner_with_ghosts = true;
	restore_faults();
}

TEST_LIMIT(faults_in_a_restore_of_a_tree, 900)
{
	runner_with_children = true;
	restore_faults();
}

TEST_LIMIT(faults_in_a_restore_of_threads, 900)
{
	runner_with_threads = true;
	restore_faults();
}

/* With the memory of what was restored kept, where that can be. */
static uint32_t restore_has_kept;

static int restore_kept(void)
{
	const struct kckpt_commit commit = { .flags = KCKPT_COMMIT_SNAPSHOT };
	int dev = open(KCKPT_DEVICE, O_RDWR | O_CLOEXEC), err;
	size_t at = 0;

	if (dev < 0)
		return errno;
	err = device_write(dev, &image, &at);
	if (!err && device_state(dev) == KCKPT_LOADED)
		err = device_instantiate(dev, job.cgroup, KCKPT_INSTANTIATE_FILES_CHANGED);
	err = err ?: device_write(dev, &image, &at) ?: device_commit_with(dev, &commit);
	restore_has_kept = device_kept(dev);
	close(dev);
	return err;
}

static const struct attempt a_kept_restore = { "restore", NULL, restore_kept, something_is_left };

TEST_LIMIT(faults_in_a_restore_that_keeps_the_memory, 900)
{
	need_faults();
	runner_with_children = true;
	runner_start(&job);
	runner_dump(&job, &image);
	EXPECT_TRUE(walk(&of_the_module, &a_kept_restore) > 50 / step());
	EXPECT_EQ(KCKPT_KEPT, restore_has_kept);
	EXPECT_TRUE(runner_runs(&job));
}

/* ---- what belongs to the outside: only the requests that have to do with it ---- */

static int dev;		/* the session of the last attempt */
static struct kckpt_external external;
static int data;	/* what is handed over for it */

/* The file that a runner has open, as descriptor 5. */
static struct kckpt_external data_of_job(void)
{
	struct kckpt_external file = { .kind = KCKPT_EXTERNAL_FILE, .name = "data" };
	struct stat st;

	ASSERT_EQ(0, stat(test_path(format("data.%d", job.pid)), &st));
	file.dev = st.st_dev;
	file.ino = st.st_ino;
	return file;
}

static void freeze(void)
{
	dev = device_open();
	ASSERT_EQ(0, device_freeze(dev, job.cgroup));
}

static int capture(void)
{
	struct kckpt_capture request = { .external = (uintptr_t)&external, .nr_external = 1 };

	return ioctl(dev, KCKPT_IOC_CAPTURE, &request) ? errno : 0;
}

static const char *closed_job_does_not_run(int err)
{
	close(dev);
	return job_does_not_run(err);
}

static size_t written;

static void load(void)
{
	written = 0;
	dev = device_open();
	ASSERT_EQ(0, device_write(dev, &image, &written));
}

/* The tasks are not done when they have been created. */
static int instantiate(void)
{
	struct kckpt_inherit inherit = { .fd = data, .name = "data" };
	struct kckpt_instantiate request = { .nr_inherit = 1, .inherit = (uintptr_t)&inherit };
	int err;

	request.cgroup = open(job.cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	err = ioctl(dev, KCKPT_IOC_INSTANTIATE, &request) ? errno : 0;
	close(request.cgroup);
	return err ?: device_write(dev, &image, &written);
}

static const char *closed_job_is_left(int err)
{
	(void)err;
	close(dev);
	return runner_is_gone(&job) ? NULL : "something is left";
}

TEST_LIMIT(faults_with_an_external, 300)
{
	const struct attempt a_capture = { "capture", freeze, capture, closed_job_does_not_run };
	const struct attempt a_creation = { "creation", load, instantiate, closed_job_is_left };

	need_faults();
	runner_start(&job);
	external = data_of_job();
	EXPECT_TRUE(walk(&of_the_module, &a_capture) > 20 / step());
	ASSERT_TRUE(!device_read(dev, &image) && !device_do(dev, KCKPT_IOC_KILL));
	close(dev);
	ASSERT_TRUE(runner_is_gone(&job));

	data = open(test_path(format("data.%d", job.pid)), O_PATH | O_CLOEXEC);
	EXPECT_TRUE(walk(&of_the_module, &a_creation) > 20 / step());
	EXPECT_TRUE(!device_commit(dev) && runner_runs(&job));
	close(dev);
}

/* ---- the kernel's own faults: its allocations and copies, in functions that the module calls ---- */

#define FAIL_SLAB "/sys/kernel/debug/failslab/"
#define FAIL_PAGE "/sys/kernel/debug/fail_page_alloc/"

static int kernel_nth = -1;	/* /proc/thread-self/fail-nth */

static void need_kernel_faults(void)
{
	if (access(FAIL_SLAB, F_OK) || access(FAIL_PAGE, F_OK))
		test_skip("a kernel without fault injection");
	/* Also what may sleep, and without a word in the log for each. */
	ASSERT_TRUE(write_file(FAIL_SLAB "ignore-gfp-wait", "N") && write_file(FAIL_PAGE "ignore-gfp-wait", "N") &&
		    write_file(FAIL_PAGE "min-order", "0") && write_file(FAIL_SLAB "verbose", "0") &&
		    write_file(FAIL_PAGE "verbose", "0") && write_file("/sys/kernel/debug/fail_usercopy/verbose", "0"));
	kernel_nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (kernel_nth < 0)
		test_skip("a kernel without fail-nth");
}

/* Reading what to do may be what fails, if that is still to come; not twice. */
static void set_kernel_fault(int nth)
{
	const char *text = format("%d", nth);
	ssize_t len = strlen(text);

	if (pwrite(kernel_nth, text, len, 0) != len)
		ASSERT_EQ(len, pwrite(kernel_nth, text, len, 0));
}

/* What is left to count down is 0 when it has happened; that reading fails is one, too. */
static bool kernel_fault_hit(int nth)
{
	char left[16] = "";
	bool hit = pread(kernel_nth, left, sizeof(left) - 1, 0) <= 0 || !atoi(left);

	(void)nth;
	set_kernel_fault(0);
	return hit;
}

static int kernel_step(void)
{
	return test_is_long() ? 1 : 11;
}

static const struct hook of_the_kernel = { set_kernel_fault, kernel_fault_hit, kernel_step };

/* What the caller of a dump does: the job must not notice. */
TEST_LIMIT(faults_of_the_kernel_in_a_dump, 900)
{
	need_kernel_faults();
	runner_with_ghosts = true;
	runner_start(&job);
	EXPECT_TRUE(walk(&of_the_kernel, &a_dump) > 0);
}

TEST_LIMIT(faults_of_the_kernel_in_a_dump_that_keeps_the_memory, 900)
{
	need_kernel_faults();
	runner_with_ghosts = runner_with_children = true;
	runner_start(&job);
	EXPECT_TRUE(walk(&of_the_kernel, &a_kept_dump) > 0);
}

TEST_LIMIT(faults_of_the_kernel_in_an_increment, 900)
{
	need_kernel_faults();
	runner_start(&job);
	ASSERT_EQ(0, dump_increment());
	ASSERT_TRUE(has_parent);
	EXPECT_TRUE(walk(&of_the_kernel, &an_increment) > 0);
}

TEST_LIMIT(faults_of_the_kernel_in_a_restore, 1800)
{
	need_kernel_faults();
	runner_with_ghosts = true;
	runner_start(&job);
	runner_dump(&job, &image);
	EXPECT_TRUE(walk(&of_the_kernel, &a_restore) > 0);
}

TEST_LIMIT(faults_of_the_kernel_where_it_moves_the_image, 1800)
{
	need_kernel_faults();
	file = memfd_create("image", MFD_CLOEXEC);
	runner_start(&job);
	EXPECT_TRUE(walk(&of_the_kernel, &a_dump_to_file) > 0);
	kill_all();
	ASSERT_TRUE(runner_is_gone(&job));
	EXPECT_TRUE(walk(&of_the_kernel, &a_restore_from_file) > 0);
}

/* The allocations of this process and those it makes: of each @interval, one in two cases. Turning it off may be hit. */
static void fail_at_random(bool on, int interval)
{
	while (!write_file(FAIL_SLAB "interval", format("%d", interval)) ||
	       !write_file(FAIL_SLAB "probability", on ? "50" : "0") ||
	       !write_file("/proc/self/make-it-fail", on ? "1" : "0"))
		;
}

TEST_LIMIT(faults_of_the_kernel_at_random, 1800)
{
	int i, nr = test_is_long() ? 1000 : 40, failed = 0, err;

	need_kernel_faults();
	ASSERT_TRUE(write_file(FAIL_SLAB "task-filter", "Y") && write_file(FAIL_SLAB "times", "-1"));
	runner_with_children = true;
	runner_start(&job);
	runner_dump(&job, &image);
	for (i = 0; i < nr; i++) {
		fail_at_random(true, 50 + i % 40 * 40);
		err = restore();
		fail_at_random(false, 1);
		failed += !!err;
		if (!err)
			kill_all();
		if (!runner_is_gone(&job)) {
			test_failed(__FILE__, __LINE__, "after restore %d (error %d) something is left", i, err);
			return;
		}
	}
	test_say("%d restores, %d of them failed", nr, failed);
	EXPECT_TRUE(failed > 0);
	EXPECT_EQ(0, restore());
	EXPECT_TRUE(runner_runs(&job));
}
