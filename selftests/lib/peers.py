# SPDX-License-Identifier: GPL-2.0
"""Jobs, and the tools that dump and restore them: kckpt and, for comparison, CRIU. For a VM.

KCKPT is the path of the tool; the module is loaded. CRIU is that of $CRIU, or of the system.
"""
import json
import os
import shutil
import subprocess
import time

AREA = ' ' * 4      # how "kckpt show" begins the lines of memory areas, of which there are many
# under emulation a pause may be longer than what is allowed by default
RUNNING = ['--leave-running', '--max-pause', '30000']
PATIENCE = 600      # seconds until something that does not happen is a failure


class Failed(Exception):
    pass


def run(*command, **more):
    """The output of a command; what it has to say is the error if it fails."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, **more)
    if done.returncode:
        raise Failed('%s ended with %d: %s' % (' '.join(command[:2]), done.returncode,
                                               (done.stderr or done.stdout).strip()))
    return done.stdout


def wait_for(what, condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise Failed('waited in vain for ' + what)
        time.sleep(0.02)


def write(path, text):
    with open(path, 'w') as f:
        f.write(text)


def timed(function, *arguments):
    """(seconds, result)"""
    start = time.monotonic()
    result = function(*arguments)
    return time.monotonic() - start, result


class Job:
    """Programs in a cgroup of their own."""

    def __init__(self, name, command):
        self.folder = '/tmp/job-' + name
        self.cgroup = '/sys/fs/cgroup/job-' + name
        os.mkdir(self.folder)
        os.mkdir(self.cgroup)
        with open(self.folder + '/output', 'w') as output:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                            start_new_session=True, cwd='/', preexec_fn=self.join)

    def join(self):
        write(self.cgroup + '/cgroup.procs', '0')

    def alive(self):
        self.process.poll()     # else it would stay a zombie and keep its pid
        with open(self.cgroup + '/cgroup.events') as f:
            return 'populated 1' in f.read()

    def output(self):
        with open(self.folder + '/output') as f:
            return f.read()

    def wait_for(self, what, condition):
        wait_for(what, lambda: condition() or not self.alive())
        if not condition():
            raise Failed('ended before %s\n%s' % (what, self.output()))

    def wait_for_end(self):
        wait_for('the end of ' + self.folder, lambda: not self.alive())


class Tool:
    """Told of its last command: `began`, in seconds of the clock, and `seconds` until it had ended."""
    took = os.environ.get('TOOK')       # the program that measures that, bench/took.c

    def run(self, *command, **more):
        """The output of a command."""
        if not self.took:
            return run(*command, **more)
        file = '/tmp/took'
        output = run(self.took, file, *command, **more)
        with open(file) as f:
            self.began, self.seconds = (int(number) / 1e9 for number in f.read().split())
        return output


class Kckpt(Tool):
    name = 'kckpt'

    def __init__(self):
        self.tool = os.environ['KCKPT']
        self.version = ' '.join(run(self.tool, 'version').split()[:2])

    def image(self, job):
        return job.folder + '/job.kimg'

    def dump(self, job, leave_running, tells=True):
        """Returns the seconds for which the program stood still, if it @tells, which costs some of them."""
        options = [*(RUNNING if leave_running else []), *(['--json'] if tells else [])]
        told = self.run(self.tool, 'dump', job.cgroup, '-o', self.image(job), *options)
        if not tells:
            return None
        stats = json.loads(told)['stats']
        self.saved = stats['transfer_ns'] / 1e9
        return stats['pause_ns'] / 1e9

    def stream(self, job):
        """The image to somebody who only takes it, by a dump that kills the job; returns the seconds."""
        with subprocess.Popen(['cat'], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as reader:
            told = subprocess.run([self.tool, 'dump', job.cgroup, '-o', '-', '--json'], stdin=subprocess.DEVNULL,
                                  stdout=reader.stdin, stderr=subprocess.PIPE, text=True, check=True).stderr
            reader.stdin.close()
        return json.loads(told)['stats']['transfer_ns'] / 1e9

    def dump_to(self, job, path, *options):
        """Into another file, and it runs on."""
        self.run(self.tool, 'dump', job.cgroup, '-o', path, *RUNNING, *options)

    def size(self, job):
        return os.path.getsize(self.image(job))

    def show(self, job):
        run(self.tool, 'verify', self.image(job))
        lines = run(self.tool, 'show', self.image(job)).splitlines()
        return [line for line in lines if not line.startswith(AREA)]

    def increment(self, job, nr, leave_running):
        """The image @nr on top of the one before, 0: a whole one. Returns the bytes of it."""
        image = '%s/%d.kimg' % (job.folder, nr)
        options = ['--parent', '%s/%d.kimg' % (job.folder, nr - 1)] if nr else []
        options += [*RUNNING, '--keep-snapshot'] if leave_running else []
        self.run(self.tool, 'dump', job.cgroup, '-o', image, *options)
        os.path.exists(self.image(job)) and os.unlink(self.image(job))
        os.symlink('%d.kimg' % nr, self.image(job))
        return os.path.getsize(image)

    def auto(self, job, every):
        """Images again and again, until the process that is returned is ended."""
        return subprocess.Popen([self.tool, 'auto', job.cgroup, '-d', job.folder + '/auto', '--every', '%ds' % every,
                                 '--max-pause', '30000', '--quiet'], stdin=subprocess.DEVNULL)

    def restore(self, job, tells=True):
        told = self.run(self.tool, 'restore', self.image(job), '--detach', '--cgroup', job.cgroup,
                        *(['--json'] if tells else []))
        self.loaded = json.loads(told)['stats']['transfer_ns'] / 1e9 if tells else None


class Criu(Tool):
    name = 'criu'
    modules = ('unix_diag', 'tcp_diag', 'udp_diag', 'inet_diag', 'raw_diag', 'af_packet_diag', 'netlink_diag')

    def __init__(self):
        self.tool = os.environ.get('CRIU') or shutil.which('criu')
        if not self.tool:
            raise Failed('not installed')
        self.version = 'criu ' + run(self.tool, '--version').split()[1]
        subprocess.run(['modprobe', '-aq', *self.modules], check=False)
        run(self.tool, 'check')     # also warms the cache, as ours is warm

    def call(self, verb, job, *options, **more):
        folder = job.folder + '/images'
        os.makedirs(folder, exist_ok=True)
        self.run(self.tool, verb, '--no-default-config', '-v0', '-D', folder, *options, **more)

    def dump(self, job, leave_running, tells=True):
        """It leaves what it tells in a file, always."""
        self.call('dump', job, '-t', str(job.process.pid), *(['--leave-running'] if leave_running else []))
        return self.frozen_time(job.folder + '/images/stats-dump')

    @staticmethod
    def frozen_time(path):
        """Field 2 of the protobuf message in field 1, in us; two magic numbers and a length come first."""
        with open(path, 'rb') as f:
            numbers = varints(f.read()[12:])
        next(numbers), next(numbers)        # tag and length of the inner message
        fields = dict(zip(numbers, numbers))
        return fields[2 << 3] / 1e6

    def increment(self, job, nr, leave_running):
        folder = '%s/images-%d' % (job.folder, nr)
        os.mkdir(folder)
        options = ['--prev-images-dir', '../images-%d' % (nr - 1)] if nr else []
        options += ['--leave-running'] if leave_running else []
        self.run(self.tool, 'dump', '--no-default-config', '-v0', '-D', folder, '-t', str(job.process.pid),
                 '--track-mem', *options)
        if not leave_running:
            os.symlink('images-%d' % nr, job.folder + '/images')
        return sum(entry.stat().st_size for entry in os.scandir(folder))

    def size(self, job):
        return sum(entry.stat().st_size for entry in os.scandir(job.folder + '/images'))

    def show(self, job):
        return []

    def restore(self, job, tells=True):
        # what CRIU restores is in the cgroup that CRIU is in
        self.call('restore', job, '--restore-detached', preexec_fn=job.join)


def varints(data):
    value = shift = 0
    for byte in data:
        value |= (byte & 0x7f) << shift
        shift += 7
        if byte < 0x80:
            yield value
            value = shift = 0
