// SPDX-License-Identifier: GPL-2.0
/*
 * Who may dump and restore what: a caller gets no more than its own rights, and those of who opened the session, allow.
 * Here through the ioctls, with the device open to all, so that it is the module that says no.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device.h"
#include "image.h"
#include "job.h"

#define USER	1000
#define OTHER	2000
#define BIT(cap)	(1ull << (cap))
#define NEEDED	(BIT(CAP_SYS_ADMIN) | BIT(CAP_CHECKPOINT_RESTORE))

/* ---- who calls ---- */

enum caller {
	ROOT,			/* with all capabilities */
	ROOT_WITH_LITTLE,	/* with the two that the device asks for */
	USER_WITH_BOTH,		/* the same as a user */
	USER_WITH_ONE,		/* CAP_CHECKPOINT_RESTORE alone */
	USER_WITH_NONE,
	ROOT_OF_A_NAMESPACE,	/* of a user namespace */
	NR_CALLERS
};

static const char *const caller_names[] = { "root", "root with two capabilities", "a user with two capabilities",
					    "a user with CAP_CHECKPOINT_RESTORE", "a user", "root of a user namespace" };

static bool set_caps(uint64_t caps)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { caps, caps, 0 }, { caps >> 32, caps >> 32, 0 } };

	return !syscall(SYS_capset, &head, data);
}

static bool become_user(uid_t uid, uint64_t caps)
{
	return !prctl(PR_SET_KEEPCAPS, 1) && !setgroups(0, NULL) && !setresgid(uid, uid, uid) &&
	       !setresuid(uid, uid, uid) && set_caps(caps);
}

static bool become_root_of_a_namespace(void)
{
	return become_user(USER, 0) && !prctl(PR_SET_DUMPABLE, 1) && !unshare(CLONE_NEWUSER) &&
	       write_file("/proc/self/setgroups", "deny") && write_file("/proc/self/uid_map", format("0 %d 1", USER)) &&
	       write_file("/proc/self/gid_map", format("0 %d 1", USER));
}

static bool become(enum caller caller)
{
	switch (caller) {
	case ROOT:
		return true;
	case ROOT_WITH_LITTLE:
		return set_caps(NEEDED);
	case USER_WITH_BOTH:
		return become_user(USER, NEEDED);
	case USER_WITH_ONE:
		return become_user(USER, BIT(CAP_CHECKPOINT_RESTORE));
	case USER_WITH_NONE:
		return become_user(USER, 0);
	default:
		return become_root_of_a_namespace();
	}
}

/* Runs @what as somebody else; what it returns, or -1. */
static int as(enum caller caller, int (*what)(void *arg), void *arg)
{
	pid_t pid = fork();

	if (!pid) {
		if (!become(caller)) {
			test_say("cannot become %s: %m", caller_names[caller]);
			_exit(255);
		}
		_exit(what(arg));
	}
	return wait_exit(pid, 30000 * test_patience());
}

/* The device for everybody, and no rule about who traces whom but the kernel's own. */
static void open_the_doors(void)
{
	ASSERT_EQ(0, chmod(KCKPT_DEVICE, 0666));
	ASSERT_EQ(0, chmod(test_folder(), 0777));
	write_file("/proc/sys/kernel/yama/ptrace_scope", "0");
	write_file("/proc/sys/kernel/unprivileged_userns_clone", "1");
}

static void close_the_doors(void)
{
	EXPECT_EQ(0, chmod(KCKPT_DEVICE, 0600));
}

/* ---- whose job ---- */

enum target { OWN, OWN_NOT_DUMPABLE, OWN_SETUID, FOREIGN, OF_ROOT, OWN_TRACED, NR_TARGETS };

static const char *const target_names[] = { "own", "not dumpable", "setuid", "another user's", "root's", "traced" };

static int wait_for_the_end(void)
{
	for (errno = EINTR; errno == EINTR;)
		pause();
	return 1;
}

