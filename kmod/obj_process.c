// SPDX-License-Identifier: GPL-2.0
/*
 * Processes: signal_struct, the place in the tree, and which mm and handlers the threads share.
 *
 * Saved: ids, parent, shared pending signals, limits, oom_score_adj, child subreaper, a stop by a signal, and of an
 * ended one what its parent has not waited for. A process group or session of the outside becomes the restorer's; who
 * had a parent outside tells the restorer of its end by SIGCHLD.
 * Refused: children outside of the job, a stop in progress, memory shared with one that is neither parent nor
 * sibling.
 * Not saved: accounting (also of ended children), audit tty, autogroup, core dump in progress.
 */
#include <linux/delay.h>
#include <linux/oom.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>

#include "compat/task.h"
#include "crew.h"
#include "family.h"
#include "fault.h"
#include "ksym.h"
#include "obj_cgroup.h"
#include "obj_files.h"
#include "obj_fs.h"
#include "obj_group.h"
#include "obj_mm.h"
#include "obj_process.h"
#include "obj_sighand.h"
#include "obj_task.h"
#include "obj_timer.h"
#include "session.h"

/* The object's pointer is the signal_struct; the leader, which carries it, is what we hold: it lives longer. */
static struct task_struct *process_leader(const struct kckpt_object *obj)
{
	return obj->made;
}

static void process_release(struct kckpt_object *obj)
{
	if (obj->made)
		put_task_struct(obj->made);
}

/* ---- dump ---- */

struct kckpt_object *kckpt_intern_process(struct kckpt_ctx *ctx, struct task_struct *task)
{
	struct task_struct *leader = NULL;
	struct kckpt_object *obj;
	struct kckpt_where where;

	rcu_read_lock();
	if (pid_alive(task)) {
		leader = task->group_leader;
		get_task_struct(leader);
	}
	rcu_read_unlock();
	if (!leader)
		return ERR_PTR(kckpt_fail(ctx, NULL, KCKPT_E_JOB_MOVED, 0, "it was killed"));
	where = kckpt_where(leader, ctx->pidns, -1);
	obj = kckpt_intern(ctx, KCKPT_F_process, task->signal, &where);
	if (!IS_ERR(obj) && !obj->made)
		obj->made = leader;
	else
		put_task_struct(leader);
	return obj;
}

/*
 * Children that no object stands for yet, each with a reference: zombies, and those outside of the cgroup. At most
 * @room; returns how many there are.
 */
static u32 process_unknown_children(struct kckpt_ctx *ctx, struct task_struct *leader, struct task_struct **found,
				    u32 room)
{
	struct task_struct *task, *child;
	u32 nr = 0;

	read_lock(kdata(tasklist_lock));
	for_each_thread(leader, task) {
		list_for_each_entry(child, &task->children, sibling) {
			if (child->exit_state == EXIT_DEAD || kckpt_objtab_find(&ctx->objs, KCKPT_F_task, child))
				continue;
			if (nr < room)
				found[nr] = get_task_struct(child);
			nr++;
		}
	}
	read_unlock(kdata(tasklist_lock));
	return nr;
}

static bool process_is_ending(struct task_struct *leader)
{
	return READ_ONCE(leader->flags) & PF_EXITING && !READ_ONCE(leader->exit_state);
}

/* One that is about to go. A tracer may let it stay as a zombie, or it is the leader, who waits for the others. */
static bool process_has_ending_thread(struct task_struct *leader)
{
	struct task_struct *task;
	bool has = false;

	rcu_read_lock();
	for_each_thread(leader, task)
		has |= task != leader && READ_ONCE(task->flags) & PF_EXITING &&
		       READ_ONCE(task->exit_state) != EXIT_ZOMBIE;
	rcu_read_unlock();
	return has;
}

/* What ends is mostly gone after a moment. */
static void process_await(struct task_struct *leader, bool (*ends)(struct task_struct *leader))
{
	u32 i;

	for (i = 0; i < 200 && ends(leader); i++)
		usleep_range(500, 1000);
}

/* One that is just ending has left its cgroup, and so is in the way of no freeze: soon it is a zombie, or gone. */
static void process_await_end(struct task_struct *child)
{
	process_await(child, process_is_ending);
	/* Its parent is told of it under the lock that was taken to end it. */
	read_lock(kdata(tasklist_lock));
	read_unlock(kdata(tasklist_lock));
}

static int process_collect_child(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct task_struct *child)
{
	process_await_end(child);
	if (READ_ONCE(child->exit_state) == EXIT_DEAD)
		return 0;
	if (child->exit_state && get_nr_threads(child) == 1)
		return kckpt_capture_task(ctx, child);
	if (child->flags & PF_EXITING && get_nr_threads(child) == 1) {
		kckpt_fail(ctx, obj, KCKPT_E_TASK_DYING, 0, "pid %d (%s), a child", task_pid_nr_ns(child, ctx->pidns),
			   child->comm);
		return 0;
	}
	kckpt_fail(ctx, obj, KCKPT_E_TASK_CHILDREN, 0, "pid %d (%s)", task_pid_nr_ns(child, ctx->pidns), child->comm);
	return 0;
}

