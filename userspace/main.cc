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
std::string_view first_word(std::span<char *const> words)
{
	const auto word = std::ranges::find_if(words, [](std::string_view one) { return !one.starts_with('-'); });
	return word == words.end() ? std::string_view() : *word;
}

/* The grammar, as far as it is needed for these words. */
class CommandLine
{
public:
	CommandLine(std::span<char *const> words, Written::What what);

	CLI::App &app() { return app_; }
	const Options &options() const { return options_; }
	Command *chosen() const;

private:
	CLI::App app_{"Checkpoint and restore of Linux programs, inside the kernel.", "kckpt"};
	Options options_;
	std::vector<std::pair<CLI::App *, std::unique_ptr<Command>>> commands_;
};

CommandLine::CommandLine(std::span<char *const> words, Written::What what)
{
	const Written written(words, what);
	if (!written.has("-h,--help"))
		app_.set_help_flag(); /* none */
	if (written.has("--version"))
		app_.set_version_flag("--version", KCKPT_VERSION);
	app_.require_subcommand(1);
	written.flag(app_, "--json", options_.json, "results and errors as JSON");
	written.flag(app_, "--quiet", options_.quiet, "errors only");
	written.flag(app_, "--stats", options_.stats, "sizes and times at the end");

	const std::string_view named = first_word(words);
	const bool is_known = std::ranges::count(entries, named, &Entry::name) > 0;
	for (const Entry &entry : entries) {
		if (is_known && named != entry.name)
			continue;
		CLI::App *sub = app_.add_subcommand(std::string(entry.name), entry.title)->fallthrough();
		commands_.emplace_back(sub, entry.make());
		commands_.back().second->attach(*sub, written);
	}
}

Command *CommandLine::chosen() const
{
	const auto parsed = std::ranges::find_if(commands_, [](const auto &entry) { return entry.first->parsed(); });
	return parsed == commands_.end() ? nullptr : parsed->second.get();
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

	const std::span<char *const> words = std::span(argv, static_cast<size_t>(argc)).subspan(argc > 0);
	for (const auto what : {Written::What::some, Written::What::everything}) {
		CommandLine line(words, what);
		try {
			line.app().parse(argc, argv);
		} catch (const CLI::ParseError &error) {
			if (what == Written::What::some)
				continue; /* what is wrong, and what there is, says the whole grammar */
			return line.app().exit(error) == 0 ? Exit::done : Exit::usage;
		}
		const int status = run(*line.chosen(), line.options());
		fflush(nullptr);
		_exit(status); /* the kernel takes back what is left, faster than we could */
	}
	return Exit::usage;
}
