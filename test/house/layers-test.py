#!/usr/bin/env python3
"""
Who may know whom in lib/: a row for each file and its header in layers.py. No circle, neither in
includes nor in calls between objects; a boolean of a socket is written by one file. A new file gets
its row.

usage: layers-test.py SOURCE_ROOT ARCHIVE NM
"""

import functools
import pathlib
import re
import shutil
import sys
import tempfile

import booleans
import graph
import layers
import source
import tap

# What everything above the seam may call of liburing: it fills or reads entries and touches no
# ring.
INLINE = re.compile(r'io_uring_(prep_|recvmsg_|cmsg_|buf_ring_|sqe_set_flags|get_sqe128)\w*$')

# public header: the headers it may include.
LIBC = {'poll.h', 'signal.h', 'stddef.h', 'stdint.h', 'stdio.h', 'sys/select.h', 'sys/socket.h',
        'sys/types.h', 'time.h'}
PUBLIC = {
    'FastBuffer.h': LIBC,
    'FastRing.h': LIBC,
    'FastSocket.h': LIBC | {'Ring/FastBuffer.h', 'Ring/FastRing.h'},
}


class Faults:
    """What is wrong, and what is only reported since its room is being rebuilt."""

    def __init__(self):
        self.refused, self.reported = [], []

    def add(self, text, *stems):
        (self.reported if stems and layers.isUnderRebuild(*stems) else self.refused).append(text)

    def all(self):
        return self.refused + self.reported

    def check(self):
        for text in self.reported:
            print("# under rebuild: " + text.replace('\n', ' '))
        assert not self.refused, "\n".join(self.refused)


# ---- the table ----

def findTableFaults(rows, faults):
    seen = []
    for stem, below in rows.items():
        for name in below:
            if name not in seen:
                faults.add(f"the table: {stem} stands before {name}, which it names", stem, name)
            elif not isBelow(name, stem):
                faults.add(f"the table: {stem} names {name}, of a room that knows more")
        seen.append(stem)


def isBelow(name, stem):
    """A stem's room may know the other's."""
    rooms = layers.ROOMS
    room, other = layers.roomOf(stem), layers.roomOf(name)
    return room in rooms and other in rooms and rooms.index(other) <= rooms.index(room)


# ---- includes ----

def findIncludeFaults(root, faults):
    library = root / 'lib'
    known = graph.includes(library)
    for stem in known:
        if stem not in layers.ROWS:
            faults.add(f"lib/{stem}: has no row in the table, which would be\n{rowOf(stem, known)}",
                       stem)
    for stem in layers.ROWS:
        if stem not in known:
            faults.add(f"lib/{stem}: has a row in the table, and no file", stem)
    public = {path.name for path in (root / 'include' / 'Ring').glob('*.h')}
    for path in sorted(library.rglob('*.[ch]')):
        findFileFaults(root, path, public, faults)
    for stem, names in known.items():
        for name in sorted(set(layers.ROWS.get(stem, [])) - names):
            faults.add(f"lib/{stem}: its row names {name}, which it does not include", stem, name)
    for circle in graph.circles((stem, name) for stem, names in known.items() for name in names):
        faults.add(f"includes go in a circle: lib/{' → '.join(circle)}", *circle)


def rowOf(stem, known):
    return f"    '{stem}': {sorted(known[stem])},"


def findFileFaults(root, path, public, faults):
    file = path.relative_to(root / 'lib')
    stem = graph.stemOf(file)
    text = path.read_text()
    if path.name in public:
        faults.add(f"lib/{file}: has the base name of a public header")
    for quote, name in source.includesOf(text):
        base = pathlib.PurePath(name).name
        if base in ('liburing.h', 'io_uring.h'):
            if not layers.isSeam(stem):
                faults.add(f"lib/{file}: includes {name} above the seam")
        elif quote == '<' and name.startswith('Ring/'):
            if base not in public or base not in layers.publicKnownOf(stem):
                faults.add(f"lib/{file}: includes {name}, which is above it")
        elif quote == '"' or (root / 'lib' / name).is_file():
            findKnownFaults(root, file, name, faults)
    if not layers.isSeam(stem):
        for name in re.findall(r'\b(io_uring_\w+)\s*\(', source.withoutComments(text)):
            if not INLINE.match(name):
                faults.add(f"lib/{file}: calls {name} above the seam")


