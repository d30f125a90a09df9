"""Promises of §2.5: files."""

from .breakage import breakage

BREAKAGES = [
    breakage('regular files are refused', '2.5 kinds', 'socket/kind-find.c',
             'if (S_ISDIR(status.st_mode))',
             'if (S_ISDIR(status.st_mode) || S_ISREG(status.st_mode))'),
    breakage('what is opened for reading is written to', '2.5 direction', 'socket/kind-find.c',
             'if ((flags & O_ACCMODE) != O_RDONLY)', 'if (true)'),
    breakage('a terminal that is hung up has failed', '2.5 EOF', 'socket/kind-file-read.c',
             '    if (isHungUp(socket))\n        return FastAnswer(FAST_VERDICT_END, 0);\n'
             '    return FastSystemIsBackground', '    return FastSystemIsBackground'),
    breakage('the end of a file is no end', '2.5 EOF', 'socket/kind-file-read.c',
             'return waits ? backOff() : FastAnswer(FAST_VERDICT_END, 0);', 'return backOff();'),
    breakage('each write begins at the start of the file', '2.5 writes',
             'socket/kind-file-write.c', 'send->message->position : FAST_FILE_HERE;',
             'send->message->position : 0;'),
    breakage('a write raises SIGPIPE', '2.5 SIGPIPE', 'socket/kind-file-write.c',
             'return FAST_RWF_NOSIGNAL;', 'return 0;'),
    breakage('a pending SIGPIPE is left', '2.5 SIGPIPE', 'base/pipe-signal.c',
             'int taken = guard->pending ? -1 : sigtimedwait(&set, NULL, &now);',
             'int taken = -1;\n    errno = EAGAIN;'),
    breakage('control data for a file is taken', '2.5 Message', 'socket/kind-socket.c',
             '        if (parts->controlLength > 0)\n            return -EINVAL;\n', ''),
    breakage('what two reads gave is put together', '2.5 packets', 'socket/kind-find.c',
             'if (!S_ISREG(status->st_mode) && !S_ISBLK(status->st_mode))', 'if (false)'),
    breakage("a pause is taken for the file's own error", '2.5 own errors', 'socket/receive.c',
             '    if (state > FAST_ARMED_IN_FLIGHT)\n        return;\n', ''),
    breakage("a file's own ECANCELED is not told", '2.5 own errors', 'socket/kind-find.c',
             'traits |= FAST_TRAIT_CANCELS_ITSELF;', '(void)0;'),
    breakage('what is full is tried again at once', '2.5 waiting', 'socket/kind-file-write.c',
             'return FastAnswer(socket->outbound->room & FAST_ROOM_POLLED ? FAST_VERDICT_BACKOFF\n'
             '                                                                    '
             ': FAST_VERDICT_POLL,\n                          EAGAIN);',
             'return FastAnswer(FAST_VERDICT_NOTHING, EAGAIN);'),
    breakage('what reads as nothing is read again at once', '2.5 waiting',
             'socket/kind-file-read.c',
             '    return FastAnswer(FAST_VERDICT_BACKOFF, 0);\n',
             '    return FastAnswer(FAST_VERDICT_NOTHING, 0);\n'),
]
