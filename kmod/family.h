/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a family of kernel objects has to do, and what it may use for that. docs/adding-a-family.md walks
 * through an example.
 */
#ifndef KCKPT_FAMILY_H
#define KCKPT_FAMILY_H

#include <linux/cred.h>
#include <linux/jiffies.h>
#include <linux/path.h>
#include <kckpt/image.h>
#include <kckpt/uapi.h>

#include "objtab.h"
#include "outside.h"
#include "pages.h"
#include "recbuf.h"

/* What the verbs of one dump or one restore work on; part of the session. */
struct kckpt_ctx {
	struct kckpt_objtab objs;
	struct kckpt_report_list report;

	/* of the caller that opened the session */
	struct pid_namespace *pidns;
	const struct cred *cred;
	struct path root;

	struct kckpt_inherit *inherit;	/* descriptors of the outside */
	u32 nr_inherit;
	struct file **inherit_files;	/* dump: the job's file; restore: the caller's */
	struct kckpt_outside outside;

	unsigned long progress;		/* jiffies of the last request, byte or object; for the watchdog */

	/* dump */
	u32 capture_flags;		/* KCKPT_CAPTURE_* */
	struct cgroup *cgrp;
	struct cgroup **cgroups;	/* it and those below it, with references; see freeze.h */
	u32 nr_cgroups;
	const void *outside_group[2];	/* process group and session of the outside that were met last */
	struct kckpt_recbuf records;
	u64 nr_records;
	u32 nr_tasks;
	u64 nr_pages;			/* estimate */
	struct kckpt_share *share;	/* pages that address spaces have in common; NULL: there is just one */
	struct kckpt_snapshot *parent;	/* what the image builds on; NULL: it is a whole one */
	bool no_wait;			/* a worker looks for pages, and is not to wait for others; see KCKPT_WAITS */
	bool stop;			/* nor to go on */

	/* both */
	u32 kept;			/* KCKPT_KEPT_*: is the memory kept as it is in the image? */
	u64 cgroup_id;
	u8 image[16];			/* UUID of it */
	u64 image_digest;		/* of the records */

	/* restore */
	u32 flags;			/* KCKPT_INSTANTIATE_* */
	s64 monotonic_shift;		/* what to add to a time of the dump's CLOCK_MONOTONIC, ns */
	s64 boottime_shift;		/* both from the commit on */
	bool has_locks;
	bool traps;			/* is anybody stopped, or has ended? Then the tasks go by way of the freezer */
	struct kckpt_crew *crew;
	struct kckpt_object *roots;	/* processes whose parent is the caller */
	struct path cgroup_path;	/* folder of the job's cgroup */
};

/*
 * The verbs. A dump calls collect for every object (new ones may appear meanwhile), closed for every object when
 * all are known, dump for every object if no blocker was reported. The job is frozen but the usual locks and
 * references are taken: anybody may kill or thaw it. A restore calls check for every object before anything is
 * created; then each process, in its own context, restores what it refers to.
 *
 * A verb returns 0 or a negative errno after kckpt_fail(). collect and closed report a blocker and return 0, so that
 * the walk goes on; what they return ends it.
 */
struct kckpt_family_ops {
	const char *name;
	void (*put)(void *ptr);				/* drop the reference of a dump */
	u32 outside;	/* the error if somebody outside holds an open file on it, too; 0: that does no harm */
	bool named;	/* an open file on it may have a path, too: the family path keeps it as `via` of the file */
	bool (*claims)(struct file *file);		/* is this file one of mine? no side effects */
	const void *(*key)(struct file *file);		/* the object behind it; default: the file */
	u32 (*file_flags)(struct file *file);		/* KCKPT_FILE_* that only it knows of an open file */
	int (*collect)(struct kckpt_ctx *ctx, struct kckpt_object *obj);
	int (*closed)(struct kckpt_ctx *ctx, struct kckpt_object *obj);
	int (*dump)(struct kckpt_ctx *ctx, struct kckpt_object *obj);
	int (*check)(struct kckpt_ctx *ctx, struct kckpt_object *obj);
	int (*restore)(struct kckpt_ctx *ctx, struct kckpt_object *obj);
	/* restore, for families that claim files: a reference to an open file on @obj for the file record @rec */
	struct file *(*open)(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_file_rec *rec);
	void (*release)(struct kckpt_object *obj);	/* drop what restore made */
	/* For families with pages; see pages.h. Addresses are the family's own. */
	int (*pages_find)(struct kckpt_ctx *ctx, struct kckpt_object *obj, unsigned long *addr,
			  struct kckpt_batch *batch);
	int (*pages_pin)(struct kckpt_ctx *ctx, struct kckpt_object *obj, unsigned long addr, u32 nr, bool huge,
			 struct page **pages);
	/* For families that only lend pages to be filled: they are, take them. And: all pages of the image are in. */
	int (*pages_write)(struct kckpt_ctx *ctx, struct kckpt_object *obj, unsigned long addr, u32 nr,
			   struct page **pages);
	int (*pages_end)(struct kckpt_ctx *ctx, struct kckpt_object *obj);
};

#define KCKPT_FAMILY(name, id, title) extern const struct kckpt_family_ops kckpt_##name##_ops;
#include <kckpt/families.def>
#undef KCKPT_FAMILY

/* kckpt_capture_task() - dump: a task that belongs to the job; see capture.c. Counted once, however often met. */
int kckpt_capture_task(struct kckpt_ctx *ctx, struct task_struct *task);

