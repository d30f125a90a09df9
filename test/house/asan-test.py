#!/usr/bin/env python3
"""
AddressSanitizer in the program alone: the library, built without it, tells it which buffers are in
use. With the library's own compiler and with the other one, linked both ways.

usage: asan-test.py SOURCE_ROOT LIBRARY ARCHIVE SANITIZE COMPILER...
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import tap

root, library, archive, sanitize = [*map(pathlib.Path, sys.argv[1:4]), sys.argv[4]]
work = tempfile.TemporaryDirectory(prefix='fastsocket-asan-')

OTHER = 'gcc' if 'clang' in tap.run([*sys.argv[5:], '--version']) else 'clang'
COMPILERS = {'own': sys.argv[5:], OTHER: [OTHER]}
FAULTS = {
    'released': 'a small buffer',
    'released-large': 'a large one',
    'released-early': 'before the first wait',
    'released-shared': 'of a pool without a ring',
    'released-thread': 'in another thread',
    'released-large-thread': 'and a large one there',
    'beyond': 'not released, but smaller',
    'beyond-large': 'the same of a large one',
}


def compileWith(name, source, *flags):
    program = pathlib.Path(work.name) / f'{name}-{len(os.listdir(work.name))}'
    command = [*COMPILERS[name], '-g', '-O1', '-fsanitize=address', '-D_GNU_SOURCE', source, '-o',
               program, *flags]
    return program, subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True,
                                   text=True, timeout=300)


def run(program, *arguments):
    # Whether anything leaks is another question, which takes ptrace.
    environment = dict(os.environ, ASAN_OPTIONS='detect_leaks=0',
                       LD_LIBRARY_PATH=str(library.parent))
    return subprocess.run([program, *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True,
                          timeout=300, env=environment)


def needSanitizer(name):
    if sanitize != 'none':
        raise tap.Skip(f"the library has sanitizers of its own: {sanitize}")
    if shutil.which(COMPILERS[name][0]) is None:
        raise tap.Skip(f"{name} is missing")
    source = pathlib.Path(work.name) / 'empty.c'
    source.write_text('int main(void) { return 0; }\n')
    program, result = compileWith(name, source)
    if result.returncode != 0 or run(program).returncode != 0:
        raise tap.Skip(f"{name} has no AddressSanitizer")


def build(name, kind):
    flags = ['-I', root / 'include', library if kind == 'shared' else archive, '-luring',
             '-lpthread']
    program, result = compileWith(name, root / 'test' / 'house' / 'asan-program.c', *flags)
    assert result.returncode == 0, result.stderr
    return program


# §2.8 AddressSanitizer: by each compiler, with the library's both forms
def tellsFaults(name, kind):
    needSanitizer(name)
    program = build(name, kind)
    for fault, what in FAULTS.items():
        result = run(program, fault)
        assert result.returncode != 0 and 'use-after-poison' in result.stderr, \
            f"{fault} ({what}): exit status {result.returncode}, {result.stdout}{result.stderr}"


# §2.8 AddressSanitizer: a program without a fault runs on
def letsTheRightRun(name, kind):
    needSanitizer(name)
    result = run(build(name, kind), 'echo')
    assert result.returncode == 0 and result.stdout == 'done\n' and not result.stderr, \
        result.stdout + result.stderr


tap.runCases([(f'asan/{name}/{kind}/{case.__name__}',
               lambda case=case, name=name, kind=kind: case(name, kind))
              for name in COMPILERS for kind in ['shared', 'static']
              for case in [tellsFaults, letsTheRightRun]])
