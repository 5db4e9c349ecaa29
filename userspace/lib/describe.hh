/* SPDX-License-Identifier: GPL-2.0-only */
/* Records as names and values, straight from the tables: what is added there is shown. */
#pragma once

#include <span>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "lib/record.hh"

namespace kckpt
{

struct FieldText {
	const FieldInfo *field;
	std::string value;
};

/* In the order of the table; fields that the bytes do not have are zero. */
std::vector<FieldText> describe_fields(std::span<const FieldInfo> table, std::span<const std::byte> bytes);
nlohmann::ordered_json fields_json(std::span<const FieldInfo> table, std::span<const std::byte> bytes);

/* A block of lines, ending in a newline. */
std::string record_text(const Record &record);
nlohmann::ordered_json record_json(const Record &record);

} // namespace kckpt
