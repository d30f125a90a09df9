/*
 * Timeouts that are over.
 *
 * Good path: at each tick of the ring the counters that there are anyway are compared with what
 * they were. Whatever has moved begins its time again, then: not when it moved, which nobody has
 * noted, so that no timeout is early. A socket is looked at twice in the coarseness that is
 * promised, once for when it moved, and once for when its time is over.
 *
 * Failures: that is what timeouts are for. What was gathered into one send shows nothing until it
 * ends, however much of it the peer takes: so shortly before the time is over that is canceled, to
 * see how far it came, and has a second to say so. A stream fails with ETIMEDOUT; of a socket of
 * datagrams the user is told, once until one moves again; a released one is reset.
 */
#include "socket/overdue.h"

#include "socket/failure.h"
#include "socket/kind.h"
#include "socket/release.h"

#include <errno.h>

enum
{
    OVERDUE_SHARE = 8,     /* the coarseness is that part of the shortest timeout, */
    OVERDUE_MIN_MS = 10,   /* but not less than this, */
    OVERDUE_MAX_MS = 1000, /* nor more than that */
    OVERDUE_LOOKS = 2,     /* in it */
    OVERDUE_LOOK_MS = 1000,
};

/* ---- which of them run ---- */

static bool isLive(const struct FastSocket* socket)
{
    return socket->stage == FAST_STAGE_LIVE && !FastSocketHasFailed(socket);
}

static bool isConnecting(const struct FastSocket* socket)
{
    return socket->connection == FAST_CONNECTION_BEGUN ||
           socket->connection == FAST_CONNECTION_SOUGHT;
}

/* With TCP Fast Open a connection that was made may still begin: with its first bytes. */
static bool mayConnect(const struct FastSocket* socket)
{
    return isConnecting(socket) ||
           (FastSocketHas(socket, FAST_TRAIT_RECEIVES_EARLY) &&
            socket->statistics.sentBytes == 0 && socket->statistics.bytes == 0);
}

/* A barrier is the user's own, and takes as long as he likes. */
static bool isSending(const struct FastSocket* socket)
{
    if (!FastSocketHasOutput(socket))
        return false;
    const struct FastItem* first = socket->outbound->queue.first;
    return first == NULL || first->kind != FAST_ITEM_BARRIER;
}

/* Nothing can come or go any more where both directions have ended. Of a peer whose input is held
 * up here, by a pause or since nobody has read what came before, it can't be said that it is
 * silent. */
static bool mayMove(const struct FastSocket* socket)
{
    bool sends = FastSocketHas(socket, FAST_TRAIT_WRITABLE) &&
                 (socket->shutdown != FAST_SHUTDOWN_DONE || FastSocketHasOutput(socket));
    return socket->connection == FAST_CONNECTION_MADE &&
           !(socket->inbound.stops & FAST_STOP_BY_USE) &&
           (sends || socket->inbound.end != FAST_INPUT_ENDED);
}

/* The nanoseconds within which it is to be looked at; 0: there is nothing to look at. */
static int64_t period(const struct FastSocket* socket)
{
    const struct FastCommon* common = FastSocketCommon(socket);
    bool live = isLive(socket);
    bool flushes = socket->stage == FAST_STAGE_FLUSHING && !FastSocketHasFailed(socket);
    uint32_t connect = live && mayConnect(socket) ? common->connectMs : 0;
    uint32_t idle = live ? common->idleMs : 0;
    uint32_t transmit = live || flushes ? common->transmitMs : 0;
    uint32_t shortest = UINT32_MAX;
    if (connect == 0 && idle == 0 && transmit == 0)
        return 0;
    if (connect > 0)
        shortest = connect;
    if (idle > 0 && idle < shortest)
        shortest = idle;
    if (transmit > 0 && transmit < shortest)
        shortest = transmit;
    uint32_t coarseness = shortest / OVERDUE_SHARE;
    if (coarseness < OVERDUE_MIN_MS)
        coarseness = OVERDUE_MIN_MS;
    else if (coarseness > OVERDUE_MAX_MS)
        coarseness = OVERDUE_MAX_MS;
    return (int64_t)coarseness * FAST_MILLISECOND / OVERDUE_LOOKS;
}

/* ---- what has moved ---- */

/* Returns the clocks that begin again for it. */
static uint8_t noteMoves(struct FastTiming* timing)
{
    const struct FastSocket* socket = timing->socket;
    uint64_t received = socket->statistics.bytes + socket->statistics.messages;
    uint64_t sent = socket->statistics.sentBytes;
    uint32_t progress = socket->outbound != NULL ? socket->outbound->progress : 0;
    uint32_t lost = socket->outbound != NULL ? (uint32_t)socket->outbound->statistics.failed : 0;
    uint8_t moved = 0;
    if (sent != timing->sent || progress != timing->progress || lost != timing->lost)
        moved = FAST_TIMING_IDLE | FAST_TIMING_TRANSMIT;
    else if (received != timing->received)
        moved = FAST_TIMING_IDLE;
    timing->received = received;
    timing->sent = sent;
    timing->progress = progress;
    timing->lost = lost;
    timing->told &= (uint8_t)~moved;
    return moved;
}

