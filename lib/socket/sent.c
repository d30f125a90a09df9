/*
 * What the kernel says to what was sent.
 *
 * Good path: bytes that were accepted leave the outbound queue, and the next send starts.
 *
 * Failures, as kinds classify them: a short count is resumed from where it ended. Lack of room
 * waits in the kernel's own poll, which is the cheapest. That is of no use once a send has come
 * back from it with nothing, as behind an error queue that nobody reads: then a poll of ours is
 * waited for; and if that was wrong too, some time passes. Lack of memory is tried again after a
 * while.
 */
#include "socket/sent.h"

#include "socket/control.h"
#include "socket/failure.h"
#include "socket/flight.h"
#include "socket/notice.h"
#include "socket/output.h"
#include "socket/poll.h"
#include "socket/system.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

/* ---- the end of output ---- */

/* With TCP Fast Open a connect waits for the first bytes, and a shutdown before them would undo it.
 * A send of no bytes makes the connection. */
static bool beginsConnection(struct FastSocket* socket)
{
    struct tcp_info information = {0};
    const struct msghdr nothing = {0};
    if (!FastSocketHas(socket, FAST_TRAIT_RECEIVES_EARLY) ||
        !FastSystemGetTcp(socket->handle, &information) || information.tcpi_state != TCP_SYN_SENT)
        return false;
    FastPollConnection(socket);
    (void)FastSystemSend(socket->handle, &nothing, 0);
    return true;
}

void FastSentEndOutput(struct FastSocket* socket)
{
    if (socket->shutdown != FAST_SHUTDOWN_WANTED || socket->connection != FAST_CONNECTION_MADE ||
        FastSocketHasOutput(socket) || beginsConnection(socket))
        return;
    socket->shutdown = FAST_SHUTDOWN_DONE;
    FastSystemShutdown(socket->handle, SHUT_WR);
}

/* ---- going on ---- */

/* A cancellation that has not hit what is over now must not hit the next one. */
static void forgetCancel(struct FastOutbound* outbound)
{
    bool aims = outbound->canceling == FAST_SEND_CANCEL_WANTED ||
                outbound->canceling == FAST_SEND_CANCEL_DONE;
    if (aims && outbound->inFlight == 0)
        outbound->canceling = FAST_SEND_CANCEL_NONE;
}

void FastSentGoOn(struct FastSocket* socket)
{
    uint8_t due = 0;
    forgetCancel(socket->outbound);
    if (socket->shutdown == FAST_SHUTDOWN_WANTED)
        FastSentEndOutput(socket);
    if (FastSocketHasFailed(socket) || socket->stage >= FAST_STAGE_CANCELING)
        FastOutputDrop(socket);
    if (FastSocketHasOutput(socket))
        due = FAST_DUE_SEND | FAST_DUE_POLL;
    if (socket->stage > FAST_STAGE_LIVE)
        due |= FAST_DUE_ALL;
    FastSocketCountPending(socket);
    if (due != 0)
        FastSocketDefer(socket, due);
}

/* Messages may complete in another order than the queue's, and leave in that. */
void FastSentPopDone(struct FastSocket* socket)
{
    const struct FastOutboundQueue* queue = &socket->outbound->queue;
    while (queue->first != NULL && queue->first->state == FAST_ITEM_DONE)
        FastOutputPop(socket);
}

void FastSentWaitForRoom(struct FastSocket* socket)
{
    socket->outbound->stops |= FAST_SEND_STOP_ROOM;
    FastSocketDefer(socket, FAST_DUE_POLL);
}

static void waitForRoom(struct FastSocket* socket)
{
    struct FastOutbound* outbound = socket->outbound;
    if (outbound->room & FAST_ROOM_POLLED)
        FastSocketBackOffSend(socket);
    else if (outbound->room & FAST_ROOM_POLL_FIRST || socket->poll.notes & FAST_POLL_NOISY)
        FastSentWaitForRoom(socket);
    else
        outbound->room |= FAST_ROOM_POLL_FIRST;
}

/* What a send had of a message is over: of a run the rest goes out later. */
static void finishMessage(struct FastSocket* socket, const struct FastFlight* flight)
{
    struct FastMessage* message = flight->message;
    if (message->item.messages > 1 && flight->bytes < message->item.length)
        FastOutputShorten(socket, message, flight->bytes);
    else
        message->item.state = FAST_ITEM_DONE;
}

static void loseMessage(struct FastSocket* socket, const struct FastFlight* flight, int error)
{
    FastNoticeLose(socket, &flight->message->item, error);
    finishMessage(socket, flight);
    socket->outbound->statistics.failed++;
    FastSocketFailOne(socket, error);
}

