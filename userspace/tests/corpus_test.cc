// SPDX-License-Identifier: GPL-2.0-only
/* The images that the module's reader is fuzzed with: what the module accepts is whole for the tool, too. */
#include <filesystem>
#include <fstream>
#include <iterator>

#include <gtest/gtest.h>

#include "lib/image_reader.hh"

namespace kckpt
{

namespace
{

std::vector<char> read_file(const std::filesystem::path &path)
{
	std::ifstream file(path, std::ios::binary);
	return {std::istreambuf_iterator<char>(file), {}};
}

bool is_whole(std::span<const std::byte> bytes)
{
	Result<ImageReader> reader = ImageReader::open(Source::memory(bytes), Pages::verify);
	while (reader) {
		const Result<const struct Record *> record = reader->next();
		if (!record)
			return false;
		if (!*record)
			return true;
	}
	return false;
}

} // namespace

TEST(Corpus, IsRead)
{
	int whole = 0;
	for (const auto &entry : std::filesystem::directory_iterator(KCKPT_CORPUS)) {
		const std::vector<char> bytes = read_file(entry.path());
		const bool good = is_whole(std::as_bytes(std::span(bytes)));
		EXPECT_TRUE(good || entry.path().extension() != ".kimg") << entry.path();
		whole += good;
	}
	EXPECT_GT(whole, 0);
}

} // namespace kckpt
