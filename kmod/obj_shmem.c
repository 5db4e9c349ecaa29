// SPDX-License-Identifier: GPL-2.0
/*
 * Shared anonymous memory (MAP_SHARED | MAP_ANONYMOUS), a file of the kernel's own tmpfs that only mappings refer to,
 * and memfds, the same with a name and descriptors. Their pages are shared with whoever maps them, so they are read
 * while the job is frozen. Saved: contents, size, name, seals, owner and permissions.
 *
 * Refused: memory that somebody outside the job has, too; extended attributes, flags of chattr; memfds of huge pages
 * (nobody claims them).
 * Not saved: NUMA policy, huge page advice of the mount, times of access and change, room that was reserved and never
 * written (fallocate).
 */
#include <linux/delay.h>
#include <linux/file.h>
#include <linux/memcontrol.h>
#include <linux/mount.h>
#include <linux/sched/mm.h>
#include <linux/shmem_fs.h>

#include "compat/memfd.h"
#include "family.h"
#include "fault.h"
#include "ksym.h"
#include "obj_lease.h"
#include "obj_shmem.h"

#define MEMFD_PREFIX "memfd:"
#define MEMFD_PREFIX_LEN (sizeof(MEMFD_PREFIX) - 1)

static bool shmem_is_memfd(const struct file *file)
{
	return !strncmp(file->f_path.dentry->d_name.name, MEMFD_PREFIX, MEMFD_PREFIX_LEN);
}

static bool shmem_claims(struct file *file)
{
	return file->f_op == kdata(shmem_file_operations) && file->f_path.mnt->mnt_flags & MNT_INTERNAL &&
	       (shmem_is_memfd(file) || !strcmp(file->f_path.dentry->d_name.name, "dev/zero"));
}

static const void *shmem_key(struct file *file)
{
	return file_inode(file);
}

/*
 * The open file that the memory was made with does not count as a writer, as those do that are opened later: it does
 * not keep anybody from executing a memfd.
 */
static u32 shmem_file_flags(struct file *file)
{
	return (file->f_mode & (FMODE_WRITE | FMODE_WRITER)) == FMODE_WRITE ? KCKPT_FILE_FIRST : 0;
}

/* ---- mappings under a seal ---- */

/* Who may write now may go on, who comes later may not. F_SEAL_WRITE is that for all and can be set first. */
static bool seals_are_late(u32 seals)
{
	return seals & F_SEAL_FUTURE_WRITE && !(seals & F_SEAL_WRITE);
}

u32 kckpt_shmem_vma_flags(const struct vm_area_struct *vma)
{
	return vma->vm_flags & VM_SHARED && !(vma->vm_flags & VM_MAYWRITE) && shmem_claims(vma->vm_file) &&
	       seals_are_late(SHMEM_I(file_inode(vma->vm_file))->seals) ? KCKPT_VMA_SEALED : 0;
}

void kckpt_shmem_seal_begin(struct file *file)
{
	if (shmem_claims(file))
		SHMEM_I(file_inode(file))->seals |= F_SEAL_FUTURE_WRITE;
}

void kckpt_shmem_seal_end(struct file *file)
{
	if (shmem_claims(file) && seals_are_late(SHMEM_I(file_inode(file))->seals))
		SHMEM_I(file_inode(file))->seals &= ~F_SEAL_FUTURE_WRITE;
}

/* ---- dump ---- */

/* Each open file on it is one of ours; that ours are held by us alone is seen to in obj_file.c. */
static bool shmem_counts_agree(const struct kckpt_object *obj)
{
	return d_count(obj->file->f_path.dentry) <= obj->seen;
}

static int shmem_collect(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct file *file = obj->file;

	if (i_size_read(file_inode(file)) > TASK_SIZE_MAX)
		kckpt_fail(ctx, obj, KCKPT_E_FILE_STATE, 0, "memory of %lld bytes", i_size_read(file_inode(file)));
	if (vfs_listxattr(file->f_path.dentry, NULL, 0) > 0)
		kckpt_fail(ctx, obj, KCKPT_E_FILE_STATE, 0, "an extended attribute on %pD2", file);
	if (SHMEM_I(file_inode(file))->fsflags)
		kckpt_fail(ctx, obj, KCKPT_E_FILE_STATE, 0, "flags of chattr on %pD2", file);
	return 0;
}

