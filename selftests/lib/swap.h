/* SPDX-License-Identifier: GPL-2.0 */
/* Swap, in a file at /disk. */
#ifndef SWAP_H
#define SWAP_H

#include <stddef.h>

/* swap_on() - skips the test where there is no file system for it; @pages of 4 KiB. swap_off() reads all back. */
void swap_on(unsigned int pages);
void swap_off(void);

/* swap_events() - a counter of /proc/vmstat: pswpin, pswpout, pgmigrate_success ... */
long swap_events(const char *name);

#endif
