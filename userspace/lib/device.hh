/* SPDX-License-Identifier: GPL-2.0-only */
/* A session of /dev/kckpt: one dump or one restore. <kckpt/uapi.h> tells the order of the requests. */
#pragma once

#include <span>
#include <string>
#include <vector>

#include "lib/fd.hh"
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
	Result<struct kckpt_capture> capture(uint32_t flags, std::span<const struct kckpt_inherit> inherit);
	Result<size_t> read(std::span<std::byte> out); /* 0: the image is complete */
	Result<> thaw();
	Result<> kill();
	Result<> release_frozen();

	/* Less than all of it, maybe nothing: the end of the records. */
	Result<size_t> write(std::span<const std::byte> bytes);
	/* What must be made below the job's cgroup: relative paths, parents first. */
	Result<std::vector<std::string>> cgroups();
	Result<struct kckpt_instantiate> instantiate(struct kckpt_instantiate request);
	Result<> commit(uint32_t flags);
	Result<> abort();

	Result<struct kckpt_stats> stats();
	/* @error, after what the kernel has reported meanwhile: it may have given up before we noticed. */
	Error explain(Error error);

private:
	explicit Device(Fd fd) : fd_(std::move(fd)) {}
	Result<> request(unsigned long number, void *argument, const char *name);
	Error report();
	Error failed(int err, std::string what);

	Fd fd_;
};

/* The name of a descriptor handed over is its number in decimal. */
std::vector<struct kckpt_inherit> inherit_list(std::span<const int> fds);

} // namespace kckpt
