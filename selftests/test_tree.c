// SPDX-License-Identifier: GPL-2.0
/* Process trees: parents and children, sessions and groups, zombies, stopped ones, what is shared without being threads. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "job.h"

/* What tasks of a job tell one another; shared memory, which is not what is tested here. */
struct board {
	uint32_t ready[128], go;
	int pid[128], ppid[128], pgid[128], sid[128];
};

static struct board *board;

static bool make_board(void)
{
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return board != MAP_FAILED;
}

static void tell_ids(int who)
{
	board->pid[who] = getpid();
	board->ppid[who] = getppid();
	board->pgid[who] = getpgid(0);
	board->sid[who] = getsid(0);
}

static void say_ready(int who, uint32_t round)
{
	__atomic_store_n(&board->ready[who], round, __ATOMIC_SEQ_CST);
	futex_wake(&board->ready[who]);
}

static bool wait_ready(int who, uint32_t round)
{
	uint32_t now;

	while ((now = __atomic_load_n(&board->ready[who], __ATOMIC_SEQ_CST)) < round)
		if (!futex_wait(&board->ready[who], now, 20000))
			return false;
	return true;
}

static void all_go(void)
{
	__atomic_store_n(&board->go, 1, __ATOMIC_SEQ_CST);
	futex_wake(&board->go);
}

/* A child: tells its ids, sleeps over the trip, tells them again, and ends when all may go. */
static void sleeper(int who)
{
	tell_ids(who);
	say_ready(who, 1);
	while (!__atomic_load_n(&board->go, __ATOMIC_SEQ_CST))
		futex_wait(&board->go, 0, -1);
	tell_ids(who);
	say_ready(who, 2);
}

static pid_t fork_sleeper(int who)
{
	pid_t pid = fork();

	if (!pid) {
		sleeper(who);
		_exit(who);
	}
	return pid;
}

/* Of the first @nr on the board: the same ids after the trip as before. */
static int check_same(int nr)
{
	struct board before = *board;
	int i;

	all_go();
	for (i = 0; i < nr; i++)
		JOB_CHECK(wait_ready(i, 2));
	JOB_CHECK(!memcmp(before.pid, board->pid, sizeof(before.pid)));
	JOB_CHECK(!memcmp(before.ppid, board->ppid, sizeof(before.ppid)));
	JOB_CHECK(!memcmp(before.pgid, board->pgid, sizeof(before.pgid)));
	JOB_CHECK(!memcmp(before.sid, board->sid, sizeof(before.sid)));
	return 0;
}

static int check_exit(pid_t pid, int code)
{
	int status;

	JOB_CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == code);
	return 0;
}

/* ---- shape ---- */

