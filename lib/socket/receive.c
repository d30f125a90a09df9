/*
 * Receiving.
 *
 * Good path: one receive is in flight whenever nothing speaks against it (enum FastReceiveStop).
 * What its completions bring is queued, and the user is called after the batch.
 *
 * Failures: no buffers: the socket waits at the provider; the ring's limit: at the ring; the high
 * mark or the user's pause: the receive is canceled, and what was on its way is kept. The receive
 * ends with an errno, or with zero: the end of input. Completions that lack IORING_CQE_F_MORE end
 * the receive whatever they say. ECANCELED that we have not asked for is passed over once. A
 * completion that can't be true is refused, and so is whatever of a connection comes behind it.
 */
#include "socket/receive.h"

#include "socket/bundle.h"
#include "socket/failure.h"
#include "socket/intake.h"
#include "socket/kind.h"
#include "socket/shortage.h"

#include <errno.h>

enum
{
    RECEIVE_MAX_ERRORS = 16, /* in a row, without a back-off */
};

static const struct FastArmedFunctions receiveFunctions;

static struct FastSocket* socketOf(struct FastArmed* armed)
{
    return FAST_CONTAINER(armed, struct FastSocket, inbound.receive);
}

/* ---- what stops it ---- */

static void setStop(struct FastInbound* inbound, uint16_t stop, bool on)
{
    if (on)
        inbound->stops |= stop;
    else
        inbound->stops &= (uint16_t)~stop;
}

static void countPause(struct FastSocket* socket)
{
    struct FastExtra* extra = FastSocketMakeExtra(socket);
    if (extra != NULL)
        extra->statistics.pauses++;
}

/* Stops at the high mark, goes on at the low one. */
static void updateMark(struct FastSocket* socket)
{
    struct FastInbound* inbound = &socket->inbound;
    bool before = inbound->stops & FAST_STOP_HIGH_MARK;
    bool full = FastInboundIsFull(&inbound->queue, before);
    if (full && !before)
        countPause(socket);
    setStop(inbound, FAST_STOP_HIGH_MARK, full);
}

/* A queue that was emptied must not wait for others: its first buffer is never denied. */
static void updateLimit(struct FastSocket* socket)
{
    struct FastInbound* inbound = &socket->inbound;
    bool empty = inbound->queue.first == NULL;
    if (inbound->stops & FAST_STOP_RING_LIMIT) {
        if (!empty)
            return;
        FastSocketStopWaiting(socket);
        inbound->stops &= (uint16_t)~FAST_STOP_RING_LIMIT;
    } else if (!empty && FastRingInboundIsFull(socket->ring))
        FastShortageAwaitRoom(socket);
}

static void updateStops(struct FastSocket* socket)
{
    struct FastInbound* inbound = &socket->inbound;
    if (socket->stage != FAST_STAGE_LIVE)
        return;
    if (inbound->queue.first == NULL &&
        !(inbound->stops & (FAST_STOP_HIGH_MARK | FAST_STOP_RING_LIMIT)))
        return;
    updateMark(socket);
    updateLimit(socket);
}

void FastReceiveReconsider(struct FastSocket* socket)
{
    const struct FastInbound* inbound = &socket->inbound;
    if (socket->stage != FAST_STAGE_LIVE)
        return;
    updateStops(socket);
    if ((inbound->stops == 0) != FastArmedIsInFlight(&inbound->receive))
        FastSocketDefer(socket, FAST_DUE_RECEIVE);
    if (FastSocketFailureIsDue(socket))
        FastSocketNotify(socket, FAST_NOTIFY_STATE);
}

void FastReceiveThrottle(struct FastSocket* socket)
{
    struct FastInbound* inbound = &socket->inbound;
    if (!FastArmedIsInFlight(&inbound->receive) || inbound->receive.form == FAST_RECEIVE_ONCE ||
        inbound->queue.rules->layout == FAST_INBOUND_MESSAGES)
        return;
    inbound->rearm = true;
    FastSocketDefer(socket, FAST_DUE_RECEIVE);
}

