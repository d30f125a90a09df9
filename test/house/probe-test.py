#!/usr/bin/env python3
"""
The probes for tracers of the system: the library has them, where it was built with <sys/sdt.h>, and
the scripts of doc/examples/bpftrace use such as there are.

usage: probe-test.py SOURCE_ROOT LIBRARY READELF BUILT
       BUILT: whether the library was built with them, yes or no
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import tap

root, library, readelf, built = pathlib.Path(sys.argv[1]), *sys.argv[2:5]
SCRIPTS = sorted((root / 'doc' / 'examples' / 'bpftrace').glob('*.bt'))
PLACE = '/usr/lib/x86_64-linux-gnu/libfastsocket.so.1'


def probes():
    """{name: number of arguments}"""
    text = (root / 'lib' / 'base' / 'trace.c').read_text()
    return {name: int(count) for count, name in re.findall(r'FAST_PROBE(\d)\((\w+),', text)}


def needProbes():
    if built != 'yes':
        raise tap.Skip("the library was built without <sys/sdt.h>")


def present():
    """Each with its arguments, and all with one semaphore, by which a turn hears of any."""
    needProbes()
    notes = subprocess.run([readelf, '-nW', library], check=True, capture_output=True,
                           text=True).stdout
    found = re.findall(r'Provider: fastsocket\s+Name: (\w+)\s+Location: \w+, Base: \w+, '
                       r'Semaphore: (\w+)\s+Arguments: (.*)', notes)
    counts = {name: len(arguments.split()) for name, _, arguments in found}
    assert counts == probes(), f"{counts}, not {probes()}"
    semaphores = {int(semaphore, 16) for _, semaphore, _ in found}
    assert len(semaphores) == 1 and 0 not in semaphores, semaphores


def used():
    """A script asks for probes that there are, and for arguments that these have."""
    assert len(SCRIPTS) == 3, SCRIPTS
    for script in SCRIPTS:
        for name, body in re.findall(r'^usdt:\S+:fastsocket:(\w+)\n(.*?)^}', script.read_text(),
                                     re.M | re.S):
            count = probes().get(name)
            assert count is not None, f"{script.name}: there is no probe {name}"
            highest = max(map(int, re.findall(r'\barg(\d)\b', body)))
            assert highest < count, f"{script.name}: {name} has no argument {highest}"
        assert PLACE in script.read_text(), f"{script.name}: not the library's place"


def parsed():
    """bpftrace itself understands them."""
    needProbes()
    if shutil.which('bpftrace') is None:
        raise tap.Skip("bpftrace is not installed")
    for script in SCRIPTS:
        with tempfile.NamedTemporaryFile('w', suffix='.bt') as copy:
            copy.write(script.read_text().replace(PLACE, str(pathlib.Path(library).resolve())))
            copy.flush()
            result = subprocess.run(['bpftrace', '-d', copy.name], capture_output=True, text=True)
        if 'only supports running as the root user' in result.stdout + result.stderr:
            raise tap.Skip("bpftrace runs for root alone")
        assert result.returncode == 0, f"{script.name}: {result.stderr}"


tap.runCases([
    ('probe/present', present),
    ('probe/used', used),
    ('probe/parsed', parsed),
])
