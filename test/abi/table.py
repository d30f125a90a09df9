#!/usr/bin/env python3
"""
Writes abi/mutations.md, the table «what refuses which break», from the results of mutation-test.py
with each compiler.

usage: table.py SOURCE_ROOT GCC_RESULTS CLANG_RESULTS

Mutations without a result there keep what the table has of them.
"""

import collections
import json
import pathlib
import re
import sys

import mutations

root = pathlib.Path(sys.argv[1])
table = root / 'abi' / 'mutations.md'
TITLE = """# What refuses which break

Written by `ninja -C build abi-table` from what `meson test -C build --suite abi-mutation` found:
each of these changes, alone, on a copy of the tree. What the checks are stands in `abi/README.md`.
A row that the last run did not ask keeps what an earlier one has found.
"""
EXPLAINED = """A break is shown to one check after the other until one refuses it: the table has
that one, of `programs` with the program and its engine. «build»: the library doesn't build, so that
there is nothing to release.
"""
UNASKED = 'not asked'
ACCEPTED = '**accepted**'


def refuser(cases):
    """«programs: socket-create, io_uring», «header», …; of the first case."""
    if not cases:
        return ACCEPTED
    check, *rest = cases[0].split('/')
    return f"programs: {rest[1]}, {rest[2]}" if check == 'programs' else check


def earlier(text):
    """{compiler: {mutation: refuser}}, as the table has it."""
    found = collections.defaultdict(dict)
    compilers = re.findall(r'^With (\w+):', text, re.M)
    for name, cells in re.findall(r'^\| (.+?) \| (.+) \|$', text, re.M):
        if name in mutations.BREAKS:
            found.update((compiler, {**found[compiler], name: cell})
                         for compiler, cell in zip(compilers, cells.split(' | ')))
    for name, only in re.findall(r'^\* (.+?)(?:, with (\w+) alone)?$', text, re.M):
        for compiler in [only] if only else compilers:
            found[compiler][name] = ACCEPTED
    return found


def read():
    """The same, with the new results."""
    found = earlier(table.read_text()) if table.exists() else collections.defaultdict(dict)
    for compiler, path in zip(('GCC', 'Clang'), map(pathlib.Path, sys.argv[2:4])):
        if path.exists():
            found[compiler].update((name, refuser(cases))
                                   for name, cases in json.loads(path.read_text()).items())
    return {compiler: {name: cells.get(name, UNASKED)
                       for name in [*mutations.BREAKS, *mutations.ACCEPTED]}
            for compiler, cells in sorted(found.items(), reverse=True)}


def counts(results):
    for compiler, found in results.items():
        seen = sum(found[name] not in (UNASKED, ACCEPTED) for name in mutations.BREAKS)
        accepted = sum(found[name] == ACCEPTED for name in mutations.ACCEPTED)
        yield f"With {compiler}: {seen} of {len(mutations.BREAKS)} breaks refused, " \
              f"{accepted} of {len(mutations.ACCEPTED)} compatible changes accepted."


def write(results):
    yield '\n'.join(counts(results)) + '\n'
    yield EXPLAINED
    for title, group in mutations.GROUPS.items():
        yield f"| {title} | " + ' | '.join(results) + ' |'
        yield '| --- |' + ' --- |' * len(results)
        for name in group:
            yield f"| {name} | " + ' | '.join(found[name] for found in results.values()) + ' |'
        yield ''
    for compiler, found in results.items():
        seen = collections.Counter(found[name].partition(':')[0] for name in mutations.BREAKS)
        yield f"First to refuse with {compiler}: " + \
            ', '.join(f"{check} {count}" for check, count in seen.most_common()) + '.'
    yield '\nAccepted without a waiver:\n'
    for name in mutations.ACCEPTED:
        those = [compiler for compiler, found in results.items() if found[name] == ACCEPTED]
        if those:
            yield f'* {name}' + ('' if len(those) == len(results) else f', with {those[0]} alone')


table.write_text(TITLE + '\n' + '\n'.join(write(read())) + '\n')
