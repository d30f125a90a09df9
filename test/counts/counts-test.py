#!/usr/bin/env python3
"""
What the library costs, in counts that no other load of the machine changes, each with its bound in
the file «bounds» beside this one.

Instructions are those of the library's own objects under callgrind, a message as the difference of
two runs of other lengths. The traffic is work.c's and sockets.c's.

usage: counts-test.py LIBRARY WORK SOCKETS CALLS VALGRIND COMPILER SANITIZE [ARGUMENT]
       --table  prints the bounds as they would be by what is measured now
       --write  writes them to the file
       other    a part of a name: only those cases run
"""

import functools
import math
import os
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / 'house'))
import callgrind
import tap

library, work, sockets, calls, valgrind, compiler, sanitize = sys.argv[1:8]
argument = sys.argv[8] if len(sys.argv) > 8 else ''
table = pathlib.Path(__file__).parent / 'bounds'
TRIES = 3  # of a run in which the system may have added a page fault of its own
LIMIT = 300  # seconds; bounds a hang only
CANNOT_TRACE = 77  # exit status of calls.c

# What is added to what was measured, for a bound. The others are exact.
MARGIN = 1.05
MARGINS = dict.fromkeys(['instructions', 'growth', 'bytes', 'entries', 'turns', 'pages'], MARGIN)
DIGITS = 6  # of a bound: 5 % of a small count are small, too
# Where the compiler isn't that of the bounds, so that instructions say little.
OTHER_COMPILER = 1.3
# Of what was measured a count still is so much at least. With less its row isn't true any more, and
# the bound would let through what comes on top. What a compiler changes is held to that of the
# bounds, with room for what others of its version make of it.
LEAST = 0.98
LEAST_OF_COMPILER = 0.9
OF_COMPILER = ['instructions', 'growth', 'bytes', 'pages']

# name: connections and rounds.
WORKS = {
    'echo-copied': (64, 10),
    'echo-handed': (64, 10),
    'echo-operation': (64, 10),
    'echo-16k': (16, 10),
    'udp': (1, 20),
    'push': (16, 3),
    'body': (4, 5),
    'large': (4, 3),
}
# On epoll, where an operation is a system call.
WORKS_ON_EPOLL = {
    'epoll-echo': 'echo-copied',
    'epoll-handed': 'echo-handed',
    'epoll-udp': 'udp',
    'epoll-push': 'push',
}
MANY = (1000, 2)
FEW_RELEASED, MANY_RELEASED = 500, 2000
FEW_IDLE, MANY_IDLE = 100, 10000


# ---- runs ----

def environmentOf(engine):
    """'': the engine that the library chooses, which is io_uring."""
    return {**os.environ, 'FASTSOCKET_ENGINE': engine}


def told(command, engine=''):
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                            env=environmentOf(engine), timeout=LIMIT)
    if command[0] == calls and result.returncode == CANNOT_TRACE:
        return told(command[1:], engine)
    assert result.returncode == 0, f"{command}: {result.returncode}\n{result.stderr}"
    return result.stdout


def partsOf(text):
    """{part: {name: number}} of what a program printed, with the sum of its system calls, and how
    many there were of each kind."""
    parts = {}
    for line in text.splitlines():
        word, *rest = line.split()
        if word == 'part':
            part = parts[rest[0]] = {}
            part.update(zip(rest[1::2], map(int, rest[2::2])))
        elif word == 'calls':
            part['calls'] = sum(map(int, rest[1::2]))
        elif word == 'kinds':
            part.update(zip(rest[::2], map(int, rest[1::2])))
    return parts


@functools.cache
def traffic(name, engine=''):
    """The parts of a work. Of page faults the system may add some, and takes none away."""
    tries = []
    while len(tries) < TRIES and not (tries and tries[-1]['twice']['faults'] == 0):
        tries.append(partsOf(told([calls, work, name, *map(str, WORKS[name])], engine)))
    return min(tries, key=lambda parts: parts['twice']['faults'])


