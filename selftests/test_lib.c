// SPDX-License-Identifier: GPL-2.0
/* libkckpt.so, as programs of others use it; and the example orchestrator, which is one. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kckpt/kckpt.h>

#include "runner.h"

static int open_cgroup(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	ASSERT_TRUE(fd >= 0);
	return fd;
}

static int open_image(void)
{
	int fd = open(test_path("image"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	ASSERT_TRUE(fd >= 0);
	return fd;
}

static struct kckpt_session *session_open(void)
{
	struct kckpt_session *session;

	ASSERT_EQ(0, kckpt_session_open(&session));
	return session;
}

static int freeze(struct kckpt_session *session, const struct job *job)
{
	struct kckpt_freeze request = { .cgroup = open_cgroup(job->cgroup) };
	int err = kckpt_session_freeze(session, &request, sizeof(request));

	close(request.cgroup);
	return err;
}

static int capture(struct kckpt_session *session, uint32_t flags)
{
	struct kckpt_capture request = { .flags = flags };

	return kckpt_session_capture(session, &request, sizeof(request));
}

static uint32_t state(struct kckpt_session *session)
{
	struct kckpt_stats stats;

	ASSERT_EQ(0, kckpt_session_stats(session, &stats, sizeof(stats)));
	return stats.state;
}

static uint32_t first_code(struct kckpt_session *session)
{
	struct kckpt_error error = { .code = 0 };

	EXPECT_TRUE(kckpt_session_report(session, 0, &error, 1, NULL) >= 0);
	return error.code;
}

/* What a progress callback saw. */
struct seen {
	unsigned int calls;
	uint64_t bytes;
	int answer;
};

static int see(void *data, uint64_t bytes)
{
	struct seen *seen = data;

	EXPECT_TRUE(bytes > seen->bytes);
	seen->calls++;
	seen->bytes = bytes;
	return seen->answer;
}

/* A job that was dumped into the image and killed. */
static void dump(struct job *job, int image)
{
	struct kckpt_session *session = session_open();
	struct seen seen = {};

	runner_start(job);
	ASSERT_EQ(0, freeze(session, job));
	ASSERT_EQ(0, capture(session, 0));
	ASSERT_EQ(0, kckpt_dump_to_fd(session, image, see, &seen));
	EXPECT_EQ(lseek(image, 0, SEEK_END), seen.bytes);
	EXPECT_EQ(KCKPT_SAVED, state(session));
	ASSERT_EQ(0, kckpt_session_kill(session));
	kckpt_session_close(session);
	ASSERT_TRUE(runner_is_gone(job));
	lseek(image, 0, SEEK_SET);
}

static int load(struct kckpt_session *session, const struct job *job, int image, struct seen *seen)
{
	struct kckpt_instantiate request = { .cgroup = open_cgroup(job->cgroup) };
	int err = kckpt_load_from_fd(session, image, &request, sizeof(request), seen ? see : NULL, seen);

	close(request.cgroup);
	if (!err)
		EXPECT_EQ(job->pid, request.root_pid);
	return err;
}

static int commit(struct kckpt_session *session)
{
	return kckpt_session_commit(session, &(struct kckpt_commit){ 0 }, sizeof(struct kckpt_commit));
}

TEST(lib_dumps_and_restores)
{
	struct job job;
	struct seen seen = {};
	struct kckpt_session *session;
	int image;

	image = open_image();
	dump(&job, image);
	session = session_open();
	ASSERT_EQ(0, load(session, &job, image, &seen));
	EXPECT_EQ(lseek(image, 0, SEEK_END), seen.bytes);
	EXPECT_EQ(KCKPT_COMPLETE, state(session));
	ASSERT_EQ(0, commit(session));
	kckpt_session_close(session);
	EXPECT_TRUE(runner_runs(&job));
	/* Our child, as the header says. */
	kill(job.pid, SIGKILL);
	EXPECT_EQ(128 + SIGKILL, wait_exit(job.pid, 20000));
}

/* What libkckpt.so calls. */
static uint64_t moved_bytes;	/* by the kernel itself */
static bool kernel_refuses;