/* Zombies are in no cgroup's list: their parent knows them. */
static int process_collect_children(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct task_struct *leader)
{
	u32 room = process_unknown_children(ctx, leader, NULL, 0), nr, i;
	struct task_struct **found;
	int err = 0;

	if (!room)
		return 0;
	found = kckpt_alloc(room * sizeof(*found));
	if (!found)
		return kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, 0, "%u children", room);
	nr = process_unknown_children(ctx, leader, found, room);
	if (nr > room)
		err = kckpt_fail(ctx, obj, KCKPT_E_JOB_MOVED, 0, "a child came");
	for (i = 0; i < min(nr, room); i++) {
		err = err ?: process_collect_child(ctx, obj, found[i]);
		put_task_struct(found[i]);
		cond_resched();
	}
	kvfree(found);
	return err;
}

static int process_collect(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct task_struct *leader = process_leader(obj);
	struct kckpt_object *timers;

	/* They have left the cgroup, which was frozen without them. */
	process_await(leader, process_has_ending_thread);
	timers = leader->exit_state ? NULL : kckpt_intern_timers(ctx, leader, obj);
	if (IS_ERR(timers))
		return PTR_ERR(timers);
	if (leader->signal->leader && leader->signal->tty)
		kckpt_fail(ctx, obj, KCKPT_E_TASK_ATTRIBUTE, 0, "a controlling terminal of its own session");
	if (leader->signal->group_stop_count)
		kckpt_fail(ctx, obj, KCKPT_E_TASK_STOPPED, 0, "its threads are being stopped");
	return kckpt_intern_group(ctx, leader, PIDTYPE_PGID, &obj->where) ?:
	       kckpt_intern_group(ctx, leader, PIDTYPE_SID, &obj->where) ?:
	       process_collect_children(ctx, obj, leader);
}

/* The job's address space of a process, by any of its threads; NULL: it has ended. */
static struct kckpt_object *process_mm(struct kckpt_ctx *ctx, struct task_struct *leader)
{
	struct kckpt_object *obj = NULL;
	struct task_struct *task;

	rcu_read_lock();
	for_each_thread(leader, task)
		if (!obj && task->mm)
			obj = kckpt_objtab_find(&ctx->objs, KCKPT_F_mm, task->mm);
	rcu_read_unlock();
	return obj;
}

/*
 * Memory and handlers are shared at birth only: with the parent (CLONE_VM), or with a sibling (CLONE_PARENT). What was
 * done with others is not to be had again.
 */
static void process_check_sharing(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct task_struct *leader)
{
	struct kckpt_object *mm = process_mm(ctx, leader);
	const struct task_struct *parent, *top;
	bool born = true;

	if (!mm || mm->seen <= get_nr_threads(leader))
		return;
	rcu_read_lock();
	parent = rcu_dereference(leader->real_parent);
	if (READ_ONCE(parent->mm) == mm->ptr) {
		born = READ_ONCE(leader->sighand) == READ_ONCE(parent->sighand) ||
		       refcount_read(&leader->sighand->count) <= get_nr_threads(leader);
	} else if (!mm->value) {
		mm->value = (unsigned long)leader;
	} else {
		top = (const struct task_struct *)(unsigned long)mm->value;
		born = parent == rcu_dereference(top->real_parent) &&
		       (READ_ONCE(leader->sighand) == READ_ONCE(top->sighand) ||
			refcount_read(&leader->sighand->count) <= get_nr_threads(leader));
	}
	rcu_read_unlock();
	if (!born)
		kckpt_fail(ctx, obj, KCKPT_E_TASK_SHARES, 0,
			   "memory or handlers of a process that is neither its parent nor its sibling");
}

/* What the threads share must be there as a whole. */
static int process_closed(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct task_struct *leader = process_leader(obj), *task;
	struct cgroup *cgrp;
	bool apart = false;

	if (process_has_ending_thread(leader))
		kckpt_fail(ctx, obj, KCKPT_E_TASK_DYING, 0, "one of its threads");
	else if (get_nr_threads(leader) != obj->seen)
		kckpt_fail(ctx, obj, KCKPT_E_TASK_SUBCGROUP, 0, "%d threads, %u of them in the cgroup",
			   get_nr_threads(leader), obj->seen);
	rcu_read_lock();
	cgrp = task_dfl_cgroup(leader);
	for_each_thread(leader, task)
		apart |= task_dfl_cgroup(task) != cgrp;
	rcu_read_unlock();
	if (apart)
		kckpt_fail(ctx, obj, KCKPT_E_TASK_SUBCGROUP, 0, "its threads are in different cgroups");
	process_check_sharing(ctx, obj, leader);
	return 0;
}

