/* SPDX-License-Identifier: GPL-2.0 */
/* Jobs that notice when a page of theirs is of another time than the others: they then end. */
#ifndef TURNS_H
#define TURNS_H

#include <stdbool.h>

/* Pages of all kinds (private, shared, over a file, huge), all of them written in each turn; counted in job_notes(). */
int writes_in_turns(void);

/* The same in a child, which has everything from its parent; what is private there must stay as it was. */
int child_writes_in_turns(void);

/*
 * Pages that are written, given back, moved, freed, paged out and made huge here and there, a few in each step. All of
 * them are looked at again and again.
 */
int writes_here_and_there(void);

/* Not freed lazily (MADV_FREE), which the kernel may do between two looks of others at the same frozen job. */
extern bool turns_without_free;

/* Note 2 is then the address of 2 MiB, aligned, that may be a huge page. */

/* Not by itself: as many changes as note 1 asks for, which counts down. */
extern bool turns_on_request;

/* The same in two processes that began with the same pages. */
int both_write_here_and_there(void);

#endif
