// SPDX-License-Identifier: GPL-2.0
/*
 * Regular files, directories, symbolic links and named pipes that were deleted while in use. There is nothing to find
 * them again by, so their contents travel in the image, like memory; in a restore they are made without a name. The
 * object is the inode, however many files were opened on it, under whatever names: all refer to one file again. What is
 * in a pipe is no content of the file: obj_pipe.c saves that.
 *
 * Contents are read and written by the file system's own means, not behind its back. They cost space in the image and
 * time while the job stands still, so all of this is only done when asked for (KCKPT_CAPTURE_FILES).
 *
 * One that was deleted under one name and has another is found again by that, as an object of the family `path`, and
 * nothing of it is in the image: it seems to have been deleted under the first name again.
 *
 * Refused: files whose other name the kernel does not know at the moment (a copy would part from it); files that can
 * still be written and are also used outside the job (likewise); sockets and devices; extended attributes and ACLs.
 * Not saved: times of access, change and birth, flags of chattr, blocks without data (preallocated, or zeros: they
 * become holes), the second name of one that was opened under two. The name that /proc shows is another one where the
 * file system does not let it be made and another file has it now; so is the folder, if that is gone.
 */
#include <linux/blk_types.h>
#include <linux/bvec.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/memcontrol.h>
#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/sched/mm.h>
#include <linux/stat.h>
#include <linux/uio.h>
#include <linux/xattr.h>

#include "compat/file.h"
#include "compat/namei.h"
#include "family.h"
#include "fault.h"
#include "holders.h"
#include "ksym.h"
#include "load.h"
#include "nameless.h"
#include "obj_lease.h"
#include "obj_path.h"

#define GHOST_MAX_NAMES 16	/* names of a file that are looked at */

/* What we hold of one, in both directions; obj->made. */
struct ghost {
	struct path path;		/* to open it by */
	struct file *file;		/* to read or write its contents; only regular files have some */
	struct file *other;		/* dump: found by this name, O_PATH; NULL: it has none */
	struct mem_cgroup *memcg;	/* restore: who is charged for them */
	bool linked;			/* restore: it was there, with the rights that it has */
};

static bool ghost_claims(struct file *file)
{
	return kckpt_path_is_ordinary(file) && kckpt_path_is_deleted(kckpt_file_path(file));
}

static const void *ghost_key(struct file *file)
{
	return d_inode(kckpt_file_path(file)->dentry);
}

static void ghost_release(struct kckpt_object *obj)
{
	struct ghost *ghost = obj->made;

	if (!ghost)
		return;
	if (ghost->file) {
		/* Takes back what ghost_uncount_writer() did. */
		if (ghost->file->f_mode & FMODE_WRITE)
			allow_write_access(ghost->file);
		fput(ghost->file);
	}
	if (ghost->other)
		fput(ghost->other);
	path_put(&ghost->path);
	if (ghost->memcg)
		mem_cgroup_put(ghost->memcg);
	kvfree(ghost);
}

/* ---- dump ---- */

static struct ghost *ghost_hold(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct path *path)
{
	struct ghost *ghost = kckpt_alloc(sizeof(*ghost));

	if (!ghost)
		return ERR_PTR(kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, 0, "deleted file"));
	obj->made = ghost;
	ghost->path = *path;
	path_get(path);
	return ghost;
}

static struct file *ghost_open_path(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct path *path,
				    int flags)
{
	struct file *file = kckpt_should_fail() ? ERR_PTR(-ENFILE) : dentry_open(path, flags, current_cred());

	if (IS_ERR(file))
		kckpt_fail(ctx, obj, KCKPT_E_FILE_OPEN, PTR_ERR(file), "%pd4", path->dentry);
	return file;
}

/* Another name of the inode, if the kernel knows one at the moment, that can be seen in that mount. */
static struct dentry *ghost_other_name(const struct path *path)
{
	struct inode *inode = d_inode(path->dentry);
	struct dentry *names[GHOST_MAX_NAMES], *dentry, *other = NULL;
	u32 nr = 0, i;

