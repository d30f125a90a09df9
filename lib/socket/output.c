/*
 * Items that leave the outbound queue: accepted, or dropped.
 */
#include "socket/output.h"

#include "service/operation.h"
#include "socket/flight.h"
#include "socket/notice.h"

#include <errno.h>

void FastOutputNoteFall(struct FastSocket* socket, size_t before)
{
    uint64_t low = FastSocketCommon(socket)->outboundLow;
    if (low > 0 && before > low && socket->outbound->queue.length <= low)
        FastSocketNotify(socket, FAST_NOTIFY_OUTPUT);
}

/* POLLOUT says that all is accepted, or but little is left; the dispatch task looks again whether
 * that is still so. */
static void noteLeft(struct FastSocket* socket, size_t before)
{
    FastNoticeAccept(socket);
    if (socket->outbound->queue.first != NULL) {
        FastOutputNoteFall(socket, before);
        return;
    }
    FastSocketNotify(socket, FAST_NOTIFY_OUTPUT);
    FastSocketReconsiderOutbound(socket);
}

void FastOutputConsume(struct FastSocket* socket, size_t size)
{
    size_t before = socket->outbound->queue.length;
    socket->statistics.sentBytes += size;
    if (size == 0)
        return;
    FastOutboundConsume(&socket->outbound->queue, size);
    noteLeft(socket, before);
}

/* Counts no bytes: those of a message were counted when it was accepted. */
void FastOutputPop(struct FastSocket* socket)
{
    size_t before = socket->outbound->queue.length;
    FastItemFree(FastOutboundPop(&socket->outbound->queue));
    noteLeft(socket, before);
    FastSocketCountPending(socket);
}

void FastOutputShorten(struct FastSocket* socket, struct FastMessage* message, size_t bytes)
{
    size_t before = socket->outbound->queue.length;
    FastOutboundShorten(&socket->outbound->queue, message, bytes);
    FastOutputNoteFall(socket, before);
}

/* ---- dropping ---- */

static void appendCanceled(struct FastOutbound* outbound, struct FastItem* item)
{
    struct FastDropped* canceled = &outbound->canceled;
    if (canceled->first == NULL)
        canceled->first = item;
    else
        canceled->last->next = item;
    canceled->last = item;
    item->next = NULL;
}

static struct FastItem* popCanceled(struct FastOutbound* outbound)
{
    struct FastItem* item = outbound->canceled.first;
    outbound->canceled.first = item->next;
    return item;
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
    appendCanceled(outbound, item);
    FastSocketNotify(socket, FAST_NOTIFY_CALLS);
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
        FastItemFree(popCanceled(outbound));
    if (outbound->notices.first != NULL)
        FastNoticeForget(socket);
}

/* Each is off the list, and freed; its user is called by a task of the descriptor's own. */
void FastOutputFinishCanceled(struct FastSocket* socket)
{
    struct FastOutbound* outbound = socket->outbound;
    while (outbound->canceled.first != NULL) {
        struct FastMessage* message = FastItemMessage(popCanceled(outbound));
        struct FastRingDescriptor* descriptor = message->descriptor;
        message->descriptor = NULL;
        FastItemFree(&message->item);
        FastDescriptorAbandon(descriptor);
    }
}
