// SPDX-License-Identifier: GPL-2.0
/* See ahead.h. */
#include <linux/file.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/uio.h>
#include <linux/workqueue.h>
#include <kckpt/image.h>

#include "ahead.h"
#include "compat/file.h"
#include "family.h"
#include "fault.h"
#include "load.h"
#include "pages.h"
#include "stream.h"

#define MAX_JOBS 8
#define STEP 64		/* pages that are made and then read: what was just cleared is still in the cache */

/* One batch. */
struct ahead_job {
	struct list_head node;
	struct work_struct work;
	u64 object;		/* the address space that it is for */
	loff_t at, pos;		/* of its record, and of its pages */
	struct file *file;	/* where these may be read from; NULL: nowhere */
	struct mm_struct *mm;	/* NULL: it is through */
	bool wrote;		/* there is something in the pages, if only in a part of one */
	u32 nr_filled;		/* with a reference each */
	struct page *pages[KCKPT_MAX_BATCH];
	u32 run_at, page_at;	/* run, and page in it, to be made next */
	u32 nr_runs;
	struct kckpt_page_run runs[];
};

/* A record of a batch, with the padding before its pages. */
struct ahead_head {
	struct kckpt_record head;
	struct kckpt_pages_rec rec;
	struct kckpt_page_run runs[KCKPT_MAX_RUNS];
};

void kckpt_ahead_init(struct kckpt_ahead *ahead)
{
	*ahead = (struct kckpt_ahead){};
	INIT_LIST_HEAD(&ahead->jobs);
}

/* ---- workers ---- */

/* That is to be made next; NULL: there is none. */
static const struct kckpt_page_run *job_run(struct ahead_job *job)
{
	if (job->run_at < job->nr_runs && job->page_at == job->runs[job->run_at].nr_pages) {
		job->run_at++;
		job->page_at = 0;
	}
	return job->run_at < job->nr_runs ? &job->runs[job->run_at] : NULL;
}

/* Makes up to @room pages, of as many runs as they are; fewer: no more can be made in this way. */
static u32 job_make(struct ahead_job *job, u32 room, struct page **pages)
{
	const struct kckpt_page_run *run;
	u32 nr = 0, got = 1;

	while (nr < room && got && (run = job_run(job)) && !(run->flags & KCKPT_RUN_ZERO)) {
		got = kckpt_pages_pin_ahead(job->mm, run->vaddr + (u64)job->page_at * PAGE_SIZE,
					    min(room - nr, run->nr_pages - job->page_at), run->flags & KCKPT_RUN_HUGE,
					    pages + nr);
		job->page_at += got;
		nr += got;
	}
	return nr;
}

/* How many of them are full now. */
static u32 job_read(struct ahead_job *job, struct page **pages, u32 nr)
{
	loff_t pos = job->pos + (u64)job->nr_filled * PAGE_SIZE;
	struct bio_vec bvec[STEP];
	struct iov_iter iter;
	ssize_t n;
	u32 i;

	for (i = 0; i < nr; i++)
		bvec[i] = (struct bio_vec){ .bv_page = pages[i], .bv_len = PAGE_SIZE };
	iov_iter_bvec(&iter, READ, bvec, nr, (size_t)nr * PAGE_SIZE);
	n = kckpt_file_read_cached(job->file, &iter, pos);
	job->wrote |= n > 0;
	nr = max_t(ssize_t, n, 0) / PAGE_SIZE;
	/* Reclaim may have written the page to swap while we filled it. */
	for (i = 0; i < nr; i++)
		set_page_dirty_lock(pages[i]);
	return nr;
}

/* Makes and reads the next ones; false: that is all. */
static bool job_fill(struct ahead_job *job)
{
	struct page **pages = job->pages + job->nr_filled;
	u32 room = min_t(u32, STEP, KCKPT_MAX_BATCH - job->nr_filled);
	u32 made = job->file ? job_make(job, room, pages) : 0, filled = made ? job_read(job, pages, made) : 0;

	release_pages(pages + filled, made - filled);
	job->nr_filled += filled;
	return filled && filled == room;
}