	spin_lock(&inode->i_lock);
	kckpt_for_each_alias(dentry, inode) {
		spin_lock(&dentry->d_lock);
		if (!d_unhashed(dentry) && !(dentry->d_flags & DCACHE_NFSFS_RENAMED) && nr < GHOST_MAX_NAMES)
			names[nr++] = dget_dlock(dentry);
		spin_unlock(&dentry->d_lock);
	}
	spin_unlock(&inode->i_lock);
	for (i = 0; i < nr; i++) {
		if (!other && is_subdir(names[i], path->mnt->mnt_root))
			other = names[i];
		else
			dput(names[i]);
	}
	return other;
}

static int ghost_collect_linked(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct path *path,
				const char *name)
{
	struct path other = { .mnt = path->mnt, .dentry = ghost_other_name(path) };
	struct ghost *ghost;
	struct file *file;

	if (!other.dentry) {
		kckpt_fail(ctx, obj, KCKPT_E_FILE_LINKED, 0, "%s", name);
		return 0;
	}
	file = ghost_open_path(ctx, obj, &other, O_PATH);
	dput(other.dentry);
	if (IS_ERR(file))
		return PTR_ERR(file);
	ghost = ghost_hold(ctx, obj, path);
	if (IS_ERR(ghost)) {
		fput(file);
		return PTR_ERR(ghost);
	}
	ghost->other = file;
	return PTR_ERR_OR_ZERO(kckpt_intern(ctx, KCKPT_F_path, file, &obj->where));
}

/* Labels of security modules are not saved of anything. */
static bool xattr_is_label(const char *name)
{
	return !strncmp(name, XATTR_SECURITY_PREFIX, XATTR_SECURITY_PREFIX_LEN) && strcmp(name, XATTR_NAME_CAPS);
}

static int ghost_collect_xattrs(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct dentry *dentry,
				const char *path)
{
	char *list = kckpt_alloc(XATTR_LIST_MAX), *name;
	ssize_t len;

	if (!list)
		return kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, 0, "extended attributes");
	len = kckpt_should_fail() ? -EIO : vfs_listxattr(dentry, list, XATTR_LIST_MAX);
	if (len < 0 && len != -EOPNOTSUPP)
		kckpt_fail(ctx, obj, KCKPT_E_FILE_OPEN, len, "extended attributes of %s", path);
	for (name = list; name < list + len; name += strlen(name) + 1)
		if (!xattr_is_label(name))
			kckpt_fail(ctx, obj, KCKPT_E_FILE_STATE, 0, "extended attribute %s on %s", name, path);
	kvfree(list);
	return 0;
}

static int ghost_stat(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct path *path, struct kstat *stat)
{
	int err = kckpt_should_fail() ? -EIO : vfs_getattr(path, stat, STATX_BASIC_STATS, AT_STATX_SYNC_AS_STAT);

	return err ? kckpt_fail(ctx, obj, KCKPT_E_FILE_OPEN, err, "%pd4", path->dentry) : 0;
}

static int ghost_collect_contents(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct path *path,
				  const struct kstat *stat, const char *name)
{
	struct ghost *ghost = ghost_hold(ctx, obj, path);
	struct file *file;

	if (IS_ERR(ghost))
		return PTR_ERR(ghost);
	if (!S_ISREG(stat->mode) || kckpt_lease_hinders(ctx, obj, d_inode(path->dentry)))
		return 0;
	if (stat->size > TASK_SIZE_MAX)
		kckpt_fail(ctx, obj, KCKPT_E_FILE_STATE, -EFBIG, "a size of %lld bytes on %s", stat->size, name);
	ctx->nr_pages += stat->blocks >> (PAGE_SHIFT - SECTOR_SHIFT);
	/* Who takes a lease just now is not waited for. */
	file = ghost_open_path(ctx, obj, path, O_RDONLY | O_LARGEFILE | O_NOATIME | O_NONBLOCK);
	if (IS_ERR(file))
		return PTR_ERR(file);
	ghost->file = file;
	return 0;
}

/* What can be made anew, by its type. */
static bool ghost_is_makeable(umode_t mode)
{
	return S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode) || S_ISFIFO(mode);
}

