/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The fail-nth hook: makes the n-th allocation, copy, wait or page operation of the module fail, so that tests can
 * walk through every failure path. Write n to <debugfs>/kckpt/fail_nth (0: off); reading it tells how many
 * points were passed since. Other files of that directory: abi, see kckpt_abi(), and check_unchanged, which is 1 unless
 * it is set to 0, see kckpt_checks_unchanged(). Compiled to nothing without KCKPT_FAULTS.
 */
#ifndef KCKPT_FAULT_H
#define KCKPT_FAULT_H

#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/types.h>
#include <linux/uaccess.h>
#include <kckpt/uapi.h>

#ifdef KCKPT_FAULTS
#define KCKPT_HAS_FAULTS true
bool kckpt_should_fail(void);
/* Is what is said to be unchanged looked at all the same, and little memory treated as if it were much? See watch.c. */
bool kckpt_checks_unchanged(void);
u32 kckpt_abi(void);		/* what <debugfs>/kckpt/abi was set to, so that a tool can meet another module */
void kckpt_fault_init(void);
void kckpt_fault_exit(void);
#else
#define KCKPT_HAS_FAULTS false
static inline bool kckpt_should_fail(void) { return false; }
static inline bool kckpt_checks_unchanged(void) { return false; }
static inline u32 kckpt_abi(void) { return KCKPT_ABI; }
static inline void kckpt_fault_init(void) { }
static inline void kckpt_fault_exit(void) { }
#endif

/* kckpt_alloc() - zeroed memory of any size, charged to the caller's memcg; free with kvfree(). */
static inline void *kckpt_alloc(size_t size)
{
	return kckpt_should_fail() ? NULL : kvzalloc(size, GFP_KERNEL_ACCOUNT);
}

/* kckpt_copy_struct() - a request from user space, of any version (see the head of uapi.h). */
static inline int kckpt_copy_struct(void *dst, size_t size, const void __user *src, size_t user_size)
{
	return kckpt_should_fail() ? -EFAULT : copy_struct_from_user(dst, size, src, user_size);
}

static inline int kckpt_copy_in(void *dst, const void __user *src, size_t size)
{
	return kckpt_should_fail() || copy_from_user(dst, src, size) ? -EFAULT : 0;
}

static inline int kckpt_copy_out(void __user *dst, const void *src, size_t size)
{
	return kckpt_should_fail() || copy_to_user(dst, src, size) ? -EFAULT : 0;
}

#endif
