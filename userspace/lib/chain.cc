// SPDX-License-Identifier: GPL-2.0-only
#include "lib/chain.hh"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "lib/atomic_file.hh"
#include "lib/image_check.hh"
#include "lib/text.hh"

namespace kckpt
{

namespace
{

bool same(std::span<const char, 16> a, std::span<const char, 16> b)
{
	return std::ranges::equal(a, b);
}

/* Where a file really is: its name may be a link from elsewhere. */
std::string real_directory_of(const std::string &path)
{
	return directory_of(real_path(path));
}

/* Or a link to one. To open a FIFO and close it again would be seen by its writer. */
bool is_file(int directory, const struct dirent &entry)
{
	struct stat st;
	return entry.d_type == DT_REG || ((entry.d_type == DT_LNK || entry.d_type == DT_UNKNOWN) &&
					  fstatat(directory, entry.d_name, &st, 0) == 0 && S_ISREG(st.st_mode));
}

bool is_image(int directory, const struct dirent &entry, struct kckpt_header &header)
{
	if (is_temporary(entry.d_name) || !is_file(directory, entry))
		return false;
	const Fd fd(openat(directory, entry.d_name, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
	return fd && pread(fd.get(), &header, sizeof(header), 0) == sizeof(header) && check_header(header);
}

/* The image files of a directory, with their headers; not those that are just being written under another name. */
template <class Visit> void for_each_image(const std::string &directory, Visit visit)
{
	const std::unique_ptr<DIR, int (*)(DIR *)> stream(opendir(directory.c_str()), closedir);
	struct kckpt_header header;
	while (const struct dirent *entry = stream ? readdir(stream.get()) : nullptr)
		if (is_image(dirfd(stream.get()), *entry, header))
			visit((directory == "/" ? "" : directory) + "/" + entry->d_name, header);
}

/* Where images are, by UUID: those that were named, and whole directories; the header of each is read once. */
class ImageIndex
{
public:
	static Result<ImageIndex> read(const std::vector<std::string> &named);

	/* Empty: there is none of that UUID, among those named or in @directory. */
	std::string find(std::span<const char, 16> uuid, const std::string &directory);

private:
	using Paths = std::map<std::array<char, 16>, std::string>;
	static void add(Paths &paths, const std::string &path, const struct kckpt_header &header);

	Paths named_;
	std::map<std::string, Paths> directories_;
};

/* Of two of the same UUID, a flattened one is as good, and needs no others. */
void ImageIndex::add(Paths &paths, const std::string &path, const struct kckpt_header &header)
{
	const auto [at, is_new] = paths.try_emplace(std::to_array(header.uuid), path);
	if (!is_new && !has_parent(header))
		at->second = path;
}

Result<ImageIndex> ImageIndex::read(const std::vector<std::string> &named)
{
	ImageIndex index;
	for (const std::string &path : named) {
		Result<struct kckpt_header> header = read_header(path);
		if (!header)
			return pass(header);
		add(index.named_, path, *header);
	}
	return index;
}

std::string ImageIndex::find(std::span<const char, 16> uuid, const std::string &directory)
{
	std::array<char, 16> key;
	std::ranges::copy(uuid, key.begin());
	if (const auto found = named_.find(key); found != named_.end())
		return found->second;
	const auto [at, is_new] = directories_.try_emplace(directory);
	if (is_new)
		for_each_image(directory,
			       [&paths = at->second](const std::string &path, const struct kckpt_header &header) {
				       add(paths, path, header);
			       });
	const auto found = at->second.find(key);
	return found == at->second.end() ? "" : found->second;
}

/* All images of a chain are open at a time. */
void allow_many_files()
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* Is @parent the image that @file was made on top of? */
Result<> check_parent(const ImageFile &file, const ImageFile &parent)
{
	if (!same(file.header().parent, parent.header().uuid))
		return failure(KCKPT_E_PARENT_WRONG, 0,
			       fmt::format("{} is no longer image {}", parent.path(), uuid_text(file.header().parent)));
	if (file.header().parent_digest != parent.records_digest())
		return failure(KCKPT_E_PARENT_WRONG, 0,
			       fmt::format("{} has other records than when {} was made", parent.path(), file.path()));
	return {};
}

} // namespace

std::string image_that_needs(const std::string &path)
{
	Result<struct kckpt_header> old = read_header(path);
	std::string found;
	if (old)
		for_each_image(real_directory_of(path),
			       [&](const std::string &other, const struct kckpt_header &header) {
				       if (same(header.parent, old->uuid))
					       found = other;
			       });
	return found;
}

Result<Chain> Chain::open(const std::string &path, const std::vector<std::string> &parents,
			  const ImageFile::Moved &moved)
{
	Chain chain;
	std::optional<ImageIndex> index; /* when it is needed */
	std::string next = path;
	for (;;) {
		Result<ImageFile> opened = ImageFile::open(next, moved);
		if (!opened) {
			/* Which of them it is. */
			for (Problem &problem : opened.error().problems)
				if (!problem.detail.starts_with(next))
					problem.detail = next + (problem.detail.empty() ? "" : ": ") + problem.detail;
			return pass(opened);
		}
		if (!chain.files_.empty())
			if (Result<> good = check_parent(chain.files_.back(), *opened); !good)
				return pass(good);
		chain.files_.push_back(std::move(*opened));
		const ImageFile &last = chain.files_.back();
		if (!has_parent(last.header()))
			return chain;

		for (const ImageFile &file : chain.files_)
			if (same(file.header().uuid, last.header().parent))
				return failure(KCKPT_E_IMAGE_RECORD, 0,
					       fmt::format("{} and {} build on each other", file.path(), last.path()));
		const std::string directory = real_directory_of(last.path());
		if (!index) {
			allow_many_files();
			Result<ImageIndex> read = ImageIndex::read(parents);
			if (!read)
				return pass(read);
			index = std::move(*read);
		}
		const std::string found = index->find(last.header().parent, directory);
		if (found.empty())
			return failure(KCKPT_E_PARENT_MISSING, 0,
				       fmt::format("image {}, which {} builds on, is not in {}",
						   uuid_text(last.header().parent), last.path(), directory));
		next = found;
	}
}

Chain::Found Chain::find(size_t level, uint64_t object, uint64_t vaddr, uint64_t nr_pages) const
{
	/* Each step goes to an elder object of the same image, or to the next image. */
	for (;;) {
		const std::span<const ImageFile::Run> runs = files_[level].runs(object);
		const auto after = std::ranges::upper_bound(runs, vaddr, {}, &ImageFile::Run::vaddr);
		if (after == runs.begin() || (after - 1)->end() <= vaddr) {
			if (after != runs.end())
				nr_pages = std::min(nr_pages, (after->vaddr - vaddr) / KCKPT_PAGE_SIZE);
			return {Found::What::nothing, nr_pages, nullptr, 0};
		}
		const ImageFile::Run &run = *(after - 1);
		nr_pages = std::min(nr_pages, (run.end() - vaddr) / KCKPT_PAGE_SIZE);
		switch (run.where) {
		case ImageFile::Run::Where::data:
			return {Found::What::data, nr_pages, &files_[level], run.at + (vaddr - run.vaddr)};
		case ImageFile::Run::Where::zero: return {Found::What::zero, nr_pages, nullptr, 0};
		case ImageFile::Run::Where::share: object = run.at; break;
		case ImageFile::Run::Where::parent:
			object = run.at;
			level++;
			break;
		}
	}
}

} // namespace kckpt