static int ghost_collect_named(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct path *path,
			       const char *name)
{
	struct kstat stat;
	int err = ghost_stat(ctx, obj, path, &stat);

	if (err)
		return err;
	/* The link count of a removed directory is its file system's own affair. */
	if (stat.nlink && !S_ISDIR(stat.mode))
		return ghost_collect_linked(ctx, obj, path, name);
	if (!ghost_is_makeable(stat.mode)) {
		kckpt_fail(ctx, obj, KCKPT_E_FILE_KIND, 0, "a deleted socket or device: %s", name);
		return 0;
	}
	if (!(ctx->capture_flags & KCKPT_CAPTURE_FILES)) {
		kckpt_fail(ctx, obj, KCKPT_E_FILE_UNLINKED, 0, "%s", name);
		return 0;
	}
	return ghost_collect_xattrs(ctx, obj, path->dentry, name) ?:
	       ghost_collect_contents(ctx, obj, path, &stat, name);
}

static int ghost_collect(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct path *path = kckpt_file_path(obj->file);
	char *buf = kckpt_alloc(PATH_MAX), *name;
	int err = 0;

	if (!buf)
		return kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, 0, "path");
	name = kckpt_path_of_deleted(ctx, obj, path, buf);
	if (name)
		err = ghost_collect_named(ctx, obj, path, name);
	kvfree(buf);
	return err;
}

static bool ghost_is_open(struct file *file, const void *inode)
{
	return ghost_key(file) == inode;
}

/* What nobody can write any more may be used by others: they see no difference. So it is with replaced libraries. */
static int ghost_closed(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_where where = KCKPT_NOWHERE;
	struct ghost *ghost = obj->made;
	struct inode *real;

	if (!ghost || !ghost->file)
		return 0;
	/* Of an overlay, the file below: mappings are of that one, and every opening for writing counts there. */
	real = d_real_inode(ghost->path.dentry);
	if (atomic_read(&real->i_writecount) <= 0)
		return 0;
	if (kckpt_find_holder(ctx, ghost_is_open, obj->ptr, &where) || kckpt_find_mapper(ctx, real->i_mapping, &where))
		kckpt_fail(ctx, obj, KCKPT_E_FILE_SHARED, 0, "%pd4 (deleted), by pid %d (%s)", ghost->path.dentry,
			   where.pid, where.comm);
	return 0;
}

static u32 ghost_mount_len(struct kckpt_ctx *ctx, const struct path *path, char *buf)
{
	struct path root = { .mnt = path->mnt, .dentry = path->mnt->mnt_root };
	char *name = kcall(__d_path)(&root, &ctx->root, buf, PATH_MAX);

	return IS_ERR_OR_NULL(name) || !strcmp(name, "/") ? 0 : strlen(name);
}

static int ghost_put_target(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct dentry *dentry)
{
	struct kckpt_ghost_target_rec rec = {};
	DEFINE_DELAYED_CALL(done);
	const char *target = kckpt_should_fail() ? ERR_PTR(-EIO) : vfs_get_link(dentry, &done);
	int err;

	if (IS_ERR(target)) {
		err = kckpt_fail(ctx, obj, KCKPT_E_FILE_OPEN, PTR_ERR(target), "%pd4", dentry);
	} else {
		rec.target_len = strlen(target);
		err = kckpt_put(ctx, obj, KCKPT_K_ghost_target, &rec, sizeof(rec), target, rec.target_len);
	}
	do_delayed_call(&done);
	return err;
}

static int ghost_dump(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct ghost *ghost = obj->made;
	struct kckpt_ghost_rec rec = {};
	char *buf, *name;
	struct kstat stat;
	int err;

	if (!ghost)
		return kckpt_fail(ctx, obj, KCKPT_E_JOB_MOVED, 0, "");
	err = ghost_stat(ctx, obj, &ghost->path, &stat);
	if (err)
		return err;
	buf = kckpt_alloc(PATH_MAX);
	if (!buf)
		return kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, 0, "path");
	rec.size = ghost->file ? stat.size : 0;
	rec.mtime = stat.mtime.tv_sec;
	rec.mtime_nsec = stat.mtime.tv_nsec;
	rec.mode = stat.mode;
	rec.uid = from_kuid_munged(current_user_ns(), stat.uid);
	rec.gid = from_kgid_munged(current_user_ns(), stat.gid);
	rec.other = kckpt_id_of(ctx, KCKPT_F_path, ghost->other);
	if (!rec.other && kckpt_inode_state(d_inode(ghost->path.dentry)) & I_LINKABLE)
		rec.ghost_flags = KCKPT_GHOST_LINKABLE;
	rec.mount_len = ghost_mount_len(ctx, &ghost->path, buf);
	name = kckpt_path_of_deleted(ctx, obj, &ghost->path, buf);
	rec.path_len = name ? strlen(name) : 0;
	err = name ? kckpt_put(ctx, obj, KCKPT_K_ghost, &rec, sizeof(rec), name, rec.path_len) : -ESTALE;
	kvfree(buf);
	if (!err && !rec.other && S_ISLNK(rec.mode))
		err = ghost_put_target(ctx, obj, ghost->path.dentry);
	return err;
}

