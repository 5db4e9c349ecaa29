// SPDX-License-Identifier: GPL-2.0-only
/* Whole images are read, damaged ones refused, and nothing in them makes the reader stumble. */
#include "lib/image_reader.hh"

#include <algorithm>
#include <random>

#include <gtest/gtest.h>

#include "lib/image_check.hh"
#include "tests/image_builder.hh"

namespace kckpt
{

namespace
{

Result<> read_all(std::span<const std::byte> bytes, Pages pages = Pages::verify)
{
	Result<ImageReader> reader = ImageReader::open(Source::memory(bytes), pages);
	if (!reader)
		return pass(reader);
	for (;;) {
		Result<const Record *> record = reader->next();
		if (!record)
			return pass(record);
		if (!*record)
			return {};
	}
}

uint32_t code_of(const Result<> &result)
{
	return result ? uint32_t(KCKPT_E_NONE) : result.error().problems.at(0).code;
}

std::string detail_of(const Result<> &result)
{
	return result ? std::string() : result.error().problems.at(0).detail;
}

/* The records of one kind, and what the last of them is as a struct. */
template <class T> Result<T> read_one(const Bytes &bytes)
{
	Result<ImageReader> reader = ImageReader::open(Source::memory(bytes), Pages::verify);
	T last = {};
	for (;;) {
		Result<const Record *> record = reader->next();
		if (!record)
			return pass(record);
		if (!*record)
			return last;
		if ((*record)->is<T>())
			last = (*record)->as<T>();
	}
}

} // namespace

TEST(ImageReader, TakesWholeImages)
{
	const Bytes small = small_image().finish(), big = big_image(3).finish();
	for (const Pages pages : {Pages::verify, Pages::skip}) {
		EXPECT_EQ(detail_of(read_all(small, pages)), "");
		EXPECT_EQ(detail_of(read_all(big, pages)), "");
	}
}

TEST(ImageReader, YieldsRecordsTailsAndRuns)
{
	const Bytes bytes = small_image().finish();
	Result<ImageReader> reader = ImageReader::open(Source::memory(bytes), Pages::verify);
	ASSERT_TRUE(reader);
	std::vector<std::string> texts;
	std::vector<uint64_t> runs;
	for (;;) {
		Result<const Record *> record = reader->next();
		ASSERT_TRUE(record);
		if (!*record)
			break;
		if ((*record)->info->tail == Tail::TEXT)
			texts.emplace_back((*record)->text());
		if ((*record)->is<struct kckpt_pages_rec>())
			for (const auto &run : reader->runs())
				runs.push_back(run.vaddr);
	}
	EXPECT_EQ(texts, (std::vector<std::string>{"/usr/sbin/nginx", "/var/www"}));
	EXPECT_EQ(runs, (std::vector<uint64_t>{0x10000000, 0x10005000, 0x10010000, 0x400000}));
	EXPECT_EQ(reader->offset(), bytes.size());
}

TEST(ImageReader, NamesThePartWhereAnImageWasCut)
{
	ImageBuilder builder = small_image();
	const Bytes bytes = builder.finish();
	for (const size_t edge : builder.edges()) {
		for (const size_t size : {edge, edge + 1, edge + 20}) {
			if (size >= bytes.size())
				continue;
			const Result<> read = read_all(std::span(bytes).first(size));
			EXPECT_EQ(code_of(read), KCKPT_E_IMAGE_TRUNCATED) << size;
			EXPECT_NE(detail_of(read).find("offset "), std::string::npos) << size;
		}
	}
	EXPECT_EQ(detail_of(read_all(std::span(bytes).first(builder.edges()[2] + 30))),
		  "offset 390, in the task record of object 2");
	EXPECT_EQ(detail_of(read_all(std::span(bytes).first(builder.edges()[2]))),
		  "offset 360, after the process record of object 1");
}

TEST(ImageReader, RefusesEveryFlippedByteOfASmallImage)
{
	Bytes bytes = small_image().finish();
	for (size_t at = 0; at < bytes.size(); at++) {
		bytes[at] ^= std::byte{0x41};
		const Result<> read = read_all(bytes);
		ASSERT_FALSE(read) << "byte " << at;
		ASSERT_TRUE(code_of(read) == KCKPT_E_IMAGE_MAGIC || !detail_of(read).empty()) << "byte " << at;
		bytes[at] ^= std::byte{0x41};
	}
}

TEST(ImageReader, RefusesSampledFlipsOfABigImage)
{
	Bytes bytes = big_image(1).finish();
	std::mt19937_64 random(1);
	for (int i = 0; i < 5000; i++) {
		const size_t at = random() % bytes.size();
		const std::byte bit{static_cast<unsigned char>(1u << random() % 8)};
		bytes[at] ^= bit;
		ASSERT_FALSE(read_all(bytes)) << "byte " << at;
		bytes[at] ^= bit;
	}
}

TEST(ImageReader, NamesTheDamagedChunk)
{
	ImageBuilder builder = big_image(3);
	Bytes bytes = builder.finish();
	const size_t third = 3 * size_t(KCKPT_CHUNK_SIZE) + 77;
	bytes[third] ^= std::byte{1};
	const Result<> read = read_all(bytes);
	EXPECT_EQ(code_of(read), KCKPT_E_IMAGE_DAMAGED);
	EXPECT_EQ(detail_of(read), "chunk 3, offset 3145728 to 4194304: pages 0x10200000-0x10400000 of object 6");
	EXPECT_TRUE(read_all(bytes, Pages::skip)); /* all but the pages is whole */
}

TEST(ImageReader, NamesTheDamagedRecords)
{
	ImageBuilder builder = small_image();
	Bytes bytes = builder.finish();
	bytes[builder.edges()[3] + 16] ^= std::byte{1}; /* r15 */
	const Result<> read = read_all(bytes);
	EXPECT_EQ(code_of(read), KCKPT_E_IMAGE_DAMAGED);
	EXPECT_TRUE(detail_of(read).starts_with("the records, offset 0 to ")) << detail_of(read);
}

TEST(ImageReader, RefusesWhatFollowsTheTrailer)
{
	Bytes bytes = small_image().finish();
	bytes.push_back(std::byte{0});
	EXPECT_TRUE(detail_of(read_all(bytes)).ends_with("bytes follow the trailer"));
}

TEST(ImageReader, RefusesRecordsInTheWrongPlace)
{
	ImageBuilder builder;
	builder.record(1, kckpt_files_rec{}).end_records().record(1, kckpt_files_rec{});
	EXPECT_TRUE(detail_of(read_all(builder.finish())).ends_with("out of place"));

	ImageBuilder early;
	early.pages(1, {{0x1000, 1, 0}}).end_records();
	EXPECT_TRUE(detail_of(read_all(early.finish())).ends_with("out of place"));
}

TEST(ImageReader, RefusesSizesThatNobodyWrites)
{
	ImageBuilder builder;
	Bytes bytes = builder.finish();
	bytes.resize(sizeof(struct kckpt_header));
	const struct kckpt_record head = {KCKPT_F_mm, KCKPT_K_mm, 0xffffffff, 1};
	const auto more = std::as_bytes(std::span(&head, 1));
	bytes.insert(bytes.end(), more.begin(), more.end());
	EXPECT_EQ(code_of(read_all(bytes)), KCKPT_E_IMAGE_LIMIT);
}

TEST(ImageReader, RefusesSenselessBatches)
{
	const auto with = [](const struct kckpt_page_run &run) {
		ImageBuilder builder;
		builder.record(1, kckpt_files_rec{}).end_records().pages(1, {run});
		return code_of(read_all(builder.finish()));
	};
	EXPECT_EQ(with({0x1000, 1, 0}), KCKPT_E_NONE);
	EXPECT_EQ(with({0x1001, 1, 0}), KCKPT_E_IMAGE_RECORD);
	EXPECT_EQ(with({0x1000, 0, 0}), KCKPT_E_IMAGE_RECORD);
	EXPECT_EQ(with({~0xfffull, 2, KCKPT_RUN_ZERO}), KCKPT_E_IMAGE_RECORD);
	EXPECT_EQ(with({0x1000, 1, 1u << 31}), KCKPT_E_IMAGE_NEWER);
	EXPECT_EQ(with({0x1000, KCKPT_MAX_BATCH + 1, 0}), KCKPT_E_IMAGE_LIMIT);
}

TEST(ImageReader, RefusesOtherFormats)
{
	const auto with = [](auto change) {
		ImageBuilder builder;
		change(builder.header());
		builder.end_records();
		return code_of(read_all(builder.finish()));
	};
	EXPECT_EQ(with([](struct kckpt_header &) {}), KCKPT_E_NONE);
	EXPECT_EQ(with([](struct kckpt_header &header) { header.magic[0] = 'k'; }), KCKPT_E_IMAGE_MAGIC);
	EXPECT_EQ(with([](struct kckpt_header &header) { header.major = 2; }), KCKPT_E_IMAGE_NEWER);
	EXPECT_EQ(with([](struct kckpt_header &header) { header.minor = 99; }), KCKPT_E_NONE);
	EXPECT_EQ(with([](struct kckpt_header &header) { header.header_flags = 1; }), KCKPT_E_IMAGE_NEWER);
	EXPECT_EQ(with([](struct kckpt_header &header) { header.reserved[3] = 1; }), KCKPT_E_IMAGE_NEWER);
}

TEST(SizeRule, AShortRecordReadsAsZeros)
{
	struct kckpt_pipe_rec ring = {};
	ring.max_usage = 16;
	ring.nr_data = 3;
	ImageBuilder builder;
	builder.raw_record(KCKPT_F_pipe, KCKPT_K_pipe, 1, std::as_bytes(std::span(&ring, 1)).first(4));
	const Result<struct kckpt_pipe_rec> read = read_one<struct kckpt_pipe_rec>(builder.end_records().finish());
	ASSERT_TRUE(read);
	EXPECT_EQ(read->max_usage, 16u);
	EXPECT_EQ(read->nr_data, 0u);
}

TEST(SizeRule, ALongRecordIsTakenWhenItsTailIsZero)
{
	Bytes payload(sizeof(struct kckpt_pipe_rec) + 8);
	payload[0] = std::byte{16};
	ImageBuilder builder;
	builder.raw_record(KCKPT_F_pipe, KCKPT_K_pipe, 1, payload);
	EXPECT_EQ(read_one<struct kckpt_pipe_rec>(builder.end_records().finish())->max_usage, 16u);

	payload.back() = std::byte{1};
	ImageBuilder newer;
	newer.raw_record(KCKPT_F_pipe, KCKPT_K_pipe, 1, payload);
	EXPECT_EQ(code_of(read_all(newer.end_records().finish())), KCKPT_E_IMAGE_NEWER);
}

TEST(SizeRule, TheTailIsFoundBehindLongerFields)
{
	struct kckpt_fs_rec fs = {};
	fs.umask = 022;
	fs.cwd_len = 4;
	Bytes payload(sizeof(fs) + 8);
	std::memcpy(payload.data(), &fs, sizeof(fs));
	for (const char c : {'/', 't', 'm', 'p'})
		payload.push_back(static_cast<std::byte>(c));
	Result<Record> record = parse_record(0, {KCKPT_F_fs, KCKPT_K_fs, 0, 1}, payload);
	ASSERT_TRUE(record);
	EXPECT_EQ(record->text(), "/tmp");

	fs.cwd_len = 1000;
	std::memcpy(payload.data(), &fs, sizeof(fs));
	EXPECT_FALSE(parse_record(0, {KCKPT_F_fs, KCKPT_K_fs, 0, 1}, payload));
}

TEST(SizeRule, UnknownRecordsAreSteppedOver)
{
	ImageBuilder builder;
	builder.raw_record(999, 7, 1, Bytes(24)).end_records();
	EXPECT_EQ(detail_of(read_all(builder.finish())), "");
}

TEST(ImageReader, SurvivesRandomBytes)
{
	const Bytes whole = small_image().finish();
	std::mt19937_64 random(2);
	for (int i = 0; i < 20000; i++) {
		Bytes bytes(whole.begin(), whole.begin() + static_cast<long>(random() % whole.size()));
		for (size_t flips = random() % 30; flips > 0 && !bytes.empty(); flips--)
			bytes[random() % bytes.size()] = static_cast<std::byte>(random());
		EXPECT_FALSE(read_all(bytes, i % 2 ? Pages::verify : Pages::skip));
	}
}

/* What is behind the header at random, with heads that are nearly right. */
TEST(ImageReader, SurvivesRandomRecords)
{
	std::mt19937_64 random(3);
	for (int i = 0; i < 20000; i++) {
		ImageBuilder builder;
		for (size_t records = random() % 8; records > 0; records--) {
			Bytes payload(random() % 100);
			std::ranges::generate(payload, [&] { return static_cast<std::byte>(random() % 3); });
			builder.raw_record(static_cast<uint16_t>(random() % 14), static_cast<uint16_t>(random() % 6),
					   random() % 4, payload);
		}
		const Result<> read = read_all(builder.finish());
		EXPECT_FALSE(read); /* the end record is missing, or is not what it says */
	}
}

} // namespace kckpt
