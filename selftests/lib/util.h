/* SPDX-License-Identifier: GPL-2.0 */
/* Small things that tests and jobs need. */
#ifndef UTIL_H
#define UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A string that is never freed. */
char *format(const char *format, ...) __attribute__((format(printf, 1, 2)));

double now(void);	/* CLOCK_MONOTONIC, seconds */

/* The whole file, NUL-terminated, or NULL; never freed. *@len, if wanted: how much it is. */
char *read_file(const char *path);
char *read_bytes(const char *path, size_t *len);
bool write_file(const char *path, const char *text);
bool write_bytes(const char *path, const void *data, size_t len);

/* Exit status of a child, 128 + signal, or -1 if it did not end in time. */
int wait_exit(pid_t pid, int timeout_ms);

/* Another thread than the leader; 0: there is none. */
pid_t thread_of(pid_t pid);

/* Takes the status of all children that have ended; true if there are no others. */
bool reap_children(void);

/* Waits until *@word is not @value any more; false after @timeout_ms (-1: never). */
bool futex_wait(uint32_t *word, uint32_t value, int timeout_ms);
void futex_wake(uint32_t *word);

/* Waits until the thread sleeps in the system call with that number, maybe restarted; false if it does not within 20 s. */
bool wait_in_syscall(pid_t pid, pid_t tid, long nr);

/* The number in "NAME: 123" of /proc/PID/status, or -1. */
long status_field(pid_t pid, const char *name, int base);

/*
 * Guard pages (MADV_GUARD_INSTALL). have_guards() - does this kernel have them? is_guarded() - does each of the pages
 * make a SIGSEGV of a touch?
 */
bool have_guards(void);
bool guard_pages(void *at, size_t pages);
bool is_guarded(void *at, size_t pages);

/* Numbers that are the same in each run. */
uint32_t random_next(uint32_t *seed);

#endif