static int process_put_limits(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct task_struct *leader)
{
	struct rlimit limits[RLIM_NLIMITS];
	struct kckpt_limits_rec rec = { .nr_values = 2 * RLIM_NLIMITS };

	BUILD_BUG_ON(sizeof(limits) != 2 * RLIM_NLIMITS * sizeof(u64));
	task_lock(leader);
	memcpy(limits, leader->signal->rlim, sizeof(limits));
	task_unlock(leader);
	return kckpt_put(ctx, obj, KCKPT_K_limits, &rec, sizeof(rec), limits, sizeof(limits));
}

static u32 process_flags(const struct task_struct *leader, bool ended)
{
	const struct signal_struct *signal = leader->signal;
	u32 flags = signal->is_child_subreaper ? KCKPT_PROCESS_SUBREAPER : 0;

	if (ended)
		flags |= KCKPT_PROCESS_ENDED;
	else if (signal->flags & SIGNAL_STOP_STOPPED)
		flags |= KCKPT_PROCESS_STOPPED;
	else if (signal->flags & SIGNAL_STOP_CONTINUED)
		flags |= KCKPT_PROCESS_CONTINUED;
	return flags;
}

static u32 process_exit_code(const struct task_struct *leader, u32 flags)
{
	const struct signal_struct *signal = leader->signal;

	if (flags & KCKPT_PROCESS_ENDED)
		return signal->flags & SIGNAL_GROUP_EXIT ? signal->group_exit_code : leader->exit_code;
	return flags & KCKPT_PROCESS_STOPPED ? signal->group_exit_code : 0;
}

static int process_dump(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct task_struct *leader = process_leader(obj);
	struct sigpending *pending = &leader->signal->shared_pending;
	struct kckpt_object *mm = process_mm(ctx, leader);
	const struct task_struct *parent;
	struct kckpt_process_rec rec = {
		.leader = kckpt_id_of(ctx, KCKPT_F_task, leader),
		.mm = mm ? mm->id : 0,
		.sighand = mm ? kckpt_id_of(ctx, KCKPT_F_sighand, READ_ONCE(leader->sighand)) : 0,
		.pgrp = kckpt_group_of(ctx, leader, PIDTYPE_PGID),
		.session = kckpt_group_of(ctx, leader, PIDTYPE_SID),
		.cgroup = kckpt_cgroup_of(ctx, leader),
		.timers = kckpt_id_of(ctx, KCKPT_F_timer, leader),
		.pid = obj->where.pid,
		.exit_signal = leader->exit_signal,
		.nr_threads = obj->seen,
		.oom_score_adj = leader->signal->oom_score_adj,
		.process_flags = process_flags(leader, !mm),
	};

	rec.exit_code = process_exit_code(leader, rec.process_flags);
	rcu_read_lock();
	parent = rcu_dereference(leader->real_parent);
	rec.parent = kckpt_id_of(ctx, KCKPT_F_task, parent);
	/* As do_notify_parent() looks at it. */
	if (leader->parent_exec_id != READ_ONCE(parent->self_exec_id))
		rec.process_flags |= KCKPT_PROCESS_PARENT_EXECED;
	rcu_read_unlock();
	obj->value = rec.parent;
	if (!rec.cgroup && mm)
		return kckpt_fail(ctx, obj, KCKPT_E_JOB_MOVED, 0, "it is in another cgroup");
	return kckpt_put(ctx, obj, KCKPT_K_process, &rec, sizeof(rec), NULL, 0) ?:
	       (mm ? kckpt_put_pending(ctx, obj, KCKPT_K_process_signal, leader, pending) : 0) ?:
	       process_put_limits(ctx, obj, leader);
}

/* ---- restore: checks ---- */

int kckpt_process_rec_keep(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	return kckpt_rec_keep(ctx, obj, KCKPT_K_process, sizeof(struct kckpt_process_rec));
}

struct kckpt_object *kckpt_process_of(struct kckpt_ctx *ctx, struct kckpt_object *task)
{
	if (!task || task->process)
		return task ? task->process : NULL;
	return kckpt_ref(ctx, task, kckpt_task_rec(task)->process, KCKPT_F_process);
}

struct kckpt_object *kckpt_process_leader(struct kckpt_ctx *ctx, struct kckpt_object *process)
{
	return kckpt_ref(ctx, process, kckpt_process_rec(process)->leader, KCKPT_F_task);
}

/* All that the first version of the format has, and with them those that process_lift_limits() lifts. */
#define LIMITS_MIN 16

/* Those of the image, by resource; how many, or an error. A kernel that knows more gives the caller's. */
static int process_limits(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct rlimit limits[RLIM_NLIMITS])
{
	struct kckpt_limits_rec rec;
	const void *tail;
	int err = kckpt_rec_only(ctx, obj, KCKPT_K_limits, &rec, sizeof(rec), &rec.nr_values, sizeof(u64), &tail);

	if (err)
		return err;
	if (rec.reserved || rec.nr_values % 2 || rec.nr_values < 2 * LIMITS_MIN || rec.nr_values > 2 * RLIM_NLIMITS)
		return kckpt_bad_image(ctx, obj, "limits");
	memcpy(limits, tail, rec.nr_values * sizeof(u64));
	return rec.nr_values / 2;
}

