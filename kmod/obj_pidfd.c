// SPDX-License-Identifier: GPL-2.0
/*
 * Pidfds. The object is the struct pid that open files stand for; obj_file.c saves these, and with O_EXCL which of them
 * stand for a thread (PIDFD_THREAD). It may be of a thread that lives, a zombie, or one that is gone: then nothing is
 * left of its number but, where it led a session or group, that.
 *
 * Refused: those of processes, groups and sessions outside the job.
 * Not saved: the inode number (pidfds of one process still have the same one), the number of a process that is gone
 * (nobody can see it).
 */
#include <linux/file.h>
#include <linux/pid.h>
#include <linux/sched/signal.h>

#include "compat/pidfd.h"
#include "family.h"
#include "fault.h"
#include "ksym.h"
#include "obj_task.h"

/* Held by @file; NULL if it is no pidfd. */
static struct pid *pidfd_of(const struct file *file)
{
	struct pid *pid = kcall(pidfd_pid)(file);

	return IS_ERR(pid) ? NULL : pid;
}

static bool pidfd_claims(struct file *file)
{
	return pidfd_of(file);
}

static const void *pidfd_key(struct file *file)
{
	return pidfd_of(file);
}

/* ---- dump ---- */

/* False: what it stands for is none of the job's. */
static bool pidfd_describe(struct kckpt_ctx *ctx, struct pid *pid, struct kckpt_pidfd_rec *rec)
{
	struct task_struct *task;
	bool used;

	rcu_read_lock();
	task = pid_task(pid, PIDTYPE_PID);
	used = task || pid_has_task(pid, PIDTYPE_PGID) || pid_has_task(pid, PIDTYPE_SID);
	rec->task = kckpt_id_of(ctx, KCKPT_F_task, task);
	rec->group = task ? 0 : kckpt_id_of(ctx, KCKPT_F_group, pid);
	rcu_read_unlock();
	return rec->task || rec->group || !used;
}

static int pidfd_closed(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct pid *pid = (struct pid *)obj->ptr;
	struct kckpt_pidfd_rec rec;

	if (!pidfd_describe(ctx, pid, &rec))
		kckpt_fail(ctx, obj, KCKPT_E_FILE_STATE, 0, "a pidfd of pid %d, which is outside the job",
			   pid_nr_ns(pid, ctx->pidns));
	return 0;
}

static int pidfd_dump(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_pidfd_rec rec;

	if (!pidfd_describe(ctx, (struct pid *)obj->ptr, &rec))
		return kckpt_fail(ctx, obj, KCKPT_E_JOB_MOVED, 0, "the process of a pidfd is another one");
	return kckpt_put(ctx, obj, KCKPT_K_pidfd, &rec, sizeof(rec), NULL, 0);
}

/* ---- restore ---- */

static void pidfd_release(struct kckpt_object *obj)
{
	put_pid(obj->made);
}

static int pidfd_rec(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct kckpt_pidfd_rec *rec)
{
	return kckpt_rec_only(ctx, obj, KCKPT_K_pidfd, rec, sizeof(*rec), NULL, 0, NULL);
}

/* One with a leader has its number from that; only the others are made apart. */
static int pidfd_check_group(struct kckpt_ctx *ctx, struct kckpt_object *obj, u64 id)
{
	const struct kckpt_object *group = kckpt_ref(ctx, obj, id, KCKPT_F_group);
	struct kckpt_group_rec rec;
	int err;

	if (!group)
		return -EBADMSG;
	err = kckpt_rec_only(ctx, group, KCKPT_K_group, &rec, sizeof(rec), NULL, 0, NULL);
	return err || !rec.leader ? err : kckpt_bad_image(ctx, obj, "pidfd of a group");
}

static int pidfd_check(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_pidfd_rec rec;
	int err = pidfd_rec(ctx, obj, &rec);

	if (err)
		return err;
	if (rec.task && rec.group)
		return kckpt_bad_image(ctx, obj, "pidfd of a thread and a group");
	if (rec.task && !kckpt_ref(ctx, obj, rec.task, KCKPT_F_task))
		return -EBADMSG;
	return rec.group ? pidfd_check_group(ctx, obj, rec.group) : 0;
}

/* The number of a process that has been waited for: any that is free, and at once again. All wanted ones are taken. */
static struct pid *pidfd_dead_pid(struct kckpt_ctx *ctx)
{
	struct pid *pid = kckpt_should_fail() ? ERR_PTR(-ENOMEM) : kcall(alloc_pid)(ctx->pidns, NULL, 0);

	if (IS_ERR(pid))
		return pid;
	get_pid(pid);
	kcall(free_pid)(pid);
	return pid;
}

static int pidfd_restore(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_pidfd_rec rec;
	struct pid *pid;
	int err = pidfd_rec(ctx, obj, &rec);

	if (err)
		return err;
	if (rec.task)
		pid = kckpt_task_pid(ctx, rec.task);
	else if (rec.group)
		pid = get_pid(kckpt_objtab_get(&ctx->objs, rec.group)->made);
	else
		pid = pidfd_dead_pid(ctx);
	if (IS_ERR_OR_NULL(pid))
		return kckpt_fail(ctx, obj, KCKPT_E_CREATE, pid ? PTR_ERR(pid) : -ESRCH, "pidfd");
	obj->made = pid;
	return 0;
}

/* Without the flag of a thread, it stands for a whole process. */
static bool pidfd_fits(struct pid *pid, const struct kckpt_file_rec *rec)
{
	return rec->open_flags & O_EXCL || !pid_has_task(pid, PIDTYPE_PID) || pid_has_task(pid, PIDTYPE_TGID);
}

/* Flags follow. */
static struct file *pidfd_open(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_file_rec *rec)
{
	struct file *file;
	int err = kckpt_make(ctx, obj);

	if (err)
		return ERR_PTR(err);
	if (!pidfd_fits(obj->made, rec))
		return ERR_PTR(kckpt_bad_image(ctx, obj, "pidfd of a thread"));
	file = kckpt_should_fail() ? ERR_PTR(-ENFILE) : kckpt_pidfd_file(obj->made, rec->open_flags & O_ACCMODE);
	if (IS_ERR(file))
		kckpt_fail(ctx, obj, KCKPT_E_CREATE, PTR_ERR(file), "pidfd");
	return file;
}

const struct kckpt_family_ops kckpt_pidfd_ops = {
	.name = "pidfd",
	.claims = pidfd_claims, .key = pidfd_key,
	.closed = pidfd_closed, .dump = pidfd_dump,
	.check = pidfd_check, .restore = pidfd_restore, .open = pidfd_open,
	.release = pidfd_release,
};
