// SPDX-License-Identifier: GPL-2.0
/* See session.h: the states, the requests, the watchdog, and what is dropped at the end. */
#include <linux/cgroup.h>
#include <linux/fs_struct.h>
#include <linux/module.h>
#include <linux/pid_namespace.h>
#include <linux/sched/signal.h>

#include "compat/file.h"
#include "fault.h"
#include "ksym.h"
#include "obj_cgroup.h"
#include "obj_group.h"
#include "obj_process.h"
#include "session.h"
#include "shadow.h"
#include "share.h"
#include "snapshot.h"

#define DEFAULT_FREEZE_MS	10000
#define DEFAULT_COMMIT_MS	10000
#define DEFAULT_STALL_MS	60000
#define KILL_MS			10000

/* What a dump still had to read: a page that we hold would be copied when the job writes to it. */
static void session_drop_memory(struct kckpt_session *session)
{
	kckpt_share_end(session->ctx.share);
	session->ctx.share = NULL;
	if (session->save) {
		kckpt_batch_put(&session->save->batch);
		kckpt_stream_drop(&session->save->stream);
	}
	(void)kckpt_cow_end(&session->cow);
	kckpt_snapshot_put(session->snapshot);
	session->snapshot = NULL;
	if (!session->load)
		kckpt_shadow_drop(&session->ctx);
	kckpt_snapshot_close(&session->ctx);
}

/* ---- the watchdog ---- */

static u32 watchdog_verdict(struct kckpt_session *session)
{
	unsigned long now = jiffies, pause = READ_ONCE(session->pause);

	if (pause && kckpt_freezer_pause_ns(&session->freezer) > jiffies_to_nsecs(pause))
		return KCKPT_E_PAUSE_BOUND;
	if (session->stall && time_after(now, READ_ONCE(session->ctx.progress) + session->stall))
		return KCKPT_E_WATCHDOG;
	return 0;
}

static void watchdog_schedule(struct kckpt_session *session)
{
	bool often = READ_ONCE(session->pause) || READ_ONCE(session->cow.cgrp);

	schedule_delayed_work(&session->watchdog, often ? HZ / 50 : HZ);
}

static void watchdog_expire(struct kckpt_session *session, int err)
{
	WRITE_ONCE(session->expired, err);
	kckpt_crew_kill(session);
	kckpt_freezer_expire(&session->freezer);
	kckpt_event_expired(session);
	kckpt_event_thawed(session);
	kckpt_session_wake(session);
}

/* Who has the session may be one who drops nothing, or be long about it: then once more. */
static void watchdog_drop_memory(struct kckpt_session *session)
{
	if (!mutex_trylock(&session->lock)) {
		schedule_delayed_work(&session->watchdog, HZ / 50);
		return;
	}
	session_drop_memory(session);
	mutex_unlock(&session->lock);
}

/* Waits for no session lock: the request that hangs may hold it. */
static void session_watchdog(struct work_struct *work)
{
	struct kckpt_session *session = container_of(work, struct kckpt_session, watchdog.work);
	u32 code = session->expired ? 0 : watchdog_verdict(session);
	int err = code ? kckpt_fail(&session->ctx, NULL, code, 0, "") :
			 kckpt_cow_check(&session->ctx, &session->cow);

	if (err && !session->expired)
		watchdog_expire(session, err);
	if (session->expired)
		watchdog_drop_memory(session);
	else
		watchdog_schedule(session);
}

static void watchdog_start(struct kckpt_session *session, u32 stall_ms, u32 pause_ms)
{
	kckpt_progress(&session->ctx);
	session->stall = msecs_to_jiffies(stall_ms ?: DEFAULT_STALL_MS);
	session->pause = msecs_to_jiffies(pause_ms);
	watchdog_schedule(session);
}

static void watchdog_stop(struct kckpt_session *session)
{
	cancel_delayed_work_sync(&session->watchdog);
}

/* ---- begin and end ---- */

static int session_init(struct kckpt_session *session)
{
	struct kckpt_ctx *ctx = &session->ctx;
	int err;

	kref_init(&session->ref);
	mutex_init(&session->lock);
	init_waitqueue_head(&session->wait);
	kckpt_cow_init(&session->cow);
	INIT_DELAYED_WORK(&session->watchdog, session_watchdog);
	kckpt_freezer_init(&session->freezer);
	kckpt_crew_init(&session->crew);
	kckpt_recbuf_init(&ctx->records);
	ctx->crew = &session->crew;
	err = kckpt_report_init(&ctx->report);
	if (err)
		return err;
	err = kckpt_objtab_init(&ctx->objs);
	if (err) {
		kckpt_report_free(&ctx->report);
		return err;
	}
	ctx->pidns = get_pid_ns(task_active_pid_ns(current));
	ctx->cred = get_current_cred();
	get_fs_root(current->fs, &ctx->root);
	kckpt_events_open(session);
	return 0;
}

struct kckpt_session *kckpt_session_open(void)
{
	struct kckpt_session *session = kckpt_alloc(sizeof(*session));
	int err;

