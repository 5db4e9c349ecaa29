/* SPDX-License-Identifier: GPL-2.0-only */
/* The bytes of an image on their way into the kernel: in large pieces, not looked at. */
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lib/buffer.hh"
#include "lib/device.hh"
#include "lib/fd.hh"
#include "lib/flat_stream.hh"
#include "lib/result.hh"

namespace kckpt
{

class ImageInput
{
public:
	/*
	 * A regular file is looked at from both ends first; its bytes then never come here. If it is an increment, it
	 * is put together with its parents, see chain.hh.
	 */
	static Result<ImageInput> open(const std::string &path, const std::vector<std::string> &parents);

	enum class At { more, end_of_records, end };

	/* Moves some bytes into @device. The end of the records stays until what they say is made. */
	Result<At> move_to(Device &device);
	uint64_t size() const { return size_; }     /* 0: not known */
	uint64_t offset() const { return offset_; } /* of the end of what was taken */

private:
	explicit ImageInput(Fd fd) : fd_(std::move(fd)) {}
	Result<> open_chain(const std::string &path, const struct kckpt_header &header,
			    const std::vector<std::string> &parents);
	Result<At> send_to(Device &device);
	Result<> read();
	Result<> refill();

	Fd fd_;
	uint64_t size_ = 0, offset_ = 0;
	std::optional<PageBuffer> buffer_; /* for what is no file */
	std::optional<FlatStream> flat_;   /* for what has parents */
	std::span<const std::byte> piece_; /* of it, what was not taken yet */
};

} // namespace kckpt
