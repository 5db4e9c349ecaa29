// SPDX-License-Identifier: GPL-2.0
/* `kckpt auto`: images again and again, of which enough stay, each of them good, whatever happens to it or to the job. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runner.h"
#include "turns.h"

static struct job job;

static void start(job_fn *fn)
{
	job_start(&job, fn, NULL);
	ASSERT_TRUE(runner_runs(&job));
}

static const char *folder(void)
{
	return test_path("images");
}

static bool is_image(const char *name)
{
	return name[0] != '.' && strstr(name, ".kimg") && strchr(name, '-');
}

/* All that are there are whole, with all that they build on. Returns how many. */
static int verify_all(void)
{
	struct tool_result result;
	struct dirent *entry;
	int nr = 0;
	DIR *dir = opendir(folder());

	while (dir && (entry = readdir(dir))) {
		if (!is_image(entry->d_name))
			continue;
		result = TOOL("verify", format("%s/%s", folder(), entry->d_name));
		if (!EXPECT_EQ(0, result.status))
			test_say("%s: %s", entry->d_name, result.text);
		nr++;
	}
	if (dir)
		closedir(dir);
	return nr;
}

static void kill_job(void)
{
	ASSERT_TRUE(write_file(format("%s/cgroup.kill", job.cgroup), "1") && runner_is_gone(&job));
}

static void expect_the_last_is_good(void)
{
	struct tool_result result;

	job.cgroup = test_new_cgroup();
	result = TOOL("restore", format("%s/job.kimg", folder()), "--files=changed", "--detach", "--cgroup", job.cgroup);
	if (!EXPECT_EQ(0, result.status))
		test_say("%s", result.text);
	ASSERT_TRUE(runner_runs(&job) && runner_runs(&job));
	kill_job();
}

static bool wait_for_file(const char *path)
{
	double end = now() + 20 * test_patience();

	while (access(path, F_OK) && now() < end)
		usleep(1000);
	return !access(path, F_OK);
}

#define AUTO(...) "auto", job.cgroup, "-d", folder(), "--name", "job", __VA_ARGS__
#define AUTO_START(...) tool_start((const char *const[]){ AUTO(__VA_ARGS__), NULL }, NULL, 0)

/* A job, and one at its images, the first of which is there. */
#define START_WITH_AUTO(...)								\
	({										\
		start(writes_here_and_there);						\
		pid_t auto_pid = AUTO_START(__VA_ARGS__);				\
		ASSERT_TRUE(wait_for_file(format("%s/job.kimg", folder())));		\
		auto_pid;								\
	})

static int count_of(const char *text, const char *word)
{
	int nr = 0;

	for (; (text = strstr(text, word)); text++)
		nr++;
	return nr;
}

TEST_LIMIT(auto_makes_images_and_keeps_enough, 300)
{
	struct tool_result result;
	int nr;

	start(writes_here_and_there);
	result = TOOL(AUTO("--every", "50ms", "--keep", "3",
		      "--whole-every", "4", "--count", "10", "--max-pause", "30000"));
	EXPECT_EQ(0, result.status);
	EXPECT_EQ(3, count_of(result.text, "whole"));
	EXPECT_EQ(7, count_of(result.text, "increment"));
	nr = verify_all();
	if (!EXPECT_TRUE(nr >= 3 && nr < 3 + 4))
		test_say("%d images: %s", nr, result.text);
	/* Nothing is kept for nobody. */
	EXPECT_TRUE(strstr(TOOL("forget", job.cgroup).text, "nothing was kept"));
	/* Another one goes on where this one has ended, and with what somebody has kept. */
	EXPECT_EQ(0, TOOL("dump", job.cgroup, "--leave-running", "--keep-snapshot", "-o",
			  format("%s/job-000011.kimg", folder())).status);
	result = TOOL(AUTO("--every", "50ms", "--count", "1"));
	EXPECT_EQ(0, result.status);
	EXPECT_TRUE(strstr(result.text, "job-000012.kimg: increment"));
	result = TOOL(AUTO("--every", "50ms", "--count", "1"));
	EXPECT_TRUE(strstr(result.text, "job-000013.kimg: whole"));
	/* What somebody has done to the last one, or put there, keeps nothing from being made. */
	ASSERT_TRUE(write_file(format("%s/job-000014.kimg", folder()), "no image"));
	result = TOOL(AUTO("--every", "50ms", "--count", "1", "--keep", "1"));
	EXPECT_TRUE(strstr(result.text, "job-000015.kimg: whole"));
	EXPECT_TRUE(!unlink(format("%s/job-000014.kimg", folder())));
	ASSERT_TRUE(runner_runs(&job));
	kill_job();
	expect_the_last_is_good();
}

/* Whatever it is doing when it is killed. */
TEST_LIMIT(auto_killed_at_any_time, 300)
{
	uint32_t seed = 1;
	pid_t pid;
	int i;

	start(writes_here_and_there);
	for (i = 0; i < (test_is_long() ? 200 : 15); i++) {
		pid = AUTO_START("--every", "1ms", "--keep", "2", "--whole-every", "3", "--quiet");
		usleep(random_next(&seed) % 500000);
		ASSERT_EQ(0, kill(pid, SIGKILL));
		tool_end(pid);
		ASSERT_TRUE(runner_runs(&job) && !cgroup_is_frozen(job.cgroup));
		verify_all();
	}
	ASSERT_TRUE(TOOL(AUTO("--count", "1")).status == 0);
	EXPECT_EQ(0, system(format("! ls -A %s | grep '[.]kimg[.]'", folder())));	/* what was not finished is gone */
	kill_job();
	expect_the_last_is_good();
}

