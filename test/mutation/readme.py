#!/usr/bin/env python3
"""
Writes test/mutation/README.md, the table «who sees which breakage», from the results of
mutation-test.py; and reads it.

usage: readme.py SOURCE_ROOT RESULTS
"""

import json
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'house'))

import breakages

TITLE = """# Who sees which breakage

Written by `ninja -C build mutation-table` from what `meson test -C build --suite mutation` found:
each of these changes of `lib/` breaks a promise of `test/promises`, and is made alone on a copy of
the tree. The test is the first one that failed, of those that name the promise if any of them did.
`breakages/` has the changes themselves, and `breakages-test.py`, of the suite «house», sees whether
they still find their places. A `*` stands behind what was chosen by somebody who knew the tests;
all others were by somebody who had read `lib/` and the promises alone.

A breakage that no test sees is a test too few.
"""


def path(root):
    return root / 'test' / 'mutation' / 'README.md'


def read(root):
    """{breakage: who saw it}, of the table."""
    if not path(root).exists():
        return {}
    rows = re.findall(r'^\| (.+?)\*? \| .+ \| (\S.* on \S+) \|$', path(root).read_text(), re.M)
    return dict(rows)


def rows(seen):
    for title, group in breakages.GROUPS.items():
        yield f'\n## {title}\n\n| breakage | promise | seen by |\n| --- | --- | --- |'
        for breakage in group:
            if breakage.name in seen:
                mark = '*' if breakage.seen else ''
                yield f"| {breakage.name}{mark} | {'; '.join(breakage.promises)} | " \
                      f"{seen[breakage.name]} |"


def main():
    root, results = map(pathlib.Path, sys.argv[1:3])
    seen = json.loads(results.read_text())
    path(root).write_text(TITLE + '\n'.join(rows(seen)) + '\n')


if __name__ == '__main__':
    main()
