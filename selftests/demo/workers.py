#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""workers.py STEPS RESULT - a parent that has its children work, over pipes.

In every step each child gets a number, adds it to a table of its own, and answers with a digest of both; a filter
(sort, another program) brings the answers of all steps into order at the end. RESULT is the same whoever runs it,
however often it is interrupted, unless something was lost.
"""
import hashlib
import os
import random
import struct
import subprocess
import sys
import time

CHILDREN = 5
NUMBER = struct.Struct('=Q')
DIGEST = 32
TABLE = random.Random(1).randbytes(4 << 20)     # from fork() on all children share it with their parent


def child(me, requests, answers):
    table = bytearray(TABLE)
    while True:
        request = os.read(requests, NUMBER.size)
        if not request:
            os._exit(me)
        number, = NUMBER.unpack(request)
        at = number % (len(table) - DIGEST)
        digest = hashlib.sha256(b'%d %d ' % (me, number) + table[at:at + 4096]).digest()
        table[at:at + DIGEST] = digest
        os.write(answers, digest)


class Worker:
    """A child at the other ends of two pipes."""

    def __init__(self, me, others):
        requests, self.requests = os.pipe()
        self.answers, answers = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            for fd in [self.requests, self.answers] + [fd for other in others for fd in (other.requests, other.answers)]:
                os.close(fd)
            child(me, requests, answers)
        os.close(requests)
        os.close(answers)

    def end(self):
        os.close(self.requests)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def main():
    steps, path = int(sys.argv[1]), sys.argv[2]
    numbers = random.Random(2)
    with open(path, 'w') as result, open(path + '.sorted', 'w') as ordered:
        workers = []
        for me in range(CHILDREN):
            workers.append(Worker(me, workers))
        sort = subprocess.Popen(['sort'], stdin=subprocess.PIPE, stdout=ordered)
        for step in range(steps):
            for worker in workers:
                os.write(worker.requests, NUMBER.pack(numbers.getrandbits(64)))
            line = b' '.join(os.read(worker.answers, DIGEST).hex().encode() for worker in workers) + b'\n'
            sort.stdin.write(line)
            result.write('%d %s\n' % (step, hashlib.sha256(line).hexdigest()))
            result.flush()
            time.sleep(0.02)
        sort.stdin.close()
        result.write('sort ended with %d, the children with %s\n' % (sort.wait(), [worker.end() for worker in workers]))


main()