	if (!session)
		return ERR_PTR(-ENOMEM);
	err = session_init(session);
	if (err) {
		kvfree(session);
		return ERR_PTR(err);
	}
	__module_get(THIS_MODULE);
	return session;
}

static void drop_inherit(struct kckpt_ctx *ctx)
{
	u32 i;

	for (i = 0; ctx->inherit_files && i < ctx->nr_inherit; i++)
		if (ctx->inherit_files[i])
			fput(ctx->inherit_files[i]);
	kvfree(ctx->inherit_files);
	kvfree(ctx->inherit);
	ctx->inherit_files = NULL;
	ctx->inherit = NULL;
	ctx->nr_inherit = 0;
	kckpt_outside_drop(ctx);
}

/* Nobody is left: neither the file nor a restored task. */
static void session_free(struct kref *ref)
{
	struct kckpt_session *session = container_of(ref, struct kckpt_session, ref);
	struct kckpt_ctx *ctx = &session->ctx;

	kckpt_save_free(session->save);
	kckpt_share_end(ctx->share);
	kckpt_load_free(session->load);
	path_put(&ctx->cgroup_path);
	kckpt_objtab_free(&ctx->objs);
	kckpt_recbuf_free(&ctx->records);
	drop_inherit(ctx);
	kckpt_report_free(&ctx->report);
	path_put(&ctx->root);
	put_cred(ctx->cred);
	put_pid_ns(ctx->pidns);
	kckpt_events_free(session);
	kvfree(session);
	module_put(THIS_MODULE);
}

void kckpt_session_put(struct kckpt_session *session)
{
	kref_put(&session->ref, session_free);
}

/* The job runs on, or is gone: nothing of it is held any more but what was kept. */
static void session_release_job(struct kckpt_session *session)
{
	kckpt_freezer_unlist(&session->ctx);
	kckpt_freezer_drop(&session->freezer);
	kckpt_event_thawed(session);
	session->ctx.cgrp = NULL;
	if (session->load)
		return;
	drop_inherit(&session->ctx);
	kckpt_objtab_let_go(&session->ctx.objs, KCKPT_HELD_NONE);
}

/* What is held goes now; what restored tasks still need goes with the last of them. */
static void session_rollback(struct kckpt_session *session)
{
	watchdog_stop(session);
	if (session->load && session->state != KCKPT_DONE)
		kckpt_crew_kill(session);
	session_release_job(session);
	session_drop_memory(session);
}

void kckpt_session_release(struct kckpt_session *session)
{
	session_rollback(session);
	kckpt_event_closed(session);
	kckpt_session_put(session);
}

/* The end that all requests share: nothing is held any more. */
static void session_end(struct kckpt_session *session, enum kckpt_state state)
{
	session_rollback(session);
	session->state = state;
}

static int session_failed(struct kckpt_session *session, int err)
{
	session_rollback(session);
	if (session->load)
		kckpt_ahead_end(&session->load->ahead);
	kckpt_crew_reap(session);
	/* Ids, memory and files of what was begun; with somebody left, who may need them, they go with the last one. */
	if (session->load && !READ_ONCE(session->crew.live))
		kckpt_objtab_release_made(&session->ctx.objs);
	session->state = KCKPT_FAILED;
	session->error = err;
	return err;
}

/* Is the request allowed now? @states: bits of enum kckpt_state. */
static int session_enter(struct kckpt_session *session, u32 states)
{
	int err = kckpt_session_check(session);

	if (err)
		return session->state == KCKPT_FAILED ? err : session_failed(session, err);
	if (BIT(session->state) & states)
		return 0;
	/* Once more: LOAD keeps it to itself when it has moved something before. */
	if (session->state == KCKPT_FAILED && session->error)
		return session->error;
	return kckpt_fail(&session->ctx, NULL, KCKPT_E_BAD_STATE, 0, "state %u", session->state);
}

/* The same for the requests that begin something: what the report had is about another one. */
static int session_begin(struct kckpt_session *session, u32 states)
{
	int err = session_enter(session, states);

	if (!err)
		kckpt_report_clear(&session->ctx.report);
	return err;
}

/* ---- dump ---- */

int kckpt_session_freeze(struct kckpt_session *session, const struct kckpt_freeze *req)
{
	struct kckpt_ctx *ctx = &session->ctx;
	int err;

	err = session_begin(session, BIT(KCKPT_EMPTY)) ?:
	      kckpt_freezer_hold(ctx, &session->freezer, req->cgroup);
	if (err)
		return err;
	kckpt_event_begun(session, KCKPT_OP_FREEZE);
	/* The bound of the pause counts from the request on, so the watchdog is there before it. */
	watchdog_start(session, req->stall_ms, req->max_pause_ms);
	err = kckpt_freezer_freeze(ctx, &session->freezer, req->timeout_ms ?: DEFAULT_FREEZE_MS);
	err = kckpt_session_check(session) ?: err;
	if (err) {
		session_end(session, KCKPT_EMPTY);
		return err;
	}
	ctx->cgrp = session->freezer.cgrp;
	session->state = KCKPT_FROZEN;
	kckpt_event_frozen(session);
	return 0;
}

