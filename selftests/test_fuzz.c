// SPDX-License-Identifier: GPL-2.0
/*
 * Images that are right in form and wrong in contents, with the digests that belong to them, and requests in any order:
 * the module refuses, or does as it is told, and nothing is left. FUZZ_SEED and FUZZ_ROUNDS set what is tried.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device.h"
#include "image.h"
#include "job.h"
#include "runner.h"

static uint32_t seed;

static uint32_t below(uint32_t end)
{
	return random_next(&seed) % end;
}

static int rounds(int ci, int all)
{
	const char *wanted = getenv("FUZZ_ROUNDS"), *start = getenv("FUZZ_SEED");

	seed = start ? strtoul(start, NULL, 0) : 1;
	test_say("seed %u", seed);
	return wanted ? atoi(wanted) : test_is_long() ? all : ci;
}

/* ---- an image in parts, which can be changed ---- */

struct part {
	struct kckpt_record head;
	uint8_t *payload;
	const uint8_t *data;	/* pages that follow */
	size_t data_len;
};

static struct part *parts;
static size_t nr_parts;		/* all but digests, index and trailer, which are made again */

static void add_part(const struct image_walk *walk)
{
	struct part part = { *walk->head, malloc(walk->head->size + 8ul), walk->image->data + walk->data, walk->data_len };

	memcpy(part.payload, walk->head + 1, walk->head->size);
	parts = realloc(parts, (nr_parts + 2) * sizeof(*parts));
	parts[nr_parts++] = part;
}

static bool comes_after_pages(const struct kckpt_record *head)
{
	return head->family == KCKPT_F_stream &&
	       (head->kind == KCKPT_K_digests || head->kind == KCKPT_K_index || head->kind == KCKPT_K_trailer);
}

static void take_apart(const struct image *image)
{
	struct image_walk walk;

	nr_parts = 0;
	image_walk_begin(&walk, image);
	while (image_walk_next(&walk))
		if (!comes_after_pages(walk.head))
			add_part(&walk);
}

static void drop_parts(void)
{
	while (nr_parts)
		free(parts[--nr_parts].payload);
}

static void append(struct image *image, const void *bytes, size_t len, size_t align)
{
	memcpy(image->data + image->len, bytes, len);
	image->len += len;
	while (image->len % align)
		image->data[image->len++] = 0;
}

static void append_record(struct image *image, uint16_t kind, const void *payload, uint32_t size)
{
	struct kckpt_record head = { .family = KCKPT_F_stream, .kind = kind, .size = size };

	append(image, &head, sizeof(head), 1);
	append(image, payload, size, 8);
}

/* Digests, index and trailer for what is there: their values come from image_seal(). */
static void append_end(struct image *image)
{
	uint64_t nr_chunks = (image->len + KCKPT_CHUNK_SIZE - 1) / KCKPT_CHUNK_SIZE;
	struct kckpt_trailer_rec trailer = { .digests_at = image->len };
	struct kckpt_index_row row = {};
	struct {
		uint64_t nr;
		struct kckpt_index_row row;
	} index = { 1, row };
	uint64_t *digests = calloc(1 + nr_chunks, 8);

	digests[0] = nr_chunks;
	append_record(image, KCKPT_K_digests, digests, 8 + 8 * nr_chunks);
	trailer.index_at = image->len;
	append_record(image, KCKPT_K_index, &index, sizeof(index));
	trailer.bytes = image->len + sizeof(struct kckpt_record) + sizeof(trailer);
	append_record(image, KCKPT_K_trailer, &trailer, sizeof(trailer));
	free(digests);
}

/* The end record agrees with what is before it. */
static void count_records(struct part *end)
{
	struct kckpt_end_rec *rec = (void *)end->payload;
	const struct part *part;
	uint64_t last = 0;

	rec->nr_records = rec->nr_objects = 0;
	for (part = parts; part < end; part++) {
		rec->nr_records++;
		rec->nr_objects += part->head.object != last;
		last = part->head.object;
	}
}

static struct image put_together(const struct image *first)
{
	struct image image = { .len = 0 };
	size_t i, room = 2 * first->len + (1 << 20);

	image.data = malloc(room);
	append(&image, first->data, sizeof(struct kckpt_header), 1);
	for (i = 0; i < nr_parts && image.len + parts[i].head.size + parts[i].data_len + (1 << 18) < room; i++) {
		struct part *part = &parts[i];

		if (part->head.family == KCKPT_F_stream && part->head.kind == KCKPT_K_end &&
		    part->head.size == sizeof(struct kckpt_end_rec))
			count_records(part);
		append(&image, &part->head, sizeof(part->head), 1);
		append(&image, part->payload, part->head.size, part->data_len ? KCKPT_PAGE_SIZE : 8);
		append(&image, part->data, part->data_len, 1);
	}
	append_end(&image);
	image_try_seal(&image);
	return image;
}

