#!/usr/bin/env python3
"""
The table of targets in README.md: what whole runs of the bench say of each, one column a run.

usage: targets.py [--into FILE] RUN...

RUN is a file that run.py has written, or two with a comma between: the second is of the yardstick,
another author's bench. With --into the tables replace what stands between the marks in FILE.
"""

import argparse
import dataclasses
import json
import pathlib

import spread
import table

MARK = '<!-- {}: by targets.py -->'
MISSING = '–'


@dataclasses.dataclass
class Here:
    """A row of this bench."""
    row: str
    contender: str = 'fastsocket'
    base: str = ''  # the row's
    figure: str = ''  # the row's
    alone: bool = False  # the figure is meant, not its ratio


@dataclasses.dataclass
class There:
    """A row of the yardstick."""
    suite: str
    contender: str
    base: str
    figure: str = 'srv_ns'
    alone: bool = False
    engine: str = ''  # of a file of its own


@dataclasses.dataclass
class Target:
    title: str
    to: str
    sign: str
    bound: float
    here: Here
    there: There = None


def atMost(title, to, bound, here, there=None):
    return Target(title, to, '≤', bound, here, there)


def atLeast(title, to, bound, here, there=None):
    return Target(title, to, '≥', bound, here, there)


COPY, OPERATION = 'ours copy', 'ours descriptor'
RAW = 'raw -x copy'

TARGETS = [
    atMost('TCP echo 64 B, one core, copied', 'raw', 1.03, Here('echo-64-d1'),
           There('onecore-c64-d1', COPY, 'base')),
    atMost('the same, handed over', 'raw', 1.03, Here('echo-64-d1', 'fastsocket buffer')),
    atMost('the same, by an operation', 'raw', 1.03, Here('echo-64-d1', 'fastsocket operation'),
           There('onecore-c64-d1', OPERATION, 'base')),
    atMost('the same, 16 outstanding, copied', 'raw', 1.03, Here('echo-64-d16'),
           There('onecore-c64-d16', COPY, 'base')),
    atMost('500 connections, copied', 'raw', 1.03, Here('echo-64-c500'),
           There('echo-c500-d1-64', COPY, RAW)),
    atMost('500 connections, handed over (yardstick: by an operation)', 'raw', 1.03,
           Here('echo-64-c500', 'fastsocket buffer'), There('echo-c500-d1-64', OPERATION, RAW)),
    atMost('TCP echo 16 KiB, handed over', 'epoll', 1.03, Here('echo-16k', 'fastsocket buffer'),
           There('best-large', 'ours descriptor 64K', 'epoll 64K')),
    atMost('TCP echo 16 KiB, copied', 'epoll', 1.15, Here('echo-16k'),
           There('best-large', 'ours copy 64K', 'epoll 64K')),
    atMost('push 64 B, 64 in a burst', 'raw', 1.15, Here('push-64-b64'),
           There('push-64-w64', 'ours', 'raw coal')),
    atMost('push 64 B, 1024 in a burst', 'raw', 1.30, Here('push-64-b1024'),
           There('push-64-w1024', 'ours', 'raw coal')),
    atMost('push 4 KiB', 'raw', 1.03, Here('push-4k'),
           There('bulk-send-4096', 'ours', 'raw coal')),
    atMost('push 64 KiB', 'raw linked', 1.00, Here('push-64k'),
           There('bulk-send-65536', 'ours', 'raw link -0')),
    atMost('push 1 MiB', 'raw linked', 0.85, Here('push-1m'),
           There('bulk-send-1048576', 'ours', 'raw link -0')),
    atMost('receive of 1 MiB writes, 4 KiB buffers', 'raw 64k', 0.95, Here('receive-4k'),
           There('bulk-recv-1048576', 'ours 4K', 'raw ms 64K')),
    atMost('… 16 KiB', 'raw 64k', 0.90, Here('receive-16k'),
           There('bulk-recv-1048576', 'ours 16K', 'raw ms 64K')),
    atMost('… 64 KiB', 'raw 64k', 0.86, Here('receive-64k'),
           There('bulk-recv-1048576', 'ours 64K', 'raw ms 64K')),
    atMost('UDP echo 64 B, one core', 'raw', 0.76, Here('udp-64-one')),
    atMost('… two cores', 'raw', 0.76, Here('udp-64'), There('udp-c16-d8', 'ours', 'raw sqe')),
    atMost('UDP echo 1400 B, one core', 'raw', 0.72, Here('udp-1400-one')),
    atMost('… two cores', 'raw', 0.72, Here('udp-1400'),
           There('udp-c16-d8-1400', 'ours', 'raw sqe')),
    atMost('ping-pong p50, TCP (sockperf)', 'libuv', 1.00, Here('sockperf-tcp')),
    atMost('ping-pong p50, UDP (sockperf)', 'libuv', 1.00, Here('sockperf-udp')),
    atMost('ping-pong p50, TCP', 'libuv', 1.00, Here('ping-pong'),
           There('echo-c1-d1-64', COPY, 'libuv try_write', 'p50_us')),
    atLeast('ping-pong, TCP: rate when spinning 50 µs', 'raw that does not', 1.60,
            Here('ping-pong', 'fastsocket spin', 'raw', 'rate'),
            There('echo-c1-d1-64', 'ours spin 50us', RAW, 'rate')),
    atMost('HTTP 256 KiB, 10 connections', 'libuv', 1.00, Here('http-262144-c10')),
    atMost('redis-like GET −P 16', 'libuv', 0.95, Here('redis-get-p16')),
    atMost('connection churn', 'raw', 1.00, Here('churn')),
    atMost('idle connection, bytes', MISSING, 330, Here('idle', alone=True),
           There('idle-10000', COPY, '', 'bytes_per_conn', alone=True)),
    atMost('2000 connections to 64', 'itself', 1.10, Here('scaling', 'fastsocket × 2000')),
    atMost('10 000 sockets released to 1000, each', 'itself', 1.10,
           Here('release-growth', 'fastsocket × 10000')),
    atLeast('broadcast to 1000 clients, each written, deliveries a second', 'libuv', 5.00,
            Here('broadcast-d16')),
]

