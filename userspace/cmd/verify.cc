// SPDX-License-Identifier: GPL-2.0-only
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cmd/command.hh"
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
		tell(options, *reader);
		return Exit::done;
	}

private:
	void tell(const Options &options, const ImageReader &reader) const
	{
		const std::string uuid = uuid_text(reader.header().uuid);
		if (options.json)
			print_json({{"image", file_}, {"whole", true}, {"uuid", uuid}, {"bytes", reader.offset()}},
				   stdout);
		else if (!options.quiet)
			say(stdout, "{} is whole: {}, {}\n", file_ == "-" ? "the image" : file_, uuid,
			    human_bytes(reader.offset()));
	}

	std::string file_;
};

} // namespace

std::unique_ptr<Command> make_verify()
{
	return std::make_unique<VerifyCommand>();
}

} // namespace kckpt
