"""
The release made anew of its frozen headers and symbols, against today's library: both dumps come from
one libabigail and one compiler.
"""

import dumps
import stub

from checks import abidiff, eachRelease


def findings(place, release):
    new = abidiff.today(place)
    old = dumps.dump(place, stub.build(place, release), release.include)
    return dumps.compare(place, old, new)


def cases(place):
    return eachRelease(place, 'twin', findings)
