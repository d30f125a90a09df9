"""
The table of the house: who may know whom in lib/. layers-test.py holds the sources to it,
doc/house.py draws the picture in its order.

A stem is a file's path below lib/ without its ending: `ring/life` is life.c and life.h.
"""

import fnmatch

# From the one that knows least. A room never knows a later one.
ROOMS = ['base', 'engine', 'ring', 'memory', 'service', 'socket']

# Where what the files of one room know of each other is reported, not refused, as are booleans of
# theirs.
ROOMS_UNDER_REBUILD = ['engine', 'ring', 'memory', 'socket']

# stem: those whose headers it may include. Each stands behind all that it names.
ROWS = {
    'export': [],

    'base/checker': [],
    'base/handle': [],
    'base/pipe-signal': [],
    'base/poison': ['base/checker'],
    'base/thread': [],
    'base/timer': [],

    'engine/uring-compat': [],
    'engine/engine': [],
    'engine/uring': ['engine/engine', 'engine/uring-compat', 'base/checker', 'base/handle'],
    'engine/uring-checked': ['engine/uring'],
    'engine/uring-probe': ['engine/uring', 'engine/uring-compat', 'base/pipe-signal'],

    'ring/ring': ['engine/engine', 'base/timer'],
    'ring/state': ['ring/ring', 'base/thread'],
    'ring/life': ['ring/state'],
    'ring/turn': ['ring/state', 'base/pipe-signal', 'base/thread'],
    'ring/now': ['ring/state'],
    'ring/armed': ['ring/ring'],

    'memory/pool-store': ['memory/pool', 'base/poison'],
    'memory/pool-state': ['memory/pool-store', 'base/thread'],
    'memory/pool': ['memory/pool-state', 'base/poison'],
    'memory/pool-shared': ['memory/pool-state'],
    'memory/provider-state': ['memory/provider'],
    'memory/provider': ['memory/provider-state', 'ring/ring', 'base/checker'],
    'memory/provider-claim': ['memory/provider-state', 'engine/uring-compat'],
    'memory/ring-pool': ['ring/ring', 'memory/pool', 'memory/provider'],

    'service/event': ['ring/ring'],
    'service/listener': ['ring/ring'],
    'service/operation': ['ring/ring', 'engine/uring-compat', 'base/checker'],
    'service/timeout': ['ring/ring'],
    'service/watch': ['ring/ring'],

    'socket/socket': [],
    'socket/state': ['socket/socket', 'memory/provider', 'memory/pool', 'ring/ring'],
    'socket/item': ['socket/state'],
    'socket/control': ['socket/item'],
    'socket/core': ['socket/state'],
    'socket/kind': ['socket/state'],
    'socket/own': ['socket/state', 'base/handle', 'base/pipe-signal', 'base/thread'],
    'socket/record': ['socket/state'],
    'socket/file': ['socket/state', 'engine/uring-compat'],
    'socket/receive': ['socket/state', 'engine/uring-compat'],
    'socket/read': ['socket/state'],
    'socket/zero-copy': ['socket/item', 'engine/uring-compat'],
    'socket/result': ['socket/item', 'service/operation'],
    'socket/send': ['socket/item', 'service/operation', 'engine/uring-compat'],
    'socket/transmit': ['socket/item', 'service/operation'],
    'socket/own-operation': ['socket/item', 'service/operation'],
    'socket/option': ['socket/state'],
    'socket/release': ['socket/state'],
    'socket/create': ['socket/state', 'memory/ring-pool'],
    'socket/stdio': ['socket/socket'],
}

# header: the files beside its own that define what it declares. Who may include it may call them.
DECLARES = {
    'engine/engine': ['engine/uring'],  # by the engines behind the seam
    'engine/uring': ['engine/uring-checked', 'engine/uring-probe'],
    'ring/ring': ['ring/life', 'ring/turn', 'ring/now'],
    'ring/state': ['ring/life', 'ring/turn'],
    'memory/pool-state': ['memory/pool', 'memory/pool-shared'],
    'memory/provider': ['memory/provider-claim'],
    'memory/provider-state': ['memory/provider', 'memory/provider-claim'],
    'socket/socket': ['socket/core', 'socket/receive'],
}

# stem: the files whose public functions it calls, by the public headers that it reads.
PUBLIC_CALLS = {
    'socket/stdio': ['socket/read', 'socket/release', 'socket/transmit'],
}

# The only room that may read liburing's header, and call what is no mere filling of entries.
SEAM = 'engine'

# pattern of stems: the public headers that they may read. The first pattern that fits counts; who
# fits none may read none.
PUBLIC_KNOWN = {
    'export': ['FastBuffer.h', 'FastRing.h', 'FastSocket.h'],
    'engine/*': ['FastRing.h'],
    'ring/life': ['FastRing.h', 'FastSocket.h'],  # the latter for the version alone
    'ring/question': ['FastRing.h', 'FastSocket.h'],  # also
    'ring/*': ['FastRing.h'],
    'memory/provider*': ['FastRing.h'],
    'memory/ring-pool': ['FastBuffer.h', 'FastRing.h'],
    'memory/*': ['FastBuffer.h'],  # pools know no ring
    'service/listener': ['FastRing.h', 'FastSocket.h'],
    'service/*': ['FastRing.h'],
    'socket/*': ['FastBuffer.h', 'FastRing.h', 'FastSocket.h'],
}

# Booleans that a socket and its parts may have at most, each written by one file.
MOST_BOOLEANS = 15


def roomOf(stem):
    return stem.split('/')[0] if '/' in stem else ''


def isSeam(stem):
    return roomOf(stem) == SEAM


def publicKnownOf(stem):
    for pattern, names in PUBLIC_KNOWN.items():
        if fnmatch.fnmatchcase(stem, pattern):
            return names
    return []


def isUnderRebuild(*stems):
    """What is said of them concerns one room, which is being rebuilt."""
    return len({roomOf(stem) for stem in stems}) == 1 and roomOf(stems[0]) in ROOMS_UNDER_REBUILD


def reach(stem):
    """The stem and all that it knows by others."""
    found, next = set(), [stem]
    while next:
        stem = next.pop()
        if stem not in found:
            found.add(stem)
            next += ROWS.get(stem, [])
    return found


def callable(stem):
    """The stems that define what a stem may call."""
    found = reach(stem)
    return found.union(*(DECLARES.get(below, []) + PUBLIC_CALLS.get(below, []) for below in found))
