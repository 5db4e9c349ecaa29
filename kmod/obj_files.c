// SPDX-License-Identifier: GPL-2.0
/*
 * Descriptor tables: which number is which open file, and close-on-exec.
 *
 * Refused: sharing with tasks outside.
 * Not saved: the size of the table, the next number to try (it is the lowest free one either way).
 */
#include <linux/close_range.h>
#include <linux/fdtable.h>
#include <linux/file.h>

#include "family.h"
#include "fault.h"
#include "ksym.h"
#include "obj_files.h"

static void files_put(void *ptr)
{
	kcall(put_files_struct)(ptr);
}

struct kckpt_object *kckpt_intern_files(struct kckpt_ctx *ctx, struct task_struct *task,
					const struct kckpt_where *where)
{
	struct files_struct *files;

	task_lock(task);
	files = task->files;
	if (files)
		atomic_inc(&files->count);
	task_unlock(task);
	if (!files)
		return ERR_PTR(kckpt_fail(ctx, NULL, KCKPT_E_JOB_MOVED, 0, "it was killed"));
	return kckpt_intern(ctx, KCKPT_F_files, files, where);
}

/* The first open file at or after *@fd, with a reference. Works on the table of any task, dead or alive. */
static struct file *files_next(struct files_struct *files, unsigned int *fd, bool *cloexec)
{
	struct file *file = NULL;
	struct fdtable *fdt;

	spin_lock(&files->file_lock);
	fdt = files_fdtable(files);
	for (; *fd < fdt->max_fds; ++*fd) {
		file = rcu_dereference_protected(fdt->fd[*fd], lockdep_is_held(&files->file_lock));
		if (!file)
			continue;
		get_file(file);
		*cloexec = test_bit(*fd, fdt->close_on_exec);
		break;
	}
	spin_unlock(&files->file_lock);
	return file;
}

#define files_for_each(file, files, fd, cloexec) \
	for ((fd) = 0; ((file) = files_next(files, &(fd), &(cloexec))); (fd)++)

/* Remembers which of the job's files belong to the outside; they are named by their descriptors. */
static void files_note_inherited(struct kckpt_ctx *ctx, struct file *file, int fd)
{
	u32 i;

	for (i = 0; i < ctx->nr_inherit; i++)
		if (ctx->inherit[i].fd == fd && !ctx->inherit_files[i])
			ctx->inherit_files[i] = get_file(file);
}

static int files_collect(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct files_struct *files = (struct files_struct *)obj->ptr;
	struct file *file;
	unsigned int fd;
	bool cloexec;
	int err = 0;

	files_for_each(file, files, fd, cloexec) {
		files_note_inherited(ctx, file, fd);
		fput(file);
	}
	files_for_each(file, files, fd, cloexec) {
		struct kckpt_where where = obj->where;

		where.fd = fd;
		err = PTR_ERR_OR_ZERO(kckpt_intern_file(ctx, file, &where));
		if (err)
			break;
	}
	return err;
}

static bool files_has_outsider(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct files_struct *files)
{
	struct task_struct *process, *task, *found = NULL;

	rcu_read_lock();
	for_each_process_thread(process, task) {
		if (READ_ONCE(task->files) == files && !kckpt_objtab_find(&ctx->objs, KCKPT_F_task, task)) {
			found = task;
			get_task_struct(found);
			goto out;
		}
	}
out:
	rcu_read_unlock();
	if (!found)
		return false;
	kckpt_fail(ctx, obj, KCKPT_E_TASK_SHARES, 0, "descriptors are also used by pid %d (%s)",
		   task_pid_nr_ns(found, ctx->pidns), found->comm);
	put_task_struct(found);
	return true;
}

/* A count too high for a moment is a reader of /proc/PID/fd. */
static int files_closed(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct files_struct *files = (struct files_struct *)obj->ptr;

	if (atomic_read(&files->count) > obj->seen + 1)
		files_has_outsider(ctx, obj, files);
	return 0;
}

static int files_put_rows(struct kckpt_ctx *ctx, struct kckpt_object *obj, u32 *nr)
{
	struct files_struct *files = (struct files_struct *)obj->ptr;
	struct kckpt_fd_rec rec = {};
	struct file *file;
	bool cloexec;
	int err = 0;

	files_for_each(file, files, rec.fd, cloexec) {
		rec.file = kckpt_id_of(ctx, KCKPT_F_file, file);
		rec.fd_flags = cloexec ? FD_CLOEXEC : 0;
		fput(file);
		if (!rec.file)
			return kckpt_fail(ctx, obj, KCKPT_E_JOB_MOVED, 0, "descriptor %u appeared", rec.fd);
		if (nr)
			++*nr;
		else
			err = kckpt_put(ctx, obj, KCKPT_K_fd, &rec, sizeof(rec), NULL, 0);
		if (err)
			break;
	}
	return err;
}

static int files_dump(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_files_rec rec = {};

	return files_put_rows(ctx, obj, &rec.nr_fds) ?:
	       kckpt_put(ctx, obj, KCKPT_K_files, &rec, sizeof(rec), NULL, 0) ?:
	       files_put_rows(ctx, obj, NULL);
}

/* ---- restore ---- */

