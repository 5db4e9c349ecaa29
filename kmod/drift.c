// SPDX-License-Identifier: GPL-2.0
/*
 * Compares the running kernel with what these sources know of it: the members of structs (structs.def), the prototypes
 * of functions that no public header declares (prototypes.def), and the layout of structs that we had to write down
 * ourselves. The kernel describes itself in BTF; one without cannot be checked.
 *
 * BTF has no order to search by: one pass over all types, looking for each name in our sorted lists. All of it is freed
 * when the module is loaded, but for what was found.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/bpf.h>
#include <linux/bsearch.h>
#include <linux/btf.h>
#include <linux/init.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/sort.h>

#include <kckpt/uapi.h>

#include "compat/eventfd.h"
#include "compat/procfs.h"
#include "compat/task.h"
#include "drift.h"
#include "family.h"
#include "ksym.h"

/* ---- what was found ---- */

static struct drift_found {
	char text[64];
} drift_found[] = {
#define KCKPT_FAMILY(name, id, title) [id] = { "" },
#include <kckpt/families.def>
#undef KCKPT_FAMILY
};

const char *kckpt_drift(u32 family)
{
	if (family >= ARRAY_SIZE(drift_found) || !drift_found[family].text[0])
		return NULL;
	return drift_found[family].text;
}

/* ---- what is known ---- */

static char drift_structs[] __initdata =
#ifndef __CHECKER__	/* sparse takes no string that long */
#include "structs.def"
#endif
"";

#undef __user
#define __user	/* which BTF does not have */
#define PROTOTYPE(type, name, args) "\n" #name ": " __stringify(type) " " __stringify(args)
static char drift_prototypes[] __initdata =
#include "prototypes.def"
;
#undef PROTOTYPE