def findKnownFaults(root, file, name, faults):
    """A file includes a header that must be of lib/."""
    stem, other = graph.stemOf(file), graph.stemOf(name)
    if not (root / 'lib' / name).is_file() or '..' in name:
        faults.add(f"lib/{file}: includes {name}, which is not of lib/")
    elif other != stem and not isBelow(other, stem):
        faults.add(f"lib/{file}: includes {name}, of a room that knows more")
    elif other != stem and other not in layers.ROWS.get(stem, []):
        faults.add(f"lib/{file}: includes {name}, which its row does not name", stem, other)


def findPublicFaults(root, faults):
    for path in sorted((root / 'include' / 'Ring').glob('*.h')):
        text = path.read_text()
        for quote, file in source.includesOf(text):
            if file not in PUBLIC.get(path.name, LIBC) or quote != '<':
                faults.add(f"include/Ring/{path.name}: includes {file}")
        if re.search(r'\binline\b', source.withoutComments(text)):
            faults.add(f"include/Ring/{path.name}: has an inline body")


# ---- calls ----

def findCallFaults(known, listing, faults):
    """What each object needs of others, by its symbols: includes could be circumvented."""
    calls, needed = graph.callsOfObjects(listing)
    assert len(calls) > 5, "found no symbols"
    for (stem, other), symbols in sorted(calls.items()):
        if other not in layers.callable(stem):
            faults.add(
                f"lib/{stem} calls {' '.join(sorted(symbols))} of {other}, which is not below it",
                stem, other)
    for stem, symbols in needed.items():
        for symbol in sorted(symbols):
            if symbol.startswith('io_uring_') and not layers.isSeam(stem):
                faults.add(f"lib/{stem} calls {symbol} of liburing")
    edges = {(stem, name) for stem, names in known.items() for name in names}
    for circle in graph.circles(edges | calls.keys()):
        faults.add("knowledge goes in a circle: " + tellCircle(circle, edges, calls), *circle)


def tellCircle(circle, edges, calls):
    text = f"lib/{circle[0]}"
    for stem, name in zip(circle, circle[1:]):
        how = f"calls {min(calls[stem, name])} of" if (stem, name) in calls else "includes"
        text += f" {how} {name}"
    return text


# ---- booleans ----

def findBooleanFaults(root, faults):
    found, writers = booleans.read(root / 'lib')
    assert found or not (root / 'lib' / 'socket' / 'state.h').exists(), "found no booleans"
    if len(found) > layers.MOST_BOOLEANS:
        names = ' '.join('.'.join(boolean) for boolean in sorted(found))
        faults.add(
            f"a socket and its parts have {len(found)} booleans, more than {layers.MOST_BOOLEANS}: "
            f"{names}",
                   'socket/')
    for boolean, stems in sorted(writers.items()):
        if len(stems) > 1:
            faults.add(f"{'.'.join(boolean)} is written by {' '.join(sorted(stems))}", 'socket/')


# ---- the tests of all this ----

def checkTable():
    faults = Faults()
    findTableFaults(layers.ROWS, faults)
    faults.check()


def findSourceFaults(root):
    faults = Faults()
    findIncludeFaults(root, faults)
    findPublicFaults(root, faults)
    return faults


def checkIncludes(root):
    findSourceFaults(root).check()


def checkCalls(root, archive, nm):
    faults = Faults()
    findCallFaults(graph.includes(root / 'lib'), tap.run([nm, '--format=posix', archive]), faults)
    faults.check()


def checkBooleans(root):
    faults = Faults()
    findBooleanFaults(root, faults)
    faults.check()