/* The array of descriptors of the outside, from user space. */
static int copy_inherit(struct kckpt_ctx *ctx, u64 user, u32 nr)
{
	u32 i;

	drop_inherit(ctx);
	if (!nr)
		return 0;
	if (nr > KCKPT_MAX_INHERIT)
		return -E2BIG;
	ctx->inherit = kckpt_alloc(nr * sizeof(*ctx->inherit));
	ctx->inherit_files = kckpt_alloc(nr * sizeof(*ctx->inherit_files));
	if (!ctx->inherit || !ctx->inherit_files)
		return kckpt_fail(ctx, NULL, KCKPT_E_NO_MEMORY, 0, "inherit");
	if (kckpt_copy_in(ctx->inherit, u64_to_user_ptr(user), nr * sizeof(*ctx->inherit)))
		return -EFAULT;
	for (i = 0; i < nr; i++) {
		const struct kckpt_inherit *in = &ctx->inherit[i];

		if (in->reserved || !in->name[0] || strnlen(in->name, sizeof(in->name)) == sizeof(in->name))
			return -EINVAL;
	}
	ctx->nr_inherit = nr;
	return 0;
}

static u64 image_bytes(const struct kckpt_ctx *ctx)
{
	return ctx->records.bytes + ctx->nr_pages * PAGE_SIZE;
}

static void capture_result(struct kckpt_session *session, struct kckpt_capture *req)
{
	struct kckpt_ctx *ctx = &session->ctx;
	struct kckpt_object *obj;

	req->image_bytes = image_bytes(ctx);
	req->kept = ctx->kept;
	memcpy(req->image, ctx->image, sizeof(req->image));
	req->nr_tasks = ctx->nr_tasks;
	req->nr_objects = ctx->objs.nr;
	kckpt_for_each_object(&ctx->objs, obj) {
		if (obj->family != KCKPT_F_process)
			continue;
		req->root_pid = obj->where.pid;
		break;
	}
}

/* Forget a walk, so that another one can be made. */
static int capture_forget(struct kckpt_session *session)
{
	struct kckpt_ctx *ctx = &session->ctx;

	kckpt_share_end(ctx->share);
	ctx->share = NULL;
	kckpt_shadow_drop(ctx);
	kckpt_snapshot_close(ctx);
	ctx->kept = KCKPT_KEPT_NOT;
	memset(ctx->outside_group, 0, sizeof(ctx->outside_group));
	kckpt_objtab_free(&ctx->objs);
	kckpt_recbuf_free(&ctx->records);
	ctx->nr_records = ctx->nr_tasks = ctx->nr_pages = 0;
	return kckpt_objtab_init(&ctx->objs);
}

int kckpt_session_capture(struct kckpt_session *session, struct kckpt_capture *req)
{
	bool check_only = req->flags & KCKPT_CAPTURE_CHECK;
	struct kckpt_ctx *ctx = &session->ctx;
	ktime_t start = ktime_get();
	int err, forget;

	const u32 known = KCKPT_CAPTURE_CHECK | KCKPT_CAPTURE_FILES | KCKPT_CAPTURE_KEEP | KCKPT_CAPTURE_PARENT |
			  KCKPT_CAPTURE_SNAPSHOT | KCKPT_CAPTURE_KILL;

	if (req->flags & ~known || req->reserved2)
		return -EINVAL;
	if ((req->flags & KCKPT_CAPTURE_SNAPSHOT || req->max_cow) && !(req->flags & KCKPT_CAPTURE_KEEP))
		return -EINVAL;
	if (!(req->flags & KCKPT_CAPTURE_PARENT) == !!memchr_inv(req->parent, 0, sizeof(req->parent)))
		return -EINVAL;
	err = session_begin(session, BIT(KCKPT_FROZEN)) ?: copy_inherit(ctx, req->inherit, req->nr_inherit) ?:
	      kckpt_outside_copy(ctx, req->external, req->nr_external);
	if (err)
		return err;
	if (!session->save)
		session->save = kckpt_save_alloc();
	if (!session->save)
		return kckpt_fail(ctx, NULL, KCKPT_E_NO_MEMORY, 0, "stream");
	ctx->capture_flags = req->flags;
	session->cow.max = req->max_cow;
	ctx->cgroup_id = cgroup_id(ctx->cgrp);
	if (req->flags & KCKPT_CAPTURE_PARENT)
		err = kckpt_snapshot_open(ctx, req->parent);
	if (!err)
		err = kckpt_capture(ctx, session->save, check_only);
	session->capture_ns = ktime_to_ns(ktime_sub(ktime_get(), start));
	if (!err)
		err = kckpt_session_check(session);
	if (!err) {
		capture_result(session, req);
		kckpt_event_captured(session, req);
	}
	if (!err && !check_only) {
		session->state = KCKPT_CAPTURED;
		return 0;
	}
	kckpt_save_free(session->save);
	session->save = NULL;
	forget = capture_forget(session);
	if (forget)
		session_failed(session, forget);
	return err ?: forget;
}

