// SPDX-License-Identifier: GPL-2.0-only
#include "lib/flat_stream.hh"

#include <algorithm>
#include <cstring>

#include "lib/image_check.hh"

namespace kckpt
{

namespace
{

constexpr uint64_t huge_pages = 512;
constexpr size_t records_piece = 1 << 20;

template <class T> std::span<const std::byte> bytes_of(const T &value)
{
	return std::as_bytes(std::span(&value, 1));
}

} // namespace

FlatStream::FlatStream(Chain chain) : chain_(std::move(chain))
{
}

uint64_t FlatStream::size_estimate() const
{
	const ImageFile &file = chain_.files().front();
	return file.size() + file.nr_parent_pages() * KCKPT_PAGE_SIZE;
}

Result<std::span<const std::byte>> FlatStream::next()
{
	piece_.clear();
	while (piece_.empty() && stage_ != Stage::done) {
		Result<> made;
		switch (stage_) {
		case Stage::header: make_header(); break;
		case Stage::records: made = make_records(); break;
		case Stage::end: made = make_end(); break;
		case Stage::pages: made = make_part(); break;
		case Stage::tail: made = make_tail(); break;
		case Stage::done: break;
		}
		if (!made)
			return pass(made);
	}
	return std::span<const std::byte>(piece_);
}

/* ---- records ---- */

void FlatStream::make_header()
{
	struct kckpt_header header = chain_.files().front().header();
	std::ranges::fill(header.parent, 0);
	header.parent_digest = 0;
	header.header_size = sizeof(header); /* what a longer one has is zero */
	records_at_ = chain_.files().front().header().header_size;
	records_.feed(bytes_of(header));
	add_meta(bytes_of(header));
	stage_ = Stage::records;
}

Result<> FlatStream::make_records()
{
	const ImageFile &file = chain_.files().front();
	std::vector<std::byte> bytes(std::min<uint64_t>(records_piece, file.end_of_records() - records_at_));
	if (Result<> got = file.read(bytes, records_at_); !got)
		return got;
	records_at_ += bytes.size();
	records_.feed(bytes);
	add_meta(bytes);
	if (records_at_ == file.end_of_records())
		stage_ = Stage::end;
	return {};
}

Result<> FlatStream::make_end()
{
	const ImageFile &file = chain_.files().front();
	struct {
		struct kckpt_record head;
		struct kckpt_end_rec rec;
	} end = {};
	if (Result<> got = file.read(std::as_writable_bytes(std::span(&end.head, 1)), records_at_); !got)
		return got;
	const auto fields = std::as_writable_bytes(std::span(&end.rec, 1));
	const size_t known = std::min<size_t>(end.head.size, sizeof(end.rec));
	if (Result<> got = file.read(fields.first(known), records_at_ + sizeof(end.head)); !got)
		return got;
	end.rec.digest = records_.value();
	end.head.size = sizeof(end.rec);

	const uint64_t moved = file.header().header_size - sizeof(file.header());
	for (struct kckpt_index_row row : file.index()) {
		row.offset -= moved;
		rows_.push_back(row);
	}
	add_meta(bytes_of(end));
	stage_ = Stage::pages;
	return {};
}

/* ---- pages ---- */

Result<> FlatStream::make_part()
{
	if (wanted_at_ < wanted_.size())
		return make_batch();
	const auto parts = chain_.files().front().parts();
	if (part_ == parts.size()) {
		stage_ = Stage::tail;
		return {};
	}
	const ImageFile::Part &part = parts[part_++];
	return part.head.kind == KCKPT_K_parent ? begin_parent_part(part) : copy_part(part);
}

/* The same record; its pages begin elsewhere. */
Result<> FlatStream::copy_part(const ImageFile::Part &part)
{
	const ImageFile &file = chain_.files().front();
	std::vector<std::byte> bytes(sizeof(part.head) + part.head.size);
	if (Result<> got = file.read(bytes, part.offset); !got)
		return got;
	add_row(part.head);
	add_meta(bytes);
	add_zeros_to(part.nr_data ? KCKPT_PAGE_SIZE : 8);

	const size_t at = piece_.size();
	piece_.resize(at + part.nr_data * KCKPT_PAGE_SIZE);
	const auto data = std::span(piece_).subspan(at);
	if (Result<> got = file.read(data, part.data); !got)
		return got;
	chunks_.feed(data);
	offset_ += data.size();
	return {};
}

Result<> FlatStream::begin_parent_part(const ImageFile::Part &part)
{
	std::vector<std::byte> payload(part.head.size);
	if (Result<> got = chain_.files().front().read(payload, part.offset + sizeof(part.head)); !got)
		return got;
	Result<Record> record = parse_record(part.offset, part.head, payload);
	if (!record)
		return pass(record);
	source_ = record->as<struct kckpt_parent_rec>().source;
	wanted_.resize(record->tail.size() / sizeof(wanted_[0]));
	std::memcpy(wanted_.data(), record->tail.data(), record->tail.size());
	wanted_at_ = 0;
	page_at_ = 0;
	return {};
}

bool FlatStream::has_room() const
{
	return nr_data_ < KCKPT_MAX_BATCH && nr_zero_ < KCKPT_MAX_BATCH && runs_.size() < KCKPT_MAX_RUNS;
}

void FlatStream::add_run(uint64_t vaddr, uint64_t nr_pages, uint32_t flags)
{
	if (!runs_.empty()) {
		struct kckpt_page_run &last = runs_.back();
		if (last.flags == flags && last.vaddr + uint64_t(last.nr_pages) * KCKPT_PAGE_SIZE == vaddr) {
			last.nr_pages += static_cast<uint32_t>(nr_pages);
			return;
		}
	}
	runs_.push_back({.vaddr = vaddr, .nr_pages = static_cast<uint32_t>(nr_pages), .flags = flags});
}

/* As many pages of the run as the batch has room for. */
void FlatStream::add_small(const struct kckpt_page_run &run)
{
	while (page_at_ < run.nr_pages && has_room()) {
		const uint64_t vaddr = run.vaddr + page_at_ * KCKPT_PAGE_SIZE;
		Chain::Found found = chain_.find(1, source_, vaddr, run.nr_pages - page_at_);
		if (found.what == Chain::Found::What::data) {
			found.nr_pages = std::min<uint64_t>(found.nr_pages, KCKPT_MAX_BATCH - nr_data_);
			data_.push_back(found);
			nr_data_ += static_cast<uint32_t>(found.nr_pages);
		}
		if (found.what == Chain::Found::What::zero) {
			found.nr_pages = std::min<uint64_t>(found.nr_pages, KCKPT_MAX_BATCH - nr_zero_);
			nr_zero_ += static_cast<uint32_t>(found.nr_pages);
		}
		if (found.what != Chain::Found::What::nothing) /* all zero, as a new page is */
			add_run(vaddr, found.nr_pages, found.what == Chain::Found::What::zero ? KCKPT_RUN_ZERO : 0);
		page_at_ += found.nr_pages;
	}
}

/* One huge page, which has a batch of its own; one of zeros is as good as none. */
void FlatStream::add_huge(const struct kckpt_page_run &run)
{
	const uint64_t first = run.vaddr + page_at_ * KCKPT_PAGE_SIZE;
	bool has_data = false;
	for (uint64_t done = 0; done < huge_pages; done += data_.back().nr_pages) {
		data_.push_back(chain_.find(1, source_, first + done * KCKPT_PAGE_SIZE, huge_pages - done));
		has_data |= data_.back().what == Chain::Found::What::data;
	}
	page_at_ += huge_pages;
	if (has_data) {
		add_run(first, huge_pages, KCKPT_RUN_HUGE);
		nr_data_ = huge_pages;
	} else {
		data_.clear();
	}
}

Result<> FlatStream::make_batch()
{
	runs_.clear();
	data_.clear();
	nr_data_ = nr_zero_ = 0;
	while (wanted_at_ < wanted_.size() && has_room()) {
		const struct kckpt_page_run &run = wanted_[wanted_at_];
		if (run.flags & KCKPT_RUN_HUGE && !runs_.empty())
			break;
		if (run.flags & KCKPT_RUN_HUGE)
			add_huge(run);
		else
			add_small(run);
		if (page_at_ == run.nr_pages) {
			wanted_at_++;
			page_at_ = 0;
		}
	}
	return runs_.empty() ? Result<>() : read_batch();
}

Result<> FlatStream::read_batch()
{
	const struct kckpt_pages_rec rec = {.nr_runs = static_cast<uint32_t>(runs_.size()), .nr_data = nr_data_};
	const struct kckpt_record head = {
		.family = KCKPT_F_stream,
		.kind = KCKPT_K_pages,
		.size = static_cast<uint32_t>(sizeof(rec) + runs_.size() * sizeof(runs_[0])),
		.object = chain_.files().front().parts()[part_ - 1].head.object,
	};
	add_row(head);
	add_meta(bytes_of(head));
	add_meta(bytes_of(rec));
	add_meta(std::as_bytes(std::span(runs_)));
	add_zeros_to(nr_data_ ? KCKPT_PAGE_SIZE : 8);

	const size_t at = piece_.size();
	piece_.resize(at + uint64_t(nr_data_) * KCKPT_PAGE_SIZE);
	auto left = std::span(piece_).subspan(at);
	for (const Chain::Found &found : data_) {
		const auto bytes = left.first(found.nr_pages * KCKPT_PAGE_SIZE);
		if (found.what == Chain::Found::What::data)
			if (Result<> got = found.file->read(bytes, found.offset); !got)
				return got;
		left = left.subspan(bytes.size());
	}
	const auto data = std::span(piece_).subspan(at);
	chunks_.feed(data);
	offset_ += data.size();
	return {};
}

/* ---- the tail ---- */

Result<> FlatStream::make_tail()
{
	struct {
		struct kckpt_record head;
		struct kckpt_trailer_rec rec;
	} trailer = {};
	trailer.rec.digests_at = offset_;
	chunks_.finish();
	const std::vector<uint64_t> &chunks = chunks_.values();
	stage_ = Stage::tail;

	if (std::max(chunks.size() * sizeof(chunks[0]), rows_.size() * sizeof(rows_[0])) > KCKPT_MAX_RECORD - 8)
		return failure(KCKPT_E_IMAGE_LIMIT, 0, "the index or the digests of what is put together");
	const auto add_list = [&](uint16_t kind, std::span<const std::byte> list, uint64_t nr) {
		const struct kckpt_record head = {.family = KCKPT_F_stream,
						  .kind = kind,
						  .size = static_cast<uint32_t>(sizeof(nr) + list.size()),
						  .object = 0};
		add_meta(bytes_of(head));
		add_meta(bytes_of(nr));
		add_meta(list);
	};
	add_list(KCKPT_K_digests, std::as_bytes(std::span(chunks)), chunks.size());
	trailer.rec.index_at = offset_;
	add_list(KCKPT_K_index, std::as_bytes(std::span(rows_)), rows_.size());
	trailer.rec.root = root_.value();
	trailer.rec.bytes = offset_ + sizeof(trailer);
	trailer.head = {.family = KCKPT_F_stream, .kind = KCKPT_K_trailer, .size = sizeof(trailer.rec), .object = 0};
	trailer.rec.self = trailer_self(trailer.head, trailer.rec);
	add_meta(bytes_of(trailer));
	stage_ = Stage::done;
	return {};
}

/* ---- bytes ---- */

void FlatStream::add_meta(std::span<const std::byte> bytes)
{
	piece_.insert(piece_.end(), bytes.begin(), bytes.end());
	offset_ += bytes.size();
	root_.feed(bytes);
	if (stage_ != Stage::tail)
		chunks_.feed(bytes);
}

void FlatStream::add_zeros_to(uint64_t alignment)
{
	static constexpr std::byte zeros[KCKPT_PAGE_SIZE] = {};
	add_meta(std::span(zeros).first((alignment - offset_ % alignment) % alignment));
}

void FlatStream::add_row(const struct kckpt_record &head)
{
	rows_.push_back(
		{.offset = offset_, .object = head.object, .family = head.family, .kind = head.kind, .reserved = 0});
}

} // namespace kckpt
