// SPDX-License-Identifier: GPL-2.0
/* /dev/kckpt: turns system calls into requests on a session. The interface is described in <kckpt/uapi.h>. */
#include <linux/capability.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/pipe_fs_i.h>
#include <linux/splice.h>
#include <linux/uio.h>

#include "compat/file.h"
#include "fault.h"
#include "ksym.h"
#include "main.h"
#include "session.h"

/* Could who opened the session have become @user? Then all that @user is allowed to do, both are. */
static bool chardev_within(const struct cred *opener, const struct cred *user)
{
	bool same_ids = uid_eq(opener->uid, user->uid) && uid_eq(opener->euid, user->euid) &&
			uid_eq(opener->suid, user->suid) && uid_eq(opener->fsuid, user->fsuid) &&
			gid_eq(opener->gid, user->gid) && gid_eq(opener->egid, user->egid) &&
			gid_eq(opener->sgid, user->sgid) && gid_eq(opener->fsgid, user->fsgid) &&
			opener->group_info == user->group_info;

	return opener->user_ns == user->user_ns && cap_issubset(user->cap_permitted, opener->cap_permitted) &&
	       cap_issubset(user->cap_bset, opener->cap_bset) &&
	       cap_issubset(user->cap_inheritable, cap_combine(opener->cap_inheritable, opener->cap_permitted)) &&
	       !(opener->securebits & ~user->securebits) &&
	       (same_ids || (cap_raised(opener->cap_effective, CAP_SETUID) &&
			     cap_raised(opener->cap_effective, CAP_SETGID)));
}

/*
 * Both who opened the session and who uses it must be allowed to: a descriptor that was handed to somebody with more
 * rights gives nothing of them to the one who had opened it.
 */
static bool chardev_permitted(struct file *file)
{
	static const int caps[] = { CAP_SYS_ADMIN, CAP_CHECKPOINT_RESTORE };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(caps); i++)
		if (!capable(caps[i]) || !file_ns_capable(file, &init_user_ns, caps[i]))
			return false;
	return file->f_cred == current_cred() || chardev_within(file->f_cred, current_cred());
}

static int chardev_open(struct inode *inode, struct file *file)
{
	struct kckpt_session *session;

	if (!capable(CAP_SYS_ADMIN) || !capable(CAP_CHECKPOINT_RESTORE))
		return -EPERM;
	session = kckpt_session_open();
	if (IS_ERR(session))
		return PTR_ERR(session);
	file->private_data = session;
	return stream_open(inode, file);
}

static int chardev_release(struct inode *inode, struct file *file)
{
	kckpt_session_release(file->private_data);
	return 0;
}

static int session_lock(struct file *file)
{
	struct kckpt_session *session = file->private_data;

	if (!chardev_permitted(file))
		return -EPERM;
	return mutex_lock_killable(&session->lock);
}

/* Whoever polls the session looks at it again. */
static void session_unlock(struct kckpt_session *session)
{
	mutex_unlock(&session->lock);
	kckpt_session_wake(session);
}

static ssize_t chardev_read(struct kiocb *iocb, struct iov_iter *to)
{
	struct kckpt_session *session = iocb->ki_filp->private_data;
	ssize_t n = session_lock(iocb->ki_filp);

	if (n)
		return n;
	n = kckpt_session_read(session, to);
	kckpt_event_failed(session, n);
	session_unlock(session);
	return n;
}

static ssize_t chardev_write(struct kiocb *iocb, struct iov_iter *from)
{
	struct kckpt_session *session = iocb->ki_filp->private_data;
	ssize_t n = session_lock(iocb->ki_filp);

	if (n)
		return n;
	n = kckpt_session_write(session, from);
	if (n != -EBUSY)	/* which only tells where the records end */
		kckpt_event_failed(session, n);
	session_unlock(session);
	return n;
}

/* The pipe is locked. Whoever has the session may want it, to describe or to drop it: so this does not wait. */
static ssize_t chardev_splice_read(struct file *file, loff_t *pos, struct pipe_inode_info *pipe, size_t len,
				   unsigned int flags)
{
	struct kckpt_session *session = file->private_data;
	ssize_t n;

	if (!chardev_permitted(file))
		return -EPERM;
	if (!mutex_trylock(&session->lock))
		return -EBUSY;
	n = kckpt_session_splice(session, pipe, len);
	/* EAGAIN also tells that the pipe is full. */
	if (n != -EAGAIN || session->state == KCKPT_FAILED)
		kckpt_event_failed(session, n);
	session_unlock(session);
	return n;
}

static __poll_t chardev_poll(struct file *file, struct poll_table_struct *table)
{
	struct kckpt_session *session = file->private_data;

	poll_wait(file, &session->wait, table);
	/* Without the lock: a request may hold it for long, and is followed by a wakeup. */
	if (READ_ONCE(session->expired))
		return EPOLLERR;
	switch (READ_ONCE(session->state)) {
	case KCKPT_EMPTY:
	case KCKPT_LOADING:
		return EPOLLOUT | EPOLLWRNORM;
	case KCKPT_INSTANTIATED:
		return kckpt_crew_is_dead(&session->crew) ? EPOLLERR : EPOLLOUT | EPOLLWRNORM;
	case KCKPT_CAPTURED:
	case KCKPT_SAVED:
		return EPOLLIN | EPOLLRDNORM;
	case KCKPT_DONE:
		return EPOLLHUP;
	case KCKPT_FAILED:
		return EPOLLERR;
	default:
		return 0;
	}
}

