// SPDX-License-Identifier: GPL-2.0-only
#include "lib/stats.hh"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "lib/text.hh"

namespace kckpt
{

std::string stats_text(const struct kckpt_stats &stats)
{
	std::string out;
	const auto line = [&](std::string_view name, const std::string &value) {
		out += fmt::format("{:<12} {}\n", name, value);
	};
	const auto time = [&](std::string_view name, uint64_t ns) {
		if (ns > 0)
			line(name, human_ns(ns));
	};
	line("tasks", fmt::to_string(uint32_t(stats.nr_tasks)));
	line("image", human_bytes(stats.bytes));
	line("pages", fmt::format("{} ({}), {} zero", uint64_t(stats.pages), human_bytes(stats.pages * 4096),
				  uint64_t(stats.zero_pages)));
	if (stats.parent_pages > 0)
		line("in parent", fmt::format("{} ({}), {} of them not looked at", uint64_t(stats.parent_pages),
					      human_bytes(stats.parent_pages * 4096), uint64_t(stats.unchanged_pages)));
	if (stats.cow_pages > 0)
		line("copies",
		     fmt::format("{} or fewer ({})", uint64_t(stats.cow_pages), human_bytes(stats.cow_pages * 4096)));
	time("freeze", stats.freeze_ns);
	time("capture", stats.capture_ns);
	time("pause", stats.pause_ns);
	time("transfer", stats.transfer_ns);
	time("create", stats.create_ns);
	time("commit", stats.commit_ns);
	return out;
}

nlohmann::ordered_json stats_json(const struct kckpt_stats &stats)
{
	return {{"tasks", uint32_t(stats.nr_tasks)},
		{"bytes", uint64_t(stats.bytes)},
		{"pages", uint64_t(stats.pages)},
		{"zero_pages", uint64_t(stats.zero_pages)},
		{"parent_pages", uint64_t(stats.parent_pages)},
		{"unchanged_pages", uint64_t(stats.unchanged_pages)},
		{"cow_pages", uint64_t(stats.cow_pages)},
		{"freeze_ns", uint64_t(stats.freeze_ns)},
		{"capture_ns", uint64_t(stats.capture_ns)},
		{"pause_ns", uint64_t(stats.pause_ns)},
		{"create_ns", uint64_t(stats.create_ns)},
		{"commit_ns", uint64_t(stats.commit_ns)},
		{"transfer_ns", uint64_t(stats.transfer_ns)}};
}

} // namespace kckpt
