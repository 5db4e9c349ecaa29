// SPDX-License-Identifier: GPL-2.0
/* Images that the kernel itself writes into files and reads from them (KCKPT_IOC_SAVE, KCKPT_IOC_LOAD), or splices. */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/magic.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "image.h"
#include "runner.h"
#include "swap.h"
#include "tool.h"

#define PAGE 4096UL
#define HUGE (2UL << 20)
#define ALL (1ULL << 40)

/* ---- the job ---- */

#define AT_ROW 2			/* notes: where its row of pages is, */
#define AT_REWRITE 3			/* and 1: write some of it again, 2: has done so */

/* Scattered pages, zero ones among them, then a row, then huge pages: each has its number, over and over. */
#define NR_SCATTERED 700
#define NR_ROW 3000
#define NR_HUGE (3 * HUGE / PAGE)

static struct {
	char *scattered, *row, *huge;
} memory;

static char *page_at(size_t i)
{
	if (i < NR_SCATTERED)
		return memory.scattered + 2 * i * PAGE;
	i -= NR_SCATTERED;
	return i < NR_ROW ? memory.row + i * PAGE : memory.huge + (i - NR_ROW) * PAGE;
}

static void page_fill(uint64_t *page, uint64_t i)
{
	size_t at;

	for (at = 0; at < PAGE / 8; at++)
		page[at] = i % 5 ? i * 0x9E3779B97F4A7C15 + at : 0;
}

static bool map_memory(void)
{
	const size_t len = 2 * NR_SCATTERED * PAGE + NR_ROW * PAGE + NR_HUGE * PAGE + HUGE;
	char *all = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t i;

	if (all == MAP_FAILED)
		return false;
	memory.scattered = all;
	memory.row = all + 2 * NR_SCATTERED * PAGE;
	memory.huge = (char *)(((uintptr_t)memory.row + NR_ROW * PAGE + HUGE - 1) & ~(HUGE - 1));
	madvise(all, memory.huge - all, MADV_NOHUGEPAGE);
	madvise(memory.huge, NR_HUGE * PAGE, MADV_HUGEPAGE);
	for (i = 0; i < NR_SCATTERED + NR_ROW + NR_HUGE; i++)
		page_fill((uint64_t *)page_at(i), i);
	return true;
}

/* Here and there a few pages, of which some are paged out later; before these, many. */
#define EVERY 97
#define SOME 3
#define NR_BEFORE 600

static void rewrite_if_asked(void)
{
	size_t i;

	if (__atomic_load_n(job_notes() + AT_REWRITE, __ATOMIC_SEQ_CST) != 1)
		return;
	for (i = 0; i < NR_ROW; i++)
		if (i < NR_BEFORE || i % EVERY < SOME)
			page_fill((uint64_t *)page_at(NR_SCATTERED + i), NR_SCATTERED + i);
	__atomic_store_n(job_notes() + AT_REWRITE, 2, __ATOMIC_SEQ_CST);
}

static int looks_at_memory(void)
{
	static uint64_t want[PAGE / 8];
	size_t i;

	for (;;) {
		rewrite_if_asked();
		for (i = 0; i < NR_SCATTERED + NR_ROW + NR_HUGE; i++) {
			page_fill(want, i);
			if (memcmp(want, page_at(i), PAGE))
				return job_complain(__FILE__, __LINE__, format("page %zu", i));
		}
		__atomic_add_fetch(job_notes(), 1, __ATOMIC_SEQ_CST);
	}
}

static int looks_at_its_memory(void)
{
	JOB_SETUP(map_memory());
	job_notes()[AT_ROW] = (uintptr_t)memory.row;
	return looks_at_memory();
}

/* Twice: then it has looked at each page since. */
static bool job_is_well(struct job *job)
{
	return runner_runs(job) && runner_runs(job);
}

static void start_running(struct job *job)
{
	job_start(job, looks_at_its_memory, NULL);
	ASSERT_TRUE(runner_runs(job));
}

/* Frozen, captured. */
static int start_dump(const struct job *job, uint32_t flags)
{
	struct kckpt_capture request = { .flags = flags };
	int dev = device_open();

	ASSERT_EQ(0, device_freeze(dev, job->cgroup));
	ASSERT_EQ(0, device_capture_with(dev, &request));
	ASSERT_EQ(flags & KCKPT_CAPTURE_KEEP ? KCKPT_KEPT : KCKPT_KEPT_NOT, request.kept);
	return dev;
}

static void end_dump(struct job *job, int dev)
{
	ASSERT_EQ(KCKPT_SAVED, device_state(dev));
	ASSERT_EQ(0, device_do(dev, KCKPT_IOC_KILL));
	close(dev);
	ASSERT_TRUE(runner_is_gone(job));
}

/* Until the last byte is taken the job has to stand still, whoever lets it run. */
TEST(transfer_of_a_job_that_moved)
{
	char buffer[4096];
	struct job job;
	ssize_t n;
	int dev;

	runner_start(&job);
	dev = start_dump(&job, 0);
	ASSERT_EQ(sizeof(buffer), read(dev, buffer, sizeof(buffer)));
	ASSERT_TRUE(write_file(format("%s/cgroup.freeze", job.cgroup), "0") && runner_runs(&job));
	while ((n = read(dev, buffer, sizeof(buffer))) > 0)
		;
	EXPECT_EQ(-1, n);
	EXPECT_EQ(KCKPT_E_JOB_MOVED, device_first_code(dev));
	close(dev);
	EXPECT_TRUE(runner_runs(&job));
}

/* ---- requests ---- */

static long long save(int dev, int fd, uint64_t bytes)
{
	return device_transfer(dev, KCKPT_IOC_SAVE, fd, bytes);
}

static long long load(int dev, int fd, uint64_t bytes)
{
	return device_transfer(dev, KCKPT_IOC_LOAD, fd, bytes);
}

