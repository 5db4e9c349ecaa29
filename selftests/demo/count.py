#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""count.py STEPS RESULT - count to STEPS in four threads, hashing as it goes.

Each line of the file RESULT is one step: its number, its thread, a digest of all that came before and of a
piece of memory. The last line is the same whoever runs it, however often it is interrupted, unless something
of it was lost: a thread, a wait, a page of memory, an offset in the file, a random state.
"""
import hashlib
import random
import sys
import threading
import time

THREADS = 4
MEMORY = 16 << 20
PIECE = 4096


class Counter:
    def __init__(self, steps, result):
        self.steps = steps
        self.result = result
        self.done = 0
        self.digest = b''
        self.memory = bytearray(MEMORY)
        self.random = random.Random(1)
        self.turn = threading.Condition()

    def work(self, me):
        """The threads take turns, so that there is one right result."""
        while True:
            with self.turn:
                self.turn.wait_for(lambda: self.done == self.steps or self.done % THREADS == me)
                if self.done == self.steps:
                    return
                self.step(me)
                self.turn.notify_all()
            time.sleep(0.02)

    def step(self, me):
        at = self.random.randrange(MEMORY // PIECE) * PIECE
        hash = hashlib.sha256(self.digest)
        hash.update(b'%d %d ' % (self.done, me))
        hash.update(self.memory[at:at + PIECE])
        self.digest = hash.digest()
        self.memory[at:at + len(self.digest)] = self.digest
        self.done += 1
        self.result.write('%d %d %s\n' % (self.done, me, self.digest.hex()))
        self.result.flush()


def main():
    steps, path = int(sys.argv[1]), sys.argv[2]
    with open(path, 'w') as result:
        counter = Counter(steps, result)
        threads = [threading.Thread(target=counter.work, args=(me,)) for me in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        result.write('done %s\n' % hashlib.sha256(counter.digest + counter.memory).hexdigest())


main()