static int process_check_limits(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct rlimit limits[RLIM_NLIMITS];
	int nr = process_limits(ctx, obj, limits), i;

	for (i = 0; i < nr; i++) {
		if (limits[i].rlim_cur > limits[i].rlim_max)
			return kckpt_bad_image(ctx, obj, "limit %d", i);
		/* As setrlimit() asks. */
		if (limits[i].rlim_max > rlimit_max(i) && !capable(CAP_SYS_RESOURCE))
			kckpt_fail(ctx, obj, KCKPT_E_TASK_CREDS, 0, "limit %d: CAP_SYS_RESOURCE is missing", i);
	}
	return min(nr, 0);
}

static bool process_refs_sane(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_process_rec *rec)
{
	bool ended = rec->process_flags & KCKPT_PROCESS_ENDED;

	if (!kckpt_ref(ctx, obj, rec->leader, KCKPT_F_task) ||
	    (rec->parent && !kckpt_ref(ctx, obj, rec->parent, KCKPT_F_task)) ||
	    (rec->pgrp && !kckpt_ref(ctx, obj, rec->pgrp, KCKPT_F_group)) ||
	    (rec->session && !kckpt_ref(ctx, obj, rec->session, KCKPT_F_group)) ||
	    (rec->cgroup && !kckpt_ref(ctx, obj, rec->cgroup, KCKPT_F_cgroup)) ||
	    (rec->timers && !kckpt_ref(ctx, obj, rec->timers, KCKPT_F_timer)))
		return false;
	/* Only a parent can tell of a child that has ended. */
	if (ended)
		return !rec->mm && !rec->sighand && !rec->timers && rec->nr_threads == 1 && rec->parent;
	return kckpt_ref(ctx, obj, rec->mm, KCKPT_F_mm) && kckpt_ref(ctx, obj, rec->sighand, KCKPT_F_sighand) &&
	       rec->cgroup;
}

static int process_check(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const u32 known = KCKPT_PROCESS_SUBREAPER | KCKPT_PROCESS_ENDED | KCKPT_PROCESS_STOPPED |
			  KCKPT_PROCESS_CONTINUED | KCKPT_PROCESS_PARENT_EXECED;
	const u32 state = KCKPT_PROCESS_ENDED | KCKPT_PROCESS_STOPPED | KCKPT_PROCESS_CONTINUED;
	const struct kckpt_process_rec *rec;
	int err = kckpt_process_rec_keep(ctx, obj);

	if (err)
		return err;
	rec = kckpt_process_rec(obj);
	obj->where.pid = rec->pid;
	if (rec->oom_score_adj < OOM_SCORE_ADJ_MIN || rec->oom_score_adj > OOM_SCORE_ADJ_MAX ||
	    rec->process_flags & ~known || hweight32(rec->process_flags & state) > 1 || rec->exit_code > 0xffff ||
	    rec->exit_signal > _NSIG)
		return kckpt_bad_image(ctx, obj, "process record");
	if (!process_refs_sane(ctx, obj, rec))
		return kckpt_bad_image(ctx, obj, "process record");
	/* As writing to /proc/self/oom_score_adj asks. */
	if (rec->oom_score_adj < current->signal->oom_score_adj_min && !capable(CAP_SYS_RESOURCE))
		kckpt_fail(ctx, obj, KCKPT_E_TASK_CREDS, 0, "CAP_SYS_RESOURCE is missing");
	return process_check_limits(ctx, obj) ?: kckpt_check_pending(ctx, obj, KCKPT_K_process_signal);
}

/* ---- restore: who creates whom ---- */

/* In kckpt_object.value of a process. */
#define BORN_VM		1	/* CLONE_VM: shares the memory of its creator */
#define BORN_SIGHAND	2	/* CLONE_SIGHAND */
#define BORN_SIBLING	4	/* CLONE_PARENT: its creator is its sibling */

static void plan_add(struct kckpt_object *creator, struct kckpt_object *child)
{
	child->creator = creator;
	child->next = creator->first;
	creator->first = child;
}

/*
 * One that has ended has a single thread, which has, too; of others only the leader may have ended. Who has ended, or
 * is stopped, must not be seen on the way there.
 */
static bool plan_ends_agree(struct kckpt_ctx *ctx, struct kckpt_object *process, const struct kckpt_process_rec *rec)
{
	struct kckpt_object *task;
	u32 living = 0, ended;

	for (task = process->first; task; task = task->next) {
		ended = kckpt_task_rec(task)->task_flags & KCKPT_TASK_ENDED;
		if (!ended)
			living++;
		else if (task->id != rec->leader)
			return false;
		ctx->traps |= ended || rec->process_flags & KCKPT_PROCESS_STOPPED;
	}
	return rec->process_flags & KCKPT_PROCESS_ENDED ? !living : living;
}

