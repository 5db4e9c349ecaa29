// SPDX-License-Identifier: GPL-2.0-only
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cmd/command.hh"
#include "lib/device.hh"
#include "lib/say.hh"

namespace kckpt
{

namespace
{

class ForgetCommand final : public Command
{
public:
	void attach(CLI::App &app, const Written &) override
	{
		auto *group = app.add_option_group("job", "The job, which is a cgroup");
		group->add_option("CGROUP", cgroup_, "path of a cgroup v2 directory");
		group->add_option("--pid", pid_, "the cgroup of this process")->check(CLI::PositiveNumber);
		group->add_flag("--all", all_, "what is kept of any job");
		group->require_option(1);
	}

	std::string doing() const override
	{
		return "forget " + (all_ ? "all" : pid_ ? std::to_string(pid_) : cgroup_);
	}

	Result<int> run(const Options &options) override
	{
		std::optional<Cgroup> cgroup;
		if (!all_) {
			Result<Cgroup> opened = pid_ > 0 ? Cgroup::of_process(pid_) : Cgroup::open(cgroup_);
			if (!opened)
				return pass(opened);
			cgroup = std::move(*opened);
		}
		Result<Device> device = Device::open();
		if (!device)
			return pass(device);
		Result<uint32_t> nr = device->forget(cgroup ? cgroup->fd() : -1);
		if (!nr)
			return pass(nr);
		if (options.json)
			print_json({{"forgotten", *nr}}, stdout);
		else if (!options.quiet)
			say(stdout, "{}\n",
			    *nr == 0   ? "nothing was kept"
			    : *nr == 1 ? "what was kept of one job is gone"
				       : fmt::format("what was kept of {} jobs is gone", *nr));
		return Exit::done;
	}

private:
	std::string cgroup_;
	int pid_ = 0;
	bool all_ = false;
};

} // namespace

std::unique_ptr<Command> make_forget()
{
	return std::make_unique<ForgetCommand>();
}

} // namespace kckpt
