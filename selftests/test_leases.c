// SPDX-License-Identifier: GPL-2.0
/* Leases on files (F_SETLEASE): held, being broken, shared, and who gets the signal. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "job.h"

#define BREAK_TIME "/proc/sys/fs/lease-break-time"
#define EXT4_MAGIC 0xef53
#define OVERLAY_MAGIC 0x794c7630

static const char *place;	/* the folder of the files; NULL: that of the test */

static const char *at(const char *name)
{
	return place ? format("%s/%s", place, name) : test_path(name);
}

static void use_place(const char *root, long magic)
{
	struct statfs fs;

	if (statfs(root, &fs) || fs.f_type != magic)
		test_skip("%s is of another file system", root);
	place = mkdtemp(format("%s/kckpt-lease-XXXXXX", root));
	ASSERT_TRUE(place);
}

static int open_data(const char *name, int flags)
{
	return open(at(name), flags | O_CREAT, 0644);
}

static int lease_data(const char *name, int flags, int type)
{
	int fd = open_data(name, flags);

	return fd >= 0 && !fcntl(fd, F_SETLEASE, type) ? fd : -1;
}

static int lease_of(int fd)
{
	return fcntl(fd, F_GETLEASE);
}

/* Asks for it as one who does not wait, and is not let in. */
static bool breaks(const char *name, int flags)
{
	int fd = open(at(name), flags | O_NONBLOCK);

	if (fd < 0 && errno == EWOULDBLOCK)
		return true;
	close(fd);
	return false;
}

/* Could one who does not wait open it? Without a lease in the way, that harms nobody. */
static bool is_free(const char *name, int flags)
{
	int fd = open(at(name), flags | O_NONBLOCK);

	return fd >= 0 && !close(fd);
}

static volatile int nr_got, got_fd;

static void note(int signo, siginfo_t *info, void *context)
{
	(void)signo, (void)context;
	got_fd = info->si_fd;
	nr_got++;
}

/* @signo: what F_SETSIG has set, since the plain signal does not tell the descriptor. */
static bool hear(int signo)
{
	struct sigaction action = { .sa_sigaction = note, .sa_flags = SA_SIGINFO | SA_RESTART };

	return !sigaction(signo, &action, NULL);
}

static bool owner_is(int fd, int type, pid_t pid)
{
	struct f_owner_ex owner = {};

	return !fcntl(fd, F_GETOWN_EX, &owner) && owner.type == (enum __pid_type)type && owner.pid == pid;
}

/* What /proc/locks has to say about the file: "ACTIVE READ 123", in the order of its lines. */
static bool locks_tell(const char *name, const char *want)
{
	char *text = read_file("/proc/locks"), *line, *next, state[16], type[16], told[256] = "";
	unsigned long ino;
	struct stat st;
	int pid;

	if (!text || stat(at(name), &st))
		return false;
	for (line = strtok_r(text, "\n", &next); line; line = strtok_r(NULL, "\n", &next))
		if (sscanf(line, "%*d: LEASE %15s %15s %d %*x:%*x:%lu", state, type, &pid, &ino) == 4 && ino == st.st_ino)
			snprintf(told + strlen(told), sizeof(told) - strlen(told), "%s %s %d;", state, type, pid);
	if (strcmp(told, want))
		test_say("%s: %s", name, told);
	return !strcmp(told, want);
}

/* ---- held ---- */

static int reading(void)
{
	int fd = lease_data("data", O_RDONLY, F_RDLCK), other = open_data("data", O_RDONLY), flags = fcntl(fd, F_GETFL);

	JOB_SETUP(fd >= 0 && other >= 0 && hear(SIGIO) && flags & O_ASYNC);
	job_roundtrip();
	JOB_CHECK(lease_of(fd) == F_RDLCK && lease_of(other) == F_UNLCK && fcntl(fd, F_GETFL) == flags);
	JOB_CHECK(fcntl(other, F_GETFL) == (flags & ~O_ASYNC));
	JOB_CHECK(owner_is(fd, F_OWNER_PID, getpid()) && owner_is(other, F_OWNER_TID, 0) && fcntl(fd, F_GETSIG) == 0);
	JOB_CHECK(is_free("data", O_RDONLY) && nr_got == 0 && lease_of(fd) == F_RDLCK);
	JOB_CHECK(breaks("data", O_WRONLY) && nr_got == 1 && lease_of(fd) == F_UNLCK);
	JOB_CHECK(!fcntl(fd, F_SETLEASE, F_UNLCK) && is_free("data", O_WRONLY) && nr_got == 1);
	return 0;
}

