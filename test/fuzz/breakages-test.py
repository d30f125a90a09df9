#!/usr/bin/env python3
"""
The targets find faults of the library: each is made on a copy of the tree, and libFuzzer begins
with nothing, not with the corpus, of which some inputs may find it at once.

usage: breakages-test.py SOURCE_ROOT [PART_OF_A_NAME]
"""

import pathlib
import sys
import tempfile

import fuzzing
from fuzzing import tap, trees

RUNS = 100000  # at most; README.md says how many it took

# name: target, file, what stands there, what takes its place
BREAKAGES = {
    'a chunk that was read in part goes out whole': (
        'calls', 'lib/socket/read.c',
        'return inbound->queue.offset == 0 && inbound->queue.wanted == 0 &&',
        'return inbound->queue.wanted == 0 &&'),
    'a group has taken one buffer more than it has': (
        'calls', 'lib/engine/soft-receive.c',
        'if (count > available)\n        count = available;',
        'if (count > available + 1)\n        count = available + 1;'),
    'an entry of control data is longer than what is left': (
        'control', 'lib/socket/control.c',
        'if (entry->cmsg_len < CMSG_LEN(0) || entry->cmsg_len > rest->size)',
        'if (entry->cmsg_len < CMSG_LEN(0) || entry->cmsg_len > 2 * rest->size)'),
    'a duplicate stays open behind one that failed': (
        'control', 'lib/socket/control.c',
        'while (result < 0 && rights.count > 0)',
        'while (result < 0 && rights.count > 1)'),
    'a joined datagram is one byte longer': (
        'control', 'lib/socket/joined.c',
        '.length = stored < segment ? stored : segment,',
        '.length = stored <= segment ? stored : segment + (stored > segment + 7),'),
    'an address may be longer than any is': (
        'address', 'lib/socket/kind-socket.c',
        'if (parts->nameLength > sizeof(struct sockaddr_storage) ||',
        'if (parts->nameLength > 2 * sizeof(struct sockaddr_storage) ||'),
    'an address is cut where a shorter one would end': (
        'address', 'lib/socket/destination.c',
        'else if (family == AF_INET6 && length >= sizeof(struct sockaddr_in6))',
        'else if (family == AF_INET6 && length >= sizeof(struct sockaddr_in))'),
    'the text of a path is cut': (
        'address', 'lib/base/address.c',
        '(int)strnlen(name->sun_path, room), name->sun_path);',
        '(int)strnlen(name->sun_path, room / 2), name->sun_path);'),
    'ports are not compared': (
        'address', 'lib/socket/run.h',
        'return name != NULL && memcmp(run->name, name, sizeof(struct sockaddr_in6)) == 0;',
        'return name != NULL && memcmp(run->name, name, sizeof(sa_family_t)) == 0;'),
}


class Tree(trees.Copy):
    parts = trees.Copy.parts + ['doc', 'README.md', 'CONTRIBUTING.md', 'LICENSE']
    settings = fuzzing.SETTINGS


def attempt(name, tree, scratch):
    target, file, old, new = BREAKAGES[name]
    try:
        tree.replace(file, old, new)
        fuzzing.make(tree.build, [target])
    finally:
        tree.restore()
    with tempfile.TemporaryDirectory(dir=scratch) as corpus:
        run = fuzzing.Run(tree.build, target, [corpus], scratch / 'findings', f'-runs={RUNS}',
                          '-seed=1')
    print(f"# {name}: {run.number('number_of_executed_units')} runs")
    assert run.status != 0 and run.found(), f"{target} does not find it"


def main():
    with tempfile.TemporaryDirectory(prefix='fastsocket-fuzz-') as directory:
        scratch = pathlib.Path(directory)
        reason = fuzzing.reasonAgainst(scratch)
        if reason:
            print(f"1..0 # SKIP {reason}")
            return
        tree = Tree(root, scratch, fuzzing.COMPILER)
        tap.runCases([(f'breakages/{name.replace(" ", "-")}',
                       lambda name=name: attempt(name, tree, scratch))
                      for name in BREAKAGES if part in name])


root = pathlib.Path(sys.argv[1])
part = sys.argv[2] if len(sys.argv) > 2 else ''
main()
