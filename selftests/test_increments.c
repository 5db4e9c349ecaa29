// SPDX-License-Identifier: GPL-2.0
/*
 * Images that have only what the job has written to since another one was made: each of them, put together with what it
 * builds on, is the job as it was at its time.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "image.h"
#include "runner.h"
#include "swap.h"
#include "turns.h"
#include "usage.h"

#define PAGE 4096UL

static struct job job;

static const char *name_of(int i)
{
	return test_path(format("%d.kimg", i));
}

static void expect_done(struct tool_result result)
{
	if (!EXPECT_EQ(0, result.status))
		test_say("%s", result.text);
}

static void expect_said(struct tool_result result, const char *error)
{
	if (!EXPECT_TRUE(result.status != 0 && tool_said(&result, error)))
		test_say("status %d: %s", result.status, result.text);
}

static void start(job_fn *fn)
{
	job_start(&job, fn, NULL);
	ASSERT_TRUE(runner_runs(&job));
}

/* A number of its output, --json. */
static long long number_in(const char *text, const char *name)
{
	const char *at = strstr(text, format("\"%s\": ", name));

	return at ? atoll(at + strlen(name) + 4) : -1;
}

/* Of those that the parent of the last image has: how many were not looked at, since nobody had changed them. */
static long long nr_unchanged;

/* The next image, on top of the one before; the job runs on. Returns how many pages it has. */
static long long dump_running(int i)
{
	struct tool_result result =
		i ? TOOL("--json", "dump", job.cgroup, "--leave-running", "--keep-snapshot", "--max-pause",
			 "30000", "--parent", name_of(i - 1), "-o", name_of(i)) :
		    TOOL("--json", "dump", job.cgroup, "--leave-running", "--keep-snapshot", "--max-pause",
			 "30000", "-o", name_of(0));

	expect_done(result);
	EXPECT_TRUE(strstr(result.text, "\"snapshot\": true"));
	ASSERT_TRUE(runner_runs(&job));
	nr_unchanged = number_in(result.text, "unchanged_pages");
	EXPECT_TRUE(nr_unchanged >= 0 && nr_unchanged <= number_in(result.text, "parent_pages"));
	return number_in(result.text, "pages");
}

static void kill_job(void)
{
	ASSERT_TRUE(write_file(format("%s/cgroup.kill", job.cgroup), "1") && runner_is_gone(&job));
}

/* It goes on from there, and finds all of its pages right. */
static void expect_restored(const char *image)
{
	job.cgroup = test_new_cgroup();
	/* The page of its notes is a file, which it writes to. */
	expect_done(TOOL("restore", image, "--files=changed", "--detach", "--cgroup", job.cgroup));
	ASSERT_TRUE(runner_runs(&job) && runner_runs(&job));
	kill_job();
}

#define DEEP 5

static void expect_all_of_a_chain(job_fn *fn)
{
	int i;

	start(fn);
	for (i = 0; i < DEEP; i++)
		dump_running(i);
	expect_done(TOOL("dump", job.cgroup, "--parent", name_of(DEEP - 1), "-o", name_of(DEEP)));
	ASSERT_TRUE(runner_is_gone(&job));
	for (i = 0; i <= DEEP; i++) {
		expect_done(TOOL("verify", name_of(i)));
		expect_restored(name_of(i));
	}
	expect_done(TOOL("flatten", name_of(DEEP), "-o", test_path("flat")));
	for (i = 0; i <= DEEP; i++)
		unlink(name_of(i));
	expect_done(TOOL("verify", test_path("flat")));
	expect_restored(test_path("flat"));
}

TEST_LIMIT(increments_of_a_job_that_writes_here_and_there, 300)
{
	expect_all_of_a_chain(writes_here_and_there);
}

TEST_LIMIT(increments_of_two_that_began_alike, 300)
{
	runner_with_children = true;
	expect_all_of_a_chain(both_write_here_and_there);
}

TEST_LIMIT(increments_of_a_job_that_writes_everything, 300)
{
	expect_all_of_a_chain(writes_in_turns);
}

TEST_LIMIT(increments_of_a_child_that_writes_everything, 300)
{
	runner_with_children = true;
	expect_all_of_a_chain(child_writes_in_turns);
}

/* ---- what nobody has changed ---- */

#define LONG 24
#define CHANGES 20	/* between two images */

/* So little that most blocks are as they were, and what has changed is in many layers of the snapshot. */
static void expect_all_of_a_long_chain(job_fn *fn)
{
	long long unchanged = 0;
	int i;

	turns_on_request = true;
	start(fn);
	for (i = 0; i < LONG; i++) {
		job_notes()[1] = CHANGES;
		ASSERT_TRUE(runner_runs(&job) && runner_runs(&job));
		dump_running(i);
		unchanged += nr_unchanged;
	}
	test_say("%lld pages were not looked at, in %d images", unchanged, LONG);
	EXPECT_TRUE(unchanged > 0);
	kill_job();
	for (i = 0; i < LONG; i += 5)
		expect_restored(name_of(i));
	expect_restored(name_of(LONG - 1));
}

