#!/usr/bin/env python3
"""
The direction of knowledge between the units of lib/: each includes what stands below it, nothing
above or beside it. A unit that is new to the library gets its line in LAYERS.

usage: layers-test.py SOURCE_ROOT ARCHIVE NM
"""

import fnmatch
import pathlib
import re
import shutil
import sys
import tempfile

import source
import tap

# unit: the units whose headers it may include, itself understood.
LAYERS = {
    'export': [],
    'engine/uring-compat': [],
    'base/checker': [],
    'base/handle': [],
    'base/timer': [],
    'base/thread': [],
    'base/pipe-signal': [],
    'base/poison': ['base/checker'],
    'engine/engine': [],
    'engine/uring': ['engine/engine', 'base/pipe-signal', 'engine/uring-compat', 'base/checker', 'base/handle'],
    'ring': ['engine/engine', 'base/pipe-signal', 'base/thread', 'base/timer', 'engine/uring-compat'],
    'memory/pool': ['base/thread', 'base/poison'],
    'memory/provider': ['ring', 'engine/uring-compat', 'base/checker'],
    'memory/ring-pool': ['ring', 'memory/provider', 'memory/pool'],
    'service/operation': ['ring', 'engine/uring-compat', 'base/checker'],
    'service/timeout': ['ring', 'base/timer'],
    'service/watch': ['ring', 'engine/uring-compat'],
    'service/event': ['ring'],
    'service/listener': ['ring', 'engine/uring-compat'],
    'socket': ['ring', 'memory/provider', 'memory/pool', 'memory/ring-pool', 'service/operation', 'base/pipe-signal',
               'base/thread', 'engine/uring-compat', 'base/handle'],
    'socket/stdio': ['socket'],
}

# Units of several files, which know each other: patterns of the files' paths.
PARTS = {
    'engine/uring-compat': 'engine/uring-compat',
    'engine/uring*': 'engine/uring',
    'memory/provider*': 'memory/provider',
    'memory/buffer*': 'memory/pool',
    'memory/allocate*': 'memory/pool',
    'memory/pool*': 'memory/pool',
    'ring/*': 'ring',
    'service/operation*': 'service/operation',
    'socket/stdio': 'socket/stdio',
    'socket/*': 'socket',
}

# Declared by the seam, defined by the engine behind it.
SEAM_FUNCTIONS = ['FastEngineOpen', 'FastEngineMask']

# The only ones that may read liburing's header themselves.
SEAM = ['engine/engine', 'engine/uring', 'engine/uring-compat']

# unit: the public headers it may read; others may read none.
KNOWN = {
    'export': ['FastBuffer.h', 'FastRing.h', 'FastSocket.h'],
    'memory/pool': ['FastBuffer.h'],
    'engine/uring': ['FastRing.h'],
    'ring': ['FastRing.h', 'FastSocket.h'],  # the latter for the version alone
    'service/operation': ['FastRing.h'],
    'service/timeout': ['FastRing.h'],
    'service/watch': ['FastRing.h'],
    'service/event': ['FastRing.h'],
    'memory/provider': ['FastRing.h'],
    'memory/ring-pool': ['FastRing.h', 'FastBuffer.h'],
    'socket': ['FastRing.h', 'FastBuffer.h', 'FastSocket.h'],
    'service/listener': ['FastRing.h', 'FastSocket.h'],
    'socket/stdio': ['FastSocket.h'],
}

# What everything above the seam may call of liburing: it fills or reads entries and touches no ring.
INLINE = re.compile(r'io_uring_(prep_|recvmsg_|cmsg_|buf_ring_|sqe_set_flags|get_sqe128)\w*$')

# public header: the headers it may include.
LIBC = {'poll.h', 'signal.h', 'stddef.h', 'stdint.h', 'stdio.h', 'sys/select.h', 'sys/socket.h',
        'sys/types.h', 'time.h'}
PUBLIC = {
    'FastBuffer.h': LIBC,
    'FastRing.h': LIBC,
    'FastSocket.h': LIBC | {'Ring/FastBuffer.h', 'Ring/FastRing.h'},
}


def unitOf(name):
    """The unit of a file, named by its path below lib/."""
    stem = str(pathlib.PurePath(name).with_suffix(''))
    for pattern, unit in PARTS.items():
        if fnmatch.fnmatchcase(stem, pattern):
            return unit
    return stem


def reach(unit):
    """The unit and everything below it."""
    found = {unit}
    for below in LAYERS[unit]:
        found |= reach(below)
    return found


