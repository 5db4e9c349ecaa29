/* SPDX-License-Identifier: GPL-2.0-only */
/* A line on the terminal that tells how far a long operation has come. */
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace kckpt
{

/* "dump  [########            ]  40 %  1.2 GiB  512 MiB/s  3 s left"; @total 0: not known. */
std::string progress_line(const std::string &label, uint64_t done, uint64_t total, std::chrono::milliseconds elapsed);

class Progress
{
public:
	/* Silent unless @wanted and standard error is a terminal. */
	Progress(std::string label, uint64_t total, bool wanted);
	~Progress();

	void add(uint64_t bytes);

private:
	using Clock = std::chrono::steady_clock;

	std::string label_;
	uint64_t done_ = 0, total_;
	bool visible_, drawn_ = false;
	Clock::time_point start_, next_;
};

} // namespace kckpt
