/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The one place for symbols that the kernel does not export.
 *
 * Functions are called through static calls: a direct call instruction, patched at load. An indirect call to an
 * address from kallsyms is fatal on CPUs with indirect-branch tracking, since the kernel seals the entry of
 * every function whose address it does not take itself.
 *
 * The type of a static call comes from the kernel's own header, so that a changed prototype breaks the build and
 * not the machine; what no header declares is in prototypes.def.
 */
#ifndef KCKPT_KSYM_H
#define KCKPT_KSYM_H

#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/audit.h>
#include <linux/cgroup.h>
#include <linux/cpuset.h>
#include <linux/fdtable.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/fs_struct.h>
#include <linux/ioprio.h>
#include <linux/memfd.h>
#include <linux/mm.h>
#include <linux/pagewalk.h>
#include <linux/wait.h>
#include <linux/pipe_fs_i.h>
#include <linux/ptrace.h>
#include <linux/rmap.h>
#include <linux/sched/coredump.h>
#include <linux/sched/cputime.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>
#include <linux/sched/user.h>
#include <linux/security.h>
#include <linux/static_call.h>
#include <linux/syscalls.h>
#include <linux/task_work.h>
#include <asm/fsgsbase.h>
#include <asm/proto.h>
#include <asm/vdso.h>

#include <asm/fpu/types.h>

#include "compat/cpu.h"
#include "compat/lock.h"
#include "compat/mm.h"
#include "compat/pidfd.h"
#include "compat/signal.h"
#include "compat/timer.h"

/* What only private headers of the kernel declare, or none; drift.c compares it with the running kernel. */
#define PROTOTYPE(type, name, args) type name args;
#include "prototypes.def"
#undef PROTOTYPE

/* X(name, family, why): functions, called with kcall(name)(...). A missing one disables its family. */
#define KCKPT_KSYM_CALLS(X)									\
	X(audit_set_loginuid,	task,	"set the login id")					\
	X(cgroup_freeze,	stream,	"stop and resume a cgroup")				\
	X(css_task_iter_start,	stream,	"list the tasks of a cgroup")				\
	X(css_task_iter_next,	stream,	"list the tasks of a cgroup")				\
	X(css_task_iter_end,	stream,	"list the tasks of a cgroup")				\
	X(kernel_clone,		stream,	"create tasks that start in the kernel")		\
	X(kernel_wait4,		stream,	"reap what a failed restore leaves")			\
	X(find_get_task_by_vpid, stream, "tell whether a pid is taken")				\
	X(task_work_run,	stream,	"let go of the caller's files at once")			\
	X(task_call_func,	task,	"look at a task that cannot wake up meanwhile")		\
	X(put_task_stack,	stream,	"look at the registers of a task that may die")		\
	X(ptrace_may_access,	stream,	"ask whether the caller may look into a task")		\
	X(do_exit,		process, "be a zombie again")					\
	KCKPT_KSYM_SIGNAL_CALLS(X)								\
	X(do_sigaction,		sighand, "set signal handlers")					\
	X(alloc_pid,		process, "take an id that no process has")			\
	X(free_pid,		process, "give such an id back")				\
	X(change_pid,		group,	"join a session or process group")			\
	X(send_signal_locked,	process, "queue pending signals again")				\
	X(do_prlimit,		process, "set limits with their side effects")			\
	X(ksys_setsid,		process, "lead a session")					\
	X(__set_current_blocked, task,	"set the signal mask")					\
	X(__set_task_comm,	task,	"set the name")						\
	X(__x64_sys_prctl,	task,	"set what prctl() sets")				\
	X(sched_setaffinity,	task,	"bind to CPUs")						\
	X(cpuset_cpus_allowed,	task,	"tell a task's own affinity from that of its cpuset")	\
	X(ioprio_check_cap,	task,	"ask whether the caller may give an I/O priority")	\
	X(do_arch_prctl_64,	cpu,	"set fs and gs bases of the running task")		\
	X(x86_fsbase_read_task,	cpu,	"read the fs base of a stopped task")			\
	X(x86_gsbase_read_task,	cpu,	"read the gs base of a stopped task")			\
	X(copy_uabi_from_kernel_to_xstate, cpu, "load vector state")				\
	X(walk_page_range,	mm,	"find the pages of an area")				\
	X(copy_page_range,	mm,	"share pages copy-on-write")				\
	X(anon_vma_fork,	mm,	"let both mappings of a shared page be found")		\
	X(mm_alloc,		mm,	"keep memory as it was")				\
	X(vm_area_dup,		mm,	"keep memory as it was")				\
	X(vm_area_free,		mm,	"keep memory as it was")				\
	X(insert_vm_struct,	mm,	"keep memory as it was")				\
	X(vm_stat_account,	mm,	"keep memory as it was")				\
	KCKPT_KSYM_MM_CALLS(X)									\
	X(flush_tlb_mm_range,	mm,	"forget translations that have become read-only")	\
	X(get_mm_exe_file,	mm,	"find the executable")					\
	X(replace_mm_exe_file,	mm,	"set the executable")					\
	X(map_vdso_once,	mm,	"put the vdso where it was")				\
	X(__x64_sys_mprotect,	mm,	"set the protection of an area")			\
	X(__x64_sys_madvise,	mm,	"set the advice of an area")				\
	X(__x64_sys_mlock2,	mm,	"lock an area")						\
	X(__x64_sys_mlockall,	mm,	"lock areas to come")					\
	X(__x64_sys_membarrier,	mm,	"register for memory barriers")				\
	X(free_uid,		cred,	"let go of the account of a user")			\
	X(alloc_uid,		cred,	"find the account of a user")				\
	X(set_cred_ucounts,	cred,	"charge the account of a user")				\
	X(security_task_fix_setuid, cred, "ask the security modules about a change of ids")	\
	X(set_fs_pwd,		fs,	"set the working directory")				\
	X(free_fs_struct,	fs,	"share a working directory")				\
	X(__d_path,		fs,	"name a file as its task sees it")			\
	X(dup_fd,		files,	"make an empty descriptor table")			\
	X(put_files_struct,	files,	"drop a descriptor table")				\
	X(replace_fd,		files,	"install a file at a given number")			\
	X(get_pipe_info,	pipe,	"tell a pipe from any other file")			\
	X(create_pipe_files,	pipe,	"make a pipe without taking fd numbers")		\
	X(pipe_fcntl,		pipe,	"set the size of a pipe")				\
	X(do_timer_create,	timer,	"create a POSIX timer")					\
	X(do_timer_settime,	timer,	"arm a POSIX timer")					\
	X(do_setitimer,		timer,	"arm an interval timer")				\
	KCKPT_KSYM_TIMER_CALLS(X)								\
	KCKPT_KSYM_CPUTIME_CALLS(X)								\
	X(thread_group_cputime,	timer,	"read the CPU time of a process")			\
	X(__x64_sys_eventfd2,	eventfd, "make an event counter")				\
	X(memfd_fcntl,		shmem,	"seal memory")						\
	X(fcntl_setlease,	lease,	"take a lease")						\
	X(pidfd_pid,		pidfd,	"tell a pidfd from any other file")			\
	KCKPT_KSYM_PIDFD_CALLS(X)								\
	X(bpf_get_btf_vmlinux,	NONE,	"compare the kernel with what is known of it")		\
	X(btf_nr_types,		NONE,	"compare the kernel with what is known of it")		\
	X(btf_type_by_id,	NONE,	"compare the kernel with what is known of it")		\
	X(btf_name_by_offset,	NONE,	"compare the kernel with what is known of it")