@functools.cache
def underCallgrind(*command, engine=''):
    if callgrind.reasonAgainst(valgrind):
        raise tap.Skip(callgrind.reasonAgainst(valgrind))
    return callgrind.run(valgrind, pathlib.Path(library).resolve(), command, environmentOf(engine))


def instructionsOf(name, connections, rounds, engine=''):
    """Of a message: start, warming up, and a part's own cost cancel out."""
    costs, text = underCallgrind(work, name, str(connections), str(rounds), engine=engine)
    parts = partsOf(text)
    _, _, once, twice = costs
    return (twice - once) / (parts['twice']['messages'] - parts['once']['messages'])


def instructionsOfSockets(count):
    """(making one, releasing one) of so many"""
    _, make, _, release = underCallgrind(sockets, 'release', str(count))[0]
    return make / count, release / count


@functools.cache
def callsOfSockets(way, count, engine=''):
    """{part: system calls of one} of so many"""
    parts = partsOf(told([calls, sockets, way, str(count)], engine))
    if not all('calls' in part for part in parts.values()):
        raise tap.Skip("no program can be traced here")
    return {name: part['calls'] / count for name, part in parts.items()}


@functools.cache
def idle(count, engine=''):
    """(bytes of a socket just made, of one that has echoed)"""
    part = partsOf(told([sockets, 'idle', str(count)], engine))['idle']
    return part['made'] / part['count'], part['echoed'] / part['count']


# ---- what is measured ----

def perMessage(work, *names, engine=''):
    part = traffic(work, engine)['twice']
    return sum(part[name] for name in names) / part['messages']


def perTurn(work, kind='calls', of='turns', engine=''):
    part = traffic(work, engine)['twice']
    if 'calls' not in part:
        raise tap.Skip("no program can be traced here")
    return part[kind] / part[of]


def flat(many, few):
    return max(many / few, few / many)


def measuresOnEpoll():
    """The same on epoll: calls by kind, a turn or a message, since most are a message's."""
    engine = 'epoll'
    result = {
        'instructions/epoll-turn': lambda: instructionsOf('echo-copied', 1, 50, engine),
        'calls/epoll-accept': lambda: callsOfSockets('accept', FEW_RELEASED, engine)['accept'],
        'growth/epoll-echo': lambda: instructionsOf('echo-copied', *MANY, engine) /
        instructionsOf('echo-copied', *WORKS['echo-copied'], engine),
        'growth/epoll-idle-made': lambda: idle(MANY_IDLE, engine)[0] / idle(FEW_IDLE, engine)[0],
        'growth/epoll-idle-echoed': lambda: idle(MANY_IDLE, engine)[1] / idle(FEW_IDLE, engine)[1],
        'bytes/epoll-idle-made': lambda: idle(MANY_IDLE, engine)[0],
        'bytes/epoll-idle-echoed': lambda: idle(MANY_IDLE, engine)[1],
    }
    for name, work in WORKS_ON_EPOLL.items():
        count = functools.partial(perTurn, work, of='messages', engine=engine)
        message = functools.partial(perMessage, work, engine=engine)
        result.update({
            f'instructions/{name}': functools.partial(instructionsOf, work, *WORKS[work], engine),
            f'calls/{name}': count,
            f'waits/{name}': functools.partial(perTurn, work, 'waits', engine=engine),
            f'receives/{name}': functools.partial(count, 'receives'),
            f'sends/{name}': functools.partial(count, 'sends'),
            f'turns/{name}': functools.partial(message, 'turns'),
            f'allocations/{name}': functools.partial(message, 'allocations', 'mappings'),
            f'faults/{name}': functools.partial(message, 'faults'),
        })
    return result