/* From where @fd stands to its end, @step bytes at a time. 0 or an errno. */
static int load_and_commit(int dev, int fd, uint64_t step, const char *cgroup)
{
	long long n;

	while ((n = load(dev, fd, step)) > 0)
		;
	EXPECT_EQ(-EBUSY, n);
	EXPECT_EQ(KCKPT_LOADED, device_state(dev));
	EXPECT_EQ(-EBUSY, load(dev, fd, step));
	ASSERT_EQ(0, device_instantiate(dev, cgroup, 0));
	while ((n = load(dev, fd, step)) > 0)
		;
	return -n ?: device_commit(dev);
}

static void expect_restored_from(struct job *job, int fd, uint64_t step)
{
	int dev = device_open();

	EXPECT_EQ(0, load_and_commit(dev, fd, step, job->cgroup));
	device_say_report(dev);
	close(dev);
	EXPECT_TRUE(job_is_well(job));
}

/* From where @fd stands. */
static void dump_into(struct job *job, int fd)
{
	int dev = start_dump(job, 0);

	EXPECT_TRUE(save(dev, fd, 0) > 0);
	EXPECT_EQ(0, save(dev, fd, 0));
	end_dump(job, dev);
}

static int open_file(const char *path, int flags)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | flags, 0600);

	ASSERT_TRUE(fd >= 0);
	return fd;
}

/* ---- files ---- */

TEST(transfer_by_files)
{
	int dev, fd = open_file(test_path("image"), 0);
	struct job job;
	off_t size;

	start_running(&job);
	dev = start_dump(&job, 0);
	EXPECT_TRUE(save(dev, fd, 0) > (long long)(NR_ROW * PAGE));
	size = lseek(fd, 0, SEEK_CUR);
	EXPECT_EQ(0, save(dev, fd, 0));
	EXPECT_EQ(size, lseek(fd, 0, SEEK_END));
	end_dump(&job, dev);
	ASSERT_EQ(0, lseek(fd, 0, SEEK_SET));
	expect_restored_from(&job, fd, 0);
	EXPECT_EQ(size, lseek(fd, 0, SEEK_CUR));
}

/* Of a job that is frozen. */
static void swap_out_some(const struct job *job)
{
	int pidfd = (int)syscall(SYS_pidfd_open, job->pid, 0);
	struct iovec part;
	size_t i;

	ASSERT_TRUE(pidfd >= 0);
	for (i = 0; i + SOME <= NR_ROW; i += EVERY) {
		part = (struct iovec){ (char *)job_notes()[AT_ROW] + i * PAGE, SOME * PAGE };
		ASSERT_EQ(SOME * PAGE, syscall(SYS_process_madvise, pidfd, &part, 1, MADV_PAGEOUT, 0));
	}
	close(pidfd);
	EXPECT_TRUE(status_field(job->pid, "VmSwap", 10) > 200);
}

/* Whoever looks up pages ahead leaves those that have to be waited for to who asked. */
TEST(transfer_of_what_is_swapped_out)
{
	int dev, fd = open_file(test_path("image"), 0);
	struct job job;

	swap_on(1024);
	start_running(&job);
	dev = device_open();
	ASSERT_EQ(0, device_freeze(dev, job.cgroup));
	swap_out_some(&job);
	ASSERT_EQ(0, device_capture(dev));
	EXPECT_TRUE(save(dev, fd, 0) > 0);
	EXPECT_EQ(0, status_field(job.pid, "VmSwap", 10));
	EXPECT_EQ(0, save(dev, fd, 0));
	end_dump(&job, dev);
	ASSERT_EQ(0, lseek(fd, 0, SEEK_SET));
	expect_restored_from(&job, fd, 0);
	swap_off();
}

/* Captures into a file, and keeps a snapshot; the job runs on. */
static void dump_with_snapshot(const struct job *job, struct kckpt_capture *request, const char *path)
{
	int dev = device_open();

	request->flags = KCKPT_CAPTURE_KEEP | KCKPT_CAPTURE_SNAPSHOT;
	ASSERT_EQ(0, device_freeze(dev, job->cgroup) ?: device_capture_with(dev, request));
	ASSERT_EQ(KCKPT_KEPT, request->kept);
	ASSERT_EQ(0, device_do(dev, KCKPT_IOC_THAW) ?: device_save_to(dev, open_file(path, 0)));
	ASSERT_EQ(0, device_do(dev, KCKPT_IOC_RETAIN));
	close(dev);
}

/* Among what the parent has, in an image that is large before it comes to that. */
TEST(transfer_of_an_increment_of_what_is_swapped_out)
{
	const char *parent = test_path("parent"), *child = test_path("child"), *whole = test_path("whole");
	struct kckpt_capture request = {};
	struct tool_result result;
	struct job job;
	long long n;
	int dev, fd;

	swap_on(1024);
	start_running(&job);
	dump_with_snapshot(&job, &request, parent);
	__atomic_store_n(job_notes() + AT_REWRITE, 1, __ATOMIC_SEQ_CST);
	ASSERT_TRUE(job_is_well(&job) && job_notes()[AT_REWRITE] == 2);
	dev = device_open();
	ASSERT_EQ(0, device_freeze(dev, job.cgroup));
	swap_out_some(&job);
	memcpy(request.parent, request.image, sizeof(request.parent));
	request.flags = KCKPT_CAPTURE_PARENT;
	ASSERT_EQ(0, device_capture_with(dev, &request));
	fd = open_file(child, 0);
	n = save(dev, fd, 0);
	test_say("%lld bytes", n);
	EXPECT_TRUE(n > (long long)(NR_BEFORE / 2 * PAGE) && n < (long long)(NR_ROW * PAGE));
	EXPECT_EQ(0, status_field(job.pid, "VmSwap", 10));
	EXPECT_EQ(0, save(dev, fd, 0));
	end_dump(&job, dev);
	result = TOOL("flatten", child, "-o", whole);
	if (!EXPECT_EQ(0, result.status))
		test_say("%s", result.text);
	fd = open(whole, O_RDONLY | O_CLOEXEC);
	ASSERT_TRUE(fd >= 0);
	expect_restored_from(&job, fd, 0);
	swap_off();
}

static void expect_bad_address(int dev)
{
	EXPECT_EQ(-1, syscall(SYS_read, dev, 8, 100));
	EXPECT_EQ(EFAULT, errno);
}

