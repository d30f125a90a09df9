/*
 * Calling the user.
 *
 * Good path: once a turn, with whatever the turn has brought, in the order POLLIN, POLLOUT,
 * POLLERR, POLLHUP. The state is looked at again after each call, since any call may release the
 * socket.
 *
 * Failures: an error of a connection comes after the input before it, and before an end of input
 * that is its doing; those of datagrams come one by one.
 */
#include "socket/dispatch.h"

#include "base/trace.h"
#include "socket/direct.h"
#include "socket/failure.h"
#include "socket/kind.h"
#include "socket/notice.h"
#include "socket/output.h"
#include "socket/receive.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>

static void report(struct FastSocket* socket, int event, int parameter)
{
    if (socket->function != NULL)
        socket->function(socket, event, parameter);
}

static bool isPaused(const struct FastSocket* socket)
{
    return socket->inbound.stops & FAST_STOP_PAUSED;
}

static bool hasInput(const struct FastSocket* socket)
{
    return socket->inbound.queue.first != NULL && !(socket->notified & FAST_NOTIFIED_FAILURE);
}

static bool hasInputToReport(const struct FastSocket* socket)
{
    return socket->notifyDue & FAST_NOTIFY_INPUT && !isPaused(socket) && hasInput(socket);
}

static void reportInput(struct FastSocket* socket)
{
    size_t length = socket->inbound.queue.length;
    if (isPaused(socket))
        return;
    socket->notifyDue &= (uint8_t)~FAST_NOTIFY_INPUT;
    if (hasInput(socket))
        report(socket, POLLIN, length < INT_MAX ? (int)length : INT_MAX);
}

static void reportOutput(struct FastSocket* socket)
{
    if (socket->connection != FAST_CONNECTION_MADE)
        return;
    socket->notifyDue &= (uint8_t)~FAST_NOTIFY_OUTPUT;
    if (FastSocketHasOutput(socket) && !FastOutputIsLow(socket))
        return;
    FastDirectTell(socket);
    report(socket, POLLOUT, 0);
}

/* Before any input, which can't have come yet; the one for an empty queue is the same, or comes
 * when all is sent. */
static void reportConnected(struct FastSocket* socket)
{
    socket->notifyDue &= (uint8_t)~FAST_NOTIFY_CONNECTED;
    if (socket->connection != FAST_CONNECTION_MADE)
        return;
    if (!FastSocketHasOutput(socket))
        socket->notifyDue &= (uint8_t)~FAST_NOTIFY_OUTPUT;
    report(socket, POLLOUT, 0);
}

static void reportMessageErrors(struct FastSocket* socket)
{
    int error;
    while (socket->stage == FAST_STAGE_LIVE &&
           (error = FastSocketKind(socket)->nextError(socket)) != 0)
        report(socket, POLLERR, error);
}

static void reportRecord(struct FastSocket* socket)
{
    if (socket->inbound.record == 0 || socket->notified & FAST_NOTIFIED_RECORD || isPaused(socket))
        return;
    socket->notified |= FAST_NOTIFIED_RECORD;
    report(socket, POLLERR, socket->inbound.record);
}

static void reportFailure(struct FastSocket* socket)
{
    if (FastSocketKind(socket)->nextError != NULL)
        reportMessageErrors(socket);
    else if (!FastSocketHasFailed(socket))
        reportRecord(socket);
    if (socket->stage != FAST_STAGE_LIVE || !FastSocketFailureIsDue(socket) ||
        hasInputToReport(socket))
        return;
    socket->notified |= FAST_NOTIFIED_FAILURE;
    socket->notifyDue &= (uint8_t)~FAST_NOTIFY_OUTPUT;
    socket->inbound.stops |= FAST_STOP_CLOSED;
    FastSocketDefer(socket, FAST_DUE_ALL);
    report(socket, POLLERR, socket->error);
}

/* Input comes before the end, also when a handler of this round has just resumed: resuming has
 * queued another round. */
static void reportHangup(struct FastSocket* socket)
{
    bool failed = FastSocketHasFailed(socket);
    if (socket->notified & FAST_NOTIFIED_HANGUP || hasInputToReport(socket))
        return;
    if (failed ? !(socket->notified & FAST_NOTIFIED_FAILURE)
               : socket->inbound.end != FAST_INPUT_ENDED || isPaused(socket))
        return;
    socket->notified |= FAST_NOTIFIED_HANGUP;
    report(socket, POLLHUP, failed ? socket->error : 0);
}

/* Whether something of the state is still to be reported, in a later round. */
static bool isStateUnreported(const struct FastSocket* socket)
{
    const uint8_t both = FAST_NOTIFIED_FAILURE | FAST_NOTIFIED_HANGUP;
    if (FastSocketHasFailed(socket))
        return (socket->notified & both) != both;
    return (socket->inbound.end == FAST_INPUT_ENDED &&
            !(socket->notified & FAST_NOTIFIED_HANGUP)) ||
           (socket->inbound.record != 0 && !(socket->notified & FAST_NOTIFIED_RECORD));
}

static void reportState(struct FastSocket* socket)
{
    reportFailure(socket);
    if (socket->stage == FAST_STAGE_LIVE)
        reportHangup(socket);
    if (!isStateUnreported(socket))
        socket->notifyDue &= (uint8_t)~FAST_NOTIFY_STATE;
}

/* What a large transmit has met since is told first, and comes with the next turn (send.c). */
static bool isStateDue(const struct FastSocket* socket)
{
    return socket->stage == FAST_STAGE_LIVE && socket->notifyDue & FAST_NOTIFY_STATE &&
           !FastDirectAwaitsError(socket);
}

