"""Promises of §2.4 about a large transmit that is tried at once."""

import functools

from .breakage import breakage

breakage = functools.partial(breakage, seen=True)

BREAKAGES = [
    # What is told of it.
    breakage('POLLOUT of a large transmit inside the call',
             '2.4 at once in a callback; 2.4 at once; 2.1 when callbacks run', 'socket/direct.c',
             'FastSocketReconsiderOutbound(socket);\n}',
             'FastSocketReconsiderOutbound(socket);\n'
             '    if (outbound->direct == FAST_DIRECT_SENT) {\n'
             '        outbound->direct = 0;\n'
             '        FastSocketNotify(socket, FAST_NOTIFY_OUTPUT);\n'
             '    }\n}'),
    breakage('a large transmit that went out is not told', '2.4 at once; 2.1 POLLOUT',
             'socket/send.c', '    } else\n        FastSocketNotify(socket, FAST_NOTIFY_OUTPUT);',
             '    }'),
    breakage('a large transmit is told beside what was taken before it',
             '2.4 at once; 2.1 POLLOUT', 'socket/direct.h',
             '        outbound->direct = 0;\n}', '        (void)outbound;\n}'),
    breakage('no turn is asked for after a large transmit', '2.4 at once; 2.8 GetFastRingInterval',
             'socket/transmit.c',
             '    if (result == 0)\n        FastTransmitNote(socket);\n    return result;',
             '    if (result == 0 && FastSocketHasOutput(socket))\n'
             '        FastTransmitNote(socket);\n    return result;'),
    breakage('each large transmit of a turn is sent alone', '2.4 at once', 'socket/direct.c',
             'size >= DIRECT_MIN_AGAIN &&', 'size > 0 &&'),
    # Taken in part.
    breakage('what a large transmit has sent is queued, too',
             '2.4 at once in part; 2.4 short count', 'socket/direct.c',
             'accepted < before ? 0 : accepted - before,', '0,'),
    breakage('what was queued in front counts as the large transmit',
             '2.4 at once in part; 2.4 at once beside the queue', 'socket/direct.c',
             'accepted < before ? 0 : accepted - before,', 'accepted,'),
    breakage('the rest of a large transmit does not wait for room', '2.4 at once in part',
             'socket/direct.c',
             'outbound->direct = (size_t)result == size ? FAST_DIRECT_SENT : -EAGAIN;',
             'outbound->direct = FAST_DIRECT_SENT;\n    (void)size;'),
    # Refused.
    breakage('a large transmit waits for room', '2.4 at once and refused; 2.4 at once in part',
             'socket/system.c', 'sendmsg(handle, message, flags | MSG_DONTWAIT | MSG_NOSIGNAL);',
             'sendmsg(handle, message, flags | MSG_NOSIGNAL);'),
    breakage('a large transmit without room holds the end of input back',
             '2.4 at once and refused; 2.1 half-close', 'socket/direct.c',
             'FastKindSendError(-outbound->direct).verdict == FAST_VERDICT_FAIL;', 'true;'),
    breakage('a large transmit goes out before there is memory for it', '2.4 -ENOMEM',
             'socket/direct.c', '    if (pieces == NULL)\n        return -ENOMEM;\n', ''),
    # Reset.
    breakage('a large transmit forgets the error that it met',
             '2.4 at once and reset; 2.1 POLLERR fatal (stream)', 'socket/direct.c',
             'outbound->direct = (int)result;', '(void)result;'),
    breakage('the end overtakes the error that a large transmit met',
             '2.4 at once and reset; 2.1 send error first', 'socket/direct.c',
             'return outbound != NULL && outbound->direct < 0 &&\n'
             '           FastKindSendError(-outbound->direct).verdict == FAST_VERDICT_FAIL;',
             '(void)outbound;\n    return false;'),
    breakage('a large transmit is tried again behind an error', '2.4 at once and reset',
             'socket/direct.c', 'return outbound->direct == 0 ||',
             'return outbound->direct <= 0 ||'),
    breakage('a large transmit raises SIGPIPE', '2.4 at once and reset', 'socket/system.c',
             'sendmsg(handle, message, flags | MSG_DONTWAIT | MSG_NOSIGNAL);',
             'sendmsg(handle, message, flags | MSG_DONTWAIT);'),
    # Beside what is queued, and what only the queue can do.
    breakage('a large transmit overtakes what is queued',
             '2.4 at once beside the queue; 2.4 order', 'socket/direct.c',
             'maySend(socket, parts, flags) ? gather(queue, vector) : DIRECT_MAX_VECTOR;',
             'maySend(socket, parts, flags) ? 0 : DIRECT_MAX_VECTOR;\n    (void)gather;'),
    breakage('what a large transmit takes along is sent again',
             '2.4 at once beside the queue; 2.4 order', 'socket/direct.c',
             'FastOutboundConsume(queue, accepted < before ? accepted : before);', '(void)before;'),
    breakage('a large transmit goes beside what is in flight',
             '2.4 at once beside the queue; 2.4 order', 'socket/direct.c',
             'outbound->inFlight == 0 && outbound->stops == 0', 'outbound->stops == 0'),
    breakage('a large transmit is tried though room is known to lack',
             '2.4 at once beside the queue', 'socket/direct.c', ' && outbound->room == 0', ''),
    breakage('a large transmit is tried while sends rest', '2.4 at once beside the queue',
             'socket/direct.c', 'outbound->stops == 0 && outbound->room == 0',
             'outbound->room == 0'),
    breakage('a large transmit drops its control data',
             '2.4 at once beside the queue; 2.4 Message control data', 'socket/direct.c',
             'parts->controlLength == 0 &&', ''),
    breakage('a large transmit drops its flags', '2.4 at once beside the queue; 2.4 flags (send)',
             'socket/direct.c', ' && FastItemFlags(flags) == 0', ' && flags >= 0'),
    breakage('a large transmit drops the flags of what is queued',
             '2.4 at once beside the queue; 2.4 flags (send)', 'socket/direct.c',
             'item->flags & FAST_ITEM_KIND_FLAGS ||', 'false ||'),
    breakage('a large transmit is not corked', '2.4 at once beside the queue; 2.4 AUTO_CORK',
             'socket/direct.c', '!FastSocketHasMode(socket, FASTSOCKET_MODE_AUTO_CORK) &&', ''),
    breakage('a large transmit is copied in spite of zero copy',
             '2.4 at once beside the queue; 2.4 ZERO_COPY choice', 'socket/direct.c',
             '!isLent(socket, outbound->queue.length + parts->size) &&',
             '(isLent(socket, 1) || true) &&'),
    breakage('a large transmit takes more messages along than the limit', '2.2 limit',
             'socket/direct.c', ' || queue->messages > 0)', ')'),
    breakage('a large transmit goes before a deferred connection is made', '2.2 fast open',
             'socket/direct.c',
             'return FastSystemGetTcp(socket->handle, &information) &&\n'
             '           information.tcpi_state != TCP_SYN_SENT && '
             'information.tcpi_state != TCP_SYN_RECV;', 'return true;'),
    # Paused, and released.
    breakage('a paused socket sends nothing at once', '2.4 at once and paused; 2.1 user pause',
             'socket/direct.c', 'return FastSocketHas(socket, FAST_TRAIT_SENDS_AT_ONCE)',
             'return !(socket->inbound.stops & FAST_STOP_PAUSED) &&\n'
             '           FastSocketHas(socket, FAST_TRAIT_SENDS_AT_ONCE)'),
    breakage('a release resets what a large transmit found no room for',
             '2.4 at once and released; 2.6 flush', 'socket/release.c',
             'if (milliseconds == 0)', 'if (milliseconds == 0 || socket->outbound->direct < 0)'),
    breakage('a release forgets the error that a large transmit met', '2.4 at once and released',
             'socket/send.c', '    if (outbound != NULL && outbound->direct != 0)\n',
             '    if (outbound != NULL && outbound->direct != 0 && !socket->released)\n'),
]
