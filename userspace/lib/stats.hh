/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include <kckpt/uapi.h>

namespace kckpt
{

/* What --stats prints; figures that have not come to be are left out. */
std::string stats_text(const struct kckpt_stats &stats);
nlohmann::ordered_json stats_json(const struct kckpt_stats &stats);

} // namespace kckpt
