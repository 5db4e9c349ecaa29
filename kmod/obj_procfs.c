// SPDX-License-Identifier: GPL-2.0
/*
 * Files and directories of proc: those of the whole system, and those of processes of the job, which have the same
 * numbers again; the namespaces that its tasks are in. Of sysfs, what is only read. Found again by path, and at the
 * position that they had: what they tell is made anew in each read, and is that of the system and the processes as they
 * are by then.
 *
 * What may be seen in them depends on who opened them (f_cred), when they are opened and when they are read. Those of
 * the system are opened by the credentials of then. A process is not yet who it will be when its files are opened: that
 * is done by the rights of the restorer, which the image shows the job to have had, and the file gets those of then
 * afterwards. An address space is the final one from the birth of its process on, even if it is empty.
 *
 * On a process that has ended nothing can be opened: another one has its number for that moment, and ends, too.
 *
 * Refused: files of processes outside the job; of ended ones all but folders and what shows just the process; files on
 * memory that a process left by exec; those of single descriptors and areas (fd, fdinfo, map_files); files of the
 * system that are open for writing, except below /proc/sys; another proc than that of the caller's pid namespace;
 * other namespaces than the caller's.
 * Not saved: what poll() or an ioctl() remember in an open file, such as a change of mounts that nobody has asked for
 * yet; that a file on mounts or the net was opened in another namespace than its process has by now.
 */
#include <linux/cred.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/pid.h>
#include <linux/proc_fs.h>
#include <linux/proc_ns.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>

#include "compat/file.h"
#include "compat/procfs.h"
#include "family.h"
#include "fault.h"
#include "obj_cred.h"
#include "obj_path.h"
#include "obj_task.h"
#include "standin.h"

/* ---- what it is ---- */

static bool name_is_one_of(const struct dentry *dentry, const char *const *names, u32 nr)
{
	u32 i;

	for (i = 0; i < nr; i++)
		if (!strcmp(dentry->d_name.name, names[i]))
			return true;
	return false;
}
#define NAME_IS_ONE_OF(dentry, ...) ({ \
	static const char *const __names[] = { __VA_ARGS__ }; \
	name_is_one_of(dentry, __names, ARRAY_SIZE(__names)); })

/* What it is below the root of its file system. Nothing is ever moved there. */
static const struct dentry *procfs_top(const struct dentry *dentry)
{
	while (!IS_ROOT(dentry) && !IS_ROOT(dentry->d_parent))
		dentry = dentry->d_parent;
	return dentry;
}

/* The number of the task that it tells of; 0: it is of the system. */
static pid_t procfs_pid(const struct dentry *dentry)
{
	pid_t pid;

	if (dentry->d_sb->s_magic != PROC_SUPER_MAGIC || kstrtoint(procfs_top(dentry)->d_name.name, 10, &pid))
		return 0;
	return pid;
}

/* What /proc/PID/ns/TYPE leads to: a file of its own file system, which is mounted nowhere. */
static bool procfs_is_namespace(const struct file *file)
{
	return file->f_path.dentry->d_sb->s_magic == NSFS_MAGIC && file->f_path.mnt->mnt_flags & MNT_INTERNAL;
}

static bool procfs_claims(struct file *file)
{
	const struct dentry *dentry = kckpt_file_path(file)->dentry;
	bool writes = file->f_mode & FMODE_WRITE;

	if (procfs_is_namespace(file))
		return true;
	if (file->f_path.mnt->mnt_flags & MNT_INTERNAL)
		return false;
	if (!(file->f_mode & FMODE_PATH) && !d_is_reg(dentry) && !d_is_dir(dentry))
		return false;
	if (dentry->d_sb->s_magic != PROC_SUPER_MAGIC)
		return dentry->d_sb->s_magic == SYSFS_MAGIC && !writes;
	if (!procfs_pid(dentry))
		return !writes || NAME_IS_ONE_OF(procfs_top(dentry), "sys");
	return d_is_dir(dentry) || !NAME_IS_ONE_OF(dentry->d_parent, "fd", "fdinfo", "map_files");
}

/* ---- dump ---- */

/* Of an ended task the folder is marked as gone, not what is in it. */
static bool procfs_has_ended(const struct dentry *dentry)
{
	pid_t pid;

	for (; !IS_ROOT(dentry); dentry = dentry->d_parent)
		if (d_unhashed(dentry) && !kstrtoint(dentry->d_name.name, 10, &pid))
			return true;
	return false;
}

/*
 * Those of the process itself, and not of another thread of it, that tell nothing any more. What else there is may
 * hold on to memory or namespaces of then.
 */