/* Nothing is left to be read; and if the job runs already, nothing to be watched. */
static void session_saved(struct kckpt_session *session)
{
	struct kckpt_snapshot *snapshot = NULL;

	if (session->ctx.capture_flags & KCKPT_CAPTURE_SNAPSHOT && session->ctx.kept == KCKPT_KEPT)
		snapshot = kckpt_snapshot_make(&session->ctx);
	if (session->ctx.cgrp)
		session_drop_memory(session);
	else
		session_rollback(session);
	session->snapshot = snapshot;
}

/* The stream has all pages: what was kept need not stay, unless for the next increment. */
static int session_has_pages(struct kckpt_session *session)
{
	int err = kckpt_cow_end(&session->cow);

	if (err || session->ctx.capture_flags & KCKPT_CAPTURE_SNAPSHOT)
		return err;
	kckpt_share_end(session->ctx.share);
	session->ctx.share = NULL;
	kckpt_shadow_drop(&session->ctx);
	return 0;
}

/* Makes more of the image. */
static int session_fill(struct kckpt_session *session)
{
	struct kckpt_ctx *ctx = &session->ctx;
	bool at_tail = false;
	int err = kckpt_save_fill(ctx, session->save, &at_tail);

	if (err || !at_tail)
		return err;
	/* Pages were read from a job that must not have moved meanwhile, unless they were kept. */
	err = kckpt_session_check(session) ?: ctx->kept == KCKPT_KEPT ? 0 : kckpt_capture_verify(ctx);
	if (!err)
		err = session_has_pages(session);
	if (err)
		session->save->err = err;
	return err ?: kckpt_save_fill(ctx, session->save, &at_tail);
}

/* While a file is written to, the next chunk is made. */
static ssize_t session_take(struct kckpt_session *session, struct kckpt_chunk *chunk, u32 from, u32 len)
{
	struct kckpt_sink *sink = &session->save->sink;
	ssize_t n;

	if (fatal_signal_pending(current))
		return -EINTR;
	if (sink->apart)
		kckpt_save_ahead(&session->ctx, session->save);
	n = sink->take(sink, chunk, from, len);
	kckpt_save_join(session->save);
	return n;
}

/* Is there more to come of what is taken next? A worker ends where something has to be waited for. */
static bool session_has_part(const struct kckpt_session *session)
{
	const struct kckpt_save *save = session->save;

	return save->sink.apart && !save->has_pages && kckpt_stream_left(&save->stream) < KCKPT_CHUNK_SIZE;
}

/* What the sink has room for. Bytes; 0: the image is complete; or a negative errno, the sink's own or @failed. */
static ssize_t session_fill_sink(struct kckpt_session *session, bool *failed)
{
	struct kckpt_stream *stream = &session->save->stream;
	struct kckpt_sink *sink = &session->save->sink;
	u64 done = 0, start = ktime_get_ns();
	struct kckpt_chunk *chunk;
	ssize_t n = 0;
	u32 from, len;

	while (done < sink->room && n >= 0) {
		chunk = kckpt_stream_next(stream, &from, &len);
		if (!chunk && session->save->phase == KCKPT_SAVE_DONE)
			break;
		if (!chunk && WARN_ON_ONCE(kckpt_stream_left(stream)))
			session->save->err = -EIO;
		if (!chunk || (session_has_part(session) && !fatal_signal_pending(current))) {
			n = session_fill(session);
			*failed = n < 0 && !done;
			continue;
		}
		n = session_take(session, chunk, from, min_t(u64, len, sink->room - done));
		if (n < 0)
			break;
		stream->taken += n;
		done += n;
		kckpt_event_progress(session);
		n = kckpt_session_check(session) ?: kckpt_cow_check(&session->ctx, &session->cow);
		*failed = n < 0;
	}
	session->transfer_ns += ktime_get_ns() - start;
	return *failed || !done ? n : done;
}

/* A request for bytes of the image, into save->sink, which is gone when it was the last. As session_fill_sink(). */
static ssize_t session_pour(struct kckpt_session *session)
{
	bool failed = false;
	ssize_t n = session_fill_sink(session, &failed);

	/* EINTR would mean that it may be tried again. */
	if (failed)
		return session_failed(session, n == -EINTR ? -EIO : n);
	if (session->save->phase == KCKPT_SAVE_DONE && !kckpt_stream_left(&session->save->stream)) {
		session->state = KCKPT_SAVED;
		kckpt_event_saved(session);
		session_saved(session);
	}
	return n;
}

/* Is there more of the image? Or a negative errno. */
static int session_may_pour(struct kckpt_session *session)
{
	return session->state == KCKPT_SAVED ? 0 : session_enter(session, BIT(KCKPT_CAPTURED)) ?: 1;
}

/* Asked once: it has to look into each thread's memory. */
static bool session_ends_quietly(struct kckpt_session *session)
{
	struct kckpt_save *save = session->save;

	if (!save->asked_for_end)
		save->ends_quietly = session->ctx.capture_flags & KCKPT_CAPTURE_KILL &&
				     kckpt_kill_is_quiet(&session->ctx);
	save->asked_for_end = true;
	return save->ends_quietly;
}

