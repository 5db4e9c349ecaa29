// SPDX-License-Identifier: GPL-2.0-only
#include "lib/device.hh"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "lib/cleanup.hh"
#include "lib/text.hh"

namespace kckpt
{

namespace
{

uint64_t pointer(const void *address)
{
	return reinterpret_cast<uintptr_t>(address);
}

Error open_error(int err)
{
	if (err == ENOENT || err == ENODEV || err == ENXIO)
		return {KCKPT_E_MODULE_MISSING, 0, KCKPT_DEVICE};
	if (err == EPERM || err == EACCES)
		return {KCKPT_E_NOT_PERMITTED, err, KCKPT_DEVICE};
	return {KCKPT_E_SYSTEM_CALL, err, fmt::format("open of {}: {}", KCKPT_DEVICE, std::strerror(err))};
}

} // namespace

Result<Device> Device::open()
{
	Fd fd(::open(KCKPT_DEVICE, O_RDWR | O_CLOEXEC));
	if (!fd)
		return failure(open_error(errno));

	Device device(std::move(fd));
	struct kckpt_info info = {};
	if (ioctl(device.fd_.get(), KCKPT_IOC_INFO, &info) < 0)
		return failure(KCKPT_E_ABI_DIFFERS, errno, "the module does not tell its version");
	if (info.abi != KCKPT_ABI)
		return failure(KCKPT_E_ABI_DIFFERS, 0,
			       fmt::format("module {:.{}} has interface {}, this tool {}", info.version,
					   sizeof(info.version), uint32_t(info.abi), KCKPT_ABI));
	close_on_signal(device.fd_.get());
	return device;
}

Device::~Device()
{
	if (fd_)
		close_on_signal(-1);
}

/* What the kernel has reported, maybe nothing. */
Error Device::report()
{
	std::vector<struct kckpt_error> errors(KCKPT_MAX_REPORT);
	struct kckpt_report request_ = {};
	request_.errors = pointer(errors.data());
	request_.nr = static_cast<uint32_t>(errors.size());

	Error error;
	if (ioctl(fd_.get(), KCKPT_IOC_REPORT, &request_) < 0)
		return error;
	errors.resize(std::min<size_t>(request_.nr, errors.size()));
	for (const struct kckpt_error &one : errors)
		error.problems.push_back(Problem::from(one));
	error.total = request_.total;
	return error;
}

/* The report; where that is empty, what the system call said. */
Error Device::failed(int err, std::string what)
{
	Error error = report();
	if (!error.problems.empty())
		return error;
	const auto code = err == EPERM ? uint32_t(KCKPT_E_NOT_PERMITTED) : uint32_t(KCKPT_E_SYSTEM_CALL);
	return {code, err, fmt::format("{}: {}", what, std::strerror(err))};
}

Error Device::explain(Error error)
{
	Error all = report();
	all.problems.insert(all.problems.end(), error.problems.begin(), error.problems.end());
	return all;
}

Result<> Device::request(unsigned long number, void *argument, const char *name)
{
	if (ioctl(fd_.get(), number, argument) < 0)
		return failure(failed(errno, name));
	return {};
}

Result<ModuleInfo> Device::info()
{
	ModuleInfo module = {};
	module.families.resize(256);
	module.info.families = pointer(module.families.data());
	module.info.nr_families = static_cast<uint32_t>(module.families.size());
	if (Result<> done = request(KCKPT_IOC_INFO, &module.info, "INFO"); !done)
		return pass(done);
	module.families.resize(std::min<size_t>(module.info.nr_families, module.families.size()));
	return module;
}

Result<> Device::freeze(struct kckpt_freeze request_)
{
	return request(KCKPT_IOC_FREEZE, &request_, "FREEZE");
}

Result<struct kckpt_capture> Device::capture(uint32_t flags, std::span<const struct kckpt_inherit> inherit)
{
	struct kckpt_capture request_ = {};
	request_.flags = flags;
	request_.nr_inherit = static_cast<uint32_t>(inherit.size());
	request_.inherit = pointer(inherit.data());
	if (Result<> done = request(KCKPT_IOC_CAPTURE, &request_, "CAPTURE"); !done)
		return pass(done);
	return request_;
}

Result<size_t> Device::read(std::span<std::byte> out)
{
	ssize_t got;
	do
		got = ::read(fd_.get(), out.data(), out.size());
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return failure(failed(errno, "read"));
	return static_cast<size_t>(got);
}

Result<> Device::thaw()
{
	return request(KCKPT_IOC_THAW, nullptr, "THAW");
}

Result<> Device::kill()
{
	return request(KCKPT_IOC_KILL, nullptr, "KILL");
}

Result<> Device::release_frozen()
{
	return request(KCKPT_IOC_RELEASE_FROZEN, nullptr, "RELEASE_FROZEN");
}

/*
 * A short count may also come from a stop signal in the middle: only a write that takes nothing, EBUSY, is
 * the end of the records.
 */
Result<size_t> Device::write(std::span<const std::byte> bytes)
{
	size_t done = 0;
	while (done < bytes.size()) {
		const ssize_t took = ::write(fd_.get(), bytes.data() + done, bytes.size() - done);
		if (took < 0 && errno == EINTR)
			continue;
		if (took == 0 || (took < 0 && errno == EBUSY))
			break;
		if (took < 0)
			return failure(failed(errno, "write"));
		done += static_cast<size_t>(took);
	}
	return done;
}

Result<std::vector<std::string>> Device::cgroups()
{
	struct kckpt_cgroups list = {};
	if (Result<> asked = request(KCKPT_IOC_CGROUPS, &list, "KCKPT_IOC_CGROUPS"); !asked)
		return pass(asked);
	std::vector<char> text(list.size);
	list.paths = reinterpret_cast<uintptr_t>(text.data());
	if (Result<> got = request(KCKPT_IOC_CGROUPS, &list, "KCKPT_IOC_CGROUPS"); !got)
		return pass(got);
	std::vector<std::string> paths;
	for (size_t at = 0; at < text.size(); at += paths.back().size() + 1)
		paths.emplace_back(text.data() + at);
	return paths;
}

Result<struct kckpt_instantiate> Device::instantiate(struct kckpt_instantiate request_)
{
	if (Result<> done = request(KCKPT_IOC_INSTANTIATE, &request_, "INSTANTIATE"); !done)
		return pass(done);
	return request_;
}

Result<> Device::commit(uint32_t flags)
{
	struct kckpt_commit request_ = {};
	request_.flags = flags;
	return request(KCKPT_IOC_COMMIT, &request_, "COMMIT");
}

Result<> Device::abort()
{
	return request(KCKPT_IOC_ABORT, nullptr, "ABORT");
}

Result<struct kckpt_stats> Device::stats()
{
	struct kckpt_stats stats = {};
	if (Result<> done = request(KCKPT_IOC_STATS, &stats, "STATS"); !done)
		return pass(done);
	return stats;
}

std::vector<struct kckpt_inherit> inherit_list(std::span<const int> fds)
{
	std::vector<struct kckpt_inherit> list;
	for (const int fd : fds) {
		struct kckpt_inherit one = {};
		one.fd = fd;
		fmt::format_to_n(one.name, sizeof(one.name) - 1, "{}", fd);
		list.push_back(one);
	}
	return list;
}

} // namespace kckpt
