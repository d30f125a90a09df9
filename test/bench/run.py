#!/usr/bin/env python3
"""
Runs rows of the bench: all contenders of a row in each round, in an order of chance, each with a
fresh server. What counts is a contender's ratio to the row's base in the same round; the table has
the median of these ratios and its 95 % interval.

Exit status 1: a server died or its data was wrong; no time is ever a failure.
"""

import argparse
import fnmatch
import importlib
import json
import pathlib
import random
import re
import shlex
import shutil
import sys
import time

import circumstances
import contest
import spread
import sweep
import table

MODULES = ['rows', 'rows_apps']  # each has a list ROWS; those that aren't there have none
SHORT = 110  # seconds of the short form: a row that has used up its share has no more rounds


def allRows():
    rows = []
    for name in MODULES:
        if (pathlib.Path(__file__).parent / f'{name}.py').exists():
            rows += importlib.import_module(name).ROWS
    return rows


def exists(contender, binaries):
    """A contender whose library isn't installed was not built."""
    program = shlex.split(contender.command.format_map(Anything(bin=binaries)))[0]
    return shutil.which(program) is not None


class Anything(dict):
    def __missing__(self, key):
        return f'{{{key}}}'


def picked(row, arguments):
    """The contenders to run, the bases of the others among them."""
    there = [each for each in row.contenders if exists(each, arguments.bin)]
    wanted = [each for each in there if re.search(arguments.only, each.name)]
    bases = {row.base} | {each.base for each in wanted}
    return [each for each in there if each in wanted or each.name in bases]


def runRow(row, arguments, share):
    contenders = picked(row, arguments)
    rounds, failures = [], []
    end = time.monotonic() + share
    while len(rounds) < arguments.rounds and (not rounds or time.monotonic() < end):
        results = {}
        for contender in random.sample(contenders, len(contenders)):
            try:
                results[contender.name] = contest.runOnce(row, contender, arguments.bin,
                                                          arguments.seconds, arguments.warm)
            except contest.Failed as failure:
                failures.append(f'{row.name}: {failure}')
                print(failures[-1], file=sys.stderr)
        rounds.append(results)
    return {
        'name': row.name, 'title': row.title, 'figure': row.figure, 'unit': row.unit,
        'moreIsBetter': row.moreIsBetter, 'target': row.target, 'bound': row.bound,
        'failures': failures,
        'base': {each.name: each.base or row.base for each in contenders},
        'rounds': rounds,
        'ratios': ratiosOf(row, contenders, rounds),
    }


def ratiosOf(row, contenders, rounds):
    ratios = {}
    for contender in contenders:
        values = spread.ratiosOf(rounds, contender.name, contender.base or row.base, row.figure)
        if values:
            ratios[contender.name] = spread.interval(values)
    return ratios


def readArguments():
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add('--bin', default='build/test/bench', help='where the programs are; %(default)s')
    add('--rounds', type=int, help='of each row; 7')
    add('--seconds', type=float, help='that each contender of a round is measured; 0.5')
    add('--warm', type=float, default=0.1, help='seconds before that; %(default)s')
    add('--short', action='store_true', help='some rows, 3 rounds of 0.2 seconds, while time lasts')
    add('--only', default='', help='contenders, a regular expression; the base is always there')
    add('--out', help='a file for the results, JSON')
    add('--table', help='a file for the table, markdown')
    add('--sweep', action='store_true', help='the grid of number and length of buffers instead')
    add('--list', action='store_true', help='tells the rows')
    add('rows', nargs='*', metavar='ROW', help="a row's name, or a pattern as in fnmatch; all")
    arguments = parser.parse_args()
    arguments.rounds = arguments.rounds or (3 if arguments.short else 7)
    arguments.seconds = arguments.seconds or (0.2 if arguments.short else 0.5)
    return arguments


def chosen(rows, arguments):
    def wanted(row):
        if arguments.rows:
            return any(fnmatch.fnmatchcase(row.name, pattern) for pattern in arguments.rows)
        return row.short or not arguments.short

    def runs(row):
        there = not row.needs or shutil.which(row.needs)
        if not there:
            print(f"left out: {row.name}, since {row.needs} is missing", file=sys.stderr)
        return there
    return [row for row in rows if wanted(row) and runs(row)]


def comeFirst():
    """Other work of the machine waits, where we may say so."""
    try:
        pathlib.Path('/proc/self/autogroup').write_text('-20')
    except OSError:
        pass


def write(path, text):
    if path:
        pathlib.Path(path).write_text(text)


def main():
    arguments = readArguments()
    rows = chosen(allRows(), arguments)
    if arguments.list:
        width = max(len(row.name) for row in rows) + 2
        print('\n'.join(f'{row.name:{width}}{row.title}' for row in rows))
        return 0
    if not pathlib.Path(arguments.bin).is_dir():
        sys.exit(f"{arguments.bin}: no such folder; build first (ninja -C build), or say --bin")
    comeFirst()
    results = {**circumstances.now(arguments.rounds, arguments.seconds), 'rows': []}
    if arguments.sweep:
        results['sweep'] = sweep.run(arguments)
        rows = []
    share = SHORT / max(len(rows), 1) if arguments.short else float('inf')
    print(table.heading(results), flush=True)
    for row in rows:
        results['rows'].append(runRow(row, arguments, share))
        print(table.ofRow(results['rows'][-1]), flush=True)
        write(arguments.out, json.dumps(results, indent=1))
    write(arguments.out, json.dumps(results, indent=1))
    write(arguments.table, table.whole(results))
    return 1 if any(row['failures'] for row in results['rows']) else 0


sys.exit(main())
