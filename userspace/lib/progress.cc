// SPDX-License-Identifier: GPL-2.0-only
#include "lib/progress.hh"
#include "lib/say.hh"

#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include <fmt/format.h>

#include "lib/text.hh"

namespace kckpt
{

namespace
{

using namespace std::chrono_literals;

constexpr int bar_width = 20;
constexpr auto first_after = 300ms; /* what is quick needs no bar */
constexpr auto redraw_after = 100ms;

std::string time_text(double seconds)
{
	const auto whole = static_cast<uint64_t>(seconds + 0.5);
	if (whole >= 3600)
		return fmt::format("{} h {:02} min", whole / 3600, whole / 60 % 60);
	if (whole >= 60)
		return fmt::format("{} min {:02} s", whole / 60, whole % 60);
	return fmt::format("{} s", whole);
}

} // namespace

std::string progress_line(const std::string &label, uint64_t done, uint64_t total, std::chrono::milliseconds elapsed)
{
	const double seconds = std::chrono::duration<double>(elapsed).count();
	const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
	const std::string speed = fmt::format("{}/s", human_bytes(static_cast<uint64_t>(rate)));
	if (total == 0)
		return fmt::format("{}  {}  {}", label, human_bytes(done), speed);

	/* The total is an estimate: never tell more than all of it. */
	const double part = std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
	const auto filled = static_cast<size_t>(part * bar_width);
	std::string line = fmt::format("{}  [{:<{}}] {:3.0f} %  {}  {}", label, std::string(filled, '#'), bar_width,
				       part * 100, human_bytes(done), speed);
	if (rate > 0 && done < total)
		line += fmt::format("  {} left", time_text(static_cast<double>(total - done) / rate));
	return line;
}

Progress::Progress(std::string label, uint64_t total, bool wanted)
	: label_(std::move(label)), total_(total), visible_(wanted && isatty(STDERR_FILENO)), start_(Clock::now()),
	  next_(start_ + first_after)
{
}

Progress::~Progress()
{
	if (drawn_)
		say(stderr, "\r\033[K");
}

void Progress::add(uint64_t bytes)
{
	done_ += bytes;
	const auto now = Clock::now();
	if (!visible_ || now < next_)
		return;
	next_ = now + redraw_after;
	drawn_ = true;
	const auto elapsed = std::chrono::duration_cast<std::chrono::milliseconds>(now - start_);
	say(stderr, "\r{}\033[K", progress_line(label_, done_, total_, elapsed));
}

} // namespace kckpt
