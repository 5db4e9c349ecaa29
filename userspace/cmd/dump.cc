// SPDX-License-Identifier: GPL-2.0-only
#include <unistd.h>

#include <array>
#include <cstring>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cmd/command.hh"
#include "cmd/dump_job.hh"
#include "cmd/outside.hh"
#include "lib/say.hh"
#include "lib/stats.hh"
#include "lib/text.hh"

namespace kckpt
{

namespace
{

class DumpCommand final : public Command
{
public:
	void attach(CLI::App &app, const Written &) override;
	std::string doing() const override { return "dump " + target_.name(); }
	Result<int> run(const Options &options) override;

private:
	void tell(const DumpJob::Outcome &outcome, const Options &options) const;

	Target target_;
	DumpJob job_;
	bool leave_running_ = false, leave_frozen_ = false;
	Outside outside_;
};

const char *kept_name(const DumpJob::Outcome &outcome)
{
	if (!outcome.why_dropped.empty())
		return "dropped";
	switch (outcome.kept) {
	case KCKPT_KEPT: return "yes";
	case KCKPT_KEPT_NO_ROOM: return "no-room";
	case KCKPT_KEPT_TOO_MUCH: return "too-much";
	default: return "no";
	}
}

std::string kept_text(const DumpJob::Outcome &outcome)
{
	if (!outcome.why_dropped.empty())
		return "read while the job stood still, as what was kept had to go: " + outcome.why_dropped;
	switch (outcome.kept) {
	case KCKPT_KEPT: return "read while the job ran on";
	case KCKPT_KEPT_NO_ROOM: return "read while the job stood still: no room to keep what it writes to";
	case KCKPT_KEPT_TOO_MUCH: return "read while the job stood still: too much of it is shared";
	default: return "read while the job stood still";
	}
}

void DumpCommand::attach(CLI::App &app, const Written &written)
{
	target_.attach(app, written);
	app.add_option("-o,--output", job_.output, "the image; - is standard output")->required();
	auto *running = written.flag(app, "--leave-running", leave_running_, "let the job run on afterwards");
	auto *frozen = written.flag(app, "--leave-frozen", leave_frozen_,
				    "leave the job frozen afterwards, until `kckpt thaw`");
	if (running && frozen)
		frozen->excludes(running);
	written.flag(app, "--keep-snapshot", job_.keep_snapshot,
		     "keep in memory what the image has, so that the next one can be an increment of it");
	written.option(app, "--parent", job_.parent,
		       "an increment: leave out what the job has not written to since this image was made");
	outside_.attach_to_dump(app, written);
	add_files_option(app, written, job_.capture_flags);
	written.option(app, "--freeze-timeout", job_.freeze_timeout_ms,
		       "wait that long for the last task to freeze, in ms");
	written.option(app, "--max-pause", job_.max_pause_ms,
		       "give up when the job would stand still for longer, in ms; 0: no bound (default: 1000 with "
		       "--leave-running, else no bound)");
	add_max_cow_option(app, written, job_.max_cow);
	written.flag(app, "--direct", job_.direct,
		     "write to the disk past the page cache, which is then left to others");
	written.option(app, "--stall-timeout", job_.stall_ms, "give up when nothing was written for that long, in ms");
	app.callback([this] {
		if (job_.output == "-" && isatty(STDOUT_FILENO))
			throw CLI::ValidationError("-o -", "standard output is a terminal");
		if (job_.keep_snapshot && !leave_running_ && !leave_frozen_)
			throw CLI::ValidationError("--keep-snapshot",
						   "needs --leave-running or --leave-frozen: there is no next image");
		if (job_.max_cow > 0 && !leave_running_)
			throw CLI::ValidationError("--max-cow", "needs --leave-running: else the job writes nothing");
	});
}

Result<int> DumpCommand::run(const Options &options)
{
	Result<Cgroup> cgroup = target_.open();
	if (!cgroup)
		return pass(cgroup);
	Result<std::vector<struct kckpt_external>> external = outside_.external();
	if (!external)
		return pass(external);
	const std::vector<struct kckpt_inherit> inherit = outside_.inherit();
	job_.inherit = inherit;
	job_.external = *external;
	job_.show_progress = !options.quiet && !options.json;
	job_.then = leave_running_  ? DumpJob::Then::run
		    : leave_frozen_ ? DumpJob::Then::stay_frozen
				    : DumpJob::Then::kill;

	Result<DumpJob::Outcome> outcome = job_.run(*cgroup);
	if (!outcome)
		return pass(outcome);
	tell(*outcome, options);
	return Exit::done;
}

void DumpCommand::tell(const DumpJob::Outcome &outcome, const Options &options) const
{
	std::array<char, 16> uuid;
	std::memcpy(uuid.data(), outcome.captured.image, sizeof(uuid));
	if (options.json) {
		print_json({{"image", job_.output},
			    {"uuid", uuid_text(uuid)},
			    {"increment", !job_.parent.empty()},
			    {"kept", kept_name(outcome)},
			    {"snapshot", outcome.has_snapshot},
			    {"stats", stats_json(outcome.stats)}},
			   job_.output == "-" ? stderr : stdout);
		return;
	}
	if (job_.keep_snapshot && !outcome.has_snapshot && !options.quiet)
		say(stderr, "kckpt: no snapshot is kept, so the next image must be a whole one: {}\n",
		    kept_text(outcome));
	if (options.stats)
		say(stderr, "{}{:<12} {}\n", stats_text(outcome.stats), "memory", kept_text(outcome));
}

} // namespace

std::unique_ptr<Command> make_dump()
{
	return std::make_unique<DumpCommand>();
}

} // namespace kckpt
