// SPDX-License-Identifier: GPL-2.0-only
#include <algorithm>
#include <array>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cmd/command.hh"
#include "cmd/outside.hh"
#include "lib/device.hh"
#include "lib/error_text.hh"
#include "lib/say.hh"
#include "lib/stats.hh"

namespace kckpt
{

namespace
{

/* These say that the check itself did not get through, and nothing about the job. */
constexpr std::array<uint32_t, 11> no_verdict = {
	KCKPT_E_NOT_PERMITTED, KCKPT_E_BAD_STATE,    KCKPT_E_NO_MEMORY,   KCKPT_E_INTERRUPTED,
	KCKPT_E_BAD_ADDRESS,   KCKPT_E_CGROUP_BUSY,  KCKPT_E_PAUSE_BOUND, KCKPT_E_WATCHDOG,
	KCKPT_E_JOB_MOVED,     KCKPT_E_CGROUP_EMPTY, KCKPT_E_SYSTEM_CALL,
};

bool is_verdict(const Error &error)
{
	return std::ranges::none_of(error.problems, [](const Problem &problem) {
		return std::ranges::find(no_verdict, problem.code) != no_verdict.end();
	});
}

class CheckCommand final : public Command
{
public:
	void attach(CLI::App &app, const Written &written) override
	{
		target_.attach(app, written);
		outside_.attach_to_dump(app, written);
		add_files_option(app, written, capture_flags_);
		app.add_option("--freeze-timeout", timeout_ms_, "wait that long for the last task, in ms");
	}

	std::string doing() const override { return "dump " + target_.name(); }

	Result<int> run(const Options &options) override
	{
		Result<Cgroup> cgroup = target_.open();
		if (!cgroup)
			return pass(cgroup);
		Result<std::vector<struct kckpt_external>> external = outside_.external();
		if (!external)
			return pass(external);
		Result<Device> device = Device::open();
		if (!device)
			return pass(device);
		Result<ModuleInfo> module = device->info();
		if (!module)
			return pass(module);
		if (module->info.flags & KCKPT_INFO_UNTESTED)
			say(stderr,
			    "kckpt: this kernel is none of those that kckpt is tested with, or was changed since: "
			    "what it has that they have not is not known\n");
		struct kckpt_freeze request = {};
		request.cgroup = cgroup->fd();
		request.timeout_ms = timeout_ms_;
		if (Result<> frozen = device->freeze(request); !frozen)
			return pass(frozen);

		struct kckpt_capture capture = {};
		capture.flags = KCKPT_CAPTURE_CHECK | capture_flags_;
		auto captured = device->capture(capture, outside_.inherit(), *external);
		if (!captured && !is_verdict(captured.error()))
			return pass(captured);
		if (Result<> thawed = device->thaw(); !thawed)
			return pass(thawed);
		return captured ? tell_good(options, *captured) : tell_blockers(options, captured.error());
	}

private:
	int tell_good(const Options &options, const struct kckpt_capture &captured) const
	{
		if (options.json)
			print_json({{"dumpable", true}, {"tasks", uint32_t(captured.nr_tasks)}}, stdout);
		else if (!options.quiet)
			say(stdout, "{} can be dumped ({} tasks)\n", target_.name(), uint32_t(captured.nr_tasks));
		return Exit::done;
	}

	/* They are what was asked for: standard output. */
	int tell_blockers(const Options &options, Error error) const
	{
		error.doing = doing();
		nlohmann::ordered_json json = {{"dumpable", false}};
		json.update(error_json(error));
		if (options.json)
			print_json(json, stdout);
		else
			say(stdout, "{}", error_text(error));
		return Exit::impossible;
	}

	Target target_;
	Outside outside_;
	uint32_t capture_flags_ = 0;
	uint32_t timeout_ms_ = 10000;
};

} // namespace

std::unique_ptr<Command> make_check()
{
	return std::make_unique<CheckCommand>();
}

} // namespace kckpt
