#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Kernels that the sources do not know are told and do not count; all others do."""
import os
import subprocess
import tempfile
import unittest

HERE = os.path.dirname(os.path.realpath(__file__))
NEWER = 'Linux 7.3.1 is none of those that the sources know (6.1 7.2)'


def write(folder, **files):
    os.makedirs(folder, exist_ok=True)
    for name, text in files.items():
        with open(os.path.join(folder, name), 'w') as f:
            f.write(text)


class Untested(unittest.TestCase):
    """selftests/vm/untested, with a cache of kernels and knowledge of its own."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.header = os.path.join(self.folder.name, 'version.h')
        write(self.folder.name, **{'version.h': '#define KCKPT_TESTED(X) X(6, 1) X(6, 12) X(7, 2)\n'})

    def ask(self, *arguments):
        env = dict(os.environ, KCKPT_VERSION_H=self.header, KCKPT_CACHE=self.folder.name, KCKPT_UPDATE='')
        return subprocess.run([HERE + '/vm/untested', *arguments], env=env, stdout=subprocess.PIPE, text=True)

    def test_versions(self):
        for version, newer in (('6.1.0-50-amd64', False), ('6.12.95+deb12-amd64', False), ('7.2.12+deb14-amd64', False),
                               ('7.3.1+deb14-amd64', True), ('6.18.1', True), ('7.10-rc1-amd64', True), ('8.0.0', True)):
            asked = self.ask('--version', version)
            self.assertEqual(asked.returncode, 0 if newer else 1, version)
            self.assertEqual(version in asked.stdout, newer, version)

    def test_name(self):
        """forky as it was fetched; what it holds may change."""
        for version, status in (('7.2.12+deb14-amd64', 1), ('7.3.1+deb14-amd64', 0)):
            write(os.path.join(self.folder.name, 'kernels', version), version=version + '\n')
            link = os.path.join(self.folder.name, 'kernels', 'suite-forky')
            if os.path.lexists(link):
                os.unlink(link)
            os.symlink(version, link)
            self.assertEqual(self.ask('forky').returncode, status)

    def test_the_sources_say(self):
        """The header that is really there has what the script looks for."""
        asked = subprocess.run([HERE + '/vm/untested', '--version', '1000.0'], stdout=subprocess.PIPE, text=True)
        self.assertEqual(asked.returncode, 0)
        self.assertRegex(asked.stdout, r'\((\d+\.\d+ )*\d+\.\d+\)')


class Summary(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.add('6.1', tap='1..2\nok 1 - a\nok 2 - b\n', status='0', version='6.1.0-50-amd64\n')

    def add(self, kernel, **files):
        write(os.path.join(self.folder.name, kernel), **files)

    def sum(self, *kernels):
        """(exit status, last line, all that was printed)"""
        result = subprocess.run([HERE + '/summary', self.folder.name, *kernels], stdout=subprocess.PIPE, text=True)
        return result.returncode, result.stdout.splitlines()[-1], result.stdout

    def test_known_kernel_counts(self):
        self.add('forky', tap='1..2\nok 1 - a\nnot ok 2 - b\n', status='1', version='7.2.12\n')
        status, last, text = self.sum('6.1', 'forky')
        self.assertEqual((status, last), (1, '3 passed, 1 failed'))
        self.assertIn('FAILED: forky: b', text)
        self.assertIn('forky: Linux 7.2.12', text)

    def test_newer_kernel_is_a_report(self):
        self.add('forky', tap='1..2\nok 1 - a\nnot ok 2 - b\n', status='1', version='7.3.1\n', untested=NEWER + '\n')
        status, last, text = self.sum('6.1', 'forky')
        self.assertEqual((status, last), (0, '2 passed, 0 failed'))
        self.assertIn('report: FAILED: forky: b', text)
        self.assertIn('report: forky: %s: 1 passed, 1 failed' % NEWER, text)
        self.assertIn('forky: Linux 7.3.1', text)

    def test_newer_kernel_for_which_nothing_builds(self):
        self.add('forky', version='7.3.1\n', untested=NEWER + '\n')
        status, last, text = self.sum('6.1', 'forky')
        self.assertEqual((status, last), (0, '2 passed, 0 failed'))
        self.assertIn('the module was not built', text)

    def test_newer_kernel_that_dies(self):
        self.add('forky', tap='1..2\nok 1 - a\n', status='125', version='7.3.1\n', untested=NEWER + '\n')
        self.assertEqual(self.sum('6.1', 'forky')[0], 0)

    def test_last_words_of_a_kernel_that_dies(self):
        self.add('forky', tap='1..2\nok 1 - a\n', status='125', version='7.2.12\n',
                 console='[ 1.0] fine\n[ 2.0] BUG: kernel NULL pointer dereference\n'
                 '[ 2.1] RIP: 0010:f+0x1/0x2\n[ 2.1] RAX: 0000000000000001 RBX: ff1a7b1b7d431c40\n'
                 + '[ 2.1] more\n' * 100)
        status, last, text = self.sum('6.1', 'forky')
        self.assertEqual((status, last), (1, '3 passed, 1 failed'))
        self.assertIn('forky: console: [ 2.0] BUG: kernel NULL pointer dereference\n', text)
        self.assertIn('RIP: 0010:f', text)
        self.assertNotIn('fine', text)
        self.assertNotIn('RAX', text)
        self.assertEqual(text.count('more'), 22)

    def test_last_words_without_a_complaint(self):
        self.add('forky', tap='1..2\nok 1 - a\n', status='124', version='7.2.12\n', console='x\n' * 100 + 'the end\n')
        text = self.sum('6.1', 'forky')[2]
        self.assertEqual(text.count('forky: console: x\n'), 23)
        self.assertIn('forky: console: the end\n', text)

    def test_known_kernel_without_a_run(self):
        self.add('forky', version='7.2.12\n')
        status, last, _ = self.sum('6.1', 'forky')
        self.assertEqual((status, last), (1, '2 passed, 1 failed'))


if __name__ == '__main__':
    unittest.main()
