// SPDX-License-Identifier: GPL-2.0
/*
 * Locks on files: POSIX record locks, which belong to a descriptor table (in practice a process), and those of open
 * files (F_OFD_SETLK, flock). Each is found by the open file that set it and taken again by the kernel's own functions,
 * when all processes are there and before any of them runs. Somebody may have taken a lock in between: then the
 * restore fails. Who waits for a lock is in a system call that is begun anew.
 *
 * The object's pointer is its record, made when the lock was found: the lock itself may go at any time.
 *
 * Refused: locks of open files that are also held outside (they would stay there). Leases: family `lease`.
 * Not saved: who set a lock of an open file, if not its owner (/proc/locks shows the restorer of it).
 */
#include <linux/file.h>

#include "compat/file.h"
#include "compat/lock.h"
#include "family.h"
#include "fault.h"
#include "holders.h"
#include "obj_files.h"
#include "obj_lock.h"

static void lock_put(void *ptr)
{
	kvfree(ptr);
}

static const char *lock_type_name(const struct kckpt_lock_rec *rec)
{
	return rec->lock_flags & KCKPT_LOCK_WRITE ? "exclusive" : "shared";
}

/* ---- dump ---- */

static void lock_describe(struct kckpt_ctx *ctx, const struct file_lock *lock, struct kckpt_lock_rec *rec)
{
	*rec = (struct kckpt_lock_rec){
		.start = lock->fl_start, .end = lock->fl_end,
		.lock_kind = kckpt_fl(lock, flags) & FL_FLOCK ? KCKPT_LOCK_FLOCK :
			     kckpt_fl(lock, flags) & FL_OFDLCK ? KCKPT_LOCK_OFD : KCKPT_LOCK_POSIX,
		.lock_flags = kckpt_fl(lock, type) == F_WRLCK ? KCKPT_LOCK_WRITE : 0,
	};
	if (rec->lock_kind == KCKPT_LOCK_POSIX)
		rec->owner = kckpt_id_of(ctx, KCKPT_F_files, kckpt_fl(lock, owner));
}

/*
 * The locks in @list that were set by @file, and are the job's: those of a descriptor table that it has, and those of
 * the file itself. At most @room; returns how many there are.
 */
static u32 lock_list(struct kckpt_ctx *ctx, struct list_head *list, const struct file *file, bool posix_only,
		     struct kckpt_lock_rec *recs, u32 room)
{
	struct kckpt_lock_rec rec;
	struct file_lock *lock;
	u32 nr = 0;

	kckpt_for_each_lock(lock, list) {
		if (kckpt_fl(lock, file) != file)
			continue;
		lock_describe(ctx, lock, &rec);
		if (rec.lock_kind == KCKPT_LOCK_POSIX ? !rec.owner : posix_only)
			continue;
		if (nr < room)
			recs[nr] = rec;
		nr++;
	}
	return nr;
}

static u32 lock_list_all(struct kckpt_ctx *ctx, const struct file *file, bool posix_only, struct kckpt_lock_rec *recs,
			 u32 room)
{
	struct file_lock_context *locks = kckpt_lock_context(file_inode(file));
	u32 nr;

	if (!locks)
		return 0;
	spin_lock(&locks->flc_lock);
	nr = lock_list(ctx, &locks->flc_posix, file, posix_only, recs, room);
	nr += lock_list(ctx, &locks->flc_flock, file, posix_only, recs + min(nr, room), room - min(nr, room));
	spin_unlock(&locks->flc_lock);
	return nr;
}

static bool lock_same_file(struct file *file, const void *data)
{
	return file == data;
}

/* A count that is too high for a moment is a reader of /proc; only a process is a blocker. */
void kckpt_lock_check_shared(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct file *file = obj->ptr;
	struct kckpt_where where;

	if (kckpt_file_count(file) > obj->seen + 1 && kckpt_find_holder(ctx, lock_same_file, file, &where))
		kckpt_fail(ctx, obj, KCKPT_E_LOCK_SHARED, 0, "%pD4, by pid %d (%s), fd %d", file, where.pid, where.comm,
			   where.fd);
}

static int lock_intern(struct kckpt_ctx *ctx, struct kckpt_object *file, const struct kckpt_lock_rec *rec)
{
	struct kckpt_lock_rec *copy = kckpt_alloc(sizeof(*copy));

	if (!copy)
		return kckpt_fail(ctx, file, KCKPT_E_NO_MEMORY, 0, "lock");
	*copy = *rec;
	copy->file = file->id;
	return PTR_ERR_OR_ZERO(kckpt_intern(ctx, KCKPT_F_lock, copy, &file->where));
}

int kckpt_lock_collect(struct kckpt_ctx *ctx, struct kckpt_object *file, bool inherited)
{
	u32 nr = lock_list_all(ctx, file->ptr, inherited, NULL, 0), i;
	struct kckpt_lock_rec *recs;
	bool of_file = false;
	int err = 0;

	if (!nr)
		return 0;
	recs = kckpt_alloc(nr * sizeof(*recs));
	if (!recs)
		return kckpt_fail(ctx, file, KCKPT_E_NO_MEMORY, 0, "%u locks", nr);
	if (lock_list_all(ctx, file->ptr, inherited, recs, nr) != nr)
		err = kckpt_fail(ctx, file, KCKPT_E_JOB_MOVED, 0, "a lock came or went");
	for (i = 0; i < nr && !err; i++) {
		of_file |= recs[i].lock_kind != KCKPT_LOCK_POSIX;
		err = lock_intern(ctx, file, &recs[i]);
	}
	if (of_file && !err)
		kckpt_lock_check_shared(ctx, file);
	kvfree(recs);
	return err;
}

