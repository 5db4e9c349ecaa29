// SPDX-License-Identifier: GPL-2.0
/*
 * Sessions and process groups: a struct pid that tasks bear as PIDTYPE_PGID or PIDTYPE_SID. Its leader may be gone
 * while others are still in it; the number then stays taken, and so it does after a restore.
 *
 * A group belongs to the job if its leader does, or, with the leader gone, all of its members. One of the outside
 * becomes that of the restorer.
 *
 * Not saved: the terminal that controls a session (refused by obj_process.c), the scheduler's autogroup.
 */
#include <linux/pid.h>
#include <linux/sched/signal.h>
#include <linux/tty.h>

#include "compat/task.h"
#include "family.h"
#include "fault.h"
#include "ksym.h"
#include "obj_group.h"
#include "obj_process.h"

static void group_put(void *ptr)
{
	put_pid(ptr);
}

/* ---- dump ---- */

/* Zombies are of the job if their parent is. */
static bool is_of_job(struct kckpt_ctx *ctx, struct task_struct *task)
{
	return kckpt_objtab_find(&ctx->objs, KCKPT_F_task, task) ||
	       (task->exit_state && kckpt_objtab_find(&ctx->objs, KCKPT_F_task, rcu_dereference(task->real_parent)));
}

static bool group_is_of_job(struct kckpt_ctx *ctx, struct pid *pid, enum pid_type type)
{
	struct task_struct *task;
	bool ours = true;

	rcu_read_lock();
	task = pid_task(pid, PIDTYPE_TGID);
	if (task) {
		ours = is_of_job(ctx, task);
	} else {
		do_each_pid_task(pid, type, task) {
			ours &= is_of_job(ctx, task);
		} while_each_pid_task(pid, type, task);
	}
	rcu_read_unlock();
	return ours;
}

int kckpt_intern_group(struct kckpt_ctx *ctx, struct task_struct *leader, enum pid_type type,
		       const struct kckpt_where *where)
{
	struct kckpt_object *obj;
	struct pid *pid;
	bool known;

	rcu_read_lock();
	pid = get_pid(type == PIDTYPE_PGID ? task_pgrp(leader) : task_session(leader));
	rcu_read_unlock();
	if (!pid)
		return kckpt_fail(ctx, NULL, KCKPT_E_JOB_MOVED, 0, "it was killed");
	known = kckpt_objtab_find(&ctx->objs, KCKPT_F_group, pid);
	/* Neighbours are mostly in the same one: the last of the outside is remembered. */
	if (!known && (pid == ctx->outside_group[type == PIDTYPE_SID] || !group_is_of_job(ctx, pid, type))) {
		ctx->outside_group[type == PIDTYPE_SID] = pid;
		put_pid(pid);
		return 0;
	}
	obj = kckpt_intern(ctx, KCKPT_F_group, pid, where);
	return PTR_ERR_OR_ZERO(obj);
}

u64 kckpt_group_of(struct kckpt_ctx *ctx, struct task_struct *leader, enum pid_type type)
{
	u64 id;

	rcu_read_lock();
	id = kckpt_id_of(ctx, KCKPT_F_group, type == PIDTYPE_PGID ? task_pgrp(leader) : task_session(leader));
	rcu_read_unlock();
	return id;
}

static int group_dump(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct pid *pid = (struct pid *)obj->ptr;
	struct kckpt_group_rec rec = { .id = pid_nr_ns(pid, ctx->pidns) };
	struct task_struct *leader;

	rcu_read_lock();
	leader = pid_task(pid, PIDTYPE_TGID);
	rec.leader = leader ? kckpt_id_of(ctx, KCKPT_F_process, leader->signal) : 0;
	rcu_read_unlock();
	return kckpt_put(ctx, obj, KCKPT_K_group, &rec, sizeof(rec), NULL, 0);
}

/* ---- restore ---- */

/* A number that was made and that nobody bears yet. Those that have a bearer go with the last of them. */
static void group_release(struct kckpt_object *obj)
{
	if (!obj->made)
		return;
	if (!obj->value)
		kcall(free_pid)(obj->made);
	put_pid(obj->made);
}

static int group_rec(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct kckpt_group_rec *rec)
{
	return kckpt_rec_only(ctx, obj, KCKPT_K_group, rec, sizeof(*rec), NULL, 0, NULL);
}

