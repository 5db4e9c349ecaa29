// SPDX-License-Identifier: GPL-2.0
/*
 * Programs that nobody here wrote: dumped and killed in their middle and restored, they come to what they come to
 * undisturbed. Each script runs in an empty folder; all files that it leaves there are compared, and its exit status.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "job.h"

#define WAIT_MS 50000
#define ATTEMPTS 5

/* In the child. */
static void run_script(const char *script, const char *folder, const char *cgroup)
{
	int out = open(format("%s/output", folder), O_WRONLY | O_CREAT | O_APPEND, 0644);

	if (cgroup && !write_file(format("%s/cgroup.procs", cgroup), "0"))
		_exit(126);
	dup2(open("/dev/null", O_RDONLY), 0);
	dup2(out, 1);
	dup2(out, 2);
	close_range(3, ~0u, 0);
	if (setsid() < 0 || chdir(folder))
		_exit(126);
	execlp("bash", "bash", "-euc", script, NULL);
	_exit(127);
}

static pid_t start_script(const char *script, const char *folder, const char *cgroup)
{
	pid_t pid;

	ASSERT_TRUE(!mkdir(folder, 0755));
	pid = fork();
	if (!pid)
		run_script(script, folder, cgroup);
	ASSERT_TRUE(pid > 0);
	return pid;
}

/* Those that have lost their parents are ours, and keep their ids until they are waited for. */
static void wait_for_all(void)
{
	double end = now() + WAIT_MS / 1000;

	while (now() < end && (waitpid(-1, NULL, WNOHANG) >= 0 || errno != ECHILD))
		usleep(1000);
}

/* Dumped and killed after about @seconds; false if it had ended by then. */
static bool dump_script(const char *script, const char *folder, const char *cgroup, double seconds)
{
	pid_t pid = start_script(script, folder, cgroup);
	struct tool_result dump;

	usleep(seconds * 1e6);
	dump = TOOL("dump", cgroup, "-o", test_path("image"), "--files", "capture", "--json");
	if (dump.status && tool_said(&dump, "CGROUP_EMPTY")) {
		wait_exit(pid, WAIT_MS);
		return false;
	}
	if (!EXPECT_EQ(0, dump.status))
		test_say("%s", dump.text);
	wait_for_all();
	return !dump.status;
}

static void play(const char *script)
{
	const char *cgroup = test_new_cgroup(), *folder = NULL;
	struct tool_result restored, compared;
	double start = now(), part = 0.5;
	int status, attempt;

	prctl(PR_SET_CHILD_SUBREAPER, 1);
	status = wait_exit(start_script(script, test_path("undisturbed"), NULL), WAIT_MS);
	start = now() - start;
	for (attempt = 0; attempt < ATTEMPTS; attempt++, part *= 0.6) {
		folder = test_path(format("restored.%d", attempt));
		if (dump_script(script, folder, cgroup, start * part))
			break;
	}
	ASSERT_TRUE(attempt < ATTEMPTS);
	restored = TOOL("restore", test_path("image"), "--cgroup", cgroup);
	if (!EXPECT_EQ(status, restored.status))
		test_say("%s%s", restored.text, read_file(format("%s/output", folder)));
	EXPECT_TRUE(cgroup_is_empty(cgroup));
	compared = (struct tool_result){ .status = system(format("diff -r %s %s", test_path("undisturbed"), folder)) };
	EXPECT_EQ(0, compared.status);
}

#define PROGRAM(name, script) TEST_LIMIT(programs_##name, 180) { play(script); }

PROGRAM(pipeline,
	"seq 1 40000 | awk '{ print $1 * 7919 % 40009, $1 }' | sort -S 2M | tee >(sha256sum >sum) | gzip -1n |\n"
	"tee sorted.gz | gunzip | tr 0-9 a-j | sort -r -S 2M | uniq -c | tail -5\n"
	"wait; sleep 0.2")

