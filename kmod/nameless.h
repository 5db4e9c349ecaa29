/* SPDX-License-Identifier: GPL-2.0 */
/* Makes files of all kinds that have no name, as if one had been deleted. */
#ifndef KCKPT_NAMELESS_H
#define KCKPT_NAMELESS_H

#include <linux/fs.h>
#include <linux/path.h>

/*
 * kckpt_nameless_file() - an empty regular file in @dir, opened for reading and writing, that seems to have been
 * deleted there under @name. @linkable: it has no name yet, but may be given one (O_TMPFILE). Others are to open it by
 * *@path, which has references.
 */
struct file *kckpt_nameless_file(const struct path *dir, const char *name, bool linkable, struct path *path);

/* kckpt_nameless_node() - the same of an empty directory, a fifo, or a symbolic link that leads to @target. */
int kckpt_nameless_node(const struct path *dir, const char *name, umode_t type, const char *target, struct path *path);

/* kckpt_nameless_link() - *@path is what is at @other, as if @name had been another name of it and was deleted. */
int kckpt_nameless_link(const struct path *dir, const char *name, const struct path *other, struct path *path);

/* kckpt_path_change() - chown(), chmod(), utimes(). */
int kckpt_path_change(const struct path *path, struct iattr *attr);

#endif