void FastReceiveDiscard(struct FastSocket* socket)
{
    struct FastInbound* inbound = &socket->inbound;
    FastSocketStopWaiting(socket); /* of the ring's limit, which what is discarded ignores */
    inbound->stops &= (uint16_t) ~(FAST_STOP_BY_USE | FAST_STOP_NO_BUFFERS);
    /* A peer that writes before it reads must get on, or it will not take what is flushed. What a
     * file still holds may be read by others. */
    inbound->discard = FastSocketHas(socket, FAST_TRAIT_CONNECTED);
    FastIntakeDropAll(socket);
}

/* ---- what it brought ---- */

static uint16_t bufferOf(const struct io_uring_cqe* completion)
{
    return (uint16_t)(completion->flags >> IORING_CQE_BUFFER_SHIFT);
}

/* A completion that can't be true: nobody knows where its bytes are. Those of a connection that
 * come after them would be wrong without them, and may have been received already: they are
 * dropped. */
static void refuse(struct FastSocket* socket, const struct io_uring_cqe* completion)
{
    struct FastInbound* inbound = &socket->inbound;
    FastProviderReject(FastSocketProvider(socket), bufferOf(completion), (size_t)completion->res,
                       inbound->receive.form == FAST_RECEIVE_BUNDLE);
    FastRingDistrust(socket->ring);
    if (FastSocketKind(socket)->keepError != NULL) {
        FastSocketFailOne(socket, EIO);
        return;
    }
    inbound->discard = true;
    FastSocketFailInput(socket, EIO);
}

/* Whether a buffer can be what a completion says of it. One that says nothing of bytes goes back at
 * once. */
static bool isReal(struct FastSocket* socket, const struct io_uring_cqe* completion)
{
    struct FastInbound* inbound = &socket->inbound;
    uint16_t id = bufferOf(completion);
    if (completion->res < 0 || (completion->res == 0 && inbound->queue.rules->headroom == 0)) {
        FastProviderReject(FastSocketProvider(socket), id, 0, false);
        return true;
    }
    size_t length = (size_t)completion->res;
    if (length < inbound->queue.rules->headroom ||
        !FastProviderIsPossible(FastSocketProvider(socket), id, length,
                                inbound->receive.form == FAST_RECEIVE_BUNDLE))
        return false;
    FastProviderFilled(FastSocketProvider(socket), id, length);
    return true;
}

static void takeData(struct FastSocket* socket, const struct io_uring_cqe* completion)
{
    struct FastInbound* inbound = &socket->inbound;
    if (inbound->end == FAST_INPUT_AWAITED) {
        inbound->end = FAST_INPUT_ENDING; /* the end is behind this, and may be missed */
        FastSocketDefer(socket, FAST_DUE_RECEIVE);
    }
    if (FastBundleWeigh(socket, completion)) {
        inbound->rearm = true;
        FastSocketDefer(socket, FAST_DUE_RECEIVE);
    }
    FastIntakeSlots(socket, bufferOf(completion), (size_t)completion->res);
    if (!inbound->discard)
        FastSocketNotifyInside(socket, FAST_NOTIFY_INPUT);
}

/* Whose cancellation it was. A file may give this errno by itself: the result of our cancellation
 * then says whether it found the receive still there. */
static void onEndByCancel(struct FastSocket* socket, uint8_t state)
{
    struct FastInbound* inbound = &socket->inbound;
    bool itself = FastSocketHas(socket, FAST_TRAIT_CANCELS_ITSELF);
    inbound->doubted = itself && state == FAST_ARMED_CANCELING;
    if (state > FAST_ARMED_IN_FLIGHT)
        return;
    if (itself || inbound->unexpectedEnd)
        FastSocketFailInput(socket, ECANCELED);
    else
        inbound->unexpectedEnd = true;
}

static void stopAtRecord(struct FastSocket* socket, int error)
{
    socket->inbound.record = (uint16_t)error;
    socket->inbound.stops |= FAST_STOP_RECORD;
    socket->notified &= (uint8_t)~FAST_NOTIFIED_RECORD;
    FastSocketNotify(socket, FAST_NOTIFY_STATE);
}

