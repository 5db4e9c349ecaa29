// SPDX-License-Identifier: GPL-2.0-only
/* The list of commands, and what is common to them. */
#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <span>
#include <string_view>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cmd/command.hh"
#include "lib/cleanup.hh"
#include "lib/error_text.hh"
#include "lib/say.hh"

namespace
{

using namespace kckpt;

struct Entry {
	std::string_view name;
	const char *title;
	std::unique_ptr<Command> (*make)();
};

constexpr Entry entries[] = {
	{"dump", "write the state of a job into an image", make_dump},
	{"restore", "bring a job back from its image", make_restore},
	{"check", "tell what keeps a job from being dumped", make_check},
	{"show", "tell what is in an image", make_show},
	{"verify", "tell whether an image is whole", make_verify},
	{"flatten", "put an increment and its parents together", make_flatten},
	{"auto", "dump a job again and again", make_auto},
	{"forget", "drop what is kept for the next increment", make_forget},
	{"freeze", "stop a job", make_freeze},
	{"thaw", "let a frozen job run on", make_thaw},
	{"monitor", "tell what happens, as it happens", make_monitor},
	{"features", "tell what the module can do on this kernel", make_features},
	{"version", "tell the versions", make_version},
};

/*
 * A descriptor that we open must never become one of the three that everybody uses. Those that are missing are
 * opened the wrong way round: an image that goes to a closed standard output has to fail.
 */
void open_standard_fds()
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0)
			open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
	}
}

/* No option before the command takes a value. */
std::string_view first_word(std::span<char *const> arguments)
{
	const auto word =
		std::ranges::find_if(arguments, [](std::string_view argument) { return !argument.starts_with('-'); });
	return word == arguments.end() ? std::string_view() : *word;
}

void set_up_signals(const std::string &doing)
{
	signal(SIGPIPE, SIG_IGN); /* EPIPE has a name and a place */
	signal(SIGCHLD, SIG_DFL); /* ignored, it would take the restored root's status away */
	Error error(KCKPT_E_INTERRUPTED, 0, {});
	error.doing = doing;
	exit_on_signals("\n" + error_text(error));
}

int run(Command &command, const Options &options)
{
	set_up_signals(command.doing());
	Result<int> status = command.run(options);
	if (status && (fflush(stdout) != 0 || ferror(stdout))) {
		if (errno == EPIPE) /* head(1) has seen enough */
			return Exit::failed;
		status = failure(KCKPT_E_FILE_WRITE, errno, "standard output");
	}
	if (status)
		return *status;

	Error error = std::move(status.error());
	error.doing = command.doing();
	if (options.json)
		print_json(error_json(error), stderr);
	else
		say(stderr, "{}", error_text(error));
	return error.exit_code();
}

} // namespace

int main(int argc, char **argv)
{
	open_standard_fds();
	mallopt(M_TRIM_THRESHOLD, 64 << 20); /* what is freed is wanted again, or goes with us soon */

	CLI::App app("Checkpoint and restore of Linux programs, inside the kernel.", "kckpt");
	app.set_version_flag("--version", KCKPT_VERSION);
	app.require_subcommand(1);
	Options options;
	app.add_flag("--json", options.json, "results and errors as JSON");
	app.add_flag("--quiet", options.quiet, "errors only");
	app.add_flag("--stats", options.stats, "sizes and times at the end");

	/* The one that is meant: the options of all of them would take a good part of a small job's time. */
	const std::string_view named = first_word(std::span(argv, static_cast<size_t>(argc)).subspan(argc > 0));
	const bool is_known = std::ranges::count(entries, named, &Entry::name) > 0;
	std::vector<std::pair<CLI::App *, std::unique_ptr<Command>>> commands;
	for (const Entry &entry : entries) {
		if (is_known && named != entry.name)
			continue;
		CLI::App *sub = app.add_subcommand(std::string(entry.name), entry.title)->fallthrough();
		commands.emplace_back(sub, entry.make());
		commands.back().second->attach(*sub);
	}

	try {
		app.parse(argc, argv);
	} catch (const CLI::ParseError &error) {
		return app.exit(error) == 0 ? Exit::done : Exit::usage;
	}
	for (auto &[sub, command] : commands) {
		if (!sub->parsed())
			continue;
		const int status = run(*command, options);
		fflush(nullptr);
		_exit(status); /* the kernel takes back what is left, faster than we could */
	}
	return Exit::usage;
}