ENGINE = 'fastsocket on epoll'


def onEpoll(suite, base, contender=COPY, **options):
    return There(suite, contender, base, engine='epoll', **options)


ON_EPOLL = [
    atMost('TCP echo 64 B, one core', 'epoll', 1.10, Here('echo-64-d1', ENGINE, 'epoll'),
           onEpoll('onecore-c64-d1', 'epoll')),
    atMost('the same', 'libuv', 1.00, Here('echo-64-d1', ENGINE, 'libuv'),
           onEpoll('onecore-c64-d1', 'libuv try_write')),
    atMost('the same, 16 outstanding', 'epoll', 1.10, Here('echo-64-d16', ENGINE, 'epoll'),
           onEpoll('onecore-c64-d16', 'epoll')),
    atMost('UDP echo 64 B, two cores', 'libuv', 1.00, Here('udp-64', ENGINE, 'libuv'),
           onEpoll('udp-c16-d8', 'libuv', 'ours')),
    atMost('UDP echo 1400 B, two cores', 'libuv', 1.00, Here('udp-1400', ENGINE, 'libuv'),
           onEpoll('udp-c16-d8-1400', 'libuv', 'ours')),
    atMost('push 64 B, 64 in a burst', 'ours on io_uring', 1.10,
           Here('push-64-b64', ENGINE, 'fastsocket')),
    atMost('push 64 B, 1024 in a burst', 'ours on io_uring', 1.10,
           Here('push-64-b1024', ENGINE, 'fastsocket')),
    atMost('idle connection, bytes of the process', MISSING, 330, Here('idle', ENGINE, alone=True),
           onEpoll('idle-10000', '', figure='bytes_per_conn', alone=True)),
]


