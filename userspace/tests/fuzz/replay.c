// SPDX-License-Identifier: GPL-2.0
/*
 * replay FILE... - the module's reader takes each image; those named *.kimg it has to accept, the others it has to survive
 * replay --cut N FILE - leave out the batches of more than N pages, so that an image is small enough to be kept
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "seal.h"

int fuzz_load(const uint8_t *image, size_t len);

static void fail(const char *name)
{
	perror(name);
	exit(2);
}

static uint8_t *read_file(const char *name, size_t *len)
{
	FILE *file = fopen(name, "rb");
	uint8_t *bytes = NULL;
	long size;

	if (file && !fseek(file, 0, SEEK_END) && (size = ftell(file)) >= 0) {
		rewind(file);
		*len = (size_t)size;
		bytes = malloc(*len + 1);
		if (bytes && fread(bytes, 1, *len, file) != *len)
			fail(name);
	}
	if (!bytes)
		fail(name);
	fclose(file);
	return bytes;
}

static bool is_whole(const char *name)
{
	const char *end = strrchr(name, '.');

	return end && !strcmp(end, ".kimg");
}

static int cut(const char *nr, const char *name)
{
	size_t len;
	uint8_t *image = read_file(name, &len);
	FILE *file = fopen(name, "wb");

	len = fuzz_cut(image, len, strtoul(nr, NULL, 0));
	if (!file || fwrite(image, 1, len, file) != len || fclose(file))
		fail(name);
	free(image);
	return 0;
}

int main(int argc, char **argv)
{
	int i, accepted = 0, failed = 0, err;
	uint8_t *image;
	size_t len;

	if (argc == 4 && !strcmp(argv[1], "--cut"))
		return cut(argv[2], argv[3]);
	for (i = 1; i < argc; i++) {
		image = read_file(argv[i], &len);
		err = fuzz_load(image, len);
		accepted += !err;
		if (err && is_whole(argv[i])) {
			printf("%s: not accepted\n", argv[i]);
			failed++;
		}
		free(image);
	}
	printf("%d images, %d of them whole\n", argc - 1, accepted);
	return failed || !accepted;
}
