/* SPDX-License-Identifier: GPL-2.0-only */
/* Errors in words, always in one form, and the same facts as JSON. */
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "lib/error.hh"

namespace kckpt
{

/*
 *	kckpt: cannot dump /jobs/web: a file was deleted while open
 *	  where: pid 4121 (nginx), fd 7: /var/tmp/upload.part
 *	  try:   dump with --files=capture to carry its contents in the image
 *	  code:  FILE_UNLINKED (ESTALE)
 *
 * One such block for each code; what repeats has several lines `where:`.
 */
std::string error_text(const Error &error);
nlohmann::ordered_json error_json(const Error &error);

/* One fact: "pid 4121 (nginx), fd 7: /var/tmp/upload.part", empty when nothing is known of it; and all of it. */
std::string where_text(const Problem &problem);
nlohmann::ordered_json problem_json(const Problem &problem);

} // namespace kckpt
