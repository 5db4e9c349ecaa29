// SPDX-License-Identifier: GPL-2.0-only
#include "lib/image_file.hh"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "lib/image_check.hh"
#include "lib/image_reader.hh"

namespace kckpt
{

Result<struct kckpt_header> read_header(const std::string &path)
{
	/* To open a FIFO and close it again would be seen by its writer. */
	struct stat st;
	if (stat(path.c_str(), &st) < 0)
		return failure(KCKPT_E_IMAGE_OPEN, errno, path);
	if (!S_ISREG(st.st_mode))
		return failure(KCKPT_E_IMAGE_MAGIC, 0, path);
	const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
	if (!fd)
		return failure(KCKPT_E_IMAGE_OPEN, errno, path);
	struct kckpt_header header;
	if (pread(fd.get(), &header, sizeof(header), 0) != sizeof(header))
		return failure(KCKPT_E_IMAGE_MAGIC, 0, path);
	if (Result<> good = check_header(header); !good) {
		good.error().problems[0].detail = path;
		return pass(good);
	}
	return header;
}

Result<ImageFile> ImageFile::open(const std::string &path, const Moved &moved)
{
	ImageFile file(path);
	file.fd_ = Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
	struct stat st;
	if (!file.fd_ || fstat(file.fd_.get(), &st) < 0)
		return failure(KCKPT_E_IMAGE_OPEN, errno, path);
	if (!S_ISREG(st.st_mode))
		return failure(KCKPT_E_IMAGE_OPEN, EISDIR, path);
	file.size_ = static_cast<uint64_t>(st.st_size);

	/* The same open file, whatever bears its name now. */
	Result<Source> source = Source::open(fmt::format("/proc/self/fd/{}", file.fd_.get()));
	if (!source)
		return pass(source);
	Result<ImageReader> reader = ImageReader::open(std::move(*source), Pages::verify);
	if (!reader)
		return pass(reader);
	file.header_ = reader->header();
	uint64_t at = 0;
	Result<> whole = reader->for_each([&](const Record &record) {
		file.add(record, reader->runs(), reader->offset());
		moved(reader->offset() - std::exchange(at, reader->offset()));
	});
	if (!whole)
		return pass(whole);
	file.records_digest_ = reader->records_digest();
	if (Result<> sorted = file.sort_runs(); !sorted)
		return pass(sorted);
	return file;
}

void ImageFile::add(const Record &record, std::span<const struct kckpt_page_run> runs, uint64_t data)
{
	if (record.is<struct kckpt_end_rec>())
		end_ = record.offset;
	if (record.is<struct kckpt_index_rec>())
		add_index(record);
	if (record.is<struct kckpt_shares_rec>()) {
		add_shares(record);
		parts_.push_back({record.offset, record.head, 0, 0});
	}
	if (record.is<struct kckpt_pages_rec>() || record.is<struct kckpt_parent_rec>()) {
		add_runs(record, runs, data);
		parts_.push_back({record.offset, record.head, data, record.as<struct kckpt_pages_rec>().nr_data});
	}
}

void ImageFile::add_runs(const Record &record, std::span<const struct kckpt_page_run> runs, uint64_t data)
{
	std::vector<Run> &list = runs_[record.head.object];
	const uint64_t source = record.as<struct kckpt_parent_rec>().source;
	for (const struct kckpt_page_run &run : runs) {
		if (record.is<struct kckpt_parent_rec>()) {
			list.push_back({run.vaddr, run.nr_pages, Run::Where::parent, source});
			nr_parent_pages_ += run.nr_pages;
		} else if (run.flags & KCKPT_RUN_ZERO) {
			list.push_back({run.vaddr, run.nr_pages, Run::Where::zero, 0});
		} else {
			list.push_back({run.vaddr, run.nr_pages, Run::Where::data, data});
			data += uint64_t(run.nr_pages) * KCKPT_PAGE_SIZE;
		}
	}
}

void ImageFile::add_shares(const Record &record)
{
	struct kckpt_share_run run;
	for (size_t at = 0; at < record.tail.size(); at += sizeof(run)) {
		std::memcpy(&run, record.tail.data() + at, sizeof(run));
		runs_[record.head.object].push_back({run.vaddr, run.nr_pages, Run::Where::share, run.source});
	}
}

/* Pages get other places when images are put together; records do not. */
void ImageFile::add_index(const Record &record)
{
	struct kckpt_index_row row;
	for (size_t at = 0; at < record.tail.size(); at += sizeof(row)) {
		std::memcpy(&row, record.tail.data() + at, sizeof(row));
		if (row.offset < end_)
			index_.push_back(row);
	}
}

Result<> ImageFile::sort_runs()
{
	for (auto &[object, list] : runs_) {
		std::ranges::sort(list, {}, &Run::vaddr);
		const auto twice = std::ranges::adjacent_find(
			list, [](const Run &run, const Run &next) { return run.end() > next.vaddr; });
		if (twice != list.end())
			return failure(KCKPT_E_IMAGE_RECORD, 0,
				       fmt::format("{}: object {} has the page at {:#x} twice", path_, object,
						   (twice + 1)->vaddr));
	}
	return {};
}

std::span<const ImageFile::Run> ImageFile::runs(uint64_t object) const
{
	const auto list = runs_.find(object);
	return list == runs_.end() ? std::span<const Run>() : list->second;
}

Result<> ImageFile::read(std::span<std::byte> out, uint64_t offset) const
{
	while (!out.empty()) {
		const ssize_t got = pread(fd_.get(), out.data(), out.size(), static_cast<off_t>(offset));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return failure(KCKPT_E_IMAGE_READ, errno, path_);
		if (got == 0)
			return failure(KCKPT_E_IMAGE_TRUNCATED, 0, fmt::format("{}, offset {}", path_, offset));
		out = out.subspan(static_cast<size_t>(got));
		offset += static_cast<uint64_t>(got);
	}
	return {};
}

} // namespace kckpt
