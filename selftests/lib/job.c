// SPDX-License-Identifier: GPL-2.0
#include "job.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "image.h"

#define EVENT_MS (20000 * test_patience())

enum turn { TURN_JOB, TURN_TEST };

/* Shared between a job and its test. */
struct page {
	uint32_t turn;
	struct job_times times;
	uint64_t notes[64];
};

static struct page *page;

/* ---- in the job ---- */

void job_roundtrip(void)
{
	__atomic_store_n(&page->turn, TURN_TEST, __ATOMIC_SEQ_CST);
	futex_wake(&page->turn);
	futex_wait(&page->turn, TURN_TEST, -1);
}

int job_skip(const char *reason)
{
	write_file(test_path("job.skip"), reason);
	return JOB_SKIP;
}

int job_complain(const char *file, int line, const char *what)
{
	dprintf(2, "%s:%d: in the job: %s is not so (errno: %m)\n", strrchr(file, '/') ? strrchr(file, '/') + 1 : file,
		line, what);
	return 1;
}

const struct job_times *job_times(void)
{
	return &page->times;
}

uint64_t *job_notes(void)
{
	return page->notes;
}

/* Nothing of the test's descriptors stays but what it wants to hand over. */
static void job_set_fds(const struct job_options *options)
{
	int i, log = open(test_path("job.log"), O_WRONLY | O_CREAT | O_APPEND, 0600);
	int null = open("/dev/null", O_RDWR);

	/* Out of the way first: the numbers that are wanted may be in use. */
	for (i = 0; i < options->nr_fds; i++)
		dup2(options->fds[i].from, 900 + i);
	dup2(null, 0);
	dup2(log, 1);
	dup2(log, 2);
	close_range(3, 899, 0);
	for (i = 0; i < options->nr_fds; i++)
		dup2(900 + i, options->fds[i].to);
	close_range(900, ~0U, 0);
}

static void job_main(const struct job *job, job_fn *fn)
{
	if (!write_file(format("%s/cgroup.procs", job->cgroup), "0"))
		_exit(JOB_SETUP_FAILED);
	if (!job->options.in_our_session)
		setsid();
	job_set_fds(&job->options);
	_exit(fn());
}

/* ---- in the test ---- */

