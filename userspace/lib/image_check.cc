// SPDX-License-Identifier: GPL-2.0-only
#include "lib/image_check.hh"

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include <fmt/format.h>

#include "lib/digest.hh"

namespace kckpt
{

namespace
{

constexpr uint32_t max_header = 1 << 16;
constexpr uint32_t known_run_flags = KCKPT_RUN_ZERO | KCKPT_RUN_HUGE;
constexpr uint32_t huge_pages = 512;         /* in one of 2 MiB */
constexpr uint64_t address_end = 1ull << 57; /* of the largest user address space */

bool pread_exactly(int fd, void *out, size_t size, uint64_t offset)
{
	return pread(fd, out, size, static_cast<off_t>(offset)) == static_cast<ssize_t>(size);
}

bool is_zero(std::span<const char> text)
{
	return std::ranges::all_of(text, [](char c) { return c == 0; });
}

bool is_good(const struct kckpt_page_run &run)
{
	return run.nr_pages > 0 && run.vaddr % KCKPT_PAGE_SIZE == 0 && run.vaddr < address_end &&
	       run.nr_pages <= (address_end - run.vaddr) / KCKPT_PAGE_SIZE;
}

} // namespace

bool has_parent(const struct kckpt_header &header)
{
	return !is_zero(header.parent);
}

Result<> check_header(const struct kckpt_header &header)
{
	if (std::memcmp(header.magic, KCKPT_IMAGE_MAGIC, sizeof(header.magic)) != 0)
		return failure(KCKPT_E_IMAGE_MAGIC, 0, {});
	if (header.major != KCKPT_IMAGE_MAJOR)
		return failure(KCKPT_E_IMAGE_NEWER, 0,
			       fmt::format("header: format {}.{}, this is kckpt for {}.{}", uint32_t(header.major),
					   uint32_t(header.minor), KCKPT_IMAGE_MAJOR, KCKPT_IMAGE_MINOR));
	if (header.header_size < sizeof(header) || header.header_size > max_header || header.header_size % 8 != 0)
		return failure(KCKPT_E_IMAGE_RECORD, 0,
			       fmt::format("header: its size is {}", uint32_t(header.header_size)));
	if (header.page_shift != 12)
		return failure(KCKPT_E_IMAGE_RECORD, 0,
			       fmt::format("header: page_shift is {}", uint32_t(header.page_shift)));
	if (header.header_flags != 0 || !is_zero(header.reserved))
		return failure(KCKPT_E_IMAGE_NEWER, 0, "header: flags that this version does not know");
	return {};
}

Result<> check_batch(const Record &record, std::span<const struct kckpt_page_run> runs, uint64_t nr_objects)
{
	const auto batch = record.as<struct kckpt_pages_rec>();
	const auto refuse = [&](uint32_t code, std::string_view what) -> Result<> {
		return failure(code, 0, fmt::format("offset {}, pages record: {}", record.offset, what));
	};
	if (runs.empty() || runs.size() > KCKPT_MAX_RUNS || batch.nr_data > KCKPT_MAX_BATCH)
		return refuse(KCKPT_E_IMAGE_LIMIT,
			      fmt::format("{} runs with {} pages of data", runs.size(), uint32_t(batch.nr_data)));
	if (record.head.object == 0 || record.head.object > nr_objects)
		return refuse(KCKPT_E_IMAGE_RECORD,
			      fmt::format("object {} is not in the image", uint64_t(record.head.object)));

	uint64_t nr_data = 0;
	for (const struct kckpt_page_run &run : runs) {
		if (run.flags & ~known_run_flags)
			return refuse(KCKPT_E_IMAGE_NEWER, fmt::format("run flags {:#x}", uint32_t(run.flags)));
		if (!is_good(run))
			return refuse(KCKPT_E_IMAGE_RECORD,
				      fmt::format("{} pages at {:#x}", uint32_t(run.nr_pages), uint64_t(run.vaddr)));
		nr_data += run.flags & KCKPT_RUN_ZERO ? 0 : run.nr_pages;
	}
	if (nr_data != batch.nr_data)
		return refuse(KCKPT_E_IMAGE_RECORD,
			      fmt::format("{} pages of data, but runs of {}", uint32_t(batch.nr_data), nr_data));
	return {};
}

Result<> check_parent_runs(const Record &record, std::span<const struct kckpt_page_run> runs,
			   const struct kckpt_header &header, uint64_t nr_objects)
{
	const auto refuse = [&](uint32_t code, std::string_view what) -> Result<> {
		return failure(code, 0, fmt::format("offset {}, parent record: {}", record.offset, what));
	};
	const auto rec = record.as<struct kckpt_parent_rec>();
	if (!has_parent(header))
		return refuse(KCKPT_E_IMAGE_RECORD, "the image has no parent");
	if (record.head.object == 0 || record.head.object > nr_objects)
		return refuse(KCKPT_E_IMAGE_RECORD,
			      fmt::format("object {} is not in the image", uint64_t(record.head.object)));
	if (runs.empty() || runs.size() > KCKPT_MAX_RUNS)
		return refuse(KCKPT_E_IMAGE_LIMIT, fmt::format("{} runs", runs.size()));
	if (rec.source == 0 || rec.reserved != 0)
		return refuse(KCKPT_E_IMAGE_RECORD, "no source");
	for (const struct kckpt_page_run &run : runs) {
		if (run.flags & ~KCKPT_RUN_HUGE)
			return refuse(KCKPT_E_IMAGE_NEWER, fmt::format("run flags {:#x}", uint32_t(run.flags)));
		const uint32_t unit = run.flags & KCKPT_RUN_HUGE ? huge_pages : 1;
		if (!is_good(run) || run.nr_pages % unit != 0 || run.vaddr % (uint64_t(unit) * KCKPT_PAGE_SIZE) != 0)
			return refuse(KCKPT_E_IMAGE_RECORD,
				      fmt::format("{} pages at {:#x}", uint32_t(run.nr_pages), uint64_t(run.vaddr)));
	}
	return {};
}

Result<> check_shares(const Record &record, uint64_t nr_objects)
{
	const auto refuse = [&](std::string_view what) -> Result<> {
		return failure(KCKPT_E_IMAGE_RECORD, 0,
			       fmt::format("offset {}, shares record: {}", record.offset, what));
	};
	if (record.head.object == 0 || record.head.object > nr_objects)
		return refuse(fmt::format("object {} is not in the image", uint64_t(record.head.object)));
	uint64_t after = 0;
	struct kckpt_share_run run;
	for (size_t at = 0; at < record.tail.size(); at += sizeof(run)) {
		std::memcpy(&run, record.tail.data() + at, sizeof(run));
		if (run.nr_pages == 0 || run.vaddr % KCKPT_PAGE_SIZE != 0 || run.vaddr >= address_end ||
		    run.nr_pages > (address_end - run.vaddr) / KCKPT_PAGE_SIZE || run.vaddr < after ||
		    run.source == 0 || run.source >= record.head.object || run.flags != 0)
			return refuse(fmt::format("{} pages at {:#x}", uint32_t(run.nr_pages), uint64_t(run.vaddr)));
		after = run.vaddr + uint64_t(run.nr_pages) * KCKPT_PAGE_SIZE;
	}
	return {};
}

uint64_t trailer_self(const struct kckpt_record &head, const struct kckpt_trailer_rec &trailer)
{
	Digest digest;
	digest.feed(std::as_bytes(std::span(&head, 1)));
	digest.feed(std::as_bytes(std::span(&trailer, 1)).first(offsetof(struct kckpt_trailer_rec, self)));
	return digest.value();
}

Result<struct kckpt_header> check_ends(int fd, uint64_t size)
{
	struct kckpt_header header;
	if (size < sizeof(header) || !pread_exactly(fd, &header, sizeof(header), 0)) {
		char magic[sizeof(header.magic)] = "";
		const bool ours = pread_exactly(fd, magic, sizeof(magic), 0) &&
				  std::memcmp(magic, KCKPT_IMAGE_MAGIC, sizeof(magic)) == 0;
		return failure(ours ? KCKPT_E_IMAGE_TRUNCATED : KCKPT_E_IMAGE_MAGIC, 0, fmt::format("{} bytes", size));
	}
	if (Result<> good = check_header(header); !good)
		return pass(good);
	if (header.minor > KCKPT_IMAGE_MINOR)
		return header; /* its trailer may be a longer one */

	struct {
		struct kckpt_record head;
		struct kckpt_trailer_rec fields;
	} trailer;
	if (size < header.header_size + sizeof(trailer) ||
	    !pread_exactly(fd, &trailer, sizeof(trailer), size - sizeof(trailer)) ||
	    trailer.head.family != KCKPT_F_stream || trailer.head.kind != KCKPT_K_trailer)
		return failure(KCKPT_E_IMAGE_TRUNCATED, 0, fmt::format("no trailer at its end, offset {}", size));
	if (trailer.fields.self != trailer_self(trailer.head, trailer.fields) || trailer.fields.bytes != size)
		return failure(KCKPT_E_IMAGE_DAMAGED, 0,
			       fmt::format("trailer record, offset {}", size - sizeof(trailer)));
	return header;
}

} // namespace kckpt
