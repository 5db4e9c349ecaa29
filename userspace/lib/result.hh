/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <expected>
#include <utility>

#include "lib/error.hh"

namespace kckpt
{

/* The only mention of std::expected: compilers differ in how much of it they have. */
template <class T = void> using Result = std::expected<T, Error>;

/* return failure(...): ends a function that returns any Result. */
inline std::unexpected<Error> failure(Error error)
{
	return std::unexpected<Error>(std::move(error));
}

inline std::unexpected<Error> failure(uint32_t code, int err, std::string detail)
{
	return failure(Error(code, err, std::move(detail)));
}

/* return pass(result): hands on what a called function has already said. */
template <class T> std::unexpected<Error> pass(Result<T> &result)
{
	return failure(std::move(result.error()));
}

} // namespace kckpt
