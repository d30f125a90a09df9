#!/usr/bin/env python3
"""
Writes the table «which check saw which break» into abi/README.md, from the results of
mutation-test.py with both compilers.

usage: table.py SOURCE_ROOT GCC_RESULTS CLANG_RESULTS
"""

import json
import pathlib
import sys

import mutations

root = pathlib.Path(sys.argv[1])
gcc, clang = (json.loads(pathlib.Path(path).read_text()) for path in sys.argv[2:4])
CHECKS = [
    'build', 'exports', 'symbols', 'abidiff', 'witness', 'header', 'layout', 'twin', 'upgrade',
    'elf', 'rules'
]
MARK = '<!-- what follows is written by «ninja abi-table» -->\n'


def cell(name, check):
    inGcc, inClang = check in gcc.get(name, []), check in clang.get(name, [])
    return {(True, True): 'x', (True, False): 'g', (False, True): 'c',
            (False, False): ''}[inGcc, inClang]


def rows(group):
    for name in group:
        yield f"| {name} | " + ' | '.join(cell(name, check) for check in CHECKS) + ' |'


def counts():
    for compiler, results in (('GCC', gcc), ('Clang', clang)):
        seen = sum(bool(results.get(name)) for name in mutations.BREAKS)
        accepted = sum(results.get(name) == [] for name in mutations.ACCEPTED)
        yield f"With {compiler}: {seen} of {len(mutations.BREAKS)} breaks refused, " \
              f"{accepted} of {len(mutations.ACCEPTED)} compatible changes accepted."


def alone(check):
    """Breaks that one check alone has seen."""
    return sum(
        results.get(name) == [check] for name in mutations.BREAKS for results in (gcc, clang)) // 2


def write():
    yield '\n'.join(counts()) + '\n'
    yield "x: refused by this check, with both compilers; g: with GCC; c: with Clang. " \
          "Where the library doesn't build,\nthe other checks have nothing to look at.\n"
    total = [sum(cell(name, check) != '' for name in mutations.BREAKS) for check in CHECKS]
    for title, group in mutations.GROUPS.items():
        yield f"| {title} | " + ' | '.join(CHECKS) + ' |'
        yield '| --- |' + ' :-: |' * len(CHECKS)
        yield from rows(group)
        yield ''
    yield '| all | ' + ' | '.join(CHECKS) + ' |'
    yield '| --- |' + ' :-: |' * len(CHECKS)
    yield '| breaks seen | ' + ' | '.join(map(str, total)) + ' |'
    yield '| of these, by this check alone | ' + ' | '.join(str(alone(check))
                                                            for check in CHECKS) + ' |'
    yield '\nAccepted without a waiver:\n'
    for name in mutations.ACCEPTED:
        if gcc.get(name) == clang.get(name) == []:
            yield f'* {name}'


path = root / 'abi' / 'README.md'
text = path.read_text()
assert text.count(MARK) == 1, "abi/README.md has no mark where the table begins"
path.write_text(text.partition(MARK)[0] + MARK + '\n' + '\n'.join(write()) + '\n')
