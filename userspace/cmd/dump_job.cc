// SPDX-License-Identifier: GPL-2.0-only
#include "cmd/dump_job.hh"

#include <fcntl.h>

#include <cstring>
#include <filesystem>

#include <fmt/format.h>

#include "lib/chain.hh"
#include "lib/image_file.hh"
#include "lib/progress.hh"

namespace kckpt
{

namespace
{

constexpr int default_pipe_size = 16 * 4096, pipe_size = 1 << 20;
constexpr size_t progress_step = 8 << 20;
constexpr uint32_t running_pause_ms = 1000; /* of a job that is to run on, unless something else is asked for */

} // namespace

struct kckpt_freeze DumpJob::freeze_request(int cgroup) const
{
	struct kckpt_freeze request = {};
	request.cgroup = cgroup;
	request.timeout_ms = freeze_timeout_ms;
	request.max_pause_ms = max_pause_ms.value_or(then == Then::run ? running_pause_ms : 0);
	request.stall_ms = stall_ms;
	return request;
}

struct kckpt_capture DumpJob::capture_request(const std::optional<struct kckpt_header> &base, Memory memory) const
{
	struct kckpt_capture request = {};
	request.flags = capture_flags;
	if (memory == Memory::kept && (then == Then::run || keep_snapshot)) {
		request.flags |= KCKPT_CAPTURE_KEEP | (keep_snapshot ? KCKPT_CAPTURE_SNAPSHOT : 0);
		request.max_cow = max_cow;
	}
	if (base) {
		request.flags |= KCKPT_CAPTURE_PARENT;
		std::memcpy(request.parent, base->uuid, sizeof(request.parent));
	}
	return request;
}

Result<std::optional<struct kckpt_header>> DumpJob::open_parent() const
{
	if (parent.empty())
		return std::nullopt;
	Result<struct kckpt_header> header = read_header(parent);
	if (!header)
		return pass(header);
	return *header;
}

/* An image that others need must not go: neither the parent, nor one that it builds on itself, nor that of others. */
Result<> DumpJob::check_output() const
{
	std::error_code ignored;
	if (!parent.empty() && std::filesystem::equivalent(output, parent, ignored))
		return failure(KCKPT_E_IMAGE_NEEDED, 0, fmt::format("{} is the parent", output));
	if (const std::string other = image_that_needs(output); !other.empty())
		return failure(KCKPT_E_IMAGE_NEEDED, 0, fmt::format("{} builds on {}", other, output));
	return {};
}

Result<AtomicFile> DumpJob::create_output() const
{
	Result<AtomicFile> file = AtomicFile::create(output);
	if (file && direct)
		if (Result<> set = file->set_direct(); !set)
			return pass(set);
	return file;
}

Result<DumpJob::Outcome> DumpJob::run(const Cgroup &cgroup)
{
	Result<Device> device = Device::open();
	if (!device)
		return pass(device);
	/* Before the freeze: a job need not stand still for a path that cannot be written. */
	Result<std::optional<struct kckpt_header>> base = open_parent();
	if (!base)
		return pass(base);
	if (Result<> good = check_output(); !good)
		return pass(good);
	Result<AtomicFile> file = create_output();
	if (!file)
		return pass(file);

	Result<Outcome> first = attempt(cgroup, *device, *file, capture_request(*base, Memory::kept));
	/* Of what is written in place somebody may have had a part. */
	if (first || !first.error().has(KCKPT_E_KEPT_DROPPED) || !file->is_atomic())
		return first;
	Result<struct kckpt_stats> stats = device->stats();
	device = Device::open();
	if (!device)
		return pass(device);
	file = create_output();
	if (!file)
		return pass(file);
	Result<Outcome> second = attempt(cgroup, *device, *file, capture_request(*base, Memory::not_kept));
	const std::vector<Problem> &problems = first.error().problems;
	if (!second) {
		second.error().problems.insert(second.error().problems.end(), problems.begin(), problems.end());
		return second;
	}
	second->why_dropped = problems.front().detail;
	if (stats) {
		second->stats.pause_ns += stats->pause_ns;
		second->stats.cow_pages = stats->cow_pages;
	}
	return second;
}

Result<DumpJob::Outcome> DumpJob::attempt(const Cgroup &cgroup, Device &device, AtomicFile &file,
					  struct kckpt_capture request) const
{
	/* Nobody writes to the pages of what is about to be killed: a pipe may have them as they are. */
	if (then == Then::kill && fcntl(file.fd(), F_GETPIPE_SZ) > 0)
		request.flags |= KCKPT_CAPTURE_KILL;
	if (Result<> frozen = device.freeze(freeze_request(cgroup.fd())); !frozen)
		return pass(frozen);
	auto captured = device.capture(request, inherit, external);
	if (!captured)
		return pass(captured);
	Outcome outcome;
	outcome.kept = captured->kept;
	outcome.captured = *captured;
	/* Where the memory is kept as it is, the job need not wait for it to be read. */
	if (Result<> runs = let_run(device, outcome, true); !runs)
		return pass(runs);
	if (Result<> copied = copy(device, file, captured->image_bytes); !copied)
		return pass(copied);

	/* A job that is to run on does not wait for the disk; one that is to die lives until its image is safe. */
	if (Result<> runs = let_run(device, outcome, false); !runs)
		return pass(runs);
	if (Result<> named = file.commit(); !named)
		return pass(named);
	/* Only now: until the image is safe, the snapshot of the one before is of more use. */
	outcome.has_snapshot = keep_snapshot && outcome.kept == KCKPT_KEPT && device.retain();
	if (Result<> ended = end_job(device); !ended)
		return pass(ended);
	if (Result<struct kckpt_stats> stats = device.stats(); stats)
		outcome.stats = *stats;
	return outcome;
}

Result<> DumpJob::copy(Device &device, AtomicFile &file, uint64_t estimate) const
{
	Progress progress("dump", estimate, show_progress);
	/* A pipe, of which nobody has chosen the size: as far as we may. */
	if (fcntl(file.fd(), F_GETPIPE_SZ) == default_pipe_size)
		fcntl(file.fd(), F_SETPIPE_SZ, pipe_size);
	for (;;) {
		Result<size_t> got =
			device.save(file.fd(), progress_step, [&](int err) { return file.write_error(err); });
		if (!got)
			return pass(got);
		if (*got == 0)
			return {};
		progress.add(*got);
	}
}

Result<> DumpJob::let_run(Device &device, const Outcome &outcome, bool early) const
{
	return then == Then::run && early == (outcome.kept == KCKPT_KEPT) ? device.thaw() : Result<>();
}

Result<> DumpJob::end_job(Device &device) const
{
	switch (then) {
	case Then::kill: return device.kill();
	case Then::stay_frozen: return device.release_frozen();
	default: return {};
	}
}

} // namespace kckpt
