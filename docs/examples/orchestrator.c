// SPDX-License-Identifier: GPL-2.0-only
/*
 * Moves a job from one cgroup into another: dumps it into a file, kills it, restores it, and waits for its end.
 *
 *	cc orchestrator.c $(pkg-config --cflags --libs kckpt) -o orchestrator
 *	./orchestrator /sys/fs/cgroup/jobs/web /sys/fs/cgroup/jobs/web2 web.kimg
 *
 * Wherever this program ends, or is killed, closing the session undoes what is half done: the job runs on in its old
 * cgroup, or nothing is left of the new one but the empty cgroup and the image.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kckpt/kckpt.h>

/* Says what went wrong, and all that the session knows about it. */
static int failed(struct kckpt_session *session, const char *doing, int err)
{
	struct kckpt_error errors[16];
	char line[512];
	int i, nr = session ? kckpt_session_report(session, 0, errors, 16, NULL) : 0;

	fprintf(stderr, "cannot %s: %s\n", doing, strerror(-err));
	for (i = 0; i < nr; i++) {
		kckpt_error_format(&errors[i], line, sizeof(line));
		fprintf(stderr, "  %s\n  try: %s\n", line, kckpt_error_remedy(errors[i].code));
	}
	return err;
}

static int open_cgroup(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? failed(NULL, path, -errno) : fd;
}

static int show_progress(void *data, uint64_t bytes)
{
	fprintf(stderr, "\r%s %llu KiB", (const char *)data, (unsigned long long)bytes >> 10);
	return 0;
}

/* The job is killed when its image is safe on the disk, and not before. */
static int dump(struct kckpt_session *session, int cgroup, int image, pid_t *root)
{
	struct kckpt_freeze freeze = { .cgroup = cgroup, .timeout_ms = 5000 };
	struct kckpt_capture capture = { .flags = 0 };
	int err = kckpt_session_freeze(session, &freeze, sizeof(freeze));

	if (!err)
		err = kckpt_session_capture(session, &capture, sizeof(capture));
	if (!err)
		err = kckpt_dump_to_fd(session, image, show_progress, "saved");
	if (!err && fsync(image))
		err = -errno;
	if (!err)
		err = kckpt_session_kill(session);
	*root = capture.root_pid;
	return err ? failed(session, "dump", err) : 0;
}

/* A restored process has its old id, which is free when the old parent has waited for it: maybe that is us. */
static int wait_until_free(pid_t pid)
{
	int tries;

	for (tries = 0; tries < 1000; tries++) {
		waitpid(pid, NULL, WNOHANG);
		if (kill(pid, 0) && errno == ESRCH)
			return 0;
		usleep(10000);
	}
	return failed(NULL, "wait for the parent of the killed job", -EEXIST);
}

static int restore(struct kckpt_session *session, int cgroup, int image, pid_t *root)
{
	struct kckpt_instantiate request = { .cgroup = cgroup };
	struct kckpt_commit commit = { .timeout_ms = 5000 };
	int err = lseek(image, 0, SEEK_SET) ? -errno : 0;

	if (!err)
		err = kckpt_load_from_fd(session, image, &request, sizeof(request), show_progress, "loaded");
	if (!err)
		err = kckpt_session_commit(session, &commit, sizeof(commit));
	*root = request.root_pid;
	return err ? failed(session, "restore", err) : 0;
}

/* Each dump and each restore is a session of its own. */
static int in_a_session(int (*act)(struct kckpt_session *session, int cgroup, int image, pid_t *root), int cgroup,
			int image, pid_t *root)
{
	struct kckpt_session *session;
	int err = kckpt_session_open(&session);

	if (err)
		return failed(NULL, "open " KCKPT_DEVICE, err);
	err = act(session, cgroup, image, root);
	kckpt_session_close(session);
	return err;
}

int main(int argc, char **argv)
{
	int from, to, image, status;
	pid_t root;

	if (argc != 4) {
		fprintf(stderr, "usage: %s CGROUP NEW-CGROUP IMAGE\n", argv[0]);
		return 2;
	}
	image = open(argv[3], O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (image < 0)
		return failed(NULL, argv[3], -errno), 1;
	if (mkdir(argv[2], 0755) && errno != EEXIST)
		return failed(NULL, argv[2], -errno), 1;
	from = open_cgroup(argv[1]);
	to = open_cgroup(argv[2]);
	if (from < 0 || to < 0)
		return 1;
	if (in_a_session(dump, from, image, &root) || wait_until_free(root) ||
	    in_a_session(restore, to, image, &root))
		return 1;
	fprintf(stderr, "\nmoved: process %d\n", (int)root);
	if (waitpid(root, &status, 0) < 0)
		return failed(NULL, "wait for the job", -errno), 1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
