"""Breaks of types: parameters, results, callbacks."""

from .edits import begin, both, callback, declare, lines, wrap


def parameter(name, old, new):
    return lambda tree: both(tree, name, old, new)


def parameterRemoved(tree):
    both(tree, 'UpdateFastRingWatch', ', uint32_t mask', '')
    begin(tree, 'UpdateFastRingWatch', 'uint32_t mask = 0;')


def pointerRetyped(tree):
    both(tree, 'GetFastRingDescriptorData', 'size_t* size', 'uint32_t* size')


def reordered(tree):
    both(tree, 'SetFastRingOption', 'int option, uint64_t value', 'uint64_t value, int option')


def sameTypesReordered(tree):
    both(tree, 'AddFastRingWatch', 'uint32_t mask, uint32_t flags', 'uint32_t flags, uint32_t mask')


def flagsReordered(tree):
    both(tree, 'CreateFastSocket', 'int flags, int mode', 'int mode, int flags')


def poolsReordered(tree):
    both(tree, 'TransmitFastSocketBuffer', 'size_t offset, size_t size',
         'size_t size, size_t offset')


def toVoid(tree):
    wrap(tree, 'PauseFastSocket', '(void)INNER(socket);',
         'void PauseFastSocket(struct FastSocket* socket)')
    declare(tree, 'PauseFastSocket', 'int PauseFastSocket', 'void PauseFastSocket')


def fromVoid(tree):
    wrap(tree, 'AbortFastSocket', 'INNER(socket);\n    return 0;',
         'int AbortFastSocket(struct FastSocket* socket)')
    declare(tree, 'AbortFastSocket', 'void AbortFastSocket', 'int AbortFastSocket')


def callbackParameter(tree):
    callback(tree, 'HandleFastRingTimeoutFunction', 'void* closure', 'void* closure, uint64_t late')
    tree.replace('lib/service/timeout.c', 'timeout->function(timeout, timeout->closure)',
                 'timeout->function(timeout, timeout->closure, 0)')


def callbackParameterRemoved(tree):
    callback(tree, 'HandleFastSocketEvent', ', int parameter', '')
    tree.replace('lib/socket/dispatch.c', 'socket->function(socket, event, parameter)',
                 'socket->function(socket, event)')


def callbackReordered(tree):
    callback(tree, 'HandleFastRingEventFunction', 'uint32_t parameter, void* closure',
             'void* closure, uint32_t parameter')
    tree.replace('lib/service/event.c', 'event->call.value, event->closure',
                 'event->closure, event->call.value')


def callbackSameTypesReordered(tree):
    """Both are numbers of the same type."""
    callback(tree, 'HandleFastSocketEvent', 'int event, int parameter', 'int parameter, int event')
    tree.replace('lib/socket/dispatch.c', 'socket->function(socket, event, parameter)',
                 'socket->function(socket, parameter, event)')


def callbackLost(tree):
    lines(tree, r'typedef void \(\*ReleaseRingBufferFunction\)')
    both(tree, 'ReleaseFastRingBufferProvider', 'ReleaseRingBufferFunction function',
         'void (*function)(void* buffer)')
    for file in ('lib/memory/provider.c', 'lib/memory/provider.h', 'lib/memory/provider-state.h'):
        text = tree.read(file)
        if 'ReleaseRingBufferFunction' in text:
            tree.write(file, 'typedef void (*ReleaseRingBufferFunction)(void* buffer);\n' + text)


def callbackToStruct(tree):
    """What was a callback becomes a pointer to nothing in particular."""
    callback(tree, 'HandleFastRingFlushFunction',
             'typedef void (*HandleFastRingFlushFunction)(void* closure, int reason);',
             'typedef void* HandleFastRingFlushFunction;')
    tree.replace('lib/ring/flusher.c', 'function(closure, reason);',
                 '((void (*)(void*, int))function)(closure, reason);')