static int fd_rec(struct kckpt_ctx *ctx, const struct kckpt_object *obj, const struct kckpt_rec *rec,
		  struct kckpt_fd_rec *fd)
{
	return kckpt_rec_get(ctx, obj, rec, fd, sizeof(*fd), NULL, 0, NULL);
}

static int files_check(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct kckpt_rec *rec;
	struct kckpt_files_rec files;
	struct kckpt_object *file;
	struct kckpt_fd_rec row;
	u32 nr = 0, least = 0;
	int err;

	err = kckpt_rec_only(ctx, obj, KCKPT_K_files, &files, sizeof(files), NULL, 0, NULL);
	if (err)
		return err;
	kckpt_for_each_rec(rec, obj, KCKPT_K_fd) {
		err = fd_rec(ctx, obj, rec, &row);
		if (err)
			return err;
		if (row.fd >= kvalue(sysctl_nr_open))
			return kckpt_fail(ctx, obj, KCKPT_E_IMAGE_LIMIT, 0, "descriptor %u; see fs.nr_open", row.fd);
		/* In order, and so none twice: the first one would not stay. */
		if (row.fd < least || row.fd_flags & ~FD_CLOEXEC)
			return kckpt_bad_image(ctx, obj, "descriptor %u", row.fd);
		least = row.fd + 1;
		file = kckpt_ref(ctx, obj, row.file, KCKPT_F_file);
		if (!file)
			return -EBADMSG;
		if (file->where.fd < 0)
			file->where.fd = row.fd;
		nr++;
	}
	return nr == files.nr_fds ? 0 : kckpt_bad_image(ctx, obj, "number of descriptors");
}

int kckpt_files_mark(struct kckpt_ctx *ctx, struct kckpt_object *files)
{
	const struct kckpt_rec *rec;
	struct kckpt_fd_rec row;
	int err = 0;

	kckpt_for_each_rec(rec, files, KCKPT_K_fd) {
		err = fd_rec(ctx, files, rec, &row);
		if (err)
			break;
		kckpt_objtab_get(&ctx->objs, row.file)->seen = files->id;
		cond_resched();
	}
	return err;
}

static int files_install(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_fd_rec *row)
{
	struct kckpt_object *file = kckpt_objtab_get(&ctx->objs, row->file);
	u32 flags = row->fd_flags & FD_CLOEXEC ? O_CLOEXEC : 0;
	int err;

	if (mutex_lock_killable(&ctx->objs.make_lock))
		return kckpt_fail(ctx, file, KCKPT_E_INTERRUPTED, 0, "descriptor %u", row->fd);
	err = kckpt_make(ctx, file);
	if (!err) {
		/* Under the lock, too: another task may just borrow a number of the same table to make something. */
		err = kckpt_should_fail() ? -EMFILE : kcall(replace_fd)(row->fd, file->made, flags);
		if (err < 0)
			kckpt_fail(ctx, file, KCKPT_E_CREATE, err, "descriptor %u", row->fd);
	}
	mutex_unlock(&ctx->objs.make_lock);
	return min(err, 0);
}

static int files_restore(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct kckpt_rec *rec;
	struct kckpt_fd_rec row;
	int err;

	kckpt_for_each_rec(rec, obj, KCKPT_K_fd) {
		err = fd_rec(ctx, obj, rec, &row) ?: files_install(ctx, obj, &row);
		if (!err && fatal_signal_pending(current))
			err = -EINTR;
		if (err)
			return err;
		cond_resched();
	}
	atomic_inc(&current->files->count);
	obj->made = current->files;
	return 0;
}

static void files_release(struct kckpt_object *obj)
{
	if (obj->made)
		kcall(put_files_struct)(obj->made);
}

void kckpt_files_adopt(struct kckpt_object *obj)
{
	struct files_struct *files = obj->made, *old = current->files;

	if (files == old)
		return;
	atomic_inc(&files->count);
	task_lock(current);
	current->files = files;
	task_unlock(current);
	kcall(put_files_struct)(old);
}

struct file *kckpt_files_take(int fd)
{
	struct file *file = fget(fd);

	close_fd(fd);
	return file ?: ERR_PTR(-EBADF);
}

int kckpt_files_disown(struct kckpt_ctx *ctx, struct kckpt_object *process)
{
	/* Leaves out all but what fits into the smallest table; these few are closed below. */
	struct fd_range all = { 0, UINT_MAX };
	struct files_struct *empty, *old;
	unsigned int fd;

	empty = kckpt_should_fail() ? ERR_PTR(-ENOMEM) : kcall(dup_fd)(current->files, &all);
	if (IS_ERR(empty))
		return kckpt_fail(ctx, process, KCKPT_E_NO_MEMORY, PTR_ERR(empty), "descriptor table");
	task_lock(current);
	old = current->files;
	current->files = empty;
	task_unlock(current);
	for (fd = 0; fd < NR_OPEN_DEFAULT; fd++)
		close_fd(fd);
	kcall(put_files_struct)(old);
	/* Had the caller died, that closed its files, and the session with them: not to be put off until we exit. */
	if (task_work_pending(current))
		kcall(task_work_run)();
	return 0;
}

const struct kckpt_family_ops kckpt_files_ops = {
	.name = "files",
	.put = files_put,
	.collect = files_collect, .closed = files_closed, .dump = files_dump,
	.check = files_check, .restore = files_restore,
	.release = files_release,
};