/* @stay: whoever gets pages may keep them for longer than the job stands still. */
static void session_set_pages(struct kckpt_session *session, bool stay)
{
	session->save->stream.pages = session->ctx.kept == KCKPT_KEPT ? KCKPT_PAGES_STAY :
				      !stay			      ? KCKPT_PAGES_CHANGE :
				      session_ends_quietly(session)   ? KCKPT_PAGES_STAY : KCKPT_PAGES_COPY;
}

ssize_t kckpt_session_read(struct kckpt_session *session, struct iov_iter *to)
{
	int more = session_may_pour(session);

	if (more <= 0)
		return more;
	session_set_pages(session, false);
	kckpt_sink_iter(&session->save->sink, to);
	return session_pour(session);
}

ssize_t kckpt_session_splice(struct kckpt_session *session, struct pipe_inode_info *pipe, size_t len)
{
	int more = session_may_pour(session);

	if (more <= 0)
		return more;
	session_set_pages(session, true);
	kckpt_sink_pipe(&session->save->sink, &session->save->stream, pipe, len);
	return session_pour(session);
}

/*
 * What is spliced next: looked up and copied without the lock of a pipe, which somebody can read from meanwhile. Where
 * nothing is to be added that is no progress: nobody may be reading any more.
 */
static int session_save_ahead(struct kckpt_session *session, struct kckpt_transfer *req)
{
	unsigned long progress = READ_ONCE(session->ctx.progress);
	u64 start = ktime_get_ns(), at;
	int more, err;

	if (req->fd != -1 || req->bytes)
		return -EINVAL;
	more = session_may_pour(session);
	if (more <= 0)
		return more;
	session_set_pages(session, true);
	at = session->save->stream.at;
	err = session_fill(session);
	session->transfer_ns += ktime_get_ns() - start;
	if (err)
		return session_failed(session, err == -EINTR ? -EIO : err);
	if (session->save->stream.at == at)
		WRITE_ONCE(session->ctx.progress, progress);
	req->bytes = kckpt_stream_left(&session->save->stream);
	return 0;
}

int kckpt_session_save(struct kckpt_session *session, struct kckpt_transfer *req)
{
	struct file *file;
	ssize_t n;
	int err;

	if (req->flags == KCKPT_TRANSFER_AHEAD)
		return session_save_ahead(session, req);
	if (req->flags)
		return -EINVAL;
	err = session_enter(session, BIT(KCKPT_CAPTURED) | BIT(KCKPT_SAVED));
	if (err)
		return err;
	file = fget(req->fd);
	if (!file)
		return -EBADF;
	if (session->state == KCKPT_CAPTURED)
		session_set_pages(session, false);
	n = session->state == KCKPT_SAVED ? 0 : kckpt_sink_file(&session->save->sink, file, req->bytes ?: U64_MAX);
	if (!n && session->state == KCKPT_CAPTURED)
		n = session_pour(session);
	fput(file);
	req->bytes = max_t(ssize_t, n, 0);
	return min_t(ssize_t, n, 0);
}

#define HOLDS_JOB (BIT(KCKPT_FROZEN) | BIT(KCKPT_CAPTURED) | BIT(KCKPT_SAVED))

/* For the requests that are about the job: it may have been let go, and only what was kept of it is there. */
static int session_enter_with_job(struct kckpt_session *session, u32 states)
{
	int err = session_enter(session, states);

	if (err || session->ctx.cgrp)
		return err;
	return kckpt_fail(&session->ctx, NULL, KCKPT_E_BAD_STATE, 0, "it runs already");
}

/* The image is still to be read. */
static int session_let_go(struct kckpt_session *session)
{
	int err = 0;

	if (session->save->phase <= KCKPT_SAVE_PAGES)
		err = kckpt_cow_begin(&session->ctx, &session->cow, session->ctx.cgrp);
	if (err)
		return session_failed(session, err);
	WRITE_ONCE(session->pause, 0);
	/* It may have been about to look again only in a second. */
	if (cancel_delayed_work(&session->watchdog))
		watchdog_schedule(session);
	session_release_job(session);
	return 0;
}

int kckpt_session_thaw(struct kckpt_session *session)
{
	int err = session_enter_with_job(session, HOLDS_JOB);

	if (err)
		return err;
	if (session->ctx.kept == KCKPT_KEPT && session->state == KCKPT_CAPTURED)
		return session_let_go(session);
	session_end(session, KCKPT_DONE);
	return 0;
}

int kckpt_session_kill(struct kckpt_session *session)
{
	/* Not in FROZEN: what nobody has looked at may have sub-cgroups. */
	int err = session_enter_with_job(session, BIT(KCKPT_CAPTURED) | BIT(KCKPT_SAVED));

	if (err)
		return err;
	/* From here on the watchdog must not thaw what is about to be killed. */
	watchdog_stop(session);
	err = READ_ONCE(session->expired) ?: kckpt_kill(&session->ctx, session->save->ends_quietly, KILL_MS);
	if (err)
		return session_failed(session, err);
	kckpt_event_killed(session);
	session_end(session, KCKPT_DONE);
	return err;
}

