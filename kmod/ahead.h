/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Pages that a restore is going to fill soon are made ahead by workers, where the image is a file and so its next
 * batches can be looked at. Only a help: whoever fills the pages asks for them in any case, and finds them there.
 */
#ifndef KCKPT_AHEAD_H
#define KCKPT_AHEAD_H

#include <linux/fs.h>
#include <linux/list.h>

struct kckpt_object;

struct kckpt_ahead {
	struct list_head jobs;	/* in the order of the stream */
	u32 nr_jobs;
	loff_t at;		/* of the next record to look at, in the file */
	u64 shift;		/* from there to its offset in the image */
	void *buffer;
};

void kckpt_ahead_init(struct kckpt_ahead *ahead);

/* kckpt_ahead_end() - waits for the workers. */
void kckpt_ahead_end(struct kckpt_ahead *ahead);

/*
 * kckpt_ahead_batch() - @bytes of data for the address space @target, which is made, begin in @file at @pos, in the
 * image at @offset. Nobody works on them any more afterwards, but on the batches behind, as far as they are for
 * @target.
 */
void kckpt_ahead_batch(struct kckpt_ahead *ahead, struct kckpt_object *target, struct file *file, loff_t pos,
		       u64 offset, u64 bytes);

#endif
