/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <unistd.h>

#include <utility>

namespace kckpt
{

/* The owner of a descriptor. Move-only: nothing else in the tool closes one. */
class Fd
{
public:
	Fd() = default;
	explicit Fd(int fd) : fd_(fd) {}
	Fd(Fd &&other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
	Fd &operator=(Fd &&other) noexcept
	{
		std::swap(fd_, other.fd_);
		return *this;
	}
	~Fd() { reset(); }

	int get() const { return fd_; }
	explicit operator bool() const { return fd_ >= 0; }
	void reset()
	{
		if (fd_ >= 0)
			close(std::exchange(fd_, -1));
	}

private:
	int fd_ = -1;
};

} // namespace kckpt
