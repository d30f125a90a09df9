#!/usr/bin/env python3
"""
The gate refuses every break and accepts every compatible change: each is made alone on a copy of
the tree, which is then built and held to the frozen releases.

usage: mutation-test.py SOURCE_ROOT COMPILER RESULTS [PATTERN...]

RESULTS is a file that is written: {mutation: [the checks that refused it]}, of both kinds. PATTERNs
choose mutations.
"""

import fnmatch
import json
import os
import pathlib
import queue
import re
import sys
import tempfile
import threading
import concurrent.futures

import trees
import mutations
import tap  # after trees, which knows where it is

root, compiler, results = pathlib.Path(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])
patterns = sys.argv[4:] or ['*']
JOBS = int(os.environ.get('JOBS',
                          max(1, (os.cpu_count() or 1) // 2)))  # both compilers' tests run at once
# Without the optimizer it is built fast; warnings are the compiler's affair, not the gate's.
OPTIONS = ['-Doptimization=0', '-Dc_args=-w']
WORDS = ['what changed', 'what breaks', 'do instead', 'abi/waivers', 'soname']

copies = queue.SimpleQueue()
known = json.loads(results.read_text()) if patterns != ['*'] and results.exists() else {}
refused = {}
skipped = {}
lock = threading.Lock()


def attempt(mutate):
    """What the gate says of a mutation: the checks that refuse it, their words, the cases
    skipped."""
    tree = copies.get()
    try:
        mutate(tree)
        assert tree.changed, "the mutation changed nothing"
        fault = tree.make(f'lib/{tree.library.name}')
        if fault:
            return ['build'], fault, []
        status, output, errors = tree.gate('check.py')
        checks = list(dict.fromkeys(case.partition('/')[0] for case in trees.failedCases(output)))
        assert (status != 0) == bool(checks), f"the gate itself has failed:\n{output}{errors}"
        assert '# waived' not in output, output
        return checks, errors, trees.skippedCases(output)
    finally:
        tree.restore()
        copies.put(tree)


def isBehaviour(name):
    return name in mutations.GROUPS['Behaviour']


def refuses(name):
    if isBehaviour(name) and 'upgrade' in skipped:
        raise tap.Skip(f"the consumer can't run: {skipped['upgrade']}")
    checks, text, _ = attempt(mutations.BREAKS[name])
    remember(name, checks)
    assert checks, "accepted"
    assert 'Traceback' not in text, text
    if checks != ['build']:
        missing = [word for word in WORDS if word not in text]
        assert not missing, f"the refusal says nothing of {missing}:\n{text}"


def accepts(name):
    checks, text, _ = attempt(mutations.ACCEPTED[name])
    remember(name, checks)
    assert not checks, f"refused by {checks}\n{text}"


def prepare(directory):
    """The copies; the tree as it is must pass."""
    for number in range(JOBS):
        place = pathlib.Path(directory) / str(number)
        place.mkdir()
        copies.put(trees.Copy(root, place, compiler, OPTIONS, pathlib.Path(directory) / 'made'))
    tree = copies.get()
    tree.makeLibrary()
    status, output, errors = tree.gate('check.py')
    copies.put(tree)
    assert status == 0, output + errors
    for case, reason in trees.skippedCases(output):
        print(f"# {case}: {reason}")
        skipped[case.partition('/')[0]] = reason


def slug(name):
    return re.sub(r'\W+', '-', name).strip('-')


def chosen(name):
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def documented():
    """The table in abi/README.md has these mutations, and says that each was refused."""
    text = (root / 'abi' / 'README.md').read_text()
    missing = [name for name in mutations.BREAKS if f'| {name} |' not in text]
    missing += [name for name in mutations.ACCEPTED if f'* {name}\n' not in text]
    assert not missing, f"not in abi/README.md (ninja abi-table writes it): {missing}"


def remember(name, checks):
    """Writes the results so far; those of a part go to the ones that are there."""
    with lock:
        refused[name] = checks
        results.write_text(json.dumps({**known, **refused}, indent=1) + '\n')


def main():
    with tempfile.TemporaryDirectory(prefix='fastsocket-mutation-') as directory:
        if not trees.shutil.which(compiler):
            tap.runCases([(f'mutation/{compiler}', lambda: trees.needCompiler(compiler))])
        work = [(f'mutation/{compiler}/breaks/{slug(name)}', refuses, name)
                for name in mutations.BREAKS if chosen(name)]
        work += [(f'mutation/{compiler}/accepts/{slug(name)}', accepts, name)
                 for name in mutations.ACCEPTED if chosen(name)]
        prepare(directory)
        with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
            futures = [(case, pool.submit(function, name)) for case, function, name in work]
            cases = [(f'mutation/{compiler}/unchanged', lambda: None)]
            cases += [(case, future.result) for case, future in futures]
            if patterns == ['*']:
                cases.append((f'mutation/{compiler}/documented', documented))
            tap.runCases(cases)


main()