int kckpt_session_retain(struct kckpt_session *session)
{
	int err = session_enter(session, BIT(KCKPT_SAVED));

	if (err)
		return err;
	if (!session->snapshot)
		return kckpt_fail(&session->ctx, NULL, KCKPT_E_NO_SNAPSHOT, 0, "");
	kckpt_snapshot_retain(session->snapshot);
	session->snapshot = NULL;
	return 0;
}

int kckpt_session_forget(struct kckpt_forget *req)
{
	struct cgroup *cgrp;

	if (req->flags || req->reserved)
		return -EINVAL;
	if (req->cgroup < 0) {
		req->nr = kckpt_snapshot_forget(0);
		return 0;
	}
	cgrp = cgroup_get_from_fd(req->cgroup);
	if (IS_ERR(cgrp))
		return PTR_ERR(cgrp);
	req->nr = kckpt_snapshot_forget(cgroup_id(cgrp));
	cgroup_put(cgrp);
	return 0;
}

int kckpt_session_release_frozen(struct kckpt_session *session)
{
	int err = session_enter_with_job(session, HOLDS_JOB);

	if (err)
		return err;
	kckpt_freezer_give(&session->freezer);
	kckpt_event_released(session);
	session_end(session, KCKPT_DONE);
	return 0;
}

/* ---- restore ---- */

/* EBUSY would mean the end of the records, EINTR that it may be tried again. */
static int session_write_failed(struct kckpt_session *session, int err)
{
	return session_failed(session, err == -EBUSY || err == -EINTR ? -EIO : err);
}

/* Before bytes of the image are taken. */
static int session_load_begin(struct kckpt_session *session)
{
	int err = session_enter(session, BIT(KCKPT_EMPTY) | BIT(KCKPT_LOADING) | BIT(KCKPT_LOADED) |
				BIT(KCKPT_INSTANTIATED) | BIT(KCKPT_COMPLETE));

	if (err || session->state != KCKPT_EMPTY)
		return err ?: session->state == KCKPT_LOADED ? -EBUSY : 0;
	session->load = kckpt_load_alloc();
	if (!session->load)
		return kckpt_fail(&session->ctx, NULL, KCKPT_E_NO_MEMORY, 0, "stream");
	session->state = KCKPT_LOADING;
	kckpt_event_begun(session, KCKPT_OP_RESTORE);
	watchdog_start(session, 0, 0);
	return 0;
}

/* After that: @n bytes, since @start, or a negative errno, which only ends the session if it is of the image. */
static ssize_t session_load_end(struct kckpt_session *session, ssize_t n, u64 start)
{
	struct kckpt_ctx *ctx = &session->ctx;
	int err = session->load->err;

	if (!err && session->load->phase == KCKPT_LOAD_DONE)
		err = kckpt_crew_wait_built(ctx, NULL);
	session->transfer_ns += ktime_get_ns() - start;
	err = err ?: kckpt_session_check(session);
	if (err)
		return session_write_failed(session, err);
	if (session->state == KCKPT_LOADING && session->load->records_done)
		session->state = KCKPT_LOADED;
	kckpt_event_progress(session);
	if (session->load->phase == KCKPT_LOAD_DONE && session->state != KCKPT_COMPLETE) {
		session->state = KCKPT_COMPLETE;
		kckpt_event_complete(session);
	}
	return n;
}

ssize_t kckpt_session_write(struct kckpt_session *session, struct iov_iter *from)
{
	int err = session_load_begin(session);
	u64 start = ktime_get_ns();

	if (err)
		return err;
	kckpt_ahead_end(&session->load->ahead);
	return session_load_end(session, kckpt_load_write(&session->ctx, session->load, from), start);
}

/* The image from a file, of which there is any part at any time. */
static ssize_t load_from(struct kckpt_session *session, struct file *file, u64 max)
{
	int err = kckpt_file_is_seekable(file) ? 0 : -EINVAL;
	u64 start = ktime_get_ns();
	loff_t pos = file->f_pos;
	ssize_t n;

	err = err ?: !file->f_op->read_iter ? -EINVAL : !(file->f_mode & FMODE_READ) ? -EBADF :
	      session_load_begin(session);
	if (err)
		return err;
	n = kckpt_load_file(&session->ctx, session->load, file, &pos, max);
	vfs_setpos(file, pos, MAX_LFS_FILESIZE);
	/* EBUSY would mean the end of the records. */
	return session_load_end(session, n == -EBUSY ? -EIO : n, start);
}

int kckpt_session_load(struct kckpt_session *session, struct kckpt_transfer *req)
{
	struct file *file;
	ssize_t n;

	if (req->flags)
		return -EINVAL;
	file = fget(req->fd);
	if (!file)
		return -EBADF;
	n = load_from(session, file, req->bytes ?: U64_MAX);
	fput(file);
	req->bytes = max_t(ssize_t, n, 0);
	return min_t(ssize_t, n, 0);
}

static int restore_check(struct kckpt_ctx *ctx)
{
	struct kckpt_object *obj;
	int err;

	kckpt_for_each_object(&ctx->objs, obj) {
		const struct kckpt_family_ops *ops = kckpt_family(obj->family);

		err = kckpt_family_check(ctx, obj);
		if (err)
			return err;
		err = ops->check ? ops->check(ctx, obj) : 0;
		if (!err && fatal_signal_pending(current))
			err = kckpt_fail(ctx, NULL, KCKPT_E_INTERRUPTED, 0, "check");
		if (err)
			return err;
		cond_resched();
	}
	if (!ctx->report.total)
		return 0;
	/* Checks of the outside world report all they find and go on. */
	return ctx->report.errors[0].err;
}

