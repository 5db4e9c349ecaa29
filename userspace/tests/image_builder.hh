/* SPDX-License-Identifier: GPL-2.0-only */
/* Makes images, right ones and wrong ones, for the tests: the writer in the kernel told a second time. */
#pragma once

#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "lib/record.hh"

namespace kckpt
{

using Bytes = std::vector<std::byte>;

class ImageBuilder
{
public:
	ImageBuilder();

	struct kckpt_header &header(); /* to be changed before the records are ended */

	/* A record as its struct says; any bytes at all with raw_record(). */
	template <class T> ImageBuilder &record(uint64_t object, const T &fields, std::string_view tail = {})
	{
		Bytes payload(sizeof(fields) + tail.size());
		std::memcpy(payload.data(), &fields, sizeof(fields));
		if (!tail.empty())
			std::memcpy(payload.data() + sizeof(fields), tail.data(), tail.size());
		return raw_record(RecordOf<T>::family_id, RecordOf<T>::kind, object, payload);
	}
	ImageBuilder &raw_record(uint16_t family, uint16_t kind, uint64_t object, std::span<const std::byte> payload);

	ImageBuilder &end_records();
	/* @fill is what the data pages are full of. */
	ImageBuilder &pages(uint64_t mm, const std::vector<struct kckpt_page_run> &runs, unsigned char fill = 0xa5);
	/* What the parent has of @mm, which is @source there. */
	ImageBuilder &from_parent(uint64_t mm, uint64_t source, const std::vector<struct kckpt_page_run> &runs);
	ImageBuilder &shares(uint64_t mm, const std::vector<struct kckpt_share_run> &runs);
	Bytes finish();

	const std::vector<size_t> &edges() const { return edges_; } /* where records and page data begin */

private:
	void append(std::span<const std::byte> bytes, bool is_page = false);
	void align(size_t alignment);
	void row(uint16_t family, uint16_t kind, uint64_t object);

	Bytes bytes_, meta_; /* all, and all that is not page data */
	std::vector<struct kckpt_index_row> rows_;
	std::vector<size_t> edges_;
	uint64_t nr_records_ = 0, last_object_ = 0;
};

/* A process with one thread, two areas, three descriptors, pipes and pages: the smallest image worth showing. */
ImageBuilder small_image();
/* The same with @nr_batches full batches of pages. */
ImageBuilder big_image(unsigned nr_batches);

} // namespace kckpt