static void see_reading(pid_t pid)
{
	EXPECT_TRUE(locks_tell("data", format("ACTIVE READ %d;", pid)));
}

TEST(leases_for_reading)
{
	struct job_options options = { .before_dump = see_reading, .before_go = see_reading };

	EXPECT_EQ(0, roundtrip_with(reading, &options));
}

static int writing(void)
{
	int fd = lease_data("data", O_RDWR, F_WRLCK), only = lease_data("only", O_WRONLY, F_WRLCK);
	int reader = lease_data("reader", O_RDONLY, F_WRLCK);

	JOB_SETUP(fd >= 0 && only >= 0 && reader >= 0 && hear(SIGRTMIN) && !fcntl(fd, F_SETSIG, SIGRTMIN));
	job_roundtrip();
	JOB_CHECK(lease_of(fd) == F_WRLCK && lease_of(only) == F_WRLCK && lease_of(reader) == F_WRLCK);
	JOB_CHECK(fcntl(fd, F_GETSIG) == SIGRTMIN && nr_got == 0);
	JOB_CHECK(breaks("data", O_RDONLY) && nr_got == 1 && got_fd == fd && lease_of(fd) == F_RDLCK);
	JOB_CHECK(breaks("data", O_WRONLY) && nr_got == 2 && lease_of(fd) == F_UNLCK);
	JOB_CHECK(!fcntl(fd, F_SETLEASE, F_UNLCK) && is_free("data", O_RDONLY) && nr_got == 2);
	return 0;
}

static void see_writing(pid_t pid)
{
	EXPECT_TRUE(locks_tell("data", format("ACTIVE WRITE %d;", pid)));
}

TEST(leases_for_writing)
{
	struct job_options options = { .before_dump = see_writing, .before_go = see_writing };

	EXPECT_EQ(0, roundtrip_with(writing, &options));
}

/* Several on one file, and one of them made that of a descriptor that is closed by now. */
static int several(void)
{
	int one = lease_data("data", O_RDONLY, F_RDLCK), none = open_data("data", O_RDONLY);
	int two = lease_data("data", O_RDONLY, F_RDLCK), again = dup(two);

	JOB_SETUP(one >= 0 && none >= 0 && again >= 0 && hear(SIGRTMIN));
	JOB_SETUP(!fcntl(one, F_SETSIG, SIGRTMIN) && !fcntl(two, F_SETSIG, SIGRTMIN) && !close(two));
	job_roundtrip();
	JOB_CHECK(lease_of(one) == F_RDLCK && lease_of(none) == F_UNLCK && lease_of(again) == F_RDLCK);
	JOB_CHECK(!fcntl(one, F_SETLEASE, F_UNLCK) && breaks("data", O_WRONLY) && nr_got == 1 && got_fd == two);
	close(again);
	JOB_CHECK(is_free("data", O_WRONLY));
	return 0;
}

TEST(leases_several_on_a_file)
{
	EXPECT_EQ(0, roundtrip(several));
}

static int many(void)
{
	int fd[200], i;

	for (i = 0; i < 200; i++)
		JOB_SETUP((fd[i] = lease_data(format("data.%d", i), i % 2 ? O_RDONLY : O_WRONLY, i % 2 ? F_RDLCK : F_WRLCK)) >= 0);
	job_roundtrip();
	for (i = 0; i < 200; i++)
		JOB_CHECK(lease_of(fd[i]) == (i % 2 ? F_RDLCK : F_WRLCK));
	return 0;
}

TEST(leases_many)
{
	EXPECT_EQ(0, roundtrip(many));
}

/* ---- who is told ---- */