static struct page *ghost_page(struct kckpt_ctx *ctx, struct kckpt_object *obj, loff_t at)
{
	struct page *page = kckpt_should_fail() ? NULL : alloc_page(GFP_KERNEL_ACCOUNT);
	struct file *file = ((struct ghost *)obj->made)->file;
	loff_t left = i_size_read(file_inode(file)) - at;
	size_t want = clamp_t(loff_t, left, 0, PAGE_SIZE), done = 0;
	ssize_t n;

	if (!page)
		return ERR_PTR(kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, 0, "page"));
	while (done < want) {
		n = kckpt_should_fail() ? -EIO : kernel_read(file, page_address(page) + done, want - done, &at);
		if (n <= 0) {
			__free_page(page);
			return ERR_PTR(kckpt_fail(ctx, obj, KCKPT_E_PAGE_READ, n ?: -EIO, "%pD4 at %lld", file, at));
		}
		done += n;
	}
	memset(page_address(page) + want, 0, PAGE_SIZE - want);
	return page;
}

static int ghost_pages_find(struct kckpt_ctx *ctx, struct kckpt_object *obj, unsigned long *addr,
			    struct kckpt_batch *batch)
{
	struct ghost *ghost = obj->made;

	return ghost->file ? kckpt_batch_find_data(ctx, obj, ghost->file, addr, batch, ghost_page) : 0;
}

/* ---- restore ---- */

/* *@name is the path. */
static int ghost_rec(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct kckpt_ghost_rec *rec, char **name)
{
	const void *tail;
	int err;

	err = kckpt_rec_only(ctx, obj, KCKPT_K_ghost, rec, sizeof(*rec), &rec->path_len, 1, &tail);
	if (err)
		return err;
	*name = kckpt_rec_path(ctx, obj, tail, rec->path_len);
	return *name ? 0 : -EBADMSG;
}

/* Where a symbolic link leads, as a string; NULL: reported. */
static char *ghost_target(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_ghost_target_rec rec;
	const void *tail;
	char *target;

	if (kckpt_rec_only(ctx, obj, KCKPT_K_ghost_target, &rec, sizeof(rec), &rec.target_len, 1, &tail))
		return NULL;
	if (!rec.target_len || rec.target_len >= PATH_MAX || memchr(tail, 0, rec.target_len) || rec.reserved) {
		kckpt_bad_image(ctx, obj, "target of a symbolic link");
		return NULL;
	}
	target = kckpt_should_fail() ? NULL : kmemdup_nul(tail, rec.target_len, GFP_KERNEL);
	if (!target)
		kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, 0, "target of a symbolic link");
	return target;
}

static bool ghost_type_sane(const struct kckpt_ghost_rec *rec)
{
	if (rec->other)
		return !S_ISDIR(rec->mode) && !rec->size && !rec->ghost_flags;
	return S_ISREG(rec->mode) || (ghost_is_makeable(rec->mode) && !rec->size && !rec->ghost_flags);
}

static bool ghost_rec_sane(const struct kckpt_ghost_rec *rec, const char *path)
{
	const char *name = strrchr(path, '/') + 1;

	return ghost_type_sane(rec) &&
	       !(rec->mode & ~(S_IFMT | S_IALLUGO)) && rec->size <= TASK_SIZE_MAX && rec->mtime_nsec < NSEC_PER_SEC &&
	       !(rec->ghost_flags & ~KCKPT_GHOST_LINKABLE) && rec->mount_len < rec->path_len && !rec->reserved &&
	       *name && strlen(name) <= NAME_MAX && strcmp(name, ".") && strcmp(name, "..");
}

