/* SPDX-License-Identifier: GPL-2.0 */
/* Guard pages: marks in page tables, by MADV_GUARD_INSTALL. */
#ifndef KCKPT_GUARD_H
#define KCKPT_GUARD_H

#include "family.h"

/* kckpt_guards_dump() - records of those in @vma, of the address space @obj; under its mmap_lock. */
int kckpt_guards_dump(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct vm_area_struct *vma);

/* kckpt_guards_check() - is what the records say sane, and can this kernel do it? */
int kckpt_guards_check(struct kckpt_ctx *ctx, struct kckpt_object *obj);

/* kckpt_guards_install() - in the memory of the running task, after all of its pages have come. */
int kckpt_guards_install(struct kckpt_ctx *ctx, struct kckpt_object *obj);

#endif
