// SPDX-License-Identifier: GPL-2.0
/*
 * Address spaces. Areas are mapped again by the functions behind mmap() and friends, in the restored process; their
 * pages travel apart (pages.c). The vdso is the running kernel's own, at its old address. Droppable memory comes back
 * empty, as programs must expect at any time: it holds the state of random numbers, of which no two copies may be had.
 *
 * Saved: areas of anonymous memory and of regular files, with protection, advice, locks and guard pages (guard.c); brk,
 * stack, arguments, environment, auxv, executable, where new areas are placed, dumpable, membarrier registrations, THP
 * switch, mlockall(MCL_FUTURE).
 * Refused: any other kind of area or flag, userfaultfd, AIO rings, uprobes, LDT, protection keys.
 * Not saved: statistics (hiwater marks, faults), KSM state, NUMA scan state, who charged the memory (the restorer's
 * cgroup is), the split of equal neighbours into several areas.
 */
#include <linux/hugetlb.h>
#include <linux/ksm.h>
#include <linux/magic.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/prctl.h>
#include <linux/sched/coredump.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/membarrier.h>
#include <linux/xxhash.h>
#include <asm/mmu_context.h>

#include "compat/mm.h"
#include "family.h"
#include "fault.h"
#include "guard.h"
#include "ksym.h"
#include "obj_mm.h"
#include "obj_shmem.h"

static void mm_put(void *ptr)
{
	mmput(ptr);
}

/* The restored address space, held until the session ends so that pages can be filled in. */
static void mm_release(struct kckpt_object *obj)
{
	if (obj->made)
		mmput(obj->made);
}

/* ---- flags: the kernel's, ours, and how to set them again ---- */

static const struct vma_flag {
	unsigned long vm;
	u32 kckpt;
	int advice;		/* for madvise(); 0: by other means */
} vma_flags[] = {
	{ VM_MAYSHARE,		KCKPT_VMA_SHARED,	0 },
	{ VM_GROWSDOWN,		KCKPT_VMA_GROWSDOWN,	0 },
	{ VM_ACCOUNT,		KCKPT_VMA_ACCOUNT,	0 },
	{ VM_NORESERVE,		KCKPT_VMA_NORESERVE,	0 },
	{ VM_LOCKED,		KCKPT_VMA_LOCKED,	0 },
	{ VM_LOCKONFAULT,	KCKPT_VMA_LOCKONFAULT,	0 },
	{ VM_DONTCOPY,		KCKPT_VMA_DONTFORK,	MADV_DONTFORK },
	{ VM_DONTDUMP,		KCKPT_VMA_DONTDUMP,	MADV_DONTDUMP },
	{ VM_WIPEONFORK,	KCKPT_VMA_WIPEONFORK,	MADV_WIPEONFORK },
	{ VM_HUGEPAGE,		KCKPT_VMA_HUGEPAGE,	MADV_HUGEPAGE },
	{ VM_NOHUGEPAGE,	KCKPT_VMA_NOHUGEPAGE,	MADV_NOHUGEPAGE },
	{ VM_SEQ_READ,		KCKPT_VMA_SEQ_READ,	MADV_SEQUENTIAL },
	{ VM_RAND_READ,		KCKPT_VMA_RAND_READ,	MADV_RANDOM },
	{ VM_MERGEABLE,		KCKPT_VMA_MERGEABLE,	MADV_MERGEABLE },
	{ VM_DROPPABLE,		KCKPT_VMA_DROPPABLE,	0 },
};

/* What comes back by itself: from the protection, the file (VM_SHARED if it may be written), a write, guard pages. */
#define VMA_FLAGS_IMPLIED (VM_READ | VM_WRITE | VM_EXEC | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC | VM_SHARED | \
			   VM_SOFTDIRTY | VM_MAYBE_GUARD)

static unsigned long vma_flags_known(void)
{
	unsigned long known = VMA_FLAGS_IMPLIED;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(vma_flags); i++)
		known |= vma_flags[i].vm;
	return known;
}

static u32 vma_flags_out(unsigned long vm)
{
	u32 flags = 0;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(vma_flags); i++)
		if (vm & vma_flags[i].vm)
			flags |= vma_flags[i].kckpt;
	return flags;
}

