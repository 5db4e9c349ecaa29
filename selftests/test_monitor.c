// SPDX-License-Identifier: GPL-2.0
/*
 * What the module tells over generic netlink, to `kckpt monitor` and to a listener that reads nothing. Events are a help:
 * whatever happens to them, a dump does not notice.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kckpt/netlink.h>

#include "device.h"
#include "runner.h"

#define FAIL_NTH "/sys/kernel/debug/kckpt/fail_nth"

/* ---- the command ---- */

static const char *monitor_said(pid_t monitor)
{
	return read_file(test_path(format("tool.%d", monitor))) ?: "";
}

static int count(const char *text, const char *part)
{
	int nr = 0;

	for (; (text = strstr(text, part)); text++)
		nr++;
	return nr;
}

static bool monitor_says_times(pid_t monitor, int times, const char *text)
{
	double end = now() + 60;

	while (now() < end) {
		if (count(monitor_said(monitor), text) >= times)
			return true;
		usleep(10000);
	}
	test_say("not %d times %s in: %s", times, text, monitor_said(monitor));
	return false;
}

static bool monitor_says(pid_t monitor, const char *text)
{
	return monitor_says_times(monitor, 1, text);
}

static pid_t monitor_start(const char *const *argv)
{
	pid_t monitor = tool_start(argv, NULL, 0);

	ASSERT_TRUE(monitor_says(monitor, "listening"));
	return monitor;
}

#define MONITOR(...) monitor_start((const char *const[]){ "monitor", "--json", ##__VA_ARGS__, NULL })

static const char *monitor_stop(pid_t monitor)
{
	struct tool_result result;

	kill(monitor, SIGINT);
	result = tool_end(monitor);
	EXPECT_EQ(0, result.status);
	return result.text;
}

/* Were these told, in this order? Others may be in between; @events is a list with blanks. */
static bool told(const char *text, const char *events)
{
	char *list = strdup(events), *word;
	const char *at = text;

	for (word = strtok(list, " "); word; word = strtok(NULL, " ")) {
		at = strstr(at, format("{\"event\":\"%s\"", word));
		if (!at) {
			test_say("%s is missing in: %s", word, text);
			return false;
		}
		at++;
	}
	return true;
}

static bool has(const char *text, const char *part)
{
	if (strstr(text, part))
		return true;
	test_say("no %s in: %s", part, text);
	return false;
}

#define DUMP_EVENTS "begun frozen captured saved killed closed"
#define RESTORE_EVENTS "begun instantiated complete committed thawed closed"

TEST(monitor_tells_a_dump_and_a_restore)
{
	pid_t monitor = MONITOR();
	struct image image = {};
	const char *text;
	struct job job;

	runner_start(&job);
	runner_dump(&job, &image);
	runner_restore(&job, &image);
	ASSERT_TRUE(monitor_says_times(monitor, 2, "\"closed\""));
	text = monitor_stop(monitor);
	EXPECT_TRUE(told(text, "listening " DUMP_EVENTS " " RESTORE_EVENTS));
	EXPECT_TRUE(!strstr(text, "\"failed\"") && !strstr(text, "\"lost\""));
	/* Who asked, for what. */
	EXPECT_TRUE(has(text, format("\"operation\":\"freeze\",\"pid\":%d", getpid())));
	EXPECT_TRUE(has(text, format("\"cgroup\":\"%s\"", job.cgroup + strlen("/sys/fs/cgroup"))));
	EXPECT_TRUE(has(text, format("\"operation\":\"restore\",\"pid\":%d", job.pid)));
}

/* Nobody runs on after that. */
TEST(monitor_tells_a_dry_run)
{
	struct image image = {};
	const char *text;
	struct job job;
	pid_t monitor;
	int dev;

	runner_start(&job);
	runner_dump(&job, &image);
	monitor = MONITOR();
	dev = device_open();
	ASSERT_EQ(0, device_restore(dev, &image, NULL, KCKPT_INSTANTIATE_DRY_RUN));
	close(dev);
	ASSERT_TRUE(monitor_says(monitor, "\"closed\""));
	text = monitor_stop(monitor);
	EXPECT_TRUE(told(text, "begun instantiated complete committed closed"));
	EXPECT_TRUE(!strstr(text, "\"thawed\""));
	free(image.data);
}

