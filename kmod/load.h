/* SPDX-License-Identifier: GPL-2.0 */
/* The stream of a restore, as write() brings it. Knows records and pages, no tasks. */
#ifndef KCKPT_LOAD_H
#define KCKPT_LOAD_H

#include <linux/uio.h>
#include <kckpt/image.h>

#include "ahead.h"
#include "share.h"
#include "stream.h"

struct kckpt_ctx;
struct kckpt_object;

enum kckpt_load_phase {
	KCKPT_LOAD_HEADER,
	KCKPT_LOAD_RECORD,	/* a record's header */
	KCKPT_LOAD_PAYLOAD,	/* and the padding after it */
	KCKPT_LOAD_SKIP,	/* payload that only the digests see */
	KCKPT_LOAD_DATA_PAD,	/* zeros up to a page */
	KCKPT_LOAD_DATA,
	KCKPT_LOAD_DONE,
};

#define KCKPT_LOAD_PIN 64	/* pages pinned at once; a huge page is filled in steps of these */

struct kckpt_load {
	enum kckpt_load_phase phase;
	struct kckpt_stream stream;
	u64 digests_at, index_at;	/* where these records were found; 0: not yet */
	u64 nr_records;
	struct xxh64_state body;	/* of the records without the header, as the parent of an image is told by */
	u64 before;		/* root digest without the record being read */
	bool records_done;		/* the end record was met, and is right */
	bool go_on;			/* the session let the pages come */
	int err;			/* sticky */

	union {
		struct kckpt_header header;
		struct kckpt_record head;
	};
	u32 have;			/* bytes of what is being read */
	u64 skip;
	struct kckpt_rec *rec;		/* being read; or of the current batch */
	struct kckpt_object *last;	/* the object that records belong to now */

	/* the current batch */
	struct kckpt_object *target;
	const struct kckpt_page_run *runs;
	u32 nr_runs, run_at, page_at;	/* run, and page in it, to be filled next */
	unsigned long pin_addr;		/* of the first page pinned */
	u32 nr_pinned, pin_at, byte_at;	/* of as many runs as they are */
	bool pin_zero;			/* they are to be cleared */
	struct page *pinned[KCKPT_LOAD_PIN];
	u64 nr_pages, nr_zero;

	struct kckpt_object *shared;	/* whose rows of shared pages are being collected; NULL: nobody's */
	struct kckpt_share_rows shares;
	void *scratch;			/* dry run: where page data goes */
	void *buffer;			/* of what is read from a file, and is not page data */
	struct kckpt_ahead ahead;
};

/* kckpt_run_sane() - within what a process can have, no unknown flags. */
bool kckpt_run_sane(const struct kckpt_page_run *run);

struct kckpt_load *kckpt_load_alloc(void);
void kckpt_load_free(struct kckpt_load *load);

/*
 * kckpt_load_write() - takes the next bytes. Stops behind the end record until load->go_on is set. Bytes taken, 0 when
 * stopped there, or a negative errno.
 */
ssize_t kckpt_load_write(struct kckpt_ctx *ctx, struct kckpt_load *load, struct iov_iter *from);

/*
 * kckpt_load_file() - the same from @file at *@pos, which moves on; pages are read to where they belong. Up to @max
 * bytes. 0 at the end of the file, and where kckpt_load_write() stops.
 */
ssize_t kckpt_load_file(struct kckpt_ctx *ctx, struct kckpt_load *load, struct file *file, loff_t *pos, u64 max);

/* kckpt_load_check_limit() - is all that is kept of the records within what an image may have? Reports if not. */
int kckpt_load_check_limit(struct kckpt_ctx *ctx);

/* kckpt_load_complete() - 0 if the whole image was taken and is right, else a reported error. */
int kckpt_load_complete(struct kckpt_ctx *ctx, struct kckpt_load *load);

#endif