def findFaults(root):
    faults = []
    library = root / 'lib'
    headers = {str(path.relative_to(library)) for path in library.rglob('*.h')}
    public = {path.name for path in (root / 'include' / 'Ring').glob('*.h')}
    files = sorted(library.rglob('*.[ch]'))
    for path in files:
        file = path.relative_to(library)
        unit = unitOf(file)
        text = path.read_text()
        if unit not in LAYERS:
            faults.append(f"lib/{file}: its unit is not in the table of layers")
            continue
        if path.name in public:
            faults.append(f"lib/{file}: has the base name of a public header")
        for quote, name in source.includesOf(text):
            base = pathlib.PurePath(name).name
            if base in ('liburing.h', 'io_uring.h'):
                if unit not in SEAM:
                    faults.append(f"lib/{file}: includes {name} above the seam")
            elif quote == '<' and name.startswith('Ring/'):
                if base not in public or base not in KNOWN.get(unit, []):
                    faults.append(f"lib/{file}: includes {name} above it")
            elif quote == '"' or name in headers:
                if name not in headers:
                    faults.append(f"lib/{file}: includes {name}, which is not of lib/")
                elif unitOf(name) not in [unit] + LAYERS[unit]:
                    faults.append(f"lib/{file}: includes {name} above or beside it")
        if unit not in SEAM:
            for name in re.findall(r'\b(io_uring_\w+)\s*\(', source.withoutComments(text)):
                if not INLINE.match(name):
                    faults.append(f"lib/{file}: calls {name} above the seam")
    for name in public:
        text = (root / 'include' / 'Ring' / name).read_text()
        for quote, file in source.includesOf(text):
            if file not in PUBLIC.get(name, LIBC) or quote != '<':
                faults.append(f"include/Ring/{name}: includes {file}")
        if re.search(r'\binline\b', source.withoutComments(text)):
            faults.append(f"include/Ring/{name}: has an inline body")
    return faults


def checkSources(root):
    faults = findFaults(root)
    assert not faults, "\n".join(faults)


def checkSymbols(archive, nm):
    """What each object needs of others, by its symbols: includes could be circumvented."""
    defined = {}
    needed = {}
    unit = None
    for line in tap.run([nm, '--format=posix', archive]).splitlines():
        match = re.search(r'\[?([\w-]+)\.c\.o\]?:$', line)
        if match:
            unit = unitOf(match.group(1).replace('_', '/', 1))
            continue
        fields = line.split()
        if len(fields) < 2:
            continue
        if fields[1] == 'U':
            needed.setdefault(unit, set()).add(fields[0])
        elif fields[1].isupper():
            defined[fields[0]] = 'engine/engine' if fields[0] in SEAM_FUNCTIONS else unit
    assert len(set(defined.values())) > 5, "found no symbols"
    faults = []
    for unit, symbols in needed.items():
        for symbol in sorted(symbols):
            if symbol in defined and defined[symbol] not in reach(unit):
                faults.append(f"{unit} calls {symbol} of {defined[symbol]}, which is not below it")
            if symbol.startswith('io_uring_') and unit not in SEAM:
                faults.append(f"{unit} calls {symbol} of liburing")
    assert not faults, "\n".join(faults)


def checkTable():
    """The table itself has no cycle: every unit comes after those below it."""
    seen = []
    for unit, below in LAYERS.items():
        for name in below:
            assert name in seen, f"{unit} stands before {name} in the table"
        seen.append(unit)


# Wrong lines and where they are planted, to see each refused.
PLANTS = {
    'timerKnowsRing': ('lib/base/timer.c', '#include "ring/ring.h"'),
    'ringKnowsProvider': ('lib/ring/ring.h', '#include "memory/provider.h"'),
    'engineKnowsRing': ('lib/engine/engine.h', '#include "ring/ring.h"'),
    'providerKnowsPool': ('lib/memory/provider.c', '#include "memory/pool.h"'),
    'poolKnowsRing': ('lib/memory/pool.c', '#  include   "ring/ring.h" /* quietly */'),
    'poolKnowsTimer': ('lib/memory/pool.h', '#include <base/timer.h>'),
    'listenerKnowsSocket': ('lib/service/listener.c', '#include "socket/socket.h"'),
    'poolKnowsPublicRing': ('lib/memory/pool.c', '#include <Ring/FastRing.h>'),
    'roundabout': ('lib/base/timer.c', '#include "../ring/ring.h"'),
    'liburingAboveSeam': ('lib/service/watch.c', '#include <liburing.h>'),
    'callAboveSeam': ('lib/ring/life.c', 'static int f(struct io_uring* r) { return io_uring_submit(r); }'),
    'publicKnowsPrivate': ('include/Ring/FastRing.h', '#include "ring/ring.h"'),
    'publicKnowsLiburing': ('include/Ring/FastRing.h', '#include <liburing.h>'),
    'ringKnowsSocket': ('include/Ring/FastRing.h', '#include <Ring/FastSocket.h>'),
    'publicInline': ('include/Ring/FastBuffer.h', 'static inline int f(void) { return 0; }'),
    'publicName': ('lib/FastRing.h', '/* nothing */'),
    'unknownUnit': ('lib/surprise.c', '/* nothing */'),
}


def checkPlant(root, file, line):
    with tempfile.TemporaryDirectory() as directory:
        copy = pathlib.Path(directory)
        shutil.copytree(root / 'lib', copy / 'lib')
        shutil.copytree(root / 'include', copy / 'include')
        before = findFaults(copy)
        path = copy / file
        text = path.read_text() if path.exists() else ''
        path.write_text(text + line + '\n')
        faults = [fault for fault in findFaults(copy) if fault not in before]
        assert any(file in fault for fault in faults), f"«{line}» in {file} was not refused"


def main():
    root, archive, nm = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    cases = [
        ('layers/table', checkTable),
        ('layers/includes', lambda: checkSources(root)),
        ('layers/symbols', lambda: checkSymbols(archive, nm)),
    ]
    for name, (file, line) in PLANTS.items():
        cases.append((f'layers/refuses/{name}', lambda file=file, line=line: checkPlant(root, file, line)))
    tap.runCases(cases)


main()
