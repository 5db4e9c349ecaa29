/* SPDX-License-Identifier: GPL-2.0 */
/* The stream of a dump. Knows records and pages, no tasks. */
#ifndef KCKPT_SAVE_H
#define KCKPT_SAVE_H

#include <linux/completion.h>

#include "pages.h"
#include "sink.h"
#include "stream.h"

struct kckpt_ctx;

enum kckpt_save_phase { KCKPT_SAVE_RECORDS, KCKPT_SAVE_PAGES, KCKPT_SAVE_TAIL, KCKPT_SAVE_DONE };

struct kckpt_save {
	enum kckpt_save_phase phase;
	struct kckpt_stream stream;
	struct kckpt_recbuf_cursor cursor;
	struct kckpt_recbuf index, tail;
	u64 nr_rows;
	u64 nr_pages, nr_zero, nr_parent, nr_unchanged;
	int err;			/* what failed once fails for ever: the stream has a hole */
	bool asked_for_end, ends_quietly; /* kckpt_kill_is_quiet() was, and what it said */

	bool begun;
	struct kckpt_object *source;	/* whose pages are being saved; NULL: before the first or after the last */
	unsigned long addr;		/* next address of it */
	struct kckpt_batch batch;
	u32 page_at;			/* page of the batch that comes next */
	bool has_pages;			/* they are all in the stream */
	struct kckpt_sink sink;		/* of the request that is under way */

	struct work_struct ahead;	/* fills while the sink takes; only within a request */
	struct completion ahead_done;
	struct kckpt_ctx *ctx;		/* of that; NULL: nothing was given to a worker */
};

struct kckpt_save *kckpt_save_alloc(void);
void kckpt_save_free(struct kckpt_save *save);

/* kckpt_save_begin() - put the header in front of the records that the dump verbs are going to write. */
int kckpt_save_begin(struct kckpt_ctx *ctx);

/* kckpt_save_records_end() - all records are written: index them, add the end record. */
int kckpt_save_records_end(struct kckpt_ctx *ctx, struct kckpt_save *save);

/*
 * kckpt_save_fill() - at least the next chunk of the stream, unless it ends before. Stops before the tail; when all
 * before it was taken, with *@at_tail set, so that the caller can look whether the job is still what it was; called
 * again, it goes on. 0 or a negative errno, which stays.
 */
int kckpt_save_fill(struct kckpt_ctx *ctx, struct kckpt_save *save, bool *at_tail);

/*
 * kckpt_save_ahead() - have a worker make the chunk of the stream after those that are there, as far as nobody has to
 * be waited for. Until kckpt_save_join(), nothing of the save or of the context may be touched but chunks that are
 * there and the sink. An error is reported at once, and returned by the next fill. For the few pages that the worker
 * allocates for a chunk nobody is charged: it could not be killed for that.
 */
void kckpt_save_ahead(struct kckpt_ctx *ctx, struct kckpt_save *save);
void kckpt_save_join(struct kckpt_save *save);

#endif
