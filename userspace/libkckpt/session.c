// SPDX-License-Identifier: GPL-2.0-only
/* Sessions: one function per request. What they take and give is told in <kckpt/kckpt.h>. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "export.h"

#define COPY_SIZE	(64u << 10)

struct kckpt_session {
	int fd;
};

EXPORT const char *kckpt_version(void)
{
	return KCKPT_VERSION;
}

/* The kernel learns from the request's number how large the caller's struct is: its rules of growth are ours. */
static int request(int fd, unsigned long number, void *argument, size_t size)
{
	if (!argument || !size || size > _IOC_SIZEMASK)
		return -EINVAL;
	number = _IOC(_IOC_DIR(number), _IOC_TYPE(number), _IOC_NR(number), size);
	return ioctl(fd, number, argument) < 0 ? -errno : 0;
}

static int session_request(const struct kckpt_session *session, unsigned long number, void *argument, size_t size)
{
	return session ? request(session->fd, number, argument, size) : -EINVAL;
}

static int session_order(const struct kckpt_session *session, unsigned long number)
{
	if (!session)
		return -EINVAL;
	return ioctl(session->fd, number) < 0 ? -errno : 0;
}

static int open_device(void)
{
	int fd = open(KCKPT_DEVICE, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int check_abi(int fd)
{
	struct kckpt_info info = { 0 };
	int err = request(fd, KCKPT_IOC_INFO, &info, sizeof(info));

	/* Whatever it is, it is not what this library was made for. */
	if (err == -ENOTTY || err == -EINVAL || err == -E2BIG)
		return -EPROTONOSUPPORT;
	if (!err && info.abi != KCKPT_ABI)
		return -EPROTONOSUPPORT;
	return err;
}

EXPORT int kckpt_session_adopt(int fd, struct kckpt_session **session)
{
	struct kckpt_session *made;
	int err;

	if (!session)
		return -EINVAL;
	*session = NULL;
	err = check_abi(fd);
	if (err)
		return err;
	made = malloc(sizeof(*made));
	if (!made)
		return -ENOMEM;
	made->fd = fd;
	*session = made;
	return 0;
}

EXPORT int kckpt_session_open(struct kckpt_session **session)
{
	int fd, err;

	if (!session)
		return -EINVAL;
	*session = NULL;
	fd = open_device();
	if (fd < 0)
		return fd;
	err = kckpt_session_adopt(fd, session);
	if (err)
		close(fd);
	return err;
}

EXPORT void kckpt_session_close(struct kckpt_session *session)
{
	if (!session)
		return;
	close(session->fd);
	free(session);
}

EXPORT int kckpt_session_fd(const struct kckpt_session *session)
{
	return session ? session->fd : -1;
}

EXPORT int kckpt_session_info(struct kckpt_session *session, struct kckpt_info *info, size_t size)
{
	return session_request(session, KCKPT_IOC_INFO, info, size);
}

EXPORT int kckpt_module_info(struct kckpt_info *info, size_t size)
{
	int fd, err;

	if (!info)
		return -EINVAL;
	fd = open_device();
	if (fd < 0)
		return fd;
	err = request(fd, KCKPT_IOC_INFO, info, size);
	close(fd);
	return err;
}

EXPORT int kckpt_session_stats(struct kckpt_session *session, struct kckpt_stats *stats, size_t size)
{
	if (stats && size <= _IOC_SIZEMASK)
		memset(stats, 0, size);	/* what the module does not know yet stays so */
	return session_request(session, KCKPT_IOC_STATS, stats, size);
}

EXPORT int kckpt_session_report(struct kckpt_session *session, uint32_t first, struct kckpt_error *errors, uint32_t nr,
				uint32_t *total)
{
	struct kckpt_report report = { .errors = (uintptr_t)errors, .first = first, .nr = nr };
	int err;

	if (nr > KCKPT_MAX_REPORT)
		report.nr = KCKPT_MAX_REPORT;
	err = nr && !errors ? -EINVAL : session_request(session, KCKPT_IOC_REPORT, &report, sizeof(report));
	if (err)
		return err;
	if (total)
		*total = report.total;
	return (int)report.nr;
}

EXPORT int kckpt_session_abort(struct kckpt_session *session)
{
	return session_order(session, KCKPT_IOC_ABORT);
}

/* ---- dump ---- */

/* The kernel only reads those that are constant here. */
EXPORT int kckpt_session_freeze(struct kckpt_session *session, const struct kckpt_freeze *freeze, size_t size)
{
	return session_request(session, KCKPT_IOC_FREEZE, (void *)(uintptr_t)freeze, size);
}

EXPORT int kckpt_session_capture(struct kckpt_session *session, struct kckpt_capture *capture, size_t size)
{
	return session_request(session, KCKPT_IOC_CAPTURE, capture, size);
}

EXPORT ssize_t kckpt_session_read(struct kckpt_session *session, void *buffer, size_t size)
{
	ssize_t got;

	if (!session || !buffer || !size)
		return -EINVAL;
	do
		got = read(session->fd, buffer, size);
	while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got;
}

static bool session_has_failed(struct kckpt_session *session)
{
	struct kckpt_stats stats = { 0 };

	return kckpt_session_stats(session, &stats, sizeof(stats)) || stats.state == KCKPT_FAILED;
}

/* The kernel reads from a file, or writes into it. */
static ssize_t transfer(struct kckpt_session *session, unsigned long request_code, int fd, size_t size)
{
	struct kckpt_transfer transfer;
	int err;

	do {
		transfer = (struct kckpt_transfer){ .fd = fd, .bytes = size };
		err = request(session->fd, request_code, &transfer, sizeof(transfer));
	} while (err == -EINTR);
	return err ? err : (ssize_t)transfer.bytes;
}

static ssize_t splice_some(struct kckpt_session *session, int fd, size_t size)
{
	struct kckpt_transfer ahead = { .fd = -1, .flags = KCKPT_TRANSFER_AHEAD };
	int err = request(session->fd, KCKPT_IOC_SAVE, &ahead, sizeof(ahead));	/* while others read from the pipe */
	ssize_t got;

	if (err)
		return err;
	if (ahead.bytes && ahead.bytes < size)
		size = ahead.bytes;
	do
		got = splice(session->fd, NULL, fd, NULL, size, 0);
	while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got;
}

/* For what the kernel cannot write to by itself. */
static ssize_t save_copied(struct kckpt_session *session, int fd, size_t size)
{
	char buffer[COPY_SIZE];
	ssize_t got = kckpt_session_read(session, buffer, size < sizeof(buffer) ? size : sizeof(buffer));
	ssize_t done = 0, n;

	while (done < got) {
		n = write(fd, buffer + done, (size_t)(got - done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		done += n;
	}
	return got;
}

EXPORT ssize_t kckpt_session_save(struct kckpt_session *session, int fd, size_t size)
{
	struct stat st;
	ssize_t moved;

	if (!session || fd < 0 || !size)
		return -EINVAL;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode))
		return transfer(session, KCKPT_IOC_SAVE, fd, size);
	/* splice() does not wait for another thread that uses the session. */
	moved = S_ISFIFO(st.st_mode) ? splice_some(session, fd, size) : -EBUSY;
	return moved == -EBUSY ? save_copied(session, fd, size) : moved;
}

EXPORT int kckpt_session_thaw(struct kckpt_session *session)
{
	return session_order(session, KCKPT_IOC_THAW);
}

EXPORT int kckpt_session_kill(struct kckpt_session *session)
{
	return session_order(session, KCKPT_IOC_KILL);
}

EXPORT int kckpt_session_retain(struct kckpt_session *session)
{
	return session_order(session, KCKPT_IOC_RETAIN);
}

EXPORT int kckpt_session_forget(struct kckpt_session *session, int cgroup)
{
	struct kckpt_forget forget = { .cgroup = cgroup };
	int err = session_request(session, KCKPT_IOC_FORGET, &forget, sizeof(forget));

	return err ? err : (int)forget.nr;
}

EXPORT int kckpt_session_release_frozen(struct kckpt_session *session)
{
	return session_order(session, KCKPT_IOC_RELEASE_FROZEN);
}

/* ---- restore ---- */

/*
 * A short count may also come from a stop signal in the middle: only a write that takes nothing, EBUSY, is the end of
 * the records.
 */
EXPORT ssize_t kckpt_session_write(struct kckpt_session *session, const void *buffer, size_t size)
{
	size_t done = 0;
	ssize_t took;

	if (!session || (size && !buffer))
		return -EINVAL;
	while (done < size) {
		took = write(session->fd, (const char *)buffer + done, size - done);
		if (took < 0 && errno == EINTR)
			continue;
		if (took == 0 || (took < 0 && errno == EBUSY))
			break;
		if (took < 0)
			return -errno;
		done += (size_t)took;
	}
	return (ssize_t)done;
}

/* For what the kernel cannot read from by itself. */
static ssize_t send_copied(struct kckpt_session *session, int fd, size_t size)
{
	char buffer[COPY_SIZE];
	off_t at = lseek(fd, 0, SEEK_CUR);
	ssize_t got, took;

	if (at < 0)
		return -errno;
	got = pread(fd, buffer, size < sizeof(buffer) ? size : sizeof(buffer), at);
	if (got <= 0)
		return got ? -errno : 0;
	took = kckpt_session_write(session, buffer, (size_t)got);
	if (took > 0 && lseek(fd, at + took, SEEK_SET) < 0)
		return -errno;
	return took ? took : -EBUSY;
}

EXPORT ssize_t kckpt_session_send(struct kckpt_session *session, int fd, size_t size)
{
	ssize_t took;

	if (!session || fd < 0 || !size)
		return -EINVAL;
	took = transfer(session, KCKPT_IOC_LOAD, fd, size);
	return took == -EINVAL && !session_has_failed(session) ? send_copied(session, fd, size) : took;
}

EXPORT int kckpt_session_cgroups(struct kckpt_session *session, char *paths, size_t *size)
{
	struct kckpt_cgroups cgroups = {
		.paths = (uintptr_t)paths, .size = paths && *size < UINT32_MAX ? (uint32_t)*size : 0,
	};
	int err = session_request(session, KCKPT_IOC_CGROUPS, &cgroups, sizeof(cgroups));

	if (!err)
		*size = cgroups.size;
	return err;
}

EXPORT int kckpt_session_instantiate(struct kckpt_session *session, struct kckpt_instantiate *instantiate, size_t size)
{
	return session_request(session, KCKPT_IOC_INSTANTIATE, instantiate, size);
}

EXPORT int kckpt_session_commit(struct kckpt_session *session, const struct kckpt_commit *commit, size_t size)
{
	return session_request(session, KCKPT_IOC_COMMIT, (void *)(uintptr_t)commit, size);
}
