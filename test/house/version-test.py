#!/usr/bin/env python3
"""
The version is the same wherever it is written.

usage: version-test.py SOURCE_ROOT VERSION
"""

import pathlib
import re
import sys

import tap

root = pathlib.Path(sys.argv[1])
version = sys.argv[2]


def expect(found):
    assert found == version, f"{found}, not {version}"


def header():
    text = (root / 'include' / 'Ring' / 'FastSocket.h').read_text()
    expect('.'.join(re.search(rf'#define FASTSOCKET_VERSION_{part}\s+(\d+)', text).group(1)
                    for part in ('MAJOR', 'MINOR', 'PATCH')))


def news():
    expect(re.search(r'^libfastsocket (\d+\.\d+\.\d+)', (root / 'NEWS').read_text(), re.M).group(1))


def changelog():
    text = (root / 'debian' / 'changelog').read_text()
    expect(re.match(r'libfastsocket \((\d+\.\d+\.\d+)-[\w.~+]+\)', text).group(1))


def node():
    """The newest version node is of this release or an earlier one of the same soname."""
    names = re.findall(r'^FASTSOCKET_(\d+)\.(\d+)$',
                       (root / 'lib' / 'libfastsocket.map').read_text(), re.M)
    major, minor, _ = map(int, version.split('.'))
    newest = max(((int(one), int(two)) for one, two in names), default=None)
    assert newest and newest <= (major, minor), newest


tap.runCases([
    ('version/header', header),
    ('version/news', news),
    ('version/changelog', changelog),
    ('version/node', node),
])
