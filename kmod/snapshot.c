// SPDX-License-Identifier: GPL-2.0
/*
 * See snapshot.h.
 *
 * Locks: kept_lock is innermost but for the spinlocks of the report; nothing is freed under it.
 */
#include <linux/cgroup.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/sched/mm.h>
#include <linux/workqueue.h>

#include "family.h"
#include "fault.h"
#include "shadow.h"
#include "snapshot.h"
#include "stream.h"
#include "watch.h"

#define LOOK_AGAIN	(HZ / 4)	/* at what is kept */

static void kept_look(struct work_struct *work);
static void replaced_free(struct work_struct *work);

static LIST_HEAD(kept);
static LIST_HEAD(replaced);	/* freed by a worker: who calls RETAIN need not wait for that */
static DEFINE_MUTEX(kept_lock);
static DECLARE_DELAYED_WORK(kept_work, kept_look);
static DECLARE_WORK(replaced_work, replaced_free);

/* ---- one snapshot ---- */

static void snapshot_close(struct kckpt_snapshot *snapshot);
static void snapshot_replaced(struct kckpt_snapshot *snapshot);

static void snapshot_mm_free(struct kckpt_snapshot_mm *mm)
{
	u32 i;

	kckpt_watch_trim(mm);
	for (i = 0; i < mm->nr_layers; i++)
		mmput(mm->layers[i]);
	kckpt_watch_end(mm);
	kckpt_blocks_free(&mm->carried);
	mmdrop(mm->of);
}

static bool snapshot_needs_worker(const struct kckpt_snapshot *snapshot)
{
	u32 i;

	for (i = 0; i < snapshot->nr; i++)
		if (snapshot->mms[i].trimmed.nr)
			return true;
	return false;
}

static void snapshot_free(struct kref *ref)
{
	struct kckpt_snapshot *snapshot = container_of(ref, struct kckpt_snapshot, ref);
	u32 i;

	if (!(current->flags & PF_KTHREAD) && snapshot_needs_worker(snapshot)) {
		kref_init(ref);
		snapshot_replaced(snapshot);
		return;
	}
	for (i = 0; i < snapshot->nr; i++) {
		snapshot_mm_free(&snapshot->mms[i]);
		cond_resched();
	}
	snapshot_close(snapshot->base);
	kvfree(snapshot);
}

void kckpt_snapshot_put(struct kckpt_snapshot *snapshot)
{
	if (snapshot)
		kref_put(&snapshot->ref, snapshot_free);
}

static u32 nr_kept_mms(struct kckpt_ctx *ctx)
{
	struct kckpt_object *obj;
	u32 nr = 0;

	kckpt_for_each_object(&ctx->objs, obj)
		nr += obj->shadow && obj->shadow->mm;
	return nr;
}

struct kckpt_snapshot *kckpt_snapshot_make(struct kckpt_ctx *ctx)
{
	struct kckpt_snapshot *snapshot = kckpt_alloc(struct_size(snapshot, mms, nr_kept_mms(ctx)));
	struct kckpt_object *obj;

	if (!snapshot)
		return NULL;
	kref_init(&snapshot->ref);
	INIT_LIST_HEAD(&snapshot->node);
	snapshot->cgroup = ctx->cgroup_id;
	memcpy(snapshot->image, ctx->image, sizeof(snapshot->image));
	snapshot->digest = ctx->image_digest;
	kckpt_for_each_object(&ctx->objs, obj) {
		if (!obj->shadow || !obj->shadow->mm)
			continue;
		snapshot->mms[snapshot->nr++] = (struct kckpt_snapshot_mm){
			.of = obj->shadow->of, .object = obj->id, .layers = { obj->shadow->mm }, .nr_layers = 1,
			.carried = obj->unchanged,
		};
		obj->shadow->of = obj->shadow->mm = NULL;
		obj->unchanged = (struct kckpt_block_list){};
	}
	snapshot->base = ctx->parent;
	ctx->parent = NULL;
	return snapshot;
}

static struct kckpt_snapshot_mm *snapshot_find(struct kckpt_snapshot *snapshot, const void *mm)
{
	u32 i;

	for (i = 0; snapshot && i < snapshot->nr; i++)
		if (snapshot->mms[i].of == mm)
			return &snapshot->mms[i];
	return NULL;
}

/* From now on nothing of it needs its base, of which it has parts: that stays open, so nobody else can build on it. */
static void snapshot_stand_alone(struct kckpt_snapshot *snapshot)
{
	struct kckpt_snapshot_mm *mm;
	u32 i;

	for (i = 0; i < snapshot->nr; i++) {
		mm = &snapshot->mms[i];
		kckpt_watch_follow(mm, &mm->carried, snapshot_find(snapshot->base, mm->of));
		cond_resched();
	}
	kckpt_snapshot_put(snapshot->base);
	snapshot->base = NULL;
}

/* ---- those that the module has ---- */

/* The one of @cgroup with the image @image, with a reference, opened. */
static struct kckpt_snapshot *kept_open(u64 cgroup, const u8 *image, bool *busy)
{
	struct kckpt_snapshot *snapshot, *found = NULL;

