/* SPDX-License-Identifier: GPL-2.0 */
/* A process for a moment: it has the number of one that has ended, so that a file can be opened on it. */
#ifndef KCKPT_STANDIN_H
#define KCKPT_STANDIN_H

#include <linux/completion.h>
#include <linux/types.h>

struct task_struct;

struct kckpt_standin {
	struct completion end;
	struct task_struct *task;
};

/* kckpt_standin_begin() - in a restored process: a child with that number, which does nothing. -EEXIST: it is taken. */
int kckpt_standin_begin(struct kckpt_standin *standin, pid_t pid);

/* kckpt_standin_end() - it has ended, and is reaped. */
void kckpt_standin_end(struct kckpt_standin *standin);

#endif