static bool procfs_can_stand_in(const struct file *file)
{
	const struct dentry *dentry = file->f_path.dentry;
	pid_t pid;

	if (!(file->f_mode & FMODE_PATH) && !d_is_dir(dentry) &&
	    !NAME_IS_ONE_OF(dentry, "stat", "statm", "status", "cmdline", "comm", "io", "limits"))
		return false;
	for (; !IS_ROOT(dentry); dentry = dentry->d_parent)
		if (!kstrtoint(dentry->d_name.name, 10, &pid) && pid != procfs_pid(dentry))
			return false;
	return true;
}

/*
 * What may be looked up without harm: files of net get a new dentry each time, and the one before seems deleted; so
 * their folder has to do.
 */
static struct dentry *procfs_lasting(struct dentry *dentry)
{
	struct dentry *lasting = dentry;

	for (; !IS_ROOT(dentry); dentry = dentry->d_parent)
		if (NAME_IS_ONE_OF(dentry, "net") && procfs_pid(dentry))
			lasting = dentry;
	return lasting;
}

static void procfs_check_reachable(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct path *path, char *buf)
{
	struct path lasting = { .mnt = path->mnt, .dentry = procfs_lasting(path->dentry) }, found;
	char *name = kckpt_path_of_deleted(ctx, obj, &lasting, buf);

	if (!name)
		return;
	if (procfs_has_ended(path->dentry)) {
		if (!procfs_can_stand_in(obj->file))
			kckpt_fail(ctx, obj, KCKPT_E_FILE_STATE, 0, "what it told of has ended: %s", name);
	} else if (kern_path(name, 0, &found) || (path_put(&found), found.dentry != lasting.dentry)) {
		kckpt_fail(ctx, obj, KCKPT_E_FILE_UNREACHABLE, 0, "%s", name);
	}
}

/* Those of the tasks are the caller's, which is seen to in obj_task.c. */
static void procfs_check_namespace(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct proc_ns_operations *ops = get_proc_ns(file_inode(obj->file))->ops;
	struct ns_common *mine = ops->get(current);

	if (mine != get_proc_ns(file_inode(obj->file)))
		kckpt_fail(ctx, obj, KCKPT_E_FILE_KIND, 0, "a namespace that is not the caller's: %s", ops->name);
	if (mine)
		ops->put(mine);
}

static int procfs_collect(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct file *file = obj->file;
	char *buf = kckpt_alloc(PATH_MAX);

	if (!buf)
		return kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, 0, "path");
	if (procfs_is_namespace(file))
		procfs_check_namespace(ctx, obj);
	else
		procfs_check_reachable(ctx, obj, kckpt_file_path(file), buf);
	kvfree(buf);
	if (file->f_pos < 0)
		kckpt_fail(ctx, obj, KCKPT_E_FILE_STATE, 0, "a position beyond all memory in %pD3", file);
	return file->f_mode & FMODE_PATH ? 0 :
	       PTR_ERR_OR_ZERO(kckpt_intern(ctx, KCKPT_F_cred, get_cred(file->f_cred), &obj->where));
}

/* The address space that a file was opened on; it stays when its process has another one. */
static struct mm_struct *procfs_mm(const struct file *file)
{
	const struct dentry *dentry = file->f_path.dentry;

	if (file->f_mode & FMODE_PATH || !d_is_reg(dentry) || !file->private_data)
		return NULL;
	if (NAME_IS_ONE_OF(dentry, "mem", "environ", "auxv", "pagemap") || NAME_IS_ONE_OF(dentry->d_parent, "attr"))
		return file->private_data;
	if (NAME_IS_ONE_OF(dentry, "maps", "smaps", "smaps_rollup", "numa_maps"))
		return kckpt_proc_maps_mm((struct kckpt_proc_maps *)((struct seq_file *)file->private_data)->private);
	return NULL;
}

/* One that nobody uses any more is as good as that of a process that has ended. */
static bool procfs_mm_is_left(const struct file *file, struct task_struct *task)
{
	const struct mm_struct *mm = procfs_mm(file), *its = NULL;
	const struct task_struct *thread;

	if (!mm)
		return false;
	rcu_read_lock();
	for_each_thread(task, thread)
		its = READ_ONCE(thread->mm) ?: its;
	rcu_read_unlock();
	return mm != its && (its || atomic_read(&mm->mm_users));
}

/* Its number must be free for a moment, and is not if a task or group of the job has it by now. */
static void procfs_check_free(struct kckpt_ctx *ctx, struct kckpt_object *obj, pid_t nr)
{
	struct pid *pid;
	bool used;

	rcu_read_lock();
	pid = find_pid_ns(nr, ctx->pidns);
	used = pid && (kckpt_id_of(ctx, KCKPT_F_group, pid) ||
		       kckpt_id_of(ctx, KCKPT_F_task, pid_task(pid, PIDTYPE_PID)));
	rcu_read_unlock();
	if (used)
		kckpt_fail(ctx, obj, KCKPT_E_FILE_STATE, 0, "pid %d has ended, and its number is used by the job", nr);
}

