// SPDX-License-Identifier: GPL-2.0
/* See fuse.h. The protocol is that of <linux/fuse.h>, as far as one small file needs it. */
#include "fuse.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "util.h"

#define FILE_ID 2
#define TEXT "what the file says"

static pid_t server;
static const char *folder;

static struct fuse_attr attr_of(uint64_t id)
{
	return (struct fuse_attr){
		.ino = id, .nlink = 1, .blksize = 4096,
		.mode = id == FILE_ID ? S_IFREG | 0644 : S_IFDIR | 0755,
		.size = id == FILE_ID ? sizeof(TEXT) : 0,
	};
}

static void reply(int dev, const struct fuse_in_header *in, int error, const void *data, size_t len)
{
	struct fuse_out_header out = { .len = sizeof(out) + len, .error = -error, .unique = in->unique };
	struct iovec parts[] = { { &out, sizeof(out) }, { (void *)data, len } };

	if (writev(dev, parts, 2) < 0)
		_exit(1);
}

static void answer(int dev, const struct fuse_in_header *in)
{
	const struct fuse_init_in *init = (const void *)(in + 1);
	const struct fuse_read_in *want = (const void *)(in + 1);

	switch (in->opcode) {
	case FUSE_INIT:
		reply(dev, in, 0, &(struct fuse_init_out){ .major = FUSE_KERNEL_VERSION, .minor = init->minor,
							   .max_write = 4096 }, sizeof(struct fuse_init_out));
		break;
	case FUSE_LOOKUP:
		if (strcmp((const char *)(in + 1), "file"))
			reply(dev, in, ENOENT, NULL, 0);
		else
			reply(dev, in, 0, &(struct fuse_entry_out){ .nodeid = FILE_ID, .attr = attr_of(FILE_ID) },
			      sizeof(struct fuse_entry_out));
		break;
	case FUSE_GETATTR:
		reply(dev, in, 0, &(struct fuse_attr_out){ .attr = attr_of(in->nodeid) }, sizeof(struct fuse_attr_out));
		break;
	case FUSE_OPEN:
	case FUSE_OPENDIR:
		reply(dev, in, 0, &(struct fuse_open_out){ .fh = 1 }, sizeof(struct fuse_open_out));
		break;
	case FUSE_READ:
		reply(dev, in, 0, TEXT, want->offset ? 0 : sizeof(TEXT));
		break;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		break;
	case FUSE_FLUSH:
	case FUSE_RELEASE:
	case FUSE_RELEASEDIR:
		reply(dev, in, 0, NULL, 0);
		break;
	default:
		reply(dev, in, ENOSYS, NULL, 0);
	}
}

static void serve(int dev)
{
	static char request[FUSE_MIN_READ_BUFFER + 4096] __attribute__((aligned(8)));

	for (;;) {
		if (read(dev, request, sizeof(request)) < 0) {
			if (errno == ENODEV)
				_exit(0);	/* unmounted */
			continue;
		}
		answer(dev, (void *)request);
	}
}

const char *fuse_mount(void)
{
	int dev;

	if (access("/dev/fuse", R_OK) && system("modprobe -q fuse"))
		test_skip("no FUSE");
	dev = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (dev < 0)
		test_skip("no FUSE");
	folder = test_path("silent");
	ASSERT_TRUE(!mkdir(folder, 0755) &&
		    !mount("silent", folder, "fuse", 0, format("fd=%d,rootmode=40000,user_id=0,group_id=0", dev)));
	server = fork();
	if (!server) {
		/* However the test ends: without a server all requests fail, and nobody waits for it. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve(dev);
	}
	close(dev);
	ASSERT_EQ(0, access(format("%s/file", folder), R_OK));
	return folder;
}

void fuse_silence(void)
{
	int status;

	/* Not before it has stopped: who waits for a request that it has taken cannot be killed. */
	ASSERT_TRUE(!kill(server, SIGSTOP) && waitpid(server, &status, WUNTRACED) == server && WIFSTOPPED(status));
}

void fuse_abort(void)
{
	umount2(folder, MNT_FORCE);	/* fails what waits */
	umount2(folder, MNT_DETACH);
}
