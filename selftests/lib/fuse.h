/* SPDX-License-Identifier: GPL-2.0 */
/* A file system of one file, "file", whose server can fall silent. */
#ifndef FUSE_H
#define FUSE_H

#include <stdbool.h>

/*
 * fuse_mount() - mounts it on a new folder, served by a child; skips the test where there is no FUSE. Returns the folder.
 * fuse_silence() - from now on nobody answers. fuse_abort() - all of them fail.
 */
const char *fuse_mount(void);
void fuse_silence(void);
void fuse_abort(void);

#endif
