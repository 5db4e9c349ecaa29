// SPDX-License-Identifier: GPL-2.0
#include "device.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "harness.h"
#include "image.h"
#include "job.h"

static int result(long ret)
{
	return ret < 0 ? errno : 0;
}

int device_open(void)
{
	int dev = open(KCKPT_DEVICE, O_RDWR | O_CLOEXEC);

	ASSERT_TRUE(dev >= 0);
	return dev;
}

static int open_cgroup(const char *cgroup)
{
	return open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int device_freeze_with(int dev, struct kckpt_freeze *request, const char *cgroup)
{
	int err;

	request->cgroup = open_cgroup(cgroup);
	err = result(ioctl(dev, KCKPT_IOC_FREEZE, request));
	close(request->cgroup);
	return err;
}

int device_freeze(int dev, const char *cgroup)
{
	return device_freeze_with(dev, &(struct kckpt_freeze){}, cgroup);
}

int device_capture_with(int dev, struct kckpt_capture *request)
{
	return result(ioctl(dev, KCKPT_IOC_CAPTURE, request));
}

int device_capture(int dev)
{
	return device_capture_with(dev, &(struct kckpt_capture){ .flags = KCKPT_CAPTURE_FILES });
}

int device_read(int dev, struct image *image)
{
	size_t room = 1 << 20;
	ssize_t n;

	image->len = 0;
	image->data = realloc(image->data, room);
	while ((n = read(dev, image->data + image->len, room - image->len)) > 0) {
		image->len += n;
		if (image->len == room)
			image->data = realloc(image->data, room *= 2);
	}
	if (!n)
		image_scan(image);
	return result(n);
}

int device_do(int dev, unsigned long request)
{
	return result(ioctl(dev, request));
}

int device_read_and_thaw(int dev, const struct kckpt_capture *captured, struct image *image)
{
	if (captured->kept == KCKPT_KEPT)
		return device_do(dev, KCKPT_IOC_THAW) ?: device_read(dev, image);
	return device_read(dev, image) ?: device_do(dev, KCKPT_IOC_THAW);
}

int device_dump(const char *cgroup, struct image *image, unsigned long end)
{
	int dev = device_open();
	int err = device_freeze(dev, cgroup) ?: device_capture(dev) ?: device_read(dev, image) ?: device_do(dev, end);

	close(dev);
	return err;
}

int device_write(int dev, const struct image *image, size_t *at)
{
	size_t part;
	ssize_t n = 0;

	while (*at < image->len) {
		part = image->len - *at < 1 << 18 ? image->len - *at : 1 << 18;
		n = write(dev, image->data + *at, part);
		if (n <= 0)
			break;
		*at += n;
		if ((size_t)n < part)
			return 0;
	}
	return result(n);
}

int device_instantiate(int dev, const char *cgroup, uint32_t flags)
{
	struct kckpt_instantiate request = { .cgroup = cgroup ? open_cgroup(cgroup) : -1, .flags = flags };
	int err = result(ioctl(dev, KCKPT_IOC_INSTANTIATE, &request));

	if (cgroup)
		close(request.cgroup);
	return err;
}

int device_commit(int dev)
{
	return device_commit_with(dev, &(struct kckpt_commit){});
}

int device_commit_with(int dev, const struct kckpt_commit *request)
{
	return result(ioctl(dev, KCKPT_IOC_COMMIT, request));
}

uint32_t device_kept(int dev)
{
	struct kckpt_stats stats = {};

	ioctl(dev, KCKPT_IOC_STATS, &stats);
	return stats.kept;
}

int device_restore(int dev, const struct image *image, const char *cgroup, uint32_t flags)
{
	size_t at = 0;
	int err = device_write(dev, image, &at) ?:
		  (device_state(dev) == KCKPT_LOADED ? device_instantiate(dev, cgroup, flags) : 0) ?:
		  device_write(dev, image, &at) ?:
		  device_commit(dev);

	/* What went well has nothing to report. */
	if (!err && !EXPECT_EQ(0, device_first_code(dev)))
		device_say_report(dev);
	return err;
}

long long device_transfer(int dev, unsigned long request, int fd, uint64_t bytes)
{
	struct kckpt_transfer transfer = { .fd = fd, .bytes = bytes };

	return ioctl(dev, request, &transfer) ? -errno : (long long)transfer.bytes;
}

/* Until there is no more. */
static int transfer_all(int dev, unsigned long request, int fd)
{
	long long n;

	while ((n = device_transfer(dev, request, fd, 0)) > 0)
		;
	return -n;
}

int device_save_to(int dev, int fd)
{
	return transfer_all(dev, KCKPT_IOC_SAVE, fd);
}

int device_restore_from(int dev, int fd, const char *cgroup, uint32_t flags)
{
	int err = transfer_all(dev, KCKPT_IOC_LOAD, fd);

	if (err != EBUSY)
		return err ?: EBADMSG;
	return device_instantiate(dev, cgroup, flags) ?: transfer_all(dev, KCKPT_IOC_LOAD, fd) ?: device_commit(dev);
}

uint32_t device_first_code(int dev)
{
	struct kckpt_error error = {};
	struct kckpt_report request = { .errors = (uintptr_t)&error, .nr = 1 };

	ioctl(dev, KCKPT_IOC_REPORT, &request);
	return error.code;
}

void device_say_report(int dev)
{
	struct kckpt_error errors[KCKPT_MAX_REPORT] = {};
	struct kckpt_report request = { .errors = (uintptr_t)errors, .nr = KCKPT_MAX_REPORT };
	uint32_t i;

	ioctl(dev, KCKPT_IOC_REPORT, &request);
	for (i = 0; i < request.nr && i < KCKPT_MAX_REPORT; i++)
		test_say("%s: %s (%s, pid %d, errno %d)", error_name(errors[i].code), errors[i].detail, errors[i].comm,
			 errors[i].pid, -errors[i].err);
}

uint32_t device_state(int dev)
{
	struct kckpt_stats stats = {};

	ioctl(dev, KCKPT_IOC_STATS, &stats);
	return stats.state;
}
