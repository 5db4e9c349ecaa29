/* SPDX-License-Identifier: GPL-2.0 */
/* Images that were changed on purpose: their records found, their digests made right again. */
#ifndef IMAGE_H
#define IMAGE_H

#include <stdbool.h>

#include <kckpt/image.h>

#include "device.h"

/* Where one is in an image. */
struct image_walk {
	const struct image *image;
	struct kckpt_record *head;
	size_t at, next;	/* of the header, and of that of the record behind */
	size_t data, data_len;	/* pages that follow a batch */
};

/* image_walk_next() - goes to the next record, from the first on; false: there is none. */
void image_walk_begin(struct image_walk *walk, const struct image *image);
bool image_walk_next(struct image_walk *walk);

/*
 * image_find() - the payload of the @nth record of a family and kind, from 0 on; NULL if there are fewer. It lies in the
 * image and can be changed there. image_head() is the header before it.
 */
void *image_find(const struct image *image, uint16_t family, uint16_t kind, unsigned int nth);

static inline struct kckpt_record *image_head(void *payload)
{
	return (struct kckpt_record *)payload - 1;
}

/*
 * image_seal() - all digests again as the module would have written them. The sizes of records must fit.
 * image_try_seal() - false: some record only looks like that of the digests, and was left as it is.
 */
void image_seal(const struct image *image);
bool image_try_seal(const struct image *image);

/* image_copy() - to be changed, while the other one stays; never freed. */
struct image image_copy(const struct image *image);

/* A field of a record, as the table of the format has them. */
struct image_field {
	const char *record, *name, *tail;
	size_t offset, size;	/* in the payload */
};

/*
 * image_field() - the @nth field of a kind of records, from 0 on. False if there are fewer: offset then is where they
 * end and the tail begins.
 */
bool image_field(uint16_t family, uint16_t kind, unsigned int nth, struct image_field *field);

/*
 * image_scan() - fails the test if a record holds what looks like an address of the kernel, or like memory that was never
 * set or already freed. All images that the tests read are scanned.
 */
void image_scan(const struct image *image);

#endif
