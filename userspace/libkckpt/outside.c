// SPDX-License-Identifier: GPL-2.0-only
/*
 * The grammar for what belongs to the outside:
 *
 *	NAME=N, N			a descriptor; its name is N in decimal
 *	KIND:ID=NAME, KIND:ID, tty=NAME, tty	what it is; its name is "KIND:ID"
 *
 * A name has no '=' in it: it is what follows the last one, so that a PATH with one in it needs a NAME.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "export.h"

/* Only digits, and all of them. */
static int parse_number(const char *text, size_t len, unsigned long long max, unsigned long long *number)
{
	unsigned long long value = 0;
	size_t i;

	for (i = 0; i < len; i++) {
		if (!isdigit((unsigned char)text[i]) || value > (max - (unsigned int)(text[i] - '0')) / 10)
			return -EINVAL;
		value = 10 * value + (unsigned int)(text[i] - '0');
	}
	*number = value;
	return len ? 0 : -EINVAL;
}

/* Into a field of the same size in both structs. */
static int set_name(char *name, const char *text, size_t len)
{
	if (!len)
		return -EINVAL;
	if (len >= sizeof(((struct kckpt_inherit *)0)->name))
		return -ENAMETOOLONG;
	memcpy(name, text, len);
	return 0;
}

EXPORT int kckpt_inherit_parse(const char *text, struct kckpt_inherit *inherit)
{
	unsigned long long fd;
	const char *number;
	char digits[16];

	if (!text || !inherit)
		return -EINVAL;
	memset(inherit, 0, sizeof(*inherit));
	number = strrchr(text, '=');
	if (parse_number(number ? number + 1 : text, strlen(number ? number + 1 : text), INT_MAX, &fd))
		return -EINVAL;
	inherit->fd = (int)fd;
	if (!number)
		return set_name(inherit->name, digits, (size_t)snprintf(digits, sizeof(digits), "%d", inherit->fd));
	if (strchr(text, '=') != number)
		return -EINVAL;
	return set_name(inherit->name, text, (size_t)(number - text));
}

/* ---- externals ---- */

/* KIND:ID apart; @id is NULL for a kind that has none. */
struct external {
	uint32_t kind;
	const char *id;
	size_t id_len;
	unsigned long long ino;
};

static const struct { const char *prefix; uint32_t kind; } kinds[] = {
	{ "pipe:", KCKPT_EXTERNAL_PIPE },
	{ "socket:", KCKPT_EXTERNAL_SOCKET },
	{ "file:", KCKPT_EXTERNAL_FILE },
	{ "dev:", KCKPT_EXTERNAL_DEV },
	{ NULL, 0 }
};

/* "123", and "[123]" as /proc/PID/fd has it. */
static int parse_inode(struct external *ext)
{
	if (ext->id_len > 2 && ext->id[0] == '[' && ext->id[ext->id_len - 1] == ']') {
		ext->id++;
		ext->id_len -= 2;
	}
	return parse_number(ext->id, ext->id_len, ULLONG_MAX, &ext->ino);
}

static int parse_kind(const char *text, size_t len, struct external *ext)
{
	size_t i, prefix;

	memset(ext, 0, sizeof(*ext));
	if (len == 3 && !memcmp(text, "tty", 3)) {
		ext->kind = KCKPT_EXTERNAL_TTY;
		return 0;
	}
	for (i = 0; kinds[i].prefix; i++) {
		prefix = strlen(kinds[i].prefix);
		if (len <= prefix || memcmp(text, kinds[i].prefix, prefix) != 0)
			continue;
		ext->kind = kinds[i].kind;
		ext->id = text + prefix;
		ext->id_len = len - prefix;
		if (ext->kind == KCKPT_EXTERNAL_PIPE || ext->kind == KCKPT_EXTERNAL_SOCKET)
			return parse_inode(ext);
		return 0;
	}
	return -EINVAL;
}

/* Without NAME: KIND:ID, however the ID was written. */
static int set_default_name(char *name, const char *text, size_t len, const struct external *ext)
{
	char number[48];

	if (!ext->id || ext->kind == KCKPT_EXTERNAL_FILE || ext->kind == KCKPT_EXTERNAL_DEV)
		return set_name(name, text, len);
	len = (size_t)snprintf(number, sizeof(number), "%s:%llu",
			       ext->kind == KCKPT_EXTERNAL_PIPE ? "pipe" : "socket", ext->ino);
	return set_name(name, number, len);
}

