// SPDX-License-Identifier: GPL-2.0-only
#include <unistd.h>

#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "cmd/command.hh"
#include "lib/chain.hh"
#include "lib/image_check.hh"
#include "lib/image_reader.hh"
#include "lib/progress.hh"
#include "lib/say.hh"
#include "lib/text.hh"

namespace kckpt
{

namespace
{

class VerifyCommand final : public Command
{
public:
	void attach(CLI::App &app, const Written &written) override
	{
		app.add_option("FILE", file_, "the image; - is standard input")->required();
		add_parent_option(app, written, parents_);
	}

	std::string doing() const override { return "accept " + file_; }

	Result<int> run(const Options &options) override
	{
		const bool wanted = !options.quiet && !options.json;
		/* Of a stream only itself can be looked at. */
		Result<> whole = file_ != "-" && is_increment() ? read_chain(wanted) : read_one(wanted);
		if (!whole)
			return pass(whole);
		tell(options);
		return Exit::done;
	}

private:
	bool is_increment() const
	{
		Result<struct kckpt_header> header = read_header(file_);
		return header && has_parent(*header);
	}

	Result<> read_one(bool with_progress)
	{
		Result<Source> source = Source::open(file_);
		if (!source)
			return pass(source);
		Progress progress("verify", source->size(), with_progress);
		Result<ImageReader> reader = ImageReader::open(std::move(*source), Pages::verify);
		if (!reader)
			return pass(reader);
		Result<> whole = reader->for_each([&](const Record &) {
			progress.add(reader->offset() - std::exchange(bytes_, reader->offset()));
		});
		bytes_ = reader->offset();
		header_ = reader->header();
		return whole;
	}

	/* What it builds on must be there, too. */
	Result<> read_chain(bool with_progress)
	{
		Progress progress("verify", 0, with_progress);
		Result<Chain> chain = Chain::open(file_, parents_, [&](uint64_t bytes) { progress.add(bytes); });
		if (!chain)
			return pass(chain);
		for (const ImageFile &file : std::span(chain->files()).subspan(1))
			found_.push_back(file.path());
		bytes_ = chain->files().front().size();
		header_ = chain->files().front().header();
		return {};
	}

	void tell(const Options &options) const
	{
		const std::string uuid = uuid_text(header_.uuid);
		if (options.json)
			print_json({{"image", file_},
				    {"whole", true},
				    {"uuid", uuid},
				    {"bytes", bytes_},
				    {"increment", has_parent(header_)},
				    {"parents", found_}},
				   stdout);
		else if (!options.quiet)
			say(stdout, "{} is whole: {}, {}{}\n", file_ == "-" ? "the image" : file_, uuid,
			    human_bytes(bytes_), parents_text());
	}

	std::string parents_text() const
	{
		if (!has_parent(header_))
			return {};
		if (found_.empty())
			return fmt::format("; it builds on {}", uuid_text(header_.parent));
		return fmt::format("; so is what it builds on: {}", fmt::join(found_, ", "));
	}

	std::string file_;
	std::vector<std::string> parents_, found_;
	struct kckpt_header header_ = {};
	uint64_t bytes_ = 0;
};

} // namespace

std::unique_ptr<Command> make_verify()
{
	return std::make_unique<VerifyCommand>();
}

} // namespace kckpt
