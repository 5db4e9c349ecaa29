// SPDX-License-Identifier: GPL-2.0
/*
 * x86-64 registers: general ones, segment bases, and all that XSAVE knows (x87, SSE, AVX, AVX-512, PKRU ...).
 *
 * The XSAVE area is in the standard format, the one of signal frames and NT_X86_XSTATE, which the kernel checks when
 * it loads it. It can be loaded where all its components exist and lie at the same places.
 *
 * Refused: 32-bit mode, LDT and TLS segments, I/O ports, AMX tiles, shadow stacks, disabled TSC or CPUID.
 * Not saved: hardware breakpoints (a tracer's).
 */
#include <linux/regset.h>
#include <linux/sched/signal.h>
#include <linux/sched/task_stack.h>
#include <linux/elf.h>
#include <asm/desc.h>
#include <asm/fpu/api.h>
#include <asm/fpu/types.h>
#include <asm/fpu/xstate.h>
#include <asm/pkru.h>
#include <asm/prctl.h>

#include "compat/cpu.h"
#include "compat/task.h"
#include "family.h"
#include "fault.h"
#include "ksym.h"
#include "obj_cpu.h"

#define XSAVE_MIN	(512 + 64)	/* legacy area and header */
#define XSAVE_MAX	65536
#define XSAVE_MASK_AT	464		/* in the legacy area: which components there are (see ptrace(2)) */

/* Flags that user mode may have; interrupts are always on there. As in arch/x86/kernel/ptrace.c. */
#define CPU_USER_FLAGS	(X86_EFLAGS_CF | X86_EFLAGS_PF | X86_EFLAGS_AF | X86_EFLAGS_ZF | X86_EFLAGS_SF | \
			 X86_EFLAGS_TF | X86_EFLAGS_DF | X86_EFLAGS_OF | X86_EFLAGS_RF | X86_EFLAGS_AC | X86_EFLAGS_ID)

/* image name, pt_regs name */
#define CPU_REGS(X)										\
	X(r15, r15) X(r14, r14) X(r13, r13) X(r12, r12) X(rbp, bp) X(rbx, bx) X(r11, r11) X(r10, r10)	\
	X(r9, r9) X(r8, r8) X(rax, ax) X(rcx, cx) X(rdx, dx) X(rsi, si) X(rdi, di)			\
	X(orig_rax, orig_ax) X(rip, ip) X(rflags, flags) X(rsp, sp)

bool kckpt_cpu_regs(struct task_struct *task, struct pt_regs *regs)
{
	if (!try_get_task_stack(task))
		return false;
	*regs = *task_pt_regs(task);
	kcall(put_task_stack)(task);
	return true;
}

static void cpu_put(void *ptr)
{
	put_task_struct(ptr);
}

/* ---- dump ---- */

static const char *cpu_unsupported(struct task_struct *task, const struct pt_regs *regs)
{
	const struct thread_struct *thread = &task->thread;
	unsigned int i;

	if (thread->fsindex || thread->gsindex || thread->ds || thread->es)
		return "segment registers";
	for (i = 0; i < GDT_ENTRY_TLS_ENTRIES; i++)
		if (thread->tls_array[i].p)
			return "TLS segments (set_thread_area)";
	if (thread->io_bitmap || thread->iopl_emul)
		return "I/O port permissions";
	if (test_tsk_thread_flag(task, TIF_NOTSC) || test_tsk_thread_flag(task, TIF_NOCPUID))
		return "a disabled TSC or CPUID";
	if (kckpt_fpu(task->group_leader)->perm.__state_perm & XFEATURE_MASK_USER_DYNAMIC)
		return "AMX permission (arch_prctl)";
	if (kckpt_has_shadow_stack(task))
		return "a shadow stack";
	return NULL;
}

static int cpu_collect(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct task_struct *task = (struct task_struct *)obj->ptr;
	const char *unsupported;
	struct pt_regs regs;

	if (!kckpt_cpu_regs(task, &regs)) {
		kckpt_fail(ctx, obj, KCKPT_E_TASK_DYING, 0, "");
		return 0;
	}
	if (regs.cs != __USER_CS || test_tsk_thread_flag(task, TIF_ADDR32)) {
		kckpt_fail(ctx, obj, KCKPT_E_TASK_COMPAT, 0, "");
		return 0;
	}
	unsupported = cpu_unsupported(task, &regs);
	if (unsupported)
		kckpt_fail(ctx, obj, KCKPT_E_CPU_STATE, 0, "%s", unsupported);
	return 0;
}

/* The XSAVE area of a task that does not run, for kvfree(); its size or a negative errno. */
static int cpu_xsave(struct task_struct *task, void **area)
{
	const struct user_regset_view *view = task_user_regset_view(task);
	unsigned int i;

	for (i = 0; i < view->n; i++) {
		const struct user_regset *set = &view->regsets[i];

		if (set->core_note_type == NT_X86_XSTATE)
			return kckpt_should_fail() ? -ENOMEM : regset_get_alloc(task, set, set->n * set->size, area);
	}
	return -ENODEV;
}

