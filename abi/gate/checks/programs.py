"""
The frozen api programs of each release, made of its own headers, helper and twin, run on today's library.

Without a part: the quick ones, of each run of the tests. «programs:all» is all of them, «programs:NAME,NAME»
some. Each runs on the library's own choice of an engine, and on epoll, where the release didn't know of it either:
what its programs ask for is promised on both.
"""

import re

import place as places
import policy
import programs
import refusal  # of test/house, where place has looked
from words import ENGINES, Finding, judge, note, readSettled, shortened, VERSION

from checks import upgrade

def failures(text):
    """{case: what the program says of it} of those that failed."""
    found, case = {}, None
    for line in text.splitlines():
        match = re.match(r'not ok \d+ - (\S+)', line)
        if match:
            case = match.group(1)
            found[case] = []
        elif case and line.startswith('#'):
            found[case].append(line[1:].strip())
        else:
            case = None
    return {case: '\n'.join(lines) for case, lines in found.items()}


def findings(place, release, name, engine, pattern):
    program = programs.build(place, release, name)
    settled = readSettled(place.root)
    status, text = upgrade.run(place, program, place.library, engine if engine == 'epoll' else '',
                               *([pattern] if pattern else []))
    failed = failures(text)
    for case, told in failed.items():
        if (release.version, engine, case) in settled:
            note(f"settled: {case}: {settled[release.version, engine, case]}")
        elif upgrade.isBound(release, told):
            note(f"{case}: today's library takes more than {release.version} did")
        else:
            yield finding(release, case, engine, told)
    if status != 0 and (not failed or 'Bail out!' in text or not re.search(r'^1\.\.\d', text, re.M)):
        yield finding(release, name, engine, f"status {status}\n{text}")


def finding(release, subject, engine, told):
    return Finding(subject, f"a test of {release.version}, as it was then, no longer passes on {engine}:\n"
                   f"                  {shortened(told)}",
                   "programs that rely on that promise", VERSION)


def engines():
    """Where io_uring is refused the library's own choice is epoll."""
    return ENGINES if refusal.reason() is None else ['epoll']


def chosen(release, part):
    known = programs.names(release)
    if part == 'all':
        return known
    return [name for name in known if name in (part.split(',') if part else policy.QUICK)]


def one(place, release, name, engine, pattern):
    upgrade.needPlain(place)
    judge(place.root, release.version, 'programs', findings(place, release, name, engine, pattern))


def cases(place, part=''):
    quick = {} if part else policy.QUICK
    return [(f'programs/{release.version}/{name}/{engine}',
             lambda release=release, name=name, engine=engine: one(place, release, name, engine, quick.get(name)))
            for release in place.releases() for engine in engines() for name in chosen(release, part)]
