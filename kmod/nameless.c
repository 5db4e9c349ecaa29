// SPDX-License-Identifier: GPL-2.0
/*
 * See nameless.h. What /proc shows of such a file is the name in its dentry. O_TMPFILE makes a file that is in no
 * directory at any time, with a number for a name; a second dentry brings the right one, where dentries are nothing
 * but names. Elsewhere (overlayfs, network file systems) the file is created and deleted at once, under the right name
 * if nobody has it now, else under one that nobody can have.
 */
#include <linux/dcache.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/random.h>
#include <linux/stringhash.h>

#include "compat/namei.h"
#include "fault.h"
#include "nameless.h"

#define NAMELESS_MODE 0600	/* until it gets its own */

/*
 * Nothing of the file system hangs on a dentry, so that one can be made without it. How names are compared, and how
 * long they are kept and believed, is nothing to one that is never looked up.
 */
static bool dentries_are_names(const struct dentry *dir)
{
	const struct dentry_operations *ops = kckpt_dentry_ops(dir->d_sb);

	return !ops || !(ops->d_weak_revalidate || ops->d_init || ops->d_release || ops->d_prune || ops->d_iput ||
			 ops->d_dname || ops->d_automount || ops->d_manage || ops->d_real);
}

static struct dentry *nameless_alias(const struct dentry *dir, const char *name, struct inode *inode)
{
	struct qstr qstr = QSTR_INIT(name, strlen(name));
	struct dentry *alias;

	qstr.hash = full_name_hash(dir, name, qstr.len);
	alias = kckpt_should_fail() ? NULL : d_alloc((struct dentry *)dir, &qstr);
	if (!alias)
		return ERR_PTR(-ENOMEM);
	ihold(inode);
	d_instantiate(alias, inode);
	return alias;
}

static void temporary_name(char *name, size_t size)
{
	snprintf(name, size, ".kckpt-%016llx", get_random_u64());
}

static struct file *tmpfile_open(const struct path *dir, bool linkable)
{
	int flags = O_TMPFILE | O_RDWR | O_LARGEFILE | (linkable ? 0 : O_EXCL);

	return kckpt_should_fail() ? ERR_PTR(-ENOSPC) : file_open_root(dir, ".", flags, NAMELESS_MODE);
}

static struct file *created_open(const struct path *dir, const char *name)
{
	int flags = O_CREAT | O_EXCL | O_RDWR | O_LARGEFILE;

	return kckpt_should_fail() ? ERR_PTR(-ENOSPC) : file_open_root(dir, name, flags, NAMELESS_MODE);
}

/*
 * Just what we created, whatever the name leads to by now. A dentry keeps its inode when it is deleted if it has a
 * second reference.
 */
static int created_unlink(const struct path *dir, struct dentry *dentry)
{
	struct inode *inode = d_inode(dir->dentry);
	int err = mnt_want_write(dir->mnt);

	if (err)
		return err;
	dget(dentry);
	inode_lock_nested(inode, I_MUTEX_PARENT);
	if (d_unlinked(dentry))
		err = 0;
	else if (dentry->d_parent != dir->dentry)
		err = -ESTALE;
	else
		err = vfs_unlink(kckpt_idmap(dir->mnt), inode, dentry, NULL);
	inode_unlock(inode);
	dput(dentry);
	mnt_drop_write(dir->mnt);
	return err;
}

static struct file *created_and_unlinked(const struct path *dir, const char *name)
{
	struct file *file = created_open(dir, name);
	char temporary[32];
	int err;

	if (PTR_ERR(file) == -EEXIST) {
		temporary_name(temporary, sizeof(temporary));
		file = created_open(dir, temporary);
	}
	if (IS_ERR(file))
		return file;
	err = created_unlink(dir, file->f_path.dentry);
	if (!err)
		return file;
	fput(file);
	return ERR_PTR(err);
}

struct file *kckpt_nameless_file(const struct path *dir, const char *name, bool linkable, struct path *path)
{
	struct file *file = ERR_PTR(-EOPNOTSUPP);
	struct dentry *alias;

	if (linkable || dentries_are_names(dir->dentry))
		file = tmpfile_open(dir, linkable);
	if (!IS_ERR(file) && !linkable) {
		alias = nameless_alias(dir->dentry, name, file_inode(file));
		if (IS_ERR(alias)) {
			fput(file);
			return ERR_CAST(alias);
		}
		path->mnt = mntget(file->f_path.mnt);
		path->dentry = alias;
		return file;
	}
	if (PTR_ERR(file) == -EOPNOTSUPP && !linkable)
		file = created_and_unlinked(dir, name);
	if (IS_ERR(file))
		return file;
	*path = file->f_path;
	path_get(path);
	return file;
}

/* What is made, for a moment, under a name: a directory, fifo or symbolic link; or another name of what is there. */
struct entry {
	umode_t type;
	const char *target;		/* of a symbolic link */
	struct dentry *other;		/* what is to get another name; NULL: nothing */
};

