/*
 * The end of a socket.
 *
 * Good path of ReleaseFastSocket: the handler is called no more, unread input is dropped; what is
 * queued is sent (flushing); a stream's output is ended and its input discarded until the peer ends
 * too, or for a while, because a close with unread input resets the connection and destroys what
 * was sent (draining); then the connection is shut down, so that a forked child can't keep it,
 * every operation is canceled (canceling), and when the last one is final the descriptor is closed.
 * Memory that the kernel sends without a copy waits on its own.
 *
 * One whose connection is still sought goes on seeking for what is queued, and is closed at once if
 * there is nothing.
 *
 * Failures: the peer takes nothing for the release timeout: what is in flight is canceled to see
 * whether it moved at all; if not, the connection is reset. Abort goes straight to that. The ring
 * ends: everything is canceled, and a socket that its user still has becomes defunct.
 */
#include "socket/release.h"

#include "service/connector.h"
#include "socket/dispatch.h"
#include "socket/intake.h"
#include "socket/kind.h"
#include "socket/notice.h"
#include "socket/output.h"
#include "socket/receive.h"
#include "socket/sent.h"
#include "socket/stall.h"
#include "socket/system.h"
#include "socket/timing.h"

#include <errno.h>

/* close() then drops what the kernel has queued, and a TCP peer sees a reset. */
static void makeCloseReset(const struct FastSocket* socket)
{
    const struct linger linger = {.l_onoff = 1, .l_linger = 0};
    (void)FastSystemSetOption(socket->handle, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

void FastReleaseReset(struct FastSocket* socket)
{
    socket->resetting = true;
    makeCloseReset(socket);
    FastSocketEnterStage(socket, FAST_STAGE_CANCELING);
    FastOutputDrop(socket);
}

/* ---- draining ---- */

static void cancelAll(struct FastSocket* socket)
{
    FastSocketEnterStage(socket, FAST_STAGE_CANCELING);
}

/* Without memory for its bound it waits for some, unless nothing was ever sent that a reset could
 * destroy. */
static void endWithoutBound(struct FastSocket* socket)
{
    if (socket->statistics.sentBytes == 0)
        cancelAll(socket);
    else
        FastSocketRetryLater(socket);
}

static void startDraining(struct FastSocket* socket)
{
    FastStallStop(socket);
    if (!FastSocketHas(socket, FAST_TRAIT_CONNECTED) || FastSocketHasFailed(socket) ||
        socket->inbound.end == FAST_INPUT_ENDED) {
        cancelAll(socket);
        return;
    }
    if (FastSocketMakeOutbound(socket) < 0) {
        endWithoutBound(socket);
        return;
    }
    if (socket->shutdown != FAST_SHUTDOWN_DONE)
        FastSystemShutdown(socket->handle, SHUT_WR);
    socket->shutdown = FAST_SHUTDOWN_DONE;
    FastSocketEnterStage(socket, FAST_STAGE_DRAINING);
    FastStallWatch(socket, FastSocketCommon(socket)->lingerMs, cancelAll);
}

/* ---- closing ---- */

static bool isQuiet(const struct FastSocket* socket)
{
    const struct FastOutbound* outbound = socket->outbound;
    return FastArmedIsIdle(&socket->inbound.receive) && FastArmedIsIdle(&socket->poll) &&
           (outbound == NULL || (outbound->inFlight == 0 && outbound->trails == 0 &&
                                 outbound->canceling != FAST_SEND_CANCEL_IN_FLIGHT &&
                                 outbound->canceled.first == NULL &&
                                 outbound->notices.first == NULL));
}

static void dropSources(struct FastSocket* socket)
{
    const struct FastCommon* common = FastSocketCommon(socket);
    if (common->provider != NULL)
        FastProviderDrop(common->provider);
    if (common->inboundPool != NULL)
        FastPoolDrop(common->inboundPool);
    if (common->outboundPool != NULL)
        FastPoolDrop(common->outboundPool);
}

void FastReleaseSeeking(struct FastSocket* socket)
{
    struct FastConnector* connector = socket->extra != NULL ? socket->extra->connector : NULL;
    if (connector == NULL)
        return;
    socket->extra->connector = NULL;
    FastConnectorStop(connector);
}

/* Who else has the file may go on with it, but for a connection, which has been ended for all: of
 * that no more is heard than its end. */
static void closeHandle(struct FastSocket* socket)
{
    if (FastCheckRuns())
        FastCheckHandle(socket, socket->handle);
    if (FastSocketKind(socket)->end != NULL)
        FastSocketKind(socket)->end(socket, socket->resetting);
    if (FastSocketKind(socket)->close != NULL)
        FastSocketKind(socket)->close(socket);
    if (!FastSocketHas(socket, FAST_TRAIT_CONNECTED))
        FastRingForgetHandle(socket->ring, socket->handle);
    FastSystemClose(socket->handle);
}

/* Gives back everything but the memory, which may be left for a user who still has it. */
static void becomeDefunct(struct FastSocket* socket, bool leak)
{
    FastStallStop(socket);
    FastTimingStop(socket);
    FastSocketStopWaiting(socket);
    FastIntakeDropAll(socket);
    FastReleaseSeeking(socket);
    if (socket->handle >= 0)
        closeHandle(socket);
    FastOutputDropAll(socket, leak);
    if (socket->outbound != NULL)
        FastRingForgetSpare(socket->ring, &socket->outbound->spare); /* loans may still come home */
    FastSocketEnterStage(socket, FAST_STAGE_CLOSED);
    dropSources(socket);
    FastRingUnlink(socket->ring, &socket->worker.member);
    if (socket->released)
        FastSocketDrop(socket);
}

bool FastReleasePrepare(struct FastSocket* socket)
{
    if (socket->stage == FAST_STAGE_FLUSHING && socket->outbound != NULL)
        FastStallUpdate(socket);
    if (socket->stage == FAST_STAGE_FLUSHING &&
        (FastSocketHasFailed(socket) || !FastSocketHasOutput(socket)))
        startDraining(socket);
    if (socket->stage == FAST_STAGE_DRAINING &&
        (FastSocketHasFailed(socket) || socket->inbound.end == FAST_INPUT_ENDED))
        FastSocketEnterStage(socket, FAST_STAGE_CANCELING);
    if (socket->stage == FAST_STAGE_CANCELING && isQuiet(socket))
        becomeDefunct(socket, false);
    return true;
}

/* ---- the exported functions ---- */

static void startRelease(struct FastSocket* socket)
{
    socket->released = true;
    socket->function = NULL;
    socket->closure = NULL;
    socket->inbound.record = 0;
    FastNoticeEnd(socket, ECANCELED);
    FastReceiveDiscard(socket);
}

/* Whether a release has nothing to start: a foreign thread's, a second one, or that of a defunct
 * socket. */
static bool isOver(struct FastSocket* socket)
{
    int result = FastRingCheckRelease(socket->ring, socket);
    if (FastCheckRuns() && result == 0)
        FastCheckHandle(socket, socket->handle);
    if (socket->stage == FAST_STAGE_CLOSED && !socket->released) {
        socket->released = true; /* a stream of the C library may still ask */
        FastSocketDrop(socket);
        return true;
    }
    return socket->released || result < 0;
}

/* Whether there may be something to deliver. A connection is sought on for what is queued. */
static bool mayFlush(const struct FastSocket* socket)
{
    if (FastRingIsEnding(socket->ring))
        return false;
    return socket->connection == FAST_CONNECTION_SOUGHT
               ? FastSocketHasOutput(socket)
               : socket->connection != FAST_CONNECTION_BEGUN;
}

void ReleaseFastSocket(struct FastSocket* socket)
{
    if (socket == NULL || isOver(socket))
        return;
    startRelease(socket);
    if (!mayFlush(socket)) {
        FastSocketEnterStage(socket, FAST_STAGE_CANCELING);
        FastOutputDrop(socket);
        return;
    }
    FastSocketEnterStage(socket, FAST_STAGE_FLUSHING);
    if (socket->outbound == NULL || socket->outbound->queue.first == NULL)
        return;
    uint32_t milliseconds = FastSocketCommon(socket)->releaseMs;
    if (milliseconds == 0)
        FastReleaseReset(socket);
    else
        FastStallWatch(socket, milliseconds, FastReleaseReset);
}

void AbortFastSocket(struct FastSocket* socket)
{
    if (socket == NULL || isOver(socket))
        return;
    startRelease(socket);
    FastReleaseReset(socket);
}

int ShutdownFastSocket(struct FastSocket* socket)
{
    int result = FastSocketCheck(socket);
    if (result < 0)
        return result;
    if (!FastSocketHas(socket, FAST_TRAIT_CONNECTED))
        return -EOPNOTSUPP;
    if (FastSocketHasFailed(socket))
        return -EPIPE;
    if (socket->shutdown == FAST_SHUTDOWN_NONE)
        socket->shutdown = FAST_SHUTDOWN_WANTED;
    FastSentEndOutput(socket);
    return 0;
}

/* ---- the end of the ring ---- */

/* What follows the last event. */
static void finishEnd(void* closure)
{
    struct FastSocket* socket = closure;
    /* From here on only cancellations enter the kernel; what waits for the peer is not waited
     * for. */
    if (socket->outbound != NULL && socket->outbound->usedZeroCopy)
        makeCloseReset(socket);
    FastSocketEnterStage(socket, FAST_STAGE_CANCELING);
    FastNoticeEnd(socket, ECANCELED);
    FastOutputDrop(socket);
    FastSocketDrop(socket);
}

void FastReleaseEndMember(struct FastRingMember* member)
{
    struct FastSocket* socket = FAST_CONTAINER(member, struct FastSocket, worker.member);
    FastSocketHold(socket);
    FastDispatchRingEnd(socket, finishEnd);
    finishEnd(socket);
}

/* Tasks that are still queued will never run; each holds a reference. */
static void dropTasks(struct FastSocket* socket)
{
    for (enum FastRingWork number = 1; number <= FAST_RING_WORKS; number++)
        if (FastRingWorkIsQueued(&socket->worker, number))
            FastSocketDrop(socket);
}

/* orderly: the tasks' references are the last. Otherwise operations that never complete have some
 * too, which count no more; what the kernel may still read or write is left to it. */
void FastReleaseCloseMember(struct FastRingMember* member, bool orderly)
{
    struct FastSocket* socket = FAST_CONTAINER(member, struct FastSocket, worker.member);
    FastSocketHold(socket);
    if (orderly)
        dropTasks(socket);
    else
        socket->references = 2u + socket->streams; /* the user's and ours */
    becomeDefunct(socket, !orderly);
    FastSocketDrop(socket);
}
