/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * libkckpt: dump and restore of jobs from a program's own code. docs/examples/orchestrator.c is a whole user of it,
 * libkckpt(3) the manual page; what the requests mean and their order is told in <kckpt/uapi.h>.
 *
 * A *session* is one dump or one restore, on one open of /dev/kckpt. A dump:
 *
 *	struct kckpt_session *session;
 *	struct kckpt_freeze freeze = { .cgroup = cgroup_fd };
 *	struct kckpt_capture capture = { 0 };
 *
 *	kckpt_session_open(&session)
 *	kckpt_session_freeze(session, &freeze, sizeof(freeze))		the job stands still
 *	kckpt_session_capture(session, &capture, sizeof(capture))	it is described, or refused
 *	kckpt_dump_to_fd(session, image_fd, NULL, NULL)			the image
 *	fsync(image_fd)
 *	kckpt_session_kill(session)			or _thaw(), or _release_frozen()
 *	kckpt_session_close(session)
 *
 * and a restore:
 *
 *	struct kckpt_instantiate request = { .cgroup = empty_cgroup_fd };
 *
 *	kckpt_session_open(&session)
 *	kckpt_load_from_fd(session, image_fd, &request, sizeof(request), NULL, NULL)	all tasks are made and held
 *	kckpt_session_commit(session, &commit, sizeof(commit))		they run
 *	kckpt_session_close(session)
 *
 * Each step can fail; then report what kckpt_session_report() tells, and close: a job that was frozen runs on, a
 * restore leaves nothing. The root of a restored job is a child of the process that called kckpt_load_from_fd() or
 * kckpt_session_instantiate(), which waits for it as for any other child (request.root_pid).
 *
 * Errors. Functions return 0 (or a count), or a negative errno; errno itself means nothing after them. The facts behind
 * a refusal are in the report of the session. It is empty when the error did not come from the kernel's side: a bad
 * argument (-EINVAL), or a failed read() or write() of the caller's own descriptor. Besides those that the report
 * explains, expect -EPERM from any function, when the caller's rights were taken away meanwhile.
 *
 * Ownership. kckpt_session_open() makes the session, kckpt_session_close() ends it and frees it. Nothing that is passed
 * in is kept after the function has returned: descriptors stay the caller's and stay open, arrays and strings may be
 * freed. Strings that are returned are constants.
 *
 * What dies with a session. All that it holds goes with the *last* descriptor of it, whatever the reason: an exit, a
 * crash, a SIGKILL. The descriptor is close-on-exec, but a child made by fork() has it, too, and keeps the job frozen
 * for as long as it lives without calling exec or closing kckpt_session_fd().
 *
 * Threads. The library has no state but that of its sessions: different sessions can be used at the same time. One
 * session is used by one thread at a time, except that kckpt_session_fd(), _stats(), _report() and _abort() can be
 * called by another one; all but the first of them wait for the request that is running. A progress callback is
 * called by the thread that called the library.
 *
 * Signals. Interrupted reads and writes go on; only a signal that kills ends a request early. Of these functions only
 * kckpt_session_fd() may be called in a signal handler. A handler that ends the process needs nothing: _exit() closes
 * the session. One that must undo more afterwards, such as removing a cgroup, closes kckpt_session_fd() first, and then
 * must not return. Writing to a pipe or socket whose reader is gone raises SIGPIPE: ignore it, and get -EPIPE.
 *
 * Nothing here prints, exits, changes signal handlers, or throws; a C++ exception must not leave a callback.
 *
 * Growth. The structs of <kckpt/uapi.h> may grow at their ends. So functions take the size of the caller's own, as the
 * kernel does: sizeof(*request), always, with every field that is not used set to zero. A program built with an older
 * header works with a newer library and module; one with a newer header works with an older one as long as what is
 * new is zero, else it gets -E2BIG. Elements of arrays (kckpt_error, kckpt_inherit, ...) do not grow.
 */
#ifndef KCKPT_KCKPT_H
#define KCKPT_KCKPT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <kckpt/uapi.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kckpt_session;

/* The version of the library, "0.1.0". */
const char *kckpt_version(void);

/* ---- a session ---- */

/*
 * kckpt_session_open() - begin a dump or a restore. *@session is NULL after an error:
 * -ENOENT, -ENODEV, -ENXIO: the module is not loaded; -EPERM, -EACCES: the caller lacks the rights;
 * -EPROTONOSUPPORT: the module's interface is not that of this library, see kckpt_module_info().
 */
int kckpt_session_open(struct kckpt_session **session);

