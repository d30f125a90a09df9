#!/usr/bin/env python3
"""
So many inputs that libFuzzer makes of the corpus find nothing: the same ones each time.

usage: fuzz-test.py SOURCE_ROOT DIRECTORY

DIRECTORY has the programs, which are built there.
"""

import pathlib
import sys
import tempfile

import fuzzing
from fuzzing import tap

RUNS = {'calls': 4000, 'control': 20000, 'address': 20000}  # in some seconds of a processor each

root, directory = map(pathlib.Path, sys.argv[1:3])


def attempt(name, findings):
    with tempfile.TemporaryDirectory(prefix='fastsocket-fuzz-') as fresh:
        run = fuzzing.Run(directory, name, [fresh, root / 'test' / 'fuzz' / 'corpus' / name],
                          findings, f'-runs={RUNS[name]}', '-seed=1')
    edges, features = run.coverage
    print(f"# {name}: {run.number('number_of_executed_units')} runs, "
          f"{run.number('average_exec_per_sec')} a second, {edges} edges, {features} features")
    assert run.status == 0, run.report()
    assert run.number('number_of_executed_units') >= RUNS[name], run.report()


def main():
    with tempfile.TemporaryDirectory(prefix='fastsocket-fuzz-') as scratch:
        reason = fuzzing.reasonAgainst(pathlib.Path(scratch))
    if reason:
        print(f"1..0 # SKIP {reason}")
        return
    fuzzing.build(root, directory)
    tap.runCases([(f'short/{name}', lambda name=name: attempt(name, directory / 'findings'))
                  for name in fuzzing.TARGETS])


main()
