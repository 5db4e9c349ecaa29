/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCKPT_OBJ_CPU_H
#define KCKPT_OBJ_CPU_H

#include <linux/ptrace.h>

struct kckpt_ctx;
struct kckpt_object;

/* kckpt_cpu_regs() - the user registers of a frozen task; false if it is gone. */
bool kckpt_cpu_regs(struct task_struct *task, struct pt_regs *regs);

/* kckpt_cpu_restore() - segment bases and vector state of the current task; its registers go to @regs. */
int kckpt_cpu_restore(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct pt_regs *regs);

#endif