static int procfs_closed(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct path *path = kckpt_file_path(obj->file);
	pid_t pid = procfs_pid(path->dentry);
	struct task_struct *task;

	if (!pid)
		return 0;
	if (proc_pid_ns(path->dentry->d_sb) != ctx->pidns) {
		kckpt_fail(ctx, obj, KCKPT_E_TASK_NAMESPACE, 0, "%pd3 of another pid namespace", path->dentry);
		return 0;
	}
	if (procfs_has_ended(path->dentry)) {
		procfs_check_free(ctx, obj, pid);
		return 0;
	}
	rcu_read_lock();
	task = get_pid_task(find_pid_ns(pid, ctx->pidns), PIDTYPE_PID);
	rcu_read_unlock();
	obj->value = task ? kckpt_id_of(ctx, KCKPT_F_task, task) : 0;
	if (!obj->value)
		kckpt_fail(ctx, obj, KCKPT_E_FILE_OUTSIDE, 0, "%pd3, of pid %d (%s)", path->dentry, pid,
			   task ? task->comm : "ended");
	else if (procfs_mm_is_left(obj->file, task))
		kckpt_fail(ctx, obj, KCKPT_E_FILE_STATE, 0, "%pd3, of memory that the process has left", path->dentry);
	if (task)
		put_task_struct(task);
	return 0;
}

static char *procfs_name(struct kckpt_ctx *ctx, struct kckpt_object *obj, char *buf)
{
	const struct proc_ns_operations *ops;

	if (!procfs_is_namespace(obj->file))
		return kckpt_path_of_deleted(ctx, obj, kckpt_file_path(obj->file), buf);
	ops = get_proc_ns(file_inode(obj->file))->ops;
	snprintf(buf, PATH_MAX, "/proc/self/ns/%s", ops->name);
	return buf;
}

static int procfs_dump(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct path *path = kckpt_file_path(obj->file);
	struct kckpt_procfs_rec rec = {
		.task = obj->value,
		.cred = obj->file->f_mode & FMODE_PATH ? 0 : kckpt_id_of(ctx, KCKPT_F_cred, obj->file->f_cred),
		.mode = d_inode(path->dentry)->i_mode & S_IFMT,
		.ended = procfs_has_ended(path->dentry) ? procfs_pid(path->dentry) : 0,
	};
	char *buf = kckpt_alloc(PATH_MAX), *name;
	int err = -ESTALE;

	if (!buf)
		return kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, 0, "path");
	name = procfs_name(ctx, obj, buf);
	if (name) {
		rec.path_len = strlen(name);
		err = kckpt_put(ctx, obj, KCKPT_K_procfs, &rec, sizeof(rec), name, rec.path_len);
	}
	kvfree(buf);
	return err;
}

/* ---- restore ---- */

static int procfs_rec(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct kckpt_procfs_rec *rec, char **name)
{
	const void *tail;
	int err = kckpt_rec_only(ctx, obj, KCKPT_K_procfs, rec, sizeof(*rec), &rec->path_len, 1, &tail);

	if (err)
		return err;
	*name = kckpt_rec_path(ctx, obj, tail, rec->path_len);
	return *name ? 0 : -EBADMSG;
}

/* Files of processes are not there yet. */
static void procfs_check_path(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_procfs_rec *rec,
			      const char *name)
{
	struct path path;
	int err;

	if (rec->ended)
		kckpt_task_check_pid(ctx, obj, rec->ended);
	if (rec->task || rec->ended)
		return;
	err = kckpt_should_fail() ? -EIO : kern_path(name, 0, &path);
	if (err)
		kckpt_fail(ctx, obj, err == -ENOENT ? KCKPT_E_FILE_MISSING : KCKPT_E_FILE_OPEN, err, "%s", name);
	else
		path_put(&path);
}

static int procfs_check(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_procfs_rec rec;
	char *name;
	int err = procfs_rec(ctx, obj, &rec, &name);

	if (err)
		return err;
	if ((rec.task && !kckpt_ref(ctx, obj, rec.task, KCKPT_F_task)) ||
	    (rec.cred && !kckpt_ref(ctx, obj, rec.cred, KCKPT_F_cred)))
		err = -EBADMSG;
	else if ((rec.task && rec.ended) || rec.ended > PID_MAX_LIMIT || rec.reserved)
		err = kckpt_bad_image(ctx, obj, "file of proc");
	else
		procfs_check_path(ctx, obj, &rec, name);
	kfree(name);
	return err;
}