/* Any number of bytes at a time, at any place of a file, and others in between. */
TEST(transfer_in_odd_pieces)
{
	int dev, fd = open_file(test_path("image"), 0);
	uint32_t seed = 7, nr;
	uint8_t buffer[9000];
	struct job job;
	long long n = 1;
	size_t at = 0;

	start_running(&job);
	ASSERT_EQ(3, write(fd, "abc", 3));
	dev = start_dump(&job, 0);
	for (nr = 0; n > 0; nr++) {
		n = nr % 3 ? save(dev, fd, 1 + random_next(&seed) % 300000) :
			     read(dev, buffer, 1 + random_next(&seed) % sizeof(buffer));
		if (!(nr % 3))
			ASSERT_EQ(n, write(fd, buffer, n));
		/* Nor does a wrong address lose anything. */
		if (n > 0 && nr % 7 == 3 && device_state(dev) == KCKPT_CAPTURED)
			expect_bad_address(dev);
	}
	ASSERT_EQ(0, n);
	end_dump(&job, dev);

	ASSERT_EQ(3, lseek(fd, 3, SEEK_SET));
	dev = device_open();
	for (nr = 0, n = 1; n > 0; nr++) {
		if (nr % 3) {
			n = load(dev, fd, 1 + random_next(&seed) % 100000);
		} else {
			n = read(fd, buffer, 1 + random_next(&seed) % sizeof(buffer));
			for (at = 0; n > 0 && at < (size_t)n; at += nr) {
				nr = write(dev, buffer + at, n - at);
				if ((int)nr <= 0)
					break;
			}
			if (n > 0 && at < (size_t)n)
				lseek(fd, at - n, SEEK_CUR);
			nr = 0;
		}
		if (device_state(dev) == KCKPT_LOADED) {
			ASSERT_EQ(0, device_instantiate(dev, job.cgroup, 0));
			n = 1;
		}
	}
	EXPECT_EQ(0, n);
	EXPECT_EQ(0, device_commit(dev));
	device_say_report(dev);
	close(dev);
	EXPECT_TRUE(job_is_well(&job));
}

/* What was read ahead from one of them is not taken for what the other one has. */
TEST(transfer_from_two_files)
{
	const char *path = test_path("image");
	int dev, fds[2] = { open_file(path, 0), open(path, O_RDWR | O_CLOEXEC) }, turn = 0;
	struct job job;
	off_t at = 0;
	long long n;

	ASSERT_TRUE(fds[1] >= 0);
	start_running(&job);
	dump_into(&job, fds[0]);
	dev = device_open();
	while (device_state(dev) != KCKPT_COMPLETE) {
		ASSERT_EQ(at, lseek(fds[turn], at, SEEK_SET));
		n = load(dev, fds[turn], 3 << 20);
		if (!EXPECT_TRUE(n > 0))
			break;
		at = lseek(fds[turn], 0, SEEK_CUR);
		turn = !turn;
		if (device_state(dev) == KCKPT_LOADED)
			ASSERT_EQ(0, device_instantiate(dev, job.cgroup, 0));
	}
	EXPECT_EQ(0, device_commit(dev));
	device_say_report(dev);
	close(dev);
	EXPECT_TRUE(job_is_well(&job));
}

/* Pages that were filled ahead, for a batch that is another one when its turn comes, have no place in what is restored. */
TEST(transfer_of_a_file_that_changes)
{
	const size_t begun = 3 << 20;
	struct kckpt_error error = {};
	struct kckpt_report report = { .errors = (uintptr_t)&error, .nr = 1 };
	int dev, fd = open_file(test_path("image"), 0);
	struct kckpt_page_run *run;
	struct image image = {};
	struct image_walk walk;
	struct job job;

	start_running(&job);
	ASSERT_EQ(0, device_dump(job.cgroup, &image, KCKPT_IOC_KILL));
	ASSERT_TRUE(runner_is_gone(&job));
	ASSERT_EQ(image.len, write(fd, image.data, image.len));
	ASSERT_EQ(0, lseek(fd, 0, SEEK_SET));
	job.cgroup = test_new_cgroup();
	dev = device_open();
	ASSERT_TRUE(load(dev, fd, begun) > 0);
	ASSERT_EQ(0, device_instantiate(dev, job.cgroup, 0));
	ASSERT_TRUE(load(dev, fd, begun) > 0);
	sleep(1);	/* for the workers */
	image_walk_begin(&walk, &image);
	while (image_walk_next(&walk)) {
		if (walk.head->family != KCKPT_F_stream || walk.head->kind != KCKPT_K_pages ||
		    (char *)walk.head - (char *)image.data < lseek(fd, 0, SEEK_CUR))
			continue;
		run = (struct kckpt_page_run *)((struct kckpt_pages_rec *)(walk.head + 1) + 1);
		run->vaddr ^= PAGE;
		ASSERT_EQ(sizeof(*run), pwrite(fd, run, sizeof(*run), (char *)run - (char *)image.data));
	}
	EXPECT_EQ(-EBADMSG, load(dev, fd, 0));
	ASSERT_EQ(0, ioctl(dev, KCKPT_IOC_REPORT, &report));
	EXPECT_TRUE(error.code == KCKPT_E_IMAGE_DAMAGED && strstr(error.detail, "changes while it is read"));
	close(dev);
	EXPECT_TRUE(runner_is_gone(&job));
}

