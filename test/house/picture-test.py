#!/usr/bin/env python3
"""
doc/house.svg is what doc/house.py draws of today's sources, and what is drawn follows from them.

usage: picture-test.py SOURCE_ROOT
"""

import functools
import pathlib
import shutil
import sys
import tempfile
import xml.etree.ElementTree

root = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(root / 'doc'))
import house  # noqa: E402
import layers  # noqa: E402
import tap  # noqa: E402


@functools.cache
def today():
    """What is drawn of the sources as they are."""
    return house.draw(root)


def checkFresh():
    assert (root / 'doc' / 'house.svg').read_text() == today(), \
        "doc/house.svg is not what the sources give: ninja -C build house-picture"


def checkWhole():
    """Each room and each file has its box, each with its name."""
    picture = xml.etree.ElementTree.fromstring(today())
    words = [text.text for text in picture.iter('{http://www.w3.org/2000/svg}text')]
    files = {path.with_suffix('') for path in (root / 'lib').glob('*/*.[ch]')}
    missing = [name for name in layers.ROOMS + sorted(path.name for path in files)
               if name not in words]
    assert not missing, missing


def drawWith(file, line):
    with tempfile.TemporaryDirectory() as directory:
        copy = pathlib.Path(directory)
        shutil.copytree(root / 'lib', copy / 'lib')
        with (copy / 'lib' / file).open('a') as out:
            out.write(line + '\n')
        return house.draw(copy)


def checkInclude():
    assert drawWith('base/timer.c', '#include "base/handle.h"') != today()


def checkCircle():
    picture = drawWith('base/checker.h', '#include "base/poison.h"')
    assert picture.count('url(#circle)') == today().count('url(#circle)') + 2


def checkCode():
    """What moves no arrow leaves the picture as it is."""
    code = '/* A comment. */\nstatic int three(void)\n{\n    return 3;\n}'
    assert drawWith('base/timer.c', code) == today()


tap.runCases([
    ('picture/fresh', checkFresh),
    ('picture/whole', checkWhole),
    ('picture/shows/include', checkInclude),
    ('picture/shows/circle', checkCircle),
    ('picture/ignores/code', checkCode),
])
