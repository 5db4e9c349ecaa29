// SPDX-License-Identifier: GPL-2.0-only
#include "lib/late_release.hh"

#include <fcntl.h>
#include <sys/stat.h>

#include "lib/cleanup.hh"

namespace kckpt
{

namespace
{

constexpr off_t worth_a_thread = 4 << 20;

} // namespace

LateRelease::LateRelease(const std::string &path)
{
	struct stat st;
	Fd file(open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
	if (file && fstat(file.get(), &st) == 0 && st.st_size >= worth_a_thread)
		file_ = std::move(file);
}

void LateRelease::start()
{
	if (!file_)
		return;
	const SignalsHeld held;
	thread_ = std::jthread([file = std::move(file_)]() mutable { file.reset(); });
}

} // namespace kckpt