BREAKS = {
    'parameter added':
        parameter('ResumeFastSocket', 'struct FastSocket* socket',
                  'struct FastSocket* socket, int flags'),
    'parameter removed': parameterRemoved,
    'parameter narrowed: uint32_t to uint16_t':
        parameter('CreateFastRing', 'uint32_t length', 'uint16_t length'),
    'parameter narrowed: int64_t to int32_t':
        parameter('SetFastRingTimeout', 'int64_t interval', 'int32_t interval'),
    'parameter narrowed: size_t to uint32_t':
        parameter('SetFastBufferLength', 'size_t length', 'uint32_t length'),
    'parameter widened: uint32_t to uint64_t':
        parameter('SubmitFastRingEvent', 'uint32_t parameter', 'uint64_t parameter'),
    'parameter with another sign':
        parameter('WaitForFastRing', 'uint32_t interval', 'int32_t interval'),
    'parameter points to another type': pointerRetyped,
    'parameter of another handle':
        parameter('SetFastSocketOption', 'struct FastSocket* socket', 'struct FastRing* socket'),
    'parameter loses const':
        parameter('TransmitFastSocketBuffer', 'const struct sockaddr* address',
                  'struct sockaddr* address'),
    'parameters made variadic':
        parameter('ShutdownFastSocket', 'struct FastSocket* socket',
                  'struct FastSocket* socket, ...'),
    'parameters reordered': reordered,
    'parameters of one type reordered: mask and flags': sameTypesReordered,
    'parameters of one type reordered: flags and mode': flagsReordered,
    'parameters of one type reordered: offset and size': poolsReordered,
    'result narrowed: size_t to uint32_t':
        parameter('GetFastRingPending', 'size_t GetFastRingPending', 'uint32_t GetFastRingPending'),
    'result narrowed: ssize_t to int':
        parameter('ReceiveFastSocketData', 'ssize_t ReceiveFastSocketData',
                  'int ReceiveFastSocketData'),
    'result narrowed: uint64_t to uint32_t':
        parameter('GetFastRingFeatures', 'uint64_t GetFastRingFeatures',
                  'uint32_t GetFastRingFeatures'),
    'result widened: int to int64_t':
        parameter('GetFastRingInterval', 'int GetFastRingInterval', 'int64_t GetFastRingInterval'),
    'result widened: uint16_t to uint32_t':
        parameter('GetFastRingBufferGroup', 'uint16_t GetFastRingBufferGroup',
                  'uint32_t GetFastRingBufferGroup'),
    'result with another sign':
        parameter('GetFastSocketInboundLength', 'size_t GetFastSocketInboundLength',
                  'ssize_t GetFastSocketInboundLength'),
    'result points to another type':
        parameter('GetFastBufferData', 'uint8_t* GetFastBufferData', 'void* GetFastBufferData'),
    'result gets const':
        parameter('HoldFastBuffer', 'struct FastBuffer* HoldFastBuffer',
                  'const struct FastBuffer* HoldFastBuffer'),
    'result lost': toVoid,
    'result where there was none': fromVoid,
    'callback: parameter added': callbackParameter,
    'callback: parameter removed': callbackParameterRemoved,
    'callback: parameter widened':
        lambda tree: callback(tree, 'HandleFastSocketEvent', 'int parameter', 'int64_t parameter'),
    'callback: parameter narrowed':
        lambda tree: callback(tree, 'HandleFastRingEventFunction', 'uint32_t parameter',
                              'uint16_t parameter'),
    'callback: parameter with another sign':
        lambda tree: callback(tree, 'HandleFastRingWatchFunction', 'int result',
                              'unsigned int result'),
    'callback: parameters reordered': callbackReordered,
    'callback: parameters of one type reordered': callbackSameTypesReordered,
    'callback: result retyped':
        lambda tree: callback(tree, 'HandleFastRingCompletionFunction', 'typedef int',
                              'typedef int64_t'),
    'callback: size_t to uint32_t':
        lambda tree: callback(tree, 'CreateRingBufferFunction', 'size_t length', 'uint32_t length'),
    'callback type lost': callbackLost,
    'callback type made void*': callbackToStruct,
}
