// SPDX-License-Identifier: GPL-2.0
/* The command: killed at any moment, without disk, reader, rights, module, cgroup, or with other files than before. */
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device.h"
#include "job.h"
#include "runner.h"
#include "usage.h"

static bool no_leftovers(const char *folder)
{
	const char *listing = test_path("listing");

	/* Temporary files of the tool bear its name. */
	return system(format("ls -A %s | grep -c 'image\\|tmp' > %s", folder, listing)) != -1 &&
	       atoi(read_file(listing)) == 0;
}

/* ---- killed ---- */

static int trips(void)
{
	return test_is_long() ? 1000 : 60;	/* test_storm.c has more of them */
}

/* Of a whole run, in seconds; the moments of the kills are spread over that. */
static double measure(const char *const *argv)
{
	double from = now();

	ASSERT_EQ(0, tool_run(argv).status);
	return now() - from;
}

static void kill_after(pid_t pid, double seconds)
{
	usleep(seconds * 1e6);
	kill(pid, SIGKILL);
	wait_exit(pid, 20000);
}

TEST_LIMIT(tool_killed_during_a_dump, 600)
{
	const char *image = test_path("image");
	uint32_t seed = 1;
	double whole;
	struct job job;
	int i;

	runner_start(&job);
	whole = measure((const char *const[]){ "dump", "--leave-running", "--max-pause", "0", "-o", image, job.cgroup, NULL });
	for (i = 0; i < trips(); i++) {
		const char *argv[] = { "dump", "--leave-running", "--max-pause", "0", "-o", image, job.cgroup, NULL };

		kill_after(tool_start(argv, NULL, 0), whole * (random_next(&seed) % 1000) / 1000);
		if (!runner_runs(&job) || cgroup_is_frozen(job.cgroup)) {
			test_failed(__FILE__, __LINE__, "killed %d times, and the job does not run", i + 1);
			return;
		}
		/* What is there is whole: it gets its name last. */
		if (!access(image, F_OK))
			EXPECT_EQ(0, TOOL("verify", image).status);
	}
}

/* Either all is there and runs, or nothing; a tool that is killed may leave its pidfile. */
static bool there_or_gone(struct job *job, const char *pidfile)
{
	uint64_t before = __atomic_load_n(job_notes(), __ATOMIC_SEQ_CST);
	double end = now() + 20;

	for (; !cgroup_is_empty(job->cgroup) && now() < end; usleep(1000))
		if (__atomic_load_n(job_notes(), __ATOMIC_SEQ_CST) > before + 1) {
			if (access(pidfile, F_OK))
				return false;
			kill(job->pid, SIGKILL);
		}
	unlink(pidfile);
	return runner_is_gone(job);
}

TEST_LIMIT(tool_killed_during_a_restore, 1200)
{
	const char *image = test_path("image"), *pidfile = test_path("pid");
	/* Once restored, the job has changed the page that it shares with us. */
	const char *argv[] = { "restore", "--detach", "--files", "changed", "--pidfile", pidfile, "--cgroup", NULL, image, NULL };
	uint32_t seed = 2;
	double whole;
	struct job job;
	int i;

	runner_start(&job);
	argv[7] = job.cgroup;
	ASSERT_EQ(0, TOOL("dump", "-o", image, job.cgroup).status);
	wait_exit(job.pid, 20000);
	whole = measure(argv);
	ASSERT_TRUE(there_or_gone(&job, pidfile));
	for (i = 0; i < trips(); i++) {
		kill_after(tool_start(argv, NULL, 0), whole * (random_next(&seed) % 1000) / 1000);
		if (!there_or_gone(&job, pidfile)) {
			test_failed(__FILE__, __LINE__, "killed %d times, and something is left", i + 1);
			return;
		}
	}
	ASSERT_EQ(0, tool_run(argv).status);
	EXPECT_TRUE(runner_runs(&job));
}

