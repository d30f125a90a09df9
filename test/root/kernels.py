#!/usr/bin/env python3
"""
Reads what guests of kernels.sh have said: says of one kernel what came of it, with status 1 if
something is wrong, or writes the tables of all kernels into a README, between its marks.

usage: kernels.py RESULT
       kernels.py FOLDER README       FOLDER has results/ and archives
"""

import collections
import pathlib
import re
import sys

BEGIN = '<!-- Written by test/root/kernels.sh. -->'
END = '<!-- As far as here. -->'
SKIPPED = 77
PROBE = 'tools/fastsocket-probe'
LETTERS = {'io_uring': 'u', 'epoll': 'e'}


class Row:
    """What one program of a guest has said."""

    def __init__(self, line):
        words = line.split()
        self.chosen, self.user, self.load, self.beside = words[2:6]
        self.command = ' '.join(words[7:])
        self.plan, self.passed, self.status, self.seconds = False, 0, None, 0
        self.failed, self.skipped, self.told, self.kernel, self.last = [], [], [], [], ''
        self.ended = self.broken = False
        self.right = 0 # the status that it should end with

    @property
    def name(self):
        name = re.sub(r'^test/|(-fault)?-test(?= |$)', '', self.command)
        marks = [mark for mark, holds in (('ordinary user', self.user != 'root'),
                                          ('all its load', self.load == 'long'),
                                          ('beside busy loops', self.beside == 'busy')) if holds]
        return name + (f" ({', '.join(marks)})" if marks else '')

    def read(self, line):
        if match := re.match(r'ok \d+ - (\S+) # SKIP (.*)', line):
            self.skipped.append(match.groups())
        elif re.match(r'ok \d+ - ', line):
            self.passed += 1
        elif match := re.match(r'not ok \d+ - (\S+)', line):
            self.failed.append([match[1], ''])
        elif match := re.match(r'1\.\.(\d+)(?: # SKIP (.*))?', line):
            self.plan = True
            if match[2]:
                self.skipped.append(('all', match[2]))
        elif line.startswith('# ') and self.failed and not self.failed[-1][1]:
            self.failed[-1][1] = line[2:]
        elif line.startswith('# '):
            self.told.append(line[2:])
        elif line.startswith('Bail out!'):
            self.failed.append(['all', line])
        elif line.strip():
            self.last = line.strip()

    def finish(self, status, seconds):
        self.status, self.seconds = status, seconds
        if self.plan or self.ended:
            return
        if status == self.right:
            self.passed += 1
        elif status == SKIPPED:
            self.skipped.append(('all', self.last))

    def faults(self):
        yield from (f'{case}: {message}' for case, message in self.failed)
        if self.ended:
            yield 'ended at its bound'
        elif self.broken:
            yield 'took the guest with it'
        elif self.status not in (self.right, SKIPPED) and not self.failed:
            yield f'status {self.status}: {self.last}'
        elif not (self.passed or self.failed or self.skipped):
            yield 'nothing of it was run'
        yield from (f'the kernel said: {line}' for line in self.kernel)


class Result:
    """What all guests of one kernel have said: files KERNEL.own.result and KERNEL.epoll.result."""

    def __init__(self, *paths):
        self.kernel = kernelOf(paths[0])
        self.run, self.modules, self.out, self.rows, self.start = {}, True, {}, [], []
        for path in paths:
            self.chosen = path.name.removesuffix('.result').rpartition('.')[2]
            for line in path.read_text(errors='replace').split('\n'):
                self.read(line)

    def read(self, line):
        row = self.rows[-1] if self.rows else None
        word, _, rest = line.partition(' ')
        if word == 'RUN':
            self.run[self.engine(self.chosen)] = rest
        elif word == 'LEFT-OUT':
            program, _, reason = rest.partition('|')
            self.out[program] = reason
        elif word == 'NO-MODULES':
            self.modules = False
        elif word == 'ROW':
            self.rows.append(Row(line))
            # The probe's status is about io_uring, whatever engine programs then get.
            if self.rows[-1].command == PROBE and self.isOld():
                self.rows[-1].right = 1
        elif word == 'BROKEN':
            if row and row.status is None:
                row.broken = True
            else:
                self.start.append(f"{self.engine(self.chosen)}: "
                                  + ('a guest ended between programs' if row else 'did not boot'))
        elif row is None or word in ('TICK', 'STUCK', 'END'):
            pass
        elif word == 'KERNEL':
            row.kernel.append(rest)
        elif word == 'ENDED':
            row.ended = True
        elif match := re.match(r'STATUS (\d+) SECONDS (\d+)', line):
            row.finish(int(match[1]), int(match[2]))
        else:
            row.read(line)

    def isOld(self):
        """Before Linux 6.0 the library chooses epoll itself."""
        return int(self.kernel.split('.')[0]) < 6

    def engine(self, chosen):
        return 'epoll' if self.isOld() or chosen == 'epoll' else 'io_uring'

    def engines(self):
        return [name for name in LETTERS if name in self.run]

    def rowsOn(self, engine):
        return [row for row in self.rows if self.engine(row.chosen) == engine]

    def faults(self):
        yield from self.start
        for row in self.rows:
            yield from (f'{self.engine(row.chosen)}, {row.name}: {text}' for text in row.faults())


def kernelOf(path):
    return path.name.removesuffix('.result').rpartition('.')[0]


def order(kernel):
    return [int(number) for number in re.findall(r'\d+', kernel)]


def resultsOf(folder):
    """Of all kernels, the newest first."""
    paths = collections.defaultdict(list)
    for path in sorted(folder.glob('*.result'), reverse=True):
        paths[kernelOf(path)].append(path)
    return [Result(*paths[kernel]) for kernel in sorted(paths, key=order, reverse=True)]


