/* SPDX-License-Identifier: GPL-2.0-only */
/* Everything is hidden but what is marked here and named in libkckpt.map. */
#ifndef KCKPT_EXPORT_H
#define KCKPT_EXPORT_H

#include <kckpt/kckpt.h>

#define EXPORT __attribute__((visibility("default")))

#endif
