#!/usr/bin/env python3
"""
The gate refuses every break and accepts every compatible change: each is made alone on a copy of
the tree, which is then built and held to the frozen releases.

A break is shown to one check after the other, those first that are likely to refuse it, and to none
behind the one that does: what the headers show before anything is built. A compatible change is
shown to all.

usage: mutation-test.py SOURCE_ROOT COMPILER RESULTS [PATTERN...]

RESULTS is a file that is written: {mutation: [the cases that refused it]}, of both kinds, after
each one. PATTERNs choose mutations, whose results go to the others that are there. With CONTINUE=1
in the environment, so do all results, and what has the right one there is not asked again: for a
run that was cut off, of the same tree.
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
# both compilers' tests run at once
JOBS = int(os.environ.get('JOBS', max(1, (os.cpu_count() or 1) // 2)))
# Without the optimizer it is built fast; warnings are the compiler's affair, not the gate's.
OPTIONS = ['-Doptimization=0', '-Dc_args=-w']
WORDS = ['what changed', 'what breaks', 'do instead', 'abi/waivers', 'soname']

# What needs no program to run, the cheap ones first.
STATIC = ['exports', 'symbols', 'elf', 'archive', 'rules', 'witness', 'twin', 'abidiff']

copies = queue.SimpleQueue()
unchanged = {}
goesOn = os.environ.get('CONTINUE') == '1'
known = json.loads(results.read_text()) \
    if (goesOn or patterns != ['*']) and results.exists() else {}
refused = {}
skipped = {}
lock = threading.Lock()


def ask(tree, *arguments):
    """The cases of the gate that refuse the copy, and their words."""
    status, output, errors = tree.gate('check.py', *arguments)
    cases = trees.failedCases(output)
    assert (status != 0) == bool(cases), f"the gate itself has failed:\n{output}{errors}"
    assert '# waived' not in output, output
    return cases, errors


def groupOf(name):
    return next(title for title, group in mutations.GROUPS.items() if name in group)


def stages(name):
    """The checks that a break is shown to: before the library is built, and then."""
    if groupOf(name) in mutations.MEANING:
        program = mutations.programFor(name)
        first = [f'programs:{program}', 'upgrade'] if program else ['upgrade']
        return [], [*first, 'programs', 'programs:all', *STATIC]
    return ['pkgconfig', 'header', 'layout'], [*STATIC, 'upgrade', 'programs']


def attempt(tree, name):
    """What of the gate refuses a break first, and its words."""
    before, after = stages(name)
    for check in before:
        cases, text = ask(tree, '--first', check)
        if cases:
            return cases, text
    fault = tree.makeChanged()
    if fault:
        return ['build'], fault
    for check in after:
        cases, text = ask(tree, '--first', check)
        if cases:
            return cases, text
    return [], ''


def changed(mutate, look):
    """What look(tree) finds out of a changed copy."""
    tree = copies.get()
    try:
        mutate(tree)
        assert tree.changed or tree.afterBuild, "the mutation changed nothing"
        return look(tree)
    finally:
        tree.restore()
        copies.put(tree)


def refuses(name):
    if groupOf(name) in mutations.MEANING and 'upgrade' in skipped:
        raise tap.Skip(f"the consumer can't run: {skipped['upgrade']}")
    cases, text = changed(mutations.BREAKS[name], lambda tree: attempt(tree, name))
    remember(name, cases)
    assert cases, "accepted"
    assert 'Traceback' not in text, text
    # Headers that don't compile are the compiler's to explain.
    if cases != ['build'] and 'error:' not in text:
        missing = [word for word in WORDS if word not in text]
        assert not missing, f"the refusal says nothing of {missing}:\n{text}"


def wholly(tree):
    fault = tree.makeChanged()
    if fault:
        return ['build'], fault
    # The programs find out nothing new about the same code.
    again = ['programs'] if tree.code() != unchanged['code'] else []
    return ask(tree, *STATIC, 'header', 'layout', 'pkgconfig', 'upgrade', *again)


def accepts(name):
    cases, text = changed(mutations.ACCEPTED[name], wholly)
    remember(name, cases)
    assert not cases, f"refused by {cases}\n{text}"


def prepare(directory):
    """The copies; the tree as it is must pass."""
    for number in range(JOBS):
        place = pathlib.Path(directory) / str(number)
        place.mkdir()
        copies.put(trees.Copy(root, place, compiler, OPTIONS, pathlib.Path(directory) / 'made'))
    tree = copies.get()
    tree.makeLibrary()
    unchanged['code'] = tree.code()
    status, output, errors = tree.gate('check.py')
    copies.put(tree)
    assert status == 0, output + errors
    for case, reason in trees.skippedCases(output):
        print(f"# {case}: {reason}")
        skipped[case.partition('/')[0]] = reason


def slug(name):
    return re.sub(r'\W+', '-', name).strip('-')


def answered(name):
    return goesOn and name in known and bool(known[name]) == (name in mutations.BREAKS)


def chosen(name):
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns) and not answered(name)


def documented():
    """The table in abi/mutations.md has these mutations, and says that each was refused."""
    text = (root / 'abi' / 'mutations.md').read_text()
    missing = [name for name in mutations.BREAKS if f'| {name} |' not in text]
    missing += [name for name in mutations.ACCEPTED if f'* {name}\n' not in text]
    assert not missing, f"not in abi/mutations.md (ninja abi-table writes it): {missing}"


def remember(name, cases):
    """Writes the results so far; those of a part go to the ones that are there."""
    with lock:
        refused[name] = cases
        whole = results.with_suffix('.new')  # this may be cut off at any time
        whole.write_text(json.dumps({**known, **refused}, indent=1) + '\n')
        whole.replace(results)


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
