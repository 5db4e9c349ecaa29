// SPDX-License-Identifier: GPL-2.0-only
#include "lib/text.hh"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "lib/cgroup.hh"
#include "lib/progress.hh"
#include "lib/stats.hh"

namespace kckpt
{

using namespace std::chrono_literals;

TEST(Text, ShowsControlAndStrayBytes)
{
	EXPECT_EQ(printable("/tmp/ä €"), "/tmp/ä €");
	EXPECT_EQ(printable("a\nb\x1b\x7f\\"), "a\\nb\\x1b\\x7f\\\\");
	EXPECT_EQ(printable("\xc3"), "\\xc3");
	EXPECT_EQ(printable("\xc2\x9b"
			    "1m"),
		  "\\xc2\\x9b"
		  "1m");                                         /* a C1 control, CSI */
	EXPECT_EQ(printable("\xe0\x80\x80"), "\\xe0\\x80\\x80"); /* overlong */
	EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80"); /* a surrogate */
}

TEST(Text, ScalesSizesAndTimes)
{
	EXPECT_EQ(human_bytes(0), "0 B");
	EXPECT_EQ(human_bytes(1023), "1023 B");
	EXPECT_EQ(human_bytes(1536), "1.5 KiB");
	EXPECT_EQ(human_bytes(uint64_t(123) << 30), "123 GiB");
	EXPECT_EQ(human_bytes(~uint64_t(0)), "16.0 EiB");
	EXPECT_EQ(human_ns(830), "830 ns");
	EXPECT_EQ(human_ns(1'500'000), "1.5 ms");
	EXPECT_EQ(human_ns(120'000'000'000), "120 s");
}

TEST(Progress, TellsPartSpeedAndRest)
{
	EXPECT_EQ(progress_line("dump", 400 << 20, 1000 << 20, 2s),
		  "dump  [########            ]  40 %  400 MiB  200 MiB/s  3 s left");
	EXPECT_EQ(progress_line("dump", 0, 1000, 0ms), "dump  [                    ]   0 %  0 B  0 B/s");
	EXPECT_EQ(progress_line("dump", 1, 1000, 10s),
		  "dump  [                    ]   0 %  1 B  0 B/s  2 h 46 min left");
}

TEST(Progress, NeverTellsMoreThanAllOfAnEstimate)
{
	EXPECT_EQ(progress_line("dump", 3000, 1000, 1s), "dump  [####################] 100 %  2.9 KiB  2.9 KiB/s");
	EXPECT_EQ(progress_line("restore", 2048, 0, 1s), "restore  2.0 KiB  2.0 KiB/s");
}

TEST(Stats, LeaveOutWhatHasNotHappened)
{
	struct kckpt_stats stats = {};
	stats.nr_tasks = 2;
	stats.bytes = 8192;
	stats.pages = 1;
	stats.pause_ns = 2'000'000;
	EXPECT_EQ(stats_text(stats), "tasks        2\n"
				     "image        8.0 KiB\n"
				     "pages        1 (4.0 KiB), 0 zero\n"
				     "pause        2.0 ms\n");
	EXPECT_EQ(stats_json(stats)["pause_ns"], 2'000'000);
}

TEST(Cgroup, FindsTheMountThatShowsMost)
{
	const auto mount = find_cgroup2_mount(
		"30 23 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
		"31 23 0:27 /part /mnt/part rw shared:1 - cgroup2 cgroup2 rw\n"
		"32 23 0:27 / /mnt/with\\040blank rw,nosuid shared:4 master:2 - cgroup2 cgroup2 rw,nsdelegate\n");
	ASSERT_TRUE(mount);
	EXPECT_EQ(mount->root, "/");
	EXPECT_EQ(mount->point, "/mnt/with blank");
	EXPECT_FALSE(find_cgroup2_mount("30 23 0:26 / /sys rw - sysfs sysfs rw\n"));
	EXPECT_FALSE(find_cgroup2_mount(""));
}

TEST(Cgroup, FindsTheCgroupOfAProcess)
{
	EXPECT_EQ(parse_proc_cgroup("4:memory:/a\n0::/jobs/web\n"), "/jobs/web");
	EXPECT_FALSE(parse_proc_cgroup("4:memory:/a\n"));
	EXPECT_EQ(path_below({"/", "/sys/fs/cgroup"}, "/jobs/web"), "/sys/fs/cgroup/jobs/web");
	EXPECT_EQ(path_below({"/", "/sys/fs/cgroup"}, "/"), "/sys/fs/cgroup");
	EXPECT_EQ(path_below({"/jobs", "/mnt"}, "/jobs/web"), "/mnt/web");
	EXPECT_EQ(path_below({"/jobs", "/mnt"}, "/jobs"), "/mnt");
	EXPECT_FALSE(path_below({"/jobs", "/mnt"}, "/jobsweb"));
}

} // namespace kckpt
