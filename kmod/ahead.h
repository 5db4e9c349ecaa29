/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where the image is a file, its next batches of pages can be looked at: workers make these pages ahead, and read them
 * where nobody has to be waited for, so that all CPUs take part. Only a help: who fills a batch makes and reads what is
 * left of it, and nobody believes anything that was read before the digests agree.
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
	loff_t at;		/* of the next record to look at, in the file */
	u64 shift;		/* from there to its offset in the image */
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

/* kckpt_ahead_end() - waits for the workers. */
void kckpt_ahead_end(struct kckpt_ahead *ahead);

/*
 * kckpt_ahead_batch() - the batch at @place is the current one. Nobody works on it any more afterwards, but on those
 * behind, as far as they are for the same address space. Returns how many of its pages have been read, from the first
 * one on; *@pages: these, which are kept until the next call.
 */
u32 kckpt_ahead_batch(struct kckpt_ahead *ahead, const struct kckpt_ahead_place *place, struct page ***pages);

#endif
