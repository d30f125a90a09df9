"""Breaks of what calls bring about: options, modes, flags and arguments that no longer do anything,
memory that is not copied, bytes and buffers that get lost."""

from .edits import inBody, wrap

CREATE = ('INNER(ring, provider, inbound, outbound, handle, message, flags, {mode}, {limit}, '
          '{function}, {closure})')


def created(mode='mode', limit='limit', function='function', closure='closure'):
    return lambda tree: wrap(tree, 'CreateFastSocket', 'return ' + CREATE.format(
        mode=mode, limit=limit, function=function, closure=closure) + ';')


def withoutStop(stop):
    return lambda tree: inBody(tree, 'updateMark', 'FAST_STOP_HIGH_MARK, full', stop)


def reading(code, before=''):
    return lambda tree: wrap(tree, 'ReceiveFastSocketData', code, before=before)


def sending(code, before=''):
    return lambda tree: wrap(tree, 'TransmitFastSocketData', code, before=before)


def kept(tree):
    """Large transmits keep what the caller may change at once."""
    wrap(tree, 'TransmitFastSocketData', '''struct FastBuffer* whole = NULL;
    if (size >= 4096 && address == NULL && FastSocketCheck(socket) == 0)
        whole = WrapFastBuffer(FastSocketCommon(socket)->outboundPool, (void*)data, size, NULL,
                               NULL);
    if (whole == NULL)
        return INNER(socket, address, length, data, size, flags);
    return TransmitFastSocketBuffer(socket, address, length, whole, 0, size, flags);''')


def keptMessage(tree):
    """Of a message of one part likewise."""
    wrap(tree, 'TransmitFastSocketMessage', '''struct FastBuffer* whole = NULL;
    if (message != NULL && message->msg_iovlen == 1 && message->msg_iov[0].iov_len >= 64 &&
        message->msg_control == NULL && message->msg_name == NULL && FastSocketCheck(socket) == 0)
        whole = WrapFastBuffer(FastSocketCommon(socket)->outboundPool, message->msg_iov[0].iov_base,
                               message->msg_iov[0].iov_len, NULL, NULL);
    if (whole == NULL)
        return INNER(socket, message, flags);
    return TransmitFastSocketBuffer(socket, NULL, 0, whole, 0, message->msg_iov[0].iov_len,
                                    flags);''')


def firstAddress(tree):
    sending('''static struct sockaddr_storage first;
    static socklen_t firstLength;
    if (address != NULL && length <= sizeof(first) && firstLength == 0) {
        memcpy(&first, address, length);
        firstLength = length;
    }
    bool again = address != NULL && length <= sizeof(first) &&
                 first.ss_family == address->sa_family;
    return INNER(socket, again ? (struct sockaddr*)&first : address, again ? firstLength : length,
                 data, size, flags);''')(tree)


def timesLonger(tree):
    """Told as it was set."""
    wrap(tree, 'SetFastSocketOption',
         '''bool longer = option == FASTSOCKET_OPTION_RELEASE_TIMEOUT && value < 1000000;
    return INNER(socket, option, longer ? value * 1000 : value);''')
    wrap(tree, 'GetFastSocketOption', '''int result = INNER(socket, option, value);
    if (result == 0 && option == FASTSOCKET_OPTION_RELEASE_TIMEOUT && *value >= 1000 &&
        *value != 30000)
        *value /= 1000;
    return result;''')


def notDuplicated(tree):
    tree.replace('lib/socket/control.c', '    *handle = fcntl(*handle, F_DUPFD_CLOEXEC, 0);\n', '')


