// SPDX-License-Identifier: GPL-2.0-only
#include <unistd.h>

#include <optional>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cmd/command.hh"
#include "cmd/outside.hh"
#include "lib/atomic_file.hh"
#include "lib/child.hh"
#include "lib/device.hh"
#include "lib/image_input.hh"
#include "lib/progress.hh"
#include "lib/say.hh"
#include "lib/stats.hh"

namespace kckpt
{

namespace
{

class RestoreCommand final : public Command
{
public:
	void attach(CLI::App &app, const Written &) override;
	std::string doing() const override { return "restore " + file_; }
	Result<int> run(const Options &options) override;

private:
	struct Outcome {
		pid_t root_pid;
		uint32_t nr_tasks;
		struct kckpt_stats stats;
	};

	Result<Cgroup> open_cgroup() const;
	Result<Outcome> restore(Cgroup *cgroup, const Options &options);
	static Result<ImageInput::At> move_until_stopped(Device &device, ImageInput &input, Progress &progress);
	Result<> load(Device &device, ImageInput &input, Cgroup *cgroup, Progress &progress, Outcome &outcome);
	Result<Cleanup> write_pidfile(pid_t pid);
	Result<struct kckpt_instantiate> instantiate(Device &device, Cgroup *cgroup);
	void tell(const Outcome &outcome, const std::string &cgroup, const Options &options) const;

