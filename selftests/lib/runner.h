/* SPDX-License-Identifier: GPL-2.0 */
/* A job that does nothing but count, in a page that the test sees: does it run, or is it gone? */
#ifndef RUNNER_H
#define RUNNER_H

#include "device.h"
#include "job.h"

/* Deleted files, too, before it is started. Such a job is dumped by the functions of device.h only. */
extern bool runner_with_ghosts;

/* A child, a grandchild and a zombie, too. */
extern bool runner_with_children;

/* Threads, in calls of several kinds, with signals pending. */
extern bool runner_with_threads;

/* So many bytes of memory, all different. */
extern size_t runner_with_memory;

void runner_start(struct job *job);
bool runner_runs(struct job *job);	/* its count goes on */
bool runner_is_gone(struct job *job);	/* no task, no zombie, no frozen cgroup; waits for that, reaps all orphans */

/* Without the tool; end the test when they fail. */
void runner_dump(struct job *job, struct image *image);
void runner_restore(struct job *job, const struct image *image);

#endif
