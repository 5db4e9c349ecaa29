/* SPDX-License-Identifier: GPL-2.0-only */
/* Directories of the cgroup v2 hierarchy, by path or by one of their processes. */
#pragma once

#include <forward_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/cleanup.hh"
#include "lib/fd.hh"
#include "lib/result.hh"

namespace kckpt
{

struct CgroupMount {
	std::string root;  /* the cgroup that is mounted */
	std::string point; /* where */
};

/* The best mount in the text of /proc/PID/mountinfo: the one that shows most of the hierarchy. */
std::optional<CgroupMount> find_cgroup2_mount(std::string_view mountinfo);
/* The path behind "0::" in the text of /proc/PID/cgroup. */
std::optional<std::string> parse_proc_cgroup(std::string_view text);
/* Where cgroup @path is found below @mount; nothing: the mount does not show it. */
std::optional<std::string> path_below(const CgroupMount &mount, std::string_view path);

class Cgroup
{
public:
	/* @name: a path as it is, or one below the mount of the hierarchy. */
	static Result<Cgroup> open(const std::string &name);
	static Result<Cgroup> of_process(int pid);
	/* Made when it is missing; what was made goes again unless keep() is called. */
	static Result<Cgroup> open_or_create(const std::string &name);
	/* A new one below that of the calling process. */
	static Result<Cgroup> create_own(const std::string &name);

	int fd() const { return fd_.get(); }
	const std::string &path() const { return path_; }
	bool is_populated() const; /* by anybody who is alive, also below it */
	Result<> write(const char *file, std::string_view value);
	/* Makes what is missing of relative paths, parents first; as with open_or_create() it goes again unless kept.
	 */
	Result<> create_below(const std::vector<std::string> &paths);
	void keep();

private:
	Cgroup(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
	static Result<Cgroup> open_path(const std::string &path);
	static Result<Cgroup> of_directory(Fd fd, const std::string &path); /* none: errno tells why */
	static Result<Cgroup> create(const std::string &path);

	Fd fd_;
	std::string path_;
	Cleanup cleanup_;
	std::forward_list<Cleanup> below_; /* the last one first */
};

} // namespace kckpt
