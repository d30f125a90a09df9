"""No declaration and no macro of a frozen release is lost or changed."""

import re

import declarations
import policy
import tap
from words import Finding, ADD, APPEND, KEEP

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
    if place.tryCompile(['-fsyntax-only', '-x', 'c++', '/dev/null'])[0] != 0:
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
        elif now[key] != then[key] and not hasGrown(name, then[key], now[key]):
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


def hasGrown(name, then, now):
    """A struct of those that grow has the old fields first, and behind them more of the one type that leaves no gaps."""
    start, _, end = then.rpartition('}')
    return name in policy.GROWING and now.startswith(start) and re.fullmatch(
        rf'({policy.GROWTH} \w+ ; )*' + re.escape('}' + end), now[len(start):]) is not None


def cases(place):
    return eachRelease(place, 'header', findings) + [
        (f'{case}/c++', call) for case, call in eachRelease(place, 'header', findingsOfCplusplus)]