static void map_page(void)
{
	int fd = open(test_path("job.page"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ASSERT_TRUE(fd >= 0 && !ftruncate(fd, sizeof(*page)));
	page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_TRUE(page != MAP_FAILED);
	close(fd);
}

void job_start(struct job *job, job_fn *fn, const struct job_options *options)
{
	if (!page)
		map_page();
	*job = (struct job){ .cgroup = test_new_cgroup() };
	job->image = test_path(format("image.%s", strrchr(job->cgroup, '-')));
	if (options)
		job->options = *options;
	memset(page, 0, sizeof(*page));
	fflush(stdout);
	job->pid = fork();
	if (!job->pid)
		job_main(job, fn);
	ASSERT_TRUE(job->pid > 0);
}

static bool has_ended(pid_t pid)
{
	siginfo_t info = {};

	return waitid(P_PID, pid, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid;
}

enum job_event job_wait(struct job *job)
{
	double end = now() + EVENT_MS / 1000;

	/* Its end wakes nobody who waits for the word, so that is looked at from time to time. */
	while (now() < end) {
		if (futex_wait(&page->turn, TURN_JOB, 20))
			return JOB_WAITS;
		if (has_ended(job->pid))
			return JOB_ENDED;
	}
	return JOB_SILENT;
}

static void append(const char **args, int *nr, const char *const *more)
{
	while (*more)
		args[(*nr)++] = *more++;
	args[*nr] = NULL;
}

static void scan(const char *path)
{
	struct image image = {};

	image.data = (uint8_t *)read_bytes(path, &image.len);
	if (image.data)
		image_scan(&image);
	free(image.data);
}

struct tool_result job_dump(struct job *job)
{
	const char *args[32] = { "dump", "--json", "-o", job->image, job->cgroup };
	struct tool_result result;
	int nr = 5;

	append(args, &nr, job->options.dump_args);
	if (job->options.before_dump)
		job->options.before_dump(job->pid);
	page->times.dump_from = now();
	result = tool_run(args);
	page->times.dump_to = now();
	if (!result.status && wait_exit(job->pid, EVENT_MS) != 128 + SIGKILL)
		result = (struct tool_result){ -1, format("the job was not killed\n%s", result.text) };
	/* Its orphans are ours, and their ids are wanted again. */
	while (!result.status && waitpid(-1, NULL, WNOHANG | __WALL) > 0)
		;
	if (!result.status)
		scan(job->image);
	return result;
}

struct tool_result job_restore(struct job *job)
{
	const char *pidfile = test_path("pid");
	const char *args[32] = { "restore", "--json", "--detach", "--pidfile", pidfile, "--cgroup", job->cgroup, job->image };
	struct tool_result result;
	int nr = 8;

	unlink(pidfile);
	append(args, &nr, job->options.restore_args);
	page->times.restore_from = now();
	result = tool_end(tool_start(args, job->options.restore_fds, job->options.nr_restore_fds));
	page->times.restore_to = now();
	if (!result.status && atoi(read_file(pidfile) ?: "") != job->pid)
		result = (struct tool_result){ -1, format("the pid file does not tell %d\n%s", job->pid, result.text) };
	return result;
}

void job_go(struct job *job)
{
	(void)job;
	__atomic_store_n(&page->turn, TURN_JOB, __ATOMIC_SEQ_CST);
	futex_wake(&page->turn);
}

int job_end(struct job *job)
{
	return wait_exit(job->pid, EVENT_MS);
}

void job_show_log(void)
{
	char *log = read_file(test_path("job.log")), *line;

	while (log && (line = strsep(&log, "\n")))
		if (*line)
			test_say("%s", line);
}

static void show(const char *what, const struct tool_result *result)
{
	char *text = strdup(result->text), *line;

	test_say("%s: status %d", what, result->status);
	while ((line = strsep(&text, "\n")))
		if (*line)
			test_say("  %s", line);
}

int job_result(int status)
{
	if (status == JOB_SKIP)
		test_skip("%s", read_file(test_path("job.skip")) ?: "");
	if (status)
		job_show_log();
	return status;
}

/* One trip of a job that waits for it; false if it did not come back. */
static bool make_trip(struct job *job)
{
	struct tool_result result = job_dump(job);

	if (result.status) {
		show("dump", &result);
		return false;
	}
	if (job->options.between)
		job->options.between();
	result = job_restore(job);
	if (result.status) {
		show("restore", &result);
		return false;
	}
	if (job->options.before_go)
		job->options.before_go(job->pid);
	job_go(job);
	return true;
}

int roundtrip_with(job_fn *fn, const struct job_options *options)
{
	enum job_event event;
	struct job job;
	bool tripped = false;

	job_start(&job, fn, options);
	while ((event = job_wait(&job)) == JOB_WAITS) {
		if (!make_trip(&job))
			return job_result(-1);
		tripped = true;
	}
	if (event == JOB_SILENT) {
		test_say("the job neither ended nor asked for a trip");
		return job_result(-1);
	}
	if (!tripped)
		test_say("the job ended before the trip");
	return job_result(job_end(&job)) ?: tripped ? 0 : -1;
}

int roundtrip(job_fn *fn)
{
	return roundtrip_with(fn, NULL);
}

bool dump_refused(job_fn *fn, const struct job_options *options, uint32_t code)
{
	struct tool_result result;
	struct job job;
	int status;

	job_start(&job, fn, options);
	if (job_wait(&job) != JOB_WAITS) {
		job_result(job_end(&job));
		test_say("the job did not come as far as the dump");
		return false;
	}
	result = job_dump(&job);
	if (!result.status || !tool_said(&result, error_name(code))) {
		show("dump", &result);
		return false;
	}
	if (cgroup_is_frozen(job.cgroup) || !access(job.image, F_OK)) {
		test_say("something is left of the dump that was refused");
		return false;
	}
	if (options && options->after_refusal)
		options->after_refusal(job.pid);
	job_go(&job);
	status = job_result(job_end(&job));
	if (status)
		test_say("the job did not run on: status %d", status);
	return !status;
}

bool restore_refused(job_fn *fn, const struct job_options *options, uint32_t code)
{
	struct tool_result result;
	struct job job;

	job_start(&job, fn, options);
	if (job_wait(&job) != JOB_WAITS) {
		job_result(job_end(&job));
		test_say("the job did not come as far as the dump");
		return false;
	}
	result = job_dump(&job);
	if (result.status) {
		show("dump", &result);
		return false;
	}
	if (job.options.between)
		job.options.between();
	result = job_restore(&job);
	if (!result.status || !tool_said(&result, error_name(code))) {
		show("restore", &result);
		return false;
	}
	if (!cgroup_is_empty(job.cgroup) || cgroup_is_frozen(job.cgroup) || !access(test_path("pid"), F_OK)) {
		test_say("something is left of the restore that was refused");
		return false;
	}
	return true;
}

static const char *const error_names[] = {
#define KCKPT_ERROR(name, err, text, remedy) [KCKPT_E_##name] = #name,
#include <kckpt/errors.def>
#undef KCKPT_ERROR
};

const char *error_name(uint32_t code)
{
	return code < sizeof(error_names) / sizeof(error_names[0]) && error_names[code] ? error_names[code] : "NONE";
}

bool cgroup_is_empty(const char *cgroup)
{
	const char *events = read_file(format("%s/cgroup.events", cgroup));

	return events && strstr(events, "populated 0");
}

bool cgroup_is_frozen(const char *cgroup)
{
	const char *wanted = read_file(format("%s/cgroup.freeze", cgroup));

	return wanted && *wanted == '1';
}
