/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCKPT_HIDE_H
#define KCKPT_HIDE_H

#include <linux/types.h>

/*
 * kckpt_hide_memory() - who is cloned from the current task until kckpt_show_memory() is born without its memory. A
 * restored task wants nothing of it, and however much that is, its page tables need not be copied. False: it is not
 * hidden, and the child is to unmap what it has. So where somebody else has that memory, who might fork, too; and where
 * there are areas that children do not get in any case, since others could join them to their neighbours meanwhile
 * (userfaultfd).
 */
bool kckpt_hide_memory(void);
void kckpt_show_memory(void);

#endif