/* So that the others are all behind it. */
static bool plan_leader_first(struct kckpt_object *process, const struct kckpt_process_rec *rec)
{
	struct kckpt_object **at, *leader;

	for (at = &process->first; *at; at = &(*at)->next) {
		leader = *at;
		if (leader->id != rec->leader)
			continue;
		*at = leader->next;
		leader->next = process->first;
		process->first = leader;
		return leader->where.pid == rec->pid;
	}
	return false;
}

/* Each process gets its threads. */
static int plan_threads(struct kckpt_ctx *ctx)
{
	struct kckpt_object *obj, *process, *task;
	const struct kckpt_process_rec *rec;
	u32 nr;

	kckpt_for_each_object(&ctx->objs, obj) {
		if (obj->family != KCKPT_F_task)
			continue;
		process = kckpt_process_of(ctx, obj);
		if (!process)
			return -EBADMSG;
		obj->process = process;
		plan_add(process, obj);
		kckpt_task_plan(ctx, obj);
	}
	kckpt_for_each_object(&ctx->objs, process) {
		if (process->family != KCKPT_F_process)
			continue;
		rec = kckpt_process_rec(process);
		for (nr = 0, task = process->first; task; task = task->next)
			nr++;
		if (nr != rec->nr_threads || !plan_leader_first(process, rec) || !plan_ends_agree(ctx, process, rec))
			return kckpt_bad_image(ctx, process, "threads of the process");
		process->rest = process->first->next;
	}
	return 0;
}

/* The process of the image that @rec's is a child of; NULL: none. */
static struct kckpt_object *plan_parent(struct kckpt_ctx *ctx, const struct kckpt_process_rec *rec)
{
	return rec->parent ? kckpt_process_of(ctx, kckpt_objtab_get(&ctx->objs, rec->parent)) : NULL;
}

/* The first of those that share memory and whose parents do not: it makes the memory. */
static void plan_mm_owner(struct kckpt_ctx *ctx, struct kckpt_object *process)
{
	const struct kckpt_process_rec *rec = kckpt_process_rec(process);
	struct kckpt_object *mm = kckpt_objtab_get(&ctx->objs, rec->mm), *parent = plan_parent(ctx, rec);

	if (mm && !mm->creator && !(parent && kckpt_process_rec(parent)->mm == rec->mm))
		mm->creator = process;
}

/* Where a process that shares memory is born, and with what. */
static int plan_sharer(struct kckpt_ctx *ctx, struct kckpt_object *process, const struct kckpt_process_rec *rec,
		       struct kckpt_object *owner)
{
	const struct kckpt_process_rec *its = owner ? kckpt_process_rec(owner) : NULL, *up;
	struct kckpt_object *parent = plan_parent(ctx, rec), *creator;

	up = parent ? kckpt_process_rec(parent) : NULL;
	process->value = BORN_VM;
	if (its && up && up->mm == rec->mm) {
		creator = kckpt_objtab_get(&ctx->objs, rec->parent);
		its = up;
	} else if (its && its->parent == rec->parent) {
		creator = kckpt_objtab_get(&ctx->objs, its->leader);
		process->value |= BORN_SIBLING;
	} else {
		return kckpt_bad_image(ctx, process, "who shares memory");
	}
	if (its->sighand == rec->sighand)
		process->value |= BORN_SIGHAND;
	plan_add(creator, process);
	return 0;
}

static int plan_process(struct kckpt_ctx *ctx, struct kckpt_object *process)
{
	const struct kckpt_process_rec *rec = kckpt_process_rec(process);
	struct kckpt_object *mm = kckpt_objtab_get(&ctx->objs, rec->mm), *sighand;
	int err;

	if (mm && mm->creator != process) {
		err = plan_sharer(ctx, process, rec, mm->creator);
		if (err)
			return err;
	} else if (rec->parent) {
		plan_add(kckpt_objtab_get(&ctx->objs, rec->parent), process);
	} else {
		process->next = ctx->roots;
		ctx->roots = process;
	}
	sighand = kckpt_objtab_get(&ctx->objs, rec->sighand);
	if (sighand && !(process->value & BORN_SIGHAND)) {
		if (sighand->creator)
			return kckpt_bad_image(ctx, process, "who shares handlers");
		sighand->creator = process;
	}
	return 0;
}

/* Nobody is their own ancestor: going up from each one ends at a root, or where another one has been. */
static int plan_check_ancestors(struct kckpt_ctx *ctx)
{
	struct kckpt_object *obj, *up;

	kckpt_for_each_object(&ctx->objs, obj) {
		if (obj->family != KCKPT_F_process)
			continue;
		for (up = obj; up && !up->seen; up = up->creator ? up->creator->creator : NULL)
			up->seen = obj->id;
		if (up && up->seen == (u32)obj->id)
			return kckpt_bad_image(ctx, obj, "a process that is its own ancestor");
	}
	return 0;
}