/* What can be made all the same. */
static void job_make_rest(struct ahead_job *job)
{
	struct page *pages[STEP];
	u32 nr;

	while (job_run(job)) {
		nr = job_make(job, STEP, pages);
		release_pages(pages, nr);
		if (nr < STEP && job_run(job)) {
			job->run_at++;
			job->page_at = 0;
		}
		cond_resched();
	}
}

static void job_do(struct ahead_job *job)
{
	while (job_fill(job))
		cond_resched();
	job_make_rest(job);
	mmput(job->mm);
	job->mm = NULL;
}

static void job_work(struct work_struct *work)
{
	job_do(container_of(work, struct ahead_job, work));
}

static void job_free(struct ahead_job *job)
{
	if (!job)
		return;
	if (job->mm)
		mmput(job->mm);
	release_pages(job->pages, job->nr_filled);
	if (job->file)
		fput(job->file);
	kvfree(job);
}

/* The first one is through, or was never begun. While somebody works on it, the time is used for the next ones. */
static struct ahead_job *ahead_take_first(struct kckpt_ahead *ahead)
{
	struct ahead_job *job = list_first_entry(&ahead->jobs, struct ahead_job, node), *other = job;

	if (!cancel_work(&job->work)) {
		list_for_each_entry_continue(other, &ahead->jobs, node) {
			if (!work_busy(&job->work))
				break;
			if (cancel_work(&other->work))
				job_do(other);
		}
		flush_work(&job->work);
	}
	list_del(&job->node);
	ahead->nr_jobs--;
	return job;
}

/* What nobody has begun is not begun any more. */
static void ahead_cancel(struct kckpt_ahead *ahead)
{
	struct ahead_job *job, *next;

	list_for_each_entry_safe(job, next, &ahead->jobs, node) {
		if (!cancel_work(&job->work))
			continue;
		list_del(&job->node);
		ahead->nr_jobs--;
		job_free(job);
	}
}

/* Its batch has not come. */
static void ahead_drop(struct kckpt_ahead *ahead, struct ahead_job *job)
{
	ahead->changed |= job->wrote;
	job_free(job);
}

bool kckpt_ahead_done(struct kckpt_ahead *ahead)
{
	ahead_cancel(ahead);
	while (!list_empty(&ahead->jobs))
		ahead_drop(ahead, ahead_take_first(ahead));
	kckpt_ahead_end(ahead);
	return !ahead->changed;
}

void kckpt_ahead_end(struct kckpt_ahead *ahead)
{
	job_free(ahead->now);
	ahead->now = NULL;
	ahead_cancel(ahead);
	while (!list_empty(&ahead->jobs))
		job_free(ahead_take_first(ahead));
	kvfree(ahead->buffer);
	ahead->buffer = NULL;
}

/* ---- what comes ---- */

/*
 * Its length without the padding, if there is a batch with data for @object; else 0. All of this is looked at again by
 * load.c, with the same bounds.
 */
static u32 ahead_head_len(const struct ahead_head *all, ssize_t have, u64 object)
{
	const struct kckpt_record *head = &all->head;
	u64 nr_data = 0, nr_all = 0;
	u32 i;

	if (have < (ssize_t)(sizeof(*head) + sizeof(all->rec)) || head->family != KCKPT_F_stream ||
	    head->kind != KCKPT_K_pages || head->object != object || all->rec.nr_runs > KCKPT_MAX_RUNS ||
	    head->size != sizeof(all->rec) + all->rec.nr_runs * sizeof(all->runs[0]) ||
	    have < (ssize_t)(sizeof(*head) + head->size))
		return 0;
	for (i = 0; i < all->rec.nr_runs; i++) {
		if (!kckpt_run_sane(&all->runs[i]))
			return 0;
		nr_data += all->runs[i].flags & KCKPT_RUN_ZERO ? 0 : all->runs[i].nr_pages;
		nr_all += all->runs[i].nr_pages;
	}
	if (!nr_data || nr_all > 2 * KCKPT_MAX_BATCH || nr_data != all->rec.nr_data)
		return 0;
	return sizeof(*head) + ALIGN(head->size, 8);
}

