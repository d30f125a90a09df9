"""Each frozen symbol is still there, in its node and of its kind; released nodes have nothing new."""

import objects
from words import Finding, KEEP, NODE, VERSION

from checks import eachRelease


def findings(place, release):
    frozen = objects.parse((release.path / 'symbols').read_text())
    now = objects.symbols(place.library)
    for symbol in sorted(frozen):
        same = [other for other in now if (other.name, other.node) == (symbol.name, symbol.node)]
        if not same:
            yield lost(symbol, now)
        elif same[0].kind != symbol.kind:
            yield Finding(symbol.name, f"{symbol} was a {symbol.kind} and is a {same[0].kind}",
                          "programs that call it jump into data, or read code", KEEP)
        elif symbol.role == 'default' and same[0].role == 'old' and not newDefault(symbol, now):
            yield Finding(symbol.name, f"{symbol.name} has no default version any more",
                          "no new program can be linked with it", "add the newer version it was made old for, as default")
        elif symbol.role == 'old' and same[0].role == 'default':
            yield Finding(symbol.name, f"{symbol.name} is the default of {symbol.node} again",
                          "new programs get the old behaviour", KEEP)
    closed = {symbol.node for symbol in frozen}
    known = {(symbol.name, symbol.node) for symbol in frozen}
    for symbol in sorted(now):
        if symbol.node in closed and (symbol.name, symbol.node) not in known:
            yield Finding(symbol.name, f"{symbol.name} was added to {symbol.node}, which was closed by the release of {release.version}",
                          f"a program that uses it starts on {release.version}, whose node has the same name, and dies at the first call",
                          NODE)


def newDefault(symbol, now):
    return any(other.name == symbol.name and other.role == 'default' for other in now)


def lost(symbol, now):
    elsewhere = sorted(str(other) for other in now if other.name == symbol.name)
    if elsewhere:
        return Finding(symbol.name, f"{symbol} has moved: now it is {', '.join(elsewhere)}",
                       "the loader refuses every program linked with the old version", VERSION)
    return Finding(symbol.name, f"{symbol} is gone", "every program that uses it no longer starts", KEEP)


def cases(place):
    return eachRelease(place, 'symbols', findings)
