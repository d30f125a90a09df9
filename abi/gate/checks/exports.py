"""The exported set, the version script and the functions that the headers declare are the same."""

import re

import declarations
import objects
import source
from words import Finding, judge, SAME, NODE


def findings(place):
    nodes = source.versionNodes((place.root / 'lib' / 'libfastsocket.map').read_text())
    scripted = {name for node in nodes.values() for name in node['global']}
    symbols = objects.symbols(place.library)
    exported = {symbol.name for symbol in symbols}
    declared = {key.split(' ', 1)[1] for key, text in declarations.read(place, place.include).items()
                if key.startswith('function ') and not re.match(r'(static|inline)\b', text)}
    yield from differences(declared, 'the public headers declare', scripted, 'the version script')
    yield from differences(scripted, 'the version script names', exported, 'the library')
    yield from defaults(symbols, nodes)
    yield from wildcards(nodes)


def differences(one, first, other, second):
    for name in sorted(one ^ other):
        inOne = name in one
        yield Finding(name, f"{first} {name}, which {second} lacks" if inOne else f"{second} has {name}, which nobody declares",
                      "programs that call it can't be linked" if inOne else
                      "programs come to depend on what was never promised, and it must be kept for ever",
                      "name it in include/Ring/, in lib/libfastsocket.map and in the code, or nowhere")


def defaults(symbols, nodes):
    for name in sorted({symbol.name for symbol in symbols}):
        having = [symbol for symbol in symbols if symbol.name == name]
        chosen = [symbol for symbol in having if symbol.role == 'default']
        if len(chosen) != 1:
            yield Finding(name, f"{name} has {len(chosen)} default versions: {', '.join(map(str, sorted(having)))}",
                          "the linker can't choose one for new programs",
                          "mark exactly one with FAST_SYMBOL_DEFAULT (lib/export.h)")
        for symbol in having:
            if symbol.node not in nodes:
                yield Finding(name, f"{name} has the version {symbol.node}, which lib/libfastsocket.map lacks",
                              "programs that need a version are refused by the loader, or get another one",
                              "link the library with its version script")
            elif name not in nodes[symbol.node]['global']:
                yield Finding(name, f"{symbol} is not named in that node of lib/libfastsocket.map",
                              "the map no longer tells what the library has", SAME)
    for node, parts in nodes.items():
        for name in parts['global']:
            if not any(symbol.name == name and symbol.node == node for symbol in symbols):
                yield Finding(name, f"the node {node} names {name}, which the library doesn't have there",
                              "programs linked with that version are refused by the loader",
                              "define the old version with FAST_SYMBOL_OLD (lib/export.h)")


def wildcards(nodes):
    for node, parts in nodes.items():
        for name in parts['global']:
            if not re.fullmatch(r'\w+', name):
                yield Finding(node, f"the node {node} exports {name}, a pattern",
                              "internals become public without anybody having decided so", "name each function")
            if parts['global'].count(name) > 1:
                yield Finding(name, f"the node {node} names {name} twice", "nothing yet", NODE)
    if [parts['local'] for parts in nodes.values()].count(['*']) != 1:
        yield Finding('local', "«local: *» is not there exactly once in lib/libfastsocket.map",
                      "internals become public, and clash with names of programs", "put it into the first node")


def cases(place):
    return [('exports/today', lambda: judge(place.root, 'today', 'exports', findings(place)))]
