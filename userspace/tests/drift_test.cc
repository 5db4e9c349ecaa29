// SPDX-License-Identifier: GPL-2.0-only
/*
 * Compares what the module knows of the kernel's structs and functions (kmod/structs.def, prototypes.def) with the BTF
 * of the kernels that KCKPT_BTF names, as kmod/drift.c does with the running one.
 */
#include <bpf/btf.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

namespace kckpt
{

namespace
{

const char known_structs[] =
#include "../../kmod/structs.def"
	;

#define TEXT(...) #__VA_ARGS__
#define EXPANDED(...) TEXT(__VA_ARGS__)
#define __user
#define PROTOTYPE(type, name, args) "\n" #name ": " EXPANDED(type) " " EXPANDED(args)
const char known_prototypes[] =
#include "../../kmod/prototypes.def"
	;
#undef PROTOTYPE

using Lists = std::map<std::string, std::string>; /* a name, and what is behind the colon */
using Names = std::vector<std::string>;

struct BtfFree {
	void operator()(struct btf *btf) const { btf__free(btf); }
};
using Btf = std::unique_ptr<struct btf, BtfFree>;

/* Lines of "[family ]name: text". */
Lists parse(const std::string &text)
{
	Lists lists;
	std::istringstream lines(text);
	for (std::string line; std::getline(lines, line);) {
		const size_t colon = line.find(':');
		if (colon == std::string::npos)
			continue;
		const std::string head = line.substr(0, colon);
		const std::string name = head.substr(head.rfind(' ') + 1);
		EXPECT_TRUE(lists.emplace(name, line.substr(colon + 1)).second) << name << " is there twice";
	}
	return lists;
}

class Checker
{
public:
	explicit Checker(const struct btf *btf) : btf_(btf) {}

	Names unknown_members(const Lists &structs)
	{
		found_.clear();
		for (uint32_t id = 1; id < btf__type_cnt(btf_); id++) {
			const struct btf_type *type = type_of(id);
			const auto known = structs.find(name_of(type->name_off));
			if (btf_is_typedef(type))
				type = nameless(type_of(type->type), true);
			if (known != structs.end() && type && btf_is_composite(type))
				check_members(*known, type, "");
		}
		return found_;
	}

	Names other_prototypes(const Lists &prototypes)
	{
		found_.clear();
		for (uint32_t id = 1; id < btf__type_cnt(btf_); id++) {
			const struct btf_type *type = type_of(id);
			const auto known = prototypes.find(name_of(type->name_off));
			if (btf_is_func(type) && known != prototypes.end() &&
			    known->second != " " + prototype(type_of(type->type)))
				found_.push_back(known->first + ": " + prototype(type_of(type->type)));
		}
		return found_;
	}

private:
	const struct btf_type *type_of(uint32_t id) const { return btf__type_by_id(btf_, id); }
	std::string name_of(uint32_t offset) const { return btf__name_by_offset(btf_, offset); }

	/* A struct or union without a name, or an array of them: its members are those of its holder. */
	const struct btf_type *nameless(const struct btf_type *type, bool member_has_name) const
	{
		while (btf_is_array(type))
			type = type_of(btf_array(type)->type);
		return btf_is_composite(type) && (!type->name_off || !member_has_name) ? type : nullptr;
	}

	void check_members(const Lists::value_type &known, const struct btf_type *type, const std::string &holder)
	{
		for (int i = 0; i < btf_vlen(type); i++) {
			const struct btf_member &member = btf_members(type)[i];
			const std::string name = name_of(member.name_off);
			const std::string path = holder + (holder.empty() || name.empty() ? "" : ".") + name;
			if (const auto *inner = nameless(type_of(member.type), !name.empty()))
				check_members(known, inner, path);
			else if (!name.empty() && known.second.find(" " + path + ",") == std::string::npos)
				found_.push_back(known.first + "." + path);
		}
	}

	std::string prototype(const struct btf_type *proto) const
	{
		std::string args;
		for (int i = 0; i < btf_vlen(proto); i++)
			args += (i ? ", " : "") + rendered(btf_params(proto)[i].type);
		return rendered(proto->type) + " (" + (args.empty() ? "void" : args) + ")";
	}

	std::string rendered(uint32_t id) const
	{
		const struct btf_type *type = type_of(id);
		if (!id)
			return "void";
		const std::string name = name_of(type->name_off);
		switch (btf_kind(type)) {
		case BTF_KIND_PTR: {
			const std::string to = rendered(type->type);
			return to + (to.ends_with('*') ? "*" : " *");
		}
		case BTF_KIND_CONST: return "const " + rendered(type->type);
		case BTF_KIND_TYPE_TAG: return rendered(type->type);
		case BTF_KIND_STRUCT:
		case BTF_KIND_FWD: return "struct " + name;
		case BTF_KIND_UNION: return "union " + name;
		case BTF_KIND_ENUM:
		case BTF_KIND_ENUM64: return "enum " + name;
		default: return name == "long unsigned int" ? "unsigned long" : name == "long int" ? "long" : name;
		}
	}

