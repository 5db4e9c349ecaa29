// SPDX-License-Identifier: GPL-2.0-only
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cmd/command.hh"
#include "cmd/dump_job.hh"
#include "cmd/outside.hh"
#include "lib/error_text.hh"
#include "lib/image_file.hh"
#include "lib/rotation.hh"
#include "lib/say.hh"
#include "lib/text.hh"

namespace kckpt
{

namespace
{

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::milliseconds;

constexpr int max_chain = 500; /* all images of a chain are open at a time */

class AutoCommand final : public Command
{
public:
	void attach(CLI::App &app, const Written &written) override;
	std::string doing() const override { return "auto " + target_.name(); }
	Result<int> run(const Options &options) override;

private:
	enum class Woken { in_time, by_signal };

	Result<> open(const Options &options);
	Woken wait_until(Clock::time_point time) const;
	Result<> dump(const Options &options);
	Result<> dump_last(const Options &options);
	Result<DumpJob::Outcome> dump_to(const std::string &path);
	Result<> done(const std::string &path, const DumpJob::Outcome &outcome, const Options &options);
	bool job_is_gone() const;
	void forget() const;
	void complain(Error error, const Options &options) const;

	Target target_;
	DumpJob job_;
	Outside outside_;
	std::string directory_, name_, every_text_ = "60s", signal_name_;
	Milliseconds every_{60000};
	unsigned keep_ = 5, whole_every_ = 10, count_ = 0;
	int signal_ = 0;
	sigset_t signals_ = {};

