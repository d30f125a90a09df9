"""
No declaration and no macro of a frozen release is lost or changed; nothing is added that could be a program's name; and
the headers say the same whatever a program defines.
"""

import re

import declarations
import policy
import tap
from words import Finding, judge, ADD, APPEND, KEEP

from checks import eachRelease

BREAKS = {
    'macro': "the old value is compiled into every program, which would then ask for something else",
    'include': "programs that rely on that header's names no longer compile",
    'function': "programs pass arguments and take results in the old way",
    'typedef': "programs' callbacks are called, or their values read, in another way than they were compiled for",
    'struct': "programs read and write the fields where they were",
    'union': "programs read and write the members as they were",
    'enum': "the old values are compiled into every program",
    'variable': "programs read it as it was",
}


def findings(place, release):
    then = declarations.parse((release.path / 'declarations').read_text())
    yield from changes(then, declarations.read(place, place.include))


def findingsOfCplusplus(place, release):
    """The headers may tell C++ something else; the frozen ones are asked what they told it."""
    if not hasCplusplus(place):
        raise tap.Skip("no C++ compiler")
    yield from changes(declarations.read(place, release.include, 'c++'), declarations.read(place, place.include, 'c++'))


def changes(then, now):
    yield from hiding(then, now)
    for key in sorted(then):
        kind, name = key.split(' ', 1)
        if kind == 'macro' and declarations.VERSION.match(name):
            continue
        if key not in now:
            yield Finding(subject(kind, name), f"the {kind} {name} is gone from the headers",
                          "programs that use it no longer compile", KEEP)
        elif not isSame(kind, name, then[key], now[key]):
            yield Finding(subject(kind, name), f"the {kind} {name}\n"
                          f"                  was    {then[key]}\n"
                          f"                  is now {now[key]}", BREAKS[kind], APPEND if name in policy.GROWING else ADD)


def hiding(then, now):
    """Functions that a macro of the same name hides, which it did not."""
    for key in sorted(now):
        kind, name = key.split(' ', 1)
        if kind == 'macro' and f'function {name}' in then and key not in then:
            yield Finding(name, f"a macro hides the function {name}", "programs that are built anew no longer call it", ADD)


def subject(kind, name):
    return name.replace(' ', '') if kind == 'include' else name


def isSame(kind, name, then, now):
    if kind == 'function' and name in policy.CALLING and ('nothrow' in now) != ('nothrow' in then):
        return False  # what a C++ program's function throws would no longer come through
    return declarations.canonical(now) == declarations.canonical(then) or hasGrown(name, then, now)


def hasGrown(name, then, now):
    """A struct of those that grow has the old fields first, and behind them more of the one type that leaves no gaps."""
    start, _, end = then.rpartition('}')
    return name in policy.GROWING and now.startswith(start) and re.fullmatch(
        rf'({policy.GROWTH} \w+ ; )*' + re.escape('}' + end), now[len(start):]) is not None


def strangers(place):
    """Names that are nobody's in particular, and what is done to those of others."""
    known = set()
    for release in place.releases():
        known |= set(declarations.names(declarations.parse((release.path / 'declarations').read_text())))
    for language in ('c', 'c++') if hasCplusplus(place) else ('c',):
        for kind, name in declarations.names(declarations.read(place, place.include, language)):
            if (kind, name) not in known and not declarations.isOwn(kind, name):
                yield Finding(name, f"the headers define the {kind} {name}", "a program or another library may have that "
                              "name, or mean something else by it", "give it a name that says whose it is, as the others have")
    for what, name in declarations.foreign(place, place.include):
        yield Finding(name.split()[0], f"the headers have #{what} {name}", "what a program has defined, or how its own types "
                      "are laid out, changes behind it", "do without")


def conditional(place):
    """The same declarations and numbers in every way of compiling."""
    plain = declarations.read(place, place.include)
    for way, arguments in policy.WAYS.items():
        other = declarations.read(place, place.include, 'c', arguments)
        for key in sorted(plain.keys() | other.keys()):
            if plain.get(key) != other.get(key):
                kind, name = key.split(' ', 1)
                yield Finding(subject(kind, name), f"with {way} the {kind} {name}\n"
                              f"                  is {other.get(key, 'not there')}\n"
                              f"                  and without it {plain.get(key, 'not there')}",
                              "parts of a program that are compiled otherwise, and the library, don't mean the same",
                              "declare it without a condition")


def hasCplusplus(place):
    return place.tryCompile(['-fsyntax-only', '-x', 'c++', '/dev/null'])[0] == 0


def cases(place):
    today = [(f'header/today/{name}', lambda call=call: judge(place.root, 'today', 'header', call(place)))
             for name, call in (('names', strangers), ('conditions', conditional))]
    return eachRelease(place, 'header', findings) + [
        (f'{case}/c++', call) for case, call in eachRelease(place, 'header', findingsOfCplusplus)] + today
