// SPDX-License-Identifier: GPL-2.0
/* Timers of timer_create(), setitimer() and alarm(): ids, what is left of them, overruns, pending signals. */
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "job.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define NSEC 1000000000LL

/* The kernel's ids, of which the C library makes its own. */
static int create(clockid_t clock, int notify, int sig, int value)
{
	struct sigevent event = { .sigev_notify = notify, .sigev_signo = sig, .sigev_value.sival_int = value };
	int id;

	if (notify & SIGEV_THREAD_ID)
		event.sigev_notify_thread_id = gettid();
	return syscall(SYS_timer_create, clock, &event, &id) ? -1 : id;
}

static struct timespec ns(long long n)
{
	return (struct timespec){ n / NSEC, n % NSEC };
}

static long long to_ns(struct timespec ts)
{
	return ts.tv_sec * NSEC + ts.tv_nsec;
}

static bool set(int id, int flags, long long value, long long interval)
{
	struct itimerspec spec = { .it_value = ns(value), .it_interval = ns(interval) };

	return !syscall(SYS_timer_settime, id, flags, &spec, NULL);
}

static long long left(int id, long long *interval)
{
	struct itimerspec spec;

	if (syscall(SYS_timer_gettime, id, &spec))
		return -1;
	if (interval)
		*interval = to_ns(spec.it_interval);
	return to_ns(spec.it_value);
}

static long long clock_now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return to_ns(ts);
}

static void block(int sig)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, sig);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* The next pending @sig within @seconds. */
static bool take(int sig, siginfo_t *info, int seconds)
{
	struct timespec limit = { .tv_sec = seconds };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, sig);
	return sigtimedwait(&set, info, &limit) == sig;
}

static bool take_of(int id, int sig, int value, int seconds)
{
	siginfo_t info;

	return take(sig, &info, seconds) && info.si_code == SI_TIMER && info.si_timerid == id &&
	       info.si_value.sival_int == value;
}

static void pass_time(long long n)
{
	long long end = clock_now(CLOCK_MONOTONIC) + n;

	while (clock_now(CLOCK_MONOTONIC) < end)
		usleep(1000);
}

static void burn(long long n)
{
	long long end = clock_now(CLOCK_PROCESS_CPUTIME_ID) + n;

	while (clock_now(CLOCK_PROCESS_CPUTIME_ID) < end)
		;
}

/* ---- all kinds, far from expiring ---- */

#define KINDS 9

static int far_away(void)
{
	static const clockid_t clocks[KINDS] = {
		CLOCK_REALTIME,	CLOCK_REALTIME,		  CLOCK_MONOTONIC,	   CLOCK_BOOTTIME,     CLOCK_TAI,
		CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC,
	};
	static const int notify[KINDS] = {
		SIGEV_SIGNAL, SIGEV_SIGNAL,    SIGEV_SIGNAL, SIGEV_SIGNAL,    SIGEV_SIGNAL,
		SIGEV_NONE,   SIGEV_THREAD_ID, SIGEV_SIGNAL, SIGEV_THREAD_ID,
	};
	int id[KINDS], unset, i, gap;
	long long interval;

	for (i = 0; i < KINDS; i++) {
		gap = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR1, 0);
		id[i] = create(clocks[i], notify[i], SIGRTMIN + i, i);
		JOB_SETUP(gap >= 0 && id[i] == gap + 1 && !syscall(SYS_timer_delete, gap));
		if (i == 1)
			JOB_SETUP(set(id[i], TIMER_ABSTIME, clock_now(CLOCK_REALTIME) + 1000 * NSEC, 7 * NSEC));
		else
			JOB_SETUP(set(id[i], 0, 1000 * NSEC, i * NSEC));
	}
	unset = create(CLOCK_BOOTTIME, SIGEV_NONE, 0, 0);
	job_roundtrip();
	for (i = 0; i < KINDS; i++) {
		long long rest = left(id[i], &interval);

		JOB_CHECK(rest > 800 * NSEC && rest <= 1000 * NSEC);
		JOB_CHECK(interval == (i == 1 ? 7 : i) * NSEC);
		JOB_CHECK(left(id[i] - 1, NULL) == -1);
	}
	JOB_CHECK(!left(unset, &interval) && !interval);
	/* The next id is the one that it would have been. */
	JOB_CHECK(create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR1, 0) == unset + 1);
	/* They are what they were: each tells whom it told, by its own signal. */
	for (i = 0; i < KINDS; i++) {
		block(SIGRTMIN + i);
		JOB_CHECK(set(id[i], 0, 10000000, 0));
		burn(clocks[i] == CLOCK_PROCESS_CPUTIME_ID || clocks[i] == CLOCK_THREAD_CPUTIME_ID ? NSEC / 5 : 0);
		JOB_CHECK(notify[i] == SIGEV_NONE || take_of(id[i], SIGRTMIN + i, i, 20));
	}
	return 0;
}

