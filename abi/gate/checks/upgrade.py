"""
The frozen consumer, compiled with the frozen headers and linked with the twin, runs on today's library, with each of
its engines; and it still compiles with today's headers. The consumer that the next release will freeze gets its results, too.
"""

import os
import subprocess
import tempfile

import place as places
import policy
import stub
import tap
from words import Finding, judge, shortened, ADD, SAME, VERSION

ENGINES = ['', 'epoll']  # '': the library's own choice

# Between the consumer's files and its own check(): it goes on where only a bound is wider than it was, and behind that
# where the value is the one that was taken.
GO_ON = r'''
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
static const char* const bounds[] = { %s };
static const char* const behind[] = { %s };
static bool taken;
static bool isOneOf(const char* text, const char* const* texts)
{
    while (**texts != '\0' && strcmp(text, *texts) != 0)
        ++texts;
    return **texts != '\0';
}
void __real_check(bool condition, const char* text, const char* file, int line);
void __wrap_check(bool condition, const char* text, const char* file, int line);
void __wrap_check(bool condition, const char* text, const char* file, int line)
{
    bool wider = !condition && isOneOf(text, bounds);
    if (wider)
        printf("takes more than it did: %%s\n", text);
    __real_check(condition || wider || (taken && isOneOf(text, behind)), text, file, line);
    taken = wider;
}
'''


def flags():
    return ['-std=gnu11', '-D_GNU_SOURCE', '-O1', '-g', '-pthread', '-Wall', '-Wextra', '-Werror']


def build(place, release):
    """The consumer as it was on the day of the release."""
    twin = stub.build(place, release)

    text = GO_ON % tuple(', '.join(f'"{quoted(condition)}"' for condition in [*known.get(release.version, []), ''])
                         for known in (policy.BOUNDS, policy.BEHIND_BOUNDS))

    def make(work):
        (work / 'go-on.c').write_text(text)
        place.compile([*flags(), '-I', release.include, *sources(release), work / 'go-on.c', twin, '-Wl,--wrap=check',
                       '-o', work / 'consumer'])
    return place.made('consumer', [text, twin, *release.headers, *release.consumer], make)


def quoted(text):
    return text.replace('\\', '\\\\').replace('"', '\\"')


def isBound(release, text):
    """The condition that failed is only the refusal of what a later release may take."""
    return any(bound in text for bound in policy.BOUNDS.get(release.version, []))


def on(engine):
    return f" on {engine}" if engine else ''


def sources(release):
    return [path for path in release.consumer if path.suffix == '.c']


def run(place, program, library, engine, *arguments, patience=places.PATIENCE):
    """
    Runs a program on a library; its exit status and what it said. engine: '' is the library's own choice.
    """
    directory = place.made(place.soname, [library],
                           lambda work: (work / place.soname).write_bytes(library.read_bytes())).parent
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(('LD_', 'FASTSOCKET_'))}
    # Behind it what may lie beside the library: another of those that it needs.
    environment.update(LD_LIBRARY_PATH=f'{directory}:{library.parent}', LD_BIND_NOW='1')
    if engine:
        environment['FASTSOCKET_ENGINE'] = engine
    # Into a file: a hanging program's children would keep a pipe open.
    with tempfile.TemporaryFile('w+', errors='replace') as output:
        process = subprocess.Popen([program, *arguments], env=environment, stdin=subprocess.DEVNULL,
                                   stdout=output, stderr=subprocess.STDOUT)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            end(process)
            return None, "it hangs"
        output.seek(0)
        return process.returncode, output.read()


def end(process):
    """Who has children of its own may end them first."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def needPlain(place):
    if place.sanitize != 'none':
        raise tap.Skip("a library with sanitizers can't be loaded by a program without")


def oldProgram(place, release):
    needPlain(place)
    # Also where io_uring is refused: then 1.0.0 gave no ring, and its consumer ends with 77; later libraries do.
    for engine in ENGINES:
        status, text = run(place, build(place, release), place.library, engine)
        if status != 0:
            yield Finding('consumer', f"a program linked with {release.version} no longer gets its results"
                          f"{on(engine)} (status {status}):\n                  {shortened(text)}",
                          "programs that rely on that promise, as the headers of then make it", VERSION)


def oldSource(place, release):
    status, text = place.tryCompile([*flags(), '-fsyntax-only', '-I', place.include, *sources(release)])
    if status != 0:
        yield Finding('source', f"the source of a program for {release.version} no longer compiles without a warning:\n"
                      f"                  {shortened(text)}", "programs that are built anew", ADD)


def newProgram(place):
    """What the next release will freeze: it must hold today, or it would hold later libraries to nothing."""
    needPlain(place)
    directory = place.root / 'abi' / 'consumer'
    files = sorted(directory.iterdir())

    def make(work):
        # Beside the library may lie another of those that it needs, as in run().
        place.compile([*flags(), '-I', place.include, *(path for path in files if path.suffix == '.c'), place.library,
                       f'-Wl,-rpath-link,{place.library.parent}', '-o', work / 'consumer'])
    try:
        program = place.made('consumer', [place.library, *sorted(place.include.glob('Ring/*.h')), *files], make)
    except AssertionError as error:
        status, text = None, str(error)
        yield unmet(status, text, '')
        return
    for engine in ENGINES:
        status, text = run(place, program, place.library, engine)
        if status != 0:
            yield unmet(status, text, engine)


def unmet(status, text, engine):
    return Finding('consumer', f"abi/consumer/ doesn't get the results that it asks for{on(engine)} (status {status}):\n"
                   f"                  {shortened(text)}",
                   "the release that freezes it holds no later one to its promises", SAME)


def cases(place):
    found = []
    for release in place.releases():
        for name, findings in (('program', oldProgram), ('source', oldSource)):
            found.append((f'upgrade/{release.version}/{name}', lambda release=release, findings=findings: judge(
                place.root, release.version, 'upgrade', findings(place, release))))
    return found + [('upgrade/today/program', lambda: judge(place.root, 'today', 'upgrade', newProgram(place)))]
