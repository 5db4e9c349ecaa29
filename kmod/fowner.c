// SPDX-License-Identifier: GPL-2.0
/*
 * See fowner.h. An owner is named by a thread of the job, so that nobody else is ever signalled; a process group by the
 * first thread of the process that leads it.
 *
 * Not saved: which of several descriptors the signals tell (the first), that O_ASYNC was given to open(), which sets
 * the flag and nothing else.
 */
#include <linux/fs.h>
#include <linux/pid.h>
#include <linux/sched/signal.h>
#include <linux/uidgid.h>

#include "compat/file.h"
#include "family.h"
#include "fault.h"
#include "fowner.h"
#include "obj_task.h"

static const enum pid_type fowner_types[] = { PIDTYPE_PID, PIDTYPE_TGID, PIDTYPE_PGID };

static u32 fowner_type_out(enum pid_type type)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(fowner_types); i++)
		if (fowner_types[i] == type)
			return i;
	return 0;
}

/* A copy, with a reference on the pid; none if there is no such task any more, for which F_GETOWN tells 0. */
static void fowner_get(struct file *file, struct fown_struct *copy)
{
	struct fown_struct *owner = kckpt_file_owner(file);

	memset(copy, 0, sizeof(*copy));
	if (!owner)
		return;
	read_lock_irq(&owner->lock);
	copy->pid_type = owner->pid_type;
	copy->uid = owner->uid;
	copy->euid = owner->euid;
	copy->signum = owner->signum;
	rcu_read_lock();
	if (pid_task(owner->pid, owner->pid_type))
		copy->pid = get_pid(owner->pid);
	rcu_read_unlock();
	read_unlock_irq(&owner->lock);
}

static bool fowner_in_job(struct kckpt_ctx *ctx, struct pid *pid, enum pid_type type)
{
	struct task_struct *task;
	bool inside = true;

	rcu_read_lock();
	task = pid_task(pid, type == PIDTYPE_PID ? PIDTYPE_PID : PIDTYPE_TGID);
	if (!task || !kckpt_objtab_find(&ctx->objs, KCKPT_F_task, task))
		inside = false;
	if (inside && type == PIDTYPE_PGID) {
		do_each_pid_task(pid, PIDTYPE_PGID, task) {
			inside &= !!kckpt_objtab_find(&ctx->objs, KCKPT_F_task, task);
		} while_each_pid_task(pid, PIDTYPE_PGID, task);
	}
	rcu_read_unlock();
	return inside;
}

const char *kckpt_fowner_unsupported(struct kckpt_ctx *ctx, struct file *file)
{
	struct fown_struct owner;
	const char *what = NULL;

	fowner_get(file, &owner);
	if (owner.pid && S_ISDIR(file_inode(file)->i_mode))
		what = "a signal owner on a directory (F_NOTIFY)";
	else if (owner.pid && !fowner_in_job(ctx, owner.pid, owner.pid_type))
		what = "a signal owner outside the job (F_SETOWN)";
	put_pid(owner.pid);
	return what;
}

void kckpt_fowner_dump(struct kckpt_ctx *ctx, struct file *file, struct kckpt_file_rec *rec)
{
	struct user_namespace *ns = current_user_ns();
	struct task_struct *task;
	struct fown_struct owner;

	fowner_get(file, &owner);
	rec->owner_type = fowner_type_out(owner.pid_type);
	rec->owner_signal = owner.signum;
	if (owner.pid) {
		rcu_read_lock();
		task = pid_task(owner.pid, owner.pid_type == PIDTYPE_PID ? PIDTYPE_PID : PIDTYPE_TGID);
		rec->owner = kckpt_id_of(ctx, KCKPT_F_task, task);
		rcu_read_unlock();
		rec->owner_uid = from_kuid_munged(ns, owner.uid);
		rec->owner_euid = from_kuid_munged(ns, owner.euid);
	}
	put_pid(owner.pid);
}

/* ---- restore ---- */

bool kckpt_fowner_needed(const struct kckpt_file_rec *rec)
{
	return rec->owner || rec->owner_type || rec->owner_signal || rec->open_flags & FASYNC;
}

/* Who signals by the file does so with the rights of these. */
static bool fowner_allowed(const struct kckpt_file_rec *rec)
{
	const struct cred *mine = current_cred();

	return !rec->owner || ns_capable(mine->user_ns, CAP_SETUID) ||
	       (uid_eq(make_kuid(mine->user_ns, rec->owner_uid), mine->uid) &&
		uid_eq(make_kuid(mine->user_ns, rec->owner_euid), mine->euid));
}

int kckpt_fowner_check(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_file_rec *rec)
{
	struct user_namespace *ns = current_user_ns();

	if (rec->owner && !kckpt_ref(ctx, obj, rec->owner, KCKPT_F_task))
		return -EBADMSG;
	if (rec->owner_type >= ARRAY_SIZE(fowner_types) || !valid_signal(rec->owner_signal) ||
	    !uid_valid(make_kuid(ns, rec->owner_uid)) || !uid_valid(make_kuid(ns, rec->owner_euid)))
		return kckpt_bad_image(ctx, obj, "signal owner of an open file");
	if (!fowner_allowed(rec))
		kckpt_fail(ctx, obj, KCKPT_E_TASK_CREDS, 0, "CAP_SETUID is missing");
	return 0;
}

static int fowner_set_pid(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct file *file,
			  const struct kckpt_file_rec *rec)
{
	struct user_namespace *ns = current_user_ns();
	struct pid *pid = NULL;
	struct fown_struct *owner;
	int err = kckpt_should_fail() ? -ENOMEM : kckpt_file_owner_alloc(file);

	if (err)
		return kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, err, "signal owner");
	if (rec->owner) {
		pid = kckpt_task_pid(ctx, rec->owner);
		if (!pid)
			return kckpt_fail(ctx, obj, KCKPT_E_CREATE, -ESRCH, "signal owner");
	}
	__f_setown(file, pid, fowner_types[rec->owner_type], 1);
	put_pid(pid);
	owner = kckpt_file_owner(file);
	write_lock_irq(&owner->lock);
	owner->signum = rec->owner_signal;
	if (rec->owner) {
		/* Those who may be signalled are those whom the one who set it might have. */
		owner->uid = make_kuid(ns, rec->owner_uid);
		owner->euid = make_kuid(ns, rec->owner_euid);
	}
	write_unlock_irq(&owner->lock);
	return 0;
}

void kckpt_fowner_clear(struct file *file, const struct kckpt_file_rec *rec)
{
	__f_setown(file, NULL, fowner_types[rec->owner_type], 1);
}

/* The descriptor that the signal tells: of several, the first. */
static int fowner_set_async(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct file *file)
{
	int err = 0;

	if (file->f_op->fasync)
		err = kckpt_should_fail() ? -ENOMEM : file->f_op->fasync(obj->where.fd, file, 1);
	if (err < 0)
		return kckpt_fail(ctx, obj, KCKPT_E_CREATE, err, "O_ASYNC");
	/* Of a kind that tells nothing, the flag is only to be seen. */
	spin_lock(&file->f_lock);
	file->f_flags |= FASYNC;
	spin_unlock(&file->f_lock);
	return 0;
}

int kckpt_fowner_set(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct file *file,
		     const struct kckpt_file_rec *rec)
{
	int err = 0;

	if (rec->owner || rec->owner_type || rec->owner_signal)
		err = fowner_set_pid(ctx, obj, file, rec);
	if (!err && rec->open_flags & FASYNC)
		err = fowner_set_async(ctx, obj, file);
	return err;
}
