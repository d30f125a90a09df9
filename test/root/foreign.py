#!/usr/bin/env python3
"""
Runs the test programs of a build for another processor, one after the other, and tells what failed.

usage: foreign.py FAULTS WRAPPER FOLDER...

FOLDERs have the programs, WRAPPER runs one of them; it may be empty. FAULTS is a file of cases that
fail by the WRAPPER's fault, one a line: the name that is printed here (a pattern as in fnmatch),
then the reason; they count only where there is a WRAPPER. A program that has not ended after
FOREIGN_PATIENCE seconds (of the environment; 600) is killed, with all that it has started, and told
with its last case. The last line has the counts; exit status 0: no other case has failed, and every
program has ended by itself.
"""

import fnmatch
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

PATIENCE = float(os.environ.get('FOREIGN_PATIENCE', 600))  # an emulated processor is slow
CASE = re.compile(r'^(ok|not ok) \d+ - ([^\s#]+)[^#\n]*(# SKIP)?', re.M)


def known(path):
    lines = [line.split(None, 1) for line in pathlib.Path(path).read_text().splitlines()
             if line.strip() and not line.startswith('#')]
    assert all(len(line) == 2 for line in lines), "a fault without a reason"
    return [pattern for pattern, _ in lines]


def descendants(process):
    """It, and all that it has started that is still there: each case has a group of its own."""
    parents = {}
    for entry in pathlib.Path('/proc').glob('[0-9]*/stat'):
        try:
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(')')[2].split()[1])
        except OSError:
            pass  # gone meanwhile
    found = [process]
    for parent in found:
        found += [child for child, its in parents.items() if its == parent]
    return found


def end(process):
    for child in descendants(process.pid):
        try:
            os.kill(child, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.wait()


def run(program, wrapper):
    """The (name, 'ok', 'skip' or 'not ok') of each case, and all that was told."""
    with tempfile.TemporaryDirectory() as directory, \
            tempfile.TemporaryFile('w+', errors='replace') as output:
        # no pipe: what a killed program has left behind may keep it open
        process = subprocess.Popen([*wrapper, program], stdin=subprocess.DEVNULL, stdout=output,
                                   stderr=output, env=dict(os.environ, TMPDIR=directory))
        try:
            status = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            end(process)
            status = f'none after {PATIENCE:.0f} s: it hangs'
        output.seek(0)
        text = output.read()
        # a program that was killed has left its results so far
        text += ''.join(path.read_text(errors='replace')
                        for path in pathlib.Path(directory).glob('fastsocket-test-*'))
    cases = [(f"{program.name.removesuffix('-test')}/{case}",
              'not ok' if kind == 'not ok' else 'skip' if skip else 'ok')
             for kind, case, skip in CASE.findall(text)]
    planned = re.search(r'^1\.\.(\d+)$', text, re.M)
    if planned is None or len(cases) != int(planned[1]):
        last = cases[-1][0] if cases else 'none'
        cases.append((f"{program.name.removesuffix('-test')}/end", 'not ok'))
        text += f"\nexit status {status}; {len(cases) - 1} cases, the last one {last}"
    return cases, text


def judge(program, wrapper, faults, counts):
    start = time.monotonic()
    cases, text = run(program, wrapper)
    told = dict.fromkeys(counts, 0)
    for case, kind in cases:
        excused = wrapper and any(fnmatch.fnmatch(case, pattern) for pattern in faults)
        kind = 'its fault' if kind == 'not ok' and excused else kind
        told[kind] += 1
        if kind in ('not ok', 'its fault'):
            print(f"{kind}: {case}")
    if told['not ok'] or told['its fault']:
        print('\n'.join(line for line in text.splitlines() if not line.startswith('ok')))
    for kind, count in told.items():
        counts[kind] += count
    print(f"{program.name} after {time.monotonic() - start:.1f} s: {words(told)}", flush=True)


def words(counts):
    return ', '.join(f"{number} {kind}" for kind, number in counts.items() if number)


def main():
    faults, wrapper = known(sys.argv[1]), sys.argv[2].split()
    counts = dict.fromkeys(('ok', 'skip', 'not ok', 'its fault'), 0)
    for folder in sys.argv[3:]:
        for program in sorted(pathlib.Path(folder).glob('*-test')):
            judge(program, wrapper, faults, counts)
    print(words(counts) or 'no program')
    sys.exit(counts['not ok'] > 0 or counts['ok'] == 0)


main()