static int parse_external(const char *text, struct external *ext, char *name)
{
	const char *equals = strrchr(text, '=');
	size_t len = equals ? (size_t)(equals - text) : strlen(text);
	int err = parse_kind(text, len, ext);

	if (err)
		return err;
	return equals ? set_name(name, equals + 1, strlen(equals + 1)) : set_default_name(name, text, len, ext);
}

static int copy_path(const struct external *ext, char *path)
{
	if (ext->id_len >= PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(path, ext->id, ext->id_len);
	path[ext->id_len] = 0;
	return 0;
}

static int fill_ids(const struct external *ext, struct kckpt_external *external)
{
	struct stat stat_buf;
	char path[PATH_MAX];
	int err;

	external->ino = ext->ino;
	if (ext->kind != KCKPT_EXTERNAL_FILE && ext->kind != KCKPT_EXTERNAL_DEV)
		return 0;
	err = copy_path(ext, path);
	if (err)
		return err;
	if (stat(path, &stat_buf))
		return -errno;
	if (ext->kind == KCKPT_EXTERNAL_FILE) {
		external->dev = stat_buf.st_dev;
		external->ino = stat_buf.st_ino;
		return 0;
	}
	external->dev = stat_buf.st_rdev;
	return S_ISCHR(stat_buf.st_mode) ? 0 : -ENODEV;
}

EXPORT int kckpt_external_parse(const char *text, struct kckpt_external *external)
{
	struct external ext;
	int err;

	if (!text || !external)
		return -EINVAL;
	memset(external, 0, sizeof(*external));
	err = parse_external(text, &ext, external->name);
	if (err)
		return err;
	external->kind = ext.kind;
	return fill_ids(&ext, external);
}

/* ---- replacements ---- */

static int open_path(const char *path)
{
	int fd = open(path, O_PATH | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int is_device(const char *path, dev_t dev)
{
	struct stat stat_buf;

	return !stat(path, &stat_buf) && S_ISCHR(stat_buf.st_mode) && stat_buf.st_rdev == dev;
}

/* "DEVNAME=tty1" of sysfs. */
static int device_name(dev_t dev, char *path, size_t size)
{
	char line[256], uevent[64];
	int found = 0;
	FILE *file;

	snprintf(uevent, sizeof(uevent), "/sys/dev/char/%u:%u/uevent", major(dev), minor(dev));
	file = fopen(uevent, "re");
	if (!file)
		return 0;
	while (!found && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = 0;
		if (strncmp(line, "DEVNAME=", 8) == 0)
			found = snprintf(path, size, "/dev/%s", line + 8) < (int)size;
	}
	fclose(file);
	return found;
}

/* /dev/tty would be that of whoever opens it, and a restored task has none. */
static int open_terminal(void)
{
	int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC), err;
	unsigned int number;
	char path[300];
	dev_t dev;

	if (fd < 0)
		return -errno;
	err = ioctl(fd, TIOCGDEV, &number) ? -errno : 0;
	close(fd);
	if (err)
		return err;
	dev = makedev((number >> 8) & 0xfff, (number & 0xff) | ((number >> 12) & 0xfff00));
	snprintf(path, sizeof(path), "/dev/pts/%u", minor(dev));
	if (is_device(path, dev) || (device_name(dev, path, sizeof(path)) && is_device(path, dev)))
		return open_path(path);
	return -ENOTTY;
}

static int open_replacement(const struct external *ext)
{
	char path[PATH_MAX];
	struct stat stat_buf;
	int err, fd;

	if (ext->kind == KCKPT_EXTERNAL_TTY)
		return open_terminal();
	if (ext->kind != KCKPT_EXTERNAL_FILE && ext->kind != KCKPT_EXTERNAL_DEV)
		return -EOPNOTSUPP;
	err = copy_path(ext, path);
	if (err)
		return err;
	fd = open_path(path);
	if (fd < 0 || ext->kind == KCKPT_EXTERNAL_FILE)
		return fd;
	if (!fstat(fd, &stat_buf) && S_ISCHR(stat_buf.st_mode))
		return fd;
	close(fd);
	return -ENODEV;
}

EXPORT int kckpt_external_open(const char *text, struct kckpt_inherit *inherit)
{
	struct external ext;
	int fd;

	if (!text || !inherit)
		return -EINVAL;
	memset(inherit, 0, sizeof(*inherit));
	inherit->fd = -1;
	fd = parse_external(text, &ext, inherit->name);
	if (!fd)
		fd = open_replacement(&ext);
	if (fd < 0)
		return fd;
	inherit->fd = fd;
	return 0;
}
