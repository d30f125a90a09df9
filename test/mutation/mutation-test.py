#!/usr/bin/env python3
"""
The tests see each breakage of the library: each is made alone on a copy of the tree, of which as
much is built as is needed, and run until a test fails. Those that have seen it before come first,
then those that name its promise, then all of the suites unit and api, on each engine.

usage: mutation-test.py SOURCE_ROOT COMPILER RESULTS [PATTERN...]

RESULTS is a file that is written: {breakage: who saw it}; «ninja mutation-table» makes a table of
it. PATTERNs choose breakages, by their names or promises.
"""

import fnmatch
import json
import pathlib
import sys
import tempfile

import breakages
import readme
import tested
import tap  # after tested, which knows where it is

root, compiler, results = pathlib.Path(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])
patterns = sys.argv[4:] or ['*']
known = json.loads(results.read_text()) if patterns != ['*'] and results.exists() else {}
seen = {}
unseen = []
before = readme.read(root)  # {breakage: who saw it}


def sightsFor(breakage, tree, sights):
    """In the order of trying: none twice."""
    order = [tested.Sight.parse(before[breakage.name])] if breakage.name in before else []
    for engine in tested.ENGINES:
        order += [sight for row in breakage.promises for sight in sights[row]
                  if sight.engine == engine]
    order += [tested.Sight(name, None, engine) for engine in tested.ENGINES
              for name in tree.programs()]
    found = {str(sight): sight for sight in order if sight is not None and sight.test in tree.tests}
    return found.values()


def firstToSee(breakage, tree, sights):
    for sight in sightsFor(breakage, tree, sights):
        found = sight.sees(tree)
        if found:
            return found[0]
    return None


def attempt(breakage, tree, sights):
    try:
        breakage.apply(tree)
        sight = firstToSee(breakage, tree, sights)
    finally:
        tree.restore()
    if sight is None:
        unseen.append(breakage.name)
    assert sight is not None, f"no test sees it; it breaks {'; '.join(breakage.promises)}"
    seen[breakage.name] = str(sight)
    results.write_text(json.dumps({**known, **seen}, indent=1, ensure_ascii=False) + '\n')


def allSeen():
    assert not unseen, f"{len(unseen)} that no test sees: {unseen}"


def unchanged(tree):
    """Nobody sees anything where nothing is broken: of all that have seen something."""
    faults = [sight for sight in sorted({*known.values(), *seen.values()})
              if tested.Sight.parse(sight).sees(tree)]
    assert not faults, f"these fail without a breakage, too: {faults}"


def isChosen(breakage):
    return any(fnmatch.fnmatchcase(word, pattern) for pattern in patterns
               for word in (breakage.name, *breakage.promises))


def main():
    tap.needRingForAll()
    chosen = [breakage for breakage in breakages.BREAKAGES if isChosen(breakage)]
    with tempfile.TemporaryDirectory(prefix='fastsocket-mutation-') as directory:
        tree = tested.Tested(root, pathlib.Path(directory), compiler)
        sights = tested.sightsOfPromises(root)
        cases = [(f'mutation/{breakage.slug}',
                  lambda breakage=breakage: attempt(breakage, tree, sights))
                 for breakage in chosen]
        tap.runCases([*cases, ('mutation/allSeen', allSeen),
                      ('mutation/unchanged', lambda: unchanged(tree))])


main()