	mutex_lock(&kept_lock);
	list_for_each_entry(snapshot, &kept, node)
		if (snapshot->cgroup == cgroup && !memcmp(snapshot->image, image, sizeof(snapshot->image)))
			found = snapshot;
	*busy = found && found->open;
	if (*busy)
		found = NULL;
	if (found) {
		found->open = true;
		kref_get(&found->ref);
	}
	mutex_unlock(&kept_lock);
	return found;
}

static void snapshot_close(struct kckpt_snapshot *snapshot)
{
	if (!snapshot)
		return;
	mutex_lock(&kept_lock);
	snapshot->open = false;
	mutex_unlock(&kept_lock);
	kckpt_snapshot_put(snapshot);
}

/* Those that @is_to_go says, under the lock. */
static void kept_take(struct list_head *gone, bool (*is_to_go)(const struct kckpt_snapshot *snapshot, u64 arg),
		      u64 arg)
{
	struct kckpt_snapshot *snapshot, *next;

	list_for_each_entry_safe(snapshot, next, &kept, node)
		if (is_to_go(snapshot, arg))
			list_move(&snapshot->node, gone);
}

static u32 kept_free(struct list_head *gone)
{
	struct kckpt_snapshot *snapshot, *next;
	u32 nr = 0;

	list_for_each_entry_safe(snapshot, next, gone, node) {
		list_del_init(&snapshot->node);
		kckpt_snapshot_put(snapshot);
		nr++;
	}
	return nr;
}

static bool is_of_cgroup(const struct kckpt_snapshot *snapshot, u64 cgroup)
{
	return !cgroup || snapshot->cgroup == cgroup;
}

/* Nobody is left to be dumped, or whoever is left needs the memory. */
static bool is_useless(const struct kckpt_snapshot *snapshot, u64 unused)
{
	bool used = false;
	u32 i;

	for (i = 0; i < snapshot->nr; i++) {
		if (!atomic_read(&snapshot->mms[i].of->mm_users))
			continue;
		used = true;
		if (!kckpt_shadow_may_stay(snapshot->mms[i].of))
			return true;
	}
	return !used;
}

static void kept_look(struct work_struct *work)
{
	LIST_HEAD(gone);

	/* What is about to go is not to be the reason to drop what has taken its place. */
	flush_work(&replaced_work);
	mutex_lock(&kept_lock);
	kept_take(&gone, is_useless, 0);
	if (!list_empty(&kept))
		queue_delayed_work(kckpt_workers, &kept_work, LOOK_AGAIN);
	mutex_unlock(&kept_lock);
	kept_free(&gone);
}

/* A worker frees it, soon. */
static void snapshot_replaced(struct kckpt_snapshot *snapshot)
{
	mutex_lock(&kept_lock);
	list_add(&snapshot->node, &replaced);
	queue_work(kckpt_workers, &replaced_work);
	mutex_unlock(&kept_lock);
}

static void replaced_free(struct work_struct *work)
{
	LIST_HEAD(gone);

	mutex_lock(&kept_lock);
	list_splice_init(&replaced, &gone);
	mutex_unlock(&kept_lock);
	kept_free(&gone);
}

void kckpt_snapshot_retain(struct kckpt_snapshot *snapshot)
{
	snapshot_stand_alone(snapshot);
	mutex_lock(&kept_lock);
	kept_take(&replaced, is_of_cgroup, snapshot->cgroup);
	list_add(&snapshot->node, &kept);
	queue_work(kckpt_workers, &replaced_work);
	queue_delayed_work(kckpt_workers, &kept_work, LOOK_AGAIN);
	mutex_unlock(&kept_lock);
}

void kckpt_snapshot_settle(void)
{
	flush_work(&replaced_work);
}

u32 kckpt_snapshot_forget(u64 cgroup)
{
	LIST_HEAD(gone);

	mutex_lock(&kept_lock);
	kept_take(&gone, is_of_cgroup, cgroup);
	mutex_unlock(&kept_lock);
	kckpt_snapshot_settle();
	return kept_free(&gone);
}

void kckpt_snapshots_exit(void)
{
	cancel_delayed_work_sync(&kept_work);
	kckpt_snapshot_forget(0);
}

/* ---- dump ---- */

int kckpt_snapshot_open(struct kckpt_ctx *ctx, const u8 *parent)
{
	bool busy;

	ctx->parent = kept_open(ctx->cgroup_id, parent, &busy);
	if (ctx->parent)
		return 0;
	return kckpt_fail(ctx, NULL, busy ? KCKPT_E_PARENT_BUSY : KCKPT_E_PARENT_NOT_KEPT, 0, "image %pUb", parent);
}

void kckpt_snapshot_close(struct kckpt_ctx *ctx)
{
	snapshot_close(ctx->parent);
	ctx->parent = NULL;
}

int kckpt_snapshot_match(struct kckpt_ctx *ctx)
{
	struct kckpt_object *obj;
	int err = 0;

	if (!ctx->parent)
		return 0;
	kckpt_for_each_object(&ctx->objs, obj) {
		if (obj->family != KCKPT_F_mm)
			continue;
		obj->parent = snapshot_find(ctx->parent, obj->ptr);
		err = kckpt_watch_find(ctx, obj);
		if (err)
			break;
	}
	return err;
}
