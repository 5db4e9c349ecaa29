/* SPDX-License-Identifier: GPL-2.0 */
/* The requests of /dev/kckpt, for tests that look at its edges. All return 0 or the errno. */
#ifndef DEVICE_H
#define DEVICE_H

#include <stddef.h>
#include <stdint.h>

#include <kckpt/uapi.h>

struct image {
	uint8_t *data;
	size_t len;
};

int device_open(void);			/* its descriptor; ends the test if there is none */
int device_freeze(int dev, const char *cgroup);
int device_freeze_with(int dev, struct kckpt_freeze *request, const char *cgroup);
int device_capture(int dev);
int device_capture_with(int dev, struct kckpt_capture *request);
int device_read(int dev, struct image *image);		/* to its end */
int device_do(int dev, unsigned long request);		/* those without an argument */

/* Reads the image and lets the job run on: before that if its memory is kept. */
int device_read_and_thaw(int dev, const struct kckpt_capture *captured, struct image *image);

/* The whole dump in a session of its own; the job is killed or runs on. */
int device_dump(const char *cgroup, struct image *image, unsigned long end);

/* Writes until the module wants no more; *@at is moved on. */
int device_write(int dev, const struct image *image, size_t *at);
int device_instantiate(int dev, const char *cgroup, uint32_t flags);
int device_commit(int dev);
int device_commit_with(int dev, const struct kckpt_commit *request);
uint32_t device_kept(int dev);		/* what COMMIT or CAPTURE has kept, enum kckpt_kept */
/* The whole restore in the open session @dev; with DRY_RUN, @cgroup is not used. */
int device_restore(int dev, const struct image *image, const char *cgroup, uint32_t flags);

/* KCKPT_IOC_SAVE or LOAD, from where @fd stands: bytes, or a negative errno. */
long long device_transfer(int dev, unsigned long request, int fd, uint64_t bytes);
int device_save_to(int dev, int fd);		/* all of it */
int device_restore_from(int dev, int fd, const char *cgroup, uint32_t flags);

uint32_t device_first_code(int dev);	/* of the report; 0: it is empty */
void device_say_report(int dev);	/* all of it, as diagnostics */
uint32_t device_state(int dev);

#endif
