// SPDX-License-Identifier: GPL-2.0
/*
 * Cgroups: that of the job and those below it. Each process is recorded with its place.
 *
 * A dump interns them first, so that all others find them. For a restore somebody has made the same tree of empty
 * cgroups, see KCKPT_IOC_CGROUPS; tasks are created right in their places.
 *
 * Refused: threads of one process in different cgroups.
 * Not saved: controllers and their settings, which are the operator's.
 */
#include <linux/cgroup.h>
#include <linux/file.h>
#include <linux/fs.h>

#include "family.h"
#include "fault.h"
#include "ksym.h"
#include "obj_cgroup.h"

static void cgroup_obj_put(void *ptr)
{
	cgroup_put(ptr);
}

static void cgroup_obj_release(struct kckpt_object *obj)
{
	if (obj->made)
		fput(obj->made);
}

/* ---- dump ---- */

/* Under cgroup_mutex: the tree stands still. */
static int cgroup_collect_tree(struct kckpt_ctx *ctx)
{
	struct cgroup_subsys_state *css;
	struct kckpt_object *obj;

	css_for_each_descendant_pre(css, &ctx->cgrp->self) {
		if (!(css->flags & CSS_ONLINE))
			continue;
		cgroup_get(css->cgroup);
		obj = kckpt_intern(ctx, KCKPT_F_cgroup, css->cgroup, &KCKPT_NOWHERE);
		if (IS_ERR(obj))
			return PTR_ERR(obj);
	}
	return 0;
}

int kckpt_cgroup_collect_tree(struct kckpt_ctx *ctx)
{
	int err;

	mutex_lock(kdata(cgroup_mutex));
	err = cgroup_collect_tree(ctx);
	mutex_unlock(kdata(cgroup_mutex));
	return err;
}

u64 kckpt_cgroup_of(struct kckpt_ctx *ctx, struct task_struct *task)
{
	u64 id;

	rcu_read_lock();
	id = kckpt_id_of(ctx, KCKPT_F_cgroup, task_dfl_cgroup(task));
	rcu_read_unlock();
	return id;
}

static int cgroup_dump(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	const struct cgroup *cgrp = obj->ptr;
	struct kckpt_cgroup_rec rec = {};
	char *buf, *name = "";
	int len = 0, err;

	buf = kckpt_alloc(PATH_MAX);
	if (!buf)
		return kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, 0, "path");
	if (cgrp != ctx->cgrp) {
		len = kernfs_path_from_node(cgrp->kn, ctx->cgrp->kn, buf, PATH_MAX);
		name = buf + 1;
	}
	if (len < 0 || len >= PATH_MAX) {
		err = kckpt_fail(ctx, obj, KCKPT_E_JOB_MOVED, 0, "a cgroup went away");
	} else {
		rec.path_len = strlen(name);
		err = kckpt_put(ctx, obj, KCKPT_K_cgroup, &rec, sizeof(rec), name, rec.path_len);
	}
	kvfree(buf);
	return err;
}

/* ---- restore ---- */

/* Names below the job's own folder, and nothing that leads out of it. */
static bool cgroup_path_sane(const char *path, u32 len)
{
	const char *name = path, *end = path + len, *slash;
	size_t n;

	for (; name <= end; name = slash + 1) {
		slash = memchr(name, '/', end - name) ?: end;
		n = slash - name;
		if (!n || n > NAME_MAX || (name[0] == '.' && (n == 1 || (n == 2 && name[1] == '.'))))
			return false;
	}
	return true;
}

static int cgroup_rec(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct kckpt_cgroup_rec *rec, const char **path)
{
	const void *tail;
	int err;

	err = kckpt_rec_only(ctx, obj, KCKPT_K_cgroup, rec, sizeof(*rec), &rec->path_len, 1, &tail);
	if (err)
		return err;
	*path = tail;
	if (rec->path_len >= PATH_MAX || memchr(tail, 0, rec->path_len) || rec->reserved ||
	    (rec->path_len && !cgroup_path_sane(tail, rec->path_len)))
		return kckpt_bad_image(ctx, obj, "path of a cgroup");
	return 0;
}

static int cgroup_check(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_cgroup_rec rec;
	const char *path;

	return cgroup_rec(ctx, obj, &rec, &path);
}

/* In the context of the session's caller. */
static int cgroup_restore(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_cgroup_rec rec;
	struct file *file;
	const char *path;
	char *name;
	int err = cgroup_rec(ctx, obj, &rec, &path);

	if (err)
		return err;
	name = kckpt_should_fail() ? NULL : kmemdup_nul(rec.path_len ? path : ".", rec.path_len ?: 1, GFP_KERNEL);
	if (!name)
		return kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, 0, "path");
	file = file_open_root(&ctx->cgroup_path, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (IS_ERR(file))
		err = kckpt_fail(ctx, obj, KCKPT_E_SUBCGROUP_MISSING, PTR_ERR(file), "%s", name);
	else
		obj->made = file;
	kfree(name);
	return err;
}

int kckpt_cgroup_open_tree(struct kckpt_ctx *ctx)
{
	struct kckpt_object *obj;
	int err = 0;

	mutex_lock(&ctx->objs.make_lock);
	kckpt_for_each_object(&ctx->objs, obj) {
		if (obj->family != KCKPT_F_cgroup || err)
			continue;
		/* An attempt before this one was made in another place. */
		cgroup_obj_release(obj);
		obj->made = NULL;
		obj->state = KCKPT_OBJ_RAW;
		err = kckpt_make(ctx, obj);
	}
	mutex_unlock(&ctx->objs.make_lock);
	return err;
}

int kckpt_cgroup_list(struct kckpt_ctx *ctx, struct kckpt_recbuf *paths, u32 *nr)
{
	struct kckpt_object *obj;
	struct kckpt_cgroup_rec rec;
	const char *path;
	int err;

	*nr = 0;
	kckpt_for_each_object(&ctx->objs, obj) {
		if (obj->family != KCKPT_F_cgroup)
			continue;
		err = cgroup_rec(ctx, obj, &rec, &path);
		if (err)
			return err;
		if (!rec.path_len)
			continue;
		err = kckpt_recbuf_add(paths, path, rec.path_len) ?: kckpt_recbuf_add(paths, "", 1);
		if (err)
			return kckpt_fail(ctx, obj, KCKPT_E_NO_MEMORY, err, "paths");
		++*nr;
	}
	return 0;
}

const struct kckpt_family_ops kckpt_cgroup_ops = {
	.name = "cgroup",
	.put = cgroup_obj_put,
	.dump = cgroup_dump,
	.check = cgroup_check, .restore = cgroup_restore,
	.release = cgroup_obj_release,
};
