// SPDX-License-Identifier: GPL-2.0
/*
 * Images that are cut or damaged are refused, wherever it is, and leave nothing. Most are tried without creating
 * tasks, which looks at every byte all the same, some for real.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <kckpt/image.h>

#include "device.h"
#include "image.h"
#include "runner.h"

static struct job job;
static struct image image;

static void make_image(void)
{
	runner_with_ghosts = true;
	runner_start(&job);
	runner_dump(&job, &image);
}

/* Does the module refuse it? In earnest, something may be left that should not. */
static bool is_refused(const struct image *bad, bool in_earnest, uint32_t *code)
{
	int dev = device_open();
	int err = device_restore(dev, bad, in_earnest ? job.cgroup : NULL, in_earnest ? 0 : KCKPT_INSTANTIATE_DRY_RUN);

	*code = device_first_code(dev);
	close(dev);
	if (in_earnest && !runner_is_gone(&job))
		return false;
	return err != 0;
}

TEST(image_whole)
{
	uint32_t code;

	make_image();
	EXPECT_TRUE(!is_refused(&image, false, &code));
	EXPECT_EQ(0, code);
	runner_restore(&job, &image);
}

/* ---- cut ---- */

static bool cut_is_refused(size_t len, bool in_earnest)
{
	struct image cut = { image.data, len };
	uint32_t code;

	if (!is_refused(&cut, in_earnest, &code)) {
		test_failed(__FILE__, __LINE__, "an image cut at %zu of %zu is taken", len, image.len);
		return false;
	}
	return EXPECT_EQ(KCKPT_E_IMAGE_TRUNCATED, code);
}

/* Where the record after that at @at begins: pages lie behind their batch, at the next page boundary. */
static size_t next_record(size_t at)
{
	const struct kckpt_record *head = (void *)(image.data + at);
	size_t end = at + sizeof(*head) + (head->size + 7) / 8 * 8;
	const struct kckpt_pages_rec *pages = (void *)(head + 1);

	if (head->family == KCKPT_F_stream && head->kind == KCKPT_K_pages && pages->nr_data)
		end = (end + KCKPT_PAGE_SIZE - 1) / KCKPT_PAGE_SIZE * KCKPT_PAGE_SIZE + (size_t)pages->nr_data * KCKPT_PAGE_SIZE;
	return end;
}

TEST_LIMIT(image_cut_at_every_record, 180)
{
	size_t at, nr = 0;

	make_image();
	EXPECT_TRUE(cut_is_refused(1, true));
	for (at = sizeof(struct kckpt_header); at < image.len && nr < 100000; at = next_record(at), nr++) {
		bool in_earnest = nr % 20 == 0;

		if (!cut_is_refused(at, in_earnest) || !cut_is_refused(at - 1, false) ||
		    !cut_is_refused(at + sizeof(struct kckpt_record), in_earnest))
			break;
	}
	EXPECT_EQ(image.len, at);
	EXPECT_TRUE(cut_is_refused(image.len - 1, true));
	EXPECT_TRUE(nr > 50);
	runner_restore(&job, &image);
}

TEST(image_with_more_behind_it)
{
	struct image longer;
	uint32_t code;

	make_image();
	longer.data = calloc(1, image.len + 8);
	memcpy(longer.data, image.data, image.len);
	longer.len = image.len + 8;
	EXPECT_TRUE(is_refused(&longer, true, &code));
	EXPECT_EQ(KCKPT_E_IMAGE_DAMAGED, code);
	runner_restore(&job, &image);
}

/* ---- damaged ---- */

TEST_LIMIT(image_with_a_damaged_byte, 300)
{
	int i, nr = test_is_long() ? 50000 : 5000;
	uint32_t seed = 4711, code;

	make_image();
	for (i = 0; i < nr; i++) {
		/* Every other one within the records, which are the smaller part but the one that is parsed. */
		size_t at = random_next(&seed) % (i % 2 ? image.len : 16384);
		uint8_t mask = 1 << random_next(&seed) % 8;

		image.data[at] ^= mask;
		if (!is_refused(&image, i % 50 == 0, &code) || !code) {
			test_failed(__FILE__, __LINE__, "byte %zu xor 0x%x: taken, or without a word", at, mask);
			break;
		}
		image.data[at] ^= mask;
	}
	runner_restore(&job, &image);
}

