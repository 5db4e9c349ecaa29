// SPDX-License-Identifier: GPL-2.0-only
#include "lib/text.hh"

#include <array>
#include <cstring>

#include <fmt/format.h>

namespace kckpt
{

namespace
{

/* Length of the valid and printable UTF-8 sequence at the start of @text; 0: there is none. */
size_t sequence_length(std::string_view text)
{
	const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
	const unsigned char first = byte(0);
	if (first < 0x80)
		return first >= 0x20 && first != 0x7f;

	const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
	if (first < 0xc2 || first > 0xf4 || text.size() < length)
		return 0;
	for (size_t i = 1; i < length; i++) {
		if ((byte(i) & 0xc0) != 0x80)
			return 0;
	}
	/* Overlong forms, surrogates, beyond the last code point, and the C1 control characters. */
	const unsigned char second = byte(1);
	const bool bad = (first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
			 (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f) ||
			 (first == 0xc2 && second < 0xa0);
	return bad ? 0 : length;
}

template <size_t N> std::string scaled(double value, double step, const std::array<const char *, N> &units)
{
	size_t unit = 0;
	while (value >= step && unit + 1 < N) {
		value /= step;
		unit++;
	}
	if (unit == 0 || value >= 99.95)
		return fmt::format("{:.0f} {}", value, units[unit]);
	return fmt::format("{:.1f} {}", value, units[unit]);
}

} // namespace

std::string printable(std::string_view text)
{
	std::string out;
	while (!text.empty()) {
		const size_t length = text[0] == '\\' ? 0 : sequence_length(text);
		if (length > 0)
			out.append(text.substr(0, length));
		else if (text[0] == '\n')
			out += "\\n";
		else if (text[0] == '\\')
			out += "\\\\";
		else
			out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[0]));
		text.remove_prefix(length > 0 ? length : 1);
	}
	return out;
}

std::string hex(std::span<const std::byte> bytes)
{
	std::string out;
	for (const std::byte byte : bytes)
		out += fmt::format("{:02x}", std::to_integer<unsigned>(byte));
	return out;
}

std::string human_bytes(uint64_t bytes)
{
	static constexpr std::array units = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	return scaled(static_cast<double>(bytes), 1024, units);
}

std::string human_ns(uint64_t ns)
{
	static constexpr std::array units = {"ns", "us", "ms", "s"};
	return scaled(static_cast<double>(ns), 1000, units);
}

std::string errno_name(int err)
{
	const char *name = strerrorname_np(err);
	return name ? name : fmt::format("errno {}", err);
}

std::string uuid_text(std::span<const char, 16> uuid)
{
	const std::string digits = hex(std::as_bytes(uuid));
	const std::string_view all = digits;
	return fmt::format("{}-{}-{}-{}-{}", all.substr(0, 8), all.substr(8, 4), all.substr(12, 4), all.substr(16, 4),
			   all.substr(20));
}

} // namespace kckpt
