/*
 * What the kernel says to what was sent.
 *
 * Good path: bytes that were accepted leave the outbound queue, and the next send starts.
 *
 * Failures: a short count is resumed from where it ended. Refusals for want of memory are tried again
 * after a while. Those for want of room wait in the kernel's poll; if that tells nothing, in a poll of
 * ours, which an unread error queue doesn't end; and if that was wrong, for a while. A datagram's errno
 * may be an earlier one's: it is sent once more, and what comes again is its own. Other errors are a
 * stream's end, or one datagram's.
 */
#include "service/operation.h"
#include "socket/item.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>

enum
{
    RESULT_MOST_TRIES = 100, /* of a message that the kernel has no memory for */
    RESULT_MOST_DOUBTS = 8,  /* errnos of earlier datagrams that one may meet */
    RESULT_SAME_DOUBTS = 3,  /* after so many the same one again is its own */
};

/* ---- trying again ---- */

void FastSocketRetryLater(struct FastSocket* socket)
{
    if (socket->outbound.retry.queued)
        return;
    FastSocketHold(socket);
    FastRingWaitMemory(socket->ring, &socket->outbound.retry);
}

void FastSocketHoldOutput(struct FastSocket* socket)
{
    socket->outbound.holding = true;
    FastSocketRetryLater(socket);
}

bool FastSocketRetry(struct FastTask* task)
{
    struct FastSocket* socket = FAST_CONTAINER(task, struct FastSocket, outbound.retry);
    socket->outbound.holding = false;
    socket->inbound.resting = false;
    socket->inbound.unmoved = false;
    socket->outbound.unmoved = false;
    socket->poll.resting = false;
    FastSocketDefer(socket);
    FastSocketDrop(socket);
    return true;
}

/* The kernel's own poll is the cheapest. It is of no use once a send has come back from it with nothing, as
 * behind an error queue that nobody reads: then ours (socket.c) tells; and if that is wrong too, time. */
static void waitForRoom(struct FastSocket* socket)
{
    struct FastSocketOutbound* outbound = &socket->outbound;
    if (outbound->polled)
        FastSocketHoldOutput(socket);
    else if (outbound->pollFirst || socket->poll.noisy)
        outbound->blocked = true;
    else
        outbound->pollFirst = true;
}

/* TCP Fast Open: what was taken for connected has only just sent its SYN. Its poll tells the rest. */
static bool stillConnects(struct FastSocket* socket, int error)
{
    if (socket->kind != SOCKET_STREAM || socket->file || (error != EINPROGRESS && error != EALREADY))
        return false;
    socket->connecting = true;
    return true;
}

/* Whether an operation is simply made again. */
static bool isTransient(struct FastSocket* socket, int error)
{
    if (socket->file && FastSocketWritesAgain(socket, error))
        return true;
    if (stillConnects(socket, error))
        return true;
    switch (error) {
    case EAGAIN:
        waitForRoom(socket);
        return true;
    case EINTR:
    case ECANCELED: /* ours, or a link's */
        return true;
    case ENOMEM:
    case ENOBUFS:
        FastSocketHoldOutput(socket);
        return true;
    default:
        return false;
    }
}

/* TCP Fast Open doesn't connect before the first bytes, and a shutdown would undo it: no bytes do. */
static bool beginsConnection(struct FastSocket* socket)
{
    struct tcp_info information = {0};
    socklen_t length = sizeof(information);
    if (!socket->tcp || getsockopt(socket->handle, IPPROTO_TCP, TCP_INFO, &information, &length) < 0 ||
        information.tcpi_state != TCP_SYN_SENT)
        return false;
    socket->connecting = true;
    (void)send(socket->handle, NULL, 0, MSG_DONTWAIT | MSG_NOSIGNAL);
    FastSocketDefer(socket);
    return true;
}

void FastSocketEndOutput(struct FastSocket* socket)
{
    const struct FastSocketOutbound* outbound = &socket->outbound;
    if (!socket->shutdown || socket->shutdownDone || socket->connecting || socket->failed ||
        outbound->first != NULL || outbound->flying > 0 || beginsConnection(socket))
        return;
    socket->shutdownDone = true;
    (void)shutdown(socket->handle, SHUT_WR);
}

/* ---- streams ---- */

/* Something is over: whatever is due now is done by the step. */
static void goOn(struct FastSocket* socket)
{
    FastSocketEndOutput(socket);
    if (socket->failed || socket->stage >= SOCKET_CANCELING)
        FastSocketDropOutput(socket);
    FastSocketCountPending(socket);
    FastSocketDefer(socket);
}

/* A short count leaves the rest to the next send, once there is room. */
static void noteCount(struct FastSocket* socket, size_t count)
{
    struct FastSocketOutbound* outbound = &socket->outbound;
    bool isShort = count < outbound->requested;
    outbound->pollFirst = isShort && !socket->poll.noisy;
    outbound->blocked = isShort && socket->poll.noisy;
    outbound->polled = false;
    outbound->cutShort = isShort && !outbound->canceling;
    if (count == 0 && isShort)
        FastSocketHoldOutput(socket); /* a device that takes nothing just now */
}