TEST(auto_on_its_signal)
{
	pid_t pid = START_WITH_AUTO("--every", "1h", "--on-signal", "TERM");
	struct tool_result result;

	ASSERT_TRUE(runner_runs(&job));
	kill(pid, SIGTERM);
	result = tool_end(pid);
	EXPECT_EQ(0, result.status);
	EXPECT_EQ(2, verify_all());
	ASSERT_TRUE(runner_is_gone(&job));
	expect_the_last_is_good();
}

/* On the machine that comes next it goes on, with an increment of the last image. */
TEST(auto_goes_on_after_a_restore)
{
	pid_t pid = START_WITH_AUTO("--every", "1h", "--on-signal", "TERM");
	struct tool_result result;

	kill(pid, SIGTERM);
	EXPECT_EQ(0, tool_end(pid).status);
	ASSERT_TRUE(runner_is_gone(&job));
	job.cgroup = test_new_cgroup();
	ASSERT_EQ(0, TOOL("restore", format("%s/job.kimg", folder()), "--files=changed", "--detach", "--keep-snapshot",
			  "--cgroup", job.cgroup).status);
	ASSERT_TRUE(runner_runs(&job));
	result = TOOL(AUTO("--every", "50ms", "--count", "2"));
	EXPECT_EQ(0, result.status);
	EXPECT_EQ(2, count_of(result.text, "increment"));
	ASSERT_TRUE(runner_runs(&job));
	kill_job();
	EXPECT_EQ(4, verify_all());
	expect_the_last_is_good();
}

/* Another one, or no such option: the job has nothing to do with it. */
TEST(auto_on_another_signal)
{
	pid_t pid = START_WITH_AUTO("--every", "1h");

	kill(pid, SIGTERM);
	EXPECT_EQ(128 + SIGTERM, tool_end(pid).status);
	EXPECT_TRUE(runner_runs(&job));
	EXPECT_EQ(1, verify_all());
	kill_job();
}

/* They would take each other's numbers. */
TEST(auto_is_alone_with_its_images)
{
	pid_t pid = START_WITH_AUTO("--every", "1h");
	struct tool_result result;

	result = TOOL("--json", "auto", job.cgroup, "-d", folder(), "--name", "job", "--count", "1");
	EXPECT_TRUE(result.status == 1 && tool_said(&result, "NAME_TAKEN"));
	EXPECT_EQ(0, TOOL("auto", job.cgroup, "-d", folder(), "--name", "other", "--count", "1").status);
	kill(pid, SIGTERM);
	tool_end(pid);
	kill_job();
}

TEST(auto_ends_with_the_job)
{
	pid_t pid = START_WITH_AUTO("--every", "20ms");
	struct tool_result result;

	ASSERT_TRUE(write_file(format("%s/cgroup.kill", job.cgroup), "1"));	/* it may just be frozen for an image */
	result = tool_end(pid);
	ASSERT_TRUE(runner_is_gone(&job));
	if (!EXPECT_EQ(0, result.status) || !EXPECT_TRUE(strstr(result.text, "the job has ended")))
		test_say("%s", result.text);
	verify_all();
}

/* A line for each image. */
TEST(auto_in_json)
{
	struct tool_result result;

	start(writes_here_and_there);
	result = TOOL("--json", AUTO("--every", "20ms", "--count", "2", "--max-pause", "30000"));
	EXPECT_EQ(0, result.status);
	if (!EXPECT_EQ(2, count_of(result.text, "\n{\"image\":") + !strncmp(result.text, "{\"image\":", 9)) ||
	    !EXPECT_EQ(1, count_of(result.text, "\"increment\":false")) ||
	    !EXPECT_EQ(1, count_of(result.text, "\"increment\":true")) ||
	    !EXPECT_EQ(2, count_of(result.text, "\"pause_ns\":")))
		test_say("%s", result.text);
	kill_job();
}

/* What keeps it from being dumped is told, each time; when that is over there is an image. */
static int has_a_terminal_for_a_while(void)
{
	int fd = open("/dev/ptmx", O_RDWR);

	JOB_SETUP(fd >= 0);
	for (;;) {
		if (job_notes()[1])
			close(fd);
		__atomic_add_fetch(job_notes(), 1, __ATOMIC_SEQ_CST);
		usleep(1000);
	}
}

TEST(auto_tries_again)
{
	struct tool_result result;
	pid_t pid;

	start(has_a_terminal_for_a_while);
	pid = AUTO_START("--every", "20ms", "--count", "2");
	usleep(300000 * test_patience());
	ASSERT_TRUE(runner_runs(&job) && access(format("%s/job.kimg", folder()), F_OK));
	job_notes()[1] = 1;
	result = tool_end(pid);
	if (!EXPECT_EQ(0, result.status) || !EXPECT_TRUE(strstr(result.text, "FILE_KIND")))
		test_say("%s", result.text);
	EXPECT_EQ(2, verify_all());
	kill_job();
}

TEST(auto_options_that_make_no_sense)
{
	EXPECT_EQ(2, TOOL("auto", "/x", "-d", folder(), "--every", "0").status);
	EXPECT_EQ(2, TOOL("auto", "/x", "-d", folder(), "--every", "fast").status);
	EXPECT_EQ(2, TOOL("auto", "/x", "-d", folder(), "--every", "1d").status);
	EXPECT_EQ(2, TOOL("auto", "/x", "-d", folder(), "--keep", "0").status);
	EXPECT_EQ(2, TOOL("auto", "/x", "-d", folder(), "--on-signal", "KILL").status);
	EXPECT_EQ(2, TOOL("auto", "/x", "-d", folder(), "--on-signal", "NONE").status);
	EXPECT_EQ(2, TOOL("auto", "/x", "-d", folder(), "--name", "../x").status);
	EXPECT_EQ(2, TOOL("auto", "/x").status);
	EXPECT_TRUE(access(folder(), F_OK));
}