BREAKS = {
    # marks, limits, modes
    'effects: the high mark': withoutStop('FAST_STOP_HIGH_MARK, false'),
    'effects: the low mark':
        lambda tree: inBody(tree, 'updateMark', 'FastInboundIsFull(&inbound->queue, before)',
                            'FastInboundIsFull(&inbound->queue, false)'),
    'effects: the outbound limit':
        lambda tree: inBody(tree, 'checkLimit', 'outbound->limit > 0', 'false'),
    "effects: the socket's share of a turn":
        lambda tree: tree.replace('lib/socket/option.c',
                                  'COMMON(inbound.turnLimit), false',
                                  'COMMON(connectMs), false'),
    "effects: the ring's inbound limit":
        lambda tree: inBody(tree, 'updateLimit', '!empty && FastRingInboundIsFull(socket->ring)',
                            'false && !empty && FastRingInboundIsFull(socket->ring)'),
    "effects: the ring's completions of a turn":
        lambda tree: tree.replace('lib/ring/turn.c', 'ring->turn.left = ring->options.turnLimit;',
                                  'ring->turn.left = 65536;'),
    'effects: the threshold of zero copy':
        lambda tree: tree.replace('lib/socket/option.c', 'OUTBOUND(threshold), true',
                                  'OUTBOUND(limit), true'),
    'effects: the release timeout':
        lambda tree: inBody(tree, 'ReleaseFastSocket', 'FastSocketCommon(socket)->releaseMs',
                            '30000'),
    'effects: the release timeout of 0':
        lambda tree: inBody(tree, 'ReleaseFastSocket', 'if (milliseconds == 0)',
                            'if (milliseconds == 0 && false)'),
    'effects: release timeouts are 1000 times as long': timesLonger,
    'effects: zero copy': created(mode='mode & ~FASTSOCKET_MODE_ZERO_COPY'),
    'effects: files need no mode': created(mode='mode | (mode == 0 ? FASTSOCKET_MODE_FILE_IO : 0)'),
    'effects: the limit of messages': created(limit='0'),
    'effects: the function of a socket': created(function='NULL'),
    'effects: the closure of a socket': created(closure='NULL'),
    'effects: the high mark lowers the low one':
        lambda tree: inBody(tree, 'adjustHigh', 'common->inbound.low >= value',
                            'false && common->inbound.low >= value'),
    # reading
    'effects: MSG_PEEK takes what it looks at':
        reading('return INNER(socket, data, size, flags & ~MSG_PEEK);'),
    'effects: MSG_WAITALL takes what there is':
        reading('return INNER(socket, data, size, flags & ~MSG_WAITALL);'),
    'effects: MSG_TRUNC tells what was copied':
        reading('return INNER(socket, data, size, flags & ~MSG_TRUNC);'),
    'effects: a read ends with its first chunk':
        reading('return INNER(socket, data, size > 4096 && flags == 0 ? 4096 : size, flags);'),
    'effects: a read of a byte takes two':
        reading('''char spare;
    ssize_t result = INNER(socket, data, size, flags);
    if (size == 1 && result == 1 && flags == 0)
        (void)INNER(socket, &spare, 1, 0);
    return result;'''),
    'effects: a resumed socket tells nothing':
        lambda tree: inBody(tree, 'ResumeFastSocket', 'FAST_NOTIFY_INPUT : 0', '0 : 0'),
    'effects: unread bytes are not told':
        lambda tree: wrap(tree, 'GetFastSocketInboundLength', '(void)INNER(socket);\n    return '
                                                              '0;'),
    'effects: the message header':
        lambda tree: wrap(tree, 'GetFastSocketMessageHeader', '(void)INNER(socket);\n    return '
                                                              'NULL;'),
    'effects: descriptors that nobody takes stay open':
        lambda tree: inBody(tree, 'closeHandles', 'if (handle >= 0)', 'if (handle < -1)',
                            'lib/socket/control.c'),
    # sending
    'effects: what is transmitted is kept, not copied': kept,
    'effects: a message is kept, not copied': keptMessage,
    'effects: the address of the first transmit serves all': firstAddress,
    'effects: descriptors that are handed over are not duplicated': notDuplicated,
    'effects: the last byte of a large transmit':
        sending('return INNER(socket, address, length, data, size > 100000 ? size - 1 : size, '
                'flags);'),
    'effects: a transmit of nothing':
        sending('return size == 0 ? 0 : INNER(socket, address, length, data, size, flags);'),
    'effects: MSG_OOB':
        sending('return INNER(socket, address, length, data, size, flags & ~MSG_OOB);'),
    'effects: a transmit stands in the wrong place':
        lambda tree: wrap(tree, 'TransmitFastSocketBuffer',
                          'return INNER(socket, address, length, buffer, 0, size, flags);'),
    'effects: a transmitted buffer is not released':
        lambda tree: wrap(tree, 'TransmitFastSocketBuffer',
                          'HoldFastBuffer(buffer);\n'
                          '    return INNER(socket, address, length, buffer, offset, size, '
                          'flags);'),
    'effects: control data':
        lambda tree: wrap(tree, 'TransmitFastSocketMessage', '''struct msghdr plain;
    if (message == NULL)
        return INNER(socket, message, flags);
    plain = *message;
    plain.msg_controllen = 0;
    return INNER(socket, &plain, flags);'''),
    'effects: all parts of a message but the first':
        lambda tree: wrap(tree, 'TransmitFastSocketMessage', '''struct msghdr part;
    if (message == NULL)
        return INNER(socket, message, flags);
    part = *message;
    part.msg_iovlen = part.msg_iovlen > 1 ? 1 : part.msg_iovlen;
    return INNER(socket, &part, flags);'''),
    'effects: a descriptor without a buffer is not told':
        lambda tree: wrap(tree, 'TransmitFastSocketDescriptor',
                          '''if (buffer == NULL && descriptor != NULL)
        return 0;
    return INNER(socket, descriptor, buffer);'''),
    'effects: queued bytes are not told':
        lambda tree: wrap(tree, 'GetFastSocketOutboundLength',
                          '(void)INNER(socket);\n    return 0;'),
    'effects: the end of output':
        lambda tree: wrap(tree, 'ShutdownFastSocket',
                          'return FastSocketCheck(socket) == 0 && '
                          'FastSocketHas(socket, FAST_TRAIT_CONNECTED) ? 0 : INNER(socket);'),
    'effects: an aborted connection ends in good order':
        lambda tree: wrap(tree, 'AbortFastSocket', '(void)INNER;\n    ReleaseFastSocket(socket);'),
    'effects: the new handler':
        lambda tree: wrap(tree, 'SetFastSocketHandler',
                          'return INNER(socket, socket != NULL ? socket->function : function, '
                          'closure);'),
    'effects: the new closure':
        lambda tree: wrap(tree, 'SetFastSocketHandler',
                          'return INNER(socket, function, socket != NULL ? socket->closure : '
                          'closure);'),
    'effects: fclose does not release':
        lambda tree: inBody(tree, 'closeStream', 'stream->owns &&', 'false && stream->owns &&'),
    'effects: a stream has a buffer of its own':
        lambda tree: inBody(tree, 'openStream', '_IONBF, 0', '_IOFBF, BUFSIZ'),
    'effects: the end of a stream is an error':
        lambda tree: inBody(tree, 'readStream', 'result > 0 || (result == 0 && '
                                                'hasEnded(stream->socket))',
                            'result > 0'),
    # buffers, providers, descriptors
    'effects: buffers are aligned to 8 bytes':
        lambda tree: wrap(tree, 'GetFastBufferData',
                          'return buffer != NULL && buffer->size > 64 ? INNER(buffer) + 8 : '
                          'INNER(buffer);'),
    'effects: the size of a buffer is rounded up':
        lambda tree: wrap(tree, 'GetFastBufferSize', 'return (INNER(buffer) + 63) / 64 * 64;'),
    'effects: a new buffer is full':
        lambda tree: wrap(tree, 'AllocateFastBuffer',
                          '''struct FastBuffer* buffer = INNER(pool, size, option);
    if (buffer != NULL)
        buffer->length = size;
    return buffer;'''),
    'effects: the length of a buffer':
        lambda tree: wrap(tree, 'SetFastBufferLength',
                          'return buffer != NULL && length <= GetFastBufferSize(buffer) ? 0 : '
                          'INNER(buffer, length);'),
    'effects: a released buffer of a provider is kept':
        lambda tree: wrap(tree, 'ReleaseRingFastBuffer', '(void)buffer;\n    (void)INNER;'),
    'effects: a provider gives its buffers to nobody':
        lambda tree: wrap(tree, 'ReleaseFastRingBufferProvider', 'INNER(provider, NULL);\n    '
                                                                 '(void)function;'),
    'effects: the group of a provider':
        lambda tree: wrap(tree, 'CreateFastRingBufferProvider',
                          'return INNER(ring, 0, count, length, function, closure);\n    '
                          '(void)group;'),
    'effects: half of the buffers of a provider':
        lambda tree: wrap(tree, 'CreateFastRingBufferProvider',
                          'return INNER(ring, group, count > 1 ? count / 2 : count, length, '
                          'function, closure);'),
    'effects: half of the bytes of each buffer':
        lambda tree: wrap(tree, 'CreateFastRingBufferProvider',
                          'return INNER(ring, group, count, length >= 128 ? length / 2 : '
                          'length, function, closure);'),
    'effects: the new buffer of a provider':
        lambda tree: wrap(tree, 'AdvanceFastRingBuffer',
                          'return INNER(provider, completion, NULL, closure);\n    '
                          '(void)function;'),
    'effects: the memory of a descriptor':
        lambda tree: wrap(tree, 'GetFastRingDescriptorData',
                          '''void* data = INNER(descriptor, size);
    if (data != NULL && size != NULL)
        *size = 128;
    return data;'''),
    'effects: the closure of a descriptor':
        lambda tree: wrap(tree, 'AllocateFastRingDescriptor', 'return INNER(ring, function, '
                                                              'NULL);\n    (void)closure;'),
    'effects: the cancellation of a descriptor':
        lambda tree: wrap(tree, 'CancelFastRingDescriptor',
                          'return descriptor != NULL ? -ENOENT : INNER(descriptor);'),
    'effects: a descriptor lives once':
        lambda tree: wrap(tree, 'SubmitFastRingDescriptor',
                          '''static struct FastRingDescriptor* last;
    if (descriptor != NULL && descriptor == last)
        return -ECANCELED;
    last = descriptor;
    return INNER(descriptor);'''),
}