int kckpt_process_plan(struct kckpt_ctx *ctx)
{
	struct kckpt_object *obj;
	int err;

	kckpt_for_each_object(&ctx->objs, obj) {
		obj->first = obj->next = obj->rest = obj->creator = NULL;
		if (obj->family == KCKPT_F_process)
			obj->value = obj->seen = 0;
	}
	ctx->roots = NULL;
	ctx->traps = false;
	err = plan_threads(ctx);
	if (err)
		return err;
	kckpt_for_each_object(&ctx->objs, obj)
		if (obj->family == KCKPT_F_process)
			plan_mm_owner(ctx, obj);
	kckpt_for_each_object(&ctx->objs, obj) {
		if (obj->family != KCKPT_F_process)
			continue;
		err = plan_process(ctx, obj);
		if (err)
			return err;
	}
	if (!ctx->roots)
		return kckpt_bad_image(ctx, NULL, "no process at the root of the tree");
	return plan_check_ancestors(ctx);
}

u64 kckpt_process_clone_flags(const struct kckpt_object *process)
{
	return (process->value & BORN_VM ? CLONE_VM : 0) | (process->value & BORN_SIGHAND ? CLONE_SIGHAND : 0) |
	       (process->value & BORN_SIBLING ? CLONE_PARENT : 0);
}

/* ---- restore: the skeleton of the tree ---- */

/* While building, the caller's limits must not stand in the way of what the job had, as far as it may lift them. */
static int process_lift_limits(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	static const u32 lifted[] = { RLIMIT_AS, RLIMIT_DATA, RLIMIT_STACK, RLIMIT_MEMLOCK, RLIMIT_NOFILE,
				      RLIMIT_SIGPENDING, RLIMIT_NPROC, RLIMIT_FSIZE, RLIMIT_RTPRIO, RLIMIT_NICE };
	bool may_lift = capable(CAP_SYS_RESOURCE);
	unsigned int i;
	int err;

	for (i = 0; i < ARRAY_SIZE(lifted); i++) {
		struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };

		if (!may_lift)
			limit.rlim_cur = limit.rlim_max = rlimit_max(lifted[i]);
		else if (lifted[i] == RLIMIT_NOFILE)
			limit.rlim_cur = limit.rlim_max = kvalue(sysctl_nr_open);
		if (!memcmp(&current->signal->rlim[lifted[i]], &limit, sizeof(limit)))
			continue;
		err = kckpt_should_fail() ? -EPERM : kcall(do_prlimit)(current, lifted[i], &limit, NULL);
		if (err)
			return kckpt_fail(ctx, obj, KCKPT_E_CREATE, err, "limit %u", lifted[i]);
	}
	return 0;
}

/*
 * A root lets go of all that it has of the caller; its descendants then inherit nothing but what their creators have
 * open for a moment.
 */
static int process_disown(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	int err = kckpt_files_disown(ctx, obj);

	if (err || obj->creator)
		return err;
	err = process_lift_limits(ctx, obj) ?: kckpt_sighand_reset(ctx, obj);
	if (err)
		return err;
	/* We are in the kernel and come back with other registers: nothing of the caller's memory is needed. */
	err = kckpt_should_fail() ? -ENOMEM : vm_munmap(0, TASK_SIZE_MAX);
	return err ? kckpt_fail(ctx, obj, KCKPT_E_VMA_MAP, err, "unmapping the caller's memory") : 0;
}

/* A session must be led before there are children, which are born into it. */
static int process_lead_session(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_process_rec *rec)
{
	const struct kckpt_object *session = kckpt_objtab_get(&ctx->objs, rec->session);
	struct kckpt_group_rec group;
	int err = 0;

	if (!session)
		return 0;
	err = kckpt_rec_only(ctx, session, KCKPT_K_group, &group, sizeof(group), NULL, 0, NULL);
	if (err)
		return err;
	if (group.leader == obj->id)
		err = kckpt_should_fail() ? -EPERM : kcall(ksys_setsid)();
	return err < 0 ? kckpt_fail(ctx, obj, KCKPT_E_CREATE, err, "session %u", group.id) : 0;
}

/*
 * Does it create others of its process? The leader does, and of as many as there are CPUs, one of which is to make the
 * memory first, those that have what all are born with: the leader's table and directory.
 */
static bool thread_creates(const struct kckpt_object *process, const struct kckpt_object *task)
{
	const struct kckpt_object *each = process->first;
	u32 i;

	for (i = 0; each && each != task && i < num_online_cpus(); i++)
		each = each->next;
	return each == task && current->files == current->group_leader->files &&
	       current->fs == current->group_leader->fs;
}

