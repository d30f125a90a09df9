/*
 * The end of a socket.
 *
 * Good path of ReleaseFastSocket: nothing is called back any more, unread input is dropped; what is
 * queued is sent (flushing); a stream is told the end of output and its input is discarded until the
 * peer ends too, or for a second, because a close with unread input resets the connection and
 * destroys what was sent (draining); then the connection is shut down, so that a forked child can't
 * keep it, every operation is cancelled (cancelling), and when the last one is final the descriptor
 * is closed. Memory that the kernel sends without a copy waits on its own.
 *
 * Failures: the peer takes nothing for the release timeout: what is in flight is cancelled to see
 * whether it moved at all; if not, the connection is reset. Abort goes straight to that. The ring
 * ends: everything is cancelled, and a socket that its user still has becomes a shell.
 */
#include "socket/state.h"

#include <errno.h>
#include <linux/sctp.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

enum
{
    RELEASE_TIMEOUT_MS = 30000,
    RELEASE_DRAIN_MS = 1000,
    RELEASE_MILLISECOND = 1000000,
};

static void enterStage(struct FastSocket* socket, uint8_t stage)
{
    if (stage <= socket->stage)
        return;
    socket->stage = stage;
    FastSocketCountPending(socket);
    FastSocketDefer(socket);
}

static void setTimer(struct FastSocket* socket, uint64_t milliseconds)
{
    FastRingSetTimer(socket->ring, &socket->timer, (int64_t)milliseconds * RELEASE_MILLISECOND);
}