/*
 * kckpt_session_adopt() - the same on a descriptor of /dev/kckpt that was opened by somebody else; the caller must have
 * the rights as well. The session owns it from now on; after an error the caller still does.
 */
int kckpt_session_adopt(int fd, struct kckpt_session **session);

/* kckpt_session_close() - drop all that the session still holds. NULL is allowed. */
void kckpt_session_close(struct kckpt_session *session);

/* kckpt_session_fd() - its descriptor, which it keeps; -1 for NULL. */
int kckpt_session_fd(const struct kckpt_session *session);

/* kckpt_session_info() - what the module is and can do. @info->families may point to an array of the caller's. */
int kckpt_session_info(struct kckpt_session *session, struct kckpt_info *info, size_t size);

/* kckpt_module_info() - the same without a session, and of a module with any interface: see @info->abi. */
int kckpt_module_info(struct kckpt_info *info, size_t size);

/* kckpt_session_stats() - state, sizes and times. */
int kckpt_session_stats(struct kckpt_session *session, struct kckpt_stats *stats, size_t size);

/*
 * kckpt_session_report() - what went wrong: fills at most @nr of @errors, beginning with the @first (0), and returns
 * how many. *@total, unless NULL, tells all that happened; at most KCKPT_MAX_REPORT of them can be had.
 */
int kckpt_session_report(struct kckpt_session *session, uint32_t first, struct kckpt_error *errors, uint32_t nr,
			 uint32_t *total);

/* kckpt_session_abort() - roll back now and wait until that is done; the session can then only be closed. */
int kckpt_session_abort(struct kckpt_session *session);

/* ---- dump ---- */

/* kckpt_session_freeze() - stop the cgroup @request->cgroup; it thaws when the session ends. */
int kckpt_session_freeze(struct kckpt_session *session, const struct kckpt_freeze *request, size_t size);

/*
 * kckpt_session_capture() - describe the frozen job. When it is refused the report has all the reasons, and it can be
 * tried again. With KCKPT_CAPTURE_CHECK nothing else is done. With KCKPT_CAPTURE_KEEP look at request->kept: if it is
 * KCKPT_KEPT, kckpt_session_thaw() may come next, and the image is read while the job runs.
 */
int kckpt_session_capture(struct kckpt_session *session, struct kckpt_capture *request, size_t size);

/* kckpt_session_read() - the next bytes of the image, at most @size; 0: it is complete. */
ssize_t kckpt_session_read(struct kckpt_session *session, void *buffer, size_t size);

/*
 * kckpt_session_save() - the same into @fd; where it is a file or a pipe the kernel itself writes to it, without a copy
 * by way of the caller. At most @size bytes, as soon as there are some. Returns how many; 0: the image is complete.
 * After an error of a file, such as -ENOSPC, the session is as it was; after one of something else bytes may be lost.
 */
ssize_t kckpt_session_save(struct kckpt_session *session, int fd, size_t size);

/*
 * A progress callback: @bytes of the image have been moved so far. 0: go on; a negative errno ends the transfer, which
 * returns it. The session is then as it was, and is usually closed.
 */
typedef int kckpt_progress_fn(void *data, uint64_t bytes);

/*
 * kckpt_dump_to_fd() - the whole image, written to @fd, which must be blocking. It is complete, but not synced, when 0
 * is returned. @progress may be NULL.
 */
int kckpt_dump_to_fd(struct kckpt_session *session, int fd, kckpt_progress_fn *progress, void *data);

/* How a dump ends: the job runs on; it is killed; it stays frozen after the session. */
int kckpt_session_thaw(struct kckpt_session *session);
int kckpt_session_kill(struct kckpt_session *session);
int kckpt_session_release_frozen(struct kckpt_session *session);

/*
 * Increments, see <kckpt/uapi.h>. kckpt_session_retain() - when the image is complete, and safe where it is to be, and
 * before the dump ends: the module keeps the snapshot that was captured with KCKPT_CAPTURE_SNAPSHOT. A later capture
 * with KCKPT_CAPTURE_PARENT and the UUID of this image (kckpt_capture.image) makes an image that builds on it.
 * kckpt_session_forget() - in any state: drop what is kept so of @cgroup, a descriptor; -1: of all. Returns how many
 * there were. A restore takes whole images only: `kckpt flatten` makes one of an increment and its parents.
 */
int kckpt_session_retain(struct kckpt_session *session);
int kckpt_session_forget(struct kckpt_session *session, int cgroup);

/* ---- restore ---- */

