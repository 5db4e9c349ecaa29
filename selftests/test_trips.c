// SPDX-License-Identifier: GPL-2.0
/*
 * What is restored is what was dumped: the image of a restored job that has not run yet says the same as the one that it
 * was made of, but for what time has changed. Again and again, and nothing grows.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <xxhash.h>

#include "device.h"
#include "image.h"
#include "runner.h"
#include "usage.h"

static int trips(void)
{
	return test_is_long() ? 1000 : 20;
}

/* ---- two images ---- */

/* Fields that the second dump may find changed, and why. */
static const struct {
	const char *record, *field, *why;
} may_differ[] = {
	{ "timers", "real_expires", "an end, in the time of its own dump" },
	{ "timers", "prof_left", "CPU time spent in the kernel" },
	{ "timers", "virt_left", "the same" },
	{ "posix_timer", "expires", "as real_expires" },
	{ "posix_timer", "overrun", "ends that came while the job was frozen" },
	{ "posix_timer", "timer_flags", "an end that came" },
	{ "task", "restart_expires", "as real_expires" },
	{ "mm", "nr_areas", "areas that could be one become one: see next_record()" },
};

static bool field_may_differ(const struct image_field *field)
{
	unsigned int i;

	for (i = 0; i < sizeof(may_differ) / sizeof(may_differ[0]); i++)
		if (!strcmp(field->record, may_differ[i].record) && !strcmp(field->name, may_differ[i].field))
			return true;
	return false;
}

/* How many differences there are between two payloads of one kind and length, tail included. */
static int compare_payload(const struct kckpt_record *a, const struct kckpt_record *b)
{
	const uint8_t *at_a = (void *)(a + 1), *at_b = (void *)(b + 1);
	struct image_field field = {};
	unsigned int i;
	int found = 0;

	for (i = 0; image_field(a->family, a->kind, i, &field); i++) {
		if (!memcmp(at_a + field.offset, at_b + field.offset, field.size) || field_may_differ(&field))
			continue;
		found++;
		test_say("object %llu: %s.%s differs: %llx, %llx", (unsigned long long)a->object, field.record, field.name,
			 *(unsigned long long *)(at_a + field.offset), *(unsigned long long *)(at_b + field.offset));
	}
	if (field.offset < a->size && memcmp(at_a + field.offset, at_b + field.offset, a->size - field.offset)) {
		found++;
		test_say("object %llu: what follows the fields of %s differs", (unsigned long long)a->object, field.record);
	}
	return found;
}

static bool is_stream(const struct kckpt_record *head)
{
	return head->family == KCKPT_F_stream;
}

static int compare_records(const struct image_walk *a, const struct image_walk *b)
{
	if (memcmp(a->head, b->head, sizeof(*a->head))) {
		test_say("record %u.%u of object %llu, %u bytes, became %u.%u of object %llu, %u bytes", a->head->family,
			 a->head->kind, (unsigned long long)a->head->object, a->head->size, b->head->family, b->head->kind,
			 (unsigned long long)b->head->object, b->head->size);
		return 1;
	}
	/* Locks are compared apart. */
	return a->head->family == KCKPT_F_lock ? 0 : compare_payload(a->head, b->head);
}

static struct kckpt_vma_rec *area_of(const struct image_walk *walk)
{
	return walk->head->family == KCKPT_F_mm && walk->head->kind == KCKPT_K_vma ? (void *)(walk->head + 1) : NULL;
}

/* Is @next what @area goes on with? History may have kept them apart, as different anon_vmas do. */
static bool area_continues(const struct kckpt_vma_rec *area, const struct kckpt_vma_rec *next)
{
	return next->start == area->end && next->file == area->file && next->prot == area->prot &&
	       next->vma_flags == area->vma_flags &&
	       (!area->file || next->offset == area->offset + area->end - area->start);
}