static int owners(void)
{
	pid_t child = fork();
	int other, none, plain;

	while (!child)
		pause();
	JOB_SETUP((other = open_data("other", O_RDONLY)) >= 0 && !fcntl(other, F_SETOWN, child));
	JOB_SETUP(!fcntl(other, F_SETLEASE, F_RDLCK) && owner_is(other, F_OWNER_PID, child));
	JOB_SETUP((none = lease_data("none", O_RDONLY, F_RDLCK)) >= 0 && !fcntl(none, F_SETOWN, 0));
	JOB_SETUP((plain = lease_data("plain", O_RDONLY, F_RDLCK)) >= 0 &&
		  !fcntl(plain, F_SETOWN_EX, &(struct f_owner_ex){ F_OWNER_TID, 0 }));
	job_roundtrip();
	JOB_CHECK(owner_is(other, F_OWNER_PID, child) && owner_is(none, F_OWNER_PID, 0));
	JOB_CHECK(owner_is(plain, F_OWNER_TID, 0) && fcntl(other, F_GETFL) & O_ASYNC);
	/* Nobody is told, and the child ends by it. */
	JOB_CHECK(breaks("none", O_WRONLY) && breaks("plain", O_WRONLY) && breaks("other", O_WRONLY));
	JOB_CHECK(waitpid(child, &other, 0) == child && WIFSIGNALED(other) && WTERMSIG(other) == SIGIO);
	return 0;
}

TEST(leases_and_signal_owners)
{
	EXPECT_EQ(0, roundtrip(owners));
}

/* By a fork and by dup; a lease ends with the last of them. */
static int shared(void)
{
	int fd = lease_data("data", O_RDWR, F_WRLCK), again = dup(fd), status;
	uint32_t *go = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid;

	JOB_SETUP(fd >= 0 && again >= 0 && go != MAP_FAILED && hear(SIGIO));
	pid = fork();
	if (!pid) {
		futex_wait(go, 0, -1);
		_exit(lease_of(fd) == F_WRLCK && lease_of(again) == F_WRLCK && breaks("data", O_RDONLY) ? 3 : 1);
	}
	JOB_SETUP(pid > 0);
	job_roundtrip();
	close(fd);
	JOB_CHECK(lease_of(again) == F_WRLCK);
	*go = 1;
	futex_wake(go);
	while (waitpid(pid, &status, 0) != pid)
		JOB_CHECK(errno == EINTR);
	JOB_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3 && nr_got == 1 && lease_of(again) == F_RDLCK);
	close(again);
	JOB_CHECK(is_free("data", O_RDWR));
	return 0;
}

static void see_shared(pid_t pid)
{
	EXPECT_TRUE(locks_tell("data", format("ACTIVE WRITE %d;", pid)));
}

TEST(leases_shared_by_dup_and_fork)
{
	struct job_options options = { .before_dump = see_shared, .before_go = see_shared };

	EXPECT_EQ(0, roundtrip_with(shared, &options));
}

/* ---- being broken ---- */

static int broken(void)
{
	int fd = lease_data("read", O_RDONLY, F_RDLCK), down = lease_data("down", O_RDWR, F_WRLCK);
	int gone = lease_data("gone", O_WRONLY, F_WRLCK), both = lease_data("both", O_WRONLY, F_WRLCK);
	int more = lease_data("read", O_RDONLY, F_RDLCK);

	JOB_SETUP(fd >= 0 && down >= 0 && gone >= 0 && both >= 0 && more >= 0 && hear(SIGRTMIN));
	JOB_SETUP(!fcntl(fd, F_SETSIG, SIGRTMIN) && !fcntl(down, F_SETSIG, SIGRTMIN) && !fcntl(gone, F_SETSIG, SIGRTMIN));
	JOB_SETUP(!fcntl(both, F_SETSIG, SIGRTMIN) && !fcntl(more, F_SETSIG, SIGRTMIN));
	JOB_SETUP(breaks("read", O_WRONLY) && breaks("down", O_RDONLY) && breaks("gone", O_WRONLY));
	JOB_SETUP(breaks("both", O_RDONLY) && breaks("both", O_WRONLY) && nr_got == 6);
	job_roundtrip();
	JOB_CHECK(lease_of(fd) == F_UNLCK && lease_of(down) == F_RDLCK && lease_of(gone) == F_UNLCK);
	JOB_CHECK(lease_of(both) == F_UNLCK && lease_of(more) == F_UNLCK);
	/* Still as it was: nobody gets in, and nobody is told twice. */
	JOB_CHECK(breaks("read", O_WRONLY) && breaks("down", O_RDONLY) && breaks("gone", O_RDONLY));
	JOB_CHECK(breaks("both", O_RDONLY) && nr_got == 6);
	/* What is asked for more is told. */
	JOB_CHECK(breaks("down", O_RDWR) && nr_got == 7 && lease_of(down) == F_UNLCK);
	JOB_CHECK(!fcntl(fd, F_SETLEASE, F_UNLCK) && breaks("read", O_WRONLY));
	JOB_CHECK(!fcntl(more, F_SETLEASE, F_UNLCK) && is_free("read", O_WRONLY) && nr_got == 7);
	return 0;
}

