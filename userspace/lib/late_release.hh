/* SPDX-License-Identifier: GPL-2.0-only */
#pragma once

#include <string>
#include <thread>

#include "lib/fd.hh"

namespace kckpt
{

/*
 * Keeps what a file consists of until its owner has other things to do: to give back the pages or blocks of a large
 * one, which has lost its name, takes about a tenth of the time of a dump. Then a thread does that, which no signal
 * comes to; the destructor waits for it.
 */
class LateRelease
{
public:
	LateRelease() = default;
	explicit LateRelease(const std::string &path); /* nothing if there is no such file, or a small one */
	void start();                                  /* the name is gone, by unlink or rename */

private:
	Fd file_;
	std::jthread thread_;
};

} // namespace kckpt
