// SPDX-License-Identifier: GPL-2.0
/* See ahead.h. */
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

/* One batch. */
struct ahead_job {
	struct list_head node;
	struct work_struct work;
	loff_t at;		/* of its record */
	struct mm_struct *mm;
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

static void job_run(struct ahead_job *job)
{
	u32 i;

	for (i = 0; i < job->nr_runs; i++)
		if (!(job->runs[i].flags & KCKPT_RUN_ZERO))
			kckpt_pages_prefault(job->mm, &job->runs[i]);
	mmput(job->mm);
	job->mm = NULL;
}

static void job_work(struct work_struct *work)
{
	job_run(container_of(work, struct ahead_job, work));
}

/* Nobody works on it any more. One that was begun is waited for, and the time used for the next ones. */
static void ahead_finish_first(struct kckpt_ahead *ahead)
{
	struct ahead_job *job = list_first_entry(&ahead->jobs, struct ahead_job, node), *other = job;

	if (cancel_work(&job->work)) {
		mmput(job->mm);
	} else {
		list_for_each_entry_continue(other, &ahead->jobs, node) {
			if (!work_busy(&job->work))
				break;
			if (cancel_work(&other->work))
				job_run(other);
		}
		flush_work(&job->work);
	}
	list_del(&job->node);
	ahead->nr_jobs--;
	kvfree(job);
}

void kckpt_ahead_end(struct kckpt_ahead *ahead)
{
	while (!list_empty(&ahead->jobs))
		ahead_finish_first(ahead);
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

static bool ahead_add(struct kckpt_ahead *ahead, struct mm_struct *mm)
{
	const struct ahead_head *all = ahead->buffer;
	struct ahead_job *job = kckpt_alloc(struct_size(job, runs, all->rec.nr_runs));

	if (!job || !mmget_not_zero(mm)) {
		kvfree(job);
		return false;
	}
	INIT_WORK(&job->work, job_work);
	job->at = ahead->at;
	job->mm = mm;
	job->nr_runs = all->rec.nr_runs;
	memcpy(job->runs, all->runs, all->rec.nr_runs * sizeof(all->runs[0]));
	list_add_tail(&job->node, &ahead->jobs);
	ahead->nr_jobs++;
	queue_work(kckpt_workers, &job->work);
	return true;
}

/* One record further, if it is a batch for the same address space. */
static bool ahead_look(struct kckpt_ahead *ahead, struct kckpt_object *target, struct file *file)
{
	ssize_t have = ahead_read(ahead, file);
	const struct ahead_head *all = ahead->buffer;
	u32 len = have > 0 ? ahead_head_len(all, have, target->id) : 0;

	if (!len || !ahead_add(ahead, target->made))
		return false;
	ahead->at = ALIGN(ahead->at + ahead->shift + len, KCKPT_PAGE_SIZE) - ahead->shift +
		    (u64)all->rec.nr_data * KCKPT_PAGE_SIZE;
	return true;
}

void kckpt_ahead_batch(struct kckpt_ahead *ahead, struct kckpt_object *target, struct file *file, loff_t pos,
		       u64 offset, u64 bytes)
{
	while (!list_empty(&ahead->jobs) && list_first_entry(&ahead->jobs, struct ahead_job, node)->at < pos)
		ahead_finish_first(ahead);
	ahead->at = max_t(loff_t, ahead->at, pos + bytes);
	ahead->shift = offset - pos;
	while (ahead->nr_jobs < MAX_JOBS && ahead_look(ahead, target, file))
		;
}