/* Of a socket in any stage: the release waits for that. */
static void callOthers(struct FastSocket* socket)
{
    socket->notifyDue &= (uint8_t)~FAST_NOTIFY_CALLS;
    if (socket->outbound == NULL)
        return;
    FastOutputFinishCanceled(socket);
    FastNoticeCall(socket);
    FastSocketDefer(socket, FAST_DUE_RELEASE);
}

static void reportFromOutput(struct FastSocket* socket)
{
    if (socket->stage == FAST_STAGE_LIVE && socket->notifyDue & FAST_NOTIFY_OUTPUT)
        reportOutput(socket);
    if (isStateDue(socket))
        reportState(socket);
    if (socket->notifyDue & FAST_NOTIFY_CALLS)
        callOthers(socket);
}

static void reportAll(struct FastSocket* socket)
{
    if (isStateDue(socket))
        FastSocketReconsiderEnd(socket);
    if (socket->stage == FAST_STAGE_LIVE && socket->notifyDue & FAST_NOTIFY_CONNECTED)
        reportConnected(socket);
    if (socket->stage == FAST_STAGE_LIVE && socket->notifyDue & FAST_NOTIFY_INPUT)
        reportInput(socket);
    reportFromOutput(socket);
}

/* Not inline: the short way would save registers for it. */
__attribute__((noinline)) static void dispatchFromOutput(struct FastSocket* socket)
{
    reportFromOutput(socket);
    FastReceiveReconsider(socket);
}

__attribute__((noinline)) static void dispatchAll(struct FastSocket* socket)
{
    reportAll(socket);
    FastReceiveReconsider(socket);
}

/* Mostly there is either input to tell, or room for output, and the handler has brought nothing
 * that is to be told behind it. Input that is left, or has come with something else, may stop the
 * receive; room for output changes nothing there. */
__attribute__((always_inline)) static inline void dispatch(struct FastSocket* socket)
{
    bool made = socket->stage == FAST_STAGE_LIVE && socket->connection == FAST_CONNECTION_MADE;
    const uint8_t behind = FAST_NOTIFY_OUTPUT | FAST_NOTIFY_STATE | FAST_NOTIFY_CALLS;
    if (made && socket->notifyDue == FAST_NOTIFY_INPUT) {
        reportInput(socket);
        if (socket->notifyDue & behind)
            dispatchFromOutput(socket);
        else
            FastReceiveBalance(socket);
    } else if (made && socket->notifyDue == FAST_NOTIFY_OUTPUT) {
        reportOutput(socket);
        if (socket->notifyDue & behind)
            dispatchFromOutput(socket);
    } else
        dispatchAll(socket);
}

/* What is due yet is told by another round. */
void FastDispatchGoOn(struct FastRingWorker* worker)
{
    struct FastSocket* socket = FAST_CONTAINER(worker, struct FastSocket, worker);
    FastReceiveReconsider(socket);
    if (socket->outbound != NULL &&
        (socket->outbound->canceled.first != NULL || FastNoticeIsOver(socket)))
        socket->notifyDue |= FAST_NOTIFY_CALLS;
    if (socket->notifyDue != 0)
        FastSocketNotify(socket, 0);
    FastSocketDrop(socket);
}

bool FastDispatchRun(struct FastRingWorker* worker)
{
    struct FastSocket* socket = FAST_CONTAINER(worker, struct FastSocket, worker);
    dispatch(socket);
    FastSocketDrop(socket);
    return true;
}

/* ---- traced ---- */

/* The handler of the socket whose task runs in this thread. */
static _Thread_local HandleFastSocketEvent tracedHandler;

static const char* nameOf(int event)
{
    switch (event) {
    case POLLIN:
        return "POLLIN";
    case POLLOUT:
        return "POLLOUT";
    case POLLERR:
        return "POLLERR";
    default:
        return "POLLHUP";
    }
}

/* Stands in the handler's place while the task runs, so that calls need not ask for traces. In the
 * call itself the handler stands there, since that may not return, or set another one. */
static void onEvent(struct FastSocket* socket, int event, int parameter)
{
    HandleFastSocketEvent handler = tracedHandler;
    FastTraceEvent(socket, socket->handle, nameOf(event), parameter);
    socket->function = handler;
    handler(socket, event, parameter);
    tracedHandler = socket->function;
    if (tracedHandler != NULL)
        socket->function = onEvent;
}

__attribute__((cold)) bool FastDispatchRunTraced(struct FastRingWorker* worker)
{
    struct FastSocket* socket = FAST_CONTAINER(worker, struct FastSocket, worker);
    tracedHandler = socket->function;
    if (tracedHandler != NULL)
        socket->function = onEvent;
    dispatch(socket);
    if (socket->function == onEvent)
        socket->function = tracedHandler;
    FastSocketDrop(socket);
    return true;
}

void FastDispatchRingEnd(struct FastSocket* socket, void (*goOn)(void* socket))
{
    if (socket->stage != FAST_STAGE_LIVE || socket->notified & FAST_NOTIFIED_HANGUP)
        return;
    socket->notified |= FAST_NOTIFIED_HANGUP;
    FastRingLeave(socket->ring, goOn, socket);
    if (FastTraceRuns())
        FastTraceEvent(socket, socket->handle, nameOf(POLLHUP), ECANCELED);
    report(socket, POLLHUP, ECANCELED);
}
