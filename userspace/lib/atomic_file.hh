/* SPDX-License-Identifier: GPL-2.0-only */
/* A file that bears its name only when it is whole. */
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "lib/cleanup.hh"
#include "lib/fd.hh"
#include "lib/late_release.hh"
#include "lib/result.hh"

namespace kckpt
{

/*
 * Written under another name in the same directory; commit() syncs it, gives it its name and syncs the
 * directory. Until then a failure, a signal and the destructor all remove it. What is no regular file (a
 * device, a named pipe, "-" for standard output) is written as it is. A large file that bore the name before is given
 * back while the caller goes on; the destructor waits for that.
 */
class AtomicFile
{
public:
	static Result<AtomicFile> create(const std::string &path, mode_t mode = 0600);

	Result<> set_direct(); /* past the page cache from now on; files and disks only */
	Result<> write(std::span<const std::byte> bytes);
	Result<> commit();

	int fd() const { return fd_.get(); }
	bool is_atomic() const { return !temporary_.empty(); } /* else it is written in place */
	Error write_error(int err) const;                      /* what an errno of a write to it means */

private:
	AtomicFile(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
	static Result<AtomicFile> open_special(const std::string &path);

	Fd fd_;
	std::string path_;
	std::string temporary_; /* empty: written in place */
	Cleanup cleanup_;
	LateRelease replaced_;
};

/* Is that the name that a file has before it bears its own: ".NAME.Ab3x9Z"? */
bool is_temporary(std::string_view file);

/* The end of a chain of symbolic links; as it is, where there is no such file. */
std::string real_path(const std::string &path);

/* "." for a name alone. */
std::string directory_of(const std::string &path);

} // namespace kckpt