def measures():
    """{name: function that measures it}, the names of the bounds."""
    result = {
        **{f'instructions/{name}': functools.partial(instructionsOf, name, *WORKS[name])
           for name in ('echo-copied', 'echo-handed', 'echo-operation', 'udp', 'push')},
        'instructions/turn': lambda: instructionsOf('echo-copied', 1, 50),
        'instructions/make': lambda: instructionsOfSockets(MANY_RELEASED)[0],
        'instructions/release': lambda: instructionsOfSockets(MANY_RELEASED)[1],
        'calls/accept': lambda: callsOfSockets('accept', FEW_RELEASED)['accept'],
        'calls/make': lambda: callsOfSockets('release', FEW_RELEASED)['make'],
        'calls/release': lambda: callsOfSockets('release', FEW_RELEASED)['release'],
        'growth/echo-copied': lambda: instructionsOf('echo-copied', *MANY) /
        instructionsOf('echo-copied', *WORKS['echo-copied']),
        'growth/echo-handed': lambda: instructionsOf('echo-handed', *MANY) /
        instructionsOf('echo-handed', *WORKS['echo-handed']),
        'growth/make': lambda: instructionsOfSockets(MANY_RELEASED)[0] /
        instructionsOfSockets(FEW_RELEASED)[0],
        'growth/release': lambda: instructionsOfSockets(MANY_RELEASED)[1] /
        instructionsOfSockets(FEW_RELEASED)[1],
        'growth/idle-made': lambda: idle(MANY_IDLE)[0] / idle(FEW_IDLE)[0],
        'growth/idle-echoed': lambda: idle(MANY_IDLE)[1] / idle(FEW_IDLE)[1],
        'bytes/idle-made': lambda: idle(MANY_IDLE)[0],
        'bytes/idle-echoed': lambda: idle(MANY_IDLE)[1],
        'pages/echo-16k': lambda: traffic('echo-16k')['warm']['faults'],
    }
    for name in WORKS:
        result.update({
            f'calls/{name}': functools.partial(perTurn, name),
            f'turns/{name}': functools.partial(perMessage, name, 'turns'),
            f'entries/{name}': functools.partial(perMessage, name, 'submissions'),
            f'allocations/{name}': functools.partial(perMessage, name, 'allocations', 'mappings'),
            f'faults/{name}': functools.partial(perMessage, name, 'faults'),
        })
    result.update(measuresOnEpoll())
    return result


# ---- bounds ----

ROW = re.compile(r'(\S+) *\| *([\d.]+)(!?) *\| *(\S+) *\| *(.+)')


def readBounds():
    """({name: (bound, as measured, comment)}, the compiler they are of)"""
    text = table.read_text()
    rows = [ROW.fullmatch(line) for line in text.splitlines()]
    return ({row[1]: (float(row[2]), float(row[4]), row[5]) for row in rows if row},
            re.search(r'^# compiler: (.*)$', text, re.M)[1])


def boundOf(name, value):
    """What a bound becomes by what is measured: rounded up."""
    bound = value * MARGINS.get(name.split('/')[0], 1)
    if bound == 0:
        return '0'
    scale = 10.0 ** (DIGITS - 1 - math.floor(math.log10(bound)))
    return f"{math.ceil(bound * scale - 1e-6) / scale:.{DIGITS}g}"


def remeasured():
    """The text of the table, with today's counts."""
    functions = measures()

    def row(line):
        match = ROW.fullmatch(line)
        if not match:
            return line
        name, old, chosen, _, comment = match.groups()
        value = functions[name]()
        bound = f'{old}!' if chosen else boundOf(name, value)
        return f"{name:25} | {bound:>9} | {value:9.6g} | {comment}"
    return '\n'.join(map(row, table.read_text().splitlines())) + '\n'


def leastOf(name, measured, theirs):
    """With how much the row is still true. theirs: the compiler is that of the bounds."""
    if name.split('/')[0] not in OF_COMPILER:
        return measured * LEAST
    return measured * LEAST_OF_COMPILER if theirs else 0


def judge(name, value, row, theirs):
    """A count is not more than its bound, and not far below what the bound was set by."""
    bound, measured, comment = row
    if name.startswith('instructions/') and not theirs:
        bound *= OTHER_COMPILER
    assert value <= bound + 1e-9, f"{value:g} is more than {bound:g}: {comment}"
    assert value >= leastOf(name, measured, theirs) - 1e-9, \
        f"{value:g} is far below {measured:g}, by which its bound was set, so that this is too " \
        f"wide (after work that lowers a count, ninja counts-bounds): {comment}"


