// SPDX-License-Identifier: GPL-2.0
/* See objtab.h. */
#include "family.h"
#include "fault.h"
#include "objtab.h"

struct objtab_key {
	const void *ptr;
	u32 family;
};

static u32 objtab_hash(const void *data, u32 len, u32 seed)
{
	const struct objtab_key *key = data;

	return hash_ptr(key->ptr, 32) ^ (key->family * 0x9e3779b1u) ^ seed;
}

static u32 objtab_obj_hash(const void *data, u32 len, u32 seed)
{
	const struct kckpt_object *obj = data;
	struct objtab_key key = { .ptr = obj->ptr, .family = obj->family };

	return objtab_hash(&key, len, seed);
}

static int objtab_cmp(struct rhashtable_compare_arg *arg, const void *data)
{
	const struct objtab_key *key = arg->key;
	const struct kckpt_object *obj = data;

	return key->ptr != obj->ptr || key->family != obj->family;
}

static const struct rhashtable_params objtab_params = {
	.head_offset = offsetof(struct kckpt_object, hash),
	.key_len = sizeof(struct objtab_key),
	.hashfn = objtab_hash,
	.obj_hashfn = objtab_obj_hash,
	.obj_cmpfn = objtab_cmp,
	.automatic_shrinking = true,
};

int kckpt_objtab_init(struct kckpt_objtab *tab)
{
	int err;

	xa_init_flags(&tab->by_id, XA_FLAGS_ACCOUNT);
	INIT_LIST_HEAD(&tab->list);
	mutex_init(&tab->make_lock);
	tab->nr = 0;
	tab->bytes = 0;
	err = kckpt_should_fail() ? -ENOMEM : rhashtable_init(&tab->by_ptr, &objtab_params);
	tab->ready = !err;
	tab->held = KCKPT_HELD_ALL;
	return err;
}

/* What is held of it. */
static void object_drop(struct kckpt_object *obj)
{
	const struct kckpt_family_ops *ops = kckpt_family(obj->family);

	if (obj->ptr && ops->put)
		ops->put((void *)obj->ptr);
	if (ops->release)
		ops->release(obj);
	obj->ptr = NULL;
	obj->file = NULL;
	obj->made = obj->made2 = NULL;
}

void kckpt_objtab_release_made(struct kckpt_objtab *tab)
{
	const struct kckpt_family_ops *ops;
	struct kckpt_object *obj;

	list_for_each_entry_reverse(obj, &tab->list, node) {
		ops = kckpt_family(obj->family);
		/* Who they are is known until the end. */
		if (obj->family == KCKPT_F_process)
			continue;
		if (ops->release)
			ops->release(obj);
		obj->made = obj->made2 = NULL;
		cond_resched();
	}
}

/* Up to @held; what was dropped before has nothing more to drop. */
static void objtab_drop(struct kckpt_objtab *tab, enum kckpt_objtab_held held)
{
	struct kckpt_object *obj;

	/* First of all: it may just be growing, in a worker of its own that walks all objects. This waits for that. */
	if (tab->held == KCKPT_HELD_ALL)
		rhashtable_destroy(&tab->by_ptr);
	tab->held = held;
	/* Last in, first out: what was met later may hang on what was met before. */
	list_for_each_entry_reverse(obj, &tab->list, node) {
		if (held == KCKPT_HELD_NONE || obj->family != KCKPT_F_process)
			object_drop(obj);
		cond_resched();
	}
}

void kckpt_objtab_let_go(struct kckpt_objtab *tab, enum kckpt_objtab_held held)
{
	if (tab->ready && tab->held > held && tab->nr)
		objtab_drop(tab, held);
}

void kckpt_objtab_free(struct kckpt_objtab *tab)
{
	struct kckpt_object *obj, *next;

	if (!tab->ready)
		return;
	tab->ready = false;
	if (tab->held > KCKPT_HELD_NONE)
		objtab_drop(tab, KCKPT_HELD_NONE);
	list_for_each_entry_safe(obj, next, &tab->list, node) {
		kckpt_blocks_free(&obj->unchanged);
		kfree(obj);
		cond_resched();
	}
	xa_destroy(&tab->by_id);
}

struct kckpt_object *kckpt_objtab_find(struct kckpt_objtab *tab, u32 family, const void *ptr)
{
	struct objtab_key key = { .ptr = ptr, .family = family };

	return rhashtable_lookup_fast(&tab->by_ptr, &key, objtab_params);
}

struct kckpt_object *kckpt_objtab_add(struct kckpt_objtab *tab, u32 family, const void *ptr)
{
	struct kckpt_object *obj;
	int err;

	if (kckpt_should_fail())
		return ERR_PTR(-ENOMEM);
	obj = kzalloc(sizeof(*obj), GFP_KERNEL_ACCOUNT);
	if (!obj)
		return ERR_PTR(-ENOMEM);
	obj->id = tab->nr + 1;
	obj->family = family;
	obj->ptr = ptr;
	obj->where = KCKPT_NOWHERE;
	INIT_LIST_HEAD(&obj->records);

	err = xa_err(xa_store(&tab->by_id, obj->id, obj, GFP_KERNEL_ACCOUNT));
	if (err)
		goto free_obj;
	if (ptr) {
		err = rhashtable_insert_fast(&tab->by_ptr, &obj->hash, objtab_params);
		if (err)
			goto erase_id;
	}
	list_add_tail(&obj->node, &tab->list);
	tab->nr++;
	return obj;

erase_id:
	xa_erase(&tab->by_id, obj->id);
free_obj:
	kfree(obj);
	return ERR_PTR(err);
}
