// SPDX-License-Identifier: GPL-2.0-only
/* libkckpt as far as it goes without the module; selftests/test_lib.c has the rest. */
#include <kckpt/kckpt.h> /* first: it must not need anything else */

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "lib/error.hh"

namespace kckpt
{

namespace
{

std::string line(const struct kckpt_error &error)
{
	char text[512];
	const int len = kckpt_error_format(&error, text, sizeof(text));
	EXPECT_EQ(len, static_cast<int>(std::strlen(text)));
	return text;
}

/* What is called kckpt_* in the lines of the file that begin with @first, up to @last. */
std::set<std::string> names(const char *path, bool (*first)(char), char last)
{
	std::ifstream file(path);
	std::set<std::string> found;
	for (std::string line; std::getline(file, line);) {
		const size_t end = line.find(last), begin = line.rfind("kckpt_", end);
		if (!line.empty() && first(line[0]) && end != line.npos && begin != line.npos)
			found.insert(line.substr(begin, end - begin));
	}
	return found;
}

struct kckpt_error unlinked()
{
	struct kckpt_error error = {};
	error.code = KCKPT_E_FILE_UNLINKED;
	error.pid = 4121;
	error.fd = 7;
	std::strcpy(error.comm, "nginx");
	std::strcpy(error.detail, "/var/tmp/part");
	return error;
}

} // namespace

TEST(Libkckpt, HasTheWordsOfTheTool)
{
	for (uint32_t code = 1; code < KCKPT_E_END; code++) {
		const ErrorInfo &info = error_info(code);
		EXPECT_EQ(kckpt_error_name(code), info.name);
		EXPECT_EQ(kckpt_error_text(code), info.text);
		EXPECT_EQ(kckpt_error_remedy(code), info.remedy);
		EXPECT_EQ(kckpt_error_errno(code), info.err);
	}
}

TEST(Libkckpt, HasWordsForUnknownCodes)
{
	for (const uint32_t code : {uint32_t(KCKPT_E_NONE), uint32_t(KCKPT_E_END), UINT32_MAX}) {
		EXPECT_STREQ(kckpt_error_name(code), "UNKNOWN");
		EXPECT_STRNE(kckpt_error_text(code), "");
		EXPECT_STRNE(kckpt_error_remedy(code), "");
		EXPECT_EQ(kckpt_error_errno(code), EIO);
	}
	EXPECT_STREQ(kckpt_family_name(KCKPT_F_pipe), "pipe");
	EXPECT_STREQ(kckpt_family_name(60000), "");
	EXPECT_STREQ(kckpt_version(), KCKPT_VERSION);
}

/* A function of the header that is not in the map cannot be linked; nothing else is exported. */
TEST(Libkckpt, ExportsWhatTheHeaderDeclares)
{
	const auto declared = names(
		KCKPT_HEADER, [](char c) { return c >= 'a' && c <= 'z'; }, '(');
	auto exported = names(
		KCKPT_MAP, [](char c) { return c == '\t'; }, ';');
	exported.insert("kckpt_progress_fn"); /* a type */
	EXPECT_GT(declared.size(), 25u);
	EXPECT_EQ(declared, exported);
}

TEST(Libkckpt, FormatsOneLine)
{
	EXPECT_EQ(line(unlinked()),
		  "pid 4121 (nginx), fd 7: /var/tmp/part: a file was deleted while in use (FILE_UNLINKED)");
	struct kckpt_error bare = {};
	bare.code = KCKPT_E_CGROUP_EMPTY;
	bare.fd = -1;
	EXPECT_EQ(line(bare), "there is no task in the cgroup (CGROUP_EMPTY)");
	bare.fd = 0;
	EXPECT_EQ(line(bare), "fd 0: there is no task in the cgroup (CGROUP_EMPTY)");
}

TEST(Libkckpt, FormatsNamesWithoutEndAndControlCharacters)
{
	struct kckpt_error error = unlinked();
	std::memset(error.comm, 'x', sizeof(error.comm));
	std::memset(error.detail, '\x1b', sizeof(error.detail));
	EXPECT_EQ(line(error), "pid 4121 (" + std::string(16, 'x') + "), fd 7: " + std::string(168, '?') +
				       ": a file was deleted while in use (FILE_UNLINKED)");
}

TEST(Libkckpt, FormatCutsAsSnprintfDoes)
{
	const struct kckpt_error error = unlinked();
	const int whole = kckpt_error_format(&error, nullptr, 0);
	char text[12];
	EXPECT_EQ(whole, static_cast<int>(line(error).size()));
	std::memset(text, '#', sizeof(text));
	EXPECT_EQ(kckpt_error_format(&error, text, 9), whole);
	EXPECT_STREQ(text, "pid 4121");
	EXPECT_EQ(text[9], '#');
	EXPECT_EQ(kckpt_error_format(&error, text, 1), whole);
	EXPECT_STREQ(text, "");
	EXPECT_EQ(kckpt_error_format(nullptr, text, sizeof(text)), -EINVAL);
	EXPECT_EQ(kckpt_error_format(&error, nullptr, 9), -EINVAL);
}

TEST(Libkckpt, RefusesNull)
{
	struct kckpt_freeze freeze = {};
	struct kckpt_capture capture = {};
	struct kckpt_instantiate instantiate = {};
	struct kckpt_commit commit = {};
	struct kckpt_stats stats = {};
	struct kckpt_info info = {};
	char byte = 0;

	EXPECT_EQ(kckpt_session_open(nullptr), -EINVAL);
	EXPECT_EQ(kckpt_session_adopt(0, nullptr), -EINVAL);
	EXPECT_EQ(kckpt_module_info(nullptr, sizeof(info)), -EINVAL);
	EXPECT_EQ(kckpt_session_fd(nullptr), -1);
	EXPECT_EQ(kckpt_session_info(nullptr, &info, sizeof(info)), -EINVAL);
	EXPECT_EQ(kckpt_session_stats(nullptr, &stats, sizeof(stats)), -EINVAL);
	EXPECT_EQ(kckpt_session_stats(nullptr, &stats, SIZE_MAX), -EINVAL);
	EXPECT_EQ(kckpt_session_report(nullptr, 0, nullptr, 0, nullptr), -EINVAL);
	EXPECT_EQ(kckpt_session_freeze(nullptr, &freeze, sizeof(freeze)), -EINVAL);
	EXPECT_EQ(kckpt_session_capture(nullptr, &capture, sizeof(capture)), -EINVAL);
	EXPECT_EQ(kckpt_session_read(nullptr, &byte, 1), -EINVAL);
	EXPECT_EQ(kckpt_session_write(nullptr, &byte, 1), -EINVAL);
	EXPECT_EQ(kckpt_session_thaw(nullptr), -EINVAL);
	EXPECT_EQ(kckpt_session_kill(nullptr), -EINVAL);
	EXPECT_EQ(kckpt_session_release_frozen(nullptr), -EINVAL);
	EXPECT_EQ(kckpt_session_instantiate(nullptr, &instantiate, sizeof(instantiate)), -EINVAL);
	EXPECT_EQ(kckpt_session_commit(nullptr, &commit, sizeof(commit)), -EINVAL);
	EXPECT_EQ(kckpt_session_abort(nullptr), -EINVAL);
	EXPECT_EQ(kckpt_dump_to_fd(nullptr, 1, nullptr, nullptr), -EINVAL);
	EXPECT_EQ(kckpt_load_from_fd(nullptr, 0, &instantiate, sizeof(instantiate), nullptr, nullptr), -EINVAL);
	kckpt_session_close(nullptr);
}

TEST(Libkckpt, OpenTellsWhyItFails)
{
	struct kckpt_session *session = reinterpret_cast<struct kckpt_session *>(&session);
	if (access(KCKPT_DEVICE, F_OK) == 0)
		GTEST_SKIP() << "the module is loaded";
	EXPECT_EQ(kckpt_session_open(&session), -ENOENT);
	EXPECT_EQ(session, nullptr);
}

TEST(Libkckpt, AdoptLeavesTheDescriptorWhenItFails)
{
	struct kckpt_session *session = reinterpret_cast<struct kckpt_session *>(&session);
	const int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	EXPECT_EQ(kckpt_session_adopt(fd, &session), -EPROTONOSUPPORT);
	EXPECT_EQ(session, nullptr);
	EXPECT_EQ(close(fd), 0);
	EXPECT_EQ(kckpt_session_adopt(fd, &session), -EBADF);
}

} // namespace kckpt