/* Structs of private headers, of which compat/ has a copy: these members must be where it says. */
static struct drift_copy {
	const char *name, *member;
	u32 family, offset, size;
	bool seen;
} drift_copies[] __initdata = {
#define COPY(family, name, copy, member) \
	{ #name, #member, KCKPT_F_##family, offsetof(struct copy, member), sizeof_field(struct copy, member) }
	COPY(eventfd, eventfd_ctx, kckpt_eventfd_ctx, kref),
	COPY(eventfd, eventfd_ctx, kckpt_eventfd_ctx, wqh),
	COPY(eventfd, eventfd_ctx, kckpt_eventfd_ctx, count),
	COPY(eventfd, eventfd_ctx, kckpt_eventfd_ctx, flags),
	COPY(task, sem_undo_list, kckpt_sem_undo_list, list_proc),
	KCKPT_PROC_MAPS_COPIES(COPY)
#undef COPY
};

struct drift_entry {
	const char *name, *text;	/* of a struct: its members; of a function: its prototype */
	u32 family;
	bool seen;			/* a struct */
};

struct drift_list {
	struct drift_entry *entries;
	u32 nr;
};

struct drift {
	const struct btf *btf;
	struct drift_list structs, prototypes;
	bool tolerate, tolerated;
};

static int __init entry_cmp(const void *a, const void *b)
{
	return strcmp(((const struct drift_entry *)a)->name, ((const struct drift_entry *)b)->name);
}

static struct drift_entry *__init list_find(const struct drift_list *list, const char *name)
{
	struct drift_entry key = { .name = name };

	return bsearch(&key, list->entries, list->nr, sizeof(key), entry_cmp);
}

static u32 __init family_by_name(const char *name)
{
	const struct kckpt_family_ops *ops;
	u32 id;

	for (id = 1; id < ARRAY_SIZE(drift_found); id++) {
		ops = kckpt_family(id);
		if (ops && !strcmp(ops->name, name))
			return id;
	}
	return 0;
}

/* Takes @text apart, lines of "[family ]name: text". */
static int __init list_init(struct drift_list *list, char *text)
{
	struct drift_entry *e;
	char *line, *head;
	u32 room = 0;

	for (line = text; *line; line++)
		room += *line == '\n';
	list->entries = kcalloc(room, sizeof(*list->entries), GFP_KERNEL);
	if (!list->entries)
		return -ENOMEM;
	while ((line = strsep(&text, "\n"))) {
		if (!*line)
			continue;
		e = &list->entries[list->nr++];
		head = strsep(&line, ":");
		e->text = line;
		e->name = strrchr(head, ' ') ? strrchr(head, ' ') + 1 : head;
		if (e->name != head)
			e->family = family_by_name(strsep(&head, " "));
	}
	sort(list->entries, list->nr, sizeof(*list->entries), entry_cmp, NULL);
	return 0;
}

/* Is @name one of the words of @text, each with a space before and a comma behind it? */
static bool __init has_word(const char *text, const char *name)
{
	size_t len = strlen(name);
	const char *at;

	for (at = strstr(text, name); at; at = strstr(at + 1, name))
		if (at > text && at[-1] == ' ' && at[len] == ',')
			return true;
	return false;
}

/* ---- changed on purpose, for tests ---- */

#define PATH_LEN 128

#ifdef KCKPT_FAULTS
static char *drift_test;
module_param(drift_test, charp, 0444);
MODULE_PARM_DESC(drift_test, "taken for one that is not known: a member (struct.member), a function, \"version\", \"btf\"");

bool __init kckpt_drift_test(const char *what)
{
	return drift_test && !strcmp(drift_test, what);
}

static bool __init changed_on_purpose(const char *name, const char *member)
{
	char what[PATH_LEN];

	snprintf(what, sizeof(what), "%s.%s", name, member);
	return kckpt_drift_test(what);
}
#else
static bool __init changed_on_purpose(const char *name, const char *member) { return false; }
#endif

/* ---- members ---- */

#define DEPTH_MAX 8	/* of structs within each other */

static const struct btf_type *__init type_of(const struct drift *d, u32 id)
{
	return kcall(btf_type_by_id)(d->btf, id);
}

static const char *__init name_of(const struct drift *d, u32 offset)
{
	return kcall(btf_name_by_offset)(d->btf, offset) ?: "";
}

static u32 __init size_of(const struct drift *d, const struct btf_type *type)
{
	u32 depth, nr = 1;

	for (depth = 0; type && depth < DEPTH_MAX; depth++) {
		switch (btf_kind(type)) {
		case BTF_KIND_PTR:
			return nr * sizeof(void *);
		case BTF_KIND_ARRAY:
			nr *= btf_array(type)->nelems;
			type = type_of(d, btf_array(type)->type);
			break;
		case BTF_KIND_TYPEDEF:
		case BTF_KIND_CONST:
		case BTF_KIND_VOLATILE:
			type = type_of(d, type->type);
			break;
		default:
			return nr * type->size;
		}
	}
	return 0;
}

static void __init tell_unknown(struct drift *d, const struct drift_entry *e, const char *member)
{
	struct drift_found *found = &drift_found[e->family];

	if (d->tolerate) {
		pr_warn("unknown member %s.%s of this kernel: not saved\n", e->name, member);
		d->tolerated = true;
		return;
	}
	pr_err("unknown member %s.%s of this kernel: family %s is disabled; allow_untested=1 enables it\n", e->name,
	       member, kckpt_family(e->family)->name);
	if (!found->text[0])
		snprintf(found->text, sizeof(found->text), "unknown member %s.%s", e->name, member);
}

static void __init check_copies(const struct drift *d, const struct drift_entry *e, const char *member,
				const struct btf_type *type, u32 bit_offset)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(drift_copies); i++) {
		struct drift_copy *copy = &drift_copies[i];

		if (!strcmp(copy->name, e->name) && !strcmp(copy->member, member) &&
		    bit_offset == 8 * copy->offset && size_of(d, type) == copy->size &&
		    !changed_on_purpose(e->name, member))
			copy->seen = true;
	}
}

