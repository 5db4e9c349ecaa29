/* SPDX-License-Identifier: GPL-2.0 */
/* Who outside the job has a file open? Asked only when counts do not add up, since it looks at every process. */
#ifndef KCKPT_HOLDERS_H
#define KCKPT_HOLDERS_H

struct address_space;
struct file;
struct kckpt_ctx;
struct kckpt_where;

/* kckpt_find_holder() - a process that is not in the job and has an open file that @match likes. */
bool kckpt_find_holder(struct kckpt_ctx *ctx, bool (*match)(struct file *file, const void *data), const void *data,
		       struct kckpt_where *where);

/* kckpt_find_mapper() - the same, of address spaces that map the pages of @mapping. */
bool kckpt_find_mapper(struct kckpt_ctx *ctx, struct address_space *mapping, struct kckpt_where *where);

#endif