static int group_check(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_object *leader = NULL;
	struct kckpt_group_rec rec;
	bool taken;
	int err = group_rec(ctx, obj, &rec);

	if (err)
		return err;
	if (!rec.id || rec.id > PID_MAX_LIMIT || rec.reserved)
		return kckpt_bad_image(ctx, obj, "session or process group");
	if (rec.leader) {
		leader = kckpt_ref(ctx, obj, rec.leader, KCKPT_F_process);
		err = leader ? kckpt_process_rec_keep(ctx, leader) : -EBADMSG;
		if (err)
			return err;
		return kckpt_process_rec(leader)->pid == rec.id ? 0 : kckpt_bad_image(ctx, obj, "leader of a group");
	}
	rcu_read_lock();
	taken = find_vpid(rec.id);
	rcu_read_unlock();
	if (taken)
		kckpt_fail(ctx, obj, KCKPT_E_PID_TAKEN, 0, "session or process group %u", rec.id);
	return 0;
}

/* The numbers without a leader are taken before anybody is created. */
int kckpt_group_take_ids(struct kckpt_ctx *ctx)
{
	struct kckpt_group_rec rec;
	struct kckpt_object *obj;
	struct pid *pid;
	pid_t want;
	int err;

	kckpt_for_each_object(&ctx->objs, obj) {
		if (obj->family != KCKPT_F_group)
			continue;
		err = group_rec(ctx, obj, &rec);
		if (err)
			return err;
		if (rec.leader)
			continue;
		want = rec.id;
		pid = kckpt_should_fail() ? ERR_PTR(-ENOMEM) : kcall(alloc_pid)(ctx->pidns, &want, 1);
		if (IS_ERR(pid))
			return kckpt_fail(ctx, obj, PTR_ERR(pid) == -EEXIST ? KCKPT_E_PID_TAKEN : KCKPT_E_CREATE,
					  PTR_ERR(pid), "session or process group %u", rec.id);
		obj->made = get_pid(pid);
	}
	return 0;
}

/* A session of the job has no terminal; a task that was born in the restorer's has. */
static void drop_terminal(struct task_struct *task)
{
	struct tty_struct *tty = NULL;
	unsigned long flags;

	if (kckpt_lock_task_sighand(task, &flags)) {
		tty = task->signal->tty;
		task->signal->tty = NULL;
		unlock_task_sighand(task, &flags);
	}
	tty_kref_put(tty);
}

/* Under tasklist_lock. A bearer that was killed meanwhile may have taken the id with it: then all fail soon. */
static bool group_alive(const struct kckpt_object *obj, const struct kckpt_object *leader, struct pid *pid)
{
	if (leader)
		return pid_alive(leader->made);
	return !obj->value || pid_has_task(pid, PIDTYPE_PGID) || pid_has_task(pid, PIDTYPE_SID);
}

int kckpt_group_join(struct kckpt_ctx *ctx, struct kckpt_object *process, u64 id, enum pid_type type)
{
	struct kckpt_object *obj = kckpt_objtab_get(&ctx->objs, id), *leader;
	struct task_struct *task = process->made;
	struct pid *freed[PIDTYPE_MAX] = {}, *pid, *old;
	struct kckpt_group_rec rec;
	int err;

	if (!id)
		return 0;
	err = group_rec(ctx, obj, &rec);
	if (err)
		return err;
	leader = rec.leader ? kckpt_objtab_get(&ctx->objs, rec.leader) : NULL;
	pid = leader ? task_pid(leader->made) : obj->made;
	if (type == PIDTYPE_SID)
		drop_terminal(task);

	write_lock_irq(kdata(tasklist_lock));
	if (pid_alive(task) && group_alive(obj, leader, pid)) {
		old = type == PIDTYPE_SID ? task_session(task) : task_pgrp(task);
		if (old != pid)
			kckpt_change_pid(freed, task, type, pid);
		obj->value = 1;
	}
	write_unlock_irq(kdata(tasklist_lock));
	if (freed[type])
		kcall(free_pid)(freed[type]);
	return 0;
}

const struct kckpt_family_ops kckpt_group_ops = {
	.name = "group",
	.put = group_put,
	.dump = group_dump,
	.check = group_check,
	.release = group_release,
};