TEST(timers_of_all_kinds)
{
	EXPECT_EQ(0, roundtrip(far_away));
}

/* What is left does not shrink while the job does not run; a time of day stays where it is. */
static void three_seconds(void)
{
	pass_time(3 * NSEC);
}

static int time_stands_still(void)
{
	int relative = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR1, 0), boot = create(CLOCK_BOOTTIME, SIGEV_SIGNAL, SIGUSR1, 0);
	int day = create(CLOCK_REALTIME, SIGEV_SIGNAL, SIGUSR1, 0), rest = create(CLOCK_REALTIME, SIGEV_SIGNAL, SIGUSR1, 0);
	long long start = clock_now(CLOCK_MONOTONIC), until = clock_now(CLOCK_REALTIME) + 1000 * NSEC, ran, still;
	struct itimerval value = { .it_value.tv_sec = 1000 };

	JOB_SETUP(set(relative, 0, 1000 * NSEC, 0) && set(boot, 0, 1000 * NSEC, 0) && set(rest, 0, 1000 * NSEC, 0));
	JOB_SETUP(set(day, TIMER_ABSTIME, until, 0) && !setitimer(ITIMER_REAL, &value, NULL));
	job_roundtrip();
	still = (job_times()->restore_from - job_times()->dump_to) * NSEC;
	JOB_CHECK(still >= 3 * NSEC);
	ran = clock_now(CLOCK_MONOTONIC) - start - still;
	JOB_CHECK(left(relative, NULL) >= 1000 * NSEC - ran - NSEC / 100);
	JOB_CHECK(left(boot, NULL) >= 1000 * NSEC - ran - NSEC / 100);
	JOB_CHECK(left(rest, NULL) >= 1000 * NSEC - ran - NSEC / 100);
	JOB_CHECK(left(day, NULL) <= 997 * NSEC);
	JOB_CHECK(!getitimer(ITIMER_REAL, &value));
	JOB_CHECK(value.it_value.tv_sec * NSEC + value.it_value.tv_usec * 1000LL >= 1000 * NSEC - ran - NSEC / 100);
	return 0;
}

TEST(timers_keep_the_time_that_is_left)
{
	struct job_options options = { .between = three_seconds };

	EXPECT_EQ(0, roundtrip_with(time_stands_still, &options));
}

/* ---- expired, with a signal that is pending ---- */

static int expired_once(void)
{
	int id = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN + 3, 42), thread;
	siginfo_t info;

	thread = create(CLOCK_MONOTONIC, SIGEV_THREAD_ID, SIGRTMIN + 4, 43);
	block(SIGRTMIN + 3);
	block(SIGRTMIN + 4);
	JOB_SETUP(set(id, 0, 1000000, 0) && set(thread, 0, 1000000, 0));
	pass_time(NSEC / 5);
	job_roundtrip();
	JOB_CHECK(!left(id, NULL));
	JOB_CHECK(take_of(id, SIGRTMIN + 3, 42, 0) && take_of(thread, SIGRTMIN + 4, 43, 0));
	JOB_CHECK(!take(SIGRTMIN + 3, &info, 0) && !take(SIGRTMIN + 4, &info, 0));
	/* The signal was the timer's own: it can be used again. */
	JOB_CHECK(set(id, 0, 1000000, 0) && take_of(id, SIGRTMIN + 3, 42, 20));
	return 0;
}

TEST(timers_signal_pending)
{
	EXPECT_EQ(0, roundtrip(expired_once));
}

