#!/usr/bin/env python3
"""
doc/constants.json is what doc/constants.py makes of today's headers, it has all that they define
and declare, and it says of each what the compiler says. It is installed.

usage: constants-test.py SOURCE_ROOT BUILD_ROOT COMPILER...
"""

import json
import pathlib
import re
import sys
import tempfile

root, build, compiler = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3:]
sys.path.insert(0, str(root / 'doc'))
import constants  # noqa: E402
import source  # noqa: E402
import tap  # noqa: E402

file = root / 'doc' / 'constants.json'
told = json.loads(file.read_text())
INCLUDES = ''.join(f'#include <Ring/{header}>\n' for header in constants.HEADERS)
work = tempfile.TemporaryDirectory(prefix='fastsocket-constants-')


def compile(text, *arguments):
    path = pathlib.Path(work.name) / 'constants.c'
    path.write_text(INCLUDES + text)
    return tap.run([*compiler, '-std=c11', '-Wall', '-Wextra', '-Werror', f'-I{root / "include"}',
                    *arguments, path])


def checkFresh():
    assert file.read_text() == constants.write(root), \
        "doc/constants.json is not what the headers give: ninja -C build constants"


def checkHeaders():
    """There is no public header that is not read."""
    headers = sorted(path.name for path in (root / 'include' / 'Ring').iterdir())
    assert headers == sorted(constants.HEADERS), headers


# §3.2 constants: all of them, and nothing else
def checkConstants():
    macros = compile('', '-dM', '-E')
    found = set(re.findall(r'^#define (FAST\w+)', macros, re.M))
    assert len(found) > 30, found
    assert found == set(told['constants']), found ^ set(told['constants'])


# §3.2 constants: as the compiler has them
def checkValues():
    compile('\n'.join(
        f'_Static_assert(({name}) == {row["value"]}, "{name}");\n'
        f'_Static_assert(_Generic(({name}), {row["type"]}: 1, default: 0), "type of {name}");'
        for name, row in told['constants'].items()), '-fsyntax-only')


def checkLies():
    """The compiler would refuse another value, or another type."""
    for row in ('(FASTRING_OPTION_SPIN) == 4',
                '_Generic((FASTRING_OPTION_SPIN), uint64_t: 1, default: 0)'):
        try:
            compile(f'_Static_assert({row}, "a lie");', '-fsyntax-only')
        except AssertionError:
            continue
        raise AssertionError(f"taken: {row}")


def checkFunctions():
    """All that is exported, with prototypes that the headers' own agree with."""
    exported = constants.nodeOf(root)
    assert set(told['functions']) == set(exported), set(told['functions']) ^ set(exported)
    compile('\n'.join(row['prototype'] for row in told['functions'].values()), '-fsyntax-only')
    wrong = [name for name, row in told['functions'].items() if row['since'] != exported[name]]
    assert not wrong, wrong


def checkTypes():
    declared = {name for path in (root / 'include' / 'Ring').iterdir()
                for name in re.findall(r'^typedef[^;]*\(\*(\w+)\)',
                                       source.withoutComments(path.read_text()), re.M)}
    assert declared == set(told['types']), declared ^ set(told['types'])
    compile('\n'.join(row['definition'] for row in told['types'].values()), '-fsyntax-only')


def checkInstalled():
    installed = json.loads((build / 'meson-info' / 'intro-installed.json').read_text())
    places = [to for path, to in installed.items() if path.endswith('doc/constants.json')]
    assert len(places) == 1 and places[0].endswith('/share/fastsocket/constants.json'), places


tap.runCases([
    ('constants/fresh', checkFresh),
    ('constants/headers', checkHeaders),
    ('constants/constants', checkConstants),
    ('constants/values', checkValues),
    ('constants/lies', checkLies),
    ('constants/functions', checkFunctions),
    ('constants/types', checkTypes),
    ('constants/installed', checkInstalled),
])
