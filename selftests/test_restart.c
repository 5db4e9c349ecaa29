// SPDX-License-Identifier: GPL-2.0
/*
 * Interrupted system calls. A thread sleeps in one during the trip; afterwards the call goes on as if nothing had been:
 * no EINTR is seen, and what was left of its time is still left.
 */
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "job.h"

#define WAIT_S 1.0	/* of the calls that end by themselves */
#define LATE_S 15.0	/* what an emulated machine may take to notice */

struct sleeper {
	long nr;			/* of the system call */
	long (*call)(struct sleeper *s);
	void (*wake)(struct sleeper *s);	/* ends it; NULL: its time is up one day */
	uint32_t tid;
	pthread_t thread;
	long result;
	int error;
	double from, to;
	int pipe[2];
	uint32_t word;
};

static void nothing(int sig)
{
	(void)sig;
}

static void *sleep_in_call(void *arg)
{
	struct sleeper *s = arg;

	__atomic_store_n(&s->tid, gettid(), __ATOMIC_SEQ_CST);
	futex_wake(&s->tid);
	s->from = now();
	s->result = s->call(s);
	s->error = errno;
	s->to = now();
	return NULL;
}

static bool start(struct sleeper *s)
{
	if (pipe(s->pipe) || pthread_create(&s->thread, NULL, sleep_in_call, s))
		return false;
	futex_wait(&s->tid, 0, -1);
	return wait_in_syscall(getpid(), s->tid, s->nr);
}

/* The clock goes on while the job is away, the wait does not: it is longer by that. */
static bool time_is_right(const struct sleeper *s, bool relative)
{
	const struct job_times *t = job_times();
	double slept = s->to - s->from, least = WAIT_S, most = WAIT_S + LATE_S;

	if (relative) {
		least += t->restore_from - t->dump_to;
		most += t->restore_to - t->dump_from;
	}
	if (slept < least - 0.05 || slept > most)
		dprintf(2, "slept %.2f s, wanted %.2f to %.2f\n", slept, least, most);
	return slept >= least - 0.05 && slept <= most;
}

/* Through a trip; what the call returned is left to the caller. */
static int sleep_through(struct sleeper *s)
{
	JOB_SETUP(start(s));
	job_roundtrip();
	if (s->wake) {
		/* In the call again, so that the wake-up finds it there. */
		JOB_CHECK(wait_in_syscall(getpid(), s->tid, s->nr));
		s->wake(s);
	}
	JOB_CHECK(!pthread_join(s->thread, NULL));
	return 0;
}

static void wake_by_signal(struct sleeper *s)
{
	signal(SIGUSR1, nothing);
	tgkill(getpid(), s->tid, SIGUSR1);
}

static void wake_by_byte(struct sleeper *s)
{
	if (write(s->pipe[1], "x", 1) != 1)
		abort();
}

/* ---- calls that only a signal ends ---- */

static long call_pause(struct sleeper *s)
{
	(void)s;
	return pause();
}

static int in_pause(void)
{
	struct sleeper s = { .nr = SYS_pause, .call = call_pause, .wake = wake_by_signal };

	JOB_TRY(sleep_through(&s));
	JOB_CHECK(s.result == -1 && s.error == EINTR);
	return 0;
}

TEST(restart_pause)
{
	EXPECT_EQ(0, roundtrip(in_pause));
}

/* The mask of the call holds during the wait, the one of before afterwards. */
static long call_sigsuspend(struct sleeper *s)
{
	sigset_t mask;

	(void)s;
	sigfillset(&mask);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	sigdelset(&mask, SIGUSR1);
	return sigsuspend(&mask);
}

static int in_sigsuspend(void)
{
	struct sleeper s = { .nr = SYS_rt_sigsuspend, .call = call_sigsuspend, .wake = wake_by_signal };

	JOB_TRY(sleep_through(&s));
	JOB_CHECK(s.result == -1 && s.error == EINTR);
	return 0;
}

TEST(restart_sigsuspend)
{
	EXPECT_EQ(0, roundtrip(in_sigsuspend));
}

/* ---- calls with a time ---- */

static long call_nanosleep(struct sleeper *s)
{
	struct timespec ts = { .tv_sec = WAIT_S };

	(void)s;
	return syscall(SYS_nanosleep, &ts, &ts);
}

static int in_nanosleep(void)
{
	struct sleeper s = { .nr = SYS_nanosleep, .call = call_nanosleep };

	JOB_TRY(sleep_through(&s));
	JOB_CHECK(s.result == 0 && time_is_right(&s, true));
	return 0;
}