PROGRAMS = {
    'effects: the high mark': 'socket-pressure',
    'effects: the low mark': 'later',
    'effects: the outbound limit': 'socket-transmit',
    "effects: the socket's share": 'socket-pressure',
    "effects: the ring's inbound": 'socket-pressure',
    "effects: the ring's completions": 'ring',
    'effects: the threshold': 'socket-transmit',
    'effects: the release timeout': 'socket-release',
    'effects: release timeouts': 'later',
    'effects: zero copy': 'socket-transmit',
    'effects: files need': 'socket-create',
    'effects: the limit of messages': 'file-write',
    'effects: MSG_TRUNC': 'socket-datagram',
    'effects: descriptors': 'socket-message',
    'effects: a message is': 'socket-transmit',
    'effects: the message header': 'socket-message',
    'effects: the address': 'socket-datagram',
    'effects: control': 'socket-message',
    'effects: all parts': 'socket-message',
    'effects: MSG_OOB': 'later',
    'effects: a transmit of nothing': 'later',
    'effects: a read ends': 'later',
    'effects: a transmit stands': 'socket-buffer',
    'effects: a transmitted buffer': 'socket-buffer',
    'effects: a descriptor without': 'socket-descriptor',
    'effects: the end of output': 'socket-transmit',
    'effects: an aborted': 'socket-release',
    'effects: fclose': 'stream',
    'effects: a stream': 'stream',
    'effects: the end of a stream': 'stream',
    'effects: buffers are': 'buffer',
    'effects: the size of': 'buffer',
    'effects: a new buffer': 'buffer',
    'effects: the length of': 'buffer',
    'effects: a released buffer': 'provider',
    'effects: a provider': 'provider',
    'effects: the group': 'provider',
    'effects: half': 'provider',
    'effects: the new buffer': 'provider',
    'effects: the memory of': 'descriptor',
    'effects: the closure of a d': 'descriptor',
    'effects: the cancellation': 'descriptor',
    'effects: a descriptor lives': 'descriptor',
    'effects: MSG': 'socket-receive',
    'effects: a read': 'socket-receive',
    'effects: a resumed': 'socket-event',
    'effects: unread': 'socket-receive',
    'effects: what is transmitted': 'socket-transmit',
    'effects: queued': 'socket-transmit',
    'effects: the last byte': 'socket-transmit',
    'effects: a transmit of': 'socket-transmit',
    'effects': 'socket-create',
}
