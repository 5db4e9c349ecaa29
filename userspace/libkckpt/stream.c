// SPDX-License-Identifier: GPL-2.0-only
/* Whole images between a session and a descriptor. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "export.h"

#define BUFFER_SIZE	(1u << 20)
#define BUFFER_ALIGN	4096u
#define MOVE_SIZE	(8u << 20)	/* between two reports of progress */

struct transfer {
	struct kckpt_session *session;
	int fd;
	kckpt_progress_fn *progress;
	void *data;
	uint64_t bytes;
	char *buffer;
	size_t at, have;	/* of the buffer, what was not taken yet */
	int seekable;		/* the kernel moves the bytes itself */
};

static int transfer_begin(struct transfer *transfer)
{
	void *buffer = NULL;
	int err;

	if (!transfer->session || transfer->fd < 0)
		return -EINVAL;
	err = posix_memalign(&buffer, BUFFER_ALIGN, BUFFER_SIZE);
	transfer->buffer = buffer;
	return -err;
}

static int transfer_moved(struct transfer *transfer, size_t bytes)
{
	int ret;

	transfer->bytes += bytes;
	ret = transfer->progress ? transfer->progress(transfer->data, transfer->bytes) : 0;
	return ret > 0 ? -ECANCELED : ret;
}

static ssize_t read_some(int fd, char *to, size_t size)
{
	ssize_t n;

	do
		n = read(fd, to, size);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* ---- dump ---- */

static int dump_copy(struct transfer *transfer)
{
	ssize_t got;
	int err;

	for (;;) {
		got = kckpt_session_save(transfer->session, transfer->fd, MOVE_SIZE);
		if (got <= 0)
			return (int)got;
		err = transfer_moved(transfer, (size_t)got);
		if (err)
			return err;
	}
}

EXPORT int kckpt_dump_to_fd(struct kckpt_session *session, int fd, kckpt_progress_fn *progress, void *data)
{
	struct transfer transfer = { .session = session, .fd = fd, .progress = progress, .data = data };

	return session && fd >= 0 ? dump_copy(&transfer) : -EINVAL;
}

/* ---- restore ---- */

static int make_below(int cgroup, const char *paths, size_t size)
{
	const char *path;

	for (path = paths; path < paths + size; path += strlen(path) + 1)
		if (mkdirat(cgroup, path, 0755) < 0 && errno != EEXIST)
			return -errno;
	return 0;
}

/* The sub-cgroups that the image wants; what was made stays when the restore fails, below the caller's own. */
static int make_cgroups(struct kckpt_session *session, int cgroup)
{
	size_t size = 0;
	char *paths;
	int err = kckpt_session_cgroups(session, NULL, &size);

	if (err || !size)
		return err;
	paths = malloc(size);
	if (!paths)
		return -ENOMEM;
	err = kckpt_session_cgroups(session, paths, &size);
	if (!err)
		err = make_below(cgroup, paths, size);
	free(paths);
	return err;
}

/* The next bytes: how many; 0: there are no more; -EBUSY: the records have ended. */
static ssize_t load_some(struct transfer *transfer)
{
	ssize_t n;

	if (transfer->seekable)
		return kckpt_session_send(transfer->session, transfer->fd, MOVE_SIZE);
	if (transfer->at == transfer->have) {
		n = read_some(transfer->fd, transfer->buffer, BUFFER_SIZE);
		if (n <= 0)
			return n;
		transfer->at = 0;
		transfer->have = (size_t)n;
	}
	n = kckpt_session_write(transfer->session, transfer->buffer + transfer->at, transfer->have - transfer->at);
	if (n > 0)
		transfer->at += (size_t)n;
	return n ? n : -EBUSY;
}

static int load_make(struct transfer *transfer, struct kckpt_instantiate *request, size_t size)
{
	int err = request->cgroup < 0 ? 0 : make_cgroups(transfer->session, request->cgroup);

	return err ? err : kckpt_session_instantiate(transfer->session, request, size);
}

/* The image ended in its records: the commit of it fails, and so the report says why. */
static int load_truncated(struct transfer *transfer)
{
	struct kckpt_commit commit = { 0 };
	int err = transfer->bytes ? kckpt_session_commit(transfer->session, &commit, sizeof(commit)) : 0;

	return err ? err : -EBADMSG;
}

static int load_copy(struct transfer *transfer, struct kckpt_instantiate *request, size_t request_size)
{
	int made = 0, err;
	ssize_t n;

	for (;;) {
		n = load_some(transfer);
		if (!n)
			return made ? 0 : load_truncated(transfer);
		if (n == -EBUSY && !made) {
			err = load_make(transfer, request, request_size);
			made = 1;
		} else {
			err = n < 0 ? (int)n : transfer_moved(transfer, (size_t)n);
		}
		if (err)
			return err;
	}
}

EXPORT int kckpt_load_from_fd(struct kckpt_session *session, int fd, struct kckpt_instantiate *request, size_t size,
			      kckpt_progress_fn *progress, void *data)
{
	struct transfer transfer = { .session = session, .fd = fd, .progress = progress, .data = data };
	int err = request && size ? transfer_begin(&transfer) : -EINVAL;
	struct stat st;

	transfer.seekable = !fstat(fd, &st) && S_ISREG(st.st_mode);
	if (!err)
		err = load_copy(&transfer, request, size);
	free(transfer.buffer);
	return err;
}
