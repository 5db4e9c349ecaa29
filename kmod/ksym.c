// SPDX-License-Identifier: GPL-2.0
/* See ksym.h. All symbols are resolved once, at load: patching a static call stops the machine for a moment. */
#include <linux/kprobes.h>
#include <linux/mmdebug.h>
#include <linux/module.h>

#include <kckpt/uapi.h>

#include "ksym.h"

#ifdef CONFIG_DEBUG_VM
/* The assertions of <linux/mmap_lock.h> call it, and it is not exported. */
void dump_mm(const struct mm_struct *mm)
{
	pr_err("address space %p\n", mm);
}
#endif

typedef unsigned long ksym_lookup_t(const char *name);
static unsigned long ksym_lookup_none(const char *name) { return 0; }
DEFINE_STATIC_CALL(ksym_lookup, ksym_lookup_none);

#define X(sym, fam, why) DEFINE_STATIC_CALL_NULL(ksym_##sym, sym);
KCKPT_KSYM_CALLS(X)
#undef X

#define X(sym, fam, why) unsigned long ksym_addr_##sym;
KCKPT_KSYM_DATA(X)
#undef X

struct ksym_entry {
	const char *name;
	u32 family;
};

static const struct ksym_entry ksym_calls[] = {
#define X(sym, fam, why) { #sym, KCKPT_F_##fam },
	KCKPT_KSYM_CALLS(X)
#undef X
};

static const struct ksym_entry ksym_data[] = {
#define X(sym, fam, why) { #sym, KCKPT_F_##fam },
	KCKPT_KSYM_DATA(X)
#undef X
};

/* Asked for each object. */
static struct ksym_family {
	const char *lacks;	/* the first of its symbols that is missing, or what to say instead; NULL: nothing */
} ksym_families[] = {
#define KCKPT_FAMILY(name, id, title) [id] = {},
#include <kckpt/families.def>
#undef KCKPT_FAMILY
};

/*
 * kallsyms_lookup_name() is not exported since 0bd476e6c671 ("kallsyms: unexport kallsyms_lookup_name() and
 * kallsyms_on_each_symbol()") (v5.7); a kprobe on it tells where it is. With CONFIG_X86_KERNEL_IBT the probe
 * sits behind the ENDBR: calling there once is fine, and gives the exact start, which static calls want.
 */
static int ksym_find_lookup(void)
{
	struct kprobe probe = { .symbol_name = "kallsyms_lookup_name" };
	unsigned long exact;
	int err;

	err = register_kprobe(&probe);
	if (err)
		return err;
	static_call_update(ksym_lookup, (ksym_lookup_t *)probe.addr);
	unregister_kprobe(&probe);

	exact = static_call(ksym_lookup)("kallsyms_lookup_name");
	if (!exact)
		return -ENOENT;
	static_call_update(ksym_lookup, (ksym_lookup_t *)exact);
	return 0;
}

static unsigned long ksym_find(const struct ksym_entry *e)
{
	unsigned long found = static_call(ksym_lookup)(e->name);

	if (!found && !ksym_families[e->family].lacks)
		ksym_families[e->family].lacks = e->name;
	return found;
}

static void ksym_resolve(void)
{
	const struct ksym_entry *e = ksym_calls;
	unsigned long found;

#define X(sym, fam, why)						\
	found = ksym_find(e++);						\
	if (found)							\
		static_call_update(ksym_##sym, (typeof(&sym))found);
	KCKPT_KSYM_CALLS(X)
#undef X

	e = ksym_data;
#define X(sym, fam, why) ksym_addr_##sym = ksym_find(e++);
	KCKPT_KSYM_DATA(X)
#undef X
}

static const struct {
	const char *name, *refused;
} ksym_private[] = {
#define PROTOTYPE(type, name, args) { #name, "another prototype of " #name },
#include "prototypes.def"
#undef PROTOTYPE
};

void kckpt_ksym_refuse(const char *name)
{
	u32 i, call;

	for (i = 0; i < ARRAY_SIZE(ksym_private); i++)
		for (call = 0; call < ARRAY_SIZE(ksym_calls); call++)
			if (!strcmp(ksym_private[i].name, name) && !strcmp(ksym_calls[call].name, name))
				ksym_families[ksym_calls[call].family].lacks = ksym_private[i].refused;
}

const char *kckpt_ksym_missing(u32 family)
{
	return family < ARRAY_SIZE(ksym_families) ? ksym_families[family].lacks : NULL;
}

/* Without these no family works; the others only disable what needs them. */
static const u32 ksym_core[] = { KCKPT_F_stream, KCKPT_F_task, KCKPT_F_cpu, KCKPT_F_process, KCKPT_F_mm,
				 KCKPT_F_fs, KCKPT_F_files };

int kckpt_ksym_init(void)
{
	int err = ksym_find_lookup();

	if (err)
		pr_err("cannot look up kernel symbols: %d\n", err);
	else
		ksym_resolve();
	return err;
}

int kckpt_ksym_check_core(void)
{
	const char *missing;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ksym_core); i++) {
		missing = kckpt_ksym_missing(ksym_core[i]);
		if (missing) {
			pr_err("this kernel lacks what is needed: %s\n", missing);
			return -EOPNOTSUPP;
		}
	}
	return 0;
}