/* membarrier(): a registration sets a bit of the state, and READY behind it when all CPUs know. */
static const struct mm_membarrier {
	u32 state, ready, command;
} mm_membarriers[] = {
	{ MEMBARRIER_STATE_GLOBAL_EXPEDITED, MEMBARRIER_STATE_GLOBAL_EXPEDITED_READY,
	  MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED },
	{ MEMBARRIER_STATE_PRIVATE_EXPEDITED, MEMBARRIER_STATE_PRIVATE_EXPEDITED_READY,
	  MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED },
	{ MEMBARRIER_STATE_PRIVATE_EXPEDITED_SYNC_CORE, MEMBARRIER_STATE_PRIVATE_EXPEDITED_SYNC_CORE_READY,
	  MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE },
	{ MEMBARRIER_STATE_PRIVATE_EXPEDITED_RSEQ, MEMBARRIER_STATE_PRIVATE_EXPEDITED_RSEQ_READY,
	  MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ },
};

/* The commands that bring a state back; what is left of it in *@unknown. */
static u32 mm_membarrier_commands(u32 state, u32 *unknown)
{
	u32 commands = 0;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(mm_membarriers); i++) {
		if (state & mm_membarriers[i].state)
			commands |= mm_membarriers[i].command;
		state &= ~(mm_membarriers[i].state | mm_membarriers[i].ready);
	}
	*unknown = state;
	return commands;
}

/* ---- dump ---- */

struct kckpt_object *kckpt_intern_mm(struct kckpt_ctx *ctx, struct task_struct *task, const struct kckpt_where *where)
{
	struct mm_struct *mm = get_task_mm(task);

	if (!mm)
		return ERR_PTR(kckpt_fail(ctx, NULL, KCKPT_E_JOB_MOVED, 0, "it was killed"));
	return kckpt_intern(ctx, KCKPT_F_mm, mm, where);
}

enum vma_kind { VMA_ANON, VMA_FILE, VMA_VDSO, VMA_VVAR, VMA_OTHER };

static enum vma_kind vma_kind(struct vm_area_struct *vma)
{
	const char *name;

	if (vma->vm_ops == kdata(special_mapping_vmops)) {
		name = vma->vm_ops->name(vma);
		if (name && !strcmp(name, "[vdso]"))
			return VMA_VDSO;
		return name && !strncmp(name, "[vvar", 5) ? VMA_VVAR : VMA_OTHER;
	}
	if (vma->vm_file)
		return kckpt_family_of_file(vma->vm_file) ? VMA_FILE : VMA_OTHER;
	return vma->vm_ops ? VMA_OTHER : VMA_ANON;
}

static void vma_refuse(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct vm_area_struct *vma, u32 code,
		       const char *what)
{
	kckpt_fail(ctx, obj, code, 0, "%s at 0x%lx-0x%lx", what, vma->vm_start, vma->vm_end);
}

static const char *vma_other_name(struct vm_area_struct *vma)
{
	if (vma->vm_flags & VM_HUGETLB)
		return "hugetlb memory";
	if (vma->vm_file && vma->vm_flags & VM_SHARED)
		return "SysV shared memory or an AIO ring";
	if (vma->vm_file)
		return "a private mapping of a file without a name";
	return "a special mapping";
}

static const char *vma_flag_name(unsigned long extra)
{
	if (extra & (VM_UFFD_MISSING | VM_UFFD_WP | VM_UFFD_MINOR))
		return "userfaultfd";
	if (extra & (VM_PKEY_BIT0 | VM_PKEY_BIT1 | VM_PKEY_BIT2 | VM_PKEY_BIT3))
		return "a protection key";
	if (extra & VM_SHADOW_STACK)
		return "a shadow stack";
	if (extra & VM_SEALED)
		return "a sealed area (mseal)";
	if (extra & (VM_IO | VM_PFNMAP | VM_MIXEDMAP))
		return "device memory";
	return NULL;
}

static int vma_collect(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct vm_area_struct *vma)
{
	enum vma_kind kind = vma_kind(vma);
	unsigned long extra = vma->vm_flags & ~vma_flags_known();
	char flags[40];

	if (kind == VMA_VDSO || kind == VMA_VVAR) {
		if (vma->anon_vma)
			vma_refuse(ctx, obj, vma, KCKPT_E_VMA_KIND, "a vdso that was written to");
		return 0;
	}
	if (kind == VMA_OTHER || vma->vm_flags & VM_HUGETLB) {
		vma_refuse(ctx, obj, vma, KCKPT_E_VMA_KIND, vma_other_name(vma));
		return 0;
	}
	if (extra) {
		snprintf(flags, sizeof(flags), "flags 0x%lx", extra);
		vma_refuse(ctx, obj, vma, KCKPT_E_VMA_FLAG, vma_flag_name(extra) ?: flags);
	}
#ifdef CONFIG_NUMA
	if (vma->vm_policy)
		vma_refuse(ctx, obj, vma, KCKPT_E_VMA_FLAG, "a NUMA memory policy (mbind)");
#endif
	if (kind == VMA_ANON)
		return 0;
	return PTR_ERR_OR_ZERO(kckpt_intern_file(ctx, get_file(vma->vm_file), &obj->where));
}

