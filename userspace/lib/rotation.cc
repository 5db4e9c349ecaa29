// SPDX-License-Identifier: GPL-2.0-only
#include "lib/rotation.hh"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>

#include <fmt/format.h>

#include "lib/atomic_file.hh"
#include "lib/image_check.hh"
#include "lib/image_file.hh"

namespace kckpt
{

namespace
{

constexpr std::string_view suffix = ".kimg";

/* Of "NAME-000042.kimg"; 0: it is another file. */
uint64_t number_of(std::string_view file, std::string_view name)
{
	if (!file.starts_with(name) || !file.ends_with(suffix) || file.size() <= name.size() + 1 + suffix.size() ||
	    file[name.size()] != '-')
		return 0;
	const std::string_view digits = file.substr(name.size() + 1, file.size() - name.size() - 1 - suffix.size());
	uint64_t number = 0;
	const auto [end, err] = std::from_chars(digits.begin(), digits.end(), number);
	return err == std::errc() && end == digits.end() ? number : 0;
}

/* What bears such a name before it is whole. */
bool is_unfinished(std::string_view file, std::string_view name)
{
	return is_temporary(file) && number_of(file.substr(1, file.rfind('.') - 1), name) != 0;
}

} // namespace

Result<Rotation> Rotation::open(const std::string &directory, const std::string &name)
{
	std::error_code err;
	std::filesystem::create_directories(directory, err);
	if (err)
		return failure(KCKPT_E_FILE_CREATE, err.value(), directory);

	Rotation rotation(directory, name);
	if (Result<> locked = rotation.lock(); !locked)
		return pass(locked);
	if (Result<> looked = rotation.look(); !looked)
		return pass(looked);
	return rotation;
}

Result<> Rotation::lock()
{
	const std::string path = fmt::format("{}/.{}.lock", directory_, name_);
	lock_ = Fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	if (!lock_)
		return failure(KCKPT_E_FILE_CREATE, errno, path);
	/* Where a file system has no locks, who uses it must know. */
	if (flock(lock_.get(), LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		return failure(KCKPT_E_NAME_TAKEN, 0, fmt::format("{}/{}", directory_, name_));
	return {};
}

Result<> Rotation::look()
{
	std::error_code err;
	/* The link is ours to set. */
	const std::string link = fmt::format("{}/{}{}", directory_, name_, suffix);
	if (std::filesystem::exists(std::filesystem::symlink_status(link, err)) &&
	    !std::filesystem::is_symlink(link, err))
		return failure(KCKPT_E_FILE_CREATE, EEXIST, link);
	for (const auto &entry : std::filesystem::directory_iterator(directory_, err)) {
		const std::string file = entry.path().filename().string();
		if (is_unfinished(file, name_))
			unlink(entry.path().c_str());
		const uint64_t number = number_of(file, name_);
		if (number == 0)
			continue;
		last_number_ = std::max(last_number_, number);
		/* What is no image that we can read is left alone. */
		if (Result<struct kckpt_header> header = read_header(path_of(number)); header)
			images_.push_back({number, !has_parent(*header)});
	}
	if (err)
		return failure(KCKPT_E_FILE_CREATE, err.value(), directory_);
	std::ranges::sort(images_, {}, &Image::number);
	return {};
}

std::string Rotation::path_of(uint64_t number) const
{
	return fmt::format("{}/{}-{:06}{}", directory_, name_, number, suffix);
}

std::string Rotation::next() const
{
	return path_of(last_number_ + 1);
}

std::string Rotation::last() const
{
	return images_.empty() ? "" : path_of(images_.back().number);
}

unsigned Rotation::nr_increments() const
{
	const auto whole =
		std::find_if(images_.rbegin(), images_.rend(), [](const Image &image) { return image.whole; });
	return static_cast<unsigned>(whole - images_.rbegin());
}

Result<> Rotation::added(const std::string &path, bool whole, size_t keep)
{
	images_.push_back({++last_number_, whole});
	if (Result<> set = set_link(path); !set)
		return set;
	return drop_old(keep);
}

/* Under another name first: there is a good one at any time. */
Result<> Rotation::set_link(const std::string &path) const
{
	const std::string link = fmt::format("{}/{}{}", directory_, name_, suffix);
	const std::string temporary = fmt::format("{}/.{}{}.new", directory_, name_, suffix);
	const std::string target = std::filesystem::path(path).filename();
	unlink(temporary.c_str());
	if (symlink(target.c_str(), temporary.c_str()) < 0 || rename(temporary.c_str(), link.c_str()) < 0)
		return failure(KCKPT_E_FILE_CREATE, errno, link);
	return {};
}

/* The newest first: what builds on others goes before them. */
Result<> Rotation::drop_old(size_t keep)
{
	for (;;) {
		const auto second = std::find_if(images_.begin() + !images_.empty(), images_.end(),
						 [](const Image &image) { return image.whole; });
		if (static_cast<size_t>(images_.end() - second) < keep)
			return {};
		for (auto image = second; image != images_.begin();) {
			const std::string path = path_of((--image)->number);
			if (unlink(path.c_str()) < 0 && errno != ENOENT)
				return failure(KCKPT_E_FILE_WRITE, errno, path);
		}
		images_.erase(images_.begin(), second);
	}
}

} // namespace kckpt
