// SPDX-License-Identifier: GPL-2.0-only
/* Images of each format that was released are read for ever after, and say the same. */
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include <gtest/gtest.h>

#include "lib/describe.hh"
#include "lib/image_reader.hh"
#include "lib/summary.hh"

namespace kckpt
{

namespace
{

namespace fs = std::filesystem;

std::set<fs::path> golden_images()
{
	std::set<fs::path> found;
	for (const fs::directory_entry &entry : fs::recursive_directory_iterator(KCKPT_GOLDEN))
		if (entry.path().extension() == ".kimg")
			found.insert(entry.path());
	return found;
}

std::string contents(const fs::path &path)
{
	std::ostringstream text;
	text << std::ifstream(path).rdbuf();
	return text.str();
}

Result<ImageReader> open_golden(const fs::path &path, Pages pages)
{
	Result<Source> source = Source::open(path.string());
	if (!source)
		return pass(source);
	return ImageReader::open(std::move(*source), pages);
}

} // namespace

TEST(Golden, ThereAreSomeOfThisFormat)
{
	const fs::path format =
		fs::path(KCKPT_GOLDEN) / (std::to_string(KCKPT_IMAGE_MAJOR) + "." + std::to_string(KCKPT_IMAGE_MINOR));
	EXPECT_TRUE(fs::is_directory(format)) << "make golden";
	EXPECT_GE(golden_images().size(), 3u);
}

TEST(Golden, AreWhole)
{
	for (const fs::path &path : golden_images()) {
		Result<ImageReader> reader = open_golden(path, Pages::verify);
		ASSERT_TRUE(reader) << path;
		Result<> all = reader->for_each([](const Record &) {});
		EXPECT_TRUE(all) << path << ": " << (all ? "" : all.error().problems.at(0).detail);
	}
}

/* Each field is where it was, and says the same; some may have come since. */
TEST(Golden, FieldsHaveKeptTheirPlaces)
{
	for (const fs::path &path : golden_images()) {
		Result<ImageReader> reader = open_golden(path, Pages::skip);
		ASSERT_TRUE(reader) << path;
		std::string text;
		ASSERT_TRUE(reader->for_each([&](const Record &record) { text += record_text(record); })) << path;
		std::istringstream now(text), then(contents(fs::path(path).replace_extension(".records")));
		std::string line, wanted;
		while (std::getline(then, wanted) && wanted.find(" record of object ") == std::string::npos)
			; /* the header */
		while (then && std::getline(now, line))
			if (line == wanted)
				std::getline(then, wanted);
		EXPECT_FALSE(then) << path << ": " << wanted;
	}
}

TEST(Golden, AreShownAsEver)
{
	for (const fs::path &path : golden_images()) {
		Result<ImageReader> reader = open_golden(path, Pages::skip);
		ASSERT_TRUE(reader) << path;
		Summary summary;
		ASSERT_TRUE(reader->for_each([&](const Record &record) { summary.add(record, reader->runs()); }))
			<< path;
		EXPECT_EQ(summary.text(reader->header()), contents(fs::path(path).replace_extension(".txt"))) << path;
	}
}

} // namespace kckpt
