// SPDX-License-Identifier: GPL-2.0-only
#include "lib/record.hh"

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

namespace kckpt
{

namespace
{

/* One array of fields for each record... */
#define KCKPT_FIELD(type, name, since, show, meaning) \
	FieldInfo{#name, sizeof(__##type), #type[0] == 's', since, Show::show, meaning},
#define KCKPT_BYTES(name, len, since, show, meaning) FieldInfo{#name, len, false, since, Show::show, meaning},
constexpr FieldInfo header_table[] = {
#include <kckpt/image/header.def>
};
// clang-format off
#define KCKPT_RECORD(name, family, kind, tail, meaning) constexpr FieldInfo name##_fields[] = {
#define KCKPT_RECORD_END(name) };
// clang-format on
#include <kckpt/image/records.def>

/* ... and the list of the records. */
constexpr RecordInfo records[] = {
#define KCKPT_RECORD(name, family, kind, tail, meaning)                                           \
	RecordInfo{#name,      KCKPT_F_##family, kind,         sizeof(struct kckpt_##name##_rec), \
		   Tail::tail, meaning,          name##_fields},
#include <kckpt/image/records.def>
};

size_t unit_of(Tail tail)
{
	switch (tail) {
	case Tail::U32S: return sizeof(uint32_t);
	case Tail::U64S: return sizeof(uint64_t);
	case Tail::RUNS: return sizeof(struct kckpt_page_run);
	case Tail::SHARES: return sizeof(struct kckpt_share_run);
	case Tail::DIGESTS: return sizeof(uint64_t);
	case Tail::INDEX: return sizeof(struct kckpt_index_row);
	default: return 1;
	}
}

/* The table of fields does not say which of them counts the tail. */
constexpr std::pair<std::string_view, std::string_view> counts[] = {
	{"pages", "nr_runs"},      {"shares", "nr_runs"},   {"digests", "nr_chunks"}, {"index", "nr_rows"},
	{"cpu", "xsave_size"},     {"mm", "auxv_len"},      {"fs", "cwd_len"},        {"cgroup", "path_len"},
	{"path", "path_len"},      {"memdev", "path_len"},  {"pipe_data", "len"},     {"cred", "nr_groups"},
	{"task_cpus", "list_len"}, {"shmem", "name_len"},   {"ghost", "path_len"},    {"ghost_target", "target_len"},
	{"procfs", "path_len"},    {"limits", "nr_values"}, {"parent", "nr_runs"},
};

Error record_error(uint32_t code, uint64_t offset, const struct kckpt_record &head, std::string_view what)
{
	const std::string title = record_title(head.family, head.kind, head.object);
	return {code, 0, fmt::format("offset {}, {}: {}", offset, title, what)};
}

} // namespace

std::span<const RecordInfo> record_table()
{
	return records;
}

std::span<const FieldInfo> header_fields()
{
	return header_table;
}

const RecordInfo *find_record(uint16_t family, uint16_t kind)
{
	const auto found = std::ranges::find_if(
		records, [&](const RecordInfo &info) { return info.family == family && info.kind == kind; });
	return found == std::end(records) ? nullptr : found;
}

TailCount tail_count(const RecordInfo &info)
{
	const auto found = std::ranges::find_if(counts, [&](const auto &pair) { return pair.first == info.name; });
	if (info.tail == Tail::NONE || found == std::end(counts))
		return {{}, 0};
	return {found->second, unit_of(info.tail)};
}

uint64_t field_value(std::span<const FieldInfo> table, std::string_view name, std::span<const std::byte> bytes)
{
	size_t at = 0;
	uint64_t value = 0;
	for (const FieldInfo &field : table) {
		if (field.name == name && field.size <= sizeof(value) && at + field.size <= bytes.size()) {
			std::memcpy(&value, bytes.data() + at, field.size);
			break;
		}
		at += field.size;
	}
	return value;
}

Result<Record> parse_record(uint64_t offset, const struct kckpt_record &head, std::span<const std::byte> payload)
{
	Record record{offset, head, payload, {}, payload, find_record(head.family, head.kind)};
	if (!record.info)
		return record;

	const TailCount count = tail_count(*record.info);
	const uint64_t units = field_value(record.info->fields, count.field, payload);
	if (units > payload.size() || units * count.unit > payload.size())
		return failure(record_error(KCKPT_E_IMAGE_RECORD, offset, head, "the tail is longer than the record"));

	const size_t tail_size = static_cast<size_t>(units) * count.unit;
	record.fields = payload.first(payload.size() - tail_size);
	record.tail = payload.last(tail_size);
	if (field_value(record.info->fields, count.field, record.fields) != units)
		return failure(record_error(KCKPT_E_IMAGE_RECORD, offset, head, "the tail overlaps the fields"));

	const auto unknown = record.fields.subspan(std::min(record.info->size, record.fields.size()));
	if (std::ranges::any_of(unknown, [](std::byte byte) { return byte != std::byte{0}; }))
		return failure(
			record_error(KCKPT_E_IMAGE_NEWER, offset, head, "fields that this version does not know"));
	return record;
}

std::string record_title(uint16_t family, uint16_t kind, uint64_t object)
{
	const RecordInfo *info = find_record(family, kind);
	std::string title = info ? fmt::format("{} record", info->name)
				 : fmt::format("unknown record (family {}, kind {})", family, kind);
	if (object > 0)
		title += fmt::format(" of object {}", object);
	return title;
}

} // namespace kckpt
