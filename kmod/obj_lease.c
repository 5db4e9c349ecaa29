// SPDX-License-Identifier: GPL-2.0
/*
 * Leases on files (F_SETLEASE), which belong to an open file. Taken again by the kernel's own function, which grants
 * them if nobody else has the file open. A break that is under way is marked as such afterwards, under the lock that
 * guards these marks: the holder was told once, and the signal is saved where it is pending. Who waits for the end of
 * a break is in an open() that is begun anew.
 *
 * The object's pointer is its record, made when the lease was found: the lease itself may go at any time.
 *
 * Refused: leases of open files that are also held outside (they would stay there); those for reading on a file that is
 * open for writing, which are left of one for writing when the time of a break was over: nobody can take such a one;
 * those for writing on what is carried in the image, since to read it is to break them.
 * Not saved: the time until a break ends that is over already, for which the holder has found a later one.
 */
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/jiffies.h>
#include <linux/pid.h>
#include <linux/sched/signal.h>

#include "compat/file.h"
#include "compat/lock.h"
#include "family.h"
#include "fault.h"
#include "fowner.h"
#include "ksym.h"
#include "obj_lease.h"
#include "obj_lock.h"

#define LEASE_FLAGS (KCKPT_LEASE_WRITE | KCKPT_LEASE_UNLOCK | KCKPT_LEASE_DOWNGRADE)

/* The longest break: fs.lease-break-time is an int of seconds. */
#define LEASE_MAX_MS ((u64)INT_MAX * MSEC_PER_SEC)

static void lease_put(void *ptr)
{
	kvfree(ptr);
}

/* Under flc_lock. An open file has at most one. */
static struct kckpt_lease *lease_of(struct file_lock_context *locks, const struct file *file)
{
	struct kckpt_lease *lease;

	lockdep_assert_held(&locks->flc_lock);
	kckpt_for_each_lock(lease, &locks->flc_lease)
		if (kckpt_fl(lease, file) == file)
			return lease;
	return NULL;
}

/* ---- dump ---- */

/* Until the time @end in jiffies; what is over already will be so at once. */
static u64 lease_ms_left(unsigned long end)
{
	long left = end - jiffies;

	return !end ? 0 : left <= 0 ? 1 : max_t(u64, (u64)left * MSEC_PER_SEC / HZ, 1);
}

static void lease_describe(const struct kckpt_lease *lease, struct kckpt_lease_rec *rec)
{
	unsigned int flags = kckpt_fl(lease, flags);

	if (kckpt_fl(lease, type) == F_WRLCK)
		rec->lease_flags |= KCKPT_LEASE_WRITE;
	if (flags & FL_UNLOCK_PENDING) {
		rec->lease_flags |= KCKPT_LEASE_UNLOCK;
		rec->unlock_ms = lease_ms_left(lease->fl_break_time);
	}
	if (flags & FL_DOWNGRADE_PENDING) {
		rec->lease_flags |= KCKPT_LEASE_DOWNGRADE;
		rec->downgrade_ms = lease_ms_left(lease->fl_downgrade_time);
	}
	/* The list has one entry: that of the open file. */
	rec->fd = lease->fl_fasync ? lease->fl_fasync->fa_fd : 0;
}

/* False: @file has none. *@taker: the process that took it, in the first namespace; 0: it is none of a program. */
static bool lease_find(const struct file *file, struct kckpt_lease_rec *rec, pid_t *taker)
{
	struct file_lock_context *locks = kckpt_lock_context(file_inode(file));
	struct kckpt_lease *lease;

	if (!locks)
		return false;
	spin_lock(&locks->flc_lock);
	lease = lease_of(locks, file);
	if (lease) {
		lease_describe(lease, rec);
		*taker = kckpt_fl(lease, flags) & (FL_DELEG | FL_LAYOUT) ? 0 : kckpt_fl(lease, pid);
	}
	spin_unlock(&locks->flc_lock);
	return lease;
}

static u64 lease_taker(struct kckpt_ctx *ctx, pid_t nr)
{
	struct task_struct *task;
	u64 id;

	rcu_read_lock();
	task = pid_task(find_pid_ns(nr, &init_pid_ns), PIDTYPE_TGID);
	id = task ? kckpt_id_of(ctx, KCKPT_F_process, task->signal) : 0;
	rcu_read_unlock();
	return id;
}