/* A reader of /proc may hold it for a moment: look again. */
static int shmem_closed(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	int i;

	if (kckpt_lease_hinders(ctx, obj, obj->ptr))
		return 0;
	for (i = 0; i < 3; i++) {
		if (shmem_counts_agree(obj))
			return 0;
		msleep(1);
	}
	kckpt_fail(ctx, obj, KCKPT_E_TASK_SHARES, 0, "%pD2 of %lld bytes", obj->file, i_size_read(obj->ptr));
	return 0;
}

/* An open file of our own, whose offset is not the job's. */
static int shmem_open_reader(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct file *file;

	file = kckpt_should_fail() ? ERR_PTR(-ENFILE) :
				     dentry_open(&obj->file->f_path, O_RDONLY | O_LARGEFILE, current_cred());
	if (IS_ERR(file))
		return kckpt_fail(ctx, obj, KCKPT_E_PAGE_READ, PTR_ERR(file), "%pD2", obj->file);
	obj->made = file;
	return 0;
}

static int shmem_dump(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const char *name = obj->file->f_path.dentry->d_name.name + MEMFD_PREFIX_LEN;
	struct inode *inode = file_inode(obj->file);
	struct user_namespace *ns = ctx->cred->user_ns;
	struct kckpt_shmem_rec rec = {
		.size = i_size_read(inode),
		.shmem_flags = kckpt_shmem_noreserve(inode) ? KCKPT_SHMEM_NORESERVE : 0,
		.seals = SHMEM_I(inode)->seals,
		.mode = inode->i_mode & S_IALLUGO,
		.uid = from_kuid_munged(ns, inode->i_uid),
		.gid = from_kgid_munged(ns, inode->i_gid),
	};

	if (shmem_is_memfd(obj->file)) {
		rec.shmem_flags |= KCKPT_SHMEM_MEMFD;
		rec.name_len = strlen(name);
	}
	ctx->nr_pages += inode->i_mapping->nrpages;
	return shmem_open_reader(ctx, obj) ?:
	       kckpt_put(ctx, obj, KCKPT_K_shmem, &rec, sizeof(rec), name, rec.name_len);
}

/* In memory or swapped out; none is made in a hole. */
static struct page *shmem_page(struct kckpt_ctx *ctx, struct kckpt_object *obj, loff_t at)
{
	struct address_space *mapping = obj->file->f_mapping;
	struct page *page = kckpt_should_fail() ? ERR_PTR(-ENOMEM) :
						  shmem_read_mapping_page_gfp(mapping, at >> PAGE_SHIFT,
									      mapping_gfp_mask(mapping));

	if (IS_ERR(page))
		kckpt_fail(ctx, obj, KCKPT_E_PAGE_READ, PTR_ERR(page), "shared memory at %lld", at);
	return page;
}

static int shmem_pages_find(struct kckpt_ctx *ctx, struct kckpt_object *obj, unsigned long *addr,
			    struct kckpt_batch *batch)
{
	return kckpt_batch_find_data(ctx, obj, obj->made, addr, batch, shmem_page);
}

/* ---- restore ---- */

/* value: above what obj_file.c notes there, the seals to be set when all is mapped. */
#define SHMEM_LATE_SHIFT 32

static void shmem_release(struct kckpt_object *obj)
{
	struct file *file = obj->made;

	if (file) {
		SHMEM_I(file_inode(file))->seals |= obj->value >> SHMEM_LATE_SHIFT;
		fput(file);
	}
	if (obj->made2)
		mem_cgroup_put(obj->made2);
}

static int shmem_rec(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct kckpt_shmem_rec *rec, const char **name)
{
	const void *tail;
	int err = kckpt_rec_only(ctx, obj, KCKPT_K_shmem, rec, sizeof(*rec), &rec->name_len, 1, &tail);

	*name = tail;
	return err;
}

