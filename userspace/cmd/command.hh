/* SPDX-License-Identifier: GPL-2.0-only */
/* What each subcommand is: its options, and what it does when they have been parsed. */
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "cmd/written.hh"
#include "lib/cgroup.hh"
#include "lib/result.hh"

namespace kckpt
{

/* Good for every command. */
struct Options {
	bool json = false, quiet = false, stats = false;
};

enum Exit { done = 0, failed = 1, usage = 2, impossible = 3 };

class Command
{
public:
	Command() = default;
	Command(const Command &) = delete;
	Command &operator=(const Command &) = delete;
	virtual ~Command() = default;

	/* Options and help; nothing is done yet. */
	virtual void attach(CLI::App &app, const Written &written) = 0;
	virtual std::string doing() const = 0;               /* "dump /jobs/web", after "cannot" */
	virtual Result<int> run(const Options &options) = 0; /* the exit status */
};

/* The job: CGROUP or --pid PID. */
class Target
{
public:
	void attach(CLI::App &app, const Written &written);
	std::string name() const { return pid_ > 0 ? "pid " + std::to_string(pid_) : cgroup_; }
	Result<Cgroup> open() const { return pid_ > 0 ? Cgroup::of_process(pid_) : Cgroup::open(cgroup_); }

private:
	std::string cgroup_;
	int pid_ = 0;
};

/* --files=capture, a flag of KCKPT_IOC_CAPTURE. */
void add_files_option(CLI::App &app, const Written &written, uint32_t &capture_flags);

/* --max-cow SIZE, of kckpt_capture.max_cow. */
void add_max_cow_option(CLI::App &app, const Written &written, uint64_t &max_cow);

/* --parent, where increments are put together with what they build on. */
void add_parent_option(CLI::App &app, const Written &written, std::vector<std::string> &parents);

void print_json(const nlohmann::ordered_json &value, FILE *out);
/* One of many, on standard output: a line each. */
void print_json_line(const nlohmann::ordered_json &value);

std::unique_ptr<Command> make_auto();
std::unique_ptr<Command> make_check();
std::unique_ptr<Command> make_dump();
std::unique_ptr<Command> make_features();
std::unique_ptr<Command> make_flatten();
std::unique_ptr<Command> make_forget();
std::unique_ptr<Command> make_freeze();
std::unique_ptr<Command> make_monitor();
std::unique_ptr<Command> make_restore();
std::unique_ptr<Command> make_show();
std::unique_ptr<Command> make_thaw();
std::unique_ptr<Command> make_verify();
std::unique_ptr<Command> make_version();

} // namespace kckpt
