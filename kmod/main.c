// SPDX-License-Identifier: GPL-2.0
/* Load and unload. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/utsname.h>

#include "compat/version.h"
#include "drift.h"
#include "events.h"
#include "fault.h"
#include "ksym.h"
#include "main.h"
#include "session.h"
#include "snapshot.h"
#include "stream.h"
#include "watch.h"

bool kckpt_untested;

static bool allow_untested;
module_param(allow_untested, bool, 0444);
MODULE_PARM_DESC(allow_untested, "load on a kernel that is none of those kckpt is tested with");

#define VERSION_TEXT(major, minor) " " #major "." #minor

/* What another kernel has in its objects is not known here: it may be lost, and a job may be damaged. */
static int __init check_kernel(void)
{
	kckpt_untested = kckpt_kernel_untested() || kckpt_drift_test("version");
	if (!kckpt_untested)
		return 0;
	if (!allow_untested) {
		pr_err("Linux %s is none of those tested," KCKPT_TESTED(VERSION_TEXT)
		       ": loads with allow_untested=1 only\n", utsname()->release);
		return -EOPNOTSUPP;
	}
	pr_warn("Linux %s is none of those tested," KCKPT_TESTED(VERSION_TEXT) ": loaded by allow_untested=1\n",
		utsname()->release);
	return 0;
}

static int __init kckpt_init(void)
{
	int err = check_kernel();

	if (err)
		return err;
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
	err = kckpt_workers_init();
	if (err)
		return err;
	kckpt_fault_init();
	kckpt_events_init();
	err = kckpt_chardev_init();
	if (!err)
		return 0;
	kckpt_events_exit();
	kckpt_fault_exit();
	kckpt_workers_exit();
	return err;
}

/*
 * No session and no restored task holds a reference any more, but a task may still be executing the few instructions
 * after it dropped its own; it has left them when it sleeps or is back in user mode.
 */
static void __exit kckpt_exit(void)
{
	kckpt_chardev_exit();
	kckpt_snapshots_exit();
	kckpt_watches_exit();
	kckpt_events_exit();
	kckpt_fault_exit();
	kckpt_workers_exit();
	synchronize_rcu_tasks();
}

module_init(kckpt_init);
module_exit(kckpt_exit);
MODULE_DESCRIPTION("Checkpoint and restore of cgroups, inside the kernel");
MODULE_LICENSE("GPL");
MODULE_VERSION(KCKPT_VERSION);