/* The caller's own descriptors that the image wants. */
static int restore_get_inherit(struct kckpt_ctx *ctx)
{
	u32 i;

	for (i = 0; i < ctx->nr_inherit; i++) {
		struct file *file = fget_raw(ctx->inherit[i].fd);

		/* A restored task that held a session would keep it from ever ending, and so would we. */
		if (file && kckpt_is_session(file)) {
			fput(file);
			file = NULL;
		}
		ctx->inherit_files[i] = file;
		if (!file)
			return kckpt_fail(ctx, NULL, KCKPT_E_INHERIT_UNUSED, 0, "descriptor %d of the caller",
					  ctx->inherit[i].fd);
	}
	return 0;
}

/* What cannot be taken off a task again must not be on the caller, of whom all restored tasks are born. */
static int restore_check_caller(struct kckpt_ctx *ctx)
{
	if (current->seccomp.mode || task_no_new_privs(current))
		return kckpt_fail(ctx, NULL, KCKPT_E_CALLER_CONFINED, 0, "");
	return 0;
}

/* The folder whose descriptor was just taken for a cgroup. */
static int restore_cgroup_path(struct kckpt_ctx *ctx, int fd)
{
	struct file *file = fget_raw(fd);

	if (!file)
		return kckpt_fail(ctx, NULL, KCKPT_E_NOT_CGROUP, -EBADF, "descriptor %d", fd);
	path_put(&ctx->cgroup_path);
	ctx->cgroup_path = file->f_path;
	path_get(&ctx->cgroup_path);
	fput(file);
	return 0;
}

static u32 restore_nr_cgroups(struct kckpt_ctx *ctx)
{
	struct kckpt_object *obj;
	u32 nr = 0;

	kckpt_for_each_object(&ctx->objs, obj)
		nr += obj->family == KCKPT_F_cgroup;
	return nr;
}

static int restore_place(struct kckpt_session *session, struct kckpt_instantiate *req)
{
	struct kckpt_ctx *ctx = &session->ctx;
	u32 nr = restore_nr_cgroups(ctx);

	return kckpt_freezer_hold(ctx, &session->freezer, req->cgroup) ?:
	       kckpt_freezer_check_empty(ctx, &session->freezer, nr - !!nr) ?:
	       restore_cgroup_path(ctx, req->cgroup) ?:
	       kckpt_cgroup_open_tree(ctx);
}

static int restore_create(struct kckpt_session *session, struct kckpt_instantiate *req)
{
	struct kckpt_ctx *ctx = &session->ctx;
	int err = restore_place(session, req);

	if (err) {
		kckpt_freezer_drop(&session->freezer);
		return err;
	}
	ctx->cgrp = session->freezer.cgrp;
	ctx->cgroup_id = cgroup_id(ctx->cgrp);
	session->crew.expected = ctx->nr_tasks;
	err = kckpt_group_take_ids(ctx);
	if (!err)
		err = kckpt_crew_start(session, &session->create_ns);
	if (!err)
		err = kckpt_session_check(session);
	if (err)
		return session_failed(session, err);
	req->root_pid = session->crew.root_pid;
	return 0;
}

int kckpt_session_cgroups(struct kckpt_session *session, struct kckpt_cgroups *req)
{
	struct kckpt_recbuf_cursor cursor = {};
	u8 __user *to = u64_to_user_ptr(req->paths);
	u32 room = req->size;
	struct kckpt_recbuf paths;
	const void *from;
	size_t len;
	int err;

	if (req->flags)
		return -EINVAL;
	kckpt_recbuf_init(&paths);
	err = session_enter(session, BIT(KCKPT_LOADED)) ?: kckpt_cgroup_list(&session->ctx, &paths, &req->nr);
	req->size = paths.bytes;
	/* Too little room: the size that is needed is the answer. */
	while (!err && paths.bytes <= room && (from = kckpt_recbuf_next(&paths, &cursor, &len))) {
		err = kckpt_copy_out(to, from, len);
		to += len;
		cursor.at += len;
	}
	kckpt_recbuf_free(&paths);
	return err;
}

int kckpt_session_instantiate(struct kckpt_session *session, struct kckpt_instantiate *req)
{
	const u32 known = KCKPT_INSTANTIATE_DRY_RUN | KCKPT_INSTANTIATE_FILES_CHANGED |
			  KCKPT_INSTANTIATE_FILES_STRICT;
	struct kckpt_ctx *ctx = &session->ctx;
	int err;

	if (req->flags & ~known)
		return -EINVAL;
	err = session_begin(session, BIT(KCKPT_LOADED)) ?:
	      copy_inherit(ctx, req->inherit, req->nr_inherit) ?:
	      restore_get_inherit(ctx) ?:
	      restore_check_caller(ctx);
	if (err)
		return err;
	ctx->flags = req->flags;
	ctx->nr_tasks = 0;
	session->stall = msecs_to_jiffies(req->stall_ms ?: DEFAULT_STALL_MS);
	err = restore_check(ctx) ?: kckpt_process_plan(ctx);
	if (!err && !(req->flags & KCKPT_INSTANTIATE_DRY_RUN))
		err = restore_create(session, req);
	if (err)
		return err;
	req->nr_tasks = ctx->nr_tasks;
	session->state = KCKPT_INSTANTIATED;
	session->load->go_on = true;
	kckpt_event_instantiated(session, req);
	return 0;
}

