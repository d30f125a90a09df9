#!/usr/bin/env python3
"""
The example programs of a release, each by its test of then, on whatever library the loader finds.

usage: then.py RELEASE-FOLDER PROGRAMS [COUNT]

RELEASE-FOLDER is abi/VERSION, PROGRAMS where its examples are, compiled. COUNT is how many cases of
each test are run, beginning with the first; all of them by default. An example that was not
compiled is a failure.
"""

import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / 'abi' / 'gate'))
import policy  # noqa: E402

# As in abi/gate/checks/examples.py: 1.0.0's asked whether there was io_uring.
START = '''
import os, runpy, sys, types
count = int(sys.argv[1])
sys.modules['tap'] = types.SimpleNamespace(needRingForAll=lambda: None)
sys.argv[:2] = []
sys.path.insert(0, os.path.dirname(sys.argv[0]))
sys.dont_write_bytecode = True
import harness
def some(area, main=harness.main):
    harness.cases[:] = harness.cases[:count or None]
    main(area)
harness.main = some
runpy.run_path(sys.argv[0], run_name='__main__')
'''

release, programs = map(pathlib.Path, sys.argv[1:3])
count = sys.argv[3] if len(sys.argv) > 3 else '0'
failed = passed = skipped = 0
for name, (test, *others) in policy.EXAMPLES.items():
    if not (release / 'examples' / f'{name}.c').exists():
        continue
    words = [name] if test != name else []
    result = subprocess.run([sys.executable, '-c', START, count,
                             release / 'examples' / 'test' / f'{test}.py', *words,
                             *(programs / other for other in [name, *others])],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, errors='replace', timeout=1200)
    lines = result.stdout.splitlines()
    good = sum(line.startswith('ok ') for line in lines)
    left = sum(line.startswith('ok ') and ' # SKIP ' in line for line in lines)
    bad = result.returncode != 0 or good == 0
    print(f"{name}: {good - left} passed, {left} skipped" + (", and not all" if bad else ''),
          flush=True)
    if bad:
        print(result.stdout, flush=True)
    failed, passed, skipped = failed + bad, passed + good - left, skipped + left
print(f"{passed} cases passed, {skipped} skipped, {failed} examples failed")
sys.exit(1 if failed or not passed else 0)
