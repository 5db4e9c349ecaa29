// SPDX-License-Identifier: GPL-2.0
/*
 * Kernels that have changed: a struct with a member that kckpt does not know, a function with another prototype. The
 * module is loaded again with drift_test, which makes it take one for such.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include <unistd.h>

#include "job.h"
#include "runner.h"

/* Ends the test if the module cannot be told to see a change. */
static void need_drift_test(void)
{
	if (!getenv("KCKPT_KO"))
		test_skip("KCKPT_KO does not tell where the module is");
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		test_skip("this kernel has no BTF");
	if (access("/sys/module/kckpt/parameters/drift_test", R_OK))
		test_skip("the module was built without FAULTS");
}

static bool module_reload(const char *params)
{
	if (!access("/sys/module/kckpt", F_OK) && system("rmmod kckpt"))
		return false;
	return !system(format("insmod %s %s 2>/dev/null", getenv("KCKPT_KO"), params));
}

static bool says(struct tool_result result, const char *error, const char *detail)
{
	if (tool_said(&result, error) && strstr(result.text, detail))
		return true;
	test_say("status %d: %s", result.status, result.text);
	return false;
}

static bool features_say(const char *text)
{
	return strstr(TOOL("features", "--json").text, text);
}

static int holds_pipe(void)
{
	int fd[2];

	JOB_SETUP(!pipe(fd));
	job_roundtrip();
	JOB_CHECK(write(fd[1], "x", 1) == 1);
	return 0;
}

static int has_timer(void)
{
	struct itimerval timer = { .it_value.tv_sec = 1000 };

	JOB_SETUP(!setitimer(ITIMER_REAL, &timer, NULL));
	job_roundtrip();
	JOB_CHECK(!getitimer(ITIMER_REAL, &timer) && timer.it_value.tv_sec);
	return 0;
}

static int has_nothing(void)
{
	job_roundtrip();
	return 0;
}

TEST(drift_this_kernel_is_known)
{
	need_drift_test();
	EXPECT_TRUE(module_reload(""));
	EXPECT_TRUE(features_say("\"untested_kernel\": false") && !features_say("\"available\": false"));
}

/* Not this module: another version of Linux. */
TEST(drift_of_the_version_is_refused)
{
	need_drift_test();
	EXPECT_TRUE(!module_reload("drift_test=version"));
	EXPECT_EQ(0, system("dmesg | tail -5 | grep -q 'is none of those tested, .*: loads with allow_untested=1 only'"));
	ASSERT_TRUE(module_reload("drift_test=version allow_untested=1"));
	EXPECT_TRUE(features_say("\"untested_kernel\": true") && !features_say("\"available\": false"));
	EXPECT_EQ(0, roundtrip(has_nothing));
	ASSERT_TRUE(module_reload(""));
}

TEST(drift_cannot_be_seen_without_btf)
{
	need_drift_test();
	ASSERT_TRUE(module_reload("drift_test=btf"));
	EXPECT_TRUE(features_say("\"untested_kernel\": true") && !features_say("\"available\": false"));
	ASSERT_TRUE(module_reload(""));
}

/* A struct that every job has: nothing is dumped, and no image is begun. */
TEST(drift_of_tasks_is_refused)
{
	const char *image = test_path("image");
	struct job job;

	need_drift_test();
	runner_start(&job);
	ASSERT_TRUE(module_reload("drift_test=task_struct.comm"));
	EXPECT_TRUE(features_say("unknown member task_struct.comm"));
	EXPECT_TRUE(says(TOOL("check", "--json", job.cgroup), "KERNEL_DRIFT", "unknown member task_struct.comm"));
	EXPECT_TRUE(says(TOOL("dump", "--json", "-o", image, job.cgroup), "KERNEL_DRIFT",
			 "unknown member task_struct.comm"));
	EXPECT_TRUE(access(image, F_OK) && runner_runs(&job));
	ASSERT_TRUE(module_reload(""));
}

/* Others go on working; so does one within a struct without a name. */
TEST(drift_of_a_family_is_refused)
{
	need_drift_test();
	ASSERT_TRUE(module_reload("drift_test=pipe_inode_info.head"));
	EXPECT_REFUSED(KCKPT_E_KERNEL_DRIFT, holds_pipe);
	EXPECT_EQ(0, roundtrip(has_nothing));
	ASSERT_TRUE(module_reload("drift_test=restart_block.futex.val"));
	EXPECT_REFUSED(KCKPT_E_KERNEL_DRIFT, has_nothing);
	ASSERT_TRUE(module_reload(""));
	EXPECT_EQ(0, roundtrip(holds_pipe));
}

static void load_with_drift(void)
{
	ASSERT_TRUE(module_reload("drift_test=pipe_inode_info.bufs"));
}

TEST(drift_refuses_a_restore)
{
	const struct job_options options = { .between = load_with_drift };

	need_drift_test();
	EXPECT_RESTORE_REFUSED(KCKPT_E_KERNEL_DRIFT, holds_pipe, &options);
	ASSERT_TRUE(module_reload(""));
}

TEST(drift_can_be_tolerated)
{
	need_drift_test();
	ASSERT_TRUE(module_reload("drift_test=task_struct.comm allow_untested=1"));
	EXPECT_TRUE(features_say("\"untested_kernel\": true") && !features_say("\"available\": false"));
	EXPECT_EQ(0, system("dmesg | grep -q 'unknown member task_struct.comm of this kernel: not saved'"));
	EXPECT_EQ(0, roundtrip(has_nothing));
	ASSERT_TRUE(module_reload(""));
}

static int has_counter(void)
{
	int fd = eventfd(7, 0);
	uint64_t count;

	JOB_SETUP(fd >= 0);
	job_roundtrip();
	JOB_CHECK(read(fd, &count, sizeof(count)) == sizeof(count) && count == 7);
	return 0;
}

/* A struct that we have a copy of: something else would be read, whatever is tolerated. */
TEST(drift_of_a_layout_is_refused)
{
	need_drift_test();
	ASSERT_TRUE(module_reload("drift_test=eventfd_ctx.count allow_untested=1"));
	EXPECT_TRUE(features_say("another layout of eventfd_ctx.count"));
	EXPECT_REFUSED(KCKPT_E_KERNEL_DRIFT, has_counter);
	ASSERT_TRUE(module_reload(""));
	EXPECT_EQ(0, roundtrip(has_counter));
}

/* A function that is called in another way than it wants is never called, whatever is tolerated. */
TEST(drift_of_a_prototype_is_refused)
{
	need_drift_test();
	ASSERT_TRUE(module_reload("drift_test=do_setitimer allow_untested=1"));
	EXPECT_TRUE(features_say("another prototype of do_setitimer"));
	EXPECT_REFUSED(KCKPT_E_NO_SYMBOL, has_timer);
	EXPECT_TRUE(!module_reload("drift_test=do_prlimit allow_untested=1"));	/* no restore works without it */
	ASSERT_TRUE(module_reload(""));
	EXPECT_EQ(0, roundtrip(has_timer));
}
