"""
The rules around a release: one version everywhere, headers that compile alone, frozen folders that stay
as they are, a consumer that misses nothing.
"""

import hashlib
import re
import shutil
import subprocess
import sys

import declarations
import place as places
import source
import tap
from words import Finding, judge, readWaivers, SAME, shortened

FROZEN = "a frozen folder never changes: put it back from the version control"


def houseTest(place, name, *arguments):
    """What a test of test/house refuses: findings, one for each of its cases."""
    result = subprocess.run([sys.executable, places.HOUSE / f'{name}-test.py', *map(str, arguments)],
                            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=places.PATIENCE)
    failed = re.findall(r'^not ok \d+ - (.*)$', result.stdout, re.M)
    if result.returncode != 0 and not failed:
        failed = [name]
    return failed, result.stderr


def version(place):
    failed, text = houseTest(place, 'version', place.root, place.version)
    for case in failed:
        yield Finding(case.rpartition('/')[2], f"{case}: meson.build says {place.version}; {shortened(text)}",
                      "programs, packages and people are told different versions", SAME)
    newest = max((release.key for release in place.releases()), default=(0, 0, 0))
    if tuple(map(int, place.version.split('.'))) < newest:
        yield Finding('version', f"{place.version} is older than the newest frozen release", "upgrades go backwards", SAME)


def headers(place):
    failed, text = houseTest(place, 'headers', place.root, 'clang' if place.isClang else 'gcc')
    if failed:
        yield Finding('headers', f"{', '.join(failed)}: a public header no longer compiles alone\n"
                      f"                  {shortened(text)}", "programs that include it first", "include what it uses")


def linkage(place):
    """C++ programs see the functions under their C names."""
    compiler = next((name for name in ('g++', 'clang++') if shutil.which(name)), None)
    if compiler is None:
        raise tap.Skip("no C++ compiler")
    names = sorted(key.split(' ', 1)[1] for key in declarations.read(place, place.include) if key.startswith('function '))
    text = ''.join(f'#include <{name}>\n' for name in declarations.headerNames(place.include))
    text += ''.join(f'const void* use{number} = (const void*)&{name};\n' for number, name in enumerate(names))

    def make(work):
        (work / 'use.cc').write_text(text)
        tap.run([compiler, '-w', '-c', '-I', str(place.include), str(work / 'use.cc'), '-o', str(work / 'use.o')])
    built = place.made('use.o', [text, *sorted(place.include.glob('Ring/*.h'))], make)
    found = set(re.findall(r'\bU (\w+)', tap.run(['nm', str(built)])))
    for name in names:
        if name not in found:
            yield Finding(name, f"to C++ {name} has another name than to C", "C++ programs can't be linked with it",
                          'declare it inside extern "C"')


def digests(directory):
    """{name: digest} of the files of a frozen folder."""
    return {path.relative_to(directory).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(directory.rglob('*')) if path.is_file() and path.name != 'digests'}


def frozen(place):
    releases = place.releases()
    if not releases:
        yield Finding('frozen', f"no frozen release has the soname {place.soname}", "nothing is held to anything",
                      "freeze one: ninja -C build abi-record")
    news = re.findall(r'^libfastsocket (\d+\.\d+\.\d+)', (place.root / 'NEWS').read_text(), re.M)
    for version in news:
        if version != place.version and not (place.root / 'abi' / version / 'digests').exists():
            yield Finding(version, f"NEWS tells of {version}, and there is no abi/{version}/", "nothing is held to that release",
                          f"put the folder back, or freeze it from the tag of {version}: ninja -C build abi-record")
    for release in releases:
        known = dict(line.split()[::-1] for line in (release.path / 'digests').read_text().splitlines())
        now = digests(release.path)
        for name in sorted(known.keys() | now.keys()):
            if known.get(name) != now.get(name):
                yield Finding(f'{release.version}/{name}', f"abi/{release.version}/{name} is not what was recorded",
                              "later breaks would pass unseen", FROZEN)


def consumer(place):
    text = ''.join(source.withoutComments(path.read_text()) for path in sorted((place.root / 'abi' / 'consumer').glob('*.[ch]')))
    for key, declaration in sorted(declarations.read(place, place.include).items()):
        kind, name = key.split(' ', 1)
        if kind == 'function' and not re.search(rf'\b{name}\b', text):
            yield Finding(name, f"abi/consumer/ doesn't use {name}", "a change of what it does would pass unseen",
                          "call it there, and compare its results with the header's promises")


def packages(place):
    number = re.search(r'\.so\.(\d+)$', place.soname).group(1)
    text = (place.root / 'debian' / 'control').read_text()
    if not re.search(rf'^Package: libfastsocket{number}$', text, re.M):
        yield Finding('package', f"debian/control has no package libfastsocket{number} for {place.soname}",
                      "two libraries that can't replace each other get the same package", "rename the package with the soname")


def waivers(place):
    known = {release.version for release in place.releases()} | {'today'}
    for release, check, subject in readWaivers(place.root):
        if release not in known:
            yield Finding(subject, f"abi/waivers has a line for {release}, which is no frozen release of {place.soname}",
                          "nothing; but it misleads", "remove the line")


RULES = {'version': version, 'headers': headers, 'linkage': linkage, 'frozen': frozen, 'consumer': consumer,
         'packages': packages, 'waivers': waivers}


def cases(place):
    return [(f'rules/{name}', lambda rule=rule: judge(place.root, 'today', 'rules', rule(place)))
            for name, rule in RULES.items()]