/*
 * The directory that the file was in. If that is gone, too, the nearest one above it, but in the same mount: another
 * file system may be no place for the contents. Cuts @path; *@name is its last part. There were no symbolic links in
 * the path: one that is there now was put there to have us make something elsewhere.
 */
static int ghost_find_dir(struct kckpt_ctx *ctx, struct kckpt_object *obj, u32 mount_len, char *path,
			  const char **name, struct path *dir)
{
	const unsigned int flags = LOOKUP_FOLLOW | LOOKUP_NO_SYMLINKS | LOOKUP_DIRECTORY;
	char *slash = strrchr(path, '/');
	int err;

	*name = slash + 1;
	do {
		*slash = 0;
		err = kckpt_should_fail() ? -EIO : kern_path(*path ? path : "/", flags, dir);
		if ((err != -ENOENT && err != -ENOTDIR) || slash - path <= mount_len)
			break;
		slash = strrchr(path, '/');
	} while (slash);
	return err ? kckpt_fail(ctx, obj, KCKPT_E_FILE_MISSING, err, "directory %s, for the deleted file %s", path,
				*name) : 0;
}

static int ghost_check_dir(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_ghost_rec *rec,
			   const struct path *dir, const char *name)
{
	int err = mnt_want_write(dir->mnt);

	if (!err)
		mnt_drop_write(dir->mnt);
	if (!err && rec->size > dir->dentry->d_sb->s_maxbytes)
		err = -EFBIG;
	return err ? kckpt_fail(ctx, obj, KCKPT_E_CREATE, err, "deleted file %s", name) : 0;
}

/* The other name is checked after us, for the use that is made of this one. */
static int ghost_check_other(struct kckpt_ctx *ctx, struct kckpt_object *obj, u64 id)
{
	struct kckpt_object *other = kckpt_ref(ctx, obj, id, KCKPT_F_path);

	if (!other)
		return -EBADMSG;
	if (other->id < obj->id)
		return kckpt_bad_image(ctx, obj, "other name of a deleted file");
	other->value |= obj->value;
	if (other->where.fd < 0)
		other->where = obj->where;
	return 0;
}

static int ghost_check_rec(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_ghost_rec *rec,
			   const char *path)
{
	char *target;

	if (!ghost_rec_sane(rec, path) || !uid_valid(make_kuid(current_user_ns(), rec->uid)) ||
	    !gid_valid(make_kgid(current_user_ns(), rec->gid)))
		return kckpt_bad_image(ctx, obj, "deleted file");
	if (rec->other)
		return ghost_check_other(ctx, obj, rec->other);
	if (!S_ISLNK(rec->mode))
		return 0;
	target = ghost_target(ctx, obj);
	if (!target)
		return -EBADMSG;
	kfree(target);
	return 0;
}

static int ghost_check(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_ghost_rec rec;
	const char *name;
	struct path dir;
	char *path;
	int err = ghost_rec(ctx, obj, &rec, &path);

	if (err)
		return err;
	err = ghost_check_rec(ctx, obj, &rec, path);
	/* What is wrong outside of the image is reported, and the check goes on. */
	if (!err && !ghost_find_dir(ctx, obj, rec.mount_len, path, &name, &dir)) {
		ghost_check_dir(ctx, obj, &rec, &dir, name);
		path_put(&dir);
	}
	kfree(path);
	return err;
}

static int ghost_set_owner(const struct path *path, const struct kckpt_ghost_rec *rec)
{
	struct iattr attr = {
		/* Nobody can change that of a symbolic link. */
		.ia_valid = ATTR_UID | ATTR_GID | (S_ISLNK(rec->mode) ? 0 : ATTR_MODE),
		.ia_mode = rec->mode,
		.ia_vfsuid = VFSUIDT_INIT(make_kuid(current_user_ns(), rec->uid)),
		.ia_vfsgid = VFSGIDT_INIT(make_kgid(current_user_ns(), rec->gid)),
	};

	return kckpt_path_change(path, &attr);
}