/* Nobody waits ahead for what is not in memory: it is read when its turn comes. */
TEST(transfer_of_what_is_partly_in_memory)
{
	const off_t piece = 340 << 10;
	int fd = open("/disk/transfer", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	struct job job;
	off_t at, size;

	if (fd < 0)
		test_skip("no disk");
	start_running(&job);
	dump_into(&job, fd);
	ASSERT_EQ(0, fsync(fd));
	size = lseek(fd, 0, SEEK_END);
	for (at = 0; at < size; at += 3 * piece)
		ASSERT_EQ(0, posix_fadvise(fd, at, piece, POSIX_FADV_DONTNEED));
	ASSERT_EQ(0, lseek(fd, 0, SEEK_SET));
	expect_restored_from(&job, fd, 0);
	unlink("/disk/transfer");
}

/* Past the page cache, as far as the image is aligned. */
TEST(transfer_by_direct_io)
{
	int fd = open("/disk/transfer", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_DIRECT, 0600);
	struct job job;

	if (fd < 0)
		test_skip("no disk with direct I/O");
	start_running(&job);
	dump_into(&job, fd);
	ASSERT_EQ(0, lseek(fd, 0, SEEK_SET));
	expect_restored_from(&job, fd, 0);
	unlink("/disk/transfer");
}

TEST(transfer_by_direct_io_of_the_tool)
{
	const char *path = "/disk/transfer.kimg";
	struct tool_result result;
	struct statfs fs;
	struct job job;

	if (statfs("/disk", &fs) || fs.f_type != EXT4_SUPER_MAGIC)
		test_skip("no ext4 at /disk");
	start_running(&job);
	result = TOOL("dump", job.cgroup, "--direct", "-o", path);
	if (!EXPECT_EQ(0, result.status))
		test_say("%s", result.text);
	EXPECT_EQ(0, TOOL("verify", path).status);
	ASSERT_TRUE(runner_is_gone(&job));
	result = TOOL("restore", path, "--detach", "--cgroup", job.cgroup);
	if (!EXPECT_EQ(0, result.status))
		test_say("%s", result.text);
	EXPECT_TRUE(job_is_well(&job));
	/* Of what is not a file of its own others may have the flags. */
	result = TOOL("--json", "dump", job.cgroup, "--direct", "-o", "/dev/null");
	EXPECT_TRUE(result.status == 1 && tool_said(&result, "FILE_CREATE") && job_is_well(&job));
	unlink(path);
}

TEST(transfer_appends)
{
	int dev, fd = open_file(test_path("image"), O_APPEND);
	struct job job;

	start_running(&job);
	ASSERT_EQ(5, write(fd, "12345", 5));
	ASSERT_EQ(0, lseek(fd, 0, SEEK_SET));
	dev = start_dump(&job, 0);
	EXPECT_TRUE(save(dev, fd, 0) > 0);
	end_dump(&job, dev);
	ASSERT_EQ(5, lseek(fd, 5, SEEK_SET));
	expect_restored_from(&job, fd, 0);
}

/* Nothing of the image is lost: what did not fit goes elsewhere. */
TEST(transfer_to_a_full_disk)
{
	const char *small = test_path("small");
	struct statvfs room;
	int dev, fd, rest;
	struct job job;
	long long n;
	char *bytes;
	size_t size;

	start_running(&job);
	ASSERT_TRUE(!mkdir(small, 0700) && !mount("small", small, "tmpfs", 0, "size=4m"));
	fd = open_file(format("%s/image", small), 0);
	dev = start_dump(&job, 0);
	while ((n = save(dev, fd, 0)) > 0)
		;
	EXPECT_EQ(-ENOSPC, n);
	EXPECT_EQ(KCKPT_CAPTURED, device_state(dev));
	ASSERT_TRUE(!fstatvfs(fd, &room) && !room.f_bfree);
	bytes = read_bytes(format("%s/image", small), &size);
	rest = open_file(test_path("image"), 0);
	ASSERT_EQ(size, write(rest, bytes, size));
	EXPECT_TRUE(save(dev, rest, 0) > 0);
	end_dump(&job, dev);
	close(fd);
	ASSERT_TRUE(!umount(small));
	ASSERT_EQ(0, lseek(rest, 0, SEEK_SET));
	expect_restored_from(&job, rest, 0);
}

static int run_limited(int dev, int fd)
{
	const struct rlimit limit = { 1 << 20, 1 << 20 };
	pid_t pid = fork();

	if (!pid) {
		signal(SIGXFSZ, SIG_IGN);
		setrlimit(RLIMIT_FSIZE, &limit);
		while (save(dev, fd, 0) > 0)
			;
		_exit(errno);
	}
	return wait_exit(pid, 20000);
}

/* What the caller may not write, it may not have written for it. */
TEST(transfer_within_the_limits_of_the_caller)
{
	int dev, fd = open_file(test_path("image"), 0);
	struct job job;

	start_running(&job);
	dev = start_dump(&job, 0);
	EXPECT_EQ(EFBIG, run_limited(dev, fd));
	EXPECT_EQ(1 << 20, lseek(fd, 0, SEEK_END));
	EXPECT_EQ(KCKPT_CAPTURED, device_state(dev));
	close(dev);
	EXPECT_TRUE(job_is_well(&job));
}

TEST(transfer_refuses)
{
	int folder = open(test_folder(), O_RDONLY), path = open(test_folder(), O_PATH), other = device_open(), ends[2];
	int dev, readable = open("/proc/self/exe", O_RDONLY), writable = open_file(test_path("image"), 0);
	struct kckpt_transfer request = { .fd = writable, .flags = 1 };
	int only_written = open(test_path("image"), O_WRONLY), null = open("/dev/null", O_WRONLY);
	struct job job;

	start_running(&job);
	dev = device_open();
	EXPECT_EQ(-EINVAL, save(dev, writable, 0));	/* nothing is captured */
	close(dev);
	dev = start_dump(&job, 0);
	ASSERT_TRUE(!pipe(ends));
	EXPECT_EQ(-EBADF, save(dev, -1, 0));
	EXPECT_EQ(-EBADF, save(dev, path, 0));
	EXPECT_EQ(-EBADF, save(dev, readable, 0));
	EXPECT_EQ(-EINVAL, save(dev, ends[1], 0));
	EXPECT_EQ(-EINVAL, save(dev, null, 0));
	EXPECT_EQ(-EINVAL, save(dev, folder, 0));
	EXPECT_EQ(-EINVAL, save(dev, other, 0));
	EXPECT_EQ(-EINVAL, save(dev, dev, 0));
	EXPECT_EQ(-1, ioctl(dev, KCKPT_IOC_SAVE, &request));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-EINVAL, load(dev, readable, 0));	/* a dump */
	EXPECT_EQ(KCKPT_CAPTURED, device_state(dev));
	EXPECT_TRUE(save(dev, writable, 0) > 0);
	close(dev);
	EXPECT_TRUE(job_is_well(&job));

	dev = device_open();
	EXPECT_EQ(-EBADF, load(dev, -1, 0));
	EXPECT_EQ(-EBADF, load(dev, only_written, 0));
	EXPECT_EQ(-EINVAL, load(dev, folder, 0));
	EXPECT_EQ(-EINVAL, load(dev, ends[0], 0));
	EXPECT_EQ(-EINVAL, load(dev, other, 0));
	EXPECT_EQ(-1, ioctl(dev, KCKPT_IOC_LOAD, &request));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(KCKPT_EMPTY, device_state(dev));
	EXPECT_EQ(-EBADMSG, load(dev, readable, 0));	/* no image */
	EXPECT_EQ(KCKPT_E_IMAGE_MAGIC, device_first_code(dev));
	EXPECT_EQ(KCKPT_FAILED, device_state(dev));
	close(dev);
	close(other);
}