static int thread_clone_others(struct kckpt_ctx *ctx, struct kckpt_thread *thread, struct kckpt_object *process)
{
	struct kckpt_object *task;
	int err = 0;

	if (!thread_creates(process, thread->task))
		return 0;
	while (!err && (task = kckpt_crew_next_thread(ctx->crew, process)))
		err = kckpt_crew_clone_thread(thread->session, task,
					      kckpt_task_clone_flags(process->first, task));
	return err;
}

/* In every thread: the processes whose parent, or elder sibling, it is. */
static int thread_clone_children(struct kckpt_thread *thread)
{
	struct kckpt_object *process;
	int err = 0;

	for (process = thread->task->first; process && !err; process = process->next)
		err = kckpt_crew_clone_process(thread->session, process, NULL);
	return err;
}

static int process_begin(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_process_rec *rec)
{
	int err = process_disown(ctx, obj);

	if (err)
		return err;
	current->signal->oom_score_adj = rec->oom_score_adj;
	current->signal->oom_score_adj_min = min_t(short, current->signal->oom_score_adj_min, rec->oom_score_adj);
	current->signal->is_child_subreaper = rec->process_flags & KCKPT_PROCESS_SUBREAPER;
	return process_lead_session(ctx, obj, rec);
}

static int leader_begin(struct kckpt_ctx *ctx, struct kckpt_object *process, struct kckpt_thread *thread)
{
	const struct kckpt_process_rec *rec = kckpt_process_rec(process);
	int err = process_begin(ctx, process, rec) ?:
		  thread_clone_others(ctx, thread, process) ?:
		  thread_clone_children(thread);

	/* Memory that nobody else has, and so nobody will be born into any more, is made while the tree still grows. */
	if (!err && rec->nr_threads == 1 && atomic_read(&current->mm->mm_users) == 1)
		err = kckpt_make_own(ctx, process, rec->mm);
	return err;
}

/* The first one created does so while others are, unless processes are to be born, with nothing, from any of them. */
static bool thread_makes_memory(const struct kckpt_object *process, const struct kckpt_object *task)
{
	const struct kckpt_object *each = process->first;

	if (each->next != task)
		return false;
	while (each && !each->first)
		each = each->next;
	return !each;
}

static int thread_begin(struct kckpt_ctx *ctx, struct kckpt_object *process, struct kckpt_thread *thread)
{
	int err = 0;

	/* A table of its own was copied from the leader's, where somebody may just have had something open. */
	if (current->files != current->group_leader->files)
		err = kckpt_files_disown(ctx, thread->task);
	if (!err && thread_makes_memory(process, thread->task))
		err = kckpt_make_own(ctx, process, kckpt_process_rec(process)->mm);
	return err ?: thread_clone_others(ctx, thread, process) ?: thread_clone_children(thread);
}

int kckpt_thread_begin(struct kckpt_ctx *ctx, struct kckpt_thread *thread)
{
	struct kckpt_object *process = thread->task->process;

	return thread_group_leader(current) ? leader_begin(ctx, process, thread) : thread_begin(ctx, process, thread);
}

int kckpt_process_link(struct kckpt_ctx *ctx)
{
	const struct kckpt_process_rec *rec;
	struct kckpt_object *obj;
	int err;

	kckpt_for_each_object(&ctx->objs, obj) {
		if (obj->family != KCKPT_F_process)
			continue;
		rec = kckpt_process_rec(obj);
		err = kckpt_group_join(ctx, obj, rec->session, PIDTYPE_SID) ?:
		      kckpt_group_join(ctx, obj, rec->pgrp, PIDTYPE_PGID);
		if (err)
			return err;
		cond_resched();
	}
	return 0;
}

/* ---- restore: the rest ---- */

static int process_timers(struct kckpt_ctx *ctx, const struct kckpt_process_rec *rec,
			  int (*verb)(struct kckpt_ctx *ctx, struct kckpt_object *obj))
{
	return rec->timers ? verb(ctx, kckpt_objtab_get(&ctx->objs, rec->timers)) : 0;
}

static int process_build(struct kckpt_ctx *ctx, struct kckpt_thread *thread)
{
	struct kckpt_object *obj = thread->task->process, *mm;
	const struct kckpt_process_rec *rec = kckpt_process_rec(obj);
	int err = kckpt_make_own(ctx, obj, rec->sighand) ?: kckpt_make_own(ctx, obj, rec->mm);

	if (err)
		return err;
	mm = kckpt_objtab_get(&ctx->objs, rec->mm);
	/* Timers are made with a page of memory that is free: no area that somebody else makes may come there later. */
	if (rec->timers && mm && mm->creator != obj)
		err = kckpt_crew_wait_made(ctx->crew, mm);
	return err ?: process_timers(ctx, rec, kckpt_timers_create);
}

bool kckpt_thread_builds(struct kckpt_ctx *ctx, const struct kckpt_thread *thread)
{
	return thread_group_leader(current) || kckpt_task_builds(ctx, thread->task);
}

