/*
 * What holds a socket together: references, its tasks, its outbound side, and what it counts for.
 */
#include "socket/core.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

_Static_assert(sizeof(struct FastOutbound) <= FAST_SPARE_SIZE, "it is a block of the ring's");

enum
{
    CORE_BURST = 64, /* messages in the first chain; failures make the next ones shorter */
};

/* ---- references ---- */

/* A write of a file that is left in the kernel may be made from the vector in the file's own
 * memory. What others send is in buffers. */
static bool mayBeRead(const struct FastSocket* socket)
{
    return FastRingIsDisorderly(socket->ring) && FastSocketInFlight(socket) > 0 &&
           FastSocketHasMode(socket, FASTSOCKET_MODE_FILE_IO);
}

void FastSocketFree(struct FastSocket* socket)
{
    bool leaks = mayBeRead(socket);
    FastSocketDropOutbound(socket);
    if (socket->inbound.queue.rules != NULL)
        FastRingUnshare(socket->inbound.queue.rules);
    if (socket->extra != NULL)
        free(socket->extra->timing);
    free(socket->extra);
    if (leaks)
        FastRingLeak(socket);
    else
        FastRingBury(socket, sizeof(*socket), &socket->ring);
}

/* The ring comes last: it may go with its last member, and unlinking needs it. */
void FastSocketEnd(struct FastSocket* socket)
{
    struct FastRing* ring = socket->ring;
    FastRingUnlink(ring, &socket->worker.member);
    FastSocketFree(socket);
    FastRingDrop(ring);
}

int FastSocketCheckAll(const struct FastSocket* socket)
{
    if (socket == NULL)
        return -EINVAL;
    if (FastCheckRuns())
        FastCheckUsed(socket);
    return socket->stage == FAST_STAGE_CLOSED ? -ECANCELED : FastRingCheck(socket->ring);
}

/* ---- trying again ---- */

/* One task for all that waits: what lacks memory lacks it together. */
void FastSocketRetryLater(struct FastSocket* socket)
{
    if (FastRingWorkIsQueued(&socket->worker, FAST_RING_RETRY))
        return;
    FastSocketHold(socket);
    FastRingWaitMemoryWork(socket->ring, &socket->worker, FAST_RING_RETRY);
}

void FastSocketRetryCancel(struct FastSocket* socket, int result)
{
    if (result == -EALREADY && !FastRingIsEnding(socket->ring))
        FastSocketRetryLater(socket);
}

void FastSocketRetryWithPlace(struct FastSocket* socket)
{
    if (FastRingWorkIsQueued(&socket->worker, FAST_RING_RETRY))
        return;
    FastSocketHold(socket);
    FastRingAwaitPlace(socket->ring, &socket->worker.links[FAST_RING_RETRY - 1], FAST_RING_RETRY);
}

bool FastSocketRetryBehind(struct FastSocket* socket)
{
    if (!FastRingHasCompletions(socket->ring))
        return false;
    if (!FastRingWorkIsQueued(&socket->worker, FAST_RING_RETRY)) {
        FastSocketHold(socket);
        FastRingDeferBehind(socket->ring, &socket->worker, FAST_RING_RETRY);
    }
    return true;
}

bool FastSocketUpdate(struct FastSocket* socket, struct FastArmed* armed,
                      const struct FastArmedFunctions* functions, bool wanted, bool stale)
{
    if (armed->state != FAST_ARMED_AWAITING_END || !FastSocketRetryBehind(socket))
        return FastArmedUpdate(socket->ring, armed, functions, wanted, stale);
    return true;
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

bool FastSocketRetry(struct FastRingWorker* worker)
{
    struct FastSocket* socket = FAST_CONTAINER(worker, struct FastSocket, worker);
    socket->inbound.stops &= (uint16_t)~FAST_STOP_BACKOFF;
    FastArmedRetry(&socket->inbound.receive);
    FastArmedRetry(&socket->poll);
    if (socket->outbound != NULL) {
        socket->outbound->stops &= (uint8_t)~FAST_SEND_STOP_BACKOFF;
        if (socket->outbound->canceling == FAST_SEND_CANCEL_FAILED)
            socket->outbound->canceling = FAST_SEND_CANCEL_NONE;
    }
    FastSocketDefer(socket, FAST_DUE_ALL);
    if (socket->notifyDue & FAST_NOTIFY_INPUT)
        FastSocketNotify(socket, 0); /* what there was no memory to read */
    FastSocketDrop(socket);
    return true;
}

/* ---- what it counts for ---- */

/* While it lives, only what the user has queued counts. Once released, the socket itself does until
 * its descriptor is closed: a program that waits for 0 may exit and loses nothing. */
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
    /* A peer that must get on is still received from, to be thrown away. */
    if (!socket->inbound.discard || stage >= FAST_STAGE_CANCELING)
        socket->inbound.stops |= FAST_STOP_CLOSED;
    FastSocketCountPending(socket);
    FastSocketDefer(socket, FAST_DUE_ALL);
}

