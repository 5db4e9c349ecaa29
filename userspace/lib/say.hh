/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <cstdio>
#include <string>
#include <utility>

#include <fmt/format.h>

namespace kckpt
{

/* Prints, and does not mind when nobody listens: fmt::print() would throw. main() looks at stdout at the end. */
template <class... Args> void say(FILE *out, fmt::format_string<Args...> format, Args &&...args)
{
	const std::string text = fmt::format(format, std::forward<Args>(args)...);
	fwrite(text.data(), 1, text.size(), out);
}

} // namespace kckpt
