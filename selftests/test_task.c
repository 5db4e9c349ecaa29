// SPDX-License-Identifier: GPL-2.0
/* Threads: ids, names, signal masks, alternate stacks, robust lists, rseq, TLS. */
#include <grp.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/rseq.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "job.h"

#define NR_THREADS 20

#ifndef AT_RSEQ_FEATURE_SIZE
#define AT_RSEQ_FEATURE_SIZE 27
#define AT_RSEQ_ALIGN 28
#endif

static __thread uint64_t own_value;
static pthread_barrier_t arrived, go;

struct worker {
	pthread_t thread;
	int nr, bad;
	pid_t tid;
	char stack[16384];
};

static void set_mask(int nr)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGRTMIN + nr % 20);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

static bool mask_is(int nr)
{
	sigset_t mask;
	int sig;

	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	for (sig = SIGRTMIN; sig <= SIGRTMAX; sig++)
		if (sigismember(&mask, sig) != (sig == SIGRTMIN + nr % 20))
			return false;
	return true;
}

static void set_altstack(struct worker *worker)
{
	stack_t stack = { .ss_sp = worker->stack, .ss_size = sizeof(worker->stack) };

	if (sigaltstack(&stack, NULL))
		worker->bad++;
}

static bool altstack_is(struct worker *worker)
{
	stack_t stack;

	return !sigaltstack(NULL, &stack) && stack.ss_sp == worker->stack && stack.ss_size == sizeof(worker->stack) &&
	       !stack.ss_flags;
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	char name[16], want[16];

	worker->tid = gettid();
	own_value = worker->nr * 1000;
	snprintf(want, sizeof(want), "worker-%d", worker->nr);
	prctl(PR_SET_NAME, want);
	set_mask(worker->nr);
	set_altstack(worker);
	pthread_barrier_wait(&arrived);
	pthread_barrier_wait(&go);	/* asleep here during the trip */
	prctl(PR_GET_NAME, name);
	worker->bad += worker->tid != gettid();
	worker->bad += own_value != (uint64_t)worker->nr * 1000;
	worker->bad += !!strcmp(name, want);
	worker->bad += !mask_is(worker->nr);
	worker->bad += !altstack_is(worker);
	return worker;
}

static int threads(void)
{
	static struct worker workers[NR_THREADS];
	void *result;
	int i;

	JOB_SETUP(!pthread_barrier_init(&arrived, NULL, NR_THREADS + 1));
	JOB_SETUP(!pthread_barrier_init(&go, NULL, NR_THREADS + 1));
	for (i = 0; i < NR_THREADS; i++) {
		workers[i].nr = i;
		JOB_SETUP(!pthread_create(&workers[i].thread, NULL, work, &workers[i]));
	}
	pthread_barrier_wait(&arrived);
	job_roundtrip();
	pthread_barrier_wait(&go);
	for (i = 0; i < NR_THREADS; i++) {
		JOB_CHECK(!pthread_join(workers[i].thread, &result));
		JOB_CHECK(result == &workers[i] && !workers[i].bad);
	}
	return 0;
}

TEST(task_threads)
{
	EXPECT_EQ(0, roundtrip(threads));
}

static uint64_t counter;
static bool stop;
static pthread_mutex_t counter_lock = PTHREAD_MUTEX_INITIALIZER;

static void *count(void *arg)
{
	uint64_t *mine = arg;

	while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
		pthread_mutex_lock(&counter_lock);
		counter++;
		pthread_mutex_unlock(&counter_lock);
		++*mine;
	}
	return NULL;
}

/* Frozen wherever they are, in the middle of a lock; three times. */
static int contend(void)
{
	pthread_t thread[4];
	uint64_t mine[4] = {}, sum = 0;
	int i;

	for (i = 0; i < 4; i++)
		JOB_SETUP(!pthread_create(&thread[i], NULL, count, &mine[i]));
	for (i = 0; i < 3; i++) {
		uint64_t before = __atomic_load_n(&mine[0], __ATOMIC_SEQ_CST);

		job_roundtrip();
		while (__atomic_load_n(&mine[0], __ATOMIC_SEQ_CST) == before)
			sched_yield();
	}
	__atomic_store_n(&stop, true, __ATOMIC_SEQ_CST);
	for (i = 0; i < 4; i++) {
		JOB_CHECK(!pthread_join(thread[i], NULL));
		sum += mine[i];
	}
	JOB_CHECK(sum == counter);
	return 0;
}

TEST(task_threads_contend_for_a_lock)
{
	EXPECT_EQ(0, roundtrip(contend));
}

