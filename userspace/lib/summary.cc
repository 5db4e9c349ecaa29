// SPDX-License-Identifier: GPL-2.0-only
#include "lib/summary.hh"

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <ctime>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "lib/image_check.hh"
#include "lib/text.hh"

namespace kckpt
{

namespace
{

using Json = nlohmann::ordered_json;

template <size_t N> std::string text_of(const char (&text)[N])
{
	return {text, strnlen(text, N)};
}

std::string time_text(int64_t ns)
{
	const std::time_t seconds = ns / 1'000'000'000;
	struct tm tm = {};
	if (ns < 0 || !gmtime_r(&seconds, &tm))
		return "?";
	return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", tm);
}

/* As in /proc/PID/maps. */
std::string prot_text(const struct kckpt_vma_rec &vma)
{
	return fmt::format("{}{}{}{}", vma.prot & PROT_READ ? 'r' : '-', vma.prot & PROT_WRITE ? 'w' : '-',
			   vma.prot & PROT_EXEC ? 'x' : '-', vma.vma_flags & KCKPT_VMA_SHARED ? 's' : 'p');
}

std::string access_text(uint32_t open_flags)
{
	static constexpr const char *names[] = {"r", "w", "rw", "-"};
	return names[open_flags & O_ACCMODE];
}

const char *state_name(const struct kckpt_process_rec &process)
{
	if (process.process_flags & KCKPT_PROCESS_ENDED)
		return "ended";
	return process.process_flags & KCKPT_PROCESS_STOPPED ? "stopped" : "running";
}

std::string state_text(const struct kckpt_process_rec &process)
{
	if (process.process_flags & KCKPT_PROCESS_ENDED)
		return fmt::format(", ended with status {:#x} and not waited for", uint32_t(process.exit_code));
	return process.process_flags & KCKPT_PROCESS_STOPPED ? ", stopped" : "";
}

} // namespace

void Summary::add(const Record &record, std::span<const struct kckpt_page_run> runs)
{
	const uint64_t object = record.head.object;
	if (record.is<struct kckpt_process_rec>())
		processes_[object] = record.as<struct kckpt_process_rec>();
	else if (record.is<struct kckpt_task_rec>())
		tasks_[object] = record.as<struct kckpt_task_rec>();
	else if (record.is<struct kckpt_group_rec>())
		groups_[object] = record.as<struct kckpt_group_rec>().id;
	else if (record.is<struct kckpt_mm_rec>())
		memories_[object].mm = record.as<struct kckpt_mm_rec>();
	else if (record.is<struct kckpt_vma_rec>())
		memories_[object].areas.push_back({record.as<struct kckpt_vma_rec>()});
	else if (record.is<struct kckpt_fd_rec>())
		tables_[object].push_back(record.as<struct kckpt_fd_rec>());
	else if (record.is<struct kckpt_file_rec>())
		files_[object] = record.as<struct kckpt_file_rec>();
	else if (record.is<struct kckpt_ghost_rec>())
		names_[object] = fmt::format("{} (deleted)", record.text());
	else if (record.is<struct kckpt_ghost_target_rec>())
		names_[object] += fmt::format(" -> {}", record.text());
	else if (record.info && record.info->tail == Tail::TEXT)
		names_[object] = record.text();
	else if (record.is<struct kckpt_pipe_rec>())
		names_[object] = fmt::format("pipe (object {})", object);
	else if (record.is<struct kckpt_eventfd_rec>())
		names_[object] = fmt::format("eventfd (object {})", object);
	else if (record.is<struct kckpt_pidfd_rec>())
		names_[object] = fmt::format("pidfd (object {})", object);
	else if (record.is<struct kckpt_parent_rec>())
		for (const struct kckpt_page_run &run : runs)
			parent_pages_ += run.nr_pages;
	else if (record.is<struct kckpt_pages_rec>())
		for (const struct kckpt_page_run &run : runs)
			add_run(memories_[object], run);
}

/* A run may reach over several areas. */
void Summary::add_run(Memory &memory, const struct kckpt_page_run &run)
{
	const uint64_t end = run.vaddr + uint64_t(run.nr_pages) * KCKPT_PAGE_SIZE;
	if (run.flags & KCKPT_RUN_ZERO) {
		memory.zero_pages += run.nr_pages;
		return;
	}
	memory.pages += run.nr_pages;
	const auto after = [](uint64_t vaddr, const Area &area) { return vaddr < area.vma.end; };
	auto area = std::upper_bound(memory.areas.begin(), memory.areas.end(), uint64_t(run.vaddr), after);
	for (; area != memory.areas.end() && area->vma.start < end; ++area) {
		const uint64_t from = std::max<uint64_t>(run.vaddr, area->vma.start);
		const uint64_t to = std::min<uint64_t>(end, area->vma.end);
		area->pages += to > from ? (to - from) / KCKPT_PAGE_SIZE : 0;
	}
}

/* Of an open file or of what it refers to. */
std::string Summary::name_of(uint64_t object) const
{
	if (object == 0)
		return {};
	if (const auto name = names_.find(object); name != names_.end())
		return name->second;
	const auto file = files_.find(object);
	if (file == files_.end())
		return "?";
	if (file->second.file_flags & KCKPT_FILE_INHERIT)
		return fmt::format("handed over as \"{}\"", text_of(file->second.inherit));
	const auto name = names_.find(file->second.target);
	return name == names_.end() ? "?" : name->second;
}

const struct kckpt_task_rec &Summary::leader_of(const struct kckpt_process_rec &process) const
{
	static constexpr struct kckpt_task_rec none = {};
	const auto leader = tasks_.find(process.leader);
	return leader == tasks_.end() ? none : leader->second;
}

/* 0: one of the outside. */
uint32_t Summary::parent_of(const struct kckpt_process_rec &process) const
{
	const auto thread = tasks_.find(process.parent);
	const auto parent = thread == tasks_.end() ? processes_.end() : processes_.find(thread->second.process);
	return parent == processes_.end() ? 0 : parent->second.pid;
}

uint32_t Summary::group_id(uint64_t object) const
{
	const auto group = groups_.find(object);
	return group == groups_.end() ? 0 : group->second;
}

std::pair<uint64_t, uint64_t> Summary::page_counts() const
{
	std::pair<uint64_t, uint64_t> sum;
	for (const auto &[object, memory] : memories_) {
		sum.first += memory.pages;
		sum.second += memory.zero_pages;
	}
	return sum;
}

std::string Summary::text(const struct kckpt_header &header) const
{
	const auto [pages, zero_pages] = page_counts();
	std::string out = fmt::format("image   {}, format {}.{}\n", uuid_text(header.uuid), uint32_t(header.major),
				      uint32_t(header.minor));
	if (has_parent(header))
		out += fmt::format("parent  {}, which has {} of its pages ({})\n", uuid_text(header.parent),
				   parent_pages_, human_bytes(parent_pages_ * KCKPT_PAGE_SIZE));
	out += fmt::format("made    {} on {}, Linux {}, {}\n", time_text(header.realtime_ns),
			   printable(text_of(header.host)), printable(text_of(header.kernel)),
			   printable(text_of(header.arch)));
	out += fmt::format("holds   {} threads, {} pages ({}), and {} zero pages\n", uint32_t(header.nr_tasks), pages,
			   human_bytes(pages * KCKPT_PAGE_SIZE), zero_pages);
	for (const auto &[object, process] : processes_)
		out += process_text(object, process);
	return out;
}

std::string Summary::process_text(uint64_t id, const struct kckpt_process_rec &process) const
{
	std::string out =
		fmt::format("\nprocess {}, parent {}, group {}, session {}{}\n", uint32_t(process.pid),
			    parent_of(process), group_id(process.pgrp), group_id(process.session), state_text(process));
	for (const auto &[object, task] : tasks_) {
		if (task.process == id)
			out += fmt::format("  thread {:<8} {}\n", uint32_t(task.tid), printable(text_of(task.comm)));
	}
	if (const auto memory = memories_.find(process.mm); memory != memories_.end())
		out += memory_text(memory->second);
	const struct kckpt_task_rec &leader = leader_of(process);
	if (leader.fs)
		out += fmt::format("  cwd    {}\n", printable(name_of(leader.fs)));
	return out + files_text(leader.files);
}

std::string Summary::memory_text(const Memory &memory) const
{
	std::string out = fmt::format("  exe    {}\n", printable(name_of(memory.mm.exe)));
	out += fmt::format("  memory {} areas, {} pages saved\n", memory.areas.size(), memory.pages);
	for (const Area &area : memory.areas)
		out += fmt::format("    {:012x}-{:012x} {} {:8} pages  {}\n", uint64_t(area.vma.start),
				   uint64_t(area.vma.end), prot_text(area.vma), area.pages,
				   area.vma.vma_flags & KCKPT_VMA_VDSO   ? "[vdso]"
				   : area.vma.vma_flags & KCKPT_VMA_VVAR ? "[vvar]"
									 : printable(name_of(area.vma.file)));
	return out;
}

std::string Summary::files_text(uint64_t files) const
{
	const auto table = tables_.find(files);
	if (table == tables_.end())
		return {};
	std::string out = fmt::format("  files  {}\n", table->second.size());
	for (const struct kckpt_fd_rec &fd : table->second)
		out += fd_text(fd);
	return out;
}

std::string Summary::fd_text(const struct kckpt_fd_rec &fd) const
{
	const auto file = files_.find(fd.file);
	const std::string name = printable(name_of(fd.file));
	if (file == files_.end())
		return fmt::format("    {:<5} ?\n", uint32_t(fd.fd));
	return fmt::format("    {:<5} {:<2} at {:<10} {}{}\n", uint32_t(fd.fd), access_text(file->second.open_flags),
			   int64_t(file->second.pos), name, fd.fd_flags & FD_CLOEXEC ? " (close-on-exec)" : "");
}

Json Summary::json(const struct kckpt_header &header) const
{
	const auto [pages, zero_pages] = page_counts();
	Json out = {{"uuid", uuid_text(header.uuid)},
		    {"format", fmt::format("{}.{}", uint32_t(header.major), uint32_t(header.minor))},
		    {"time", time_text(header.realtime_ns)},
		    {"host", text_of(header.host)},
		    {"kernel", text_of(header.kernel)},
		    {"arch", text_of(header.arch)},
		    {"tasks", uint32_t(header.nr_tasks)},
		    {"pages", pages},
		    {"zero_pages", zero_pages},
		    {"parent", has_parent(header) ? Json(uuid_text(header.parent)) : Json()},
		    {"parent_pages", parent_pages_},
		    {"processes", Json::array()}};
	for (const auto &[object, process] : processes_)
		out["processes"].push_back(process_json(object, process));
	return out;
}

Json Summary::process_json(uint64_t id, const struct kckpt_process_rec &process) const
{
	const struct kckpt_task_rec &leader = leader_of(process);
	Json out = {{"pid", uint32_t(process.pid)},   {"ppid", parent_of(process)},
		    {"pgid", group_id(process.pgrp)}, {"sid", group_id(process.session)},
		    {"state", state_name(process)},   {"cgroup", name_of(process.cgroup)},
		    {"cwd", name_of(leader.fs)},      {"threads", Json::array()}};
	for (const auto &[object, task] : tasks_) {
		if (task.process == id)
			out["threads"].push_back({{"tid", uint32_t(task.tid)}, {"comm", text_of(task.comm)}});
	}
	if (const auto memory = memories_.find(process.mm); memory != memories_.end())
		out["memory"] = memory_json(memory->second);
	out["files"] = files_json(leader.files);
	return out;
}

Json Summary::memory_json(const Memory &memory) const
{
	Json out = {{"exe", name_of(memory.mm.exe)}, {"pages", memory.pages}, {"areas", Json::array()}};
	for (const Area &area : memory.areas)
		out["areas"].push_back({{"start", fmt::format("{:#x}", uint64_t(area.vma.start))},
					{"end", fmt::format("{:#x}", uint64_t(area.vma.end))},
					{"prot", prot_text(area.vma)},
					{"pages", area.pages},
					{"file", name_of(area.vma.file)}});
	return out;
}

Json Summary::files_json(uint64_t files) const
{
	Json out = Json::array();
	const auto table = tables_.find(files);
	if (table == tables_.end())
		return out;
	for (const struct kckpt_fd_rec &fd : table->second) {
		Json one = {{"fd", uint32_t(fd.fd)}, {"cloexec", (fd.fd_flags & FD_CLOEXEC) != 0}};
		if (const auto file = files_.find(fd.file); file != files_.end()) {
			one["access"] = access_text(file->second.open_flags);
			one["pos"] = int64_t(file->second.pos);
			one["name"] = name_of(fd.file);
		}
		out.push_back(one);
	}
	return out;
}

} // namespace kckpt
