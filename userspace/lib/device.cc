// SPDX-License-Identifier: GPL-2.0-only
#include "lib/device.hh"

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

Error abi_error()
{
	struct kckpt_info info = {};
	if (const int err = kckpt_module_info(&info, sizeof(info)); err < 0)
		return {KCKPT_E_ABI_DIFFERS, -err, "the module does not tell its version"};
	return {KCKPT_E_ABI_DIFFERS, 0,
		fmt::format("module {:.{}} has interface {}, this tool {}", info.version, sizeof(info.version),
			    uint32_t(info.abi), KCKPT_ABI)};
}

Error open_error(int err)
{
	if (err == EPROTONOSUPPORT)
		return abi_error();
	if (err == ENOENT || err == ENODEV || err == ENXIO)
		return {KCKPT_E_MODULE_MISSING, 0, KCKPT_DEVICE};
	if (err == EPERM || err == EACCES)
		return {KCKPT_E_NOT_PERMITTED, err, KCKPT_DEVICE};
	return {KCKPT_E_SYSTEM_CALL, err, fmt::format("open of {}: {}", KCKPT_DEVICE, std::strerror(err))};
}

} // namespace

Result<Device> Device::open()
{
	struct kckpt_session *session;
	if (const int err = kckpt_session_open(&session); err < 0)
		return failure(open_error(-err));
	close_on_signal(kckpt_session_fd(session));
	return Device(session);
}

Device::~Device()
{
	if (session_)
		close_on_signal(-1);
}

/* What the kernel has reported, maybe nothing. */
Error Device::report()
{
	std::vector<struct kckpt_error> errors(KCKPT_MAX_REPORT);
	uint32_t total = 0;
	const int nr = kckpt_session_report(session_.get(), 0, errors.data(), KCKPT_MAX_REPORT, &total);

	Error error;
	if (nr < 0)
		return error;
	errors.resize(static_cast<size_t>(nr));
	for (const struct kckpt_error &one : errors)
		error.problems.push_back(Problem::from(one));
	error.total = total;
	return error;
}

/* The report; where that is empty, what the request said. */
Error Device::failed(int err, std::string what)
{
	Error error = report();
	if (!error.problems.empty())
		return error;
	const auto code = err == EPERM ? uint32_t(KCKPT_E_NOT_PERMITTED) : uint32_t(KCKPT_E_SYSTEM_CALL);
	return {code, err, fmt::format("{}: {}", what, std::strerror(err))};
}

Result<> Device::done(int err, const char *what)
{
	if (err < 0)
		return failure(failed(-err, what));
	return {};
}

Result<size_t> Device::moved(ssize_t bytes, const char *what)
{
	if (bytes < 0)
		return failure(failed(static_cast<int>(-bytes), what));
	return static_cast<size_t>(bytes);
}

Result<ModuleInfo> Device::info()
{
	ModuleInfo module = {};
	module.families.resize(256);
	module.info.families = pointer(module.families.data());
	module.info.nr_families = static_cast<uint32_t>(module.families.size());
	const int err = kckpt_session_info(session_.get(), &module.info, sizeof(module.info));
	if (Result<> told = done(err, "INFO"); !told)
		return pass(told);
	module.families.resize(std::min<size_t>(module.info.nr_families, module.families.size()));
	return module;
}

Result<> Device::freeze(struct kckpt_freeze request)
{
	return done(kckpt_session_freeze(session_.get(), &request, sizeof(request)), "FREEZE");
}

Result<struct kckpt_capture> Device::capture(struct kckpt_capture request,
					     std::span<const struct kckpt_inherit> inherit,
					     std::span<const struct kckpt_external> external)
{
	request.nr_inherit = static_cast<uint32_t>(inherit.size());
	request.inherit = pointer(inherit.data());
	request.nr_external = static_cast<uint32_t>(external.size());
	request.external = pointer(external.data());
	if (Result<> captured = done(kckpt_session_capture(session_.get(), &request, sizeof(request)), "CAPTURE");
	    !captured)
		return pass(captured);
	return request;
}

Result<size_t> Device::save(int fd, size_t size, const std::function<Error(int)> &words)
{
	const ssize_t moved = kckpt_session_save(session_.get(), fd, size);
	if (moved >= 0)
		return static_cast<size_t>(moved);
	/* The kernel may have given up before we noticed. */
	Error error = report();
	return failure(error.problems.empty() ? words(static_cast<int>(-moved)) : std::move(error));
}

Result<> Device::thaw()
{
	return done(kckpt_session_thaw(session_.get()), "THAW");
}

Result<> Device::kill()
{
	return done(kckpt_session_kill(session_.get()), "KILL");
}

Result<> Device::retain()
{
	return done(kckpt_session_retain(session_.get()), "RETAIN");
}

Result<uint32_t> Device::forget(int cgroup)
{
	const int nr = kckpt_session_forget(session_.get(), cgroup);
	if (nr < 0)
		return failure(failed(-nr, "FORGET"));
	return static_cast<uint32_t>(nr);
}

Result<> Device::release_frozen()
{
	return done(kckpt_session_release_frozen(session_.get()), "RELEASE_FROZEN");
}

Result<size_t> Device::write(std::span<const std::byte> bytes)
{
	return moved(kckpt_session_write(session_.get(), bytes.data(), bytes.size()), "write");
}

Result<std::optional<size_t>> Device::send(int fd, size_t size)
{
	const ssize_t took = kckpt_session_send(session_.get(), fd, size);
	if (took == -EBUSY)
		return std::optional<size_t>();
	if (took < 0)
		return failure(failed(static_cast<int>(-took), "LOAD"));
	return static_cast<size_t>(took);
}

Result<std::vector<std::string>> Device::cgroups()
{
	size_t size = 0;
	if (Result<> asked = done(kckpt_session_cgroups(session_.get(), nullptr, &size), "CGROUPS"); !asked)
		return pass(asked);
	std::vector<char> text(size);
	if (Result<> got = done(kckpt_session_cgroups(session_.get(), text.data(), &size), "CGROUPS"); !got)
		return pass(got);
	std::vector<std::string> paths;
	for (size_t at = 0; at < text.size(); at += paths.back().size() + 1)
		paths.emplace_back(text.data() + at);
	return paths;
}

Result<struct kckpt_instantiate> Device::instantiate(struct kckpt_instantiate request)
{
	const int err = kckpt_session_instantiate(session_.get(), &request, sizeof(request));
	if (Result<> created = done(err, "INSTANTIATE"); !created)
		return pass(created);
	return request;
}

Result<> Device::commit(uint32_t flags)
{
	struct kckpt_commit request = {};
	request.flags = flags;
	return done(kckpt_session_commit(session_.get(), &request, sizeof(request)), "COMMIT");
}

Result<> Device::abort()
{
	return done(kckpt_session_abort(session_.get()), "ABORT");
}

Result<struct kckpt_stats> Device::stats()
{
	struct kckpt_stats stats = {};
	if (Result<> told = done(kckpt_session_stats(session_.get(), &stats, sizeof(stats)), "STATS"); !told)
		return pass(told);
	return stats;
}

} // namespace kckpt
