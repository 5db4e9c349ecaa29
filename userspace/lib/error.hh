/* SPDX-License-Identifier: GPL-2.0-only */
/* What went wrong: the facts, as the kernel's report has them or as the tool found them. */
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <kckpt/uapi.h>

namespace kckpt
{

/* Codes of the tool's own list follow those of the kernel at a distance. */
enum ToolErrorCode : uint32_t {
	KCKPT_E_TOOL_FIRST = 0x10000,
#define KCKPT_TOOL_ERROR(name, err, text, remedy) KCKPT_E_##name,
#include "tool_errors.def"
#undef KCKPT_TOOL_ERROR
	KCKPT_E_TOOL_END
};

struct ErrorInfo {
	uint32_t code;
	std::string_view name; /* FILE_UNLINKED */
	int err;
	std::string_view err_name; /* ESTALE */
	std::string_view text, remedy;
};

/* A code that neither list has (a newer module) gets an entry that says so. */
const ErrorInfo &error_info(uint32_t code);
std::span<const ErrorInfo> error_table();

/* struct kckpt_error with strings of any length. */
struct Problem {
	uint32_t code = KCKPT_E_NONE;
	int err = 0; /* errno behind it, positive; 0: none */
	int pid = 0;
	int fd = -1;
	uint32_t family = KCKPT_F_NONE;
	uint64_t object = 0;
	std::string comm = {}, detail = {};

	static Problem from(const struct kckpt_error &error);
};

struct Error {
	std::string doing; /* "dump /jobs/web"; filled in by the command */
	std::vector<Problem> problems;
	uint64_t total = 0; /* more than listed when the report overflowed; 0: as listed */

	Error() = default;
	Error(uint32_t code, int err, std::string detail);
	explicit Error(Problem problem) : problems{std::move(problem)} {}

	bool has(uint32_t code) const;
	/* 3: not possible with this kernel or image, 1: anything else. */
	int exit_code() const;
};

std::string_view family_name(uint32_t family);

} // namespace kckpt
