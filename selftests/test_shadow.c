// SPDX-License-Identifier: GPL-2.0
/*
 * Dumps whose job runs on before the image has been read (KCKPT_CAPTURE_KEEP): what is in the image is the memory of the
 * time of the capture, whatever the job has written since.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image.h"
#include "runner.h"
#include "turns.h"
#include "usage.h"

#define PAGE 4096UL

/* ---- jobs ---- */

static size_t memory_len;
static bool thaw_now, stop_thawing;

static int has_memory_of(int kind)
{
	char *all = mmap(NULL, memory_len, PROT_READ | PROT_WRITE, kind | MAP_ANONYMOUS, -1, 0);

	JOB_SETUP(all != MAP_FAILED);
	memset(all, 7, memory_len);
	for (;;) {
		__atomic_add_fetch(job_notes(), 1, __ATOMIC_SEQ_CST);
		usleep(1000);
	}
}

static int has_memory(void)
{
	return has_memory_of(MAP_PRIVATE);
}

static int has_shared_memory(void)
{
	return has_memory_of(MAP_SHARED);
}

/* ---- sessions ---- */

static int capture(int dev, uint32_t *kept)
{
	struct kckpt_capture request = { .flags = KCKPT_CAPTURE_KEEP };
	int err = device_capture_with(dev, &request);

	*kept = request.kept;
	return err;
}

/* Frozen, captured; the memory is kept. */
static int start_kept(const struct job *job)
{
	int dev = device_open();
	uint32_t kept;

	ASSERT_EQ(0, device_freeze(dev, job->cgroup));
	ASSERT_EQ(0, capture(dev, &kept));
	ASSERT_EQ(KCKPT_KEPT, kept);
	return dev;
}

static void start_running(struct job *job, job_fn *fn)
{
	job_start(job, fn, NULL);
	ASSERT_TRUE(runner_runs(job));
}

static void kill_job(struct job *job)
{
	ASSERT_TRUE(write_file(format("%s/cgroup.kill", job->cgroup), "1") && runner_is_gone(job));
}

/* By a session that did not write it; a cgroup in which cgroup.kill was written is of no use any more on some kernels. */
static void restore_elsewhere(struct job *job, const struct image *image)
{
	job->cgroup = test_new_cgroup();
	runner_restore(job, image);
}

static void expect_the_time_of_the_capture(job_fn *fn)
{
	struct image image = {};
	struct job job;
	int i, dev;

	start_running(&job, fn);
	for (i = 0; i < 3; i++) {
		dev = start_kept(&job);
		ASSERT_EQ(0, device_do(dev, KCKPT_IOC_THAW));
		/* All of its pages are others by now. */
		ASSERT_TRUE(runner_runs(&job) && runner_runs(&job));
		ASSERT_EQ(0, device_read(dev, &image));
		close(dev);
		ASSERT_TRUE(runner_runs(&job));
		kill_job(&job);
		restore_elsewhere(&job, &image);
		/* Another turn: it has looked at each page. */
		ASSERT_TRUE(runner_runs(&job) && runner_runs(&job));
	}
}

TEST_LIMIT(shadow_is_of_the_time_of_the_capture, 300)
{
	expect_the_time_of_the_capture(writes_in_turns);
}

TEST_LIMIT(shadow_of_a_tree, 300)
{
	runner_with_children = true;
	expect_the_time_of_the_capture(child_writes_in_turns);
}

#define NUMBERED 0x9e3779b97f4a7c15ULL	/* nobody else's pages, as the stack or the heap, have this */