static ssize_t ahead_read(struct kckpt_ahead *ahead, struct file *file)
{
	struct kvec kvec = { .iov_len = ALIGN(sizeof(struct ahead_head), KCKPT_PAGE_SIZE) };
	struct iov_iter iter;
	loff_t at = ahead->at;

	if (!ahead->buffer)
		ahead->buffer = kckpt_alloc(kvec.iov_len);
	if (!ahead->buffer)
		return -ENOMEM;
	kvec.iov_base = ahead->buffer;
	iov_iter_kvec(&iter, READ, &kvec, 1, kvec.iov_len);
	return kckpt_file_read(file, &iter, &at, false);
}

/* The pages of the batch in the buffer begin at @pos. */
static bool ahead_add(struct kckpt_ahead *ahead, struct kckpt_object *target, struct file *file, loff_t pos)
{
	const struct ahead_head *all = ahead->buffer;
	struct ahead_job *job = kckpt_alloc(struct_size(job, runs, all->rec.nr_runs));

	if (!job || !mmget_not_zero(target->made)) {
		kvfree(job);
		return false;
	}
	INIT_WORK(&job->work, job_work);
	job->at = ahead->at;
	job->pos = pos;
	if (kckpt_file_may_read_cached(file, pos, all->rec.nr_data * PAGE_SIZE))
		job->file = get_file(file);
	job->mm = target->made;
	job->object = target->id;
	job->nr_runs = all->rec.nr_runs;
	memcpy(job->runs, all->runs, all->rec.nr_runs * sizeof(all->runs[0]));
	list_add_tail(&job->node, &ahead->jobs);
	ahead->nr_jobs++;
	queue_work(kckpt_workers, &job->work);
	return true;
}

/* One record further, if it is a batch for the same address space. */
static bool ahead_look(struct kckpt_ahead *ahead, const struct kckpt_ahead_place *place)
{
	ssize_t have = ahead_read(ahead, place->file);
	const struct ahead_head *all = ahead->buffer;
	u32 len = have > 0 ? ahead_head_len(all, have, place->target->id) : 0;
	loff_t pos = ALIGN(ahead->at + ahead->shift + len, KCKPT_PAGE_SIZE) - ahead->shift;

	if (!len || !ahead_add(ahead, place->target, place->file, pos))
		return false;
	ahead->at = pos + (u64)all->rec.nr_data * KCKPT_PAGE_SIZE;
	return true;
}

/* Is it of this batch, as it was read now? */
static bool job_is_of(const struct ahead_job *job, const struct kckpt_ahead_place *place)
{
	return job->object == place->target->id && job->pos == place->pos &&
	       job->nr_runs == place->nr_runs && !memcmp(job->runs, place->runs, job->nr_runs * sizeof(job->runs[0]));
}

/* Where an image goes on may be another file, or another place of it. */
static void ahead_follow(struct kckpt_ahead *ahead, const struct kckpt_ahead_place *place)
{
	if (ahead->file != place->file || ahead->shift != place->shift)
		kckpt_ahead_end(ahead);
	ahead->file = place->file;
	ahead->shift = place->shift;
}

int kckpt_ahead_batch(struct kckpt_ahead *ahead, const struct kckpt_ahead_place *place, struct page ***pages)
{
	struct ahead_job *job;

	ahead_follow(ahead, place);
	job_free(ahead->now);
	ahead->now = NULL;
	while (!list_empty(&ahead->jobs) &&
	       list_first_entry(&ahead->jobs, struct ahead_job, node)->at < place->pos) {
		job = ahead_take_first(ahead);
		if (job_is_of(job, place))
			ahead->now = job;
		else
			ahead_drop(ahead, job);
	}
	if (ahead->changed)
		return -ESTALE;
	if (list_empty(&ahead->jobs))
		ahead->at = place->pos + place->bytes;
	while (ahead->nr_jobs < MAX_JOBS && ahead_look(ahead, place))
		;
	if (!ahead->now)
		return 0;
	*pages = ahead->now->pages;
	return ahead->now->nr_filled;
}
