"""Breakages of lib/, each of which the tests must see. By area, in files of their own."""

from . import (adaptive, at_once, create, engine, events, files, inside, look, one_line,
               progress, receive, release, ring, send)

GROUPS = {
    'Events (2.1)': events.BREAKAGES,
    'Creation (2.2)': create.BREAKAGES,
    'Receiving (2.3)': receive.BREAKAGES,
    'Providers that adapt (2.3)': adaptive.BREAKAGES,
    'Sending (2.4)': send.BREAKAGES,
    'Sending at once (2.4)': at_once.BREAKAGES,
    'Files (2.5)': files.BREAKAGES,
    'Release and streams (2.6, 2.7)': release.BREAKAGES,
    'The ring (2.8)': ring.BREAKAGES,
    'Time and progress (2.9)': progress.BREAKAGES,
    'A socket in one line (3.1)': one_line.BREAKAGES,
    'Seeing inside (3.2)': look.BREAKAGES,
    'Seeing inside (3.3, 3.4)': inside.BREAKAGES,
    'The other engine, and references': engine.BREAKAGES,
}

BREAKAGES = [breakage for group in GROUPS.values() for breakage in group]
assert len({breakage.name for breakage in BREAKAGES}) == len(BREAKAGES), "a name twice"
