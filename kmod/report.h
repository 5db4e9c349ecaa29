/* SPDX-License-Identifier: GPL-2.0 */
/* The report of a session: facts about what went wrong or stands in the way. */
#ifndef KCKPT_REPORT_H
#define KCKPT_REPORT_H

#include <linux/spinlock.h>
#include <linux/types.h>
#include <kckpt/uapi.h>

struct pid_namespace;
struct task_struct;

struct kckpt_report_list {
	spinlock_t lock;		/* innermost: nothing is taken under it */
	struct kckpt_error *errors;
	u32 nr, total;
};

/* Which task and descriptor a fact is about; pid in the namespace of the session's caller. */
struct kckpt_where {
	s32 pid, fd;
	char comm[TASK_COMM_LEN];
};
#define KCKPT_NOWHERE ((struct kckpt_where){ .fd = -1 })

int kckpt_report_init(struct kckpt_report_list *report);
void kckpt_report_free(struct kckpt_report_list *report);
void kckpt_report_add(struct kckpt_report_list *report, const struct kckpt_error *error);

struct kckpt_where kckpt_where(struct task_struct *task, struct pid_namespace *ns, int fd);

/* kckpt_report_clear() - begin a new list, with a new request. */
void kckpt_report_clear(struct kckpt_report_list *report);

/* kckpt_error_errno() - the errno that errors.def gives to a code, negative. */
int kckpt_error_errno(u32 code);

/* kckpt_report_get() - copies one entry out; false past the end. */
bool kckpt_report_get(struct kckpt_report_list *report, u32 i, struct kckpt_error *error);

#endif
