// SPDX-License-Identifier: GPL-2.0-only
/* The words that people and scripts read: changing them is a decision. */
#include "lib/error_text.hh"

#include <cerrno>
#include <set>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace kckpt
{

namespace
{

Problem unlinked(int fd)
{
	Problem problem;
	problem.code = KCKPT_E_FILE_UNLINKED;
	problem.pid = 4121;
	problem.fd = fd;
	problem.comm = "nginx";
	problem.detail = "/var/tmp/upload.part";
	return problem;
}

Error of(std::vector<Problem> problems)
{
	Error error;
	error.doing = "dump /jobs/web";
	error.problems = std::move(problems);
	return error;
}

} // namespace

TEST(ErrorText, HasOneForm)
{
	EXPECT_EQ(error_text(of({unlinked(7)})),
		  "kckpt: cannot dump /jobs/web: a file was deleted while in use\n"
		  "  where: pid 4121 (nginx), fd 7: /var/tmp/upload.part\n"
		  "  try:   dump with --files=capture to carry its contents in the image\n"
		  "  code:  FILE_UNLINKED (ESTALE)\n");
}

TEST(ErrorText, LeavesOutWhatIsNotKnown)
{
	Problem problem;
	problem.code = KCKPT_E_CGROUP_EMPTY;
	EXPECT_EQ(error_text(of({problem})), "kckpt: cannot dump /jobs/web: there is no task in the cgroup\n"
					     "  try:   check the path; `cat CGROUP/cgroup.procs` lists its tasks\n"
					     "  code:  CGROUP_EMPTY (ESRCH)\n");
}

TEST(ErrorText, TellsTheCauseWhenItIsAnotherOne)
{
	Problem problem;
	problem.code = KCKPT_E_CREATE;
	problem.err = EMFILE;
	problem.family = KCKPT_F_pipe;
	problem.object = 12;
	problem.detail = "pipe";
	EXPECT_EQ(error_text(of({problem})),
		  "kckpt: cannot dump /jobs/web: a kernel object could not be created\n"
		  "  where: pipe object 12: pipe\n"
		  "  try:   the detail names it; check limits such as RLIMIT_NOFILE and pids.max\n"
		  "  code:  CREATE (EIO, from EMFILE)\n");
}

TEST(ErrorText, GroupsWhatRepeats)
{
	std::vector<Problem> problems;
	for (int fd = 3; fd < 15; fd++)
		problems.push_back(unlinked(fd));
	Problem traced;
	traced.code = KCKPT_E_TASK_TRACED;
	problems.insert(problems.begin() + 2, traced);
	const std::string text = error_text(of(problems));
	EXPECT_NE(text.find("fd 10: /var"), std::string::npos);
	EXPECT_EQ(text.find("fd 11: /var"), std::string::npos);
	EXPECT_NE(text.find("  where: and 4 more (all with --json)\n"), std::string::npos);
	EXPECT_NE(text.find("  code:  FILE_UNLINKED (ESTALE), 12 times\n"), std::string::npos);
	EXPECT_NE(text.find("  code:  TASK_TRACED (EBUSY)\n"), std::string::npos);
}

TEST(ErrorText, CountsWhatTheReportHadNoRoomFor)
{
	Error error = of({unlinked(7)});
	error.total = 5000;
	EXPECT_NE(error_text(error).find("and 4999 more errors"), std::string::npos);
}

TEST(ErrorText, DoesNotObeyTheJob)
{
	Problem problem = unlinked(7);
	problem.comm = "\x1b[2J\n";
	problem.detail = "/tmp/\xff\xc3\xa4";
	EXPECT_NE(error_text(of({problem})).find("(\\x1b[2J\\n), fd 7: /tmp/\\xff\xc3\xa4\n"), std::string::npos);
}

TEST(ErrorText, HasAllFactsAsJson)
{
	EXPECT_EQ(error_json(of({unlinked(7)})).dump(),
		  R"({"failed":"dump /jobs/web","errors":[{"code":"FILE_UNLINKED","errno":"ESTALE","pid":4121,)"
		  R"("comm":"nginx","fd":7,"detail":"/var/tmp/upload.part","text":"a file was deleted while in use",)"
		  R"("remedy":"dump with --files=capture to carry its contents in the image"}],"total":1})");
}

TEST(ErrorText, TakesTheKernelsRecordAsItIs)
{
	struct kckpt_error raw = {};
	raw.code = KCKPT_E_FILE_KIND;
	raw.err = -EOPNOTSUPP;
	raw.fd = 3;
	std::fill(std::begin(raw.comm), std::end(raw.comm), 'x'); /* without a NUL */
	std::fill(std::begin(raw.detail), std::end(raw.detail), 'y');
	const Problem problem = Problem::from(raw);
	EXPECT_EQ(problem.err, EOPNOTSUPP);
	EXPECT_EQ(problem.comm, std::string(16, 'x'));
	EXPECT_EQ(problem.detail, std::string(168, 'y'));
}

TEST(ErrorTable, IsComplete)
{
	std::set<std::string_view> names;
	for (const ErrorInfo &info : error_table()) {
		EXPECT_TRUE(names.insert(info.name).second) << info.name;
		EXPECT_GT(info.err, 0) << info.name;
		EXPECT_FALSE(info.text.empty() || info.remedy.empty()) << info.name;
		EXPECT_NE(info.text.back(), '.') << info.name;
		EXPECT_EQ(&error_info(info.code), &info);
	}
	for (uint32_t code = 1; code < KCKPT_E_END; code++)
		EXPECT_EQ(error_info(code).code, code);
	EXPECT_EQ(error_info(60000).name, "UNKNOWN");
}

TEST(ErrorTable, TellsFailedFromImpossible)
{
	const auto status = [](uint32_t code) { return Error(code, 0, {}).exit_code(); };
	EXPECT_EQ(status(KCKPT_E_FREEZE_TIMEOUT), 1);
	EXPECT_EQ(status(KCKPT_E_PID_TAKEN), 1);
	EXPECT_EQ(status(KCKPT_E_DISK_FULL), 1);
	EXPECT_EQ(status(KCKPT_E_MODULE_MISSING), 1);
	EXPECT_EQ(status(KCKPT_E_TASK_CHILDREN), 3);
	EXPECT_EQ(status(KCKPT_E_VDSO_DIFFERS), 3);
	EXPECT_EQ(status(KCKPT_E_IMAGE_TRUNCATED), 3);
	EXPECT_EQ(status(KCKPT_E_IMAGE_NEWER), 3);
	EXPECT_EQ(status(KCKPT_E_ABI_DIFFERS), 3);
}

} // namespace kckpt
