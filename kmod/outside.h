/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What belongs to the outside: open files that an image only names, so that the restorer brings others in their place.
 * A dump finds them by their descriptor (struct kckpt_inherit) or by what they are (struct kckpt_external).
 */
#ifndef KCKPT_OUTSIDE_H
#define KCKPT_OUTSIDE_H

#include <linux/types.h>
#include <kckpt/image.h>
#include <kckpt/uapi.h>

struct file;
struct kckpt_ctx;
struct kckpt_object;

struct kckpt_outside {
	struct kckpt_external *external;
	bool *used;		/* by each: has it matched? */
	u32 nr_external;
	bool tty_known;
	dev_t tty;		/* the job's controlling terminal; 0: it has none */
};

/* kckpt_outside_copy() - dump: the array of externals, from user space. */
int kckpt_outside_copy(struct kckpt_ctx *ctx, u64 user, u32 nr);
void kckpt_outside_drop(struct kckpt_ctx *ctx);

/*
 * kckpt_outside_claims() - dump: does the open file @obj belong to the outside? 1, 0, or a negative errno that was
 * reported. From then on kckpt_outside_has() knows, and it has a name.
 */
int kckpt_outside_claims(struct kckpt_ctx *ctx, struct kckpt_object *obj);
bool kckpt_outside_has(struct kckpt_ctx *ctx, const struct file *file);
void kckpt_outside_name(const struct kckpt_ctx *ctx, const struct kckpt_object *obj, char *name, size_t size);

/* kckpt_outside_check_used() - dump: reports the externals that nothing has matched. */
void kckpt_outside_check_used(struct kckpt_ctx *ctx);

/* kckpt_outside_check() - restore: can what was handed over stand for @rec? */
int kckpt_outside_check(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_file_rec *rec);

/* kckpt_outside_open() - restore: a reference to what stands for @rec, or an ERR_PTR() that was reported. */
struct file *kckpt_outside_open(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_file_rec *rec);

#endif