TEST_LIMIT(increments_of_a_job_that_changes_little, 300)
{
	expect_all_of_a_long_chain(writes_here_and_there);
}

static int fork_and_write(void)
{
	pid_t pid = fork(), parent = getppid();
	int ret;

	JOB_SETUP(pid >= 0);
	ret = writes_here_and_there();
	kill(pid ? pid : parent, SIGKILL);
	return ret;
}

TEST_LIMIT(increments_of_two_that_change_little, 300)
{
	runner_with_children = true;
	expect_all_of_a_long_chain(fork_and_write);
}

/* Where the same pages may be in both, all are looked at. */
TEST_LIMIT(increments_of_two_that_share_all, 300)
{
	int i;

	runner_with_children = true;
	turns_on_request = true;
	start(both_write_here_and_there);
	for (i = 0; i < DEEP; i++) {
		job_notes()[1] = CHANGES;
		ASSERT_TRUE(runner_runs(&job) && runner_runs(&job));
		dump_running(i);
		EXPECT_TRUE(nr_unchanged < 100);
	}
	kill_job();
	for (i = 0; i < DEEP; i++)
		expect_restored(name_of(i));
}

/* ---- across restores ---- */

/* Restored from an image, on which the next one can build. */
static void restore_kept(const char *image)
{
	struct tool_result result;

	job.cgroup = test_new_cgroup();
	result = TOOL("--json", "restore", image, "--files=changed", "--detach", "--keep-snapshot", "--cgroup",
		      job.cgroup);
	expect_done(result);
	EXPECT_TRUE(strstr(result.text, "\"snapshot\": true"));
}

/* Each image is of a job that was restored from the one before. */
static void expect_chain_across_restores(job_fn *fn)
{
	int i;

	start(fn);
	dump_running(0);
	for (i = 1; i <= DEEP; i++) {
		kill_job();
		restore_kept(name_of(i - 1));
		ASSERT_TRUE(runner_runs(&job) && runner_runs(&job));
		dump_running(i);
	}
	/* They all begin where the one before ended. */
	dump_running(DEEP + 1);
	kill_job();
	for (i = 0; i <= DEEP + 1; i++) {
		expect_done(TOOL("verify", name_of(i)));
		expect_restored(name_of(i));
	}
}

TEST_LIMIT(increments_across_restores, 300)
{
	expect_chain_across_restores(writes_here_and_there);
}

TEST_LIMIT(increments_across_restores_of_two, 300)
{
	runner_with_children = true;
	expect_chain_across_restores(both_write_here_and_there);
}

/* ---- while the kernel moves pages ---- */

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* Also of a job that is frozen. */
static void make_huge(int pidfd)
{
	struct iovec huge = { (void *)job_notes()[2], 2UL << 20 };

	syscall(SYS_process_madvise, pidfd, &huge, 1, MADV_COLLAPSE, 0);
}

/*
 * Merges what is alike, moves what is movable, makes small pages huge, and pages out what the job shares with its snapshot;
 * until it is killed.
 */