static const char *mm_unsupported(struct mm_struct *mm)
{
	u32 unknown;

	/* They leave breakpoints in the text, which would be saved with it. */
	if (kckpt_mm_test(mm, MMF_HAS_UPROBES))
		return "uprobes";
#ifdef CONFIG_MODIFY_LDT_SYSCALL
	if (mm->context.ldt)
		return "a local descriptor table (modify_ldt)";
#endif
	if (mm->context.pkey_allocation_map > 1 || mm->context.execute_only_pkey > 0)
		return "protection keys (pkey_alloc, or execute-only memory)";
	if (mm->def_flags & ~(VM_NOHUGEPAGE | VM_LOCKED | VM_LOCKONFAULT))
		return "an unknown default flag of areas";
	mm_membarrier_commands(atomic_read(&mm->membarrier_state), &unknown);
	if (unknown)
		return "an unknown membarrier registration";
	return kckpt_mm_unsupported(mm);
}

static int mm_collect(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct mm_struct *mm = (struct mm_struct *)obj->ptr;
	const char *unsupported = mm_unsupported(mm);
	struct vm_area_struct *vma;
	struct file *exe;
	int err = 0;

	if (unsupported)
		kckpt_fail(ctx, obj, KCKPT_E_MM_STATE, 0, "%s", unsupported);
	exe = kcall(get_mm_exe_file)(mm);
	if (!exe)
		return kckpt_fail(ctx, obj, KCKPT_E_TASK_DYING, 0, "it has no executable");
	err = PTR_ERR_OR_ZERO(kckpt_intern_file(ctx, exe, &obj->where));
	if (err)
		return err;
	if (mmap_read_lock_killable(mm))
		return kckpt_fail(ctx, obj, KCKPT_E_INTERRUPTED, 0, "areas");
	{
		VMA_ITERATOR(it, mm, 0);
		for_each_vma(it, vma) {
			err = vma_collect(ctx, obj, vma);
			if (err)
				break;
		}
	}
	ctx->nr_pages += get_mm_counter(mm, MM_ANONPAGES) + get_mm_counter(mm, MM_SWAPENTS);
	mmap_read_unlock(mm);
	return err;
}

/* A task that uses @mm and is not in the job; with a reference. */
static struct task_struct *mm_find_outsider(struct kckpt_ctx *ctx, const struct mm_struct *mm)
{
	struct task_struct *process, *task, *found = NULL;

	rcu_read_lock();
	for_each_process_thread(process, task) {
		if (READ_ONCE(task->mm) == mm && !(task->flags & (PF_KTHREAD | PF_EXITING)) &&
		    !kckpt_objtab_find(&ctx->objs, KCKPT_F_task, task)) {
			found = task;
			get_task_struct(found);
			goto out;
		}
	}
out:
	rcu_read_unlock();
	return found;
}

/* Users beyond the threads may be readers of /proc, for a moment; only a task is a blocker. */
static int mm_closed(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct mm_struct *mm = (struct mm_struct *)obj->ptr;
	struct task_struct *outsider;

	if (atomic_read(&mm->mm_users) <= obj->seen + 1)
		return 0;
	outsider = mm_find_outsider(ctx, mm);
	if (outsider) {
		kckpt_fail(ctx, obj, KCKPT_E_TASK_SHARES, 0, "memory is also used by pid %d (%s)",
			   task_pid_nr_ns(outsider, ctx->pidns), outsider->comm);
		put_task_struct(outsider);
	}
	return 0;
}

static int mm_put_areas(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct mm_struct *mm,
			struct kckpt_mm_rec *mm_rec)
{
	struct vm_area_struct *vma;
	VMA_ITERATOR(it, mm, 0);
	int err = 0;

