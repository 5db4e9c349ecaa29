// SPDX-License-Identifier: GPL-2.0-only
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <kckpt/image.h>

#include "cmd/command.hh"
#include "lib/device.hh"
#include "lib/say.hh"

namespace kckpt
{

namespace
{

class VersionCommand final : public Command
{
public:
	void attach(CLI::App &, const Written &) override {}
	std::string doing() const override { return "tell the version"; }

	/* Good without a module, too. */
	Result<int> run(const Options &options) override
	{
		std::string module;
		if (Result<Device> device = Device::open(); device) {
			if (Result<ModuleInfo> info = device->info(); info)
				module = std::string(info->info.version,
						     strnlen(info->info.version, sizeof(info->info.version)));
		}
		if (options.json) {
			print_json({{"version", KCKPT_VERSION},
				    {"abi", KCKPT_ABI},
				    {"image", fmt::format("{}.{}", KCKPT_IMAGE_MAJOR, KCKPT_IMAGE_MINOR)},
				    {"module",
				     module.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(module)}},
				   stdout);
			return Exit::done;
		}
		say(stdout, "kckpt {} (interface {}, image format {}.{})\n", KCKPT_VERSION, KCKPT_ABI,
		    KCKPT_IMAGE_MAJOR, KCKPT_IMAGE_MINOR);
		say(stdout, "module {}\n", module.empty() ? "not loaded, or not to be had" : module);
		return Exit::done;
	}
};

} // namespace

std::unique_ptr<Command> make_version()
{
	return std::make_unique<VersionCommand>();
}

} // namespace kckpt
