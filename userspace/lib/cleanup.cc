// SPDX-License-Identifier: GPL-2.0-only
#include "lib/cleanup.hh"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace kckpt
{

namespace
{

enum Act { nothing, unlink_path, rmdir_path };

struct Slot {
	std::atomic<Act> act = nothing; /* written last: the path is then complete */
	char *path = nullptr;
};

/* As many as a job may have sub-cgroups, and a few. */
Slot slots[4096];
std::atomic<int> session = -1;
char farewell[1024];

void remove_directory(const char *path)
{
	const struct timespec pause = {0, 10'000'000};
	for (int tries = 0; tries < 100 && ::rmdir(path) < 0 && errno == EBUSY; tries++)
		nanosleep(&pause, nullptr);
}

void undo(Slot &slot)
{
	switch (slot.act.exchange(nothing)) {
	case unlink_path: ::unlink(slot.path); break;
	case rmdir_path: remove_directory(slot.path); break;
	case nothing: break;
	}
}

int take_slot(Act act, const std::string &path)
{
	for (int i = 0; i < static_cast<int>(std::size(slots)); i++) {
		if (slots[i].act != nothing)
			continue;
		free(slots[i].path);
		slots[i].path = strdup(path.c_str());
		slots[i].act = act;
		return i;
	}
	return -1;
}

void on_signal(int signo)
{
	if (const int fd = session.exchange(-1); fd >= 0)
		close(fd);
	for (size_t i = std::size(slots); i-- > 0;)
		undo(slots[i]);
	[[maybe_unused]] const ssize_t said = write(STDERR_FILENO, farewell, strlen(farewell));
	_exit(128 + signo);
}

} // namespace

Cleanup Cleanup::unlink(const std::string &path)
{
	return Cleanup(take_slot(unlink_path, path));
}

Cleanup Cleanup::rmdir(const std::string &path)
{
	return Cleanup(take_slot(rmdir_path, path));
}

Cleanup::~Cleanup()
{
	if (slot_ >= 0)
		undo(slots[slot_]);
}

void Cleanup::keep()
{
	if (slot_ >= 0)
		slots[slot_].act = nothing;
	slot_ = -1;
}

void close_on_signal(int fd)
{
	session = fd;
}

void exit_on_signals(const std::string &message)
{
	const size_t size = std::min(message.size(), sizeof(farewell) - 1);
	std::memcpy(farewell, message.data(), size);
	farewell[size] = 0;

	struct sigaction action = {};
	action.sa_handler = on_signal;
	sigfillset(&action.sa_mask);
	for (const int signo : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
		struct sigaction old;
		if (sigaction(signo, nullptr, &old) == 0 && old.sa_handler != SIG_IGN)
			sigaction(signo, &action, nullptr); /* nohup stays in force */
	}
}

} // namespace kckpt
