#!/usr/bin/env python3
"""
What the simulated kernel's program does with a schedule that is wrong: its seed is printed, with a
line that replays it exactly, and it is made short. Wrong is here what --blame calls so.

usage: shrink-test.py SIMULATION_TEST
"""

import pathlib
import re
import subprocess
import sys

sys.path.append(str(pathlib.Path(__file__).parents[1] / 'house'))
import tap  # noqa: E402

program = sys.argv[1]
BLAME = ['--blame', 'short,errno']
FAILURE = re.compile(r'# seed (\d+), step (\d+): (.*)')
COMMAND = re.compile(r'# simulation-test (.*)')
PATIENCE = 250  # seconds; bounds a hang only


def told(arguments):
    """(exit status, lines)"""
    result = subprocess.run([program, *arguments], stdin=subprocess.DEVNULL, text=True,
                            stdout=subprocess.PIPE, timeout=PATIENCE)
    return result.returncode, result.stdout.splitlines()


def only(pattern, lines):
    """What matches, of each line that does."""
    return [found for found in map(pattern.fullmatch, lines) if found]


def commandsIn(lines):
    return [found.group(1).split() for found in only(COMMAND, lines)]


def listIn(command, name):
    return command[command.index(name) + 1].split(',') if name in command else []


def find():
    status, lines = told([*BLAME, '--schedules', '1000', '--shrink'])
    assert status == 1, status
    failures = only(FAILURE, lines)
    assert len(failures) == 1, failures
    return failures[0], commandsIn(lines)


failure, commands = find()


def isTold():
    assert failure.group(3) == 'errno behind short', failure.group(0)
    assert len(commands) == 2, commands  # as it was, and short
    for command in commands:
        assert listIn(command, '--seed') == [failure.group(1)], command


def replaysExactly():
    for command in commands:
        first, second = (told([*BLAME, *command]) for _ in range(2))
        assert first[0] == 1 and first[1][:-3] == second[1][:-3]  # CPU time stands in the last ones
        found = only(FAILURE, first[1])[0]
        assert found.group(3) == failure.group(3), found.group(0)
    assert only(FAILURE, told([*BLAME, *commands[0]])[1])[0].group(0) == failure.group(0)


def isRightWithoutBlame():
    for command in commands:
        status, lines = told(command)
        assert not only(FAILURE, lines), lines
        assert status == 0, lines


def isShort():
    """A few steps of forty: what the faults need, and what that needs."""
    whole, short = commands
    steps = int(listIn(short, '--steps')[0])
    left = listIn(short, '--without')
    assert not listIn(whole, '--without') and steps - len(left) <= 8, short
    verbose = told([*BLAME, *short])[1]
    assert any('WRONG: errno behind short' in line for line in verbose)


def needsAllThatIsLeft():
    """Without any of its steps it is right."""
    short = commands[1]
    left = listIn(short, '--without')
    for step in range(1, int(listIn(short, '--steps')[0]) + 1):
        if str(step) not in left:
            place = short.index('--without') + 1
            fewer = [*short[:place], ','.join([*left, str(step)]), *short[place + 1:]]
            assert not only(FAILURE, told([*BLAME, *fewer])[1]), step


tap.runCases([(f'shrink/{case.__name__}', case) for case in (
    isTold, replaysExactly, isRightWithoutBlame, isShort, needsAllThatIsLeft)])
