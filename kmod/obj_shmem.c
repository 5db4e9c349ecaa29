// SPDX-License-Identifier: GPL-2.0
/*
 * Shared anonymous memory (MAP_SHARED | MAP_ANONYMOUS): a file of the kernel's own tmpfs that only mappings refer to.
 * Its pages are shared with whoever maps them, so they are read while the job is frozen.
 *
 * Refused: memory that somebody outside the job maps, too.
 * Not saved: NUMA policy, huge page advice of the mount.
 */
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/memcontrol.h>
#include <linux/mount.h>
#include <linux/sched/mm.h>
#include <linux/shmem_fs.h>

#include "family.h"
#include "fault.h"
#include "ksym.h"

static bool shmem_claims(struct file *file)
{
	return file->f_op == kdata(shmem_file_operations) && file->f_path.mnt->mnt_flags & MNT_INTERNAL &&
	       !strcmp(file->f_path.dentry->d_name.name, "dev/zero");
}

static const void *shmem_key(struct file *file)
{
	return file_inode(file);
}

/* ---- dump ---- */

/* Some open file of the job on it; the file objects hold it, and it the inode, as long as the session lives. */
static struct file *shmem_of(const struct kckpt_object *obj)
{
	return (struct file *)(unsigned long)obj->value;
}

static int shmem_collect(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct kckpt_object *other;

	kckpt_for_each_object(&ctx->objs, other)
		if (other->family == KCKPT_F_file && file_inode(other->ptr) == obj->ptr)
			obj->value = (unsigned long)other->ptr;
	return 0;
}

/* Each open file is held by our areas and descriptors alone, and we know all open files. */
static bool shmem_counts_agree(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct kckpt_object *other;
	unsigned int files = 0;

	kckpt_for_each_object(&ctx->objs, other) {
		if (other->family != KCKPT_F_file || file_inode(other->ptr) != obj->ptr)
			continue;
		if (file_count((struct file *)other->ptr) > other->seen + 1)
			return false;
		files++;
	}
	return d_count(shmem_of(obj)->f_path.dentry) <= files;
}

/* A reader of /proc may hold it for a moment: look again. */
static int shmem_closed(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	int i;

	for (i = 0; i < 3; i++) {
		if (shmem_counts_agree(ctx, obj))
			return 0;
		msleep(1);
	}
	kckpt_fail(ctx, obj, KCKPT_E_TASK_SHARES, 0, "shared anonymous memory of %lld bytes",
		   i_size_read(obj->ptr));
	return 0;
}

static int shmem_dump(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct inode *inode = file_inode(shmem_of(obj));
	struct kckpt_shmem_rec rec = {
		.size = i_size_read(inode),
		.shmem_flags = SHMEM_I(inode)->flags & VM_NORESERVE ? KCKPT_SHMEM_NORESERVE : 0,
	};

	ctx->nr_pages += inode->i_mapping->nrpages;
	return kckpt_put(ctx, obj, KCKPT_K_shmem, &rec, sizeof(rec), NULL, 0);
}

/* Pages that are in memory or swapped out, without making new ones in the holes. */
static int shmem_find_in(struct kckpt_ctx *ctx, struct kckpt_object *obj, loff_t from, loff_t to, unsigned long *addr,
			 struct kckpt_batch *batch)
{
	struct address_space *mapping = shmem_of(obj)->f_mapping;
	struct page *page;
	loff_t at;

	for (at = from; at < to && batch->nr_data < KCKPT_MAX_BATCH; at += PAGE_SIZE) {
		page = kckpt_should_fail() ? ERR_PTR(-ENOMEM) :
					     shmem_read_mapping_page_gfp(mapping, at >> PAGE_SHIFT,
									 mapping_gfp_mask(mapping));
		if (IS_ERR(page)) {
			*addr = at;
			return kckpt_fail(ctx, obj, KCKPT_E_PAGE_READ, PTR_ERR(page), "shared memory at %lld", at);
		}
		kckpt_batch_add(batch, at, page, false);
	}
	*addr = at;
	return 0;
}

static int shmem_pages_find(struct kckpt_ctx *ctx, struct kckpt_object *obj, unsigned long *addr,
			    struct kckpt_batch *batch)
{
	struct file *file = shmem_of(obj);
	loff_t from, to;
	int err = 0;

