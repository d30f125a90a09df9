/*
 * Items that leave the outbound queue: accepted, or dropped.
 */
#include "socket/output.h"

#include "service/operation.h"
#include "socket/flight.h"

#include <errno.h>

/* POLLOUT says that all is accepted; the dispatch task looks again whether that is still so. */
static void noteEmpty(struct FastSocket* socket)
{
    if (socket->outbound->queue.first != NULL)
        return;
    FastSocketNotify(socket, FAST_NOTIFY_OUTPUT);
    FastSocketReconsiderOutbound(socket);
}

void FastOutputConsume(struct FastSocket* socket, size_t size)
{
    socket->statistics.sentBytes += size;
    if (size == 0)
        return;
    FastOutboundConsume(&socket->outbound->queue, size);
    noteEmpty(socket);
}

/* Counts no bytes: those of a message were counted when it was accepted. */
void FastOutputPop(struct FastSocket* socket)
{
    FastItemFree(FastOutboundPop(&socket->outbound->queue));
    noteEmpty(socket);
    FastSocketCountPending(socket);
}

/* A barrier's user waits for a completion, and gets one: but not from inside the caller's call. */
static void dropItem(struct FastSocket* socket, struct FastItem* item)
{
    struct FastOutbound* outbound = socket->outbound;
    outbound->statistics.dropped += item->length;
    if (item->kind != FAST_ITEM_BARRIER) {
        FastItemFree(item);
        return;
    }
    item->next = NULL;
    FastOutboundAppend(&outbound->canceled, item);
    FastSocketNotify(socket, FAST_NOTIFY_CANCELED);
}

void FastOutputDrop(struct FastSocket* socket)
{
    struct FastOutbound* outbound = socket->outbound;
    if (outbound == NULL)
        return;
    /* Of bytes, a send in flight may read from the items at the head: they stay until it is over,
     * which calls this again. */
    if (outbound->inFlight > 0 && FastSocketKind(socket)->layout == FAST_INBOUND_BYTES)
        return;
    struct FastItem* item = FastOutboundTakeIdle(&outbound->queue);
    while (item != NULL) {
        struct FastItem* next = item->next;
        dropItem(socket, item);
        item = next;
    }
    FastSocketReconsiderOutbound(socket);
    FastSocketCountPending(socket);
}

void FastOutputDropAll(struct FastSocket* socket, bool leak)
{
    struct FastOutbound* outbound = socket->outbound;
    if (outbound == NULL)
        return;
    if (leak)
        FastFlightLeakLoans(socket); /* not in the queue, and the kernel still reads them */
    while (outbound->queue.first != NULL) {
        outbound->statistics.dropped += outbound->queue.first->length;
        struct FastItem* item = FastOutboundPop(&outbound->queue);
        /* Which of them the kernel reads is not known any more. */
        if (leak && outbound->inFlight > 0)
            FastRingLeak(item->home);
        else
            FastItemFree(item);
    }
    /* No user is called any more: their descriptors go with them. */
    while (outbound->canceled.first != NULL)
        FastItemFree(FastOutboundPop(&outbound->canceled));
}

/* Each is off the list, and freed; its user is called by a task of the descriptor's own. */
void FastOutputFinishCanceled(struct FastSocket* socket)
{
    struct FastOutbound* outbound = socket->outbound;
    while (outbound->canceled.first != NULL) {
        struct FastMessage* message = FastItemMessage(FastOutboundPop(&outbound->canceled));
        struct FastRingDescriptor* descriptor = message->descriptor;
        message->descriptor = NULL;
        FastItemFree(&message->item);
        FastDescriptorAbandon(descriptor);
    }
}
