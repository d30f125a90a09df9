/*
 * A large transmit, sent at once from the caller's memory.
 */
#ifndef FASTSOCKET_SOCKET_DIRECT_H
#define FASTSOCKET_SOCKET_DIRECT_H

#include "socket/kind.h"

enum
{
    /* Bytes of a transmit that is tried at once. Of half as much the copy costs what the call
     * does. */
    FAST_DIRECT_MIN = 32 << 10,
    FAST_DIRECT_NOT = 1,
};

/* FastOutbound.direct: 0, or what is to be told in the prepare phase. */
enum
{
    FAST_DIRECT_SENT = 1, /* all went out: POLLOUT, if nothing was queued since */
    /* Negative: an errno, to be carried out as that of a send of the queue. */
};

/* Sends what is queued and these parts in one call, as far as the kernel takes it just now, and
 * queues the rest. What has to be told follows in the prepare phase (FastOutbound.direct). 0; or
 * -ENOMEM with nothing sent; or FAST_DIRECT_NOT with nothing done: they have to be queued. The
 * outbound side is there. */
int FastDirectSend(struct FastSocket* socket, const struct FastParts* parts, int flags);

/* A large transmit has met an error that is carried out in the next prepare phase. The kernel tells
 * it once, and whoever asks after that sees an end of input that was none: so neither an end nor
 * another error is told before. A lack of room or memory is no error, and may come at each turn. */
bool FastDirectAwaitsError(const struct FastSocket* socket);

/* POLLOUT is about to be told, with nothing queued: that everything went out at once as well. */
static inline void FastDirectTell(struct FastSocket* socket)
{
    struct FastOutbound* outbound = socket->outbound;
    if (outbound != NULL && outbound->direct == FAST_DIRECT_SENT)
        outbound->direct = 0;
}

#endif
