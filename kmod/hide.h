/* SPDX-License-Identifier: GPL-2.0 */
#ifndef KCKPT_HIDE_H
#define KCKPT_HIDE_H

struct kckpt_hidden;

/*
 * kckpt_hide_memory() - who is cloned from the current task until kckpt_show_memory() is born without its memory. A
 * restored task wants nothing of it, and however much that is, its page tables need not be copied. Only where nobody
 * else has that memory: they might fork, too. NULL: nothing is hidden, and the child is to unmap what it has.
 */
struct kckpt_hidden *kckpt_hide_memory(void);
void kckpt_show_memory(struct kckpt_hidden *hidden);

#endif
