#!/usr/bin/env python3
"""
Each example compiles alone, outside the source tree, against an installed copy, by the compiler
line in its own opening comment, and links nothing but the shared library, libc, and what that line
names.

usage: examples-test.py SOURCE_ROOT BUILD_ROOT SANITIZE COMPILER...
"""

import itertools
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

import tap

root, build, sanitize = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
compiler = sys.argv[4:]
examples = root / 'doc' / 'examples'
names = sorted(path.stem for path in examples.glob('*.c'))
STANDARDS = ['-std=c11', '-std=gnu17']
WARNINGS = ['-Wall', '-Wextra', '-Wpedantic', '-Werror']

work = tempfile.TemporaryDirectory(prefix='fastsocket-examples-')
stage = pathlib.Path(work.name) / 'stage'
source = pathlib.Path(work.name) / 'examples'


def install():
    meson = shlex.split(os.environ.get('MESONINTROSPECT', 'meson introspect'))[:-1]
    tap.run([*meson, 'install', '-C', build, '--no-rebuild', '--quiet', '--destdir', str(stage)])
    assert len(list(stage.glob('**/fastsocket.pc'))) == 1, "no fastsocket.pc"
    shutil.copytree(examples, source)
    assert len(names) >= 4, names


def packageConfig(arguments):
    file = next(stage.glob('**/fastsocket.pc'))
    prefix = re.search(r'^prefix=(.*)$', file.read_text(), re.M)[1]
    environment = dict(os.environ, PKG_CONFIG_PATH=str(file.parent))
    ours = ['pkg-config', f'--define-variable=prefix={stage}{prefix}']
    options = [word for word in arguments if word.startswith('-')]
    others = [word for word in arguments if not word.startswith('-') and word != 'fastsocket']
    for other in others:
        if subprocess.run(['pkg-config', '--exists', other]).returncode != 0:
            raise tap.Skip(f"{other} is missing")
    # Apart, because the prefix is another one.
    return (tap.run([*ours, *options, 'fastsocket'], env=environment).split() +
            (tap.run(['pkg-config', *options, *others]).split() if others else []))


def compileExample(name):
    text = (source / f'{name}.c').read_text()
    line = re.search(r'^ \*     cc (.*) \$\(pkg-config (.*)\)$', text, re.M)
    assert line, "no compiler line in the opening comment"
    assert line[1] == f'{name}.c -o {name}', line[0]
    sanitizer = [] if sanitize == 'none' else [f'-fsanitize={sanitize}']
    flags = packageConfig(line[2].split())
    # With our own <sys/queue.h>, too, for C libraries that have none.
    queues = [['-Iqueue'], []] if '<sys/queue.h>' in text else [[]]
    for standard, queue in itertools.product(STANDARDS, queues):
        tap.run([*compiler, standard, *queue, *WARNINGS, *sanitizer, *line[1].split(), *flags],
                cwd=source)
    needed = set(re.findall(r'NEEDED.*\[(.*)\]', tap.run(['readelf', '-d', source / name])))
    assert 'libfastsocket.so.1' in needed, needed
    allowed = ['fastsocket', 'c', *(flag[2:] for flag in flags if flag.startswith('-l'))]
    others = {library for library in needed
              if library.partition('.so')[0] not in ['lib' + name for name in allowed]}
    assert sanitize != 'none' or not others, needed


def staysShort():
    """The chat server is there to show how little it takes."""
    lines = (examples / 'chat-server.c').read_text().count('\n')
    assert lines < 120, lines


def table():
    """README.md there has each program, and about how long it is."""
    text = (examples / 'README.md').read_text()
    rows = dict(re.findall(r'^\| `([\w.-]+)` \| (\d+) \|', text, re.M))
    files = {path.name.removesuffix('.c'): path for path in examples.glob('*.[ch]')}
    assert rows.keys() == files.keys(), f"in one only: {rows.keys() ^ files.keys()}"
    for name, path in files.items():
        lines = path.read_text().count('\n')
        assert abs(lines - int(rows[name])) <= lines / 10, \
            f"{name} has {lines} lines, not {rows[name]}"


tap.runCases([('examples/install', install), ('examples/staysShort', staysShort),
              ('examples/table', table)] +
             [(f'examples/{name}', lambda name=name: compileExample(name)) for name in names])
