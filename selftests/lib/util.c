// SPDX-License-Identifier: GPL-2.0
#include "util.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE_SIZE 4096UL

char *format(const char *format, ...)
{
	va_list args;
	char *text;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		abort();
	va_end(args);
	return text;
}

double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

char *read_bytes(const char *path, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t size = 0, room = 4096;
	char *data = malloc(room);
	ssize_t n = -1;

	if (fd < 0) {
		free(data);
		return NULL;
	}
	while ((n = read(fd, data + size, room - size - 1)) > 0) {
		size += n;
		if (room - size < 2)
			data = realloc(data, room *= 2);
	}
	close(fd);
	data[size] = 0;
	if (len)
		*len = size;
	return n < 0 ? NULL : data;
}

char *read_file(const char *path)
{
	return read_bytes(path, NULL);
}

bool write_bytes(const char *path, const void *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	bool done = fd >= 0 && write(fd, data, len) == (ssize_t)len;

	if (fd >= 0)
		close(fd);
	return done;
}

bool write_file(const char *path, const char *text)
{
	return write_bytes(path, text, strlen(text));
}

int wait_exit(pid_t pid, int timeout_ms)
{
	struct pollfd poller = { .fd = syscall(SYS_pidfd_open, pid, 0), .events = POLLIN };
	int n, status;

	do {
		n = poll(&poller, 1, timeout_ms);
	} while (n < 0 && errno == EINTR);
	if (poller.fd >= 0)
		close(poller.fd);
	if (n <= 0 || waitpid(pid, &status, __WALL) != pid)
		return -1;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

pid_t thread_of(pid_t pid)
{
	DIR *dir = opendir(format("/proc/%d/task", pid));
	struct dirent *entry;
	pid_t tid = 0;

	while (dir && !tid && (entry = readdir(dir)))
		if (atoi(entry->d_name) != pid)
			tid = atoi(entry->d_name);
	if (dir)
		closedir(dir);
	return tid;
}

bool reap_children(void)
{
	pid_t pid;

	do
		pid = waitpid(-1, NULL, WNOHANG | __WALL);
	while (pid > 0);
	return pid < 0 && errno == ECHILD;
}

bool futex_wait(uint32_t *word, uint32_t value, int timeout_ms)
{
	struct timespec ts = { timeout_ms / 1000, timeout_ms % 1000 * 1000000 };

	while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == value)
		if (syscall(SYS_futex, word, FUTEX_WAIT, value, timeout_ms < 0 ? NULL : &ts) && errno == ETIMEDOUT)
			return false;
	return true;
}

void futex_wake(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, 1000);
}

bool wait_in_syscall(pid_t pid, pid_t tid, long nr)
{
	const char *path = format("/proc/%d/task/%d/syscall", pid, tid);
	double end = now() + 20;
	char *text, *rest;
	bool there = false;
	long now_in;

	while (!there && now() < end) {
		text = read_file(path);
		now_in = text ? strtol(text, &rest, 10) : -1;
		there = text && rest != text && (now_in == nr || now_in == SYS_restart_syscall);
		free(text);
		if (!there)
			sched_yield();
	}
	return there;
}

long status_field(pid_t pid, const char *name, int base)
{
	char *text = read_file(format("/proc/%d/status", pid));
	char *at = text ? strstr(text, format("\n%s:", name)) : NULL;

	return at ? strtol(at + strlen(name) + 2, NULL, base) : -1;
}

uint32_t random_next(uint32_t *seed)
{
	/* xorshift32 */
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

bool guard_pages(void *at, size_t pages)
{
	return !madvise(at, pages * PAGE_SIZE, MADV_GUARD_INSTALL);
}

bool have_guards(void)
{
	void *at = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool have = at != MAP_FAILED && guard_pages(at, 1);

	munmap(at, PAGE_SIZE);
	return have;
}

static sigjmp_buf after_touch;

static void on_touch(int sig)
{
	siglongjmp(after_touch, sig);
}

static bool is_deadly(const volatile char *at)
{
	if (sigsetjmp(after_touch, 1))
		return true;
	(void)*at;
	return false;
}

bool is_guarded(void *at, size_t pages)
{
	struct sigaction touch = { .sa_handler = on_touch }, old;
	size_t i;

	sigaction(SIGSEGV, &touch, &old);
	for (i = 0; i < pages && is_deadly((char *)at + i * PAGE_SIZE); i++)
		;
	sigaction(SIGSEGV, &old, NULL);
	return i == pages;
}
