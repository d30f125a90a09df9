"""
The examples of each release, made of its own headers and its twin, run on today's library by their tests of then, against
programs that are not ours: socat, ncat, curl, wrk. Without a part all of them, «examples:NAME,NAME» is some. Minutes: no
part of every run, but of the suite «abi-programs».
"""

import sys

import place as places
import policy
import stub
import tap
from words import Finding, judge, note, readSettled, shortened, VERSION

from checks import programs, upgrade

PATIENCE = 600  # seconds that the test of an example may take: hundreds of megabytes go through some

# The tests of 1.0.0 wanted io_uring of the machine, for which they asked the tests of the house. Since 1.1 each runs on
# either engine, and asks nobody.
START = '''
import os, runpy, sys, types
sys.modules['tap'] = types.SimpleNamespace(needRingForAll=lambda: None)
sys.argv[:1] = []
sys.path.insert(0, os.path.dirname(sys.argv[0]))
sys.dont_write_bytecode = True
runpy.run_path(sys.argv[0], run_name='__main__')
'''


def directory(release):
    return release.path / 'examples'


def names(release):
    return [path.stem for path in sorted(directory(release).glob('*.c')) if path.stem in policy.EXAMPLES]


def libraryOf(source):
    """The compiler's arguments for what an example embeds the ring in, or has beside it."""
    text = source.read_text()
    package = next((package for header, package in policy.EXAMPLE_PACKAGES.items() if f'#include <{header}' in text), None)
    if package is None:
        return []
    places.needTool('pkg-config', 'pkg-config')
    try:
        return tap.run(['pkg-config', '--cflags', '--libs', package]).split()
    except AssertionError:
        raise tap.Skip(f"no {package} of pkg-config's")


def build(place, release, name):
    """The path of an example."""
    source = directory(release) / f'{name}.c'
    twin, headers = stub.build(place, release), sorted(directory(release).rglob('*.h'))
    flags = ['-std=gnu11', '-O1', '-w', '-pthread']
    libraries = libraryOf(source)

    def make(work):
        place.compile([*flags, '-I', release.include, source, twin, *libraries, '-o', work / name])
    return place.made(name, [*flags, *libraries, twin, source, *headers, *release.headers], make)


def findings(place, release, name, engine):
    found = attempt(place, release, name, engine)
    if not found:
        return
    # Some tests of then have seconds in them, which a machine that does much else may not have.
    again = {one.subject for one in attempt(place, release, name, engine)}
    for one in found:
        if one.subject in again:
            yield one
        else:
            note(f"{one.subject} passes only when it is asked again")


def attempt(place, release, name, engine):
    """What a run of an example's test has against the library."""
    # The tests of the programs that embed a ring are told first which of them it is.
    test, *others = policy.EXAMPLES[name]
    words = [name] if test != name else []
    built = [build(place, release, other) for other in [name, *others]]
    status, text = upgrade.run(place, sys.executable, place.library, engine if engine == 'epoll' else '',
                               '-c', START, directory(release) / 'test' / f'{test}.py', *words, *built, patience=PATIENCE)
    settled = readSettled(place.root)
    found, failed = [], programs.failures(text)
    for case, said in failed.items():
        if (release.version, engine, case) in settled:
            note(f"settled: {case}: {settled[release.version, engine, case]}")
        else:
            found.append(finding(release, case, engine, said))
    if status != 0 and not failed or not text.startswith('1..'):
        found.append(finding(release, name, engine, f"status {status}\n{text}"))
    skipped = [line.partition(' # SKIP ')[2] for line in text.splitlines() if ' # SKIP ' in line]
    if skipped:
        note(f"{name}: {len(skipped)} cases are skipped: {', '.join(sorted(set(skipped)))}")
    return found


def finding(release, subject, engine, told):
    return Finding(subject, f"an example of {release.version}, compiled then, no longer passes its test of then on {engine}:\n"
                   f"                  {shortened(told, 40)}",
                   "programs that were written after it", VERSION)


def one(place, release, name, engine):
    upgrade.needPlain(place)
    judge(place.root, release.version, 'examples', findings(place, release, name, engine))


def cases(place, part=''):
    chosen = part.split(',') if part else list(policy.EXAMPLES)
    return [(f'examples/{release.version}/{name}/{engine}',
             lambda release=release, name=name, engine=engine: one(place, release, name, engine))
            for release in place.releases() for engine in programs.engines() for name in names(release) if name in chosen]
