"""What shared objects say of themselves, by nm and readelf."""

import re
from typing import NamedTuple

import tap

KINDS = {'T': 'function', 'W': 'function', 'V': 'object', 'D': 'object', 'B': 'object', 'R': 'object',
         'G': 'object', 'S': 'object', 'u': 'object', 'i': 'indirect'}


class Symbol(NamedTuple):
    name: str
    node: str
    role: str  # default or old
    kind: str

    def __str__(self):
        return f"{self.name}{'@@' if self.role == 'default' else '@'}{self.node}"


def symbols(library):
    """The set of dynamic symbols that a library defines."""
    found = set()
    for line in tap.run(['nm', '-D', '--defined-only', '--with-symbol-versions', str(library)]).splitlines():
        _, kind, name = line.split()
        if kind != 'A':
            name, at, node = re.match(r'([^@]+)(@*)(.*)$', name).groups()
            found.add(Symbol(name, node or '-', 'old' if at == '@' else 'default', KINDS.get(kind, kind)))
    return found


def members(archive):
    """{(name, visibility)} of what an archive's objects define for others."""
    found = set()
    for line in tap.run(['readelf', '-sW', str(archive)]).splitlines():
        words = line.split()
        if len(words) >= 8 and words[0].endswith(':') and words[4] in ('GLOBAL', 'WEAK') and words[6] not in ('UND', 'Ndx'):
            found.add((words[7], words[5]))
    return {(name, visibility) for name, visibility in found if not name.startswith('__')}


def format(found):
    return ''.join(' '.join(symbol) + '\n' for symbol in sorted(found))


def parse(text):
    return {Symbol(*line.split()) for line in text.splitlines()}


def dynamic(library):
    """{tag: [values]} of the dynamic section."""
    entries = {}
    for tag, value in re.findall(r'\((\w+)\)\s+(.*)', tap.run(['readelf', '-dW', str(library)])):
        entries.setdefault(tag, []).append(value.strip())
    return entries


def names(entries, tag):
    """The names in brackets of a tag's values."""
    return re.findall(r'\[(.*?)\]', ' '.join(entries.get(tag, [])))
