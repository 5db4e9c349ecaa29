// SPDX-License-Identifier: GPL-2.0-only
#include "lib/atomic_file.hh"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>

namespace kckpt
{

namespace
{

constexpr const char *standard_output = "standard output";

Error create_error(int err, const std::string &path)
{
	return {err == ENOSPC || err == EDQUOT ? KCKPT_E_DISK_FULL : KCKPT_E_FILE_CREATE, err, path};
}

} // namespace

bool is_temporary(std::string_view file)
{
	constexpr size_t random_part = sizeof(".XXXXXX") - 1;
	return file.starts_with('.') && file.size() > random_part + 1 && file[file.size() - random_part] == '.';
}

std::string directory_of(const std::string &path)
{
	const size_t slash = path.rfind('/');
	if (slash == std::string::npos)
		return ".";
	return path.substr(0, std::max<size_t>(slash, 1));
}

std::string real_path(const std::string &path)
{
	char target[PATH_MAX];
	return realpath(path.c_str(), target) ? std::string(target) : path;
}

Result<AtomicFile> AtomicFile::create(const std::string &path, mode_t mode)
{
	struct stat st;
	if (path == "-" || (stat(path.c_str(), &st) == 0 && !S_ISREG(st.st_mode)))
		return open_special(path);

	const std::string target = real_path(path); /* renaming must not replace a symbolic link */
	const std::string name = target.substr(target.rfind('/') + 1);
	std::string temporary = directory_of(target) + "/." + name.substr(0, 200) + ".XXXXXX";
	const SignalsHeld held;
	Fd fd(mkostemp(temporary.data(), O_CLOEXEC));
	if (!fd)
		return failure(create_error(errno, path));
	AtomicFile file(std::move(fd), target);
	file.cleanup_ = Cleanup::unlink(temporary);
	file.temporary_ = std::move(temporary);
	if (fchmod(file.fd(), mode) < 0)
		return failure(create_error(errno, path));
	return file;
}

Result<AtomicFile> AtomicFile::open_special(const std::string &path)
{
	Fd fd(path == "-" ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3) : open(path.c_str(), O_WRONLY | O_CLOEXEC));
	if (!fd)
		return failure(create_error(errno, path));
	return AtomicFile(std::move(fd), path == "-" ? standard_output : path);
}

Result<> AtomicFile::set_direct()
{
	struct stat st;
	const int flags = fcntl(fd(), F_GETFL);
	if (flags < 0 || fstat(fd(), &st) < 0)
		return failure(KCKPT_E_FILE_CREATE, errno, path_ + ": direct I/O");
	/* Others may have the same open file as we at standard output, and to a pipe the flag means something else. */
	if (!is_atomic() && (!S_ISBLK(st.st_mode) || path_ == standard_output))
		return failure(KCKPT_E_FILE_CREATE, EINVAL, path_ + ": direct I/O");
	if (fcntl(fd(), F_SETFL, flags | O_DIRECT) < 0)
		return failure(KCKPT_E_FILE_CREATE, errno, path_ + ": direct I/O");
	return {};
}

Error AtomicFile::write_error(int err) const
{
	if (err == ENOSPC || err == EDQUOT)
		return {KCKPT_E_DISK_FULL, err, path_};
	if (err == EPIPE)
		return {KCKPT_E_READER_GONE, err, path_};
	return {KCKPT_E_FILE_WRITE, err, path_};
}

Result<> AtomicFile::write(std::span<const std::byte> bytes)
{
	while (!bytes.empty()) {
		const ssize_t wrote = ::write(fd(), bytes.data(), bytes.size());
		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote < 0)
			return failure(write_error(errno));
		bytes = bytes.subspan(static_cast<size_t>(wrote));
	}
	return {};
}

Result<> AtomicFile::commit()
{
	/* Pipes and devices cannot be synced, and need not be. */
	if (fsync(fd()) < 0 && errno != EINVAL && errno != EROFS && errno != ENOTSUP)
		return failure(write_error(errno));
	if (temporary_.empty())
		return {};

	replaced_ = LateRelease(path_);
	{
		const SignalsHeld held;
		if (rename(temporary_.c_str(), path_.c_str()) < 0)
			return failure(create_error(errno, path_));
		cleanup_.keep();
	}
	replaced_.start();
	const Fd directory(open(directory_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (!directory || (fsync(directory.get()) < 0 && errno != EINVAL))
		return failure(write_error(errno));
	return {};
}

} // namespace kckpt
