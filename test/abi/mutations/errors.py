"""Breaks of errors: another errno, or none."""

from .edits import wrap

CREATED = ('INNER(ring, provider, inbound, outbound, handle, message, flags, mode, limit, '
           'function, closure)')
ARGUMENTS = {
    'CreateFastSocket': CREATED,
    'CreateFastListener': 'INNER(ring, handle, flags, function, closure)',
    'CreateFastRingEvent': 'INNER(ring, function, closure)',
    'CreateFastBufferPool': 'INNER(ring)',
    'CreateFastRingBufferProvider': 'INNER(ring, group, count, length, function, closure)',
    'AllocateFastBuffer': 'INNER(pool, size, option)',
    'AllocateFastRingDescriptor': 'INNER(ring, function, closure)',
    'SetFastRingFlushHandler': 'INNER(ring, function, closure)',
    'SetFastRingTimeout': 'INNER(ring, timeout, interval, flags, function, closure)',
    'AddFastRingWatch': 'INNER(ring, handle, mask, flags, function, closure)',
    'UpdateFastRingWatch': 'INNER(watch, mask)',
    'ReceiveFastSocketBuffer': 'INNER(socket)',
    'ReceiveFastSocketData': 'INNER(socket, data, size, flags)',
    'GetFastSocketStream': 'INNER(socket, own)',
    'GetFastSocketHandle': 'INNER(socket)',
    'GetFastSocketError': 'INNER(socket)',
    'GetFastRingHandle': 'INNER(ring)',
    'WaitForFastRing': 'INNER(ring, interval, mask)',
    'SubmitFastRingEvent': 'INNER(event, parameter)',
    'SubmitFastRingDescriptor': 'INNER(descriptor)',
    'CancelFastRingDescriptor': 'INNER(descriptor)',
    'AdvanceFastRingBuffer': 'INNER(provider, completion, function, closure)',
    'SetFastSocketOption': 'INNER(socket, option, value)',
    'GetFastSocketOption': 'INNER(socket, option, value)',
    'SetFastSocketHandler': 'INNER(socket, function, closure)',
    'PauseFastSocket': 'INNER(socket)',
    'ShutdownFastSocket': 'INNER(socket)',
    'TransmitFastSocketData': 'INNER(socket, address, length, data, size, flags)',
    'TransmitFastSocketMessage': 'INNER(socket, message, flags)',
    'TransmitFastSocketBuffer':
        'INNER(socket, address, length, buffer, offset, size, flags)',
    'TransmitFastSocketDescriptor': 'INNER(socket, descriptor, buffer)',
}
# Their results have another type than int.
RESULTS = {'ReceiveFastSocketData': 'ssize_t'}


def result(name, old, new):
    """A negative errno becomes another one."""
    return lambda tree: wrap(tree, name, f'''{RESULTS.get(name, 'int')} told = {ARGUMENTS[name]};
    return told == -{old} ? {new} : told;''', before='#include <errno.h>')


def told(name, old, new):
    """So in errno."""
    return lambda tree: wrap(tree, name, f'''void* made = {ARGUMENTS[name]};
    if (made == NULL && errno == {old})
        errno = {new};
    return made;''', before='#include <errno.h>')