static const char *lease_unsupported(const struct file *file, const struct kckpt_lease_rec *rec, pid_t taker)
{
	if (!taker)
		return "a lease of the kernel";
	if (!(rec->lease_flags & KCKPT_LEASE_WRITE) && file->f_mode & FMODE_WRITER)
		return "what a break left of a write lease (F_SETLEASE)";
	return NULL;
}

bool kckpt_lease_hinders(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct inode *inode)
{
	struct file_lock_context *locks = kckpt_lock_context(inode);
	struct kckpt_lease *lease;
	bool write = false;

	if (!locks)
		return false;
	spin_lock(&locks->flc_lock);
	kckpt_for_each_lock(lease, &locks->flc_lease)
		write |= kckpt_fl(lease, type) == F_WRLCK;
	spin_unlock(&locks->flc_lock);
	if (write)
		kckpt_fail(ctx, obj, KCKPT_E_FILE_STATE, 0, "a write lease (F_SETLEASE), which reading it would break");
	return write;
}

int kckpt_lease_collect(struct kckpt_ctx *ctx, struct kckpt_object *file)
{
	struct kckpt_lease_rec rec = { .file = file->id }, *copy;
	const struct file *on = file->ptr;
	const char *unsupported;
	pid_t taker;

	if (!lease_find(on, &rec, &taker))
		return 0;
	unsupported = lease_unsupported(on, &rec, taker);
	if (unsupported) {
		kckpt_fail(ctx, file, KCKPT_E_FILE_STATE, 0, "%s on %pD4", unsupported, on);
		return 0;
	}
	kckpt_lock_check_shared(ctx, file);
	rec.process = lease_taker(ctx, taker);
	copy = kckpt_alloc(sizeof(*copy));
	if (!copy)
		return kckpt_fail(ctx, file, KCKPT_E_NO_MEMORY, 0, "lease");
	*copy = rec;
	return PTR_ERR_OR_ZERO(kckpt_intern(ctx, KCKPT_F_lease, copy, &file->where));
}

static int lease_dump(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	return kckpt_put(ctx, obj, KCKPT_K_lease, obj->ptr, sizeof(struct kckpt_lease_rec), NULL, 0);
}

/* ---- restore ---- */

static int lease_rec(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct kckpt_lease_rec *rec)
{
	return kckpt_rec_only(ctx, obj, KCKPT_K_lease, rec, sizeof(*rec), NULL, 0, NULL);
}

static bool lease_sane(const struct kckpt_lease_rec *rec)
{
	u32 flags = rec->lease_flags;

	return !(flags & ~LEASE_FLAGS) && rec->fd <= INT_MAX &&
	       (flags & KCKPT_LEASE_UNLOCK ? rec->unlock_ms <= LEASE_MAX_MS : !rec->unlock_ms) &&
	       (flags & KCKPT_LEASE_DOWNGRADE ? rec->downgrade_ms <= LEASE_MAX_MS : !rec->downgrade_ms) &&
	       (flags & KCKPT_LEASE_WRITE || !(flags & KCKPT_LEASE_DOWNGRADE));
}

static int lease_check(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_lease_rec rec;
	struct kckpt_object *on;
	struct kckpt_file_rec file;
	int err = lease_rec(ctx, obj, &rec);

	if (err)
		return err;
	if (!lease_sane(&rec))
		return kckpt_bad_image(ctx, obj, "lease");
	on = kckpt_ref(ctx, obj, rec.file, KCKPT_F_file);
	if (!on || (rec.process && !kckpt_ref(ctx, obj, rec.process, KCKPT_F_process)))
		return -EBADMSG;
	err = kckpt_rec_only(ctx, on, KCKPT_K_file, &file, sizeof(file), NULL, 0, NULL);
	if (!err && (file.file_flags & KCKPT_FILE_INHERIT || file.open_flags & O_PATH))
		err = kckpt_bad_image(ctx, obj, "a lease on what cannot have one");
	return err;
}

void kckpt_leases_keep(struct kckpt_ctx *ctx)
{
	const struct kckpt_object *on;
	struct kckpt_lease_rec rec;
	struct kckpt_object *obj;

	kckpt_for_each_object(&ctx->objs, obj) {
		if (obj->family != KCKPT_F_lease || lease_rec(ctx, obj, &rec))
			continue;
		on = kckpt_objtab_get(&ctx->objs, rec.file);
		obj->value = on->made ? (unsigned long)get_file(on->made) : 0;
	}
}