static void see_broken(pid_t pid)
{
	EXPECT_TRUE(locks_tell("read", format("BREAKING UNLCK %d;BREAKING UNLCK %d;", pid, pid)));
	EXPECT_TRUE(locks_tell("down", format("BREAKING READ %d;", pid)));
	EXPECT_TRUE(locks_tell("gone", format("BREAKING UNLCK %d;", pid)));
}

TEST(leases_being_broken)
{
	struct job_options options = { .before_dump = see_broken, .before_go = see_broken };

	EXPECT_EQ(0, roundtrip_with(broken, &options));
}

/* All kinds, where files are those of another file system, too. */
TEST(leases_on_ext4)
{
	use_place("/disk", EXT4_MAGIC);
	EXPECT_EQ(0, roundtrip(reading));
	EXPECT_EQ(0, roundtrip(broken));
}

TEST(leases_on_overlay)
{
	use_place("/var/tmp", OVERLAY_MAGIC);
	EXPECT_EQ(0, roundtrip(reading));
	EXPECT_EQ(0, roundtrip(broken));
}

static char *break_time_before;

static void set_break_time(const char *seconds)
{
	break_time_before = read_file(BREAK_TIME);
	ASSERT_TRUE(break_time_before && write_file(BREAK_TIME, seconds));
}

static void put_break_time(void)
{
	EXPECT_TRUE(write_file(BREAK_TIME, break_time_before));
}

static bool in_locks(const char *name)
{
	char *text = read_file("/proc/locks");
	struct stat st;

	return text && !stat(at(name), &st) && strstr(text, format(":%lu 0 EOF", (unsigned long)st.st_ino));
}

/* The time of the break goes on where it was: that of the dump and after it does not count. */
static int breaks_for_a_while(void)
{
	int fd = lease_data("data", O_RDONLY, F_RDLCK), down = lease_data("down", O_WRONLY, F_WRLCK);
	const struct job_times *times = job_times();
	double start, ran;

	JOB_SETUP(fd >= 0 && down >= 0 && signal(SIGIO, SIG_IGN) != SIG_ERR);
	start = now();
	JOB_SETUP(breaks("data", O_WRONLY) && breaks("down", O_RDONLY));
	usleep(1000000);
	job_roundtrip();
	while (!is_free("data", O_WRONLY))
		usleep(10000);
	ran = now() - start - (times->restore_to - times->dump_from);
	JOB_CHECK(ran > 3.7 && ran < 8);
	/* It is one for reading now, though open for writing; the time of both began together. */
	while (!is_free("down", O_RDONLY))
		usleep(10000);
	JOB_CHECK(lease_of(fd) == F_UNLCK && lease_of(down) == F_RDLCK);
	return 0;
}

static void wait_a_while(void)
{
	usleep(3000000);
}

TEST(leases_time_of_a_break)
{
	struct job_options options = { .between = wait_a_while };

	set_break_time("5");
	EXPECT_EQ(0, roundtrip_with(breaks_for_a_while, &options));
	put_break_time();
}

static int breaks_forever(void)
{
	int fd = lease_data("data", O_RDONLY, F_RDLCK);

	JOB_SETUP(fd >= 0 && signal(SIGIO, SIG_IGN) != SIG_ERR && breaks("data", O_WRONLY));
	job_roundtrip();
	usleep(1500000);
	JOB_CHECK(breaks("data", O_WRONLY) && lease_of(fd) == F_UNLCK && in_locks("data"));
	return 0;
}

TEST(leases_break_without_an_end)
{
	set_break_time("0");
	EXPECT_EQ(0, roundtrip(breaks_forever));
	put_break_time();
}

/* Over, but nobody has looked. */
static int break_is_over(void)
{
	int fd = lease_data("data", O_RDONLY, F_RDLCK);

	JOB_SETUP(fd >= 0 && signal(SIGIO, SIG_IGN) != SIG_ERR && breaks("data", O_WRONLY));
	usleep(1500000);
	JOB_SETUP(in_locks("data"));
	job_roundtrip();
	usleep(20000);
	JOB_CHECK(is_free("data", O_WRONLY) && lease_of(fd) == F_UNLCK && !in_locks("data"));
	return 0;
}