/* @cred: by whom. See the head for why that is sometimes told only afterwards. */
static struct file *procfs_open_as(const char *name, u32 open_flags, const struct cred *cred, bool afterwards)
{
	const struct cred *mine = afterwards ? NULL : override_creds(cred);
	struct file *file = kckpt_should_fail() ? ERR_PTR(-EMFILE) : filp_open(name, open_flags, 0);

	if (!afterwards) {
		revert_creds(mine);
	} else if (!IS_ERR(file)) {
		put_cred(file->f_cred);
		file->f_cred = get_cred(cred);
	}
	return file;
}

/* The path may lead anywhere: only what we would have saved, and of the same task. */
static bool procfs_agrees(struct kckpt_ctx *ctx, const struct kckpt_procfs_rec *rec, struct file *file)
{
	const struct kckpt_object *task = kckpt_objtab_get(&ctx->objs, rec->task);
	const struct dentry *dentry = file->f_path.dentry;

	/* In our pid namespace a number of the image is a process of the job; in another one, anybody. */
	if (procfs_pid(dentry) && proc_pid_ns(dentry->d_sb) != ctx->pidns)
		return false;
	return procfs_claims(file) && procfs_pid(dentry) == (task ? task->where.pid : rec->ended) &&
	       (!rec->ended || procfs_can_stand_in(file)) &&
	       !((d_inode(dentry)->i_mode ^ rec->mode) & S_IFMT);
}

static struct file *procfs_open_rec(struct kckpt_ctx *ctx, struct kckpt_object *obj, const char *name,
				    const struct kckpt_procfs_rec *rec, u32 open_flags)
{
	const struct cred *cred = rec->cred ? kckpt_cred_get(ctx, kckpt_objtab_get(&ctx->objs, rec->cred)) :
					      get_current_cred();
	struct file *file;

	if (IS_ERR(cred))
		return ERR_CAST(cred);
	/* To namespaces only a link leads. */
	if (S_ISLNK(rec->mode))
		open_flags |= O_NOFOLLOW;
	/* Whatever the path leads to: it is neither waited for, nor becomes a terminal. obj_file.c sets the flags. */
	open_flags |= O_NOCTTY | O_NONBLOCK;
	file = procfs_open_as(name, open_flags, cred, rec->task || rec->ended);
	put_cred(cred);
	if (IS_ERR(file)) {
		kckpt_fail(ctx, obj, KCKPT_E_FILE_OPEN, PTR_ERR(file), "%s", name);
	} else if (!procfs_agrees(ctx, rec, file)) {
		fput(file);
		file = ERR_PTR(kckpt_fail(ctx, obj, KCKPT_E_FILE_CHANGED, 0, "%s", name));
	}
	return file;
}

static struct file *procfs_open_ended(struct kckpt_ctx *ctx, struct kckpt_object *obj, const char *name,
				      const struct kckpt_procfs_rec *rec, u32 open_flags)
{
	struct kckpt_standin standin;
	struct file *file;
	int err = kckpt_standin_begin(&standin, rec->ended);

	if (err)
		return ERR_PTR(kckpt_fail(ctx, obj, err == -EEXIST ? KCKPT_E_PID_TAKEN : KCKPT_E_CREATE, err,
					  "pid %u, for %s", rec->ended, name));
	file = procfs_open_rec(ctx, obj, name, rec, open_flags);
	kckpt_standin_end(&standin);
	return file;
}

static struct file *procfs_open(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_file_rec *file_rec)
{
	struct kckpt_procfs_rec rec;
	struct file *file;
	char *name;
	int err = procfs_rec(ctx, obj, &rec, &name);

	if (err)
		return ERR_PTR(err);
	if (!rec.cred && !(file_rec->open_flags & O_PATH))
		file = ERR_PTR(kckpt_bad_image(ctx, obj, "a file of proc that nobody has opened"));
	else if (rec.ended)
		file = procfs_open_ended(ctx, obj, name, &rec, file_rec->open_flags);
	else
		file = procfs_open_rec(ctx, obj, name, &rec, file_rec->open_flags);
	/* The next read finds its place. To seek would read now, when there is not all to read yet. */
	if (!IS_ERR(file))
		file->f_pos = file_rec->pos;
	kfree(name);
	return file;
}

const struct kckpt_family_ops kckpt_procfs_ops = {
	.name = "procfs",
	.claims = procfs_claims,
	.collect = procfs_collect, .closed = procfs_closed, .dump = procfs_dump,
	.check = procfs_check, .open = procfs_open,
};