static int ghost_set_mtime(const struct path *path, const struct kckpt_ghost_rec *rec)
{
	struct iattr attr = {
		.ia_valid = ATTR_MTIME | ATTR_MTIME_SET,
		.ia_mtime = { .tv_sec = rec->mtime, .tv_nsec = rec->mtime_nsec },
	};

	return kckpt_path_change(path, &attr);
}

/*
 * While we fill it, the file may become the executable of its process, which nobody may have open for writing. No user
 * of the file can tell that we have: so this writer is not counted.
 */
static void ghost_uncount_writer(struct file *file)
{
	put_write_access(file_inode(file));
}

static int ghost_make_file(struct ghost *ghost, const struct path *dir, const char *name,
			   const struct kckpt_ghost_rec *rec)
{
	struct file *file = kckpt_nameless_file(dir, name, rec->ghost_flags & KCKPT_GHOST_LINKABLE, &ghost->path);
	int err;

	if (IS_ERR(file))
		return PTR_ERR(file);
	err = kckpt_should_fail() ? -EFBIG : vfs_truncate(&ghost->path, rec->size);
	ghost->file = file;
	ghost_uncount_writer(file);
	ghost->memcg = get_mem_cgroup_from_mm(current->mm);
	return err;
}

static int ghost_make_node(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct path *dir, const char *name,
			   const struct kckpt_ghost_rec *rec)
{
	char *target = S_ISLNK(rec->mode) ? ghost_target(ctx, obj) : NULL;
	struct ghost *ghost = obj->made;
	int err = S_ISLNK(rec->mode) && !target ? -ENOMEM :
		  kckpt_nameless_node(dir, name, rec->mode & S_IFMT, target, &ghost->path);

	kfree(target);
	return err;
}

/* All of it is in the image. */
static int ghost_make_new(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct path *dir, const char *name,
			  const struct kckpt_ghost_rec *rec)
{
	struct ghost *ghost = obj->made;
	int err = S_ISREG(rec->mode) ? ghost_make_file(ghost, dir, name, rec) :
				       ghost_make_node(ctx, obj, dir, name, rec);

	return err ?: ghost_set_owner(&ghost->path, rec) ?: ghost_set_mtime(&ghost->path, rec);
}

/* It is there, by another name. */
static int ghost_make_linked(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct path *dir, const char *name,
			     const struct kckpt_ghost_rec *rec)
{
	struct ghost *ghost = obj->made;
	struct file *other;
	int err;

	/* Since the check it may have been exchanged: this looks at it again. */
	other = kckpt_path_open(ctx, kckpt_objtab_get(&ctx->objs, rec->other), O_PATH, obj->value);
	if (IS_ERR(other))
		return PTR_ERR(other);
	err = (file_inode(other)->i_mode ^ rec->mode) & S_IFMT ? -ESTALE :
	      kckpt_nameless_link(dir, name, &other->f_path, &ghost->path);
	fput(other);
	ghost->linked = true;
	return err;
}

static int ghost_make(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct path *dir, const char *name,
		      const struct kckpt_ghost_rec *rec)
{
	struct ghost *ghost = kckpt_alloc(sizeof(*ghost));
	int err;

	if (!ghost)
		return kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, 0, "deleted file");
	obj->made = ghost;
	err = rec->other ? ghost_make_linked(ctx, obj, dir, name, rec) : ghost_make_new(ctx, obj, dir, name, rec);
	return err ? kckpt_fail(ctx, obj, KCKPT_E_CREATE, err, "deleted file %s in %pd4", name, dir->dentry) : 0;
}

static int ghost_restore(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_ghost_rec rec;
	const char *name;
	struct path dir;
	char *path;
	int err = ghost_rec(ctx, obj, &rec, &path);

	if (err)
		return err;
	err = ghost_find_dir(ctx, obj, rec.mount_len, path, &name, &dir);
	if (!err) {
		err = ghost_make(ctx, obj, &dir, name, &rec);
		path_put(&dir);
	}
	kfree(path);
	return err;
}

/*
 * What we have made is ours to open. What was there is opened as by its path, with all that is asked then; it is no
 * directory, whatever the flags of its maker (O_TMPFILE) say.
 */
