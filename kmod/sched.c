// SPDX-License-Identifier: GPL-2.0
/*
 * See sched.h. Restored with the caller's rights, before the thread has its own, but never beyond what the caller
 * could set.
 *
 * Saved: what sched_getattr(), sched_getaffinity() and ioprio_get() tell. A thread that may run on all CPUs of its
 * cpuset is bound to none.
 * Refused: NUMA policies, core scheduling, utilization clamps, other policies than those of sched(7).
 * Not saved: what is left of a slice or of the runtime of SCHED_DEADLINE, CPUs asked for that the cpuset does not have.
 */
#include <linux/cpumask.h>
#include <linux/cpuset.h>
#include <linux/iocontext.h>
#include <linux/ioprio.h>
#include <linux/mempolicy.h>
#include <linux/sched/prio.h>
#include <linux/slab.h>
#include <uapi/linux/sched/types.h>

#include "compat/sched.h"
#include "family.h"
#include "fault.h"
#include "ksym.h"
#include "sched.h"

#define CPU_LIST_MAX	65536		/* bytes */
#define FLAGS_KNOWN	(SCHED_FLAG_RESET_ON_FORK | SCHED_FLAG_RECLAIM | SCHED_FLAG_DL_OVERRUN)

/* ---- dump ---- */

const char *kckpt_sched_refused(const struct task_struct *task)
{
	switch (task->policy) {
	case SCHED_NORMAL:
	case SCHED_FIFO:
	case SCHED_RR:
	case SCHED_BATCH:
	case SCHED_IDLE:
	case SCHED_DEADLINE:
		break;
	default:
		return "a scheduling policy that is not known";
	}
#ifdef CONFIG_NUMA
	if (task->mempolicy)
		return "a NUMA memory policy";
#endif
#ifdef CONFIG_SCHED_CORE
	if (task->core_cookie)
		return "a core scheduling cookie";
#endif
#ifdef CONFIG_UCLAMP_TASK
	if (task->uclamp_req[UCLAMP_MIN].user_defined || task->uclamp_req[UCLAMP_MAX].user_defined)
		return "utilization clamps";
#endif
	return NULL;
}

/* With the lock that sched_setattr() takes. */
static int describe_locked(struct task_struct *task, void *arg)
{
	struct kckpt_task_rec *rec = arg;

	rec->policy = task->policy;
	rec->nice = task_nice(task);
	rec->sched_flags = task->sched_reset_on_fork ? SCHED_FLAG_RESET_ON_FORK : 0;
	if (task->policy == SCHED_FIFO || task->policy == SCHED_RR)
		rec->priority = task->rt_priority;
	if (task->policy == SCHED_NORMAL || task->policy == SCHED_BATCH)
		rec->sched_runtime = kckpt_sched_slice(task);
	if (task->policy == SCHED_DEADLINE) {
		rec->sched_flags |= task->dl.flags & FLAGS_KNOWN;
		rec->sched_runtime = task->dl.dl_runtime;
		rec->sched_deadline = task->dl.dl_deadline;
		rec->sched_period = task->dl.dl_period;
	}
	return 0;
}

static u32 ioprio_of(struct task_struct *task)
{
	u32 ioprio = IOPRIO_DEFAULT;

	task_lock(task);
	if (task->io_context)
		ioprio = task->io_context->ioprio;
	task_unlock(task);
	return ioprio;
}

void kckpt_sched_describe(struct task_struct *task, struct kckpt_task_rec *rec)
{
	kcall(task_call_func)(task, describe_locked, rec);
	rec->ioprio = ioprio_of(task);
}

static int copy_cpus_locked(struct task_struct *task, void *arg)
{
	cpumask_copy(arg, &task->cpus_mask);
	return 0;
}

/* May it run wherever its cpuset lets it? @scratch is written to. */
static bool is_unbound(struct task_struct *task, const struct cpumask *cpus, struct cpumask *scratch)
{
	kcall(cpuset_cpus_allowed)(task, scratch);
	cpumask_and(scratch, scratch, cpu_online_mask);
	return cpumask_subset(scratch, cpus);
}

