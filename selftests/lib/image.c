// SPDX-License-Identifier: GPL-2.0
/* See image.h. */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "harness.h"
#include "image.h"

/* Records, each followed by its fields. */
static const struct {
	const char *name;
	uint16_t family, kind;	/* 0: a field */
	size_t size;
	const char *tail;
} format_rows[] = {
#define KCKPT_RECORD(name, family, kind, tail, meaning) { #name, KCKPT_F_##family, kind, 0, #tail },
#define KCKPT_FIELD(type, name, since, show, meaning) { #name, 0, 0, sizeof(__##type), NULL },
#define KCKPT_BYTES(name, len, since, show, meaning) { #name, 0, 0, len, NULL },
#include <kckpt/image/records.def>
};

bool image_field(uint16_t family, uint16_t kind, unsigned int nth, struct image_field *field)
{
	const size_t nr = sizeof(format_rows) / sizeof(format_rows[0]);
	size_t i = 0;

	while (i < nr && (format_rows[i].family != family || format_rows[i].kind != kind))
		i++;
	if (i == nr)
		return false;
	*field = (struct image_field){ .record = format_rows[i].name, .tail = format_rows[i].tail };
	for (i++; i < nr && !format_rows[i].kind; i++) {
		field->name = format_rows[i].name;
		field->size = format_rows[i].size;
		if (!nth--)
			return true;
		field->offset += field->size;
	}
	return false;
}

void image_walk_begin(struct image_walk *walk, const struct image *image)
{
	*walk = (struct image_walk){ .image = image, .next = ((struct kckpt_header *)image->data)->header_size };
}

bool image_walk_next(struct image_walk *walk)
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
	struct image_walk walk;

	image_walk_begin(&walk, image);
	while (image_walk_next(&walk))
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

/* What only looks like the digests of all that is before it stays as it is: false. */
static bool seal_chunks(const struct image *image, const struct kckpt_record *head, size_t end)
{
	const struct kckpt_digests_rec *rec = (const void *)(head + 1);
	uint64_t *digests = (void *)(rec + 1), nr = (end + KCKPT_CHUNK_SIZE - 1) / KCKPT_CHUNK_SIZE;
	size_t at;

	if (head->size != sizeof(*rec) + nr * sizeof(*digests) || rec->nr_chunks != nr)
		return false;
	for (at = 0; at < end; at += KCKPT_CHUNK_SIZE)
		*digests++ = XXH64(image->data + at, end - at < KCKPT_CHUNK_SIZE ? end - at : KCKPT_CHUNK_SIZE, 0);
	return true;
}

static void seal_trailer(struct kckpt_record *head, uint64_t root)
{
	struct kckpt_trailer_rec *rec = (void *)(head + 1);

	rec->root = root;
	rec->self = XXH64(head, (uint8_t *)&rec->self - (uint8_t *)head, 0);
}

bool image_try_seal(const struct image *image)
{
	XXH64_state_t *root = XXH64_createState();
	struct image_walk walk;
	bool ok = true;

	XXH64_reset(root, 0);
	image_walk_begin(&walk, image);
	XXH64_update(root, image->data, walk.next);
	while (image_walk_next(&walk)) {
		if (walk.head->family == KCKPT_F_stream && walk.head->kind == KCKPT_K_end)
			((struct kckpt_end_rec *)(walk.head + 1))->digest = XXH64_digest(root);
		if (walk.head->family == KCKPT_F_stream && walk.head->kind == KCKPT_K_digests)
			ok &= seal_chunks(image, walk.head, walk.at);
		if (walk.head->family == KCKPT_F_stream && walk.head->kind == KCKPT_K_trailer)
			seal_trailer(walk.head, XXH64_digest(root));
		XXH64_update(root, image->data + walk.at, walk.data - walk.at);
	}
	XXH64_freeState(root);
	return ok;
}

void image_seal(const struct image *image)
{
	ASSERT_TRUE(image_try_seal(image));
}

/* ---- what must not be in them ---- */

/* Where memory, its page structs, vmalloc, the kernel and its modules lie, wherever KASLR has put them. */
static bool is_kernel_address(uint64_t value)
{
	return value >= 0xffff800000000000 && value < 0xffffffffff000000;
}

/* What debug kernels fill memory with that is free, allocated, in a red zone, or was a list's. */
static bool is_poison(uint64_t value)
{
	static const uint8_t bytes[] = { 0x6b, 0x5a, 0xa5, 0xbb, 0xcc, 0xaa };
	unsigned int i;

	for (i = 0; i < sizeof(bytes); i++)
		if (value == 0x0101010101010101 * bytes[i])
			return true;
	return (value & ~0xfffull) == 0xdead000000000000;
}

/* Complains about each eight bytes that should not be there. */
static void scan_bytes(const struct kckpt_record *head, const char *what, const void *bytes, size_t len)
{
	uint64_t value;
	size_t at;

	for (at = 0; at + 8 <= len; at += 8) {
		memcpy(&value, (const uint8_t *)bytes + at, 8);
		if (is_kernel_address(value) || is_poison(value))
			test_failed(__FILE__, __LINE__, "record %u.%u of object %llu has %#llx in %s, byte %zu", head->family,
				    head->kind, (unsigned long long)head->object, (unsigned long long)value, what, at);
	}
}

/* Digests may be anything, and so may what a program has in its registers: an address with another sign, say. */
static bool may_be_anything(const struct kckpt_record *head)
{
	return head->family == KCKPT_F_cpu ||
	       (head->family == KCKPT_F_stream && head->kind != KCKPT_K_pages && head->kind != KCKPT_K_shares);
}

void image_scan(const struct image *image)
{
	struct image_field field;
	struct image_walk walk;
	uint8_t *payload;
	unsigned int i;

	image_walk_begin(&walk, image);
	while (image_walk_next(&walk)) {
		payload = (uint8_t *)(walk.head + 1);
		for (i = 0; !may_be_anything(walk.head) && image_field(walk.head->family, walk.head->kind, i, &field); i++)
			if (!strstr(field.name, "blocked"))	/* a mask of signals */
				scan_bytes(walk.head, field.name, payload + field.offset, field.size);
		/* BYTES are the program's own: what is in its pipes, for example. */
		if (i && field.offset < walk.head->size && strcmp(field.tail, "BYTES"))
			scan_bytes(walk.head, "what follows the fields", payload + field.offset, walk.head->size - field.offset);
	}
}
