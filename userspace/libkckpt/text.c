// SPDX-License-Identifier: GPL-2.0-only
/* The words for codes and families, from the same lists as the module's. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "export.h"

struct error_words {
	const char *name, *text, *remedy;
	int err;
};

static const struct error_words words[KCKPT_E_END] = {
#define KCKPT_ERROR(name, err, text, remedy) [KCKPT_E_##name] = { #name, text, remedy, err },
#include <kckpt/errors.def>
#undef KCKPT_ERROR
};

static const struct error_words unknown = {
	"UNKNOWN",
	"the module reports an error that this library has no words for",
	"use the library that was built with the loaded module",
	EIO,
};

static const struct error_words *words_of(uint32_t code)
{
	return code < KCKPT_E_END && words[code].name ? &words[code] : &unknown;
}

EXPORT const char *kckpt_error_name(uint32_t code)
{
	return words_of(code)->name;
}

EXPORT const char *kckpt_error_text(uint32_t code)
{
	return words_of(code)->text;
}

EXPORT const char *kckpt_error_remedy(uint32_t code)
{
	return words_of(code)->remedy;
}

EXPORT int kckpt_error_errno(uint32_t code)
{
	return words_of(code)->err;
}

/* A string that is being written, as far as there is room for it. */
struct line {
	char *buffer;
	size_t size, len;
};

static void line_put(struct line *line, char c)
{
	if (line->len + 1 < line->size)
		line->buffer[line->len] = c;
	line->len++;
}

/* At most @max bytes, up to a NUL. The job chose some of these names: a terminal must not obey them. */
static void line_add(struct line *line, const char *text, size_t max)
{
	size_t i;

	for (i = 0; i < max && text[i]; i++)
		line_put(line, (unsigned char)text[i] < ' ' || text[i] == 0x7f ? '?' : text[i]);
}

static void line_add_text(struct line *line, const char *text)
{
	line_add(line, text, strlen(text));
}

static void line_add_number(struct line *line, const char *before, long number)
{
	char text[32];

	snprintf(text, sizeof(text), "%s%ld", before, number);
	line_add_text(line, text);
}

/* "pid 4121 (nginx), fd 7: /var/tmp/part: ", as far as it is known. */
static void line_add_where(struct line *line, const struct kckpt_error *error)
{
	if (error->pid > 0)
		line_add_number(line, "pid ", error->pid);
	if (error->comm[0]) {
		line_add_text(line, line->len ? " (" : "(");
		line_add(line, error->comm, sizeof(error->comm));
		line_add_text(line, ")");
	}
	if (error->fd >= 0)
		line_add_number(line, line->len ? ", fd " : "fd ", error->fd);
	if (line->len)
		line_add_text(line, ": ");
	if (error->detail[0]) {
		line_add(line, error->detail, sizeof(error->detail));
		line_add_text(line, ": ");
	}
}

EXPORT int kckpt_error_format(const struct kckpt_error *error, char *buffer, size_t size)
{
	struct line line = { .buffer = buffer, .size = size };

	if (!error || (size && !buffer))
		return -EINVAL;
	line_add_where(&line, error);
	line_add_text(&line, kckpt_error_text(error->code));
	line_add_text(&line, " (");
	line_add_text(&line, kckpt_error_name(error->code));
	line_add_text(&line, ")");
	if (size)
		buffer[line.len < size ? line.len : size - 1] = 0;
	return (int)line.len;
}

EXPORT const char *kckpt_family_name(uint32_t family)
{
	switch (family) {
#define KCKPT_FAMILY(name, id, title)	\
	case id:			\
		return #name;
#include <kckpt/families.def>
#undef KCKPT_FAMILY
	default:
		return "";
	}
}