TEST(monitor_speaks_plainly)
{
	const char *argv[] = { "monitor", "--once", NULL };
	pid_t monitor = monitor_start(argv);
	struct tool_result result;
	struct job job;

	runner_start(&job);
	ASSERT_EQ(0, TOOL("check", job.cgroup).status);
	result = tool_end(monitor);
	EXPECT_EQ(0, result.status);
	EXPECT_TRUE(has(result.text, "freeze: begun: /"));
	EXPECT_TRUE(has(result.text, "check: captured: 1 tasks, "));
	EXPECT_TRUE(has(result.text, "check: thawed: after "));
	EXPECT_TRUE(has(result.text, "check: closed\n"));
}

TEST(monitor_follows_one_session)
{
	pid_t once = MONITOR("--once"), frozen = MONITOR("--until", "frozen"), killed = MONITOR("--once", "--until", "killed");
	struct tool_result result;
	struct image image = {};
	struct job job;

	runner_start(&job);
	ASSERT_EQ(0, device_dump(job.cgroup, &image, KCKPT_IOC_THAW));
	result = tool_end(once);
	EXPECT_EQ(0, result.status);
	EXPECT_TRUE(told(result.text, "begun frozen captured saved thawed closed"));
	result = tool_end(frozen);
	EXPECT_EQ(0, result.status);
	EXPECT_TRUE(!strstr(result.text, "captured"));
	/* It was not killed, and is closed: nothing to wait for. */
	EXPECT_EQ(1, tool_end(killed).status);
}

TEST(monitor_tells_a_failure)
{
	pid_t monitor = MONITOR("--once");
	struct tool_result result;
	struct job job;
	int dev;

	runner_start(&job);
	dev = device_open();
	ASSERT_EQ(0, device_freeze(dev, job.cgroup));
	ASSERT_EQ(0, device_capture(dev));
	/* Somebody else lets it run on. */
	ASSERT_TRUE(write_file(format("%s/cgroup.freeze", job.cgroup), "0") && runner_runs(&job));
	EXPECT_TRUE(device_do(dev, KCKPT_IOC_KILL) != 0);
	EXPECT_TRUE(device_do(dev, KCKPT_IOC_KILL) != 0);
	close(dev);
	result = tool_end(monitor);
	EXPECT_EQ(1, result.status);
	EXPECT_TRUE(told(result.text, "begun frozen captured failed closed"));
	EXPECT_TRUE(has(result.text, "\"code\":\"JOB_MOVED\"") && has(result.text, "\"state\":\"failed\""));
	EXPECT_TRUE(!strstr(strstr(result.text, "\"failed\"") + 1, "{\"event\":\"failed\""));
}

TEST(monitor_tells_of_the_watchdog)
{
	struct kckpt_freeze request = { .max_pause_ms = 50 };
	pid_t monitor = MONITOR("--once");
	struct tool_result result;
	struct job job;
	int dev;

	runner_start(&job);
	dev = device_open();
	ASSERT_EQ(0, device_freeze_with(dev, &request, job.cgroup));
	ASSERT_TRUE(monitor_says(monitor, "\"thawed\""));
	EXPECT_TRUE(runner_runs(&job));
	close(dev);
	result = tool_end(monitor);
	EXPECT_EQ(1, result.status);
	EXPECT_TRUE(told(result.text, "begun frozen expired thawed closed"));
	EXPECT_TRUE(has(result.text, "\"code\":\"PAUSE_BOUND\""));
}

TEST(monitor_tells_of_a_release)
{
	pid_t monitor = MONITOR("--once");
	struct tool_result result;
	struct job job;

	runner_start(&job);
	ASSERT_EQ(0, TOOL("freeze", job.cgroup).status);
	result = tool_end(monitor);
	EXPECT_EQ(0, result.status);
	EXPECT_TRUE(told(result.text, "begun frozen released closed") && !strstr(result.text, "\"thawed\""));
	ASSERT_EQ(0, TOOL("thaw", job.cgroup).status);
	EXPECT_TRUE(runner_runs(&job));
}