/* In turns; so many that several CPUs may copy their tables. Some are never there, and they begin at any address. */
static int numbers_its_pages(void)
{
	char *all = mmap(NULL, memory_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t turn, *page;
	size_t i;

	JOB_SETUP(all != MAP_FAILED && !munmap(all, PAGE));
	for (turn = 0;; turn++) {
		for (i = 1; i < memory_len / PAGE; i++) {
			page = (uint64_t *)(all + i * PAGE);
			if (i % 5 == 0)
				continue;
			JOB_CHECK(page[0] == (turn ? i << 32 | turn : 0));
			page[1] = NUMBERED;
			page[0] = i << 32 | (turn + 1);
		}
		__atomic_add_fetch(job_notes(), 1, __ATOMIC_SEQ_CST);
	}
}

TEST_LIMIT(shadow_of_a_large_area, 300)
{
	memory_len = 40 << 20;
	expect_the_time_of_the_capture(numbers_its_pages);
}

/* Of that job: the pages that it has come to in this turn, and behind them those that it has not. */
static bool is_of_one_moment(const struct image *image)
{
	const size_t nr = memory_len / PAGE;
	uint32_t *turns = calloc(nr, sizeof(*turns)), last = UINT32_MAX, first = 0;
	struct image_walk walk;
	uint64_t words[2];
	bool good = true;
	size_t i, at;

	image_walk_begin(&walk, image);
	while (image_walk_next(&walk)) {
		for (at = 0; at < walk.data_len; at += PAGE) {
			memcpy(words, image->data + walk.data + at, sizeof(words));
			if (words[1] == NUMBERED && words[0] >> 32 < nr)
				turns[words[0] >> 32] = words[0];
		}
	}
	for (i = 1; i < nr; i++) {
		if (i % 5 == 0)
			continue;
		first = first ?: turns[i];
		good &= turns[i] && turns[i] <= last && turns[i] + 1 >= first;
		last = turns[i];
	}
	free(turns);
	return good;
}

enum moment { BEFORE, MEANWHILE, NEVER };

/*
 * When a job is let go that stands still for @wait_us before its memory is kept. In between, @go is set. What it takes if
 * it is not let go: *@whole_s, 0: not known yet.
 */
static enum moment let_go(const struct job *job, uint32_t max_pause_ms, uint32_t wait_us, bool *go, double *whole_s)
{
	static struct image image;
	struct kckpt_capture captured = { .flags = KCKPT_CAPTURE_KEEP };
	struct kckpt_freeze request = { .max_pause_ms = max_pause_ms };
	enum moment moment = BEFORE;
	int dev = device_open(), err;
	double from, took;
	uint32_t code;

	err = device_freeze_with(dev, &request, job->cgroup);
	usleep(wait_us);
	__atomic_store_n(go, true, __ATOMIC_SEQ_CST);
	from = now();
	err = err ?: device_capture_with(dev, &captured);
	took = now() - from;
	if (err) {
		moment = took > *whole_s / 4 ? MEANWHILE : BEFORE;
	} else {
		err = device_read_and_thaw(dev, &captured, &image);	/* may come too late, too, if nothing is kept */
		EXPECT_TRUE(err || is_of_one_moment(&image));
		moment = NEVER;
		*whole_s = *whole_s ?: took;
	}
	code = err ? device_first_code(dev) : 0;
	EXPECT_TRUE(!err || code == KCKPT_E_PAUSE_BOUND || code == KCKPT_E_JOB_MOVED);
	close(dev);
	return moment;
}

/* It looks at the job some 20 ms after the freeze: as near to the middle of the copy as can be had. */
TEST_LIMIT(shadow_of_a_job_that_the_watchdog_lets_go, 300)
{
	uint32_t wait_us = 0, nr = 0, tries;
	enum moment moment;
	double whole_s = 0;
	struct job job;
	bool go;

	memory_len = 40 << 20;
	start_running(&job, numbers_its_pages);
	ASSERT_EQ(NEVER, let_go(&job, 0, 0, &go, &whole_s));
	for (tries = 0; tries < 80 && nr < 8; tries++) {
		moment = let_go(&job, 1, wait_us, &go, &whole_s);
		nr += moment == MEANWHILE;
		if (moment == NEVER)
			wait_us += tries < 20 ? 2000 : 300;
		else
			wait_us -= wait_us < 500 ? wait_us : 500;
	}
	EXPECT_TRUE(runner_runs(&job) && runner_runs(&job));
	test_say("%u times of %u while it was being kept", nr, tries);
}

static uint32_t thaw_us;

static void *thaws_when_told(void *path)
{
	while (!__atomic_load_n(&stop_thawing, __ATOMIC_SEQ_CST)) {
		if (!__atomic_exchange_n(&thaw_now, false, __ATOMIC_SEQ_CST)) {
			usleep(50);
			continue;
		}
		usleep(__atomic_load_n(&thaw_us, __ATOMIC_SEQ_CST));
		write_file(path, "0");
	}
	return NULL;
}

TEST_LIMIT(shadow_of_a_job_that_is_thawed_from_outside, 300)
{
	double whole_s = 0;
	uint32_t i, nr = 0;
	pthread_t thread;
	struct job job;
	char *path;

	memory_len = 40 << 20;
	start_running(&job, numbers_its_pages);
	ASSERT_EQ(NEVER, let_go(&job, 0, 0, &thaw_now, &whole_s));
	path = strdup(format("%s/cgroup.freeze", job.cgroup));
	ASSERT_EQ(0, pthread_create(&thread, NULL, thaws_when_told, path));
	for (i = 0; i < 20; i++) {
		__atomic_store_n(&thaw_us, (uint32_t)(whole_s * 1e6) * i / 20, __ATOMIC_SEQ_CST);
		nr += let_go(&job, 0, 0, &thaw_now, &whole_s) == MEANWHILE;
	}
	__atomic_store_n(&stop_thawing, true, __ATOMIC_SEQ_CST);
	pthread_join(thread, NULL);
	free(path);
	EXPECT_TRUE(runner_runs(&job) && runner_runs(&job));
	test_say("%u times of %u while it was being kept", nr, i);
}

static uint64_t pages_of(int dev)
{
	struct kckpt_stats stats = {};

	ASSERT_TRUE(!ioctl(dev, KCKPT_IOC_STATS, &stats));
	return stats.pages;
}

/* Kept or not, there are as many pages. */
TEST(shadow_has_what_the_job_has)
{
	struct image image = {};
	uint64_t kept;
	struct job job;
	int dev;

	memory_len = 1 << 20;
	start_running(&job, has_memory);
	ASSERT_TRUE(write_file(format("%s/cgroup.freeze", job.cgroup), "1"));
	dev = start_kept(&job);
	ASSERT_EQ(0, device_do(dev, KCKPT_IOC_THAW) ?: device_read(dev, &image));
	kept = pages_of(dev);
	close(dev);
	/* It was frozen before, and still is. */
	ASSERT_TRUE(cgroup_is_frozen(job.cgroup));
	dev = device_open();
	ASSERT_EQ(0, device_freeze(dev, job.cgroup) ?: device_capture(dev) ?: device_read(dev, &image));
	EXPECT_TRUE(kept > (memory_len >> 12) && kept == pages_of(dev));
	close(dev);
	ASSERT_TRUE(write_file(format("%s/cgroup.freeze", job.cgroup), "0") && runner_runs(&job));
}

/* Writes to all of its memory when note 1 says so, and to note 2 that it has. */
static int writes_when_told(void)
{
	char *all = mmap(NULL, memory_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t i;

	JOB_SETUP(all != MAP_FAILED && !madvise(all, memory_len, MADV_NOHUGEPAGE));
	memset(all, 7, memory_len);
	while (!job_notes()[1]) {
		__atomic_add_fetch(job_notes(), 1, __ATOMIC_SEQ_CST);
		usleep(1000);
	}
	for (i = 0; i < memory_len; i += PAGE)
		all[i]++;
	for (job_notes()[2] = 1;; usleep(1000))
		__atomic_add_fetch(job_notes(), 1, __ATOMIC_SEQ_CST);
}

static void read_part(int dev, size_t len)
{
	char *buffer = malloc(1 << 20);
	ssize_t n;

	for (; len; len -= n) {
		n = read(dev, buffer, len < 1 << 20 ? len : 1 << 20);
		ASSERT_TRUE(n > 0);
	}
	free(buffer);
}

static long memory_of(const struct job *job)
{
	return atol(read_file(format("%s/memory.current", job->cgroup)));
}

/* What is still to be read is copied when the job writes to it, and what was read last (see stream.h). */
TEST(shadow_goes_as_it_is_read)
{
	double end = now() + 20 * test_patience();
	struct job job;
	long before;
	int dev;

	memory_len = 64 << 20;
	start_running(&job, writes_when_told);
	dev = start_kept(&job);
	ASSERT_EQ(0, device_do(dev, KCKPT_IOC_THAW));
	read_part(dev, memory_len * 3 / 4);
	before = memory_of(&job);
	job_notes()[1] = 1;
	while (!job_notes()[2] && now() < end)
		usleep(1000);
	ASSERT_TRUE(job_notes()[2]);
	test_say("%ld KiB more, of %zu", (memory_of(&job) - before) >> 10, memory_len >> 10);
	EXPECT_TRUE(memory_of(&job) - before < (long)memory_len / 2);
	close(dev);
	ASSERT_TRUE(runner_runs(&job));
	kill_job(&job);
}

TEST(shadow_can_be_read_before_the_thaw)
{
	struct image image = {};
	struct job job;
	int dev;

	start_running(&job, writes_in_turns);
	dev = start_kept(&job);
	ASSERT_EQ(0, device_read(dev, &image));
	EXPECT_TRUE(cgroup_is_frozen(job.cgroup));
	ASSERT_EQ(0, device_do(dev, KCKPT_IOC_KILL));
	close(dev);
	ASSERT_TRUE(runner_is_gone(&job));
	runner_restore(&job, &image);
}

/* The job is not ours any more. */
TEST(shadow_session_without_its_job)
{
	const unsigned long too_late[] = { KCKPT_IOC_THAW, KCKPT_IOC_KILL, KCKPT_IOC_RELEASE_FROZEN };
	struct image image = {};
	struct job job;
	size_t i;
	int dev;

	start_running(&job, writes_in_turns);
	dev = start_kept(&job);
	ASSERT_EQ(0, device_do(dev, KCKPT_IOC_THAW));
	EXPECT_EQ(KCKPT_CAPTURED, device_state(dev));
	for (i = 0; i < sizeof(too_late) / sizeof(too_late[0]); i++) {
		EXPECT_EQ(EINVAL, device_do(dev, too_late[i]));
		EXPECT_TRUE(runner_runs(&job));
	}
	/* Others may have it, kill it, remove it. */
	ASSERT_EQ(0, device_dump(job.cgroup, &image, KCKPT_IOC_KILL));
	ASSERT_TRUE(runner_is_gone(&job) && !rmdir(job.cgroup));
	ASSERT_EQ(0, device_read(dev, &image));
	EXPECT_EQ(KCKPT_SAVED, device_state(dev));
	close(dev);
	restore_elsewhere(&job, &image);
}

/* What we held of it would be an end that is never closed: of a pipe of its own, and of one that was handed over. */
#define HANDED_OVER 5

static int count_until(uint64_t note)
{
	while (__atomic_load_n(&job_notes()[1], __ATOMIC_SEQ_CST) != note)
		__atomic_add_fetch(job_notes(), 1, __ATOMIC_SEQ_CST);
	return 0;
}

static int ends_its_pipes(void)
{
	int ends[2];

	JOB_SETUP(!pipe(ends) && !fcntl(ends[0], F_SETFL, O_NONBLOCK));
	count_until(1);
	close(ends[1]);
	close(HANDED_OVER);
	job_notes()[2] = read(ends[0], ends, 1) == 0 ? 1 : 2;
	return count_until(2);
}

TEST(shadow_holds_nothing_of_the_job)
{
	struct kckpt_inherit inherit = { .fd = HANDED_OVER, .name = "pipe" };
	struct kckpt_capture request = {
		.flags = KCKPT_CAPTURE_KEEP, .inherit = (uintptr_t)&inherit, .nr_inherit = 1,
	};
	struct job_options options = { .nr_fds = 1 };
	int dev, ends[2];
	struct job job;
	char byte;

	ASSERT_EQ(0, pipe2(ends, O_CLOEXEC));
	options.fds[0] = (struct job_fd){ ends[1], HANDED_OVER };
	job_start(&job, ends_its_pipes, &options);
	close(ends[1]);
	ASSERT_TRUE(runner_runs(&job));
	dev = device_open();
	ASSERT_EQ(0, device_freeze(dev, job.cgroup) ?: device_capture_with(dev, &request));
	ASSERT_EQ(KCKPT_KEPT, request.kept);
	ASSERT_EQ(0, device_do(dev, KCKPT_IOC_THAW));
	job_notes()[1] = 1;
	EXPECT_EQ(0, read(ends[0], &byte, 1));
	ASSERT_TRUE(runner_runs(&job));
	EXPECT_EQ(1, job_notes()[2]);
	close(dev);
}

/* The one area that is anonymous and has a file. */
static int maps_dev_zero(void)
{
	int fd = open("/dev/zero", O_RDWR);
	char *at = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	JOB_SETUP(fd >= 0 && at != MAP_FAILED && !close(fd));
	memset(at, 7, 16 * PAGE);
	count_until(1);
	if (!strstr(read_file("/proc/self/maps"), "/dev/zero") || at[15 * PAGE] != 7 || munmap(at, 16 * PAGE))
		return 1;
	return count_until(2);
}

TEST(shadow_of_dev_zero)
{
	struct image image = {};
	struct job job;
	int i, dev;

	start_running(&job, maps_dev_zero);
	for (i = 0; i < 3; i++) {
		dev = start_kept(&job);
		ASSERT_EQ(0, device_do(dev, KCKPT_IOC_THAW) ?: device_read(dev, &image));
		close(dev);
		ASSERT_TRUE(runner_runs(&job));
	}
	kill_job(&job);
	restore_elsewhere(&job, &image);
	job_notes()[1] = 1;
	EXPECT_TRUE(runner_runs(&job) && runner_runs(&job));
}

/* What it has written over a file goes for it, and not for the image. */
static int cuts_its_file(void)
{
	const char *path = test_path("cut");
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	char *at = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	JOB_SETUP(fd >= 0 && at != MAP_FAILED && !ftruncate(fd, 16 * PAGE));
	memset(at, 7, 16 * PAGE);
	count_until(1);
	JOB_SETUP(!ftruncate(fd, 0));
	return count_until(2);
}

TEST(shadow_of_a_file_that_is_cut)
{
	struct image image = {};
	uint64_t kept;
	struct job job;
	int i, dev;

	start_running(&job, cuts_its_file);
	for (kept = i = 0; i < 2; i++) {
		dev = start_kept(&job);
		ASSERT_EQ(0, device_do(dev, KCKPT_IOC_THAW));
		job_notes()[1] = i;
		ASSERT_TRUE(runner_runs(&job) && runner_runs(&job));
		ASSERT_EQ(0, device_read(dev, &image));
		if (!i)
			kept = pages_of(dev);
		else
			EXPECT_EQ(kept, pages_of(dev));
		close(dev);
	}
}

/* Time that goes on after the thaw is no pause; and who reads no further has nothing kept for him. */
TEST(shadow_under_the_watchdog)
{
	struct kckpt_freeze request = { .max_pause_ms = 2000 * test_patience(), .stall_ms = 4000 * test_patience() };
	struct kckpt_capture captured = { .flags = KCKPT_CAPTURE_KEEP };
	struct image image = {};
	struct job job;
	char part[4096];
	int dev;

	start_running(&job, writes_in_turns);
	dev = device_open();
	ASSERT_EQ(0, device_freeze_with(dev, &request, job.cgroup) ?: device_capture_with(dev, &captured));
	ASSERT_EQ(0, device_do(dev, KCKPT_IOC_THAW));
	usleep((request.max_pause_ms + 500) * 1000);
	ASSERT_EQ(sizeof(part), read(dev, part, sizeof(part)));
	usleep((request.stall_ms + 2500) * 1000);
	EXPECT_EQ(ETIMEDOUT, device_read(dev, &image));
	EXPECT_EQ(KCKPT_E_WATCHDOG, device_first_code(dev));
	EXPECT_TRUE(runner_runs(&job));
	close(dev);
}

TEST(shadow_goes_with_its_session)
{
	struct usage before = {}, after;
	struct image image = {};
	struct job job;
	char part[4096];
	int i, dev;

	memory_len = 8 << 20;
	start_running(&job, has_memory);
	for (i = 0; i < 25; i++) {
		if (i == 5)
			before = usage_now();
		dev = start_kept(&job);
		if (i % 3)
			ASSERT_EQ(0, device_do(dev, KCKPT_IOC_THAW));
		if (i % 5 == 1)
			ASSERT_EQ(sizeof(part), read(dev, part, sizeof(part)));
		if (i % 5 == 2)
			ASSERT_EQ(0, device_read(dev, &image));
		close(dev);
		ASSERT_TRUE(runner_runs(&job));
	}
	after = usage_now();
	usage_expect_no_growth(&before, &after, 20);
}

/* ---- where it cannot be kept the job stands still, and the dump is as good ---- */

static void expect_not_kept(uint32_t why, struct job *job)
{
	struct image image = {};
	int dev = device_open();
	uint32_t kept;

	ASSERT_EQ(0, device_freeze(dev, job->cgroup));
	ASSERT_EQ(0, capture(dev, &kept));
	EXPECT_EQ(why, kept);
	ASSERT_EQ(0, device_read(dev, &image));
	EXPECT_TRUE(cgroup_is_frozen(job->cgroup));
	ASSERT_EQ(0, device_do(dev, KCKPT_IOC_KILL));
	close(dev);
	ASSERT_TRUE(runner_is_gone(job));
	write_file(format("%s/memory.max", job->cgroup), "max");
	runner_restore(job, &image);
}

TEST(shadow_needs_room_in_the_cgroup)
{
	struct job job;

	memory_len = 32 << 20;
	start_running(&job, has_memory);
	if (!write_file(format("%s/memory.max", job.cgroup), format("%zu", memory_len * 3 / 2)))
		test_skip("no memory controller");
	expect_not_kept(KCKPT_KEPT_NO_ROOM, &job);
}

TEST(shadow_copies_no_more_than_it_may)
{
	struct job job;

	memory_len = 65 << 20;
	start_running(&job, has_shared_memory);
	expect_not_kept(KCKPT_KEPT_TOO_MUCH, &job);
}

/* ---- where it costs the job too much it goes, and the job runs on ---- */

static int start_with_bound(const struct job *job, uint64_t max_cow)
{
	struct kckpt_capture request = { .flags = KCKPT_CAPTURE_KEEP, .max_cow = max_cow };
	int dev = device_open();

	ASSERT_EQ(0, device_freeze(dev, job->cgroup) ?: device_capture_with(dev, &request));
	ASSERT_EQ(KCKPT_KEPT, request.kept);
	ASSERT_EQ(0, device_do(dev, KCKPT_IOC_THAW));
	return dev;
}

static void let_it_write(struct job *job)
{
	double end = now() + 60 * test_patience();

	job_notes()[1] = 1;
	while (!job_notes()[2] && now() < end)
		usleep(1000);
	ASSERT_TRUE(job_notes()[2] && runner_runs(job));
}

static void expect_dropped(int dev)
{
	double end = now() + 5 * test_patience();
	struct image image = {};

	/* Nobody reads: it is the module that notices. */
	while (device_state(dev) != KCKPT_FAILED && !device_first_code(dev) && now() < end)
		usleep(1000);
	EXPECT_EQ(ENOBUFS, device_read(dev, &image));
	EXPECT_EQ(KCKPT_E_KEPT_DROPPED, device_first_code(dev));
	close(dev);
}

TEST(shadow_of_too_many_copies)
{
	struct job job;
	long before;

	memory_len = 32 << 20;
	start_running(&job, writes_when_told);
	before = memory_of(&job);
	int dev = start_with_bound(&job, memory_len / 4);

	let_it_write(&job);
	expect_dropped(dev);
	EXPECT_TRUE(memory_of(&job) - before < (long)memory_len / 2);
	kill_job(&job);
}

TEST(shadow_of_no_more_copies_than_allowed)
{
	const long nr = (memory_len = 32 << 20) / PAGE;
	struct kckpt_capture request = { .max_cow = 1 };
	struct kckpt_stats stats = {};
	struct image image = {};
	struct job job;
	int dev;

	start_running(&job, writes_when_told);
	dev = device_open();
	ASSERT_EQ(0, device_freeze(dev, job.cgroup));
	EXPECT_EQ(EINVAL, device_capture_with(dev, &request));	/* nothing is kept */
	close(dev);
	dev = start_with_bound(&job, 2 * memory_len);
	let_it_write(&job);
	ASSERT_EQ(0, device_read(dev, &image));
	ASSERT_TRUE(!ioctl(dev, KCKPT_IOC_STATS, &stats));
	test_say("%llu page faults, %ld copies", (unsigned long long)stats.cow_pages, nr);
	EXPECT_TRUE((long)stats.cow_pages >= nr && (long)stats.cow_pages < nr * 3 / 2);
	close(dev);
	kill_job(&job);
}

/* Needs more and more when told, less than it may; and then writes to what it had. */
static int grows_when_told(void)
{
	char *all = mmap(NULL, memory_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *more;
	size_t i;

	JOB_SETUP(all != MAP_FAILED);
	memset(all, 7, memory_len);
	while (!job_notes()[1]) {
		__atomic_add_fetch(job_notes(), 1, __ATOMIC_SEQ_CST);
		usleep(1000);
	}
	for (i = 0; i < 54; i++) {
		more = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		JOB_SETUP(more != MAP_FAILED);
		memset(more, 7, 1 << 20);
		usleep(40000 * test_patience());
	}
	for (i = 0; i < memory_len; i += PAGE)
		all[i]++;
	for (job_notes()[2] = 1;; usleep(1000))
		__atomic_add_fetch(job_notes(), 1, __ATOMIC_SEQ_CST);
}

/* It would have been killed. */
TEST(shadow_in_a_cgroup_that_gets_full)
{
	struct job job;
	int dev;

	memory_len = 32 << 20;
	start_running(&job, grows_when_told);
	if (!write_file(format("%s/memory.max", job.cgroup), format("%zu", memory_len * 3)))
		test_skip("no memory controller");
	write_file(format("%s/memory.swap.max", job.cgroup), "0");
	dev = start_with_bound(&job, 0);
	let_it_write(&job);
	expect_dropped(dev);
	EXPECT_TRUE(strstr(read_file(format("%s/memory.events", job.cgroup)), "oom_kill 0"));
	kill_job(&job);
}

static const char *grown;

static int executes_another_when_told(void)
{
	const char *script = "while [ $(stat -c %s $0) -lt 73400320 ]; do head -c 1M /dev/zero >>$0; sleep $1; done; exec sleep 1000";
	char *all = mmap(NULL, memory_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	JOB_SETUP(all != MAP_FAILED);
	memset(all, 7, memory_len);
	while (!job_notes()[1]) {
		__atomic_add_fetch(job_notes(), 1, __ATOMIC_SEQ_CST);
		usleep(1000);
	}
	execlp("sh", "sh", "-c", script, grown, test_patience() > 1 ? "0.2" : "0.02", NULL);
	return 1;
}

/* Its old memory is still charged to the cgroup, though no process leads there. */
TEST(shadow_of_what_was_before_exec)
{
	double end = now() + 60 * test_patience();
	const char *dir = test_path("shm");
	struct stat st = {};
	struct job job;
	int dev;

	ASSERT_TRUE(!mkdir(dir, 0755) && !mount("none", dir, "tmpfs", 0, NULL));
	grown = format("%s/file", dir);
	close(open(grown, O_CREAT | O_WRONLY, 0644));
	memory_len = 32 << 20;
	start_running(&job, executes_another_when_told);
	if (!write_file(format("%s/memory.max", job.cgroup), format("%zu", memory_len * 3)))
		test_skip("no memory controller");
	write_file(format("%s/memory.swap.max", job.cgroup), "0");
	dev = start_with_bound(&job, 0);
	job_notes()[1] = 1;
	while (st.st_size < 70 << 20 && now() < end && !stat(grown, &st))
		usleep(10000);
	EXPECT_EQ(70 << 20, st.st_size);
	expect_dropped(dev);
	EXPECT_TRUE(strstr(read_file(format("%s/memory.events", job.cgroup)), "oom_kill 0"));
	kill_job(&job);
	umount(dir);
}

static int writes_all_the_time(void)
{
	char *all = mmap(NULL, memory_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t i;

	JOB_SETUP(all != MAP_FAILED && !madvise(all, memory_len, MADV_NOHUGEPAGE));
	memset(all, 7, memory_len);
	for (;;) {
		for (i = 0; i < memory_len; i += PAGE)
			all[i]++;
		__atomic_add_fetch(job_notes(), 1, __ATOMIC_SEQ_CST);
	}
}

/* The tool makes the image all the same, unless somebody has had a part of it. */
TEST(shadow_is_not_needed_for_an_image)
{
	const char *path = test_path("image"), *fifo = test_path("fifo");
	struct tool_result result;
	struct job job;

	memory_len = 128 << 20;
	start_running(&job, writes_all_the_time);
	result = TOOL("--json", "dump", job.cgroup, "--leave-running", "--max-cow", "8k", "--max-pause", "30000", "-o", path);
	if (!EXPECT_EQ(0, result.status) || !EXPECT_TRUE(tool_said(&result, "dropped")))
		test_say("%s", result.text);
	EXPECT_EQ(0, TOOL("verify", path).status);
	ASSERT_EQ(0, mkfifo(fifo, 0600));
	ASSERT_EQ(0, system(format("(exec <%s; sleep 1; exec cat >/dev/null) &", fifo)));	/* the job comes to write */
	result = TOOL("--json", "dump", job.cgroup, "--leave-running", "--max-cow", "8k", "--max-pause", "30000", "-o", fifo);
	if (!EXPECT_EQ(1, result.status) || !EXPECT_TRUE(tool_said(&result, "KEPT_DROPPED")))
		test_say("%s", result.text);
	ASSERT_TRUE(runner_runs(&job));
	EXPECT_EQ(2, TOOL("dump", job.cgroup, "--max-cow", "8k", "-o", path).status);
	kill_job(&job);
	job.cgroup = test_new_cgroup();
	ASSERT_EQ(0, TOOL("restore", path, "--files=changed", "--detach", "--cgroup", job.cgroup).status);
	ASSERT_TRUE(runner_runs(&job));
	kill_job(&job);
}

/* ---- the pause ---- */

static uint64_t pause_of(const struct job *job, uint32_t flags)
{
	struct kckpt_capture request = { .flags = flags };
	struct kckpt_stats stats = {};
	struct image image = {};
	int dev = device_open();

	ASSERT_EQ(0, device_freeze(dev, job->cgroup) ?: device_capture_with(dev, &request) ?:
		     device_read_and_thaw(dev, &request, &image));
	ASSERT_TRUE(!ioctl(dev, KCKPT_IOC_STATS, &stats));
	close(dev);
	free(image.data);
	return stats.pause_ns;
}

TEST(shadow_makes_the_pause_short)
{
	uint64_t kept = ~0ull, read = ~0ull, ns;
	struct job job;
	int i;

	memory_len = 64 << 20;
	start_running(&job, has_memory);
	for (i = 0; i < 3; i++) {
		ns = pause_of(&job, KCKPT_CAPTURE_KEEP);
		kept = ns < kept ? ns : kept;
		ns = pause_of(&job, 0);
		read = ns < read ? ns : read;
	}
	test_say("64 MiB: %.1f ms with the memory kept, %.1f ms without", kept / 1e6, read / 1e6);
	EXPECT_TRUE(kept * 4 < read);
}
