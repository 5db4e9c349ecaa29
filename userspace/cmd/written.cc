// SPDX-License-Identifier: GPL-2.0-only
#include "cmd/written.hh"

#include <algorithm>
#include <ranges>

namespace kckpt
{

bool Written::has(std::string_view names) const
{
	const auto is_one = [this](auto name) {
		return std::ranges::any_of(words_, [name = std::string_view(name)](std::string_view word) {
			return word.starts_with(name); /* --output=FILE, -oFILE */
		});
	};
	return is_everything_ || std::ranges::any_of(std::views::split(names, ','), is_one);
}

} // namespace kckpt