TEST(leases_break_that_is_over)
{
	set_break_time("1");
	EXPECT_EQ(0, roundtrip(break_is_over));
	put_break_time();
}

/* The signal of the break has come, but was not taken yet. */
static int signal_pending(void)
{
	int fd = lease_data("data", O_RDONLY, F_RDLCK);
	siginfo_t info;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 1);
	JOB_SETUP(fd >= 0 && !fcntl(fd, F_SETSIG, SIGRTMIN + 1) && !sigprocmask(SIG_BLOCK, &set, NULL));
	JOB_SETUP(breaks("data", O_WRONLY));
	job_roundtrip();
	JOB_CHECK(sigwaitinfo(&set, &info) == SIGRTMIN + 1 && info.si_fd == fd);
	JOB_CHECK(sigtimedwait(&set, &info, &(struct timespec){ 0, 1000000 }) == -1 && errno == EAGAIN);
	JOB_CHECK(breaks("data", O_WRONLY) && sigtimedwait(&set, &info, &(struct timespec){ 0, 1000000 }) == -1);
	return 0;
}

TEST(leases_signal_of_a_break_pending)
{
	EXPECT_EQ(0, roundtrip(signal_pending));
}

/* ---- waited for ---- */

static int opened[2];
static pid_t opener_tid;	/* of the newest */

