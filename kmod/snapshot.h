/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The memory of a job as an image has it, kept after the image was read: what the job has not written to since need not
 * be in the next image.
 *
 * A snapshot belongs to the session that made it until that hands it over (KCKPT_IOC_RETAIN). Then it is the module's:
 * one for each cgroup, until the next one takes its place, somebody forgets it, all of its processes are gone, the old
 * copies take memory that the job needs, or the module is unloaded. It holds nothing of the job but these copies.
 */
#ifndef KCKPT_SNAPSHOT_H
#define KCKPT_SNAPSHOT_H

#include <linux/kref.h>
#include <linux/list.h>
#include <linux/types.h>

#include "blocks.h"

struct kckpt_ctx;
struct kckpt_watch;
struct mm_struct;

#define KCKPT_MAX_LAYERS 16

/*
 * One address space of it. Its *layers* have the pages as they were, never changed but by reclaim and migration. The
 * first one, made for this snapshot, has all that was changed since the one before; of what is also in older ones the
 * watch tells which. Without a watch there is one layer.
 */
struct kckpt_snapshot_mm {
	struct mm_struct *of;	/* whose it is: not to be used, but no other one is at this address */
	u64 object;		/* id in the image */
	struct kckpt_watch *watch;	/* NULL: which blocks are unchanged is not known */
	struct mm_struct *layers[KCKPT_MAX_LAYERS];
	u32 nr_layers;
	struct kckpt_block_list carried;	/* until it is retained: what it has in layers of its base */
	struct kckpt_block_list trimmed;	/* when another one took its place: what that has of its layers */
};

struct kckpt_snapshot {
	struct kref ref;
	struct list_head node;	/* of those the module has, under their lock */
	u64 cgroup;		/* id of it, which never comes again */
	u8 image[16];		/* UUID */
	u64 digest;		/* of its records */
	bool open;		/* a session builds on it; under the lock */
	struct kckpt_snapshot *base;	/* until it is retained: what it builds on, open for it; NULL: on nothing */
	u32 nr;
	struct kckpt_snapshot_mm mms[];
};

/* kckpt_snapshot_make() - of what @ctx keeps, which it then has no longer. NULL: no memory for it. */
struct kckpt_snapshot *kckpt_snapshot_make(struct kckpt_ctx *ctx);

/* kckpt_snapshot_put() - drop a reference; may sleep. NULL is allowed. */
void kckpt_snapshot_put(struct kckpt_snapshot *snapshot);

/*
 * Dump. kckpt_snapshot_open() - the image is to build on @parent, a UUID; it is @ctx's alone until
 * kckpt_snapshot_close(), since what takes its place takes over parts of it. kckpt_snapshot_match() - tell each address
 * space what it has of it.
 */
int kckpt_snapshot_open(struct kckpt_ctx *ctx, const u8 *parent);
void kckpt_snapshot_close(struct kckpt_ctx *ctx);
int kckpt_snapshot_match(struct kckpt_ctx *ctx);

/*
 * kckpt_snapshot_retain() - the module has it now, in place of the one of the same cgroup; takes the reference. Locks
 * the memory of the job to look at what it has; no locks are held.
 */
void kckpt_snapshot_retain(struct kckpt_snapshot *snapshot);

/* kckpt_snapshot_settle() - wait until those are freed whose place was taken. */
void kckpt_snapshot_settle(void);

/* kckpt_snapshot_forget() - drop that of a cgroup; 0: all. Returns how many. */
u32 kckpt_snapshot_forget(u64 cgroup);

void kckpt_snapshots_exit(void);

#endif