int FastSocketShare(struct FastSocket* socket, const struct FastCommon* values)
{
    const struct FastInboundRules* before = socket->inbound.queue.rules;
    const struct FastCommon* common = FastRingShare(socket->ring, values, sizeof(*values));
    if (common == NULL)
        return -ENOMEM;
    socket->inbound.queue.rules = &common->inbound;
    if (before != NULL)
        FastRingUnshare(before);
    return 0;
}

struct FastExtra* FastSocketMakeExtra(struct FastSocket* socket)
{
    if (socket->extra == NULL)
        socket->extra = calloc(1, sizeof(*socket->extra));
    if (socket->extra != NULL)
        socket->extra->socket = socket;
    return socket->extra;
}

/* ---- the outbound side ---- */

static void onTrail(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    struct FastOutbound* outbound = FAST_CONTAINER(operation, struct FastOutbound, trail);
    struct FastSocket* socket = outbound->flight.socket;
    (void)completion; /* canceled if the operation failed; at the same time */
    outbound->trails--;
    FastSocketDefer(socket, FAST_DUE_RELEASE);
    FastSocketReconsiderOutbound(socket);
    FastSocketDrop(socket);
}

/* Nothing is under way, or has a user to be called. */
static bool isOutboundEmpty(const struct FastOutbound* outbound)
{
    return outbound->queue.first == NULL && outbound->inFlight == 0 && outbound->trails == 0 &&
           outbound->loans == NULL && outbound->canceled.first == NULL &&
           outbound->notices.first == NULL && outbound->stall.expire == NULL;
}

/* Whatever is remembered here is as it would be if it were just made. */
static bool isOutboundPlain(const struct FastOutbound* outbound)
{
    return outbound->stops == 0 && outbound->room == 0 &&
           outbound->canceling == FAST_SEND_CANCEL_NONE && !outbound->cutShort &&
           !outbound->corked && !outbound->usedZeroCopy && outbound->limit == 0 &&
           outbound->threshold == FAST_OUTBOUND_THRESHOLD && outbound->burst >= CORE_BURST &&
           outbound->backoff == 0 && outbound->joinMax == UINT16_MAX && outbound->direct == 0 &&
           outbound->run == 0 && outbound->queue.buckets == NULL &&
           outbound->statistics.failed == 0 &&
           outbound->statistics.dropped == 0;
}

/* Reads of files need its trail. */
static void lookAtOutbound(struct FastSpare* spare)
{
    struct FastOutbound* outbound = FAST_CONTAINER(spare, struct FastOutbound, spare);
    struct FastSocket* socket = outbound->flight.socket;
    if (isOutboundEmpty(outbound) && isOutboundPlain(outbound) &&
        !FastSocketHasMode(socket, FASTSOCKET_MODE_FILE_IO))
        FastSocketDropOutbound(socket);
}

void FastSocketDropOutbound(struct FastSocket* socket)
{
    if (socket->outbound == NULL)
        return;
    free(socket->outbound->queue.buckets);
    FastRingGiveSpare(socket->ring, &socket->outbound->spare);
    socket->outbound = NULL;
}

/* Made when needed: most connections of a server wait for a peer and have nothing to send. */
int FastSocketMakeOutbound(struct FastSocket* socket)
{
    if (socket->outbound != NULL)
        return 0;
    struct FastSpare* spare = FastRingTakeSpare(socket->ring, lookAtOutbound);
    if (spare == NULL)
        return -ENOMEM;
    struct FastOutbound* outbound = FAST_CONTAINER(spare, struct FastOutbound, spare);
    *outbound = (struct FastOutbound){
        .spare = *spare,
        .queue.messages = FastSocketCommon(socket)->maxMessages,
        .flight.socket = socket,
        .trail.function = onTrail,
        .burst = CORE_BURST,
        .joinMax = UINT16_MAX,
        .threshold = FAST_OUTBOUND_THRESHOLD,
    };
    socket->outbound = outbound;
    FastSocketReconsiderOutbound(socket); /* what it is made for may fail, or be over at once */
    return 0;
}

/*
 * A thread of the kernel's keeps a file a little longer than the completion takes to come (6.18:
 * the thread and the completion have a reference each to the request; rarely, and for
 * microseconds). An executable that was written and closed could not be run in that time. What is
 * linked behind an operation starts only when the kernel has let go of that: so a socket whose
 * trails have all completed may be closed.
 */
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
