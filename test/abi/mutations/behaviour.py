"""Breaks of meaning: every declaration stays, a result changes."""

from .edits import inBody, wrap


def code(name, text):
    return lambda tree: wrap(tree, name, text)


def unknownOption(tree):
    inBody(tree, 'GetFastRingOption', 'return -ENOPROTOOPT;', 'return -EINVAL;')


def notCloseOnExec(tree):
    tree.replace('lib/socket/system.c', 'flags | FD_CLOEXEC', 'flags')


def statisticsSwapped(tree):
    wrap(tree, 'GetFastSocketStatistics', '''int result = INNER(socket, statistics, size);
    if (result == 0 && size >= 16) {
        uint64_t swap = statistics->receivedBytes;
        statistics->receivedBytes = statistics->receivedMessages;
        statistics->receivedMessages = swap;
    }
    return result;''')


def statisticsBeyond(tree):
    """The size that the caller gives is not kept to."""
    wrap(tree, 'GetFastRingStatistics',
         'return INNER(ring, statistics, size < sizeof(*statistics) ? sizeof(*statistics) : size);')


def statisticsUnzeroed(tree):
    wrap(tree, 'GetFastRingStatistics',
         'return INNER(ring, statistics, size > sizeof(*statistics) ? sizeof(*statistics) : size);')


BREAKS = {
    'error code of a length beyond the size':
        code('SetFastBufferLength', 'return INNER(buffer, length) < 0 ? -ERANGE : 0;'),
    'error code of an unknown option': unknownOption,
    'error code of a socket with nothing to read':
        code('ReceiveFastSocketData', '''ssize_t result = INNER(socket, data, size, flags);
    return result == 0 ? -EAGAIN : result;'''),
    'error code of a wrong argument, in errno':
        code('CreateFastRing', '''struct FastRing* ring = INNER(length);
    errno = ring == NULL && errno == EINVAL ? ERANGE : errno;
    return ring;'''),
    'ring refused where the kernel gives one': code('CreateFastRing', '''if (length <= 32768) {
        errno = EPERM;
        return NULL;
    }
    return INNER(length);'''),
    'error told with another sign': code('GetFastSocketError', 'return -INNER(socket);'),
    'error where the call did nothing':
        code('CancelFastRingDescriptor',
             'int result = INNER(descriptor);\n    return result == -ENOENT ? 0 : result;'),
    'success where the call failed':
        code('RemoveFastRingFlushHandler',
             'int result = INNER(ring, flusher);\n    return result == -EINVAL ? 0 : result;'),
    'default of an option':
        lambda tree: tree.substitute('lib/socket/inbound.c', r'^(    INBOUND_HIGH =) 1 << 20,',
                                     r'\1 2 << 20,'),
    'bound of an option':
        code('SetFastRingOption',
             'return option == FASTRING_OPTION_SPIN && value > 5000 ? -EINVAL '
             ': INNER(ring, option, value);'),
    'call without effect': code('PauseFastSocket', 'return socket != NULL ? 0 : INNER(socket);'),
    'call on NULL refused':
        code('HoldFastBuffer',
             'if (buffer == NULL)\n        __builtin_trap();\n    return INNER(buffer);'),
    'result another one': code('HoldFastBuffer', 'INNER(buffer);\n    return NULL;'),
    'interval of an idle ring':
        code('GetFastRingInterval',
             'int result = INNER(ring);\n    return result == -1 ? 1000 : result;'),
    'thread check lost': code('IsFastRingThread', 'return ring != NULL;'),
    'last parameter of an event':
        code('SubmitFastRingEvent', 'return INNER(event, parameter & 0xffff);'),
    'event no longer told':
        lambda tree: tree.replace(
            'lib/socket/dispatch.c',
            '    if (socket->function != NULL)\n'
            '        socket->function(socket, event, parameter);',
            '    if (socket->function != NULL && event != POLLOUT)\n'
            '        socket->function(socket, event, parameter);'),
    'parameter of an event':
        lambda tree: tree.replace(
            'lib/socket/dispatch.c', 'socket->function(socket, event, parameter);',
            'socket->function(socket, event, event == POLLIN ? 1 : parameter);'),
    'callback runs again':
        lambda tree: tree.replace(
            'lib/service/event.c', '        FastRingLeave(event->ring, finishCall, event);\n',
            '        FastRingLeave(event->ring, finishCall, event);\n'
            '        event->function(event, 0, event->closure);\n'),
    'reason of a callback':
        lambda tree: tree.replace('lib/ring/flusher.c', 'function(closure, reason);',
                                  'function(closure, FASTRING_REASON_COMPLETE);'),
    'ownership: descriptor left open': code('ReleaseFastListener', '(void)listener;'),
    'ownership: one reference too few':
        code('TransmitFastSocketBuffer',
             '''int result = INNER(socket, address, length, buffer, offset, size, flags);
    if (result == -EINVAL)
        HoldFastBuffer(buffer);
    else
        ReleaseFastBuffer(buffer);
    return result;'''),
    'descriptor no longer closed on exec': notCloseOnExec,
    'statistics: values swapped': statisticsSwapped,
    'statistics: size not kept to': statisticsBeyond,
    'statistics: unknown bytes not zeroed': statisticsUnzeroed,
    'output dropped by a release':
        code('ReleaseFastSocket', 'AbortFastSocket(socket);\n    (void)INNER;'),
    'version told': code('GetFastSocketVersion', '(void)INNER;\n    return "0.9.0";'),
}