/* ---- requests about the module itself ---- */

static const struct { u32 id; const char *name; } chardev_families[] = {
#define KCKPT_FAMILY(name, id, title) { id, #name },
#include <kckpt/families.def>
#undef KCKPT_FAMILY
};

static int info_families(const struct kckpt_info *info)
{
	struct kckpt_family_info __user *user = u64_to_user_ptr(info->families);
	u32 i;

	for (i = 0; user && i < min_t(u32, info->nr_families, ARRAY_SIZE(chardev_families)); i++) {
		struct kckpt_family_info out = { .id = chardev_families[i].id };
		const char *lacks = kckpt_family_lacks(out.id);

		out.available = !lacks;
		strscpy(out.name, chardev_families[i].name, sizeof(out.name));
		strscpy(out.missing, lacks ?: "", sizeof(out.missing));
		if (kckpt_copy_out(user + i, &out, sizeof(out)))
			return -EFAULT;
	}
	return 0;
}

static int chardev_info(struct kckpt_info *info)
{
	int err = info->reserved ? -EINVAL : info_families(info);

	if (err)
		return err;
	info->abi = kckpt_abi();
	info->image_major = KCKPT_IMAGE_MAJOR;
	info->image_minor = KCKPT_IMAGE_MINOR;
	info->nr_families = ARRAY_SIZE(chardev_families);
	info->flags = kckpt_untested ? KCKPT_INFO_UNTESTED : 0;
	if (KCKPT_HAS_FAULTS)
		info->flags |= KCKPT_INFO_FAULTS;
	strscpy(info->version, KCKPT_VERSION, sizeof(info->version));
	return 0;
}

static int chardev_report(struct kckpt_session *session, struct kckpt_report *req)
{
	struct kckpt_error __user *user = u64_to_user_ptr(req->errors);
	struct kckpt_error error;
	u32 i;

	if (req->reserved)
		return -EINVAL;
	for (i = 0; i < req->nr && kckpt_report_get(&session->ctx.report, req->first + i, &error); i++)
		if (kckpt_copy_out(user + i, &error, sizeof(error)))
			return -EFAULT;
	req->nr = i;
	req->total = session->ctx.report.total;
	return 0;
}

/* ---- ioctl ---- */

union chardev_req {
	struct kckpt_info info;
	struct kckpt_freeze freeze;
	struct kckpt_capture capture;
	struct kckpt_instantiate instantiate;
	struct kckpt_commit commit;
	struct kckpt_report report;
	struct kckpt_stats stats;
	struct kckpt_cgroups cgroups;
	struct kckpt_transfer transfer;
	struct kckpt_forget forget;
};

/* What each request carries, by number. */
static const struct chardev_call {
	unsigned int cmd;
	size_t size;
} chardev_calls[] = {
	[_IOC_NR(KCKPT_IOC_INFO)]	= { KCKPT_IOC_INFO, sizeof(struct kckpt_info) },
	[_IOC_NR(KCKPT_IOC_FREEZE)]	= { KCKPT_IOC_FREEZE, sizeof(struct kckpt_freeze) },
	[_IOC_NR(KCKPT_IOC_CAPTURE)]	= { KCKPT_IOC_CAPTURE, sizeof(struct kckpt_capture) },
	[_IOC_NR(KCKPT_IOC_THAW)]	= { KCKPT_IOC_THAW, 0 },
	[_IOC_NR(KCKPT_IOC_KILL)]	= { KCKPT_IOC_KILL, 0 },
	[_IOC_NR(KCKPT_IOC_RELEASE_FROZEN)] = { KCKPT_IOC_RELEASE_FROZEN, 0 },
	[_IOC_NR(KCKPT_IOC_INSTANTIATE)] = { KCKPT_IOC_INSTANTIATE, sizeof(struct kckpt_instantiate) },
	[_IOC_NR(KCKPT_IOC_COMMIT)]	= { KCKPT_IOC_COMMIT, sizeof(struct kckpt_commit) },
	[_IOC_NR(KCKPT_IOC_ABORT)]	= { KCKPT_IOC_ABORT, 0 },
	[_IOC_NR(KCKPT_IOC_REPORT)]	= { KCKPT_IOC_REPORT, sizeof(struct kckpt_report) },
	[_IOC_NR(KCKPT_IOC_STATS)]	= { KCKPT_IOC_STATS, sizeof(struct kckpt_stats) },
	[_IOC_NR(KCKPT_IOC_CGROUPS)]	= { KCKPT_IOC_CGROUPS, sizeof(struct kckpt_cgroups) },
	[_IOC_NR(KCKPT_IOC_SAVE)]	= { KCKPT_IOC_SAVE, sizeof(struct kckpt_transfer) },
	[_IOC_NR(KCKPT_IOC_LOAD)]	= { KCKPT_IOC_LOAD, sizeof(struct kckpt_transfer) },
	[_IOC_NR(KCKPT_IOC_RETAIN)]	= { KCKPT_IOC_RETAIN, 0 },
	[_IOC_NR(KCKPT_IOC_FORGET)]	= { KCKPT_IOC_FORGET, sizeof(struct kckpt_forget) },
};

