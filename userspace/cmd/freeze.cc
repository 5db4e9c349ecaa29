// SPDX-License-Identifier: GPL-2.0-only
#include <CLI/CLI.hpp>

#include "cmd/command.hh"
#include "lib/device.hh"

namespace kckpt
{

namespace
{

class FreezeCommand final : public Command
{
public:
	void attach(CLI::App &app, const Written &written) override
	{
		target_.attach(app, written);
		app.add_option("--freeze-timeout", timeout_ms_, "wait that long for the last task, in ms");
	}

	std::string doing() const override { return "freeze " + target_.name(); }

	Result<int> run(const Options &) override
	{
		Result<Cgroup> cgroup = target_.open();
		if (!cgroup)
			return pass(cgroup);
		Result<Device> device = Device::open();
		if (!device)
			return pass(device);

		struct kckpt_freeze request = {};
		request.cgroup = cgroup->fd();
		request.timeout_ms = timeout_ms_;
		if (Result<> frozen = device->freeze(request); !frozen)
			return pass(frozen);
		if (Result<> released = device->release_frozen(); !released)
			return pass(released);
		return Exit::done;
	}

private:
	Target target_;
	uint32_t timeout_ms_ = 10000;
};

} // namespace

std::unique_ptr<Command> make_freeze()
{
	return std::make_unique<FreezeCommand>();
}

} // namespace kckpt
