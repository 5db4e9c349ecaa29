// SPDX-License-Identifier: GPL-2.0-only
#include "cmd/written.hh"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace kckpt
{

namespace
{

bool has(std::vector<std::string> words, std::string_view names, Written::What what = Written::What::some)
{
	std::vector<char *> pointers;
	for (std::string &word : words)
		pointers.push_back(word.data());
	return Written(pointers, what).has(names);
}

} // namespace

TEST(Written, KnowsEveryFormOfAName)
{
	EXPECT_TRUE(has({"dump", "/a", "--direct"}, "--direct"));
	EXPECT_TRUE(has({"--parent=x"}, "--parent"));
	EXPECT_TRUE(has({"-ox"}, "-o,--output"));
	EXPECT_TRUE(has({"--output", "x"}, "-o,--output"));
	EXPECT_TRUE(has({"--parents"}, "--parent")); /* rather yes than no */
}

TEST(Written, DoesNotSeeWhatIsNotThere)
{
	EXPECT_FALSE(has({}, "--direct"));
	EXPECT_FALSE(has({"dump", "/a", "-o", "x"}, "--direct"));
	EXPECT_FALSE(has({"direct", "-direct", "--dir"}, "--direct"));
	EXPECT_FALSE(has({"--other", "o"}, "-o,--output"));
}

TEST(Written, HasEverythingIfItIsTold)
{
	EXPECT_TRUE(has({}, "--direct", Written::What::everything));
}

} // namespace kckpt
