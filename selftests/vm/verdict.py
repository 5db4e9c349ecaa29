# SPDX-License-Identifier: GPL-2.0
"""What became of a VM: an exit status and, if that is not the command's own, the words for it."""
import re

MODULE_FAILED = 122
COMPLAINED = 123
TIMED_OUT = 124
DIED = 125

# "Tainted" is no complaint: each out-of-tree module taints.
COMPLAINT = re.compile('|'.join([
    r'\bBUG:', r'kernel BUG at', r'\bWARNING:', r'\bOops\b', r'general protection fault', r'Kernel panic',
    r'\bLeaked (POSIX|FLOCK|LEASE|locks?)\b',
    r'\b(KASAN|KCSAN|KMSAN|UBSAN|KFENCE):', r'kmemleak: \d+ new suspected', r'INFO: .*(stall|blocked for)',
    r'possible (circular|recursive) locking', r'possible irq lock inversion', r'inconsistent lock state',
    r'bad unlock balance', r'held lock freed', r'suspicious RCU usage', r'ODEBUG:', r'refcount_t:', r'(list_add|list_del) corruption',
    r'Bad (page state|rss-counter|page map)', r'scheduling while atomic', r'soft lockup', r'hard LOCKUP',
    r'detected stalls?', r'blocked for more than', r'unregister_netdevice: waiting', r'stack guard page was hit',
    r'Objects remaining in', r'INFO: Slab', r'workqueue lockup']))


def complaints(log):
    return [line.strip() for line in log.splitlines() if COMPLAINT.search(line)]


def judge(outcome, timeout):
    """(exit status, explanation or ''). A kernel that complained spoils any result of the command."""
    if outcome.timed_out:
        return TIMED_OUT, 'not done after %g s; end of the console:\n%s' % (timeout, tail(outcome.console))
    if outcome.status is None:
        return DIED, 'the VM died%s; end of the console:\n%s%s' % (
            reason(outcome.console), tail(outcome.console), outcome.qemu_messages)
    found = complaints(outcome.dmesg)
    if found:
        return COMPLAINED, 'the kernel complained %d time(s), the command ended with %d:\n%s' % (
            len(found), outcome.status, '\n'.join(found[:10]))
    if outcome.failures:
        return outcome.status or MODULE_FAILED, '\n'.join(outcome.failures)
    return outcome.status, ''


def reason(console):
    found = complaints(console)
    return ' (%s)' % found[0] if found else ''


def tail(console, lines=60):
    return '\n'.join(console.splitlines()[-lines:]) + '\n'


# Of those who have only a few lines, most want to know where it was.
REGISTERS = re.compile(r'\b(R(?!IP)\w\w|[CDEF]S|CR2|DR0|DR3|PKRU): *[0-9a-f]{4}')


def last_words(console, lines=24):
    """From the first complaint on, of which there may be much; without any, the end."""
    said = [line for line in console.splitlines() if not REGISTERS.search(line)]
    first = next((number for number, line in enumerate(said) if COMPLAINT.search(line)), None)
    return said[-lines:] if first is None else said[first:first + lines]
