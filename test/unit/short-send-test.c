/*
 * The short ways of what is sent: each is taken while a list of conditions holds, and each case is
 * one in which a single one of them does not, so that only the long way does what was promised.
 */
#include "sending.h"
#include "services.h"

#include <fcntl.h>

enum
{
    LIMIT = 10 * SMALL,
    PIECE = 8192,

};

static void setUp(void)
{
    openSending();
}

AREA(shortSend, "short-send", .open = setUp, .close = closeSending);

static int transmitAs(struct FastSocket* socket, size_t size, int flags)
{
    return TransmitFastSocketData(socket, NULL, 0, bytes, size, flags);
}

static size_t outboundLength(void)
{
    return GetFastSocketOutboundLength(self);
}

/* ---- transmitting (transmit.c) ---- */

CASE(shortSend, checksArguments)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    struct sockaddr* name = (struct sockaddr*)&address;
    openStream(0);
    for (int round = 0; round < 2; round++) { /* to an empty queue, and behind others */
        ck_assert_int_eq(transmitAs(NULL, SMALL, 0), -EINVAL);
        ck_assert_int_eq(TransmitFastSocketData(self, name, sizeof(address), bytes, SMALL, 0),
                         -EISCONN);
        ck_assert_int_eq(TransmitFastSocketData(self, NULL, sizeof(address), bytes, SMALL, 0),
                         -EINVAL);
        ck_assert_int_eq(TransmitFastSocketData(self, NULL, 0, NULL, SMALL, 0), -EINVAL);
        ck_assert_int_eq(transmitAs(self, SMALL, MSG_TRUNC), -EINVAL);
        transmit(SMALL, 0);
    }
    ck_assert_uint_eq(outboundLength(), 2 * SMALL);
}

static void* transmitElsewhere(void* closure)
{
    *(int*)closure = transmitAs(self, SMALL, 0);
    return NULL;
}

CASE(shortSend, refusesAnotherThread)
{
    int elsewhere = 0;
    openStream(0);
    transmit(SMALL, 0);
    inThread(transmitElsewhere, &elsewhere);
    ck_assert_int_eq(elsewhere, -EPERM);
    ck_assert_uint_eq(outboundLength(), SMALL);
}

CASE(shortSend, keepsFlags)
{
    openStream(0);
    transmit(SMALL, MSG_MORE);
    run();
    ck_assert_int_eq(sends[0].flags & MSG_MORE, MSG_MORE);
    transmit(SMALL, 0);
    complete(0, SMALL, 0);
    transmit(SMALL, MSG_OOB);
    complete(1, SMALL, 0);
    ck_assert_int_eq(sends[2].flags & MSG_OOB, MSG_OOB);
}

CASE(shortSend, refusesAfterAShutdown)
{
    openStream(0);
    transmit(SMALL, 0);
    run();
    ck_assert_int_eq(ShutdownFastSocket(self), 0);
    ck_assert_int_eq(transmitAs(self, SMALL, 0), -EPIPE);
    ck_assert_uint_eq(outboundLength(), SMALL);
}

CASE(shortSend, refusesAfterAFailure)
{
    openStream(0);
    transmit(SMALL, 0);
    run();
    complete(0, -ECONNRESET, 0);
    ck_assert_int_eq(failed, 1);
    ck_assert_int_eq(transmitAs(self, SMALL, 0), -EPIPE);
    ck_assert_uint_eq(outboundLength(), SMALL); /* what was dropped */
}

CASE(shortSend, refusesWithoutAPool)
{
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    peer = pair[1];
    self = CreateFastSocket(ring, provider, inbound, NULL, pair[0], NULL, 0, 0, 0, onEvent, NULL);
    ck_assert_ptr_nonnull(self);
    struct FastBuffer* buffer = AllocateFastBuffer(outbound, LARGE, 0);
    ck_assert_int_eq(TransmitFastSocketBuffer(self, NULL, 0, buffer, 0, LARGE, 0), 0);
    ck_assert_int_eq(transmitAs(self, SMALL, 0), -EINVAL);
    run();
    complete(0, LARGE, 0);
    ck_assert_int_eq(transmitAs(self, SMALL, 0), -EINVAL);
}

CASE(shortSend, keepsTheLimit)
{
    openStream(0);
    ck_assert_int_eq(SetFastSocketOption(self, FASTSOCKET_OPTION_OUTBOUND_LIMIT, LIMIT), 0);
    while (outboundLength() < LIMIT)
        transmit(SMALL, 0);
    ck_assert_int_eq(transmitAs(self, SMALL, 0), -EAGAIN);
    ck_assert_uint_eq(outboundLength(), LIMIT);
}