/* close() then drops what the kernel has queued, and a TCP peer sees a reset. */
static void makeCloseReset(const struct FastSocket* socket)
{
    if (socket->file)
        return;
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(socket->handle, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

/* A lingering close would block the ring's thread. */
static void makeCloseQuick(const struct FastSocket* socket)
{
    struct linger linger = {0};
    socklen_t length = sizeof(linger);
    if (getsockopt(socket->handle, SOL_SOCKET, SO_LINGER, &linger, &length) < 0 || !linger.l_onoff ||
        linger.l_linger == 0)
        return;
    linger.l_onoff = 0;
    (void)setsockopt(socket->handle, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

/* SCTP knows no disconnecting; an association ends by a message that says so. */
static void abortAssociation(const struct FastSocket* socket)
{
    union
    {
        struct cmsghdr header;
        uint8_t bytes[CMSG_SPACE(sizeof(struct sctp_sndrcvinfo))];
    } control = {.header = {.cmsg_level = IPPROTO_SCTP,
                            .cmsg_type = SCTP_SNDRCV,
                            .cmsg_len = CMSG_LEN(sizeof(struct sctp_sndrcvinfo))}};
    const struct sctp_sndrcvinfo information = {.sinfo_flags = SCTP_ABORT};
    const struct msghdr message = {.msg_control = &control, .msg_controllen = sizeof(control)};
    memcpy(CMSG_DATA(&control.header), &information, sizeof(information));
    (void)sendmsg(socket->handle, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Ends it for everyone: a forked child may have the descriptor too, and close() alone says nothing then. */
static void endConnection(const struct FastSocket* socket)
{
    if (socket->file)
        return;
    const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    if (socket->resetting && (socket->tcp || socket->mptcp)) {
        (void)connect(socket->handle, &nobody, sizeof(nobody)); /* disconnects, by a reset */
        return;
    }
    if (socket->resetting && socket->sctp) {
        abortAssociation(socket);
        return;
    }
    (void)shutdown(socket->handle, SHUT_RDWR); /* others know no reset */
    makeCloseQuick(socket);
}

static void reset(struct FastSocket* socket)
{
    socket->resetting = true;
    makeCloseReset(socket);
    enterStage(socket, SOCKET_CANCELING);
    FastSocketDropOutput(socket);
}

/* ---- flushing ---- */

void FastSocketProgress(struct FastSocket* socket)
{
    if (socket->stage != SOCKET_FLUSHING)
        return;
    socket->flushTried = false;
    setTimer(socket, socket->releaseMs);
}

static void onTimer(struct FastTimer* timer)
{
    struct FastSocket* socket = FAST_CONTAINER(timer, struct FastSocket, timer);
    if (socket->stage == SOCKET_DRAINING) {
        enterStage(socket, SOCKET_CANCELING);
        return;
    }
    if (socket->stage != SOCKET_FLUSHING)
        return;
    /* A message is accepted whole or not at all: what is in flight has nothing to tell. */
    if (socket->flushTried || socket->outbound.flying == 0 || socket->kind != SOCKET_STREAM) {
        reset(socket);
        return;
    }
    /* The send in flight says how far it came when it is cancelled; then this runs out, or not. */
    socket->flushTried = true;
    socket->outbound.cancelWanted = true;
    setTimer(socket, RELEASE_DRAIN_MS);
    FastSocketDefer(socket);
}

/* ---- draining ---- */

static void startDraining(struct FastSocket* socket)
{
    FastRingStopTimer(socket->ring, &socket->timer);
    if (socket->kind == SOCKET_DATAGRAM || socket->file || socket->failed || socket->inbound.ended) {
        enterStage(socket, SOCKET_CANCELING);
        return;
    }
    (void)shutdown(socket->handle, SHUT_WR);
    socket->inbound.discard = true;
    enterStage(socket, SOCKET_DRAINING);
    setTimer(socket, RELEASE_DRAIN_MS);
}

/* ---- closing ---- */

static bool isQuiet(const struct FastSocket* socket)
{
    return !socket->inbound.armed && !socket->inbound.canceling && !socket->poll.armed &&
           !socket->poll.canceling && socket->outbound.flying == 0 && !socket->outbound.canceling &&
           socket->trail.flying == 0;
}

/* Gives back everything but the memory. What is left is a shell for the user who still has it. */
static void becomeShell(struct FastSocket* socket, bool leak)
{
    FastRingStopTimer(socket->ring, &socket->timer);
    FastWaiterRemove(&socket->inbound.waiter);
    FastSocketDropInput(socket);
    endConnection(socket);
    FastSocketCloseOwn(socket);
    close(socket->handle);
    enterStage(socket, SOCKET_CLOSED);
    FastSocketDropItems(socket, leak);
    if (socket->inbound.provider != NULL)
        FastProviderDrop(socket->inbound.provider);
    if (socket->inbound.pool != NULL)
        FastPoolDrop(socket->inbound.pool);
    if (socket->outbound.pool != NULL)
        FastPoolDrop(socket->outbound.pool);
    FastRingUnlink(socket->ring, &socket->member);
    socket->shell = true;
    if (socket->released)
        FastSocketDrop(socket);
}

bool FastSocketStepRelease(struct FastSocket* socket)
{
    if (socket->shell || socket->stage == SOCKET_LIVE)
        return true;
    if (socket->stage == SOCKET_FLUSHING &&
        (socket->failed || (socket->outbound.first == NULL && socket->outbound.flying == 0)))
        startDraining(socket);
    if (socket->stage == SOCKET_DRAINING && (socket->failed || socket->inbound.ended))
        enterStage(socket, SOCKET_CANCELING);
    if (socket->stage == SOCKET_CANCELING && isQuiet(socket)) {
        FastSocketFinishCanceled(socket);
        becomeShell(socket, false);
    }
    return true;
}

/* ---- the exported functions ---- */

static void startRelease(struct FastSocket* socket)
{
    socket->released = true;
    socket->function = NULL;
    socket->closure = NULL;
    FastWaiterRemove(&socket->inbound.waiter); /* of the ring's limit, which what is discarded ignores */
    socket->inbound.starved = false;
    socket->inbound.limited = false;
    socket->inbound.record = 0;
    /* A peer that writes before it reads must get on, or it will not take what is flushed. What a file
     * still holds may be read by others. */
    socket->inbound.discard = socket->kind != SOCKET_DATAGRAM && !socket->file;
    FastSocketDropInput(socket);
}

/* Whether a release has nothing to start: a foreign thread's, a second one, or that of a shell. */
static bool isOver(struct FastSocket* socket)
{
    if (socket->shell && !socket->released) {
        socket->released = true; /* a stream may still ask */
        FastSocketDrop(socket);
        return true;
    }
    return socket->released || FastSocketCheck(socket) < 0;
}

void ReleaseFastSocket(struct FastSocket* socket)
{
    if (socket == NULL || isOver(socket))
        return;
    startRelease(socket);
    if (socket->connecting || FastRingIsEnding(socket->ring)) {
        enterStage(socket, SOCKET_CANCELING);
        FastSocketDropOutput(socket);
        return;
    }
    enterStage(socket, SOCKET_FLUSHING);
    if (socket->outbound.first == NULL)
        return;
    if (socket->releaseMs == 0)
        reset(socket);
    else
        setTimer(socket, socket->releaseMs);
}

void AbortFastSocket(struct FastSocket* socket)
{
    if (socket == NULL || isOver(socket))
        return;
    startRelease(socket);
    reset(socket);
}

int ShutdownFastSocket(struct FastSocket* socket)
{
    int result = FastSocketCheck(socket);
    if (result < 0)
        return result;
    if (socket->kind == SOCKET_DATAGRAM || socket->file)
        return -EOPNOTSUPP;
    if (socket->failed)
        return -EPIPE;
    socket->shutdown = true;
    FastSocketEndOutput(socket);
    return 0;
}

void FastSocketInitializeRelease(struct FastSocket* socket)
{
    socket->timer.function = onTimer;
    socket->releaseMs = RELEASE_TIMEOUT_MS;
}

/* ---- the end of the ring ---- */

static void endMember(struct FastRingMember* member)
{
    struct FastSocket* socket = FAST_CONTAINER(member, struct FastSocket, member);
    FastSocketHold(socket);
    if (socket->stage == SOCKET_LIVE && !socket->hangupTold) {
        socket->hangupTold = true;
        if (socket->function != NULL)
            socket->function(socket, POLLHUP, ECANCELED);
    }
    /* From here on only cancellations enter the kernel; what waits for the peer is not waited for. */
    if (socket->usedZeroCopy)
        makeCloseReset(socket);
    enterStage(socket, SOCKET_CANCELING);
    FastSocketDropOutput(socket);
    FastSocketDrop(socket);
}

/* Tasks that are still queued will never run; each holds a reference. */
static void dropTasks(struct FastSocket* socket)
{
    const struct FastTask* tasks[] = {&socket->step, &socket->notice, &socket->outbound.retry};
    for (size_t index = 0; index < sizeof(tasks) / sizeof(tasks[0]); index++)
        if (tasks[index]->queued)
            FastSocketDrop(socket);
}

/* orderly: the tasks' references are the last. Otherwise operations that never complete have some
 * too, which count no more; the kernel writes to our buffers, not to the socket. */
static void closeMember(struct FastRingMember* member, bool orderly)
{
    struct FastSocket* socket = FAST_CONTAINER(member, struct FastSocket, member);
    FastSocketHold(socket);
    if (orderly)
        dropTasks(socket);
    else
        socket->references = 2;
    becomeShell(socket, !orderly);
    FastSocketDrop(socket);
}

static void tightenMember(struct FastRingMember* member)
{
    FastSocketTightenReceive(FAST_CONTAINER(member, struct FastSocket, member));
}

static void countMember(const struct FastRingMember* member, struct FastRingStatistics* statistics)
{
    (void)member;
    statistics->sockets++;
}

const struct FastRingMemberFunctions FastSocketMember = {
    .end = endMember,
    .close = closeMember,
    .tighten = tightenMember,
    .count = countMember,
};