int ioctl(int fd, unsigned long request, ...)
{
	bool moves = _IOC_TYPE(request) == _IOC_TYPE(KCKPT_IOC_SAVE) &&
		     (_IOC_NR(request) == _IOC_NR(KCKPT_IOC_SAVE) || _IOC_NR(request) == _IOC_NR(KCKPT_IOC_LOAD));
	void *argument;
	va_list list;
	int ret;

	va_start(list, request);
	argument = va_arg(list, void *);
	va_end(list);
	errno = EINVAL;
	ret = moves && kernel_refuses ? -1 : (int)syscall(SYS_ioctl, fd, request, argument);
	if (moves && !ret)
		moved_bytes += ((struct kckpt_transfer *)argument)->bytes;
	return ret;
}

static void moves_by_file(bool refused)
{
	struct kckpt_session *session;
	struct seen seen = {};
	struct job job;
	int image = open_image();
	uint64_t size;

	moved_bytes = 0;
	dump(&job, image);
	size = lseek(image, 0, SEEK_END);
	EXPECT_EQ(size, moved_bytes);
	ASSERT_EQ(0, lseek(image, 0, SEEK_SET));
	kernel_refuses = refused;
	session = session_open();
	EXPECT_EQ(0, load(session, &job, image, &seen));
	kernel_refuses = false;
	EXPECT_EQ(size, seen.bytes);
	EXPECT_EQ(refused ? size : 2 * size, moved_bytes);
	ASSERT_EQ(0, commit(session));
	kckpt_session_close(session);
	EXPECT_TRUE(runner_runs(&job));
}

TEST(lib_lets_the_kernel_move_the_image)
{
	moves_by_file(false);
}

/* Some file systems have no part in it. */
TEST(lib_moves_the_image_itself)
{
	moves_by_file(true);
}

/* The end of the records is told apart from that of the file. */
TEST(lib_send_tells_what_ended)
{
	struct kckpt_session *session = session_open();
	struct job job;
	int image = open_image();
	ssize_t took, all = 0;

	dump(&job, image);
	EXPECT_EQ(-EINVAL, kckpt_session_send(NULL, image, 1));
	EXPECT_EQ(-EINVAL, kckpt_session_send(session, -1, 1));
	EXPECT_EQ(-EINVAL, kckpt_session_send(session, image, 0));
	while ((took = kckpt_session_send(session, image, 5000)) > 0)
		all += took;
	EXPECT_EQ(-EBUSY, took);
	EXPECT_EQ(all, lseek(image, 0, SEEK_CUR));
	EXPECT_EQ(-EBUSY, kckpt_session_send(session, image, 5000));
	EXPECT_EQ(KCKPT_LOADED, state(session));
	kckpt_session_close(session);

	session = session_open();
	EXPECT_EQ(0, kckpt_session_send(session, image, lseek(image, 0, SEEK_END)));
	kckpt_session_close(session);
}

/* An error far behind the first byte of a call comes back with the next one, and is told once. */
TEST(lib_send_tells_of_damage)
{
	struct kckpt_session *session;
	struct job job;
	int image = open_image();
	uint32_t total = 0;
	char *bytes;
	size_t size;

	dump(&job, image);
	bytes = read_bytes(test_path("image"), &size);
	bytes[size - 8 * 4096] ^= 1;	/* in a page, of which only the digests tell */
	ASSERT_TRUE(size > (1 << 17) && write_bytes(test_path("image"), bytes, size));
	lseek(image, 0, SEEK_SET);
	session = session_open();
	EXPECT_EQ(-EBADMSG, load(session, &job, image, NULL));
	EXPECT_EQ(KCKPT_FAILED, state(session));
	EXPECT_EQ(KCKPT_E_IMAGE_DAMAGED, first_code(session));
	EXPECT_EQ(1, kckpt_session_report(session, 0, &(struct kckpt_error){ 0 }, 1, &total));
	EXPECT_EQ(1, total);
	kckpt_session_close(session);
	EXPECT_TRUE(runner_is_gone(&job));

	/* Bytes behind the end. */
	bytes[size - 8 * 4096] ^= 1;
	ASSERT_TRUE(write_bytes(test_path("image"), bytes, size));
	EXPECT_EQ(size, lseek(image, 0, SEEK_END));
	EXPECT_EQ(16, write(image, bytes, 16));
	lseek(image, 0, SEEK_SET);
	session = session_open();
	EXPECT_EQ(-EFBIG, load(session, &job, image, NULL));
	kckpt_session_close(session);
	EXPECT_TRUE(runner_is_gone(&job));
}

