/* SPDX-License-Identifier: GPL-2.0-only */
/* --inherit-fd and --external: what of a job belongs to the outside. The grammar is libkckpt's. */
#pragma once

#include <string>
#include <vector>

#include <kckpt/kckpt.h>

#include "cmd/written.hh"
#include "lib/fd.hh"
#include "lib/result.hh"

namespace kckpt
{

class Outside
{
public:
	void attach_to_dump(CLI::App &app, const Written &written);
	void attach_to_restore(CLI::App &app, const Written &written);

	bool has_descriptor(int fd) const;

	/* For a dump; paths are looked up. */
	std::vector<struct kckpt_inherit> inherit() const;
	Result<std::vector<struct kckpt_external>> external() const;

	/*
	 * For a restore. check() comes before anything is opened: one of our own descriptors might else be taken for
	 * one that was handed over. open() opens the replacements, which live as long as this.
	 */
	Result<> check() const;
	Result<std::vector<struct kckpt_inherit>> open();

private:
	std::vector<std::string> inherit_, external_;
	std::vector<Fd> opened_;
};

} // namespace kckpt