/* The overruns while it stood still are none, those before count; it goes on with the next interval. */
static int overruns(void)
{
	const int sig = SIGRTMIN + 1;
	int id = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, sig, 7), cpu = create(CLOCK_PROCESS_CPUTIME_ID, SIGEV_SIGNAL, sig + 1, 8);
	long long start, ran, interval;
	siginfo_t info;

	block(sig);
	block(sig + 1);
	JOB_SETUP(set(id, 0, NSEC / 100, NSEC / 100) && set(cpu, 0, NSEC / 100, NSEC / 100));
	start = clock_now(CLOCK_MONOTONIC);
	burn(NSEC / 2);
	job_roundtrip();
	ran = clock_now(CLOCK_MONOTONIC) - start - (job_times()->restore_from - job_times()->dump_to) * NSEC;
	JOB_CHECK(left(id, &interval) > 0 && interval == NSEC / 100);
	JOB_CHECK(take(sig, &info, 0) && info.si_timerid == id && info.si_value.sival_int == 7);
	JOB_CHECK(info.si_overrun >= 30 && info.si_overrun <= (ran + NSEC) / (NSEC / 100));
	JOB_CHECK(syscall(SYS_timer_getoverrun, id) == info.si_overrun);
	JOB_CHECK(take_of(id, sig, 7, 20));
	JOB_CHECK(take(sig + 1, &info, 0) && info.si_timerid == cpu && info.si_overrun >= 10 && info.si_overrun < 500);
	burn(NSEC / 5);
	JOB_CHECK(take_of(cpu, sig + 1, 8, 0));
	return 0;
}

static void two_seconds(void)
{
	pass_time(2 * NSEC);
}

TEST(timers_overruns)
{
	struct job_options options = { .between = two_seconds };

	EXPECT_EQ(0, roundtrip_with(overruns, &options));
}

static int last_overrun(void)
{
	int id = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN, 0);
	siginfo_t info;

	block(SIGRTMIN);
	JOB_SETUP(set(id, 0, 1000000, 1000000));
	pass_time(NSEC / 10);
	JOB_SETUP(take(SIGRTMIN, &info, 0) && info.si_overrun > 10);
	job_roundtrip();
	JOB_CHECK(syscall(SYS_timer_getoverrun, id) == info.si_overrun);
	return 0;
}

TEST(timers_last_overrun)
{
	EXPECT_EQ(0, roundtrip(last_overrun));
}

/* In the order in which they came, among others of the same number. */
static int in_order(void)
{
	union sigval one = { .sival_int = 1 }, two = { .sival_int = 2 };
	int id = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN, 77);
	siginfo_t info;

	block(SIGRTMIN);
	JOB_SETUP(!sigqueue(getpid(), SIGRTMIN, one) && set(id, 0, 1000000, 0));
	pass_time(NSEC / 5);
	JOB_SETUP(!sigqueue(getpid(), SIGRTMIN, two));
	job_roundtrip();
	JOB_CHECK(take(SIGRTMIN, &info, 0) && info.si_value.sival_int == 1 && info.si_code == SI_QUEUE);
	JOB_CHECK(take_of(id, SIGRTMIN, 77, 0));
	JOB_CHECK(take(SIGRTMIN, &info, 0) && info.si_value.sival_int == 2);
	return 0;
}

TEST(timers_signals_in_order)
{
	EXPECT_EQ(0, roundtrip(in_order));
}

/* Nobody wants its signal, until somebody does: it goes on. */
static int ignored(void)
{
	int id = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN, 5);

	JOB_SETUP(signal(SIGRTMIN, SIG_IGN) != SIG_ERR && set(id, 0, 1000000, 1000000));
	pass_time(NSEC / 5);
	job_roundtrip();
	block(SIGRTMIN);
	JOB_CHECK(signal(SIGRTMIN, SIG_DFL) == SIG_IGN && take_of(id, SIGRTMIN, 5, 9));
	JOB_CHECK(take_of(id, SIGRTMIN, 5, 9));
	return 0;
}

TEST(timers_ignored_signal)
{
	EXPECT_EQ(0, roundtrip(ignored));
}

static int set_while_pending(int signo)
{
	int id = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, signo, 5);

	block(signo);
	if (!set(id, 0, 1000000, 1000000))
		return -1;
	pass_time(NSEC / 5);
	return set(id, 0, 1000 * NSEC, 9 * NSEC) ? id : -1;
}

/* Set anew while the signal of before is pending: the new time counts. That signal is told by Linux before 6.13 only. */
static int set_anew(void)
{
	int id = set_while_pending(SIGRTMIN), other = set_while_pending(SIGRTMIN + 1);
	bool told = take_of(other, SIGRTMIN + 1, 5, 0);
	long long interval;

	JOB_SETUP(id >= 0 && other >= 0);
	job_roundtrip();
	JOB_CHECK(take_of(id, SIGRTMIN, 5, 0) == told);
	JOB_CHECK(left(id, &interval) > 800 * NSEC && interval == 9 * NSEC);
	return 0;
}

TEST(timers_set_anew_while_pending)
{
	EXPECT_EQ(0, roundtrip(set_anew));
}