static inline void kckpt_progress(struct kckpt_ctx *ctx)
{
	WRITE_ONCE(ctx->progress, jiffies);
}

/* kckpt_family() - the verbs of a family, NULL for an id that this module does not know. */
const struct kckpt_family_ops *kckpt_family(u32 id);

/* kckpt_family_lacks() - what keeps a family from working on this kernel, or NULL. */
const char *kckpt_family_lacks(u32 id);

/* kckpt_family_check() - 0, or after a report the errno: this kernel and the family of @obj do not fit together. */
int kckpt_family_check(struct kckpt_ctx *ctx, const struct kckpt_object *obj);

/* kckpt_family_of_file() - the family that claims @file, or 0. */
u32 kckpt_family_of_file(struct file *file);

/*
 * kckpt_fail() - add a fact to the report. @obj: what it is about, may be NULL; @code: KCKPT_E_*; @err: the errno
 * behind it, 0 for the usual one of @code. Returns the errno, negative.
 */
__printf(5, 6)
int kckpt_fail(struct kckpt_ctx *ctx, const struct kckpt_object *obj, u32 code, int err, const char *fmt, ...);

/*
 * kckpt_intern() - the object for @ptr, made when it is met for the first time; counts the meeting. Takes over the
 * caller's reference on @ptr, also when it fails. @where is kept for a new one. Sets *@id unless NULL.
 */
struct kckpt_object *kckpt_intern(struct kckpt_ctx *ctx, u32 family, const void *ptr,
				  const struct kckpt_where *where);

/* kckpt_intern_file() - the same for an open file, by the family `file`. */
struct kckpt_object *kckpt_intern_file(struct kckpt_ctx *ctx, struct file *file, const struct kckpt_where *where);

/* kckpt_id_of() - id of what was interned before, 0 if it was not. */
u64 kckpt_id_of(struct kckpt_ctx *ctx, u32 family, const void *ptr);

/* kckpt_put() - write a record: @rec and then @tail, which may be NULL. */
int kckpt_put(struct kckpt_ctx *ctx, const struct kckpt_object *obj, u16 kind, const void *rec, size_t size,
	      const void *tail, size_t tail_len);

/* Records of an object, in the order of the image. */
const struct kckpt_rec *kckpt_rec_next(const struct kckpt_object *obj, u16 kind, const struct kckpt_rec *after);
#define kckpt_for_each_rec(rec, obj, kind) \
	for ((rec) = kckpt_rec_next(obj, kind, NULL); (rec); (rec) = kckpt_rec_next(obj, kind, rec))

/*
 * kckpt_rec_get() - the fields of @rec by the size rule of image.h, and the tail of *@tail_nr items of @tail_unit bytes
 * (@tail_nr points into @dst; NULL: no tail).
 */
int kckpt_rec_get(struct kckpt_ctx *ctx, const struct kckpt_object *obj, const struct kckpt_rec *rec, void *dst,
		  size_t size, const u32 *tail_nr, u32 tail_unit, const void **tail);

/* kckpt_rec_only() - kckpt_rec_get() of the one record of that kind that the object must have. */
int kckpt_rec_only(struct kckpt_ctx *ctx, const struct kckpt_object *obj, u16 kind, void *dst, size_t size,
		   const u32 *tail_nr, u32 tail_unit, const void **tail);

/*
 * kckpt_rec_keep() - the same without a tail, kept in @obj->fields for all who look at them later: where they are,
 * unless the record is shorter. By who checks the records, one after the other. 0, or after a report a negative errno.
 */
int kckpt_rec_keep(struct kckpt_ctx *ctx, struct kckpt_object *obj, u16 kind, size_t size);

/* kckpt_rec_path() - a tail as a path: copied, NUL-terminated, absolute; free with kfree(). */
char *kckpt_rec_path(struct kckpt_ctx *ctx, const struct kckpt_object *obj, const void *tail, u32 len);

/* kckpt_ref() - the object that a record refers to; reports and returns NULL if it is not one of @family. */
struct kckpt_object *kckpt_ref(struct kckpt_ctx *ctx, const struct kckpt_object *from, u64 id, u32 family);

/*
 * kckpt_make_shared() - restore @obj, which any task may need, if nobody has yet. kckpt_make() - the same under
 * objs.make_lock, by others that are made under it. Who uses numbers of the descriptor table of the task, which others
 * may share, does so under that lock.
 */
int kckpt_make_shared(struct kckpt_ctx *ctx, struct kckpt_object *obj);
int kckpt_make(struct kckpt_ctx *ctx, struct kckpt_object *obj);

/* kckpt_make_own() - restore object @id if @creator is who makes it, and has not yet; 0 is no object. */
int kckpt_make_own(struct kckpt_ctx *ctx, const struct kckpt_object *creator, u64 id);

/*
 * kckpt_path() - @path as the job sees it, in @buf of PATH_MAX bytes. Reports a blocker and returns NULL if it
 * was deleted or cannot be reached.
 */
char *kckpt_path(struct kckpt_ctx *ctx, const struct kckpt_object *obj, const struct path *path, char *buf);

/* kckpt_path_of_deleted() - the same, of what may have been deleted: the path that it had. */
char *kckpt_path_of_deleted(struct kckpt_ctx *ctx, const struct kckpt_object *obj, const struct path *path, char *buf);

/* kckpt_bad_image() - IMAGE_RECORD for @obj. */
#define kckpt_bad_image(ctx, obj, fmt, ...) kckpt_fail(ctx, obj, KCKPT_E_IMAGE_RECORD, 0, fmt, ##__VA_ARGS__)

#endif