	std::optional<Cgroup> cgroup_;
	std::vector<struct kckpt_inherit> inherit_;
	std::vector<struct kckpt_external> external_;
	std::optional<Rotation> rotation_;
	std::string last_; /* what the next one can build on; empty: it must be a whole one */
	unsigned nr_increments_ = 0, nr_done_ = 0;
};

/* "90", "90s", "500ms", "5m", "1h"; 0: it is none of these. */
Milliseconds parse_time(const std::string &text)
{
	static constexpr std::pair<std::string_view, double> units[] = {
		{"ms", 1}, {"s", 1e3}, {"", 1e3}, {"m", 60e3}, {"h", 3600e3}};
	char *end;
	errno = 0;
	const double value = std::strtod(text.c_str(), &end);
	for (const auto &[unit, ms] : units)
		if (unit == end && end != text.c_str() && std::isfinite(value) && value > 0 && value * ms < 1e12)
			return Milliseconds(static_cast<int64_t>(std::ceil(value * ms)));
	return Milliseconds(0);
}

/* "TERM", "SIGTERM", "15"; 0: there is none. */
int parse_signal(std::string text)
{
	if (text.starts_with("SIG"))
		text.erase(0, 3);
	for (int nr = 1; nr < SIGRTMIN; nr++)
		if (const char *name = sigabbrev_np(nr); (name && text == name) || text == std::to_string(nr))
			return nr == SIGKILL || nr == SIGSTOP ? 0 : nr;
	return 0;
}

void AutoCommand::attach(CLI::App &app, const Written &written)
{
	target_.attach(app, written);
	app.add_option("--every", every_text_, "how often: 500ms, 60s, 5m, 1h")->capture_default_str();
	app.add_option("--keep", keep_, "so many images stay, at least; each of them can be restored")
		->check(CLI::PositiveNumber)
		->capture_default_str();
	app.add_option("--whole-every", whole_every_,
		       "after so many images comes one that builds on no other; 1: they are all so")
		->check(CLI::Range(1, max_chain))
		->capture_default_str();
	app.add_option("-d,--directory", directory_, "where the images go; it is made when it is missing")->required();
	app.add_option("--name", name_, "what their names begin with (default: the last part of the cgroup's path)");
	app.add_option("--count", count_, "end after so many images (default: with the job)");
	app.add_option(
		"--on-signal", signal_name_,
		"on this signal make a last image, end the job, and end: TERM, for machines that are taken away");
	outside_.attach_to_dump(app, written);
	add_files_option(app, written, job_.capture_flags);
	app.add_option("--freeze-timeout", job_.freeze_timeout_ms, "wait that long for the last task to freeze, in ms");
	app.add_option(
		"--max-pause", job_.max_pause_ms,
		"give up an image when the job would stand still for longer, in ms; 0: no bound (default: 1000)");
	add_max_cow_option(app, written, job_.max_cow);
	app.add_flag("--direct", job_.direct, "write to the disk past the page cache, which is then left to others");
	app.callback([this] {
		every_ = parse_time(every_text_);
		if (every_.count() == 0)
			throw CLI::ValidationError("--every", "not a time: " + every_text_);
		signal_ = signal_name_.empty() ? 0 : parse_signal(signal_name_);
		if (!signal_name_.empty() && signal_ == 0)
			throw CLI::ValidationError("--on-signal", "not a signal that can wait: " + signal_name_);
		if (name_.find('/') != std::string::npos || name_.starts_with('.'))
			throw CLI::ValidationError("--name", "not the beginning of a file's name: " + name_);
	});
}

Result<> AutoCommand::open(const Options &options)
{
	Result<Cgroup> cgroup = target_.open();
	if (!cgroup)
		return pass(cgroup);
	cgroup_ = std::move(*cgroup);
	Result<std::vector<struct kckpt_external>> external = outside_.external();
	if (!external)
		return pass(external);
	external_ = std::move(*external);
	inherit_ = outside_.inherit();
	job_.inherit = inherit_;
	job_.external = external_;
	job_.show_progress = !options.quiet && !options.json;

	const std::string name = name_.empty() ? std::filesystem::path(cgroup_->path()).filename().string() : name_;
	Result<Rotation> rotation = Rotation::open(directory_, name.empty() ? "job" : name);
	if (!rotation)
		return pass(rotation);
	rotation_ = std::move(*rotation);
	/* One that we made before may still be known to the module. */
	last_ = rotation_->last();
	nr_increments_ = rotation_->nr_increments();
	return {};
}

/* The signal waits until it is asked for: an image that is being made is made first. */
AutoCommand::Woken AutoCommand::wait_until(Clock::time_point time) const
{
	for (;;) {
		const auto left = std::max<Clock::duration>(time - Clock::now(), Clock::duration::zero());
		const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
		const struct timespec timeout = {.tv_sec = static_cast<time_t>(seconds.count()),
						 .tv_nsec = static_cast<long>((left - seconds).count())};
		if (signal_ == 0 && left > Clock::duration::zero()) {
			nanosleep(&timeout, nullptr);
			continue;
		}
		if (signal_ != 0 && sigtimedwait(&signals_, nullptr, &timeout) == signal_)
			return Woken::by_signal;
		if (Clock::now() >= time)
			return Woken::in_time;
	}
}

Result<int> AutoCommand::run(const Options &options)
{
	sigemptyset(&signals_);
	if (signal_ != 0) {
		sigaddset(&signals_, signal_);
		sigprocmask(SIG_BLOCK, &signals_, nullptr);
	}
	if (Result<> opened = open(options); !opened)
		return pass(opened);

	Clock::time_point next = Clock::now();
	while (count_ == 0 || nr_done_ < count_) {
		if (wait_until(next) == Woken::by_signal && !job_is_gone()) {
			if (Result<> dumped = dump_last(options); !dumped)
				return pass(dumped);
			return Exit::done;
		}
		if (job_is_gone()) {
			if (!options.quiet && !options.json)
				say(stderr, "the job has ended\n");
			return nr_done_ > 0 ? Exit::done : Exit::failed;
		}
		/* What keeps one image from being made may be over when the next one is due. */
		if (Result<> dumped = dump(options); !dumped && !job_is_gone())
			complain(std::move(dumped.error()), options);
		next = std::max(next + every_, Clock::now());
	}
	forget();
	return Exit::done;
}

/* Where there is no next image for it, what is kept need not take the job's memory. */
void AutoCommand::forget() const
{
	if (Result<Device> device = Device::open(); device)
		(void)device->forget(cgroup_->fd());
}

bool AutoCommand::job_is_gone() const
{
	return !cgroup_->is_populated();
}

Result<DumpJob::Outcome> AutoCommand::dump_to(const std::string &path)
{
	job_.output = path;
	/* Whatever has become of the last image: a whole one can always be made. */
	if (nr_increments_ + 1 >= whole_every_ || (!last_.empty() && !read_header(last_)))
		last_.clear();
	job_.parent = last_;
	Result<DumpJob::Outcome> outcome = job_.run(*cgroup_);
	if (!outcome && !job_.parent.empty() &&
	    (outcome.error().has(KCKPT_E_PARENT_NOT_KEPT) || outcome.error().has(KCKPT_E_PARENT_BUSY))) {
		job_.parent.clear();
		outcome = job_.run(*cgroup_);
	}
	/* Without room for copies it stands still for long. What is kept takes room, and goes when nothing builds on
	 * it. */
	if (!outcome && outcome.error().has(KCKPT_E_PAUSE_BOUND) && !outcome.error().has(KCKPT_E_KEPT_DROPPED))
		last_.clear();
	return outcome;
}

Result<> AutoCommand::dump(const Options &options)
{
	job_.then = DumpJob::Then::run;
	job_.keep_snapshot = whole_every_ > 1;
	const std::string path = rotation_->next();
	Result<DumpJob::Outcome> outcome = dump_to(path);
	if (!outcome)
		return pass(outcome);
	nr_increments_ = job_.parent.empty() ? 0 : nr_increments_ + 1;
	last_ = outcome->has_snapshot ? path : "";
	if (last_.empty() && job_.keep_snapshot)
		forget(); /* that of an older image, on which nothing will build */
	return done(path, *outcome, options);
}

Result<> AutoCommand::dump_last(const Options &options)
{
	job_.then = DumpJob::Then::kill;
	job_.keep_snapshot = false;
	job_.max_pause_ms = 0; /* it does not run on */
	const std::string path = rotation_->next();
	Result<DumpJob::Outcome> outcome = dump_to(path);
	if (!outcome)
		return pass(outcome);
	return done(path, *outcome, options);
}

Result<> AutoCommand::done(const std::string &path, const DumpJob::Outcome &outcome, const Options &options)
{
	nr_done_++;
	if (options.json)
		print_json_line({{"image", path},
				 {"increment", !job_.parent.empty()},
				 {"bytes", uint64_t(outcome.stats.bytes)},
				 {"pause_ns", uint64_t(outcome.stats.pause_ns)},
				 {"snapshot", outcome.has_snapshot}});
	else if (!options.quiet)
		say(stdout, "{}: {}, {}, pause {}\n", path, job_.parent.empty() ? "whole" : "increment",
		    human_bytes(outcome.stats.bytes), human_ns(outcome.stats.pause_ns));
	fflush(stdout);
	return rotation_->added(path, job_.parent.empty(), keep_);
}

void AutoCommand::complain(Error error, const Options &options) const
{
	error.doing = "dump " + target_.name();
	if (options.json)
		print_json(error_json(error), stderr);
	else
		say(stderr, "{}", error_text(error));
}

} // namespace

std::unique_ptr<Command> make_auto()
{
	return std::make_unique<AutoCommand>();
}

} // namespace kckpt
