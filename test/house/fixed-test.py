#!/usr/bin/env python3
"""
Programs at a fixed address, and libraries that were linked to prefer their own names, as some
distributions do: a function then has two addresses, and is the same.

usage: fixed-test.py SOURCE_ROOT LIBRARY ARCHIVE SANITIZE CC...
"""

import os
import pathlib
import platform
import subprocess
import sys
import tempfile

import tap

root, library, archive, sanitize, *compiler = sys.argv[1:]
root, library = pathlib.Path(root), pathlib.Path(library)
work = tempfile.TemporaryDirectory(prefix='fastsocket-fixed-')
PLACES = {'fixed': ['-fno-pie', '-no-pie'], 'anywhere': ['-fPIE', '-pie']}
# Where a fixed program's stub stands for the function is the processor's business; it does here.
HAVE_STUBS = {'x86_64', 'aarch64'}


def linkSymbolic():
    """The library, from its archive, whose own functions it knows by addresses of its own."""
    path = pathlib.Path(work.name) / 'libfastsocket.so.1'
    tap.run([*compiler, '-shared', '-o', path, '-Wl,-soname,libfastsocket.so.1',
             '-Wl,-Bsymbolic-functions', f'-Wl,--version-script={root}/lib/libfastsocket.map',
             '-Wl,--whole-archive', archive, '-Wl,--no-whole-archive', '-luring', '-lpthread'])
    return path


# §2.2 ring, provider, inbound: whatever address the function has in a program
def works(place, symbolic):
    if sanitize != 'none':
        raise tap.Skip(f"the library has sanitizers of its own: {sanitize}")
    linked = linkSymbolic() if symbolic else library
    program = pathlib.Path(work.name) / f'{place}-{symbolic}'
    tap.run([*compiler, '-std=gnu11', '-O1', '-Wall', '-Wextra', '-Werror', *PLACES[place],
             '-D_GNU_SOURCE', '-I', root / 'include', root / 'test/house/fixed-program.c',
             '-o', program, linked])
    result = subprocess.run([program], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                            timeout=60,
                            env=dict(os.environ, LD_LIBRARY_PATH=str(linked.parent)))
    assert result.returncode == 0, f"exit status {result.returncode}, {result.stderr}"
    if platform.machine() in HAVE_STUBS:
        expected = 'program' if place == 'fixed' else 'library'
        assert result.stdout.strip() == expected, f"the function is the {result.stdout.strip()}'s"


tap.runCases([(f"fixed/{place}/{'symbolic' if symbolic else 'ordinary'}",
               lambda place=place, symbolic=symbolic: works(place, symbolic))
              for place in PLACES for symbolic in (False, True)])