	for_each_vma(it, vma) {
		enum vma_kind kind = vma_kind(vma);
		struct kckpt_vma_rec rec = {
			.start = vma->vm_start,
			.end = vma->vm_end,
			.prot = (vma->vm_flags & VM_READ ? PROT_READ : 0) |
				(vma->vm_flags & VM_WRITE ? PROT_WRITE : 0) |
				(vma->vm_flags & VM_EXEC ? PROT_EXEC : 0),
			.vma_flags = vma_flags_out(vma->vm_flags),
		};

		if (kind == VMA_VDSO || kind == VMA_VVAR)
			rec.vma_flags = kind == VMA_VDSO ? KCKPT_VMA_VDSO : KCKPT_VMA_VVAR;
		if (kind == VMA_FILE) {
			rec.file = kckpt_id_of(ctx, KCKPT_F_file, vma->vm_file);
			rec.vma_flags |= kckpt_shmem_vma_flags(vma);
			rec.offset = (u64)vma->vm_pgoff << PAGE_SHIFT;
			if (!rec.file)
				return kckpt_fail(ctx, obj, KCKPT_E_JOB_MOVED, 0, "an area appeared");
		}
		if (!mm_rec) {
			err = kckpt_put(ctx, obj, KCKPT_K_vma, &rec, sizeof(rec), NULL, 0) ?:
			      kckpt_guards_dump(ctx, obj, vma);
			if (err)
				return err;
		} else {
			mm_rec->nr_areas++;
		}
	}
	return 0;
}

static u64 vdso_digest(void)
{
	const struct vdso_image *image = kckpt_vdso_image();

	return xxh64(image->data, image->size, 0);
}

#define MM_FLAGS_KNOWN (KCKPT_MM_THP_DISABLED | KCKPT_MM_LOCK_FUTURE | KCKPT_MM_LOCK_ONFAULT | KCKPT_MM_BOTTOM_UP)

static u32 mm_flags_out(const struct mm_struct *mm)
{
	return (kckpt_mm_test(mm, KCKPT_MMF_DISABLE_THP) ? KCKPT_MM_THP_DISABLED : 0) |
	       (mm->def_flags & VM_LOCKED ? KCKPT_MM_LOCK_FUTURE : 0) |
	       (mm->def_flags & VM_LOCKONFAULT ? KCKPT_MM_LOCK_ONFAULT : 0) |
	       (kckpt_mm_bottom_up(mm) ? KCKPT_MM_BOTTOM_UP : 0);
}

static u32 mm_core_filter(const struct mm_struct *mm)
{
	unsigned int bit;
	u32 filter = 0;

	for (bit = 0; bit < MMF_DUMP_FILTER_BITS; bit++)
		if (kckpt_mm_test(mm, MMF_DUMP_FILTER_SHIFT + bit))
			filter |= BIT(bit);
	return filter;
}

static void mm_describe(struct kckpt_ctx *ctx, struct mm_struct *mm, struct kckpt_mm_rec *rec)
{
	struct file *exe = kcall(get_mm_exe_file)(mm);
	u32 unknown;

	*rec = (struct kckpt_mm_rec){
		.exe = kckpt_id_of(ctx, KCKPT_F_file, exe),
		.start_code = mm->start_code,	.end_code = mm->end_code,
		.start_data = mm->start_data,	.end_data = mm->end_data,
		.start_brk = mm->start_brk,	.brk = mm->brk,
		.start_stack = mm->start_stack,
		.arg_start = mm->arg_start,	.arg_end = mm->arg_end,
		.env_start = mm->env_start,	.env_end = mm->env_end,
		.mmap_base = mm->mmap_base,	.mmap_legacy_base = mm->mmap_legacy_base,
		.vdso = (unsigned long)mm->context.vdso,
		.vdso_digest = vdso_digest(),
		.auxv_len = sizeof(mm->saved_auxv),
		.dumpable = kckpt_dumpable(mm),
		.mm_flags = mm_flags_out(mm),
		.core_filter = mm_core_filter(mm),
		.membarrier = mm_membarrier_commands(atomic_read(&mm->membarrier_state), &unknown),
	};
	if (exe)
		fput(exe);
}

static int mm_dump(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct mm_struct *mm = (struct mm_struct *)obj->ptr;
	struct kckpt_mm_rec rec;
	int err;

	mm_describe(ctx, mm, &rec);
	if (mmap_read_lock_killable(mm))
		return kckpt_fail(ctx, obj, KCKPT_E_INTERRUPTED, 0, "areas");
	err = mm_put_areas(ctx, obj, mm, &rec) ?:
	      kckpt_put(ctx, obj, KCKPT_K_mm, &rec, sizeof(rec), mm->saved_auxv, sizeof(mm->saved_auxv)) ?:
	      mm_put_areas(ctx, obj, mm, NULL);
	mmap_read_unlock(mm);
	return err;
}

/* ---- restore ---- */

static int mm_rec(struct kckpt_ctx *ctx, const struct kckpt_object *obj, struct kckpt_mm_rec *rec, const void **auxv)
{
	return kckpt_rec_only(ctx, obj, KCKPT_K_mm, rec, sizeof(*rec), &rec->auxv_len, 1, auxv);
}