def table(heads, rows):
    yield '| ' + ' | '.join(heads) + ' |'
    yield '| ' + ' | '.join('---' for _ in heads) + ' |'
    for row in rows:
        yield '| ' + ' | '.join(str(cell).replace('|', '\\|') for cell in row) + ' |'


def total(rows, what):
    return sum(len(value) if isinstance(value := getattr(row, what), list) else value
               for row in rows)


def summary(results):
    for result in results:
        for engine in result.engines():
            rows = result.rowsOn(engine)
            faults = sum(1 for row in rows for _ in row.faults()) \
                + sum(1 for text in result.start if text.startswith(engine))
            yield [result.kernel, engine, len(rows), total(rows, 'passed'), total(rows, 'failed'),
                   total(rows, 'skipped'), faults or 'nothing', total(rows, 'seconds'),
                   result.run[engine]]


SUMMARY = ['kernel', 'engine', 'programs', 'cases passed', 'failed', 'skipped', 'wrong', 'seconds',
           'run']


def cell(result, name):
    """Of one program on one kernel: cases passed, −skipped, !failed, and seconds, each engine."""
    counts, seconds = [], []
    for engine in LETTERS:
        rows = [row for row in result.rowsOn(engine) if row.name == name]
        if not rows:
            counts.append('·')
            continue
        row = rows[-1]
        count = str(row.passed)
        count += f'−{len(row.skipped)}' if row.skipped else ''
        count += f'!{len(row.failed)}' if row.failed else ''
        count += ' ended' if row.ended else ' broken' if row.broken else ''
        counts.append(count)
        seconds.append(str(row.seconds))
    return ' / '.join(counts) + (f", {' / '.join(seconds)} s" if seconds else '')


def programs(results):
    names = list(dict.fromkeys(row.name for result in results for row in result.rows))
    for name in names:
        yield [f'`{name}`'] + [cell(result, name) for result in results]


def place(places, results):
    """«6.12 u e, 5.10 e», or in words."""
    every = {(result.kernel, engine) for result in results for engine in result.engines()}
    for words, meant in (('all', every),
                         ('all, on io_uring', {pair for pair in every if pair[1] == 'io_uring'}),
                         ('all, on epoll', {pair for pair in every if pair[1] == 'epoll'})):
        if places == meant:
            return words
    kernels = collections.defaultdict(list)
    for result in results:
        for engine, letter in LETTERS.items():
            if (result.kernel, engine) in places:
                kernels[result.kernel].append(letter)
    return ', '.join(f"{kernel} {' '.join(letters)}" for kernel, letters in kernels.items())


def skips(results):
    """Those of one reason and on the same kernels and engines are one row."""
    places = collections.defaultdict(set)
    for result in results:
        for row in result.rows:
            for case, reason in row.skipped:
                where = result.kernel, result.engine(row.chosen)
                places[reason, f'{row.name}: {case}'].add(where)
    groups = collections.defaultdict(list)
    for (reason, case), where in places.items():
        groups[reason, place(where, results)].append(case)
    for (reason, where), cases in sorted(groups.items()):
        programs = collections.defaultdict(list)
        for case in cases:
            name, _, title = case.partition(': ')
            programs[name].append(title)
        yield [reason, where, '; '.join(f"`{name}`: {', '.join(titles)}"
                                        for name, titles in programs.items())]


def text(results, archives):
    yield BEGIN
    yield ''
    yield from table(SUMMARY, summary(results))
    wrong = [f'* {result.kernel}: {fault}' for result in results for fault in result.faults()]
    yield ''
    yield from ['What was wrong:', '', *wrong] if wrong else ['Nothing was wrong.']
    missing = [f'{name}' for name, state in archives if state != 'reached']
    yield ''
    yield f"Archives asked: {', '.join(name for name, _ in archives)}; " \
          + (f"not reached: {', '.join(missing)}." if missing else 'all were reached.')
    bare = [result.kernel for result in results if not result.modules]
    if bare:
        yield f"The archives no longer have the modules of {', '.join(bare)}."
    yield ''
    yield 'Of each program the cases that passed on io_uring / epoll, −skipped, !failed, and how ' \
          'many seconds it took; · where it did not run. Those of `unit` that have no ring of ' \
          "the library's choice run once."
    yield ''
    yield from table(['program', *(result.kernel for result in results)], programs(results))
    yield ''
    yield 'What was skipped, and why (u is io_uring, e epoll):'
    yield ''
    yield from table(['why', 'where', 'cases'], skips(results))
    out = collections.defaultdict(list)
    for name, why in {name: why for result in results for name, why in result.out.items()}.items():
        out[why].append(f'`{name}`')
    yield ''
    yield 'What is left out: ' \
          + '; '.join(f"{', '.join(names)} ({why})" for why, names in out.items()) + '.'
    yield ''
    yield END


def writeReadme(folder, readme):
    results = resultsOf(folder / 'results')
    archives = [line.split() for line in (folder / 'archives').read_text().splitlines()]
    old = readme.read_text()
    before, mark, rest = old.partition(BEGIN)
    assert mark and END in rest, f'{readme} has no marks'
    readme.write_text(before + '\n'.join(text(results, archives)) + rest.partition(END)[2])


def main():
    path = pathlib.Path(sys.argv[1])
    if len(sys.argv) > 2:
        writeReadme(path, pathlib.Path(sys.argv[2]))
        return
    result = Result(path)
    faults = list(result.faults())
    print('\n'.join(table(SUMMARY, summary([result]))))
    for fault in faults:
        print(f'    {fault}')
    sys.exit(1 if faults or not result.rows else 0)


if __name__ == '__main__':
    main()