static void acceptBytes(struct FastSocket* socket, size_t count, bool zeroCopy)
{
    struct FastSocketOutbound* outbound = &socket->outbound;
    struct FastItem* first = outbound->first;
    noteCount(socket, count);
    socket->statistics.sentOperations++;
    socket->statistics.sentZeroCopy += zeroCopy;
    if (count > 0 || outbound->requested == 0) {
        FastItemCloseRights(first); /* they went with the first byte */
        if (!FastControlIsRecord(first->control, first->controlLength))
            first->controlLength = 0;
        FastSocketProgress(socket);
    }
    if (outbound->requested == 0)
        FastSocketPopItem(socket);
    else
        FastSocketConsume(socket, count);
}

static bool isTransientStream(struct FastSocket* socket, int error, bool zeroCopy)
{
    return (zeroCopy && FastZeroCopyFallsBack(socket, error)) || FastSocketDropsWaitAll(socket, error) ||
           isTransient(socket, error);
}

static void finishStream(struct FastSocket* socket, int result, bool zeroCopy)
{
    struct FastSocketOutbound* outbound = &socket->outbound;
    outbound->flying--;
    outbound->current = NULL;
    if (result >= 0)
        acceptBytes(socket, (size_t)result, zeroCopy);
    else if (!isTransientStream(socket, -result, zeroCopy))
        FastSocketFail(socket, -result);
    goOn(socket);
}

/* ---- messages ---- */

/*
 * A datagram to an AF_UNIX socket whose queue is full: the kernel builds the message before it finds
 * out, and a request that is tried again inside (6.18 at least) then sends an empty one. So these are
 * never made to wait there: they come back, and so does what is linked behind them.
 */
bool FastSocketWaitsForPeer(const struct FastSocket* socket)
{
    return socket->local && socket->kind == SOCKET_DATAGRAM;
}

/* A connected socket polls writable when its peer has room; of others only time tells. */
static void waitForPeer(struct FastSocket* socket, const struct FastItem* item)
{
    socket->outbound.burst = 1; /* those behind would only come back too */
    if (item->nameLength > 0 || socket->outbound.polled)
        FastSocketHoldOutput(socket);
    else
        socket->outbound.blocked = true;
}

/* A piece of a datagram (MSG_MORE, UDP_CORK) that fails takes those before it along: sent again, it would
 * be a datagram of its own. */
static bool continuesDatagram(const struct FastSocket* socket)
{
    int cork = 0;
    socklen_t length = sizeof(cork);
    return socket->outbound.corked ||
           (getsockopt(socket->handle, IPPROTO_UDP, UDP_CORK, &cork, &length) == 0 && cork != 0);
}

/*
 * The pending error of an earlier datagram, whatever its errno, is told to the next send, which is then
 * not made. So each is made again: what is its own comes again, and what doesn't was another's. Once is
 * not enough, as another may come between the look for it and the enter. Only
 * AF_UNIX has an errno that is its own for certain, and would not come twice.
 */
static bool isDoubtful(const struct FastSocket* socket, const struct FastItem* item, int error)
{
    if (socket->local && error == ECONNREFUSED)
        return false;
    int most = error == item->doubt ? RESULT_SAME_DOUBTS : RESULT_MOST_DOUBTS;
    return item->doubts < most && !continuesDatagram(socket);
}

/* The errno that an item has met before was another's. */
static void tellDoubt(struct FastSocket* socket, struct FastItem* item)
{
    if (item->doubt != 0)
        FastSocketFailDatagram(socket, item->doubt);
    item->doubt = 0;
}

/* Whether an item is made again to see whose errno it has met. */
static bool doubts(struct FastSocket* socket, struct FastItem* item, int error)
{
    if (socket->kind != SOCKET_DATAGRAM || !isDoubtful(socket, item, error))
        return false;
    if (item->doubt != error)
        tellDoubt(socket, item);
    item->doubt = error;
    item->doubts++;
    socket->outbound.burst = 1; /* those behind would be cancelled again */
    return true;
}

static void loseMessage(struct FastSocket* socket, struct FastItem* item, int error)
{
    if (socket->kind != SOCKET_DATAGRAM) {
        FastSocketFail(socket, error);
        return;
    }
    if (item->doubt != error)
        tellDoubt(socket, item);
    item->done = true;
    socket->outbound.corked = false;
    socket->outbound.burst = 1; /* it has cancelled those behind, and they may fail like it */
    socket->statistics.failedMessages++;
    FastSocketFailDatagram(socket, error);
}

/* What another datagram left behind in the meantime would be taken for this one's. */
void FastSocketClearErrors(struct FastSocket* socket)
{
    int error = FastSocketTakeError(socket);
    if (error != 0)
        FastSocketFailDatagram(socket, error);
}

