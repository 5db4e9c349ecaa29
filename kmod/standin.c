// SPDX-License-Identifier: GPL-2.0
/*
 * See standin.h. It shares all that costs something with its creator, never sees user mode, and waits where no signal
 * reaches it; its creator only opens a file meanwhile.
 */
#include <linux/delay.h>
#include <linux/sched/task.h>
#include <uapi/linux/sched.h>
#include <uapi/linux/wait.h>

#include "fault.h"
#include "ksym.h"
#include "standin.h"

static int standin_main(void *arg)
{
	struct kckpt_standin *standin = arg;

	wait_for_completion(&standin->end);
	kcall(do_exit)(0);
	return 0;
}

int kckpt_standin_begin(struct kckpt_standin *standin, pid_t pid)
{
	struct kernel_clone_args args = {
		.flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_UNTRACED,
		.fn = standin_main,
		.fn_arg = standin,
		.set_tid = &pid,
		.set_tid_size = 1,
	};
	pid_t made;

	init_completion(&standin->end);
	made = kckpt_should_fail() ? -EAGAIN : kcall(kernel_clone)(&args);
	if (made < 0)
		return made == -ERESTARTNOINTR ? -EINTR : made;
	/* Nobody but us can reap it. */
	standin->task = kcall(find_get_task_by_vpid)(made);
	return 0;
}

void kckpt_standin_end(struct kckpt_standin *standin)
{
	pid_t pid = task_pid_vnr(standin->task);

	complete(&standin->end);
	/* It is still in our text, and has what is on our stack; to wait as a parent does would end with a signal. */
	while (!READ_ONCE(standin->task->exit_state))
		usleep_range(20, 50);
	kcall(kernel_wait4)(pid, NULL, WNOHANG | __WALL, NULL);
	put_task_struct(standin->task);
}
