# SPDX-License-Identifier: GPL-2.0
"""Runs QEMU and talks to init-root through four virtio-serial ports: out, err, log (the kernel's) and ctl."""
import ctypes
import functools
import os
import select
import signal
import socket
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.realpath(__file__))
PORTS = ('out', 'err', 'log', 'ctl')    # in the order of the counts of "exit"
GDB = 'tcp:localhost:1234'

BOOT_OPTIONS = [
    'console=ttyS0', 'loglevel=5', 'random.trust_cpu=on',
    # A kernel that complains is not to go on; panic=-1 ends QEMU at once.
    'panic_on_warn=1', 'oops=panic', 'panic=-1',
    # The emulated CPUs are slow threads of a host that has other things to do. These alarms stay on, but go
    # off only after a time that no healthy code of ours takes even there.
    'rcupdate.rcu_cpu_stall_timeout=120', 'watchdog_thresh=60', 'workqueue.watchdog_thresh=120',
    'sysctl.kernel.hung_task_timeout_secs=180',
    # The kernel would compare one emulated clock with another and blame the better one.
    'tsc=reliable',
    # It would count interrupts for 10 ticks, in which a busy host may give the CPU no time at all, and panic.
    'no_timer_check',
]


class Outcome:
    """What came of one VM. status is None if it ended without telling."""

    def __init__(self):
        self.status = None
        self.timed_out = False
        self.failures = []      # of loading and unloading the module
        self.boot_seconds = None
        self.dmesg = None
        self.console = ''
        self.qemu_messages = ''


