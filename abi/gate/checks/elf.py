"""The file itself: its soname, what it needs, how it was linked."""

import re

import objects
import policy
import tap
from words import Finding, judge, BUILD, KEEP

from checks import eachRelease

FORBIDDEN = {
    'TEXTREL': "text relocations: its pages can't be shared, and hardened systems refuse to load it",
    'RPATH': "a path of the builder's: it looks for libraries where others may have put theirs",
    'RUNPATH': "a path of the builder's: it looks for libraries where others may have put theirs",
}


def today(place):
    entries = objects.dynamic(place.library)
    names = objects.names(entries, 'SONAME')
    if names != [place.soname]:
        yield Finding('soname', f"the soname is {names}, and abi/soname says {place.soname}",
                      "no program linked with an earlier release finds the library",
                      "put it back in lib/meson.build (soversion); a break that is meant changes abi/soname too")
    if place.sanitize == 'none':
        yield from linking(entries, place)
    headers = tap.run(['readelf', '-lW', str(place.library)])
    if 'GNU_RELRO' not in headers:
        yield Finding('relro', "the library has no GNU_RELRO segment", "a memory error can overwrite its tables", BUILD)
    stack = re.search(r'GNU_STACK.*', headers)
    if not stack or 'E' in stack.group(0).split('0x')[-2].split()[-1]:
        yield Finding('stack', "the library asks for an executable stack", "hardened systems refuse to load it", BUILD)


def linking(entries, place):
    flags = ' '.join(entries.get('FLAGS', []) + entries.get('FLAGS_1', []))
    if 'NOW' not in flags:
        yield Finding('now', "the library is no longer bound at once (-z now)", "a memory error can overwrite its tables", BUILD)
    if 'NODELETE' not in flags:
        yield Finding('nodelete', "the library can be unloaded (-z nodelete is lost)",
                      "a runtime that unloads it leaves the kernel with its buffers", BUILD)
    for flag in sorted(set(re.findall(r'[A-Z]{3,}', ' '.join(entries.get('FLAGS_1', [])))) - policy.FLAGS):
        yield Finding(flag.lower(), f"the loader is told {flag}, which it was not",
                      "it treats the library in another way: with NOOPEN, for one, no runtime can load it", "link it without")
    if 'STATIC_TLS' in flags:
        yield Finding('tls', "the library uses static thread-local storage", "dlopen fails where that room is used up",
                      "compile with -fPIC, and without -ftls-model")
    for tag, reason in FORBIDDEN.items():
        if tag in entries:
            yield Finding(tag.lower(), f"the library has {tag}", reason, "link it without")
    for name in objects.names(entries, 'NEEDED'):
        if not re.fullmatch(policy.NEEDED, name):
            yield Finding(name, f"the library needs {name}", "every program and package gets a new dependency",
                          "do without, or load it only where it is used")
    undefined = tap.run(['nm', '-D', '--undefined-only', str(place.library)])
    if place.hardened and '__stack_chk_fail' not in undefined:
        yield Finding('protector', "the library is compiled without the stack protector",
                      "a buffer overflow that was caught goes on unseen", BUILD)


def findings(place, release):
    """What a frozen release says of itself must still be true."""
    now = objects.names(objects.dynamic(place.library), 'NEEDED')
    if place.sanitize != 'none':
        raise tap.Skip("built with sanitizers")
    known = {plain(name) for name in release.elf['needed']}
    for name in now:
        if plain(name) not in known and not re.match(policy.OF_PROCESSOR, name):
            yield Finding(name, f"the library needs {name}, which {release.version} did not",
                          "every program and package gets a new dependency", KEEP)


def plain(name):
    """A needed library's name, without the number of one that programs don't see."""
    base = name.partition('.so.')[0]
    return base if base in policy.INNER else name


def cases(place):
    return [('elf/today', lambda: judge(place.root, 'today', 'elf', today(place)))] + eachRelease(place, 'elf', findings)
