#!/usr/bin/env python3
"""
What other runtimes do to the library that no C program does: OCaml and Guile raise out of
callbacks, through the frames of C, and the ring goes on behind it; a namespace of dlmopen has a C
library of its own, whose handlers of forks nobody calls, and a forked child is noticed all the
same.

OCaml and Guile are skipped where they are missing; with BINDINGS_NEEDED=yes in the environment that
is a failure.

usage: foreign-test.py SOURCE_ROOT LIBRARY SANITIZE
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import tap

root, library = (pathlib.Path(word).absolute() for word in sys.argv[1:3])
sanitize = sys.argv[3]
work = tempfile.TemporaryDirectory(prefix='fastsocket-foreign-')
folder = pathlib.Path(work.name)
here = root / 'test' / 'house'
environment = dict(os.environ, LD_LIBRARY_PATH=str(library.parent), GUILE_AUTO_COMPILE='0')


def need(*tools):
    if sanitize != 'none':
        raise tap.Skip(f"the library has sanitizers of its own: {sanitize}")
    missing = [tool for tool in tools if shutil.which(tool) is None]
    assert not missing or 'BINDINGS_NEEDED' not in os.environ, missing
    if missing:
        raise tap.Skip(f"{' '.join(missing)} is missing")


def run(*words):
    result = subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, cwd=folder,
                            capture_output=True, text=True, timeout=300, env=environment)
    assert result.returncode == 0, f"{words}: {result.returncode}, {result.stdout}{result.stderr}"


# §2.8 functions that don't return: conditions of Guile's, which copies its stack
def raisesInGuile():
    need('guile')
    run('guile', '--no-auto-compile', here / 'raise-program.scm', library)


# §2.8 functions that don't return: exceptions of OCaml's, with a collection of all memory before
def raisesInOcaml():
    need('ocamlopt', 'gcc')
    shutil.copy(here / 'raise-program.ml', folder / 'raise_program.ml')
    shutil.copy(here / 'raise-stubs.c', folder / 'raise_stubs.c')
    run('ocamlopt', '-ccopt', f'-I{root / "include"}', 'raise_stubs.c', 'raise_program.ml',
        '-o', 'raise', '-cclib', f'-L{library.parent}', '-cclib', '-lfastsocket')
    run(folder / 'raise')


# §2.8 forked child: of a process that has the library in a namespace of its own
def forksAroundANamespace():
    need('gcc')
    run('gcc', '-Wall', '-Wextra', '-Werror', here / 'dlmopen-program.c', '-o', 'namespace', '-ldl')
    run(folder / 'namespace', library)


tap.runCases([
    ('foreign/guile', raisesInGuile),
    ('foreign/ocaml', raisesInOcaml),
    ('foreign/dlmopen', forksAroundANamespace),
])