static int own(void)
{
	JOB_SETUP(become_user(USER, 0) && !prctl(PR_SET_DUMPABLE, 1));
	job_roundtrip();
	return wait_for_the_end();
}

static int not_dumpable(void)
{
	JOB_SETUP(become_user(USER, 0) && !prctl(PR_SET_DUMPABLE, 0));
	job_roundtrip();
	return wait_for_the_end();
}

/* What exec of a setuid program makes of a user: no signals, no tracing from the user's side. */
static int is_setuid(void)
{
	JOB_SETUP(become_user(USER, 0));
	execl(test_path("sleep"), "sleep", "1000", NULL);
	return JOB_SETUP_FAILED;
}

static int foreign(void)
{
	JOB_SETUP(become_user(OTHER, 0) && !prctl(PR_SET_DUMPABLE, 1));
	job_roundtrip();
	return wait_for_the_end();
}

static int of_root(void)
{
	job_roundtrip();
	return wait_for_the_end();
}

static void copy_sleep(void)
{
	size_t len;
	char *program = read_bytes("/bin/sleep", &len);

	ASSERT_TRUE(program && write_bytes(test_path("sleep"), program, len) && !chmod(test_path("sleep"), 04755));
}

static void start(struct job *job, enum target target)
{
	static job_fn *const jobs[] = { own, not_dumpable, is_setuid, foreign, of_root, own };

	if (target == OWN_SETUID)
		copy_sleep();
	job_start(job, jobs[target], NULL);
	if (target == OWN_SETUID) {
		ASSERT_TRUE(wait_in_syscall(job->pid, job->pid, SYS_clock_nanosleep));
		ASSERT_EQ(0, status_field(job->pid, "CapEff", 16) == 0);	/* it has gained something */
	} else {
		ASSERT_EQ(JOB_WAITS, job_wait(job));
	}
	if (target == OWN_TRACED)
		ASSERT_TRUE(!ptrace(PTRACE_SEIZE, job->pid, 0, 0));
}

/* ---- dumps ---- */

struct attempt {
	const struct job *job;
	int dev;	/* -1: to be opened by who uses it */
	uint32_t want;	/* code of the refusal; 0: it succeeds */
};

/* 0 if it went as it should. */
static int dump(void *arg)
{
	const struct attempt *attempt = arg;
	int dev = attempt->dev >= 0 ? attempt->dev : open(KCKPT_DEVICE, O_RDWR | O_CLOEXEC), err;
	struct image image = {};
	uint32_t code;

	if (dev < 0)
		return !(errno == EPERM && attempt->want == KCKPT_E_NOT_PERMITTED);
	err = device_freeze(dev, attempt->job->cgroup) ?: device_capture(dev) ?: device_read(dev, &image) ?:
	      device_do(dev, KCKPT_IOC_THAW);
	code = device_first_code(dev);
	/* Who is not let in at all is not told why. */
	if (err == EPERM && !code)
		code = KCKPT_E_NOT_PERMITTED;
	if (!!err == !!attempt->want && code == attempt->want)
		return 0;
	test_say("error %d", err);
	device_say_report(dev);
	return 1;
}

/* What they are to get; when root had opened the session, too: its rights alone help nobody. */
static uint32_t wanted(enum caller caller, enum target target)
{
	if (caller == ROOT)
		return target == OWN_TRACED ? KCKPT_E_TASK_TRACED : 0;
	if (caller == USER_WITH_BOTH && target == OWN_TRACED)
		return KCKPT_E_TASK_TRACED;
	return caller == USER_WITH_BOTH && target == OWN ? 0 : KCKPT_E_NOT_PERMITTED;
}

