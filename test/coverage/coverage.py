#!/usr/bin/env python3
"""
Which lines and branches of lib/ the tests reach: builds with counters in a folder of its own, runs
the suites that are to reach them, and has gcovr count. Prints a row for each file, what is left out
with its reason, and the totals. Exit status 0: every test passed, and the totals are high enough.

usage: coverage.py SOURCE_ROOT FOLDER REPORT [MESON_TEST_ARGUMENT...]

The folder is made if need be; in it, meson-logs/coverage.html is left with every line. The report
is written to a file, too. Arguments name other tests than all, to see what they reach:
«coverage.py . build/covered /dev/null unit/timer».
"""

import json
import pathlib
import re
import subprocess
import sys

SUITES = ['unit', 'api', 'fault-short', 'simulation', 'threads', 'valgrind']
LINES, BRANCHES = 95, 85  # percent that the totals may not fall below

# Branches as the source has them, not as an optimizer does. Threads must not lose each other's
# counts. gcc's own fork forgets what pthread_atfork's handlers have reached; exit.c is enough.
OPTIONS = ['-Db_coverage=true', '-Doptimization=0', '-Ddebug=true', '-Dhardening=false',
           '-Dc_args=-fprofile-update=atomic -fno-builtin-fork', '-Dman=disabled']

# What no test can reach is marked in its line, by this word and the reason.
MARK = 'UNTESTED:'


def setUp(root, folder):
    if not (folder / 'build.ninja').exists():
        subprocess.run(['meson', 'setup', folder, root, *OPTIONS], check=True)
    for counters in folder.rglob('*.gcda'):
        counters.unlink()


def runTests(folder, arguments):
    """Whether all have passed; those that may take minutes elsewhere are slower here."""
    chosen = arguments or [word for suite in SUITES for word in ('--suite', suite)]
    return subprocess.run(['meson', 'test', '-C', folder, '--timeout-multiplier', '4',
                           '--print-errorlogs', *chosen]).returncode == 0


def count(root, folder):
    """gcovr's summary; gcovr.cfg says what of all code is counted."""
    command = ['gcovr', '--root', root, '--config', root / 'gcovr.cfg', '--json-summary', '-',
               '--html-details', folder / 'meson-logs' / 'coverage.html',
               folder / 'lib']
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def markedLines(root):
    """(file, line, text) of each line that is left out."""
    for path in sorted((root / 'lib').rglob('*.[ch]')):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if MARK in line:
                yield path.relative_to(root), number, line.strip()


def row(name, counts):
    parts = []
    for kind in ('line', 'branch'):
        covered, total = counts[f'{kind}_covered'], counts[f'{kind}_total']
        share = f"{100 * covered / total:.1f} %" if total else ''
        parts.append(f"{covered:6} {total:6} {share:>8}")
    return f"{name:32}{''.join(parts)}"


def report(root, summary):
    yield f"{'':32}{'lines':>8}{'of':>7}{'':9}{'branches':>8}{'of':>7}"
    for file in sorted(summary['files'], key=lambda file: file['filename']):
        yield row(file['filename'], file)
    yield ''
    for file, number, line in markedLines(root):
        yield f"{file}:{number}: {line}"
    yield ''
    yield row('lib/', summary)


def isEnough(summary, kind, least):
    return 100 * summary[f'{kind}_covered'] >= least * summary[f'{kind}_total']


def main():
    root, folder, file = (pathlib.Path(argument).resolve() for argument in sys.argv[1:4])
    setUp(root, folder)
    passed = runTests(folder, sys.argv[4:])
    summary = count(root, folder)
    text = '\n'.join(report(root, summary)) + '\n'
    print(text, end='')
    file.write_text(text)
    enough = isEnough(summary, 'line', LINES) and isEnough(summary, 'branch', BRANCHES)
    if not passed:
        print("a test has failed")
    if not enough:
        print(f"less than {LINES} % of the lines or {BRANCHES} % of the branches")
    sys.exit(0 if passed and enough else 1)


main()