TEST(lib_restores_from_a_pipe_in_small_pieces)
{
	struct kckpt_session *session;
	struct job job;
	int image, ends[2];
	char piece[333];
	ssize_t n;
	pid_t feeder;

	image = open_image();
	dump(&job, image);
	ASSERT_EQ(0, pipe2(ends, O_CLOEXEC));
	feeder = fork();
	if (!feeder) {
		while ((n = read(image, piece, sizeof(piece))) > 0)
			if (write(ends[1], piece, n) != n)
				_exit(1);
		_exit(0);
	}
	close(ends[1]);
	session = session_open();
	ASSERT_EQ(0, load(session, &job, ends[0], NULL));
	ASSERT_EQ(0, commit(session));
	kckpt_session_close(session);
	EXPECT_TRUE(runner_runs(&job));
	EXPECT_EQ(0, wait_exit(feeder, 20000));
}

TEST(lib_close_thaws)
{
	struct kckpt_session *session = session_open();
	struct job job;

	runner_start(&job);
	ASSERT_EQ(0, freeze(session, &job));
	ASSERT_EQ(0, capture(session, 0));
	kckpt_session_close(session);
	EXPECT_TRUE(runner_runs(&job));
}

TEST(lib_checks_and_thaws)
{
	struct kckpt_session *session = session_open();
	struct job job;

	runner_start(&job);
	ASSERT_EQ(0, freeze(session, &job));
	EXPECT_EQ(0, capture(session, KCKPT_CAPTURE_CHECK));
	EXPECT_EQ(KCKPT_FROZEN, state(session));
	EXPECT_EQ(0, kckpt_session_thaw(session));
	EXPECT_TRUE(runner_runs(&job));
	kckpt_session_close(session);
}

TEST(lib_release_frozen_leaves_it_so)
{
	struct kckpt_session *session = session_open();
	struct job job;

	runner_start(&job);
	ASSERT_EQ(0, freeze(session, &job));
	EXPECT_EQ(0, kckpt_session_release_frozen(session));
	kckpt_session_close(session);
	EXPECT_TRUE(cgroup_is_frozen(job.cgroup));
	write_file(format("%s/cgroup.freeze", job.cgroup), "0");
}

/* A callback that says no ends the transfer with its words, and the job runs on. */
TEST(lib_progress_can_cancel)
{
	struct seen no = { .answer = -EXDEV }, positive = { .answer = 1 };
	struct kckpt_session *session = session_open();
	struct job job;
	int image;

	runner_start(&job);
	image = open_image();
	ASSERT_EQ(0, freeze(session, &job));
	ASSERT_EQ(0, capture(session, 0));
	EXPECT_EQ(-EXDEV, kckpt_dump_to_fd(session, image, see, &no));
	EXPECT_EQ(1, no.calls);
	EXPECT_EQ(0, first_code(session));
	kckpt_session_close(session);
	EXPECT_TRUE(runner_runs(&job));

	session = session_open();
	ASSERT_EQ(0, freeze(session, &job));
	ASSERT_EQ(0, capture(session, 0));
	EXPECT_EQ(-ECANCELED, kckpt_dump_to_fd(session, image, see, &positive));
	kckpt_session_close(session);
	EXPECT_TRUE(runner_runs(&job));
}

TEST(lib_write_error_is_returned)
{
	struct kckpt_session *session = session_open();
	struct job job;
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

	runner_start(&job);
	ASSERT_EQ(0, freeze(session, &job));
	ASSERT_EQ(0, capture(session, 0));
	EXPECT_EQ(-ENOSPC, kckpt_dump_to_fd(session, full, NULL, NULL));
	EXPECT_EQ(0, first_code(session));
	kckpt_session_close(session);
	EXPECT_TRUE(runner_runs(&job));
}

static int dies_alone(void)
{
	job_roundtrip();
	return 0;
}

