/* SPDX-License-Identifier: GPL-2.0-only */
/* One record of an image, and the tables made from <kckpt/image/records.def> that say what is in it. */
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include <kckpt/image.h>
#include <kckpt/uapi.h>

#include "lib/result.hh"

namespace kckpt
{

enum class Show { DEC, HEX, OCT, OBJ, TEXT, RAW };
enum class Tail { NONE, TEXT, BYTES, U32S, U64S, RUNS, SHARES, DIGESTS, INDEX };

struct FieldInfo {
	std::string_view name;
	size_t size;
	bool is_signed;
	unsigned since;
	Show show;
	std::string_view meaning;
};

struct RecordInfo {
	std::string_view name;
	uint16_t family, kind;
	size_t size; /* of the fields as we know them */
	Tail tail;
	std::string_view meaning;
	std::span<const FieldInfo> fields;
};

std::span<const RecordInfo> record_table();
std::span<const FieldInfo> header_fields();
/* nullptr: a record that this version does not know. */
const RecordInfo *find_record(uint16_t family, uint16_t kind);
/* The field that counts the tail, and the size of what it counts; empty: the record has no tail. */
struct TailCount {
	std::string_view field;
	size_t unit;
};
TailCount tail_count(const RecordInfo &info);

/* Which record a struct is. */
template <class T> struct RecordOf;
#define KCKPT_RECORD(name, family, kind_, tail, meaning)                              \
	template <> struct RecordOf<struct kckpt_##name##_rec> {                      \
		static constexpr uint16_t family_id = KCKPT_F_##family, kind = kind_; \
	};
#include <kckpt/image/records.def>

/* The bytes belong to whoever read them: a Record is good until its reader goes on. */
struct Record {
	uint64_t offset = 0;
	struct kckpt_record head = {};
	std::span<const std::byte> payload;
	std::span<const std::byte> fields; /* of the payload, without the tail */
	std::span<const std::byte> tail;
	const RecordInfo *info = nullptr;

	template <class T> bool is() const
	{
		return head.family == RecordOf<T>::family_id && head.kind == RecordOf<T>::kind;
	}

	/* A copy, missing fields zero. That the tail is zero has been checked by parse_record(). */
	template <class T> T as() const
	{
		static_assert(std::is_trivially_copyable_v<T>);
		T out = {};
		if (is<T>() && !fields.empty())
			std::memcpy(&out, fields.data(), std::min(sizeof(out), fields.size()));
		return out;
	}

	std::string_view text() const { return {reinterpret_cast<const char *>(tail.data()), tail.size()}; }
};

/* The fields of struct @table from @bytes as a number; a field that is not there is 0. */
uint64_t field_value(std::span<const FieldInfo> table, std::string_view name, std::span<const std::byte> bytes);

/*
 * Splits @payload into fields and tail and applies the size rule: short ones read as zeros, what is beyond
 * the known fields must be zero (else IMAGE_NEWER). An unknown record is all tail.
 */
Result<Record> parse_record(uint64_t offset, const struct kckpt_record &head, std::span<const std::byte> payload);

/* "task record of object 7", for messages. */
std::string record_title(uint16_t family, uint16_t kind, uint64_t object);

} // namespace kckpt