/* Why the first bytes of an image are not restored from a file, after which nothing is left behind. */
static uint32_t code_of_refusal(struct job *job, const struct image *image, size_t len)
{
	int dev, fd = open_file(test_path("image"), 0);
	uint32_t code;

	ASSERT_EQ(len, write(fd, image->data, len));
	ASSERT_EQ(0, lseek(fd, 0, SEEK_SET));
	job->cgroup = test_new_cgroup();
	dev = device_open();
	EXPECT_EQ(EBADMSG, load_and_commit(dev, fd, 0, job->cgroup));
	code = device_first_code(dev);
	close(dev);
	close(fd);
	EXPECT_TRUE(runner_is_gone(job));
	return code;
}

/* Where the digests end, and what is before them, is looked at as ever. */
TEST(transfer_finds_damage)
{
	const size_t from_end[] = { 100000, 20 };
	struct image image = {};
	struct job job;
	size_t i;

	start_running(&job);
	ASSERT_EQ(0, device_dump(job.cgroup, &image, KCKPT_IOC_KILL));
	ASSERT_TRUE(runner_is_gone(&job));
	for (i = 0; i < 2; i++) {
		image.data[image.len - from_end[i]] ^= 4;
		EXPECT_EQ(KCKPT_E_IMAGE_DAMAGED, code_of_refusal(&job, &image, image.len));
		image.data[image.len - from_end[i]] ^= 4;
	}
	EXPECT_EQ(KCKPT_E_IMAGE_TRUNCATED, code_of_refusal(&job, &image, image.len / 2));
}

/* A run of pages that no batch can have: nobody makes them ahead, either. */
TEST(transfer_of_a_hostile_batch)
{
	struct image image = {};
	struct kckpt_pages_rec *batches[64];
	struct kckpt_page_run *run;
	struct image_walk walk;
	struct job job;
	int nr = 0;

	start_running(&job);
	ASSERT_EQ(0, device_dump(job.cgroup, &image, KCKPT_IOC_KILL));
	ASSERT_TRUE(runner_is_gone(&job));
	image_walk_begin(&walk, &image);
	while (nr < 64 && image_walk_next(&walk)) {
		batches[nr] = (struct kckpt_pages_rec *)(walk.head + 1);
		nr += walk.head->family == KCKPT_F_stream && walk.head->kind == KCKPT_K_pages &&
		      batches[nr]->nr_runs > 1;
	}
	ASSERT_TRUE(nr > 1);
	/* Not the first, behind which the others are looked at. */
	while (nr-- > 1) {
		run = (struct kckpt_page_run *)(batches[nr] + 1);
		batches[nr]->nr_data -= run->nr_pages;
		run->nr_pages = UINT32_MAX;
		run->flags = KCKPT_RUN_ZERO;
	}
	EXPECT_EQ(KCKPT_E_IMAGE_DAMAGED, code_of_refusal(&job, &image, image.len));
}

/* ---- any size ---- */

#define NR_SIZES 100
#define PAGES_MORE 7

