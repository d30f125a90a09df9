/*
 * Time without progress.
 *
 * Good path: something moves, and the time begins again; nothing is done for each message but what
 * counts it.
 *
 * Failures: nothing has moved. But what was gathered into one send, and a splice, shows nothing
 * until it ends, however much of it the peer takes: so that is canceled once, to see how far it
 * came, and has a second to say so.
 */
#include "socket/stall.h"

#include "socket/kind.h"

enum
{
    STALL_LOOK_MS = 1000,
};

static uint32_t progressOf(const struct FastSocket* socket)
{
    return socket->outbound->progress + (uint32_t)socket->statistics.messages;
}

static void setTimer(struct FastSocket* socket, uint32_t milliseconds)
{
    FastRingSetTimer(socket->ring, &socket->outbound->stall.timer,
                     (int64_t)milliseconds * FAST_MILLISECOND);
}

/* A message is accepted whole or not at all; of bytes whatever is in flight has something to
 * tell. */
static bool mayHaveMoved(const struct FastSocket* socket)
{
    return socket->outbound->inFlight > 0 && FastSocketKind(socket)->layout == FAST_INBOUND_BYTES;
}

static void lookIntoFlight(struct FastSocket* socket)
{
    struct FastOutbound* outbound = socket->outbound;
    outbound->stall.looked = true;
    if (outbound->canceling == FAST_SEND_CANCEL_NONE)
        outbound->canceling = FAST_SEND_CANCEL_WANTED;
    setTimer(socket, STALL_LOOK_MS);
    FastSocketDefer(socket, FAST_DUE_SEND);
}

static void onTimer(struct FastTimer* timer)
{
    struct FastOutbound* outbound = FAST_CONTAINER(timer, struct FastOutbound, stall.timer);
    struct FastSocket* socket = outbound->flight.socket;
    if (outbound->stall.seen != progressOf(socket))
        FastStallUpdate(socket);
    else if (mayHaveMoved(socket) && !outbound->stall.looked)
        lookIntoFlight(socket);
    else
        outbound->stall.expire(socket);
}

void FastStallWatch(struct FastSocket* socket, uint32_t milliseconds,
                    void (*expire)(struct FastSocket* socket))
{
    struct FastStall* stall = &socket->outbound->stall;
    stall->timer.function = onTimer;
    stall->expire = expire;
    stall->milliseconds = milliseconds;
    stall->seen = progressOf(socket);
    stall->looked = false;
    setTimer(socket, milliseconds);
}

void FastStallUpdate(struct FastSocket* socket)
{
    struct FastStall* stall = &socket->outbound->stall;
    if (stall->expire != NULL && stall->seen != progressOf(socket))
        FastStallWatch(socket, stall->milliseconds, stall->expire);
}

void FastStallStop(struct FastSocket* socket)
{
    if (socket->outbound == NULL)
        return;
    FastRingStopTimer(socket->ring, &socket->outbound->stall.timer);
    socket->outbound->stall.expire = NULL;
}
