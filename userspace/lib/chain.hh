/* SPDX-License-Identifier: GPL-2.0-only */
/* An increment with all images that it builds on, and where each page of it is in them. */
#pragma once

#include <string>
#include <vector>

#include "lib/image_file.hh"

namespace kckpt
{

class Chain
{
public:
	/*
	 * Opens the image at @path, its parent, the parent of that, and so on: each is the one of @parents with the
	 * right UUID, else the one beside the image that wants it. All are read and found whole.
	 */
	static Result<Chain> open(const std::string &path, const std::vector<std::string> &parents,
				  const ImageFile::Moved &moved);

	/* The first is the image itself, the last one stands alone. */
	const std::vector<ImageFile> &files() const { return files_; }

	/* What the first pages of a range are. */
	struct Found {
		enum class What { nothing, zero, data } what;
		uint64_t nr_pages;     /* of how many that is true */
		const ImageFile *file; /* data: where it is */
		uint64_t offset;
	};
	/* Of @object of files()[@level], which must not be the first. */
	Found find(size_t level, uint64_t object, uint64_t vaddr, uint64_t nr_pages) const;

private:
	std::vector<ImageFile> files_;
};

/* An image in the directory of @path that builds on the one at @path; empty: none does, or there is no image. */
std::string image_that_needs(const std::string &path);

} // namespace kckpt