static int cpu_dump(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct task_struct *task = (struct task_struct *)obj->ptr;
	struct kckpt_cpu_rec rec = {
		.fs_base = kcall(x86_fsbase_read_task)(task),
		.gs_base = kcall(x86_gsbase_read_task)(task),
	};
	struct pt_regs regs;
	void *area = NULL;
	int size, err;

	if (!kckpt_cpu_regs(task, &regs))
		return kckpt_fail(ctx, obj, KCKPT_E_JOB_MOVED, 0, "");
#define X(image, kernel) rec.image = regs.kernel;
	CPU_REGS(X)
#undef X
	rec.cr2 = task->thread.cr2;
	rec.trap_nr = task->thread.trap_nr;
	rec.error_code = task->thread.error_code;
	size = cpu_xsave(task, &area);
	if (size < XSAVE_MIN) {
		kvfree(area);
		return kckpt_fail(ctx, obj, KCKPT_E_CPU_STATE, size < 0 ? size : 0, "no XSAVE");
	}
	rec.xsave_size = size;
	rec.xfeatures = *(u64 *)(area + XSAVE_MASK_AT);
	if (rec.xfeatures & XFEATURE_MASK_XTILE_DATA && ((u64 *)(area + 512))[0] & XFEATURE_MASK_XTILE_DATA)
		err = kckpt_fail(ctx, obj, KCKPT_E_CPU_STATE, 0, "AMX tiles");
	else
		err = kckpt_put(ctx, obj, KCKPT_K_cpu, &rec, sizeof(rec), area, size);
	kvfree(area);
	return err;
}

/* ---- restore ---- */

static int cpu_rec(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct kckpt_cpu_rec *rec, const void **area)
{
	return kckpt_rec_only(ctx, obj, KCKPT_K_cpu, rec, sizeof(*rec), &rec->xsave_size, 1, area);
}

static int cpu_check(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct fpu_state_config *mine = kdata(fpu_user_cfg);
	struct kckpt_cpu_rec rec;
	const void *area;
	int err = cpu_rec(ctx, obj, &rec, &area);

	if (err)
		return err;
	if (rec.xsave_size < XSAVE_MIN || rec.xsave_size > XSAVE_MAX || rec.reserved || rec.selectors ||
	    rec.selectors2 || rec.fs_base >= TASK_SIZE_MAX || rec.gs_base >= TASK_SIZE_MAX ||
	    rec.rip >= TASK_SIZE_MAX || rec.rflags & ~(CPU_USER_FLAGS | X86_EFLAGS_IF | X86_EFLAGS_FIXED))
		return kckpt_bad_image(ctx, obj, "registers");
	if (rec.xsave_size > mine->max_size || rec.xfeatures & ~mine->max_features)
		return kckpt_fail(ctx, obj, KCKPT_E_CPU_FEATURE, 0, "XSAVE components 0x%llx, here 0x%llx",
				  rec.xfeatures, mine->max_features);
	return 0;
}

/* Loads the area at the next return to user mode, as a signal frame would be. */
static int cpu_load_xsave(const void *area)
{
	struct fpu *fpu = kckpt_fpu(current);
	int err;

	fpregs_lock();
	set_thread_flag(TIF_NEED_FPU_LOAD);
	fpu->last_cpu = -1;
	err = kcall(copy_uabi_from_kernel_to_xstate)(fpu->fpstate, area, &current->thread.pkru);
	if (!err)
		write_pkru(current->thread.pkru);
	fpregs_unlock();
	return err;
}

static int cpu_restore_xsave(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_cpu_rec *rec,
			     const void *from)
{
	const struct fpu_state_config *mine = kdata(fpu_user_cfg);
	void *longer = NULL;
	int err;

	/* The kernel may look at as much as it has itself. */
	if (rec->xsave_size < mine->max_size) {
		longer = kckpt_alloc(mine->max_size);
		if (!longer)
			return kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, 0, "XSAVE area");
		memcpy(longer, from, rec->xsave_size);
	}
	err = cpu_load_xsave(longer ?: from);
	kvfree(longer);
	return err ? kckpt_fail(ctx, obj, KCKPT_E_CPU_FEATURE, err, "XSAVE area") : 0;
}

static int cpu_set_bases(const struct kckpt_cpu_rec *rec)
{
	return kckpt_should_fail() ? -EPERM : kcall(do_arch_prctl_64)(current, ARCH_SET_FS, rec->fs_base) ?:
					      kcall(do_arch_prctl_64)(current, ARCH_SET_GS, rec->gs_base);
}

int kckpt_cpu_restore(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct pt_regs *regs)
{
	struct kckpt_cpu_rec rec;
	const void *area;
	int err;

	err = cpu_rec(ctx, obj, &rec, &area);
	if (err)
		return err;
	err = cpu_set_bases(&rec);
	if (err)
		return kckpt_fail(ctx, obj, KCKPT_E_CREATE, err, "segment bases");
#define X(image, kernel) regs->kernel = rec.image;
	CPU_REGS(X)
#undef X
	current->thread.cr2 = rec.cr2;
	current->thread.trap_nr = rec.trap_nr;
	current->thread.error_code = rec.error_code;
	regs->cs = __USER_CS;
	regs->ss = __USER_DS;
	regs->flags = (regs->flags & CPU_USER_FLAGS) | X86_EFLAGS_IF | X86_EFLAGS_FIXED;
	return cpu_restore_xsave(ctx, obj, &rec, area);
}

const struct kckpt_family_ops kckpt_cpu_ops = {
	.name = "cpu",
	.put = cpu_put,
	.collect = cpu_collect, .dump = cpu_dump, .check = cpu_check,
};
