/*
 * Errors of sockets.
 *
 * The kernel reports an error once, to whoever comes first, and the others get EPIPE or the end of
 * input. So the first one that says something is kept. On a connection it is reported when the
 * input has ended, if that is certain to come, so that what was received before it is read before
 * it; otherwise at once. On a datagram socket each errno is reported once a turn and the socket
 * lives on.
 */
#include "socket/failure.h"

#include "socket/kind.h"
#include "socket/notice.h"
#include "socket/output.h"
#include "socket/system.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>

/* Whether an errno says nothing of the cause. */
static bool isVague(int error)
{
    return error == 0 || error == EPIPE || error == ECANCELED || error == ENOTCONN;
}

/* The input of a connection that is gone ends by itself, after what was received. */
static bool inputWillEnd(const struct FastSocket* socket)
{
    if (socket->inbound.end == FAST_INPUT_ENDED || socket->connection == FAST_CONNECTION_BEGUN ||
        !FastSocketHas(socket, FAST_TRAIT_READABLE))
        return false;
    int events = FastSystemPoll(socket->handle, POLLRDHUP);
    return events > 0 && events & (POLLRDHUP | POLLHUP);
}

/*
 * A send that waits for all its bytes and meets an error after some of them reports these, and
 * nobody reports the error any more. What is left is the connection's state: closed without either
 * end having asked for it means a reset, or that retransmission was given up.
 */
static int swallowedError(const struct FastSocket* socket)
{
    struct tcp_info information = {0};
    if (!FastSocketHas(socket, FAST_TRAIT_STATE_TELLS_ERROR) || socket->outbound == NULL ||
        !socket->outbound->cutShort || socket->shutdown == FAST_SHUTDOWN_DONE ||
        !FastSystemGetTcp(socket->handle, &information) || information.tcpi_state != TCP_CLOSE)
        return 0;
    return information.tcpi_retransmits > 0 || information.tcpi_probes > 0 ? ETIMEDOUT : ECONNRESET;
}

static int betterError(const struct FastSocket* socket, int error)
{
    int better = FastSystemTakeError(socket->handle);
    if (better == 0)
        better = swallowedError(socket);
    return better != 0 ? better : error;
}

void FastSocketFail(struct FastSocket* socket, int error)
{
    if (error == EPIPE && socket->error == 0)
        error = betterError(socket, error);
    if (!(socket->notified & FAST_NOTIFIED_FAILURE) && isVague(socket->error) &&
        (socket->error == 0 || !isVague(error)))
        socket->error = (uint16_t)(error != 0 ? error : EPIPE);
    if (!FastSocketHasFailed(socket)) {
        socket->connection = inputWillEnd(socket) ? FAST_CONNECTION_FAILING
                                                  : FAST_CONNECTION_FAILED;
        FastNoticeEnd(socket, FAST_NOTICE_FAILED);
        FastOutputDrop(socket);
        /* What is in flight may wait for a peer that never takes it. */
        if (FastSocketInFlight(socket) > 0 &&
            socket->outbound->canceling == FAST_SEND_CANCEL_NONE)
            socket->outbound->canceling = FAST_SEND_CANCEL_WANTED;
    }
    FastSocketNotify(socket, FAST_NOTIFY_STATE);
    FastSocketDefer(socket, FAST_DUE_ALL);
}

void FastSocketFailOne(struct FastSocket* socket, int error)
{
    if (FastSocketKind(socket)->keepError == NULL) {
        FastSocketFail(socket, error);
        return;
    }
    FastSocketKind(socket)->keepError(socket, error);
    FastSocketNotify(socket, FAST_NOTIFY_STATE);
}

bool FastSocketTakeFailure(struct FastSocket* socket)
{
    int error = FastSystemTakeError(socket->handle);
    if (error != 0)
        FastSocketFailOne(socket, error);
    return error != 0;
}

void FastSocketEndInput(struct FastSocket* socket)
{
    socket->inbound.end = FAST_INPUT_ENDED;
    socket->inbound.stops |= FAST_STOP_ENDED;
    FastSocketNotify(socket, FAST_NOTIFY_STATE);
    FastSocketDefer(socket, FAST_DUE_ALL);
}

void FastSocketFailInput(struct FastSocket* socket, int error)
{
    socket->inbound.end = FAST_INPUT_ENDED;
    socket->inbound.stops |= FAST_STOP_ENDED;
    FastSocketFail(socket, error);
}

/* A final error waits for the input that came before it, unless the program has stopped reading. */
bool FastSocketFailureIsDue(const struct FastSocket* socket)
{
    const struct FastInbound* inbound = &socket->inbound;
    if (!FastSocketHasFailed(socket) || socket->notified & FAST_NOTIFIED_FAILURE)
        return false;
    return socket->connection == FAST_CONNECTION_FAILED || inbound->end == FAST_INPUT_ENDED ||
           inbound->stops & FAST_STOP_BY_USE;
}

/* A receive behind TCP's FIN gives the end of input, also when a reset came behind it. If the poll
 * told of that while the socket was paused, nothing else will. */
void FastSocketReconsiderEnd(struct FastSocket* socket)
{
    if (socket->notified & FAST_NOTIFIED_HANGUP || FastSocketHasFailed(socket) ||
        socket->inbound.end != FAST_INPUT_ENDED || socket->inbound.stops & FAST_STOP_PAUSED)
        return;
    if (socket->poll.notes & FAST_POLL_ERROR && FastSocketTakeFailure(socket))
        return;
    int error = swallowedError(socket);
    if (error != 0)
        FastSocketFail(socket, error);
}