static struct file *ghost_open_made(const struct ghost *ghost, u32 flags)
{
	if (kckpt_should_fail())
		return ERR_PTR(-ENFILE);
	return ghost->linked && !(flags & O_PATH) ? file_open_root(&ghost->path, "", flags & ~O_TMPFILE, 0) :
						    dentry_open(&ghost->path, flags, current_cred());
}

static struct file *ghost_open(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_file_rec *rec)
{
	int err = kckpt_make(ctx, obj);
	struct ghost *ghost = obj->made;
	struct file *file;

	if (err)
		return ERR_PTR(err);
	/* The other end of a pipe is never waited for; obj_file.c sets the flags that were wanted. */
	file = ghost_open_made(ghost, rec->open_flags | O_NONBLOCK | O_NOCTTY);
	if (IS_ERR(file))
		kckpt_fail(ctx, obj, KCKPT_E_FILE_OPEN, PTR_ERR(file), "%pd4 (deleted)", ghost->path.dentry);
	return file;
}

/* The pages are only passing through: ghost_pages_write() gives them to the file system. */
static int ghost_pages_pin(struct kckpt_ctx *ctx, struct kckpt_object *obj, unsigned long addr, u32 nr, bool huge,
			   struct page **pages)
{
	struct ghost *ghost = obj->made;
	loff_t size = ghost->file ? i_size_read(file_inode(ghost->file)) : 0;
	u32 i;

	if (addr >= size || nr > DIV_ROUND_UP(size - addr, PAGE_SIZE))
		return kckpt_bad_image(ctx, obj, "page at %lu of a deleted file of %lld bytes", addr, size);
	for (i = 0; i < nr; i++) {
		pages[i] = kckpt_should_fail() ? NULL : alloc_page(GFP_KERNEL_ACCOUNT);
		if (!pages[i])
			break;
	}
	return i ?: kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, 0, "page");
}

static int ghost_pages_write(struct kckpt_ctx *ctx, struct kckpt_object *obj, unsigned long addr, u32 nr,
			     struct page **pages)
{
	struct bio_vec bvec[KCKPT_LOAD_PIN];
	struct ghost *ghost = obj->made;
	struct mem_cgroup *before;
	struct iov_iter iter;
	loff_t pos = addr;
	ssize_t n = 1;
	u32 i;

	for (i = 0; i < nr; i++)
		bvec[i] = (struct bio_vec){ .bv_page = pages[i], .bv_len = PAGE_SIZE };
	iov_iter_bvec(&iter, ITER_SOURCE, bvec, nr,
		      min_t(loff_t, (loff_t)nr * PAGE_SIZE, i_size_read(file_inode(ghost->file)) - addr));
	before = set_active_memcg(ghost->memcg);
	while (n > 0 && iov_iter_count(&iter))
		n = kckpt_should_fail() ? -ENOSPC : kckpt_iter_write(ghost->file, &iter, &pos);
	set_active_memcg(before);
	return n > 0 ? 0 : kckpt_fail(ctx, obj, KCKPT_E_PAGE_WRITE, n ?: -EIO, "%pD4 (deleted) at %lld",
				      ghost->file, pos);
}

static int ghost_pages_end(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct ghost *ghost = obj->made;
	struct kckpt_ghost_rec rec;
	char *path;
	int err = ghost_rec(ctx, obj, &rec, &path);

	if (err)
		return err;
	kfree(path);
	err = rec.other ? 0 : ghost_set_mtime(&ghost->path, &rec);
	return err ? kckpt_fail(ctx, obj, KCKPT_E_CREATE, err, "time of %pd4 (deleted)", ghost->path.dentry) : 0;
}

const struct kckpt_family_ops kckpt_ghost_ops = {
	.name = "ghost",
	.claims = ghost_claims, .key = ghost_key,
	.collect = ghost_collect, .closed = ghost_closed, .dump = ghost_dump,
	.check = ghost_check, .restore = ghost_restore, .open = ghost_open,
	.release = ghost_release,
	.pages_find = ghost_pages_find, .pages_pin = ghost_pages_pin,
	.pages_write = ghost_pages_write, .pages_end = ghost_pages_end,
};
