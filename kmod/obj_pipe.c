// SPDX-License-Identifier: GPL-2.0
/*
 * Pipes, anonymous or named (fifos). Saved once however many open files there are on it; obj_file.c saves these, and
 * obj_path.c the path that each was opened by, or obj_ghost.c what was deleted there. Bytes are copied, not taken, so
 * a job thawed after a failed dump still reads them.
 *
 * Refused: pipes that somebody outside the job has open, at the dump or, if it has a name, at the restore; watch
 * queues.
 * Not saved: who is charged for the ring (the restorer is), how the bytes were spread over its slots (packets are
 * kept), wake-up counters.
 */
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/mount.h>
#include <linux/wait.h>
#include <linux/pipe_fs_i.h>

#include "compat/file.h"
#include "family.h"
#include "fault.h"
#include "holders.h"
#include "ksym.h"
#include "obj_file.h"
#include "obj_path.h"

#define PIPE_RECORD	(1u << 20)	/* bytes in one record */
#define PIPE_MAX_SLOTS (1u << 20)	/* 4 GiB, more than root can ask for */

static struct pipe_inode_info *pipe_of(const struct kckpt_object *obj)
{
	return (struct pipe_inode_info *)obj->ptr;
}

/* Anonymous ones have file operations of their own since v6.15. */
static bool pipe_claims(struct file *file)
{
	return kcall(get_pipe_info)(file, false);
}

static const void *pipe_key(struct file *file)
{
	return kcall(get_pipe_info)(file, false);
}

/* Until a writer comes, the reading end of a named pipe shows no POLLHUP although there is none. */
static u32 pipe_file_flags(struct file *file)
{
	const struct pipe_inode_info *pipe = kcall(get_pipe_info)(file, false);

	return !(file->f_mode & FMODE_WRITE) && !pipe->writers && kckpt_pipe_seen(file) == pipe->w_counter ?
	       KCKPT_FILE_NO_WRITER : 0;
}

/* ---- dump ---- */

static int pipe_collect(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
#ifdef CONFIG_WATCH_QUEUE
	if (pipe_of(obj)->watch_queue)
		kckpt_fail(ctx, obj, KCKPT_E_PIPE_STATE, 0, "a watch queue");
#endif
	return 0;
}

static bool pipe_match(struct file *file, const void *pipe)
{
	return kcall(get_pipe_info)(file, false) == pipe;
}

/*
 * Is each open file on the pipe one of ours? That ours are held by us alone is seen to in obj_file.c. A count may be
 * too high for a moment: look again, then name who holds it.
 */
static int pipe_closed(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_where holder;
	int i;

	for (i = 0; i < 3; i++) {
		if (READ_ONCE(pipe_of(obj)->files) == obj->seen)
			return 0;
		if (kckpt_find_holder(ctx, pipe_match, pipe_of(obj), &holder)) {
			kckpt_fail(ctx, obj, KCKPT_E_PIPE_OUTSIDE, 0, "by pid %d (%s), fd %d", holder.pid,
				   holder.comm, holder.fd);
			return 0;
		}
		msleep(1);
	}
	kckpt_fail(ctx, obj, KCKPT_E_PIPE_OUTSIDE, 0, "by the kernel, a message in flight, or an open() that waits");
	return 0;
}

struct pipe_bytes {
	struct kckpt_ctx *ctx;
	struct kckpt_object *obj;
	u8 *data;
	size_t len;
	u32 nr_records, nr_slots;
};

/* One record of what was gathered; without @write they are only counted. */
static int pipe_flush(struct pipe_bytes *bytes, bool packet, bool write)
{
	struct kckpt_pipe_data_rec rec = { .len = bytes->len, .packet = packet };
	int err = 0;

	if (!bytes->len)
		return 0;
	if (write)
		err = kckpt_put(bytes->ctx, bytes->obj, KCKPT_K_pipe_data, &rec, sizeof(rec), bytes->data, bytes->len);
	bytes->nr_records++;
	bytes->nr_slots += DIV_ROUND_UP(bytes->len, PAGE_SIZE);
	bytes->len = 0;
	return err;
}

/* A buffer is at most a page, but one spliced from a socket may be many. */
static int pipe_gather(struct pipe_bytes *bytes, struct pipe_inode_info *pipe, struct pipe_buffer *buf, bool write)
{
	bool packet = buf->flags & PIPE_BUF_FLAG_PACKET;
	size_t at, part;
	int err = packet ? pipe_flush(bytes, false, write) : 0;

	if (!err)
		err = pipe_buf_confirm(pipe, buf);
	for (at = 0; at < buf->len && !err; at += part) {
		part = min_t(size_t, buf->len - at, PIPE_RECORD - bytes->len);
		if (write)
			memcpy(bytes->data + bytes->len, page_address(buf->page) + buf->offset + at, part);
		bytes->len += part;
		if (bytes->len == PIPE_RECORD)
			err = pipe_flush(bytes, packet, write);
	}
	return !err && packet ? pipe_flush(bytes, true, write) : err;
}

