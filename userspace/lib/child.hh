/* SPDX-License-Identifier: GPL-2.0-only */
/* The restored root as the tool's child: what is meant for it reaches it, and its end becomes ours. */
#pragma once

#include <sys/types.h>

#include "lib/fd.hh"
#include "lib/result.hh"

namespace kckpt
{

class SignalForwarder
{
public:
	/* From now on the signals that one sends to a program wait here instead of ending the tool. */
	static Result<SignalForwarder> begin();

	/* Passes them on until @pid has ended; its exit status, or 128 + the signal that killed it. */
	Result<int> wait_for(pid_t pid);

private:
	explicit SignalForwarder(Fd signals) : signals_(std::move(signals)) {}
	void forward(pid_t pid, int pidfd);

	Fd signals_;
};

} // namespace kckpt
