// SPDX-License-Identifier: GPL-2.0
/* How libFuzzer changes an image: its bytes, or whole records; then mostly with the digests that belong to that. */
#include "seal.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t len, size_t room);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t len, size_t room, unsigned int seed);

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t len, size_t room, unsigned int seed)
{
	if (seed % 3)
		len = fuzz_change_records(data, len, room, seed / 3);
	else
		len = LLVMFuzzerMutate(data, len, room);
	if (seed % 16)
		fuzz_seal(data, len);
	return len;
}
