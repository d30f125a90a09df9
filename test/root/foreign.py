#!/usr/bin/env python3
"""
Runs the api programs of a build for another processor, one after the other, and tells what failed.

usage: foreign.py FOLDER FAULTS [WRAPPER]

FOLDER has the programs, WRAPPER runs one of them. FAULTS is a file of cases that fail by the
WRAPPER's fault, one a line: the name that is printed here (a pattern as in fnmatch), then the
reason; they count only where there is a WRAPPER. The last line has the counts; exit status 0: no
other case has failed, and every program has ended by itself.
"""

import fnmatch
import pathlib
import re
import subprocess
import sys

PATIENCE = 1800  # seconds: an emulated processor is slow


def known(path):
    lines = [line.split(None, 1) for line in pathlib.Path(path).read_text().splitlines()
             if line.strip() and not line.startswith('#')]
    assert all(len(line) == 2 for line in lines), "a fault without a reason"
    return [pattern for pattern, _ in lines]


def run(program, wrapper):
    """The (name, 'ok', 'skip' or 'not ok') of each case, and all that was told."""
    name = program.name.removesuffix('-test')
    try:
        result = subprocess.run([*wrapper, program], stdin=subprocess.DEVNULL, capture_output=True,
                                text=True, errors='replace', timeout=PATIENCE)
        text, status = result.stdout + result.stderr, result.returncode
    except subprocess.TimeoutExpired as expired:
        text, status = (expired.stdout or b'').decode(errors='replace'), 'none: it hangs'
    cases = [(f'{name}/{case}', 'not ok' if kind == 'not ok' else 'skip' if skip else 'ok')
             for kind, case, skip in
             re.findall(r'^(ok|not ok) \d+ - ([^\s#]+)[^#\n]*(# SKIP)?', text, re.M)]
    planned = re.search(r'^1\.\.(\d+)$', text, re.M)
    if planned is None or len(cases) != int(planned[1]):
        cases.append((f'{name}/end', 'not ok'))
        text += f"\nexit status {status}, {len(cases) - 1} cases of {planned and planned[1]}"
    return cases, text


def main():
    folder, faults, wrapper = pathlib.Path(sys.argv[1]), known(sys.argv[2]), sys.argv[3:]
    wrapper = [word for word in wrapper if word]
    counts = dict.fromkeys(('ok', 'skip', 'not ok', 'its fault'), 0)
    for program in sorted(folder.glob('*-test')):
        cases, text = run(program, wrapper)
        for case, kind in cases:
            excused = wrapper and any(fnmatch.fnmatch(case, pattern) for pattern in faults)
            if kind == 'not ok' and excused:
                kind = 'its fault'
            counts[kind] += 1
            if kind in ('not ok', 'its fault'):
                print(f"{kind}: {case}")
        if any(kind == 'not ok' for _, kind in cases): # whoever's fault it is
            print('\n'.join(line for line in text.splitlines() if not line.startswith('ok')))
    print(', '.join(f"{number} {kind}" for kind, number in counts.items()))
    sys.exit(counts['not ok'] > 0 or counts['ok'] == 0)


main()
