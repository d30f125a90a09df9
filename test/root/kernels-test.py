#!/usr/bin/env python3
"""
What kernels.py makes of what guests have said, and that the table in test/fault/README.md has its
marks.

usage: kernels-test.py SOURCE_ROOT
"""

import pathlib
import sys
import tempfile

import kernels

root = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(root / 'test' / 'house'))

import tap

keeper = tempfile.TemporaryDirectory(prefix='fastsocket-kernels-')
work = pathlib.Path(keeper.name)

NEW = """RUN 2026-01-01, tcg, 2 processors, 1700 MiB
LEFT-OUT unit/pool|takes | minutes
ROW 1 own root short none 1500 test/api/ring-test
1..3
ok 1 - ring/one
ok 2 - ring/two # SKIP no such thing
not ok 3 - ring/three
# ring-test.c:3: wrong
# and more
STATUS 1 SECONDS 4
ROW 2 own root short none 1500 test/fault/path-fault-test
TICK

ENDED

STATUS 137 SECONDS 1500
KERNEL WARNING: at net/core
ROW 3 own ordinary short none 1500 test/api/ring-test
1..0 # SKIP none at all
STATUS 0 SECONDS 1
"""

EPOLL = """RUN 2026-01-02, tcg, 1 processors, 1700 MiB
ROW 1 epoll root long none 3600 test/fault/peer-fault-test
KERNEL Kernel panic - not syncing
BROKEN
ROW 2 epoll root short busy 300 A=B /cases/c
why not
STATUS 77 SECONDS 2
ROW 3 epoll root short none 300 test/demo/fastsocket-demo 1
STATUS 139 SECONDS 2
END 1600
"""

OLD = """RUN 2026-01-01, tcg, 2 processors, 1700 MiB
NO-MODULES
ROW 1 own root short none 1500 test/api/ring-test
1..1
ok 1 - ring/one
STATUS 0 SECONDS 7
END 8
"""


def results(**texts):
    folder = work / 'results'
    folder.mkdir(exist_ok=True)
    for name, text in (texts or {'_7_1_2_own': NEW, '_7_1_2_epoll': EPOLL,
                                 '_5_10_1_own': OLD}).items():
        (folder / f"{name.strip('_').replace('_', '.')}.result").write_text(text)
    (work / 'archives').write_text('bookworm reached\nbullseye unreachable\n')
    return kernels.resultsOf(folder)


def faults():
    """Whatever is wrong is told, and nothing else."""
    new, old = results()
    assert list(new.faults()) == [
        'io_uring, api/ring: ring/three: ring-test.c:3: wrong',
        'io_uring, fault/path: ended at its bound',
        'io_uring, fault/path: the kernel said: WARNING: at net/core',
        'epoll, fault/peer (all its load): took the guest with it',
        'epoll, fault/peer (all its load): the kernel said: Kernel panic - not syncing',
        'epoll, demo/fastsocket-demo 1: status 139: ',
    ], list(new.faults())
    assert not list(old.faults()), list(old.faults())


def nothing():
    """A program that ran no case has shown nothing."""
    result, = results(_7_3_1_own=OLD.replace('1..1\nok 1 - ring/one', '1..0'))[:1]
    (work / 'results' / '7.3.1.own.result').unlink()
    assert list(result.faults()) == ['io_uring, api/ring: nothing of it was run'], \
        list(result.faults())


def probe():
    """Its status is 1 where io_uring is refused: right on an old kernel, and wrong on any other."""
    told = OLD.replace('test/api/ring-test\n1..1\nok 1 - ring/one\nSTATUS 0',
                       'tools/fastsocket-probe\nwhat to do\nSTATUS 1')
    new, old = results(_7_3_1_own=told, _5_10_1_own=told)[::2]
    (work / 'results' / '7.3.1.own.result').unlink()
    assert list(new.faults()) == ['io_uring, tools/fastsocket-probe: status 1: what to do'], \
        list(new.faults())
    assert not list(old.faults()), list(old.faults())


def counts():
    new, old = results()
    assert list(kernels.summary([new, old])) == [
        ['7.1.2', 'io_uring', 3, 1, 1, 2, 3, 1505, new.run['io_uring']],
        ['7.1.2', 'epoll', 3, 0, 0, 1, 3, 4, new.run['epoll']],
        ['5.10.1', 'epoll', 1, 1, 0, 0, 'nothing', 7, old.run['epoll']],
    ], list(kernels.summary([new, old]))


def skips():
    """Each with its reason, and where."""
    assert list(kernels.skips(results())) == [
        ['no such thing', 'all, on io_uring', '`api/ring`: ring/two'],
        ['none at all', 'all, on io_uring', '`api/ring (ordinary user)`: all'],
        ['why not', '7.1.2 e', '`A=B /cases/c (beside busy loops)`: all'],
    ], list(kernels.skips(results()))


def unbooted():
    """A kernel of which nothing came is wrong."""
    result, = results(_7_2_1_own='RUN today\n\nBROKEN\n')[:1]
    (work / 'results' / '7.2.1.own.result').unlink()
    assert list(result.faults()) == ['io_uring: did not boot']


def readme():
    """What stands around the marks stays; what was between them goes."""
    results()
    path = work / 'README.md'
    path.write_text(f'above\n{kernels.BEGIN}\nold\n{kernels.END}\nbelow\n')
    for _ in range(2):
        kernels.writeReadme(work, path)
        lines = path.read_text().splitlines()
        assert lines[0] == 'above' and lines[-1] == 'below' and 'old' not in lines
        assert [line for line in lines if line.startswith('| `api/ring` |')] == \
            ['| `api/ring` | 1−1!1 / ·, 4 s | · / 1, 7 s |'], lines
        assert 'Archives asked: bookworm, bullseye; not reached: bullseye.' in lines
        assert 'The archives no longer have the modules of 5.10.1.' in lines
        assert 'What is left out: `unit/pool` (takes | minutes).' in lines
    text = (root / 'test' / 'fault' / 'README.md').read_text()
    assert text.count(kernels.BEGIN) == 1 and text.count(kernels.END) == 1


tap.runCases([
    ('kernels/faults', faults),
    ('kernels/counts', counts),
    ('kernels/skips', skips),
    ('kernels/nothing', nothing),
    ('kernels/probe', probe),
    ('kernels/unbooted', unbooted),
    ('kernels/readme', readme),
])
