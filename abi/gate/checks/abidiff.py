"""The types behind the functions: the dump of then against the dump of now."""

import dumps
import tap

from checks import eachRelease


def today(place):
    """The dump of today's library; skips where there can be none."""
    dumps.need()
    if place.without:
        raise tap.Skip(place.without)
    path = dumps.dump(place, place.library, place.include)
    assert dumps.hasTypes(path), "the library has no debug information: build it with -g (buildtype=debugoptimized)"
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