/* Long enough for the next piece of a stream to be told of. */
static void let_progress_be_due(void)
{
	usleep(150000);
}

/* The image is of no use. */
static void dump_slowly(const struct job *job)
{
	int dev = device_open();
	char part[65536];
	ssize_t n;

	ASSERT_EQ(0, device_freeze(dev, job->cgroup) ?: device_capture(dev));
	ASSERT_EQ(4096, read(dev, part, 4096));
	let_progress_be_due();
	while ((n = read(dev, part, sizeof(part))) > 0)
		;
	ASSERT_TRUE(!n && !device_do(dev, KCKPT_IOC_THAW));
	close(dev);
}

static void restore_slowly(struct job *job, const struct image *image)
{
	int dev = device_open();
	size_t at = 0;

	ASSERT_EQ(0, device_write(dev, image, &at));
	ASSERT_EQ(KCKPT_LOADED, device_state(dev));
	ASSERT_EQ(0, device_instantiate(dev, job->cgroup, 0));
	let_progress_be_due();
	ASSERT_EQ(4096, write(dev, image->data + at, 4096));
	at += 4096;
	ASSERT_EQ(0, device_write(dev, image, &at) ?: device_commit(dev));
	close(dev);
	ASSERT_TRUE(runner_runs(job));
}

TEST(monitor_tells_the_progress)
{
	pid_t monitor = MONITOR();
	struct image image = {};
	const char *text;
	struct job job;

	runner_start(&job);
	dump_slowly(&job);
	runner_dump(&job, &image);
	restore_slowly(&job, &image);
	ASSERT_TRUE(monitor_says(monitor, "committed"));
	text = monitor_stop(monitor);
	EXPECT_TRUE(told(text, "captured progress saved") && told(text, "instantiated progress complete"));
	EXPECT_TRUE(has(strstr(text, "\"progress\"") ?: "", "\"total_bytes\":"));
}

/* ---- who may, and who sees what ---- */

static void drop_caps(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = {};
	int cap;

	for (cap = 0; cap < 64; cap++)
		prctl(PR_CAPBSET_DROP, cap);
	syscall(SYS_capset, &head, none);
}

TEST(monitor_needs_rights)
{
	pid_t pid = fork();

	if (!pid) {
		struct tool_result result;

		drop_caps();
		result = TOOL("monitor", "--json");
		test_say("%s", result.text);
		_exit(!(result.status == 1 && tool_said(&result, "NOT_PERMITTED")));
	}
	EXPECT_EQ(0, wait_exit(pid, 60000));
}

/* Freezes and thaws it; a job of other namespaces than the caller's cannot be dumped. */
static void hold_in_child(const char *cgroup, const char *netns)
{
	pid_t pid = fork();

	if (!pid) {
		int dev, fd = netns ? open(netns, O_RDONLY) : -1;

		if (netns && setns(fd, CLONE_NEWNET))
			_exit(1);
		dev = device_open();
		_exit(device_freeze(dev, cgroup) ?: device_do(dev, KCKPT_IOC_THAW));
	}
	ASSERT_EQ(0, wait_exit(pid, 60000));
}

/* A monitor in new namespaces; returns its process, and as *@netns the path of its net namespace. */
static pid_t monitor_in_namespaces(int flags, const char **netns)
{
	const char *argv[] = { "monitor", "--json", NULL };
	int ends[2];
	pid_t pid;

	ASSERT_EQ(0, pipe(ends));
	pid = fork();
	if (!pid) {
		pid_t monitor = -1;

		/* As its root, since it has no rights there otherwise once it has executed something. */
		if (!unshare(flags) && (!(flags & CLONE_NEWUSER) || write_file("/proc/self/uid_map", "0 0 1")))
			monitor = tool_start(argv, NULL, 0);
		if (write(ends[1], &monitor, sizeof(monitor)) != sizeof(monitor))
			_exit(1);
		_exit(wait_exit(monitor, 80000));
	}
	ASSERT_TRUE(read(ends[0], &pid, sizeof(pid)) == sizeof(pid) && pid > 0);
	*netns = format("/proc/%d/ns/net", pid);
	ASSERT_TRUE(monitor_says(pid, "listening"));
	return pid;
}

