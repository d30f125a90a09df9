"""The types behind the functions: the dump of then against the dump of now."""

import dumps
import tap
from words import Finding, judge

from checks import eachRelease

NO_TYPES = Finding('types', "the library has no debug information", "no type can be compared, and any change of one would pass unseen",
                   "build it with -g (buildtype=debugoptimized)")


def today(place):
    """The dump of today's library; skips where there can be none."""
    dumps.need()
    if place.without:
        raise tap.Skip(place.without)
    path = dumps.dump(place, place.library, place.include)
    if not dumps.hasTypes(path):
        judge(place.root, 'today', 'abidiff', [NO_TYPES])
    return path


def recorded(place, release, name):
    """The path of a recorded dump, where this libabigail can read it."""
    path = release.path / name
    if not path.exists():
        raise tap.Skip(f"{release.version} has no dump of {place.cpu}: abi-record on such a machine adds it")
    return path


def comparable(old, new):
    if dumps.format(old) != dumps.format(new):
        raise tap.Skip(f"recorded in libabigail's format {dumps.format(old)}, this one writes {dumps.format(new)}; twin holds")


def findings(place, release):
    new = today(place)
    old = recorded(place, release, f'types-{place.cpu}.xml')
    comparable(old, new)
    return dumps.compare(place, old, new)


def cases(place):
    return eachRelease(place, 'abidiff', findings)
