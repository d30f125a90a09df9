#!/usr/bin/env python3
"""
Fuzzing for as long as somebody wants, and what is kept of it.

usage: fuzz.py SOURCE_ROOT DIRECTORY long [TARGET...]
       fuzz.py SOURCE_ROOT DIRECTORY corpus [TARGET...]

long    FUZZ_SECONDS in all, by the clock, 1800 if the environment says nothing; what reaches
        something new is kept in DIRECTORY/grown, what ends a run in DIRECTORY/findings
corpus  of that, and of the corpus, what reaches all that they do, as test/fuzz/corpus
"""

import os
import pathlib
import shutil
import sys
import tempfile

import fuzzing

MOST_BYTES = 300 << 10  # of a corpus

root, directory, action = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
names = sys.argv[4:] or fuzzing.TARGETS


def corpusOf(name):
    return root / 'test' / 'fuzz' / 'corpus' / name


def grownOf(name):
    folder = directory / 'grown' / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def fuzz(name, seconds):
    run = fuzzing.Run(directory, name, [grownOf(name), corpusOf(name)], directory / 'findings',
                      f'-max_total_time={seconds}', '-reload=0')
    edges, features = run.coverage
    print(f"{name}: {run.number('number_of_executed_units')} runs in {seconds} s, "
          f"{run.number('average_exec_per_sec')} a second, {edges} edges, {features} features, "
          f"{len(run.found())} findings", flush=True)
    if run.status != 0:
        print(run.report(), flush=True)
    return run.status == 0


def sizesOf(folder):
    return [file.stat().st_size for file in folder.iterdir()]


def merge(name):
    """By edges alone: how often each was taken would keep ten times as many."""
    with tempfile.TemporaryDirectory(prefix='fastsocket-fuzz-') as kept:
        run = fuzzing.Run(directory, name, [kept, corpusOf(name), grownOf(name)],
                          directory / 'findings', '-merge=1', '-use_counters=0')
        sizes = sizesOf(pathlib.Path(kept))
        print(f"{name}: {len(sizes)} files, {sum(sizes)} bytes")
        if run.status != 0 or sum(sizes) > MOST_BYTES or not sizes:
            print(run.report())
            return False
        shutil.rmtree(corpusOf(name), ignore_errors=True)
        shutil.copytree(kept, corpusOf(name))
    return True


def main():
    os.nice(19)
    fuzzing.build(root, directory, names)
    seconds = int(os.environ.get('FUZZ_SECONDS', '1800')) // len(names)
    right = [fuzz(name, seconds) if action == 'long' else merge(name) for name in names]
    sys.exit(0 if all(right) else 1)


main()