int kckpt_thread_build(struct kckpt_ctx *ctx, struct kckpt_thread *thread)
{
	int err = thread_group_leader(current) ? process_build(ctx, thread) : 0;

	return err ?: kckpt_task_build(ctx, thread->task);
}

static void process_set_stop(const struct kckpt_process_rec *rec)
{
	spin_lock_irq(&current->sighand->siglock);
	if (rec->process_flags & KCKPT_PROCESS_STOPPED) {
		current->signal->flags |= SIGNAL_STOP_STOPPED;
		current->signal->group_exit_code = rec->exit_code;
	} else if (rec->process_flags & KCKPT_PROCESS_CONTINUED) {
		current->signal->flags |= SIGNAL_STOP_CONTINUED;
	}
	spin_unlock_irq(&current->sighand->siglock);
}

static int process_finish(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_process_rec *rec)
{
	struct kckpt_object *mm = kckpt_objtab_get(&ctx->objs, rec->mm);
	int err = 0;

	if (mm && mm->creator == obj)
		err = kckpt_mm_finish(ctx, mm);
	if (err)
		return err;
	process_set_stop(rec);
	return kckpt_queue_pending(ctx, obj, KCKPT_K_process_signal, PIDTYPE_TGID);
}

bool kckpt_thread_stands_alone(struct kckpt_ctx *ctx, const struct kckpt_thread *thread)
{
	struct kckpt_object *process = thread->task->process;

	/* Timers may signal any thread, by its mask: not one that blocks everything still. */
	return !thread_group_leader(current) && !kckpt_process_rec(process)->timers &&
	       kckpt_task_stands_alone(ctx, process->first, thread->task);
}

int kckpt_thread_finish(struct kckpt_ctx *ctx, struct kckpt_thread *thread)
{
	struct kckpt_object *process = thread->task->process;
	const struct kckpt_process_rec *rec = kckpt_process_rec(process);
	bool leader = thread_group_leader(current);
	int err;

	/* All threads block everything until their own mask is set, so that queueing kills nobody. */
	err = (leader ? process_finish(ctx, process, rec) : 0) ?: kckpt_task_finish(ctx, thread);
	/* As late as may be: their time runs. */
	return err ?: leader ? process_timers(ctx, rec, kckpt_timers_arm) : 0;
}

u32 kckpt_thread_stop_signal(struct kckpt_object *task)
{
	bool stopped = kckpt_process_rec(task->process)->process_flags & KCKPT_PROCESS_STOPPED;

	return stopped ? kckpt_task_rec(task)->stop_signal : 0;
}

bool kckpt_thread_exit_code(struct kckpt_object *task, u32 *code)
{
	const struct kckpt_process_rec *rec = kckpt_process_rec(task->process);
	const struct kckpt_task_rec *thread = kckpt_task_rec(task);

	*code = rec->process_flags & KCKPT_PROCESS_ENDED ? rec->exit_code : thread->exit_code;
	return thread->task_flags & KCKPT_TASK_ENDED;
}

static int process_set_limits(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct task_struct *task)
{
	struct rlimit limits[RLIM_NLIMITS];
	int nr = process_limits(ctx, obj, limits), i, err;

	for (i = 0; i < nr; i++) {
		if (!memcmp(&task->signal->rlim[i], &limits[i], sizeof(limits[i])))
			continue;
		err = kckpt_should_fail() ? -EPERM : kcall(do_prlimit)(task, i, &limits[i], NULL);
		if (err)
			return kckpt_fail(ctx, obj, KCKPT_E_CREATE, err, "limit %d", i);
	}
	return min(nr, 0);
}

int kckpt_process_seal(struct kckpt_ctx *ctx)
{
	struct kckpt_object *obj;
	int err = 0;

	kckpt_for_each_object(&ctx->objs, obj)
		if (obj->family == KCKPT_F_process && !err)
			err = process_set_limits(ctx, obj, obj->made);
	return err;
}

bool kckpt_process_ended(struct kckpt_object *obj)
{
	return kckpt_process_rec(obj)->process_flags & KCKPT_PROCESS_ENDED;
}

void kckpt_process_set_exit_signal(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct kckpt_process_rec *rec = kckpt_process_rec(obj);
	struct kckpt_object *parent = plan_parent(ctx, rec);
	struct task_struct *task = obj->made;

	read_lock(kdata(tasklist_lock));
	/* Others, whom it was left to, and the restorer have not chosen another signal, which might end them. */
	if (pid_alive(task))	/* else its parent may be gone, too */
		task->exit_signal = parent && same_thread_group(task->real_parent, parent->made) ? rec->exit_signal :
												   SIGCHLD;
	read_unlock(kdata(tasklist_lock));
	if (rec->process_flags & KCKPT_PROCESS_PARENT_EXECED)
		task->parent_exec_id--;	/* all were created with the same one */
}

const struct kckpt_family_ops kckpt_process_ops = {
	.name = "process",
	.collect = process_collect, .closed = process_closed, .dump = process_dump,
	.check = process_check,
	.release = process_release,
};
