"""
The frozen compile-time asserts hold with today's headers; and no two constants of a family are the same.
"""

import re

import declarations
import layouts
import tap
from words import Finding, judge, ADD

from checks import eachRelease


def failedLines(place, path):
    """{line number: message} of the errors in a file."""
    status, text = place.tryCompile(['-std=gnu11', '-w', '-fsyntax-only', '-fno-diagnostics-color',
                                     '-ferror-limit=0' if place.isClang else '-fmax-errors=0', '-I', place.include, path])
    found = {}
    for line, message in re.findall(rf'^{re.escape(str(path))}:(\d+):\d+: (?:fatal )?error: (.*)$', text, re.M):
        found.setdefault(int(line), message)
    assert status == 0 or found, text
    return found


def findings(place, release):
    path = release.path / f'layout-{place.cpu}.c'
    if not path.exists():
        raise tap.Skip(f"{release.version} has no layout of {place.cpu}: abi-record on such a machine adds it")
    lines = path.read_text().splitlines()
    for number, message in sorted(failedLines(place, path).items()):
        match = re.search(r', "(.*)"\);$', lines[number - 1])
        told = match.group(1) if match else message
        found = re.match(r'(?:(?:struct|union|enum) )?(\w+)', told)
        yield Finding(found.group(1), f"{told}; today {shown(message)}",
                      "the old number or type is compiled into every program", ADD)


def shown(message):
    return "it is otherwise" if re.search(r'static.?assert', message) else f"the compiler says: {message}"


def families(place):
    known = declarations.read(place, place.include)
    pairs = list(layouts.families(known))
    text = ''.join(f'#include <{name}>\n' for name in declarations.headerNames(place.include))
    first = text.count('\n') + 1
    text += ''.join(layouts.told(condition, 'same') + '\n' for _, _, condition in pairs)
    path = place.made('families.c', [text], lambda work: (work / 'families.c').write_text(text))
    for number in sorted(failedLines(place, path)):
        one, other, _ = pairs[number - first]
        yield Finding(other, f"{one} and {other} have the same value, or share a bit",
                      "the library can't tell which of them a program means", "take the next free number")


def cases(place):
    return eachRelease(place, 'layout', findings) + [
        ('layout/families', lambda: judge(place.root, 'today', 'layout', families(place)))]