static void popDone(struct FastSocket* socket)
{
    while (socket->outbound.first != NULL && socket->outbound.first->done)
        FastSocketPopItem(socket);
}

static void acceptMessage(struct FastSocket* socket, struct FastItem* item, bool zeroCopy)
{
    struct FastSocketOutbound* outbound = &socket->outbound;
    socket->statistics.sentBytes += item->length;
    socket->statistics.sentOperations++;
    socket->statistics.sentZeroCopy += zeroCopy;
    outbound->pollFirst = false;
    outbound->polled = false;
    outbound->corked = item->flags & MSG_MORE && socket->kind == SOCKET_DATAGRAM;
    item->done = true;
    tellDoubt(socket, item);
    FastSocketProgress(socket);
}

/* Whether a message that failed is made again. */
static bool isTransientMessage(struct FastSocket* socket, struct FastItem* item, int error, bool zeroCopy)
{
    if (error == EAGAIN && FastSocketWaitsForPeer(socket)) {
        waitForPeer(socket, item);
        return true;
    }
    if (error == ENOMEM || error == ENOBUFS) {
        if (zeroCopy && FastZeroCopyFallsBack(socket, error))
            return true;
        return ++item->tries <= RESULT_MOST_TRIES && isTransient(socket, error);
    }
    if (isTransient(socket, error) || doubts(socket, item, error))
        return true;
    if (!zeroCopy || !FastZeroCopyFallsBack(socket, error))
        return false;
    item->doubt = 0; /* it was zero copy's */
    return true;
}

static void finishMessage(struct FastSocket* socket, struct FastItem* item, int result, bool zeroCopy)
{
    struct FastSocketOutbound* outbound = &socket->outbound;
    outbound->flying--;
    outbound->current = NULL;
    item->flying = false;
    if (result >= 0)
        acceptMessage(socket, item, zeroCopy);
    else if (!isTransientMessage(socket, item, -result, zeroCopy))
        loseMessage(socket, item, -result);
    popDone(socket);
    goOn(socket);
}

void FastSocketFinishSend(struct FastSocket* socket, struct FastItem* message, int result, bool zeroCopy)
{
    if (message != NULL)
        finishMessage(socket, message, result, zeroCopy);
    else
        finishStream(socket, result, zeroCopy);
}

/* ---- completions ---- */

void FastSocketSent(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    struct FastSocket* socket = FAST_CONTAINER(operation, struct FastSocket, outbound.operation);
    finishStream(socket, FastSocketWriteResult(socket, completion->res), false);
    FastSocketDrop(socket);
}

void FastItemSent(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    struct FastItem* item = FAST_CONTAINER(operation, struct FastItem, operation);
    struct FastSocket* socket = item->socket;
    finishMessage(socket, item, completion->res, false);
    FastSocketDrop(socket);
}

static bool isWritable(const struct FastSocket* socket)
{
    struct pollfd state = {.fd = socket->handle, .events = POLLOUT};
    return poll(&state, 1, 0) > 0 && state.revents & (POLLOUT | POLLHUP);
}

/* On a non-blocking socket the kernel doesn't wait in a splice, for either end: it is made again after a
 * poll of the socket, or later if not the socket but the pipe is why. */
static bool splicesAgain(struct FastSocket* socket, struct FastItem* item, int error)
{
    if (error == EAGAIN && !socket->file) {
        if (isWritable(socket))
            FastSocketHoldOutput(socket);
        else
            socket->outbound.blocked = true;
        return true;
    }
    return isTransient(socket, error) || doubts(socket, item, error);
}

void FastItemSpliced(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    struct FastItem* item = FAST_CONTAINER(operation, struct FastItem, operation);
    struct FastSocket* socket = item->socket;
    int result = completion->res;
    item->flying = false;
    socket->outbound.flying--;
    if (result >= 0)
        tellDoubt(socket, item);
    if (result > 0) {
        socket->statistics.sentOperations++;
        socket->outbound.polled = false;
        FastSocketConsume(socket, (size_t)result < item->length ? (size_t)result : item->length);
        FastSocketProgress(socket);
    } else if (result == 0)
        FastSocketPopItem(socket); /* the pipe has ended */
    else if (!splicesAgain(socket, item, -result))
        loseMessage(socket, item, -result);
    popDone(socket);
    goOn(socket);
    FastSocketDrop(socket);
}

void FastItemPassed(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    struct FastItem* item = FAST_CONTAINER(operation, struct FastItem, operation);
    struct FastSocket* socket = item->socket;
    struct FastRingDescriptor* descriptor = item->descriptor;
    if (completion->flags & IORING_CQE_F_MORE)
        return; /* a barrier ends once */
    item->descriptor = NULL;
    item->flying = false;
    socket->outbound.flying--;
    FastSocketPopItem(socket);
    goOn(socket);
    FastDescriptorComplete(descriptor, completion);
    FastSocketDrop(socket);
}
