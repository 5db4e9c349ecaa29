/* SPDX-License-Identifier: GPL-2.0-only */
/* Which options stand on the command line. */
#pragma once

#include <span>
#include <string>
#include <string_view>

#include <CLI/CLI.hpp>

namespace kckpt
{

/*
 * To make all its options, with code that runs for the first time, takes a command longer than to freeze a small job.
 * Most of them nobody has written: those need not exist to understand the others. For help, and to say what is wrong,
 * they are all made.
 */
class Written
{
public:
	enum class What { some, everything };

	Written(std::span<char *const> words, What what) : words_(words), is_everything_(what == What::everything) {}

	/* May @names ("-o,--output") be among the words? Rather yes than no: a value may look like an option. */
	bool has(std::string_view names) const;

	/* Makes the option if it may be there, else null. */
	template <class T>
	CLI::Option *option(CLI::App &app, const std::string &names, T &value, const std::string &help) const
	{
		return has(names) ? app.add_option(names, value, help) : nullptr;
	}
	CLI::Option *flag(CLI::App &app, const std::string &names, bool &value, const std::string &help) const
	{
		return has(names) ? app.add_flag(names, value, help) : nullptr;
	}

private:
	std::span<char *const> words_;
	bool is_everything_;
};

} // namespace kckpt