void FastSentCarry(struct FastSocket* socket, struct FastFlight* flight, struct FastAnswer answer)
{
    switch (answer.verdict) {
    case FAST_VERDICT_ROOM:
        waitForRoom(socket);
        break;
    case FAST_VERDICT_POLL:
        FastSentWaitForRoom(socket);
        break;
    case FAST_VERDICT_BACKOFF:
        FastSocketBackOffSend(socket);
        break;
    case FAST_VERDICT_CONNECT:
        FastPollConnection(socket);
        break;
    case FAST_VERDICT_FAIL_ONE:
        loseMessage(socket, flight, answer.value);
        break;
    case FAST_VERDICT_FAIL:
        FastSocketFail(socket, answer.value);
        break;
    default:
        break; /* made again at once */
    }
}

/* ---- accepted ---- */

/* A short count leaves the rest to the next send, once there is room. */
static void noteCount(struct FastSocket* socket, size_t count, size_t wanted)
{
    struct FastOutbound* outbound = socket->outbound;
    outbound->room = 0;
    outbound->cutShort = count < wanted && outbound->canceling <= FAST_SEND_CANCEL_WANTED;
    if (count == wanted)
        return;
    if (socket->poll.notes & FAST_POLL_NOISY)
        FastSentWaitForRoom(socket);
    else
        outbound->room = FAST_ROOM_POLL_FIRST;
    if (count == 0)
        FastSocketBackOffSend(socket); /* a device that takes nothing just now */
}

/* Descriptors in control data went with the first byte; a record's type goes with each. */
static void noteControl(struct FastItem* item)
{
    if (item->kind != FAST_ITEM_MESSAGE)
        return;
    struct FastMessage* message = FastItemMessage(item);
    FastMessageCloseRights(message);
    if (!FastControlNamesRecord(message->control, message->controlLength))
        message->controlLength = 0;
}

static void acceptBytes(struct FastSocket* socket, size_t count, size_t wanted)
{
    noteCount(socket, count, wanted);
    if (count > 0 || wanted == 0) {
        noteControl(socket->outbound->queue.first);
        socket->outbound->progress++;
    }
    if (wanted == 0)
        FastOutputPop(socket);
    else
        FastOutputConsume(socket, count);
}

/* A message is accepted whole, and so are several that went together. */
static void acceptMessage(struct FastSocket* socket, const struct FastFlight* flight)
{
    struct FastOutbound* outbound = socket->outbound;
    outbound->room = 0;
    socket->statistics.sentBytes += flight->bytes;
    outbound->progress++;
    finishMessage(socket, flight);
}

static void acceptSent(struct FastSocket* socket, const struct FastFlight* flight, size_t bytes)
{
    struct FastOutbound* outbound = socket->outbound;
    socket->statistics.sentOperations++;
    outbound->statistics.zeroCopy += flight->loan != NULL;
    if (flight->message != NULL)
        acceptMessage(socket, flight);
    else
        acceptBytes(socket, bytes, flight->bytes);
}

void FastSentFinish(struct FastFlight* flight, int result)
{
    struct FastSocket* socket = flight->socket;
    struct FastOutbound* outbound = socket->outbound;
    bool messages = flight->message != NULL;
    outbound->current = NULL;
    FastFlightEnd(flight);
    struct FastAnswer answer = FastSocketKind(socket)->classifySend(socket, flight, result);
    if (answer.verdict == FAST_VERDICT_DATA)
        acceptSent(socket, flight, (size_t)answer.value);
    else
        FastSentCarry(socket, flight, answer);
    if (messages)
        FastSentPopDone(socket);
    FastSentGoOn(socket);
}

/* Of a plain send all was accepted, nothing was queued behind it, and nobody waits for its end: to
 * cancel it, to release the socket, or to be called (notice.h). Its
 * piece was the only one, and may only have grown since: so the whole queue is what was sent. */
static bool isPlainEnd(const struct FastSocket* socket, int result)
{
    const struct FastOutbound* outbound = socket->outbound;
    return result > 0 && outbound->queue.length == (uint32_t)result &&
           outbound->queue.first->next == NULL && outbound->queue.first->noted == 0 &&
           outbound->canceling == FAST_SEND_CANCEL_NONE && socket->stage == FAST_STAGE_LIVE &&
           socket->connection == FAST_CONNECTION_MADE && socket->shutdown == FAST_SHUTDOWN_NONE;
}

/* What FastSentFinish comes to then, and the end of the flight's reference. */
static inline void endPlainly(struct FastSocket* socket)
{
    struct FastOutbound* outbound = socket->outbound;
    outbound->current = NULL;
    outbound->inFlight = 0;
    outbound->room = 0;
    outbound->cutShort = false;
    outbound->progress++;
    socket->statistics.sentOperations++;
    FastOutputPopOnly(socket);
    FastSocketNotifyAndDrop(socket, FAST_NOTIFY_OUTPUT);
}

void FastSentOver(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    struct FastFlight* flight = FAST_CONTAINER(operation, struct FastFlight, operation);
    struct FastSocket* socket = flight->socket;
    if (isPlainEnd(socket, completion->res)) {
        endPlainly(socket);
        return;
    }
    FastSentFinish(flight, completion->res);
    FastSocketDrop(socket);
}