TEST(monitor_in_a_net_namespace)
{
	pid_t initial = MONITOR(), inside;
	const char *netns, *text;
	struct job job;

	runner_start(&job);
	inside = monitor_in_namespaces(CLONE_NEWNET, &netns);
	hold_in_child(job.cgroup, NULL);
	hold_in_child(job.cgroup, netns);
	ASSERT_TRUE(monitor_says(inside, "\"closed\""));
	/* What is opened there is seen there, and only that; the initial one sees all. */
	EXPECT_EQ(1, count(monitor_said(inside), "\"begun\""));
	kill(inside, SIGINT);
	/* Each hears of it in its own time. */
	ASSERT_TRUE(monitor_says_times(initial, 2, "\"closed\""));
	text = monitor_stop(initial);
	EXPECT_EQ(2, count(text, "\"begun\""));
	EXPECT_TRUE(told(text, "begun frozen thawed closed begun frozen thawed closed"));
}

TEST(monitor_of_another_user_namespace_sees_nothing)
{
	pid_t initial = MONITOR(), inside;
	const char *netns;
	struct job job;

	runner_start(&job);
	inside = monitor_in_namespaces(CLONE_NEWUSER | CLONE_NEWNET, &netns);
	hold_in_child(job.cgroup, netns);
	ASSERT_TRUE(monitor_says(initial, "\"closed\""));
	EXPECT_EQ(0, count(monitor_said(inside), "session"));
	kill(inside, SIGINT);
	monitor_stop(initial);
}

TEST(monitor_shows_no_pids_of_others)
{
	pid_t monitor = MONITOR("--once"), pid;
	struct tool_result result;
	struct job job;

	runner_start(&job);
	/* The child of a child is the first process of the new namespace; the job is not in it. */
	pid = fork();
	if (!pid)
		_exit(unshare(CLONE_NEWPID) ? 1 : (hold_in_child(job.cgroup, NULL), 0));
	EXPECT_EQ(0, wait_exit(pid, 60000));
	result = tool_end(monitor);
	EXPECT_TRUE(has(result.text, "\"operation\":\"freeze\",\"pid\":1,"));
	EXPECT_TRUE(!strstr(result.text, format("\"pid\":%d", job.pid)));
}

/* ---- a listener that we have in our hands ---- */

struct request {
	struct nlmsghdr head;
	struct genlmsghdr generic;
	struct nlattr attr;
	char name[8];
};

static const struct nlattr *find_attr(const void *from, size_t len, int type)
{
	const struct nlattr *attr = from;
	const char *end = (const char *)from + len;

	while ((const char *)(attr + 1) <= end && attr->nla_len >= sizeof(*attr)) {
		if ((attr->nla_type & NLA_TYPE_MASK) == type)
			return attr;
		attr = (const struct nlattr *)((const char *)attr + NLA_ALIGN(attr->nla_len));
	}
	return NULL;
}

static const struct nlattr *find_nested(const struct nlattr *nest, int type)
{
	return nest ? find_attr(nest + 1, nest->nla_len - sizeof(*nest), type) : NULL;
}

static uint32_t group_number(int sock)
{
	struct request request = {
		.head = { .nlmsg_len = sizeof(request), .nlmsg_type = GENL_ID_CTRL, .nlmsg_flags = NLM_F_REQUEST },
		.generic = { .cmd = CTRL_CMD_GETFAMILY, .version = 1 },
		.attr = { .nla_len = sizeof(struct nlattr) + sizeof(KCKPT_GENL_NAME), .nla_type = CTRL_ATTR_FAMILY_NAME },
		.name = KCKPT_GENL_NAME,
	};
	const struct nlattr *found;
	char answer[8192];
	ssize_t n;

	ASSERT_EQ(sizeof(request), send(sock, &request, sizeof(request), 0));
	n = recv(sock, answer, sizeof(answer), 0);
	ASSERT_TRUE(n > (ssize_t)(NLMSG_HDRLEN + GENL_HDRLEN));
	found = find_attr(answer + NLMSG_HDRLEN + GENL_HDRLEN, n - NLMSG_HDRLEN - GENL_HDRLEN, CTRL_ATTR_MCAST_GROUPS);
	found = find_nested(find_nested(found, 1), CTRL_ATTR_MCAST_GRP_ID);
	ASSERT_TRUE(found);
	return *(const uint32_t *)(found + 1);
}

