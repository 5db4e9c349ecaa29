// SPDX-License-Identifier: GPL-2.0
/*
 * load processes|threads N READY - a job of N small processes, or threads, besides the first.
 *
 * Makes the file READY when all of them are there. On SIGUSR1 each looks whether what it has is what it had; when all
 * have, READY is made anew. Ends with 1 if something is wrong.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define OWN (16 << 10)		/* memory that each writes to, bytes */

static volatile int *answers;	/* one for all */
static __thread unsigned char own[OWN];

static void fill(int me)
{
	size_t i;

	for (i = 0; i < sizeof(own); i++)
		own[i] = me * 31 + i;
}

static bool is_filled(int me)
{
	size_t i;

	for (i = 0; i < sizeof(own); i++)
		if (own[i] != (unsigned char)(me * 31 + i))
			return false;
	return true;
}

/* Waits for signals, and answers each. */
static void *serve(void *arg)
{
	int me = (int)(long)arg, signo;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	fill(me);
	__sync_fetch_and_add(answers, 1);
	while (!sigwait(&set, &signo)) {
		if (!is_filled(me))
			exit(1);
		__sync_fetch_and_add(answers, 1);
	}
	return NULL;
}

static void wait_for_answers(int nr)
{
	while (*answers < nr)
		usleep(1000);
	*answers = 0;
}

static void tell(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY, 0600);

	if (fd < 0 || close(fd))
		exit(1);
}

union member {
	pid_t pid;
	pthread_t thread;
};

static void make_process(int me, union member *member)
{
	member->pid = fork();
	if (!member->pid) {
		serve((void *)(long)me);
		exit(1);
	}
	if (member->pid < 0)
		exit(1);
}

static void make_thread(int me, union member *member)
{
	pthread_attr_t attr;

	if (pthread_attr_init(&attr) || pthread_attr_setstacksize(&attr, 4 * OWN) ||
	    pthread_create(&member->thread, &attr, serve, (void *)(long)me))
		exit(1);
}

int main(int argc, char **argv)
{
	bool threads = argc == 4 && !strcmp(argv[1], "threads");
	int nr = argc == 4 ? atoi(argv[2]) : 0, i, signo;
	union member *members = calloc(nr + 1, sizeof(*members));
	sigset_t set;

	answers = mmap(NULL, sizeof(*answers), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (nr <= 0 || !members || answers == MAP_FAILED)
		return 2;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sigdelset(&set, SIGUSR2);
	for (i = 0; i < nr; i++)
		(threads ? make_thread : make_process)(i + 1, &members[i]);
	do {
		wait_for_answers(nr);
		tell(argv[3]);
		if (sigwait(&set, &signo))
			return 1;
		for (i = 0; i < nr; i++)
			if (threads ? pthread_kill(members[i].thread, SIGUSR2) : kill(members[i].pid, SIGUSR2))
				return 1;
	} while (true);
}
