// SPDX-License-Identifier: GPL-2.0
/* Load and unload. */
#include <linux/module.h>
#include <linux/rcupdate.h>

#include "compat/version.h"
#include "drift.h"
#include "events.h"
#include "fault.h"
#include "ksym.h"
#include "main.h"
#include "session.h"

bool kckpt_untested;

static bool allow_untested;
module_param(allow_untested, bool, 0444);
MODULE_PARM_DESC(allow_untested, "load on a kernel newer than the ones kckpt was tested with");

static int __init kckpt_init(void)
{
	int err;

	kckpt_untested = kckpt_kernel_untested();
	if (kckpt_untested && !allow_untested) {
		pr_err("this kernel is newer than the ones tested; allow_untested=1 loads anyway\n");
		return -EOPNOTSUPP;
	}
	err = kckpt_ksym_init();
	if (err)
		return err;
	err = kckpt_drift_check(allow_untested);
	if (err < 0)
		return err;
	kckpt_untested |= err;
	err = kckpt_ksym_check_core();
	if (err)
		return err;
	kckpt_fault_init();
	kckpt_events_init();
	err = kckpt_chardev_init();
	if (!err)
		return 0;
	kckpt_events_exit();
	kckpt_fault_exit();
	return err;
}

/*
 * No session and no restored task holds a reference any more, but a task may still be executing the few instructions
 * after it dropped its own; it has left them when it sleeps or is back in user mode.
 */
static void __exit kckpt_exit(void)
{
	kckpt_chardev_exit();
	kckpt_events_exit();
	kckpt_fault_exit();
	synchronize_rcu_tasks();
}

module_init(kckpt_init);
module_exit(kckpt_exit);
MODULE_DESCRIPTION("Checkpoint and restore of cgroups, inside the kernel");
MODULE_LICENSE("GPL");
MODULE_VERSION(KCKPT_VERSION);
