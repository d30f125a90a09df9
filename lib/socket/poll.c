/*
 * What send and receive don't see: the connection, room for what is sent, the peer's end, a
 * hang-up.
 *
 * Good path: while a connection is being made, or a send waits for room, a poll waits for POLLOUT;
 * at other times a multishot poll watches the state of sockets with a connection.
 *
 * Failures: POLLERR alone says little: an unread error queue (IP_RECVERR, time stamps) raises it
 * for as long as it is unread, with nothing in SO_ERROR. Nor does POLLRDHUP, which every poll of
 * io_uring reports, say that a peer who has ended its output takes more of ours. A poll that ends
 * at once for one of them is submitted again as one that reports each wake-up.
 */
#include "socket/poll.h"

#include "socket/failure.h"

#include <errno.h>
#include <poll.h>

static const struct FastArmedFunctions pollFunctions;

static struct FastSocket* socketOf(struct FastArmed* armed)
{
    return FAST_CONTAINER(armed, struct FastSocket, poll);
}

static void onCanceled(struct FastArmed* armed, int result)
{
    struct FastSocket* socket = socketOf(armed);
    FastSocketRetryCancel(socket, result);
    FastSocketDefer(socket, FAST_DUE_POLL | FAST_DUE_RELEASE);
}

static void holdSocket(struct FastArmed* armed)
{
    FastSocketHold(socketOf(armed));
}

static void dropSocket(struct FastArmed* armed)
{
    FastSocketDrop(socketOf(armed));
}

/* ---- the connection ---- */

static void becomeConnected(struct FastSocket* socket)
{
    socket->connection = FAST_CONNECTION_MADE;
    socket->inbound.stops &= (uint16_t)~FAST_STOP_CONNECTING;
    FastSocketNotify(socket, FAST_NOTIFY_OUTPUT);
}

void FastPollConnection(struct FastSocket* socket)
{
    if (FastSocketHasFailed(socket))
        return;
    socket->connection = FAST_CONNECTION_BEGUN;
    if (!FastSocketHas(socket, FAST_TRAIT_RECEIVES_EARLY))
        socket->inbound.stops |= FAST_STOP_CONNECTING;
    FastSocketDefer(socket, FAST_DUE_ALL);
}

/* POLLOUT comes with the connection, or when TCP Fast Open waits for the first bytes; POLLHUP with
 * the failure. */
static void onConnectEvents(struct FastSocket* socket, int events)
{
    if (FastSocketTakeFailure(socket))
        return;
    if (events & POLLHUP) {
        if (!FastArmedIsInFlight(&socket->inbound.receive))
            FastSocketFail(socket, EPIPE); /* somebody else has read the errno */
        /* Otherwise the receive has it: its completion is on the way. */
    } else if (events & POLLOUT)
        becomeConnected(socket);
}

/* ---- room ---- */

/* Whether a send that waits for room goes on: it has some, or meets what ends it. An error of a
 * datagram before is taken here, or it would fail the next. */
static bool hasRoom(struct FastSocket* socket, int events)
{
    if (events < 0 || !FastSocketHas(socket, FAST_TRAIT_FINDS_ROOM) || events & (POLLOUT | POLLHUP))
        return true;
    (void)FastSocketTakeFailure(socket);
    return false;
}

static void onRoom(struct FastSocket* socket, int result)
{
    if (result == -ECANCELED || !hasRoom(socket, result))
        return;
    socket->outbound->stops &= (uint8_t)~FAST_SEND_STOP_ROOM;
    socket->outbound->room |= FAST_ROOM_POLLED;
    if (result < 0)
        FastSocketBackOffSend(socket); /* what can't be polled is tried again after a while */
}

/* ---- the state ---- */

/* What says that the input is over, or soon will be, and that an armed receive may miss. A
 * multishot receive that has emptied the queue waits for the next wake-up; one that came before
 * that is lost on it, and so is a reset (6.18: two wake-ups before the loop enters the kernel, or a
 * queue longer than one receive takes at once). TCP's FIN alone is safe: the kernel counts it as
 * something to read. */
static int endSigns(const struct FastSocket* socket)
{
    return FastSocketHas(socket, FAST_TRAIT_FEELS_END) ? POLLHUP : POLLRDHUP | POLLHUP;
}

/* After the end of input a reset shows as POLLERR. Otherwise something is in the error queue, which
 * is the user's. */
static void onStateAfterEnd(struct FastSocket* socket, int events)
{
    if (!(events & POLLERR) || FastSocketTakeFailure(socket))
        return;
    if (events & POLLHUP && socket->shutdown != FAST_SHUTDOWN_DONE &&
        FastSocketInFlight(socket) == 0)
        FastSocketFail(socket, EPIPE);
}

/* A terminal that isn't read is hung up. A socket may have ended: a new receive finds what an armed
 * one may have missed. */
static void onState(struct FastSocket* socket, int events)
{
    struct FastInbound* inbound = &socket->inbound;
    if (!FastSocketHas(socket, FAST_TRAIT_CONNECTED)) {
        if (inbound->end != FAST_INPUT_ENDED && events & (POLLERR | POLLHUP))
            FastSocketEndInput(socket);
    } else if (inbound->end == FAST_INPUT_ENDED)
        onStateAfterEnd(socket, events);
    else if (events & endSigns(socket)) {
        if (events & POLLERR)
            socket->poll.notes |= FAST_POLL_ERROR;
        inbound->end = FAST_INPUT_ENDING;
        FastSocketDefer(socket, FAST_DUE_RECEIVE);
    }
}

/* ---- completions ---- */

