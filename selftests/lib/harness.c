// SPDX-License-Identifier: GPL-2.0
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util.h"

#define DEFAULT_LIMIT 90	/* seconds; emulated machines are slow */
#define CGROUPS "/sys/fs/cgroup"

static struct test *tests;
static bool failed;
static char folder[64];

void test_register(struct test *test)
{
	struct test **end = &tests;

	while (*end)
		end = &(*end)->next;
	*end = test;
}

/* ---- within a test ---- */

static void say(const char *file, int line, const char *format, va_list args)
{
	char text[4096];

	vsnprintf(text, sizeof(text), format, args);
	if (file)
		printf("# %s:%d: %s\n", strrchr(file, '/') ? strrchr(file, '/') + 1 : file, line, text);
	else
		printf("# %s\n", text);
	fflush(stdout);
}

void test_say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(NULL, 0, format, args);
	va_end(args);
}

void test_failed(const char *file, int line, const char *format, ...)
{
	va_list args;

	failed = true;
	va_start(args, format);
	say(file, line, format, args);
	va_end(args);
}

void test_give_up(void)
{
	fflush(stdout);
	_exit(1);
}

void test_skip(const char *format, ...)
{
	FILE *reason = fopen(test_path("skip"), "w");
	va_list args;

	va_start(args, format);
	if (reason) {
		vfprintf(reason, format, args);
		fclose(reason);
	}
	va_end(args);
	_exit(TEST_SKIP);
}

const char *test_folder(void)
{
	return folder;
}

const char *test_path(const char *name)
{
	return format("%s/%s", folder, name);
}

static const char *cgroup_prefix(void)
{
	return strrchr(folder, '/') + 1;	/* unique: mkdtemp made it */
}

const char *test_new_cgroup(void)
{
	static int nr;
	const char *path = format("%s/%s-%d-%d", CGROUPS, cgroup_prefix(), getpid(), nr++);

	if (mkdir(path, 0755)) {
		test_say("cannot make %s: %m", path);
		test_give_up();
	}
	return path;
}

int test_patience(void)
{
	const char *times = getenv("PATIENCE");

	return times ? atoi(times) : 1;
}

bool test_is_long(void)
{
	const char *tier = getenv("TIER");

	return tier && !strcmp(tier, "long");
}

/* ---- around a test ---- */

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path), 0;
}

/* Whatever a test left in its cgroups: thawed, killed, waited for. */
static void end_cgroup(const char *path)
{
	int i;

	write_file(format("%s/cgroup.freeze", path), "0");
	for (i = 0; i < 1000; i++) {
		write_file(format("%s/cgroup.kill", path), "1");
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (!rmdir(path) || errno == ENOENT)
			return;
		usleep(5000);
	}
	test_say("%s cannot be removed: %m", path);
}

static void end_cgroups(void)
{
	DIR *dir = opendir(CGROUPS);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (!strncmp(entry->d_name, cgroup_prefix(), strlen(cgroup_prefix())))
			end_cgroup(format("%s/%s", CGROUPS, entry->d_name));
	if (dir)
		closedir(dir);
}

/* In the test's process: a session of its own, and orphans of it stay with it. */
static void run_here(const struct test *test)
{
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	prctl(PR_SET_PDEATHSIG, 0);
	setsid();
	test->run();
	fflush(stdout);
	_exit(failed);
}

static int run_apart(const struct test *test)
{
	unsigned int seconds;
	pid_t pid;
	int status;

	snprintf(folder, sizeof(folder), "%s/kckpt-test-XXXXXX", getenv("TMPDIR") ?: "/tmp");
	if (!mkdtemp(folder)) {
		test_say("mkdtemp: %m");
		return 1;
	}
	fflush(stdout);
	pid = fork();
	if (!pid)
		run_here(test);
	seconds = (test->seconds ?: DEFAULT_LIMIT) * (unsigned int)test_patience();
	status = wait_exit(pid, 1000 * seconds);
	if (status < 0) {
		test_say("not done after %u s", seconds);
		kill(-pid, SIGKILL);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
	} else if (status > 128) {
		test_say("killed by signal %d", status - 128);
	}
	end_cgroups();
	return status;
}

static void report(int nr, const struct test *test, int status, double seconds)
{
	char *reason = status == TEST_SKIP ? read_file(test_path("skip")) : NULL;

	if (status == TEST_SKIP)
		printf("ok %d - %s # SKIP %s\n", nr, test->name, reason ?: "");
	else
		printf("%sok %d - %s # %.1f s\n", status ? "not " : "", nr, test->name, seconds);
	fflush(stdout);
	nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static bool wanted(const struct test *test, char **names)
{
	bool any = !*names;

	for (; *names; names++)
		any |= !!strstr(test->name, *names);
	return any;
}

static int run_tests(char **names)
{
	int nr = 0, planned = 0, worst = 0, status;
	const struct test *test;
	double start;

	for (test = tests; test; test = test->next)
		planned += wanted(test, names);
	printf("1..%d\n", planned);
	for (test = tests; test; test = test->next) {
		if (!wanted(test, names))
			continue;
		start = now();
		status = run_apart(test);
		report(++nr, test, status, now() - start);
		worst |= status && status != TEST_SKIP;
	}
	return worst;
}

int main(int argc, char **argv)
{
	const struct test *test;

	if (argc > 1 && !strcmp(argv[1], "--list")) {
		for (test = tests; test; test = test->next)
			puts(test->name);
		return 0;
	}
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	return run_tests(argv + 1);
}
