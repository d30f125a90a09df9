#!/usr/bin/env python3
"""
That the bench can be believed: its load accepts every server in every mode, refuses those that are
wrong, and what the driver makes of numbers is right. Nothing here is timed.

usage: load-test.py SOURCE_ROOT BINARIES SERVER ...
"""

import pathlib
import subprocess
import sys

root, binaries = pathlib.Path(sys.argv[1]), sys.argv[2]
sys.path[:0] = [str(root / 'test/house'), str(root / 'test/bench')]

import contest  # noqa: E402
import rows  # noqa: E402
import spread  # noqa: E402
import table  # noqa: E402
import tap  # noqa: E402

servers = sys.argv[3:]
WRONG, DEAF = 'exit status 3', 'exit status 4'

# mode of the server: (workload, its arguments)
MODES = {
    'echo': [('echo', '-c 4 -d 4 -s 64'), ('echo', '-c 2 -d 4 -s 100000'), ('churn', '-c 4 -s 64'),
             ('idle', '-c 20 -s 64')],
    'udp': [('udp', '-c 4 -d 4 -s 1400')],
    'push': [('sink', '-s 64 -b 64 -n 10000'), ('sink', '-s 100000 -b 4 -n 50')],
    'discard': [('source', '-s 1048576')],
}
# server and mode: the other ways it has
VARIANTS = {
    ('fastsocket', 'echo'): ['buffer', 'descriptor'], ('fastsocket', 'udp'): ['buffer'],
    ('raw', 'echo'): ['gather', 'bundle', 'gather-bundle'], ('raw', 'push'): ['linked'],
    ('raw', 'discard'): ['bundle'], ('raw', 'udp'): ['joined'],
    ('epoll', 'push'): ['each'], ('epoll', 'udp'): ['batch'],
    ('uv', 'echo'): ['queue'], ('uv', 'push'): ['queue'],
}
# What is wrong with a server, in a mode: how the load must end. Datagrams may be lost: they are
# counted.
FAULTS = {
    ('flip', 'echo'): WRONG, ('drop', 'echo'): WRONG, ('double', 'echo'): WRONG,
    ('cross', 'echo'): WRONG, ('swap', 'echo'): WRONG, ('silent', 'echo'): DEAF,
    ('flip', 'udp'): WRONG, ('double', 'udp'): WRONG, ('cross', 'udp'): WRONG,
    ('silent', 'udp'): DEAF,
    ('flip', 'push'): WRONG, ('drop', 'push'): WRONG, ('double', 'push'): WRONG,
    ('swap', 'push'): WRONG,
    ('drop', 'discard'): WRONG,
}


def runOne(server, mode, variant, workload, arguments, seconds=0.1):
    way = f'-x {variant}' if variant else ''
    contender = contest.Contender(f'{server} {variant}',
                                  rows.server(server, mode, f'{way} -b 65536 -n 64'))
    row = contest.Row('test', '', [contender], '', rows.load(workload, arguments))
    return contest.runOnce(row, contender, binaries, seconds, 0)


def accepts(server, mode, variant):
    if server == 'raw':
        tap.needRing()
    for workload, arguments in MODES[mode][:1 if server == 'broken' else None]:
        results = runOne(server, mode, variant, workload, arguments)
        if workload == 'idle':
            assert 'memory' in results and 'slope' in results, results
        else:
            assert results['rate'] > 0 and results['messages'] > 0, results


def refuses(variant, mode, end):
    workload, arguments = MODES[mode][0]
    try:
        # What is wrong ends the load at once, but for a count, which comes when the load is over.
        seconds = 0.1 if mode == 'discard' else 20
        patience = '-i 1' if variant == 'silent' else ''
        results = runOne('broken', mode, variant, workload, f'{arguments} {patience}', seconds)
    except contest.Failed as failure:
        assert end in str(failure), failure
        return
    raise AssertionError(f"was accepted: {results}")


def countsLost():
    results = runOne('broken', 'udp', 'drop', 'udp', '-c 1 -d 1 -s 64', 1)
    assert results['lost'] >= 1, results


def tellsDeath():
    """A server that ends is a failure, not a slow one."""
    contender = contest.Contender('dead', '{bin}/server-epoll echo -t 1')
    row = contest.Row('test', '', [contender], '', rows.load('echo', '-i 5'))
    try:
        contest.runOnce(row, contender, binaries, 30, 0)
    except contest.Failed as failure:
        assert 'closed' in str(failure) or 'send' in str(failure), failure
        return
    raise AssertionError("was accepted")


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


def rowsAreWhole():
    contest.checkRows(rows.ROWS)


def driverTellsOfItself():
    driver = [sys.executable, str(root / 'test/bench/run.py')]
    for option, wanted in (('--help', '--only'), ('--list', 'echo-64-d1')):
        told = subprocess.run([*driver, option], capture_output=True, text=True, timeout=60)
        assert told.returncode == 0 and wanted in told.stdout, (option, told)


def cases():
    for server in servers:
        for mode in MODES:
            if (server, mode) == ('broken', 'discard'):
                continue
            for variant in ['', *VARIANTS.get((server, mode), [])]:
                name = f'{server}-{mode}{"-" + variant if variant else ""}'
                yield (f'load/accepts/{name}',
                       lambda server=server, mode=mode, variant=variant:
                       accepts(server, mode, variant))
    for (variant, mode), end in FAULTS.items():
        yield (f'load/refuses/{variant}-{mode}',
               lambda variant=variant, mode=mode, end=end: refuses(variant, mode, end))
    for function in (countsLost, tellsDeath, findsIntervals, drawsTable, rowsAreWhole,
                     driverTellsOfItself):
        yield f'load/{function.__name__}', function


tap.runCases(list(cases()))