/* Where the tool stands still: its reader takes nothing. */
static pid_t dump_into_stuck_pipe(struct job *job, int *reader)
{
	const char *argv[] = { "dump", "--json", "-o", "-", job->cgroup, NULL };
	struct job_fd out = { -1, 1 };
	double end = now() + 20;
	int ends[2];
	pid_t pid;

	ASSERT_EQ(0, pipe2(ends, O_CLOEXEC));
	fcntl(ends[1], F_SETPIPE_SZ, 4096);
	out.from = ends[1];
	pid = tool_start(argv, &out, 1);
	close(ends[1]);
	*reader = ends[0];
	while (!cgroup_is_frozen(job->cgroup) && now() < end)
		usleep(1000);
	ASSERT_TRUE(wait_in_syscall(pid, pid, SYS_splice));
	return pid;
}

TEST(tool_interrupted)
{
	static const int each[] = { SIGINT, SIGTERM, SIGHUP, SIGKILL };
	struct job job;
	int i, reader, status;
	pid_t pid;

	runner_start(&job);
	for (i = 0; i < 4; i++) {
		pid = dump_into_stuck_pipe(&job, &reader);
		kill(pid, each[i]);
		status = wait_exit(pid, 20000);
		EXPECT_TRUE(status > 0);
		close(reader);
		EXPECT_TRUE(runner_runs(&job) && !cgroup_is_frozen(job.cgroup));
	}
}

TEST(tool_without_a_reader)
{
	char part[1000];
	struct job job;
	int reader;
	pid_t pid;

	runner_start(&job);
	pid = dump_into_stuck_pipe(&job, &reader);
	EXPECT_EQ(sizeof(part), read(reader, part, sizeof(part)));
	close(reader);
	struct tool_result result = tool_end(pid);
	EXPECT_TRUE(result.status > 0 && tool_said(&result, "READER_GONE"));
	EXPECT_TRUE(runner_runs(&job));
}

/* ---- no room ---- */

TEST(tool_without_room)
{
	const char *folder = test_path("small");
	struct tool_result result;
	struct job job;

	runner_start(&job);
	ASSERT_TRUE(!mkdir(folder, 0755) && !mount("tmpfs", folder, "tmpfs", 0, "size=64k"));
	result = TOOL("dump", "--json", "-o", format("%s/image", folder), job.cgroup);
	EXPECT_TRUE(result.status > 0 && tool_said(&result, "DISK_FULL"));
	EXPECT_TRUE(runner_runs(&job) && no_leftovers(folder));
	umount(folder);
}

TEST(tool_without_a_folder)
{
	struct tool_result result;
	struct job job;

	runner_start(&job);
	result = TOOL("dump", "--json", "-o", test_path("missing/image"), job.cgroup);
	EXPECT_TRUE(result.status > 0 && tool_said(&result, "FILE_CREATE"));
	EXPECT_TRUE(runner_runs(&job));
}

/* ---- cgroups ---- */

static bool fails_with(struct tool_result result, const char *code)
{
	if (result.status > 0 && tool_said(&result, code))
		return true;
	test_say("status %d: %s", result.status, result.text);
	return false;
}

TEST(tool_wrong_cgroups)
{
	const char *image = test_path("image"), *empty = test_new_cgroup();

	EXPECT_TRUE(fails_with(TOOL("dump", "--json", "-o", image, "/sys/fs/cgroup/none-of-that-name"), "CGROUP_MISSING"));
	EXPECT_TRUE(fails_with(TOOL("dump", "--json", "-o", image, "/tmp"), "NOT_CGROUP"));
	EXPECT_TRUE(fails_with(TOOL("dump", "--json", "-o", image, empty), "CGROUP_EMPTY"));
	EXPECT_TRUE(fails_with(TOOL("dump", "--json", "-o", image, "--pid", "999999"), "PROCESS_MISSING"));
	ASSERT_TRUE(write_file(format("%s/cgroup.procs", empty), "0"));
	EXPECT_TRUE(fails_with(TOOL("dump", "--json", "-o", image, empty), "CGROUP_HAS_TOOL"));
	ASSERT_TRUE(write_file("/sys/fs/cgroup/cgroup.procs", "0"));
	EXPECT_TRUE(access(image, F_OK));
}

