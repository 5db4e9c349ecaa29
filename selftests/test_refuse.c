// SPDX-License-Identifier: GPL-2.0
/*
 * What cannot be dumped is refused with its code, and the job goes on untouched. Pipes, regular files and descriptors
 * of the outside have theirs in their own families.
 */
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <asm/ldt.h>

#include "job.h"

#define PAGE 4096UL

/* A job that does @setup, asks for the dump, and then finds @still. */
#define REFUSED(name, code, setup, still)					\
	static int job_##name(void)						\
	{									\
		JOB_SETUP(setup);						\
		job_roundtrip();						\
		JOB_CHECK(still);						\
		return 0;							\
	}									\
	TEST(refuse_##name)							\
	{									\
		EXPECT_REFUSED(KCKPT_E_##code, job_##name);			\
	}

/* The same where not all machines can do @setup. */
#define REFUSED_IF(name, code, setup, still)					\
	static int job_##name(void)						\
	{									\
		if (!(setup))							\
			return job_skip("cannot be set up here");		\
		job_roundtrip();						\
		JOB_CHECK(still);						\
		return 0;							\
	}									\
	TEST(refuse_##name)							\
	{									\
		EXPECT_REFUSED(KCKPT_E_##code, job_##name);			\
	}

static int fd = -1;

/* ---- open files of other kinds ---- */

static bool is_open(void)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static bool open_epoll(void)
{
	struct epoll_event event = { .events = EPOLLIN };
	int ends[2];

	return (fd = epoll_create1(0)) >= 0 && !pipe(ends) && !epoll_ctl(fd, EPOLL_CTL_ADD, ends[0], &event);
}

static bool open_timerfd(void)
{
	struct itimerspec spec = { .it_value.tv_sec = 1000 };

	return (fd = timerfd_create(CLOCK_MONOTONIC, 0)) >= 0 && !timerfd_settime(fd, 0, &spec, NULL);
}

static bool open_signalfd(void)
{
	sigset_t set;

	sigemptyset(&set);
	return (fd = signalfd(-1, &set, 0)) >= 0;
}

static int pair[2];

static bool pair_talks(void)
{
	char c;

	return read(pair[1], &c, 1) == 1 && c == 'x';
}

static bool open_uring(void)
{
	struct io_uring_params params = {};

	return (fd = syscall(SYS_io_uring_setup, 4, &params)) >= 0;
}

REFUSED(epoll, FILE_KIND, open_epoll(), is_open())
REFUSED(timerfd, FILE_KIND, open_timerfd(), is_open())
REFUSED(signalfd, FILE_KIND, open_signalfd(), is_open())
REFUSED(inotify, FILE_KIND, (fd = inotify_init1(0)) >= 0, is_open())
REFUSED(unix_socket, FILE_KIND, !socketpair(AF_UNIX, SOCK_STREAM, 0, pair) && write(pair[0], "x", 1) == 1, pair_talks())
REFUSED(udp_socket, FILE_KIND, (fd = socket(AF_INET, SOCK_DGRAM, 0)) >= 0, is_open())
REFUSED(terminal, FILE_KIND, (fd = open("/dev/ptmx", O_RDWR | O_NOCTTY)) >= 0, is_open())
REFUSED_IF(io_uring, FILE_KIND, open_uring(), is_open())
REFUSED(device, FILE_KIND, (fd = open("/dev/kmsg", O_RDONLY)) >= 0, is_open())
/* It will not be there when it is looked for: that process is not, yet. */
REFUSED(proc_file_of_descriptor, FILE_KIND, (fd = open("/proc/self/fdinfo/0", O_RDONLY)) >= 0, is_open())

/* ---- what newer kernels have: their numbers, for headers that do not know them ---- */

#define NR_MSEAL 462
#define SET_MDWE 65
#define GET_MDWE 66
#define SET_MEMORY_MERGE 67
#define GET_MEMORY_MERGE 68
#define TIMER_CREATE_RESTORE_IDS 77
#define THP_EXCEPT_ADVISED 2
#define AUTOREAP (1ULL << 34)

static char *sealed;

static bool seal_area(void)
{
	sealed = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return sealed != MAP_FAILED && !syscall(NR_MSEAL, sealed, PAGE, 0);
}

static bool is_sealed(void)
{
	return mprotect(sealed, PAGE, PROT_READ) && errno == EPERM;
}

static bool restrict_uring(void)
{
	struct {
		uint16_t flags, nr;
		uint32_t reserved[3];
		struct io_uring_restriction one;
	} all = { .nr = 1, .one = { .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_NOP } };

	return !syscall(SYS_io_uring_register, -1, IORING_REGISTER_RESTRICTIONS, &all, 1);
}

/* Once is for ever. */
static bool is_restricted(void)
{
	return !restrict_uring();
}

static pid_t reaped_by_itself;

static bool start_autoreap(void)
{
	struct clone_args args = { .flags = AUTOREAP };

	reaped_by_itself = syscall(SYS_clone3, &args, sizeof(args));
	if (!reaped_by_itself)
		for (;;)
			pause();
	return reaped_by_itself > 0;
}

REFUSED_IF(sealed_area, VMA_FLAG, seal_area(), is_sealed())
REFUSED_IF(no_writable_code, MM_STATE, !prctl(SET_MDWE, 1, 0, 0, 0), prctl(GET_MDWE, 0, 0, 0, 0) == 1)
REFUSED_IF(merging_of_all_memory, MM_STATE, !prctl(SET_MEMORY_MERGE, 1, 0, 0, 0),
	   prctl(GET_MEMORY_MERGE, 0, 0, 0, 0) == 1)
REFUSED_IF(huge_pages_if_advised, MM_STATE, !prctl(PR_SET_THP_DISABLE, 1, THP_EXCEPT_ADVISED, 0, 0),
	   prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == (1 | THP_EXCEPT_ADVISED))
REFUSED_IF(timer_ids_of_its_choice, TASK_ATTRIBUTE, !prctl(TIMER_CREATE_RESTORE_IDS, 1, 0, 0, 0),
	   prctl(TIMER_CREATE_RESTORE_IDS, 2, 0, 0, 0) == 1)
REFUSED_IF(restricted_uring, TASK_ATTRIBUTE, restrict_uring(), is_restricted())
REFUSED_IF(autoreap, TASK_ATTRIBUTE, start_autoreap(), !kill(reaped_by_itself, 0))

/* ---- paths ---- */

static bool unlinked_folder(void)
{
	return !mkdir(test_path("gone"), 0700) && !chdir(test_path("gone")) && !rmdir(test_path("gone"));
}

static bool unlinked_mapping(void)
{
	void *at;

	if (!write_file(test_path("mapped"), "x") || (fd = open(test_path("mapped"), O_RDONLY)) < 0)
		return false;
	at = mmap(NULL, 1, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	return at != MAP_FAILED && !unlink(test_path("mapped"));
}

REFUSED(folder_deleted, FILE_UNLINKED, unlinked_folder(), true)
REFUSED(mapped_file_deleted, FILE_UNLINKED, unlinked_mapping(), true)

static int reads_below_mount(void)
{
	char c;

	JOB_SETUP(!mkdir(test_path("sub"), 0755) && write_file(test_path("sub/data"), "x"));
	JOB_SETUP((fd = open(test_path("sub/data"), O_RDONLY)) >= 0);
	job_roundtrip();
	JOB_CHECK(read(fd, &c, 1) == 1);
	return 0;
}

static void hide(pid_t pid)
{
	(void)pid;
	ASSERT_EQ(0, mount("tmpfs", test_path("sub"), "tmpfs", 0, NULL));
}

static void unhide(pid_t pid)
{
	(void)pid;
	umount2(test_path("sub"), MNT_DETACH);
}

TEST(refuse_file_hidden_by_a_mount)
{
	struct job_options options = { .before_dump = hide, .after_refusal = unhide };

	EXPECT_REFUSED_WITH(KCKPT_E_FILE_UNREACHABLE, reads_below_mount, &options);
}

/* ---- memory ---- */

static volatile char *area;

static bool keeps_area(void)
{
	return area[0] == 'x';
}

static bool got(void *at)
{
	if (at == MAP_FAILED)
		return false;
	area = at;
	area[0] = 'x';
	return true;
}

static bool map_sysv(void)
{
	int id = shmget(IPC_PRIVATE, PAGE, 0600);
	bool done = id >= 0 && got(shmat(id, NULL, 0));

	shmctl(id, IPC_RMID, NULL);
	return done;
}

static bool map_huge(void)
{
	return write_file("/proc/sys/vm/nr_hugepages", "2") &&
	       got(mmap(NULL, 2 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0));
}

static bool map_aio(void)
{
	static aio_context_t context;

	return !syscall(SYS_io_setup, 4, &context);
}

static bool map_userfault(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };

	if (!got(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)))
		return false;
	fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	reg.range.start = (uintptr_t)area;
	reg.range.len = PAGE;
	return fd >= 0 && !ioctl(fd, UFFDIO_API, &api) && !ioctl(fd, UFFDIO_REGISTER, &reg);
}

static bool set_ldt(void)
{
	struct user_desc desc = { .entry_number = 0, .limit = 10, .seg_32bit = 1 };

	return !syscall(SYS_modify_ldt, 1, &desc, sizeof(desc));
}

REFUSED(sysv_memory, VMA_KIND, map_sysv(), keeps_area())
REFUSED_IF(huge_tlb_memory, VMA_KIND, map_huge(), keeps_area())
REFUSED_IF(aio, VMA_KIND, map_aio(), true)
REFUSED_IF(userfaultfd, VMA_FLAG, map_userfault(), keeps_area())
REFUSED_IF(local_descriptor_table, MM_STATE, set_ldt(), true)
REFUSED_IF(protection_key, MM_STATE, syscall(SYS_pkey_alloc, 0, 0) > 0, true)

/* ---- attributes of tasks ---- */

static bool allow_all(void)
{
	struct sock_filter allow = { BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW };
	struct sock_fprog program = { 1, &allow };

	return !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static bool undo_semaphore(void)
{
	struct sembuf op = { .sem_op = 1, .sem_flg = SEM_UNDO };
	int id = semget(IPC_PRIVATE, 1, 0600);

	return id >= 0 && !semop(id, &op, 1);
}

static bool load_ds(int selector)
{
	asm volatile("mov %0, %%ds" :: "r" (selector));
	return true;
}

static int tsc_mode(void)
{
	int mode = 0;

	prctl(PR_GET_TSC, &mode);
	return mode;
}

#define NR_I386_SET_ROBUST_LIST 311

static long call_as_32_bit_code(long nr, void *first, long second)
{
	long ret;

	__asm__ volatile("int $0x80" : "=a"(ret) : "a"(nr), "b"(first), "c"(second)
			 : "memory", "r8", "r9", "r10", "r11");
	return ret;
}

/* Its locks would be lost. Where the kernel has no such calls, they are fatal. */
static bool register_32_bit_robust_list(void)
{
	void *head = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	const long size = 3 * sizeof(uint32_t);
	pid_t pid = fork();

	if (!pid)
		_exit(!!call_as_32_bit_code(NR_I386_SET_ROBUST_LIST, head, size));
	return !wait_exit(pid, 5000) && !call_as_32_bit_code(NR_I386_SET_ROBUST_LIST, head, size);
}

REFUSED_IF(robust_list_of_32_bit_code, TASK_ATTRIBUTE, register_32_bit_robust_list(), true)
REFUSED(seccomp, TASK_SECCOMP, allow_all(), prctl(PR_GET_SECCOMP) == 2)
REFUSED(semaphore_undo, TASK_ATTRIBUTE, undo_semaphore(), true)
REFUSED_IF(numa_policy, TASK_ATTRIBUTE, !syscall(SYS_set_mempolicy, 4 /* MPOL_LOCAL */, NULL, 0), true)
REFUSED(process_keyring, TASK_ATTRIBUTE, syscall(SYS_keyctl, 0, -2, 1) > 0, syscall(SYS_keyctl, 0, -2, 0) > 0)
REFUSED(keyring_for_new_keys, TASK_ATTRIBUTE, syscall(SYS_keyctl, 14, 3) >= 0, syscall(SYS_keyctl, 14, -1) == 3)
REFUSED(changed_root, TASK_ROOT, !chroot(test_folder()), true)
REFUSED(segment_register, CPU_STATE, load_ds(0x2b), load_ds(0))
REFUSED(io_ports, CPU_STATE, !ioperm(0x80, 1, 1), true)
REFUSED(no_tsc, CPU_STATE, !prctl(PR_SET_TSC, PR_TSC_SIGSEGV), tsc_mode() == PR_TSC_SIGSEGV)

/* ---- namespaces ---- */

REFUSED(uts_namespace, TASK_NAMESPACE, !unshare(CLONE_NEWUTS), true)
REFUSED(ipc_namespace, TASK_NAMESPACE, !unshare(CLONE_NEWIPC), true)
REFUSED(net_namespace, TASK_NAMESPACE, !unshare(CLONE_NEWNET), true)
REFUSED(mount_namespace, TASK_NAMESPACE, !unshare(CLONE_NEWNS), true)
REFUSED(cgroup_namespace, TASK_NAMESPACE, !unshare(CLONE_NEWCGROUP), true)
REFUSED(pid_namespace_of_children, TASK_NAMESPACE, !unshare(CLONE_NEWPID), true)
REFUSED_IF(time_namespace_of_children, TASK_NAMESPACE, !unshare(0x80 /* CLONE_NEWTIME */), true)
REFUSED_IF(user_namespace, TASK_NAMESPACE, !unshare(CLONE_NEWUSER), true)

/* ---- other tasks ---- */

static pid_t child;

static bool fork_sleeper(void)
{
	child = fork();
	if (!child)
		for (;;)
			pause();
	return child > 0;
}

static bool child_is_there(void)
{
	return !kill(child, SIGKILL) && waitpid(child, NULL, 0) == child;
}

/* A child that lives in a cgroup beside that of the job. */
static char *beside(void)
{
	char *text = read_file("/proc/self/cgroup"), *path = strchr(strrchr(text, ':'), '/');

	path[strcspn(path, "\n")] = 0;
	return format("/sys/fs/cgroup%s-beside", path);
}

static bool fork_beside(void)
{
	char *path = beside();

	return !mkdir(path, 0755) && fork_sleeper() && write_file(format("%s/cgroup.procs", path), format("%d", child));
}

static bool beside_is_there(void)
{
	char *path = beside();

	if (!child_is_there())
		return false;
	while (rmdir(path) && errno == EBUSY)
		sched_yield();
	return true;
}

REFUSED(child_outside, TASK_CHILDREN, fork_beside(), beside_is_there())

/*
 * A task outside that shares something: a sibling of the job, in the root cgroup, that dies with the test. It says
 * so in the page that the job and the test share.
 */
static int sibling(void *arg)
{
	uint32_t *there = arg;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (write_file("/sys/fs/cgroup/cgroup.procs", "0"))
		__atomic_store_n(there, 1, __ATOMIC_SEQ_CST);
	futex_wake(there);
	for (;;)
		pause();
	return 0;
}

static bool share(int what)
{
	static char stack[65536] __attribute__((aligned(16)));
	uint32_t *there = (uint32_t *)job_notes();

	return clone(sibling, stack + sizeof(stack), what | CLONE_PARENT | SIGCHLD, there) > 0 &&
	       futex_wait(there, 0, 20000);
}

REFUSED(shared_memory_with_outside, TASK_SHARES, share(CLONE_VM), true)
REFUSED(shared_descriptors_with_outside, TASK_SHARES, share(CLONE_FILES), true)
REFUSED(shared_folder_with_outside, TASK_SHARES, share(CLONE_FS), true)
REFUSED(shared_handlers_with_outside, TASK_SHARES, share(CLONE_VM | CLONE_SIGHAND), true)

/* ---- threads in special states ---- */

static uint32_t arrived, let_go;

static void arrive(void)
{
	__atomic_store_n(&arrived, 1, __ATOMIC_SEQ_CST);
	futex_wake(&arrived);
}

static pthread_t thread;

static bool start(void *(*run)(void *), int arg)
{
	return !pthread_create(&thread, NULL, run, (void *)(intptr_t)arg) && futex_wait(&arrived, 0, 20000);
}

static bool finish(void)
{
	__atomic_store_n(&let_go, 1, __ATOMIC_SEQ_CST);
	futex_wake(&let_go);
	return !pthread_join(thread, NULL);
}

/* The child of vfork() waits in our memory; its parent waits for it. */
static void *vfork_and_wait(void *arg)
{
	(void)arg;
	child = vfork();
	if (!child) {
		arrive();
		futex_wait(&let_go, 0, -1);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	return NULL;
}

REFUSED(vfork, TASK_VFORK, start(vfork_and_wait, 0), finish())

/* Sleeps on a clock that stands still. */
static void *sleep_on_cpu_clock(void *arg)
{
	struct timespec ts = { .tv_sec = 1000 };

	(void)arg;
	__atomic_store_n(&child, gettid(), __ATOMIC_SEQ_CST);
	arrive();
	clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, 0, &ts, NULL);
	return NULL;
}

static void nothing(int sig)
{
	(void)sig;
}

static bool is_asleep(void)
{
	return wait_in_syscall(getpid(), child, SYS_clock_nanosleep);
}

static bool wake_up(void)
{
	signal(SIGUSR1, nothing);
	return is_asleep() && !tgkill(getpid(), child, SIGUSR1) && !pthread_join(thread, NULL);
}

REFUSED(call_that_cannot_be_resumed, TASK_RESTART, start(sleep_on_cpu_clock, 0) && is_asleep(), wake_up())

/* ---- a 32-bit program: pause() again and again ---- */

static const unsigned char program[] = {
	0x7f, 'E', 'L', 'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	2, 0, 3, 0, 1, 0, 0, 0, 0x54, 0x80, 0x04, 0x08, 52, 0, 0, 0,	/* begins at 0x8048054 */
	0, 0, 0, 0, 0, 0, 0, 0, 52, 0, 32, 0, 1, 0, 0, 0, 0, 0, 0, 0,
	1, 0, 0, 0, 0, 0, 0, 0, 0x00, 0x80, 0x04, 0x08, 0x00, 0x80, 0x04, 0x08,
	93, 0, 0, 0, 93, 0, 0, 0, 5, 0, 0, 0, 0, 0x10, 0, 0,
	0xb8, 29, 0, 0, 0,	/* mov $29, %eax */
	0xcd, 0x80,		/* int $0x80 */
	0xeb, 0xf7,		/* jmp back */
};

static int run_program(void)
{
	execl(test_path("program"), "program", NULL);
	return job_skip("this kernel runs no 32-bit programs");
}

TEST(refuse_32_bit_program)
{
	struct tool_result result;
	struct job job;

	ASSERT_TRUE(write_bytes(test_path("program"), program, sizeof(program)) && !chmod(test_path("program"), 0755));
	job_start(&job, run_program, NULL);
	while (!wait_in_syscall(job.pid, job.pid, 29))
		job_result(job_end(&job));
	result = job_dump(&job);
	EXPECT_TRUE(result.status > 0 && tool_said(&result, "TASK_COMPAT"));
	EXPECT_TRUE(!cgroup_is_frozen(job.cgroup) && wait_in_syscall(job.pid, job.pid, 29));
}

/* ---- what others do to the job ---- */

static int idle(void)
{
	job_roundtrip();
	return 0;
}

static void trace(pid_t pid)
{
	ASSERT_EQ(0, ptrace(PTRACE_SEIZE, pid, 0, 0));
}

static void untrace(pid_t pid)
{
	ptrace(PTRACE_INTERRUPT, pid, 0, 0);
	waitpid(pid, NULL, __WALL);
	ptrace(PTRACE_DETACH, pid, 0, 0);
}

TEST(refuse_traced)
{
	struct job_options options = { .before_dump = trace, .after_refusal = untrace };

	EXPECT_REFUSED_WITH(KCKPT_E_TASK_TRACED, idle, &options);
}

/* All that is in the way is told at once. */
static int many_reasons(void)
{
	clockid_t clock;
	timer_t timer;

	JOB_SETUP(open("/dev/kmsg", O_RDONLY) >= 0 && undo_semaphore() && !clock_getcpuclockid(getppid(), &clock));
	JOB_SETUP(!timer_create(clock, &(struct sigevent){ .sigev_notify = SIGEV_NONE }, &timer));
	job_roundtrip();
	return 0;
}

TEST(refuse_tells_all_reasons)
{
	struct tool_result result;
	struct job job;

	job_start(&job, many_reasons, NULL);
	ASSERT_EQ(JOB_WAITS, job_wait(&job));
	result = TOOL("check", "--json", job.cgroup);
	EXPECT_TRUE(result.status > 0);
	EXPECT_TRUE(tool_said(&result, "FILE_KIND") && tool_said(&result, "TASK_ATTRIBUTE") && tool_said(&result, "TASK_TIMER"));
	EXPECT_TRUE(!cgroup_is_frozen(job.cgroup));
	job_go(&job);
	EXPECT_EQ(0, job_end(&job));
}
