// SPDX-License-Identifier: GPL-2.0-only
/* The tool from the outside: what it accepts, its words and its exit status. Nothing here needs the module. */
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/image_builder.hh"

namespace kckpt
{

namespace
{

namespace fs = std::filesystem;

struct Ran {
	int status;
	std::string out; /* both streams */
};

Ran run(const std::string &command)
{
	FILE *pipe = popen((command + " 2>&1").c_str(), "r");
	Ran ran = {};
	std::array<char, 4096> buffer;
	for (size_t got; (got = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;)
		ran.out.append(buffer.data(), got);
	const int status = pclose(pipe);
	ran.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return ran;
}

Ran kckpt(const std::string &arguments)
{
	return run(std::string(KCKPT_TOOL) + " " + arguments);
}

class Image
{
public:
	explicit Image(const Bytes &bytes)
	{
		char name[] = "/tmp/kckpt-test.XXXXXX";
		const int fd = mkstemp(name);
		path = name;
		EXPECT_EQ(write(fd, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
		close(fd);
	}
	~Image() { fs::remove(path); }
	std::string path;
};

bool has(const Ran &ran, std::string_view text)
{
	return ran.out.find(text) != std::string::npos;
}

} // namespace

TEST(Cli, HelpIsNoError)
{
	EXPECT_EQ(kckpt("--help").status, 0);
	EXPECT_TRUE(has(kckpt("--help"), "restore"));
	for (const char *command :
	     {"dump", "restore", "check", "show", "verify", "freeze", "thaw", "monitor", "features", "version"}) {
		const Ran ran = kckpt(std::string(command) + " --help");
		EXPECT_EQ(ran.status, 0) << command;
		EXPECT_TRUE(has(ran, "Usage: kckpt " + std::string(command))) << ran.out;
	}
}

/* Every option that the help tells of is offered. */
TEST(Cli, CompletionsKnowAllOptions)
{
	for (const char *command : {"dump", "restore", "check", "show", "verify", "flatten", "auto", "forget", "freeze",
				    "thaw", "monitor", "features", "version"}) {
		const Ran offered = run(std::string("bash -c 'source " KCKPT_COMPLETIONS "; COMP_WORDS=(kckpt ") +
					command + " --); COMP_CWORD=2; _kckpt; echo \" ${COMPREPLY[@]} \"'");
		EXPECT_EQ(offered.status, 0) << offered.out;
		EXPECT_TRUE(has(offered, " --help ")) << command;
		const Ran told = kckpt(std::string(command) + " --help");
		EXPECT_TRUE(told.status == 0 && has(told, "--help")) << command;
		std::istringstream help(told.out);
		for (std::string word; help >> word;) {
			if (word.ends_with(','))
				word.pop_back();
			const size_t at = word.find("--");
			const bool is_option = at == 0 || (at == 3 && word[0] == '-' && word[2] == ',');
			EXPECT_TRUE(!is_option || has(offered, " " + word.substr(at) + " ")) << command << " " << word;
		}
	}
}

/* Each is made when it is written, in any form, though most are not when they are not. */
TEST(Cli, OptionsOfTheHelpAreUnderstood)
{
	for (const char *command : {"dump", "restore", "auto"}) {
		std::istringstream help(kckpt(std::string(command) + " --help").out);
		size_t options = 0;
		for (std::string word; help >> word;) {
			const size_t at = word.find("--");
			if (at == std::string::npos || word.ends_with(','))
				continue;
			for (const char *value : {"", "=x"})
				EXPECT_FALSE(has(kckpt(command + (" " + word.substr(at)) + value), "not expected"))
					<< command << " " << word << value;
			options++;
		}
		EXPECT_GT(options, 10u) << command;
	}
	EXPECT_TRUE(has(kckpt("dump /a -o x --leave-runing"), "not expected: --leave-runing"));
	EXPECT_TRUE(has(kckpt("dump /no/such -ox"), "code:  "));
	EXPECT_TRUE(has(kckpt("dump /no/such --output=x --direct"), "code:  "));
}

TEST(Cli, UsageErrorsAreTwo)
{
	for (const char *arguments : {"",
				      "frob",
				      "--frob",
				      "dump",
				      "dump /jobs/web",
				      "dump /jobs/web --frob -o x",
				      "dump /a --pid 1 -o x",
				      "dump --pid -3 -o x",
				      "dump /a -o x --leave-running --leave-frozen",
				      "dump /a -o x --max-pause soon",
				      "restore",
				      "restore x --files=maybe",
				      "restore x y",
				      "restore - --inherit-fd 0 </dev/null",
				      "restore - --inherit-fd in=0 </dev/null",
				      "dump /a -o x --inherit-fd x",
				      "dump /a -o x --inherit-fd x=-1",
				      "dump /a -o x --external frob",
				      "check /a --external pipe:x",
				      "check /a --external tty=a=b",
				      "restore x --external pipe:1",
				      "restore x --external socket:1=s",
				      "restore x --external file:",
				      "show",
				      "verify",
				      "freeze",
				      "thaw",
				      "check"})
		EXPECT_EQ(kckpt(arguments).status, 2) << arguments;
}

TEST(Cli, MonitorHasUsageErrors)
{
	for (const char *arguments : {"monitor --until frob", "monitor --session 0", "monitor --session", "monitor now",
				      "monitor --once --session 1", "--json monitor --frob"})
		EXPECT_EQ(kckpt(arguments).status, 2) << arguments;
}

TEST(Cli, VersionIsToldWithoutAModule)
{
	const Ran ran = kckpt("version");
	EXPECT_EQ(ran.status, 0);
	EXPECT_TRUE(ran.out.starts_with("kckpt " KCKPT_VERSION)) << ran.out;
	EXPECT_EQ(nlohmann::json::parse(kckpt("version --json").out)["version"], KCKPT_VERSION);
	EXPECT_EQ(kckpt("--version").out, KCKPT_VERSION "\n");
}

TEST(Cli, MissingModuleIsNamed)
{
	if (access("/dev/kckpt", F_OK) == 0)
		GTEST_SKIP() << "the module is loaded";
	const Ran ran = kckpt("features");
	EXPECT_EQ(ran.status, 1);
	EXPECT_EQ(ran.out, "kckpt: cannot tell the features: the kckpt module is not loaded\n"
			   "  where: /dev/kckpt\n"
			   "  try:   load it as root with `modprobe kckpt`, or with insmod and the path of kckpt.ko\n"
			   "  code:  MODULE_MISSING (ENODEV)\n");
	EXPECT_TRUE(has(kckpt("monitor"), "code:  MODULE_MISSING (ENODEV)"));
	EXPECT_TRUE(has(kckpt("--json monitor"), "\"MODULE_MISSING\""));
	const auto json = nlohmann::json::parse(kckpt("features --json").out);
	EXPECT_EQ(json["errors"][0]["code"], "MODULE_MISSING");
}

TEST(Cli, MissingThingsAreNamed)
{
	EXPECT_TRUE(has(kckpt("dump --pid 999999999 -o /dev/null"), "PROCESS_MISSING (ESRCH)"));
	EXPECT_TRUE(has(kckpt("thaw /tmp"), "NOT_CGROUP (EBADF)"));
	EXPECT_TRUE(has(kckpt("restore --dry-run /no/such.kimg"), "IMAGE_OPEN (EIO, from ENOENT)"));
	EXPECT_TRUE(has(kckpt("restore --dry-run /dev/null --inherit-fd 77"), "INHERIT_CLOSED (EBADF)"));
	EXPECT_TRUE(has(kckpt("restore --dry-run --inherit-fd 0 --inherit-fd 77 /dev/null"), "descriptor 77"));
	EXPECT_TRUE(has(kckpt("restore --dry-run --inherit-fd log=77 /dev/null"), "descriptor 77"));
	EXPECT_TRUE(has(kckpt("restore --dry-run --external file:/no/such /dev/null"), "where: file:/no/such\n"));
	EXPECT_TRUE(has(kckpt("restore --dry-run --external dev:/etc/passwd=x /dev/null"),
			"EXTERNAL_MISSING (ENOENT, from ENODEV)"));
	EXPECT_TRUE(has(kckpt("show /tmp"), "IMAGE_OPEN (EIO, from EISDIR)"));
}

TEST(Cli, VerifyTellsWholeFromDamaged)
{
	Bytes bytes = big_image(1).finish();
	const Image whole(bytes);
	EXPECT_EQ(kckpt("verify " + whole.path).status, 0);
	EXPECT_EQ(kckpt("verify - <" + whole.path).status, 0);
	EXPECT_EQ(kckpt("verify --quiet " + whole.path).out, "");

	bytes[bytes.size() / 2] ^= std::byte{4};
	const Image damaged(bytes);
	const Ran ran = kckpt("verify " + damaged.path);
	EXPECT_EQ(ran.status, 3);
	EXPECT_TRUE(has(ran, "where: chunk 1, offset 1048576 to ")) << ran.out;
	EXPECT_TRUE(has(ran, "pages 0x10000000-0x10200000 of object 6\n")) << ran.out;
	EXPECT_TRUE(has(ran, "code:  IMAGE_DAMAGED (EBADMSG)\n")) << ran.out;
	EXPECT_EQ(kckpt("verify - <" + damaged.path).status, 3);
}

TEST(Cli, ShowPrintsSummaryAndRecords)
{
	const Image image(small_image().finish());
	EXPECT_TRUE(has(kckpt("show " + image.path), "thread 4121     nginx"));
	EXPECT_TRUE(has(kckpt("show --records " + image.path), "trailer record"));
	EXPECT_EQ(nlohmann::json::parse(kckpt("show --json " + image.path).out)["processes"][0]["pid"], 4121);
	const auto records = nlohmann::json::parse(kckpt("show --json --records - <" + image.path).out);
	EXPECT_EQ(records["records"][0]["record"], "process");
	EXPECT_EQ(records["header"]["host"], "builder");
}

TEST(Cli, ShowPrintsADamagedImageAsFarAsItGoes)
{
	const Bytes bytes = small_image().finish();
	const Image image(Bytes(bytes.begin(), bytes.begin() + 4000));
	const Ran ran = kckpt("show " + image.path);
	EXPECT_EQ(ran.status, 3);
	EXPECT_TRUE(has(ran, "/usr/sbin/nginx")) << ran.out;
	EXPECT_TRUE(has(ran, "IMAGE_TRUNCATED")) << ran.out;
}

TEST(Cli, RestoreLooksAtBothEndsBeforeItBegins)
{
	Bytes bytes = small_image().finish();
	const Image cut(Bytes(bytes.begin(), bytes.end() - 8));
	EXPECT_TRUE(has(kckpt("restore --dry-run " + cut.path), "IMAGE_TRUNCATED (EBADMSG)"));
	const Image text(Bytes(5000, std::byte{'x'}));
	EXPECT_TRUE(has(kckpt("restore --dry-run " + text.path), "IMAGE_MAGIC (EBADMSG)"));
	bytes[bytes.size() - 3] ^= std::byte{1};
	const Image flipped(bytes);
	const Ran ran = kckpt("restore --dry-run " + flipped.path);
	EXPECT_TRUE(has(ran, "IMAGE_DAMAGED (EBADMSG)")) << ran.out;
	EXPECT_EQ(ran.status, 3);
}

} // namespace kckpt
