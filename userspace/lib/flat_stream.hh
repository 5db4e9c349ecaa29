/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The image that stands alone in place of a chain: the same UUID and records, and all pages that the increment finds in
 * its parents. Made piece by piece, for a file or for the kernel.
 */
#pragma once

#include <span>
#include <vector>

#include "lib/chain.hh"
#include "lib/digest.hh"

namespace kckpt
{

class FlatStream
{
public:
	explicit FlatStream(Chain chain);

	/* The next bytes, good until the next call; none at the end. */
	Result<std::span<const std::byte>> next();
	uint64_t size_estimate() const;

private:
	enum class Stage { header, records, end, pages, tail, done };

	void make_header();
	Result<> make_records();
	Result<> make_end();
	Result<> make_part();
	Result<> copy_part(const ImageFile::Part &part);
	Result<> begin_parent_part(const ImageFile::Part &part);
	Result<> make_batch();
	void add_huge(const struct kckpt_page_run &run);
	void add_small(const struct kckpt_page_run &run);
	bool has_room() const;
	void add_run(uint64_t vaddr, uint64_t nr_pages, uint32_t flags);
	Result<> read_batch();
	Result<> make_tail();

	/* Append to the piece. Pages are not in the root digest, the tail is not in chunks. */
	void add_meta(std::span<const std::byte> bytes);
	void add_zeros_to(uint64_t alignment);
	void add_row(const struct kckpt_record &head);

	Chain chain_;
	Stage stage_ = Stage::header;
	std::vector<std::byte> piece_;
	uint64_t offset_ = 0; /* of the end of the piece */

	uint64_t records_at_ = 0; /* next of the records, in the file */
	size_t part_ = 0;
	/* of a part that names pages of the parent */
	std::vector<struct kckpt_page_run> wanted_;
	size_t wanted_at_ = 0;
	uint64_t page_at_ = 0; /* page of that run which comes next */
	uint64_t source_ = 0;
	/* the batch that is being made of it */
	std::vector<struct kckpt_page_run> runs_;
	std::vector<Chain::Found> data_;
	uint32_t nr_data_ = 0, nr_zero_ = 0;

	Digest records_, root_;
	ChunkDigests chunks_{KCKPT_CHUNK_SIZE};
	std::vector<struct kckpt_index_row> rows_;
};

} // namespace kckpt
