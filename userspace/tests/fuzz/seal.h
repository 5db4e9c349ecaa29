/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Images that were changed, made right in form again: so that a fuzzer gets past the digests with what it has done to the
 * rest. Plain user space; nothing in an image is trusted here, either.
 */
#ifndef FUZZ_SEAL_H
#define FUZZ_SEAL_H

#include <stddef.h>
#include <stdint.h>

/* fuzz_seal() - counts, offsets and digests as the module would have written them, as far as there are records. */
void fuzz_seal(uint8_t *image, size_t len);

/*
 * fuzz_change_records() - leave one out, repeat one, exchange two, set a field to a value at a limit. The new length, at
 * most @room.
 */
size_t fuzz_change_records(uint8_t *image, size_t len, size_t room, unsigned int seed);

/* fuzz_cut() - batches of more than @max_pages pages are left out. The new length; it is sealed. */
size_t fuzz_cut(uint8_t *image, size_t len, size_t max_pages);

#endif