/* ---- changes ---- */

static uint64_t odd_value(uint64_t was)
{
	static const uint64_t values[] = { 0, 1, 2, 7, 8, 255, 4095, 4096, 65535, 65536, 1u << 20, 0x7fffffff, 0x80000000,
					   0xffffffff, 1ull << 32, 1ull << 46, 0x7fffffffe000, 0x7ffffffff000,
					   1ull << 47, 0x7fffffffffffffff, 1ull << 63, ~0ull };

	switch (below(6)) {
	case 0:
		return was + 1;
	case 1:
		return was - 1;
	case 2:
		return was ^ 1ull << below(64);
	case 3:
		return below(80);	/* an object */
	case 4:
		return (uint64_t)random_next(&seed) << 32 | random_next(&seed);
	default:
		return values[below(sizeof(values) / sizeof(values[0]))];
	}
}

/* A field, by the table of the format. */
static void change_field(struct part *part)
{
	struct image_field field;
	unsigned int nr = 0;
	uint64_t value = 0;

	while (image_field(part->head.family, part->head.kind, nr, &field))
		nr++;
	if (!nr || !image_field(part->head.family, part->head.kind, below(nr), &field) ||
	    field.offset + field.size > part->head.size)
		return;
	if (field.size > 8) {
		part->payload[field.offset + below(field.size)] = below(256);
		return;
	}
	memcpy(&value, part->payload + field.offset, field.size);
	value = odd_value(value);
	memcpy(part->payload + field.offset, &value, field.size);
}

static void change_byte(struct part *part)
{
	if (part->head.size)
		part->payload[below(part->head.size)] ^= 1u << below(8);
}

static void change_head(struct part *part)
{
	switch (below(4)) {
	case 0:
		part->head.family = below(26);
		break;
	case 1:
		part->head.kind = below(8);
		break;
	case 2:
		part->head.object = odd_value(part->head.object);
		break;
	default:
		part->head.size = below(part->head.size + 1);
	}
}

static void remove_part(struct part *part)
{
	free(part->payload);
	memmove(part, part + 1, (parts + nr_parts - part - 1) * sizeof(*part));
	nr_parts--;
}

static void repeat_part(struct part *part)
{
	struct part copy = *part;

	copy.payload = malloc(copy.head.size + 8ul);
	memcpy(copy.payload, part->payload, copy.head.size);
	memmove(part + 1, part, (parts + nr_parts - part) * sizeof(*part));	/* there is room for one more */
	*part = copy;
	nr_parts++;
	parts = realloc(parts, (nr_parts + 2) * sizeof(*parts));
}

static void swap_parts(struct part *a, struct part *b)
{
	struct part kept = *a;

	*a = *b;
	*b = kept;
}

static void change_once(void)
{
	struct part *part = &parts[below(nr_parts)];

	switch (below(12)) {
	case 0:
		change_byte(part);
		break;
	case 1:
		change_head(part);
		break;
	case 2:
		remove_part(part);
		break;
	case 3:
		repeat_part(part);
		break;
	case 4:
		swap_parts(part, &parts[below(nr_parts)]);
		break;
	default:
		change_field(part);
	}
}

/* ---- images that are tried ---- */

static struct job job;
static int nr_of[KCKPT_E_END], nr_restored;

/* What is in there is killed before it has run, whatever it has become. If there is nothing else, its pids are free. */
static bool empty_cgroup(bool alone)
{
	char *pids, *at, *line;
	double end = now() + 20 * test_patience();
	bool childless;

	for (; now() < end; usleep(500)) {
		childless = reap_children();
		if (cgroup_is_empty(job.cgroup) && (childless || !alone))
			return write_file(format("%s/cgroup.freeze", job.cgroup), "0");
		pids = at = read_file(format("%s/cgroup.procs", job.cgroup));
		while (at && (line = strsep(&at, "\n")))
			if (atoi(line) > 0)
				kill(atoi(line), SIGKILL);
		free(pids);
	}
	return false;
}

static int restore(int dev, const struct image *image, bool dry)
{
	struct kckpt_commit commit = { .flags = KCKPT_COMMIT_FROZEN | below(2) * KCKPT_COMMIT_SNAPSHOT };
	size_t at = 0;
	int err = device_write(dev, image, &at);

	if (!err && device_state(dev) == KCKPT_LOADED)
		err = device_instantiate(dev, dry ? NULL : job.cgroup,
					 KCKPT_INSTANTIATE_FILES_CHANGED | (dry ? KCKPT_INSTANTIATE_DRY_RUN : 0));
	if (!err)
		err = device_write(dev, image, &at);
	if (!err && ioctl(dev, KCKPT_IOC_COMMIT, &commit))
		err = errno;
	return err;
}

