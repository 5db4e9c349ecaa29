/* SPDX-License-Identifier: GPL-2.0-only */
/* An image in a file that was read once, and found whole: where its records and pages are, to be read again. */
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "lib/fd.hh"
#include "lib/record.hh"
#include "lib/result.hh"

namespace kckpt
{

class ImageFile
{
public:
	/* A record behind the end of the records. */
	struct Part {
		uint64_t offset;
		struct kckpt_record head;
		uint64_t data, nr_data; /* pages that follow: where, how many */
	};
	/* Pages of an object: where they are. */
	struct Run {
		enum class Where { data, zero, share, parent };
		uint64_t vaddr;
		uint64_t nr_pages;
		Where where;
		uint64_t at; /* data: offset; share, parent: the object there */

		uint64_t end() const { return vaddr + nr_pages * KCKPT_PAGE_SIZE; }
	};
	using Moved = std::function<void(uint64_t bytes)>;

	/* Reads all of it, and compares all digests. @moved is told how far that has come. */
	static Result<ImageFile> open(const std::string &path, const Moved &moved);

	const std::string &path() const { return path_; }
	const struct kckpt_header &header() const { return header_; }
	uint64_t records_digest() const { return records_digest_; }
	uint64_t size() const { return size_; }
	uint64_t end_of_records() const { return end_; } /* where the end record is */
	std::span<const Part> parts() const { return parts_; }
	std::span<const struct kckpt_index_row> index() const { return index_; } /* of the records */
	uint64_t nr_parent_pages() const { return nr_parent_pages_; }

	/* Of one object, by address. */
	std::span<const Run> runs(uint64_t object) const;
	Result<> read(std::span<std::byte> out, uint64_t offset) const;

private:
	explicit ImageFile(std::string path) : path_(std::move(path)) {}
	void add(const Record &record, std::span<const struct kckpt_page_run> runs, uint64_t data);
	void add_runs(const Record &record, std::span<const struct kckpt_page_run> runs, uint64_t data);
	void add_shares(const Record &record);
	void add_index(const Record &record);
	Result<> sort_runs();

	std::string path_;
	Fd fd_;
	struct kckpt_header header_ = {};
	uint64_t records_digest_ = 0, size_ = 0, end_ = 0, nr_parent_pages_ = 0;
	std::vector<Part> parts_;
	std::vector<struct kckpt_index_row> index_;
	std::map<uint64_t, std::vector<Run>> runs_;
};

/* The header of an image; an error if it is none. */
Result<struct kckpt_header> read_header(const std::string &path);

} // namespace kckpt
