/*
 * The short ways of a transmit: each is taken while a list of conditions holds, and each case is
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

AREA(shortTransmit, "short-transmit", .open = openSending, .close = closeSending);

static int transmitAs(struct FastSocket* socket, size_t size, int flags)
{
    return TransmitFastSocketData(socket, NULL, 0, bytes, size, flags);
}

static size_t outboundLength(void)
{
    return GetFastSocketOutboundLength(self);
}

/* The outbound side stays while an option of it is set, the queue is empty, and a block is at
 * hand. */
static void keepOutbound(void)
{
    ck_assert_int_eq(SetFastSocketOption(self, FASTSOCKET_OPTION_OUTBOUND_LIMIT, 1 << 20), 0);
    ReleaseFastBuffer(AllocateFastBuffer(outbound, PIECE, 0));
}

/* ---- whether it may be queued ---- */

CASE(shortTransmit, checksArguments)
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

CASE(shortTransmit, refusesAnotherThread)
{
    int elsewhere = 0;
    openStream(0);
    transmit(SMALL, 0);
    inThread(transmitElsewhere, &elsewhere);
    ck_assert_int_eq(elsewhere, -EPERM);
    ck_assert_uint_eq(outboundLength(), SMALL);
}

CASE(shortTransmit, keepsFlags)
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

CASE(shortTransmit, refusesAfterAShutdown)
{
    openStream(0);
    transmit(SMALL, 0);
    run();
    ck_assert_int_eq(ShutdownFastSocket(self), 0);
    ck_assert_int_eq(transmitAs(self, SMALL, 0), -EPIPE);
    ck_assert_uint_eq(outboundLength(), SMALL);
}

CASE(shortTransmit, refusesAfterAFailure)
{
    openStream(0);
    transmit(SMALL, 0);
    run();
    complete(0, -ECONNRESET, 0);
    ck_assert_int_eq(failed, 1);
    ck_assert_int_eq(transmitAs(self, SMALL, 0), -EPIPE);
    ck_assert_uint_eq(outboundLength(), SMALL); /* what was dropped */
}

CASE(shortTransmit, refusesWithoutAPool)
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

CASE(shortTransmit, keepsTheLimit)
{
    openStream(0);
    ck_assert_int_eq(SetFastSocketOption(self, FASTSOCKET_OPTION_OUTBOUND_LIMIT, LIMIT), 0);
    while (outboundLength() < LIMIT)
        transmit(SMALL, 0);
    ck_assert_int_eq(transmitAs(self, SMALL, 0), -EAGAIN);
    ck_assert_uint_eq(outboundLength(), LIMIT);
}

/* No bytes are a marker, in front of others and behind them. */
CASE(shortTransmit, sendsNoBytes)
{
    openStream(0);
    keepOutbound();
    transmit(SMALL, 0);
    run();
    complete(0, SMALL, 0);
    sendCount = 0;
    drained = 0;
    queued = 0;
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

/* … which is not lost among the bytes around it. */
CASE(shortTransmit, keepsAMarkerBetween)
{
    openStream(0);
    transmit(SMALL, 0);
    transmit(0, 0);
    transmit(SMALL, 0);
    run();
    expectSend(1, IORING_OP_SEND, 0, SMALL);
    complete(0, SMALL, 0);
    expectSend(2, IORING_OP_SEND, SMALL, SMALL);
}

/* A piece has room for so many, and the others go on in another one. */
CASE(shortTransmit, fillsAPieceAndNoMore)
{
    size_t size = PIECE - sizeof(struct FastItem);
    openStream(0);
    keepOutbound();
    transmit(size - 1, 0);
    transmit(1, 0);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 1);
    transmit(1, 0);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 2);
    run();
    expectSend(1, IORING_OP_SENDMSG, 0, size + 1);
    complete(0, (int)size + 1, 0);
    transmit(3 * PIECE, 0); /* more than the block that is at hand */
    ck_assert_uint_ge(FastPoolMemory(outbound), 3 * PIECE);
    run();
    expectSend(2, sends[1].opcode, size + 1, 3 * PIECE);
}

/* Bytes with a flag, and messages, are not joined by those behind them. */
CASE(shortTransmit, keepsKindsApart)
{
    openStream(0);
    transmit(SMALL, MSG_OOB);
    transmit(SMALL, 0);
    run();
    ck_assert_uint_eq(sends[0].bytes, SMALL);
    complete(0, SMALL, 0);
    expectSend(2, IORING_OP_SEND, SMALL, SMALL);
    complete(1, SMALL, 0);
    transmitControl(SMALL, SOL_SOCKET, SCM_RIGHTS, peer);
    transmit(SMALL, 0);
    run();
    expectSend(3, IORING_OP_SENDMSG, 2 * SMALL, SMALL);
    complete(2, SMALL, 0);
    expectSend(4, IORING_OP_SEND, 3 * SMALL, SMALL);
    complete(3, SMALL, 0);
    /* alone: with its control data all the same */
    transmitControl(SMALL, SOL_SOCKET, SCM_RIGHTS, peer);
    run();
    expectSend(5, IORING_OP_SENDMSG, 4 * SMALL, SMALL);
    ck_assert_uint_gt(sends[4].controlLength, 0);
}

/* … nor do more messages go together than the user's limit allows. */
CASE(shortTransmit, keepsTheLimitOfMessages)
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

CASE(shortTransmit, refusesWhatIsOpenForReadingOnly)
{
    int ends[2];
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    peer = ends[1];
    openSocket(ends[0], FASTSOCKET_MODE_FILE_IO, 0);
    keepOutbound();
    ck_assert_int_eq(transmitAs(self, SMALL, 0), -EBADF);
}

/* A datagram is a message, also the first of a burst. */
CASE(shortTransmit, keepsDatagramsApart)
{
    openDatagram(0, 0);
    keepOutbound();
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