static struct file *lease_file(const struct kckpt_object *obj)
{
	return (struct file *)(unsigned long)obj->value;
}

/* Taking it has made an owner where there was none. */
static int lease_restore_owner(struct kckpt_ctx *ctx, const struct kckpt_lease_rec *rec, struct file *file)
{
	struct kckpt_object *on = kckpt_objtab_get(&ctx->objs, rec->file);
	struct kckpt_file_rec want;
	int err = kckpt_rec_only(ctx, on, KCKPT_K_file, &want, sizeof(want), NULL, 0, NULL);

	if (!err && !want.owner)
		kckpt_fowner_clear(file, &want);
	return err;
}

static int lease_take(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct file *file = lease_file(obj);
	struct kckpt_lease_rec rec;
	int err = lease_rec(ctx, obj, &rec), type;

	if (err)
		return err;
	/* Every open file of the job is in a table, or mapped. */
	if (!file)
		return kckpt_bad_image(ctx, obj, "a lease on a file that nobody has open");
	type = rec.lease_flags & KCKPT_LEASE_WRITE ? F_WRLCK : F_RDLCK;
	err = kckpt_should_fail() ? -ENOMEM : kcall(fcntl_setlease)(rec.fd, file, type);
	if (err)
		return kckpt_fail(ctx, obj, err == -EAGAIN ? KCKPT_E_LOCK_TAKEN : KCKPT_E_CREATE, err,
				  "%s lease on %pD4%s", type == F_WRLCK ? "write" : "read", file,
				  err == -EAGAIN ? ", which is open elsewhere" : "");
	return lease_restore_owner(ctx, &rec, file);
}

/* In jiffies, where 0 means never. */
static unsigned long lease_end(u64 ms)
{
	unsigned long end = jiffies + max_t(u64, ms * HZ / MSEC_PER_SEC, 1);

	return !ms ? 0 : end ?: 1;
}

/* What has become of it since it was taken: who, and the break that has begun. */
static void lease_mark(struct kckpt_lease *lease, const struct kckpt_lease_rec *rec, const struct kckpt_object *process)
{
	if (process)
		kckpt_fl(lease, pid) = task_tgid_nr(process->made);
	if (rec->lease_flags & KCKPT_LEASE_UNLOCK) {
		kckpt_fl(lease, flags) |= FL_UNLOCK_PENDING;
		lease->fl_break_time = lease_end(rec->unlock_ms);
	}
	if (rec->lease_flags & KCKPT_LEASE_DOWNGRADE) {
		kckpt_fl(lease, flags) |= FL_DOWNGRADE_PENDING;
		lease->fl_downgrade_time = lease_end(rec->downgrade_ms);
	}
}

/* No lease can be taken on a file where another one is being broken: all are there. */
static int lease_finish(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct file_lock_context *locks = kckpt_lock_context(file_inode(lease_file(obj)));
	struct kckpt_lease_rec rec;
	struct kckpt_lease *lease;
	int err = lease_rec(ctx, obj, &rec);

	if (err)
		return err;
	spin_lock(&locks->flc_lock);
	lease = lease_of(locks, lease_file(obj));
	/* Somebody may have broken it, and its time been over. */
	if (lease)
		lease_mark(lease, &rec, kckpt_objtab_get(&ctx->objs, rec.process));
	spin_unlock(&locks->flc_lock);
	return 0;
}

int kckpt_leases_take(struct kckpt_ctx *ctx, int err)
{
	struct kckpt_object *obj;

	kckpt_for_each_object(&ctx->objs, obj)
		if (obj->family == KCKPT_F_lease && !err)
			err = lease_take(ctx, obj);
	kckpt_for_each_object(&ctx->objs, obj) {
		if (obj->family != KCKPT_F_lease || !obj->value)
			continue;
		err = err ?: lease_finish(ctx, obj);
		fput(lease_file(obj));
		obj->value = 0;
	}
	return err;
}

const struct kckpt_family_ops kckpt_lease_ops = {
	.name = "lease",
	.put = lease_put,
	.dump = lease_dump,
	.check = lease_check,
};