static int listener_open(int room)
{
	int sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_GENERIC);
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };
	uint32_t group;

	ASSERT_TRUE(sock >= 0 && !bind(sock, (struct sockaddr *)&address, sizeof(address)));
	group = group_number(sock);
	ASSERT_EQ(0, setsockopt(sock, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)));
	ASSERT_EQ(0, setsockopt(sock, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)));
	return sock;
}

/* Reads all there is: was something lost? */
static bool listener_lost(int sock)
{
	char message[8192];
	bool lost = false;

	for (;;) {
		if (recv(sock, message, sizeof(message), 0) > 0)
			continue;
		if (errno != ENOBUFS)
			return lost;
		lost = true;
	}
}

static void dump_once(struct job *job, struct image *image)
{
	ASSERT_EQ(0, device_dump(job->cgroup, image, KCKPT_IOC_THAW));
	ASSERT_TRUE(runner_runs(job));
}

TEST_LIMIT(monitor_that_never_reads, 180)
{
	int nr = test_is_long() ? 1000 : 100, i, sock = listener_open(1);
	struct image image = {};
	double from, quiet, full;
	struct job job;

	runner_start(&job);
	for (i = 0, from = now(); i < nr; i++)
		dump_once(&job, &image);
	full = now() - from;
	EXPECT_TRUE(runner_runs(&job) && listener_lost(sock));
	close(sock);
	for (i = 0, from = now(); i < nr; i++)
		dump_once(&job, &image);
	quiet = now() - from;
	test_say("%d dumps: %.3f s with a listener that is full, %.3f s without", nr, full, quiet);
	EXPECT_TRUE(full < 3 * quiet + 1);
}

/* Every point of a dump fails once, while somebody listens: those of the events are told, and harm nobody. */
TEST_LIMIT(monitor_without_memory, 300)
{
	int sock, nth, err = 0, lost = 0, passed;
	struct image image = {};
	struct job job;

	if (access(FAIL_NTH, W_OK))
		test_skip("the module was built without FAULTS");
	runner_start(&job);
	sock = listener_open(1 << 20);
	for (nth = 1; nth < 20000; nth++) {
		int dev;

		ASSERT_TRUE(write_file(FAIL_NTH, format("%d", nth)));
		dev = open(KCKPT_DEVICE, O_RDWR | O_CLOEXEC);
		err = dev < 0 ? errno : device_freeze(dev, job.cgroup) ?: device_capture(dev) ?:
		      device_read(dev, &image) ?: device_do(dev, KCKPT_IOC_THAW);
		close(dev);
		passed = atoi(read_file(FAIL_NTH));
		ASSERT_TRUE(write_file(FAIL_NTH, "0") && runner_runs(&job));
		if (passed < nth)
			break;
		if (!listener_lost(sock))
			continue;
		lost++;
		EXPECT_EQ(0, err);
	}
	test_say("%d points, %d of them of events", nth, lost);
	/* Six or more; but a freeze takes more or fewer points each time, and so some are stepped over. */
	EXPECT_TRUE(!err && lost > 0 && runner_runs(&job));
}

/* ---- the module goes ---- */

TEST(monitor_does_not_keep_the_module)
{
	const char *module = getenv("KCKPT_KO");
	struct tool_result result;
	pid_t monitor;
	int sock;

	if (!module)
		test_skip("KCKPT_KO does not tell where the module is");
	monitor = MONITOR();
	sock = listener_open(1);
	ASSERT_EQ(0, system("rmmod kckpt"));
	result = tool_end(monitor);
	EXPECT_TRUE(result.status == 1 && tool_said(&result, "MODULE_MISSING"));
	result = TOOL("monitor", "--json");
	EXPECT_TRUE(result.status == 1 && tool_said(&result, "MODULE_MISSING"));
	ASSERT_EQ(0, system(format("insmod %s", module)));
	close(sock);
	monitor_stop(MONITOR());
}