static bool shmem_sane(const struct kckpt_shmem_rec *rec, const char *name)
{
	bool memfd = rec->shmem_flags & KCKPT_SHMEM_MEMFD;

	return (rec->size || memfd) && rec->size <= TASK_SIZE_MAX &&
	       !(rec->shmem_flags & ~(KCKPT_SHMEM_NORESERVE | KCKPT_SHMEM_MEMFD)) && !(rec->mode & ~S_IALLUGO) &&
	       (memfd || (!rec->name_len && rec->seals == F_SEAL_SEAL)) &&
	       rec->name_len <= NAME_MAX - MEMFD_PREFIX_LEN && !memchr(name, 0, rec->name_len) &&
	       uid_valid(make_kuid(current_user_ns(), rec->uid)) && gid_valid(make_kgid(current_user_ns(), rec->gid));
}

static int shmem_check(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_shmem_rec rec;
	const char *name;
	int err = shmem_rec(ctx, obj, &rec, &name);

	if (err)
		return err;
	if (!shmem_sane(&rec, name))
		return kckpt_bad_image(ctx, obj, "shared memory of %llu bytes", rec.size);
	if (rec.seals & ~KCKPT_SEALS_KNOWN)
		kckpt_fail(ctx, obj, KCKPT_E_CREATE, -EOPNOTSUPP, "seals 0x%x", rec.seals & ~KCKPT_SEALS_KNOWN);
	return 0;
}

static struct file *shmem_setup(const struct kckpt_shmem_rec *rec, const char *name)
{
	char text[NAME_MAX + 1] = "dev/zero";
	struct file *file;

	if (rec->shmem_flags & KCKPT_SHMEM_MEMFD)
		snprintf(text, sizeof(text), MEMFD_PREFIX "%.*s", rec->name_len, name);
	file = kckpt_should_fail() ? ERR_PTR(-ENOMEM) :
	       kckpt_shmem_setup(text, rec->size, rec->shmem_flags & KCKPT_SHMEM_NORESERVE);
	/* As memfd_create() does; nobody seeks in the other kind. */
	if (!IS_ERR(file))
		file->f_mode |= FMODE_LSEEK | FMODE_PREAD | FMODE_PWRITE;
	return file;
}

/* Nobody else has the file yet. */
static int shmem_set_attributes(struct kckpt_object *obj, const struct kckpt_shmem_rec *rec)
{
	struct file *file = obj->made;
	struct inode *inode = file_inode(file);
	u32 late = seals_are_late(rec->seals) ? F_SEAL_FUTURE_WRITE : 0;

	inode->i_mode = S_IFREG | rec->mode;
	inode->i_uid = make_kuid(current_user_ns(), rec->uid);
	inode->i_gid = make_kgid(current_user_ns(), rec->gid);
	obj->value |= (u64)late << SHMEM_LATE_SHIFT;
	if (rec->seals == F_SEAL_SEAL)
		return 0;
	SHMEM_I(inode)->seals &= ~F_SEAL_SEAL;
	return kckpt_should_fail() ? -EBUSY : kcall(memfd_fcntl)(file, F_ADD_SEALS, rec->seals & ~late);
}

static int shmem_restore(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_shmem_rec rec;
	struct file *file;
	const char *name;
	int err = shmem_rec(ctx, obj, &rec, &name);

	if (err)
		return err;
	file = shmem_setup(&rec, name);
	if (IS_ERR(file))
		return kckpt_fail(ctx, obj, KCKPT_E_CREATE, PTR_ERR(file), "shared memory of %llu bytes", rec.size);
	obj->made = file;
	/* Who is charged for the pages: the cgroup of the task that makes it. */
	obj->made2 = get_mem_cgroup_from_mm(current->mm);
	err = shmem_set_attributes(obj, &rec);
	return err ? kckpt_fail(ctx, obj, KCKPT_E_CREATE, err, "seals 0x%x", rec.seals) : 0;
}

static struct file *shmem_open(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_file_rec *rec)
{
	int err = kckpt_make(ctx, obj);
	struct file *file;

	if (err)
		return ERR_PTR(err);
	if (rec->file_flags & KCKPT_FILE_FIRST)
		return get_file(obj->made);
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
	.name = "shmem", .outside = KCKPT_E_TASK_SHARES,
	.claims = shmem_claims, .key = shmem_key, .file_flags = shmem_file_flags,
	.collect = shmem_collect, .closed = shmem_closed, .dump = shmem_dump,
	.check = shmem_check, .restore = shmem_restore, .open = shmem_open,
	.release = shmem_release,
	.pages_find = shmem_pages_find, .pages_pin = shmem_pages_pin,
};
