"""
Public types that no function's signature reaches: a generated library has a variable of each, made with
the headers of then and of now.
"""

import declarations
import dumps
from words import Finding, judge, ADD, shortened

from checks import abidiff


def write(known, headers):
    """The source of the witness."""
    lines = [f'#include <{name}>' for name in headers]
    for key in sorted(known):
        kind, name = key.split(' ', 1)
        # By pointers, since the size of a variable is a part of its symbol, and some structs may grow.
        if kind in ('struct', 'union', 'enum') and '{' in known[key]:
            lines.append(f'{key}* witness_{name};')
        elif kind == 'typedef':
            lines.append(f'{name}* witness_{name};')
    return '\n'.join(lines) + '\n'


def build(place, include, text):
    """The dump of the witness with these headers."""
    def make(work):
        (work / 'witness.c').write_text(text)
        # Clang may leave out what is only pointed to.
        whole = ['-fstandalone-debug'] if place.isClang else []
        place.compile(['-std=gnu11', '-w', '-g', *whole, '-O0', '-fPIC', '-shared', '-I', include, work / 'witness.c',
                       '-o', work / 'witness.so'])
    library = place.made('witness.so', [text, *sorted(include.glob('Ring/*.h'))], make)
    return dumps.dump(place, library, include)


def recordedText(release):
    known = declarations.parse((release.path / 'declarations').read_text())
    return write(known, declarations.headerNames(release.include))


def findings(place, release, rebuilt):
    dumps.need()
    text = recordedText(release)
    try:
        new = build(place, place.include, text)
    except AssertionError as error:
        return [Finding('compile', f"a program with a variable of each public type no longer compiles:\n"
                        f"                  {shortened(str(error))}",
                        "programs that use the type can't be compiled", ADD)]
    if rebuilt:
        old = build(place, release.include, text)
    else:
        old = abidiff.recorded(place, release, f'witness-{place.cpu}.xml')
        abidiff.comparable(old, new)
    return dumps.compare(place, old, new)


def cases(place):
    found = []
    for release in place.releases():
        for name, rebuilt in (('recorded', False), ('rebuilt', True)):
            found.append((f'witness/{release.version}/{name}', lambda release=release, rebuilt=rebuilt: judge(
                place.root, release.version, 'witness', findings(place, release, rebuilt))))
    return found
