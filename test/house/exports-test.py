#!/usr/bin/env python3
"""
What the built library shows to the outside: symbols, soname, what it needs, how it is linked.

usage: exports-test.py SOURCE_ROOT LIBRARY ARCHIVE NM READELF SANITIZE
"""

import ctypes
import pathlib
import re
import sys

import source
import tap

root, library, archive, nm, readelf, sanitize = sys.argv[1:7]
root = pathlib.Path(root)


def declared():
    names = []
    for path in sorted((root / 'include' / 'Ring').glob('*.h')):
        names += source.declaredFunctions(path.read_text())
    assert len(names) == len(set(names)), "a function is declared twice"
    assert 'CreateFastSocket' in names and len(names) > 50, "the headers were not understood"
    return set(names)


def nodes():
    return source.versionNodes((root / 'lib' / 'libfastsocket.map').read_text())


def scripted():
    return {name for node in nodes().values() for name in node['global']}


def difference(one, other, first, second):
    lines = [f"{name}: in {first}, not in {second}" for name in sorted(one - other)]
    lines += [f"{name}: in {second}, not in {first}" for name in sorted(other - one)]
    return "\n".join(lines)


def exported():
    """(name, version, type) of every dynamic symbol that the library defines."""
    symbols = []
    for line in tap.run([nm, '-D', '--defined-only', '--with-symbol-versions',
                         library]).splitlines():
        _, kind, name = line.split()
        if kind != 'A':
            symbols.append((*re.match(r'([^@]+)(@.*)?$', name).groups(), kind))
    return symbols


def scriptIsHeaders():
    fault = difference(scripted(), declared(), 'the version script', 'the headers')
    assert not fault, fault


def libraryIsScript():
    fault = difference({name for name, _, _ in exported()}, scripted(),
                       'the library', 'the version script')
    assert not fault, fault


def versions():
    """Each name has one default version; where there are two, the older ones are for programs of
    then."""
    nodesOf = {}
    for node, parts in nodes().items():
        for name in parts['global']:
            nodesOf.setdefault(name, []).append(node)
    for name, version, kind in exported():
        assert kind == 'T', f"{name} is no function"
        *older, newest = nodesOf.get(name, [''])
        assert version in ['@@' + newest] + ['@' + node for node in older], \
            f"{name} has the version {version}"


def wildcards():
    for node, parts in nodes().items():
        for name in parts['global']:
            assert re.fullmatch(r'\w+', name), f"{node} exports {name}"
            assert parts['global'].count(name) == 1, f"{node} exports {name} twice"
    assert [parts['local'] for parts in nodes().values()].count(['*']) == 1, \
        "local: * is not there once"


def visibility():
    """Hidden internals are the compiler's work, not only the version script's."""
    public = declared()
    seen = set()
    for line in tap.run([readelf, '-sW', archive]).splitlines():
        fields = line.split()
        if len(fields) < 8 or fields[4] not in ('GLOBAL', 'WEAK') or fields[6] == 'UND':
            continue
        binding, name = fields[5], fields[7]
        if name in public:
            seen.add(name)
            assert binding == 'DEFAULT', f"{name} is {binding}"
        elif sanitize == 'none':
            assert binding == 'HIDDEN', f"{name} is {binding}"
    assert seen == public, difference(seen, public, 'the archive', 'the headers')


def prefixes():
    """Names of a static link can't clash: each global one is a Fast one, or public. Those of the
    semaphores of probes are made by <sys/sdt.h>."""
    public = declared()
    semaphore = re.compile(r'fastsocket_[a-z]+_semaphore')
    for line in tap.run([readelf, '-sW', archive]).splitlines():
        fields = line.split()
        if len(fields) < 8 or fields[4] != 'GLOBAL' or fields[6] == 'UND':
            continue
        name = fields[7]
        if not name.startswith('__') and not semaphore.fullmatch(name):
            assert name in public or name.startswith('Fast'), name


def dynamic():
    entries = {}
    for tag, value in re.findall(r'\((\w+)\)\s+(.*)', tap.run([readelf, '-dW', library])):
        entries.setdefault(tag, []).append(value.strip())
    return entries


def soname():
    assert dynamic()['SONAME'] == ['Library soname: [libfastsocket.so.1]'], dynamic()['SONAME']


def needed():
    if sanitize != 'none':
        raise tap.Skip("built with sanitizers")
    names = set(re.findall(r'\[(.*?)\]', ' '.join(dynamic()['NEEDED'])))
    # The loader is libc's, and named where there are thread-local variables; libatomic where 32
    # bits need it.
    extra = {name for name in names
             if not re.match(r'(liburing|libc|ld-linux[\w-]*|ld64|libatomic)\.so\.', name)}
    assert not extra, f"needs {extra}"


def hardened():
    entries = dynamic()
    assert 'NOW' in ' '.join(entries.get('FLAGS', []) + entries.get('FLAGS_1', [])), \
        "not bound at once"
    assert 'NODELETE' in ' '.join(entries.get('FLAGS_1', [])), "can be unloaded"
    for tag in ('TEXTREL', 'RPATH', 'RUNPATH'):
        assert tag not in entries or sanitize != 'none', tag
    headers = tap.run([readelf, '-lW', library])
    assert 'GNU_RELRO' in headers, "no RELRO"
    stack = re.search(r'GNU_STACK.*', headers).group(0)
    assert 'E' not in stack.split('0x')[-2].split()[-1], f"executable stack: {stack}"


def loads():
    """A runtime that isn't C loads it at run time."""
    if sanitize != 'none':
        raise tap.Skip("built with sanitizers")
    loaded = ctypes.CDLL(library)
    loaded.GetFastSocketVersion.restype = ctypes.c_char_p
    version = re.search(r"version: '([\d.]+)'", (root / 'meson.build').read_text()).group(1)
    assert loaded.GetFastSocketVersion().decode() == version


tap.runCases([
    ('exports/scriptIsHeaders', scriptIsHeaders),
    ('exports/libraryIsScript', libraryIsScript),
    ('exports/versions', versions),
    ('exports/wildcards', wildcards),
    ('exports/visibility', visibility),
    ('exports/prefixes', prefixes),
    ('exports/soname', soname),
    ('exports/needed', needed),
    ('exports/hardened', hardened),
    ('exports/loads', loads),
])