/* Cut anywhere, also within the records: refused with the reason in the report, and nothing is left. */
TEST(lib_truncated_images_are_refused)
{
	static const off_t cuts[] = { 1, 3000, -8 };
	struct kckpt_session *session;
	struct job job;
	unsigned int i;
	size_t size, len;
	char *bytes;
	int image;

	image = open_image();
	dump(&job, image);
	bytes = read_bytes(test_path("image"), &size);
	lseek(image, 0, SEEK_END);
	session = session_open();
	EXPECT_EQ(-EBADMSG, load(session, &job, image, NULL));	/* at its end: empty */
	kckpt_session_close(session);
	for (i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		const char *part = test_path(format("cut.%u", i));
		int fd, err;

		len = cuts[i] > 0 ? (size_t)cuts[i] : size + cuts[i];
		ASSERT_TRUE(write_bytes(part, bytes, len));
		fd = open(part, O_RDONLY | O_CLOEXEC);
		session = session_open();
		err = load(session, &job, fd, NULL) ?: commit(session);
		EXPECT_EQ(-EBADMSG, err);
		EXPECT_EQ(KCKPT_E_IMAGE_TRUNCATED, first_code(session));
		kckpt_session_close(session);
		EXPECT_TRUE(runner_is_gone(&job));
		close(fd);
	}
}

TEST(lib_report_tells_all)
{
	struct kckpt_session *session = session_open();
	struct kckpt_error errors[4];
	char line[300];
	uint32_t total = 0;
	struct job job;

	job_start(&job, dies_alone, &(struct job_options){ .nr_fds = 2, .fds = {
		{ open("/dev/kmsg", O_RDONLY), 50 }, { open("/dev/kmsg", O_RDONLY), 51 } } });
	ASSERT_EQ(JOB_WAITS, job_wait(&job));
	ASSERT_EQ(0, freeze(session, &job));
	EXPECT_EQ(-EOPNOTSUPP, capture(session, 0));
	EXPECT_EQ(2, kckpt_session_report(session, 0, errors, 4, &total));
	EXPECT_EQ(2, total);
	EXPECT_EQ(KCKPT_E_FILE_KIND, errors[1].code);
	EXPECT_EQ(1, kckpt_session_report(session, 1, errors, 4, NULL));
	EXPECT_EQ(51, errors[0].fd);
	EXPECT_EQ(0, kckpt_session_report(session, 0, NULL, 0, &total));
	EXPECT_TRUE(kckpt_error_format(&errors[0], line, sizeof(line)) > 0);
	EXPECT_TRUE(strstr(line, "fd 51: ") && strstr(line, "(FILE_KIND)"));
	kckpt_session_close(session);
	job_go(&job);
	EXPECT_EQ(0, job_end(&job));
}

/* What a program of tomorrow or yesterday passes. */
TEST(lib_structs_of_any_size)
{
	struct { struct kckpt_freeze now; uint64_t later; } longer = { .later = 0 };
	struct { struct kckpt_stats now; uint64_t later; } stats = { .later = 7 };
	struct kckpt_session *session = session_open();
	struct job job;

	runner_start(&job);
	longer.now.cgroup = open_cgroup(job.cgroup);
	longer.later = 1;
	EXPECT_EQ(-E2BIG, kckpt_session_freeze(session, &longer.now, sizeof(longer)));
	longer.later = 0;
	EXPECT_EQ(-EINVAL, kckpt_session_freeze(session, &longer.now, 0));
	EXPECT_EQ(-EINVAL, kckpt_session_freeze(session, NULL, sizeof(longer)));
	EXPECT_EQ(0, kckpt_session_freeze(session, &longer.now, sizeof(longer)));
	EXPECT_EQ(0, kckpt_session_stats(session, &stats.now, sizeof(stats)));
	EXPECT_EQ(KCKPT_FROZEN, stats.now.state);
	EXPECT_EQ(0, stats.later);
	stats.now.nr_tasks = 77;
	EXPECT_EQ(0, kckpt_session_stats(session, &stats.now, sizeof(stats.now.state)));
	EXPECT_EQ(77, stats.now.nr_tasks);	/* beyond what it was told it may write */
	EXPECT_EQ(0, kckpt_session_thaw(session));
	kckpt_session_close(session);

	session = session_open();
	EXPECT_EQ(0, kckpt_session_freeze(session, &longer.now, offsetof(struct kckpt_freeze, timeout_ms)));
	kckpt_session_close(session);
	EXPECT_TRUE(runner_runs(&job));
}

