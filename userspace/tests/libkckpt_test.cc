// SPDX-License-Identifier: GPL-2.0-only
/* libkckpt as far as it goes without the module; selftests/test_lib.c has the rest. */
#include <kckpt/kckpt.h> /* first: it must not need anything else */

#include <fcntl.h>
#include <sys/stat.h>
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

/* ---- --inherit-fd and --external ---- */

TEST(Grammar, Inherit)
{
	const auto parsed = [](const char *text) -> std::string {
		struct kckpt_inherit inherit;
		const int err = kckpt_inherit_parse(text, &inherit);
		return err ? std::to_string(err) : std::string(inherit.name) + " is " + std::to_string(inherit.fd);
	};
	const std::string invalid = std::to_string(-EINVAL);
	EXPECT_EQ(parsed("5"), "5 is 5");
	EXPECT_EQ(parsed("007"), "7 is 7");
	EXPECT_EQ(parsed("log=5"), "log is 5");
	EXPECT_EQ(parsed("5=7"), "5 is 7");
	EXPECT_EQ(parsed("file:/var/log/a b=0"), "file:/var/log/a b is 0");
	EXPECT_EQ(parsed("x=2147483647"), "x is 2147483647");
	EXPECT_EQ(parsed((std::string(55, 'x') + "=1").c_str()), std::string(55, 'x') + " is 1");
	EXPECT_EQ(parsed((std::string(56, 'x') + "=1").c_str()), std::to_string(-ENAMETOOLONG));
	for (const char *text : {"", "=", "x", "x=", "=5", "-1", "+1", " 1", "1 ", "0x1", "x=y", "a=b=5", "2147483648",
				 "99999999999999999999999", "x=-1"})
		EXPECT_EQ(parsed(text), invalid) << text;
}

namespace
{

std::string parsed(const std::string &text)
{
	struct kckpt_external external;
	const int err = kckpt_external_parse(text.c_str(), &external);
	EXPECT_EQ(external.reserved, 0u);
	return err ? std::to_string(err)
		   : std::to_string(external.kind) + ":" + std::to_string(external.ino) + " " + external.name;
}

} // namespace

TEST(Grammar, External)
{
	EXPECT_EQ(parsed("pipe:123"), "1:123 pipe:123");
	EXPECT_EQ(parsed("pipe:[0123]"), "1:123 pipe:123");
	EXPECT_EQ(parsed("pipe:[123]=log"), "1:123 log");
	EXPECT_EQ(parsed("socket:18446744073709551615=a b/c:d"), "2:18446744073709551615 a b/c:d");
	EXPECT_EQ(parsed("tty"), "5:0 tty");
	EXPECT_EQ(parsed("tty=console"), "5:0 console");
	EXPECT_EQ(parsed("tty=" + std::string(55, 'x')), "5:0 " + std::string(55, 'x'));
	EXPECT_EQ(parsed("tty=" + std::string(56, 'x')), std::to_string(-ENAMETOOLONG));
	EXPECT_EQ(parsed("file:/" + std::string(60, 'x')), std::to_string(-ENAMETOOLONG));
	for (const char *text : {"", "=", "pipe", "pipe:", "pipe:=x", "pipe:x", "pipe:[]", "pipe:[1", "pipe:-1",
				 "pipe:1=", "socket:18446744073709551616", "file:", "file:=x", "tty:", "tty:0", "ttyS0",
				 "Tty", "dir:/", "pipe:1=a=b"})
		EXPECT_EQ(parsed(text), std::to_string(-EINVAL)) << text;
}

TEST(Grammar, ExternalsThatHaveAPath)
{
	struct kckpt_external external;
	struct stat null, self;
	ASSERT_EQ(stat("/dev/null", &null), 0);
	ASSERT_EQ(stat("/proc/self/exe", &self), 0);

	ASSERT_EQ(kckpt_external_parse("dev:/dev/null", &external), 0);
	EXPECT_EQ(external.kind, uint32_t(KCKPT_EXTERNAL_DEV));
	EXPECT_EQ(external.dev, null.st_rdev);
	EXPECT_EQ(external.ino, 0u);
	EXPECT_STREQ(external.name, "dev:/dev/null");
	ASSERT_EQ(kckpt_external_parse("file:/proc/self/exe=me", &external), 0);
	EXPECT_EQ(external.dev, self.st_dev);
	EXPECT_EQ(external.ino, self.st_ino);
	EXPECT_STREQ(external.name, "me");

	EXPECT_EQ(parsed("file:/no/such"), std::to_string(-ENOENT));
	EXPECT_EQ(parsed("dev:/etc/passwd"), std::to_string(-ENODEV));
	EXPECT_EQ(parsed("file:/dev/null/x=y"), std::to_string(-ENOTDIR));
}

/* What follows the last '=' is the name, so that a path may have one, too. */
TEST(Grammar, PathsWithEqualsSigns)
{
	char path[] = "/tmp/kckpt=test.XXXXXX";
	const int fd = mkstemp(path);
	ASSERT_GE(fd, 0);
	struct kckpt_external external;
	EXPECT_EQ(kckpt_external_parse(("file:" + std::string(path) + "=log").c_str(), &external), 0);
	EXPECT_STREQ(external.name, "log");
	EXPECT_EQ(kckpt_external_parse(("file:" + std::string(path)).c_str(), &external), -ENOENT);
	unlink(path);
	close(fd);
}

TEST(Grammar, Replacements)
{
	struct kckpt_inherit inherit;
	ASSERT_EQ(kckpt_external_open("file:/etc/passwd=users", &inherit), 0);
	EXPECT_STREQ(inherit.name, "users");
	EXPECT_TRUE(fcntl(inherit.fd, F_GETFL) & O_PATH);
	EXPECT_TRUE(fcntl(inherit.fd, F_GETFD) & FD_CLOEXEC);
	close(inherit.fd);
	ASSERT_EQ(kckpt_external_open("dev:/dev/null", &inherit), 0);
	EXPECT_STREQ(inherit.name, "dev:/dev/null");
	close(inherit.fd);
	EXPECT_EQ(kckpt_external_open("dev:/etc/passwd", &inherit), -ENODEV);
	EXPECT_EQ(inherit.fd, -1);
	EXPECT_EQ(kckpt_external_open("file:/no/such", &inherit), -ENOENT);
	EXPECT_EQ(kckpt_external_open("pipe:1", &inherit), -EOPNOTSUPP);
	EXPECT_EQ(kckpt_external_open("socket:1", &inherit), -EOPNOTSUPP);
	EXPECT_EQ(kckpt_external_open("frob", &inherit), -EINVAL);
	EXPECT_EQ(kckpt_external_open(nullptr, &inherit), -EINVAL);
	EXPECT_EQ(kckpt_external_parse(nullptr, nullptr), -EINVAL);
	EXPECT_EQ(kckpt_inherit_parse("1", nullptr), -EINVAL);
}

} // namespace kckpt
