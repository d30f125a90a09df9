#!/usr/bin/env python3
"""
That the bench can be believed: its load accepts every server in every mode, refuses those that are
wrong, and what the driver makes of numbers is right. Nothing here is timed.

usage: load-test.py SOURCE_ROOT BINARIES SERVER ...
"""

import dataclasses
import functools
import itertools
import json
import pathlib
import re
import subprocess
import sys
import tempfile

root, binaries = pathlib.Path(sys.argv[1]), sys.argv[2]
sys.path[:0] = [str(root / 'test/house'), str(root / 'test/bench')]

import circumstances  # noqa: E402
import contest  # noqa: E402
import rows  # noqa: E402
import spread  # noqa: E402
import table  # noqa: E402
import tap  # noqa: E402

servers = sys.argv[3:]
contest.START = contest.SPARE = 240  # seconds; bounds a hang only, on a busy machine too
TOGETHER = 6  # cases: half of them wait for a server that says nothing
SECONDS = 0.03  # of a load that is accepted; it takes longer until there is an answer
LONGEST = 60  # seconds of a source; bounds a hang only
# How a load ends that refuses a server.
WRONG, DEAF, EITHER = 'exit status 3', 'exit status 4', 'exit status [34]'


@dataclasses.dataclass
class Load:
    name: str
    mode: str            # of the server
    workload: str
    arguments: str
    server: str = ''     # more arguments of it
    good: int = 1000     # bytes that a broken server serves well
    seconds: float = 20  # that it has for being refused; a source compares when its time is over


ALL = '-k 1000000000000'  # bytes that are summed: whatever comes
LOADS = [
    Load('echo', 'echo', 'echo', '-c 4 -d 4 -s 64'),
    Load('echo-long', 'echo', 'echo', '-c 2 -d 4 -s 100000'),
    Load('churn', 'echo', 'churn', '-c 4 -s 64'),
    Load('churn-long', 'echo', 'churn', '-c 4 -s 256'),
    Load('idle', 'echo', 'idle', '-c 30 -s 64'),
    Load('idle-long', 'echo', 'idle', '-c 20 -s 256'),
    Load('udp', 'udp', 'udp', '-c 4 -d 4 -s 1400'),
    Load('push', 'push', 'sink', '-s 64 -b 64 -n 10000'),
    Load('push-long', 'push', 'sink', '-s 100000 -b 4 -n 50'),
    Load('source', 'discard', 'source', '-s 1048576', seconds=0.1),
    Load('source-all', 'discard', 'source', f'-s 1048576 {ALL}', ALL, 5000000, 0.5),
    # What comes behind the bytes that are summed.
    Load('source-late', 'discard', 'source', '-s 1048576 -k 65536', '-k 65536', 100000, 0.5),
]
# server and mode: the other ways it has
VARIANTS = {
    ('fastsocket', 'echo'): ['buffer', 'descriptor'], ('fastsocket', 'udp'): ['buffer'],
    ('raw', 'echo'): ['gather', 'bundle', 'gather-bundle'], ('raw', 'push'): ['linked', 'tried'],
    ('raw', 'discard'): ['bundle'], ('raw', 'udp'): ['joined'],
    ('epoll', 'push'): ['each'], ('epoll', 'udp'): ['batch'],
    ('uv', 'echo'): ['queue'], ('uv', 'push'): ['queue'],
}
# What can be wrong with a server, and how a load ends then.
FAULTS = {'flip': WRONG, 'drop': WRONG, 'double': WRONG, 'cross': WRONG, 'swap': WRONG,
          'silent': DEAF}
