/* SPDX-License-Identifier: GPL-2.0-only */
/* What is in an image, as one wants to know it first: processes, their memory and their files. */
#pragma once

#include <map>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "lib/record.hh"

namespace kckpt
{

/* Fed with all records; an image that refers to what it does not have gets question marks. */
class Summary
{
public:
	void add(const Record &record, std::span<const struct kckpt_page_run> runs);

	std::string text(const struct kckpt_header &header) const;
	nlohmann::ordered_json json(const struct kckpt_header &header) const;

private:
	struct Area {
		struct kckpt_vma_rec vma;
		uint64_t pages = 0;
	};
	struct Memory {
		struct kckpt_mm_rec mm = {};
		std::vector<Area> areas;
		uint64_t pages = 0, zero_pages = 0;
	};

	void add_run(Memory &memory, const struct kckpt_page_run &run);
	std::string name_of(uint64_t object) const;
	uint32_t parent_of(const struct kckpt_process_rec &process) const;
	uint32_t group_id(uint64_t object) const;
	const struct kckpt_task_rec &leader_of(const struct kckpt_process_rec &process) const;
	std::string process_text(uint64_t id, const struct kckpt_process_rec &process) const;
	std::string memory_text(const Memory &memory) const;
	std::string files_text(uint64_t files) const;
	std::string fd_text(const struct kckpt_fd_rec &fd) const;
	nlohmann::ordered_json process_json(uint64_t id, const struct kckpt_process_rec &process) const;
	nlohmann::ordered_json memory_json(const Memory &memory) const;
	nlohmann::ordered_json files_json(uint64_t files) const;
	std::pair<uint64_t, uint64_t> page_counts() const;

	std::map<uint64_t, struct kckpt_process_rec> processes_;
	std::map<uint64_t, struct kckpt_task_rec> tasks_;
	std::map<uint64_t, uint32_t> groups_; /* ids of sessions and process groups */
	std::map<uint64_t, Memory> memories_;
	std::map<uint64_t, std::vector<struct kckpt_fd_rec>> tables_;
	std::map<uint64_t, struct kckpt_file_rec> files_;
	uint64_t parent_pages_ = 0;
	std::map<uint64_t, std::string> names_; /* of what files refer to, and working directories */
};

} // namespace kckpt
