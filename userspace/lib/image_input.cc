// SPDX-License-Identifier: GPL-2.0-only
#include "lib/image_input.hh"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "lib/image_check.hh"

namespace kckpt
{

namespace
{

constexpr size_t window_size = 4 << 20; /* between two steps of the progress bar */

} // namespace

Result<ImageInput> ImageInput::open(const std::string &path, const std::vector<std::string> &parents)
{
	Fd fd(path == "-" ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : ::open(path.c_str(), O_RDONLY | O_CLOEXEC));
	struct stat st;
	if (!fd || fstat(fd.get(), &st) < 0)
		return failure(KCKPT_E_IMAGE_OPEN, errno, path);
	if (S_ISDIR(st.st_mode))
		return failure(KCKPT_E_IMAGE_OPEN, EISDIR, path);

	ImageInput input(std::move(fd));
	if (S_ISREG(st.st_mode)) {
		posix_fadvise(input.fd_.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
		/* Standard input may be a file that somebody has read the start of. */
		if (path == "-")
			return input;
		input.size_ = static_cast<uint64_t>(st.st_size);
		Result<struct kckpt_header> header = check_ends(input.fd_.get(), input.size_);
		if (!header)
			return pass(header);
		if (Result<> chained = input.open_chain(path, *header, parents); !chained)
			return pass(chained);
	} else {
		input.buffer_.emplace();
	}
	return input;
}

Result<> ImageInput::open_chain(const std::string &path, const struct kckpt_header &header,
				const std::vector<std::string> &parents)
{
	if (!has_parent(header))
		return {};
	Result<Chain> chain = Chain::open(path, parents, [](uint64_t) {});
	if (!chain)
		return pass(chain);
	flat_.emplace(std::move(*chain));
	size_ = flat_->size_estimate();
	return {};
}

Result<ImageInput::At> ImageInput::send_to(Device &device)
{
	Result<std::optional<size_t>> took = device.send(fd_.get(), window_size);
	if (!took)
		return pass(took);
	if (!*took)
		return At::end_of_records;
	offset_ += **took;
	return **took ? At::more : At::end;
}

Result<> ImageInput::read()
{
	ssize_t got;
	do
		got = ::read(fd_.get(), buffer_->bytes().data(), PageBuffer::size);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return failure(KCKPT_E_IMAGE_READ, errno, {});
	piece_ = buffer_->bytes().first(static_cast<size_t>(got));
	return {};
}

Result<> ImageInput::refill()
{
	if (!flat_)
		return read();
	Result<std::span<const std::byte>> next = flat_->next();
	if (!next)
		return pass(next);
	piece_ = *next;
	return {};
}

Result<ImageInput::At> ImageInput::move_to(Device &device)
{
	if (!buffer_ && !flat_)
		return send_to(device);
	if (piece_.empty()) {
		if (Result<> got = refill(); !got)
			return pass(got);
		if (piece_.empty())
			return At::end;
	}
	Result<size_t> took = device.write(piece_);
	if (!took)
		return pass(took);
	piece_ = piece_.subspan(*took);
	offset_ += *took;
	return *took ? At::more : At::end_of_records;
}

} // namespace kckpt
