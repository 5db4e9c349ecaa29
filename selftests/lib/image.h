/* SPDX-License-Identifier: GPL-2.0 */
/* Images that were changed on purpose: their records found, their digests made right again. */
#ifndef IMAGE_H
#define IMAGE_H

#include <kckpt/image.h>

#include "device.h"

/*
 * image_find() - the payload of the @nth record of a family and kind, from 0 on; NULL if there are fewer. It lies in the
 * image and can be changed there. image_head() is the header before it.
 */
void *image_find(const struct image *image, uint16_t family, uint16_t kind, unsigned int nth);

static inline struct kckpt_record *image_head(void *payload)
{
	return (struct kckpt_record *)payload - 1;
}

/* image_seal() - all digests again as the module would have written them. The sizes of records must fit. */
void image_seal(const struct image *image);

/* image_copy() - to be changed, while the other one stays; never freed. */
struct image image_copy(const struct image *image);

#endif
