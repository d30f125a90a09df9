/*
 * Receives that wait.
 *
 * Good path: a receive that has found no buffer stands in line at its provider, and is armed again
 * when its turn has come; one of a ring that has received too much stands in the ring's.
 *
 * A receive that ended otherwise goes behind a line for which there are buffers: it may take all of
 * them as it enters. Some end with the last buffer, without a word of shortage (bundles do), and
 * would be armed before those in line each time.
 *
 * Failures: without memory to wait with it is tried again after a while.
 */
#include "socket/shortage.h"

/* Buffers, or room below the ring's limit, are there again. */
static void onServed(struct FastWaiter* waiter)
{
    struct FastSocket* socket = FAST_CONTAINER(waiter, struct FastExtra, waiter)->socket;
    socket->inbound.receive.notes = FAST_RECEIVE_SERVED;
    socket->inbound.stops &= (uint16_t) ~(FAST_STOP_NO_BUFFERS | FAST_STOP_RING_LIMIT);
    FastSocketDefer(socket, FAST_DUE_RECEIVE);
}

/* It waits, in the one of the two lists that a stop says. NULL: no memory to wait with, it is tried
 * again after a while. */
static struct FastExtra* beginWaiting(struct FastSocket* socket, uint16_t stop)
{
    struct FastExtra* extra = FastSocketMakeExtra(socket);
    if (extra == NULL) {
        FastSocketBackOffReceive(socket);
        return NULL;
    }
    extra->waiter.function = onServed;
    socket->inbound.stops |= stop;
    return extra;
}

void FastShortageAwaitRoom(struct FastSocket* socket)
{
    /* The waiter stands in one list at a time: it leaves the provider's. */
    FastSocketStopWaiting(socket);
    socket->inbound.stops &= (uint16_t)~FAST_STOP_NO_BUFFERS;
    struct FastExtra* extra = beginWaiting(socket, FAST_STOP_RING_LIMIT);
    if (extra == NULL)
        return;
    extra->statistics.pauses++;
    FastRingWaitInbound(socket->ring, &extra->waiter);
}

static void countStarvation(struct FastSocket* socket)
{
    struct FastExtra* extra = FastSocketMakeExtra(socket);
    if (extra != NULL)
        extra->statistics.starvations++;
    FastRingCountStarvation(socket->ring);
}

/* Changes with all that it receives. */
static uint32_t fedOf(const struct FastSocket* socket)
{
    return socket->inbound.discard ? 0 : (uint32_t)socket->statistics.messages + 1;
}

void FastShortageAwaitBuffers(struct FastSocket* socket)
{
    const struct FastInbound* inbound = &socket->inbound;
    if (!FastProviderGrow(FastSocketProvider(socket)))
        countStarvation(socket);
    if (inbound->stops & FAST_STOP_RING_LIMIT)
        return; /* submitted after that, it finds out again */
    struct FastExtra* extra = beginWaiting(socket, FAST_STOP_NO_BUFFERS);
    if (extra != NULL)
        FastProviderWait(FastSocketProvider(socket), &extra->waiter, inbound->receive.mark,
                         fedOf(socket));
}

bool FastShortageJoinsLine(struct FastSocket* socket)
{
    struct FastRingBufferProvider* provider = FastSocketProvider(socket);
    if (socket->inbound.receive.notes & FAST_RECEIVE_SERVED || !FastProviderServesLine(provider))
        return false;
    struct FastExtra* extra = beginWaiting(socket, FAST_STOP_NO_BUFFERS);
    if (extra != NULL)
        FastProviderJoinLine(provider, &extra->waiter, fedOf(socket));
    return true;
}