static void try_dumps(enum target target, bool opened_by_root)
{
	struct attempt attempt;
	struct job job;
	int caller;

	start(&job, target);
	for (caller = ROOT; caller < NR_CALLERS; caller++) {
		attempt = (struct attempt){ &job, opened_by_root ? device_open() : -1, wanted(caller, target) };
		if (as(caller, dump, &attempt))
			test_failed(__FILE__, __LINE__, "%s, job: %s, opened by %s: not %s", caller_names[caller],
				    target_names[target], opened_by_root ? "root" : "the caller",
				    attempt.want ? error_name(attempt.want) : "done");
		if (attempt.dev >= 0)
			close(attempt.dev);
		if (cgroup_is_frozen(job.cgroup))
			test_failed(__FILE__, __LINE__, "it stays frozen");
	}
	kill(job.pid, SIGKILL);
	wait_exit(job.pid, 20000);
}

TEST_LIMIT(rights_to_dump, 180)
{
	int target;

	open_the_doors();
	for (target = OWN; target < NR_TARGETS; target++)
		try_dumps(target, false);
	close_the_doors();
}

TEST_LIMIT(rights_to_dump_with_roots_session, 180)
{
	int target;

	open_the_doors();
	for (target = OWN; target < NR_TARGETS; target++)
		try_dumps(target, true);
	close_the_doors();
}

/* ---- a session of somebody with fewer rights ---- */

static int pass_on(void *arg)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .head = { .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int)) } };
	struct msghdr message = { .msg_iov = &(struct iovec){ "x", 1 }, .msg_iovlen = 1, .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	int dev = open(KCKPT_DEVICE, O_RDWR | O_CLOEXEC);

	memcpy(CMSG_DATA(&control.head), &dev, sizeof(dev));
	return dev < 0 || sendmsg(*(int *)arg, &message, 0) != 1;
}

static int session_of(enum caller caller)
{
	char room[CMSG_SPACE(sizeof(int))], byte;
	struct msghdr message = { .msg_iov = &(struct iovec){ &byte, 1 }, .msg_iovlen = 1, .msg_control = room,
				  .msg_controllen = sizeof(room) };
	int ends[2], dev = -1;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	ASSERT_EQ(0, as(caller, pass_on, &ends[0]));
	ASSERT_TRUE(recvmsg(ends[1], &message, 0) == 1 && CMSG_FIRSTHDR(&message));
	memcpy(&dev, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(dev));
	close(ends[0]);
	close(ends[1]);
	return dev;
}

/* It would use root's rights for them. */
TEST(rights_of_who_opened_the_session)
{
	struct attempt attempt;
	struct job job;

	open_the_doors();
	start(&job, OF_ROOT);
	attempt = (struct attempt){ &job, session_of(USER_WITH_BOTH), KCKPT_E_NOT_PERMITTED };
	EXPECT_EQ(0, as(ROOT, dump, &attempt));
	attempt.dev = session_of(ROOT_WITH_LITTLE);
	EXPECT_EQ(0, as(ROOT, dump, &attempt));
	/* The other way round it is the caller that counts. */
	kill(job.pid, SIGKILL);
	wait_exit(job.pid, 20000);
	start(&job, OWN);
	attempt = (struct attempt){ &job, session_of(ROOT), 0 };
	EXPECT_EQ(0, as(USER_WITH_BOTH, dump, &attempt));
	close_the_doors();
}

/* ---- restores ---- */

struct restore {
	const struct job *job;
	const struct image *image;
	uint32_t want;
};

static int restore(void *arg)
{
	const struct restore *restore = arg;
	int dev = open(KCKPT_DEVICE, O_RDWR | O_CLOEXEC), err;
	uint32_t code;

	if (dev < 0)
		return !(errno == EPERM && restore->want == KCKPT_E_NOT_PERMITTED);
	/* The page of the test was changed since. */
	err = device_restore(dev, restore->image, restore->job->cgroup, KCKPT_INSTANTIATE_FILES_CHANGED);
	code = device_first_code(dev);
	if (!!err == !!restore->want && code == restore->want)
		return 0;
	test_say("error %d", err);
	device_say_report(dev);
	return 1;
}

