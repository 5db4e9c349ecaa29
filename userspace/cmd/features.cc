// SPDX-License-Identifier: GPL-2.0-only
#include <algorithm>
#include <cstring>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cmd/command.hh"
#include "lib/device.hh"
#include "lib/say.hh"

namespace kckpt
{

namespace
{

struct Family {
	std::string_view name;
	uint32_t id;
	std::string_view title;
};

constexpr Family families[] = {
#define KCKPT_FAMILY(name, id, title) {#name, id, title},
#include <kckpt/families.def>
#undef KCKPT_FAMILY
};

template <size_t N> std::string bounded(const char (&text)[N])
{
	return {text, strnlen(text, N)};
}

std::string_view title_of(uint32_t id)
{
	const auto found = std::ranges::find(families, id, &Family::id);
	return found == std::end(families) ? "not known to this tool" : found->title;
}

nlohmann::ordered_json family_json(const struct kckpt_family_info &family)
{
	nlohmann::ordered_json json = {{"name", bounded(family.name)},
				       {"id", uint32_t(family.id)},
				       {"available", family.available != 0},
				       {"title", title_of(family.id)}};
	if (!family.available)
		json["missing"] = bounded(family.missing);
	return json;
}

class FeaturesCommand final : public Command
{
public:
	void attach(CLI::App &, const Written &) override {}
	std::string doing() const override { return "tell the features"; }

	Result<int> run(const Options &options) override
	{
		Result<Device> device = Device::open();
		if (!device)
			return pass(device);
		Result<ModuleInfo> module = device->info();
		if (!module)
			return pass(module);
		options.json ? tell_json(*module) : tell_text(*module);
		return Exit::done;
	}

private:
	static void tell_json(const ModuleInfo &module)
	{
		nlohmann::ordered_json list = nlohmann::ordered_json::array();
		for (const auto &family : module.families)
			list.push_back(family_json(family));
		print_json({{"module", bounded(module.info.version)},
			    {"image", fmt::format("{}.{}", uint32_t(module.info.image_major),
						  uint32_t(module.info.image_minor))},
			    {"fault_injection", (module.info.flags & KCKPT_INFO_FAULTS) != 0},
			    {"untested_kernel", (module.info.flags & KCKPT_INFO_UNTESTED) != 0},
			    {"families", list}},
			   stdout);
	}

	static void tell_text(const ModuleInfo &module)
	{
		say(stdout, "module {}, image format {}.{}{}\n", bounded(module.info.version),
		    uint32_t(module.info.image_major), uint32_t(module.info.image_minor),
		    module.info.flags & KCKPT_INFO_UNTESTED ? ", on a kernel it was not tested with" : "");
		for (const auto &family : module.families) {
			say(stdout, "{:<10} {:<4} {}\n", bounded(family.name), family.available ? "yes" : "no",
			    title_of(family.id));
			if (!family.available)
				say(stdout, "{:<15} not on this kernel: {}\n", "", bounded(family.missing));
		}
	}
};

} // namespace

std::unique_ptr<Command> make_features()
{
	return std::make_unique<FeaturesCommand>();
}

} // namespace kckpt
