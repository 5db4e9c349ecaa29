/* SPDX-License-Identifier: GPL-2.0-only */
/* The parts of an image that make sense, or not, on their own. */
#pragma once

#include <span>

#include "lib/record.hh"
#include "lib/result.hh"

namespace kckpt
{

/* Is it an increment? */
bool has_parent(const struct kckpt_header &header);
Result<> check_header(const struct kckpt_header &header);
Result<> check_batch(const Record &record, std::span<const struct kckpt_page_run> runs, uint64_t nr_objects);
/* Those of a record that names what the parent has; @header: of the image. */
Result<> check_parent_runs(const Record &record, std::span<const struct kckpt_page_run> runs,
			   const struct kckpt_header &header, uint64_t nr_objects);
Result<> check_shares(const Record &record, uint64_t nr_objects);
uint64_t trailer_self(const struct kckpt_record &head, const struct kckpt_trailer_rec &trailer);

/* Looks at the first and last bytes of a regular file only: a quick word before anything is begun. Its header. */
Result<struct kckpt_header> check_ends(int fd, uint64_t size);

} // namespace kckpt
