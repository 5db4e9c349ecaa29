// SPDX-License-Identifier: GPL-2.0-only
#include <CLI/CLI.hpp>

#include "cmd/command.hh"

namespace kckpt
{

namespace
{

/* Needs no module: a job that was left frozen must be thawed whatever has become of that. */
class ThawCommand final : public Command
{
public:
	void attach(CLI::App &app, const Written &written) override { target_.attach(app, written); }
	std::string doing() const override { return "thaw " + target_.name(); }

	Result<int> run(const Options &) override
	{
		Result<Cgroup> cgroup = target_.open();
		if (!cgroup)
			return pass(cgroup);
		if (Result<> thawed = cgroup->write("cgroup.freeze", "0"); !thawed)
			return pass(thawed);
		return Exit::done;
	}

private:
	Target target_;
};

} // namespace

std::unique_ptr<Command> make_thaw()
{
	return std::make_unique<ThawCommand>();
}

} // namespace kckpt