BREAKS = {
    'errors: EOPNOTSUPP of a listening socket':
        told('CreateFastSocket', 'EOPNOTSUPP', 'EINVAL'),
    'errors: ENOTCONN of a stream that is not connected':
        told('CreateFastSocket', 'ENOTCONN', 'EINVAL'),
    'errors: ENOTSOCK of what is no socket': told('CreateFastSocket', 'ENOTSOCK', 'EINVAL'),
    'errors: EBADF of what is no descriptor': told('CreateFastSocket', 'EBADF', 'EINVAL'),
    'errors: EINVAL of a wrong argument': told('CreateFastSocket', 'EINVAL', 'EDOM'),
    'errors: EPERM of another thread': told('CreateFastSocket', 'EPERM', 'EACCES'),
    'errors: EINVAL of a socket that does not listen':
        told('CreateFastListener', 'EINVAL', 'EOPNOTSUPP'),
    'errors: EBADF of a listener without a descriptor':
        told('CreateFastListener', 'EBADF', 'ENOTSOCK'),
    'errors: ENOTSOCK of a listener of a file': told('CreateFastListener', 'ENOTSOCK', 'EINVAL'),
    'errors: EMSGSIZE of a buffer that is too large':
        told('AllocateFastBuffer', 'EMSGSIZE', 'ENOMEM'),
    'errors: ECANCELED of a pool whose ring is gone':
        told('AllocateFastBuffer', 'ECANCELED', 'EINVAL'),
    'errors: EINVAL of an unknown option of a buffer':
        told('AllocateFastBuffer', 'EINVAL', 'ENOSYS'),
    'errors: EEXIST of a group that is taken':
        told('CreateFastRingBufferProvider', 'EEXIST', 'EINVAL'),
    'errors: EINVAL of a provider': told('CreateFastRingBufferProvider', 'EINVAL', 'ERANGE'),
    'errors: EINVAL of an event without a function':
        told('CreateFastRingEvent', 'EINVAL', 'EFAULT'),
    'errors: EINVAL of a flush handler without a function':
        told('SetFastRingFlushHandler', 'EINVAL', 'EFAULT'),
    'errors: EINVAL of unknown flags of a timeout': told('SetFastRingTimeout', 'EINVAL', 'ENOTSUP'),
    'errors: EPERM of a timeout in another thread': told('SetFastRingTimeout', 'EPERM', 'EINVAL'),
    'errors: EBADF of a watch': told('AddFastRingWatch', 'EBADF', 'EINVAL'),
    'errors: EINVAL of an unknown mask of a watch': told('AddFastRingWatch', 'EINVAL', 'ERANGE'),
    'errors: EAGAIN of an empty queue': told('ReceiveFastSocketBuffer', 'EAGAIN', 'ENOMSG'),
    'errors: EBADF of a buffer from what is not read':
        told('ReceiveFastSocketBuffer', 'EBADF', 'EAGAIN'),
    'errors: EBUSY of a stream with an owner': told('GetFastSocketStream', 'EBUSY', 'EINVAL'),
    'errors: EINVAL of a stream of messages': told('GetFastSocketStream', 'EINVAL', 'ENOTSUP'),
    'errors: EPERM of a descriptor in another thread':
        told('AllocateFastRingDescriptor', 'EPERM', 'EINVAL'),
    'errors: EBUSY of a wait in a callback': result('WaitForFastRing', 'EBUSY', '-EDEADLK'),
    'errors: ECANCELED of the wait that releases':
        result('WaitForFastRing', 'ECANCELED', '0'),
    'errors: EPERM of a wait in another thread': result('WaitForFastRing', 'EPERM', '-EINVAL'),
    'errors: EBUSY of a submit in flight': result('SubmitFastRingDescriptor', 'EBUSY', '-EALREADY'),
    'errors: EINVAL of a linked submission': result('SubmitFastRingDescriptor', 'EINVAL', '0'),
    'errors: ENOENT of nothing to cancel':
        result('CancelFastRingDescriptor', 'ENOENT', '-EALREADY'),
    'errors: EINVAL of a completion without a buffer':
        result('AdvanceFastRingBuffer', 'EINVAL', '0'),
    'errors: ENOMEM of a function that makes none': result('AdvanceFastRingBuffer', 'ENOMEM', '0'),
    'errors: EPERM of the handle in another thread':
        result('GetFastRingHandle', 'EPERM', '-EINVAL'),
    'errors: ECANCELED of an event whose ring is gone':
        result('SubmitFastRingEvent', 'ECANCELED', '0'),
    'errors: EPERM of an event in a forked child': result('SubmitFastRingEvent', 'EPERM', '0'),
    'errors: ECANCELED of a watch that is dead': result('UpdateFastRingWatch', 'ECANCELED', '0'),
    'errors: ENOBUFS of a wait beyond the limit': result('ReceiveFastSocketData', 'ENOBUFS', '0'),
    'errors: EBADF of a read from what is not read':
        result('ReceiveFastSocketData', 'EBADF', '0'),
    'errors: EINVAL of a read of nothing': result('ReceiveFastSocketData', 'EINVAL', '0'),
    'errors: ECANCELED of a read from a shell':
        result('ReceiveFastSocketData', 'ECANCELED', '-EPIPE'),
    'errors: the error of a connection at a read':
        result('ReceiveFastSocketData', 'ECONNRESET', '0'),
    'errors: ENOPROTOOPT of an unknown option': result('SetFastSocketOption', 'ENOPROTOOPT', '0'),
    'errors: EINVAL of a mark of 0': result('SetFastSocketOption', 'EINVAL', '-ERANGE'),
    'errors: EINVAL of an option without a place':
        result('GetFastSocketOption', 'EINVAL', '-EFAULT'),
    'errors: ECANCELED of a handler of a shell':
        result('SetFastSocketHandler', 'ECANCELED', '0'),
    'errors: EPERM of a pause in another thread': result('PauseFastSocket', 'EPERM', '0'),
    'errors: ECANCELED of a handle of a shell':
        result('GetFastSocketHandle', 'ECANCELED', '-EBADF'),
    'errors: EOPNOTSUPP of the end of a datagram socket':
        result('ShutdownFastSocket', 'EOPNOTSUPP', '-EINVAL'),
    'errors: EPIPE of a second end': result('ShutdownFastSocket', 'EPIPE', '0'),
    'errors: EMSGSIZE of too much': result('TransmitFastSocketData', 'EMSGSIZE', '-EINVAL'),
    'errors: EPIPE behind the end of output':
        result('TransmitFastSocketData', 'EPIPE', '-ENOTCONN'),
    'errors: EAGAIN of the outbound limit': result('TransmitFastSocketData', 'EAGAIN', '-ENOBUFS'),
    'errors: EISCONN of an address': result('TransmitFastSocketData', 'EISCONN', '-EINVAL'),
    'errors: EBADF of what is not written': result('TransmitFastSocketData', 'EBADF', '-EPIPE'),
    'errors: EPERM of a transmit in another thread':
        result('TransmitFastSocketData', 'EPERM', '0'),
    'errors: EINVAL of a flag that is not allowed':
        result('TransmitFastSocketData', 'EINVAL', '0'),
    'errors: EBADF of a descriptor that is handed over':
        result('TransmitFastSocketMessage', 'EBADF', '-EINVAL'),
    'errors: EMSGSIZE of a message': result('TransmitFastSocketMessage', 'EMSGSIZE', '-EINVAL'),
    'errors: EINVAL of bytes beyond a buffer': result('TransmitFastSocketBuffer', 'EINVAL', '0'),
    'errors: EXDEV of another ring': result('TransmitFastSocketDescriptor', 'EXDEV', '-EINVAL'),
    'errors: EBUSY of a descriptor in flight':
        result('TransmitFastSocketDescriptor', 'EBUSY', '-EINVAL'),
    'errors: EINVAL of an operation that is not allowed':
        result('TransmitFastSocketDescriptor', 'EINVAL', '-ENOTSUP'),
    'errors: the first error of a socket lost':
        lambda tree: wrap(tree, 'GetFastSocketError', '(void)INNER(socket);\n    return 0;'),
    'errors: told without a sign':
        lambda tree: wrap(tree, 'GetFastSocketHandle', '''int told = INNER(socket);
    return told == -EINVAL ? -1 : told;''', before='#include <errno.h>'),
}

