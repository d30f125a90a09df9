/*
 * The short ways of sends: each is taken while a list of conditions holds, and each case is one in
 * which a single one of them does not, so that only the long way does what was promised.
 */
#include "sending.h"
#include "socket/kind-file-state.h"

#include <fcntl.h>

enum
{
    MAX_SEND = 1 << 20, /* bytes of one */
};

AREA(shortSend, "short-send", .open = openSending, .close = closeSending);

static size_t outboundLength(void)
{
    return GetFastSocketOutboundLength(self);
}

/* ---- starting a send (isOrdinary of send.c) ---- */

CASE(shortSend, sendsOneAtATime)
{
    openStream(0);
    transmit(SMALL, 0);
    run();
    transmit(SMALL, 0);
    run();
    ck_assert_uint_eq(sendCount, 1);
    complete(0, SMALL, 0);
    expectSend(2, IORING_OP_SEND, SMALL, SMALL);
}

/* What a direct send has met is told before others go out. */
CASE(shortSend, tellsWhatADirectSendMet)
{
    openStream(0);
    transmit(SMALL, 0);
    self->outbound->direct = -ECONNRESET;
    run();
    ck_assert_uint_eq(sendCount, 0);
    ck_assert_int_eq(failed, 1);
}

CASE(shortSend, waitsAfterALackOfMemory)
{
    openStream(0);
    transmit(SMALL, 0);
    run();
    complete(0, -ENOMEM, 0);
    transmit(SMALL, 0);
    run();
    ck_assert_uint_eq(sendCount, 1);
}

/* A cancellation in flight must not hit the next send, which has the same owner. */
CASE(shortSend, waitsForACancellation)
{
    openStream(0);
    transmit(SMALL, 0);
    run();
    holdsCancels = true;
    self->outbound->canceling = FAST_SEND_CANCEL_WANTED;
    FastSocketDefer(self, FAST_DUE_SEND);
    run();
    ck_assert_uint_ne(canceler, 0);
    complete(0, SMALL, 0);
    transmit(SMALL, 0);
    run();
    ck_assert_uint_eq(sendCount, 1);
    simulatedComplete(&kernel, canceler, -ENOENT, 0);
    run();
    expectSend(2, IORING_OP_SEND, SMALL, SMALL);
}

CASE(shortSend, waitsForTheConnection)
{
    openStream(0);
    self->connection = FAST_CONNECTION_BEGUN;
    transmit(SMALL, 0);
    run();
    ck_assert_uint_eq(sendCount, 0);
    self->connection = FAST_CONNECTION_MADE;
    FastSocketDefer(self, FAST_DUE_SEND);
    run();
    expectSend(1, IORING_OP_SEND, 0, SMALL);
}

/* A writer of a pipe might block: a poll comes first. */
CASE(shortSend, pollsBeforeADeviceIsWritten)
{
    int ends[2];
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    peer = ends[0];
    openSocket(ends[1], FASTSOCKET_MODE_FILE_IO, 0);
    FastFile(self)->state |= FAST_FILE_WRITES_APART | FAST_FILE_TRIED; /* and no own one */
    transmit(SMALL, 0);
    run();
    ck_assert_ptr_null(simulatedFindCode(&kernel, IORING_OP_WRITE));
    ck_assert_ptr_nonnull(simulatedFindCode(&kernel, IORING_OP_POLL_ADD));
}

/* ---- the end of a send (isPlainEnd of sent.c) ---- */

CASE(shortSend, goesOnAfterAPart)
{
    openStream(0);
    transmit(SMALL, 0);
    run();
    complete(0, SMALL - 1, 0);
    expectSend(2, IORING_OP_SEND, SMALL - 1, 1);
    ck_assert_uint_eq(outboundLength(), 1);
    ck_assert_int_eq(drained, 0);
}

/* A marker has no bytes, and is there all the same. */
CASE(shortSend, keepsAMarkerBehindIt)
{
    openStream(0);
    transmit(SMALL, 0);
    run();
    transmit(0, 0);
    complete(0, SMALL, 0);
    ck_assert_int_eq(drained, 1);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 0);
}

/* The cancellation that came too late for one is not for the next. */
CASE(shortSend, forgetsACancellation)
{
    openStream(0);
    transmit(SMALL, 0);
    run();
    self->outbound->canceling = FAST_SEND_CANCEL_WANTED;
    complete(0, SMALL, 0);
    transmit(SMALL, 0);
    transmitBuffer(LARGE);
    run();
    expectSend(2, IORING_OP_SENDMSG, SMALL, SMALL + LARGE);
    transmit(SMALL, 0); /* would start the cancellation, if it were still wanted */
    run();
    ck_assert_uint_eq(sendCount, 2);
    ck_assert_ptr_nonnull(simulatedFind(&kernel, sends[1].owner));
}

