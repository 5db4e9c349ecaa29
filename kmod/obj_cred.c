// SPDX-License-Identifier: GPL-2.0
/*
 * Credentials, of each thread: ids, groups, capabilities, securebits. Ids are as the caller's user namespace sees them.
 * Restored rights never exceed those of the caller of restore.
 *
 * Refused: another user namespace than the caller's, Landlock domains, thread and process keyrings, a choice
 * of the keyring for new keys.
 * Not saved: session keyring and security labels (the restorer's).
 */
#include <linux/cred.h>
#include <linux/lsm_hooks.h>
#include <linux/mm.h>
#include <linux/sched/user.h>
#include <linux/securebits.h>
#include <linux/security.h>
#include <linux/user_namespace.h>

#include "family.h"
#include "fault.h"
#include "ksym.h"
#include "obj_cred.h"

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

static u32 *cred_groups(const struct cred *cred)
{
	u32 i, n = cred->group_info->ngroups;
	u32 *groups = kvmalloc_array(n + 1, sizeof(*groups), GFP_KERNEL_ACCOUNT);

	for (i = 0; groups && i < n; i++)
		groups[i] = from_kgid_munged(current_user_ns(), cred->group_info->gid[i]);
	return groups;
}

/* A domain of Landlock is a pointer in the part of the credentials that belongs to it; none is NULL. */
static bool cred_has_landlock(const struct cred *cred)
{
	const struct lsm_blob_sizes *sizes = kdata(landlock_blob_sizes);

	return *(const bool *)kdata(landlock_initialized) && cred->security &&
	       *(void **)(cred->security + sizes->lbs_cred);
}