/* None of the tasks has run: the memory is as the image has it, and the next one may be an increment of that. */
static int commit_keep(struct kckpt_session *session)
{
	struct kckpt_ctx *ctx = &session->ctx;
	int err = kckpt_shadow_make_restored(ctx, &ctx->kept);

	if (!err && ctx->kept == KCKPT_KEPT)
		session->snapshot = kckpt_snapshot_make(ctx);
	if (!session->snapshot)
		ctx->kept = KCKPT_KEPT_NO_ROOM;
	kckpt_shadow_drop(ctx);
	return err;
}

/* Up to where they can go. @trapped: and have gone, into the freezer. */
static int commit_finish(struct kckpt_session *session, const struct kckpt_commit *req, u32 timeout_ms, bool *trapped)
{
	int err = kckpt_crew_finish(session, timeout_ms) ?:
		  (req->flags & KCKPT_COMMIT_SNAPSHOT ? commit_keep(session) : 0) ?:
		  kckpt_crew_seal(session);

	*trapped = !err && (req->flags & KCKPT_COMMIT_FROZEN || session->ctx.traps);
	return *trapped ? kckpt_crew_go_trapped(session, timeout_ms) : err;
}

/* None of them runs unless this succeeds. */
static int commit_tasks(struct kckpt_session *session, const struct kckpt_commit *req)
{
	u32 timeout_ms = req->timeout_ms ?: DEFAULT_COMMIT_MS;
	bool trapped;
	int err = commit_finish(session, req, timeout_ms, &trapped);

	watchdog_stop(session);
	return err ?: kckpt_session_check(session) ?: trapped ? 0 : kckpt_crew_go(session, timeout_ms);
}

int kckpt_session_commit(struct kckpt_session *session, const struct kckpt_commit *req)
{
	struct kckpt_ctx *ctx = &session->ctx;
	ktime_t start = ktime_get();
	int err;

	if (req->flags & ~(KCKPT_COMMIT_FROZEN | KCKPT_COMMIT_SNAPSHOT))
		return -EINVAL;
	err = session_enter(session, BIT(KCKPT_LOADING) | BIT(KCKPT_LOADED) | BIT(KCKPT_INSTANTIATED) |
			    BIT(KCKPT_COMPLETE));
	if (err)
		return err;
	err = kckpt_load_complete(ctx, session->load);
	/* Waiting goes on with the time that was left: until now it has stood still. */
	ctx->monotonic_shift += ktime_get_ns();
	ctx->boottime_shift += ktime_get_boottime_ns();
	if (!err && !(ctx->flags & KCKPT_INSTANTIATE_DRY_RUN))
		err = commit_tasks(session, req);
	session->commit_ns = ktime_to_ns(ktime_sub(ktime_get(), start));
	if (err)
		return session_failed(session, err);
	/* From here on nothing fails. */
	kckpt_event_committed(session);
	if (session->snapshot)
		kckpt_snapshot_retain(session->snapshot);
	session->snapshot = NULL;
	if (req->flags & KCKPT_COMMIT_FROZEN) {
		kckpt_freezer_give(&session->freezer);
		kckpt_event_released(session);
	}
	session->state = KCKPT_DONE;
	session_rollback(session);
	drop_inherit(ctx);
	return 0;
}

int kckpt_session_abort(struct kckpt_session *session)
{
	if (session->state != KCKPT_DONE && session->state != KCKPT_FAILED)
		session_failed(session, 0);
	return 0;
}

void kckpt_session_stats(struct kckpt_session *session, struct kckpt_stats *stats)
{
	*stats = (struct kckpt_stats){
		.state = session->state,
		.nr_tasks = session->ctx.nr_tasks,
		.freeze_ns = session->freezer.freeze_ns,
		.capture_ns = session->capture_ns,
		.pause_ns = kckpt_freezer_pause_ns(&session->freezer),
		.create_ns = session->create_ns,
		.commit_ns = session->commit_ns,
		.transfer_ns = session->transfer_ns,
		.kept = session->ctx.kept,
	};
	if (session->save) {
		stats->bytes = session->save->stream.taken;
		stats->pages = session->save->nr_pages;
		stats->zero_pages = session->save->nr_zero;
		stats->parent_pages = session->save->nr_parent;
		stats->unchanged_pages = session->save->nr_unchanged;
		stats->cow_pages = session->cow.copies;
	}
	if (session->load) {
		stats->bytes = session->load->stream.at;
		stats->pages = session->load->nr_pages;
		stats->zero_pages = session->load->nr_zero;
	}
}