/* Under pipe->mutex. */
static int pipe_walk(struct pipe_bytes *bytes, struct pipe_inode_info *pipe, bool write)
{
	unsigned int slot;
	int err = 0;

	bytes->nr_records = bytes->nr_slots = 0;
	for (slot = pipe->tail; slot != pipe->head && !err; slot++)
		err = pipe_gather(bytes, pipe, &pipe->bufs[slot & (pipe->ring_size - 1)], write);
	return err ?: pipe_flush(bytes, false, write);
}

static int pipe_dump_locked(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct pipe_bytes *bytes)
{
	struct pipe_inode_info *pipe = pipe_of(obj);
	struct kckpt_pipe_rec rec = {
		.max_usage = pipe->max_usage,
		.path = kckpt_file_via(ctx, obj->file),
	};
	int err = pipe_walk(bytes, pipe, false);

	if (err)
		return err;
	rec.nr_data = bytes->nr_records;
	/* What was spliced in may be more than the ring holds in pages of its own. */
	rec.max_usage = max(rec.max_usage, roundup_pow_of_two(bytes->nr_slots ?: 1));
	return kckpt_put(ctx, obj, KCKPT_K_pipe, &rec, sizeof(rec), NULL, 0) ?: pipe_walk(bytes, pipe, true);
}

static int pipe_dump(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct pipe_bytes bytes = { .ctx = ctx, .obj = obj, .data = kckpt_alloc(PIPE_RECORD) };
	struct pipe_inode_info *pipe = pipe_of(obj);
	int err;

	if (!bytes.data)
		return kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, 0, "pipe");
	if (mutex_lock_killable(&pipe->mutex)) {
		err = kckpt_fail(ctx, obj, KCKPT_E_INTERRUPTED, 0, "pipe");
	} else {
		err = pipe_dump_locked(ctx, obj, &bytes);
		mutex_unlock(&pipe->mutex);
		if (err && !ctx->report.total)
			kckpt_fail(ctx, obj, KCKPT_E_PIPE_STATE, err, "unreadable contents");
	}
	kvfree(bytes.data);
	return err;
}

/*
 * ---- restore: the two files of a fresh pipe are kept to fill it, or one for both directions if it has a name. The
 * job's own are opened on it meanwhile, so that none has to wait for its other end. ----
 */

static void pipe_release(struct kckpt_object *obj)
{
	if (obj->made)
		fput(obj->made);
	if (obj->made2)
		fput(obj->made2);
}

static int pipe_rec(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct kckpt_pipe_rec *rec)
{
	return kckpt_rec_only(ctx, obj, KCKPT_K_pipe, rec, sizeof(*rec), NULL, 0, NULL);
}

static int pipe_in_use(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	return kckpt_fail(ctx, obj, KCKPT_E_PIPE_OUTSIDE, 0, "a named pipe that is in use already");
}

/* The bytes of others are not to be mixed with ours. */
static int pipe_check_path(struct kckpt_ctx *ctx, struct kckpt_object *obj, u64 id)
{
	struct kckpt_object *path_obj = kckpt_objtab_get(&ctx->objs, id);
	struct path path;

	/* Nobody has what was deleted. */
	if (path_obj && path_obj->family == KCKPT_F_ghost)
		return 0;
	if (!kckpt_ref(ctx, obj, id, KCKPT_F_path))
		return -EBADMSG;
	if (kckpt_path_find(ctx, path_obj, &path))
		return 0;
	if (S_ISFIFO(d_inode(path.dentry)->i_mode) && READ_ONCE(d_inode(path.dentry)->i_pipe))
		pipe_in_use(ctx, obj);
	path_put(&path);
	return 0;
}

static int pipe_check(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_pipe_data_rec data;
	const struct kckpt_rec *rec;
	struct kckpt_pipe_rec pipe;
	const void *tail;
	u64 slots = 0;
	u32 nr = 0;
	int err = pipe_rec(ctx, obj, &pipe);

	if (err)
		return err;
	kckpt_for_each_rec(rec, obj, KCKPT_K_pipe_data) {
		err = kckpt_rec_get(ctx, obj, rec, &data, sizeof(data), &data.len, 1, &tail);
		if (err)
			return err;
		if (!data.len || data.packet > 1 || (data.packet && data.len > PAGE_SIZE))
			return kckpt_bad_image(ctx, obj, "pipe contents");
		slots += DIV_ROUND_UP(data.len, PAGE_SIZE);
		nr++;
	}
	if (!pipe.max_usage || pipe.max_usage > PIPE_MAX_SLOTS || slots > pipe.max_usage || nr != pipe.nr_data)
		return kckpt_bad_image(ctx, obj, "pipe");
	return pipe.path ? pipe_check_path(ctx, obj, pipe.path) : 0;
}

/* A packet that follows must not be merged into these bytes, which may have been spliced and not merge at all. */
static void pipe_seal_last(struct pipe_inode_info *pipe)
{
	mutex_lock(&pipe->mutex);
	pipe->bufs[(pipe->head - 1) & (pipe->ring_size - 1)].flags &= ~PIPE_BUF_FLAG_CAN_MERGE;
	mutex_unlock(&pipe->mutex);
}

