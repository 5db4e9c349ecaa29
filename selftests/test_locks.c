// SPDX-License-Identifier: GPL-2.0
/* Locks on files: POSIX records, of open files (F_OFD_SETLK), flock(); those who wait for one. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "job.h"

static int open_data(const char *name)
{
	return open(test_path(name), O_RDWR | O_CREAT, 0644);
}

static int set_lock(int fd, int how, short type, off_t start, off_t len)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };

	return fcntl(fd, how, &lock);
}

/* What keeps us from locking all from @start on for writing. */
static struct flock find_lock(int fd, int how, off_t start)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start };

	if (fcntl(fd, how, &lock))
		lock.l_type = -1;
	return lock;
}

static bool is_lock(const struct flock *lock, short type, off_t start, off_t len, pid_t pid)
{
	if (lock->l_type == type && lock->l_start == start && lock->l_len == len && lock->l_pid == pid)
		return true;
	test_say("lock: type %d, from %ld, %ld bytes, pid %d", lock->l_type, (long)lock->l_start, (long)lock->l_len,
		 lock->l_pid);
	return false;
}

static bool is_flocked(const char *name, int how)
{
	int fd = open_data(name), ret = flock(fd, how | LOCK_NB), err = errno;

	close(fd);
	return ret && err == EWOULDBLOCK;
}

/* ---- held ---- */

static int has_posix(void)
{
	int fd = open_data("data"), other;

	JOB_SETUP(fd >= 0 && !set_lock(fd, F_SETLK, F_WRLCK, 10, 10) && !set_lock(fd, F_SETLK, F_RDLCK, 30, 0));
	JOB_SETUP(!set_lock(fd, F_SETLK, F_WRLCK, 40, 5));
	job_roundtrip();
	/* Ours: no conflict with ourselves, and any descriptor of the file that is closed ends them all. */
	JOB_CHECK(!set_lock(fd, F_SETLK, F_RDLCK, 10, 10));
	JOB_CHECK((other = open_data("data")) >= 0 && set_lock(other, F_OFD_SETLK, F_WRLCK, 0, 0) == -1);
	close(fd);
	JOB_CHECK(!set_lock(other, F_OFD_SETLK, F_WRLCK, 0, 0));
	return 0;
}

static void see_posix(pid_t pid)
{
	int fd = open_data("data");
	struct flock lock;

	lock = find_lock(fd, F_GETLK, 0);
	EXPECT_TRUE(is_lock(&lock, F_WRLCK, 10, 10, pid));
	lock = find_lock(fd, F_GETLK, 20);
	EXPECT_TRUE(is_lock(&lock, F_RDLCK, 30, 10, pid));
	lock = find_lock(fd, F_GETLK, 40);
	EXPECT_TRUE(is_lock(&lock, F_WRLCK, 40, 5, pid));
	lock = find_lock(fd, F_GETLK, 45);
	EXPECT_TRUE(is_lock(&lock, F_RDLCK, 45, 0, pid));
	close(fd);
}

TEST(locks_posix)
{
	struct job_options options = { .before_dump = see_posix, .before_go = see_posix };

	EXPECT_EQ(0, roundtrip_with(has_posix, &options));
}

static int has_ofd(void)
{
	int fd = open_data("data"), again, reader;

	JOB_SETUP(fd >= 0 && (again = dup(fd)) >= 0 && !set_lock(fd, F_OFD_SETLK, F_WRLCK, 0, 100));
	JOB_SETUP((reader = open(test_path("data"), O_RDONLY)) >= 0 && !set_lock(reader, F_OFD_SETLK, F_RDLCK, 200, 0));
	job_roundtrip();
	/* Of the open file, not of one descriptor. */
	close(fd);
	JOB_CHECK(set_lock(reader, F_OFD_SETLK, F_RDLCK, 50, 1) == -1 && errno == EAGAIN);
	JOB_CHECK(!set_lock(again, F_OFD_SETLK, F_UNLCK, 0, 100) && !set_lock(reader, F_OFD_SETLK, F_RDLCK, 50, 1));
	return 0;
}

static void see_ofd(pid_t pid)
{
	int fd = open_data("data");
	struct flock lock;

	(void)pid;
	lock = find_lock(fd, F_OFD_GETLK, 0);
	EXPECT_TRUE(is_lock(&lock, F_WRLCK, 0, 100, -1));
	lock = find_lock(fd, F_OFD_GETLK, 100);
	EXPECT_TRUE(is_lock(&lock, F_RDLCK, 200, 0, -1));
	close(fd);
}