# Wrong lines and where they are planted, to see each refused: name: (file, line).
PLANTS = {
    'timerKnowsRing': ('lib/base/timer.c', '#include "ring/ring.h"'),
    'ringKnowsProvider': ('lib/ring/ring.h', '#include "memory/provider.h"'),
    'engineKnowsRing': ('lib/engine/engine.h', '#include "ring/ring.h"'),
    'providerKnowsPool': ('lib/memory/provider.c', '#include "memory/pool.h"'),
    'poolKnowsRing': ('lib/memory/pool.c', '#  include   "ring/ring.h" /* quietly */'),
    'poolKnowsTimer': ('lib/memory/pool.h', '#include <base/timer.h>'),
    'listenerKnowsSocket': ('lib/service/listener.c', '#include "socket/socket.h"'),
    'watchKnowsOperation': ('lib/service/watch.c', '#include "service/operation.h"'),
    'poolKnowsPublicRing': ('lib/memory/pool.c', '#include <Ring/FastRing.h>'),
    'roundabout': ('lib/base/timer.c', '#include "../ring/ring.h"'),
    'besideTheRooms': ('lib/base/timer.c', '#include "base/../base/thread.h"'),
    'liburingAboveSeam': ('lib/service/watch.c', '#include <liburing.h>'),
    'callAboveSeam': ('lib/ring/life.c',
                      'static int f(struct io_uring* r) { return io_uring_submit(r); }'),
    'publicKnowsPrivate': ('include/Ring/FastRing.h', '#include "ring/ring.h"'),
    'publicKnowsLiburing': ('include/Ring/FastRing.h', '#include <liburing.h>'),
    'ringKnowsSocket': ('include/Ring/FastRing.h', '#include <Ring/FastSocket.h>'),
    'publicInline': ('include/Ring/FastBuffer.h', 'static inline int f(void) { return 0; }'),
    'publicName': ('lib/FastRing.h', '/* nothing */'),
    'unknownFile': ('lib/surprise.c', '/* nothing */'),
    'unknownFileInRoom': ('lib/base/surprise.c', '/* nothing */'),
}


def copyInto(directory, root):
    copy = pathlib.Path(directory)
    shutil.copytree(root / 'lib', copy / 'lib')
    shutil.copytree(root / 'include', copy / 'include')
    return copy


@functools.cache
def plantHouse(root):
    """(what removes it at the end, a copy in which lines are planted and taken out again, its
    faults)"""
    directory = tempfile.TemporaryDirectory()
    copy = copyInto(directory.name, root)
    return directory, copy, findSourceFaults(copy).all()


def checkPlant(root, file, line):
    _, copy, before = plantHouse(root)
    path = copy / file
    text = path.read_text() if path.exists() else None
    path.write_text((text or '') + line + '\n')
    faults = [fault for fault in findSourceFaults(copy).all() if fault not in before]
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    stem = str(pathlib.PurePath(file).with_suffix(''))
    assert any(stem in fault for fault in faults), f"«{line}» in {file} was not refused"


# Tables that must be refused.
TABLES = {
    'later': {'base/thread': ['base/timer'], 'base/timer': []},
    'itself': {'base/timer': ['base/timer']},
    'upwards': {'service/watch': [], 'base/timer': ['service/watch']},
    'circle': {'base/handle': ['base/timer'], 'base/thread': ['base/handle'],
               'base/timer': ['base/thread']},
}


def checkTablePlant(rows):
    faults = Faults()
    findTableFaults(rows, faults)
    assert faults.refused, "was not refused"


def checkIncludeCircle(root):
    """Two headers that include each other, with rows that let them."""
    with tempfile.TemporaryDirectory() as directory:
        copy = copyInto(directory, root)
        (copy / 'lib/base/handle.h').write_text('#include "base/checker.h"\n')
        (copy / 'lib/base/checker.h').write_text('#include "base/handle.h"\n')
        expectFault(findSourceFaults(copy).refused,
                    "includes go in a circle: lib/base/checker → base/handle → base/checker")


def expectFault(faults, text):
    assert any(text in fault for fault in faults), f"not refused: {text}\n" + "\n".join(faults)


