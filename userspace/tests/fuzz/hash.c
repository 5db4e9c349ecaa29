// SPDX-License-Identifier: GPL-2.0
/* XXH64 by the names that it has in the kernel, whose state is the first part of the library's. */
#define XXH_STATIC_LINKING_ONLY
#include <stddef.h>
#include <string.h>
#include <xxhash.h>

#define SHARED offsetof(XXH64_state_t, reserved32)

void xxh64_reset(void *state, uint64_t seed);
int xxh64_update(void *state, const void *data, size_t len);
uint64_t xxh64_digest(const void *state);
uint64_t xxh64(const void *data, size_t len, uint64_t seed);

void xxh64_reset(void *state, uint64_t seed)
{
	XXH64_state_t mine;

	XXH64_reset(&mine, seed);
	memcpy(state, &mine, SHARED);
}

int xxh64_update(void *state, const void *data, size_t len)
{
	XXH64_state_t mine = { 0 };

	memcpy(&mine, state, SHARED);
	XXH64_update(&mine, data, len);
	memcpy(state, &mine, SHARED);
	return 0;
}

uint64_t xxh64_digest(const void *state)
{
	XXH64_state_t mine = { 0 };

	memcpy(&mine, state, SHARED);
	return XXH64_digest(&mine);
}

uint64_t xxh64(const void *data, size_t len, uint64_t seed)
{
	return XXH64(data, len, seed);
}