def check(name, measure, row, theirs):
    if '/epoll-' not in name:
        tap.needRing()
    value = measure()
    print(f"# {name}: {value:g} of {row[0]:g}, {row[1]:g} when it was set")
    judge(name, value, row, theirs)


def checkTable(rows, names):
    """Every count has a bound, which is at most 5 % above what was measured."""
    assert rows.keys() == names, f"bounds and counts differ by {rows.keys() ^ names}"
    wide = {name: f"{bound:g} for {measured:g}" for name, (bound, measured, _) in rows.items()
            if bound > measured * MARGIN * (1 + 2 * 10 ** (1 - DIGITS))}  # both are rounded
    assert not wide, f"bounds that are more than {MARGIN} of what was measured: {wide}"


# ---- the check of the check ----

# name: (a count, (its bound, as measured), what it is now, with the bounds' compiler)
ACCEPTED = {
    'same': ('calls/accept', (4.05, 4.002), 4.002, True),
    'little': ('calls/release', (4.2, 4.102), 4.05, True),
    'nothing': ('allocations/push', (0, 0), 0, True),
    'fewInstructions': ('instructions/turn', (2129.4, 2028), 1850, True),
    'otherInstructions': ('instructions/turn', (2129.4, 2028), 2700, False),
    'fewOtherInstructions': ('instructions/turn', (2129.4, 2028), 1000, False),
    'otherGrowth': ('growth/epoll-echo', (1.41811, 1.35058), 0.992821, False),
}
# The same, and what the fault must say.
PLANTS = {
    'oneCallMore': ('calls/accept', (4.05, 4.002), 5.002, True, 'is more than 4.05'),
    'oneCallLess': ('calls/accept', (5.05, 5.004), 4.002, True, 'is far below 5.004'),
    'oneCallLessElsewhere': ('calls/accept', (5.05, 5.004), 4.002, False, 'is far below 5.004'),
    'halfTheTurns': ('turns/udp', (0.0492188, 0.046875), 0.0234375, False, 'is far below'),
    'noAllocation': ('allocations/echo-operation', (1, 1), 0, False, 'is far below'),
    'fewerInstructions': ('instructions/turn', (2129.4, 2028), 1800, True, 'is far below'),
    'moreInstructions': ('instructions/turn', (2129.4, 2028), 2700, True, 'is more than'),
    'lessGrowth': ('growth/epoll-echo', (1.41811, 1.35058), 0.992821, True, 'is far below'),
    'fewerBytes': ('bytes/idle-made', (260.4, 248), 200, True, 'is far below'),
    'fewerPages': ('pages/echo-16k', (875.7, 834), 700, True, 'is far below'),
}


def faultOf(name, numbers, value, theirs):
    try:
        judge(name, value, (*numbers, "what it is"), theirs)
    except AssertionError as fault:
        return str(fault)
    return None


def checkAccepts(plant):
    assert faultOf(*plant) is None, faultOf(*plant)


def checkRefuses(*plant, said):
    fault = faultOf(*plant)
    assert fault is not None and said in fault, fault


def casesOfTheCheck():
    yield from ((f'counts/accepts/{name}', functools.partial(checkAccepts, plant))
                for name, plant in ACCEPTED.items())
    yield from ((f'counts/refuses/{name}', functools.partial(checkRefuses, *plant, said=said))
                for name, (*plant, said) in PLANTS.items())


def main():
    os.environ.pop('MALLOC_PERTURB_', None)  # of meson's, which touches memory ahead of its use
    if sanitize != 'none':
        print("1..0 # SKIP a sanitizer is built in, and does more than the library")
        sys.exit(0)
    if argument == '--table':
        print(remeasured(), end='')
        return
    if argument == '--write':
        table.write_text(remeasured())
        return
    rows, theirs = readBounds()
    functions = measures()
    cases = [('counts/table', lambda: checkTable(rows, functions.keys())), *casesOfTheCheck()]
    cases += [(f'counts/{name}', functools.partial(check, name, function, rows[name],
                                                   compiler == theirs))
              for name, function in functions.items() if name in rows]
    tap.runCases([case for case in cases if argument in case[0]])


main()