static int vma_rec(struct kckpt_ctx *ctx, const struct kckpt_object *obj, const struct kckpt_rec *rec,
		   struct kckpt_vma_rec *vma)
{
	return kckpt_rec_get(ctx, obj, rec, vma, sizeof(*vma), NULL, 0, NULL);
}

static bool vma_sane(const struct kckpt_vma_rec *vma, u64 after)
{
	const u32 special = KCKPT_VMA_VDSO | KCKPT_VMA_VVAR | KCKPT_VMA_SEALED | KCKPT_VMA_DROPPABLE;

	return vma->start >= after && vma->start < vma->end && vma->end <= TASK_SIZE_MAX &&
	       IS_ALIGNED(vma->start, PAGE_SIZE) && IS_ALIGNED(vma->end, PAGE_SIZE) &&
	       IS_ALIGNED(vma->offset, PAGE_SIZE) && !(vma->prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC)) &&
	       !(vma->vma_flags & ~(vma_flags_out(~0UL) | special)) &&
	       (vma->file || !(vma->vma_flags & KCKPT_VMA_SHARED)) &&
	       !(vma->vma_flags & KCKPT_VMA_DROPPABLE && vma->file);
}

static int mm_check_areas(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_mm_rec *mm)
{
	const struct kckpt_rec *rec;
	struct kckpt_vma_rec vma;
	u64 after = 0;
	u32 nr = 0;
	int err;

	kckpt_for_each_rec(rec, obj, KCKPT_K_vma) {
		err = vma_rec(ctx, obj, rec, &vma);
		if (err)
			return err;
		if (!vma_sane(&vma, after))
			return kckpt_bad_image(ctx, obj, "area at 0x%llx", vma.start);
		if (vma.vma_flags & KCKPT_VMA_DROPPABLE && !VM_DROPPABLE)
			return kckpt_fail(ctx, obj, KCKPT_E_VMA_FLAG, 0, "droppable memory at 0x%llx", vma.start);
		if (vma.file && !kckpt_ref(ctx, obj, vma.file, KCKPT_F_file))
			return -EBADMSG;
		after = vma.end;
		nr++;
	}
	return nr == mm->nr_areas ? 0 : kckpt_bad_image(ctx, obj, "number of areas");
}

static bool mm_fields_sane(const struct kckpt_mm_rec *rec)
{
	u32 unknown, commands = mm_membarrier_commands(~0, &unknown);
	const u64 addr[] = { rec->start_code, rec->end_code, rec->start_data, rec->end_data, rec->start_brk, rec->brk,
			     rec->start_stack, rec->arg_start, rec->arg_end, rec->env_start, rec->env_end,
			     rec->mmap_base, rec->mmap_legacy_base, rec->vdso };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(addr); i++)
		if (addr[i] > TASK_SIZE_MAX)
			return false;
	return rec->start_code <= rec->end_code && rec->start_data <= rec->end_data && rec->start_brk <= rec->brk &&
	       IS_ALIGNED(rec->mmap_base, PAGE_SIZE) && rec->mmap_base >= (1UL << 20) &&
	       rec->mmap_base < TASK_SIZE_MAX && IS_ALIGNED(rec->mmap_legacy_base, PAGE_SIZE) &&
	       rec->arg_start <= rec->arg_end &&
	       rec->env_start <= rec->env_end && rec->dumpable <= 2 &&
	       !(rec->mm_flags & ~MM_FLAGS_KNOWN) && rec->core_filter < BIT(MMF_DUMP_FILTER_BITS) &&
	       !(rec->membarrier & ~commands) && rec->auxv_len <= sizeof_field(struct mm_struct, saved_auxv);
}

static int mm_check(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_mm_rec rec;
	const void *auxv;
	int err = mm_rec(ctx, obj, &rec, &auxv);

	if (err)
		return err;
	if (!mm_fields_sane(&rec))
		return kckpt_bad_image(ctx, obj, "address space record");
	if (!kckpt_ref(ctx, obj, rec.exe, KCKPT_F_file))
		return -EBADMSG;
	if (rec.vdso && rec.vdso_digest != vdso_digest())
		kckpt_fail(ctx, obj, KCKPT_E_VDSO_DIFFERS, 0, "digest 0x%llx, here 0x%llx", rec.vdso_digest,
			   vdso_digest());
	return mm_check_areas(ctx, obj, &rec) ?: kckpt_guards_check(ctx, obj);
}