static void *opener(void *flags)
{
	bool reads = *(int *)flags == O_RDONLY;
	int fd;

	__atomic_store_n(&opener_tid, (pid_t)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
	fd = open(at(reads ? "down" : "data"), *(int *)flags);

	__atomic_store_n(&opened[!reads], fd < 0 ? -errno : fd, __ATOMIC_SEQ_CST);
	return NULL;
}

static int waited_for(void)
{
	int fd = lease_data("data", O_RDONLY, F_RDLCK), down = lease_data("down", O_RDWR, F_WRLCK), i;
	static int flags[] = { O_RDONLY, O_WRONLY };
	pthread_t thread[2];

	JOB_SETUP(fd >= 0 && down >= 0 && hear(SIGIO));
	for (i = 0; i < 2; i++) {
		opener_tid = 0;
		JOB_SETUP(!pthread_create(&thread[i], NULL, opener, &flags[i]));
		while (!__atomic_load_n(&opener_tid, __ATOMIC_SEQ_CST))
			usleep(1000);
		JOB_SETUP(wait_in_syscall(getpid(), opener_tid, SYS_openat));
	}
	while (nr_got < 2)
		usleep(1000);
	job_roundtrip();
	usleep(100000);
	JOB_CHECK(!opened[0] && !opened[1] && nr_got == 2 && lease_of(fd) == F_UNLCK && lease_of(down) == F_RDLCK);
	JOB_CHECK(!fcntl(fd, F_SETLEASE, F_UNLCK) && !fcntl(down, F_SETLEASE, F_UNLCK));
	JOB_CHECK(!pthread_join(thread[0], NULL) && !pthread_join(thread[1], NULL));
	JOB_CHECK(opened[0] > 0 && opened[1] > 0 && nr_got == 2);
	return 0;
}

TEST(leases_waited_for)
{
	EXPECT_EQ(0, roundtrip(waited_for));
}

/* ---- deleted files ---- */

static const struct job_options capture = { .dump_args = { "--files=capture" } };

static int reads_deleted(void)
{
	int fd = lease_data("data", O_RDONLY, F_RDLCK);

	JOB_SETUP(fd >= 0 && !unlink(at("data")) && hear(SIGIO));
	job_roundtrip();
	JOB_CHECK(lease_of(fd) == F_RDLCK && nr_got == 0);
	JOB_CHECK(open(format("/proc/self/fd/%d", fd), O_WRONLY | O_NONBLOCK) == -1 && errno == EWOULDBLOCK && nr_got == 1);
	return 0;
}

TEST(leases_on_deleted_files)
{
	EXPECT_EQ(0, roundtrip_with(reads_deleted, &capture));
}

/* To read it for the image would break the lease. */
static int writes_deleted(void)
{
	int fd = lease_data("data", O_RDWR, F_WRLCK);

	JOB_SETUP(fd >= 0 && !unlink(at("data")) && hear(SIGIO));
	job_roundtrip();
	JOB_CHECK(lease_of(fd) == F_WRLCK && nr_got == 0);
	return 0;
}

static int writes_memory(void)
{
	int fd = memfd_create("leased", 0), writer = open(format("/proc/self/fd/%d", fd), O_WRONLY);

	JOB_SETUP(writer >= 0 && !fcntl(writer, F_SETLEASE, F_WRLCK) && hear(SIGIO));
	job_roundtrip();
	JOB_CHECK(lease_of(writer) == F_WRLCK && nr_got == 0);
	return 0;
}

TEST(leases_for_writing_on_what_is_in_the_image_are_refused)
{
	EXPECT_REFUSED_WITH(KCKPT_E_FILE_STATE, writes_deleted, &capture);
	EXPECT_REFUSED(KCKPT_E_FILE_STATE, writes_memory);
}

static int reads_memory(void)
{
	int fd = memfd_create("leased", 0);

	JOB_SETUP(fd >= 0 && !fcntl(fd, F_SETLEASE, F_RDLCK) && hear(SIGIO));
	job_roundtrip();
	JOB_CHECK(lease_of(fd) == F_RDLCK && nr_got == 0);
	return 0;
}

TEST(leases_on_memory)
{
	EXPECT_EQ(0, roundtrip(reads_memory));
}

/* ---- outside ---- */

static int leases_what_is_shared(void)
{
	JOB_SETUP(!fcntl(7, F_SETLEASE, F_RDLCK));
	job_roundtrip();
	JOB_CHECK(lease_of(7) == F_RDLCK && !fcntl(7, F_SETLEASE, F_UNLCK));
	return 0;
}

TEST(leases_shared_with_outside)
{
	struct job_options options = { .nr_fds = 1 };

	options.fds[0] = (struct job_fd){ open_data("data", O_RDONLY), 7 };
	EXPECT_REFUSED_WITH(KCKPT_E_LOCK_SHARED, leases_what_is_shared, &options);
	/* Handed over, it is the outside's affair. */
	options.nr_restore_fds = 1;
	options.restore_fds[0] = options.fds[0];
	options.dump_args[0] = options.restore_args[0] = "--inherit-fd";
	options.dump_args[1] = options.restore_args[1] = "7";
	EXPECT_EQ(0, roundtrip_with(leases_what_is_shared, &options));
}

/* For reading, though open for writing, and by somebody else for reading: there is no way to come to that again. */
static int broken_down(void)
{
	int fd = lease_data("data", O_RDWR, F_WRLCK), reader;

	JOB_SETUP(fd >= 0 && signal(SIGIO, SIG_IGN) != SIG_ERR && (reader = open_data("data", O_RDONLY)) >= 0);
	JOB_SETUP(lease_of(fd) == F_RDLCK);
	job_roundtrip();
	JOB_CHECK(lease_of(fd) == F_RDLCK && !close(reader) && !fcntl(fd, F_SETLEASE, F_UNLCK));
	return 0;
}

TEST(leases_what_a_break_left_is_refused)
{
	set_break_time("1");
	EXPECT_REFUSED(KCKPT_E_FILE_STATE, broken_down);
	put_break_time();
}

static int hold_fd = -1;

static int has_both(void)
{
	int fd = lease_data("data", O_RDONLY, F_RDLCK), other = lease_data("other", O_WRONLY, F_WRLCK);

	JOB_SETUP(fd >= 0 && other >= 0);
	job_roundtrip();
	return 0;
}

static void open_for_writing(void)
{
	ASSERT_TRUE((hold_fd = open_data("data", O_WRONLY)) >= 0);
}

static void open_for_reading(void)
{
	ASSERT_TRUE((hold_fd = open_data("other", O_RDONLY)) >= 0);
}

/* Nothing of the attempt is left. */
static bool all_free(void)
{
	return !close(hold_fd) && is_free("data", O_RDWR) && is_free("other", O_RDWR);
}

TEST(leases_on_what_is_open_elsewhere_are_refused_at_restore)
{
	EXPECT_RESTORE_REFUSED(KCKPT_E_LOCK_TAKEN, has_both, &((struct job_options){ .between = open_for_writing }));
	EXPECT_TRUE(all_free());
	EXPECT_RESTORE_REFUSED(KCKPT_E_LOCK_TAKEN, has_both, &((struct job_options){ .between = open_for_reading }));
	EXPECT_TRUE(all_free());
}