/* Batches with many runs, whose heads are long, put the pieces that are taken to any place. */
static int grows(void)
{
	const size_t most = 2000 + NR_SIZES * PAGES_MORE;
	char *all = mmap(NULL, 2 * most * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t i = 0, turn;

	JOB_SETUP(all != MAP_FAILED && !madvise(all, 2 * most * PAGE, MADV_NOHUGEPAGE));
	for (turn = 0; turn < NR_SIZES; turn++) {
		for (; i < 2000 + turn * PAGES_MORE; i++)
			all[2 * i * PAGE] = 1;
		job_notes()[0] = turn + 1;
		while (job_notes()[1] <= turn)
			usleep(500);
	}
	return 0;
}

static bool is_whole(int fd)
{
	struct kckpt_trailer_rec trailer;
	off_t size = lseek(fd, 0, SEEK_END);

	return size > (off_t)sizeof(trailer) &&
	       pread(fd, &trailer, sizeof(trailer), size - sizeof(trailer)) == sizeof(trailer) &&
	       trailer.bytes == (uint64_t)size;
}

TEST_LIMIT(transfer_of_any_size, 200)
{
	uint64_t *notes;
	struct job job;
	int dev, fd, i;

	job_start(&job, grows, NULL);
	notes = job_notes();
	for (i = 0; i < NR_SIZES; i++) {
		while (((volatile uint64_t *)notes)[0] <= (uint64_t)i)
			usleep(500);
		fd = open_file(test_path("image"), 0);
		dev = start_dump(&job, 0);
		ASSERT_EQ(0, device_save_to(dev, fd));
		ASSERT_EQ(KCKPT_SAVED, device_state(dev));
		ASSERT_EQ(0, device_do(dev, KCKPT_IOC_THAW));
		close(dev);
		ASSERT_TRUE(is_whole(fd));
		close(fd);
		notes[1] = i + 1;
	}
	EXPECT_EQ(0, job_end(&job));
}

/* ---- pipes ---- */

struct copier {
	pthread_t thread;
	int from, to, delay_us;
};

static void *copy_to_file(void *arg)
{
	static char buffer[50000];
	struct copier *copier = arg;
	ssize_t n;

	while ((n = read(copier->from, buffer, sizeof(buffer))) > 0) {
		if (write(copier->to, buffer, n) != n)
			break;
		usleep(copier->delay_us);
	}
	return NULL;
}

/* What comes out of @ends[0] goes into @fd, until @ends[1] is closed. */
static void start_copying(struct copier *copier, const int *ends, int fd, int delay_us)
{
	*copier = (struct copier){ .from = ends[0], .to = fd, .delay_us = delay_us };
	ASSERT_EQ(0, pthread_create(&copier->thread, NULL, copy_to_file, copier));
}

static long long splice_out(int dev, int fd, uint64_t bytes)
{
	ssize_t n = splice(dev, NULL, fd, NULL, bytes < (1 << 30) ? bytes : 1 << 30, 0);

	return n < 0 ? -errno : n;
}

TEST(transfer_by_splice)
{
	int dev, ends[2], fd = open_file(test_path("image"), 0);
	struct copier copier;
	struct job job;
	long long n;

	ASSERT_TRUE(!pipe(ends));
	start_running(&job);
	start_copying(&copier, ends, fd, 0);
	dev = start_dump(&job, 0);
	while ((n = splice_out(dev, ends[1], ALL)) > 0)
		;
	EXPECT_EQ(0, n);
	close(ends[1]);
	pthread_join(copier.thread, NULL);
	end_dump(&job, dev);
	ASSERT_EQ(0, lseek(fd, 0, SEEK_SET));
	expect_restored_from(&job, fd, 0);
}

/* Kept pages go into the pipe as they are. The job runs on; a slow reader still gets those of the capture. */
static int writes_in_turns(void)
{
	uint64_t turn;
	size_t i;

	JOB_SETUP(map_memory());
	for (turn = 1;; turn++) {
		for (i = 0; i < NR_SCATTERED + NR_ROW + NR_HUGE; i++) {
			uint64_t *page = (uint64_t *)page_at(i);

			if (turn > 1 && (page[0] != turn - 1 || page[511] != turn - 1))
				return job_complain(__FILE__, __LINE__, format("page %zu", i));
			page[0] = page[511] = turn;
		}
		__atomic_add_fetch(job_notes(), 1, __ATOMIC_SEQ_CST);
	}
}

TEST_LIMIT(transfer_splices_what_was_kept, 120)
{
	int dev, ends[2], fd = open_file(test_path("image"), 0);
	struct copier copier;
	struct job job;
	long long n;

	ASSERT_TRUE(!pipe(ends));
	fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
	job_start(&job, writes_in_turns, NULL);
	ASSERT_TRUE(runner_runs(&job));
	dev = start_dump(&job, KCKPT_CAPTURE_KEEP);
	/* What is in the pipe when the memory is dropped must stay, too. */
	n = splice_out(dev, ends[1], ALL);
	EXPECT_TRUE(n > 0);
	ASSERT_EQ(0, device_do(dev, KCKPT_IOC_THAW));
	EXPECT_TRUE(runner_runs(&job));
	start_copying(&copier, ends, fd, 2000);
	while ((n = splice_out(dev, ends[1], ALL)) > 0)
		;
	EXPECT_EQ(0, n);
	EXPECT_EQ(KCKPT_SAVED, device_state(dev));
	close(dev);
	EXPECT_TRUE(runner_runs(&job) && runner_runs(&job));
	close(ends[1]);
	pthread_join(copier.thread, NULL);
	ASSERT_TRUE(write_file(format("%s/cgroup.kill", job.cgroup), "1") && runner_is_gone(&job));
	job.cgroup = test_new_cgroup();
	ASSERT_EQ(0, lseek(fd, 0, SEEK_SET));
	expect_restored_from(&job, fd, 0);
}

/* How many bytes are then ready to be spliced. */
static long long get_ready(int dev)
{
	struct kckpt_transfer request = { .fd = -1, .flags = KCKPT_TRANSFER_AHEAD };

	return ioctl(dev, KCKPT_IOC_SAVE, &request) ? -errno : (long long)request.bytes;
}

/* All of it is in the pipe when the job runs on, and is as it was. */
TEST_LIMIT(transfer_splices_copies_of_what_was_not_kept, 120)
{
	int dev, ends[2], fd = open_file(test_path("image"), 0);
	struct copier copier;
	char head[5000];
	struct job job;
	long long n;

	ASSERT_TRUE(!pipe(ends) && fcntl(ends[1], F_SETPIPE_SZ, 64 << 20) > 0);
	job_start(&job, writes_in_turns, NULL);
	ASSERT_TRUE(runner_runs(&job));
	dev = start_dump(&job, 0);
	/* Who reads needs no copies of the pages that come next in the stream, who splices does. */
	ASSERT_EQ(sizeof(head), read(dev, head, sizeof(head)));
	ASSERT_EQ(sizeof(head), write(fd, head, sizeof(head)));
	while ((n = splice_out(dev, ends[1], ALL)) > 0)
		ASSERT_TRUE(get_ready(dev) >= 0);
	EXPECT_EQ(0, n);
	EXPECT_EQ(0, get_ready(dev));
	EXPECT_EQ(KCKPT_SAVED, device_state(dev));
	ASSERT_EQ(0, device_do(dev, KCKPT_IOC_THAW));
	close(dev);
	EXPECT_TRUE(runner_runs(&job) && runner_runs(&job));
	start_copying(&copier, ends, fd, 0);
	close(ends[1]);
	pthread_join(copier.thread, NULL);
	ASSERT_TRUE(write_file(format("%s/cgroup.kill", job.cgroup), "1") && runner_is_gone(&job));
	job.cgroup = test_new_cgroup();
	ASSERT_EQ(0, lseek(fd, 0, SEEK_SET));
	expect_restored_from(&job, fd, 0);
}

/* ---- pipes, of a job that is going to be killed ---- */

#define AT_PAGE 1			/* note: where a page of the job is */

/* Locks that tell of the end of who has them. */
enum lock { NO_LOCK, LOCK_HELD, LOCK_BEING_TAKEN };

static enum lock with_lock;		/* what shall the job have? */

static void *waits(void *ends)
{
	while (!ends)
		pause();
	return NULL;
}

static bool have_lock(enum lock with)
{
	static pthread_mutex_t lock;
	pthread_mutexattr_t attributes;
	struct robust_list_head *head;
	size_t size;

	if (with == NO_LOCK)
		return true;
	if (with == LOCK_BEING_TAKEN) {
		if (syscall(SYS_get_robust_list, 0, &head, &size))
			return false;
		head->list_op_pending = (struct robust_list *)((char *)&lock - head->futex_offset);
		lock.__data.__lock = syscall(SYS_gettid);
		return true;
	}
	return !pthread_mutexattr_init(&attributes) &&
	       !pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) &&
	       !pthread_mutex_init(&lock, &attributes) && !pthread_mutex_lock(&lock);
}

