// SPDX-License-Identifier: GPL-2.0-only
#include "lib/source.hh"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace kckpt
{

namespace
{

constexpr size_t buffer_size = 1 << 20;

} // namespace

Result<Source> Source::open(const std::string &path)
{
	Source source;
	source.file_ =
		Fd(path == "-" ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : ::open(path.c_str(), O_RDONLY | O_CLOEXEC));
	struct stat st;
	if (!source.file_ || fstat(source.file_.get(), &st) < 0)
		return failure(KCKPT_E_IMAGE_OPEN, errno, path);
	if (S_ISDIR(st.st_mode))
		return failure(KCKPT_E_IMAGE_OPEN, EISDIR, path);
	source.seekable_ = S_ISREG(st.st_mode);
	source.size_ = source.seekable_ ? static_cast<uint64_t>(st.st_size) : 0;
	source.buffer_.resize(buffer_size);
	return source;
}

Source Source::memory(std::span<const std::byte> bytes)
{
	Source source;
	source.window_ = bytes;
	return source;
}

/* False at the end. */
Result<bool> Source::refill()
{
	if (!file_)
		return false;
	ssize_t got;
	do
		got = ::read(file_.get(), buffer_.data(), buffer_.size());
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return failure(KCKPT_E_IMAGE_READ, errno, {});
	window_ = std::span(buffer_).first(static_cast<size_t>(got));
	return got > 0;
}

Result<size_t> Source::read(std::span<std::byte> out)
{
	size_t done = 0;
	while (done < out.size()) {
		if (window_.empty()) {
			Result<bool> more = refill();
			if (!more)
				return pass(more);
			if (!*more)
				break;
		}
		const size_t piece = std::min(out.size() - done, window_.size());
		std::memcpy(out.data() + done, window_.data(), piece);
		window_ = window_.subspan(piece);
		done += piece;
	}
	return done;
}

Result<> Source::skip(uint64_t count)
{
	for (;;) {
		const uint64_t piece = std::min<uint64_t>(count, window_.size());
		window_ = window_.subspan(static_cast<size_t>(piece));
		count -= piece;
		if (count == 0 || !file_)
			return {};
		if (seekable_)
			break;
		Result<bool> more = refill();
		if (!more)
			return pass(more);
		if (!*more)
			return {}; /* the next read tells that this is the end */
	}
	if (lseek(file_.get(), static_cast<off_t>(count), SEEK_CUR) < 0)
		return failure(KCKPT_E_IMAGE_READ, errno, {});
	return {};
}

} // namespace kckpt