TEST(tool_restores_into_a_busy_cgroup)
{
	const char *image = test_path("image");
	struct job job, other;

	runner_start(&job);
	ASSERT_EQ(0, TOOL("dump", "-o", image, job.cgroup).status);
	wait_exit(job.pid, 20000);
	runner_start(&other);
	EXPECT_TRUE(fails_with(TOOL("restore", "--json", "--detach", "--files", "changed", "--cgroup",
				   other.cgroup, image), "CGROUP_NOT_EMPTY"));
	EXPECT_TRUE(runner_runs(&other) && runner_is_gone(&job));
}

/* ---- rights ---- */

TEST(tool_without_rights)
{
	struct job job;
	pid_t pid;

	runner_start(&job);
	pid = fork();
	if (!pid) {
		struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
		struct __user_cap_data_struct none[2] = {};
		int cap;

		for (cap = 0; cap < 64; cap++)
			prctl(PR_CAPBSET_DROP, cap);
		syscall(SYS_capset, &head, none);
		_exit(!fails_with(TOOL("dump", "--json", "-o", test_path("image"), job.cgroup), "NOT_PERMITTED"));
	}
	EXPECT_EQ(0, wait_exit(pid, 60000));
	EXPECT_TRUE(runner_runs(&job));
}

/* ---- other files than before ---- */

static int run_copy(void)
{
	execl(test_path("sleep"), "sleep", "1000", NULL);
	return JOB_SETUP_FAILED;
}

static void start_copy(struct job *job)
{
	size_t len;
	char *program = read_bytes("/bin/sleep", &len);

	ASSERT_TRUE(program && write_bytes(test_path("sleep"), program, len) && !chmod(test_path("sleep"), 0755));
	job_start(job, run_copy, NULL);
	ASSERT_TRUE(wait_in_syscall(job->pid, job->pid, SYS_clock_nanosleep));
}

TEST(tool_program_changed)
{
	const char *image = test_path("image");
	struct job job;

	start_copy(&job);
	ASSERT_EQ(0, TOOL("dump", "-o", image, job.cgroup).status);
	wait_exit(job.pid, 20000);
	ASSERT_EQ(0, truncate(test_path("sleep"), 10000));
	EXPECT_TRUE(fails_with(TOOL("restore", "--json", "--detach", "--cgroup", job.cgroup, image), "FILE_CHANGED"));
	EXPECT_TRUE(fails_with(TOOL("restore", "--json", "--dry-run", image), "FILE_CHANGED"));
	unlink(test_path("sleep"));
	EXPECT_TRUE(fails_with(TOOL("restore", "--json", "--detach", "--cgroup", job.cgroup, image), "FILE_MISSING"));
	EXPECT_TRUE(runner_is_gone(&job));
}

TEST(tool_waits_for_the_restored_job)
{
	const char *image = test_path("image");
	const char *argv[] = { "restore", image, NULL };
	struct tool_result result;
	struct job job;
	pid_t tool;

	start_copy(&job);
	ASSERT_EQ(0, TOOL("dump", "-o", image, job.cgroup).status);
	wait_exit(job.pid, 20000);
	tool = tool_start(argv, NULL, 0);
	while (kill(job.pid, 0) || !wait_in_syscall(job.pid, job.pid, SYS_clock_nanosleep))
		usleep(1000);
	kill(tool, SIGTERM);	/* passed on */
	result = tool_end(tool);
	EXPECT_EQ(128 + SIGTERM, result.status);
}

/* ---- the module ---- */

TEST(tool_without_module)
{
	const char *module = getenv("KCKPT_KO");
	struct job job;

	if (!module)
		test_skip("KCKPT_KO does not tell where the module is");
	runner_start(&job);
	ASSERT_EQ(0, system("rmmod kckpt"));
	EXPECT_TRUE(fails_with(TOOL("dump", "--json", "-o", test_path("image"), job.cgroup), "MODULE_MISSING"));
	EXPECT_TRUE(fails_with(TOOL("features", "--json"), "MODULE_MISSING"));
	ASSERT_EQ(0, system(format("insmod %s", module)));
	EXPECT_EQ(0, TOOL("features").status);
	EXPECT_TRUE(runner_runs(&job));
}

