/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <span>

namespace kckpt
{

/* A MiB that begins at a page: the kernel copies whole pages, and calls are few. */
class PageBuffer
{
public:
	static constexpr size_t size = 1 << 20;

	PageBuffer() : memory_(static_cast<std::byte *>(std::aligned_alloc(4096, size)))
	{
		if (!memory_)
			throw std::bad_alloc();
	}
	std::span<std::byte> bytes() const { return {memory_.get(), size}; }

private:
	struct Free {
		void operator()(std::byte *memory) const { std::free(memory); }
	};
	std::unique_ptr<std::byte, Free> memory_;
};

} // namespace kckpt
