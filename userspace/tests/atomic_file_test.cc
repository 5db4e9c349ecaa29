// SPDX-License-Identifier: GPL-2.0-only
#include "lib/atomic_file.hh"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

namespace kckpt
{

namespace
{

namespace fs = std::filesystem;

class AtomicFileTest : public testing::Test
{
protected:
	AtomicFileTest()
	{
		char name[] = "/tmp/kckpt-test.XXXXXX";
		directory_ = mkdtemp(name);
	}
	~AtomicFileTest() override { fs::remove_all(directory_); }

	std::string path(const char *name) const { return directory_ / name; }
	size_t nr_entries() const
	{
		return static_cast<size_t>(std::distance(fs::directory_iterator(directory_), fs::directory_iterator()));
	}
	static std::string content(const std::string &path)
	{
		std::ifstream in(path);
		return {std::istreambuf_iterator<char>(in), {}};
	}
	static std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

	fs::path directory_;
};

} // namespace

/* Somebody else who looks sees it without a name and, in the end, held by nobody but him. */
TEST_F(AtomicFileTest, GivesBackLargeFileThatIsReplaced)
{
	std::ofstream(path("a.kimg")) << std::string(8 << 20, 'x');
	const auto nr_open = [] {
		return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator());
	};
	const Fd old(open(path("a.kimg").c_str(), O_RDONLY));
	const auto before = nr_open();
	{
		Result<AtomicFile> file = AtomicFile::create(path("a.kimg"));
		ASSERT_TRUE(file);
		ASSERT_TRUE(file->write(bytes("new")));
		ASSERT_TRUE(file->commit());
		EXPECT_EQ(content(path("a.kimg")), "new");
	}
	EXPECT_EQ(nr_open(), before);
	struct stat st;
	ASSERT_EQ(fstat(old.get(), &st), 0);
	EXPECT_EQ(st.st_nlink, 0u);
	EXPECT_EQ(nr_entries(), 1u);
}

/* What cannot be given its name leaves the old file alone, whatever its size. */
TEST_F(AtomicFileTest, KeepsLargeFileIfItFails)
{
	std::ofstream(path("a.kimg")) << std::string(8 << 20, 'x');
	{
		Result<AtomicFile> file = AtomicFile::create(path("a.kimg"));
		ASSERT_TRUE(file);
		for (const fs::directory_entry &entry : fs::directory_iterator(directory_))
			if (is_temporary(entry.path().filename().string()))
				fs::remove(entry.path());
		EXPECT_FALSE(file->commit());
	}
	EXPECT_EQ(fs::file_size(path("a.kimg")), 8u << 20);
	EXPECT_EQ(nr_entries(), 1u);
}

TEST_F(AtomicFileTest, BearsItsNameOnlyWhenWhole)
{
	Result<AtomicFile> file = AtomicFile::create(path("a.kimg"));
	ASSERT_TRUE(file);
	ASSERT_TRUE(file->write(bytes("hello")));
	EXPECT_FALSE(fs::exists(path("a.kimg")));
	ASSERT_TRUE(file->commit());
	EXPECT_EQ(content(path("a.kimg")), "hello");
	EXPECT_EQ(nr_entries(), 1u);
	struct stat st;
	ASSERT_EQ(stat(path("a.kimg").c_str(), &st), 0);
	EXPECT_EQ(st.st_mode & 0777u, 0600u);
}

TEST_F(AtomicFileTest, LeavesNothingWhenItIsNotCommitted)
{
	{
		Result<AtomicFile> file = AtomicFile::create(path("a.kimg"));
		ASSERT_TRUE(file && file->write(bytes("hello")));
		EXPECT_EQ(nr_entries(), 1u);
	}
	EXPECT_EQ(nr_entries(), 0u);
}

TEST_F(AtomicFileTest, KeepsTheOldOneUntilTheNewIsWhole)
{
	std::ofstream(path("a.kimg")) << "old";
	{
		Result<AtomicFile> file = AtomicFile::create(path("a.kimg"));
		ASSERT_TRUE(file && file->write(bytes("new")));
		EXPECT_EQ(content(path("a.kimg")), "old");
	}
	EXPECT_EQ(content(path("a.kimg")), "old");
	Result<AtomicFile> file = AtomicFile::create(path("a.kimg"));
	ASSERT_TRUE(file && file->write(bytes("new")) && file->commit());
	EXPECT_EQ(content(path("a.kimg")), "new");
}

TEST_F(AtomicFileTest, FollowsASymbolicLink)
{
	std::ofstream(path("target")) << "old";
	fs::create_symlink(path("target"), path("link"));
	Result<AtomicFile> file = AtomicFile::create(path("link"));
	ASSERT_TRUE(file && file->write(bytes("new")) && file->commit());
	EXPECT_TRUE(fs::is_symlink(path("link")));
	EXPECT_EQ(content(path("target")), "new");
}

TEST_F(AtomicFileTest, DoesNotReplaceADevice)
{
	Result<AtomicFile> file = AtomicFile::create("/dev/null");
	ASSERT_TRUE(file && file->write(bytes("hello")) && file->commit());
	EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

TEST_F(AtomicFileTest, NamesAFullDisk)
{
	Result<AtomicFile> file = AtomicFile::create("/dev/full");
	ASSERT_TRUE(file);
	Result<> wrote = file->write(bytes("hello"));
	ASSERT_FALSE(wrote);
	EXPECT_TRUE(wrote.error().has(KCKPT_E_DISK_FULL));
	EXPECT_EQ(wrote.error().problems[0].detail, "/dev/full");
}

TEST_F(AtomicFileTest, NamesADirectoryThatIsNotThere)
{
	Result<AtomicFile> file = AtomicFile::create(path("none/a.kimg"));
	ASSERT_FALSE(file);
	EXPECT_TRUE(file.error().has(KCKPT_E_FILE_CREATE));
}

TEST_F(AtomicFileTest, IsRemovedByASignal)
{
	const pid_t pid = fork();
	if (pid == 0) {
		exit_on_signals("interrupted\n");
		Result<AtomicFile> file = AtomicFile::create(path("a.kimg"));
		const bool wrote = file && file->write(bytes("hello"));
		raise(SIGTERM);
		_exit(wrote ? 1 : 2);
	}
	int status;
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(WEXITSTATUS(status), 128 + SIGTERM);
	EXPECT_EQ(nr_entries(), 0u);
}

} // namespace kckpt