/* The lowest address of the vdso and its data pages; all of them are where this kernel would put them. */
static int mm_map_vdso(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_mm_rec *mm)
{
	const struct kckpt_rec *rec;
	struct kckpt_vma_rec vma;
	u64 start = 0;
	int err;

	kckpt_for_each_rec(rec, obj, KCKPT_K_vma) {
		err = vma_rec(ctx, obj, rec, &vma);
		if (err)
			return err;
		if (vma.vma_flags & (KCKPT_VMA_VDSO | KCKPT_VMA_VVAR) && !start)
			start = vma.start;
	}
	current->mm->context.vdso = NULL;
	if (!start)
		return 0;
	err = kckpt_should_fail() ? -ENOMEM : kcall(map_vdso_once)(kckpt_vdso_image(), start);
	if (err || (unsigned long)current->mm->context.vdso != mm->vdso)
		return kckpt_fail(ctx, obj, KCKPT_E_VMA_MAP, err ?: -EADDRNOTAVAIL, "vdso at 0x%llx", mm->vdso);
	return 0;
}

static unsigned long vma_mmap_flags(const struct kckpt_vma_rec *vma)
{
	unsigned long flags = MAP_FIXED_NOREPLACE;

	if (vma->vma_flags & KCKPT_VMA_DROPPABLE)
		flags |= MAP_DROPPABLE;
	else
		flags |= vma->vma_flags & KCKPT_VMA_SHARED ? MAP_SHARED : MAP_PRIVATE;
	if (!vma->file)
		flags |= MAP_ANONYMOUS;
	if (vma->vma_flags & KCKPT_VMA_GROWSDOWN)
		flags |= MAP_GROWSDOWN;
	if (vma->vma_flags & KCKPT_VMA_NORESERVE)
		flags |= MAP_NORESERVE;
	return flags;
}

/*
 * Memory that was writable once stays accounted, and merges only with its like: so it is writable until its pages are
 * in. Without any it would not stay accounted on newer kernels.
 */
static bool vma_was_writable(const struct kckpt_vma_rec *vma)
{
	return vma->vma_flags & KCKPT_VMA_ACCOUNT && !(vma->prot & PROT_WRITE) &&
	       !(vma->vma_flags & KCKPT_VMA_SHARED);
}

static int mm_map_one(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_vma_rec *vma,
		      struct file *file)
{
	unsigned long prot = vma->prot | (vma_was_writable(vma) ? PROT_WRITE : 0);
	unsigned long addr;
	int err = 0;

	addr = kckpt_should_fail() ? -ENOMEM : vm_mmap(file, vma->start, vma->end - vma->start, prot,
						       vma_mmap_flags(vma), vma->offset);
	if (IS_ERR_VALUE(addr))
		err = addr;
	else if (addr != vma->start)
		err = -EADDRNOTAVAIL;
	return err ? kckpt_fail(ctx, obj, KCKPT_E_VMA_MAP, err, "0x%llx-0x%llx", vma->start, vma->end) : 0;
}

/* Under make_lock: a seal is there or not for all who map the file at that time. */
static int mm_map_sealed(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_vma_rec *vma,
			 struct file *file)
{
	int err;

	if (vma->vma_flags & KCKPT_VMA_SEALED)
		kckpt_shmem_seal_begin(file);
	err = mm_map_one(ctx, obj, vma, file);
	if (vma->vma_flags & KCKPT_VMA_SEALED)
		kckpt_shmem_seal_end(file);
	return err;
}

/* Files are made one at a time, address spaces side by side, but for what could be sealed. */
static int mm_map_area(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_vma_rec *vma)
{
	struct kckpt_object *file = kckpt_objtab_get(&ctx->objs, vma->file);
	int err = file ? kckpt_make_shared(ctx, file) : 0;

	if (err)
		return err;
	if (!file || file_inode(file->made)->i_sb->s_magic != TMPFS_MAGIC)
		return mm_map_one(ctx, obj, vma, file ? file->made : NULL);
	mutex_lock(&ctx->objs.make_lock);
	err = mm_map_sealed(ctx, obj, vma, file->made);
	mutex_unlock(&ctx->objs.make_lock);
	return err;
}

static int mm_map_areas(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct kckpt_rec *rec;
	struct kckpt_vma_rec vma;
	int err;

	kckpt_for_each_rec(rec, obj, KCKPT_K_vma) {
		err = vma_rec(ctx, obj, rec, &vma);
		if (!err && !(vma.vma_flags & (KCKPT_VMA_VDSO | KCKPT_VMA_VVAR)))
			err = mm_map_area(ctx, obj, &vma);
		if (!err && fatal_signal_pending(current))
			err = -EINTR;
		if (err)
			return err;
		kckpt_progress(ctx);
		cond_resched();
	}
	return 0;
}