TEST(restart_nanosleep)
{
	EXPECT_EQ(0, roundtrip(in_nanosleep));
}

/* A signal during the rest of the sleep: EINTR, and what is left is told. */
static long call_nanosleep_long(struct sleeper *s)
{
	struct timespec ts = { .tv_sec = 1000 }, left = {};
	long ret = syscall(SYS_nanosleep, &ts, &left);

	s->word = left.tv_sec;
	return ret;
}

static int in_nanosleep_interrupted(void)
{
	struct sleeper s = { .nr = SYS_nanosleep, .call = call_nanosleep_long, .wake = wake_by_signal };

	JOB_TRY(sleep_through(&s));
	JOB_CHECK(s.result == -1 && s.error == EINTR && s.word > 900 && s.word < 1000);
	return 0;
}

TEST(restart_nanosleep_tells_what_is_left)
{
	EXPECT_EQ(0, roundtrip(in_nanosleep_interrupted));
}

static long sleep_until(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	ts.tv_sec += WAIT_S;
	return syscall(SYS_clock_nanosleep, clock, TIMER_ABSTIME, &ts, NULL);
}

static long call_sleep_until(struct sleeper *s)
{
	(void)s;
	return sleep_until(CLOCK_MONOTONIC);
}

static long call_sleep_until_realtime(struct sleeper *s)
{
	(void)s;
	return sleep_until(CLOCK_REALTIME);
}

static int in_sleep_until(void)
{
	struct sleeper s = { .nr = SYS_clock_nanosleep, .call = call_sleep_until };

	JOB_TRY(sleep_through(&s));
	JOB_CHECK(s.result == 0 && time_is_right(&s, false));
	s = (struct sleeper){ .nr = SYS_clock_nanosleep, .call = call_sleep_until_realtime };
	JOB_TRY(sleep_through(&s));
	JOB_CHECK(s.result == 0 && time_is_right(&s, false));
	return 0;
}

TEST(restart_clock_nanosleep_until)
{
	EXPECT_EQ(0, roundtrip(in_sleep_until));
}

static long call_clock_nanosleep(struct sleeper *s)
{
	struct timespec ts = { .tv_sec = WAIT_S };

	(void)s;
	return syscall(SYS_clock_nanosleep, CLOCK_BOOTTIME, 0, &ts, NULL);
}

static int in_clock_nanosleep(void)
{
	struct sleeper s = { .nr = SYS_clock_nanosleep, .call = call_clock_nanosleep };

	JOB_TRY(sleep_through(&s));
	JOB_CHECK(s.result == 0 && time_is_right(&s, true));
	return 0;
}

TEST(restart_clock_nanosleep)
{
	EXPECT_EQ(0, roundtrip(in_clock_nanosleep));
}

/* Two trips during one sleep. */
static int in_nanosleep_twice(void)
{
	struct sleeper s = { .nr = SYS_nanosleep, .call = call_nanosleep };
	double away = 0;

	JOB_SETUP(start(&s));
	job_roundtrip();
	away += job_times()->restore_from - job_times()->dump_to;
	job_roundtrip();
	away += job_times()->restore_from - job_times()->dump_to;
	JOB_CHECK(!pthread_join(s.thread, NULL));
	JOB_CHECK(s.result == 0 && s.to - s.from >= WAIT_S + away - 0.05 && s.to - s.from < WAIT_S + away + LATE_S);
	return 0;
}

TEST(restart_nanosleep_twice)
{
	EXPECT_EQ(0, roundtrip(in_nanosleep_twice));
}

/* ---- poll and select ---- */

static long call_poll(struct sleeper *s)
{
	struct pollfd fd = { .fd = s->pipe[0], .events = POLLIN };

	return syscall(SYS_poll, &fd, 1, s->wake ? -1 : (int)(WAIT_S * 1000));
}

static int in_poll(void)
{
	struct sleeper s = { .nr = SYS_poll, .call = call_poll, .wake = wake_by_byte };

	JOB_TRY(sleep_through(&s));
	JOB_CHECK(s.result == 1);
	return 0;
}

TEST(restart_poll)
{
	EXPECT_EQ(0, roundtrip(in_poll));
}

static int in_timed_poll(void)
{
	struct sleeper s = { .nr = SYS_poll, .call = call_poll };

	JOB_TRY(sleep_through(&s));
	JOB_CHECK(s.result == 0 && time_is_right(&s, true));
	return 0;
}

TEST(restart_poll_with_time)
{
	EXPECT_EQ(0, roundtrip(in_timed_poll));
}

