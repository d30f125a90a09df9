/*
 * Items leave the outbound queue through these, for the queue itself knows neither statistics nor
 * what the user is to hear.
 */
#ifndef FASTSOCKET_SOCKET_OUTPUT_H
#define FASTSOCKET_SOCKET_OUTPUT_H

#include "socket/core.h"

/* So many bytes from the front were accepted. Or the first item is done, whatever is left of it. */
void FastOutputConsume(struct FastSocket* socket, size_t size);
void FastOutputPop(struct FastSocket* socket);

/* Of a stream that has a single piece, all of which was accepted: the queue is empty then, and the
 * socket counts no more in GetFastRingPending. The user is told by the caller. */
static inline void FastOutputPopOnly(struct FastSocket* socket)
{
    struct FastOutbound* outbound = socket->outbound;
    struct FastItem* item = outbound->queue.first;
    socket->statistics.sentBytes += item->length;
    outbound->queue.first = NULL;
    outbound->queue.last = NULL;
    outbound->queue.length = 0;
    FastSocketCountOff(socket);
    FastSocketReconsiderOutbound(socket);
    FastItemFreeBytes(item);
}

/* What a message's send has accepted of it, if some is left. */
void FastOutputShorten(struct FastSocket* socket, struct FastMessage* message, size_t bytes);

/* The queue had so many bytes before some were accepted: looks whether POLLOUT is due for that. */
void FastOutputNoteFall(struct FastSocket* socket, size_t before);

/* What is queued is no more than FASTSOCKET_OPTION_OUTBOUND_LOW. The outbound side is there. */
static inline bool FastOutputIsLow(const struct FastSocket* socket)
{
    uint64_t low = FastSocketCommon(socket)->outboundLow;
    return low > 0 && socket->outbound->queue.length <= low;
}

/* Drops everything that is not in flight; all of it later, where a gathered send still reads from
 * the head. The users of barriers among it are called later. */
void FastOutputDrop(struct FastSocket* socket);

/* Drops everything, at the end. leak: the kernel may still read what is in flight. */
void FastOutputDropAll(struct FastSocket* socket, bool leak);

/* Calls the users of dropped barriers, in their order, with ECANCELED. Only where users may be
 * called; the outbound side is there. */
void FastOutputFinishCanceled(struct FastSocket* socket);

#endif