TEST(tool_with_another_module)
{
	const char *abi = "/sys/kernel/debug/kckpt/abi";
	struct job job;

	if (access(abi, W_OK))
		test_skip("the module was built without FAULTS");
	runner_start(&job);
	ASSERT_EQ(0, system(format("echo 2 > %s", abi)));
	EXPECT_TRUE(fails_with(TOOL("dump", "--json", "-o", test_path("image"), job.cgroup), "ABI_DIFFERS"));
	ASSERT_EQ(0, system(format("echo 1 > %s", abi)));
	EXPECT_EQ(0, TOOL("features").status);
	EXPECT_TRUE(runner_runs(&job));
}

/* A session keeps the module; nothing else does. */
TEST(tool_module_cannot_go_during_a_session)
{
	struct job job;
	int reader;
	pid_t pid;

	runner_start(&job);
	pid = dump_into_stuck_pipe(&job, &reader);
	EXPECT_TRUE(system("rmmod kckpt 2>/dev/null") != 0);
	kill(pid, SIGKILL);
	wait_exit(pid, 20000);
	EXPECT_TRUE(runner_runs(&job));
}

static void trips_with_the_module(struct job *job, int nr)
{
	struct image image = {};

	while (nr--) {
		runner_dump(job, &image);
		runner_restore(job, &image);
	}
	free(image.data);
}

/* Loaded, used and unloaded: the kernel has what it had before. */
TEST_LIMIT(tool_unloaded_module_leaves_nothing, 300)
{
	const char *module = getenv("KCKPT_KO");
	struct usage before, after;
	struct job job;

	if (!module)
		test_skip("KCKPT_KO does not tell where the module is");
	runner_start(&job);
	trips_with_the_module(&job, 20);
	ASSERT_EQ(0, system("rmmod kckpt"));
	before = usage_now();
	ASSERT_EQ(0, system(format("insmod %s", module)));
	trips_with_the_module(&job, 100);
	ASSERT_EQ(0, system("rmmod kckpt"));
	after = usage_now();
	ASSERT_EQ(0, system(format("insmod %s", module)));
	usage_expect_no_growth(&before, &after, 100);
	EXPECT_TRUE(runner_runs(&job));
}

/* ---- who wants it to go all the time ---- */

static void ask_for_ever(const char *module)
{
	for (;;) {
		if (!syscall(SYS_delete_module, "kckpt", O_NONBLOCK))
			while (system(format("insmod %s 2>/dev/null", module)))
				;
		usleep(2000);
	}
}

/* A session is had or not, as the module is there or not; one that was had comes to its end. */
static int trip_if_loaded(struct job *job, struct image *image)
{
	int dev = open(KCKPT_DEVICE, O_RDWR | O_CLOEXEC), err;

	if (dev < 0)
		return errno == ENOENT || errno == ENODEV || errno == ENXIO || errno == EBUSY ? 0 : -errno;
	err = device_freeze(dev, job->cgroup) ?: device_capture(dev) ?: device_read(dev, image) ?:
	      device_do(dev, KCKPT_IOC_THAW);
	close(dev);
	return err ? -err : 1;
}

TEST_LIMIT(tool_module_asked_to_go_all_the_time, 300)
{
	const char *module = getenv("KCKPT_KO");
	int done = 0, missing = 0, got;
	struct image image = {};
	struct job job;
	double end;
	pid_t pid;

	if (!module)
		test_skip("KCKPT_KO does not tell where the module is");
	runner_start(&job);
	pid = fork();
	if (!pid)
		ask_for_ever(module);
	for (end = now() + (test_is_long() ? 120 : 8); now() < end;) {
		got = trip_if_loaded(&job, &image);
		if (!EXPECT_TRUE(got >= 0))
			break;
		done += got;
		missing += !got;
		if (!EXPECT_TRUE(runner_runs(&job) && !cgroup_is_frozen(job.cgroup)))
			break;
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	test_say("%d dumps, %d times there was no module", done, missing);
	EXPECT_TRUE(done > 0 && missing > 0);
	/* It may have been killed while there was none. */
	system(format("insmod %s 2>/dev/null", module));
	EXPECT_EQ(0, TOOL("features").status);
}