TEST(locks_of_open_files)
{
	struct job_options options = { .before_dump = see_ofd, .before_go = see_ofd };

	EXPECT_EQ(0, roundtrip_with(has_ofd, &options));
}

static int has_flock(void)
{
	int fd = open_data("data"), again = dup(fd), shared = open_data("shared"), apart = open_data("shared");
	int folder = open(test_folder(), O_RDONLY | O_DIRECTORY);

	JOB_SETUP(fd >= 0 && again >= 0 && shared >= 0 && apart >= 0 && folder >= 0);
	JOB_SETUP(!flock(fd, LOCK_EX) && !flock(shared, LOCK_SH) && !flock(apart, LOCK_SH) && !flock(folder, LOCK_EX));
	job_roundtrip();
	close(fd);
	JOB_CHECK(is_flocked("data", LOCK_SH) && !flock(again, LOCK_UN) && !is_flocked("data", LOCK_EX));
	JOB_CHECK(flock(shared, LOCK_EX | LOCK_NB) == -1 && !flock(apart, LOCK_UN));
	JOB_CHECK(!flock(shared, LOCK_EX | LOCK_NB));
	return 0;
}

static void see_flock(pid_t pid)
{
	int folder = open(test_folder(), O_RDONLY | O_DIRECTORY);

	(void)pid;
	EXPECT_TRUE(is_flocked("data", LOCK_SH) && is_flocked("shared", LOCK_EX) && !is_flocked("shared", LOCK_SH));
	EXPECT_TRUE(flock(folder, LOCK_SH | LOCK_NB) == -1 && errno == EWOULDBLOCK);
	close(folder);
}

TEST(locks_flock)
{
	struct job_options options = { .before_dump = see_flock, .before_go = see_flock };

	EXPECT_EQ(0, roundtrip_with(has_flock, &options));
}

/* All kinds on one file: flock and the others do not see each other. */
static int mixed(void)
{
	int fd = open_data("data"), ofd = open_data("data");

	JOB_SETUP(fd >= 0 && ofd >= 0 && !flock(fd, LOCK_EX) && !set_lock(fd, F_SETLK, F_RDLCK, 0, 10));
	JOB_SETUP(!set_lock(ofd, F_OFD_SETLK, F_RDLCK, 5, 10) && !set_lock(fd, F_OFD_SETLK, F_WRLCK, 20, 10));
	job_roundtrip();
	JOB_CHECK(flock(ofd, LOCK_SH | LOCK_NB) == -1 && set_lock(ofd, F_OFD_SETLK, F_RDLCK, 20, 1) == -1);
	JOB_CHECK(set_lock(fd, F_SETLK, F_WRLCK, 0, 10) == -1 && !set_lock(ofd, F_OFD_SETLK, F_UNLCK, 0, 0));
	JOB_CHECK(!set_lock(fd, F_SETLK, F_WRLCK, 0, 10));
	return 0;
}

TEST(locks_mixed)
{
	EXPECT_EQ(0, roundtrip(mixed));
}

static int many(void)
{
	int fd = open_data("data"), other = open_data("data"), i;

	JOB_SETUP(fd >= 0 && other >= 0);
	for (i = 0; i < 1000; i++)
		JOB_SETUP(!set_lock(fd, F_SETLK, i % 2 ? F_WRLCK : F_RDLCK, i * 10L, 5));
	job_roundtrip();
	for (i = 0; i < 1000; i++) {
		struct flock lock = find_lock(other, F_OFD_GETLK, i * 10L);

		JOB_CHECK(lock.l_type == (i % 2 ? F_WRLCK : F_RDLCK) && lock.l_start == i * 10 && lock.l_len == 5);
	}
	return 0;
}

TEST(locks_many)
{
	EXPECT_EQ(0, roundtrip(many));
}

/* On what is no file of a directory. */
static int on_others(void)
{
	int fd[2], ghost = open_data("gone"), reader = open(test_path("gone"), O_RDWR);

	JOB_SETUP(!pipe(fd) && !flock(fd[0], LOCK_EX) && ghost >= 0 && reader >= 0 && !unlink(test_path("gone")));
	JOB_SETUP(!set_lock(ghost, F_OFD_SETLK, F_WRLCK, 0, 0) && !flock(reader, LOCK_EX));
	job_roundtrip();
	JOB_CHECK(flock(fd[1], LOCK_EX | LOCK_NB) == -1 && !flock(fd[0], LOCK_UN) && !flock(fd[1], LOCK_EX | LOCK_NB));
	JOB_CHECK(set_lock(reader, F_OFD_SETLK, F_RDLCK, 0, 1) == -1 && flock(ghost, LOCK_EX | LOCK_NB) == -1);
	return 0;
}

