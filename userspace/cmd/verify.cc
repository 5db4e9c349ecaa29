// SPDX-License-Identifier: GPL-2.0-only
#include <unistd.h>

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
	void attach(CLI::App &app) override
	{
		app.add_option("FILE", file_, "the image; - is standard input")->required();
		add_parent_option(app, parents_);
	}

	std::string doing() const override { return "accept " + file_; }

	Result<int> run(const Options &options) override
	{
		Result<Source> source = Source::open(file_);
		if (!source)
			return pass(source);
		Progress progress("verify", source->size(), !options.quiet && !options.json);
		Result<ImageReader> reader = ImageReader::open(std::move(*source), Pages::verify);
		if (!reader)
			return pass(reader);

		for (uint64_t at = 0;; at = reader->offset()) {
			Result<const Record *> record = reader->next();
			if (!record)
				return pass(record);
			if (!*record)
				break;
			progress.add(reader->offset() - at);
		}
		if (Result<> good = check_parents(*reader); !good)
			return pass(good);
		tell(options, *reader);
		return Exit::done;
	}

private:
	/* What it builds on must be there, too; of a stream only itself can be looked at. */
	Result<> check_parents(const ImageReader &reader)
	{
		if (!has_parent(reader.header()) || file_ == "-")
			return {};
		Result<Chain> chain = Chain::open(file_, parents_, [](uint64_t) {});
		if (!chain)
			return pass(chain);
		for (const ImageFile &file : std::span(chain->files()).subspan(1))
			found_.push_back(file.path());
		return {};
	}

	void tell(const Options &options, const ImageReader &reader) const
	{
		const std::string uuid = uuid_text(reader.header().uuid);
		if (options.json)
			print_json({{"image", file_},
				    {"whole", true},
				    {"uuid", uuid},
				    {"bytes", reader.offset()},
				    {"increment", has_parent(reader.header())},
				    {"parents", found_}},
				   stdout);
		else if (!options.quiet)
			say(stdout, "{} is whole: {}, {}{}\n", file_ == "-" ? "the image" : file_, uuid,
			    human_bytes(reader.offset()), parents_text(reader));
	}

	std::string parents_text(const ImageReader &reader) const
	{
		if (!has_parent(reader.header()))
			return {};
		if (found_.empty())
			return fmt::format("; it builds on {}", uuid_text(reader.header().parent));
		return fmt::format("; so is what it builds on: {}", fmt::join(found_, ", "));
	}

	std::string file_;
	std::vector<std::string> parents_, found_;
};

} // namespace

std::unique_ptr<Command> make_verify()
{
	return std::make_unique<VerifyCommand>();
}

} // namespace kckpt
