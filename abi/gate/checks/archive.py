"""
The archive: what a program that is linked statically gets. Its objects can stand in shared libraries, too, and give
nothing but the public functions to those who link with them.
"""

import re

import declarations
import objects
import tap
from words import Finding, judge, shortened, BUILD

# What <sys/sdt.h> makes of probes: the names have the provider's in them, and the other is every such file's own.
PROBES = re.compile(r'fastsocket_[a-z]+_semaphore|_\.stapsdt\.base')


def need(place):
    if place.archive is None:
        raise tap.Skip("no archive is built here")
    if place.sanitize != 'none':
        raise tap.Skip("built with sanitizers")


def findings(place):
    need(place)
    yield from independent(place)
    found = [one for one in objects.members(place.archive) if not PROBES.fullmatch(one[0])]
    if not found:
        raise tap.Skip("its objects are the compiler's own (link-time optimisation)")
    visible = {name for name, visibility in found if visibility == 'DEFAULT'}
    declared = {key.split(' ', 1)[1] for key in declarations.read(place, place.include) if key.startswith('function ')}
    for name in sorted(visible - declared):
        yield Finding(name, f"the archive's {name} is visible, and no public header declares it",
                      "a shared library that the archive is linked into exports it, and programs come to depend on it",
                      "leave it hidden (gnu_symbol_visibility in lib/meson.build)")
    for name in sorted(declared - visible):
        yield Finding(name, f"the archive doesn't give {name}", "programs that call it can't be linked statically",
                      "define it in a file of library_sources, with what lib/export.h says")
    for name in sorted({name for name, _ in found} - declared):
        if not declarations.isOwn('function', name):
            yield Finding(name, f"the archive defines {name}", "a program with a function of that name can't be linked with it",
                          "make it static, or give it a name with Fast in it")


def independent(place):
    """Its code may lie anywhere: shared libraries are made of it."""
    def make(work):
        place.compile(['-shared', '-Wl,-z,text', '-Wl,--whole-archive', place.archive, '-Wl,--no-whole-archive',
                       '-o', work / 'whole.so'])
    try:
        place.made('whole.so', [place.archive], make)
    except AssertionError as error:
        text = re.sub(r'\S*/', '', str(error).partition('\n')[2])
        yield Finding('pic', f"no shared library can be made of the archive:\n                  {shortened(text, 4)}",
                      "libraries and plugins that are linked with it", BUILD)


def cases(place):
    return [('archive/today', lambda: judge(place.root, 'today', 'archive', findings(place)))]
