// SPDX-License-Identifier: GPL-2.0-only
#include "lib/image_input.hh"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "lib/image_check.hh"

namespace kckpt
{

namespace
{

constexpr size_t window_size = 4 << 20;

} // namespace

Result<ImageInput> ImageInput::open(const std::string &path)
{
	Fd fd(path == "-" ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : ::open(path.c_str(), O_RDONLY | O_CLOEXEC));
	struct stat st;
	if (!fd || fstat(fd.get(), &st) < 0)
		return failure(KCKPT_E_IMAGE_OPEN, errno, path);
	if (S_ISDIR(st.st_mode))
		return failure(KCKPT_E_IMAGE_OPEN, EISDIR, path);

	ImageInput input(std::move(fd));
	/* Standard input may be a file that somebody has read the start of. */
	if (S_ISREG(st.st_mode) && path != "-") {
		if (Result<> mapped = input.map(static_cast<uint64_t>(st.st_size)); !mapped)
			return pass(mapped);
	} else {
		input.buffer_.emplace();
	}
	return input;
}

Result<> ImageInput::map(uint64_t size)
{
	if (Result<> good = check_ends(fd_.get(), size); !good)
		return good;
	void *map = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd_.get(), 0);
	if (map == MAP_FAILED)
		return failure(KCKPT_E_IMAGE_READ, errno, "mmap");
	madvise(map, size, MADV_SEQUENTIAL);
	map_ = {static_cast<const std::byte *>(map), size};
	return {};
}

ImageInput::ImageInput(ImageInput &&other) noexcept
	: fd_(std::move(other.fd_)), map_(std::exchange(other.map_, {})), buffer_(std::move(other.buffer_)),
	  offset_(other.offset_)
{
}

ImageInput::~ImageInput()
{
	if (!map_.empty())
		munmap(const_cast<std::byte *>(map_.data()), map_.size());
}

Result<std::span<const std::byte>> ImageInput::next()
{
	if (!buffer_) {
		const auto piece = map_.subspan(offset_, std::min<size_t>(window_size, map_.size() - offset_));
		if (!piece.empty()) /* one call in place of a fault for each 64 KiB; older kernels fault */
			madvise(const_cast<std::byte *>(piece.data()), piece.size(), MADV_POPULATE_READ);
		offset_ += piece.size();
		return piece;
	}

	ssize_t got;
	do
		got = ::read(fd_.get(), buffer_->bytes().data(), PageBuffer::size);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return failure(KCKPT_E_IMAGE_READ, errno, {});
	offset_ += static_cast<uint64_t>(got);
	return buffer_->bytes().first(static_cast<size_t>(got));
}

} // namespace kckpt