static int children(void)
{
	pid_t pid[3];
	int i;

	JOB_SETUP(make_board());
	for (i = 0; i < 3; i++)
		JOB_SETUP((pid[i] = fork_sleeper(i)) > 0 && wait_ready(i, 1));
	job_roundtrip();
	JOB_TRY(check_same(3));
	for (i = 0; i < 3; i++)
		JOB_TRY(check_exit(pid[i], i));
	JOB_CHECK(waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
	return 0;
}

TEST(tree_children)
{
	EXPECT_EQ(0, roundtrip(children));
}

/* Each one forks the next. */
static void chain(int end)
{
	pid_t pid = 0;
	int depth;

	for (depth = 0; depth + 1 < end; depth++) {
		pid = fork();
		if (pid)
			break;
	}
	sleeper(depth);
	_exit(pid && waitpid(pid, NULL, 0) != pid);
}

static int deep(void)
{
	pid_t pid;
	int i;

	JOB_SETUP(make_board());
	pid = fork();
	if (!pid)
		chain(20);
	for (i = 0; i < 20; i++)
		JOB_SETUP(wait_ready(i, 1));
	job_roundtrip();
	JOB_TRY(check_same(20));
	return check_exit(pid, 0);
}

TEST(tree_deep)
{
	EXPECT_EQ(0, roundtrip(deep));
}

static int wide(void)
{
	pid_t pid[100];
	int i;

	JOB_SETUP(make_board());
	for (i = 0; i < 100; i++)
		JOB_SETUP((pid[i] = fork_sleeper(i)) > 0);
	for (i = 0; i < 100; i++)
		JOB_SETUP(wait_ready(i, 1));
	job_roundtrip();
	JOB_TRY(check_same(100));
	for (i = 0; i < 100; i++)
		JOB_TRY(check_exit(pid[i], i));
	return 0;
}

TEST(tree_wide)
{
	EXPECT_EQ(0, roundtrip(wide));
}

/* A second trip of what was restored. */
static int twice(void)
{
	pid_t pid;

	JOB_SETUP(make_board());
	pid = fork_sleeper(0);
	JOB_SETUP(pid > 0 && wait_ready(0, 1));
	job_roundtrip();
	job_roundtrip();
	JOB_TRY(check_same(1));
	return check_exit(pid, 0);
}

TEST(tree_twice)
{
	EXPECT_EQ(0, roundtrip(twice));
}

/* Children of a thread are waited for by that thread alone with __WNOTHREAD. */
static void *parent_thread(void *arg)
{
	pid_t *pid = arg;

	*pid = fork_sleeper(0);
	say_ready(1, 1);
	while (!__atomic_load_n(&board->go, __ATOMIC_SEQ_CST))
		futex_wait(&board->go, 0, -1);
	return (void *)(intptr_t)(waitpid(*pid, NULL, __WNOTHREAD) == *pid);
}

static int thread_with_child(void)
{
	pthread_t thread;
	void *waited;
	pid_t pid;

	JOB_SETUP(make_board() && !pthread_create(&thread, NULL, parent_thread, &pid));
	JOB_SETUP(wait_ready(0, 1) && wait_ready(1, 1));
	job_roundtrip();
	JOB_CHECK(waitpid(pid, NULL, __WNOTHREAD | WNOHANG) == -1 && errno == ECHILD);
	JOB_TRY(check_same(1));
	JOB_CHECK(!pthread_join(thread, &waited) && waited);
	return 0;
}

TEST(tree_child_of_a_thread)
{
	EXPECT_EQ(0, roundtrip(thread_with_child));
}

/* An orphan comes to the nearest subreaper. */
static int orphan(void)
{
	pid_t middle;

	JOB_SETUP(make_board() && !prctl(PR_SET_CHILD_SUBREAPER, 1));
	middle = fork();
	if (!middle)
		_exit(fork_sleeper(0) < 0);
	JOB_SETUP(waitpid(middle, NULL, 0) == middle && wait_ready(0, 1));
	tell_ids(1);
	job_roundtrip();
	board->ppid[0] = getpid();	/* it told of the one that is gone */
	JOB_TRY(check_same(1));
	JOB_CHECK(board->ppid[0] == getpid() && wait(NULL) == board->pid[0]);
	/* And the property is still there. */
	middle = fork();
	if (!middle)
		_exit(fork_sleeper(2) < 0);
	JOB_CHECK(waitpid(middle, NULL, 0) == middle && wait_ready(2, 2) && wait(NULL) == board->pid[2]);
	return 0;
}

TEST(tree_orphan_and_subreaper)
{
	EXPECT_EQ(0, roundtrip(orphan));
}

/* One whose parent is gone to somebody outside: a second root. */
static int second_root(void)
{
	pid_t middle;

	JOB_SETUP(make_board());
	middle = fork();
	if (!middle)
		_exit(fork_sleeper(0) < 0);
	JOB_SETUP(waitpid(middle, NULL, 0) == middle && wait_ready(0, 1));
	job_roundtrip();
	board->ppid[0] = 0;
	all_go();
	JOB_CHECK(wait_ready(0, 2) && board->ppid[0] != getpid());
	JOB_CHECK(waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
	return 0;
}

TEST(tree_second_root)
{
	EXPECT_EQ(0, roundtrip(second_root));
}

/* ---- the dead ---- */

static volatile int nr_sigchld;

static void count_sigchld(int sig)
{
	(void)sig;
	nr_sigchld++;
}

static int zombies(void)
{
	siginfo_t info;
	pid_t pid[3];
	int status, i;

	JOB_SETUP(signal(SIGCHLD, count_sigchld) != SIG_ERR);
	for (i = 0; i < 3; i++) {
		pid[i] = fork();
		if (!pid[i]) {
			if (i == 0)
				_exit(3);
			setpgid(0, 0);
			raise(i == 1 ? SIGTERM : SIGKILL);
		}
		JOB_SETUP(pid[i] > 0 && !waitid(P_PID, pid[i], &info, WEXITED | WNOWAIT));
	}
	JOB_SETUP(nr_sigchld == 3);
	job_roundtrip();
	JOB_CHECK(nr_sigchld == 3);
	JOB_CHECK(getpgid(pid[0]) == getpgid(0) && getpgid(pid[1]) == pid[1]);
	JOB_CHECK(status_field(pid[0], "PPid", 10) == getpid());
	JOB_CHECK(waitpid(pid[0], &status, 0) == pid[0] && WIFEXITED(status) && WEXITSTATUS(status) == 3);
	JOB_CHECK(waitpid(pid[1], &status, 0) == pid[1] && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	JOB_CHECK(waitpid(pid[2], &status, 0) == pid[2] && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	JOB_CHECK(waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
	return 0;
}

TEST(tree_zombies)
{
	EXPECT_EQ(0, roundtrip(zombies));
}

/* Ignoring SIGCHLD reaps children, but not those that ended before. */
static int zombie_of_an_ignorant(void)
{
	siginfo_t info;
	pid_t pid = fork();

	if (!pid)
		_exit(5);
	JOB_SETUP(pid > 0 && !waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
	JOB_SETUP(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
	job_roundtrip();
	return check_exit(pid, 5);
}

TEST(tree_zombie_of_an_ignorant)
{
	EXPECT_EQ(0, roundtrip(zombie_of_an_ignorant));
}

/* The thread that began the process has ended, another one goes on. */
static int (*go_on)(void);

static void *survivor(void *arg)
{
	(void)arg;
	while (status_field(getpid(), "State", 10) == 0 && !strstr(read_file(format("/proc/%d/task/%d/status", getpid(),
										      getpid())), "Z (zombie)"))
		sched_yield();
	_exit(go_on());
}

static int dead_leader_goes_on(void)
{
	job_roundtrip();
	JOB_CHECK(getpid() != syscall(SYS_gettid));
	JOB_CHECK(strstr(read_file(format("/proc/self/task/%d/status", getpid())), "Z (zombie)"));
	return 0;
}

static int dead_leader(void)
{
	pthread_t thread;

	go_on = dead_leader_goes_on;
	JOB_SETUP(!pthread_create(&thread, NULL, survivor, NULL));
	syscall(SYS_exit, 7);
	return 1;
}

TEST(tree_dead_leader)
{
	EXPECT_EQ(0, roundtrip(dead_leader));
}

/* ---- sessions and groups ---- */

static void lead_session(void)
{
	setsid();
	fork_sleeper(1);
	sleeper(0);
	_exit(wait(NULL) != board->pid[1]);
}

static int session(void)
{
	pid_t pid;

	JOB_SETUP(make_board());
	pid = fork();
	if (!pid)
		lead_session();
	JOB_SETUP(pid > 0 && wait_ready(0, 1) && wait_ready(1, 1) && board->sid[1] == pid && board->pgid[1] == pid);
	job_roundtrip();
	JOB_TRY(check_same(2));
	return check_exit(pid, 0);
}

TEST(tree_session)
{
	EXPECT_EQ(0, roundtrip(session));
}

/* The leader of a session and group is gone, or a zombie; its numbers live on in others. */
static int leaderless(bool reap)
{
	siginfo_t info;
	pid_t leader;

	JOB_SETUP(make_board() && !prctl(PR_SET_CHILD_SUBREAPER, 1));
	leader = fork();
	if (!leader) {
		setsid();
		fork_sleeper(0);
		fork_sleeper(1);
		_exit(0);
	}
	JOB_SETUP(wait_ready(0, 1) && wait_ready(1, 1));
	JOB_SETUP(!waitid(P_PID, leader, &info, WEXITED | (reap ? 0 : WNOWAIT)));
	JOB_SETUP(board->sid[0] == leader && board->pgid[1] == leader);
	job_roundtrip();
	board->ppid[0] = board->ppid[1] = getpid();
	JOB_TRY(check_same(2));
	JOB_CHECK(kill(-leader, 0) == 0);
	JOB_CHECK(wait(NULL) > 0 && wait(NULL) > 0 && (reap || wait(NULL) > 0));
	JOB_CHECK(kill(-leader, 0) == -1 && errno == ESRCH);
	return 0;
}

static int leader_is_gone(void)
{
	return leaderless(true);
}

static int leader_is_zombie(void)
{
	return leaderless(false);
}

TEST(tree_session_without_leader)
{
	EXPECT_EQ(0, roundtrip(leader_is_gone));
}

TEST(tree_session_of_a_zombie)
{
	EXPECT_EQ(0, roundtrip(leader_is_zombie));
}

/* A group led by a sibling; the first one of a pipeline leads it. */
static int pipeline_group(void)
{
	pid_t pid[3];
	int i;

	JOB_SETUP(make_board());
	for (i = 0; i < 3; i++) {
		pid[i] = fork();
		if (!pid[i]) {
			setpgid(0, i ? pid[0] : 0);
			sleeper(i);
			_exit(0);
		}
		JOB_SETUP(wait_ready(i, 1) && board->pgid[i] == pid[0]);
	}
	job_roundtrip();
	JOB_TRY(check_same(3));
	while (wait(NULL) > 0)
		;
	return 0;
}

TEST(tree_group_of_a_sibling)
{
	EXPECT_EQ(0, roundtrip(pipeline_group));
}

/* ---- job control ---- */

static int stopped_child(bool told)
{
	siginfo_t info = {};
	pid_t pid;

	JOB_SETUP(make_board() && signal(SIGCHLD, count_sigchld) != SIG_ERR);
	pid = fork_sleeper(0);
	JOB_SETUP(pid > 0 && wait_ready(0, 1) && !kill(pid, SIGSTOP));
	JOB_SETUP(!waitid(P_PID, pid, &info, WSTOPPED | (told ? 0 : WNOWAIT)) && info.si_status == SIGSTOP);
	/* It may be waited for before its signal is sent. */
	while (!nr_sigchld)
		sched_yield();
	nr_sigchld = 0;
	job_roundtrip();
	JOB_CHECK(!nr_sigchld);
	JOB_CHECK(strstr(read_file(format("/proc/%d/status", pid)), "T (stopped)"));
	memset(&info, 0, sizeof(info));
	JOB_CHECK(!waitid(P_PID, pid, &info, WSTOPPED | WNOHANG));
	JOB_CHECK(told ? info.si_pid == 0 : info.si_pid == pid && info.si_status == SIGSTOP);
	JOB_CHECK(!kill(pid, SIGCONT) && !waitid(P_PID, pid, &info, WCONTINUED) && info.si_pid == pid);
	JOB_TRY(check_same(1));
	return check_exit(pid, 0);
}

static int stopped_and_told(void)
{
	return stopped_child(true);
}

static int stopped_and_not_told(void)
{
	return stopped_child(false);
}

TEST(tree_stopped_child)
{
	EXPECT_EQ(0, roundtrip(stopped_and_told));
	EXPECT_EQ(0, roundtrip(stopped_and_not_told));
}

static int continued_child(void)
{
	siginfo_t info = {};
	pid_t pid;

	JOB_SETUP(make_board());
	pid = fork_sleeper(0);
	JOB_SETUP(pid > 0 && wait_ready(0, 1) && !kill(pid, SIGSTOP) && !waitid(P_PID, pid, &info, WSTOPPED));
	JOB_SETUP(!kill(pid, SIGCONT) && !waitid(P_PID, pid, &info, WCONTINUED | WNOWAIT));
	job_roundtrip();
	info.si_pid = 0;
	JOB_CHECK(!waitid(P_PID, pid, &info, WCONTINUED | WNOHANG) && info.si_pid == pid);
	JOB_TRY(check_same(1));
	return check_exit(pid, 0);
}

TEST(tree_continued_child)
{
	EXPECT_EQ(0, roundtrip(continued_child));
}

/* All threads of a stopped process stand still, and all go on. */
static void *counting(void *arg)
{
	volatile uint32_t *counter = arg;

	while (counter)
		++*counter;
	return NULL;
}

static int stopped_threads(void)
{
	volatile uint32_t *counter;
	uint32_t before;
	siginfo_t info;
	pthread_t thread;
	pid_t pid;

	JOB_SETUP(make_board());
	counter = &board->ready[50];
	pid = fork();
	if (!pid) {
		pthread_create(&thread, NULL, counting, (void *)counter);
		counting((void *)(counter + 1));
	}
	while (counter[0] < 1000 || counter[1] < 1000)
		sched_yield();
	JOB_SETUP(!kill(pid, SIGSTOP) && !waitid(P_PID, pid, &info, WSTOPPED));
	before = counter[0];
	job_roundtrip();
	usleep(100000);
	JOB_CHECK(counter[0] == before);
	JOB_CHECK(!kill(pid, SIGCONT));
	while (counter[0] == before)
		sched_yield();
	JOB_CHECK(!kill(pid, SIGKILL) && waitpid(pid, NULL, 0) == pid);
	return 0;
}

TEST(tree_stopped_threads)
{
	EXPECT_EQ(0, roundtrip(stopped_threads));
}

/* ---- what is shared without being threads ---- */

static char stack[2][65536] __attribute__((aligned(16)));
static volatile int shared_value;

static int sharer(void *arg)
{
	int who = (int)(intptr_t)arg;

	sleeper(who);
	shared_value = 4711;
	if (chdir("/tmp") || dup2(0, 100) != 100 || signal(SIGUSR2, SIG_IGN) == SIG_ERR)
		return 1;
	say_ready(who, 3);
	return 0;
}

static bool in_tmp(void)
{
	char cwd[64];

	return getcwd(cwd, sizeof(cwd)) && !strcmp(cwd, "/tmp");
}

static bool ignores_usr2(void)
{
	struct sigaction action;

	return !sigaction(SIGUSR2, NULL, &action) && action.sa_handler == SIG_IGN;
}

static int shares(int flags)
{
	pid_t pid;

	JOB_SETUP(make_board() && !chdir("/"));
	pid = clone(sharer, stack[0] + sizeof(stack[0]), flags | SIGCHLD, (void *)0);
	JOB_SETUP(pid > 0 && wait_ready(0, 1));
	job_roundtrip();
	JOB_TRY(check_same(1));
	JOB_CHECK(wait_ready(0, 3));
	JOB_CHECK((shared_value == 4711) == !!(flags & CLONE_VM));
	JOB_CHECK(in_tmp() == !!(flags & CLONE_FS));
	JOB_CHECK((fcntl(100, F_GETFD) >= 0) == !!(flags & CLONE_FILES));
	JOB_CHECK(ignores_usr2() == !!(flags & CLONE_SIGHAND));
	return check_exit(pid, 0);
}

#define SHARES(name, flags)							\
	static int shares_##name(void) { return shares(flags); }		\
	TEST(tree_shares_##name) { EXPECT_EQ(0, roundtrip(shares_##name)); }

SHARES(nothing, 0)
SHARES(files, CLONE_FILES)
SHARES(folder, CLONE_FS)
SHARES(memory, CLONE_VM)
SHARES(handlers, CLONE_VM | CLONE_SIGHAND)
SHARES(all, CLONE_VM | CLONE_SIGHAND | CLONE_FILES | CLONE_FS)

/* A timer of one that shares memory: made while the other one maps its areas. */
static int sharer_with_timer(void *arg)
{
	struct itimerspec later = { .it_value = { 1000, 0 } }, left = {};
	struct sigevent event = { .sigev_notify = SIGEV_NONE };
	int timer;

	(void)arg;
	if (syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &timer) ||
	    syscall(SYS_timer_settime, timer, 0, &later, NULL))
		return 1;
	sleeper(0);
	if (syscall(SYS_timer_gettime, timer, &left))
		return 2;
	return left.it_value.tv_sec < 900 || left.it_value.tv_sec > 1000;
}

static int shares_memory_with_timer(void)
{
	pid_t pid;

	JOB_SETUP(make_board());
	pid = clone(sharer_with_timer, stack[0] + sizeof(stack[0]), CLONE_VM | SIGCHLD, NULL);
	JOB_SETUP(pid > 0 && wait_ready(0, 1));
	job_roundtrip();
	JOB_TRY(check_same(1));
	return check_exit(pid, 0);
}

TEST(tree_timer_of_one_that_shares_memory)
{
	EXPECT_EQ(0, roundtrip(shares_memory_with_timer));
}

/* Two children that share their memory with each other, and not with their parent. */
static int elder(void *arg)
{
	(void)arg;
	if (clone(sharer, stack[1] + sizeof(stack[1]), CLONE_VM | CLONE_PARENT | SIGCHLD, (void *)1) < 0)
		return 1;
	sleeper(0);
	while (shared_value != 4711)
		sched_yield();
	return 0;
}

static int siblings_share(void)
{
	pid_t pid;

	JOB_SETUP(make_board());
	pid = clone(elder, stack[0] + sizeof(stack[0]), SIGCHLD, NULL);
	JOB_SETUP(pid > 0 && wait_ready(0, 1) && wait_ready(1, 1) && board->ppid[1] == getpid());
	job_roundtrip();
	JOB_TRY(check_same(2));
	JOB_TRY(check_exit(pid, 0));
	JOB_CHECK(shared_value != 4711);
	return check_exit(board->pid[1], 0);
}

TEST(tree_siblings_share_memory)
{
	EXPECT_EQ(0, roundtrip(siblings_share));
}

/* Threads with a table and folder of their own. */
static void *apart(void *arg)
{
	bool *good = arg;

	unshare(CLONE_FILES | CLONE_FS);
	*good = !chdir("/tmp") && dup2(0, 100) == 100;
	say_ready(0, 1);
	while (!__atomic_load_n(&board->go, __ATOMIC_SEQ_CST))
		futex_wait(&board->go, 0, -1);
	*good = *good && in_tmp() && fcntl(100, F_GETFD) >= 0;
	return NULL;
}

static int thread_apart(void)
{
	pthread_t thread;
	bool good;

	JOB_SETUP(make_board() && !chdir("/") && !pthread_create(&thread, NULL, apart, &good) && wait_ready(0, 1) && good);
	job_roundtrip();
	all_go();
	JOB_CHECK(!pthread_join(thread, NULL) && good);
	JOB_CHECK(!in_tmp() && fcntl(100, F_GETFD) == -1);
	return 0;
}

TEST(tree_thread_with_its_own_table_and_folder)
{
	EXPECT_EQ(0, roundtrip(thread_apart));
}

/*
 * Many threads, each with a table of its own or not, with a child or not: a restore lets them create each other, and
 * where there are no children the memory meanwhile.
 */
#define MIXED 24

static struct mixed {
	pthread_t thread;
	int nr;
	pid_t child;
	bool good;
} mixed[MIXED];
static pthread_barrier_t mixed_ready, mixed_go;
static bool mixed_with_children;

static void *mixed_thread(void *arg)
{
	struct mixed *its = arg;
	bool apart = its->nr % 3 == 0;
	int status, fd = 200 + its->nr;

	its->good = !apart || !unshare(CLONE_FILES | CLONE_FS);
	its->good &= dup2(0, fd) == fd && (!apart || !chdir("/tmp"));
	its->child = mixed_with_children && its->nr % 4 == 0 ? fork() : -1;
	if (!its->child)
		for (;;)
			pause();
	pthread_barrier_wait(&mixed_ready);
	pthread_barrier_wait(&mixed_go);	/* asleep here during the trip */
	its->good &= fcntl(fd, F_GETFD) >= 0 && in_tmp() == apart;
	if (its->child > 0)
		its->good &= !kill(its->child, SIGKILL) && waitpid(its->child, &status, __WNOTHREAD) == its->child;
	return its;
}

static int mixed_threads(void)
{
	int i;

	JOB_SETUP(!chdir("/") && !pthread_barrier_init(&mixed_ready, NULL, MIXED + 1) &&
		  !pthread_barrier_init(&mixed_go, NULL, MIXED + 1));
	for (i = 0; i < MIXED; i++) {
		mixed[i].nr = i;
		JOB_SETUP(!pthread_create(&mixed[i].thread, NULL, mixed_thread, &mixed[i]));
	}
	pthread_barrier_wait(&mixed_ready);
	job_roundtrip();
	pthread_barrier_wait(&mixed_go);
	for (i = 0; i < MIXED; i++) {
		JOB_CHECK(!pthread_join(mixed[i].thread, NULL) && mixed[i].good);
		JOB_CHECK((fcntl(200 + i, F_GETFD) >= 0) == !!(i % 3));
	}
	return 0;
}

TEST(tree_threads_of_many_kinds)
{
	int i;

	for (i = 0; i < 6; i++) {
		mixed_with_children = i % 2;
		EXPECT_EQ(0, roundtrip(mixed_threads));
	}
}

/* An open file in two tasks is one: with one offset. */
static int one_offset(void)
{
	int fd = open("/proc/self/exe", O_RDONLY), link[2];
	char byte;
	pid_t pid;

	JOB_SETUP(fd >= 0 && !pipe(link) && lseek(fd, 100, SEEK_SET) == 100);
	pid = fork();
	if (!pid)
		_exit(read(link[0], &byte, 1) != 1 || lseek(fd, 7, SEEK_CUR) != 107);
	job_roundtrip();
	JOB_CHECK(write(link[1], "x", 1) == 1);
	JOB_TRY(check_exit(pid, 0));
	JOB_CHECK(lseek(fd, 0, SEEK_CUR) == 107);
	return 0;
}

TEST(tree_shares_open_files)
{
	EXPECT_EQ(0, roundtrip(one_offset));
}

/* ---- the end ---- */

static int usr1_at_the_end, nothing_at_the_end;

static int end_told_by(int sig, int *counter)
{
	pid_t pid;

	JOB_SETUP(make_board() && signal(SIGUSR1, count_sigchld) != SIG_ERR);
	pid = (pid_t)syscall(SYS_clone, sig, NULL, NULL, NULL, NULL);
	if (!pid) {
		sleeper(0);
		_exit(9);
	}
	JOB_SETUP(pid > 0 && wait_ready(0, 1));
	job_roundtrip();
	JOB_TRY(check_same(1));
	JOB_CHECK(waitpid(pid, NULL, __WCLONE) == pid);
	JOB_CHECK(nr_sigchld == (sig == SIGUSR1));
	++*counter;
	return 0;
}

static int tells_usr1(void)
{
	return end_told_by(SIGUSR1, &usr1_at_the_end);
}

static int tells_nothing(void)
{
	return end_told_by(0, &nothing_at_the_end);
}

/* The signal of a child is for the program that created it, not for the one that it became. */
static int other_program_told_by(int sig)
{
	pid_t *child, pid;
	int status;

	JOB_SETUP(make_board());
	child = mmap(NULL, sizeof(*child), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	JOB_SETUP(child != MAP_FAILED);
	pid = fork();
	if (!pid) {
		pid = (pid_t)syscall(SYS_clone, sig, NULL, NULL, NULL, NULL);
		if (!pid)
			for (;;)
				pause();
		*child = pid;
		execl("/bin/sleep", "sleep", "1000", NULL);
		_exit(1);
	}
	while (strcmp(read_file(format("/proc/%d/comm", pid)), "sleep\n"))
		sched_yield();
	job_roundtrip();
	JOB_CHECK(!kill(*child, SIGKILL));
	while (!strstr(read_file(format("/proc/%d/status", *child)), "Z (zombie)"))
		sched_yield();
	JOB_CHECK(!kill(pid, SIGTERM) && waitpid(pid, &status, 0) == pid);
	/* SIGUSR1 would have ended it. */
	JOB_CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	return 0;
}

static int tells_another_program(void)
{
	return other_program_told_by(SIGUSR1);
}

TEST(tree_exit_signals)
{
	EXPECT_EQ(0, roundtrip(tells_another_program));
	EXPECT_EQ(0, roundtrip(tells_usr1));
	EXPECT_EQ(0, roundtrip(tells_nothing));
}

/* The child of vfork() is soon gone: the dump waits for that. */
static void *vforking(void *arg)
{
	pid_t pid = vfork();

	if (!pid) {
		execl("/bin/sleep", "sleep", "0.5", NULL);
		_exit(1);
	}
	say_ready(0, 1);
	waitpid(pid, NULL, 0);
	return arg;
}

static int spawns_all_the_time(void)
{
	pthread_t thread;
	int i;

	JOB_SETUP(make_board());
	for (i = 0; i < 3; i++) {
		JOB_SETUP(!pthread_create(&thread, NULL, vforking, NULL));
		job_roundtrip();
		JOB_CHECK(!pthread_join(thread, NULL));
	}
	return 0;
}

TEST(tree_vfork_is_waited_for)
{
	EXPECT_EQ(0, roundtrip(spawns_all_the_time));
}

/* ---- sub-cgroups ---- */

static char *own_cgroup(const char *below)
{
	char *text = read_file("/proc/self/cgroup"), *path = strchr(strrchr(text, ':'), '/');

	path[strcspn(path, "\n")] = 0;
	return format("/sys/fs/cgroup%s%s", path, below);
}

static bool is_in(pid_t pid, const char *cgroup)
{
	char *text = read_file(format("/proc/%d/cgroup", pid)), *path = strchr(strrchr(text, ':'), '/');

	path[strcspn(path, "\n")] = 0;
	return !strcmp(path, cgroup + strlen("/sys/fs/cgroup"));
}

static int sub_cgroups(void)
{
	char *one = own_cgroup("/one"), *two = own_cgroup("/one/two"), *empty = own_cgroup("/empty");
	pid_t pid[2];
	int i;

	JOB_SETUP(make_board() && !mkdir(one, 0755) && !mkdir(two, 0755) && !mkdir(empty, 0755));
	for (i = 0; i < 2; i++) {
		pid[i] = fork_sleeper(i);
		JOB_SETUP(wait_ready(i, 1) && write_file(format("%s/cgroup.procs", i ? two : one), format("%d", pid[i])));
	}
	job_roundtrip();
	/* The restore may be in another place, but below it all is as it was. */
	JOB_CHECK(is_in(pid[0], own_cgroup("/one")) && is_in(pid[1], own_cgroup("/one/two")));
	JOB_CHECK(!access(own_cgroup("/empty/cgroup.procs"), F_OK));
	JOB_TRY(check_same(2));
	for (i = 0; i < 2; i++)
		JOB_TRY(check_exit(pid[i], i));
	while ((rmdir(own_cgroup("/one/two")) || rmdir(own_cgroup("/one")) || rmdir(own_cgroup("/empty"))) &&
	       errno == EBUSY)
		sched_yield();
	return 0;
}

TEST(tree_sub_cgroups)
{
	EXPECT_EQ(0, roundtrip(sub_cgroups));
}