/* One that tells nobody, and may be asked. */
static int silent(void)
{
	int id = create(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0), over = create(CLOCK_BOOTTIME, SIGEV_NONE, 0, 0);
	int again = create(CLOCK_REALTIME, SIGEV_NONE, 0, 0);
	long long interval;

	JOB_SETUP(set(id, 0, 1000 * NSEC, 0) && set(over, 0, 1000, 0) && set(again, 0, 1000, NSEC));
	job_roundtrip();
	JOB_CHECK(left(id, NULL) > 800 * NSEC && !left(over, NULL));
	JOB_CHECK(left(again, &interval) > 0 && interval == NSEC);
	return 0;
}

TEST(timers_without_notice)
{
	EXPECT_EQ(0, roundtrip(silent));
}

/* ---- threads ---- */

static pthread_barrier_t arrived, go;
static int of_thread, clock_of_thread, bad;

static void *told(void *arg)
{
	(void)arg;
	block(SIGRTMIN + 2);
	of_thread = create(CLOCK_MONOTONIC, SIGEV_THREAD_ID, SIGRTMIN + 2, 11);
	clock_of_thread = create(CLOCK_THREAD_CPUTIME_ID, SIGEV_THREAD_ID, SIGRTMIN + 2, 12);
	bad += !set(of_thread, 0, 1000000, 0) || !set(clock_of_thread, 0, NSEC / 5, 0);
	pass_time(NSEC / 10);
	pthread_barrier_wait(&arrived);
	pthread_barrier_wait(&go);
	bad += !take_of(of_thread, SIGRTMIN + 2, 11, 0);
	burn(NSEC);
	bad += !take_of(clock_of_thread, SIGRTMIN + 2, 12, 20);
	return NULL;
}

static int threads(void)
{
	pthread_t thread;
	siginfo_t info;

	block(SIGRTMIN + 2);
	pthread_barrier_init(&arrived, NULL, 2);
	pthread_barrier_init(&go, NULL, 2);
	JOB_SETUP(!pthread_create(&thread, NULL, told, NULL));
	pthread_barrier_wait(&arrived);
	JOB_SETUP(!bad);
	job_roundtrip();
	JOB_CHECK(!take(SIGRTMIN + 2, &info, 0));
	pthread_barrier_wait(&go);
	JOB_CHECK(!pthread_join(thread, NULL) && !bad);
	return 0;
}

TEST(timers_of_threads)
{
	EXPECT_EQ(0, roundtrip(threads));
}

static int told_by_thread;

static void notice(union sigval value)
{
	__atomic_store_n(&told_by_thread, value.sival_int, __ATOMIC_SEQ_CST);
}

/* The C library's own thread, which waits for the timer. */
static int library_thread(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD, .sigev_value.sival_int = 99 };
	struct itimerspec spec = { .it_value.tv_nsec = 1000000 };
	timer_t timer;

	event.sigev_notify_function = notice;
	JOB_SETUP(!timer_create(CLOCK_MONOTONIC, &event, &timer));
	job_roundtrip();
	JOB_CHECK(!timer_settime(timer, 0, &spec, NULL));
	while (__atomic_load_n(&told_by_thread, __ATOMIC_SEQ_CST) != 99)
		usleep(1000);
	return 0;
}

TEST(timers_that_start_threads)
{
	EXPECT_EQ(0, roundtrip(library_thread));
}

/* ---- setitimer ---- */

static volatile sig_atomic_t alarms;

static void count_alarm(int sig)
{
	(void)sig;
	alarms++;
}

static bool set_itimer(int which, long long value, long long interval)
{
	struct itimerval spec = {
		.it_value = { value / NSEC, value % NSEC / 1000 },
		.it_interval = { interval / NSEC, interval % NSEC / 1000 },
	};

	return !setitimer(which, &spec, NULL);
}

static bool comes_again(void)
{
	long long end = clock_now(CLOCK_MONOTONIC) + 20 * NSEC;
	int before = alarms;

	while (alarms < before + 3 && clock_now(CLOCK_MONOTONIC) < end)
		;
	return alarms >= before + 3;
}

static bool counts(int sig)
{
	struct sigaction action = { .sa_handler = count_alarm, .sa_flags = SA_RESTART };

	return !sigaction(sig, &action, NULL);
}

static int real_goes_on(void)
{
	JOB_SETUP(counts(SIGALRM) && set_itimer(ITIMER_REAL, NSEC / 50, NSEC / 50));
	job_roundtrip();
	JOB_CHECK(comes_again());
	return 0;
}

