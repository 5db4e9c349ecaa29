/* SPDX-License-Identifier: GPL-2.0-only */
/* Where the bytes of an image come from: a file, a pipe, or memory. */
#pragma once

#include <span>
#include <vector>

#include "lib/fd.hh"
#include "lib/result.hh"

namespace kckpt
{

class Source
{
public:
	/* @path "-" is standard input. */
	static Result<Source> open(const std::string &path);
	/* The bytes must outlive the source. */
	static Source memory(std::span<const std::byte> bytes);

	/* Fills @out as far as there are bytes: fewer than asked for is the end. */
	Result<size_t> read(std::span<std::byte> out);
	/* Leaves out @count bytes, without reading them where it can be avoided. */
	Result<> skip(uint64_t count);
	uint64_t size() const { return size_; } /* 0: not known before the end */

private:
	Result<bool> refill();

	Fd file_; /* none: all there is is in the window */
	bool seekable_ = false;
	uint64_t size_ = 0;
	std::vector<std::byte> buffer_;
	std::span<const std::byte> window_; /* read, and not yet handed out */
};

} // namespace kckpt