static long call_ppoll(struct sleeper *s)
{
	struct pollfd fd = { .fd = s->pipe[0], .events = POLLIN };
	struct timespec ts = { .tv_sec = WAIT_S };
	sigset_t mask;

	sigemptyset(&mask);
	return syscall(SYS_ppoll, &fd, 1, s->wake ? NULL : &ts, &mask, 8);
}

static int in_ppoll(void)
{
	struct sleeper s = { .nr = SYS_ppoll, .call = call_ppoll, .wake = wake_by_byte };

	JOB_TRY(sleep_through(&s));
	JOB_CHECK(s.result == 1);
	s = (struct sleeper){ .nr = SYS_ppoll, .call = call_ppoll };
	JOB_TRY(sleep_through(&s));
	JOB_CHECK(s.result == 0 && time_is_right(&s, true));
	return 0;
}

TEST(restart_ppoll)
{
	EXPECT_EQ(0, roundtrip(in_ppoll));
}

static long call_select(struct sleeper *s)
{
	struct timeval tv = { .tv_sec = WAIT_S };
	fd_set set;

	FD_ZERO(&set);
	FD_SET(s->pipe[0], &set);
	return syscall(SYS_select, s->pipe[0] + 1, &set, NULL, NULL, s->wake ? NULL : &tv);
}

static int in_select(void)
{
	struct sleeper s = { .nr = SYS_select, .call = call_select, .wake = wake_by_byte };

	JOB_TRY(sleep_through(&s));
	JOB_CHECK(s.result == 1);
	s = (struct sleeper){ .nr = SYS_select, .call = call_select };
	JOB_TRY(sleep_through(&s));
	JOB_CHECK(s.result == 0 && time_is_right(&s, true));
	return 0;
}

TEST(restart_select)
{
	EXPECT_EQ(0, roundtrip(in_select));
}

/* With a mask of its own, which comes back when the call is over. */
static long call_pselect(struct sleeper *s)
{
	struct timespec ts = { .tv_sec = WAIT_S };
	sigset_t mask, before;
	struct { const sigset_t *set; size_t len; } arg = { &mask, 8 };
	fd_set set;
	long ret;

	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR2);
	FD_ZERO(&set);
	FD_SET(s->pipe[0], &set);
	ret = syscall(SYS_pselect6, s->pipe[0] + 1, &set, NULL, NULL, s->wake ? NULL : &ts, &arg);
	pthread_sigmask(SIG_SETMASK, NULL, &before);
	s->word = sigismember(&before, SIGUSR2);
	return ret;
}

static int in_pselect(void)
{
	struct sleeper s = { .nr = SYS_pselect6, .call = call_pselect, .wake = wake_by_byte };

	JOB_TRY(sleep_through(&s));
	JOB_CHECK(s.result == 1 && !s.word);
	s = (struct sleeper){ .nr = SYS_pselect6, .call = call_pselect };
	JOB_TRY(sleep_through(&s));
	JOB_CHECK(s.result == 0 && !s.word && time_is_right(&s, true));
	return 0;
}

TEST(restart_pselect)
{
	EXPECT_EQ(0, roundtrip(in_pselect));
}

/* ---- futex ---- */

static long call_futex(struct sleeper *s)
{
	struct timespec ts = { .tv_sec = WAIT_S };

	return syscall(SYS_futex, &s->word, FUTEX_WAIT_PRIVATE, 0, s->wake ? NULL : &ts);
}

static void wake_futex(struct sleeper *s)
{
	/* The thread may be on its way to sleep. */
	while (!syscall(SYS_futex, &s->word, FUTEX_WAKE_PRIVATE, 1))
		sched_yield();
}

static int in_futex(void)
{
	struct sleeper s = { .nr = SYS_futex, .call = call_futex, .wake = wake_futex };

	JOB_TRY(sleep_through(&s));
	JOB_CHECK(s.result == 0);
	return 0;
}

TEST(restart_futex)
{
	EXPECT_EQ(0, roundtrip(in_futex));
}

static int in_timed_futex(void)
{
	struct sleeper s = { .nr = SYS_futex, .call = call_futex };

	JOB_TRY(sleep_through(&s));
	JOB_CHECK(s.result == -1 && s.error == ETIMEDOUT && time_is_right(&s, true));
	return 0;
}

TEST(restart_futex_with_time)
{
	EXPECT_EQ(0, roundtrip(in_timed_futex));
}