static int lock_dump(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	return kckpt_put(ctx, obj, KCKPT_K_lock, obj->ptr, sizeof(struct kckpt_lock_rec), NULL, 0);
}

/* ---- restore ---- */

static int lock_rec(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct kckpt_lock_rec *rec)
{
	return kckpt_rec_only(ctx, obj, KCKPT_K_lock, rec, sizeof(*rec), NULL, 0, NULL);
}

static int lock_check(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_lock_rec rec;
	int err = lock_rec(ctx, obj, &rec);
	bool owned;

	if (err)
		return err;
	owned = rec.lock_kind == KCKPT_LOCK_POSIX;
	if (rec.start > rec.end || rec.end > OFFSET_MAX || rec.lock_flags & ~KCKPT_LOCK_WRITE ||
	    rec.lock_kind < KCKPT_LOCK_POSIX || rec.lock_kind > KCKPT_LOCK_FLOCK ||
	    owned == !rec.owner)
		return kckpt_bad_image(ctx, obj, "lock of bytes %llu to %llu", rec.start, rec.end);
	if (!kckpt_ref(ctx, obj, rec.file, KCKPT_F_file) ||
	    (rec.owner && !kckpt_ref(ctx, obj, rec.owner, KCKPT_F_files)))
		return -EBADMSG;
	ctx->has_locks = true;
	return 0;
}

static void lock_fill(struct file_lock *lock, struct file *file, const struct kckpt_lock_rec *rec)
{
	lock->fl_start = rec->start;
	lock->fl_end = rec->end;
	kckpt_fl(lock, file) = file;
	kckpt_fl(lock, type) = rec->lock_flags & KCKPT_LOCK_WRITE ? F_WRLCK : F_RDLCK;
	kckpt_fl(lock, owner) = rec->owner ? (fl_owner_t)current->files : (fl_owner_t)file;
	kckpt_fl(lock, pid) = rec->lock_kind == KCKPT_LOCK_OFD ? -1 : current->tgid;
	kckpt_fl(lock, flags) = rec->lock_kind == KCKPT_LOCK_FLOCK ? FL_FLOCK :
				rec->lock_kind == KCKPT_LOCK_OFD ? FL_POSIX | FL_OFDLCK : FL_POSIX;
}

/* As the system calls do it, but without waiting. */
static int lock_take(struct file *file, const struct kckpt_lock_rec *rec, struct file_lock *lock)
{
	if (kckpt_should_fail())
		return -ENOLCK;
	if (rec->lock_kind != KCKPT_LOCK_FLOCK)
		return vfs_lock_file(file, F_SETLK, lock, NULL);
	return file->f_op->flock ? file->f_op->flock(file, F_SETLK, lock) : locks_lock_file_wait(file, lock);
}

/*
 * The kernel takes the locks of a table away when a file of it is closed there. One on a file that is not in it would
 * outlive that file.
 */
static bool lock_outlives(const struct kckpt_lock_rec *rec, const struct kckpt_object *file)
{
	return rec->owner && file->seen != (u32)rec->owner;
}

/* Files that the owner has are marked. */
static int lock_set(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_lock_rec *rec)
{
	const struct kckpt_object *on = kckpt_objtab_get(&ctx->objs, rec->file);
	struct file_lock *lock;
	int err;

	/* Every open file of the job is in a table, or mapped. */
	if (!on->made || lock_outlives(rec, on))
		return kckpt_bad_image(ctx, obj, "a lock on a file that its owner has not open");
	lock = kckpt_should_fail() ? NULL : locks_alloc_lock();
	if (!lock)
		return kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, 0, "lock");
	lock_fill(lock, on->made, rec);
	err = lock_take(on->made, rec, lock);
	if (err)
		kckpt_fail(ctx, obj, err == -EAGAIN ? KCKPT_E_LOCK_TAKEN : KCKPT_E_CREATE, err,
			   "%s lock of bytes %llu to %llu of %pD4", lock_type_name(rec), rec->start, rec->end,
			   on->made);
	locks_free_lock(lock);
	return err;
}

int kckpt_lock_finish(struct kckpt_ctx *ctx, struct kckpt_object *files)
{
	struct kckpt_lock_rec rec;
	struct kckpt_object *obj;
	int err;

	if (!ctx->has_locks)
		return 0;
	mutex_lock(&ctx->objs.make_lock);
	err = kckpt_files_mark(ctx, files);
	kckpt_for_each_object(&ctx->objs, obj) {
		if (err)
			break;
		if (obj->family != KCKPT_F_lock || obj->value)
			continue;
		err = lock_rec(ctx, obj, &rec);
		if (!err && rec.owner && rec.owner != files->id)
			continue;
		obj->value = 1;
		err = err ?: lock_set(ctx, obj, &rec);
		cond_resched();
	}
	mutex_unlock(&ctx->objs.make_lock);
	return err;
}

const struct kckpt_family_ops kckpt_lock_ops = {
	.name = "lock",
	.put = lock_put,
	.dump = lock_dump,
	.check = lock_check,
};
