# SPDX-License-Identifier: GPL-2.0
"""The initramfs of a VM: busybox, the modules that reach the root file system, our scripts and the command."""
import lzma
import os
import shutil
import stat
import struct
import subprocess

MODULES = ('virtio_pci', 'virtio_console', 'virtio_blk', 'virtio_rng', '9pnet_virtio', '9p', 'overlay', 'ext4',
           'crc32c_generic')


class Kernel:
    """A kernel image and its modules; no modules if all is built in."""

    def __init__(self, image, modules=None):
        self.image = image
        self.modules = modules
        self.version = image_version(image)


def image_version(image):
    """The version inside an x86 bzImage; the boot protocol has its place at 0x20e."""
    with open(image, 'rb') as f:
        f.seek(0x20e)
        f.seek(struct.unpack('<H', f.read(2))[0] + 0x200)
        return f.read(128).split(b' ')[0].decode()


def find_kernel(want, get_kernel):
    """WANT is a version for get-kernel, a folder that it made, or an image; modules may lie beside an image."""
    if not os.path.exists(want) or '/' not in want:
        want = subprocess.run([get_kernel, want], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    if os.path.isdir(want):
        return Kernel(os.path.join(want, 'vmlinuz'), os.path.realpath(os.path.join(want, 'modules')))
    kernel = Kernel(os.path.abspath(want))
    above = os.path.dirname(os.path.dirname(kernel.image))
    for lib in (above + '/usr/lib/modules/', above + '/lib/modules/', '/lib/modules/'):
        if os.path.exists(lib + kernel.version + '/modules.dep'):
            kernel.modules = lib + kernel.version
            break
    return kernel


def module_files(kernel):
    """The files of MODULES in the order to load them in. One that does not exist is built in."""
    if not kernel.modules:
        return []
    needs = {}
    with open(os.path.join(kernel.modules, 'modules.dep')) as f:
        for line in f:
            path, _, rest = line.partition(':')
            needs[path] = rest.split()
    path_of = {module_name(path): path for path in needs}
    order = []
    for name in MODULES:
        if name in path_of:
            # modules.dep lists all that is needed, the deepest last
            order += reversed([path_of[name]] + needs[path_of[name]])
    return [os.path.join(kernel.modules, path) for path in dict.fromkeys(order)]


def module_name(path):
    return os.path.basename(path).split('.ko')[0].replace('-', '_')


def read_module(path):
    with open(path, 'rb') as f:
        data = f.read()
    if path.endswith('.xz'):
        return lzma.decompress(data)
    if path.endswith('.zst'):
        return subprocess.run(['zstd', '-dc'], input=data, check=True, stdout=subprocess.PIPE).stdout
    return data


def read_file(path):
    with open(path, 'rb') as f:
        return f.read()


def entry(name, mode, data=b''):
    """One member of a "newc" archive, the format that the kernel unpacks."""
    name = name.encode() + b'\0'
    fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0)
    head = b'070701' + b''.join(b'%08X' % x for x in fields) + name
    return pad(head) + pad(data)


def pad(data):
    return data + bytes(-len(data) % 4)


def build(kernel, here, files):
    """The archive as bytes. FILES maps names to contents, to be found in the VM under /run/vm."""
    busybox = shutil.which('busybox')
    if not busybox:
        raise FileNotFoundError('busybox is not installed')
    out = [entry(d, stat.S_IFDIR | 0o755) for d in ('bin', 'dev', 'proc', 'sys', 'lib', 'vm')]
    out.append(entry('bin/busybox', stat.S_IFREG | 0o755, read_file(busybox)))
    out.append(entry('bin/sh', stat.S_IFLNK | 0o777, b'busybox'))
    out.append(entry('init', stat.S_IFREG | 0o755, read_file(os.path.join(here, 'init-ramfs'))))
    for number, path in enumerate(module_files(kernel)):
        out.append(entry('lib/%02d-%s.ko' % (number, module_name(path)), stat.S_IFREG | 0o644, read_module(path)))
    files = dict(files, init=read_file(os.path.join(here, 'init-root')))
    for name, data in files.items():
        out.append(entry('vm/' + name, stat.S_IFREG | 0o644, data))
    return b''.join(out) + entry('TRAILER!!!', 0)
