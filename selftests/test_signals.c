// SPDX-License-Identifier: GPL-2.0
/* Signals: handlers and their flags, pending ones with their siginfo. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "job.h"

struct kernel_action {
	void *handler;
	unsigned long flags;
	void *restorer;
	uint64_t mask;
};

static bool raw_action(int sig, const struct kernel_action *set, struct kernel_action *get)
{
	return !syscall(SYS_rt_sigaction, sig, set, get, 8);
}

static void block_all(void)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
}

static void handler(int sig)
{
	(void)sig;
}

/* All 64, as the kernel has them; those of the library's own signals too. */
static int actions(void)
{
	static struct kernel_action before[65], after;
	int sig;

	for (sig = 1; sig <= 64; sig++) {
		struct kernel_action set = { .handler = sig % 3 ? handler : sig % 2 ? SIG_IGN : SIG_DFL,
					     .flags = 0x04000000 | (sig % 4 ? SA_RESTART : 0) |
						      (sig % 5 ? SA_NODEFER : SA_RESETHAND) | (sig % 7 ? SA_SIGINFO : 0),
					     .mask = 1ULL << (sig % 8 + 10), .restorer = (void *)0x1000 };

		raw_action(sig, &set, NULL);
		JOB_SETUP(raw_action(sig, NULL, &before[sig]));
	}
	job_roundtrip();
	for (sig = 1; sig <= 64; sig++)
		JOB_CHECK(raw_action(sig, NULL, &after) && !memcmp(&after, &before[sig], sizeof(after)));
	return 0;
}

TEST(signals_actions)
{
	EXPECT_EQ(0, roundtrip(actions));
}

static int all_default(void)
{
	struct kernel_action action = { .handler = SIG_DFL };
	int sig;

	for (sig = 1; sig <= 31; sig++)
		raw_action(sig, &action, NULL);
	job_roundtrip();
	for (sig = 1; sig <= 31; sig++)
		JOB_CHECK(raw_action(sig, NULL, &action) && action.handler == SIG_DFL && !action.flags);
	return 0;
}

/* What the restorer ignores is not ignored by the job. */
TEST(signals_default_stays_default)
{
	signal(SIGUSR1, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	EXPECT_EQ(0, roundtrip(all_default));
}

static bool queue(pid_t tid, int sig, int value)
{
	siginfo_t info = { .si_signo = sig, .si_code = SI_QUEUE, .si_pid = 4711, .si_uid = 12 };

	info.si_value.sival_int = value;
	return tid ? !syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, sig, &info) :
		     !syscall(SYS_rt_sigqueueinfo, getpid(), sig, &info);
}

static bool take(int sig, int value)
{
	struct timespec none = {};
	siginfo_t info;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, sig);
	return sigtimedwait(&set, &info, &none) == sig && info.si_code == SI_QUEUE && info.si_pid == 4711 &&
	       info.si_uid == 12 && info.si_value.sival_int == value;
}

/* Queued to the process and to the thread, in their order; a standard signal is there once. */
static int pending(void)
{
	int i;

	block_all();
	for (i = 0; i < 5; i++)
		JOB_SETUP(queue(0, SIGRTMIN + 3, 100 + i) && queue(gettid(), SIGRTMIN + 4, 200 + i));
	JOB_SETUP(queue(0, SIGUSR1, 7) && queue(0, SIGUSR1, 8) && queue(gettid(), SIGUSR2, 9));
	job_roundtrip();
	for (i = 0; i < 5; i++)
		JOB_CHECK(take(SIGRTMIN + 3, 100 + i) && take(SIGRTMIN + 4, 200 + i));
	JOB_CHECK(take(SIGUSR1, 7) && !take(SIGUSR1, 8) && take(SIGUSR2, 9));
	JOB_CHECK(!take(SIGRTMIN + 3, 0));
	return 0;
}

TEST(signals_pending_with_siginfo)
{
	EXPECT_EQ(0, roundtrip(pending));
}

static int many_pending(void)
{
	int i;

	block_all();
	for (i = 0; i < 2000; i++)
		JOB_SETUP(queue(0, SIGRTMIN + i % 20, i));
	job_roundtrip();
	for (i = 0; i < 2000; i++)
		JOB_CHECK(take(SIGRTMIN + i % 20, i));
	return 0;
}

TEST(signals_many_pending)
{
	EXPECT_EQ(0, roundtrip(many_pending));
}

static bool is_pending(pid_t tid, const char *field, int sig)
{
	char *text = read_file(format("/proc/self/task/%d/status", tid)), *at = strstr(text, field);

	return at && strtoull(at + strlen(field) + 1, NULL, 16) & 1ULL << (sig - 1);
}

static uint32_t let_go;

static void *sleep_blocked(void *arg)
{
	*(pid_t *)arg = gettid();
	futex_wake(arg);
	futex_wait(&let_go, 0, -1);
	return NULL;
}