	kckpt_batch_reset(batch);
	while (!err && batch->nr_data < KCKPT_MAX_BATCH) {
		from = vfs_llseek(file, *addr, SEEK_DATA);
		if (from == -ENXIO)
			break;	/* nothing behind */
		if (from < 0)
			return kckpt_fail(ctx, obj, KCKPT_E_PAGE_READ, from, "shared memory at %lu", *addr);
		to = vfs_llseek(file, from, SEEK_HOLE);
		err = to < 0 ? kckpt_fail(ctx, obj, KCKPT_E_PAGE_READ, to, "shared memory at %lld", from) :
			       shmem_find_in(ctx, obj, round_down(from, PAGE_SIZE), to, addr, batch);
		if (!err && fatal_signal_pending(current))
			err = kckpt_fail(ctx, obj, KCKPT_E_INTERRUPTED, 0, "pages");
		if (err)
			kckpt_batch_put(batch);
		kckpt_progress(ctx);
		cond_resched();
	}
	return err ?: batch->nr_runs > 0;
}

/* ---- restore ---- */

static void shmem_release(struct kckpt_object *obj)
{
	if (obj->made)
		fput(obj->made);
	if (obj->made2)
		mem_cgroup_put(obj->made2);
}

static int shmem_rec(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct kckpt_shmem_rec *rec)
{
	return kckpt_rec_only(ctx, obj, KCKPT_K_shmem, rec, sizeof(*rec), NULL, 0, NULL);
}

static int shmem_check(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_shmem_rec rec;
	int err = shmem_rec(ctx, obj, &rec);

	if (err)
		return err;
	if (!rec.size || rec.size > TASK_SIZE_MAX || rec.reserved || rec.shmem_flags & ~KCKPT_SHMEM_NORESERVE)
		return kckpt_bad_image(ctx, obj, "shared memory of %llu bytes", rec.size);
	return 0;
}

static int shmem_restore(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_shmem_rec rec;
	struct file *file;
	int err = shmem_rec(ctx, obj, &rec);

	if (err)
		return err;
	file = kckpt_should_fail() ? ERR_PTR(-ENOMEM) :
				     shmem_file_setup("dev/zero", rec.size, rec.shmem_flags ? VM_NORESERVE : 0);
	if (IS_ERR(file))
		return kckpt_fail(ctx, obj, KCKPT_E_CREATE, PTR_ERR(file), "shared memory of %llu bytes", rec.size);
	obj->made = file;
	/* Who is charged for the pages: the cgroup of the task that makes it. */
	obj->made2 = get_mem_cgroup_from_mm(current->mm);
	return 0;
}

static struct file *shmem_open(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_file_rec *rec)
{
	int err = kckpt_make(ctx, obj);
	struct file *file;

	if (err)
		return ERR_PTR(err);
	file = kckpt_should_fail() ? ERR_PTR(-ENFILE) :
				     dentry_open(&((struct file *)obj->made)->f_path, rec->open_flags, current_cred());
	if (IS_ERR(file))
		kckpt_fail(ctx, obj, KCKPT_E_CREATE, PTR_ERR(file), "shared memory");
	return file;
}

static int shmem_pages_pin(struct kckpt_ctx *ctx, struct kckpt_object *obj, unsigned long addr, u32 nr, bool huge,
			   struct page **pages)
{
	struct file *file = obj->made;
	struct mem_cgroup *before;
	struct page *page;

	if (addr >= i_size_read(file_inode(file)))
		return kckpt_bad_image(ctx, obj, "page at %lu of shared memory", addr);
	before = set_active_memcg(obj->made2);
	page = kckpt_should_fail() ? ERR_PTR(-ENOMEM) :
				     shmem_read_mapping_page_gfp(file->f_mapping, addr >> PAGE_SHIFT,
								 mapping_gfp_mask(file->f_mapping));
	set_active_memcg(before);
	if (IS_ERR(page))
		return kckpt_fail(ctx, obj, KCKPT_E_PAGE_WRITE, PTR_ERR(page), "shared memory at %lu", addr);
	pages[0] = page;
	return 1;
}

const struct kckpt_family_ops kckpt_shmem_ops = {
	.name = "shmem",
	.claims = shmem_claims, .key = shmem_key,
	.collect = shmem_collect, .closed = shmem_closed, .dump = shmem_dump,
	.check = shmem_check, .restore = shmem_restore, .open = shmem_open,
	.release = shmem_release,
	.pages_find = shmem_pages_find, .pages_pin = shmem_pages_pin,
};
