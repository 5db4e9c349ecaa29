// SPDX-License-Identifier: GPL-2.0-only
#include "lib/error_text.hh"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "lib/text.hh"

namespace kckpt
{

namespace
{

constexpr size_t max_lines = 8; /* `where:` of one code; --json has them all */

std::string cause_name(const Problem &problem)
{
	const bool known = problem.err == 0 || problem.err == error_info(problem.code).err;
	return known ? std::string() : errno_name(problem.err);
}

std::string where_lines(const std::vector<const Problem *> &group)
{
	std::string out;
	size_t lines = 0;
	for (const Problem *problem : group) {
		const std::string where = where_text(*problem);
		if (where.empty())
			continue;
		if (++lines <= max_lines)
			out += fmt::format("  where: {}\n", where);
	}
	if (lines > max_lines)
		out += fmt::format("  where: and {} more (all with --json)\n", lines - max_lines);
	return out;
}

std::string code_text(const Problem &problem, size_t times)
{
	const ErrorInfo &info = error_info(problem.code);
	std::string out(info.name);
	if (info.code == KCKPT_E_NONE)
		out += fmt::format(" {}", problem.code);
	out += fmt::format(" ({}", info.err_name);
	if (const std::string cause = cause_name(problem); !cause.empty())
		out += fmt::format(", from {}", cause);
	return out + (times > 1 ? fmt::format("), {} times", times) : ")");
}

std::string block(const Error &error, const std::vector<const Problem *> &group)
{
	const Problem &first = *group.front();
	const ErrorInfo &info = error_info(first.code);
	std::string out = fmt::format("kckpt: cannot {}: {}\n", printable(error.doing), info.text);
	out += where_lines(group);
	out += fmt::format("  try:   {}\n", info.remedy);
	return out + fmt::format("  code:  {}\n", code_text(first, group.size()));
}

bool same_kind(const Problem &a, const Problem &b)
{
	return a.code == b.code && cause_name(a) == cause_name(b);
}

/* In the order of their first appearance. */
std::vector<std::vector<const Problem *>> groups_of(const Error &error)
{
	std::vector<std::vector<const Problem *>> groups;
	for (const Problem &problem : error.problems) {
		const auto same = [&](const auto &group) { return same_kind(*group.front(), problem); };
		const auto found = std::ranges::find_if(groups, same);
		if (found == groups.end())
			groups.push_back({&problem});
		else
			found->push_back(&problem);
	}
	return groups;
}

} // namespace

nlohmann::ordered_json problem_json(const Problem &problem)
{
	const ErrorInfo &info = error_info(problem.code);
	nlohmann::ordered_json out = {{"code", info.name}, {"errno", info.err_name}};
	if (const std::string cause = cause_name(problem); !cause.empty())
		out["cause"] = cause;
	if (problem.pid > 0)
		out["pid"] = problem.pid;
	if (!problem.comm.empty())
		out["comm"] = problem.comm;
	if (problem.fd >= 0)
		out["fd"] = problem.fd;
	if (problem.family != KCKPT_F_NONE)
		out["family"] = family_name(problem.family);
	if (problem.object > 0)
		out["object"] = problem.object;
	if (!problem.detail.empty())
		out["detail"] = problem.detail;
	out["text"] = info.text;
	out["remedy"] = info.remedy;
	return out;
}

std::string where_text(const Problem &problem)
{
	std::string out;
	const auto add = [&](std::string part) { out += (out.empty() ? "" : ", ") + std::move(part); };
	if (problem.pid > 0)
		add(fmt::format("pid {}", problem.pid));
	if (!problem.comm.empty())
		out += fmt::format("{}({})", out.empty() ? "" : " ", printable(problem.comm));
	if (problem.fd >= 0)
		add(fmt::format("fd {}", problem.fd));
	if (problem.object > 0)
		add(fmt::format("{} object {}", family_name(problem.family), problem.object));
	if (!problem.detail.empty())
		out += (out.empty() ? "" : ": ") + printable(problem.detail);
	return out;
}

std::string error_text(const Error &error)
{
	std::string out;
	for (const auto &group : groups_of(error))
		out += block(error, group);
	if (error.total > error.problems.size())
		out += fmt::format("kckpt: and {} more errors, which were only counted\n",
				   error.total - error.problems.size());
	return out;
}

nlohmann::ordered_json error_json(const Error &error)
{
	nlohmann::ordered_json out = {{"failed", error.doing}, {"errors", nlohmann::ordered_json::array()}};
	for (const Problem &problem : error.problems)
		out["errors"].push_back(problem_json(problem));
	out["total"] = std::max<uint64_t>(error.total, error.problems.size());
	return out;
}

} // namespace kckpt
