/* SPDX-License-Identifier: GPL-2.0 */
/* Where the bytes of a dump go: a buffer, a pipe, or a file that the kernel itself writes to. */
#ifndef KCKPT_SINK_H
#define KCKPT_SINK_H

#include <linux/bvec.h>
#include <linux/fs.h>
#include <linux/pipe_fs_i.h>
#include <linux/uio.h>

#include "stream.h"

struct kckpt_sink {
	/* Takes up to @len bytes of the chunk from @from on. How many, at least 1, or a negative errno. */
	ssize_t (*take)(struct kckpt_sink *sink, struct kckpt_chunk *chunk, u32 from, u32 len);
	u64 room;		/* how many it is to get at most */
	bool apart;		/* taking touches nothing of the stream but the chunk, and takes its time */
	union {
		struct iov_iter *iter;
		struct pipe_inode_info *pipe;
		struct file *file;
	};
	struct kckpt_stream *stream;	/* of which the pipe gets pages */
	loff_t pos;		/* in the file */
	struct bio_vec bvec[KCKPT_CHUNK_PAGES];
};

/* kckpt_sink_iter() - copies, as read() does. */
void kckpt_sink_iter(struct kckpt_sink *sink, struct iov_iter *iter);

/* kckpt_sink_pipe() - references the pages; copies those that may change. The pipe is locked. EAGAIN: it is full. */
void kckpt_sink_pipe(struct kckpt_sink *sink, struct kckpt_stream *stream, struct pipe_inode_info *pipe, size_t room);

/*
 * kckpt_sink_file() - writes from the pages where they are, up to a chunk at once; with O_DIRECT, whatever of it is
 * aligned. From the file's position on, which moves. -EINVAL: not into this one.
 */
int kckpt_sink_file(struct kckpt_sink *sink, struct file *file, u64 room);

#endif
