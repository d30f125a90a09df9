#!/usr/bin/env python3
"""
Writes abi/mutations.md, the table «what refuses which break», from the results of mutation-test.py
with each compiler.

usage: table.py SOURCE_ROOT GCC_RESULTS CLANG_RESULTS

Results that are not there are left out.
"""

import collections
import json
import pathlib
import sys

import mutations

root = pathlib.Path(sys.argv[1])
results = {name: json.loads(pathlib.Path(path).read_text())
           for name, path in zip(('GCC', 'Clang'), sys.argv[2:4]) if pathlib.Path(path).exists()}
TITLE = """# What refuses which break

Written by `ninja -C build abi-table` from what `meson test -C build --suite abi-mutation` found:
each of these changes, alone, on a copy of the tree. What the checks are stands in `abi/README.md`.
"""
EXPLAINED = """A break is shown to one check after the other until one refuses it: the table has
that one, of `programs` with the program and its engine. «build»: the library doesn't build, so that
there is nothing to release.
"""


def refuser(cases):
    """«programs: socket-create, io_uring», «header», …; of the first case."""
    if not cases:
        return '**accepted**' if cases is not None else 'not asked'
    check, *rest = cases[0].split('/')
    return f"programs: {rest[1]}, {rest[2]}" if check == 'programs' else check


def counts():
    for compiler, found in results.items():
        seen = sum(bool(found.get(name)) for name in mutations.BREAKS)
        accepted = sum(found.get(name) == [] for name in mutations.ACCEPTED)
        yield f"With {compiler}: {seen} of {len(mutations.BREAKS)} breaks refused, " \
              f"{accepted} of {len(mutations.ACCEPTED)} compatible changes accepted."


def write():
    yield '\n'.join(counts()) + '\n'
    yield EXPLAINED
    for title, group in mutations.GROUPS.items():
        yield f"| {title} | " + ' | '.join(results) + ' |'
        yield '| --- |' + ' --- |' * len(results)
        for name in group:
            yield f"| {name} | " + ' | '.join(refuser(found.get(name))
                                               for found in results.values()) + ' |'
        yield ''
    for compiler, found in results.items():
        seen = collections.Counter(refuser(found.get(name)).partition(':')[0]
                                   for name in mutations.BREAKS)
        yield f"First to refuse with {compiler}: " + \
            ', '.join(f"{check} {count}" for check, count in seen.most_common()) + '.'
    yield '\nAccepted without a waiver:\n'
    for name in mutations.ACCEPTED:
        if all(found.get(name) == [] for found in results.values()):
            yield f'* {name}'


(root / 'abi' / 'mutations.md').write_text(TITLE + '\n' + '\n'.join(write()) + '\n')