static bool is_gone(const struct job *job)
{
	double end = now() + 20;

	while (now() < end) {
		while (waitpid(-1, NULL, WNOHANG | __WALL) > 0)
			;
		if (kill(job->pid, 0) && cgroup_is_empty(job->cgroup))
			return !cgroup_is_frozen(job->cgroup);
		usleep(1000);
	}
	return false;
}

/* A user may put tasks into the cgroup, as with systemd's Delegate=. */
static bool delegate(const char *cgroup)
{
	return !chown(cgroup, USER, USER) && !chown(format("%s/cgroup.procs", cgroup), USER, USER) &&
	       !chown("/sys/fs/cgroup/cgroup.procs", USER, USER);
}

static struct image dump_and_end(struct job *job, enum target target)
{
	struct image image = {};

	start(job, target);
	ASSERT_EQ(0, device_dump(job->cgroup, &image, KCKPT_IOC_KILL));
	ASSERT_TRUE(is_gone(job) && delegate(job->cgroup));
	/* It maps the files of the test. */
	ASSERT_EQ(0, system(format("chmod -R a+rw %s", test_folder())));
	return image;
}

static bool restores(enum caller caller, const struct job *job, const struct image *image, uint32_t want)
{
	struct restore request = { job, image, want };
	bool ok = !as(caller, restore, &request);

	if (!want)
		ok = ok && !kill(job->pid, SIGKILL);
	return ok && is_gone(job);
}

TEST_LIMIT(rights_to_restore, 180)
{
	struct image image;
	struct job job;

	open_the_doors();
	image = dump_and_end(&job, OWN);
	EXPECT_TRUE(restores(ROOT, &job, &image, 0));
	EXPECT_TRUE(restores(USER_WITH_BOTH, &job, &image, 0));
	EXPECT_TRUE(restores(USER_WITH_ONE, &job, &image, KCKPT_E_NOT_PERMITTED));
	EXPECT_TRUE(restores(USER_WITH_NONE, &job, &image, KCKPT_E_NOT_PERMITTED));
	EXPECT_TRUE(restores(ROOT_OF_A_NAMESPACE, &job, &image, KCKPT_E_NOT_PERMITTED));
	EXPECT_TRUE(restores(ROOT_WITH_LITTLE, &job, &image, KCKPT_E_TASK_CREDS));
	image = dump_and_end(&job, FOREIGN);
	EXPECT_TRUE(restores(ROOT, &job, &image, 0));
	EXPECT_TRUE(restores(USER_WITH_BOTH, &job, &image, KCKPT_E_TASK_CREDS));
	image = dump_and_end(&job, OF_ROOT);
	EXPECT_TRUE(restores(USER_WITH_BOTH, &job, &image, KCKPT_E_TASK_CREDS));
	EXPECT_TRUE(restores(ROOT_WITH_LITTLE, &job, &image, KCKPT_E_TASK_CREDS));
	image = dump_and_end(&job, OWN_SETUID);
	EXPECT_TRUE(restores(USER_WITH_BOTH, &job, &image, KCKPT_E_TASK_CREDS));
	close_the_doors();
}

/* ---- images that claim more than was there ---- */

static void claim_user(const struct image *image)
{
	struct kckpt_cred_rec *cred = image_find(image, KCKPT_F_cred, KCKPT_K_cred, 0);

	cred->uid = cred->euid = cred->suid = cred->fsuid = 0;
}

static void claim_saved_user(const struct image *image)
{
	((struct kckpt_cred_rec *)image_find(image, KCKPT_F_cred, KCKPT_K_cred, 0))->suid = 0;
}

static void claim_file_user(const struct image *image)
{
	((struct kckpt_cred_rec *)image_find(image, KCKPT_F_cred, KCKPT_K_cred, 0))->fsuid = 0;
}

static void claim_group(const struct image *image)
{
	((struct kckpt_cred_rec *)image_find(image, KCKPT_F_cred, KCKPT_K_cred, 0))->egid = 0;
}