/* A struct or union without a name, or an array of them: its members are those of its holder. */
static const struct btf_type *__init nameless(const struct drift *d, const struct btf_type *type, bool member_has_name)
{
	while (type && btf_kind(type) == BTF_KIND_ARRAY)
		type = type_of(d, btf_array(type)->type);
	return type && btf_type_is_struct(type) && (!type->name_off || !member_has_name) ? type : NULL;
}

static void __init check_members(struct drift *d, const struct drift_entry *e, const struct btf_type *type,
				 const char *holder, u32 bit_offset, u32 depth)
{
	const struct btf_member *m = btf_type_member(type);
	u32 i;

	for (i = 0; i < btf_type_vlen(type); i++) {
		const struct btf_type *of = type_of(d, m[i].type);
		const char *name = name_of(d, m[i].name_off);
		const struct btf_type *inner = nameless(d, of, *name);
		u32 offset = bit_offset + __btf_member_bit_offset(type, &m[i]);
		char path[PATH_LEN];

		snprintf(path, sizeof(path), "%s%s%s", holder, *holder && *name ? "." : "", name);
		if (inner && depth < DEPTH_MAX) {
			check_members(d, e, inner, path, offset, depth + 1);
			continue;
		}
		if (!*name && !inner)
			continue;	/* padding */
		if (!has_word(e->text, path) || changed_on_purpose(e->name, path))
			tell_unknown(d, e, path);
		check_copies(d, e, path, of, offset);
	}
}

/* A struct, or a typedef of one without a name. */
static void __init check_struct(struct drift *d, const struct btf_type *type)
{
	struct drift_entry *e = list_find(&d->structs, name_of(d, type->name_off));

	if (e && btf_kind(type) == BTF_KIND_TYPEDEF)
		type = nameless(d, type_of(d, type->type), true);
	if (!e || !type)
		return;
	e->seen = true;
	check_members(d, e, type, "", 0, 0);
}

/* Not to be tolerated: we would read something else. */
static void __init tell_moved(const struct drift_copy *copy)
{
	struct drift_found *found = &drift_found[copy->family];

	pr_err("%s.%s of this kernel is not where it should be: family %s is disabled\n", copy->name, copy->member,
	       kckpt_family(copy->family)->name);
	snprintf(found->text, sizeof(found->text), "another layout of %s.%s", copy->name, copy->member);
}

/* ---- prototypes ---- */

#define PROTOTYPE_LEN 512

static const char *__init word_of(const char *name)
{
	static const char *const words[][2] __initconst = {
		{ "long unsigned int", "unsigned long" }, { "long int", "long" },
		{ "long long unsigned int", "unsigned long long" }, { "long long int", "long long" },
	};
	u32 i;

	for (i = 0; i < ARRAY_SIZE(words); i++)
		if (!strcmp(words[i][0], name))
			return words[i][1];
	return name;
}

/* As C has it; what our prototypes do not use becomes "?". */
static void __init render_type(const struct drift *d, u32 id, char *text, u32 depth)
{
	const struct btf_type *type = type_of(d, id);
	const char *name;

	if (!id || !type || depth > DEPTH_MAX) {
		strlcat(text, id ? "?" : "void", PROTOTYPE_LEN);
		return;
	}
	name = name_of(d, type->name_off);
	switch (btf_kind(type)) {
	case BTF_KIND_PTR:
		render_type(d, type->type, text, depth + 1);
		strlcat(text, text[strlen(text) - 1] == '*' ? "*" : " *", PROTOTYPE_LEN);
		return;
	case BTF_KIND_CONST:
		strlcat(text, "const ", PROTOTYPE_LEN);
		render_type(d, type->type, text, depth + 1);
		return;
	case BTF_KIND_TYPE_TAG:
		render_type(d, type->type, text, depth + 1);
		return;
	case BTF_KIND_STRUCT:
		strlcat(text, "struct ", PROTOTYPE_LEN);
		break;
	case BTF_KIND_FWD:
		strlcat(text, btf_type_kflag(type) ? "union " : "struct ", PROTOTYPE_LEN);
		break;
	case BTF_KIND_UNION:
		strlcat(text, "union ", PROTOTYPE_LEN);
		break;
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		strlcat(text, "enum ", PROTOTYPE_LEN);
		break;
	case BTF_KIND_INT:
	case BTF_KIND_TYPEDEF:
		break;
	default:
		name = "";
	}
	strlcat(text, *name ? word_of(name) : "?", PROTOTYPE_LEN);
}

