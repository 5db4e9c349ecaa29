// SPDX-License-Identifier: GPL-2.0-only
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cmd/command.hh"
#include "lib/describe.hh"
#include "lib/image_reader.hh"
#include "lib/say.hh"
#include "lib/summary.hh"

namespace kckpt
{

namespace
{

using json = nlohmann::ordered_json;

class ShowCommand final : public Command
{
public:
	void attach(CLI::App &app, const Written &) override
	{
		app.add_option("FILE", file_, "the image; - is standard input")->required();
		app.add_flag("--records", records_, "every record with all its fields");
	}

	std::string doing() const override { return "show " + file_; }

	/* A damaged image is shown as far as it can be read; the error then follows. */
	Result<int> run(const Options &options) override
	{
		Result<Source> source = Source::open(file_);
		if (!source)
			return pass(source);
		Result<ImageReader> reader = ImageReader::open(std::move(*source), Pages::skip);
		if (!reader)
			return pass(reader);

		Result<> all = records_ ? show_records(*reader, options) : show_summary(*reader, options);
		if (!all)
			return pass(all);
		return Exit::done;
	}

private:
	static Result<> show_summary(ImageReader &reader, const Options &options)
	{
		Summary summary;
		Result<> all = reader.for_each([&](const Record &record) { summary.add(record, reader.runs()); });
		if (options.json)
			print_json(summary.json(reader.header()), stdout);
		else
			say(stdout, "{}", summary.text(reader.header()));
		return all;
	}

	static Result<> show_records(ImageReader &reader, const Options &options)
	{
		const auto header = std::as_bytes(std::span(&reader.header(), 1));
		if (options.json) {
			json list = json::array();
			Result<> all =
				reader.for_each([&](const Record &record) { list.push_back(record_json(record)); });
			print_json({{"header", fields_json(header_fields(), header)}, {"records", list}}, stdout);
			return all;
		}
		say(stdout, "{:>10}  header\n", 0);
		for (const FieldText &field : describe_fields(header_fields(), header))
			say(stdout, "            {:<16} {}\n", field.field->name, field.value);
		return reader.for_each([](const Record &record) { say(stdout, "{}", record_text(record)); });
	}

	std::string file_;
	bool records_ = false;
};

} // namespace

std::unique_ptr<Command> make_show()
{
	return std::make_unique<ShowCommand>();
}

} // namespace kckpt
