// SPDX-License-Identifier: GPL-2.0-only
/* Runs at build time: the parts of man pages that are the contract's tables, in scdoc. */
#include <cstdio>
#include <string_view>

#include <kckpt/netlink.h>

#include "lib/error.hh"
#include "lib/record.hh"
#include "lib/say.hh"

namespace
{

using namespace kckpt;

/* What scdoc would take as markup. */
std::string escaped(std::string_view text)
{
	std::string out;
	for (const char c : text) {
		if ((c == '-' && out.empty()) || c == '_' || c == '*' || c == '\\' || c == '#' || c == '`' || c == '<')
			out += '\\';
		out += c;
	}
	return out;
}

void errors()
{
	for (const ErrorInfo &info : error_table())
		say(stdout, "*{}* ({})\n\t{}: {}.\n\n", escaped(info.name), escaped(info.err_name), escaped(info.text),
		    escaped(info.remedy));
}

void events()
{
#define KCKPT_EVENT(name, word, meaning) say(stdout, "*{}*\n\t{}.\n\n", word, escaped(meaning));
#include <kckpt/events.def>
#undef KCKPT_EVENT
}

void fields(std::span<const FieldInfo> table)
{
	for (const FieldInfo &field : table)
		say(stdout, "- *{}* ({}{}): {}.\n", escaped(field.name), field.size,
		    field.since > 1 ? fmt::format(", since {}", field.since) : "", escaped(field.meaning));
	say(stdout, "\n");
}

void records()
{
	say(stdout, "## header\n\n");
	fields(header_fields());
	for (const RecordInfo &info : record_table()) {
		say(stdout, "## {} (family {}, kind {})\n\n{}.\n\n", escaped(info.name), info.family, info.kind,
		    escaped(info.meaning));
		fields(info.fields);
	}
}

} // namespace

int main(int argc, char **argv)
{
	const std::string_view what = argc == 2 ? argv[1] : "";
	if (what == "errors")
		errors();
	else if (what == "events")
		events();
	else if (what == "records")
		records();
	else
		return 2;
	return 0;
}
