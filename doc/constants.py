#!/usr/bin/env python3
"""
Writes doc/constants.json: what a program in another language than C needs of the public headers, each
constant with its type and value, each function and each type of a function with its prototype, and
since which version it is there.

usage: constants.py SOURCE_ROOT OUTPUT
"""

import json
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / 'test' / 'house'))
import source  # noqa: E402

HEADERS = ['FastRing.h', 'FastBuffer.h', 'FastSocket.h']
WIDE = r'\bUINT64_C\((\w+)\)'


def constantsOf(text):
    """(name, type, value) of each macro with a value: the headers have numbers alone, shifted ones and
    sums of these."""
    text = source.withoutLineEnds(source.withoutComments(text))
    for name, words in re.findall(r'^[ \t]*#[ \t]*define[ \t]+(\w+)[ \t]+(\S.*?)[ \t]*$', text, re.M):
        if words == name + '64':
            continue  # a function by the name of its twin, where a time_t may have two sizes
        number = re.sub(WIDE, r'\1', words)
        assert re.fullmatch(r'[\d\sa-fA-FxX()<|+]+', number), f"{name}: {words} is more than a number"
        wide = re.search(WIDE, words) is not None
        yield name, 'uint64_t' if wide else 'int', eval(number, {'__builtins__': {}})


def nodeOf(root):
    nodes = source.versionNodes((root / 'lib' / 'libfastsocket.map').read_text())
    return {name: node.removeprefix('FASTSOCKET_')
            for node, parts in nodes.items() for name in parts['global']}


def describe(root):
    since, whole = nodeOf(root), {'constants': {}, 'functions': {}, 'types': {}}
    for header in HEADERS:
        text = (root / 'include' / 'Ring' / header).read_text()
        place = f'Ring/{header}'
        for name, type, value in constantsOf(text):
            whole['constants'][name] = {'header': place, 'type': type, 'value': value}
        for one in source.readHeader(text)[0]:
            if one.isType:
                whole['types'][one.name] = {'header': place, 'definition': one.text}
            else:
                whole['functions'][one.name] = {'header': place, 'since': since[one.name],
                                                'prototype': one.text}
    version = [whole['constants'][f'FASTSOCKET_VERSION_{part}']['value']
               for part in ('MAJOR', 'MINOR', 'PATCH')]
    return {'library': 'libfastsocket', 'version': '.'.join(map(str, version)), **whole}


def write(root):
    """A line for each name, so that a change shows as one."""
    whole = describe(root)
    parts = []
    for key, value in whole.items():
        if isinstance(value, dict):
            rows = [f'    {json.dumps(name)}: {json.dumps(row)}' for name, row in value.items()]
            parts.append(f'  {json.dumps(key)}: {{\n' + ',\n'.join(rows) + '\n  }')
        else:
            parts.append(f'  {json.dumps(key)}: {json.dumps(value)}')
    return '{\n' + ',\n'.join(parts) + '\n}\n'


if __name__ == '__main__':
    pathlib.Path(sys.argv[2]).write_text(write(pathlib.Path(sys.argv[1])))