TEST(timers_real_goes_on)
{
	EXPECT_EQ(0, roundtrip(real_goes_on));
}

static int prof_goes_on(void)
{
	struct itimerval now;

	JOB_SETUP(counts(SIGPROF) && set_itimer(ITIMER_PROF, NSEC / 20, NSEC / 20));
	JOB_SETUP(set_itimer(ITIMER_VIRTUAL, 1000 * NSEC, 5 * NSEC));
	burn(NSEC / 5);
	job_roundtrip();
	JOB_CHECK(!getitimer(ITIMER_VIRTUAL, &now));
	JOB_CHECK(now.it_value.tv_sec > 800 && now.it_value.tv_sec <= 1000 && now.it_interval.tv_sec == 5);
	JOB_CHECK(!getitimer(ITIMER_PROF, &now) && now.it_interval.tv_usec == 50000);
	JOB_CHECK(comes_again());
	return 0;
}

TEST(timers_prof_and_virtual_go_on)
{
	EXPECT_EQ(0, roundtrip(prof_goes_on));
}

/* Its signal is pending: it is set up again when that is taken. */
static int real_pending(void)
{
	struct itimerval now;
	siginfo_t info;

	block(SIGALRM);
	JOB_SETUP(set_itimer(ITIMER_REAL, NSEC / 100, NSEC / 10));
	pass_time(NSEC / 5);
	job_roundtrip();
	JOB_CHECK(!getitimer(ITIMER_REAL, &now) && !now.it_value.tv_sec && !now.it_value.tv_usec);
	JOB_CHECK(now.it_interval.tv_usec == 100000);
	JOB_CHECK(take(SIGALRM, &info, 0) && info.si_code == SI_KERNEL);
	JOB_CHECK(take(SIGALRM, &info, 20));
	return 0;
}

TEST(timers_real_pending)
{
	EXPECT_EQ(0, roundtrip(real_pending));
}

/* Signals come all the time, also while it is frozen and looked at. */
static int storm(void)
{
	static const long long periods[] = { 1000000, 5000000, 20000000, 70000000, 150000000 };
	int id, i;

	JOB_SETUP(counts(SIGALRM) && counts(SIGUSR1));
	for (i = 0; i < 5; i++) {
		id = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR1, i);
		JOB_SETUP(set(id, 0, periods[i] + 333333, periods[i] + 333333));
	}
	JOB_SETUP(set_itimer(ITIMER_REAL, NSEC / 30, NSEC / 30));
	for (i = 0; i < 6; i++) {
		job_roundtrip();
		JOB_CHECK(comes_again());
	}
	return 0;
}

TEST_LIMIT(timers_many_signals, 120)
{
	EXPECT_EQ(0, roundtrip(storm));
}

/* ---- refusals ---- */

static int other_clock(void)
{
	clockid_t clock;
	int id;

	JOB_SETUP(!clock_getcpuclockid(getppid(), &clock));
	id = create(clock, SIGEV_NONE, 0, 0);
	JOB_SETUP(id >= 0);
	job_roundtrip();
	JOB_CHECK(!left(id, NULL));
	return 0;
}

TEST(timers_cpu_time_of_another_process_is_refused)
{
	EXPECT_REFUSED(KCKPT_E_TASK_TIMER, other_clock);
}

static pid_t ended;

static void *end_with_timer(void *arg)
{
	*(int *)arg = create(CLOCK_MONOTONIC, SIGEV_THREAD_ID, SIGRTMIN, 0);
	ended = gettid();
	return NULL;
}

static int ended_thread(void)
{
	pthread_t thread;
	int id = -1;

	JOB_SETUP(!pthread_create(&thread, NULL, end_with_timer, &id) && !pthread_join(thread, NULL) && id >= 0);
	while (!syscall(SYS_tgkill, getpid(), ended, 0))
		usleep(1000);
	job_roundtrip();
	JOB_CHECK(!left(id, NULL));
	return 0;
}

TEST(timers_of_an_ended_thread_are_refused)
{
	EXPECT_REFUSED(KCKPT_E_TASK_TIMER, ended_thread);
}

static int alarm_clock(void)
{
	int id = create(CLOCK_BOOTTIME_ALARM, SIGEV_SIGNAL, SIGUSR1, 0);

	if (id < 0)
		return job_skip("no clock that wakes the machine");
	job_roundtrip();
	JOB_CHECK(!left(id, NULL));
	return 0;
}

TEST(timers_of_alarm_clocks_are_refused)
{
	EXPECT_REFUSED(KCKPT_E_TASK_TIMER, alarm_clock);
}
