// SPDX-License-Identifier: GPL-2.0-only
#include "lib/child.hh"

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include <fmt/format.h>

/* The header of glibc 2.36 does not say that these are C. */
extern "C" {
#include <sys/pidfd.h>
}

namespace kckpt
{

Result<SignalForwarder> SignalForwarder::begin()
{
	sigset_t set;
	sigemptyset(&set);
	for (const int signo : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH})
		sigaddset(&set, signo);
	if (sigprocmask(SIG_BLOCK, &set, nullptr) < 0)
		return failure(KCKPT_E_SYSTEM_CALL, errno, "sigprocmask");
	Fd signals(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
	if (!signals)
		return failure(KCKPT_E_SYSTEM_CALL, errno, "signalfd");
	return SignalForwarder(std::move(signals));
}

Result<int> SignalForwarder::wait_for(pid_t pid)
{
	const Fd pidfd(pidfd_open(pid, 0));
	if (!pidfd)
		return failure(KCKPT_E_ROOT_LOST, errno, fmt::format("pid {}", pid));

	struct pollfd fds[] = {{pidfd.get(), POLLIN, 0}, {signals_.get(), POLLIN, 0}};
	while (!(fds[0].revents & POLLIN)) {
		if (poll(fds, std::size(fds), -1) < 0 && errno != EINTR)
			return failure(KCKPT_E_ROOT_LOST, errno, fmt::format("pid {}", pid));
		if (fds[1].revents & POLLIN)
			forward(pid, pidfd.get());
	}

	int status;
	if (waitpid(pid, &status, __WALL) < 0)
		return failure(KCKPT_E_ROOT_LOST, errno, fmt::format("pid {}", pid));
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* What the terminal sends goes to the whole foreground group: not a second time to a root that is in it. */
void SignalForwarder::forward(pid_t pid, int pidfd)
{
	struct signalfd_siginfo info;
	while (read(signals_.get(), &info, sizeof(info)) == sizeof(info)) {
		const bool from_terminal = info.ssi_code == SI_KERNEL;
		if (!from_terminal || getpgid(pid) != getpgrp())
			pidfd_send_signal(pidfd, static_cast<int>(info.ssi_signo), nullptr, 0);
	}
}

} // namespace kckpt
