/* SPDX-License-Identifier: GPL-2.0-only */
/* The bytes of an image on their way into the kernel: in large pieces, not looked at. */
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "lib/buffer.hh"
#include "lib/fd.hh"
#include "lib/result.hh"

namespace kckpt
{

class ImageInput
{
public:
	/* A regular file is looked at from both ends first, and then mapped: that saves a copy. */
	static Result<ImageInput> open(const std::string &path);

	ImageInput(ImageInput &&other) noexcept;
	ImageInput &operator=(ImageInput &&) = delete;
	~ImageInput();

	/* The next piece, good until the next call; empty at the end. */
	Result<std::span<const std::byte>> next();
	uint64_t size() const { return map_.size(); } /* 0: not known */
	uint64_t offset() const { return offset_; }   /* of the end of the last piece */

private:
	explicit ImageInput(Fd fd) : fd_(std::move(fd)) {}
	Result<> map(uint64_t size);

	Fd fd_;
	std::span<const std::byte> map_;
	std::optional<PageBuffer> buffer_;
	uint64_t offset_ = 0;
};

} // namespace kckpt