/* One message's error. A socket that gives nothing but errors (some must be bound before they
 * receive) is asked for the next one after a while only. */
static void failMessage(struct FastSocket* socket, int error)
{
    FastSocketFailOne(socket, error);
    if (socket->inbound.errors < RECEIVE_MAX_ERRORS)
        socket->inbound.errors++;
    else
        FastSocketBackOffReceive(socket);
}

/* state: of the receive, when the completion came. */
static void carry(struct FastSocket* socket, struct FastAnswer answer, uint8_t state)
{
    switch (answer.verdict) {
    case FAST_VERDICT_TAKEN:
        socket->inbound.unexpectedEnd = false;
        FastSocketNotify(socket, FAST_NOTIFY_INPUT);
        break;
    case FAST_VERDICT_BACKOFF:
        FastSocketBackOffReceive(socket);
        break;
    case FAST_VERDICT_CANCELED:
        onEndByCancel(socket, state);
        break;
    case FAST_VERDICT_NO_BUFFERS:
        FastShortageAwaitBuffers(socket);
        break;
    case FAST_VERDICT_RECORD:
        stopAtRecord(socket, answer.value);
        break;
    case FAST_VERDICT_END:
        FastSocketEndInput(socket);
        break;
    case FAST_VERDICT_FAIL:
        FastSocketFailInput(socket, answer.value);
        break;
    case FAST_VERDICT_FAIL_ONE:
        failMessage(socket, answer.value);
        break;
    default:
        break; /* received again at once */
    }
}

static void handle(struct FastSocket* socket, const struct io_uring_cqe* completion, uint8_t state)
{
    struct FastInbound* inbound = &socket->inbound;
    bool filled = completion->flags & IORING_CQE_F_BUFFER && completion->res > 0;
    if (completion->flags & IORING_CQE_F_BUFFER && !isReal(socket, completion)) {
        refuse(socket, completion);
        return;
    }
    if (filled) {
        inbound->unexpectedEnd = false;
        inbound->errors = 0;
    }
    struct FastAnswer answer = FastSocketKind(socket)->classifyReceive(socket, completion);
    if (answer.verdict == FAST_VERDICT_DATA) {
        takeData(socket, completion);
        return;
    }
    if (filled)
        FastProviderReturn(FastSocketProvider(socket), bufferOf(completion));
    if (filled && socket->extra != NULL)
        socket->extra->waiter.fed = 0; /* not by a message that is counted */
    carry(socket, answer, state);
}

/* Bytes in one buffer, while nothing is unread and nothing is amiss. */
static bool isPlain(const struct FastSocket* socket, const struct io_uring_cqe* completion)
{
    const struct FastInbound* inbound = &socket->inbound;
    const uint32_t both = IORING_CQE_F_BUFFER | IORING_CQE_F_MORE;
    return (completion->flags & both) == both && completion->res > 0 &&
           FastSocketHas(socket, FAST_TRAIT_PLAIN) && inbound->queue.first == NULL &&
           inbound->contrary == 0 && inbound->end == FAST_INPUT_OPEN && inbound->errors == 0 &&
           !inbound->discard && inbound->receive.form == FAST_RECEIVE_MULTISHOT &&
           (uint32_t)completion->res < FastProviderLength(FastSocketProvider(socket)) &&
           FastProviderIsPossible(FastSocketProvider(socket), bufferOf(completion),
                                  (size_t)completion->res, false);
}

/* What handleAny() comes to then. */
static void takePlainly(struct FastSocket* socket, const struct io_uring_cqe* completion)
{
    socket->inbound.unexpectedEnd = false;
    FastIntakeFirst(socket, bufferOf(completion), (size_t)completion->res);
    FastSocketNotifyInside(socket, FAST_NOTIFY_INPUT);
}

