// SPDX-License-Identifier: GPL-2.0
/* Allocated with the session, in full: what has to tell that memory is short must not need any. */
#include <linux/pid_namespace.h>
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <linux/vmalloc.h>

#include "fault.h"
#include "report.h"

static const s16 report_errno[] = {
	[KCKPT_E_NONE] = 0,
#define KCKPT_ERROR(name, err, text, remedy) [KCKPT_E_##name] = err,
#include <kckpt/errors.def>
#undef KCKPT_ERROR
};

int kckpt_error_errno(u32 code)
{
	return code < ARRAY_SIZE(report_errno) ? -report_errno[code] : -EIO;
}

int kckpt_report_init(struct kckpt_report_list *report)
{
	spin_lock_init(&report->lock);
	report->errors = kckpt_alloc(KCKPT_MAX_REPORT * sizeof(*report->errors));
	return report->errors ? 0 : -ENOMEM;
}

void kckpt_report_free(struct kckpt_report_list *report)
{
	kvfree(report->errors);
}

void kckpt_report_add(struct kckpt_report_list *report, const struct kckpt_error *error)
{
	spin_lock(&report->lock);
	if (report->nr < KCKPT_MAX_REPORT)
		report->errors[report->nr++] = *error;
	report->total++;
	spin_unlock(&report->lock);
}

void kckpt_report_clear(struct kckpt_report_list *report)
{
	spin_lock(&report->lock);
	report->nr = report->total = 0;
	spin_unlock(&report->lock);
}

bool kckpt_report_get(struct kckpt_report_list *report, u32 i, struct kckpt_error *error)
{
	bool found;

	spin_lock(&report->lock);
	found = i < report->nr;
	if (found)
		*error = report->errors[i];
	spin_unlock(&report->lock);
	return found;
}

struct kckpt_where kckpt_where(struct task_struct *task, struct pid_namespace *ns, int fd)
{
	struct kckpt_where where = { .pid = task_pid_nr_ns(task, ns), .fd = fd };

	get_task_comm(where.comm, task);
	return where;
}
