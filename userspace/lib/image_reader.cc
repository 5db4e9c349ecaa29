// SPDX-License-Identifier: GPL-2.0-only
#include "lib/image_reader.hh"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "lib/image_check.hh"

namespace kckpt
{

namespace
{

constexpr size_t piece_size = 1 << 20;

bool all_zero(std::span<const std::byte> bytes)
{
	return std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; });
}

} // namespace

Result<ImageReader> ImageReader::open(Source source, Pages pages)
{
	ImageReader reader(std::move(source), pages);
	if (Result<> read = reader.read_header(); !read)
		return pass(read);
	return reader;
}

Result<> ImageReader::read_header()
{
	if (Result<> read = read_exactly(std::as_writable_bytes(std::span(&header_, 1)), "in the header"); !read)
		return read;
	if (Result<> good = check_header(header_); !good)
		return good;

	payload_.resize(header_.header_size - sizeof(header_));
	if (Result<> read = read_exactly(payload_, "in the header"); !read)
		return read;
	if (!all_zero(payload_))
		return refuse(KCKPT_E_IMAGE_NEWER, "the header has fields that this version does not know");
	feed(std::as_bytes(std::span(&header_, 1)), false);
	feed(payload_, false);
	body_.reset();
	return {};
}

/* @what: "in the header", for an image that ends there. Counts and digests are the caller's. */
Result<> ImageReader::read_exactly(std::span<std::byte> out, std::string_view what)
{
	Result<size_t> got = source_.read(out);
	if (!got)
		return pass(got);
	if (*got < out.size())
		return refuse(KCKPT_E_IMAGE_TRUNCATED, fmt::format("offset {}, {}", offset_ + *got, what));
	return {};
}

Result<const Record *> ImageReader::next()
{
	if (Result<> passed = pass_pages(); !passed)
		return pass(passed);
	if (stage_ == Stage::done) {
		if (Result<> finished = finish(); !finished)
			return pass(finished);
		return nullptr;
	}

	struct kckpt_record head;
	const auto bytes = std::as_writable_bytes(std::span(&head, 1));
	const std::string last = parts_.empty() ? "the header" : part_text(parts_.back());
	if (Result<> read = read_exactly(bytes, fmt::format("after {}", last)); !read)
		return pass(read);
	const uint64_t at = offset_;
	if (Result<> entered = enter(head); !entered)
		return pass(entered);
	feed(bytes, false);
	if (Result<> read = read_payload(head); !read)
		return pass(read);

	Result<Record> record = parse_record(at, head, payload_);
	if (!record)
		return refuse(record.error().problems[0].code, record.error().problems[0].detail);
	record_ = *record;
	parts_.push_back({at, head.family, head.kind, head.object, 0, 0});
	if (Result<> good = check(record_); !good)
		return pass(good);
	return &record_;
}

/* The order of the stream, and the digests that stop before this record. */
Result<> ImageReader::enter(const struct kckpt_record &head)
{
	static constexpr std::pair<uint16_t, std::pair<Stage, Stage>> steps[] = {
		{KCKPT_K_end, {Stage::records, Stage::pages}},   {KCKPT_K_pages, {Stage::pages, Stage::pages}},
		{KCKPT_K_shares, {Stage::pages, Stage::pages}},  {KCKPT_K_digests, {Stage::pages, Stage::digests}},
		{KCKPT_K_index, {Stage::digests, Stage::index}}, {KCKPT_K_trailer, {Stage::index, Stage::done}},
		{KCKPT_K_parent, {Stage::pages, Stage::pages}},
	};
	const std::string title = record_title(head.family, head.kind, head.object);
	const auto out_of_place = [&] {
		return refuse(KCKPT_E_IMAGE_RECORD, fmt::format("offset {}, {}: out of place", offset_, title));
	};

	if (head.size > KCKPT_MAX_RECORD)
		return refuse(KCKPT_E_IMAGE_LIMIT,
			      fmt::format("offset {}, {}: {} bytes long", offset_, title, uint32_t(head.size)));
	if (head.family != KCKPT_F_stream) {
		if (stage_ != Stage::records)
			return out_of_place();
		nr_records_++;
		max_object_ = std::max<uint64_t>(max_object_, head.object);
		return {};
	}

	const auto step = std::ranges::find(steps, head.kind, &std::pair<uint16_t, std::pair<Stage, Stage>>::first);
	if (step == std::end(steps))
		return refuse(KCKPT_E_IMAGE_NEWER, fmt::format("offset {}, {}", offset_, title));
	if (step->second.first != stage_)
		return out_of_place();
	stage_ = step->second.second;
	if (head.kind == KCKPT_K_digests)
		chunks_.finish();
	if (head.kind == KCKPT_K_trailer)
		root_value_ = root_.value();
	return {};
}