static void claim_permitted(const struct image *image)
{
	((struct kckpt_cred_rec *)image_find(image, KCKPT_F_cred, KCKPT_K_cred, 0))->cap_permitted |= BIT(CAP_SYS_PTRACE);
}

static void claim_effective(const struct image *image)
{
	((struct kckpt_cred_rec *)image_find(image, KCKPT_F_cred, KCKPT_K_cred, 0))->cap_effective |= BIT(CAP_SYS_PTRACE);
}

static void claim_ambient(const struct image *image)
{
	((struct kckpt_cred_rec *)image_find(image, KCKPT_F_cred, KCKPT_K_cred, 0))->cap_ambient |= BIT(CAP_SYS_PTRACE);
}

static void claim_inheritable(const struct image *image)
{
	((struct kckpt_cred_rec *)image_find(image, KCKPT_F_cred, KCKPT_K_cred, 0))->cap_inheritable |= BIT(CAP_SYS_PTRACE);
}

static void claim_securebits(const struct image *image)
{
	((struct kckpt_cred_rec *)image_find(image, KCKPT_F_cred, KCKPT_K_cred, 0))->securebits ^= 1;	/* SECBIT_NOROOT */
}

static void claim_nice(const struct image *image)
{
	((struct kckpt_task_rec *)image_find(image, KCKPT_F_task, KCKPT_K_task, 0))->nice = -20;
}

static void claim_realtime(const struct image *image)
{
	struct kckpt_task_rec *task = image_find(image, KCKPT_F_task, KCKPT_K_task, 0);

	task->policy = SCHED_FIFO;
	task->priority = 50;
}

static void claim_oom_score(const struct image *image)
{
	((struct kckpt_process_rec *)image_find(image, KCKPT_F_process, KCKPT_K_process, 0))->oom_score_adj = -1000;
}

static void claim_limit(const struct image *image)
{
	struct kckpt_limits_rec *limits = image_find(image, KCKPT_F_process, KCKPT_K_limits, 0);

	((uint64_t *)(limits + 1))[2 * RLIMIT_MEMLOCK + 1] = ~0ull;
}

#define CLAIM(name) { #name, claim_##name }
static const struct {
	const char *name;
	void (*make)(const struct image *image);
} claims[] = {
	CLAIM(user), CLAIM(saved_user), CLAIM(file_user), CLAIM(group), CLAIM(permitted), CLAIM(effective), CLAIM(ambient),
	CLAIM(inheritable), CLAIM(securebits), CLAIM(nice), CLAIM(realtime), CLAIM(oom_score), CLAIM(limit),
};

TEST_LIMIT(rights_of_an_edited_image, 180)
{
	struct image image, edited;
	struct job job;
	unsigned int i;

	open_the_doors();
	image = dump_and_end(&job, OWN);
	for (i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
		edited = image_copy(&image);
		claims[i].make(&edited);
		image_seal(&edited);
		if (!restores(USER_WITH_BOTH, &job, &edited, KCKPT_E_TASK_CREDS))
			test_failed(__FILE__, __LINE__, "an image that claims %s is not refused for that", claims[i].name);
		free(edited.data);
	}
	/* It is the claim, not the edit, that was refused. */
	image_seal(&image);
	EXPECT_TRUE(restores(USER_WITH_BOTH, &job, &image, 0));
	close_the_doors();
}

/* Not even root unlocks what it has locked. */
static int restore_without_root(void *arg)
{
	if (prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED))
		return 99;
	return restore(arg);
}

TEST(rights_of_locked_securebits)
{
	struct restore request;
	struct image image;
	struct job job;

	image = dump_and_end(&job, OF_ROOT);
	request = (struct restore){ &job, &image, KCKPT_E_TASK_CREDS };
	EXPECT_EQ(0, as(ROOT, restore_without_root, &request));
	EXPECT_TRUE(is_gone(&job));
	EXPECT_TRUE(restores(ROOT, &job, &image, 0));
}
