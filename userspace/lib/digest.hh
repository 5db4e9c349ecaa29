/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

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

/* One digest per @size bytes, and one of what is left. */
class ChunkDigests
{
public:
	explicit ChunkDigests(uint64_t size) : size_(size) {}

	void feed(std::span<const std::byte> bytes)
	{
		while (!bytes.empty()) {
			const auto piece = bytes.first(std::min<uint64_t>(bytes.size(), size_ - fill_));
			chunk_.feed(piece);
			fill_ += piece.size();
			bytes = bytes.subspan(piece.size());
			if (fill_ == size_)
				finish();
		}
	}

	/* Ends the last chunk, if one was begun. */
	void finish()
	{
		if (std::exchange(fill_, 0) > 0)
			values_.push_back(chunk_.value());
		chunk_.reset();
	}

	const std::vector<uint64_t> &values() const { return values_; }

private:
	uint64_t size_, fill_ = 0;
	Digest chunk_;
	std::vector<uint64_t> values_;
};

} // namespace kckpt