/* ---- what is in flight ---- */

/* A message is accepted whole or not at all. */
static bool mayHaveMoved(const struct FastSocket* socket)
{
    return FastSocketInFlight(socket) > 0 && FastSocketKind(socket)->layout == FAST_INBOUND_BYTES &&
           isSending(socket);
}

static void lookIntoFlight(struct FastSocket* socket)
{
    if (socket->outbound->canceling == FAST_SEND_CANCEL_NONE)
        socket->outbound->canceling = FAST_SEND_CANCEL_WANTED;
    FastSocketDefer(socket, FAST_DUE_SEND);
}

/* Of what is canceled nothing was heard yet. */
static bool isAnswerDue(const struct FastSocket* socket, int64_t lookedAt, int64_t now)
{
    return lookedAt != 0 && mayHaveMoved(socket) &&
           socket->outbound->canceling != FAST_SEND_CANCEL_NONE &&
           now - lookedAt < (int64_t)OVERDUE_LOOK_MS * FAST_MILLISECOND;
}

/* ---- what is over ---- */

static uint32_t millisecondsOf(const struct FastSocket* socket, uint8_t clock)
{
    const struct FastCommon* common = FastSocketCommon(socket);
    if (clock == FAST_TIMING_CONNECT)
        return common->connectMs;
    return clock == FAST_TIMING_IDLE ? common->idleMs : common->transmitMs;
}

static bool runs(const struct FastSocket* socket, uint8_t clock)
{
    bool live = socket->stage == FAST_STAGE_LIVE;
    if (clock == FAST_TIMING_CONNECT)
        return live && isConnecting(socket);
    return clock == FAST_TIMING_IDLE ? live && mayMove(socket) : isSending(socket);
}

/* begins: its time does, now. */
static bool isOver(struct FastTiming* timing, int index, bool begins, int64_t now)
{
    const struct FastSocket* socket = timing->socket;
    int64_t milliseconds = millisecondsOf(socket, (uint8_t)(1 << index));
    if (begins) {
        timing->since[index] = now;
        timing->lookedAt[index] = 0;
    }
    if (milliseconds == 0)
        return false;
    int64_t left = timing->since[index] + milliseconds * FAST_MILLISECOND - now;
    bool looks = left <= period(socket) && mayHaveMoved(socket);
    if (looks && timing->lookedAt[index] == 0) {
        timing->lookedAt[index] = now;
        lookIntoFlight(timing->socket);
    }
    return left <= 0 && !isAnswerDue(socket, timing->lookedAt[index], now);
}

/* Which of them it was: all have one errno, which is the kernel's, too. */
static const char* reasonOf(uint8_t clock)
{
    if (clock == FAST_TIMING_CONNECT)
        return "Not connected within the connect timeout";
    return clock == FAST_TIMING_IDLE ? "Nothing has come or gone within the idle timeout"
                                     : "Nothing was taken within the transmit timeout";
}

static void expire(struct FastTiming* timing, uint8_t clock)
{
    struct FastSocket* socket = timing->socket;
    if (socket->stage != FAST_STAGE_LIVE)
        FastReleaseReset(socket);
    else if (clock == FAST_TIMING_CONNECT || FastSocketKind(socket)->keepError == NULL) {
        FastReleaseSeeking(socket);
        socket->extra->errorText = reasonOf(clock);
        FastSocketFail(socket, ETIMEDOUT);
    } else if (!(timing->told & clock)) {
        timing->told |= clock;
        FastSocketFailOne(socket, ETIMEDOUT);
    }
}

static int64_t look(struct FastTick* tick, int64_t now)
{
    struct FastTiming* timing = FAST_CONTAINER(tick, struct FastTiming, tick);
    struct FastSocket* socket = timing->socket;
    uint8_t moved = noteMoves(timing);
    for (int index = 0; index < FAST_TIMING_CLOCKS && period(socket) > 0; index++) {
        uint8_t clock = (uint8_t)(1 << index);
        bool begins = (timing->stopped | moved) & clock;
        if (!runs(socket, clock)) {
            timing->stopped |= clock;
            continue;
        }
        timing->stopped &= (uint8_t)~clock;
        if (isOver(timing, index, begins, now))
            expire(timing, clock);
    }
    return period(socket);
}

/* ---- setting ---- */

int FastOverduePrepare(struct FastSocket* socket)
{
    return FastTimingMake(socket, look);
}

void FastOverdueBegin(struct FastSocket* socket, uint8_t clock)
{
    struct FastTiming* timing = FastTimingOf(socket);
    int64_t within = period(socket);
    if (timing == NULL || within == 0)
        return; /* a look that is to come finds out */
    int64_t* since = &timing->since[__builtin_ctz(clock)];
    if (timing->tick.place == NULL)
        (void)noteMoves(timing);
    if (clock != FAST_TIMING_CONNECT || *since == 0)
        *since = FastRingNow(socket->ring);
    timing->lookedAt[__builtin_ctz(clock)] = 0;
    timing->told &= (uint8_t)~clock;
    if (!runs(socket, clock))
        timing->stopped |= clock;
    FastRingAddTick(socket->ring, &timing->tick, within);
}
