// SPDX-License-Identifier: GPL-2.0-only
#include "cmd/command.hh"

#include <cstdio>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <kckpt/uapi.h>

namespace kckpt
{

void Target::attach(CLI::App &app, const Written &written)
{
	auto *group = app.add_option_group("job", "The job, which is a cgroup");
	group->add_option("CGROUP", cgroup_, "path of a cgroup v2 directory, also below the mount of the hierarchy");
	if (auto *pid = written.option(*group, "--pid", pid_, "the cgroup of this process"))
		pid->check(CLI::PositiveNumber);
	group->require_option(1);
}

void add_max_cow_option(CLI::App &app, const Written &written, uint64_t &max_cow)
{
	if (!written.has("--max-cow"))
		return;
	app.add_option("--max-cow", max_cow,
		       "let the job copy at most so much memory while it is read, as it runs on: 64M, 1G (default: no "
		       "bound)")
		->transform(CLI::Validator(
			[](std::string &size) { return CLI::AsSizeValue(false)(size); }, /* its tables: when wanted */
			"SIZE [b, kb(=1024b), ...]"));
}

void add_files_option(CLI::App &app, const Written &written, uint32_t &capture_flags)
{
	if (!written.has("--files"))
		return;
	app.add_option_function<std::string>(
		   "--files", [&](const std::string &) { capture_flags |= KCKPT_CAPTURE_FILES; },
		   "capture: files that were deleted while in use go into the image")
		->check(CLI::IsMember({"capture"}));
}

void add_parent_option(CLI::App &app, const Written &written, std::vector<std::string> &parents)
{
	written.option(app, "--parent", parents,
		       "where an image is that this increment builds on (default: beside it); may be repeated");
}

void print_json(const nlohmann::ordered_json &value, FILE *out)
{
	/* Names and paths may hold bytes that are not UTF-8. */
	const std::string text = value.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
	fprintf(out, "%s\n", text.c_str());
}

void print_json_line(const nlohmann::ordered_json &value)
{
	printf("%s\n", value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
}

} // namespace kckpt
