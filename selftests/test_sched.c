// SPDX-License-Identifier: GPL-2.0
/* What threads ask of the schedulers, and what prctl() sets: policies, nice values, affinity, I/O priority. */
#include <linux/prctl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "job.h"

#define PAGE 4096UL
#define MSEC 1000000ULL

/* As in <linux/sched/types.h>, which does not go with <sched.h>. */
struct attr {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
	uint32_t util_min, util_max;
};

#define RESET_ON_FORK 1

static bool set_attr(struct attr attr)
{
	attr.size = sizeof(attr);
	return !syscall(SYS_sched_setattr, 0, &attr, 0);
}

static bool attr_is(struct attr want)
{
	struct attr have = {};

	/* Of no meaning to us, and not the same on all kernels. */
	return !syscall(SYS_sched_getattr, 0, &have, sizeof(have), 0) && have.policy == want.policy &&
	       have.flags == want.flags && have.nice == want.nice && have.priority == want.priority &&
	       (want.policy != SCHED_DEADLINE || (have.runtime == want.runtime && have.deadline == want.deadline &&
						  have.period == want.period));
}

#define POLICY(name, ...)								\
	static int policy_##name(void)							\
	{										\
		JOB_SETUP(set_attr((struct attr){ __VA_ARGS__ }));			\
		job_roundtrip();							\
		JOB_CHECK(attr_is((struct attr){ __VA_ARGS__ }));			\
		return 0;								\
	}										\
	TEST(sched_policy_##name)							\
	{										\
		EXPECT_EQ(0, roundtrip(policy_##name));					\
	}

POLICY(other, .policy = SCHED_OTHER, .nice = -7, .flags = RESET_ON_FORK)
POLICY(batch, .policy = SCHED_BATCH, .nice = 11)
POLICY(fifo, .policy = SCHED_FIFO, .priority = 33)
POLICY(rr, .policy = SCHED_RR, .priority = 1, .flags = RESET_ON_FORK)
POLICY(deadline, .policy = SCHED_DEADLINE, .runtime = 10 * MSEC, .deadline = 50 * MSEC, .period = 100 * MSEC)

static int slice(void)
{
	struct attr attr = {};

	JOB_SETUP(set_attr((struct attr){ .runtime = 17 * MSEC }));
	syscall(SYS_sched_getattr, 0, &attr, sizeof(attr), 0);
	if (attr.runtime != 17 * MSEC)
		return job_skip("no slices in this kernel");
	job_roundtrip();
	JOB_CHECK(!syscall(SYS_sched_getattr, 0, &attr, sizeof(attr), 0) && attr.runtime == 17 * MSEC);
	return 0;
}

TEST(sched_slice)
{
	EXPECT_EQ(0, roundtrip(slice));
}

/* It keeps a nice value that it does not use. */
static int idle_and_nice(void)
{
	JOB_SETUP(nice(6) == 6 && set_attr((struct attr){ .policy = SCHED_IDLE }));
	job_roundtrip();
	JOB_CHECK(sched_getscheduler(0) == SCHED_IDLE && getpriority(PRIO_PROCESS, 0) == 6);
	return 0;
}

TEST(sched_policy_idle)
{
	EXPECT_EQ(0, roundtrip(idle_and_nice));
}

/* ---- threads, each with its own ---- */

static pthread_barrier_t arrived, go;
static int bad;

static bool bind_to(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return !sched_setaffinity(0, sizeof(set), &set);
}

static bool bound_to(int cpu)
{
	cpu_set_t set;

	return !sched_getaffinity(0, sizeof(set), &set) && CPU_COUNT(&set) == 1 && CPU_ISSET(cpu, &set);
}

static int nr_allowed(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) ? -1 : CPU_COUNT(&set);
}

static void *other_than_leader(void *arg)
{
	(void)arg;
	bad += !bind_to(1) || !set_attr((struct attr){ .policy = SCHED_FIFO, .priority = 5 });
	pthread_barrier_wait(&arrived);
	pthread_barrier_wait(&go);
	bad += !bound_to(1) || !attr_is((struct attr){ .policy = SCHED_FIFO, .priority = 5 });
	return NULL;
}

static int threads_differ(void)
{
	int nr = nr_allowed();
	pthread_t thread;

	if (nr < 2)
		return job_skip("one CPU");
	pthread_barrier_init(&arrived, NULL, 2);
	pthread_barrier_init(&go, NULL, 2);
	JOB_SETUP(!pthread_create(&thread, NULL, other_than_leader, NULL));
	pthread_barrier_wait(&arrived);
	JOB_SETUP(!bad);
	job_roundtrip();
	JOB_CHECK(nr_allowed() == nr && sched_getscheduler(0) == SCHED_OTHER);
	pthread_barrier_wait(&go);
	JOB_CHECK(!pthread_join(thread, NULL) && !bad);
	return 0;
}

TEST(sched_threads_differ)
{
	EXPECT_EQ(0, roundtrip(threads_differ));
}

/* What the tool is bound to is not the job's business, in either direction. */
static void bind_tool(void)
{
	ASSERT_TRUE(bind_to(0) && nice(3) == 3);
}

static int unbound(void)
{
	int nr = nr_allowed();

	if (nr < 2)
		return job_skip("one CPU");
	job_roundtrip();
	JOB_CHECK(nr_allowed() == nr && !getpriority(PRIO_PROCESS, 0));
	return 0;
}

TEST(sched_tool_is_bound)
{
	struct job_options options = { .between = bind_tool };

	EXPECT_EQ(0, roundtrip_with(unbound, &options));
}

static int bound(void)
{
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		return job_skip("one CPU");
	JOB_SETUP(bind_to(1));
	job_roundtrip();
	JOB_CHECK(bound_to(1));
	return 0;
}

TEST(sched_affinity)
{
	EXPECT_EQ(0, roundtrip(bound));
}

#define CPU1_ONLINE "/sys/devices/system/cpu/cpu1/online"

static void take_cpu_away(void)
{
	if (!write_file(CPU1_ONLINE, "0"))
		test_skip("CPUs cannot be taken away here");
}

TEST(sched_missing_cpu_is_refused)
{
	struct job_options options = { .between = take_cpu_away };
	bool refused = restore_refused(bound, &options, KCKPT_E_TASK_CPUS);

	write_file(CPU1_ONLINE, "1");
	EXPECT_TRUE(refused);
}

/* ---- I/O priority ---- */

#define IO_PRIORITY (2 << 13 | 1)

static int io_priority(void)
{
	JOB_SETUP(!syscall(SYS_ioprio_set, 1, 0, IO_PRIORITY));
	job_roundtrip();
	JOB_CHECK(syscall(SYS_ioprio_get, 1, 0) == IO_PRIORITY);
	return 0;
}

TEST(sched_io_priority)
{
	EXPECT_EQ(0, roundtrip(io_priority));
}

static void tool_in_a_hurry(void)
{
	ASSERT_TRUE(!syscall(SYS_ioprio_set, 1, 0, 1 << 13));
}

static int no_io_priority(void)
{
	int before = syscall(SYS_ioprio_get, 1, 0);

	job_roundtrip();
	JOB_CHECK(syscall(SYS_ioprio_get, 1, 0) == before);
	return 0;
}

TEST(sched_no_io_priority)
{
	struct job_options options = { .between = tool_in_a_hurry };

	EXPECT_EQ(0, roundtrip_with(no_io_priority, &options));
}

/* ---- prctl ---- */

/* Its new parent is the tool, which ends: then it gets the signal. */
static int parent_death_signal(void)
{
	int signal = 0;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	/* A change of ids takes it away. */
	JOB_SETUP(!setegid(5) && !prctl(PR_SET_PDEATHSIG, SIGUSR2));
	JOB_SETUP(!prctl(PR_GET_PDEATHSIG, &signal) && signal == SIGUSR2);
	job_roundtrip();
	JOB_CHECK(!prctl(PR_GET_PDEATHSIG, &signal) && signal == SIGUSR2);
	return 0;
}

TEST(sched_parent_death_signal)
{
	EXPECT_EQ(0, roundtrip(parent_death_signal));
}

static int flusher_and_mce(void)
{
	JOB_SETUP(!prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0));
	JOB_SETUP(!prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0));
	job_roundtrip();
	JOB_CHECK(prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0) == 1);
	JOB_CHECK(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0) == PR_MCE_KILL_EARLY);
	return 0;
}