PROGRAM(make,
	"for i in 1 2 3 4 5 6; do\n"
	"	echo \"int f(int n) { int i, s = n; for (i = 0; i < 99; i++) s = s * $i + i % n; return s; }\" >f$i.c\n"
	"done\n"
	"printf 'all: f1.s f2.s f3.s f4.s f5.s f6.s\\n%%.s: %%.c\\n\\tgcc -O3 -S -o $@ $<\\n' >Makefile\n"
	"make -s -j3")

PROGRAM(python,
	"python3 -c '\n"
	"import hashlib, os, subprocess\n"
	"r, w = os.pipe()\n"
	"def child(me):\n"
	"    digest = b\"\"\n"
	"    for i in range(8000):\n"
	"        digest = hashlib.sha256(digest + bytes([me])).digest()\n"
	"    os.write(w, b\"%d %s\\n\" % (me, digest.hex().encode()))\n"
	"    os._exit(me)\n"
	"pids = [os.fork() or child(me) for me in range(4)]\n"
	"os.close(w)\n"
	"print(sorted(os.fdopen(r).read().split()), [os.waitpid(pid, 0)[1] for pid in pids])\n"
	"numbers = b\"\\n\".join(b\"%d\" % (i * i % 1009) for i in range(9000))\n"
	"print(subprocess.run([\"sort\", \"-rn\"], input=numbers, capture_output=True).stdout[:100])\n"
	"'")

PROGRAM(xz, "head -c 1000000 /bin/bash | xz -1 -T3 --block-size=200KiB -c >out.xz; xz -dc out.xz | sha256sum")

PROGRAM(perl,
	"perl -e '\n"
	"	for my $child (1..3) {\n"
	"		pipe(R, W);\n"
	"		if (!fork) {\n"
	"			my %h;\n"
	"			close R;\n"
	"			$h{$_ % 97} += $_ * $child for (1..60000);\n"
	"			print W join(\" \", map { $h{$_} } sort keys %h);\n"
	"			exit $child;\n"
	"		}\n"
	"		close W;\n"
	"		my $line = <R>;\n"
	"		wait;\n"
	"		print \"$child $? $line\\n\";\n"
	"	}'")

PROGRAM(awk,
	"awk 'BEGIN {\n"
	"	while ((\"seq 1 60000\" | getline n) > 0)\n"
	"		s = (s * 7 + n) % 99991\n"
	"	for (i = 0; i < 300; i++)\n"
	"		print (i * s) % 1013 | \"sort -n\"\n"
	"	close(\"sort -n\")\n"
	"	print s\n"
	"}'")

/* Sub-shells, an orphan, groups of their own, a trap, exit statuses; and files that bash deletes while it has them open. */
PROGRAM(shell,
	"for i in 1 2 3; do (sleep 1.$i; echo $i >job$i; exit $i) & done\n"
	"(sleep 1.5 & echo left) >orphan\n"
	"trap 'echo usr1 >trapped' USR1\n"
	"(sleep 1.2; kill -USR1 $$) &\n"
	"while read -r line; do sleep 0.02; echo \"$line\" >>lines; done <<<\"$(seq 1 30000 | head -60; seq 1 9999 >/dev/null)\"\n"
	"set -m\n"
	"sleep 0.4 &\n"
	"wait %sleep || true\n"
	"for i in 1 2 3; do wait -n || echo $?; done | sort\n"
	"wait; exit 7")

PROGRAM(user,
	"nice -n 5 ionice -c 2 -n 6 taskset 1 timeout 100 setpriv --reuid 1234 --regid 1234 --groups 5,6 --no-new-privs \\\n"
	"	--bounding-set -all --securebits +noroot sh -c '\n"
	"		i=0\n"
	"		while [ $i -lt 1500 ]; do i=$((i + 1)); done\n"
	"		sleep 1\n"
	"		grep -E \"^(Uid|Gid|Groups|Cap|NoNewPrivs|Cpus_allowed_list)\" /proc/self/status\n"
	"		ionice; nice'")