/* Its end writes to its memory: the kernel clears ids of threads, and tells of locks that they hold. */
static int has_threads(void)
{
	pthread_t thread;

	JOB_SETUP(!pthread_create(&thread, NULL, waits, NULL));
	JOB_SETUP(have_lock(with_lock));
	JOB_SETUP(map_memory());
	job_notes()[AT_PAGE] = (uintptr_t)page_at(NR_SCATTERED + 1);
	return looks_at_memory();
}

static void start_with_threads(struct job *job, enum lock with)
{
	with_lock = with;
	job_start(job, has_threads, NULL);
	ASSERT_TRUE(runner_runs(job));
}

static void splice_all(int dev, int fd)
{
	long long n;

	ASSERT_TRUE(fcntl(fd, F_SETPIPE_SZ, 64 << 20) > 0);
	while ((n = splice_out(dev, fd, ALL)) > 0)
		ASSERT_TRUE(get_ready(dev) >= 0);
	ASSERT_EQ(0, n);
}

/* Nobody has read anything of it when the job is gone. */
static void expect_whole_after_kill(enum lock with)
{
	int dev, ends[2], fd = open_file(test_path("image"), 0);
	struct copier copier;
	struct job job;

	ASSERT_TRUE(!pipe(ends));
	start_with_threads(&job, with);
	dev = start_dump(&job, KCKPT_CAPTURE_KILL);
	splice_all(dev, ends[1]);
	end_dump(&job, dev);
	start_copying(&copier, ends, fd, 0);
	close(ends[1]);
	pthread_join(copier.thread, NULL);
	ASSERT_EQ(0, lseek(fd, 0, SEEK_SET));
	expect_restored_from(&job, fd, 0);
}

TEST(transfer_splices_what_is_killed)
{
	expect_whole_after_kill(NO_LOCK);
}

TEST(transfer_splices_what_is_killed_with_a_lock)
{
	expect_whole_after_kill(LOCK_HELD);
}

TEST(transfer_splices_what_is_killed_while_it_takes_a_lock)
{
	expect_whole_after_kill(LOCK_BEING_TAKEN);
}

/* By somebody else, before KILL: then the pipe may have what was written at the end. That is not to go unnoticed. */
TEST(transfer_splices_what_somebody_else_kills)
{
	int dev, ends[2];
	struct job job;

	ASSERT_TRUE(!pipe(ends));
	start_with_threads(&job, NO_LOCK);
	dev = start_dump(&job, KCKPT_CAPTURE_KILL);
	splice_all(dev, ends[1]);
	ASSERT_EQ(0, kill(job.pid, SIGKILL));
	ASSERT_EQ(128 + SIGKILL, wait_exit(job.pid, 5000));
	EXPECT_EQ(EAGAIN, device_do(dev, KCKPT_IOC_KILL));
	EXPECT_EQ(KCKPT_E_JOB_MOVED, device_first_code(dev));
	close(dev);
}

/*
 * Is it the job's own page that is in the pipe? Then what somebody writes there meanwhile is, too. Another mark each
 * time: the next job is born with our stack, where this one may begin a page.
 */
static bool pipe_has_pages_of(struct job *job, uint32_t flags)
{
	static uint64_t nr;
	uint64_t mark = 0x6b6d61726b6d6172 + nr++, page[PAGE / 8];
	struct iovec from = { &mark, sizeof(mark) }, to = { (void *)job_notes()[AT_PAGE], sizeof(mark) };
	int dev, ends[2];
	bool found = false;

	ASSERT_TRUE(!pipe(ends));
	dev = start_dump(job, flags);
	splice_all(dev, ends[1]);
	close(ends[1]);
	ASSERT_EQ(sizeof(mark), process_vm_writev(job->pid, &from, 1, &to, 1, 0));
	while (read(ends[0], page, sizeof(page)) > 0)
		found |= page[0] == mark;
	close(ends[0]);
	ASSERT_EQ(0, device_do(dev, KCKPT_IOC_KILL));
	close(dev);
	ASSERT_TRUE(runner_is_gone(job));
	return found;
}

TEST(transfer_copies_what_is_to_change)
{
	static const struct {
		uint32_t flags;
		enum lock with;
		bool in_place;
	} cases[] = {
		{ 0, NO_LOCK, false },
		{ KCKPT_CAPTURE_KILL, NO_LOCK, true },
		{ KCKPT_CAPTURE_KILL, LOCK_HELD, false },
		{ KCKPT_CAPTURE_KILL, LOCK_BEING_TAKEN, false },
	};
	struct job job;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		start_with_threads(&job, cases[i].with);
		EXPECT_EQ(cases[i].in_place, pipe_has_pages_of(&job, cases[i].flags));
	}
}