/* The next record of an object; an area takes in all that it continues with. */
static bool next_record(struct image_walk *walk)
{
	struct kckpt_vma_rec *area, *next;
	struct image_walk ahead;

	if (!image_walk_next(walk) || is_stream(walk->head))
		return false;
	area = area_of(walk);
	for (ahead = *walk; area && image_walk_next(&ahead); walk->next = ahead.next) {
		next = area_of(&ahead);
		if (!next || !area_continues(area, next))
			break;
		area->end = next->end;
	}
	return true;
}

static int compare_objects(const struct image *first, const struct image *second)
{
	const struct image copy = image_copy(first);
	struct image_walk a, b;
	bool more_a, more_b;
	int found = 0;

	image_walk_begin(&a, &copy);
	image_walk_begin(&b, second);
	do {
		more_a = next_record(&a);
		more_b = next_record(&b);
		found += more_a && more_b ? compare_records(&a, &b) : more_a != more_b;
	} while (more_a && more_b && found < 20);
	free(copy.data);
	return found;
}

/* ---- what has no order in an image, or was cut into other pieces: as lists that are sorted ---- */

struct list {
	uint64_t (*rows)[8];
	size_t nr, room;
};

static void list_add(struct list *list, const uint64_t *row, size_t nr)
{
	if (list->nr == list->room) {
		list->room = 2 * list->room + 64;
		list->rows = realloc(list->rows, list->room * sizeof(*list->rows));
	}
	memset(list->rows[list->nr], 0, sizeof(*list->rows));
	memcpy(list->rows[list->nr++], row, nr * sizeof(*row));
}

static int row_order(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(uint64_t[8]));
}

static int compare_lists(const char *what, struct list *a, struct list *b)
{
	size_t i;
	int found = a->nr != b->nr;

	if (found)
		test_say("%zu %s, and then %zu", a->nr, what, b->nr);
	qsort(a->rows, a->nr, sizeof(*a->rows), row_order);
	qsort(b->rows, b->nr, sizeof(*b->rows), row_order);
	for (i = 0; i < a->nr && i < b->nr && found < 20; i++) {
		if (!row_order(a->rows[i], b->rows[i]))
			continue;
		found++;
		test_say("%s: %llx %llx %llx %llx, and then %llx %llx %llx %llx", what,
			 (unsigned long long)a->rows[i][0], (unsigned long long)a->rows[i][1],
			 (unsigned long long)a->rows[i][2], (unsigned long long)a->rows[i][3],
			 (unsigned long long)b->rows[i][0], (unsigned long long)b->rows[i][1],
			 (unsigned long long)b->rows[i][2], (unsigned long long)b->rows[i][3]);
	}
	free(a->rows);
	free(b->rows);
	return found;
}

static void list_locks(struct list *list, const struct image_walk *at)
{
	_Static_assert(sizeof(struct kckpt_lock_rec) <= sizeof(uint64_t[8]), "a row");

	if (at->head->family == KCKPT_F_lock)
		list_add(list, (void *)(at->head + 1), sizeof(struct kckpt_lock_rec) / 8);
}

/* Rows: object, address, 0, digest of the contents. */
static void list_batch(struct list *list, const struct image_walk *at)
{
	const struct kckpt_pages_rec *rec = (void *)(at->head + 1);
	const struct kckpt_page_run *run = (void *)(rec + 1);
	const uint8_t *data = at->image->data + at->data;
	uint32_t i, page;

	for (i = 0; i < rec->nr_runs; i++, run++) {
		for (page = 0; page < run->nr_pages; page++) {
			uint64_t row[] = { at->head->object, run->vaddr + page * 4096ull, 0, 0 };

			if (!(run->flags & KCKPT_RUN_ZERO)) {
				row[3] = XXH64(data, 4096, 0);
				data += 4096;
			}
			list_add(list, row, 4);
		}
	}
}

/* Rows: object, address, address space that it shares the page with. */
static void list_shares(struct list *list, const struct image_walk *at)
{
	const struct kckpt_shares_rec *rec = (void *)(at->head + 1);
	const struct kckpt_share_run *run = (void *)(rec + 1);
	uint32_t i, page;

	for (i = 0; i < rec->nr_runs; i++, run++) {
		for (page = 0; page < run->nr_pages; page++) {
			uint64_t row[] = { at->head->object, run->vaddr + page * 4096ull, run->source };

			list_add(list, row, 3);
		}
	}
}