# What a load ends by instead.
OTHERWISE = {
    # Nothing is behind a connection's only message, so that what lacks is waited for.
    ('drop', 'churn'): DEAF, ('drop', 'idle'): DEAF,
    ('cross', 'idle'): DEAF, ('cross', 'idle-long'): DEAF,
    # By the connection that has too much or by the one that has nothing: whichever is read first.
    ('cross', 'churn'): EITHER, ('cross', 'churn-long'): EITHER,
}
# What is no fault of a server under a load, or can't be there, and why.
NO_FAULT = {
    ('drop', 'udp'): "datagrams may be lost; they are counted",
    ('swap', 'udp'): "datagrams may come in any order",
    ('swap', 'churn'): "a connection has one message; churn-long has a longer one",
    ('swap', 'idle'): "the same",
    ('flip', 'source-late'): "what is behind the sum is only counted",
    ('swap', 'source-late'): "the same",
}


def runOne(server, load, variant, seconds=SECONDS, more=''):
    way = f'-x {variant}' if variant else ''
    contender = contest.Contender(f'{server} {variant}', rows.server(
        server, load.mode, f'{way} -b 65536 -n 64 -g {load.good} {load.server}'))
    row = contest.Row('test', '', [contender], '',
                      rows.load(load.workload, f'{load.arguments} {more}'))
    return contest.runOnce(row, contender, binaries, seconds, 0)


def accepts(server, load, variant):
    if server == 'raw':
        tap.needRing()
    results = runOne(server, load, variant)
    if load.workload == 'idle':
        assert 'memory' in results and 'slope' in results, results
    else:
        assert results['rate'] > 0 and results['messages'] > 0, results


def refuses(fault, load):
    """A source whose time was over before the server was wrong, on a busy machine, gets more."""
    end = OTHERWISE.get((fault, load.name), FAULTS[fault])
    seconds = load.seconds
    while True:
        try:
            results = runOne('broken', load, fault, seconds, '' if end == WRONG else '-i 1')
        except contest.Failed as failure:
            assert re.search(end, str(failure)), failure
            return
        enough = results.get('bytes', load.good + 1) > load.good
        assert not enough and seconds < LONGEST, f"was accepted: {results}"
        seconds *= 4


def tableIsWhole():
    """Each exception is of a fault and a load that there are, and each fault is refused somewhere
    in each mode, or there is a reason."""
    names = {load.name for load in LOADS}
    for fault, name in [*OTHERWISE, *NO_FAULT]:
        assert fault in FAULTS and name in names, (fault, name)
    for fault, mode in itertools.product(FAULTS, {load.mode for load in LOADS}):
        left = [load.name for load in LOADS
                if load.mode == mode and (fault, load.name) not in NO_FAULT]
        assert left or mode == 'udp', f"nobody refuses {fault} in {mode}"


def countsLost():
    """One that had no time for all that is served well gets more."""
    load, seconds = Load('lost', 'udp', 'udp', '-c 1 -d 1 -s 64'), 1
    results = runOne('broken', load, 'drop', seconds)
    while results['bytes'] <= load.good and seconds < LONGEST:
        seconds *= 4
        results = runOne('broken', load, 'drop', seconds)
    assert results['lost'] >= 1, results


def tellsDeath():
    """A server that ends is a failure, not a slow one. One that has ended before the load came
    lives longer."""
    row = contest.Row('test', '', [], '', rows.load('echo', '-i 60'))
    for life in (1, 4, 16, 64):
        contender = contest.Contender('dead', f'{{bin}}/server-epoll echo -t {life}')
        try:
            contest.runOnce(row, contender, binaries, 4 * LONGEST, 0)
        except contest.Failed as failure:
            if 'closed' in str(failure) or 'send' in str(failure):
                return
            assert 'connect' in str(failure), failure
        else:
            raise AssertionError("was accepted")
    raise AssertionError("nobody reached it")


def findsIntervals():
    middle, low, high = spread.interval([1.0, 1.1, 1.2, 1.3, 9.0])
    assert middle == 1.2 and 1.0 <= low <= middle <= high <= 9.0, (middle, low, high)
    assert spread.interval([2.0]) == (2.0, 2.0, 2.0)
    assert spread.ratiosOf([{'a': {'cpu': 3}, 'b': {'cpu': 2}}, {'a': {'cpu': 3}}], 'a', 'b',
                           'cpu') == [1.5]