/*
 * kckpt_load_from_fd() - read an image from @fd, from where it stands to its end of file, and make the tasks as
 * @request says; @request->root_pid and nr_tasks are set. What is left to do is kckpt_session_commit(). With
 * KCKPT_INSTANTIATE_DRY_RUN nothing is made, and the commit says whether the image was whole.
 */
int kckpt_load_from_fd(struct kckpt_session *session, int fd, struct kckpt_instantiate *request, size_t size,
		       kckpt_progress_fn *progress, void *data);

/*
 * The same in pieces, for those who get the image from elsewhere. kckpt_session_write() returns how much was taken:
 * less than @size, maybe 0, is the end of the records, and the time for kckpt_session_instantiate(); the rest is
 * written afterwards.
 */
ssize_t kckpt_session_write(struct kckpt_session *session, const void *buffer, size_t size);

/*
 * kckpt_session_send() - the same from a seekable file, from where it stands, at most @size bytes, without a copy by
 * way of the caller. Returns how much was taken, and so by how much the file stands further on; 0 at its end; -EBUSY
 * when nothing was taken since the records have ended. Less than @size may also be due to a failure, which the next
 * call returns.
 */
ssize_t kckpt_session_send(struct kckpt_session *session, int fd, size_t size);

/*
 * kckpt_session_cgroups() - between the two: the cgroups that must be made, empty, below that of @request->cgroup:
 * relative paths, parents first, each with its NUL. *@size: in, room in @paths; out, what all of them need. With too
 * little room nothing is copied. kckpt_load_from_fd() makes them itself.
 */
int kckpt_session_cgroups(struct kckpt_session *session, char *paths, size_t *size);
int kckpt_session_instantiate(struct kckpt_session *session, struct kckpt_instantiate *request, size_t size);

/*
 * kckpt_session_commit() - the last checks, and then the tasks run. With KCKPT_COMMIT_SNAPSHOT the next image can build
 * on the one that was loaded, if kckpt_stats.kept says KCKPT_KEPT afterwards.
 */
int kckpt_session_commit(struct kckpt_session *session, const struct kckpt_commit *request, size_t size);

/* ---- what belongs to the outside: the words of --inherit-fd and --external ---- */

/*
 * kckpt_inherit_parse() - "NAME=N", or "N" for "N=N": descriptor N of the job's root (dump) or of the caller (restore)
 * is called NAME in the image.
 *
 * kckpt_external_parse() - for a dump, "KIND:ID=NAME" or "KIND:ID" for "KIND:ID=KIND:ID": pipe:INODE, socket:INODE,
 * file:PATH, dev:PATH (a character device), tty (the job's controlling terminal, without ID). PATH is looked up now.
 *
 * kckpt_external_open() - for a restore: the file:PATH, dev:PATH, or tty (of the caller) that takes the place of NAME.
 * @inherit->fd is the caller's to close when the tasks have been made. -EOPNOTSUPP for pipes and sockets, of which a
 * descriptor must be handed over.
 *
 * A NAME has 1 to 55 bytes and no '='; it is what follows the last one. -EINVAL or -ENAMETOOLONG: not of this grammar;
 * -ENODEV: PATH is no character device; -ENOTTY, -ENXIO: the caller has no terminal; else an errno of stat() or open().
 */
int kckpt_inherit_parse(const char *text, struct kckpt_inherit *inherit);
int kckpt_external_parse(const char *text, struct kckpt_external *external);
int kckpt_external_open(const char *text, struct kckpt_inherit *inherit);

/* ---- words ---- */

/*
 * Of an error code: its name "FILE_UNLINKED", what it says, what to do about it, and its usual errno (positive). Never
 * NULL: a code that this library does not know, of a newer module, is "UNKNOWN".
 */
const char *kckpt_error_name(uint32_t code);
const char *kckpt_error_text(uint32_t code);
const char *kckpt_error_remedy(uint32_t code);
int kckpt_error_errno(uint32_t code);

/*
 * kckpt_error_format() - one line about @error, without newline: "pid 4121 (nginx), fd 7: /var/tmp/part: a file was
 * deleted while in use (FILE_UNLINKED)". Control characters of the job's names become '?'. Cut to @size bytes as
 * snprintf() does, and returns as it does how long the whole is.
 */
int kckpt_error_format(const struct kckpt_error *error, char *buffer, size_t size);

/* kckpt_family_name() - "pipe"; "" for one that is not known. */
const char *kckpt_family_name(uint32_t family);

#ifdef __cplusplus
}
#endif

#endif /* KCKPT_KCKPT_H */