/* Lengths and numbers of the records at their limits, with the digest made right again by nobody: refused at once. */
TEST(image_with_wild_values)
{
	static const uint8_t wild[][8] = { { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, { 0 },
					   { 0xff, 0xff, 0xff, 0x7f }, { 0, 0, 0, 0x80 } };
	uint8_t kept[8];
	uint32_t code;
	size_t at;
	unsigned int i;

	make_image();
	for (at = sizeof(struct kckpt_header); at < 3000; at += 8) {
		for (i = 0; i < 4; i++) {
			memcpy(kept, image.data + at, 8);
			memcpy(image.data + at, wild[i], 8);
			if (memcmp(kept, wild[i], 8) && !is_refused(&image, false, &code))
				test_failed(__FILE__, __LINE__, "wild value %u at %zu is taken", i, at);
			memcpy(image.data + at, kept, 8);
		}
	}
	runner_restore(&job, &image);
}

/* ---- changed, with right digests: only the checks of the contents are left ---- */

/* In earnest: the module's word for it, once, and nothing is left. */
static bool is_refused_for(const struct image *bad, uint32_t want)
{
	struct kckpt_report report = {};
	uint32_t code;
	int dev, err;

	image_seal(bad);
	dev = device_open();
	err = device_restore(dev, bad, job.cgroup, 0);
	code = device_first_code(dev);
	EXPECT_TRUE(!ioctl(dev, KCKPT_IOC_REPORT, &report));
	close(dev);
	if (err != EBADMSG || code != want || report.total != 1)
		test_say("error %d, %s, %u in the report", err, error_name(code), report.total);
	return err == EBADMSG && code == want && report.total == 1 && runner_is_gone(&job);
}

TEST(image_sealed_again_is_whole)
{
	make_image();
	image.data[image.len - 1] ^= 1;
	image_seal(&image);
	runner_restore(&job, &image);
}

/* What only shows when a task builds itself is told by a later write. */
TEST(image_with_a_file_for_a_folder)
{
	struct kckpt_fs_rec *fs;
	struct image bad;

	make_image();
	bad = image_copy(&image);
	fs = image_find(&bad, KCKPT_F_fs, KCKPT_K_fs, 0);
	fs->cwd_file = ((struct kckpt_mm_rec *)image_find(&bad, KCKPT_F_mm, KCKPT_K_mm, 0))->exe;
	EXPECT_TRUE(is_refused_for(&bad, KCKPT_E_IMAGE_RECORD));
	runner_restore(&job, &image);
}

TEST(image_with_odd_limits)
{
	struct kckpt_limits_rec *limits;
	uint64_t *values;
	struct image bad;
	unsigned int i;

	make_image();
	for (i = 0; i < 4; i++) {
		bad = image_copy(&image);
		limits = image_find(&bad, KCKPT_F_process, KCKPT_K_limits, 0);
		values = (uint64_t *)(limits + 1);
		switch (i) {
		case 0:
			limits->nr_values -= 2;	/* the first values are fields then, which nobody knows */
			values[0] = values[1] = 0;
			break;
		case 1:
			limits->nr_values++;
			break;
		case 2:
			limits->reserved = 1;
			break;
		case 3:
			values[6] = values[7] + 1 ?: 1;
			values[7] = values[6] - 1;
			break;
		}
		if (!is_refused_for(&bad, KCKPT_E_IMAGE_RECORD))
			test_failed(__FILE__, __LINE__, "change %u of the limits is taken", i);
	}
	runner_restore(&job, &image);
}

/* A record of rows without any. */
TEST(image_with_no_rows_of_shared_pages)
{
	struct kckpt_pages_rec *pages;
	struct image bad;

	make_image();
	bad = image_copy(&image);
	pages = image_find(&bad, KCKPT_F_stream, KCKPT_K_pages, 0);
	ASSERT_TRUE(pages);
	/* In the place of a batch, of which the rest is then a record of its own. */
	image_head(pages)->kind = KCKPT_K_shares;
	image_head(pages)->size = sizeof(struct kckpt_shares_rec);
	memset(pages, 0, sizeof(*pages));
	image_seal(&bad);
	EXPECT_TRUE(is_refused_for(&bad, KCKPT_E_IMAGE_DAMAGED));
	runner_restore(&job, &image);
}

/* A row of 16 TiB, where no area is. Page by page it would take an hour to find nothing. */
TEST(image_with_shared_pages_of_no_area)
{
	struct kckpt_shares_rec *shares;
	struct kckpt_share_run *run;
	struct image bad;
	uint32_t code;

	runner_with_children = true;
	make_image();
	bad = image_copy(&image);
	shares = image_find(&bad, KCKPT_F_stream, KCKPT_K_shares, 0);
	ASSERT_TRUE(shares && shares->nr_runs);
	run = (void *)(shares + 1);
	run->vaddr = 0x10000;
	run->nr_pages = 0xffffffff;
	image_seal(&bad);
	EXPECT_TRUE(is_refused(&bad, true, &code));
	EXPECT_EQ(KCKPT_E_PAGE_WRITE, code);
	runner_restore(&job, &image);
}

static int has_a_zombie(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	JOB_SETUP(pid > 0);
	for (;; usleep(1000))
		__atomic_add_fetch(job_notes(), 1, __ATOMIC_SEQ_CST);
}

/* A task that has ended has no files any more. */
TEST(image_of_a_zombie_with_files)
{
	struct kckpt_task_rec *task;
	struct image bad;
	int i = 0;

	job_start(&job, has_a_zombie, NULL);
	ASSERT_TRUE(runner_runs(&job));
	runner_dump(&job, &image);
	bad = image_copy(&image);
	do
		task = image_find(&bad, KCKPT_F_task, KCKPT_K_task, i++);
	while (task && !(task->task_flags & KCKPT_TASK_ENDED));
	ASSERT_TRUE(task);
	task->files = 1;
	EXPECT_TRUE(is_refused_for(&bad, KCKPT_E_IMAGE_RECORD));
	runner_restore(&job, &image);
}

/* The last ones of a thread and its process: they are zero then. What is cut off is padding, of the same length. */
TEST(image_with_fewer_fields)
{
	const size_t cut = 4;
	struct image other;
	void *task, *process;
	int dev;

	make_image();
	other = image_copy(&image);
	task = image_find(&other, KCKPT_F_task, KCKPT_K_task, 0);
	process = image_find(&other, KCKPT_F_process, KCKPT_K_process, 0);
	ASSERT_TRUE(task && image_head(task)->size == sizeof(struct kckpt_task_rec));
	ASSERT_TRUE(process && image_head(process)->size == sizeof(struct kckpt_process_rec));
	image_head(task)->size -= cut;
	image_head(process)->size -= cut;
	image_seal(&other);
	dev = device_open();
	if (!EXPECT_EQ(0, device_restore(dev, &other, job.cgroup, 0)))
		device_say_report(dev);
	close(dev);
	EXPECT_TRUE(runner_runs(&job));
}

/* The snapshot of a restore has the name of its image. */
TEST(image_without_a_name)
{
	struct kckpt_capture request = { .flags = KCKPT_CAPTURE_PARENT };
	struct image bad;
	int dev;

	make_image();
	bad = image_copy(&image);
	memset(((struct kckpt_header *)bad.data)->uuid, 0, 16);
	EXPECT_TRUE(is_refused_for(&bad, KCKPT_E_IMAGE_DAMAGED));
	runner_restore(&job, &image);
	dev = device_open();
	EXPECT_EQ(0, device_freeze(dev, job.cgroup));
	EXPECT_EQ(EINVAL, device_capture_with(dev, &request));
	close(dev);
	EXPECT_TRUE(runner_runs(&job));
}

/* The signal of its end goes to its parent, who has not chosen it and is not to be killed by it: us. */
TEST(image_that_would_kill_its_restorer)
{
	struct kckpt_process_rec *process;
	struct image bad;
	int dev;

	make_image();
	bad = image_copy(&image);
	process = image_find(&bad, KCKPT_F_process, KCKPT_K_process, 0);
	ASSERT_TRUE(process && !process->parent);
	process->exit_signal = SIGKILL;
	image_seal(&bad);
	dev = device_open();
	ASSERT_EQ(0, device_restore(dev, &bad, job.cgroup, KCKPT_INSTANTIATE_FILES_CHANGED));
	close(dev);
	ASSERT_TRUE(runner_runs(&job));
	ASSERT_TRUE(write_file(format("%s/cgroup.kill", job.cgroup), "1") && runner_is_gone(&job));
}

/* In pieces of any size the same comes out. */
TEST(image_in_small_pieces)
{
	size_t at = 0;
	uint32_t seed = 99;
	int dev;

	make_image();
	dev = device_open();
	while (at < image.len) {
		size_t part = 1 + random_next(&seed) % 3000;
		ssize_t n = write(dev, image.data + at, part < image.len - at ? part : image.len - at);

		if (n < 0 && errno == EBUSY)
			ASSERT_EQ(0, device_instantiate(dev, job.cgroup, 0));
		else
			ASSERT_TRUE(n >= 0);
		at += n > 0 ? n : 0;
	}
	EXPECT_EQ(0, device_commit(dev));
	close(dev);
	EXPECT_TRUE(runner_runs(&job));
}

/* What they want may be missing here, or be other than it was. */
static bool is_of_the_machine(uint32_t code)
{
	return code == KCKPT_E_FILE_MISSING || code == KCKPT_E_VDSO_DIFFERS || code == KCKPT_E_PID_TAKEN ||
	       code == KCKPT_E_CPU_FEATURE;
}

static void expect_understood(const char *path, bool is_increment)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), dev = device_open();
	struct kckpt_error errors[KCKPT_MAX_REPORT] = {};
	struct kckpt_report report = { .errors = (uintptr_t)errors, .nr = KCKPT_MAX_REPORT };
	struct image golden = {};
	struct stat st;
	uint32_t i;
	int err;

	ASSERT_TRUE(fd >= 0 && !fstat(fd, &st));
	golden.len = st.st_size;
	golden.data = malloc(golden.len);
	ASSERT_EQ(st.st_size, read(fd, golden.data, golden.len));
	close(fd);
	err = device_restore(dev, &golden, NULL, KCKPT_INSTANTIATE_DRY_RUN);
	ASSERT_EQ(0, ioctl(dev, KCKPT_IOC_REPORT, &report));
	close(dev);
	EXPECT_TRUE(report.nr > 0 && err);
	for (i = 0; i < report.nr; i++) {
		test_say("%s: %s", path, error_name(errors[i].code));
		if (is_increment)
			EXPECT_EQ(KCKPT_E_IMAGE_PARENT, errors[i].code);
		else
			EXPECT_TRUE(is_of_the_machine(errors[i].code));
	}
	free(golden.data);
}

TEST(image_golden_ones_are_understood)
{
	glob_t found;
	size_t i;

	ASSERT_EQ(0, glob(format("%s/../../userspace/tests/golden/*/*.kimg", getenv("KCKPT_TESTS")), 0, NULL, &found));
	EXPECT_TRUE(found.gl_pathc >= 3);
	for (i = 0; i < found.gl_pathc; i++)
		expect_understood(found.gl_pathv[i], strstr(found.gl_pathv[i], "/increment"));
	globfree(&found);
}

TEST(image_of_something_else)
{
	struct image text = { (uint8_t *)format("%0500d", 1), 500 };
	uint32_t code;
	int dev = device_open();

	EXPECT_EQ(EBADMSG, device_restore(dev, &text, NULL, KCKPT_INSTANTIATE_DRY_RUN));
	EXPECT_EQ(KCKPT_E_IMAGE_MAGIC, device_first_code(dev));
	close(dev);
	make_image();
	((struct kckpt_header *)image.data)->major++;
	EXPECT_TRUE(is_refused(&image, false, &code));
	EXPECT_EQ(KCKPT_E_IMAGE_NEWER, code);
}