# ---- figures ---------------------------------------------------------------------------------

def figuresHere(run, here):
    """The figure of each round: of the contender to its base, or its own."""
    row = next((each for each in run['rows'] if each['name'] == here.row), None)
    if row is None:
        return []
    figure = here.figure or row['figure']
    if here.alone:
        return [each[here.contender][figure] for each in row['rounds'] if here.contender in each]
    base = here.base or row['base'].get(here.contender)
    return spread.ratiosOf(row['rounds'], here.contender, base, figure)


def figuresThere(suites, there):
    """The same of the yardstick's rounds."""
    rounds = suites.get(f'{there.engine} {there.suite}'.strip(), {}).get('rounds', [])
    if there.alone:
        return [each[there.contender][there.figure] for each in rounds
                if there.figure in each.get(there.contender, {})]
    return spread.ratiosOf(rounds, there.contender, there.base, there.figure)


def cell(target, values, alone):
    """Missed is bold: the interval's better end is not within the bound."""
    if not values:
        return MISSING
    middle, low, high = spread.interval(values)
    better = low if target.sign == '≤' else high
    met = better <= target.bound if target.sign == '≤' else better >= target.bound
    if alone:
        text = f'{middle:.0f}'
    else:
        text = f'{middle:.3g}' if middle >= 10 else f'{middle:.2f}'
        text += f' ({low:.3g}–{high:.3g})' if middle >= 10 else f' ({low:.2f}–{high:.2f})'
    return text if met else f'**{text}**'


def line(target, runs):
    cells = [target.title, target.to, f'{target.sign} {target.bound:.3g}' if target.bound >= 10
             else f'{target.sign} {target.bound:.2f}']
    for run, suites in runs:
        cells.append(cell(target, figuresHere(run, target.here), target.here.alone))
        if suites is not None:
            there = target.there
            values = figuresThere(suites, there) if there else []
            cells.append(cell(target, values, bool(there and there.alone)))
    return '| ' + ' | '.join(cells) + ' |'


def inMarkdown(targets, runs):
    titles = ['workload', 'to', 'target']
    for number, (_, suites) in enumerate(runs, 1):
        titles.append(f'run {number}')
        if suites is not None:
            titles.append('yardstick')
    return '\n'.join(['| ' + ' | '.join(titles) + ' |', '|---' * len(titles) + '|',
                      *(line(target, runs) for target in targets)])


# ---- files -----------------------------------------------------------------------------------

def load(text):
    """(results, the yardstick's suites or None); suites of a run on epoll are named so."""
    first, *others = [json.loads(pathlib.Path(name).read_text()) for name in text.split(',')]
    if not others:
        return first, None
    suites = dict(others[0])
    for more in others[1:]:
        suites |= {f'epoll {name}': suite for name, suite in more.items()}
    return first, suites


def replace(text, name, content):
    begin, end = MARK.format(name), MARK.format(f'end of {name}')
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise SystemExit(f'no {begin} with an {end} behind it')
    return f'{before}{begin}\n\n{content}\n\n{end}{after}'


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--into', type=pathlib.Path)
    parser.add_argument('runs', nargs='+', metavar='RUN')
    arguments = parser.parse_args()
    runs = [load(text) for text in arguments.runs]
    parts = {
        'runs': '\n'.join(f'{number}. {table.heading(run).strip()}'
                          for number, (run, _) in enumerate(runs, 1)),
        'targets': inMarkdown(TARGETS, runs),
        'targets on epoll': inMarkdown(ON_EPOLL, runs),
    }
    if arguments.into is None:
        print('\n\n'.join(parts.values()))
        return
    text = arguments.into.read_text()
    for name, content in parts.items():
        text = replace(text, name, content)
    arguments.into.write_text(text)


if __name__ == '__main__':
    main()