static int put_cpu_list(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct cpumask *cpus)
{
	struct kckpt_task_cpus_rec rec = {};
	char *list = kckpt_should_fail() ? NULL : kasprintf(GFP_KERNEL_ACCOUNT, "%*pbl", cpumask_pr_args(cpus));
	int err;

	if (!list)
		return kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, 0, "list of CPUs");
	rec.list_len = strlen(list);
	err = kckpt_put(ctx, obj, KCKPT_K_task_cpus, &rec, sizeof(rec), list, rec.list_len);
	kfree(list);
	return err;
}

static int is_free_locked(struct task_struct *task, void *unused)
{
	return cpumask_subset(cpu_online_mask, &task->cpus_mask);
}

/* On all CPUs there are, whatever its cpuset has: the usual case, which needs no memory. */
static bool is_free(struct task_struct *task)
{
	return kcall(task_call_func)(task, is_free_locked, NULL);
}

int kckpt_sched_put(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct task_struct *task)
{
	struct cpumask *cpus, *scratch;
	int err = 0;

	if (is_free(task))
		return 0;
	cpus = kckpt_alloc(2 * cpumask_size());
	if (!cpus)
		return kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, 0, "CPU mask");
	scratch = (void *)cpus + cpumask_size();
	kcall(task_call_func)(task, copy_cpus_locked, cpus);
	if (!is_unbound(task, cpus, scratch))
		err = put_cpu_list(ctx, obj, cpus);
	kvfree(cpus);
	return err;
}

/* ---- restore ---- */

/* The CPUs that the thread is bound to. 1: to some; 0: to none. */
static int read_cpu_list(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct cpumask *cpus)
{
	const struct kckpt_rec *from = kckpt_rec_next(obj, KCKPT_K_task_cpus, NULL);
	struct kckpt_task_cpus_rec rec;
	const void *tail;
	char *list;
	int err;

	if (!from)
		return 0;
	err = kckpt_rec_get(ctx, obj, from, &rec, sizeof(rec), &rec.list_len, 1, &tail);
	if (err)
		return err;
	if (!rec.list_len || rec.list_len > CPU_LIST_MAX || rec.reserved)
		return kckpt_bad_image(ctx, obj, "list of CPUs");
	list = kckpt_should_fail() ? NULL : kmemdup_nul(tail, rec.list_len, GFP_KERNEL_ACCOUNT);
	if (!list)
		return kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, 0, "list of CPUs");
	err = cpulist_parse(list, cpus);
	if (err == -ERANGE || err == -EOVERFLOW || (!err && !cpumask_subset(cpus, cpu_online_mask)))
		err = kckpt_fail(ctx, obj, KCKPT_E_TASK_CPUS, 0, "%s", list);
	else if (err || cpumask_empty(cpus))
		err = kckpt_bad_image(ctx, obj, "list of CPUs");
	kfree(list);
	return err ?: 1;
}

static int check_cpu_list(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct cpumask *cpus;
	int err;

	if (!kckpt_rec_next(obj, KCKPT_K_task_cpus, NULL))
		return 0;
	cpus = kckpt_alloc(cpumask_size());
	if (!cpus)
		return kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, 0, "CPU mask");
	err = read_cpu_list(ctx, obj, cpus);
	kvfree(cpus);
	/* CPUs that are not here are no fault of the image: the rest is checked, too. */
	return err < 0 && err != -EOPNOTSUPP ? err : 0;
}

static bool is_realtime(u32 policy)
{
	return policy == SCHED_FIFO || policy == SCHED_RR;
}

static bool policy_sane(const struct kckpt_task_rec *rec)
{
	bool deadline = rec->policy == SCHED_DEADLINE;

	if (rec->sched_flags & ~(deadline ? FLAGS_KNOWN : SCHED_FLAG_RESET_ON_FORK))
		return false;
	if (!deadline && (rec->sched_deadline || rec->sched_period))
		return false;
	switch (rec->policy) {
	case SCHED_NORMAL:
	case SCHED_BATCH:
		return !rec->priority;
	case SCHED_IDLE:
		return !rec->priority && !rec->sched_runtime;
	case SCHED_FIFO:
	case SCHED_RR:
		return rec->priority && rec->priority < MAX_RT_PRIO && !rec->sched_runtime;
	default:
		return deadline && !rec->priority;
	}
}

