/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#define XXH_STATIC_LINKING_ONLY /* the state, to hold it by value */
#include <xxhash.h>

namespace kckpt
{

/* XXH64 with seed 0, fed in pieces. */
class Digest
{
public:
	Digest() { reset(); }
	void reset() { XXH64_reset(&state_, 0); }
	void feed(std::span<const std::byte> bytes) { XXH64_update(&state_, bytes.data(), bytes.size()); }
	uint64_t value() const { return XXH64_digest(&state_); }

	static uint64_t of(std::span<const std::byte> bytes) { return XXH64(bytes.data(), bytes.size(), 0); }

private:
	XXH64_state_t state_;
};

} // namespace kckpt
