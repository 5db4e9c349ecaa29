// SPDX-License-Identifier: GPL-2.0-only
#include "lib/describe.hh"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "lib/text.hh"

namespace kckpt
{

namespace
{

using json = nlohmann::ordered_json;

/* A field may hold bytes that are not there: those are zero. */
std::vector<std::byte> field_bytes(const FieldInfo &field, size_t at, std::span<const std::byte> bytes)
{
	std::vector<std::byte> out(field.size);
	if (at < bytes.size())
		std::memcpy(out.data(), bytes.data() + at, std::min(field.size, bytes.size() - at));
	return out;
}

uint64_t number(std::span<const std::byte> bytes)
{
	uint64_t value = 0;
	std::memcpy(&value, bytes.data(), std::min(bytes.size(), sizeof(value)));
	return value;
}

int64_t signed_number(std::span<const std::byte> bytes)
{
	const unsigned unused = static_cast<unsigned>(64 - 8 * bytes.size());
	return static_cast<int64_t>(number(bytes) << unused) >> unused;
}

std::string_view as_text(std::span<const std::byte> bytes)
{
	const char *text = reinterpret_cast<const char *>(bytes.data());
	return {text, strnlen(text, bytes.size())};
}

std::string value_text(const FieldInfo &field, std::span<const std::byte> bytes)
{
	switch (field.show) {
	case Show::DEC: return field.is_signed ? fmt::to_string(signed_number(bytes)) : fmt::to_string(number(bytes));
	case Show::HEX: return fmt::format("{:#x}", number(bytes));
	case Show::OCT: return fmt::format("{:#o}", number(bytes));
	case Show::OBJ: return number(bytes) ? fmt::format("object {}", number(bytes)) : "none";
	case Show::TEXT: return fmt::format("\"{}\"", printable(as_text(bytes)));
	case Show::RAW: return hex(bytes);
	}
	return {};
}

/* Numbers stay numbers; what is best read in hex is so in JSON, too. */
json value_json(const FieldInfo &field, std::span<const std::byte> bytes)
{
	switch (field.show) {
	case Show::DEC: return field.is_signed ? json(signed_number(bytes)) : json(number(bytes));
	case Show::OBJ: return number(bytes);
	case Show::TEXT: return as_text(bytes);
	default: return value_text(field, bytes);
	}
}

template <class Visit>
void for_each_field(std::span<const FieldInfo> table, std::span<const std::byte> bytes, Visit visit)
{
	size_t at = 0;
	for (const FieldInfo &field : table) {
		visit(field, field_bytes(field, at, bytes));
		at += field.size;
	}
}

template <class T> std::vector<T> items(std::span<const std::byte> bytes)
{
	std::vector<T> out(bytes.size() / sizeof(T));
	if (!out.empty())
		std::memcpy(out.data(), bytes.data(), out.size() * sizeof(T));
	return out;
}

json run_json(const struct kckpt_page_run &run)
{
	return {{"vaddr", fmt::format("{:#x}", uint64_t(run.vaddr))},
		{"nr_pages", uint32_t(run.nr_pages)},
		{"zero", (run.flags & KCKPT_RUN_ZERO) != 0},
		{"huge", (run.flags & KCKPT_RUN_HUGE) != 0}};
}

json tail_json(const Record &record)
{
	json out = json::array();
	switch (record.info ? record.info->tail : Tail::BYTES) {
	case Tail::NONE: return {};
	case Tail::TEXT: return record.text();
	case Tail::BYTES: return hex(record.tail);
	case Tail::U32S: return items<uint32_t>(record.tail);
	case Tail::U64S: return items<uint64_t>(record.tail);
	case Tail::RUNS:
		for (const auto &run : items<struct kckpt_page_run>(record.tail))
			out.push_back(run_json(run));
		return out;
	case Tail::SHARES:
		for (const auto &run : items<struct kckpt_share_run>(record.tail))
			out.push_back({{"vaddr", fmt::format("{:#x}", uint64_t(run.vaddr))},
				       {"nr_pages", uint32_t(run.nr_pages)},
				       {"source", uint64_t(run.source)}});
		return out;
	case Tail::DIGESTS:
		for (const uint64_t digest : items<uint64_t>(record.tail))
			out.push_back(fmt::format("{:#018x}", digest));
		return out;
	case Tail::INDEX:
		for (const auto &row : items<struct kckpt_index_row>(record.tail))
			out.push_back({{"offset", uint64_t(row.offset)},
				       {"record", record_title(row.family, row.kind, row.object)}});
		return out;
	}
	return out;
}

/* Long tails are for --json; here a line says what is there. */
std::string tail_text(const Record &record)
{
	switch (record.info ? record.info->tail : Tail::BYTES) {
	case Tail::NONE: return {};
	case Tail::TEXT: return fmt::format("\"{}\"", printable(record.text()));
	case Tail::U32S: return fmt::format("{}", fmt::join(items<uint32_t>(record.tail), " "));
	case Tail::U64S: return fmt::format("{}", fmt::join(items<uint64_t>(record.tail), " "));
	case Tail::BYTES:
		if (record.tail.size() <= 32)
			return hex(record.tail);
		return fmt::format("{}... ({} bytes)", hex(record.tail.first(32)), record.tail.size());
	case Tail::RUNS: {
		std::string out;
		for (const auto &run : items<struct kckpt_page_run>(record.tail))
			out += fmt::format("{}{:#x}+{}{}", out.empty() ? "" : " ", uint64_t(run.vaddr),
					   uint32_t(run.nr_pages), run.flags & KCKPT_RUN_ZERO ? " zero" : "");
		return out;
	}
	case Tail::SHARES: {
		std::string out;
		for (const auto &run : items<struct kckpt_share_run>(record.tail))
			out += fmt::format("{}{:#x}+{} of object {}", out.empty() ? "" : " ", uint64_t(run.vaddr),
					   uint32_t(run.nr_pages), uint64_t(run.source));
		return out;
	}
	default: return fmt::format("({} bytes)", record.tail.size());
	}
}

} // namespace

std::vector<FieldText> describe_fields(std::span<const FieldInfo> table, std::span<const std::byte> bytes)
{
	std::vector<FieldText> out;
	for_each_field(table, bytes, [&](const FieldInfo &field, const std::vector<std::byte> &value) {
		out.push_back({&field, value_text(field, value)});
	});
	return out;
}

json fields_json(std::span<const FieldInfo> table, std::span<const std::byte> bytes)
{
	json out = json::object();
	for_each_field(table, bytes, [&](const FieldInfo &field, const std::vector<std::byte> &value) {
		out[std::string(field.name)] = value_json(field, value);
	});
	return out;
}

std::string record_text(const Record &record)
{
	std::string out = fmt::format("{:>10}  {}\n", record.offset,
				      record_title(record.head.family, record.head.kind, record.head.object));
	if (record.info) {
		for (const FieldText &field : describe_fields(record.info->fields, record.fields))
			out += fmt::format("            {:<16} {}\n", field.field->name, field.value);
	}
	if (!record.tail.empty())
		out += fmt::format("            {:<16} {}\n", "(tail)", tail_text(record));
	return out;
}

json record_json(const Record &record)
{
	const std::string_view family = family_name(record.head.family);
	json out = {{"offset", record.offset},
		    {"family", family.empty() ? json(uint16_t(record.head.family)) : json(family)},
		    {"record", record.info ? json(record.info->name) : json(uint16_t(record.head.kind))}};
	if (record.head.object > 0)
		out["object"] = uint64_t(record.head.object);
	if (record.info)
		out["fields"] = fields_json(record.info->fields, record.fields);
	if (!record.tail.empty())
		out["tail"] = tail_json(record);
	return out;
}

} // namespace kckpt