def drawsTable():
    row = {'name': 'n', 'title': 't', 'figure': 'cpu', 'unit': 'ns', 'moreIsBetter': False,
           'target': {'a': 1.2}, 'bound': {}, 'base': {'a': 'b', 'b': 'b'}, 'failures': [],
           'rounds': [{'a': {'cpu': 3}, 'b': {'cpu': 2}}],
           'ratios': {'a': (1.5, 1.3, 1.6), 'b': (1, 1, 1)}}
    assert '1.50 (1.30–1.60) | ≤ 1.20 missed' in table.ofRow(row), table.ofRow(row)
    row['ratios']['a'] = (1.5, 1.1, 1.6)
    assert '≤ 1.20 met' in table.ofRow(row), table.ofRow(row)


def drawsPictures():
    """Bars and curves, which tell what the run was."""
    numbers = {'cpu': 3, 'rate': 5}
    row = {'name': 'n', 'title': 'a row', 'figure': 'cpu', 'moreIsBetter': False,
           'base': {name: 'raw' for name in ('raw', 'libuv', 'fastsocket')},
           'rounds': [{'raw': numbers, 'libuv': numbers, 'fastsocket': numbers}]}
    points = [{'count': count, 'length': length, **numbers} for count in (4, 8)
              for length in (4096, 65536)]
    results = {**circumstances.now(7, 0.25), 'commit': '0123456', 'processor': 'a model (1)'}
    for more, shown in (({'rows': [row]}, 'a row'),
                        ({'rows': [], 'sweep': {'x': {'title': 'a curve', 'points': points}}},
                         'a curve')):
        with tempfile.TemporaryDirectory(prefix='fastsocket-bench-') as folder:
            file = pathlib.Path(folder, 'r.json')
            file.write_text(json.dumps({**results, **more}))
            tap.run([sys.executable, str(root / 'test/bench/picture.py'), str(file),
                     f'{folder}/r.svg'])
            drawn = pathlib.Path(folder, 'r.svg').read_text()
        for wanted in (shown, results['date'], 'commit 0123456', results['kernel'],
                       'a model (1)', '7 rounds of 0.25 s'):
            assert wanted in drawn, f"no {wanted} in {drawn[:2000]}"


def tellsCircumstances():
    found = circumstances.now(1, 0.2)
    assert re.fullmatch(r'\d{4}-\d\d-\d\d \d\d:\d\d UTC', found['date']), found
    assert re.fullmatch(r'([0-9a-f]{7,}( with changes)?)?', found['commit']), found
    assert found['kernel'] and found['processor'], found
    assert ' · 1 round of 0.2 s · ' in circumstances.inWords(found), found
    del found['commit']
    assert 'commit unknown' in circumstances.inWords(found), found


def rowsAreWhole():
    contest.checkRows(rows.ROWS)


def driverTellsOfItself():
    driver = [sys.executable, str(root / 'test/bench/run.py')]
    for option, wanted in (('--help', '--only'), ('--list', 'echo-64-d1')):
        told = subprocess.run([*driver, option], capture_output=True, text=True, timeout=60)
        assert told.returncode == 0 and wanted in told.stdout, (option, told)


def cases():
    for server, load in itertools.product(servers, LOADS):
        for variant in ['', *VARIANTS.get((server, load.mode), [])]:
            name = f'{server}-{load.name}{"-" + variant if variant else ""}'
            yield f'load/accepts/{name}', functools.partial(accepts, server, load, variant)
    for fault, load in itertools.product(FAULTS, LOADS):
        if (fault, load.name) not in NO_FAULT:
            yield f'load/refuses/{fault}-{load.name}', functools.partial(refuses, fault, load)
    for function in (tableIsWhole, countsLost, tellsDeath, findsIntervals, drawsTable,
                     drawsPictures, tellsCircumstances, rowsAreWhole, driverTellsOfItself):
        yield f'load/{function.__name__}', function


tap.runCases(list(cases()), TOGETHER)