def die_with_parent(sig):
    """To be called in a new process: a killed parent takes it along."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, sig, 0, 0, 0)


def memory_file(name, data):
    """A file without a name, which is therefore never left behind. It is found under /proc/self/fd."""
    fd = os.memfd_create(name, 0)
    with os.fdopen(os.dup(fd), 'wb') as f:
        f.write(data)
    return fd


def scratch_disk(size):
    """An ext4 file system in a file without a name."""
    f = tempfile.TemporaryFile()
    f.truncate(size)
    path = '/proc/self/fd/%d' % f.fileno()
    env = dict(os.environ, PATH=os.environ['PATH'] + ':/usr/sbin:/sbin')
    subprocess.run(['mkfs.ext4', '-q', '-F', '-E', 'lazy_itable_init=1,lazy_journal_init=1', path],
                   check=True, pass_fds=[f.fileno()], env=env)
    return f


@functools.lru_cache(None)
def qemu():
    return subprocess.check_output([os.path.join(HERE, 'get-qemu')], text=True).strip()


def cpu_options(accel):
    """With ERMS, TCG copies memory byte by byte: ten times slower than without."""
    if accel == 'kvm':
        return ['-accel', 'kvm', '-cpu', 'host']
    return ['-accel', 'tcg,thread=multi,tb-size=512', '-cpu', 'max,-erms,-fsrm']


def qemu_command(kernel, options, console):
    append = BOOT_OPTIONS + options.append
    if options.gdb:
        append.append('nokaslr')
    command = [qemu(), '-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none',
               *cpu_options(options.accel), '-smp', str(options.smp), '-m', options.mem,
               '-kernel', kernel.image, '-append', ' '.join(append),
               '-chardev', console, '-serial', 'chardev:console',
               '-device', 'virtio-rng-pci', '-device', 'virtio-serial-pci', *folder('/', 'root', ',readonly=on')]
    if options.share:
        command += folder(os.path.abspath(options.share), 'share', '')
    if options.gdb:
        command += ['-gdb', GDB]
    return command


def folder(path, tag, more):
    path = path.replace(',', ',,')
    return ['-virtfs', 'local,path=%s,mount_tag=%s,security_model=none,multidevs=remap%s' % (path, tag, more)]


class Machine:
    """One VM. Leave the "with" block and it is gone, whatever state it was in."""

    def __init__(self, kernel, options, initramfs):
        self.console_path = os.path.abspath(options.console)
        self.messages = tempfile.TemporaryFile()
        self.files = []
        self.ports = {}
        self.process = None
        self.options = options
        command = qemu_command(kernel, options, self.console())
        command += ['-initrd', self.pass_on(memory_file('initramfs', initramfs))]
        command += self.port_options()
        if options.disk:
            command += ['-drive', 'file=%s,format=raw,if=virtio,cache=unsafe,discard=unmap'
                        % self.pass_on(scratch_disk(options.disk))]
        self.command = command

    def console(self):
        """A new file each time: another VM may be writing to the old one."""
        os.makedirs(os.path.dirname(self.console_path), exist_ok=True)
        if os.path.lexists(self.console_path):
            os.unlink(self.console_path)
        if self.options.shell:
            return 'stdio,id=console,signal=off,logfile=' + self.console_path
        return 'file,id=console,path=' + self.console_path

    def pass_on(self, file):
        self.files.append(file)
        return '/proc/self/fd/%d' % self.number(file)

    @staticmethod
    def number(file):
        return file if isinstance(file, int) else file.fileno()

    def port_options(self):
        options = []
        for name in PORTS:
            self.ports[name], theirs = socket.socketpair()
            self.files.append(theirs)
            options += ['-chardev', 'socket,id=%s,fd=%d' % (name, theirs.fileno()),
                        '-device', 'virtserialport,chardev=%s,name=%s' % (name, name)]
        return options

    def __enter__(self):
        shell = self.options.shell
        self.process = subprocess.Popen(
            self.command, pass_fds=[self.number(f) for f in self.files], start_new_session=not shell,
            stdin=None if shell else subprocess.DEVNULL, stdout=None if shell else self.messages,
            stderr=self.messages, preexec_fn=lambda: die_with_parent(signal.SIGKILL))
        for file in self.files:
            if isinstance(file, socket.socket):
                file.close()    # else we would not see the end of the other side
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def run(self):
        """Passes on what the VM says until it ends."""
        outcome = Outcome()
        conversation = Conversation(self.ports, outcome)
        deadline = time.monotonic() + self.options.timeout
        while conversation.open:
            left = deadline - time.monotonic()
            if left <= 0:
                outcome.timed_out = True
                self.process.kill()
                break
            conversation.step(min(left, 60))
        self.process.wait()
        outcome.dmesg = conversation.dmesg()
        outcome.console = read_text(self.console_path)
        self.messages.seek(0)
        outcome.qemu_messages = self.messages.read().decode(errors='replace')
        return outcome


class Conversation:
    """
    The VM tells on ctl, a line each:
        up SECONDS              init-root has begun
        failed WHAT             the module could not be loaded or unloaded
        exit STATUS OUT ERR LOG the command is done; that many bytes went through the other ports
    and waits for an answer before it goes down: the ports are not in step with each other.
    """

    def __init__(self, ports, outcome):
        self.outcome = outcome
        self.open = {sock: name for name, sock in ports.items()}
        self.ctl = ports['ctl']
        self.received = dict.fromkeys(PORTS, 0)
        self.expected = None
        self.log = b''
        self.line = b''

    def step(self, seconds):
        readable, _, _ = select.select(list(self.open), [], [], seconds)
        for sock in readable:
            try:
                data = sock.recv(1 << 16)
            except ConnectionResetError:
                data = b''
            if data:
                self.take(self.open[sock], data)
            else:
                del self.open[sock]
        self.answer()

    def take(self, port, data):
        self.received[port] += len(data)
        if port == 'log':
            self.log += data
        elif port == 'ctl':
            *lines, self.line = (self.line + data).split(b'\n')
            for line in lines:
                self.hear(line.decode(errors='replace'))
        else:
            write_all(1 if port == 'out' else 2, data)

    def hear(self, line):
        word, _, rest = line.partition(' ')
        if word == 'up':
            self.outcome.boot_seconds = float(rest)
        elif word == 'failed':
            self.outcome.failures.append(rest)
        elif word == 'exit':
            status, *self.expected = map(int, rest.split())
            self.outcome.status = status

    def answer(self):
        if self.expected and all(map(int.__ge__, self.received.values(), self.expected)):
            self.expected = None
            if self.ctl in self.open:
                self.ctl.send(b'bye\n')

    def dmesg(self):
        return self.log.decode(errors='replace') if self.outcome.status is not None else None


def write_all(fd, data):
    while data:
        data = data[os.write(fd, data):]


def read_text(path):
    try:
        with open(path, errors='replace') as f:
            return f.read()
    except FileNotFoundError:
        return ''