static void *come_and_go(void *arg)
{
	(void)arg;
	return NULL;
}

static void *spawn(void *arg)
{
	pthread_t thread;

	while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
		if (pthread_create(&thread, NULL, come_and_go, NULL))
			continue;
		pthread_join(thread, NULL);
		__atomic_add_fetch((uint64_t *)arg, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

static int threads_come_and_go(void)
{
	uint64_t born = 0;
	pthread_t thread;
	int i;

	JOB_SETUP(!pthread_create(&thread, NULL, spawn, &born));
	for (i = 0; i < 3; i++) {
		uint64_t before = __atomic_load_n(&born, __ATOMIC_SEQ_CST);

		job_roundtrip();
		while (__atomic_load_n(&born, __ATOMIC_SEQ_CST) == before)
			sched_yield();
	}
	__atomic_store_n(&stop, true, __ATOMIC_SEQ_CST);
	JOB_CHECK(!pthread_join(thread, NULL));
	return 0;
}

TEST(task_threads_come_and_go)
{
	EXPECT_EQ(0, roundtrip(threads_come_and_go));
}

static int name(void)
{
	char got[16];

	prctl(PR_SET_NAME, "a name\n\\\x80 15 c");
	job_roundtrip();
	prctl(PR_GET_NAME, got);
	JOB_CHECK(!strcmp(got, "a name\n\\\x80 15 c"));
	return 0;
}

TEST(task_name)
{
	EXPECT_EQ(0, roundtrip(name));
}

static int nice_and_slack_kept(void)
{
	JOB_SETUP(nice(5) == 5 && !prctl(PR_SET_TIMERSLACK, 12345));
	job_roundtrip();
	JOB_CHECK(nice(0) == 5);
	JOB_CHECK(prctl(PR_GET_TIMERSLACK) == 12345);
	return 0;
}

TEST(task_nice_and_timer_slack)
{
	EXPECT_EQ(0, roundtrip(nice_and_slack_kept));
}

static int personality_kept(void)
{
	JOB_SETUP(personality(ADDR_NO_RANDOMIZE | UNAME26) >= 0);
	job_roundtrip();
	JOB_CHECK(personality(0xffffffff) == (ADDR_NO_RANDOMIZE | UNAME26));
	return 0;
}

TEST(task_personality)
{
	EXPECT_EQ(0, roundtrip(personality_kept));
}

static int other_user(void)
{
	uid_t r, e, s;
	gid_t groups[4];

	JOB_SETUP(!chmod(test_folder(), 0777) && !chmod(test_path("job.log"), 0666) && !chmod(test_path("job.page"), 0666));
	JOB_SETUP(!setgroups(2, (gid_t[]){ 7, 9 }) && !setresgid(11, 12, 13) && !setresuid(21, 22, 23));
	job_roundtrip();
	JOB_CHECK(!getresuid(&r, &e, &s) && r == 21 && e == 22 && s == 23);
	JOB_CHECK(!getresgid(&r, &e, &s) && r == 11 && e == 12 && s == 13);
	JOB_CHECK(getgroups(4, groups) == 2 && groups[0] == 7 && groups[1] == 9);
	JOB_CHECK(setresuid(0, 0, 0) == -1 && errno == EPERM);
	return 0;
}

TEST(task_other_user)
{
	EXPECT_EQ(0, roundtrip(other_user));
}

static int no_new_privs(void)
{
	JOB_SETUP(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	job_roundtrip();
	JOB_CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
	return 0;
}

TEST(task_no_new_privs)
{
	EXPECT_EQ(0, roundtrip(no_new_privs));
}

static char alt[16384];
static bool was_on_alt;

static void see_stack(int sig)
{
	char here;

	(void)sig;
	was_on_alt = &here >= alt && &here < alt + sizeof(alt);
}

static int uses_altstack(void)
{
	stack_t stack = { .ss_sp = alt, .ss_size = sizeof(alt), .ss_flags = 1U << 31 /* SS_AUTODISARM */ }, got;
	struct sigaction action = { .sa_handler = see_stack, .sa_flags = SA_ONSTACK };

	JOB_SETUP(!sigaltstack(&stack, NULL) && !sigaction(SIGUSR1, &action, NULL));
	job_roundtrip();
	JOB_CHECK(!sigaltstack(NULL, &got) && got.ss_flags == stack.ss_flags && got.ss_sp == alt);
	JOB_CHECK(!raise(SIGUSR1) && was_on_alt);
	return 0;
}

TEST(task_alternate_stack)
{
	EXPECT_EQ(0, roundtrip(uses_altstack));
}

static void trip_in_handler(int sig)
{
	(void)sig;
	job_roundtrip();
}

/* The trip is made on the alternate stack, within a handler. */
static int within_handler(void)
{
	stack_t stack = { .ss_sp = alt, .ss_size = sizeof(alt) };
	struct sigaction action = { .sa_handler = trip_in_handler, .sa_flags = SA_ONSTACK };
	sigset_t mask;

	JOB_SETUP(!sigaltstack(&stack, NULL) && !sigaction(SIGUSR1, &action, NULL));
	raise(SIGUSR1);
	JOB_CHECK(!sigprocmask(SIG_SETMASK, NULL, &mask) && !sigismember(&mask, SIGUSR1));
	return 0;
}

TEST(task_within_a_handler)
{
	EXPECT_EQ(0, roundtrip(within_handler));
}

/* ---- robust list ---- */

static pthread_mutex_t robust;

static void *die_with_lock(void *arg)
{
	pthread_mutex_lock(&robust);
	pthread_barrier_wait(&arrived);
	pthread_barrier_wait(&go);
	return arg;	/* without unlocking */
}

static int robust_mutex(void)
{
	pthread_mutexattr_t attr;
	pthread_t thread;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	JOB_SETUP(!pthread_mutex_init(&robust, &attr));
	pthread_barrier_init(&arrived, NULL, 2);
	pthread_barrier_init(&go, NULL, 2);
	JOB_SETUP(!pthread_create(&thread, NULL, die_with_lock, NULL));
	pthread_barrier_wait(&arrived);
	job_roundtrip();
	JOB_CHECK(pthread_mutex_trylock(&robust) == EBUSY);
	pthread_barrier_wait(&go);
	JOB_CHECK(pthread_mutex_lock(&robust) == EOWNERDEAD);
	JOB_CHECK(!pthread_join(thread, NULL));
	return 0;
}

TEST(task_robust_list)
{
	EXPECT_EQ(0, roundtrip(robust_mutex));
}

static int robust_head(void)
{
	struct robust_list_head *head, *after;
	size_t len;

	JOB_SETUP(!syscall(SYS_get_robust_list, 0, &head, &len) && head);
	job_roundtrip();
	JOB_CHECK(!syscall(SYS_get_robust_list, 0, &after, &len) && head == after && len == sizeof(*head));
	return 0;
}

TEST(task_robust_list_head)
{
	EXPECT_EQ(0, roundtrip(robust_head));
}

/* ---- rseq ---- */

static struct rseq *own_rseq(void)
{
	return __rseq_size ? (void *)((char *)__builtin_thread_pointer() + __rseq_offset) : NULL;
}

static int rseq_registered(void)
{
	struct rseq *rseq = own_rseq();

	if (!rseq || (int)rseq->cpu_id < 0)
		return job_skip("the C library has not registered rseq");
	job_roundtrip();
	/* Registered already, with the same address, length and signature: EBUSY; otherwise EINVAL or EPERM. */
	JOB_CHECK(syscall(SYS_rseq, rseq, __rseq_size < 32 ? 32 : __rseq_size, 0, RSEQ_SIG) == -1 && errno == EBUSY);
	JOB_CHECK(rseq->cpu_id == (unsigned int)sched_getcpu());
	return 0;
}

TEST(task_rseq_registration)
{
	EXPECT_EQ(0, roundtrip(rseq_registered));
}

/* Longer than the 32 bytes of old: Linux 7.2 kills who changes what it wrote to such an area. */
static struct rseq *extended_rseq(uint32_t *len)
{
	unsigned long size = getauxval(AT_RSEQ_FEATURE_SIZE), align = getauxval(AT_RSEQ_ALIGN);
	struct rseq *area;

	*len = 0;
	if (!own_rseq() || size <= 32 || posix_memalign((void **)&area, align, 2 * align))
		return NULL;
	memset(area, 0, 2 * align);
	*len = (size + align - 1) / align * align;
	if (syscall(SYS_rseq, own_rseq(), 32, RSEQ_FLAG_UNREGISTER, RSEQ_SIG) ||
	    syscall(SYS_rseq, area, *len, 0, RSEQ_SIG))
		return NULL;
	return area;
}

static int rseq_extended(void)
{
	uint32_t len;
	struct rseq *rseq = extended_rseq(&len);
	cpu_set_t set;
	int cpu;

	if (!len)
		return job_skip("the kernel has no longer area");
	JOB_SETUP(rseq);
	job_roundtrip();
	JOB_CHECK(syscall(SYS_rseq, rseq, len, 0, RSEQ_SIG) == -1 && errno == EBUSY);
	for (cpu = sysconf(_SC_NPROCESSORS_ONLN) - 1; cpu >= 0; cpu--) {
		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
		JOB_CHECK(!sched_setaffinity(0, sizeof(set), &set));
		JOB_CHECK(rseq->cpu_id == (unsigned int)cpu && rseq->cpu_id_start == rseq->cpu_id);
	}
	return 0;
}

TEST(task_rseq_extended)
{
	EXPECT_EQ(0, roundtrip(rseq_extended));
}

/*
 * A critical section that is interrupted must be continued at its abort handler: in the section we spin until the
 * trip is over, which would be for ever if nobody aborted us.
 */
uint32_t rseq_inside;	/* named in assembly, so not static */

static uint32_t critical(struct rseq *rseq)
{
	uint32_t aborted = 0;

	asm volatile(".pushsection __rseq_cs, \"aw\"\n"
		     ".balign 32\n"
		     "9: .long 0, 0\n"
		     ".quad 1f, 2f - 1f, 4f\n"
		     ".popsection\n"
		     "lea 9b(%%rip), %%rax\n"
		     "mov %%rax, %[cs]\n"
		     "1:\n"
		     "movl $1, rseq_inside(%%rip)\n"
		     "3: pause\n"
		     "jmp 3b\n"
		     "2:\n"
		     ".pushsection __rseq_abort, \"ax\"\n"
		     ".long 0x53053053\n"
		     "4: jmp 5f\n"
		     ".popsection\n"
		     "5: movl $1, %[aborted]\n"
		     : [cs] "+m" (rseq->rseq_cs), [aborted] "+m" (aborted) : : "rax", "memory", "cc");
	return aborted;
}

static void *critical_own(void *arg)
{
	*(uint32_t *)arg = critical(own_rseq());
	return NULL;
}

static void *critical_extended(void *arg)
{
	uint32_t len;
	struct rseq *rseq = extended_rseq(&len);

	if (rseq)
		*(uint32_t *)arg = critical(rseq);
	return NULL;
}

static int section(void *(*start)(void *arg))
{
	uint32_t aborted = 0;
	pthread_t thread;

	JOB_SETUP(!pthread_create(&thread, NULL, start, &aborted));
	while (!__atomic_load_n(&rseq_inside, __ATOMIC_SEQ_CST))
		sched_yield();
	job_roundtrip();
	JOB_CHECK(!pthread_join(thread, NULL) && aborted);
	return 0;
}

static int rseq_section(void)
{
	if (!own_rseq() || (int)own_rseq()->cpu_id < 0)
		return job_skip("the C library has not registered rseq");
	return section(critical_own);
}

TEST(task_rseq_section_is_aborted)
{
	EXPECT_EQ(0, roundtrip(rseq_section));
}

static int rseq_extended_section(void)
{
	if (!own_rseq() || getauxval(AT_RSEQ_FEATURE_SIZE) <= 32)
		return job_skip("the kernel has no longer area");
	return section(critical_extended);
}

TEST(task_rseq_extended_section_is_aborted)
{
	EXPECT_EQ(0, roundtrip(rseq_extended_section));
}

/* ---- membarrier, THP: they belong to the address space, but tasks ask for them ---- */

static int membarrier_registered(void)
{
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0))
		return job_skip("no membarrier");
	JOB_SETUP(!syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 0, 0));
	job_roundtrip();
	JOB_CHECK(!syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
	JOB_CHECK(!syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0, 0));
	JOB_CHECK(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0) == -1 && errno == EPERM);
	return 0;
}

TEST(task_membarrier_registration)
{
	EXPECT_EQ(0, roundtrip(membarrier_registered));
}

/* A thread that ends clears its tid word and wakes who waits for it: pthread_join() hangs without. */
static int clear_child_tid(void)
{
	pthread_t thread;

	pthread_barrier_init(&arrived, NULL, 2);
	pthread_barrier_init(&go, NULL, 2);
	pthread_mutex_init(&robust, NULL);
	JOB_SETUP(!pthread_create(&thread, NULL, die_with_lock, NULL));
	pthread_barrier_wait(&arrived);
	job_roundtrip();
	pthread_barrier_wait(&go);
	JOB_CHECK(!pthread_join(thread, NULL));
	return 0;
}

TEST(task_clear_child_tid)
{
	EXPECT_EQ(0, roundtrip(clear_child_tid));
}