static bool hasEnded(void)
{
    char byte;
    return recv(peer, &byte, 1, MSG_DONTWAIT) == 0;
}

CASE(shortSend, shutsDownBehindIt)
{
    openStream(0);
    transmit(SMALL, 0);
    run();
    ck_assert_int_eq(ShutdownFastSocket(self), 0);
    run();
    ck_assert(!hasEnded());
    complete(0, SMALL, 0);
    ck_assert(hasEnded());
}

CASE(shortSend, releasesBehindIt)
{
    openStream(0);
    transmit(SMALL, 0);
    run();
    ReleaseFastSocket(self);
    run();
    ck_assert(!hasEnded());
    complete(0, SMALL, 0);
    ck_assert(hasEnded());
    simulatedComplete(&kernel, (uintptr_t)&self->inbound.receive.operation, 0, 0);
    run();
    self = NULL;
    ck_assert_uint_eq(GetFastRingPending(ring), 0);
}

/* The socket has failed since: nobody hears of room. */
CASE(shortSend, tellsNoRoomAfterAFailure)
{
    openStream(0);
    transmit(SMALL, 0);
    run();
    simulatedComplete(&kernel, (uintptr_t)&self->inbound.receive.operation, -ECONNRESET, 0);
    simulatedComplete(&kernel, sends[0].owner, SMALL, 0);
    run();
    ck_assert_int_eq(failed, 1);
    ck_assert_int_eq(drained, 0);
}

/* ---- a plain send (FastFlightIsPlain) ---- */

CASE(shortSend, lendsWhereThatIsAskedFor)
{
    openStream(0);
    transmit(SMALL, MSG_ZEROCOPY);
    run();
    expectSend(1, IORING_OP_SEND_ZC, 0, SMALL);
    complete(0, SMALL, IORING_CQE_F_MORE);
    complete(0, 0, IORING_CQE_F_NOTIF);
}

CASE(shortSend, lendsByMode)
{
    openStream(FASTSOCKET_MODE_ZERO_COPY);
    transmitBuffer(LARGE);
    run();
    expectSend(1, IORING_OP_SEND_ZC, 0, LARGE);
    complete(0, LARGE, IORING_CQE_F_MORE);
    complete(0, 0, IORING_CQE_F_NOTIF);
}

/* A large one goes out in parts, so that others get on meanwhile. */
CASE(shortSend, boundsASend)
{
    openStream(0);
    struct FastBuffer* buffer = AllocateFastBuffer(outbound, MAX_SEND + SMALL, 0);
    ck_assert_int_eq(TransmitFastSocketBuffer(self, NULL, 0, buffer, 0, MAX_SEND + SMALL, 0), 0);
    run();
    ck_assert_uint_eq(sends[0].bytes, MAX_SEND);
}

CASE(shortSend, gathersSeveralPieces)
{
    openStream(0);
    transmit(SMALL, 0);
    transmitBuffer(LARGE);
    run();
    expectSend(1, IORING_OP_SENDMSG, 0, SMALL + LARGE);
}

/* ---- telling (dispatch.c) ---- */

static int order[8];
static int events;

static void onTold(struct FastSocket* socket, int event, int parameter)
{
    ck_assert_int_lt(events, 8);
    order[events++] = event;
    onEvent(socket, event, parameter);
}

static void openTold(void)
{
    events = 0;
    openStream(0);
    ck_assert_int_eq(SetFastSocketHandler(self, onTold, NULL), 0);
}

static void fill(size_t size)
{
    const struct io_uring_buf* buffer = simulatedTakeBuffer(&kernel, FastProviderGroup(provider));
    ck_assert_ptr_nonnull(buffer);
    simulatedComplete(&kernel, (uintptr_t)&self->inbound.receive.operation, (int)size,
                      IORING_CQE_F_MORE | IORING_CQE_F_BUFFER |
                          (uint32_t)buffer->bid << IORING_CQE_BUFFER_SHIFT);
}

/* All that has come in a turn is told, input first. */
CASE_ROUNDS(shortSend, tellsAllInOrder, 2)
{
    openTold();
    transmit(SMALL, 0);
    run();
    if (round == 0)
        fill(SMALL);
    simulatedComplete(&kernel, sends[0].owner, SMALL, 0);
    if (round == 1)
        fill(SMALL);
    run();
    ck_assert_int_eq(events, 2);
    ck_assert_int_eq(order[0], POLLIN);
    ck_assert_int_eq(order[1], POLLOUT);
}

/* Input that is not read stops the receive at the mark. */
CASE(shortSend, stopsAtTheMark)
{
    openTold();
    ck_assert_int_eq(SetFastSocketOption(self, FASTSOCKET_OPTION_INBOUND_HIGH, SMALL), 0);
    fill(SMALL);
    run();
    ck_assert_int_eq(events, 1);
    ck_assert_ptr_null(simulatedFind(&kernel, (uintptr_t)&self->inbound.receive.operation));
}