TEST(transfer_gets_ready_what_is_spliced)
{
	struct kckpt_transfer with_file = { .fd = 0, .flags = KCKPT_TRANSFER_AHEAD };
	struct kckpt_transfer with_bytes = { .fd = -1, .flags = KCKPT_TRANSFER_AHEAD, .bytes = 1 };
	struct kckpt_transfer unknown = { .fd = -1, .flags = KCKPT_TRANSFER_AHEAD << 1 };
	int dev, ends[2];
	struct job job;
	long long n;

	ASSERT_TRUE(!pipe(ends));
	start_running(&job);
	dev = device_open();
	ASSERT_EQ(0, device_freeze(dev, job.cgroup));
	EXPECT_EQ(-EINVAL, get_ready(dev));	/* nothing is captured */
	ASSERT_EQ(0, device_capture(dev));
	EXPECT_EQ(-1, ioctl(dev, KCKPT_IOC_SAVE, &with_file));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, ioctl(dev, KCKPT_IOC_SAVE, &with_bytes));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, ioctl(dev, KCKPT_IOC_SAVE, &unknown));
	EXPECT_EQ(EINVAL, errno);
	with_file.fd = -1;
	EXPECT_EQ(-1, ioctl(dev, KCKPT_IOC_LOAD, &with_file));
	EXPECT_EQ(EINVAL, errno);
	n = get_ready(dev);
	EXPECT_TRUE(n >= 1 << 20);
	EXPECT_EQ(n, get_ready(dev));
	EXPECT_EQ(4096, splice_out(dev, ends[1], 4096));
	EXPECT_TRUE(get_ready(dev) >= 1 << 20);
	ASSERT_EQ(0, device_do(dev, KCKPT_IOC_THAW));
	EXPECT_EQ(-EINVAL, get_ready(dev));
	close(dev);
	EXPECT_TRUE(job_is_well(&job));
}

/* Again and again, while nobody takes it: that is no progress. */
TEST(transfer_gets_ready_for_nobody)
{
	struct kckpt_freeze freeze = { .stall_ms = 1000 };
	struct job job;
	int dev, i;

	start_running(&job);
	dev = device_open();
	ASSERT_EQ(0, device_freeze_with(dev, &freeze, job.cgroup));
	ASSERT_EQ(0, device_capture(dev));
	for (i = 0; i < 400 && get_ready(dev) > 0; i++)
		usleep(50000);
	EXPECT_EQ(-ETIMEDOUT, get_ready(dev));
	EXPECT_EQ(KCKPT_E_WATCHDOG, device_first_code(dev));
	EXPECT_TRUE(job_is_well(&job));
	close(dev);
}

TEST(transfer_by_splice_of_a_job_that_moved)
{
	int dev, ends[2], fd = open_file(test_path("image"), 0);
	struct copier copier;
	struct job job;
	long long n;

	ASSERT_TRUE(!pipe(ends));
	start_running(&job);
	start_copying(&copier, ends, fd, 0);
	dev = start_dump(&job, 0);
	ASSERT_EQ(4096, splice_out(dev, ends[1], 4096));
	ASSERT_TRUE(write_file(format("%s/cgroup.freeze", job.cgroup), "0") && job_is_well(&job));
	while ((n = splice_out(dev, ends[1], ALL)) > 0)
		;
	EXPECT_EQ(-EAGAIN, n);
	EXPECT_EQ(KCKPT_FAILED, device_state(dev));
	EXPECT_EQ(KCKPT_E_JOB_MOVED, device_first_code(dev));
	close(ends[1]);
	pthread_join(copier.thread, NULL);
	close(dev);
	EXPECT_TRUE(job_is_well(&job));
}

/* Nobody reads: who splices can be killed, and the watchdog lets the job run. */
TEST(transfer_into_a_full_pipe)
{
	struct kckpt_freeze freeze = { .max_pause_ms = 500 };
	int dev, ends[2];
	struct job job;
	pid_t pid;

	start_running(&job);
	ASSERT_TRUE(!pipe(ends));
	dev = device_open();
	ASSERT_EQ(0, device_freeze_with(dev, &freeze, job.cgroup));
	ASSERT_EQ(0, device_capture(dev));
	pid = fork();
	if (!pid) {
		while (splice_out(dev, ends[1], ALL) > 0)
			;
		_exit(1);
	}
	EXPECT_TRUE(job_is_well(&job));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	EXPECT_EQ(128 + SIGKILL, wait_exit(pid, 5000));
	EXPECT_EQ(ETIMEDOUT, device_do(dev, KCKPT_IOC_THAW));
	close(dev);
}

TEST(transfer_into_a_pipe_that_nobody_reads_any_more)
{
	int dev, ends[2], fd = open_file(test_path("image"), 0);
	struct job job;

	signal(SIGPIPE, SIG_IGN);
	start_running(&job);
	ASSERT_TRUE(!pipe(ends));
	close(ends[0]);
	dev = start_dump(&job, KCKPT_CAPTURE_KEEP);
	EXPECT_EQ(-EPIPE, splice_out(dev, ends[1], ALL));
	EXPECT_EQ(KCKPT_CAPTURED, device_state(dev));
	EXPECT_TRUE(save(dev, fd, ALL) > 0);
	end_dump(&job, dev);
	ASSERT_EQ(0, lseek(fd, 0, SEEK_SET));
	expect_restored_from(&job, fd, 0);
}

/* Ends in its middle, with pages that are being made ahead. */
TEST(transfer_is_given_up)
{
	int dev, fd = open_file(test_path("image"), 0), i;
	struct job job;

	start_running(&job);
	dev = start_dump(&job, 0);
	EXPECT_TRUE(save(dev, fd, 0) > 0);
	end_dump(&job, dev);
	for (i = 1; i < 8; i++) {
		ASSERT_EQ(0, lseek(fd, 0, SEEK_SET));
		job.cgroup = test_new_cgroup();
		dev = device_open();
		EXPECT_TRUE(load(dev, fd, 0) > 0);
		ASSERT_EQ(0, device_instantiate(dev, job.cgroup, 0));
		EXPECT_TRUE(load(dev, fd, (uint64_t)i * (1 << 20)) > 0);
		if (i % 2)
			EXPECT_EQ(0, device_do(dev, KCKPT_IOC_ABORT));
		close(dev);
		EXPECT_TRUE(runner_is_gone(&job));
	}
}