	const struct btf *btf_;
	Names found_;
};

/* Those that KCKPT_BTF names; none of them may be missing. */
std::map<std::string, Btf> kernels()
{
	std::map<std::string, Btf> list;
	const char *paths = getenv("KCKPT_BTF");
	std::istringstream words(paths ? paths : "");
	for (std::string path; words >> path;) {
		Btf btf(btf__parse(path.c_str(), nullptr));
		EXPECT_TRUE(btf) << path << " cannot be read";
		if (btf)
			list.emplace(path, std::move(btf));
	}
	return list;
}

#define NEEDS_KERNELS()           \
	if (!getenv("KCKPT_BTF")) \
	GTEST_SKIP() << "KCKPT_BTF does not tell where the BTF of kernels is"

/* struct pipe_buffer { int page, offset; union { int len; struct pipe_index { int ADDED; }; }; }; mm_context_t */
Btf kernel_with(const char *added)
{
	Btf btf(btf__new_empty());
	const int number = btf__add_int(btf.get(), "int", 4, BTF_INT_SIGNED);
	const int inner = btf__add_struct(btf.get(), "pipe_index", 4);
	btf__add_field(btf.get(), added, number, 0, 0);
	const int both = btf__add_union(btf.get(), nullptr, 4);
	btf__add_field(btf.get(), "len", number, 0, 0);
	btf__add_field(btf.get(), nullptr, inner, 0, 0);
	btf__add_struct(btf.get(), "pipe_buffer", 12);
	btf__add_field(btf.get(), "page", number, 0, 0);
	btf__add_field(btf.get(), "offset", number, 32, 0);
	btf__add_field(btf.get(), nullptr, both, 64, 0);
	const int context = btf__add_struct(btf.get(), nullptr, 4);
	btf__add_field(btf.get(), added, number, 0, 0);
	btf__add_typedef(btf.get(), "mm_context_t", context);
	return btf;
}

/* int ksys_setsid(TYPE), where TYPE is none or a pointer to a const int. */
Btf kernel_with_argument(bool argument)
{
	Btf btf(btf__new_empty());
	const int number = btf__add_int(btf.get(), "int", 4, BTF_INT_SIGNED);
	const int pointer = btf__add_ptr(btf.get(), btf__add_const(btf.get(), number));
	const int proto = btf__add_func_proto(btf.get(), number);
	if (argument)
		btf__add_func_param(btf.get(), "arg", pointer);
	btf__add_func(btf.get(), "ksys_setsid", BTF_FUNC_STATIC, proto);
	return btf;
}

} // namespace

TEST(Drift, MembersOfTheKernelsAreKnown)
{
	NEEDS_KERNELS();
	const auto list = kernels();
	EXPECT_FALSE(list.empty());
	for (const auto &[path, btf] : list)
		EXPECT_EQ(Checker(btf.get()).unknown_members(parse(known_structs)), Names())
			<< path << ": say in kmod/structs.def what becomes of them";
}

TEST(Drift, PrototypesOfTheKernelsAreOurs)
{
	NEEDS_KERNELS();
	for (const auto &[path, btf] : kernels())
		EXPECT_EQ(Checker(btf.get()).other_prototypes(parse(known_prototypes)), Names()) << path;
}

/* Each struct and function is in one kernel at least: else its name is wrong, and nothing is checked. */
TEST(Drift, KernelsHaveWhatIsListed)
{
	NEEDS_KERNELS();
	const auto list = kernels();
	for (const char *text : {known_structs, known_prototypes})
		for (const auto &entry : parse(text)) {
			bool found = false;
			for (const auto &kernel : list)
				for (uint32_t id = 1; !found && id < btf__type_cnt(kernel.second.get()); id++)
					found = entry.first ==
						btf__name_by_offset(kernel.second.get(),
								    btf__type_by_id(kernel.second.get(), id)->name_off);
			EXPECT_TRUE(found) << entry.first;
		}
}

TEST(Drift, AMemberThatIsNotListedIsNamed)
{
	NEEDS_KERNELS();
	Lists structs = parse(known_structs);
	std::string &task = structs.at("task_struct"), &block = structs.at("restart_block");
	task.replace(task.find(" comm,"), 6, "");
	block.replace(block.find(" futex.val,"), 11, "");
	for (const auto &[path, btf] : kernels()) {
		const Names found = Checker(btf.get()).unknown_members(structs);
		EXPECT_EQ(found.size(), 2U) << path;
		EXPECT_EQ(std::ranges::count(found, "task_struct.comm"), 1) << path;
		EXPECT_EQ(std::ranges::count(found, "restart_block.futex.val"), 1) << path;
	}
}

TEST(Drift, AStructThatHasGrownIsNamed)
{
	const Lists structs = parse(known_structs);
	EXPECT_EQ(Checker(kernel_with("flags").get()).unknown_members(structs), Names());
	EXPECT_EQ(Checker(kernel_with("private").get()).unknown_members(structs), Names({"mm_context_t.private"}));
	EXPECT_EQ(Checker(kernel_with("surprise").get()).unknown_members(structs),
		  Names({"pipe_buffer.surprise", "mm_context_t.surprise"}));
	EXPECT_EQ(Checker(kernel_with("fla").get()).unknown_members(structs).size(), 2U);
}

TEST(Drift, AnotherPrototypeIsNamed)
{
	const Lists prototypes = parse(known_prototypes);
	EXPECT_EQ(Checker(kernel_with_argument(false).get()).other_prototypes(prototypes), Names());
	EXPECT_EQ(Checker(kernel_with_argument(true).get()).other_prototypes(prototypes),
		  Names({"ksys_setsid: int (const int *)"}));
}

} // namespace kckpt