/* Until a point in time, on either clock: the point stays where it was. */
static long call_futex_until(struct sleeper *s)
{
	int op = FUTEX_WAIT_BITSET_PRIVATE | (s->word == 7 ? FUTEX_CLOCK_REALTIME : 0);
	struct timespec ts;

	clock_gettime(s->word == 7 ? CLOCK_REALTIME : CLOCK_MONOTONIC, &ts);
	ts.tv_sec += WAIT_S;
	return syscall(SYS_futex, &s->word, op, s->word, &ts, NULL, FUTEX_BITSET_MATCH_ANY);
}

static int in_futex_until(void)
{
	struct sleeper s = { .nr = SYS_futex, .call = call_futex_until, .word = 7 };

	JOB_TRY(sleep_through(&s));
	JOB_CHECK(s.result == -1 && s.error == ETIMEDOUT && time_is_right(&s, false));
	return 0;
}

TEST(restart_futex_until)
{
	EXPECT_EQ(0, roundtrip(in_futex_until));
}

/* ---- reading and writing a pipe ---- */

static long call_read(struct sleeper *s)
{
	char c;

	return read(s->pipe[0], &c, 1);
}

static int in_read(void)
{
	struct sleeper s = { .nr = SYS_read, .call = call_read, .wake = wake_by_byte };

	JOB_TRY(sleep_through(&s));
	JOB_CHECK(s.result == 1);
	return 0;
}

TEST(restart_read)
{
	EXPECT_EQ(0, roundtrip(in_read));
}

/* Larger than the pipe: part of it is written before, so the call is not restarted but tells how much it was. */
static long call_write(struct sleeper *s)
{
	static char data[200000];
	size_t done = 0;
	ssize_t n;

	while (done < sizeof(data) && (n = write(s->pipe[1], data + done, sizeof(data) - done)) > 0)
		done += n;
	return done;
}

static void drain(struct sleeper *s)
{
	char data[10000];
	size_t got = 0;
	ssize_t n;

	while (got < 200000 && (n = read(s->pipe[0], data, sizeof(data))) > 0)
		got += n;
	s->word = got;
}

static int in_write(void)
{
	struct sleeper s = { .nr = SYS_write, .call = call_write, .wake = drain };

	JOB_TRY(sleep_through(&s));
	JOB_CHECK(s.result == 200000 && s.word == 200000);
	return 0;
}

TEST(restart_write)
{
	EXPECT_EQ(0, roundtrip(in_write));
}

/* ---- waiting for signals ---- */

static long call_sigtimedwait(struct sleeper *s)
{
	struct timespec ts = { .tv_sec = WAIT_S };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	return syscall(SYS_rt_sigtimedwait, &set, NULL, s->wake ? NULL : &ts, 8);
}

static void send_usr2(struct sleeper *s)
{
	tgkill(getpid(), s->tid, SIGUSR2);
}

static int in_sigwait(void)
{
	struct sleeper s = { .nr = SYS_rt_sigtimedwait, .call = call_sigtimedwait, .wake = send_usr2 };
	sigset_t set;

	sigfillset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
	JOB_TRY(sleep_through(&s));
	JOB_CHECK(s.result == SIGUSR2);
	return 0;
}

TEST(restart_sigwait)
{
	EXPECT_EQ(0, roundtrip(in_sigwait));
}

/* It starts anew, with all of its time; it never tells EINTR. */
static int in_sigtimedwait(void)
{
	struct sleeper s = { .nr = SYS_rt_sigtimedwait, .call = call_sigtimedwait };

	JOB_TRY(sleep_through(&s));
	JOB_CHECK(s.result == -1 && s.error == EAGAIN && s.to - s.from >= WAIT_S - 0.05);
	return 0;
}

TEST(restart_sigtimedwait)
{
	EXPECT_EQ(0, roundtrip(in_sigtimedwait));
}

/* ---- a dump that is refused disturbs no call either: the job holds an epoll descriptor ---- */

static long call_epoll(struct sleeper *s)
{
	struct epoll_event event = { .events = EPOLLIN };
	int epfd = epoll_create1(EPOLL_CLOEXEC);

	epoll_ctl(epfd, EPOLL_CTL_ADD, s->pipe[0], &event);
	return epoll_wait(epfd, &event, 1, -1);
}

static int in_epoll(void)
{
	struct sleeper s = { .nr = SYS_epoll_wait, .call = call_epoll, .wake = wake_by_byte };

	JOB_TRY(sleep_through(&s));
	JOB_CHECK(s.result == 1);
	return 0;
}

TEST(restart_after_a_refused_dump)
{
	EXPECT_REFUSED(KCKPT_E_FILE_KIND, in_epoll);
}
