/* SPDX-License-Identifier: GPL-2.0 */
/* Does the running kernel have the structs and functions that these sources know? */
#ifndef KCKPT_DRIFT_H
#define KCKPT_DRIFT_H

#include <linux/types.h>

/*
 * kckpt_drift_check() - compares, once the symbols are resolved; what differs disables its family, and is told in the
 * log. @tolerate: an unknown member is only told. Returns 1 if there was one that was tolerated, or if the kernel
 * cannot be compared, or 0, or a negative errno.
 */
int kckpt_drift_check(bool tolerate);

/*
 * kckpt_drift_test() - is @what to be taken for something unknown, by the parameter drift_test? For tests; "version"
 * is that of the kernel. Only when the module is loaded.
 */
#ifdef KCKPT_FAULTS
bool kckpt_drift_test(const char *what);
#else
static inline bool kckpt_drift_test(const char *what) { return false; }
#endif

/* kckpt_drift() - what this kernel has that @family does not know, or NULL. */
const char *kckpt_drift(u32 family);

#endif
