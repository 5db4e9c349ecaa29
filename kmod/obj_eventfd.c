// SPDX-License-Identifier: GPL-2.0
/*
 * Event counters (eventfd). One open file each: the counter and its kind are saved here, obj_file.c saves the flags.
 *
 * Refused: counters that somebody outside the job has open, or that the kernel itself adds to (AIO, KVM, vhost).
 * Not saved: the number that fdinfo shows, who waits (they wait again).
 */
#include <linux/delay.h>
#include <linux/eventfd.h>
#include <linux/file.h>

#include "compat/eventfd.h"
#include "family.h"
#include "fault.h"
#include "ksym.h"
#include "obj_files.h"

/* The counter behind @file, which holds it; NULL if it is none. */
static struct kckpt_eventfd_ctx *eventfd_of(struct file *file)
{
	struct eventfd_ctx *counter = eventfd_ctx_fileget(file);

	if (IS_ERR(counter))
		return NULL;
	eventfd_ctx_put(counter);
	return (struct kckpt_eventfd_ctx *)counter;
}

static bool eventfd_claims(struct file *file)
{
	return eventfd_of(file);
}

/* ---- dump ---- */

/* The file has one reference; another session that looks for a moment has one, too. */
static int eventfd_closed(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_eventfd_ctx *counter = eventfd_of(obj->file);
	int i;

	for (i = 0; i < 3; i++) {
		if (kref_read(&counter->kref) == 1)
			return 0;
		msleep(1);
	}
	kckpt_fail(ctx, obj, KCKPT_E_FILE_STATE, 0, "an event counter that the kernel adds to");
	return 0;
}

static int eventfd_dump(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_eventfd_ctx *counter = eventfd_of(obj->file);
	struct kckpt_eventfd_rec rec = {};

	spin_lock_irq(&counter->wqh.lock);
	rec.count = counter->count;
	rec.semaphore = !!(counter->flags & EFD_SEMAPHORE);
	spin_unlock_irq(&counter->wqh.lock);
	return kckpt_put(ctx, obj, KCKPT_K_eventfd, &rec, sizeof(rec), NULL, 0);
}

/* ---- restore ---- */

static void eventfd_release(struct kckpt_object *obj)
{
	if (obj->made)
		fput(obj->made);
}

static int eventfd_rec(struct kckpt_ctx *ctx, struct kckpt_object *obj, struct kckpt_eventfd_rec *rec)
{
	return kckpt_rec_only(ctx, obj, KCKPT_K_eventfd, rec, sizeof(*rec), NULL, 0, NULL);
}

static int eventfd_check(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_eventfd_rec rec;
	int err = eventfd_rec(ctx, obj, &rec);

	if (!err && (rec.semaphore > 1 || rec.reserved))
		err = kckpt_bad_image(ctx, obj, "event counter");
	return err;
}

static int eventfd_restore(struct kckpt_ctx *ctx, struct kckpt_object *obj)
{
	struct kckpt_eventfd_ctx *counter;
	struct kckpt_eventfd_rec rec;
	struct pt_regs regs = {};
	struct file *file;
	long fd;
	int err = eventfd_rec(ctx, obj, &rec);

	if (err)
		return err;
	regs.si = rec.semaphore ? EFD_SEMAPHORE : 0;
	fd = kckpt_should_fail() ? -EMFILE : kcall(__x64_sys_eventfd2)(&regs);
	file = fd < 0 ? ERR_PTR(fd) : kckpt_files_take(fd);
	if (IS_ERR(file))
		return kckpt_fail(ctx, obj, KCKPT_E_CREATE, PTR_ERR(file), "event counter");
	obj->made = file;
	/* The call takes 32 bits, and writing the rest wants memory of the program. */
	counter = eventfd_of(file);
	if (!counter)
		return kckpt_fail(ctx, obj, KCKPT_E_CREATE, -EIO, "event counter");
	spin_lock_irq(&counter->wqh.lock);
	counter->count = rec.count;
	spin_unlock_irq(&counter->wqh.lock);
	return 0;
}

static struct file *eventfd_open(struct kckpt_ctx *ctx, struct kckpt_object *obj, const struct kckpt_file_rec *rec)
{
	int err = kckpt_make(ctx, obj);

	return err ? ERR_PTR(err) : get_file(obj->made);
}

const struct kckpt_family_ops kckpt_eventfd_ops = {
	.name = "eventfd", .outside = KCKPT_E_FILE_OUTSIDE,
	.claims = eventfd_claims,
	.closed = eventfd_closed, .dump = eventfd_dump,
	.check = eventfd_check, .restore = eventfd_restore, .open = eventfd_open,
	.release = eventfd_release,
};