static void list_pages(struct list *list, const struct image_walk *at)
{
	if (is_stream(at->head) && at->head->kind == KCKPT_K_pages)
		list_batch(list, at);
	if (is_stream(at->head) && at->head->kind == KCKPT_K_shares)
		list_shares(list, at);
}

static int compare_sorted(const char *what, const struct image *first, const struct image *second,
			  void (*add)(struct list *list, const struct image_walk *at))
{
	struct list a = {}, b = {};
	struct image_walk walk;

	for (image_walk_begin(&walk, first); image_walk_next(&walk);)
		add(&a, &walk);
	for (image_walk_begin(&walk, second); image_walk_next(&walk);)
		add(&b, &walk);
	return compare_lists(what, &a, &b);
}

static int compare(const struct image *first, const struct image *second)
{
	return compare_objects(first, second) + compare_sorted("locks", first, second, list_locks) +
	       compare_sorted("pages", first, second, list_pages);
}

/* ---- trips ---- */

static bool restore_frozen(const struct job *job, const struct image *image)
{
	struct kckpt_commit commit = { .flags = KCKPT_COMMIT_FROZEN };
	int dev = device_open();
	size_t at = 0;
	int err = device_write(dev, image, &at) ?: device_instantiate(dev, job->cgroup, 0) ?: device_write(dev, image, &at);

	if (!err && ioctl(dev, KCKPT_IOC_COMMIT, &commit))
		err = errno;
	if (err) {
		test_say("restore: error %d", err);
		device_say_report(dev);
	}
	close(dev);
	return !err;
}

/* Restored and dumped again without having run. */
static bool trip(struct job *job, const struct image *first)
{
	struct image second = {};
	int differences;

	if (!EXPECT_TRUE(restore_frozen(job, first)) ||
	    !EXPECT_EQ(0, device_dump(job->cgroup, &second, KCKPT_IOC_KILL)))
		return false;
	/* The freeze was the operator's. */
	ASSERT_TRUE(write_file(format("%s/cgroup.freeze", job->cgroup), "0"));
	ASSERT_TRUE(runner_is_gone(job));
	differences = compare(first, &second);
	free(second.data);
	return EXPECT_EQ(0, differences);
}

/* ---- again and again ---- */

static void many_trips(void)
{
	struct image image = {};
	struct usage before, after;
	struct job job;
	int i;

	runner_start(&job);
	runner_dump(&job, &image);
	/* What we inherit is gone at once: KILL would wait a little for us to wait for it. */
	signal(SIGCHLD, SIG_IGN);
	for (i = 0; i < 3; i++)
		ASSERT_TRUE(trip(&job, &image));
	before = usage_now();
	for (i = 0; i < trips(); i++) {
		if (!trip(&job, &image)) {
			test_failed(__FILE__, __LINE__, "after %d trips", i);
			return;
		}
	}
	after = usage_now();
	usage_expect_no_growth(&before, &after, trips());
	runner_restore(&job, &image);
}

TEST_LIMIT(trips_of_a_process, 1800)
{
	many_trips();
}

TEST_LIMIT(trips_with_deleted_files, 1800)
{
	runner_with_ghosts = true;
	many_trips();
}

TEST_LIMIT(trips_of_a_tree, 1800)
{
	runner_with_children = true;
	many_trips();
}

static void run_and_trip(struct job *job, int nr)
{
	struct image image = {};

	while (nr--) {
		runner_dump(job, &image);
		runner_restore(job, &image);
	}
	free(image.data);
}

TEST_LIMIT(trips_leak_nothing, 600)
{
	struct usage before, after;
	struct job job;

	runner_start(&job);
	run_and_trip(&job, 20);
	before = usage_now();
	run_and_trip(&job, test_is_long() ? 1000 : 100);
	after = usage_now();
	usage_expect_no_growth(&before, &after, test_is_long() ? 1000 : 100);
}
