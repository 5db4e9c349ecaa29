// SPDX-License-Identifier: GPL-2.0-only
/* Increments and what they build on: found, compared, put together; whatever they are made of, no page is another. */
#include "lib/chain.hh"

#include <sys/resource.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>

#include <gtest/gtest.h>

#include "lib/flat_stream.hh"
#include "lib/image_reader.hh"
#include "lib/rotation.hh"
#include "tests/image_builder.hh"

namespace kckpt
{

namespace
{

namespace fs = std::filesystem;

constexpr uint64_t page = KCKPT_PAGE_SIZE, base = 0x40000000, huge = 512;

class ChainTest : public testing::Test
{
protected:
	ChainTest()
	{
		char name[] = "/tmp/kckpt-test.XXXXXX";
		directory_ = mkdtemp(name);
	}
	~ChainTest() override { fs::remove_all(directory_); }

	std::string path(const std::string &name) const { return directory_ / name; }
	void write(const std::string &name, const Bytes &bytes) const
	{
		std::ofstream(path(name), std::ios::binary)
			.write(reinterpret_cast<const char *>(bytes.data()),
			       static_cast<std::streamsize>(bytes.size()));
	}
	std::string image(int i) const { return path(std::to_string(i) + ".kimg"); }

	fs::path directory_;
};

/* Two address spaces; on top of the image at @parent, if there is one. */
ImageBuilder begin(char uuid, const std::string &parent)
{
	ImageBuilder builder;
	builder.header().uuid[0] = uuid;
	if (!parent.empty()) {
		Result<ImageFile> file = ImageFile::open(parent, [](uint64_t) {});
		EXPECT_TRUE(file);
		std::memcpy(builder.header().parent, file->header().uuid, 16);
		builder.header().parent_digest = file->records_digest();
	}
	builder.record(1, kckpt_mm_rec{}).record(2, kckpt_mm_rec{}).end_records();
	return builder;
}

Result<Bytes> flat(const std::string &path)
{
	Result<Chain> chain = Chain::open(path, {}, [](uint64_t) {});
	if (!chain)
		return pass(chain);
	FlatStream stream(std::move(*chain));
	Bytes out;
	for (;;) {
		Result<std::span<const std::byte>> piece = stream.next();
		if (!piece)
			return pass(piece);
		if (piece->empty())
			return out;
		out.insert(out.end(), piece->begin(), piece->end());
	}
}

uint32_t code_of(const auto &result)
{
	return result ? uint32_t(KCKPT_E_NONE) : result.error().problems.at(0).code;
}

/* What is in a page: by object and number, one byte for all of it. */
using Memory = std::map<std::pair<uint64_t, uint64_t>, unsigned char>;

/* All that a whole image has, after its digests were compared. */
Memory memory_of(const Bytes &bytes, const std::string &copy)
{
	std::ofstream(copy, std::ios::binary)
		.write(reinterpret_cast<const char *>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
	Result<Chain> chain = Chain::open(copy, {}, [](uint64_t) {});
	EXPECT_TRUE(chain);
	EXPECT_EQ(chain->files().size(), 1u);
	Memory memory;
	for (uint64_t object = 1; object <= 2; object++)
		for (const ImageFile::Run &run : chain->files()[0].runs(object))
			for (uint64_t i = 0; i < run.nr_pages; i++) {
				const uint64_t at = run.vaddr + i * page;
				const Chain::Found found = chain->find(0, object, at, 1);
				std::byte content[page] = {};
				if (found.what == Chain::Found::What::data) {
					EXPECT_TRUE(found.file->read(content, found.offset));
				}
				EXPECT_EQ(std::memcmp(content, content + 1, page - 1), 0);
				if (content[0] != std::byte{0})
					memory[{object, (at - base) / page}] = static_cast<unsigned char>(content[0]);
			}
	return memory;
}

/* Makes chains by chance, and knows what is in them. */
class Writer
{
public:
	explicit Writer(unsigned seed) : random_(seed) {}

	Bytes next(char uuid, const std::string &parent)
	{
		before_ = now_;
		change();
		ImageBuilder builder = begin(uuid, parent);
		for (uint64_t object = 1; object <= 2; object++)
			add(builder, object, !parent.empty());
		return builder.finish();
	}
	const Memory &memory() const { return now_; }

private:
	static constexpr uint64_t nr_pages = 4 * huge;

	uint64_t below(uint64_t end) { return random_() % end; }

	void change()
	{
		for (uint64_t i = below(300); i > 0; i--)
			set(1 + below(2), below(nr_pages), static_cast<unsigned char>(below(5)));
		const uint64_t from = below(nr_pages), to = std::min(nr_pages, from + below(700));
		for (uint64_t i = from; i < to; i++) /* in both: shared */
			for (uint64_t object = 1; object <= 2; object++)
				set(object, i, static_cast<unsigned char>(1 + i % 3));
	}

	void set(uint64_t object, uint64_t nr, unsigned char value)
	{
		if (value)
			now_[{object, nr}] = value;
		else
			now_.erase({object, nr});
	}

	static unsigned char get(const Memory &memory, uint64_t object, uint64_t nr)
	{
		const auto found = memory.find({object, nr});
		return found == memory.end() ? 0 : found->second;
	}

	enum class Kind { none, share, parent, data };
	Kind kind_of(uint64_t object, uint64_t nr, bool has_parent)
	{
		const unsigned char value = get(now_, object, nr);
		if (value == 0)
			return Kind::none;
		if (object == 2 && nr % 7 && value == get(now_, 1, nr))
			return Kind::share;
		/* What is the same need not be told so. */
		return has_parent && nr % 11 && value == get(before_, object, nr) ? Kind::parent : Kind::data;
	}

	void add(ImageBuilder &builder, uint64_t object, bool has_parent)
	{
		std::vector<struct kckpt_share_run> shares;
		std::vector<struct kckpt_page_run> from_parent;
		for (uint64_t i = 0; i < nr_pages; i++) {
			const uint64_t at = base + i * page;
			switch (kind_of(object, i, has_parent)) {
			case Kind::share: shares.push_back({at, 1, 1, 0}); break;
			case Kind::parent:
				if (!from_parent.empty() &&
				    from_parent.back().vaddr + from_parent.back().nr_pages * page == at)
					from_parent.back().nr_pages++;
				else
					from_parent.push_back({at, 1, 0});
				break;
			default: break;
			}
		}
		for (size_t i = 0; i < shares.size(); i += 200)
			builder.shares(object, {shares.begin() + static_cast<long>(i),
						shares.begin() + static_cast<long>(std::min(i + 200, shares.size()))});
		for (size_t i = 0; i < from_parent.size(); i += 400)
			builder.from_parent(
				object, object,
				{from_parent.begin() + static_cast<long>(i),
				 from_parent.begin() + static_cast<long>(std::min(i + 400, from_parent.size()))});
		for (uint64_t i = 0; i < nr_pages; i++)
			if (kind_of(object, i, has_parent) == Kind::data)
				builder.pages(object, {{base + i * page, 1, 0}}, get(now_, object, i));
	}

	std::mt19937 random_;
	Memory now_, before_;
};

} // namespace

TEST_F(ChainTest, FlatHasEveryPageOfItsTime)
{
	for (unsigned seed = 1; seed <= 5; seed++) {
		Writer writer(seed);
		for (int i = 0; i < 6; i++) {
			write(std::to_string(i) + ".kimg",
			      writer.next(static_cast<char>(i + 1), i ? image(i - 1) : ""));
			Result<Bytes> bytes = flat(image(i));
			ASSERT_TRUE(bytes);
			EXPECT_EQ(memory_of(*bytes, path("flat")), writer.memory())
				<< "seed " << seed << ", image " << i;
			fs::remove(path("flat"));
		}
	}
}

TEST_F(ChainTest, HugePagesStayHuge)
{
	write("0.kimg", begin(1, "")
				.pages(1, {{base, huge, KCKPT_RUN_HUGE}}, 3)
				.pages(1, {{base + huge * page, 10, 0}}, 4)
				.finish());
	/* The second one has become huge: ten pages of it are the parent's, the others zero. A third one is all zero.
	 */
	write("1.kimg", begin(2, image(0)).from_parent(1, 1, {{base, 3 * huge, KCKPT_RUN_HUGE}}).finish());
	Result<Bytes> bytes = flat(image(1));
	ASSERT_TRUE(bytes);
	Result<ImageReader> reader = ImageReader::open(Source::memory(*bytes), Pages::verify);
	std::vector<struct kckpt_page_run> runs;
	for (;;) {
		Result<const Record *> record = reader->next();
		ASSERT_TRUE(record);
		if (!*record)
			break;
		if ((*record)->is<struct kckpt_pages_rec>())
			runs.insert(runs.end(), reader->runs().begin(), reader->runs().end());
	}
	ASSERT_EQ(runs.size(), 2u);
	for (const struct kckpt_page_run &run : runs) {
		EXPECT_EQ(run.flags, KCKPT_RUN_HUGE);
		EXPECT_EQ(run.nr_pages, huge);
	}
	const Memory memory = memory_of(*bytes, path("flat"));
	EXPECT_EQ(memory.size(), huge + 10);
}

TEST_F(ChainTest, FlatIsTheSameImageToItsChildren)
{
	write("0.kimg", begin(1, "").pages(1, {{base, 4, 0}}, 3).finish());
	write("1.kimg", begin(2, image(0)).from_parent(1, 1, {{base, 4, 0}}).pages(2, {{base, 1, 0}}, 5).finish());
	write("2.kimg",
	      begin(3, image(1)).from_parent(1, 1, {{base, 4, 0}}).from_parent(2, 2, {{base, 1, 0}}).finish());
	Result<Bytes> before = flat(image(2)), middle = flat(image(1));
	ASSERT_TRUE(before && middle);
	write("1.kimg", *middle);
	fs::remove(image(0));
	Result<Bytes> after = flat(image(2));
	ASSERT_TRUE(after);
	EXPECT_EQ(*before, *after);
	/* What is whole stays as it is. */
	EXPECT_EQ(*flat(image(1)), *middle);
}

TEST_F(ChainTest, ParentsAreFoundOrNamed)
{
	write("0.kimg", begin(1, "").pages(1, {{base, 1, 0}}, 3).finish());
	write("1.kimg", begin(2, image(0)).from_parent(1, 1, {{base, 1, 0}}).finish());
	const auto open = [&](const std::vector<std::string> &parents) {
		return Chain::open(image(1), parents, [](uint64_t) {});
	};
	EXPECT_EQ(open({}).value().files().size(), 2u);
	fs::create_directory(path("other"));
	fs::rename(image(0), path("other/a"));
	EXPECT_EQ(code_of(open({})), uint32_t(KCKPT_E_PARENT_MISSING));
	EXPECT_EQ(code_of(open({path("other/a")})), 0u);
	EXPECT_EQ(code_of(open({path("other/b")})), uint32_t(KCKPT_E_IMAGE_OPEN));
	EXPECT_EQ(code_of(open({path("other/a"), path("other/b")})), uint32_t(KCKPT_E_IMAGE_OPEN));
	/* Another image of that UUID. */
	ImageBuilder other;
	other.header().uuid[0] = 1;
	write("other/a", other.record(1, kckpt_mm_rec{}).end_records().finish());
	EXPECT_EQ(code_of(open({path("other/a")})), uint32_t(KCKPT_E_PARENT_WRONG));
}

/* More of them than a process usually has open files. */
TEST_F(ChainTest, ChainsAreAsDeepAsTheyAre)
{
	constexpr int depth = 200;
	struct rlimit limit;
	ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
	const rlim_t before = std::exchange(limit.rlim_cur, 64);
	write("0.kimg", begin(1, "").pages(1, {{base, 1, 0}}, 3).finish());
	for (int i = 1; i < depth; i++)
		write(std::to_string(i) + ".kimg",
		      begin(static_cast<char>(i + 1), image(i - 1)).from_parent(1, 1, {{base, 1, 0}}).finish());
	ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
	Result<Chain> chain = Chain::open(image(depth - 1), {}, [](uint64_t) {});
	ASSERT_EQ(code_of(chain), 0u);
	EXPECT_EQ(chain->files().size(), size_t(depth));
	const Chain::Found found = chain->find(1, 1, base, 1);
	EXPECT_TRUE(found.what == Chain::Found::What::data && found.file == &chain->files().back());
	limit.rlim_cur = before;
	ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* A flattened image and the increment that it was made of have the same UUID. */
TEST_F(ChainTest, OneThatStandsAloneIsPreferred)
{
	write("0.kimg", begin(1, "").pages(1, {{base, 1, 0}}, 3).finish());
	write("1.kimg", begin(2, image(0)).from_parent(1, 1, {{base, 1, 0}}).finish());
	for (const char *name : {"a.kimg", "z.kimg"})
		write(name, *flat(image(1)));
	write("2.kimg", begin(3, image(1)).from_parent(1, 1, {{base, 1, 0}}).finish());
	EXPECT_EQ(Chain::open(image(2), {}, [](uint64_t) {}).value().files().size(), 2u);
}

TEST_F(ChainTest, CirclesAreFound)
{
	write("0.kimg", begin(1, "").finish());
	write("1.kimg", begin(2, image(0)).finish());
	write("0.kimg", begin(1, image(1)).finish());
	EXPECT_EQ(code_of(Chain::open(image(1), {}, [](uint64_t) {})), uint32_t(KCKPT_E_IMAGE_RECORD));
}

TEST_F(ChainTest, RunsOfTheParentAreChecked)
{
	const auto refused = [&](const std::vector<struct kckpt_page_run> &runs, uint64_t source = 1) {
		write("1.kimg", begin(2, image(0)).from_parent(1, source, runs).finish());
		return code_of(Chain::open(image(1), {}, [](uint64_t) {}));
	};
	write("0.kimg", begin(1, "").pages(1, {{base, 1, 0}}, 3).finish());
	EXPECT_EQ(refused({{base, 1, 0}}), 0u);
	EXPECT_EQ(refused({{base, 1, 0}}, 0), uint32_t(KCKPT_E_IMAGE_RECORD));
	EXPECT_EQ(refused({{base + 1, 1, 0}}), uint32_t(KCKPT_E_IMAGE_RECORD));
	EXPECT_EQ(refused({{base, 0, 0}}), uint32_t(KCKPT_E_IMAGE_RECORD));
	EXPECT_EQ(refused({{base, 100, KCKPT_RUN_HUGE}}), uint32_t(KCKPT_E_IMAGE_RECORD));
	EXPECT_EQ(refused({{base + page, huge, KCKPT_RUN_HUGE}}), uint32_t(KCKPT_E_IMAGE_RECORD));
	EXPECT_EQ(refused({{base, 1, KCKPT_RUN_ZERO}}), uint32_t(KCKPT_E_IMAGE_NEWER));
	EXPECT_EQ(refused({}), uint32_t(KCKPT_E_IMAGE_LIMIT));
	EXPECT_EQ(refused({{base, 2, 0}, {base + page, 1, 0}}), uint32_t(KCKPT_E_IMAGE_RECORD)); /* twice */
	/* In one that stands alone there are none. */
	write("0.kimg", begin(1, "").from_parent(1, 1, {{base, 1, 0}}).finish());
	EXPECT_EQ(code_of(Chain::open(image(0), {}, [](uint64_t) {})), uint32_t(KCKPT_E_IMAGE_RECORD));
}

TEST_F(ChainTest, NeededImagesAreNamed)
{
	write("0.kimg", begin(1, "").finish());
	EXPECT_EQ(image_that_needs(image(0)), "");
	EXPECT_EQ(image_that_needs(path("none")), "");
	write("1.kimg", begin(2, image(0)).finish());
	EXPECT_EQ(image_that_needs(image(0)), image(1));
	EXPECT_EQ(image_that_needs(image(1)), "");
}

TEST_F(ChainTest, RotationKeepsWhatCanBeRestored)
{
	Result<Rotation> rotation = Rotation::open(path("r"), "web");
	ASSERT_TRUE(rotation);
	EXPECT_EQ(rotation->last(), "");
	std::string last;
	for (int i = 0; i < 40; i++) {
		const bool whole = i % 4 == 0;
		const std::string next = rotation->next();
		write("r/" + fs::path(next).filename().string(),
		      begin(static_cast<char>(i + 1), whole ? "" : last).finish());
		ASSERT_TRUE(rotation->added(next, whole, 5));
		last = next;
		EXPECT_EQ(fs::read_symlink(path("r/web.kimg")), fs::path(next).filename());
		/* All of them, and enough. */
		size_t nr = 0;
		for (const auto &entry : fs::directory_iterator(path("r"))) {
			if (entry.is_symlink() || entry.path().extension() != ".kimg")
				continue;
			EXPECT_TRUE(Chain::open(entry.path(), {}, [](uint64_t) {})) << entry.path();
			nr++;
		}
		EXPECT_GE(nr, std::min<size_t>(5, static_cast<size_t>(i) + 1));
		EXPECT_LE(nr, 5u + 4u);
		/* Somebody else goes on. */
		if (i % 3 == 0) {
			EXPECT_EQ(code_of(Rotation::open(path("r"), "web")), uint32_t(KCKPT_E_NAME_TAKEN));
			rotation = failure(KCKPT_E_NAME_TAKEN, 0, "");
			write("r/.web-000099.kimg.aaaaaa", {});
			rotation = Rotation::open(path("r"), "web");
			ASSERT_TRUE(rotation);
			EXPECT_FALSE(fs::exists(path("r/.web-000099.kimg.aaaaaa")));
		}
		EXPECT_EQ(rotation->last(), last);
		EXPECT_EQ(rotation->nr_increments(), static_cast<unsigned>(i % 4));
	}
}

} // namespace kckpt
