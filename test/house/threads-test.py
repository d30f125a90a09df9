#!/usr/bin/env python3
"""
The programs of test/unit and test/api that have threads, and no others, are those of the suite
«threads», which the thread sanitizer runs.

usage: threads-test.py SOURCE_ROOT
"""

import pathlib
import re
import sys

import tap

root = pathlib.Path(sys.argv[1])
# What answers for names is called by threads of the library's.
MAKERS = re.compile(r'\b(pthread_create|inThread|__wrap_getaddrinfo)\(')


def listed(folder, text):
    """The names in the list FOLDER_threads of a meson.build."""
    names = re.search(rf'^{folder}_threads = \[(.*?)\]', text, re.M | re.S)
    assert names, f"test/{folder}/meson.build has no list {folder}_threads"
    return set(re.findall(r"'([\w-]+)'", names[1]))


def makers(folder):
    """The programs whose source makes threads; a call that the linker wraps makes none."""
    for path in (root / 'test' / folder).glob('*-test.c'):
        text = re.sub(r'FAILING_CALL\(.*?\)\n\n', '', path.read_text(), flags=re.S)
        if MAKERS.search(text):
            yield path.name.removesuffix('-test.c')


def check(folder):
    names = listed(folder, (root / 'test' / folder / 'meson.build').read_text())
    found = set(makers(folder))
    assert found == names, (f"with threads, and not listed: {sorted(found - names)}; "
                            f"listed, and without: {sorted(names - found)}")


tap.runCases([(f'threads/{folder}', lambda folder=folder: check(folder))
              for folder in ('unit', 'api')])
