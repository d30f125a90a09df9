#!/usr/bin/env python3
"""
Each breakage of the suite «mutation» still finds what it changes, breaks a promise that there is,
and stands in the table; and each promise is broken by one. Nothing is built, and nothing written.

usage: breakages-test.py SOURCE_ROOT
"""

import pathlib
import sys

import breakages
import readme
import tap  # after readme, which knows where it is

LEAST = 80
LEAST_UNSEEN = 25


class Paper:
    """The tree itself, with the changes in memory."""

    def __init__(self, root):
        self.root = root
        self.texts = {}

    def replace(self, name, old, new):
        text = self.texts.get(name) or (self.root / name).read_text()
        assert old != new, f"{name}: changes nothing"
        assert text.count(old) == 1, f"{name} has {text.count(old)} times: {old}"
        self.texts[name] = text.replace(old, new)


def promisesOf(root):
    lines = (root / 'test' / 'promises').read_text().splitlines()
    rows = [line.split(' | ') for line in lines if line and not line.startswith('#')]
    return [f'{section} {name}' for section, name, _ in rows]


def check(root, breakage, promises):
    breakage.apply(Paper(root))
    unknown = [row for row in breakage.promises if row not in promises]
    assert not unknown, f"no rows of test/promises: {unknown}"


def documented(root):
    """The table has all of them, and no others."""
    names = {breakage.name for breakage in breakages.BREAKAGES}
    differing = names ^ set(readme.read(root))
    assert not differing, "not alike in test/mutation/README.md (run the suite «mutation», then " \
        f"ninja mutation-table): {sorted(differing)}"


def complete(promises):
    broken = {row for breakage in breakages.BREAKAGES for row in breakage.promises}
    assert set(promises) <= broken, f"broken by nothing: {sorted(set(promises) - broken)}"
    unseen = [breakage for breakage in breakages.BREAKAGES if not breakage.seen]
    assert len(breakages.BREAKAGES) >= LEAST and len(unseen) >= LEAST_UNSEEN


def refuses(root):
    """A text that isn't there, or is there twice, is told."""
    for text in ('no such text', 'struct'):
        try:
            Paper(root).replace('lib/socket/sent.c', text, 'other')
        except AssertionError:
            continue
        raise AssertionError(f"not told: {text}")


def main():
    root = pathlib.Path(sys.argv[1])
    promises = promisesOf(root)
    cases = [(f'breakages/{breakage.slug}',
              lambda breakage=breakage: check(root, breakage, promises))
             for breakage in breakages.BREAKAGES]
    tap.runCases([*cases, ('breakages/complete', lambda: complete(promises)),
                  ('breakages/documented', lambda: documented(root)),
                  ('breakages/refuses', lambda: refuses(root))])


main()