static int pipe_fill(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct file *end)
{
	struct kckpt_pipe_data_rec data;
	const struct kckpt_rec *rec;
	const void *tail;
	ssize_t n;
	int err;

	kckpt_for_each_rec(rec, obj, KCKPT_K_pipe_data) {
		err = kckpt_rec_get(ctx, obj, rec, &data, sizeof(data), &data.len, 1, &tail);
		if (err)
			return err;
		/* Nobody else has this file yet, so its flags are ours. */
		end->f_flags = O_WRONLY | O_NONBLOCK | (data.packet ? O_DIRECT : 0);
		n = kckpt_should_fail() ? -ENOMEM : kernel_write(end, tail, data.len, NULL);
		if (n != data.len)
			return kckpt_fail(ctx, obj, KCKPT_E_CREATE, n < 0 ? n : -EAGAIN, "contents of a pipe");
		pipe_seal_last(kcall(get_pipe_info)(end, false));
	}
	return 0;
}

static int pipe_make_unnamed(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct file *ends[2];
	int err = kckpt_should_fail() ? -ENFILE : kcall(create_pipe_files)(ends, 0);

	if (err)
		return kckpt_fail(ctx, obj, KCKPT_E_CREATE, err, "pipe");
	obj->made = ends[0];
	obj->made2 = ends[1];
	return 0;
}

/* By its path, or as what was deleted there. */
static struct file *pipe_open_by(struct kckpt_ctx *ctx, u64 id, u32 open_flags, u32 file_flags)
{
	const struct kckpt_file_rec rec = { .open_flags = open_flags, .file_flags = file_flags };
	struct kckpt_object *obj = kckpt_objtab_get(&ctx->objs, id);

	return kckpt_family(obj->family)->open(ctx, obj, &rec);
}

/* For both directions, which waits for nobody. */
static int pipe_make_named(struct kckpt_ctx *ctx, struct kckpt_object *obj, u64 id)
{
	struct file *file = pipe_open_by(ctx, id, O_RDWR | O_NONBLOCK, 0);
	struct pipe_inode_info *pipe;

	if (IS_ERR(file))
		return PTR_ERR(file);
	obj->made = file;
	pipe = kcall(get_pipe_info)(file, false);
	if (!pipe)
		return kckpt_fail(ctx, obj, KCKPT_E_FILE_CHANGED, 0, "it is no named pipe any more");
	return READ_ONCE(pipe->files) == 1 ? 0 : pipe_in_use(ctx, obj);
}

static int pipe_restore(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_pipe_rec rec;
	struct file *end;
	long size;
	int err = pipe_rec(ctx, obj, &rec) ?:
		  (rec.path ? pipe_make_named(ctx, obj, rec.path) : pipe_make_unnamed(ctx, obj));

	if (err)
		return err;
	end = obj->made2 ?: obj->made;
	size = kckpt_should_fail() ? -EPERM : kcall(pipe_fcntl)(end, F_SETPIPE_SZ, rec.max_usage * PAGE_SIZE);
	if (size < rec.max_usage * PAGE_SIZE)
		return kckpt_fail(ctx, obj, KCKPT_E_CREATE, size < 0 ? size : -EPERM, "pipe of %u pages",
				  rec.max_usage);
	return pipe_fill(ctx, obj, end);
}

/* Packets are O_DIRECT, which opening takes for direct I/O; obj_file.c sets it. */
static struct file *pipe_open_end(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_file_rec *rec)
{
	u32 flags = rec->open_flags & ~O_DIRECT;
	struct file *file;

	if (rec->via)
		return pipe_open_by(ctx, rec->via, flags, rec->file_flags);
	file = kckpt_should_fail() ? ERR_PTR(-ENFILE) :
				     dentry_open(&((struct file *)obj->made)->f_path, flags, current_cred());
	if (IS_ERR(file))
		kckpt_fail(ctx, obj, KCKPT_E_CREATE, PTR_ERR(file), "end of a pipe");
	return file;
}

static struct file *pipe_open(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_file_rec *rec)
{
	struct pipe_inode_info *pipe;
	struct file *file;
	int err = kckpt_make(ctx, obj);

	if (err)
		return ERR_PTR(err);
	file = pipe_open_end(ctx, obj, rec);
	if (IS_ERR(file))
		return file;
	pipe = kcall(get_pipe_info)(obj->made, false);
	if (kcall(get_pipe_info)(file, false) != pipe) {
		fput(file);
		return ERR_PTR(kckpt_fail(ctx, obj, KCKPT_E_FILE_CHANGED, 0, "it is another pipe"));
	}
	if (rec->file_flags & KCKPT_FILE_NO_WRITER)
		kckpt_pipe_seen(file) = pipe->w_counter;
	return file;
}

const struct kckpt_family_ops kckpt_pipe_ops = {
	.name = "pipe", .outside = KCKPT_E_PIPE_OUTSIDE, .named = true,
	.claims = pipe_claims, .key = pipe_key, .file_flags = pipe_file_flags,
	.collect = pipe_collect, .closed = pipe_closed, .dump = pipe_dump,
	.check = pipe_check, .restore = pipe_restore, .open = pipe_open,
	.release = pipe_release,
};
