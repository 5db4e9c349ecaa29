// SPDX-License-Identifier: GPL-2.0
/* See fault.h. */
#ifdef KCKPT_FAULTS
#include <linux/atomic.h>
#include <linux/debugfs.h>

#include "fault.h"

static atomic64_t fault_passed = ATOMIC64_INIT(0);
static u64 fault_nth;
static u32 fault_abi = KCKPT_ABI;
static bool fault_check_unchanged = true;
static struct dentry *fault_dir;

u32 kckpt_abi(void)
{
	return READ_ONCE(fault_abi);
}

bool kckpt_checks_unchanged(void)
{
	return READ_ONCE(fault_check_unchanged);
}

bool kckpt_should_fail(void)
{
	u64 nth = READ_ONCE(fault_nth);

	return nth && atomic64_inc_return(&fault_passed) == nth;
}

static int fault_get(void *data, u64 *val)
{
	*val = atomic64_read(&fault_passed);
	return 0;
}

static int fault_set(void *data, u64 val)
{
	WRITE_ONCE(fault_nth, 0);
	atomic64_set(&fault_passed, 0);
	WRITE_ONCE(fault_nth, val);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(fault_fops, fault_get, fault_set, "%llu\n");

void kckpt_fault_init(void)
{
	fault_dir = debugfs_create_dir("kckpt", NULL);
	debugfs_create_u32("abi", 0600, fault_dir, &fault_abi);
	debugfs_create_bool("check_unchanged", 0600, fault_dir, &fault_check_unchanged);
	debugfs_create_file_unsafe("fail_nth", 0600, fault_dir, NULL, &fault_fops);
}

void kckpt_fault_exit(void)
{
	debugfs_remove_recursive(fault_dir);
}
#endif