/* The size of the struct may differ from ours, see the head of uapi.h; type, number and direction may not. */
static const struct chardev_call *chardev_find(unsigned int cmd)
{
	unsigned int nr = _IOC_NR(cmd);

	if (nr >= ARRAY_SIZE(chardev_calls))
		return NULL;
	nr = array_index_nospec(nr, ARRAY_SIZE(chardev_calls));
	return (cmd & ~IOCSIZE_MASK) == (chardev_calls[nr].cmd & ~IOCSIZE_MASK) ? &chardev_calls[nr] : NULL;
}

static int chardev_do(struct kckpt_session *session, unsigned int nr, union chardev_req *req)
{
	switch (nr) {
	case _IOC_NR(KCKPT_IOC_INFO):
		return chardev_info(&req->info);
	case _IOC_NR(KCKPT_IOC_FREEZE):
		if (req->freeze.flags || req->freeze.reserved)
			return -EINVAL;
		return kckpt_session_freeze(session, &req->freeze);
	case _IOC_NR(KCKPT_IOC_CAPTURE):
		return kckpt_session_capture(session, &req->capture);
	case _IOC_NR(KCKPT_IOC_THAW):
		return kckpt_session_thaw(session);
	case _IOC_NR(KCKPT_IOC_KILL):
		return kckpt_session_kill(session);
	case _IOC_NR(KCKPT_IOC_RELEASE_FROZEN):
		return kckpt_session_release_frozen(session);
	case _IOC_NR(KCKPT_IOC_INSTANTIATE):
		return kckpt_session_instantiate(session, &req->instantiate);
	case _IOC_NR(KCKPT_IOC_COMMIT):
		return kckpt_session_commit(session, &req->commit);
	case _IOC_NR(KCKPT_IOC_ABORT):
		return kckpt_session_abort(session);
	case _IOC_NR(KCKPT_IOC_REPORT):
		return chardev_report(session, &req->report);
	case _IOC_NR(KCKPT_IOC_STATS):
		kckpt_session_stats(session, &req->stats);
		return 0;
	case _IOC_NR(KCKPT_IOC_CGROUPS):
		return kckpt_session_cgroups(session, &req->cgroups);
	case _IOC_NR(KCKPT_IOC_SAVE):
		return kckpt_session_save(session, &req->transfer);
	case _IOC_NR(KCKPT_IOC_LOAD):
		return kckpt_session_load(session, &req->transfer);
	case _IOC_NR(KCKPT_IOC_RETAIN):
		return kckpt_session_retain(session);
	case _IOC_NR(KCKPT_IOC_FORGET):
		return kckpt_session_forget(&req->forget);
	default:
		return -ENOTTY;
	}
}

static long chardev_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	const struct chardev_call *call = chardev_find(cmd);
	struct kckpt_session *session = file->private_data;
	void __user *user = (void __user *)arg;
	size_t user_size = _IOC_SIZE(cmd);
	union chardev_req req;
	int err;

	if (!call)
		return -ENOTTY;
	memset(&req, 0, sizeof(req));
	if (_IOC_DIR(cmd) & _IOC_WRITE) {
		err = kckpt_copy_struct(&req, call->size, user, user_size);
		if (err)
			return err;
	}
	err = session_lock(file);
	if (err)
		return err;
	err = chardev_do(session, _IOC_NR(cmd), &req);
	if (err != -EBUSY || _IOC_NR(cmd) != _IOC_NR(KCKPT_IOC_LOAD))	/* which only tells where the records end */
		kckpt_event_failed(session, err);
	session_unlock(session);
	if (!err && _IOC_DIR(cmd) & _IOC_READ)
		err = kckpt_copy_out(user, &req, min(call->size, user_size));
	return err;
}

static const struct file_operations chardev_fops = {
	.owner		= THIS_MODULE,
	.open		= chardev_open,
	.release	= chardev_release,
	.read_iter	= chardev_read,
	.write_iter	= chardev_write,
	.splice_read	= chardev_splice_read,
	.poll		= chardev_poll,
	.unlocked_ioctl	= chardev_ioctl,
	.llseek		= noop_llseek,
};

static struct miscdevice chardev = {
	.minor	= MISC_DYNAMIC_MINOR,
	.name	= "kckpt",
	.fops	= &chardev_fops,
	.mode	= 0600,
};

bool kckpt_is_session(struct file *file)
{
	return file->f_op == &chardev_fops;
}

int kckpt_chardev_init(void)
{
	return misc_register(&chardev);
}

void kckpt_chardev_exit(void)
{
	misc_deregister(&chardev);
}