# Objects, as nm tells them: what they define (T) and need (U); and the fault to be found.
OBJECTS = {
    'upwards': ({'base_timer': 'U FastRingDefer', 'ring_life': 'T FastRingDefer'},
                "lib/base/timer calls FastRingDefer of ring/life, which is not below it"),
    'beside': ({'service_event': 'U FastWatchStop', 'service_watch': 'T FastWatchStop'},
               "lib/service/event calls FastWatchStop of service/watch, which is not below it"),
    'liburing': ({'service_event': 'U io_uring_submit', 'service_watch': 'T FastWatchStop'},
                 "lib/service/event calls io_uring_submit of liburing"),
    'circle': ({'base_timer': 'T FastTimerStart U FastThreadNumber',
                'base_thread': 'T FastThreadNumber U FastForkCount',
                'base_handle': 'T FastForkCount U FastTimerStart'},
               "knowledge goes in a circle: lib/base/handle calls FastTimerStart of base/timer "
               "calls FastThreadNumber of base/thread calls FastForkCount of base/handle"),
    'circleByHeader': ({'service_operation': 'T FastOperationMake U FastOperationSecret',
                        'service_watch': 'T FastOperationSecret'},
                       "knowledge goes in a circle: lib/service/operation calls "
                       "FastOperationSecret of service/watch "
                       "includes service/operation"),
}


def checkObjects(objects, text):
    lines = [f"x.a[a_{number}.c.o]:\nFiller{number} T 0\nFiller{(number + 1) % 9} U"
             for number in range(9)]
    for name, symbols in objects.items():
        words = symbols.split()
        lines += [f"x.a[{name}.c.o]:"] + [
            f"{symbol} {kind}" for kind, symbol in zip(words[::2], words[1::2])]
    faults = Faults()
    findCallFaults({'service/watch': {'service/operation'}}, "\n".join(lines), faults)
    expectFault(faults.refused, text)


# A small house, in which exactly those lines write the socket's booleans that say so in their
# comment.
STATE = '''
struct FastOther { bool armed; bool paused; };
struct FastPart { uint32_t count; bool paused : 1; bool full; struct FastOther* elsewhere; };
struct FastSocket
{
    struct FastRing* ring;
    void (*function)(bool armed);
    bool released, shut;
    unsigned bit : 1;
    struct { struct FastOperation operation; bool armed; } poll;
    struct FastPart inbound;
    struct FastItem* first;
};
struct FastItem { struct FastItem* next; bool done; };
struct FastSocket* FastSocketOf(struct FastItem* item);
'''
STRANGE = '''
struct FastTurn { bool released; bool armed; bool done; struct { bool armed; } poll; };
'''
LINES = {
    'assigned': ('socket->released = true;', 'FastSocket.released'),
    'list': ('socket->shut = false;', 'FastSocket.shut'),
    'bit': ('socket->bit = 1;', 'FastSocket.bit'),
    'nested': ('socket->poll.armed = true;', 'FastSocket.poll.armed'),
    'part': ('socket->inbound.paused |= true;', 'FastPart.paused'),
    'variable': ('struct FastPart* part = &socket->inbound; part->paused = true;',
                 'FastPart.paused'),
    'element': ('struct FastPart parts[2]; parts[1].full ^= 1;', 'FastPart.full'),
    'increment': ('item->done++;', 'FastItem.done'),
    'before': ('++socket->first->next->done;', 'FastItem.done'),
    'address': ('set(ring, &socket->poll.armed);', 'FastSocket.poll.armed'),
    'castAddress': ('set((uint8_t*)&socket->released);', 'FastSocket.released'),
    'addressAfterAnd': ('return a && set(&socket->released);', 'FastSocket.released'),
    'cast': ('((struct FastItem*)memory)->done = true;', 'FastItem.done'),
    'container': ('FAST_CONTAINER(task, struct FastSocket, step)->released = true;',
                  'FastSocket.released'),
    'call': ('FastSocketOf(item)->released = true;', 'FastSocket.released'),
    'group': ('(*socket).released = true;', 'FastSocket.released'),
    'groupAddress': ('(&socket->inbound)->full = true;', 'FastPart.full'),
    'chain': ('a = socket->released = b;', 'FastSocket.released'),
    'unknown': ('guess->poll.armed = true;', 'FastSocket.poll.armed'),
    'unknownCall': ('find(it)->done = true;', 'FastItem.done'),
    'initializer': ('*socket = (struct FastSocket){.ring = ring, .inbound = {.full = true}};',
                    'FastPart.full'),
    'initializerPath': ('struct FastSocket s = {.poll.armed = true};', 'FastSocket.poll.armed'),
    'initializerArray': ('static const struct FastItem items[] = {{.next = 0}, {.done = true}};',
                         'FastItem.done'),
    'byPosition': ('struct FastItem i = {NULL, true};', 'FastItem.done'),
    'macro': ('}\n#define STOP(s) ((s)->released = true)\nvoid g(void)\n{', 'FastSocket.released'),
    'zeroed': ('*socket = (struct FastSocket){0}; struct FastItem i = {0};', None),
    'read': ('if (socket->released == true && item->done != socket->shut) return '
             'socket->poll.armed;', None),
    'masked': ('flags = flags & socket->released; f(x) & socket->shut;', None),
    'commented': ('/* socket->released = true; */', None),
    'neighbour': ('socket->inbound.count = socket->released; socket->inbound.elsewhere = NULL;',
                  None),
    'addressOfPart': ('FastPartUpdate(&socket->inbound, &socket->poll.operation);', None),
    'foreign': ('turn->armed = true; turn->poll.armed = true; turn->released = false;', None),
    'foreignMember': ('guess->turn.armed = true;', None),
}


