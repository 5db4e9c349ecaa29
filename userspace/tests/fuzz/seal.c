// SPDX-License-Identifier: GPL-2.0
/* See seal.h. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include <kckpt/image.h>
#include <kckpt/uapi.h>

#include "seal.h"

#define MAX_RECORDS 4096

/* A record, and the pages behind it. */
struct part {
	size_t at, padding, data, end;
	struct kckpt_record head;
};

static bool is_stream(const struct part *part, unsigned int kind)
{
	return part->head.family == KCKPT_F_stream && part->head.kind == kind;
}

/* False if the record at @at, or what belongs to it, is not all there. */
static bool find_part(const uint8_t *image, size_t len, size_t at, struct part *part)
{
	struct kckpt_pages_rec pages = { 0 };

	*part = (struct part){ .at = at };
	if (at > len || len - at < sizeof(part->head))
		return false;
	memcpy(&part->head, image + at, sizeof(part->head));
	part->padding = part->data = part->end = at + sizeof(part->head) + ((part->head.size + 7ull) & ~7ull);
	if (part->end > len)
		return false;
	if (is_stream(part, KCKPT_K_pages) && part->head.size >= sizeof(pages)) {
		memcpy(&pages, image + at + sizeof(part->head), sizeof(pages));
		if (pages.nr_data)
			part->data = (part->data + KCKPT_PAGE_SIZE - 1) & ~(KCKPT_PAGE_SIZE - 1ull);
		part->end = part->data + (size_t)pages.nr_data * KCKPT_PAGE_SIZE;
	}
	return part->end <= len;
}

/* ---- digests ---- */

struct sealing {
	uint8_t *image;
	XXH64_state_t *root;
	uint64_t digests_at, index_at, nr_records, nr_objects, last;
};

static void seal_end(const struct sealing *seal, const struct part *part)
{
	struct kckpt_end_rec rec;
	uint8_t *at = seal->image + part->at + sizeof(part->head);

	if (part->head.size != sizeof(rec))
		return;
	memcpy(&rec, at, sizeof(rec));
	rec.digest = XXH64_digest(seal->root);
	rec.nr_records = seal->nr_records;
	rec.nr_objects = seal->nr_objects;
	memcpy(at, &rec, sizeof(rec));
}

static void seal_chunks(struct sealing *seal, const struct part *part)
{
	uint64_t nr = (part->at + KCKPT_CHUNK_SIZE - 1) / KCKPT_CHUNK_SIZE, i, digest;
	uint8_t *to = seal->image + part->at + sizeof(part->head);
	size_t left;

	seal->digests_at = part->at;
	if (part->head.size != 8 + 8 * nr)
		return;
	memcpy(to, &nr, 8);
	for (i = 0; i < nr; i++) {
		left = part->at - i * KCKPT_CHUNK_SIZE;
		digest = XXH64(seal->image + i * KCKPT_CHUNK_SIZE, left < KCKPT_CHUNK_SIZE ? left : KCKPT_CHUNK_SIZE, 0);
		memcpy(to + 8 + 8 * i, &digest, 8);
	}
}

static void seal_trailer(const struct sealing *seal, const struct part *part)
{
	uint8_t *at = seal->image + part->at;
	struct kckpt_trailer_rec rec;

	if (part->head.size != sizeof(rec))
		return;
	memcpy(&rec, at + sizeof(part->head), sizeof(rec));
	rec.digests_at = seal->digests_at;
	rec.index_at = seal->index_at;
	rec.bytes = part->end;
	rec.root = XXH64_digest(seal->root);
	memcpy(at + sizeof(part->head), &rec, sizeof(rec));
	rec.self = XXH64(at, sizeof(part->head) + offsetof(struct kckpt_trailer_rec, self), 0);
	memcpy(at + sizeof(part->head), &rec, sizeof(rec));
}

static void seal_part(struct sealing *seal, const struct part *part)
{
	if (part->head.family != KCKPT_F_stream) {
		seal->nr_records++;
		seal->nr_objects += part->head.object != seal->last;
		seal->last = part->head.object;
	}
	if (is_stream(part, KCKPT_K_end))
		seal_end(seal, part);
	if (is_stream(part, KCKPT_K_digests))
		seal_chunks(seal, part);
	if (is_stream(part, KCKPT_K_index))
		seal->index_at = part->at;
	if (is_stream(part, KCKPT_K_trailer))
		seal_trailer(seal, part);
	XXH64_update(seal->root, seal->image + part->at, part->data - part->at);
}

