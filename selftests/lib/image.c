// SPDX-License-Identifier: GPL-2.0
/* See image.h. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "harness.h"
#include "image.h"

/* Where one is in an image. */
struct walk {
	const struct image *image;
	struct kckpt_record *head;
	size_t at, next;	/* of the header, and of that of the record behind */
	size_t data, data_len;	/* pages that follow a batch */
};

static void walk_begin(struct walk *walk, const struct image *image)
{
	*walk = (struct walk){ .image = image, .next = ((struct kckpt_header *)image->data)->header_size };
}

static bool walk_next(struct walk *walk)
{
	const struct kckpt_pages_rec *pages;

	walk->at = walk->next;
	if (walk->at + sizeof(*walk->head) > walk->image->len)
		return false;
	walk->head = (void *)(walk->image->data + walk->at);
	walk->next = walk->at + sizeof(*walk->head) + ((walk->head->size + 7ull) & ~7ull);
	walk->data = walk->next;
	walk->data_len = 0;
	if (walk->head->family == KCKPT_F_stream && walk->head->kind == KCKPT_K_pages) {
		pages = (void *)(walk->head + 1);
		if (pages->nr_data)
			walk->data = (walk->next + KCKPT_PAGE_SIZE - 1) & ~(KCKPT_PAGE_SIZE - 1ull);
		walk->data_len = (size_t)pages->nr_data * KCKPT_PAGE_SIZE;
		walk->next = walk->data + walk->data_len;
	}
	return walk->next <= walk->image->len;
}

void *image_find(const struct image *image, uint16_t family, uint16_t kind, unsigned int nth)
{
	struct walk walk;

	walk_begin(&walk, image);
	while (walk_next(&walk))
		if (walk.head->family == family && walk.head->kind == kind && !nth--)
			return walk.head + 1;
	return NULL;
}

struct image image_copy(const struct image *image)
{
	struct image copy = { malloc(image->len), image->len };

	ASSERT_TRUE(copy.data);
	memcpy(copy.data, image->data, image->len);
	return copy;
}

static void seal_chunks(const struct image *image, struct kckpt_digests_rec *rec, size_t end)
{
	uint64_t *digests = (void *)(rec + 1);
	size_t at;

	ASSERT_EQ((end + KCKPT_CHUNK_SIZE - 1) / KCKPT_CHUNK_SIZE, rec->nr_chunks);
	for (at = 0; at < end; at += KCKPT_CHUNK_SIZE)
		*digests++ = XXH64(image->data + at, end - at < KCKPT_CHUNK_SIZE ? end - at : KCKPT_CHUNK_SIZE, 0);
}

static void seal_trailer(struct kckpt_record *head, uint64_t root)
{
	struct kckpt_trailer_rec *rec = (void *)(head + 1);

	rec->root = root;
	rec->self = XXH64(head, (uint8_t *)&rec->self - (uint8_t *)head, 0);
}

void image_seal(const struct image *image)
{
	XXH64_state_t *root = XXH64_createState();
	struct walk walk;

	XXH64_reset(root, 0);
	walk_begin(&walk, image);
	XXH64_update(root, image->data, walk.next);
	while (walk_next(&walk)) {
		if (walk.head->family == KCKPT_F_stream && walk.head->kind == KCKPT_K_end)
			((struct kckpt_end_rec *)(walk.head + 1))->digest = XXH64_digest(root);
		if (walk.head->family == KCKPT_F_stream && walk.head->kind == KCKPT_K_digests)
			seal_chunks(image, (void *)(walk.head + 1), walk.at);
		if (walk.head->family == KCKPT_F_stream && walk.head->kind == KCKPT_K_trailer)
			seal_trailer(walk.head, XXH64_digest(root));
		XXH64_update(root, image->data + walk.at, walk.data - walk.at);
	}
	XXH64_freeState(root);
}
