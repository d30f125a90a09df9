"""What pkg-config tells programs of the library: where it is, and what else they need."""

import pcfile
import policy
import tap
from words import Finding, judge, KEEP, SAME

from checks import eachRelease


def read(place):
    if place.pkgconfig is None:
        raise tap.Skip("no fastsocket.pc is made here")
    return pcfile.read(place.pkgconfig)


def today(place):
    fields = read(place)
    for key, expected in (('Name', 'fastsocket'), ('Version', place.version)):
        if fields.get(key) != expected:
            yield Finding(key, f"the .pc file's {key} is {fields.get(key)}, not {expected}",
                          "builds that ask for a version get another one, or none", SAME)
    for key in sorted(fields.keys() - policy.PKGCONFIG.keys()):
        yield Finding(key, f"the .pc file has a field {key}", "builds follow it", "do without")
    for key, allowed in policy.PKGCONFIG.items():
        for word in pcfile.words(fields, key):
            if allowed is not None and word not in allowed:
                yield Finding(key, f"the .pc file's {key} has {word}", "every build of a program gets it, and may lack it",
                              "do without; what only static programs need is private")


def findings(place, release):
    path = release.path / 'pkgconfig'
    if not path.exists():
        raise tap.Skip(f"{release.version} has recorded none")
    then, now = pcfile.read(path), read(place)
    for key in pcfile.LISTS:
        for word in pcfile.words(then, key):
            if word not in pcfile.words(now, key) and word not in policy.PKGCONFIG_OF_PROCESSOR:
                yield Finding(key, f"the .pc file's {key} no longer has {word}", "programs no longer compile, or can't be linked",
                              KEEP)


def cases(place):
    return [('pkgconfig/today', lambda: judge(place.root, 'today', 'pkgconfig', today(place)))] + \
        eachRelease(place, 'pkgconfig', findings)
