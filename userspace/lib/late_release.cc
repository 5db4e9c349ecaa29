// SPDX-License-Identifier: GPL-2.0-only
#include "lib/late_release.hh"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <system_error>

#include "lib/cleanup.hh"

namespace kckpt
{

namespace
{

constexpr off_t worth_a_thread = 4 << 20;
constexpr long xfs_magic = 0x58465342; /* not in linux/magic.h */

/* Elsewhere it may matter that a file is in use: NFS would give it another name, first, and have none for a moment. */
bool may_be_held(int fd)
{
	struct statfs fs;
	if (fstatfs(fd, &fs) < 0)
		return false;
	return fs.f_type == TMPFS_MAGIC || fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == BTRFS_SUPER_MAGIC ||
	       fs.f_type == xfs_magic;
}

} // namespace

LateRelease::LateRelease(const std::string &path)
{
	struct stat st;
	if (lstat(path.c_str(), &st) < 0 || st.st_size < worth_a_thread)
		return;
	Fd file(open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
	if (file && may_be_held(file.get()))
		file_ = std::move(file);
}

void LateRelease::start()
{
	if (!file_)
		return;
	const SignalsHeld held;
	try {
		thread_ = std::jthread([file = std::move(file_)]() mutable { file.reset(); });
	} catch (const std::system_error &) {
		/* No thread to be had: the file is closed already, with what should have been its. */
	}
}

} // namespace kckpt
