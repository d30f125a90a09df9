"""Who knows whom in lib/, read from the sources and from the objects. A stem is a file's path below
lib/ without its ending."""

import collections
import functools
import pathlib
import re

import source


@functools.lru_cache(10000)
def stemOf(path):
    return str(pathlib.PurePath(path).with_suffix(''))


def includes(library):
    """{stem: {the stems whose headers it includes}}, of headers of lib/ alone."""
    found = {}
    for path in sorted(library.rglob('*.[ch]')):
        stem = stemOf(path.relative_to(library))
        known = found.setdefault(stem, set())
        for quote, name in source.includesOf(path.read_text()):
            if quote == '"' and (library / name).is_file() and stemOf(name) != stem:
                known.add(stemOf(name))
    return found


def callsOfObjects(listing):
    """{(stem, the stem whose symbols it needs): the symbols}, from what nm says of an archive."""
    defined, needed, stem = {}, collections.defaultdict(set), None
    for line in listing.splitlines():
        match = re.search(r'\[?([\w-]+)\.c\.o\]?:$', line)
        if match:
            stem = match[1].replace('_', '/', 1)
            continue
        fields = line.split()
        if len(fields) > 1 and fields[1] == 'U':
            needed[stem].add(fields[0])
        elif len(fields) > 1 and fields[1].isupper():
            defined[fields[0]] = stem
    calls = collections.defaultdict(set)
    for stem, symbols in needed.items():
        for symbol in symbols:
            if defined.get(symbol, stem) != stem:
                calls[stem, defined[symbol]].add(symbol)
    return dict(calls), dict(needed)


def callsOfSources(library):
    """As callsOfObjects, from the sources: no compiler's choice moves it."""
    texts = {stemOf(path.relative_to(library)): source.withoutComments(path.read_text())
             for path in sorted(library.rglob('*.c'))}
    defined = {}
    for stem, text in texts.items():
        for match in re.finditer(r'^(?!static\b)[A-Za-z_][^\n;={}]*?\b(\w+)\([^;{}]*\)\n\{', text,
                                 re.M):
            defined[match[1]] = stem
        for match in re.finditer(r'^(?!static\b|extern\b)const struct \w+ (\w+) =', text, re.M):
            defined[match[1]] = stem
    calls = collections.defaultdict(set)
    for stem, text in texts.items():
        for name in set(re.findall(r'\bFast\w+|\b[A-Z]\w+Fast\w+', text)):
            if defined.get(name, stem) != stem:
                calls[stem, defined[name]].add(name)
    return dict(calls)


def circles(edges):
    """A shortest circle through each group of stems that all lead to each other: [[stem, …, the
    first stem]]."""
    after = collections.defaultdict(set)
    for start, end in edges:
        after[start].add(end)
    found, left = [], set(after)
    for stem in sorted(after):
        if stem in left:
            circle = shortestWay(after, stem)
            if circle:
                found.append(circle)
                left -= set(circle)
    return found


def shortestWay(after, stem):
    """From a stem to itself; [] if there is none."""
    ways = collections.deque([[stem]])
    seen = set()
    while ways:
        way = ways.popleft()
        for next in sorted(after[way[-1]]):
            if next == stem:
                return way + [next]
            if next not in seen:
                seen.add(next)
                ways.append(way + [next])
    return []