/* No bytes are a marker, in front of others and behind them. */
CASE(shortSend, sendsNoBytes)
{
    openStream(0);
    transmit(0, 0);
    run();
    ck_assert_uint_eq(sendCount, 0);
    ck_assert_int_eq(drained, 1);
    transmit(SMALL, 0);
    run();
    transmit(0, 0);
    transmit(SMALL, 0);
    complete(0, SMALL, 0);
    expectSend(2, IORING_OP_SEND, SMALL, SMALL); /* and not both of them */
    complete(1, SMALL, 0);
    ck_assert_int_eq(drained, 2);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 0);
}

/* A piece has room for so many, and the others go on in another one. */
CASE(shortSend, fillsAPieceAndNoMore)
{
    size_t size = PIECE - sizeof(struct FastItem);
    openStream(0);
    transmit(size - 1, 0);
    transmit(1, 0);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 1);
    transmit(1, 0);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 2);
    run();
    expectSend(1, IORING_OP_SENDMSG, 0, size + 1);
    complete(0, (int)size + 1, 0);
    transmit(size + 1, 0); /* more than a block that is at hand */
    run();
    expectSend(2, IORING_OP_SEND, size + 1, size + 1);
}

/* Bytes with a flag, and messages, are not joined by those behind them. */
CASE(shortSend, keepsKindsApart)
{
    openStream(0);
    transmit(SMALL, MSG_OOB);
    transmit(SMALL, 0);
    run();
    ck_assert_uint_eq(sends[0].bytes, SMALL);
    complete(0, SMALL, 0);
    expectSend(2, IORING_OP_SEND, SMALL, SMALL);
    complete(1, SMALL, 0);
    union
    {
        struct cmsghdr header;
        uint8_t space[CMSG_SPACE(sizeof(int))];
    } control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET,
                            .cmsg_type = SCM_RIGHTS}};
    struct iovec vector = {.iov_base = bytes + queued, .iov_len = SMALL};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    memcpy(CMSG_DATA(&control.header), &peer, sizeof(peer));
    ck_assert_int_eq(TransmitFastSocketMessage(self, &message, 0), 0);
    queued += SMALL;
    transmit(SMALL, 0);
    run();
    expectSend(3, IORING_OP_SENDMSG, 2 * SMALL, SMALL);
    complete(2, SMALL, 0);
    expectSend(4, IORING_OP_SEND, 3 * SMALL, SMALL);
}

/* … nor do more messages go together than the user's limit allows. */
CASE(shortSend, keepsTheLimitOfMessages)
{
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    peer = pair[1];
    openSocket(pair[0], 0, 2);
    for (int number = 0; number < 3; number++)
        transmit(SMALL, 0);
    run();
    ck_assert_uint_eq(sends[0].bytes, 2 * SMALL);
    complete(0, 2 * SMALL, 0);
    expectSend(2, IORING_OP_SEND, 2 * SMALL, SMALL);
}

/* A datagram is a message, also the first of a burst. */
CASE(shortSend, keepsDatagramsApart)
{
    openDatagram(0, 0);
    transmit(SMALL, 0);
    run();
    complete(0, SMALL, 0);
    transmit(SMALL, 0);
    transmit(SMALL + 1, 0);
    run();
    ck_assert_uint_eq(sendCount, 3);
    ck_assert_uint_eq(sends[1].bytes, SMALL);
    ck_assert_uint_eq(sends[2].bytes, SMALL + 1);
    complete(1, SMALL, 0);
    complete(2, SMALL + 1, 0);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 0);
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

/* A writer of a terminal might block: a poll comes first. */
CASE(shortSend, pollsBeforeADeviceIsWritten)
{
    int ends[2];
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    peer = ends[0];
    openSocket(ends[1], FASTSOCKET_MODE_FILE_IO, 0);
    if (FastSocketKind(self)->pollsFirst == NULL || !FastSocketKind(self)->pollsFirst(self))
        skipTest("a pipe is not polled first");
    transmit(SMALL, 0);
    run();
    ck_assert_ptr_null(simulatedFindCode(&kernel, IORING_OP_WRITE));
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

/* What was joined meanwhile is still to go out. */
CASE(shortSend, goesOnWithWhatWasJoined)
{
    openStream(0);
    transmit(SMALL, 0);
    run();
    transmit(SMALL, 0);
    complete(0, SMALL, 0);
    expectSend(2, IORING_OP_SEND, SMALL, SMALL);
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
    run();
    ck_assert_ptr_null(simulatedFindCode(&kernel, IORING_OP_ASYNC_CANCEL));
    ck_assert_uint_eq(sendCount, 2);
    transmit(SMALL, 0); /* would start the cancellation, if it were still wanted */
    run();
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