static pid_t start_movers(void)
{
	int pidfd = (int)syscall(SYS_pidfd_open, job.pid, 0), i;
	pid_t pid;

	ASSERT_TRUE(pidfd >= 0);
	ASSERT_TRUE(write_file("/sys/kernel/mm/ksm/sleep_millisecs", "5") &&
		    write_file("/sys/kernel/mm/ksm/pages_to_scan", "1000") &&
		    write_file("/sys/kernel/mm/ksm/run", "1"));
	pid = fork();
	if (pid) {
		close(pidfd);
		return pid;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (i = 0;; i++, usleep(2000)) {
		make_huge(pidfd);
		if (i % 10)
			continue;
		write_file("/proc/sys/vm/compact_memory", "1");
		write_file(format("%s/memory.reclaim", job.cgroup), "128K");
	}
}

static void stop_movers(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	/* What is merged stays so, for the next images. */
	EXPECT_TRUE(atol(read_file("/sys/kernel/mm/ksm/pages_sharing")) > 0);
	ASSERT_TRUE(write_file("/sys/kernel/mm/ksm/run", "0"));
}

TEST_LIMIT(increments_while_the_kernel_moves_pages, 600)
{
	long swapped, merged, moved;
	pid_t pid;
	int i;

	if (access("/sys/kernel/mm/ksm/run", F_OK))
		test_skip("no KSM");
	swap_on(4096);
	swapped = swap_events("pswpout");
	merged = swap_events("ksm_swpin_copy") + swap_events("cow_ksm");
	moved = swap_events("pgmigrate_success");
	start(writes_here_and_there);
	pid = start_movers();
	for (i = 0; i < 3 * DEEP; i++)
		dump_running(i);
	stop_movers(pid);
	expect_done(TOOL("dump", job.cgroup, "--parent", name_of(3 * DEEP - 1), "-o", name_of(3 * DEEP)));
	ASSERT_TRUE(runner_is_gone(&job));
	test_say("%ld pages to swap, %ld parted again, %ld moved", swap_events("pswpout") - swapped,
		 swap_events("ksm_swpin_copy") + swap_events("cow_ksm") - merged,
		 swap_events("pgmigrate_success") - moved);
	EXPECT_TRUE(swap_events("pswpout") > swapped && swap_events("pgmigrate_success") > moved);
	for (i = 0; i <= 3 * DEEP; i++)
		expect_restored(name_of(i));
	swap_off();
}

/* ---- what is in them ---- */

static size_t nr_pages;

/* Of so many pages it writes as many as note 1 says, in every step. */
static int writes_some(void)
{
	char *all = mmap(NULL, nr_pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t i, sum, written = 0;

	JOB_SETUP(all != MAP_FAILED && !madvise(all, nr_pages * PAGE, MADV_NOHUGEPAGE));
	memset(all, 7, nr_pages * PAGE);
	for (;;) {
		for (i = 0; i < job_notes()[1]; i++, written++)
			all[i * 3 % nr_pages * PAGE]++;
		for (i = 0, sum = 0; i < nr_pages; i++)
			sum += (unsigned char)(all[i * PAGE] - 7);
		JOB_CHECK((unsigned char)sum == (unsigned char)written);
		__atomic_add_fetch(job_notes(), 1, __ATOMIC_SEQ_CST);
		usleep(1000);
	}
}

/* Writes to none of its pages, and looks at two, which somebody else is to write to. */
static int waits_with_memory(void)
{
	char *all = mmap(NULL, nr_pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	JOB_SETUP(all != MAP_FAILED && !madvise(all, nr_pages * PAGE, MADV_NOHUGEPAGE));
	memset(all, 7, nr_pages * PAGE);
	job_notes()[2] = (uintptr_t)all;
	for (;;) {
		if (job_notes()[1])
			JOB_CHECK(all[100 * PAGE] == 8 && all[3000 * PAGE] == 8 && all[200 * PAGE] == 7);
		__atomic_add_fetch(job_notes(), 1, __ATOMIC_SEQ_CST);
		usleep(1000);
	}
}

/* A few are written by any program: its stack, its libraries' data. */
#define OTHERS 40

static int writes_some_locked(void)
{
	JOB_SETUP(!mlockall(MCL_CURRENT | MCL_FUTURE));
	return writes_some();
}

#define BLOCK 16	/* pages that are looked at together */

/* Only what is in blocks that were not complete, or have changed. */
TEST(increments_do_not_look_at_what_nobody_changed)
{
	long long looked;
	int i;

	nr_pages = 4000;
	start(writes_some);
	dump_running(0);
	EXPECT_EQ(0, nr_unchanged);
	for (i = 1; i < 4; i++) {
		dump_running(i);
		EXPECT_TRUE(nr_unchanged > (long long)nr_pages - 2 * BLOCK);
	}
	job_notes()[1] = 10;	/* in each step others */
	ASSERT_TRUE(runner_runs(&job) && runner_runs(&job));
	job_notes()[1] = 0;
	ASSERT_TRUE(runner_runs(&job) && runner_runs(&job));
	looked = dump_running(i++);
	EXPECT_TRUE(nr_unchanged < (long long)nr_pages - BLOCK);
	test_say("%lld pages, %lld not looked at", looked, nr_unchanged);
	/* What had changed is in a layer of its own, which is so small that it is copied, and looked at, once more. */
	dump_running(i);
	EXPECT_TRUE(nr_unchanged > (long long)nr_pages - 6 * BLOCK);
	kill_job();
	expect_restored(name_of(i));
}

/* As it is outside of tests: more than so much memory, and nothing is compared. */
TEST(increments_of_more_memory)
{
	const char *check = "/sys/kernel/debug/kckpt/check_unchanged";
	int i;

	if (access(check, F_OK))
		test_skip("a module without checks");
	if (access("/sys/kernel/btf/vmlinux", F_OK))
		test_skip("a kernel without BTF is not known, and not trusted without checks");
	nr_pages = 20000;
	start(writes_some);
	ASSERT_TRUE(write_file(check, "0"));
	for (i = 0; i < 6; i++) {
		job_notes()[1] = 20 * (i % 3);
		ASSERT_TRUE(runner_runs(&job) && runner_runs(&job));
		dump_running(i);
		EXPECT_TRUE(!i || nr_unchanged > (long long)nr_pages / 2);
	}
	EXPECT_TRUE(write_file(check, "1"));
	kill_job();
	for (i = 0; i < 6; i++)
		expect_restored(name_of(i));
}

/* Nor after a restore: what it keeps is watched, too. */
TEST(increments_after_a_restore_do_not_look_either)
{
	nr_pages = 4000;
	start(writes_some);
	dump_running(0);
	kill_job();
	restore_kept(name_of(0));
	ASSERT_TRUE(runner_runs(&job));
	dump_running(1);
	EXPECT_TRUE(nr_unchanged > (long long)nr_pages - 2 * BLOCK);
	kill_job();
	expect_restored(name_of(1));
}

/* Others may write to the memory of a job, too. */
TEST(increments_see_what_others_write)
{
	struct iovec local, remote;
	uint64_t word = 0;
	char byte = 8;
	int i;

	nr_pages = 4000;
	start(waits_with_memory);
	dump_running(0);
	for (i = 1; i < 4; i++) {
		dump_running(i);
		EXPECT_TRUE(nr_unchanged > (long long)nr_pages - 2 * BLOCK);
	}
	local = (struct iovec){ &byte, 1 };
	remote = (struct iovec){ (char *)job_notes()[2] + 100 * PAGE, 1 };
	ASSERT_EQ(1, process_vm_writev(job.pid, &local, 1, &remote, 1, 0));
	ASSERT_EQ(0, ptrace(PTRACE_SEIZE, job.pid, 0, 0) ?: ptrace(PTRACE_INTERRUPT, job.pid, 0, 0));
	ASSERT_EQ(job.pid, waitpid(job.pid, NULL, __WALL));
	memset(&word, 8, sizeof(word));
	ASSERT_EQ(0, ptrace(PTRACE_POKEDATA, job.pid, (char *)job_notes()[2] + 3000 * PAGE, word) ?:
		     ptrace(PTRACE_DETACH, job.pid, 0, 0));
	job_notes()[1] = 1;	/* from now on it wants them */
	dump_running(i);
	EXPECT_TRUE(nr_unchanged <= (long long)nr_pages - 2 * BLOCK);
	kill_job();
	expect_restored(name_of(i));
}

/* Nor is anything that a restore in between does to the memory taken for a write of the job. */
static void expect_only_what_was_written(job_fn *fn, bool restored)
{
	long long whole, pages;
	int i;

	nr_pages = 4000;
	start(fn);
	whole = dump_running(0);
	EXPECT_TRUE(whole > (long long)nr_pages);
	for (i = 1; i < 5; i++) {
		if (restored) {
			kill_job();
			restore_kept(name_of(i - 1));
		}
		job_notes()[1] = i * 200;
		ASSERT_TRUE(runner_runs(&job) && runner_runs(&job));
		pages = dump_running(i);
		/* Those over files are in each of them: what is not anonymous is copied. */
		if (!EXPECT_TRUE(pages >= i * 200 && pages <= i * 200 + whole - (long long)nr_pages + OTHERS))
			test_say("%d written, %lld of %lld in the image", i * 200, pages, whole);
	}
	kill_job();
	expect_restored(name_of(4));
}

TEST(increments_have_what_was_written)
{
	expect_only_what_was_written(writes_some, false);
}

TEST(increments_after_a_restore_have_what_was_written)
{
	expect_only_what_was_written(writes_some, true);
}

TEST(increments_after_a_restore_of_locked_memory)
{
	expect_only_what_was_written(writes_some_locked, true);
}

/* Another restore of the same image has its own. */
TEST(increments_of_two_restores)
{
	const char *first;

	nr_pages = 100;
	start(writes_some);
	dump_running(0);
	kill_job();
	restore_kept(name_of(0));
	ASSERT_TRUE(runner_runs(&job));
	dump_running(1);
	kill_job();
	first = job.cgroup;
	restore_kept(name_of(0));
	ASSERT_TRUE(strcmp(first, job.cgroup) && runner_runs(&job));
	expect_said(TOOL("--json", "dump", job.cgroup, "--leave-running", "--parent", name_of(1), "-o", name_of(2)),
		    "PARENT_NOT_KEPT");
	expect_done(TOOL("dump", job.cgroup, "--leave-running", "--parent", name_of(0), "-o", name_of(2)));
	kill_job();
	expect_restored(name_of(1));
	expect_restored(name_of(2));
}

struct page {
	uint64_t object, vaddr;
	const uint8_t *data;	/* NULL: zeros, or another one's */
	uint64_t source;	/* who else has it */
};

static struct page *list;
static size_t nr_list;

/* One of zeros is as good as none. It is carried as a part of a huge page, and so may come from a parent. */
static bool is_zero(const uint8_t *data)
{
	return !data[0] && !memcmp(data, data + 1, PAGE - 1);
}

static void add_page(uint64_t object, uint64_t vaddr, const uint8_t *data, uint64_t source)
{
	if (data && is_zero(data))
		return;
	if (!(nr_list & (nr_list - 1)))
		list = realloc(list, (nr_list ? nr_list * 2 : 1) * sizeof(*list));
	list[nr_list++] = (struct page){ object, vaddr, data, source };
}

static void add_batch(const struct image_walk *walk)
{
	const struct kckpt_pages_rec *rec = (void *)(walk->head + 1);
	const struct kckpt_page_run *run = (void *)(rec + 1);
	const uint8_t *data = walk->image->data + walk->data;
	uint32_t i, k;

	for (i = 0; i < rec->nr_runs; i++, run++)
		for (k = 0; k < run->nr_pages; k++) {
			add_page(walk->head->object, run->vaddr + k * PAGE, run->flags & KCKPT_RUN_ZERO ? NULL : data,
				 0);
			data += run->flags & KCKPT_RUN_ZERO ? 0 : PAGE;
		}
}

static void add_rows(const struct image_walk *walk)
{
	const struct kckpt_shares_rec *rec = (void *)(walk->head + 1);
	const struct kckpt_share_run *run = (void *)(rec + 1);
	uint32_t i, k;

	for (i = 0; i < rec->nr_runs; i++, run++)
		for (k = 0; k < run->nr_pages; k++)
			add_page(walk->head->object, run->vaddr + k * PAGE, NULL, run->source);
}

static int compare_pages(const void *a, const void *b)
{
	const struct page *first = a, *second = b;

	return first->object != second->object ? (first->object > second->object) - (first->object < second->object) :
						 (first->vaddr > second->vaddr) - (first->vaddr < second->vaddr);
}

static struct image read_image(const char *path)
{
	struct image image = {};

	image.data = (uint8_t *)read_bytes(path, &image.len);
	ASSERT_TRUE(image.data);
	return image;
}

/* All pages of an image, in order. */
static size_t pages_of(const char *path, struct page **pages)
{
	struct image image = read_image(path);
	struct image_walk walk;

	list = NULL;
	nr_list = 0;
	image_walk_begin(&walk, &image);
	while (image_walk_next(&walk)) {
		if (walk.head->family == KCKPT_F_stream && walk.head->kind == KCKPT_K_pages)
			add_batch(&walk);
		if (walk.head->family == KCKPT_F_stream && walk.head->kind == KCKPT_K_shares)
			add_rows(&walk);
	}
	qsort(list, nr_list, sizeof(*list), compare_pages);
	*pages = list;
	return nr_list;
}

static bool same_page(const struct page *a, const struct page *b)
{
	return !compare_pages(a, b) && a->source == b->source && !a->data == !b->data && (!a->data || !memcmp(a->data, b->data, PAGE));
}

/* The job stands still: a whole image and an increment of the same moment have the same pages. */
static void expect_the_same_as_a_whole_one(job_fn *fn)
{
	struct page *flat, *whole;
	size_t i, nr;

	turns_without_free = true;
	start(fn);
	dump_running(0);
	dump_running(1);
	/* It stands still before, and so in between. Both keep the memory: that decides what is told as shared. */
	ASSERT_TRUE(write_file(format("%s/cgroup.freeze", job.cgroup), "1"));
	expect_done(TOOL("dump", job.cgroup, "--leave-running", "--parent", name_of(1), "-o", name_of(2)));
	expect_done(TOOL("dump", job.cgroup, "--leave-running", "-o", test_path("whole")));
	expect_done(TOOL("flatten", name_of(2), "-o", test_path("flat")));
	nr = pages_of(test_path("flat"), &flat);
	EXPECT_EQ(nr, pages_of(test_path("whole"), &whole));
	for (i = 0; i < nr && same_page(&flat[i], &whole[i]); i++)
		;
	if (!EXPECT_EQ(nr, i))
		test_say("object %lu, address 0x%lx", (unsigned long)whole[i].object, (unsigned long)whole[i].vaddr);
	ASSERT_TRUE(write_file(format("%s/cgroup.freeze", job.cgroup), "0"));
	kill_job();
}

TEST(increments_flat_are_as_whole_ones)
{
	expect_the_same_as_a_whole_one(writes_here_and_there);
}

TEST(increments_of_two_flat_are_as_whole_ones)
{
	runner_with_children = true;
	expect_the_same_as_a_whole_one(both_write_here_and_there);
}

/* ---- parents ---- */

TEST(increments_name_a_parent_that_is_missing_or_wrong)
{
	const char *elsewhere = format("%s.elsewhere", name_of(0));
	struct image image;

	nr_pages = 100;
	start(writes_some);
	dump_running(0);
	dump_running(1);
	dump_running(2);
	kill_job();
	ASSERT_EQ(0, mkdir(elsewhere, 0700));
	ASSERT_EQ(0, rename(name_of(0), format("%s/0", elsewhere)));
	job.cgroup = test_new_cgroup();
	expect_said(TOOL("--json", "restore", name_of(2), "--cgroup", job.cgroup), "PARENT_MISSING");
	expect_said(TOOL("--json", "verify", name_of(2)), "PARENT_MISSING");
	expect_said(TOOL("--json", "flatten", name_of(2), "-o", test_path("flat")), "PARENT_MISSING");
	EXPECT_TRUE(access(test_path("flat"), F_OK) && cgroup_is_empty(job.cgroup));
	expect_done(TOOL("verify", name_of(2), "--parent", format("%s/0", elsewhere)));

	/* Whole, and with its UUID, but not what it was. */
	image = read_image(format("%s/0", elsewhere));
	((struct kckpt_task_rec *)image_find(&image, KCKPT_F_task, KCKPT_K_task, 0))->comm[0] ^= 1;
	image_seal(&image);
	ASSERT_TRUE(write_bytes(name_of(0), image.data, image.len));
	expect_done(TOOL("verify", name_of(0)));
	expect_said(TOOL("--json", "restore", name_of(2), "--cgroup", job.cgroup), "PARENT_WRONG");
	/* Damaged. */
	image.data[image.len / 2] ^= 1;
	ASSERT_TRUE(write_bytes(name_of(0), image.data, image.len));
	expect_said(TOOL("--json", "restore", name_of(2), "--cgroup", job.cgroup), "IMAGE_DAMAGED");
	EXPECT_TRUE(cgroup_is_empty(job.cgroup));

	ASSERT_TRUE(!unlink(name_of(0)) && !rename(format("%s/0", elsewhere), name_of(0)));
	expect_restored(name_of(2));
}

/* Whatever is written over whatever: an image that is there can be restored, or was never promised. */
TEST(increments_are_not_overwritten_while_they_are_needed)
{
	nr_pages = 100;
	start(writes_some);
	dump_running(0);
	dump_running(1);
	dump_running(2);
	expect_said(TOOL("--json", "dump", job.cgroup, "--leave-running", "--parent", name_of(2), "-o", name_of(2)),
		    "IMAGE_NEEDED");
	expect_said(TOOL("--json", "dump", job.cgroup, "--leave-running", "--parent", name_of(2), "-o", name_of(0)),
		    "IMAGE_NEEDED");
	expect_said(TOOL("--json", "dump", job.cgroup, "--leave-running", "-o", name_of(1)), "IMAGE_NEEDED");
	expect_said(TOOL("--json", "flatten", name_of(2), "-o", name_of(1)), "IMAGE_NEEDED");
	ASSERT_TRUE(runner_runs(&job));
	/* In its own place it is still what others build on. */
	expect_done(TOOL("flatten", name_of(1), "-o", name_of(1)));
	ASSERT_EQ(0, unlink(name_of(0)));
	expect_done(TOOL("verify", name_of(2)));
	/* Nobody needs the last one. */
	expect_done(TOOL("dump", job.cgroup, "--leave-running", "-o", name_of(2)));
	expect_done(TOOL("verify", name_of(2)));
	kill_job();
	expect_restored(name_of(1));
}

TEST(increments_are_not_for_the_kernel_alone)
{
	struct image image;
	size_t at = 0;
	int dev;

	nr_pages = 100;
	start(writes_some);
	dump_running(0);
	dump_running(1);
	kill_job();
	image = read_image(name_of(1));
	dev = device_open();
	EXPECT_EQ(ENODATA, device_write(dev, &image, &at));
	EXPECT_EQ(KCKPT_E_IMAGE_PARENT, device_first_code(dev));
	close(dev);
	/* Nor is a whole one that names pages of a parent. */
	memset(((struct kckpt_header *)image.data)->parent, 0, 16);
	((struct kckpt_header *)image.data)->parent_digest = 0;
	image_seal(&image);
	dev = device_open();
	at = 0;
	EXPECT_EQ(0, device_write(dev, &image, &at));
	EXPECT_EQ(0, device_instantiate(dev, NULL, KCKPT_INSTANTIATE_DRY_RUN));
	EXPECT_EQ(EBADMSG, device_write(dev, &image, &at));
	close(dev);
}

/* ---- what is kept ---- */

TEST(increments_need_a_snapshot)
{
	struct kckpt_capture request = { .flags = KCKPT_CAPTURE_SNAPSHOT };
	int dev;

	nr_pages = 100;
	start(writes_some);
	expect_done(TOOL("dump", job.cgroup, "--leave-running", "-o", name_of(0)));
	expect_said(TOOL("--json", "dump", job.cgroup, "--leave-running", "--parent", name_of(0), "-o", name_of(1)),
		    "PARENT_NOT_KEPT");
	EXPECT_TRUE(runner_runs(&job) && access(name_of(1), F_OK));
	/* That of an older one is no good either. */
	dump_running(0);
	dump_running(1);
	expect_said(TOOL("--json", "dump", job.cgroup, "--leave-running", "--parent", name_of(0), "-o", name_of(2)),
		    "PARENT_NOT_KEPT");
	expect_done(TOOL("dump", job.cgroup, "--leave-running", "--parent", name_of(1), "-o", name_of(2)));
	expect_done(TOOL("forget", job.cgroup));
	expect_said(TOOL("--json", "dump", job.cgroup, "--leave-running", "--parent", name_of(1), "-o", name_of(3)),
		    "PARENT_NOT_KEPT");
	EXPECT_TRUE(strstr(TOOL("forget", job.cgroup).text, "nothing was kept"));

	dev = device_open();
	ASSERT_EQ(0, device_freeze(dev, job.cgroup));
	EXPECT_EQ(EINVAL, device_capture_with(dev, &request));
	request = (struct kckpt_capture){ .parent = { 1 } };
	EXPECT_EQ(EINVAL, device_capture_with(dev, &request));
	EXPECT_EQ(EINVAL, device_do(dev, KCKPT_IOC_RETAIN));
	close(dev);
	ASSERT_TRUE(runner_runs(&job));
	kill_job();
}

/* What takes the place of a snapshot takes parts of it: it cannot do so for two. */
TEST(increments_build_on_an_image_one_at_a_time)
{
	struct kckpt_capture request = {
		.flags = KCKPT_CAPTURE_KEEP | KCKPT_CAPTURE_SNAPSHOT | KCKPT_CAPTURE_PARENT,
	};
	struct image image = {}, parent;
	int dev;

	nr_pages = 1000;
	start(writes_some);
	dump_running(0);
	parent = read_image(name_of(0));
	memcpy(request.parent, ((struct kckpt_header *)parent.data)->uuid, sizeof(request.parent));
	dev = device_open();
	ASSERT_EQ(0, device_freeze(dev, job.cgroup) ?: device_capture_with(dev, &request) ?:
		     device_do(dev, KCKPT_IOC_THAW) ?: device_read(dev, &image));
	expect_said(TOOL("--json", "dump", job.cgroup, "--leave-running", "--parent", name_of(0), "-o", name_of(1)),
		    "PARENT_BUSY");
	/* A whole one needs nobody. */
	expect_done(TOOL("dump", job.cgroup, "--leave-running", "-o", test_path("whole")));
	close(dev);
	/* Whatever the other one has seen, and not kept. */
	dump_running(1);
	dump_running(2);
	kill_job();
	expect_restored(name_of(1));
	expect_restored(name_of(2));
}

/* Others may replace it, or forget it, while an image builds on it. */
TEST(increments_on_what_was_forgotten_meanwhile)
{
	struct kckpt_capture request = {
		.flags = KCKPT_CAPTURE_KEEP | KCKPT_CAPTURE_SNAPSHOT | KCKPT_CAPTURE_PARENT,
	};
	struct image image = {}, parent;
	int dev, fd;

	nr_pages = 1000;
	start(writes_some);
	dump_running(0);
	dump_running(1);
	parent = read_image(name_of(1));
	memcpy(request.parent, ((struct kckpt_header *)parent.data)->uuid, sizeof(request.parent));
	dev = device_open();
	ASSERT_EQ(0, device_freeze(dev, job.cgroup) ?: device_capture_with(dev, &request) ?:
		     device_do(dev, KCKPT_IOC_THAW));
	expect_done(TOOL("forget", job.cgroup));
	/* What it writes meanwhile is not in the image. */
	job_notes()[1] = 10;
	ASSERT_TRUE(runner_runs(&job) && runner_runs(&job));
	job_notes()[1] = 0;
	ASSERT_TRUE(runner_runs(&job) && runner_runs(&job));
	ASSERT_EQ(0, device_read(dev, &image) ?: device_do(dev, KCKPT_IOC_RETAIN));
	close(dev);
	fd = open(name_of(2), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ASSERT_TRUE(fd >= 0 && write(fd, image.data, image.len) == (ssize_t)image.len);
	close(fd);
	ASSERT_TRUE(runner_runs(&job));
	dump_running(3);
	EXPECT_TRUE(nr_unchanged > (long long)nr_pages - 6 * BLOCK && nr_unchanged < (long long)nr_pages - 1 * BLOCK);
	kill_job();
	expect_restored(name_of(3));
}

/* An image that could not be written takes nothing away from the one before. */
TEST(increments_that_fail_keep_the_snapshot)
{
	struct kckpt_capture request = { .flags = KCKPT_CAPTURE_KEEP | KCKPT_CAPTURE_SNAPSHOT };
	struct image image = {};
	int dev;

	nr_pages = 100;
	start(writes_some);
	dump_running(0);
	dev = device_open();
	ASSERT_EQ(0, device_freeze(dev, job.cgroup) ?: device_capture_with(dev, &request) ?:
		     device_do(dev, KCKPT_IOC_THAW) ?: device_read(dev, &image));
	close(dev);
	dump_running(1);
	kill_job();
	expect_restored(name_of(1));
}

/* The restore is none the worse for it. */
TEST(increments_after_a_restore_without_room)
{
	struct tool_result result;

	nr_pages = 4000;
	start(writes_some);
	dump_running(0);
	kill_job();
	job.cgroup = test_new_cgroup();
	ASSERT_TRUE(write_file(format("%s/memory.max", job.cgroup), format("%d", 24 << 20)));
	result = TOOL("restore", name_of(0), "--files=changed", "--detach", "--keep-snapshot", "--cgroup", job.cgroup);
	expect_done(result);
	EXPECT_TRUE(strstr(result.text, "no snapshot is kept") && strstr(result.text, "no room"));
	ASSERT_TRUE(runner_runs(&job));
	expect_said(TOOL("--json", "dump", job.cgroup, "--leave-running", "--parent", name_of(0), "-o", name_of(1)),
		    "PARENT_NOT_KEPT");
	kill_job();
}

/* Old pages count, too. */
static long memory_of(const char *cgroup)
{
	return atol(read_file(format("%s/memory.current", cgroup)));
}

#define MIB (1L << 20)
#define FORGOTTEN 5

/* Old pages are held as long as somebody may ask for them. */
TEST(increments_let_go_of_memory)
{
	struct usage before, after;
	long kept;
	int i;

	nr_pages = 4000;
	start(writes_some);
	dump_running(0);
	before = usage_now();
	job_notes()[1] = nr_pages;
	for (i = 0; i < FORGOTTEN; i++) {
		dump_running(0);
		ASSERT_TRUE(runner_runs(&job) && runner_runs(&job));
		kept = memory_of(job.cgroup);
		expect_done(TOOL("forget", "--all"));
		EXPECT_TRUE(memory_of(job.cgroup) < kept - 10 * MIB);
	}
	dump_running(0);
	kill_job();
	/* Without a job nobody will. */
	sleep(1 * test_patience());
	EXPECT_TRUE(strstr(TOOL("forget", "--all").text, "nothing was kept"));
	after = usage_now();
	usage_expect_no_growth(&before, &after, FORGOTTEN);
}

/* Those of the image before go when the next one takes its place, without anybody asking. */
TEST(increments_take_the_place_of_the_last)
{
	double end = now() + 5 * test_patience();
	long kept;

	nr_pages = 4000;
	start(writes_some);
	dump_running(0);
	job_notes()[1] = nr_pages;
	ASSERT_TRUE(runner_runs(&job) && runner_runs(&job));
	job_notes()[1] = 0;
	ASSERT_TRUE(runner_runs(&job) && runner_runs(&job));
	kept = memory_of(job.cgroup);
	dump_running(1);
	while (memory_of(job.cgroup) >= kept - 10 * MIB && now() < end)
		usleep(10000);
	EXPECT_TRUE(memory_of(job.cgroup) < kept - 10 * MIB);
	dump_running(2);
	kill_job();
	expect_restored(name_of(2));
}

/* What a restore has kept goes with its job, too. */
TEST(increments_after_restores_leave_nothing)
{
	struct usage before, after;
	int i;

	nr_pages = 1000;
	start(writes_some);
	dump_running(0);
	kill_job();
	expect_restored(name_of(0));
	before = usage_now();
	for (i = 0; i < FORGOTTEN; i++) {
		restore_kept(name_of(0));
		ASSERT_TRUE(runner_runs(&job));
		kill_job();
		ASSERT_EQ(0, rmdir(job.cgroup));
	}
	sleep(1 * test_patience());
	EXPECT_TRUE(strstr(TOOL("forget", "--all").text, "nothing was kept"));
	after = usage_now();
	usage_expect_no_growth(&before, &after, FORGOTTEN);
}

/* A dry run keeps nothing, and what is not known is refused. */
TEST(increments_after_no_restore)
{
	struct kckpt_commit commit = { .flags = KCKPT_COMMIT_SNAPSHOT };
	struct image image = {};
	size_t at = 0;
	int dev;

	nr_pages = 100;
	start(writes_some);
	runner_dump(&job, &image);
	dev = device_open();
	EXPECT_EQ(0, device_write(dev, &image, &at));
	EXPECT_EQ(0, device_instantiate(dev, NULL, KCKPT_INSTANTIATE_DRY_RUN));
	EXPECT_EQ(0, device_write(dev, &image, &at));
	EXPECT_EQ(EINVAL, device_commit_with(dev, &(struct kckpt_commit){ .flags = 4 }));
	EXPECT_EQ(0, device_commit_with(dev, &commit));
	EXPECT_EQ(KCKPT_KEPT_NOT, device_kept(dev));
	close(dev);
	EXPECT_TRUE(strstr(TOOL("forget", "--all").text, "nothing was kept"));
	runner_restore(&job, &image);
}

/* Not for us: the job needs it. */
TEST(increments_give_memory_back_to_the_job)
{
	nr_pages = 4000;
	start(writes_some);
	dump_running(0);
	ASSERT_TRUE(write_file(format("%s/memory.high", job.cgroup), format("%ld", memory_of(job.cgroup) + 4 * MIB)));
	sleep(1 * test_patience());
	EXPECT_TRUE(strstr(TOOL("forget", job.cgroup).text, "nothing was kept"));
	kill_job();
}