/* Grows as bytes come, not by the size that the head tells. */
Result<> ImageReader::read_payload(const struct kckpt_record &head)
{
	payload_.clear();
	while (payload_.size() < head.size) {
		const size_t had = payload_.size();
		payload_.resize(had + std::min<size_t>(piece_size, head.size - had));
		const std::string what = fmt::format("in the {}", record_title(head.family, head.kind, head.object));
		const auto piece = std::span(payload_).subspan(had);
		if (Result<> read = read_exactly(piece, what); !read)
			return read;
		feed(piece, false);
	}
	return read_padding(8);
}

Result<> ImageReader::read_padding(uint64_t alignment)
{
	std::byte bytes[KCKPT_PAGE_SIZE];
	const auto padding = std::span(bytes).first((alignment - offset_ % alignment) % alignment);
	if (Result<> read = read_exactly(padding, "in the padding of a record"); !read)
		return read;
	if (!all_zero(padding))
		return refuse(KCKPT_E_IMAGE_RECORD, fmt::format("offset {}: padding is not zero", offset_));
	feed(padding, false);
	return {};
}

/* Steps over the data of the last batch. */
Result<> ImageReader::pass_pages()
{
	const uint64_t left = std::exchange(pages_left_, 0) * KCKPT_PAGE_SIZE;
	if (left == 0)
		return {};
	if (pages_ == Pages::skip) {
		offset_ += left;
		return source_.skip(left);
	}

	payload_.resize(left); /* at most KCKPT_MAX_BATCH pages */
	if (Result<> read = read_exactly(payload_, fmt::format("in {}", part_text(parts_.back()))); !read)
		return read;
	feed(payload_, true);
	return {};
}

void ImageReader::feed(std::span<const std::byte> bytes, bool is_page)
{
	offset_ += bytes.size();
	if (stage_ == Stage::records) {
		records_.feed(bytes);
		body_.feed(bytes);
	}
	if (!is_page)
		root_.feed(bytes);
	if (pages_ == Pages::verify && stage_ <= Stage::pages)
		chunks_.feed(bytes);
}

Result<> ImageReader::check(const Record &record)
{
	if (record.head.family != KCKPT_F_stream)
		return {};
	switch (record.head.kind) {
	case KCKPT_K_end: return check_end(record);
	case KCKPT_K_pages: return check_pages(record);
	case KCKPT_K_parent: return check_from_parent(record);
	case KCKPT_K_shares:
		if (Result<> good = check_shares(record, max_object_); !good)
			return refuse(good.error().problems[0].code, good.error().problems[0].detail);
		return {};
	case KCKPT_K_digests: return check_digests(record);
	case KCKPT_K_index: return check_index(record);
	default: return check_trailer(record);
	}
}

Result<> ImageReader::check_end(const Record &record)
{
	const auto end = record.as<struct kckpt_end_rec>();
	end_offset_ = record.offset;
	records_ok_ = end.digest == records_.value();
	if (!records_ok_)
		damage_.push_back({.code = KCKPT_E_IMAGE_DAMAGED,
				   .detail = fmt::format("the records, offset 0 to {}", end_offset_)});
	if (end.nr_records != nr_records_)
		return refuse(KCKPT_E_IMAGE_RECORD, fmt::format("offset {}, end record: {} records, but there are {}",
								record.offset, uint64_t(end.nr_records), nr_records_));
	if (end.nr_objects != max_object_)
		return refuse(KCKPT_E_IMAGE_RECORD, fmt::format("offset {}, end record: {} objects, but there are {}",
								record.offset, uint64_t(end.nr_objects), max_object_));
	return {};
}

void ImageReader::note_runs(const Record &record)
{
	runs_.resize(record.tail.size() / sizeof(runs_[0]));
	if (runs_.empty())
		return;
	std::memcpy(runs_.data(), record.tail.data(), record.tail.size());
	const struct kckpt_page_run &last = runs_.back();
	parts_.back().vaddr = runs_.front().vaddr;
	parts_.back().vaddr_end = last.vaddr + uint64_t(last.nr_pages) * KCKPT_PAGE_SIZE;
}

Result<> ImageReader::check_from_parent(const Record &record)
{
	note_runs(record);
	if (Result<> good = check_parent_runs(record, runs_, header_, max_object_); !good)
		return refuse(good.error().problems[0].code, good.error().problems[0].detail);
	return {};
}

Result<> ImageReader::check_pages(const Record &record)
{
	const auto batch = record.as<struct kckpt_pages_rec>();
	note_runs(record);
	if (Result<> good = check_batch(record, runs_, max_object_); !good)
		return refuse(good.error().problems[0].code, good.error().problems[0].detail);

	pages_left_ = batch.nr_data;
	return batch.nr_data > 0 ? read_padding(KCKPT_PAGE_SIZE) : Result<>();
}