static int cred_collect(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct cred *cred = obj->ptr;

	if (cred->user_ns != current_user_ns())
		kckpt_fail(ctx, obj, KCKPT_E_TASK_NAMESPACE, 0, "user namespace");
	if (cred_has_landlock(cred))
		kckpt_fail(ctx, obj, KCKPT_E_TASK_ATTRIBUTE, 0, "a Landlock domain");
#ifdef CONFIG_KEYS
	if (cred->thread_keyring || cred->process_keyring)
		kckpt_fail(ctx, obj, KCKPT_E_TASK_ATTRIBUTE, 0, "a thread or process keyring");
	if (cred->jit_keyring || cred->request_key_auth)
		kckpt_fail(ctx, obj, KCKPT_E_TASK_ATTRIBUTE, 0, "a keyring of its choice for new keys");
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

/* ---- restore ---- */

static int cred_rec(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct kckpt_cred_rec *rec, const u32 **groups)
{
	return kckpt_rec_only(ctx, obj, KCKPT_K_cred, rec, sizeof(*rec), &rec->nr_groups, sizeof(u32),
			      (const void **)groups);
}

static bool cred_ids_valid(const struct kckpt_cred_rec *rec, const u32 *groups)
{
	const u32 uids[] = { rec->uid, rec->suid, rec->euid, rec->fsuid };
	const u32 gids[] = { rec->gid, rec->sgid, rec->egid, rec->fsgid };
	struct user_namespace *ns = current_user_ns();
	u32 i;

	for (i = 0; i < ARRAY_SIZE(uids); i++)
		if (!uid_valid(make_kuid(ns, uids[i])) || !gid_valid(make_kgid(ns, gids[i])))
			return false;
	for (i = 0; i < rec->nr_groups; i++)
		if (!gid_valid(make_kgid(ns, groups[i])))
			return false;
	return rec->nr_groups <= NGROUPS_MAX;
}

/* All of the image's sets within those of the caller; and sane among themselves: as cap_capset() wants them. */
static bool cred_caps_allowed(const struct kckpt_cred_rec *rec, const struct cred *mine)
{
	u64 permitted = cap_to_u64(mine->cap_permitted), bounding = cap_to_u64(mine->cap_bset);
	u64 inheritable = cap_to_u64(mine->cap_inheritable);

	if (ns_capable(mine->user_ns, CAP_SETPCAP))
		inheritable |= bounding;
	else
		inheritable |= permitted & bounding;
	return !(rec->cap_permitted & ~permitted) && !(rec->cap_effective & ~rec->cap_permitted) &&
	       !(rec->cap_inheritable & ~inheritable) &&
	       !(rec->cap_bounding & ~bounding) && !(rec->cap_ambient & ~(rec->cap_permitted & rec->cap_inheritable));
}

static bool cred_same_groups(const struct kckpt_cred_rec *rec, const u32 *groups)
{
	const struct group_info *mine = current_cred()->group_info;
	u32 i;

	if (rec->nr_groups != mine->ngroups)
		return false;
	for (i = 0; i < rec->nr_groups; i++)
		if (!gid_eq(make_kgid(current_user_ns(), groups[i]), mine->gid[i]))
			return false;
	return true;
}

/* As cap_task_prctl() asks: what is locked stays as it is. */
static bool cred_securebits_allowed(const struct kckpt_cred_rec *rec, const struct cred *mine)
{
	u32 locks = mine->securebits & SECURE_ALL_LOCKS, changed = mine->securebits ^ rec->securebits;

	return !changed || (ns_capable(mine->user_ns, CAP_SETPCAP) && !(changed & (locks >> 1)) &&
			    !(locks & ~rec->securebits));
}

/* As setresuid(), setresgid() and setgroups() ask. */
static bool cred_ids_allowed(const struct kckpt_cred_rec *rec, const u32 *groups)
{
	struct user_namespace *ns = current_user_ns();
	struct kckpt_cred_rec mine = cred_describe(current_cred());
	bool same_uids = mine.uid == rec->uid && mine.suid == rec->suid && mine.euid == rec->euid &&
			 mine.fsuid == rec->fsuid;
	bool same_gids = mine.gid == rec->gid && mine.sgid == rec->sgid && mine.egid == rec->egid &&
			 mine.fsgid == rec->fsgid && cred_same_groups(rec, groups);

	return (same_uids || ns_capable(ns, CAP_SETUID)) && (same_gids || ns_capable(ns, CAP_SETGID));
}

static int cred_check(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_cred_rec rec;
	const u32 *groups;
	int err = cred_rec(ctx, obj, &rec, &groups);

	if (err)
		return err;
	if (!cred_ids_valid(&rec, groups) || rec.securebits & ~(SECURE_ALL_BITS | SECURE_ALL_LOCKS))
		return kckpt_bad_image(ctx, obj, "credentials");
	if (cred_has_landlock(current_cred()))
		kckpt_fail(ctx, obj, KCKPT_E_CALLER_CONFINED, 0, "a Landlock domain");
	if (!cred_caps_allowed(&rec, current_cred()))
		kckpt_fail(ctx, obj, KCKPT_E_TASK_CREDS, 0, "capabilities");
	if (!cred_ids_allowed(&rec, groups))
		kckpt_fail(ctx, obj, KCKPT_E_TASK_CREDS, 0, "CAP_SETUID or CAP_SETGID is missing");
	if (!cred_securebits_allowed(&rec, current_cred()))
		kckpt_fail(ctx, obj, KCKPT_E_TASK_CREDS, 0, "securebits, which are locked or need CAP_SETPCAP");
	return 0;
}

static struct group_info *cred_make_groups(const u32 *groups, u32 nr)
{
	struct group_info *info = groups_alloc(nr);
	u32 i;

	if (!info)
		return NULL;
	for (i = 0; i < nr; i++)
		info->gid[i] = make_kgid(current_user_ns(), groups[i]);
	groups_sort(info);
	return info;
}

static void cred_set_ids(struct cred *new, const struct kckpt_cred_rec *rec)
{
	struct user_namespace *ns = current_user_ns();

	new->uid = make_kuid(ns, rec->uid);
	new->suid = make_kuid(ns, rec->suid);
	new->euid = make_kuid(ns, rec->euid);
	new->fsuid = make_kuid(ns, rec->fsuid);
	new->gid = make_kgid(ns, rec->gid);
	new->sgid = make_kgid(ns, rec->sgid);
	new->egid = make_kgid(ns, rec->egid);
	new->fsgid = make_kgid(ns, rec->fsgid);
}

/* As set_user() in kernel/sys.c: the account that processes and signals are counted on. */
static int cred_set_account(struct cred *new)
{
	struct user_struct *user = kcall(alloc_uid)(new->uid);

	if (!user)
		return -EAGAIN;
	kcall(free_uid)(new->user);
	new->user = user;
	return kcall(set_cred_ucounts)(new);
}

static void cred_set_caps(struct cred *new, const struct kckpt_cred_rec *rec)
{
	memcpy(&new->cap_inheritable, &rec->cap_inheritable, sizeof(u64));
	memcpy(&new->cap_permitted, &rec->cap_permitted, sizeof(u64));
	memcpy(&new->cap_effective, &rec->cap_effective, sizeof(u64));
	memcpy(&new->cap_bset, &rec->cap_bounding, sizeof(u64));
	memcpy(&new->cap_ambient, &rec->cap_ambient, sizeof(u64));
	new->securebits = rec->securebits;
}

static int cred_fill(struct cred *new, const struct kckpt_cred_rec *rec, const u32 *groups)
{
	const struct cred *old = current_cred();
	struct group_info *info = kckpt_should_fail() ? NULL : cred_make_groups(groups, rec->nr_groups);
	int err;

	if (!info)
		return -ENOMEM;
	set_groups(new, info);
	put_group_info(info);
	cred_set_ids(new, rec);
	if (!uid_eq(new->uid, old->uid)) {
		err = cred_set_account(new);
		if (err)
			return err;
	}
	err = kcall(security_task_fix_setuid)(new, old, LSM_SETID_RES);
	/* After the hook, which drops capabilities as a change of ids does. */
	cred_set_caps(new, rec);
	return err;
}

static struct cred *cred_make(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_cred_rec rec;
	const u32 *groups;
	struct cred *new;
	int err = cred_rec(ctx, obj, &rec, &groups);

	if (err)
		return ERR_PTR(err);
	new = kckpt_should_fail() ? NULL : prepare_creds();
	if (!new)
		return ERR_PTR(kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, 0, "credentials"));
	err = cred_fill(new, &rec, groups);
	if (!err)
		return new;
	abort_creds(new);
	return ERR_PTR(kckpt_fail(ctx, obj, KCKPT_E_TASK_CREDS, err, ""));
}