/* A descriptor that can't be polled can't be polled a moment later either. */
static void onError(struct FastSocket* socket, int error)
{
    if (error == ENOMEM || error == EAGAIN) {
        FastArmedBackOff(&socket->poll);
        FastSocketRetryLater(socket);
        return;
    }
    socket->poll.notes |= FAST_POLL_REFUSED;
    if (socket->connection == FAST_CONNECTION_BEGUN && socket->stage == FAST_STAGE_LIVE)
        FastSocketFail(socket, error);
}

static bool waitsForRoom(const struct FastSocket* socket)
{
    return socket->outbound != NULL && socket->outbound->stops & FAST_SEND_STOP_ROOM;
}

static void onEvents(struct FastSocket* socket, int events)
{
    if (socket->stage != FAST_STAGE_LIVE) {
        if (socket->connection == FAST_CONNECTION_BEGUN && events & (POLLOUT | POLLHUP))
            socket->connection = FAST_CONNECTION_MADE;
    } else if (socket->connection == FAST_CONNECTION_BEGUN)
        onConnectEvents(socket, events);
    else if (socket->poll.form == FAST_POLL_STATE)
        onState(socket, events);
}

static void noteNoise(struct FastSocket* socket, bool on)
{
    if (on)
        socket->poll.notes |= FAST_POLL_NOISY;
    else
        socket->poll.notes &= (uint16_t)~FAST_POLL_NOISY;
}

static void onPoll(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    struct FastArmed* armed = FAST_CONTAINER(operation, struct FastArmed, operation);
    struct FastSocket* socket = socketOf(armed);
    if (FastArmedTakeOther(socket->ring, armed, &pollFunctions, completion))
        return;
    bool forRoom = socket->poll.form == FAST_POLL_ROOM;
    bool over = FastArmedComplete(armed, completion);
    if (completion->res > 0 && forRoom && FastSocketHas(socket, FAST_TRAIT_FINDS_ROOM))
        noteNoise(socket, completion->res & (POLLERR | POLLRDHUP));
    if (forRoom && waitsForRoom(socket))
        onRoom(socket, completion->res);
    else if (completion->res > 0)
        onEvents(socket, completion->res);
    else if (completion->res < 0 && completion->res != -ECANCELED)
        onError(socket, -completion->res);
    FastSocketDefer(socket, FAST_DUE_ALL);
    if (over)
        FastSocketDrop(socket);
}

/* ---- submitting ---- */

static uint8_t formOf(const struct FastSocket* socket)
{
    return socket->connection == FAST_CONNECTION_BEGUN || waitsForRoom(socket) ? FAST_POLL_ROOM
                                                                               : FAST_POLL_STATE;
}

static bool prepare(struct FastArmed* armed)
{
    struct FastSocket* socket = socketOf(armed);
    struct io_uring_sqe* entry = FastArmedReserve(socket->ring, armed);
    if (entry == NULL)
        return false;
    uint64_t owner = entry->user_data;
    bool ended = socket->inbound.end == FAST_INPUT_ENDED;
    socket->poll.form = formOf(socket);
    if (socket->poll.form == FAST_POLL_STATE)
        io_uring_prep_poll_multishot(
            entry, socket->handle,
            ended || FastSocketHas(socket, FAST_TRAIT_FEELS_END) ? 0 : POLLRDHUP);
    else if (socket->poll.notes & FAST_POLL_NOISY)
        io_uring_prep_poll_multishot(entry, socket->handle, POLLOUT);
    else
        io_uring_prep_poll_add(entry, socket->handle, POLLOUT);
    entry->user_data = owner;
    return true;
}

/* Whether the state is watched: of what has a connection, and of a terminal that isn't read. */
static bool watchesState(const struct FastSocket* socket)
{
    return FastSocketHas(socket, FAST_TRAIT_WATCHED) && !(socket->poll.notes & FAST_POLL_REFUSED) &&
           (FastSocketHas(socket, FAST_TRAIT_CONNECTED) || socket->inbound.end != FAST_INPUT_ENDED);
}

/* Who hears of the state anyway. Elsewhere the poll stays in flight beside the receive: to begin it
 * with each pause costs more than it takes. */
static bool isTold(const struct FastSocket* socket)
{
    return FastRingEngine(socket->ring)->alert && FastArmedIsInFlight(&socket->inbound.receive);
}

/* The poll is to be submitted as one that completes often, and that would find no room. */
static bool lacksPlace(const struct FastSocket* socket, uint8_t form)
{
    return !FastRingHasPlace(socket->ring) && socket->poll.state == FAST_ARMED_IDLE &&
           (form == FAST_POLL_STATE || socket->poll.notes & FAST_POLL_NOISY);
}

/* Room, and the state, are not waited for at once. */
bool FastPollPrepare(struct FastSocket* socket)
{
    uint8_t form = formOf(socket);
    bool wanted = socket->stage < FAST_STAGE_CANCELING &&
                  !(socket->notified & FAST_NOTIFIED_FAILURE) &&
                  (form == FAST_POLL_ROOM ||
                   (socket->stage == FAST_STAGE_LIVE && watchesState(socket) && !isTold(socket)));
    if (lacksPlace(socket, form) && wanted) {
        FastSocketRetryWithPlace(socket);
        return true;
    }
    return FastSocketUpdate(socket, &socket->poll, &pollFunctions, wanted,
                           form != socket->poll.form);
}

static const struct FastArmedFunctions pollFunctions = {
    .prepare = prepare,
    .canceled = onCanceled,
    .hold = holdSocket,
    .drop = dropSocket,
};

void FastPollInitialize(struct FastSocket* socket)
{
    FastArmedInitialize(&socket->poll, onPoll);
}