Result<> ImageReader::check_digests(const Record &record)
{
	digests_at_ = record.offset;
	const uint64_t nr = record.tail.size() / sizeof(uint64_t);
	const uint64_t wanted = (record.offset + KCKPT_CHUNK_SIZE - 1) / KCKPT_CHUNK_SIZE;
	if (nr != wanted)
		return refuse(KCKPT_E_IMAGE_RECORD,
			      fmt::format("offset {}, digests record: {} digests, but there are {} chunks",
					  record.offset, nr, wanted));
	const std::vector<uint64_t> &chunks = chunks_.values();
	for (size_t i = 0; i < chunks.size(); i++) {
		uint64_t told;
		std::memcpy(&told, record.tail.data() + i * sizeof(told), sizeof(told));
		if (told != chunks[i])
			bad_chunks_.push_back(i);
	}
	return {};
}

Result<> ImageReader::check_index(const Record &record)
{
	index_at_ = record.offset;
	struct kckpt_index_row row;
	for (size_t at = 0; at < record.tail.size(); at += sizeof(row)) {
		std::memcpy(&row, record.tail.data() + at, sizeof(row));
		const auto part = std::ranges::lower_bound(parts_, uint64_t(row.offset), {}, &Part::offset);
		if (part == parts_.end() || part->offset != row.offset || part->object != row.object ||
		    part->family != row.family || part->kind != row.kind)
			return refuse(KCKPT_E_IMAGE_RECORD,
				      fmt::format("offset {}, index record: row {} leads to no record", record.offset,
						  at / sizeof(row)));
	}
	return {};
}

Result<> ImageReader::check_trailer(const Record &record)
{
	const auto trailer = record.as<struct kckpt_trailer_rec>();
	if (trailer.self != trailer_self(record.head, trailer))
		return refuse(KCKPT_E_IMAGE_DAMAGED, fmt::format("offset {}, trailer record", record.offset));
	if (trailer.digests_at != digests_at_ || trailer.index_at != index_at_ || trailer.bytes != offset_)
		return refuse(KCKPT_E_IMAGE_RECORD,
			      fmt::format("offset {}, trailer record: it belongs to another image", record.offset));

	name_bad_chunks(trailer.root == root_value_);
	if (trailer.root != root_value_ && damage_.empty())
		damage_.push_back(
			{.code = KCKPT_E_IMAGE_DAMAGED,
			 .detail = fmt::format("{}, offset {} to {}",
					       pages_ == Pages::verify ? "digests or index record"
								       : "heads of page batches, digests or index",
					       pages_ == Pages::verify ? digests_at_ : end_offset_, record.offset)});
	return {};
}

void ImageReader::name_bad_chunks(bool root_ok)
{
	for (const uint64_t chunk : bad_chunks_) {
		uint64_t from = chunk * KCKPT_CHUNK_SIZE;
		const uint64_t to = std::min(from + KCKPT_CHUNK_SIZE, digests_at_);
		if (records_ok_)
			from = std::max(from, end_offset_); /* what is before is known to be good */
		/* With a wrong root it is no page: a batch's head in the chunk, or the list of the digests. */
		damage_.push_back(
			{.code = KCKPT_E_IMAGE_DAMAGED,
			 .detail = fmt::format("chunk {}, offset {} to {}: {}{}", chunk, from, to, parts_text(from, to),
					       records_ok_ && !root_ok ? ", or its digest" : "")});
	}
}

Result<> ImageReader::finish()
{
	std::byte byte;
	Result<size_t> got = source_.read({&byte, 1});
	if (!got)
		return pass(got);
	if (*got > 0)
		return refuse(KCKPT_E_IMAGE_DAMAGED, fmt::format("offset {}: bytes follow the trailer", offset_));
	if (damage_.empty())
		return {};
	Error error;
	error.problems = damage_;
	return failure(std::move(error));
}

std::string ImageReader::part_text(const Part &part) const
{
	if (part.family != KCKPT_F_stream || (part.kind != KCKPT_K_pages && part.kind != KCKPT_K_parent))
		return fmt::format("the {}", record_title(part.family, part.kind, part.object));
	return fmt::format("pages {:#x}-{:#x} of object {}", part.vaddr, part.vaddr_end, part.object);
}

/* What lies between two offsets: one part, or the first and the last. */
std::string ImageReader::parts_text(uint64_t from, uint64_t to) const
{
	const auto end = std::ranges::lower_bound(parts_, to, {}, &Part::offset);
	auto first = std::ranges::upper_bound(parts_, from, {}, &Part::offset);
	if (first != parts_.begin() && from >= header_.header_size)
		--first;
	if (first == end)
		return "the header";
	const std::string begin = from < header_.header_size ? "the header" : part_text(*first);
	const std::string last = part_text(*(end - 1));
	return begin == last ? begin : fmt::format("{} to {}", begin, last);
}

/* Tells what digests have found before, too: the structure may be broken because of that. */
std::unexpected<Error> ImageReader::refuse(uint32_t code, std::string detail)
{
	Error error(code, 0, std::move(detail));
	error.problems.insert(error.problems.end(), damage_.begin(), damage_.end());
	return failure(std::move(error));
}

} // namespace kckpt
