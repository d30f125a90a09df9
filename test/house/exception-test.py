#!/usr/bin/env python3
"""
C++ exceptions through the library: thrown by callbacks, caught around the wait, which goes on then.
Linked both ways, on the engine that programs get, and on epoll.

usage: exception-test.py SOURCE_ROOT LIBRARY ARCHIVE SANITIZE
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import tap

root, library, archive, sanitize = [*map(pathlib.Path, sys.argv[1:4]), sys.argv[4]]
work = tempfile.TemporaryDirectory(prefix='fastsocket-exception-')
FLAGS = ['-std=c++11', '-g', '-O1', '-Wall', '-Wextra', '-Werror']


# §2.8 functions that don't return: exceptions of C++
def goesOnBehindExceptions(kind, engine):
    if shutil.which('g++') is None:
        raise tap.Skip("no g++")
    if sanitize != 'none':
        raise tap.Skip(f"the library has sanitizers of its own: {sanitize}")
    program = pathlib.Path(work.name) / f'{kind}-{engine}'
    source = root / 'test' / 'house' / 'exception-program.cc'
    linked = [library] if kind == 'shared' else [archive, '-luring', '-lpthread']
    result = subprocess.run(['g++', *FLAGS, '-I', root / 'include', source, '-o', program, *linked],
                            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    environment = dict(os.environ, LD_LIBRARY_PATH=str(library.parent))
    if engine != 'default':
        environment['FASTSOCKET_ENGINE'] = engine
    result = subprocess.run([program], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                            timeout=120, env=environment)
    assert result.returncode == 0, f"exit status {result.returncode}, {result.stderr}"


tap.runCases([
    (f'callbacks may throw: {text}, {engine}',
     lambda kind=kind, engine=engine: goesOnBehindExceptions(kind, engine))
    for kind, text in [('shared', 'the shared library'), ('static', 'the archive')]
    for engine in ['default', 'epoll']
])