/* Whoever comes first makes them: those who do so at once need not wait for each other, they make the same. */
struct cred *kckpt_cred_get(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct cred *made = READ_ONCE(obj->made), *new;

	if (!made) {
		new = cred_make(ctx, obj);
		if (IS_ERR(new))
			return new;
		made = cmpxchg(&obj->made, NULL, new);
		if (made)
			abort_creds(new);
		else
			made = new;
	}
	return (struct cred *)get_cred(made);
}

bool kckpt_cred_has_ids(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct cred *old = current_cred();
	struct user_namespace *ns = current_user_ns();
	struct kckpt_cred_rec rec;
	const u32 *groups;

	return obj && !cred_rec(ctx, obj, &rec, &groups) &&
	       uid_eq(old->uid, make_kuid(ns, rec.uid)) && uid_eq(old->suid, make_kuid(ns, rec.suid)) &&
	       uid_eq(old->euid, make_kuid(ns, rec.euid)) && uid_eq(old->fsuid, make_kuid(ns, rec.fsuid)) &&
	       gid_eq(old->gid, make_kgid(ns, rec.gid)) && gid_eq(old->sgid, make_kgid(ns, rec.sgid)) &&
	       gid_eq(old->egid, make_kgid(ns, rec.egid)) && gid_eq(old->fsgid, make_kgid(ns, rec.fsgid));
}

int kckpt_cred_restore(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct cred *new = kckpt_cred_get(ctx, obj);

	return IS_ERR(new) ? PTR_ERR(new) : commit_creds(new);
}

static void cred_release(struct kckpt_object *obj)
{
	if (obj->made)
		put_cred(obj->made);
	obj->made = NULL;
}

const struct kckpt_family_ops kckpt_cred_ops = {
	.name = "cred",
	.put = cred_put,
	.collect = cred_collect, .dump = cred_dump, .check = cred_check,
	.release = cred_release,
};