def makeHouse(directory, files):
    library = pathlib.Path(directory) / 'lib'
    for file, text in {'socket/state.h': STATE, 'ring/state.h': STRANGE, **files}.items():
        (library / file).parent.mkdir(parents=True, exist_ok=True)
        (library / file).write_text(text)
    return library


def bodyOf(line):
    return ("void f(struct FastSocket* socket, struct FastItem* item, struct FastTurn* turn)\n"
            f"{{\n    {line}\n}}\n")


def checkLine(line, written):
    with tempfile.TemporaryDirectory() as directory:
        library = makeHouse(directory, {'socket/a.c': bodyOf(line)})
        found, writers = booleans.read(library)
        names = {'.'.join(boolean) for boolean, stems in writers.items() if stems}
        assert names == ({written} if written else set()), \
            f"«{line}» writes {written}, found {names}"


def checkSecondWriter():
    with tempfile.TemporaryDirectory() as directory:
        line = bodyOf('socket->released = true;')
        library = makeHouse(directory, {'socket/a.c': line, 'ring/b.c': line})
        faults = Faults()
        findBooleanFaults(library.parent, faults)
        expectFault(faults.all(), "FastSocket.released is written by ring/b socket/a")


def checkSixteenth():
    with tempfile.TemporaryDirectory() as directory:
        have = len(booleans.read(makeHouse(directory, {}))[0])
        for more, refused in ((layers.MOST_BOOLEANS - have, False),
                              (layers.MOST_BOOLEANS - have + 1, True)):
            part = "struct FastFlight { " + "".join(
                f"bool b{number}; " for number in range(more)) + "};\n"
            faults = Faults()
            findBooleanFaults(makeHouse(directory, {'socket/flight.h': part}).parent, faults)
            assert bool(faults.all()) == refused, faults.reported


def main():
    root, archive, nm = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    cases = [
        ('layers/table', checkTable),
        ('layers/includes', lambda: checkIncludes(root)),
        ('layers/calls', lambda: checkCalls(root, archive, nm)),
        ('layers/booleans', lambda: checkBooleans(root)),
        ('layers/refuses/includeCircle', lambda: checkIncludeCircle(root)),
        ('layers/refuses/secondWriter', checkSecondWriter),
        ('layers/refuses/sixteenthBoolean', checkSixteenth),
    ]
    for name, plant in PLANTS.items():
        cases.append((f'layers/refuses/{name}', lambda plant=plant: checkPlant(root, *plant)))
    for name, rows in TABLES.items():
        cases.append((f'layers/refuses/table-{name}', lambda rows=rows: checkTablePlant(rows)))
    for name, objects in OBJECTS.items():
        cases.append((f'layers/refuses/calls-{name}',
                      lambda objects=objects: checkObjects(*objects)))
    for name, line in LINES.items():
        cases.append((f'layers/writes/{name}', lambda line=line: checkLine(*line)))
    tap.runCases(cases)


main()
