// SPDX-License-Identifier: GPL-2.0-only
#include <unistd.h>

#include <filesystem>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cmd/command.hh"
#include "lib/atomic_file.hh"
#include "lib/flat_stream.hh"
#include "lib/progress.hh"
#include "lib/say.hh"
#include "lib/text.hh"

namespace kckpt
{

namespace
{

class FlattenCommand final : public Command
{
public:
	void attach(CLI::App &app, const Written &written) override
	{
		app.add_option("FILE", file_, "the increment")->required();
		app.add_option("-o,--output", output_,
			       "the image that stands alone; may be FILE itself, - is standard output")
			->required();
		add_parent_option(app, written, parents_);
		app.callback([this] {
			if (output_ == "-" && isatty(STDOUT_FILENO))
				throw CLI::ValidationError("-o -", "standard output is a terminal");
		});
	}

	std::string doing() const override { return "flatten " + file_; }

	Result<int> run(const Options &options) override
	{
		const bool show = !options.quiet && !options.json;
		Result<Chain> chain = open(show);
		if (!chain)
			return pass(chain);
		if (Result<> good = check_output(*chain); !good)
			return pass(good);
		Result<AtomicFile> file = AtomicFile::create(output_);
		if (!file)
			return pass(file);
		const size_t nr_images = chain->files().size();
		Result<uint64_t> bytes = write(FlatStream(std::move(*chain)), *file, show);
		if (!bytes)
			return pass(bytes);
		if (Result<> named = file->commit(); !named)
			return pass(named);
		if (options.json)
			print_json({{"image", output_}, {"images", nr_images}, {"bytes", *bytes}},
				   output_ == "-" ? stderr : stdout);
		else if (options.stats)
			say(stderr, "{:<12} {}\n{:<12} {}\n", "images", nr_images, "image", human_bytes(*bytes));
		return Exit::done;
	}

private:
	Result<Chain> open(bool show) const
	{
		Progress progress("read", 0, show);
		return Chain::open(file_, parents_, [&](uint64_t bytes) { progress.add(bytes); });
	}

	/* It takes the place of FILE, whose UUID it has, but not of another one that is needed. */
	Result<> check_output(const Chain &chain) const
	{
		std::error_code ignored;
		if (std::filesystem::equivalent(output_, file_, ignored))
			return {};
		for (const ImageFile &file : chain.files())
			if (std::filesystem::equivalent(output_, file.path(), ignored))
				return failure(KCKPT_E_IMAGE_NEEDED, 0, fmt::format("{} builds on {}", file_, output_));
		if (const std::string other = image_that_needs(output_); !other.empty())
			return failure(KCKPT_E_IMAGE_NEEDED, 0, fmt::format("{} builds on {}", other, output_));
		return {};
	}

	static Result<uint64_t> write(FlatStream stream, AtomicFile &file, bool show)
	{
		Progress progress("write", stream.size_estimate(), show);
		for (uint64_t total = 0;;) {
			Result<std::span<const std::byte>> piece = stream.next();
			if (!piece)
				return pass(piece);
			if (piece->empty())
				return total;
			if (Result<> wrote = file.write(*piece); !wrote)
				return pass(wrote);
			progress.add(piece->size());
			total += piece->size();
		}
	}

	std::string file_, output_;
	std::vector<std::string> parents_;
};

} // namespace

std::unique_ptr<Command> make_flatten()
{
	return std::make_unique<FlattenCommand>();
}

} // namespace kckpt