static int mm_set_exe(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_mm_rec *rec)
{
	struct kckpt_object *exe = kckpt_objtab_get(&ctx->objs, rec->exe);
	int err = kckpt_make_shared(ctx, exe);

	if (err)
		return err;
	err = kckpt_should_fail() ? -EBUSY : kcall(replace_mm_exe_file)(current->mm, exe->made);
	return err ? kckpt_fail(ctx, exe, KCKPT_E_FILE_OPEN, err, "as the executable") : 0;
}

static void mm_set_fields(const struct kckpt_mm_rec *rec, const void *auxv)
{
	struct mm_struct *mm = current->mm;

	mmap_write_lock(mm);
	spin_lock(&mm->arg_lock);
	mm->start_code = rec->start_code;
	mm->end_code = rec->end_code;
	mm->start_data = rec->start_data;
	mm->end_data = rec->end_data;
	mm->start_brk = rec->start_brk;
	mm->brk = rec->brk;
	mm->start_stack = rec->start_stack;
	mm->arg_start = rec->arg_start;
	mm->arg_end = rec->arg_end;
	mm->env_start = rec->env_start;
	mm->env_end = rec->env_end;
	spin_unlock(&mm->arg_lock);
	mm->mmap_base = rec->mmap_base;
	mm->mmap_legacy_base = rec->mmap_legacy_base ?: mm->mmap_legacy_base;
	kckpt_mm_set_bottom_up(mm, rec->mm_flags & KCKPT_MM_BOTTOM_UP);
	mm->def_flags = 0;
	memset(mm->saved_auxv, 0, sizeof(mm->saved_auxv));
	memcpy(mm->saved_auxv, auxv, rec->auxv_len);
	/* Readers of /proc/PID/auxv look for the end. */
	mm->saved_auxv[AT_VECTOR_SIZE - 2] = AT_NULL;
	mmap_write_unlock(mm);
}

static void mm_change_flags(unsigned long set, unsigned long clear)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	VMA_ITERATOR(it, mm, 0);

	mmap_write_lock(mm);
	for_each_vma(it, vma)
		kckpt_vma_flags_change(vma, set, clear);
	mmap_write_unlock(mm);
}

/*
 * Most pages are small, and to be so where they were: see pages.c. Area by area while they come, who fills them and who
 * makes them ahead would wait for each other each time.
 */
static void mm_bend_thp_advice(void)
{
	mm_change_flags(VM_NOHUGEPAGE, VM_HUGEPAGE);
}

/* The fill bent this advice; afterwards it is what it was. */
static void mm_reset_thp_advice(void)
{
	mm_change_flags(0, VM_HUGEPAGE | VM_NOHUGEPAGE);
}

static int mm_restore(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_mm_rec rec;
	const void *auxv;
	int err = mm_rec(ctx, obj, &rec, &auxv);

	if (err)
		return err;
	err = mm_set_exe(ctx, obj, &rec) ?: mm_map_vdso(ctx, obj, &rec) ?: mm_map_areas(ctx, obj);
	if (err)
		return err;
	mm_set_fields(&rec, auxv);
	mm_bend_thp_advice();
	mmget(current->mm);
	obj->made = current->mm;
	return 0;
}

static int mm_protect(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_vma_rec *vma)
{
	struct pt_regs regs = { .di = vma->start, .si = vma->end - vma->start, .dx = vma->prot };
	long err;

	if (!vma_was_writable(vma))
		return 0;
	err = kckpt_should_fail() ? -ENOMEM : kcall(__x64_sys_mprotect)(&regs);
	return err ? kckpt_fail(ctx, obj, KCKPT_E_VMA_MAP, err, "protection of 0x%llx-0x%llx", vma->start,
				vma->end) : 0;
}

static bool mm_area_locked(const struct kckpt_vma_rec *rec)
{
	struct mm_struct *mm = current->mm;
	struct vm_area_struct *vma;
	VMA_ITERATOR(it, mm, rec->start);
	bool locked = true;

	mmap_read_lock(mm);
	for_each_vma_range(it, vma, rec->end)
		locked &= !!(vma->vm_flags & VM_LOCKED);
	mmap_read_unlock(mm);
	return locked;
}