/* X(name, family, why): data, and functions that are only compared or stored; kdata(name) is the address. */
#define KCKPT_KSYM_DATA(X)									\
	X(cgroup_mutex,			stream,	"serialize with changes of the hierarchy")	\
	X(tasklist_lock,		process, "look at the children of a task")		\
	KCKPT_KSYM_VDSO_DATA(X)									\
	KCKPT_KSYM_MM_DATA(X)									\
	X(special_mapping_vmops,	mm,	"tell the vdso from any other area")		\
	X(fpu_user_cfg,			cpu,	"size and features of the vector state")	\
	X(hrtimer_nanosleep_restart,	task,	"resume a sleep")				\
	X(futex_wait_restart,		task,	"resume a futex wait")				\
	X(do_no_restart_syscall,	task,	"resume nothing")				\
	X(do_restart_poll,		task,	"resume a poll")				\
	X(shmem_file_operations,	shmem,	"tell shared memory from any other file")	\
	X(landlock_initialized,		cred,	"see confinement")				\
	X(landlock_blob_sizes,		cred,	"see confinement")				\
	X(sysctl_nr_open,		files,	"know the highest descriptor")			\
	KCKPT_KSYM_PIDFD_DATA(X)

#define X(name, family, why) DECLARE_STATIC_CALL(ksym_##name, name);
KCKPT_KSYM_CALLS(X)
#undef X
#define kcall(name) static_call(ksym_##name)

#define X(name, family, why) extern unsigned long ksym_addr_##name;
KCKPT_KSYM_DATA(X)
#undef X
#define kdata(name) ((void *)ksym_addr_##name)
#define kvalue(name) (*(typeof(name) *)kdata(name))

/* kckpt_ksym_init() - resolves all symbols. */
int kckpt_ksym_init(void);

/* kckpt_ksym_refuse() - the function @name has another prototype than ours: as if it were not there. */
void kckpt_ksym_refuse(const char *name);

/* kckpt_ksym_check_core() - is there what no dump or restore can do without? */
int kckpt_ksym_check_core(void);

/*
 * kckpt_ksym_missing() - the first symbol that @family needs and this kernel lacks, or NULL. KCKPT_F_NONE: what only
 * drift.c needs.
 */
const char *kckpt_ksym_missing(u32 family);

#endif