TEST(lib_info_and_adopt)
{
	struct kckpt_family_info families[64];
	struct kckpt_info info = { .families = (uintptr_t)families, .nr_families = 64 };
	struct kckpt_session *session;
	int fd = open(KCKPT_DEVICE, O_RDWR | O_CLOEXEC);

	EXPECT_EQ(0, kckpt_session_adopt(fd, &session));
	EXPECT_EQ(fd, kckpt_session_fd(session));
	EXPECT_EQ(0, kckpt_session_info(session, &info, sizeof(info)));
	EXPECT_EQ(KCKPT_ABI, info.abi);
	EXPECT_TRUE(info.nr_families > 5 && !strcmp(families[1].name, kckpt_family_name(families[1].id)));
	EXPECT_EQ(0, kckpt_session_abort(session));
	EXPECT_EQ(KCKPT_FAILED, state(session));
	kckpt_session_close(session);
	EXPECT_TRUE(fcntl(fd, F_GETFD) < 0);
	info = (struct kckpt_info){ 0 };
	EXPECT_EQ(0, kckpt_module_info(&info, sizeof(info)));
	EXPECT_EQ(KCKPT_ABI, info.abi);
}

TEST(lib_closed_in_a_signal_handler_way)
{
	struct kckpt_session *session = session_open();
	struct job job;
	pid_t child;

	runner_start(&job);
	kckpt_session_close(session);
	child = fork();
	if (!child) {
		session = session_open();
		if (freeze(session, &job))
			_exit(1);
		close(kckpt_session_fd(session));
		_exit(cgroup_is_frozen(job.cgroup));
	}
	EXPECT_EQ(0, wait_exit(child, 20000));
	EXPECT_TRUE(runner_runs(&job));
}

/* ---- docs/examples/orchestrator.c ---- */

static int counts_on(void)
{
	job_roundtrip();
	return 7;
}

TEST(lib_orchestrator_moves_a_job)
{
	const char *program = getenv("KCKPT_ORCHESTRATOR"), *log = test_path("log");
	const char *to, *procs;
	struct job job;
	pid_t child;

	if (!program)
		test_skip("KCKPT_ORCHESTRATOR does not tell where it is");
	job_start(&job, counts_on, NULL);
	ASSERT_EQ(JOB_WAITS, job_wait(&job));
	to = format("%s-moved", job.cgroup);
	child = fork();
	if (!child) {
		dup2(open(log, O_WRONLY | O_CREAT, 0600), 2);
		execl(program, program, job.cgroup, to, test_path("image"), NULL);
		_exit(127);
	}
	EXPECT_EQ(128 + SIGKILL, wait_exit(job.pid, 20000));	/* the old one; its id is free now */
	procs = format("%s/cgroup.procs", to);
	for (int i = 0; i < 1000 && atoi(read_file(procs) ?: "") != job.pid; i++)
		usleep(20000);
	job_go(&job);
	if (!EXPECT_EQ(7, wait_exit(child, 20000)))
		test_say("%s", read_file(log));
	EXPECT_TRUE(strstr(read_file(log), format("moved: process %d", job.pid)));
	rmdir(to);
}

TEST(lib_orchestrator_tells_what_is_wrong)
{
	const char *program = getenv("KCKPT_ORCHESTRATOR"), *log = test_path("log");
	const char *empty = test_new_cgroup();
	pid_t child;

	if (!program)
		test_skip("KCKPT_ORCHESTRATOR does not tell where it is");
	child = fork();
	if (!child) {
		dup2(open(log, O_WRONLY | O_CREAT, 0600), 2);
		execl(program, program, empty, format("%s-to", empty), test_path("image"), NULL);
		_exit(127);
	}
	EXPECT_EQ(1, wait_exit(child, 20000));
	EXPECT_TRUE(strstr(read_file(log), "CGROUP_EMPTY"));
	rmdir(format("%s-to", empty));
}
