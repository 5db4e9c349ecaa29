// SPDX-License-Identifier: GPL-2.0-only
#include <poll.h>
#include <sys/signalfd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cmd/command.hh"
#include "lib/events.hh"
#include "lib/fd.hh"
#include "lib/say.hh"

namespace kckpt
{

namespace
{

/* From now on they come by this descriptor: what is being printed is then never cut. */
Fd end_signals()
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, nullptr);
	return Fd(signalfd(-1, &set, SFD_CLOEXEC));
}

std::vector<std::string> all_events()
{
	std::vector<std::string> words;
	for (uint32_t what = KCKPT_EVENT_NONE + 1; what < KCKPT_EVENT_END; what++)
		words.push_back(event_word(what));
	return words;
}

class MonitorCommand final : public Command
{
public:
	void attach(CLI::App &app, const Written &) override
	{
		auto *session = app.add_option("--session", session_, "only the one with this number, until it ends")
					->check(CLI::PositiveNumber);
		app.add_flag("--once", once_, "only the next one that begins, until it ends")->excludes(session);
		app.add_option("--until", until_, "end with the first event of this name")
			->check(CLI::IsMember(all_events()));
	}

	std::string doing() const override { return "monitor"; }

	Result<int> run(const Options &options) override
	{
		const Fd signals = end_signals();
		Result<EventSocket> socket = EventSocket::open();
		if (!socket)
			return pass(socket);
		options_ = options;
		tell_word("listening");
		while (status_ < 0 && !ferror(stdout)) {
			struct pollfd fds[] = {{socket->fd(), POLLIN, 0}, {signals.get(), POLLIN, 0}};
			const int ready = poll(fds, 2, lost_ && waits() ? 0 : -1);
			if (ready < 0 && errno != EINTR)
				return failure(KCKPT_E_SYSTEM_CALL, errno, "poll");
			if (ready == 0) /* what was waited for is not among those that were kept */
				return failure(KCKPT_E_EVENTS_LOST, 0, "");
			if (fds[1].revents)
				return waits() ? Exit::failed : Exit::done;
			if (!fds[0].revents)
				continue;
			if (Result<> taken = take(*socket); !taken)
				return pass(taken);
		}
		return status_ < 0 ? Exit::failed : status_;
	}

private:
	bool waits() const { return once_ || session_ > 0 || !until_.empty(); }

	Result<> take(EventSocket &socket)
	{
		Result<EventSocket::Received> received = socket.receive();
		if (!received)
			return pass(received);
		if (received->lost)
			tell_word("lost");
		lost_ = lost_ || received->lost;
		for (const Event &event : received->events) {
			if (status_ < 0)
				look_at(event);
		}
		if (status_ < 0 && received->end)
			return failure(KCKPT_E_MODULE_MISSING, 0, "it was unloaded");
		return {};
	}

	void look_at(const Event &event)
	{
		if (once_ && session_ == 0 && event.what == KCKPT_EVENT_BEGUN)
			session_ = event.session;
		if ((once_ || session_ > 0) && event.session != session_)
			return;
		tell(event);
		failed_ = failed_ || event.what == KCKPT_EVENT_FAILED || event.what == KCKPT_EVENT_EXPIRED;
		if (event_word(event.what) == until_)
			status_ = Exit::done;
		else if (session_ > 0 && event.what == KCKPT_EVENT_CLOSED)
			status_ = failed_ || !until_.empty() ? Exit::failed : Exit::done;
	}

	void tell(const Event &event) const
	{
		if (options_.json)
			tell_line(event_json(event));
		else if (!options_.quiet)
			say(stdout, "{}\n", event_text(event));
		fflush(stdout);
	}

	/* What is not an event of the module's. */
	void tell_word(const char *word) const
	{
		if (options_.json)
			tell_line({{"event", word}});
		else if (!options_.quiet)
			say(stdout, "{}\n", word);
		fflush(stdout);
	}

	static void tell_line(const nlohmann::ordered_json &json)
	{
		say(stdout, "{}\n", json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
	}

	Options options_;
	uint64_t session_ = 0; /* 0: all, or with once_ the next one */
	bool once_ = false, failed_ = false, lost_ = false;
	std::string until_;
	int status_ = -1;
};

} // namespace

std::unique_ptr<Command> make_monitor()
{
	return std::make_unique<MonitorCommand>();
}

} // namespace kckpt
