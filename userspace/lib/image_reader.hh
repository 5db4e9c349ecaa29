/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reads an image, of which nothing is believed: every length is bounded before it is used, every digest is
 * computed anew, and nothing is allocated on the word of the image alone.
 *
 *	auto reader = ImageReader::open(std::move(source), Pages::verify);
 *	Result<> whole = reader->for_each([&](const Record &record) { ... });
 *
 * Records are handed out before their digests have been compared: a caller that acts on them has to wait for
 * the end. Structural errors end the reading at once; wrong digests are collected and told at the end, since
 * only there it is known which chunk they are in.
 */
#pragma once

#include <vector>

#include "lib/digest.hh"
#include "lib/record.hh"
#include "lib/result.hh"
#include "lib/source.hh"

namespace kckpt
{

enum class Pages {
	verify, /* read them and check the digests of the chunks */
	skip,   /* step over them where the source can; all but the pages is checked */
};

class ImageReader
{
public:
	static Result<ImageReader> open(Source source, Pages pages);

	const struct kckpt_header &header() const { return header_; }
	/* The next record, good until the next call; nullptr at the end of a whole image. */
	Result<const Record *> next();
	/* The same for all that are left. */
	template <class Visit> Result<> for_each(Visit visit)
	{
		for (;;) {
			Result<const Record *> record = next();
			if (!record)
				return pass(record);
			if (!*record)
				return {};
			visit(**record);
		}
	}
	/* Of the last record, when that was one of pages. */
	const std::vector<struct kckpt_page_run> &runs() const { return runs_; }
	uint64_t offset() const { return offset_; }
	/* Of all records, without header and end: what an increment knows its parent by. Good when they are read. */
	uint64_t records_digest() const { return body_.value(); }

private:
	enum class Stage { records, pages, digests, index, done };
	/* What begins where, to give damage a name. */
	struct Part {
		uint64_t offset;
		uint16_t family, kind;
		uint64_t object, vaddr, vaddr_end;
	};

	ImageReader(Source source, Pages pages) : source_(std::move(source)), pages_(pages) {}

	Result<> read_header();
	Result<> read_exactly(std::span<std::byte> out, std::string_view what);
	Result<> read_payload(const struct kckpt_record &head);
	Result<> read_padding(uint64_t alignment);
	Result<> pass_pages();
	Result<> enter(const struct kckpt_record &head);
	Result<> check(const Record &record);
	Result<> check_end(const Record &record);
	Result<> check_pages(const Record &record);
	Result<> check_from_parent(const Record &record);
	void note_runs(const Record &record);
	Result<> check_digests(const Record &record);
	Result<> check_index(const Record &record);
	Result<> check_trailer(const Record &record);
	Result<> finish();

	void feed(std::span<const std::byte> bytes, bool is_page);
	void name_bad_chunks(bool root_ok);
	std::string part_text(const Part &part) const;
	std::string parts_text(uint64_t from, uint64_t to) const;
	std::unexpected<Error> refuse(uint32_t code, std::string detail);

	Source source_;
	Pages pages_;
	struct kckpt_header header_ = {};
	Stage stage_ = Stage::records;
	uint64_t offset_ = 0;
	std::vector<std::byte> payload_;
	Record record_;
	std::vector<struct kckpt_page_run> runs_;
	uint64_t pages_left_ = 0; /* of the last batch, not yet stepped over */

	uint64_t nr_records_ = 0, max_object_ = 0;
	std::vector<Part> parts_;
	uint64_t end_offset_ = 0, digests_at_ = 0, index_at_ = 0;

	Digest records_, body_, root_;
	ChunkDigests chunks_{KCKPT_CHUNK_SIZE};
	uint64_t root_value_ = 0;
	std::vector<uint64_t> bad_chunks_;
	bool records_ok_ = true;
	std::vector<Problem> damage_;
};

} // namespace kckpt
