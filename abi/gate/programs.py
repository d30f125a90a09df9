"""
The api programs of a release, made anew of its frozen folder: of abi/VERSION/programs/api each NAME-test.c,
with what lies in programs/helper, its own headers, and its twin. Calls that the helper takes between
program and library are those that it defines as __wrap_NAME.
"""

import re
import subprocess

import place as places
import stub
import tap

# Fast to compile; what they find out doesn't depend on it. A warning of a later compiler's is no finding.
FLAGS = ['-std=gnu11', '-D_GNU_SOURCE=', '-O0', '-w', '-pthread']

WRAPPED = re.compile(r'\b__wrap_(\w+)\(')


def needCheck():
    """The arguments that libcheck asks for, of the compiler and of the linker."""
    places.needTool('pkg-config', 'pkg-config')
    if subprocess.run(['pkg-config', '--exists', 'check'], stdin=subprocess.DEVNULL).returncode != 0:
        raise tap.Skip("no libcheck (package check)")
    return [tap.run(['pkg-config', option, 'check']).split() for option in ('--cflags', '--libs')]


def names(release):
    return [path.name[:-len('-test.c')] for path in sorted((release.path / 'programs' / 'api').glob('*-test.c'))]


def headers(release):
    return sorted((release.path / 'programs').rglob('*.h'))


def helpers(release):
    return sorted((release.path / 'programs' / 'helper').glob('*.c'))


def searched(release):
    return ['-I', release.include, '-I', release.path / 'programs' / 'helper']


def buildHelper(place, release):
    """What all programs of the release share, in one object."""
    flags, _ = needCheck()

    def make(work):
        place.compile([*FLAGS, *flags, *searched(release), '-r', '-nostdlib', *helpers(release), '-o', work / 'helper.o'])
    return place.made('helper.o', [*FLAGS, *release.headers, *headers(release), *helpers(release)], make)


def wraps(release):
    text = ''.join(path.read_text() for path in helpers(release))
    return [f'-Wl,--wrap={name}' for name in sorted(set(WRAPPED.findall(text)))]


def build(place, release, name):
    """The path of a program."""
    flags, libraries = needCheck()
    source = release.path / 'programs' / 'api' / f'{name}-test.c'
    twin, helper = stub.build(place, release), buildHelper(place, release)

    def make(work):
        place.compile([*FLAGS, *flags, *searched(release), source, helper, twin, *libraries, *wraps(release),
                       '-o', work / f'{name}-test'])
    return place.made(f'{name}-test', [*FLAGS, twin, helper, source, *release.headers, *headers(release)], make)
