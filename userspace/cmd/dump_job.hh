/* SPDX-License-Identifier: GPL-2.0-only */
/* One dump, from the freeze to the named image: what `kckpt dump` does once and `kckpt auto` again and again. */
#pragma once

#include <optional>
#include <span>
#include <string>

#include <kckpt/image.h>

#include "lib/atomic_file.hh"
#include "lib/cgroup.hh"
#include "lib/device.hh"
#include "lib/result.hh"

namespace kckpt
{

class DumpJob
{
public:
	enum class Then { kill, run, stay_frozen };

	std::string output;
	std::string parent; /* build on this image; empty: a whole one */
	Then then = Then::kill;
	bool keep_snapshot = false; /* for the next increment */
	bool direct = false;        /* write past the page cache */
	uint32_t capture_flags = 0, freeze_timeout_ms = 10000, stall_ms = 60000;
	std::optional<uint32_t> max_pause_ms;
	uint64_t max_cow = 0; /* bytes; 0: no bound */
	std::span<const struct kckpt_inherit> inherit = {};
	std::span<const struct kckpt_external> external = {};
	bool show_progress = false;

	struct Outcome {
		uint32_t kept = KCKPT_KEPT_NOT;
		/* It was kept, but not until the end, so it was done again without that; the pauses are added up. */
		std::string why_dropped;
		bool has_snapshot = false;
		struct kckpt_capture captured = {};
		struct kckpt_stats stats = {};
	};
	Result<Outcome> run(const Cgroup &cgroup);

private:
	enum class Memory { kept, not_kept };

	struct kckpt_freeze freeze_request(int cgroup) const;
	struct kckpt_capture capture_request(const std::optional<struct kckpt_header> &base, Memory memory) const;
	Result<Outcome> attempt(const Cgroup &cgroup, Device &device, AtomicFile &file,
				struct kckpt_capture request) const;
	Result<std::optional<struct kckpt_header>> open_parent() const;
	Result<> check_output() const;
	Result<AtomicFile> create_output() const;
	Result<> copy(Device &device, AtomicFile &file, uint64_t estimate) const;
	Result<> let_run(Device &device, const Outcome &outcome, bool early) const;
	Result<> end_job(Device &device) const;
};

} // namespace kckpt