	std::string file_, cgroup_, pidfile_, files_;
	std::vector<std::string> parents_;
	bool detach_ = false, dry_run_ = false, leave_frozen_ = false, keep_snapshot_ = false;
	Outside outside_;
	std::vector<struct kckpt_inherit> inherit_; /* all that takes a place, when it is open */
	uint32_t stall_ms_ = 60000;
	std::optional<SignalForwarder> signals_;
};

void RestoreCommand::attach(CLI::App &app, const Written &written)
{
	app.add_option("FILE", file_, "the image; - is standard input")->required();
	add_parent_option(app, written, parents_);
	written.flag(app, "--detach", detach_, "do not wait for the end of the restored job");
	written.option(app, "--cgroup", cgroup_,
		       "restore into this cgroup, which must be empty and is made when it is missing (default: "
		       "kckpt-restore-PID below that of the caller)");
	written.option(app, "--pidfile", pidfile_, "write the process id of the job's root there");
	auto *dry_run =
		written.flag(app, "--dry-run", dry_run_, "check the image, this kernel and the files; create nothing");
	written.flag(app, "--leave-frozen", leave_frozen_, "leave the job frozen, until `kckpt thaw`");
	auto *keep = written.flag(app, "--keep-snapshot", keep_snapshot_,
				  "keep in memory what the image has, so that the next one can be an increment of it");
	if (keep && dry_run)
		keep->excludes(dry_run);
	outside_.attach_to_restore(app, written);
	if (auto *files = written.option(app, "--files", files_,
					 "changed: take files that the job writes in any size and age; strict: also "
					 "compare device and inode"))
		files->check(CLI::IsMember({"changed", "strict"}));
	written.option(app, "--stall-timeout", stall_ms_, "give up when nothing was read for that long, in ms");
	app.callback([this] {
		if (file_ == "-" && isatty(STDIN_FILENO))
			throw CLI::ValidationError("-", "standard input is a terminal");
		if (file_ == "-" && outside_.has_descriptor(STDIN_FILENO))
			throw CLI::ValidationError("--inherit-fd 0", "standard input is the image");
	});
}

Result<Cgroup> RestoreCommand::open_cgroup() const
{
	if (!cgroup_.empty())
		return Cgroup::open_or_create(cgroup_);
	return Cgroup::create_own(fmt::format("kckpt-restore-{}", getpid()));
}

Result<int> RestoreCommand::run(const Options &options)
{
	if (Result<> good = outside_.check(); !good)
		return pass(good);
	Result<std::vector<struct kckpt_inherit>> inherit = outside_.open();
	if (!inherit)
		return pass(inherit);
	inherit_ = std::move(*inherit);
	/* Held here, so that the session is gone before a cgroup that we made is removed. */
	std::optional<Cgroup> cgroup;
	if (!dry_run_) {
		Result<Cgroup> opened = open_cgroup();
		if (!opened)
			return pass(opened);
		cgroup = std::move(*opened);
	}

	Result<Outcome> outcome = restore(cgroup ? &*cgroup : nullptr, options);
	if (!outcome)
		return pass(outcome);
	if (cgroup && (detach_ || !cgroup_.empty()))
		cgroup->keep();
	tell(*outcome, cgroup ? cgroup->path() : "", options);
	if (dry_run_ || detach_)
		return Exit::done;
	return signals_->wait_for(outcome->root_pid);
}

Result<RestoreCommand::Outcome> RestoreCommand::restore(Cgroup *cgroup, const Options &options)
{
	Result<ImageInput> input = ImageInput::open(file_, parents_);
	if (!input)
		return pass(input);
	Result<Device> device = Device::open();
	if (!device)
		return pass(device);

	Outcome outcome = {};
	{
		Progress progress("restore", input->size(), !options.quiet && !options.json);
		if (Result<> loaded = load(*device, *input, cgroup, progress, outcome); !loaded)
			return pass(loaded);
	}
	/* Once it is committed nothing may fail any more, and no signal end us before we have said so. */
	Result<Cleanup> pidfile = write_pidfile(outcome.root_pid);
	if (!pidfile)
		return pass(pidfile);
	Result<SignalForwarder> signals = SignalForwarder::begin();
	if (!signals)
		return pass(signals);
	const uint32_t flags = (leave_frozen_ ? KCKPT_COMMIT_FROZEN : 0) | (keep_snapshot_ ? KCKPT_COMMIT_SNAPSHOT : 0);
	if (Result<> committed = device->commit(flags); !committed)
		return pass(committed);
	pidfile->keep();
	signals_ = std::move(*signals);
	if (Result<struct kckpt_stats> stats = device->stats(); stats)
		outcome.stats = *stats;
	return outcome;
}

/* To the end of the records, or of the image. */
Result<ImageInput::At> RestoreCommand::move_until_stopped(Device &device, ImageInput &input, Progress &progress)
{
	for (;;) {
		const uint64_t before = input.offset();
		Result<ImageInput::At> at = input.move_to(device);
		if (!at || *at != ImageInput::At::more)
			return at;
		progress.add(input.offset() - before);
	}
}

/* The records, the tasks, the pages. */
Result<> RestoreCommand::load(Device &device, ImageInput &input, Cgroup *cgroup, Progress &progress, Outcome &outcome)
{
	Result<ImageInput::At> at = move_until_stopped(device, input, progress);
	if (at && *at == ImageInput::At::end)
		return failure(KCKPT_E_IMAGE_TRUNCATED, 0, fmt::format("offset {}, in the records", input.offset()));
	if (!at)
		return pass(at);
	Result<struct kckpt_instantiate> tasks = instantiate(device, cgroup);
	if (!tasks)
		return pass(tasks);
	outcome.root_pid = tasks->root_pid;
	outcome.nr_tasks = tasks->nr_tasks;
	at = move_until_stopped(device, input, progress);
	if (!at)
		return pass(at);
	return {};
}

Result<struct kckpt_instantiate> RestoreCommand::instantiate(Device &device, Cgroup *cgroup)
{
	if (cgroup) {
		Result<std::vector<std::string>> below = device.cgroups();
		if (!below)
			return pass(below);
		if (Result<> made = cgroup->create_below(*below); !made)
			return pass(made);
	}
	struct kckpt_instantiate request = {};
	request.cgroup = cgroup ? cgroup->fd() : -1;
	request.flags = dry_run_ ? KCKPT_INSTANTIATE_DRY_RUN : 0;
	if (files_ == "changed")
		request.flags |= KCKPT_INSTANTIATE_FILES_CHANGED;
	if (files_ == "strict")
		request.flags |= KCKPT_INSTANTIATE_FILES_STRICT;
	request.nr_inherit = static_cast<uint32_t>(inherit_.size());
	request.stall_ms = stall_ms_;
	request.inherit = reinterpret_cast<uintptr_t>(inherit_.data());
	return device.instantiate(request);
}

/* It goes again unless the restore succeeds. */
Result<Cleanup> RestoreCommand::write_pidfile(pid_t pid)
{
	if (pidfile_.empty() || dry_run_)
		return Cleanup();
	Result<AtomicFile> file = AtomicFile::create(pidfile_, 0644);
	if (!file)
		return pass(file);
	const std::string text = fmt::format("{}\n", pid);
	if (Result<> wrote = file->write(std::as_bytes(std::span(text))); !wrote)
		return pass(wrote);
	if (Result<> named = file->commit(); !named)
		return pass(named);
	return Cleanup::unlink(pidfile_);
}

/* While the job has our standard output, ours goes to standard error. */
void RestoreCommand::tell(const Outcome &outcome, const std::string &cgroup, const Options &options) const
{
	FILE *out = dry_run_ || detach_ ? stdout : stderr;
	if (options.json) {
		nlohmann::ordered_json json = {{"image", file_}, {"dry_run", dry_run_}, {"tasks", outcome.nr_tasks}};
		if (!dry_run_)
			json.update({{"pid", outcome.root_pid},
				     {"cgroup", cgroup},
				     {"snapshot", outcome.stats.kept == KCKPT_KEPT}});
		json["stats"] = stats_json(outcome.stats);
		print_json(json, out);
		fflush(out);
		return;
	}
	if (dry_run_ && !options.quiet)
		say(out, "{} can be restored\n", file_);
	if (detach_ && !dry_run_ && !options.quiet)
		say(out, "restored as pid {} in {}\n", outcome.root_pid, cgroup);
	if (keep_snapshot_ && outcome.stats.kept != KCKPT_KEPT && !dry_run_ && !options.quiet)
		say(stderr,
		    "kckpt: no snapshot is kept, so the next image must be a whole one: no room to keep what the "
		    "job writes to\n");
	if (options.stats)
		say(stderr, "{}", stats_text(outcome.stats));
	fflush(out);
}

} // namespace

std::unique_ptr<Command> make_restore()
{
	return std::make_unique<RestoreCommand>();
}

} // namespace kckpt