/* False if something is wrong with the module, not with the image. */
static bool try_image(const struct image *image, bool dry)
{
	bool ok = true;
	int dev = device_open();
	int err = restore(dev, image, dry);
	uint32_t code = device_first_code(dev);

	nr_of[code] += !!err;
	nr_restored += !err && !dry;
	if (err && !code) {
		test_say("error %d without a word", err);
		ok = false;
	}
	if (getenv("FUZZ_TELL"))
		device_say_report(dev);
	close(dev);
	if (err && !dry)
		ok &= EXPECT_TRUE(runner_is_gone(&job));
	return EXPECT_TRUE(empty_cgroup(true)) && ok;
}

static void fuzz_images(int nr)
{
	struct image image = {}, changed;
	uint32_t before;
	int i, changes;

	runner_start(&job);
	runner_dump(&job, &image);
	take_apart(&image);
	changed = put_together(&image);
	ASSERT_TRUE(try_image(&changed, false) && nr_restored == 1);	/* what was not changed is right in form */
	for (i = 0; i < nr; i++) {
		drop_parts();
		take_apart(&image);
		before = seed;
		for (changes = 1 + below(3); changes; changes--)
			change_once();
		free(changed.data);
		changed = put_together(&image);
		if (!try_image(&changed, below(8) == 0)) {
			test_failed(__FILE__, __LINE__, "round %d, seed %u", i, before);
			return;
		}
	}
	test_say("%d images, %d of them restored", i, nr_restored);
	for (i = 0; i < KCKPT_E_END; i++)
		if (nr_of[i])
			test_say("%d times %s", nr_of[i], error_name(i));
	runner_restore(&job, &image);
}

TEST_LIMIT(fuzz_images_of_a_process, 3600)
{
	runner_with_ghosts = true;
	fuzz_images(rounds(250, 20000));
}

TEST_LIMIT(fuzz_images_of_a_tree, 3600)
{
	runner_with_children = true;
	fuzz_images(rounds(250, 20000));
}

/* ---- requests in any order, with anything for arguments, by two at once ---- */

static struct image saved;	/* of a job that is gone */
static const char *other_cgroup;

static void *odd_pointer(void *good)
{
	void *pointers[] = { NULL, (void *)1, (void *)0xffff888000000000, (void *)0x7ffffffff000 };

	return below(4) ? good : pointers[below(4)];
}

static void odd_freeze(int dev)
{
	struct kckpt_freeze request = { .timeout_ms = 1 + below(300), .stall_ms = below(3) ? 0 : 1 + below(50),
					.max_pause_ms = below(3) ? 0 : 1 + below(50), .flags = !below(20) };
	const char *paths[] = { job.cgroup, job.cgroup, other_cgroup, "/sys/fs/cgroup", "/tmp" };

	request.cgroup = below(9) ? open(paths[below(5)], O_RDONLY | O_CLOEXEC) : (int)below(2000) - 1;
	ioctl(dev, KCKPT_IOC_FREEZE, odd_pointer(&request));
	if (request.cgroup > 2)
		close(request.cgroup);
}

static void odd_capture(int dev)
{
	struct kckpt_inherit inherit[2] = { { .fd = below(10), .name = "x" }, { .fd = below(10), .name = "y" } };
	struct kckpt_external external = { .kind = below(7), .ino = below(100), .name = "z" };
	struct kckpt_capture request = { .flags = KCKPT_CAPTURE_FILES | below(2) | below(2) * KCKPT_CAPTURE_KEEP,
					 .nr_inherit = below(4) ? 0 : below(3),
					 .inherit = (uintptr_t)odd_pointer(inherit), .nr_external = !below(8),
					 .external = (uintptr_t)odd_pointer(&external),
					 .max_cow = below(4) ? 0 : below(1 << 20) };

	if (!below(10))
		request.nr_inherit = odd_value(0);
	ioctl(dev, KCKPT_IOC_CAPTURE, odd_pointer(&request));
}

static void odd_read(int dev)
{
	static char buffer[1 << 18];
	ssize_t n;
	int i;

	for (i = below(40); i >= 0; i--) {
		n = read(dev, odd_pointer(buffer), below(sizeof(buffer)));
		if (n <= 0)
			break;
	}
}

/* From where the last one ended, most of the time. */
static void odd_write(int dev, size_t *at)
{
	size_t from = below(12) ? *at : below(saved.len), len = below(3) ? saved.len - from : below(saved.len - from + 1);
	ssize_t n = write(dev, below(20) ? saved.data + from : odd_pointer(NULL), len);

	if (n > 0)
		*at = from + n;
}

