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
ROOMS_UNDER_REBUILD = []

# stem: those whose headers it may include. Each stands behind all that it names.
ROWS = {
    'export': [],

    'base/address': [],
    'base/cancel': [],
    'base/cause': [],
    'base/checker': [],
    'base/detached': [],
    'base/dump': [],
    'base/handle': [],
    'base/missing': [],
    'base/pipe-signal': [],
    'base/place': [],
    'base/probe': [],
    'base/setting': [],
    'base/thread': [],
    'base/timer': [],
    'base/frame': ['base/checker'],
    'base/poison': ['base/checker'],
    'base/trace': ['base/handle', 'base/pipe-signal', 'base/probe'],
    'base/check-report': ['base/place'],
    'base/check': ['base/check-report', 'base/poison'],

    'engine/engine': [],
    'engine/uring-compat': [],
    'engine/uring-checked': ['engine/engine'],
    'engine/uring-trial': ['engine/engine'],
    'engine/uring-probe': ['engine/engine', 'engine/uring-compat', 'engine/uring-trial',
                           'base/pipe-signal'],
    'engine/uring': ['engine/engine', 'engine/uring-checked', 'engine/uring-compat', 'base/cancel',
                     'base/handle'],
    'engine/uring-open': ['engine/engine', 'engine/uring', 'engine/uring-compat',
                          'engine/uring-probe', 'base/checker', 'base/handle'],
    'engine/system': [],
    'engine/epoll-nonblock': ['engine/system'],
    'engine/epoll-copy': ['engine/epoll-nonblock', 'engine/system'],
    'engine/epoll-file': ['engine/epoll-nonblock', 'engine/system', 'engine/uring-compat',
                          'base/missing', 'base/pipe-signal'],
    'engine/epoll-slow': ['engine/system', 'base/detached', 'base/handle', 'base/missing'],
    'engine/epoll-connection': ['engine/epoll-nonblock', 'engine/system'],
    'engine/epoll': ['engine/epoll-connection', 'engine/epoll-copy', 'engine/epoll-file',
                     'engine/epoll-nonblock', 'engine/epoll-slow', 'engine/system',
                     'base/cancel', 'base/checker', 'base/handle'],
    'engine/soft-state': ['engine/engine', 'engine/system'],
    'engine/soft-look': ['engine/soft-state'],
    'engine/soft-operation': ['engine/soft-look', 'engine/soft-state'],
    'engine/soft-buffer': ['engine/soft-operation'],
    'engine/soft-code': ['engine/soft-operation'],
    'engine/soft-fetch': ['engine/soft-operation'],
    'engine/soft-node': ['engine/soft-operation', 'engine/soft-state'],
    'engine/soft-connection': ['engine/soft-code', 'engine/soft-fetch', 'engine/soft-look',
                               'engine/soft-node', 'engine/uring-compat'],
    'engine/soft-entry': ['engine/uring-compat'],
    'engine/soft-file': ['engine/soft-buffer', 'engine/soft-code', 'engine/soft-fetch',
                         'engine/soft-node', 'engine/uring-compat'],
    'engine/soft-message': ['engine/soft-buffer', 'engine/soft-code', 'engine/soft-fetch'],
    'engine/soft-poll': ['engine/soft-code', 'engine/soft-node'],
    'engine/soft-receive': ['engine/soft-buffer', 'engine/soft-code', 'engine/soft-fetch',
                            'engine/soft-node', 'engine/uring-compat'],
    'engine/soft-send': ['engine/soft-code', 'engine/soft-entry', 'engine/soft-fetch',
                         'engine/soft-look', 'engine/soft-node', 'engine/uring-compat'],
    'engine/soft-run': ['engine/soft-buffer', 'engine/soft-code', 'engine/soft-entry',
                        'engine/soft-fetch', 'engine/soft-look', 'engine/soft-node',
                        'engine/soft-state'],
    'engine/soft': ['engine/engine', 'engine/soft-buffer', 'engine/soft-look', 'engine/soft-node',
                    'engine/soft-operation', 'engine/soft-run', 'engine/system'],
    'engine/refusal': ['base/cause', 'base/missing', 'base/setting'],
    'engine/open': ['engine/engine', 'engine/epoll', 'engine/refusal', 'engine/soft',
                    'engine/uring-open', 'base/cause'],

    'ring/task': [],
    'ring/waiter': [],
    'ring/state': ['ring/task', 'ring/waiter', 'engine/engine', 'base/frame', 'base/thread',
                   'base/timer'],
    'ring/base': ['ring/state', 'base/check'],
    'ring/call': ['ring/base'],
    'ring/enter': ['ring/base', 'base/pipe-signal'],
    'ring/flusher': ['ring/base'],
    'ring/group': ['ring/base'],
    'ring/limit': ['ring/base'],
    'ring/misuse': ['ring/base'],
    'ring/trace': ['ring/base', 'base/trace'],
    'ring/shared': ['ring/base'],
    'ring/spare': ['ring/base'],
    'ring/timers': ['ring/base'],
    'ring/tick': ['ring/timers'],
    'ring/now': ['ring/enter'],
    'ring/option': ['ring/base', 'ring/limit'],
    'ring/later': ['ring/base'],
    'ring/dump': ['ring/option', 'ring/timers', 'base/dump'],
    'ring/turn': ['ring/base', 'ring/call', 'ring/enter', 'ring/flusher', 'ring/later',
                  'ring/spare', 'ring/timers', 'ring/trace', 'base/trace'],
    'ring/question': ['ring/timers', 'ring/turn'],
    'ring/ring': ['ring/base', 'ring/call', 'ring/enter', 'ring/group', 'ring/later', 'ring/limit',
                  'ring/misuse', 'ring/now', 'ring/shared', 'ring/spare', 'ring/tick',
                  'ring/timers'],
    'ring/armed': ['ring/ring'],
    'ring/life': ['ring/call', 'ring/flusher', 'ring/misuse', 'ring/option', 'ring/ring',
                  'ring/shared', 'ring/spare', 'ring/timers', 'ring/turn', 'engine/open',
                  'ring/trace', 'base/cause', 'base/place', 'base/trace'],
    'ring/walk': ['ring/life'],

    'memory/buffer': [],
    'memory/pool-owner': [],
    'memory/wrap': ['memory/buffer', 'ring/task'],
    'memory/provider-state': ['ring/ring'],
    'memory/pool-store': ['memory/buffer', 'base/check', 'base/poison'],
    'memory/provider-demand': ['memory/provider-state'],
    'memory/provider-slots': ['memory/provider-demand', 'base/checker'],
    'memory/pool-state': ['memory/pool-owner', 'memory/pool-store', 'base/thread'],
    'memory/provider-claim': ['memory/provider-slots', 'engine/uring-compat'],
    'memory/provider-wait': ['memory/provider-slots'],
    'memory/pool': ['memory/pool-state', 'base/check', 'base/poison'],
    'memory/pool-base': ['memory/pool-state'],
    'memory/pool-foreign': ['memory/pool-state'],
    'memory/pool-shared': ['memory/pool-state'],
    'memory/provider': ['memory/buffer', 'memory/provider-claim', 'memory/provider-slots',
                        'memory/provider-wait', 'base/dump'],
    'memory/allocate': ['memory/pool', 'memory/pool-state', 'memory/wrap', 'base/check',
                        'base/place', 'base/poison'],
    'memory/pool-own': ['memory/pool', 'memory/pool-state'],
    'memory/ring-pool': ['memory/pool', 'memory/provider', 'ring/ring', 'base/dump'],
    'memory/ring-stock': ['memory/pool', 'memory/provider', 'memory/ring-pool', 'base/dump'],

    'service/event': ['ring/ring', 'base/dump'],
    'service/listener-failure': [],
    'service/local-path': [],
    'service/resolver': ['ring/ring', 'base/address', 'base/detached'],
    'service/listen': ['service/local-path', 'service/resolver', 'base/address'],
    'service/listener-state': ['service/local-path', 'ring/armed'],
    'service/listener-accept': ['service/listener-failure', 'service/listener-state',
                                'engine/uring-compat', 'base/trace'],
    'service/listener': ['service/listen', 'service/listener-accept', 'service/listener-state',
                         'base/address', 'base/dump'],
    'service/operation-claim': ['ring/ring', 'engine/uring-compat', 'base/checker'],
    'service/connector': ['service/resolver', 'ring/armed', 'ring/ring', 'base/address',
                          'base/dump'],
    'service/post': ['ring/ring'],
    'service/signal-mask': ['base/thread'],
    'service/timeout': ['ring/ring', 'base/dump', 'base/place', 'base/trace'],
    'service/watch': ['ring/armed', 'base/dump', 'base/trace'],
    'service/signal': ['service/signal-mask', 'ring/ring', 'base/dump', 'base/handle'],
    'service/operation-state': ['service/operation-claim', 'ring/armed'],
    'service/operation-look': ['service/operation-state'],
    'service/operation': ['service/operation-state', 'ring/ring', 'base/dump'],

    'socket/control': [],
    'socket/inbound': ['memory/pool'],
    'socket/system': [],
    'socket/item': ['socket/control', 'service/operation', 'memory/pool', 'ring/ring'],
    'socket/outbound': ['socket/item'],
    'socket/destination': ['socket/outbound'],
    'socket/outbound-state': ['socket/outbound', 'ring/ring'],
    'socket/inbound-state': ['socket/inbound', 'ring/armed'],
    'socket/trait': [],
    'socket/core': ['socket/inbound-state', 'socket/outbound-state', 'socket/trait',
                    'memory/provider', 'ring/ring'],
    'socket/notice': ['socket/core'],
    'socket/timing': ['socket/core'],
    'socket/intake': ['socket/control', 'socket/core'],
    'socket/kind': ['socket/core'],
    'socket/look': ['socket/core', 'ring/trace'],
    'socket/question': ['socket/core', 'base/missing'],
    'socket/dump': ['socket/core', 'socket/kind', 'socket/system', 'socket/timing', 'base/address',
                    'base/dump'],
    'socket/flight': ['socket/kind', 'engine/uring-compat'],
    'socket/kind-file-state': ['socket/kind'],
    'socket/kind-tls': ['socket/kind', 'socket/system'],
    'socket/stall': ['socket/core', 'socket/kind'],
    'socket/kind-file-own': ['socket/kind-file-state', 'base/handle', 'base/missing',
                             'base/pipe-signal', 'base/thread'],
    'socket/kind-message': ['socket/flight', 'socket/intake', 'socket/kind', 'socket/system'],
    'socket/joined': ['socket/control', 'socket/intake', 'socket/kind', 'socket/kind-message'],
    'socket/bundle': ['socket/core'],
    'socket/shortage': ['socket/core'],
    'socket/kind-socket': ['socket/bundle', 'socket/flight', 'socket/kind', 'socket/system',
                           'engine/uring-compat'],
    'socket/output': ['socket/core', 'socket/flight', 'socket/notice', 'service/operation'],
    'socket/direct': ['socket/kind', 'socket/kind-socket', 'socket/notice', 'socket/output',
                      'socket/system'],
    'socket/stdio': ['socket/direct', 'socket/kind'],
    'socket/failure': ['socket/core', 'socket/kind', 'socket/notice', 'socket/output',
                       'socket/system'],
    'socket/run': ['socket/destination', 'socket/flight', 'socket/kind-message',
                   'socket/kind-socket', 'socket/system'],
    'socket/transmit': ['socket/direct', 'socket/kind', 'socket/run', 'memory/wrap',
                        'base/trace'],
    'socket/own-operation': ['socket/system', 'socket/transmit', 'service/operation',
                             'base/trace'],
    'socket/kind-datagram': ['socket/flight', 'socket/joined', 'socket/kind', 'socket/kind-message',
                             'socket/kind-socket', 'socket/run', 'socket/system'],
    'socket/kind-file-read': ['socket/intake', 'socket/kind-file-own', 'socket/kind-file-state',
                              'socket/kind-socket', 'socket/system', 'engine/uring-compat'],
    'socket/kind-file-write': ['socket/flight', 'socket/kind-file-own', 'socket/kind-file-state',
                               'socket/kind-socket', 'engine/uring-compat'],
    'socket/kind-record': ['socket/flight', 'socket/kind', 'socket/kind-message',
                           'socket/kind-socket', 'socket/system'],
    'socket/kind-stream': ['socket/flight', 'socket/intake', 'socket/kind', 'socket/kind-socket',
                           'socket/kind-tls'],
    'socket/kind-file': ['socket/flight', 'socket/kind-file-own', 'socket/kind-file-read',
                         'socket/kind-file-state', 'socket/kind-file-write',
                         'socket/kind-socket', 'socket/kind-stream'],
    'socket/poll': ['socket/core', 'socket/failure'],
    'socket/receive': ['socket/bundle', 'socket/core', 'socket/failure', 'socket/intake',
                       'socket/kind', 'socket/shortage'],
    'socket/dispatch': ['socket/core', 'socket/direct', 'socket/failure', 'socket/kind',
                        'socket/notice', 'socket/output', 'socket/receive', 'base/trace'],
    'socket/kind-find': ['socket/control', 'socket/kind', 'socket/kind-datagram',
                         'socket/kind-file', 'socket/kind-record', 'socket/kind-stream',
                         'socket/system'],
    'socket/read': ['socket/intake', 'socket/joined', 'socket/kind', 'socket/receive',
                    'socket/timing'],
    'socket/sent': ['socket/control', 'socket/failure', 'socket/flight', 'socket/kind',
                    'socket/notice', 'socket/output', 'socket/poll', 'socket/system'],
    'socket/release': ['socket/core', 'socket/dispatch', 'socket/intake', 'socket/kind',
                       'socket/notice', 'socket/output', 'socket/receive', 'socket/sent',
                       'socket/stall', 'socket/system', 'socket/timing', 'service/connector'],
    'socket/overdue': ['socket/failure', 'socket/kind', 'socket/release', 'socket/timing'],
    'socket/option': ['socket/overdue', 'socket/receive'],
    'socket/address': ['socket/core', 'socket/system', 'base/address'],
    'socket/send-own': ['socket/core', 'socket/failure', 'socket/flight', 'socket/output',
                        'socket/sent', 'socket/system', 'service/operation'],
    'socket/send': ['socket/core', 'socket/flight', 'socket/output', 'socket/send-own',
                    'socket/sent'],
    'socket/prepare': ['socket/core', 'socket/poll', 'socket/receive', 'socket/release',
                       'socket/send'],
    'socket/make': ['socket/dispatch', 'socket/dump', 'socket/failure', 'socket/joined',
                    'socket/kind', 'socket/look', 'socket/poll', 'socket/prepare', 'socket/receive',
                    'socket/release', 'socket/system'],
    'socket/create': ['socket/joined', 'socket/kind-find', 'socket/make', 'memory/ring-pool',
                      'memory/ring-stock'],
    'socket/connect': ['socket/failure', 'socket/kind-datagram', 'socket/kind-find',
                       'socket/kind-stream', 'socket/make', 'socket/system', 'service/connector',
                       'memory/ring-stock'],
}

# header: the files beside its own that define what it declares. Who may include it may call them.
DECLARES = {
    'engine/soft-code': ['engine/soft-connection', 'engine/soft-file', 'engine/soft-message',
                         'engine/soft-poll', 'engine/soft-receive', 'engine/soft-send'],
    'memory/pool': ['memory/allocate', 'memory/pool-own'],
    'memory/pool-state': ['memory/pool', 'memory/pool-base', 'memory/pool-foreign',
                          'memory/pool-own', 'memory/pool-shared'],
}

# stem: the files whose public functions it calls, by the public headers that it reads.
PUBLIC_CALLS = {
    'ring/dump': ['ring/question'],
    'service/signal': ['service/watch'],
    'socket/dump': ['socket/address'],
    'socket/own-operation': ['service/operation-look'],
    'socket/send-own': ['service/operation-look'],
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
    'memory/ring-*': ['FastBuffer.h', 'FastRing.h'],
    'memory/*': ['FastBuffer.h'],  # pools know no ring
    'service/listen*': ['FastRing.h', 'FastSocket.h'],
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