static int mm_advise(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_vma_rec *vma)
{
	struct pt_regs regs = { .di = vma->start, .si = vma->end - vma->start };
	unsigned int i;
	long err = 0;

	for (i = 0; i < ARRAY_SIZE(vma_flags) && !err; i++) {
		if (!(vma->vma_flags & vma_flags[i].kckpt) || !vma_flags[i].advice)
			continue;
		regs.dx = vma_flags[i].advice;
		err = kckpt_should_fail() ? -ENOMEM : kcall(__x64_sys_madvise)(&regs);
	}
	if (!err && vma->vma_flags & KCKPT_VMA_LOCKED) {
		regs.dx = vma->vma_flags & KCKPT_VMA_LOCKONFAULT ? MLOCK_ONFAULT : 0;
		err = kckpt_should_fail() ? -EPERM : kcall(__x64_sys_mlock2)(&regs);
		/* Locked but not to be populated: no access, or behind the end of a file. So it was before. */
		if (err == -ENOMEM && mm_area_locked(vma))
			err = 0;
	}
	return err ? kckpt_fail(ctx, obj, KCKPT_E_VMA_MAP, err, "advice or lock of 0x%llx-0x%llx", vma->start,
				vma->end) : 0;
}

static int mm_set_membarrier(struct kckpt_ctx *ctx, struct kckpt_object *obj, u32 commands)
{
	unsigned int bit;
	long err = 0;

	for (bit = 0; bit < 32 && !err; bit++) {
		struct pt_regs regs = { .di = BIT(bit) };

		if (commands & BIT(bit))
			err = kckpt_should_fail() ? -ENOMEM : kcall(__x64_sys_membarrier)(&regs);
	}
	return err ? kckpt_fail(ctx, obj, KCKPT_E_CREATE, err, "membarrier registration 0x%x", commands) : 0;
}

static void mm_set_core_filter(u32 filter)
{
	unsigned int bit;

	for (bit = 0; bit < MMF_DUMP_FILTER_BITS; bit++)
		kckpt_mm_assign(current->mm, MMF_DUMP_FILTER_SHIFT + bit, filter & BIT(bit));
}

/* mlockall(MCL_FUTURE): last of all, so that it finds nothing to lock. */
static int mm_lock_future(struct kckpt_ctx *ctx, struct kckpt_object *obj, u32 mm_flags)
{
	struct pt_regs regs = { .di = MCL_FUTURE | (mm_flags & KCKPT_MM_LOCK_ONFAULT ? MCL_ONFAULT : 0) };
	long err;

	if (!(mm_flags & KCKPT_MM_LOCK_FUTURE))
		return 0;
	err = kckpt_should_fail() ? -EAGAIN : kcall(__x64_sys_mlockall)(&regs);
	return err ? kckpt_fail(ctx, obj, KCKPT_E_CREATE, err, "mlockall(MCL_FUTURE)") : 0;
}

int kckpt_mm_finish(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct kckpt_rec *rec;
	struct kckpt_vma_rec vma;
	struct kckpt_mm_rec mm;
	const void *auxv;
	int err = mm_rec(ctx, obj, &mm, &auxv);

	if (err)
		return err;
	mm_reset_thp_advice();
	err = kckpt_guards_install(ctx, obj);
	if (err)
		return err;
	kckpt_for_each_rec(rec, obj, KCKPT_K_vma) {
		err = vma_rec(ctx, obj, rec, &vma) ?: mm_protect(ctx, obj, &vma) ?: mm_advise(ctx, obj, &vma);
		if (!err && fatal_signal_pending(current))
			err = -EINTR;
		if (err)
			return err;
		kckpt_progress(ctx);
		cond_resched();
	}
	kckpt_mm_assign(current->mm, KCKPT_MMF_DISABLE_THP, mm.mm_flags & KCKPT_MM_THP_DISABLED);
	mm_set_core_filter(mm.core_filter);
	return mm_set_membarrier(ctx, obj, mm.membarrier) ?: mm_lock_future(ctx, obj, mm.mm_flags);
}

void kckpt_mm_seal(struct kckpt_ctx *ctx)
{
	struct kckpt_object *obj;
	struct kckpt_mm_rec rec;
	const void *auxv;

	kckpt_for_each_object(&ctx->objs, obj)
		if (obj->family == KCKPT_F_mm && obj->made && !mm_rec(ctx, obj, &rec, &auxv))
			kckpt_set_dumpable(obj->made, rec.dumpable);
}

const struct kckpt_family_ops kckpt_mm_ops = {
	.name = "mm",
	.put = mm_put,
	.collect = mm_collect, .closed = mm_closed, .dump = mm_dump,
	.check = mm_check, .restore = mm_restore,
	.release = mm_release,
	.pages_find = kckpt_batch_find, .pages_pin = kckpt_pages_pin,
};
