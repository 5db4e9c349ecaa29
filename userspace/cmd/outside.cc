// SPDX-License-Identifier: GPL-2.0-only
#include "cmd/outside.hh"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace kckpt
{

namespace
{

std::string too_long(int err)
{
	return err == -ENAMETOOLONG ? "the name is too long (55 bytes at most); give another one with =NAME" : "";
}

std::string wrong_inherit(const std::string &text)
{
	struct kckpt_inherit inherit;
	const int err = kckpt_inherit_parse(text.c_str(), &inherit);
	return err == -EINVAL ? "not N or NAME=N: " + text : too_long(err);
}

/* That a path is not there is no fault of the grammar. */
std::string wrong_external(const std::string &text)
{
	struct kckpt_external external;
	const int err = kckpt_external_parse(text.c_str(), &external);
	return err == -EINVAL ? "not pipe:INODE, socket:INODE, file:PATH, dev:PATH or tty, maybe with =NAME: " + text
			      : too_long(err);
}

std::string wrong_replacement(const std::string &text)
{
	struct kckpt_external external;
	kckpt_external_parse(text.c_str(), &external);
	if (external.kind == KCKPT_EXTERNAL_PIPE || external.kind == KCKPT_EXTERNAL_SOCKET)
		return "pipes and sockets are handed over with --inherit-fd NAME=N: " + text;
	return wrong_external(text);
}

void add(CLI::App &app, const Written &written, const char *name, std::vector<std::string> &texts,
	 std::string (*wrong)(const std::string &), const char *form, const char *help)
{
	/* One text for each, so that a FILE may follow. */
	if (auto *option = written.option(app, name, texts, help))
		option->allow_extra_args(false)->check(CLI::Validator(wrong, "", ""))->type_name(form);
}

Error missing(int err, const std::string &text)
{
	return {KCKPT_E_EXTERNAL_MISSING, -err, text};
}

} // namespace

void Outside::attach_to_dump(CLI::App &app, const Written &written)
{
	add(app, written, "--inherit-fd", inherit_, wrong_inherit, "[NAME=]N",
	    "this descriptor of the job's root process belongs to the outside, and is called NAME (default: N)");
	add(app, written, "--external", external_, wrong_external, "KIND:ID[=NAME]",
	    "and so does whatever open file this is: pipe:INODE, socket:INODE, file:PATH, dev:PATH, tty");
}

void Outside::attach_to_restore(CLI::App &app, const Written &written)
{
	add(app, written, "--inherit-fd", inherit_, wrong_inherit, "[NAME=]N",
	    "this descriptor of kckpt takes the place of NAME (default: N)");
	add(app, written, "--external", external_, wrong_replacement, "KIND:ID[=NAME]",
	    "this file:PATH, dev:PATH, or tty is opened in the place of NAME (default: KIND:ID)");
}

std::vector<struct kckpt_inherit> Outside::inherit() const
{
	std::vector<struct kckpt_inherit> list(inherit_.size());
	for (size_t i = 0; i < list.size(); i++)
		kckpt_inherit_parse(inherit_[i].c_str(), &list[i]);
	return list;
}

bool Outside::has_descriptor(int fd) const
{
	return std::ranges::any_of(inherit(), [&](const struct kckpt_inherit &one) { return one.fd == fd; });
}

Result<std::vector<struct kckpt_external>> Outside::external() const
{
	std::vector<struct kckpt_external> list(external_.size());
	for (size_t i = 0; i < list.size(); i++) {
		if (const int err = kckpt_external_parse(external_[i].c_str(), &list[i]); err < 0)
			return failure(missing(err, external_[i]));
	}
	return list;
}

Result<> Outside::check() const
{
	for (const struct kckpt_inherit &one : inherit()) {
		if (fcntl(one.fd, F_GETFD) < 0)
			return failure(KCKPT_E_INHERIT_CLOSED, 0, fmt::format("descriptor {}", int(one.fd)));
	}
	return {};
}

Result<std::vector<struct kckpt_inherit>> Outside::open()
{
	std::vector<struct kckpt_inherit> list = inherit();
	for (const std::string &text : external_) {
		struct kckpt_inherit one;
		if (const int err = kckpt_external_open(text.c_str(), &one); err < 0)
			return failure(missing(err, text));
		opened_.emplace_back(one.fd);
		list.push_back(one);
	}
	return list;
}

} // namespace kckpt
