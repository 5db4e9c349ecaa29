/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where the image is a file, its next batches of pages can be looked at: workers make these pages ahead, and read
 * what of them is in the page cache, so that all CPUs take part. They wait for nobody: who fills a batch makes and
 * reads what is left of it. Nobody believes anything that was read before the digests agree; but pages that were
 * filled for a batch that is another one when its turn comes cannot be taken back.
 */
#ifndef KCKPT_AHEAD_H
#define KCKPT_AHEAD_H

#include <linux/fs.h>
#include <linux/list.h>
#include <kckpt/image.h>

struct ahead_job;
struct kckpt_object;

struct kckpt_ahead {
	struct list_head jobs;	/* in the order of the stream */
	u32 nr_jobs;
	struct ahead_job *now;	/* that of the current batch, through; NULL: there was none */
	struct file *file;	/* they are of; only to tell whether it is another one */
	u64 shift;		/* from an offset in it to one in the image */
	loff_t at;		/* in it, of the next record to look at */
	bool changed;		/* there are pages of a batch that was another one afterwards */
	void *buffer;
};

/* Where a batch is, whose pages begin at @pos. */
struct kckpt_ahead_place {
	struct file *file;
	loff_t pos;
	u64 shift;		/* from there to the offset in the image */
	u64 bytes;		/* of pages */
	struct kckpt_object *target;	/* the address space that they are for, which is made */
	const struct kckpt_page_run *runs;
	u32 nr_runs;
};

void kckpt_ahead_init(struct kckpt_ahead *ahead);

/* kckpt_ahead_end() - nothing more is wanted. Waits for the workers. */
void kckpt_ahead_end(struct kckpt_ahead *ahead);

/* kckpt_ahead_done() - the same at the end of the image. False: there are pages that are not in it. */
bool kckpt_ahead_done(struct kckpt_ahead *ahead);

/*
 * kckpt_ahead_batch() - the batch at @place is the current one. Nobody works on it any more afterwards, but on those
 * behind, as far as they are for the same address space. Returns how many of its pages have been read, from the first
 * one on, or -ESTALE if the file changes while it is read; *@pages: these, which are kept until the next call.
 */
int kckpt_ahead_batch(struct kckpt_ahead *ahead, const struct kckpt_ahead_place *place, struct page ***pages);

#endif