/* Not inline: the short way would save registers for it. */
__attribute__((noinline)) static void handleAny(struct FastSocket* socket,
                                                const struct io_uring_cqe* completion)
{
    struct FastArmed* armed = &socket->inbound.receive;
    if (completion->flags & IORING_CQE_F_BUFFER && !FastArmedIsInFlight(armed))
        FastProviderReject(FastSocketProvider(socket), bufferOf(completion), 0, false);
    if (FastArmedTakeOther(socket->ring, armed, &receiveFunctions, completion))
        return;
    uint8_t state = armed->state;
    bool over = FastArmedComplete(armed, completion);
    handle(socket, completion, state);
    if (!over)
        return;
    FastSocketDefer(socket, FAST_DUE_RECEIVE | FAST_DUE_RELEASE);
    FastSocketDrop(socket);
}

static void onReceive(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    struct FastArmed* armed = FAST_CONTAINER(operation, struct FastArmed, operation);
    struct FastSocket* socket = socketOf(armed);
    if (isPlain(socket, completion))
        takePlainly(socket, completion);
    else
        handleAny(socket, completion);
}

/* Of a datagram socket. */
static void onDatagram(struct FastOperation* operation, const struct io_uring_cqe* completion)
{
    struct FastArmed* armed = FAST_CONTAINER(operation, struct FastArmed, operation);
    struct FastSocket* socket = socketOf(armed);
    if (!FastIntakeMessage(socket, completion)) {
        handleAny(socket, completion);
        return;
    }
    socket->inbound.unexpectedEnd = false;
    socket->inbound.errors = 0;
    FastSocketNotify(socket, FAST_NOTIFY_INPUT);
}

static void onCanceled(struct FastArmed* armed, int result)
{
    struct FastSocket* socket = socketOf(armed);
    if (socket->inbound.doubted && result == -ENOENT && socket->stage == FAST_STAGE_LIVE)
        FastSocketFailInput(socket, ECANCELED); /* it was over before, by itself */
    socket->inbound.doubted = false;
    FastSocketRetryCancel(socket, result);
    FastSocketDefer(socket, FAST_DUE_RECEIVE | FAST_DUE_RELEASE);
}

/* ---- submitting ---- */

static bool prepare(struct FastArmed* armed)
{
    struct FastSocket* socket = socketOf(armed);
    struct FastInbound* inbound = &socket->inbound;
    FastProviderExpectSocket(FastSocketProvider(socket));
    FastProviderFillSoon(FastSocketProvider(socket));
    if (!FastSocketKind(socket)->prepareReceive(socket))
        return false;
    inbound->receive.mark = FastProviderMark(FastSocketProvider(socket));
    inbound->doubted = false;
    inbound->rearm = false;
    inbound->receive.notes = 0;
    if (inbound->end == FAST_INPUT_ENDING)
        inbound->end = FAST_INPUT_AWAITED;
    return true;
}

bool FastReceivePrepare(struct FastSocket* socket)
{
    struct FastInbound* inbound = &socket->inbound;
    updateStops(socket);
    bool stale = inbound->rearm || inbound->end == FAST_INPUT_ENDING;
    /* One that only writes may have no provider, and stops for ever. */
    if (inbound->stops == 0 && inbound->receive.state == FAST_ARMED_IDLE &&
        FastProviderHasLine(FastSocketProvider(socket)) && FastShortageJoinsLine(socket))
        return true;
    return FastSocketUpdate(socket, &inbound->receive, &receiveFunctions, inbound->stops == 0,
                            stale);
}

static void holdSocket(struct FastArmed* armed)
{
    FastSocketHold(socketOf(armed));
}

static void dropSocket(struct FastArmed* armed)
{
    FastSocketDrop(socketOf(armed));
}

static const struct FastArmedFunctions receiveFunctions = {
    .prepare = prepare,
    .canceled = onCanceled,
    .hold = holdSocket,
    .drop = dropSocket,
};

void FastReceiveInitialize(struct FastSocket* socket)
{
    bool datagrams = FastSocketHas(socket, FAST_TRAIT_DATAGRAMS);
    FastArmedInitialize(&socket->inbound.receive, datagrams ? onDatagram : onReceive);
}
