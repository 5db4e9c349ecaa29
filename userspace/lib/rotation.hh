/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Numbered images of one job in a directory, of which the old ones go: NAME-000042.kimg, and NAME.kimg, a symbolic link
 * to the newest.
 *
 * An image goes when enough others stay without it that do not build on it, so that at any moment, whatever happens,
 * all that are there can be restored: a whole image goes with the increments on top of it, these first.
 */
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lib/fd.hh"
#include "lib/result.hh"

namespace kckpt
{

class Rotation
{
public:
	/*
	 * Made when it is missing. Images that are there already count; what somebody who was killed did not finish is
	 * removed. Nobody else can have them while this one lives.
	 */
	static Result<Rotation> open(const std::string &directory, const std::string &name);

	std::string next() const;       /* path for the next image */
	std::string last() const;       /* path of the newest; empty: there is none */
	unsigned nr_increments() const; /* between it and the whole image below it */

	/* The image at @path, from next(), is there: the link is set, and what is too old goes, so that @keep stay. */
	Result<> added(const std::string &path, bool whole, size_t keep);

private:
	struct Image {
		uint64_t number;
		bool whole;
	};

	Rotation(std::string directory, std::string name) : directory_(std::move(directory)), name_(std::move(name)) {}
	std::string path_of(uint64_t number) const;
	Result<> lock();
	Result<> look();
	Result<> set_link(const std::string &path) const;
	Result<> drop_old(size_t keep);

	std::string directory_, name_;
	Fd lock_;
	std::vector<Image> images_; /* by number */
	uint64_t last_number_ = 0;  /* also of files that are no images, or not of a kind that we know */
};

} // namespace kckpt
