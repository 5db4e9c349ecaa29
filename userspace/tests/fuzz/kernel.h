/* SPDX-License-Identifier: GPL-2.0 */
#ifndef FUZZ_KERNEL_H
#define FUZZ_KERNEL_H

#include <linux/types.h>

struct page;

void kernel_begin(void);

/* kernel_pin() - @nr pages, at most 64, to be filled. */
int kernel_pin(u32 nr, struct page **pages);

#endif
