// SPDX-License-Identifier: GPL-2.0-only
#include "lib/cgroup.hh"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <ranges>
#include <sstream>
#include <vector>

#include <fmt/format.h>

namespace kckpt
{

namespace
{

std::optional<std::string> read_file(const std::string &path)
{
	std::ifstream in(path);
	if (!in)
		return {};
	std::ostringstream text;
	text << in.rdbuf();
	return text.str();
}

std::vector<std::string> words(const std::string &line)
{
	std::istringstream in(line);
	std::vector<std::string> out;
	for (std::string word; in >> word;)
		out.push_back(word);
	return out;
}

/* mountinfo writes blanks and backslashes as three octal digits. */
std::string unescape(std::string_view text)
{
	std::string out;
	for (size_t i = 0; i < text.size(); i++) {
		if (text[i] != '\\' || i + 3 >= text.size()) {
			out += text[i];
			continue;
		}
		out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
		i += 3;
	}
	return out;
}

Result<CgroupMount> mounted()
{
	const auto mountinfo = read_file("/proc/self/mountinfo");
	const auto mount = mountinfo ? find_cgroup2_mount(*mountinfo) : std::nullopt;
	if (!mount)
		return failure(KCKPT_E_NO_CGROUP2, 0, {});
	return *mount;
}

bool is_directory(const std::string &path)
{
	struct stat st;
	return stat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode);
}

bool is_cgroup(const std::string &path)
{
	struct statfs fs;
	return statfs(path.c_str(), &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

Fd open_directory(const std::string &path)
{
	return Fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

std::string below(const std::string &mount, const std::string &name)
{
	return mount + (name.starts_with('/') ? "" : "/") + name;
}

/* @name where it exists as given, else below the mount: mostly the usual one, and the table of all is long. */
Result<std::string> locate(const std::string &name)
{
	if (is_directory(name))
		return name;
	if (const std::string usual = below("/sys/fs/cgroup", name); is_cgroup(usual))
		return usual;
	Result<CgroupMount> mount = mounted();
	if (!mount)
		return pass(mount);
	if (name.starts_with(mount->point + "/"))
		return name;
	return below(mount->point, name);
}

Result<std::string> path_of_process(const std::string &pid)
{
	const auto text = read_file(fmt::format("/proc/{}/cgroup", pid));
	if (!text)
		return failure(KCKPT_E_PROCESS_MISSING, 0, fmt::format("pid {}", pid));
	Result<CgroupMount> mount = mounted();
	if (!mount)
		return pass(mount);
	const auto cgroup = parse_proc_cgroup(*text);
	const auto path = cgroup ? path_below(*mount, *cgroup) : std::nullopt;
	if (!path)
		return failure(KCKPT_E_CGROUP_MISSING, 0,
			       fmt::format("pid {}: {}", pid, cgroup ? *cgroup : "none of cgroup v2"));
	return *path;
}

} // namespace

std::optional<CgroupMount> find_cgroup2_mount(std::string_view mountinfo)
{
	std::optional<CgroupMount> best;
	std::istringstream in{std::string(mountinfo)};
	for (std::string line; std::getline(in, line);) {
		const std::vector<std::string> field = words(line);
		const auto dash = std::ranges::find(field, "-");
		if (field.size() < 5 || field.end() - dash < 2 || *(dash + 1) != "cgroup2")
			continue;
		if (!best || unescape(field[3]).size() < best->root.size())
			best = {unescape(field[3]), unescape(field[4])};
	}
	return best;
}

std::optional<std::string> parse_proc_cgroup(std::string_view text)
{
	std::istringstream in{std::string(text)};
	for (std::string line; std::getline(in, line);) {
		if (line.starts_with("0::"))
			return line.substr(3);
	}
	return {};
}

std::optional<std::string> path_below(const CgroupMount &mount, std::string_view path)
{
	std::string_view rest = path;
	if (mount.root != "/") {
		if (!rest.starts_with(mount.root))
			return {};
		rest.remove_prefix(mount.root.size());
		if (!rest.empty() && rest[0] != '/')
			return {};
	}
	return mount.point + std::string(rest == "/" ? "" : rest);
}

Result<Cgroup> Cgroup::open_path(const std::string &path)
{
	return of_directory(open_directory(path), path);
}

Result<Cgroup> Cgroup::of_directory(Fd fd, const std::string &path)
{
	struct statfs fs;
	if (!fd)
		return failure(KCKPT_E_CGROUP_MISSING, errno, path);
	if (fstatfs(fd.get(), &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC)
		return failure(KCKPT_E_NOT_CGROUP, 0, path);
	return Cgroup(std::move(fd), path);
}

Result<Cgroup> Cgroup::open(const std::string &name)
{
	Result<std::string> path = locate(name);
	if (!path)
		return pass(path);
	return open_path(*path);
}

Result<Cgroup> Cgroup::of_process(int pid)
{
	Result<std::string> path = path_of_process(fmt::to_string(pid));
	if (!path)
		return pass(path);
	return open_path(*path);
}

Result<Cgroup> Cgroup::open_or_create(const std::string &name)
{
	Result<std::string> path = locate(name);
	if (!path)
		return pass(path);
	Fd fd = open_directory(*path);
	if (!fd && !is_directory(*path))
		return create(*path); /* or tells why not */
	return of_directory(std::move(fd), *path);
}

Result<Cgroup> Cgroup::create_own(const std::string &name)
{
	Result<std::string> own = path_of_process("self");
	if (!own)
		return pass(own);
	return create(*own + "/" + name);
}

Result<Cgroup> Cgroup::create(const std::string &path)
{
	const SignalsHeld held;
	if (mkdir(path.c_str(), 0755) < 0)
		return failure(KCKPT_E_CGROUP_CREATE, errno, path);
	Cleanup cleanup = Cleanup::rmdir(path);
	Result<Cgroup> cgroup = open_path(path);
	if (cgroup)
		cgroup->cleanup_ = std::move(cleanup);
	return cgroup;
}

Result<> Cgroup::create_below(const std::vector<std::string> &paths)
{
	const SignalsHeld held;
	for (const std::string &name : paths) {
		const std::string path = path_ + "/" + name;
		if (mkdir(path.c_str(), 0755) == 0)
			below_.push_front(Cleanup::rmdir(path));
		else if (errno != EEXIST)
			return failure(KCKPT_E_CGROUP_CREATE, errno, path);
	}
	return {};
}

void Cgroup::keep()
{
	cleanup_.keep();
	for (Cleanup &below : below_)
		below.keep();
}

bool Cgroup::is_populated() const
{
	char text[256] = "";
	const Fd fd(openat(fd_.get(), "cgroup.events", O_RDONLY | O_CLOEXEC));
	return fd && read(fd.get(), text, sizeof(text) - 1) > 0 && std::strstr(text, "populated 1");
}

Result<> Cgroup::write(const char *file, std::string_view value)
{
	const Fd fd(openat(fd_.get(), file, O_WRONLY | O_CLOEXEC));
	if (!fd || ::write(fd.get(), value.data(), value.size()) < 0)
		return failure(KCKPT_E_CGROUP_WRITE, errno, fmt::format("{}/{}", path_, file));
	return {};
}

} // namespace kckpt
