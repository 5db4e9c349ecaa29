// SPDX-License-Identifier: GPL-2.0-only
#include "lib/error.hh"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace kckpt
{

namespace
{

constexpr ErrorInfo table[] = {
#define KCKPT_ERROR(name, err, text, remedy) {KCKPT_E_##name, #name, err, #err, text, remedy},
#include <kckpt/errors.def>
#undef KCKPT_ERROR
#define KCKPT_TOOL_ERROR(name, err, text, remedy) {KCKPT_E_##name, #name, err, #err, text, remedy},
#include "tool_errors.def"
#undef KCKPT_TOOL_ERROR
};

constexpr ErrorInfo unknown = {KCKPT_E_NONE,
			       "UNKNOWN",
			       EIO,
			       "EIO",
			       "the module reports an error that this tool has no words for",
			       "use the tool that was built with the loaded module"};

/* These errnos mean: another kernel, tool or image is needed, trying again does not help. */
bool is_impossible(int err)
{
	return err == EOPNOTSUPP || err == EPROTONOSUPPORT || err == EBADMSG || err == EXDEV || err == E2BIG;
}

std::string bounded(std::span<const char> text)
{
	return {text.data(), strnlen(text.data(), text.size())};
}

} // namespace

std::span<const ErrorInfo> error_table()
{
	return table;
}

const ErrorInfo &error_info(uint32_t code)
{
	const auto found = std::ranges::find(table, code, &ErrorInfo::code);
	return found == std::end(table) ? unknown : *found;
}

Problem Problem::from(const struct kckpt_error &error)
{
	Problem problem;
	problem.code = error.code;
	problem.err = error.err < 0 ? -error.err : error.err;
	problem.pid = error.pid;
	problem.fd = error.fd;
	problem.family = error.family;
	problem.object = error.object;
	problem.comm = bounded(error.comm);
	problem.detail = bounded(error.detail);
	return problem;
}

Error::Error(uint32_t code, int err, std::string detail)
{
	Problem problem;
	problem.code = code;
	problem.err = err;
	problem.detail = std::move(detail);
	problems.push_back(std::move(problem));
}

bool Error::has(uint32_t code) const
{
	return std::ranges::find(problems, code, &Problem::code) != problems.end();
}

int Error::exit_code() const
{
	const auto impossible = [](const Problem &problem) { return is_impossible(error_info(problem.code).err); };
	return std::ranges::any_of(problems, impossible) ? 3 : 1;
}

std::string_view family_name(uint32_t family)
{
	switch (family) {
#define KCKPT_FAMILY(name, id, title) \
	case id:                      \
		return #name;
#include <kckpt/families.def>
#undef KCKPT_FAMILY
	default: return {};
	}
}

} // namespace kckpt
