/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCKPT_COMPAT_CPU_H
#define KCKPT_COMPAT_CPU_H

#include <linux/sched.h>
#include <linux/version.h>
#include <asm/fpu/types.h>
#include <asm/vdso.h>

/*
 * kckpt_fpu() - the vector state of a task that is no kernel thread. Behind the task_struct since "x86/fpu: Make
 * task_struct::thread constant size" (v6.16); the function of the kernel that tells is not exported, and its
 * macro is not there with CONFIG_X86_DEBUG_FPU.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 16, 0)
static inline struct fpu *kckpt_fpu(struct task_struct *task)
{
	return (void *)task + sizeof(*task);
}
#else
static inline struct fpu *kckpt_fpu(struct task_struct *task)
{
	return &task->thread.fpu;
}
#endif

/*
 * kckpt_vdso_image() - the vdso of 64-bit programs. Renamed by "x86/entry/vdso: Rename vdso_image_* to vdso*_image"
 * (v7.0). KCKPT_KSYM_VDSO_DATA: what that needs; see ksym.h.
 */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 0, 0)
#define KCKPT_KSYM_VDSO_DATA(X) X(vdso64_image, mm, "the vdso of this kernel")
#define kckpt_vdso_image() ((const struct vdso_image *)kdata(vdso64_image))
#else
#define KCKPT_KSYM_VDSO_DATA(X) X(vdso_image_64, mm, "the vdso of this kernel")
#define kckpt_vdso_image() ((const struct vdso_image *)kdata(vdso_image_64))
#endif

#endif
