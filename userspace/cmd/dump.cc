// SPDX-License-Identifier: GPL-2.0-only
#include <unistd.h>

#include <optional>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cmd/command.hh"
#include "cmd/outside.hh"
#include "lib/atomic_file.hh"
#include "lib/buffer.hh"
#include "lib/device.hh"
#include "lib/progress.hh"
#include "lib/say.hh"
#include "lib/stats.hh"
#include "lib/text.hh"

namespace kckpt
{

namespace
{

constexpr uint32_t running_pause_ms = 1000; /* of --leave-running, unless --max-pause says otherwise */

class DumpCommand final : public Command
{
public:
	void attach(CLI::App &app) override;
	std::string doing() const override { return "dump " + target_.name(); }
	Result<int> run(const Options &options) override;

private:
	struct kckpt_freeze freeze_request(int cgroup) const;
	Result<> copy(Device &device, AtomicFile &file, uint64_t estimate, const Options &options) const;
	Result<> let_run(Device &device, bool kept);
	Result<> end_job(Device &device);
	Result<> tell(Device &device, const Options &options) const;
	const char *kept_name() const;
	const char *kept_text() const;

	Target target_;
	std::string output_;
	bool leave_running_ = false, leave_frozen_ = false;
	Outside outside_;
	uint32_t capture_flags_ = 0, kept_ = KCKPT_KEPT_NOT;
	uint32_t freeze_timeout_ms_ = 10000, stall_ms_ = 60000;
	std::optional<uint32_t> max_pause_ms_;
};

void DumpCommand::attach(CLI::App &app)
{
	target_.attach(app);
	app.add_option("-o,--output", output_, "the image; - is standard output")->required();
	auto *running = app.add_flag("--leave-running", leave_running_, "let the job run on afterwards");
	app.add_flag("--leave-frozen", leave_frozen_, "leave the job frozen afterwards, until `kckpt thaw`")
		->excludes(running);
	outside_.attach_to_dump(app);
	add_files_option(app, capture_flags_);
	app.add_option("--freeze-timeout", freeze_timeout_ms_, "wait that long for the last task to freeze, in ms");
	app.add_option("--max-pause", max_pause_ms_,
		       "give up when the job would stand still for longer, in ms; 0: no bound (default: 1000 with "
		       "--leave-running, else no bound)");
	app.add_option("--stall-timeout", stall_ms_, "give up when nothing was written for that long, in ms");
	app.callback([this] {
		if (output_ == "-" && isatty(STDOUT_FILENO))
			throw CLI::ValidationError("-o -", "standard output is a terminal");
	});
}

struct kckpt_freeze DumpCommand::freeze_request(int cgroup) const
{
	struct kckpt_freeze request = {};
	request.cgroup = cgroup;
	request.timeout_ms = freeze_timeout_ms_;
	request.max_pause_ms = max_pause_ms_.value_or(leave_running_ ? running_pause_ms : 0);
	request.stall_ms = stall_ms_;
	return request;
}

Result<int> DumpCommand::run(const Options &options)
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
	/* Before the freeze: a job need not stand still for a path that cannot be written. */
	Result<AtomicFile> file = AtomicFile::create(output_);
	if (!file)
		return pass(file);

	if (Result<> frozen = device->freeze(freeze_request(cgroup->fd())); !frozen)
		return pass(frozen);
	const uint32_t keep = leave_running_ ? KCKPT_CAPTURE_KEEP : 0;
	auto captured = device->capture(capture_flags_ | keep, outside_.inherit(), *external);
	if (!captured)
		return pass(captured);
	kept_ = captured->kept;
	/* Where the memory is kept as it is, the job need not wait for it to be read. */
	if (Result<> runs = let_run(*device, true); !runs)
		return pass(runs);
	if (Result<> copied = copy(*device, *file, captured->image_bytes, options); !copied)
		return pass(copied);

	/* A job that is to run on does not wait for the disk; one that is to die lives until its image is safe. */
	if (Result<> runs = let_run(*device, false); !runs)
		return pass(runs);
	if (Result<> named = file->commit(); !named)
		return pass(named);
	if (Result<> ended = end_job(*device); !ended)
		return pass(ended);
	if (Result<> told = tell(*device, options); !told)
		return pass(told);
	return Exit::done;
}

Result<> DumpCommand::copy(Device &device, AtomicFile &file, uint64_t estimate, const Options &options) const
{
	Progress progress("dump", estimate, !options.quiet && !options.json);
	const PageBuffer buffer;
	for (;;) {
		Result<size_t> got = device.read(buffer.bytes());
		if (!got)
			return pass(got);
		if (*got == 0)
			return {};
		if (Result<> wrote = file.write(buffer.bytes().first(*got)); !wrote)
			return failure(device.explain(std::move(wrote.error())));
		progress.add(*got);
	}
}

Result<> DumpCommand::let_run(Device &device, bool kept)
{
	return leave_running_ && kept == (kept_ == KCKPT_KEPT) ? device.thaw() : Result<>();
}

Result<> DumpCommand::end_job(Device &device)
{
	if (leave_running_)
		return {};
	return leave_frozen_ ? device.release_frozen() : device.kill();
}

Result<> DumpCommand::tell(Device &device, const Options &options) const
{
	if (!options.stats && !options.json)
		return {};
	Result<struct kckpt_stats> stats = device.stats();
	if (!stats)
		return pass(stats);
	if (options.json)
		print_json({{"image", output_}, {"kept", kept_name()}, {"stats", stats_json(*stats)}},
			   output_ == "-" ? stderr : stdout);
	else
		say(stderr, "{}{:<12} {}\n", stats_text(*stats), "memory", kept_text());
	return {};
}

const char *DumpCommand::kept_name() const
{
	switch (kept_) {
	case KCKPT_KEPT: return "yes";
	case KCKPT_KEPT_NO_ROOM: return "no-room";
	case KCKPT_KEPT_TOO_MUCH: return "too-much";
	default: return "no";
	}
}

const char *DumpCommand::kept_text() const
{
	switch (kept_) {
	case KCKPT_KEPT: return "read while the job ran on";
	case KCKPT_KEPT_NO_ROOM: return "read while the job stood still: no room to keep what it writes to";
	case KCKPT_KEPT_TOO_MUCH: return "read while the job stood still: too much of it is shared";
	default: return "read while the job stood still";
	}
}

} // namespace

std::unique_ptr<Command> make_dump()
{
	return std::make_unique<DumpCommand>();
}

} // namespace kckpt
