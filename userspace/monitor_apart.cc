// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stands in for cmd/monitor.cc in a static kckpt where there is no static libmnl: hands over to kckpt-monitor, which is
 * the same tool with it. It lies beside kckpt, or in ../libexec/kckpt.
 */
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>
#include <filesystem>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "cmd/command.hh"

namespace kckpt
{

namespace
{

class MonitorCommand final : public Command
{
public:
	void attach(CLI::App &app, const Written &) override
	{
		app_ = &app;
		/* All words are for the other program. */
		app.set_help_flag();
		app.fallthrough(false);
		app.prefix_command();
	}

	std::string doing() const override { return "monitor"; }

	Result<int> run(const Options &options) override
	{
		std::vector<std::string> words = {"kckpt", "monitor"};
		if (options.json)
			words.emplace_back("--json");
		if (options.quiet)
			words.emplace_back("--quiet");
		for (const std::string &word : app_->remaining())
			words.push_back(word);
		std::vector<char *> argv;
		for (std::string &word : words)
			argv.push_back(word.data());
		argv.push_back(nullptr);

		std::error_code error;
		const std::filesystem::path here = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
		execv((here / "kckpt-monitor").c_str(), argv.data());
		if (errno == ENOENT)
			execv((here / "../libexec/kckpt/kckpt-monitor").c_str(), argv.data());
		return failure(KCKPT_E_SYSTEM_CALL, errno,
			       fmt::format("kckpt-monitor beside {}: {}", here.string(), std::strerror(errno)));
	}

private:
	CLI::App *app_ = nullptr;
};

} // namespace

std::unique_ptr<Command> make_monitor()
{
	return std::make_unique<MonitorCommand>();
}

} // namespace kckpt
