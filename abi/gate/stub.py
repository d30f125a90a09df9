"""
The twin of a release: a shared library with its symbols in their nodes and its types, made anew of the
frozen folder. Programs linked with it are what programs linked with the release were; its functions do
nothing, since it is never run.
"""

import declarations
import objects

UNKNOWN = 'void {name}(void)'


def build(place, release):
    """The path of the twin's file, which has the soname as its name."""
    symbols = objects.parse((release.path / 'symbols').read_text())
    known = declarations.parse((release.path / 'declarations').read_text())
    source, script = write(symbols, known, declarations.headerNames(release.include), place.isClang)

    def make(work):
        (work / 'twin.c').write_text(source)
        (work / 'twin.map').write_text(script)
        place.compile(['-std=gnu2x', '-w', '-g', '-O0', '-fPIC', '-shared', '-I', release.include, work / 'twin.c',
                       f'-Wl,--version-script={work / "twin.map"}', f'-Wl,-soname,{release.soname}',
                       '-o', work / release.soname])
    return place.made(release.soname, [source, script, release.version, *release.headers], make)


def write(symbols, known, headers, isClang):
    """The twin's source and version script."""
    lines = [f'#include <{name}>' for name in headers]
    several = {symbol.name for symbol in symbols if symbol.role == 'old'}
    for number, symbol in enumerate(sorted(symbols)):
        text = known.get('function ' + symbol.name)
        signature = text if text is not None else UNKNOWN.format(name=symbol.name)
        if symbol.name not in several:
            lines.append(f'{signature} {{ __builtin_trap(); }}')
            continue
        own = f'twin{number}'
        lines += versioned(signature, symbol, own, isClang)
    nodes = sorted({symbol.node for symbol in symbols}, key=nodeKey)
    script, before = [], ''
    for node in nodes:
        names = ' '.join(sorted(f'{symbol.name};' for symbol in symbols if symbol.node == node))
        local = ' local: *;' if not before else ''
        script.append(f'{node} {{ global: {names}{local} }} {before};'.replace(' ;', ';'))
        before = node
    return '\n'.join(lines) + '\n', '\n'.join(script) + '\n'


def versioned(signature, symbol, own, isClang):
    """A function of several versions, under a name of its own."""
    renamed = ' '.join(own if word == symbol.name else word for word in signature.split())
    if isClang:
        return [f'__asm__(".symver {own}, {symbol}");', f'__attribute__((used)) {renamed} {{ __builtin_trap(); }}']
    return [f'__attribute__((symver("{symbol}"))) {renamed} {{ __builtin_trap(); }}']


def nodeKey(node):
    return [int(part) for part in node.rpartition('_')[2].split('.') if part.isdigit()]
