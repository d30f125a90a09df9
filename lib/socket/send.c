/*
 * The outbound queue into the kernel, when its turn has come.
 *
 * Good path: nothing is in flight, nothing stops the next send, and the first item says what that
 * is. The next one starts when the kernel has accepted the last one, also with zero copy.
 *
 * Failures: what the kernel says to a send is carried out by sent.c. Here what is in flight may
 * have to be canceled: at the end, and to see how far it has come.
 */
#include "socket/send.h"

#include "socket/flight.h"
#include "socket/output.h"
#include "socket/send-own.h"
#include "socket/sent.h"

#include <errno.h>

/* ---- canceling ---- */

static const struct FastOperation* operationInFlight(const struct FastOutbound* outbound)
{
    if (outbound->current != NULL)
        return &outbound->current->operation;
    for (struct FastItem* item = outbound->queue.first; item != NULL; item = item->next)
        if (item->state == FAST_ITEM_IN_FLIGHT)
            return &FastItemMessage(item)->flight.operation;
    return NULL;
}

static void onCancel(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    struct FastOutbound* outbound = FAST_CONTAINER(operation, struct FastOutbound, cancel);
    struct FastSocket* socket = outbound->flight.socket;
    outbound->canceling = outbound->inFlight > 0 ? FAST_SEND_CANCEL_DONE : FAST_SEND_CANCEL_NONE;
    if (completion->res == -EALREADY)
        outbound->canceling = FAST_SEND_CANCEL_FAILED;
    FastSocketRetryCancel(socket, completion->res);
    FastSocketDefer(socket, FAST_DUE_SEND | FAST_DUE_RELEASE);
    FastSocketDrop(socket);
}

/* At the end, a cancellation that found nothing yet (the target was on its way) is made again. */
static bool prepareCancel(struct FastSocket* socket)
{
    struct FastOutbound* outbound = socket->outbound;
    bool again = outbound->canceling == FAST_SEND_CANCEL_NONE ||
                 outbound->canceling == FAST_SEND_CANCEL_DONE;
    bool wanted = outbound->canceling == FAST_SEND_CANCEL_WANTED ||
                  (again && socket->stage >= FAST_STAGE_CANCELING);
    const struct FastOperation* target = wanted ? operationInFlight(outbound) : NULL;
    if (target == NULL)
        return true;
    if (outbound->canceling == FAST_SEND_CANCEL_DONE && FastSocketRetryBehind(socket))
        return true;
    outbound->cancel.function = onCancel;
    if (!FastRingCancel(socket->ring, &outbound->cancel, target))
        return false;
    outbound->canceling = FAST_SEND_CANCEL_IN_FLIGHT;
    FastSocketHold(socket);
    return true;
}

/* ---- sending ---- */

/* A cancellation in flight must not hit what would be sent now. */
static bool maySend(const struct FastSocket* socket)
{
    const struct FastOutbound* outbound = socket->outbound;
    return outbound->stops == 0 && outbound->canceling != FAST_SEND_CANCEL_IN_FLIGHT &&
           socket->connection == FAST_CONNECTION_MADE && socket->stage < FAST_STAGE_CANCELING;
}

static bool sendFirst(struct FastSocket* socket)
{
    struct FastItem* first = socket->outbound->queue.first;
    if (first->kind > FAST_ITEM_MESSAGE)
        return FastSendOwnStart(socket, FastItemMessage(first));
    if (FastSocketKind(socket)->pollsFirst != NULL && FastSocketKind(socket)->pollsFirst(socket)) {
        FastSentWaitForRoom(socket);
        return true;
    }
    return FastSocketKind(socket)->startSend(socket);
}

/* An errno is carried out as if a send of the queue had had it. What has waited for it to be told
 * waits no more. */
static void tellDirect(struct FastSocket* socket)
{
    struct FastOutbound* outbound = socket->outbound;
    int result = outbound->direct;
    outbound->direct = 0;
    if (result < 0) {
        FastSentCarry(socket, &outbound->flight,
                      FastSocketKind(socket)->classifySend(socket, &outbound->flight, result));
        if (socket->notifyDue & FAST_NOTIFY_STATE)
            FastSocketNotify(socket, 0);
    } else
        FastSocketNotify(socket, FAST_NOTIFY_OUTPUT);
}

/* Who hears of its end. */
static inline void expectEnd(struct FastOutbound* outbound)
{
    outbound->finish = FastSentFinish;
    outbound->flight.operation.function = FastSentOver;
}

/* Not inline: the short way would save registers for it. */
__attribute__((noinline)) static bool prepareAny(struct FastSocket* socket)
{
    struct FastOutbound* outbound = socket->outbound;
    if (outbound != NULL && outbound->inFlight > 0)
        return prepareCancel(socket);
    if (outbound != NULL && outbound->direct != 0)
        tellDirect(socket);
    if (outbound == NULL || outbound->queue.first == NULL) {
        FastSentEndOutput(socket);
        return true;
    }
    if (!maySend(socket))
        return true;
    expectEnd(outbound);
    while (outbound->queue.first != NULL && outbound->queue.first->kind == FAST_ITEM_MARKER)
        FastOutputPop(socket);
    if (outbound->queue.first != NULL)
        return sendFirst(socket);
    FastSentEndOutput(socket);
    return true;
}

/* Mostly bytes are the first, and may be sent. */
static inline bool isOrdinary(const struct FastSocket* socket)
{
    const struct FastOutbound* outbound = socket->outbound;
    return outbound != NULL && outbound->inFlight == 0 && outbound->direct == 0 &&
           outbound->stops == 0 && outbound->canceling == FAST_SEND_CANCEL_NONE &&
           outbound->queue.first != NULL && outbound->queue.first->kind == FAST_ITEM_BYTES &&
           socket->stage == FAST_STAGE_LIVE && socket->connection == FAST_CONNECTION_MADE &&
           FastSocketKind(socket)->pollsFirst == NULL;
}

bool FastSendPrepare(struct FastSocket* socket)
{
    if (!isOrdinary(socket))
        return prepareAny(socket);
    expectEnd(socket->outbound);
    return FastSocketKind(socket)->startSend(socket);
}
