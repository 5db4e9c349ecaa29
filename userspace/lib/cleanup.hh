/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What must not stay behind when a signal ends the tool.
 *
 * The handler undoes and exits by itself: there is then no moment at which a signal is noticed too late,
 * such as just before a call that blocks. It does only what a handler may. What the kernel holds for us goes
 * with the descriptor of the session.
 */
#pragma once

#include <csignal>
#include <string>
#include <utility>

namespace kckpt
{

/* Undone in reverse order by a signal, and by the destructor unless it was kept. */
class Cleanup
{
public:
	Cleanup() = default;
	static Cleanup unlink(const std::string &path);
	static Cleanup rmdir(const std::string &path); /* of a cgroup: waits a second for its last task */

	Cleanup(Cleanup &&other) noexcept : slot_(std::exchange(other.slot_, -1)) {}
	Cleanup &operator=(Cleanup &&other) noexcept
	{
		std::swap(slot_, other.slot_);
		return *this;
	}
	~Cleanup();
	void keep(); /* it is to stay */

private:
	explicit Cleanup(int slot) : slot_(slot) {}
	int slot_ = -1;
};

/* Signals wait while this lives: what is made gets its Cleanup before one can come in between. */
class SignalsHeld
{
public:
	SignalsHeld()
	{
		sigset_t all;
		sigfillset(&all);
		sigprocmask(SIG_BLOCK, &all, &before_);
	}
	SignalsHeld(const SignalsHeld &) = delete;
	SignalsHeld &operator=(const SignalsHeld &) = delete;
	~SignalsHeld() { sigprocmask(SIG_SETMASK, &before_, nullptr); }

private:
	sigset_t before_;
};

/* A descriptor that a signal closes before anything else is undone; -1: none. */
void close_on_signal(int fd);

/* From now on SIGINT, SIGTERM, SIGHUP and SIGQUIT clean up, say @message and exit with 128 + their number. */
void exit_on_signals(const std::string &message);

} // namespace kckpt