static int entry_make(const struct path *dir, struct dentry *dentry, const struct entry *entry)
{
	if (entry->other)
		return vfs_link(entry->other, kckpt_idmap(dir->mnt), d_inode(dir->dentry), dentry, NULL);
	switch (entry->type) {
	case S_IFDIR:
		return kckpt_mkdir(dir, dentry, NAMELESS_MODE);
	case S_IFLNK:
		return kckpt_symlink(dir, dentry, entry->target);
	default:
		return kckpt_mknod(dir, dentry, entry->type | NAMELESS_MODE);
	}
}

static int entry_remove(const struct path *dir, struct dentry *dentry)
{
	int err;

	dget(dentry);
	err = d_is_dir(dentry) ? kckpt_rmdir(dir, dentry) :
				 vfs_unlink(kckpt_idmap(dir->mnt), d_inode(dir->dentry), dentry, NULL);
	dput(dentry);
	return err;
}

/* A network file system wants it to be looked up again: such a dentry is not for us. */
static int entry_remove_anew(const struct path *dir, const char *name)
{
	struct dentry *dentry = kckpt_lookup_one(dir, name);

	if (IS_ERR(dentry))
		return PTR_ERR(dentry);
	if (d_is_positive(dentry))
		entry_remove(dir, dentry);
	dput(dentry);
	return -EOPNOTSUPP;
}

/* Could we remove it, too? In a sticky directory only the owner can; and to link what others own is not for all. */
static int entry_check(const struct path *dir, const struct entry *entry)
{
	if (IS_APPEND(d_inode(dir->dentry)))
		return -EPERM;
	return !entry->other || inode_owner_or_capable(kckpt_idmap(dir->mnt), d_inode(entry->other)) ? 0 : -EPERM;
}

/* Makes and removes it, under the lock of its parent. Who looks up just that name meanwhile may still see it. */
static int entry_made_and_removed(const struct path *dir, struct dentry *dentry, const char *name,
				  const struct entry *entry)
{
	int err = d_is_positive(dentry) ? -EEXIST : entry_check(dir, entry) ?: entry_make(dir, dentry, entry);

	if (err)
		return err;
	return d_really_is_negative(dentry) ? entry_remove_anew(dir, name) : entry_remove(dir, dentry);
}

static int removed_entry(const struct path *dir, const char *name, const struct entry *entry, struct path *path)
{
	struct inode *inode = d_inode(dir->dentry);
	struct dentry *dentry;
	int err = kckpt_should_fail() ? -ENOSPC : mnt_want_write(dir->mnt);

	if (err)
		return err;
	inode_lock_nested(inode, I_MUTEX_PARENT);
	dentry = kckpt_lookup_one(dir, name);
	err = IS_ERR(dentry) ? PTR_ERR(dentry) : entry_made_and_removed(dir, dentry, name, entry);
	inode_unlock(inode);
	mnt_drop_write(dir->mnt);
	if (!err) {
		path->mnt = mntget(dir->mnt);
		path->dentry = dentry;
	} else if (!IS_ERR(dentry)) {
		dput(dentry);
	}
	return err;
}

static int nameless_entry(const struct path *dir, const char *name, const struct entry *entry, struct path *path)
{
	char temporary[32];
	int err = removed_entry(dir, name, entry, path);

	if (err != -EEXIST)
		return err;
	temporary_name(temporary, sizeof(temporary));
	return removed_entry(dir, temporary, entry, path);
}

int kckpt_nameless_node(const struct path *dir, const char *name, umode_t type, const char *target, struct path *path)
{
	const struct entry entry = { .type = type, .target = target };

	return nameless_entry(dir, name, &entry, path);
}

int kckpt_nameless_link(const struct path *dir, const char *name, const struct path *other, struct path *path)
{
	const struct entry entry = { .other = other->dentry };
	struct dentry *alias;

	/* As link() has it; and a directory has one dentry only. */
	if (other->mnt != dir->mnt)
		return -EXDEV;
	if (d_is_dir(other->dentry))
		return -EPERM;
	if (!dentries_are_names(dir->dentry))
		return nameless_entry(dir, name, &entry, path);
	alias = nameless_alias(dir->dentry, name, d_inode(other->dentry));
	if (IS_ERR(alias))
		return PTR_ERR(alias);
	path->mnt = mntget(dir->mnt);
	path->dentry = alias;
	return 0;
}

int kckpt_path_change(const struct path *path, struct iattr *attr)
{
	struct inode *inode = d_inode(path->dentry);
	int err = kckpt_should_fail() ? -EIO : mnt_want_write(path->mnt);

	if (err)
		return err;
	inode_lock(inode);
	err = notify_change(kckpt_idmap(path->mnt), path->dentry, attr, NULL);
	inode_unlock(inode);
	mnt_drop_write(path->mnt);
	return err;
}