static void __init render_prototype(const struct drift *d, const struct btf_type *proto, char *text)
{
	const struct btf_param *params = btf_params(proto);
	u32 i;

	strscpy(text, " ", PROTOTYPE_LEN);
	render_type(d, proto->type, text, 0);
	strlcat(text, " (", PROTOTYPE_LEN);
	for (i = 0; i < btf_type_vlen(proto); i++) {
		strlcat(text, i ? ", " : "", PROTOTYPE_LEN);
		render_type(d, params[i].type, text, 0);
	}
	strlcat(text, i ? ")" : "void)", PROTOTYPE_LEN);
}

static void __init check_function(struct drift *d, const struct btf_type *func)
{
	struct drift_entry *e = list_find(&d->prototypes, name_of(d, func->name_off));
	const struct btf_type *proto = e ? type_of(d, func->type) : NULL;
	char text[PROTOTYPE_LEN];

	if (!proto || btf_kind(proto) != BTF_KIND_FUNC_PROTO)
		return;
	render_prototype(d, proto, text);
	if (!strcmp(text, e->text) && !kckpt_drift_test(e->name))
		return;
	pr_err("%s() of this kernel is%s, and not%s\n", e->name, text, e->text);
	kckpt_ksym_refuse(e->name);
}

/* ---- all of it ---- */

static void __init check_all(struct drift *d)
{
	u32 id, nr = kcall(btf_nr_types)(d->btf);

	for (id = 1; id < nr; id++) {
		const struct btf_type *type = type_of(d, id);

		switch (type ? btf_kind(type) : BTF_KIND_UNKN) {
		case BTF_KIND_STRUCT:
		case BTF_KIND_UNION:
		case BTF_KIND_TYPEDEF:
			check_struct(d, type);
			break;
		case BTF_KIND_FUNC:
			check_function(d, type);
			break;
		default:
			break;
		}
		if (!(id % 1024))
			cond_resched();
	}
	for (id = 0; id < ARRAY_SIZE(drift_copies); id++) {
		const struct drift_entry *e = list_find(&d->structs, drift_copies[id].name);

		if (e && e->seen && !drift_copies[id].seen)
			tell_moved(&drift_copies[id]);
	}
}

static const struct btf *__init btf_of_kernel(void)
{
	return kckpt_ksym_missing(KCKPT_F_NONE) || kckpt_drift_test("btf") ? NULL : kcall(bpf_get_btf_vmlinux)();
}

int __init kckpt_drift_check(bool tolerate)
{
	struct drift d = { .btf = btf_of_kernel(), .tolerate = tolerate };
	int err;

	if (IS_ERR(d.btf) && PTR_ERR(d.btf) != -ENODATA) {
		pr_err("the BTF of this kernel cannot be read: %ld\n", PTR_ERR(d.btf));
		return PTR_ERR(d.btf);
	}
	if (IS_ERR_OR_NULL(d.btf)) {
		pr_warn("this kernel has no BTF: whether its structs are known cannot be checked\n");
		return 1;
	}
	err = list_init(&d.structs, drift_structs) ?: list_init(&d.prototypes, drift_prototypes);
	if (!err)
		check_all(&d);
	kfree(d.structs.entries);
	kfree(d.prototypes.entries);
	return err ?: d.tolerated;
}