/* As sched_setattr() and ioprio_set() ask. */
static void check_rights(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_task_rec *rec)
{
	bool more = is_realtime(rec->policy) || rec->policy == SCHED_DEADLINE || rec->nice < task_nice(current);
	int err;

	if (more && !capable(CAP_SYS_NICE))
		kckpt_fail(ctx, obj, KCKPT_E_TASK_CREDS, 0, "CAP_SYS_NICE is missing");
	err = kcall(ioprio_check_cap)(rec->ioprio);
	if (err == -EPERM)
		kckpt_fail(ctx, obj, KCKPT_E_TASK_CREDS, 0, "an I/O priority");
	else if (err)
		kckpt_fail(ctx, obj, KCKPT_E_TASK_ATTRIBUTE, 0, "an I/O priority that this kernel does not know");
}

int kckpt_sched_check(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_task_rec *rec)
{
	if (!policy_sane(rec) || rec->nice < MIN_NICE || rec->nice > MAX_NICE || rec->ioprio > U16_MAX)
		return kckpt_bad_image(ctx, obj, "scheduling");
	if (rec->sched_runtime && rec->policy != SCHED_DEADLINE && !kckpt_sched_has_slices())
		kckpt_fail(ctx, obj, KCKPT_E_TASK_ATTRIBUTE, 0, "a slice of its own (sched_setattr)");
	check_rights(ctx, obj, rec);
	return check_cpu_list(ctx, obj);
}

static int bind_to_cpus(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct cpumask *cpus, struct cpumask *scratch)
{
	int bound = read_cpu_list(ctx, obj, cpus), err;

	if (bound < 0 || (!bound && is_unbound(current, &current->cpus_mask, scratch)))
		return bound;
	if (!bound)
		cpumask_copy(cpus, cpu_possible_mask);
	err = kckpt_should_fail() ? -EINVAL : kcall(sched_setaffinity)(0, cpus);
	/* The kernel takes what the cpuset has of them. */
	if (!err && bound && !cpumask_equal(cpus, &current->cpus_mask))
		err = -EINVAL;
	return err ? kckpt_fail(ctx, obj, KCKPT_E_CREATE, err, "CPU affinity; does the cpuset have these CPUs?") : 0;
}

static int set_affinity(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct cpumask *cpus;
	int err;

	if (!kckpt_rec_next(obj, KCKPT_K_task_cpus, NULL) && is_free(current))
		return 0;
	cpus = kckpt_alloc(2 * cpumask_size());
	if (!cpus)
		return kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, 0, "CPU mask");
	err = bind_to_cpus(ctx, obj, cpus, (void *)cpus + cpumask_size());
	kvfree(cpus);
	return err;
}

/* As who made it. */
static bool has_policy(const struct kckpt_task_rec *rec)
{
	struct kckpt_task_rec now = {};

	kcall(task_call_func)(current, describe_locked, &now);
	return now.policy == rec->policy && now.nice == rec->nice && now.sched_flags == rec->sched_flags &&
	       now.priority == rec->priority && now.sched_runtime == rec->sched_runtime &&
	       now.sched_deadline == rec->sched_deadline && now.sched_period == rec->sched_period;
}

static int set_policy(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_task_rec *rec)
{
	const struct sched_attr attr = {
		.size = sizeof(attr),
		.sched_policy = rec->policy,
		.sched_flags = rec->sched_flags,
		.sched_nice = rec->nice,
		.sched_priority = rec->priority,
		.sched_runtime = rec->sched_runtime,
		.sched_deadline = rec->sched_deadline,
		.sched_period = rec->sched_period,
	};
	int err;

	if (has_policy(rec))
		return 0;
	/* Policies that do not look at the nice value keep it for those that do. */
	set_user_nice(current, rec->nice);
	err = kckpt_should_fail() ? -EBUSY : sched_setattr_nocheck(current, &attr);
	return err ? kckpt_fail(ctx, obj, KCKPT_E_CREATE, err, "scheduling policy") : 0;
}

static int set_io_priority(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_task_rec *rec)
{
	int err;

	if (ioprio_of(current) == rec->ioprio)
		return 0;
	err = kckpt_should_fail() ? -ENOMEM : set_task_ioprio(current, rec->ioprio);
	return err ? kckpt_fail(ctx, obj, KCKPT_E_CREATE, err, "I/O priority") : 0;
}

int kckpt_sched_restore(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_task_rec *rec)
{
	return set_affinity(ctx, obj) ?: set_policy(ctx, obj, rec) ?: set_io_priority(ctx, obj, rec);
}