void fuzz_seal(uint8_t *image, size_t len)
{
	struct sealing seal = { .image = image, .root = XXH64_createState() };
	struct part part = { .end = sizeof(struct kckpt_header) };

	if (seal.root && len >= sizeof(struct kckpt_header)) {
		XXH64_reset(seal.root, 0);
		XXH64_update(seal.root, image, sizeof(struct kckpt_header));
		while (find_part(image, len, part.end, &part))
			seal_part(&seal, &part);
	}
	XXH64_freeState(seal.root);
}

/* ---- changes ---- */

static const uint64_t limits[] = {
	0, 1, 7, 8, 255, 4095, 4096, 4097, 65535, 65536, KCKPT_MAX_RUNS, KCKPT_MAX_RUNS + 1, KCKPT_MAX_SHARES + 1,
	2 * KCKPT_MAX_BATCH, 2 * KCKPT_MAX_BATCH + 1, KCKPT_MAX_RECORD, KCKPT_MAX_RECORD + 1, 0x7fffffff, 0x80000000,
	0xffffffff, 1ull << 32, 0x7ffffffff000, 1ull << 47, 1ull << 63, 0x7fffffffffffffff, ~0ull,
};

/* The length of a field is not known here: all that are possible are tried. */
static void change_field(uint8_t *image, const struct part *part)
{
	size_t size = 1ul << rand() % 4, room = sizeof(part->head) + part->head.size;
	uint64_t value;
	uint8_t *at;

	if (room < size)
		return;
	at = image + part->at + rand() % (room / size) * size;
	memcpy(&value, at, size);
	switch (rand() % 4) {
	case 0:
		value += rand() % 2 ? 1 : -1;
		break;
	case 1:
		value = rand() % 64;	/* an object, a kind, a family */
		break;
	default:
		value = limits[rand() % (sizeof(limits) / sizeof(limits[0]))];
	}
	memcpy(at, &value, size);
}

/* The same image of other parts: its length, with the padding that pages need where they are now. */
static size_t lay_out(uint8_t *image, size_t len, size_t room, const struct part *parts, size_t nr)
{
	size_t at = sizeof(struct kckpt_header), data, i;
	uint8_t *old = malloc(len);

	if (!old)
		return len;
	memcpy(old, image, len);
	for (i = 0; i < nr; i++) {
		data = at + parts[i].padding - parts[i].at;
		if (parts[i].end > parts[i].data)
			data = (data + KCKPT_PAGE_SIZE - 1) & ~(KCKPT_PAGE_SIZE - 1ul);
		if (data + parts[i].end - parts[i].data > room)
			break;
		memset(image + at, 0, data - at);
		memcpy(image + at, old + parts[i].at, parts[i].padding - parts[i].at);
		memcpy(image + data, old + parts[i].data, parts[i].end - parts[i].data);
		at = data + parts[i].end - parts[i].data;
	}
	free(old);
	return at;
}

static size_t find_parts(const uint8_t *image, size_t len, struct part *parts)
{
	size_t nr = 0, at = sizeof(struct kckpt_header);

	while (nr < MAX_RECORDS && find_part(image, len, at, &parts[nr]))
		at = parts[nr++].end;
	return nr;
}

size_t fuzz_change_records(uint8_t *image, size_t len, size_t room, unsigned int seed)
{
	static struct part parts[MAX_RECORDS + 1];
	size_t nr = find_parts(image, len, parts), a, b;
	struct part part;

	if (!nr)
		return len;
	srand(seed);
	a = (size_t)rand() % nr;
	b = (size_t)rand() % nr;
	part = parts[a];
	switch (rand() % 8) {
	case 0:
		memmove(&parts[a], &parts[a + 1], (--nr - a) * sizeof(part));
		break;
	case 1:
		memmove(&parts[b + 1], &parts[b], (nr++ - b) * sizeof(part));
		parts[b] = part;
		break;
	case 2:
		parts[a] = parts[b];
		parts[b] = part;
		break;
	default:
		change_field(image, &part);
		return len;
	}
	return lay_out(image, len, room, parts, nr);
}

size_t fuzz_cut(uint8_t *image, size_t len, size_t max_pages)
{
	static struct part parts[MAX_RECORDS];
	size_t nr = find_parts(image, len, parts), i, kept = 0;

	for (i = 0; i < nr; i++) {
		if (is_stream(&parts[i], KCKPT_K_index)) {	/* of nothing: its rows are not right any more */
			memset(image + parts[i].at + sizeof(parts[i].head), 0, 8);
			memcpy(image + parts[i].at + offsetof(struct kckpt_record, size), &(uint32_t){ 8 }, 4);
			parts[i].padding = parts[i].data = parts[i].end = parts[i].at + sizeof(parts[i].head) + 8;
		}
		if (parts[i].end - parts[i].data <= max_pages * KCKPT_PAGE_SIZE)
			parts[kept++] = parts[i];
	}
	len = lay_out(image, len, len, parts, kept);
	fuzz_seal(image, len);
	return len;
}