static void odd_instantiate(int dev)
{
	struct kckpt_inherit inherit = { .fd = below(10), .name = "x" };
	struct kckpt_instantiate request = { .flags = KCKPT_INSTANTIATE_FILES_CHANGED | (below(4) ? 0 : below(8)),
					     .nr_inherit = !below(8), .inherit = (uintptr_t)odd_pointer(&inherit),
					     .stall_ms = below(3) ? 0 : 1 + below(50) };

	request.cgroup = open(below(4) ? other_cgroup : job.cgroup, O_RDONLY | O_CLOEXEC);
	ioctl(dev, KCKPT_IOC_INSTANTIATE, odd_pointer(&request));
	close(request.cgroup);
}

static void odd_question(int dev)
{
	static struct kckpt_error errors[300];
	static char paths[4096];
	struct kckpt_report report = { .errors = (uintptr_t)odd_pointer(errors), .nr = below(400), .first = below(300) };
	struct kckpt_cgroups cgroups = { .paths = (uintptr_t)odd_pointer(paths), .size = below(5000) };
	struct kckpt_stats stats;
	struct kckpt_info info = { .nr_families = below(40), .families = (uintptr_t)odd_pointer(NULL) };

	switch (below(5)) {
	case 0:
		ioctl(dev, KCKPT_IOC_REPORT, odd_pointer(&report));
		break;
	case 1:
		ioctl(dev, KCKPT_IOC_STATS, odd_pointer(&stats));
		break;
	case 2:
		ioctl(dev, KCKPT_IOC_CGROUPS, odd_pointer(&cgroups));
		break;
	case 3:
		ioctl(dev, KCKPT_IOC_INFO, odd_pointer(&info));
		break;
	default:
		ioctl(dev, _IOC(below(4), 0xCB, below(16), below(200)), odd_pointer(&report));
	}
}

/* Not KILL: the job is looked at afterwards. */
static void odd_request(int dev, size_t *at)
{
	struct kckpt_commit commit = { .flags = below(4), .timeout_ms = 1 + below(300) };

	switch (below(12)) {
	case 0: case 1:
		odd_freeze(dev);
		break;
	case 2: case 3:
		odd_capture(dev);
		break;
	case 4:
		odd_read(dev);
		break;
	case 5: case 6:
		odd_write(dev, at);
		break;
	case 7: case 8:
		odd_instantiate(dev);
		break;
	case 9:
		ioctl(dev, KCKPT_IOC_COMMIT, odd_pointer(&commit));
		break;
	case 10:
		ioctl(dev, below(3) ? KCKPT_IOC_THAW : below(2) ? KCKPT_IOC_ABORT : KCKPT_IOC_RELEASE_FROZEN);
		break;
	default:
		odd_question(dev);
	}
}

static void odd_requests(int dev, uint32_t start)
{
	size_t at = 0;
	int i;

	seed = start;
	for (i = 0; i < 25; i++)
		odd_request(dev, &at);
}

static bool other_is_gone(const struct job *other)
{
	struct job kept = job;
	bool gone;

	job = *other;
	gone = empty_cgroup(false);
	job = kept;
	return gone;
}

/* Whoever still holds the session when its time is over is killed. */
static bool try_requests(const struct job *other)
{
	uint32_t starts[2] = { random_next(&seed), random_next(&seed) }, patience = below(20000);
	int dev = device_open(), i;
	pid_t pids[2];

	for (i = 0; i < 2; i++) {
		pids[i] = fork();
		if (!pids[i]) {
			odd_requests(dev, starts[i]);
			_exit(0);
		}
	}
	close(dev);
	usleep(patience);
	for (i = 0; i < 2; i++) {
		if (patience < 10000)
			kill(pids[i], SIGKILL);
		if (wait_exit(pids[i], 60000 * test_patience()) < 0) {
			test_say("requests do not come to an end");
			return false;
		}
	}
	/* RELEASE_FROZEN was asked for, or COMMIT_FROZEN. */
	ASSERT_TRUE(write_file(format("%s/cgroup.freeze", job.cgroup), "0"));
	return EXPECT_TRUE(other_is_gone(other)) && EXPECT_TRUE(runner_runs(&job));
}

TEST_LIMIT(fuzz_requests, 3600)
{
	int i, nr = rounds(40, 20000);
	struct job other;
	uint32_t before;

	runner_start(&other);
	runner_dump(&other, &saved);
	other_cgroup = other.cgroup;
	runner_start(&job);
	for (i = 0; i < nr; i++) {
		before = seed;
		if (!try_requests(&other)) {
			test_failed(__FILE__, __LINE__, "round %d, seed %u", i, before);
			break;
		}
	}
	test_say("%d sessions", i);
}