PROGRAMS = {
    'errors: EOPNOTSUPP of a listening': 'socket-create',
    'errors: EBADF of a listener': 'listener',
    'errors: ENOTSOCK of a listener': 'listener',
    'errors: EINVAL of a socket that does not': 'listener',
    'errors: EMSGSIZE of a buffer': 'buffer',
    'errors: ECANCELED of a pool': 'buffer',
    'errors: EINVAL of an unknown option of a buffer': 'buffer',
    'errors: EEXIST': 'provider',
    'errors: EINVAL of a provider': 'provider',
    'errors: EINVAL of an event': 'event',
    'errors: EINVAL of a flush': 'ring',
    'errors: EINVAL of unknown flags': 'timeout',
    'errors: EPERM of a timeout': 'thread',
    'errors: EBADF of a watch': 'watch',
    'errors: EINVAL of an unknown mask': 'watch',
    'errors: EAGAIN of an empty': 'socket-receive',
    'errors: EBADF of a buffer': 'file',
    'errors: EBUSY of a stream': 'stream',
    'errors: EINVAL of a stream': 'stream',
    'errors: EPERM of a descriptor': 'thread',
    'errors: EBUSY of a wait': 'ring',
    'errors: ECANCELED of the wait': 'ring',
    'errors: EPERM of a wait': 'thread',
    'errors: EBUSY of a submit': 'descriptor',
    'errors: EINVAL of a linked': 'descriptor',
    'errors: ENOENT': 'descriptor',
    'errors: EINVAL of a completion': 'provider',
    'errors: ENOMEM of a function': 'provider',
    'errors: EPERM of the handle': 'thread',
    'errors: ECANCELED of an event': 'event',
    'errors: EPERM of an event': 'later',
    'errors: EPERM of another': 'later',
    'errors: ECANCELED of a watch': 'watch',
    'errors: ENOBUFS': 'socket-receive',
    'errors: EBADF of a read': 'file',
    'errors: EINVAL of a read': 'socket-receive',
    'errors: ECANCELED': 'socket-ring-end',
    'errors: the error of a connection': 'socket-event',
    'errors: ENOPROTOOPT': 'socket-option',
    'errors: EINVAL of a mark': 'socket-option',
    'errors: EINVAL of an option': 'socket-option',
    'errors: EPERM of a pause': 'thread',
    'errors: EOPNOTSUPP of the end': 'socket-datagram',
    'errors: EPIPE': 'socket-transmit',
    'errors: EMSGSIZE of too much': 'socket-transmit',
    'errors: EAGAIN of the outbound': 'socket-transmit',
    'errors: EISCONN': 'socket-transmit',
    'errors: EBADF of what is not written': 'later',
    'errors: EPERM of a transmit': 'thread',
    'errors: EINVAL of a flag': 'socket-transmit',
    'errors: EBADF of a descriptor that': 'socket-message',
    'errors: EMSGSIZE of a message': 'later',
    'errors: EINVAL of bytes': 'socket-buffer',
    'errors: EXDEV': 'socket-descriptor',
    'errors: EBUSY of a descriptor': 'socket-descriptor',
    'errors: EINVAL of an operation': 'socket-descriptor',
    'errors: the first error': 'socket-event',
    'errors: told without': 'socket-create',
    'errors': 'socket-create',
}
