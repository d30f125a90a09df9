"""Promises of §3.3: check mode."""

import functools

from . import breakage as plain

breakage = functools.partial(plain.breakage, seen=True)

BREAKAGES = [
    breakage('a release is not noted', '3.3 double release', 'base/check.c',
             '        record->released = true;\n        record->release = place;',
             '        record->release = place;'),
    breakage('a buffer goes to the next who asks in check mode', '3.3 double release',
             'memory/allocate.c', '        buffer->kind = POOL_LOOSE;',
             '        (void)POOL_LOOSE;'),
    breakage('what is released may be used until it is gone', '3.3 use after release',
             'base/check.c', 'lookAtUse(object, false, FAST_MISUSE_USE)',
             'lookAtUse(object, true, FAST_MISUSE_USE)'),
    breakage('a release in another thread is passed over', '3.3 release from another thread',
             'ring/misuse.c', '        FastCheckForeign(object);', '        (void)object;'),
    breakage('a forked child may not release', '3.3 release from another thread',
             'ring/misuse.c', 'else if (!FastRingIsForked(ring))', 'else'),
    breakage("a closed number is nobody's business", '3.3 descriptor closed by somebody else',
             'base/check.c', '!open || file.st_dev != record->device || file',
             'open && file'),
    breakage('another file by the same number is the same',
             '3.3 descriptor closed by somebody else', 'base/check.c',
             '!open || file.st_dev != record->device || file.st_ino != record->node', '!open'),
    breakage('listeners may be left', '3.3 sockets left', 'ring/misuse.c',
             '    FastCheckLeft("listener", ring);\n', ''),
    breakage('one of those that are left is told', '3.3 sockets left', 'base/check.c',
             '                count++;', '                count = 1;'),
    breakage('timeouts may be left', '3.3 timeouts left', 'ring/misuse.c',
             '    FastCheckLeft("timeout", ring);\n', ''),
    breakage('buffers may be left', '3.3 buffers left', 'ring/misuse.c',
             '    FastCheckLeft("buffer", ring);\n', ''),
    breakage('what is buried is not looked at', '3.3 written to after release', 'base/check.c',
             'if (sumOf(grave->memory, grave->size) != grave->sum)', 'if (false)'),
    breakage('the quarantine keeps everything', '3.3 quarantine', 'base/check.c',
             'table.graves > CHECK_GRAVES || table.memory > CHECK_MEMORY', 'table.graves == 0'),
    breakage('check mode is on unless it is refused', '3.3 check mode off', 'base/check.c',
             "value == NULL || value[0] == '\\0' || strcmp(value, \"0\") == 0",
             'value != NULL && strcmp(value, "0") == 0'),
]
