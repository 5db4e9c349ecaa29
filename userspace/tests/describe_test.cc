// SPDX-License-Identifier: GPL-2.0-only
/* The tables made from the contract, and what is shown by them. */
#include "lib/describe.hh"

#include <numeric>
#include <set>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "lib/image_reader.hh"
#include "lib/summary.hh"
#include "tests/image_builder.hh"

namespace kckpt
{

namespace
{

Summary summary_of(const Bytes &bytes, struct kckpt_header &header)
{
	Result<ImageReader> reader = ImageReader::open(Source::memory(bytes), Pages::skip);
	Summary summary;
	header = reader->header();
	for (;;) {
		Result<const Record *> record = reader->next();
		if (!record || !*record)
			return summary;
		summary.add(**record, reader->runs());
	}
}

} // namespace

TEST(RecordTable, EveryRecordHasAFamilyAndFieldsThatAddUp)
{
	std::set<std::pair<uint16_t, uint16_t>> kinds;
	for (const RecordInfo &info : record_table()) {
		EXPECT_FALSE(family_name(info.family).empty()) << info.name;
		EXPECT_TRUE(kinds.emplace(info.family, info.kind).second) << info.name;
		EXPECT_EQ(find_record(info.family, info.kind), &info);
		size_t size = 0;
		for (const FieldInfo &field : info.fields) {
			size += field.size;
			EXPECT_FALSE(field.meaning.empty()) << info.name << "." << field.name;
			EXPECT_GE(field.since, 1u);
			EXPECT_LE(field.since, KCKPT_IMAGE_MINOR);
		}
		EXPECT_EQ(size, info.size) << info.name;
	}
}

TEST(RecordTable, EveryTailIsCountedByAField)
{
	for (const RecordInfo &info : record_table()) {
		const TailCount count = tail_count(info);
		const auto is_it = [&](const FieldInfo &field) { return field.name == count.field; };
		EXPECT_EQ(info.tail != Tail::NONE, std::ranges::any_of(info.fields, is_it)) << info.name;
	}
}

TEST(Describe, ShowsFieldsByTheTable)
{
	struct kckpt_file_rec file = {};
	file.target = 5;
	file.pos = -1;
	file.open_flags = 02001;
	std::memcpy(file.inherit, "a\nb", 3);
	const auto bytes = std::as_bytes(std::span(&file, 1));
	Result<Record> record = parse_record(512, {KCKPT_F_file, KCKPT_K_file, sizeof(file), 9}, bytes);
	ASSERT_TRUE(record);
	EXPECT_EQ(record_text(*record), "       512  file record of object 9\n"
					"            target           object 5\n"
					"            pos              -1\n"
					"            open_flags       02001\n"
					"            file_flags       0x0\n"
					"            inherit          \"a\\nb\"\n"
					"            via              none\n"
					"            owner            none\n"
					"            owner_type       0\n"
					"            owner_signal     0\n"
					"            owner_uid        0\n"
					"            owner_euid       0\n");
	EXPECT_EQ(record_json(*record).dump(),
		  R"({"offset":512,"family":"file","record":"file","object":9,"fields":{"target":5,"pos":-1,)"
		  R"("open_flags":"02001","file_flags":"0x0","inherit":"a\nb","via":0,"owner":0,)"
		  R"("owner_type":0,"owner_signal":0,"owner_uid":0,"owner_euid":0}})");
}

TEST(Describe, ShowsTheTail)
{
	struct kckpt_fs_rec fs = {};
	fs.umask = 022;
	fs.cwd_len = 4;
	std::string bytes(reinterpret_cast<const char *>(&fs), sizeof(fs));
	bytes += "/tmp";
	Result<Record> record = parse_record(0, {KCKPT_F_fs, KCKPT_K_fs, 20, 1}, std::as_bytes(std::span(bytes)));
	ASSERT_TRUE(record);
	EXPECT_TRUE(record_text(*record).ends_with("            (tail)           \"/tmp\"\n"));
	EXPECT_EQ(record_json(*record)["tail"], "/tmp");
}

TEST(Describe, ShowsWhatItDoesNotKnow)
{
	const Bytes payload(4, std::byte{0xab});
	Result<Record> record = parse_record(64, {999, 7, 4, 2}, payload);
	ASSERT_TRUE(record);
	EXPECT_EQ(record_text(*record), "        64  unknown record (family 999, kind 7) of object 2\n"
					"            (tail)           abababab\n");
	EXPECT_EQ(record_json(*record)["family"], 999);
}

TEST(Summary, IsWhatOneWantsToKnowFirst)
{
	struct kckpt_header header;
	const Summary summary = summary_of(small_image().finish(), header);
	EXPECT_EQ(summary.text(header), "image   10111213-1415-1617-1819-1a1b1c1d1e1f, format 1.1\n"
					"made    2023-11-14T22:13:20Z on builder, Linux 6.1.0-test, x86_64\n"
					"holds   1 threads, 2 pages (8.0 KiB), and 9 zero pages\n"
					"\n"
					"process 4121, parent 0, group 0, session 0\n"
					"  thread 4121     nginx\n"
					"  exe    /usr/sbin/nginx\n"
					"  memory 2 areas, 2 pages saved\n"
					"    000000400000-000000402000 r-xp        0 pages  /usr/sbin/nginx\n"
					"    000010000000-000020000000 rw-p        2 pages  \n"
					"  cwd    /var/www\n"
					"  files  3\n"
					"    1     w  at 4096       /usr/sbin/nginx\n"
					"    2     r  at 0          pipe (object 8) (close-on-exec)\n"
					"    3     rw at 0          handed over as \"7\"\n");
	const auto json = summary.json(header);
	EXPECT_EQ(json["processes"][0]["files"][2]["name"], "handed over as \"7\"");
	EXPECT_EQ(json["processes"][0]["memory"]["areas"][1]["pages"], 2);
}

TEST(Summary, BearsReferencesToNothing)
{
	ImageBuilder builder;
	struct kckpt_process_rec process = {};
	process.mm = process.leader = process.parent = process.pgrp = 77;
	struct kckpt_task_rec task = {};
	task.files = 2;
	struct kckpt_fd_rec fd = {};
	fd.file = 99;
	builder.record(1, process).record(2, fd);
	process.leader = 4;
	builder.record(3, process).record(4, task).end_records();
	struct kckpt_header header;
	const Summary summary = summary_of(builder.finish(), header);
	EXPECT_NE(summary.text(header).find("    0     ?\n"), std::string::npos);
	EXPECT_EQ(summary.json(header)["processes"].size(), 2u);
}

} // namespace kckpt
