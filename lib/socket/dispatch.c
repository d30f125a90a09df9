/*
 * Calling the user.
 *
 * Good path: once a turn, with whatever the turn has brought, in the order POLLIN, POLLOUT,
 * POLLERR, POLLHUP. The state is looked at again after each call, since any call may release the
 * socket.
 *
 * Failures: an error of a connection comes after the input before it; those of datagrams come one
 * by one.
 */
#include "socket/dispatch.h"

#include "socket/failure.h"
#include "socket/kind.h"
#include "socket/output.h"
#include "socket/receive.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>

static void tell(struct FastSocket* socket, int event, int parameter)
{
    if (socket->function != NULL)
        socket->function(socket, event, parameter);
}

static bool isPaused(const struct FastSocket* socket)
{
    return socket->inbound.stops & FAST_STOP_PAUSED;
}

static bool hasInputToTell(const struct FastSocket* socket)
{
    return socket->news & FAST_NEWS_INPUT && !isPaused(socket) &&
           socket->inbound.queue.first != NULL && !(socket->news & FAST_NEWS_FAILURE);
}

static void tellInput(struct FastSocket* socket)
{
    bool due = hasInputToTell(socket);
    size_t length = socket->inbound.queue.length;
    if (isPaused(socket))
        return;
    socket->news &= (uint8_t)~FAST_NEWS_INPUT;
    if (due)
        tell(socket, POLLIN, length < INT_MAX ? (int)length : INT_MAX);
}

static void tellOutput(struct FastSocket* socket)
{
    if (socket->connection != FAST_CONNECTION_MADE)
        return;
    socket->news &= (uint8_t)~FAST_NEWS_OUTPUT;
    if (!FastSocketHasOutput(socket))
        tell(socket, POLLOUT, 0);
}

static void tellMessageErrors(struct FastSocket* socket)
{
    int error;
    while (socket->stage == FAST_STAGE_LIVE && (error = socket->kind->nextError(socket)) != 0)
        tell(socket, POLLERR, error);
}

static void tellRecord(struct FastSocket* socket)
{
    if (socket->inbound.record == 0 || socket->news & FAST_NEWS_RECORD || isPaused(socket))
        return;
    socket->news |= FAST_NEWS_RECORD;
    tell(socket, POLLERR, socket->inbound.record);
}

static void tellFailure(struct FastSocket* socket)
{
    if (socket->kind->nextError != NULL)
        tellMessageErrors(socket);
    else if (!FastSocketHasFailed(socket))
        tellRecord(socket);
    if (socket->stage != FAST_STAGE_LIVE || !FastSocketFailureIsDue(socket) ||
        hasInputToTell(socket))
        return;
    socket->news |= FAST_NEWS_FAILURE;
    socket->news &= (uint8_t)~FAST_NEWS_OUTPUT;
    socket->inbound.stops |= FAST_STOP_CLOSED;
    FastSocketDefer(socket, FAST_DUE_ALL);
    tell(socket, POLLERR, socket->error);
}

/* Input comes before the end, also when a handler of this round has just resumed: resuming has
 * queued another round. */
static void tellHangup(struct FastSocket* socket)
{
    bool failed = FastSocketHasFailed(socket);
    if (socket->news & FAST_NEWS_HANGUP || hasInputToTell(socket))
        return;
    if (failed ? !(socket->news & FAST_NEWS_FAILURE)
               : socket->inbound.end != FAST_INPUT_ENDED || isPaused(socket))
        return;
    socket->news |= FAST_NEWS_HANGUP;
    tell(socket, POLLHUP, failed ? socket->error : 0);
}

/* Whether something of the state is still to be reported, in a later round. */
static bool isStateUntold(const struct FastSocket* socket)
{
    const uint8_t both = FAST_NEWS_FAILURE | FAST_NEWS_HANGUP;
    if (FastSocketHasFailed(socket))
        return (socket->news & both) != both;
    return (socket->inbound.end == FAST_INPUT_ENDED && !(socket->news & FAST_NEWS_HANGUP)) ||
           (socket->inbound.record != 0 && !(socket->news & FAST_NEWS_RECORD));
}

static void tellState(struct FastSocket* socket)
{
    tellFailure(socket);
    if (socket->stage == FAST_STAGE_LIVE)
        tellHangup(socket);
    if (!isStateUntold(socket))
        socket->news &= (uint8_t)~FAST_NEWS_STATE;
}

static void tellAll(struct FastSocket* socket)
{
    if (socket->stage == FAST_STAGE_LIVE && socket->news & FAST_NEWS_STATE)
        FastSocketReconsiderEnd(socket);
    if (socket->stage == FAST_STAGE_LIVE && socket->news & FAST_NEWS_INPUT)
        tellInput(socket);
    if (socket->stage == FAST_STAGE_LIVE && socket->news & FAST_NEWS_OUTPUT)
        tellOutput(socket);
    if (socket->stage == FAST_STAGE_LIVE && socket->news & FAST_NEWS_STATE)
        tellState(socket);
}

bool FastDispatchRun(struct FastTask* task)
{
    struct FastSocket* socket = FAST_CONTAINER(task, struct FastSocket, dispatch);
    tellAll(socket);
    if (socket->outbound != NULL && socket->outbound->canceled.first != NULL) {
        FastOutputFinishCanceled(socket);
        FastSocketDefer(socket, FAST_DUE_RELEASE); /* which waits for that */
    }
    FastReceiveBalance(socket);
    FastSocketDrop(socket);
    return true;
}

void FastDispatchRingEnd(struct FastSocket* socket)
{
    if (socket->stage != FAST_STAGE_LIVE || socket->news & FAST_NEWS_HANGUP)
        return;
    socket->news |= FAST_NEWS_HANGUP;
    tell(socket, POLLHUP, ECANCELED);
}