/* To another thread than the first: it stays that thread's. */
static int of_a_thread(void)
{
	pthread_t thread;
	uint32_t tid = 0;

	block_all();
	JOB_SETUP(!pthread_create(&thread, NULL, sleep_blocked, &tid));
	futex_wait(&tid, 0, -1);
	JOB_SETUP(queue(tid, SIGUSR1, 1) && queue(0, SIGUSR2, 2));
	job_roundtrip();
	JOB_CHECK(is_pending(tid, "SigPnd:", SIGUSR1) && !is_pending(getpid(), "SigPnd:", SIGUSR1));
	JOB_CHECK(is_pending(tid, "ShdPnd:", SIGUSR2) && !is_pending(tid, "ShdPnd:", SIGUSR1));
	let_go = 1;
	futex_wake(&let_go);
	JOB_CHECK(!pthread_join(thread, NULL));
	return 0;
}

TEST(signals_pending_of_a_thread)
{
	EXPECT_EQ(0, roundtrip(of_a_thread));
}

static volatile int handled;

static void note(int sig, siginfo_t *info, void *context)
{
	(void)sig, (void)context;
	handled = info->si_value.sival_int;
}

/* Unblocked after the trip: the handler gets what was sent before it. */
static int delivered_later(void)
{
	struct sigaction action = { .sa_sigaction = note, .sa_flags = SA_SIGINFO };
	sigset_t none;

	sigemptyset(&none);
	block_all();
	JOB_SETUP(!sigaction(SIGRTMIN, &action, NULL) && queue(0, SIGRTMIN, 42));
	job_roundtrip();
	JOB_CHECK(!handled);
	sigprocmask(SIG_SETMASK, &none, NULL);
	JOB_CHECK(handled == 42);
	return 0;
}

TEST(signals_delivered_after_the_trip)
{
	EXPECT_EQ(0, roundtrip(delivered_later));
}

/* Pending, blocked and ignored: it stays pending, as Linux has it, and goes with the unblocking. */
static int ignored_pending(void)
{
	struct sigaction action = { .sa_handler = handler };

	block_all();
	JOB_SETUP(!sigaction(SIGUSR1, &action, NULL) && queue(0, SIGUSR1, 3));
	job_roundtrip();
	JOB_CHECK(take(SIGUSR1, 3));
	return 0;
}

TEST(signals_pending_blocked)
{
	EXPECT_EQ(0, roundtrip(ignored_pending));
}

/* The default would end it, were it queued before the mask is back. */
static int deadly_blocked(void)
{
	struct timespec none = {};
	sigset_t set;

	block_all();
	JOB_SETUP(!kill(getpid(), SIGTERM) && !tgkill(getpid(), gettid(), SIGSEGV));
	job_roundtrip();
	sigfillset(&set);
	JOB_CHECK(sigtimedwait(&set, NULL, &none) == SIGSEGV && sigtimedwait(&set, NULL, &none) == SIGTERM);
	return 0;
}

TEST(signals_deadly_but_blocked)
{
	EXPECT_EQ(0, roundtrip(deadly_blocked));
}

/* ---- sent by others while the job is away or stands still ---- */

static void send_usr1(pid_t pid)
{
	union sigval value = { .sival_int = 5 };

	sigqueue(pid, SIGUSR1, value);
}

static int gets_signal_after(void)
{
	struct sigaction action = { .sa_sigaction = note, .sa_flags = SA_SIGINFO };

	JOB_SETUP(!sigaction(SIGUSR1, &action, NULL));
	job_roundtrip();
	while (!handled)
		sched_yield();
	JOB_CHECK(handled == 5);
	return 0;
}

TEST(signals_arrive_in_the_restored_job)
{
	EXPECT_EQ(0, roundtrip_with(gets_signal_after, &((struct job_options){ .before_go = send_usr1 })));
}

static int dies_by_signal(void)
{
	job_roundtrip();
	kill(getpid(), SIGTERM);
	return 0;
}

TEST(signals_end_the_restored_job)
{
	EXPECT_EQ(128 + SIGTERM, roundtrip(dies_by_signal));
}

static volatile sig_atomic_t faults;

static void on_fault(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	faults += sig == SIGSEGV && info->si_addr == (void *)16;
	uc->uc_mcontext.gregs[REG_RIP] += 2;	/* over the load below */
}

static int faults_after(void)
{
	struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO };

	JOB_SETUP(!sigaction(SIGSEGV, &action, NULL));
	job_roundtrip();
	asm volatile("mov $16, %%eax\n .byte 0x8b, 0x00\n" ::: "rax", "memory");	/* mov (%rax), %eax */
	JOB_CHECK(faults == 1);
	return 0;
}

TEST(signals_of_faults)
{
	EXPECT_EQ(0, roundtrip(faults_after));
}