TEST(sched_io_flusher_and_mce_kill)
{
	EXPECT_EQ(0, roundtrip(flusher_and_mce));
}

static int neither(void)
{
	job_roundtrip();
	JOB_CHECK(!prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0));
	JOB_CHECK(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0) == PR_MCE_KILL_DEFAULT);
	return 0;
}

static void tool_has_both(void)
{
	ASSERT_TRUE(!prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0));
	ASSERT_TRUE(!prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_LATE, 0, 0));
}

TEST(sched_nothing_comes_from_the_tool)
{
	struct job_options options = { .between = tool_has_both };

	EXPECT_EQ(0, roundtrip_with(neither, &options));
}

/* ---- mlockall(MCL_FUTURE) ---- */

static bool is_locked(const char *page)
{
	unsigned char in = 0;

	return !mincore((void *)page, PAGE, &in) && in & 1;
}

static char *map(void)
{
	return mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static int locks_the_future(void)
{
	long before, locked;

	JOB_SETUP(!mlockall(MCL_FUTURE));
	before = status_field(getpid(), "VmLck", 10);
	job_roundtrip();
	locked = status_field(getpid(), "VmLck", 10);
	JOB_CHECK(locked >= before);
	JOB_CHECK(is_locked(map()) && status_field(getpid(), "VmLck", 10) > locked);
	JOB_CHECK(!munlockall() && !status_field(getpid(), "VmLck", 10));
	return 0;
}

TEST(sched_memory_locked_in_future)
{
	EXPECT_EQ(0, roundtrip(locks_the_future));
}

static int locks_on_fault(void)
{
	char *page;

	JOB_SETUP(!mlockall(MCL_FUTURE | MCL_ONFAULT));
	job_roundtrip();
	page = map();
	JOB_CHECK(page != MAP_FAILED && !is_locked(page));
	JOB_CHECK(status_field(getpid(), "VmLck", 10) > 0);
	return 0;
}

TEST(sched_memory_locked_in_future_on_fault)
{
	EXPECT_EQ(0, roundtrip(locks_on_fault));
}
