#!/usr/bin/env python3
"""
What README.md prints is true: the program compiles as printed against an installed copy, by the
printed compiler lines, and echoes; the commands and files that it names are there.

usage: readme-test.py SOURCE_ROOT BUILD_ROOT SANITIZE COMPILER...
"""

import os
import pathlib
import re
import shlex
import sys
import tempfile

import echo
import refusal
import tap

root, build, sanitize = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
compiler = sys.argv[4:]
readme = (root / 'README.md').read_text()
# A callback has its parameters whether it needs them or not, and a first program is to be short.
WARNINGS = ['-Wall', '-Wextra', '-Wno-unused-parameter', '-Werror']
ANY = '127.0.0.1:0'
LINES = 35  # of the program, without blank ones

work = tempfile.TemporaryDirectory(prefix='fastsocket-readme-')
stage = pathlib.Path(work.name) / 'stage'


def program():
    blocks = re.findall(r'^```c\n(.*?)^```$', readme, re.M | re.S)
    assert len(blocks) == 1, f"{len(blocks)} programs"
    return blocks[0]


def lines():
    """The commands, which are indented by four spaces."""
    return re.findall(r'^    (\S.*)$', re.sub(r'^```c\n.*?^```$', '', readme, flags=re.M | re.S),
                      re.M)


def install():
    introspect = shlex.split(os.environ.get('MESONINTROSPECT', 'meson introspect'))
    meson = introspect[:-1]
    tap.run([*meson, 'install', '-C', build, '--no-rebuild', '--quiet', '--destdir', str(stage)])
    for path in ('FastRing.h', 'FastBuffer.h', 'FastSocket.h'):
        assert list(stage.glob(f'**/include/fastsocket/Ring/{path}')), f"{path} is not installed"
    assert list(stage.glob('**/libfastsocket.so.1')), "no libfastsocket.so.1"
    assert list(stage.glob('**/libfastsocket.a')), "no libfastsocket.a"
    assert list(stage.glob('**/bin/fastsocket-probe')), "no fastsocket-probe"


def packageConfig(arguments):
    files = list(stage.glob('**/fastsocket.pc'))
    assert len(files) == 1, f"{len(files)} fastsocket.pc"
    prefix = re.search(r'^prefix=(.*)$', files[0].read_text(), re.M).group(1)
    environment = dict(os.environ, PKG_CONFIG_PATH=str(files[0].parent))
    return tap.run(['pkg-config', f'--define-variable=prefix={stage}{prefix}', *arguments,
                    'fastsocket'], env=environment).split()


def compileProgram(line, output):
    """Compiles by a line of the README; only compiler, names and the place of the .pc file
    differ."""
    source = pathlib.Path(work.name) / 'echo.c'
    source.write_text(program())
    words = []
    for word in shlex.split(re.sub(r'\$\(pkg-config (.*?) fastsocket\)',
                                   lambda match: shlex.join(packageConfig(match.group(1).split())),
                                   line)):
        words.append({'echo.c': str(source), 'echo': str(output)}.get(word, word))
    assert words[0] == 'cc', line
    sanitizer = [] if sanitize == 'none' else [f'-fsanitize={sanitize}']
    tap.run([*compiler, *WARNINGS, *sanitizer, *words[1:]])
    return output


def compileLine(static):
    found = [line for line in lines() if line.startswith('cc ') and ('--static' in line) == static]
    assert len(found) == 1, f"{len(found)} compiler lines"
    return found[0]


def shared():
    directory = next(stage.glob('**/libfastsocket.so.1')).parent
    executable = compileProgram(compileLine(False), pathlib.Path(work.name) / 'echo-shared')
    assert 'libfastsocket.so.1' in tap.run(['readelf', '-d', executable]), \
        "not linked with the library"
    echo.serve(executable, dict(os.environ, LD_LIBRARY_PATH=str(directory)), address=ANY)


def static():
    executable = compileProgram(compileLine(True), pathlib.Path(work.name) / 'echo-static')
    assert 'libfastsocket' not in tap.run(['readelf', '-d', executable]), \
        "linked with the shared library"
    echo.serve(executable, None, address=ANY)


def refused():
    """Where io_uring is refused, as in a container, it is the same program."""
    tap.needFilter()
    executable = compileProgram(compileLine(True), pathlib.Path(work.name) / 'echo-refused')
    echo.serve(executable, None, [sys.executable, refusal.__file__, refusal.ALL], ANY)


def restarts():
    """After Ctrl-C with a connection open the program starts again on the same port, at once."""
    executable = compileProgram(compileLine(True), pathlib.Path(work.name) / 'echo-again')
    port = '0'
    for _ in range(3):
        port = echo.interruptWithClient(executable, port)


def short():
    """The program shows how little a server takes."""
    count = sum(1 for line in program().splitlines() if line.strip())
    assert count <= LINES, f"{count} lines"


def commands():
    """Two lines for a fresh machine, one ending with the demo, one with the tests; and one that
    installs what the library alone needs."""
    found = [line for line in lines() if line.startswith('apt-get ')]
    alone = [line for line in found if line.startswith('apt-get install ')]
    assert len(alone) == 1, alone
    found.remove(alone[0])
    assert len(found) == 2, found
    start = 'apt-get update && apt-get build-dep -y ./ && meson setup build && '
    assert all(line.startswith(start) for line in found), found
    assert found[0][len(start):].startswith('ninja -C build demo'), found[0]
    assert found[1][len(start):].startswith('meson test -C build'), found[1]


def names():
    """Files that the text names exist."""
    for name in re.findall(r'`((?:include|doc)/[\w./-]*|NEWS|\w+\.md)`', readme):
        assert (root / name).exists(), name
    part = readme[readme.index('* `doc/examples/`'):readme.index('* `doc/design.md`')]
    named = {name for name in re.findall(r'`([a-z-]+)`', part)
             if name not in ('cat', 'getline', 'fprintf')}
    there = {path.stem for path in (root / 'doc' / 'examples').glob('*.c')}
    assert named == there, f"named and there, but not both: {named ^ there}"


tap.runCases([
    ('readme/commands', commands),
    ('readme/short', short),
    ('readme/names', names),
    ('readme/install', install),
    ('readme/shared', shared),
    ('readme/static', static),
    ('readme/refused', refused),
    ('readme/restarts', restarts),
])
