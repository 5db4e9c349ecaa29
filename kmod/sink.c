// SPDX-License-Identifier: GPL-2.0
/* See sink.h. */
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/splice.h>

#include "compat/file.h"
#include "fault.h"
#include "sink.h"

/* ---- a buffer ---- */

static ssize_t iter_take(struct kckpt_sink *sink, struct kckpt_chunk *chunk, u32 from, u32 len)
{
	ssize_t done = 0;
	size_t n;
	u32 part;

	while (done < len) {
		part = min_t(u32, len - done, PAGE_SIZE - offset_in_page(from + done));
		n = kckpt_should_fail() ? 0 : copy_to_iter(page_address(chunk->pages[(from + done) / PAGE_SIZE]) +
							   offset_in_page(from + done), part, sink->iter);
		done += n;
		if (n < part)
			break;
	}
	return done ?: -EFAULT;
}

void kckpt_sink_iter(struct kckpt_sink *sink, struct iov_iter *iter)
{
	sink->take = iter_take;
	sink->apart = false;
	sink->iter = iter;
	sink->room = iov_iter_count(iter);
}

/* ---- a pipe ---- */

#define SPLICE_PAGES 64

static void pipe_release(struct splice_pipe_desc *spd, unsigned int i)
{
	put_page(spd->pages[i]);
}

/* Who has the pipe may keep what is in it for as long as they like. */
static struct page *pipe_page(struct kckpt_sink *sink, const struct kckpt_chunk *chunk, struct page *page)
{
	if (chunk->changes)
		return kckpt_stream_copy_page(sink->stream, page);
	get_page(page);
	return page;
}

static ssize_t pipe_take(struct kckpt_sink *sink, struct kckpt_chunk *chunk, u32 from, u32 len)
{
	struct page *pages[SPLICE_PAGES];
	struct partial_page partial[SPLICE_PAGES];
	struct splice_pipe_desc spd = {
		.pages = pages, .partial = partial, .nr_pages_max = SPLICE_PAGES,
		.ops = &nosteal_pipe_buf_ops, .spd_release = pipe_release,
	};
	u32 part;

	for (; len && spd.nr_pages < SPLICE_PAGES; from += part, len -= part, spd.nr_pages++) {
		part = min_t(u32, len, PAGE_SIZE - offset_in_page(from));
		pages[spd.nr_pages] = pipe_page(sink, chunk, chunk->pages[from / PAGE_SIZE]);
		if (!pages[spd.nr_pages])
			break;
		partial[spd.nr_pages] = (struct partial_page){ .offset = offset_in_page(from), .len = part };
	}
	if (!spd.nr_pages)
		return -ENOMEM;
	return splice_to_pipe(sink->pipe, &spd) ?: -EAGAIN;
}

void kckpt_sink_pipe(struct kckpt_sink *sink, struct kckpt_stream *stream, struct pipe_inode_info *pipe, size_t room)
{
	sink->take = pipe_take;
	sink->apart = false;
	sink->stream = stream;
	sink->pipe = pipe;
	sink->room = room;
}

/* ---- a file ---- */

/* Storage takes whole blocks: what begins or ends within a page goes through the page cache. */
static bool file_is_direct(const struct kckpt_sink *sink, u32 from, u32 len)
{
	return (sink->file->f_flags & (O_DIRECT | O_APPEND)) == O_DIRECT && !offset_in_page(from) &&
	       !offset_in_page(sink->pos) && len >= PAGE_SIZE;
}

static ssize_t file_write(struct kckpt_sink *sink, struct kckpt_chunk *chunk, u32 from, u32 len, bool direct)
{
	u32 nr = kckpt_chunk_bvec(chunk, from, len, sink->bvec);
	struct iov_iter iter;

	iov_iter_bvec(&iter, WRITE, sink->bvec, nr, len);
	return kckpt_should_fail() ? -EIO : kckpt_file_write(sink->file, &iter, &sink->pos, direct);
}

static ssize_t file_take(struct kckpt_sink *sink, struct kckpt_chunk *chunk, u32 from, u32 len)
{
	ssize_t n = -EINVAL;

	if (file_is_direct(sink, from, len))
		n = file_write(sink, chunk, from, round_down(len, PAGE_SIZE), true);
	/* There may be larger blocks than pages. */
	if (n == -EINVAL)
		n = file_write(sink, chunk, from, len, false);
	vfs_setpos(sink->file, sink->pos, MAX_LFS_FILESIZE);
	return n ?: -EIO;
}

int kckpt_sink_file(struct kckpt_sink *sink, struct file *file, u64 room)
{
	/* Whoever waits for a pipe or a socket is not to have the session meanwhile. */
	if (!kckpt_file_is_seekable(file) || !file->f_op->write_iter)
		return -EINVAL;
	if (!(file->f_mode & FMODE_WRITE))
		return -EBADF;
	sink->take = file_take;
	sink->apart = true;
	sink->file = file;
	sink->room = room;
	sink->pos = file->f_pos;
	return 0;
}
