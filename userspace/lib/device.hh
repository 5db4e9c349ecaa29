/* SPDX-License-Identifier: GPL-2.0-only */
/* A session of libkckpt, with its errors as ours. <kckpt/uapi.h> tells the order of the requests. */
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <kckpt/image.h>
#include <kckpt/kckpt.h>

#include "lib/result.hh"

namespace kckpt
{

struct ModuleInfo {
	struct kckpt_info info;
	std::vector<struct kckpt_family_info> families;
};

class Device
{
public:
	/* Refuses a module of another ABI. The session is closed first when a signal ends the tool. */
	static Result<Device> open();

	Device(Device &&) noexcept = default;
	Device &operator=(Device &&) noexcept = default;
	~Device();

	Result<ModuleInfo> info();

	Result<> freeze(struct kckpt_freeze request);
	Result<struct kckpt_capture> capture(struct kckpt_capture request,
					     std::span<const struct kckpt_inherit> inherit,
					     std::span<const struct kckpt_external> external);
	/* Into @fd, at most @size; 0: the image is complete. @words: what it means that @fd cannot take it. */
	Result<size_t> save(int fd, size_t size, const std::function<Error(int)> &words);
	Result<> thaw();
	Result<> kill();
	Result<> release_frozen();
	/* What was kept of the job's memory is the module's from now on, for the next increment. */
	Result<> retain();
	/* What is kept so of a cgroup, -1: of all. How many there were. */
	Result<uint32_t> forget(int cgroup);

	/* Less than all of it, maybe nothing: the end of the records. */
	Result<size_t> write(std::span<const std::byte> bytes);
	/* From a seekable file, at most @size; 0 at its end, nothing at the end of the records. */
	Result<std::optional<size_t>> send(int fd, size_t size);
	/* What must be made below the job's cgroup: relative paths, parents first. */
	Result<std::vector<std::string>> cgroups();
	Result<struct kckpt_instantiate> instantiate(struct kckpt_instantiate request);
	Result<> commit(uint32_t flags);
	Result<> abort();

	Result<struct kckpt_stats> stats();

private:
	struct Close {
		void operator()(struct kckpt_session *session) const { kckpt_session_close(session); }
	};

	explicit Device(struct kckpt_session *session) : session_(session) {}
	Error report();
	Error failed(int err, std::string what);
	Result<> done(int err, const char *what);
	Result<size_t> moved(ssize_t bytes, const char *what);

	std::unique_ptr<struct kckpt_session, Close> session_;
};

} // namespace kckpt
