// SPDX-License-Identifier: GPL-2.0
/*
 * Credentials. A restored task has those of the caller of restore; so a job is dumped only by a caller with the same,
 * and restored only by one with those of the image. Ids are as the caller's user namespace sees them.
 *
 * Refused: thread and process keyrings.
 * Not saved: session keyring and security labels (the restorer's).
 */
#include <linux/cred.h>
#include <linux/mm.h>
#include <linux/user_namespace.h>

#include "family.h"

static void cred_put(void *ptr)
{
	put_cred(ptr);
}

static u64 cap_to_u64(kernel_cap_t cap)
{
	return *(u64 *)&cap;	/* two u32 in v6.1, one u64 since v6.3; the same bytes */
}

static struct kckpt_cred_rec cred_describe(const struct cred *cred)
{
	struct user_namespace *ns = current_user_ns();

	return (struct kckpt_cred_rec){
		.uid = from_kuid_munged(ns, cred->uid),		.gid = from_kgid_munged(ns, cred->gid),
		.suid = from_kuid_munged(ns, cred->suid),	.sgid = from_kgid_munged(ns, cred->sgid),
		.euid = from_kuid_munged(ns, cred->euid),	.egid = from_kgid_munged(ns, cred->egid),
		.fsuid = from_kuid_munged(ns, cred->fsuid),	.fsgid = from_kgid_munged(ns, cred->fsgid),
		.cap_inheritable = cap_to_u64(cred->cap_inheritable),
		.cap_permitted = cap_to_u64(cred->cap_permitted),
		.cap_effective = cap_to_u64(cred->cap_effective),
		.cap_bounding = cap_to_u64(cred->cap_bset),
		.cap_ambient = cap_to_u64(cred->cap_ambient),
		.securebits = cred->securebits,
		.nr_groups = cred->group_info->ngroups,
	};
}

/* What differs, or NULL. @groups: those of @rec. */
static const char *cred_differs(const struct kckpt_cred_rec *rec, const u32 *groups, const struct cred *cred)
{
	struct kckpt_cred_rec mine = cred_describe(cred);
	u32 i;

	if (memcmp(&mine.uid, &rec->uid, offsetof(struct kckpt_cred_rec, cap_inheritable)))
		return "user or group ids";
	if (mine.nr_groups != rec->nr_groups)
		return "supplementary groups";
	for (i = 0; i < rec->nr_groups; i++)
		if (groups[i] != from_kgid_munged(current_user_ns(), cred->group_info->gid[i]))
			return "supplementary groups";
	if (memcmp(&mine, rec, sizeof(mine)))
		return "capabilities or securebits";
	return NULL;
}

static u32 *cred_groups(const struct cred *cred)
{
	u32 i, n = cred->group_info->ngroups;
	u32 *groups = kvmalloc_array(n + 1, sizeof(*groups), GFP_KERNEL_ACCOUNT);

	for (i = 0; groups && i < n; i++)
		groups[i] = from_kgid_munged(current_user_ns(), cred->group_info->gid[i]);
	return groups;
}

static int cred_collect(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct cred *cred = obj->ptr;
	struct kckpt_cred_rec rec = cred_describe(cred);
	u32 *groups = cred_groups(cred);
	const char *differs;

	if (!groups)
		return kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, 0, "groups");
	differs = cred->user_ns != current_user_ns() ? "user namespace" : cred_differs(&rec, groups, current_cred());
	kvfree(groups);
	if (differs)
		kckpt_fail(ctx, obj, KCKPT_E_TASK_CREDS, 0, "%s", differs);
#ifdef CONFIG_KEYS
	if (cred->thread_keyring || cred->process_keyring)
		kckpt_fail(ctx, obj, KCKPT_E_TASK_ATTRIBUTE, 0, "a thread or process keyring");
#endif
	return 0;
}

static int cred_dump(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct cred *cred = obj->ptr;
	struct kckpt_cred_rec rec = cred_describe(cred);
	u32 *groups = cred_groups(cred);
	int err;

	if (!groups)
		return kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, 0, "groups");
	err = kckpt_put(ctx, obj, KCKPT_K_cred, &rec, sizeof(rec), groups, rec.nr_groups * sizeof(u32));
	kvfree(groups);
	return err;
}

static int cred_check(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_cred_rec rec;
	const char *differs;
	const void *groups;
	int err;

	err = kckpt_rec_only(ctx, obj, KCKPT_K_cred, &rec, sizeof(rec), &rec.nr_groups, sizeof(u32), &groups);
	if (err)
		return err;
	differs = cred_differs(&rec, groups, current_cred());
	if (differs)
		kckpt_fail(ctx, obj, KCKPT_E_TASK_CREDS, 0, "%s", differs);
	return 0;
}

const struct kckpt_family_ops kckpt_cred_ops = {
	.name = "cred",
	.put = cred_put,
	.collect = cred_collect, .dump = cred_dump, .check = cred_check,
};
