#!/usr/bin/env python3
"""
The table of targets speaks of rows that there are, and says of each whether it is met.

usage: targets-test.py SOURCE_ROOT
"""

import pathlib
import sys

root = pathlib.Path(sys.argv[1])
sys.path[:0] = [str(root / 'test' / 'bench'), str(root / 'test' / 'house')]
import rows  # noqa: E402
import rows_apps  # noqa: E402
import tap  # noqa: E402
import targets  # noqa: E402

ROWS = {row.name: row for row in rows.ROWS + rows_apps.ROWS}
README = root / 'test' / 'bench' / 'README.md'


def checkRows():
    for target in targets.TARGETS + targets.ON_EPOLL:
        here = target.here
        names = [contender.name for contender in ROWS[here.row].contenders]
        assert here.contender in names, (target.title, here.contender)
        assert not here.base or here.base in names, (target.title, here.base)


def checkBounds():
    """The rows' own targets are the table's."""
    for target in targets.TARGETS:
        row, here = ROWS[target.here.row], target.here
        bound = (row.bound if here.alone else row.target).get(here.contender)
        if bound is not None and not here.base:
            assert bound == target.bound, (target.title, bound, target.bound)


def runOf(values):
    """A run in which a message costs so many times what the base's does, a round each."""
    rounds = [{'fastsocket': {'cpu': value}, 'raw': {'cpu': 1.0}} for value in values]
    return {'rows': [{'name': 'echo-64-d1', 'figure': 'cpu', 'rounds': rounds,
                      'base': {'fastsocket': 'raw', 'raw': 'raw'}}]}


def cellOf(values):
    return targets.line(targets.TARGETS[0], [(runOf(values), None)]).split(' | ')[-1]


def checkVerdict():
    assert cellOf([1.01, 1.02, 1.05]) == '1.02 (1.01–1.05) |', cellOf([1.01, 1.02, 1.05])
    assert cellOf([1.06, 1.07, 1.08]) == '**1.07 (1.06–1.08)** |', cellOf([1.06, 1.07, 1.08])
    assert cellOf([]) == '– |', cellOf([])


def checkMarks():
    """Where the tables go, and that what stands around them stays."""
    text = README.read_text()
    for name in ('runs', 'targets', 'targets on epoll'):
        replaced = targets.replace(text, name, 'a table')
        begin, end = targets.MARK.format(name), targets.MARK.format(f'end of {name}')
        assert f'{begin}\n\na table\n\n{end}' in replaced
        assert replaced.startswith(text.partition(begin)[0])
        assert replaced.endswith(text.partition(end)[2])


tap.runCases([
    ('targets/rows', checkRows),
    ('targets/bounds', checkBounds),
    ('targets/verdict', checkVerdict),
    ('targets/marks', checkMarks),
])