TEST(locks_on_pipes_and_deleted_files)
{
	struct job_options options = { .dump_args = { "--files=capture" } };

	EXPECT_EQ(0, roundtrip_with(on_others, &options));
}

/* ---- waited for ---- */

static uint32_t got[3];
static pid_t tids[3];		/* of who waits: threads of the kernel take numbers, too */

static void tell_tid(int i)
{
	__atomic_store_n(&tids[i], (pid_t)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
}

static bool is_waiting(int i, long nr)
{
	double end = now() + 20;

	while (!__atomic_load_n(&tids[i], __ATOMIC_SEQ_CST) && now() < end)
		sched_yield();
	return wait_in_syscall(getpid(), tids[i], nr);
}

static void *wait_posix(void *arg)
{
	tell_tid(0);
	got[0] = set_lock(*(int *)arg, F_SETLKW, F_WRLCK, 0, 10) ? 2 : 1;
	futex_wake(&got[0]);
	return NULL;
}

static void *wait_ofd(void *arg)
{
	tell_tid(1);
	got[1] = set_lock(*(int *)arg, F_OFD_SETLKW, F_WRLCK, 20, 10) ? 2 : 1;
	futex_wake(&got[1]);
	return NULL;
}

static void *wait_flock(void *arg)
{
	tell_tid(2);
	got[2] = flock(*(int *)arg, LOCK_EX) ? 2 : 1;
	futex_wake(&got[2]);
	return NULL;
}

static bool all_wait(void)
{
	return !got[0] && !got[1] && !got[2];
}

/* For locks that another open file of the same job has: they are there before anybody waits for them again. */
static int waits(void)
{
	int holder = open_data("data"), waiter = open_data("data"), i;
	static void *(*const wait[])(void *) = { wait_posix, wait_ofd, wait_flock };
	static const long calls[] = { SYS_fcntl, SYS_fcntl, SYS_flock };
	pthread_t thread[3];

	JOB_SETUP(holder >= 0 && waiter >= 0 && !set_lock(holder, F_OFD_SETLK, F_RDLCK, 0, 100) && !flock(holder, LOCK_EX));
	for (i = 0; i < 3; i++) {
		JOB_SETUP(!pthread_create(&thread[i], NULL, wait[i], &waiter));
		JOB_SETUP(is_waiting(i, calls[i]));
	}
	job_roundtrip();
	usleep(50000);
	JOB_CHECK(all_wait());
	JOB_CHECK(!set_lock(holder, F_OFD_SETLK, F_UNLCK, 0, 100) && !flock(holder, LOCK_UN));
	for (i = 0; i < 3; i++)
		JOB_CHECK(!pthread_join(thread[i], NULL) && got[i] == 1);
	return 0;
}

TEST(locks_waited_for)
{
	EXPECT_EQ(0, roundtrip(waits));
}

/* A dump that fails leaves them waiting. */
static int waits_and_is_refused(void)
{
	int folder = open(test_folder(), O_RDONLY | O_DIRECTORY);

	JOB_SETUP(folder >= 0 && !fcntl(folder, F_NOTIFY, DN_RENAME | DN_MULTISHOT));
	return waits();
}

TEST(locks_waited_for_after_a_refusal)
{
	EXPECT_REFUSED(KCKPT_E_FILE_STATE, waits_and_is_refused);
}

/* ---- outside ---- */

static int hold_fd = -1;

static void let_go(void)
{
	close(hold_fd);
}

/* The outside has a lock that the job waits for; it is released in between. */
static int waits_for_outside(void)
{
	int fd = open_data("data");
	pthread_t thread;

	JOB_SETUP(fd >= 0 && !pthread_create(&thread, NULL, wait_flock, &fd));
	JOB_SETUP(is_waiting(2, SYS_flock));
	job_roundtrip();
	JOB_CHECK(!pthread_join(thread, NULL) && got[2] == 1);
	return 0;
}

TEST(locks_of_outside_waited_for)
{
	struct job_options options = { .between = let_go };

	hold_fd = open_data("data");
	ASSERT_TRUE(!flock(hold_fd, LOCK_EX));
	EXPECT_EQ(0, roundtrip_with(waits_for_outside, &options));
}

static int has_all(void)
{
	int fd = open_data("data");

	JOB_SETUP(fd >= 0 && !set_lock(fd, F_SETLK, F_WRLCK, 0, 10) && !set_lock(fd, F_OFD_SETLK, F_WRLCK, 20, 10));
	JOB_SETUP(!flock(fd, LOCK_EX));
	job_roundtrip();
	return 0;
}

static void take_posix(void)
{
	ASSERT_TRUE((hold_fd = open_data("data")) >= 0 && !set_lock(hold_fd, F_SETLK, F_RDLCK, 5, 1));
}

static void take_ofd(void)
{
	ASSERT_TRUE((hold_fd = open_data("data")) >= 0 && !set_lock(hold_fd, F_OFD_SETLK, F_RDLCK, 25, 1));
}

static void take_flock(void)
{
	ASSERT_TRUE((hold_fd = open_data("data")) >= 0 && !flock(hold_fd, LOCK_SH));
}

/* Nothing of the attempt is left either: all that the other does not have is free. */
static bool only_ours_left(void)
{
	int fd = open_data("data");
	bool free;

	close(hold_fd);
	free = !set_lock(fd, F_OFD_SETLK, F_WRLCK, 0, 0) && !flock(fd, LOCK_EX | LOCK_NB);
	close(fd);
	return free;
}

TEST(locks_taken_by_another_are_refused_at_restore)
{
	EXPECT_RESTORE_REFUSED(KCKPT_E_LOCK_TAKEN, has_all, &((struct job_options){ .between = take_posix }));
	EXPECT_TRUE(only_ours_left());
	EXPECT_RESTORE_REFUSED(KCKPT_E_LOCK_TAKEN, has_all, &((struct job_options){ .between = take_ofd }));
	EXPECT_TRUE(only_ours_left());
	EXPECT_RESTORE_REFUSED(KCKPT_E_LOCK_TAKEN, has_all, &((struct job_options){ .between = take_flock }));
	EXPECT_TRUE(only_ours_left());
}

/* An open file that the test has, too. */
static int locks_what_is_shared(void)
{
	JOB_SETUP(!flock(7, LOCK_EX));
	job_roundtrip();
	JOB_CHECK(!flock(7, LOCK_UN));
	return 0;
}

static int ofd_locks_what_is_shared(void)
{
	JOB_SETUP(!set_lock(7, F_OFD_SETLK, F_WRLCK, 0, 1));
	job_roundtrip();
	JOB_CHECK(!set_lock(7, F_OFD_SETLK, F_UNLCK, 0, 1));
	return 0;
}

static int posix_locks_what_is_shared(void)
{
	int fd = open_data("data");

	JOB_SETUP(!set_lock(7, F_SETLK, F_WRLCK, 0, 1) && fd >= 0);
	job_roundtrip();
	JOB_CHECK(set_lock(fd, F_OFD_SETLK, F_WRLCK, 0, 1) == -1 && !set_lock(7, F_SETLK, F_UNLCK, 0, 1));
	JOB_CHECK(!set_lock(fd, F_OFD_SETLK, F_WRLCK, 0, 1));
	return 0;
}

static int has_shared(void)
{
	job_roundtrip();
	JOB_CHECK(fcntl(7, F_GETFD) == 0);
	return 0;
}

TEST(locks_shared_with_outside)
{
	struct job_options options = { .nr_fds = 1 };
	struct flock lock;
	int other;

	options.fds[0] = (struct job_fd){ open_data("data"), 7 };
	EXPECT_REFUSED_WITH(KCKPT_E_LOCK_SHARED, locks_what_is_shared, &options);
	EXPECT_REFUSED_WITH(KCKPT_E_LOCK_SHARED, ofd_locks_what_is_shared, &options);
	/* This one belongs to the process. */
	EXPECT_EQ(0, roundtrip_with(posix_locks_what_is_shared, &options));
	/* And this one to us, though it was set through an open file that the job has, too. */
	ASSERT_TRUE(!set_lock(options.fds[0].from, F_SETLK, F_WRLCK, 0, 1) && (other = open_data("data")) >= 0);
	EXPECT_EQ(0, roundtrip_with(has_shared, &options));
	lock = find_lock(other, F_OFD_GETLK, 0);
	EXPECT_TRUE(is_lock(&lock, F_WRLCK, 0, 1, getpid()));
}

/* Handed over: a lock of the open file is the outside's affair, one of the process comes back. */
TEST(locks_on_what_is_handed_over)
{
	struct job_options options = { .nr_fds = 1, .nr_restore_fds = 1, .dump_args = { "--inherit-fd", "7" },
				       .restore_args = { "--inherit-fd", "7" } };

	options.fds[0] = options.restore_fds[0] = (struct job_fd){ open_data("data"), 7 };
	EXPECT_EQ(0, roundtrip_with(posix_locks_what_is_shared, &options));
	EXPECT_EQ(0, roundtrip_with(locks_what_is_shared, &options));
}
