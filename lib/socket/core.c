/*
 * What holds a socket together: references, its tasks, its outbound side, and what it counts for.
 */
#include "socket/core.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum
{
    CORE_BURST = 64,
};

/* ---- references ---- */

void FastSocketHold(struct FastSocket* socket)
{
    socket->references++;
}

void FastSocketDrop(struct FastSocket* socket)
{
    if (--socket->references > 0)
        return;
    struct FastRing* ring = socket->ring;
    FastRingUnlink(ring, &socket->member);
    free(socket->outbound);
    free(socket->inbound.header);
    free(socket);
    FastRingDrop(ring);
}

int FastSocketCheck(const struct FastSocket* socket)
{
    if (socket == NULL)
        return -EINVAL;
    return socket->stage == FAST_STAGE_CLOSED ? -ECANCELED : FastRingCheck(socket->ring);
}

/* ---- tasks ---- */

void FastSocketDefer(struct FastSocket* socket, uint8_t parts)
{
    socket->due |= parts;
    if (FastTaskIsQueued(&socket->prepare) || socket->stage == FAST_STAGE_CLOSED)
        return;
    FastSocketHold(socket);
    FastRingDefer(socket->ring, &socket->prepare);
}

void FastSocketNotify(struct FastSocket* socket, uint8_t news)
{
    socket->news |= news;
    if (FastTaskIsQueued(&socket->dispatch) || socket->stage == FAST_STAGE_CLOSED)
        return;
    FastSocketHold(socket);
    FastRingNotify(socket->ring, &socket->dispatch);
}

/* ---- trying again ---- */

void FastSocketRetryLater(struct FastSocket* socket)
{
    if (FastTaskIsQueued(&socket->retry))
        return;
    FastSocketHold(socket);
    FastRingWaitMemory(socket->ring, &socket->retry);
}

void FastSocketBackOffReceive(struct FastSocket* socket)
{
    socket->inbound.stops |= FAST_STOP_BACKOFF;
    FastSocketRetryLater(socket);
}

void FastSocketBackOffSend(struct FastSocket* socket)
{
    socket->outbound->stops |= FAST_SEND_STOP_BACKOFF;
    FastSocketRetryLater(socket);
}

static bool onRetry(struct FastTask* task)
{
    struct FastSocket* socket = FAST_CONTAINER(task, struct FastSocket, retry);
    socket->inbound.stops &= (uint16_t)~FAST_STOP_BACKOFF;
    FastArmedRetry(&socket->inbound.receive);
    FastArmedRetry(&socket->poll.armed);
    if (socket->outbound != NULL) {
        socket->outbound->stops &= (uint8_t)~FAST_SEND_STOP_BACKOFF;
        if (socket->outbound->canceling == FAST_SEND_CANCEL_FAILED)
            socket->outbound->canceling = FAST_SEND_CANCEL_NONE;
    }
    FastSocketDefer(socket, FAST_DUE_ALL);
    FastSocketDrop(socket);
    return true;
}

/* ---- what it counts for ---- */

static bool isPending(const struct FastSocket* socket)
{
    return socket->stage == FAST_STAGE_LIVE ? FastSocketHasOutput(socket)
                                            : socket->stage < FAST_STAGE_CLOSED;
}

void FastSocketCountPending(struct FastSocket* socket)
{
    bool counts = isPending(socket);
    if (counts == socket->counted)
        return;
    socket->counted = counts;
    FastRingCountPending(socket->ring, counts ? 1 : -1);
}

void FastSocketEnterStage(struct FastSocket* socket, uint8_t stage)
{
    if (stage <= socket->stage)
        return;
    socket->stage = stage;
    if (!socket->inbound.discard || stage >= FAST_STAGE_CANCELING)
        socket->inbound.stops |= FAST_STOP_CLOSED;
    FastSocketCountPending(socket);
    FastSocketDefer(socket, FAST_DUE_ALL);
}

/* ---- the outbound side ---- */

static void onTrail(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    struct FastOutbound* outbound = FAST_CONTAINER(operation, struct FastOutbound, trail);
    struct FastSocket* socket = outbound->flight.socket;
    (void)completion; /* canceled if the operation failed; at the same time */
    outbound->trails--;
    FastSocketDefer(socket, FAST_DUE_RELEASE);
    FastSocketDrop(socket);
}

int FastSocketMakeOutbound(struct FastSocket* socket)
{
    if (socket->outbound != NULL)
        return 0;
    struct FastOutbound* outbound = calloc(1, sizeof(*outbound));
    if (outbound == NULL)
        return -ENOMEM;
    outbound->queue.messages = socket->maxMessages;
    outbound->flight.socket = socket;
    outbound->trail.function = onTrail;
    outbound->burst = CORE_BURST;
    outbound->threshold = FAST_OUTBOUND_THRESHOLD;
    socket->outbound = outbound;
    return 0;
}

void FastSocketTrail(struct FastSocket* socket, struct io_uring_sqe* entry)
{
    struct FastOutbound* outbound = socket->outbound;
    struct io_uring_sqe* trail = FastRingReserve(socket->ring, &outbound->trail);
    assert(trail != NULL);
    io_uring_prep_nop(trail);
    trail->user_data = (uintptr_t)&outbound->trail;
    entry->flags |= IOSQE_IO_LINK;
    outbound->trails++;
    FastSocketHold(socket);
}

void FastSocketInitialize(struct FastSocket* socket)
{
    socket->references = 1;
    socket->retry.function = onRetry;
}
