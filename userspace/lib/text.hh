/* SPDX-License-Identifier: GPL-2.0-only */
/* Words for people: sizes, times, and strings from images and kernels that a terminal must not obey. */
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace kckpt
{

/* Valid UTF-8 as it is; control characters and stray bytes as \n or \x1b. */
std::string printable(std::string_view text);

std::string hex(std::span<const std::byte> bytes);
std::string human_bytes(uint64_t bytes); /* 17 B, 1.5 KiB, 23 GiB */
std::string human_ns(uint64_t ns);       /* 830 ns, 1.5 ms, 12 s */
std::string errno_name(int err);         /* ENOSPC */
std::string uuid_text(std::span<const char, 16> uuid);

} // namespace kckpt
