/*
 * Sends without a copy: the memory that the kernel has until it gives it back, and the ways back to
 * copying.
 */
#include "sending.h"

AREA(loan, "loan", .open = openSending, .close = closeSending);

enum
{
    MORE = IORING_CQE_F_MORE,
    NOTIFICATION = IORING_CQE_F_NOTIF,
    COPIED = (int)FAST_URING_NOTIF_USAGE_ZC_COPIED,
};

static struct FastSocketStatistics statistics(void)
{
    struct FastSocketStatistics now;
    ck_assert_int_eq(GetFastSocketStatistics(self, &now, sizeof(now)), 0);
    return now;
}

/* One large send, by that opcode, which enters at once. */
static void expectLarge(uint8_t opcode)
{
    unsigned before = sendCount;
    queued = 0;
    transmit(LARGE, 0);
    run();
    expectSend(before + 1, opcode, 0, LARGE);
}

/* The same, accepted and done. */
static void sendLarge(uint8_t opcode, int usage)
{
    expectLarge(opcode);
    bool zeroCopy = opcode == IORING_OP_SEND_ZC;
    complete(sendCount - 1, LARGE, zeroCopy ? MORE : 0);
    if (zeroCopy)
        complete(sendCount - 1, usage, NOTIFICATION);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 0);
}

/* §2.4 ZC results: the first completion lets the next send start; the second gives the memory
 * back */
CASE(loan, holdsMemoryUntilTheNotification)
{
    openStream(FASTSOCKET_MODE_ZERO_COPY);
    expectLarge(IORING_OP_SEND_ZC);
    ck_assert_uint_eq(sends[0].priority, FAST_URING_SEND_ZC_REPORT_USAGE);
    ck_assert_int_eq(sends[0].flags, MSG_NOSIGNAL | MSG_WAITALL);
    complete(0, LARGE, MORE);
    ck_assert_int_eq(drained, 1);
    ck_assert_uint_eq(GetFastSocketOutboundLength(self), 0);
    ck_assert_uint_eq(statistics().sentZeroCopy, 1);
    size_t held = FastPoolBuffers(outbound);
    ck_assert_uint_ge(held, 2); /* the bytes, and the list of them */
    ck_assert_mem_eq(sends[0].parts[0].iov_base, bytes, LARGE);
    transmit(LARGE, 0);
    run();
    expectSend(2, IORING_OP_SEND_ZC, LARGE, LARGE);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 2 * held);
    complete(1, LARGE, MORE);
    complete(1, 0, NOTIFICATION); /* in any order */
    ck_assert_uint_eq(FastPoolBuffers(outbound), held);
    ck_assert_mem_eq(sends[0].parts[0].iov_base, bytes, LARGE);
    complete(0, 0, NOTIFICATION);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 0);
    ck_assert_uint_eq(statistics().copiedZeroCopy, 0);
}

/* A kernel that says it twice is believed once. */
CASE(loan, countsAcceptedBytesOnce)
{
    openStream(FASTSOCKET_MODE_ZERO_COPY);
    expectLarge(IORING_OP_SEND_ZC);
    transmit(LARGE, 0);
    complete(0, LARGE, MORE);
    complete(0, LARGE, MORE);
    expectSend(2, IORING_OP_SENDMSG_ZC, LARGE, LARGE); /* the first bytes behind the last */
    ck_assert_uint_eq(statistics().sentBytes, LARGE);
    ck_assert_uint_eq(GetFastSocketOutboundLength(self), LARGE);
    complete(0, 0, NOTIFICATION);
    complete(1, LARGE, MORE);
    complete(1, 0, NOTIFICATION);
}

/* It outlives the socket. */
CASE(loan, holdsMemoryBeyondTheRelease)
{
    openStream(FASTSOCKET_MODE_ZERO_COPY);
    expectLarge(IORING_OP_SEND_ZC);
    complete(0, LARGE, MORE);
    AbortFastSocket(self);
    run();
    ck_assert_uint_eq(GetFastRingPending(ring), 0);
    ck_assert_uint_ge(FastPoolBuffers(outbound), 1);
    ck_assert_mem_eq(sends[0].parts[0].iov_base, bytes, LARGE);
    complete(0, 0, NOTIFICATION);
    self = NULL;
}

CASE(loan, holdsEachGatheredItem)
{
    openStream(FASTSOCKET_MODE_ZERO_COPY);
    transmit(SMALL, 0);
    transmitBuffer(LARGE);
    transmit(SMALL, 0);
    run();
    expectSend(1, IORING_OP_SENDMSG_ZC, 0, LARGE + 2 * SMALL);
    complete(0, LARGE + 2 * SMALL, MORE);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 4);
    for (int index = 0, position = 0; index < 3; index++) {
        ck_assert_mem_eq(sends[0].parts[index].iov_base, bytes + position,
                         sends[0].parts[index].iov_len);
        position += (int)sends[0].parts[index].iov_len;
    }
    complete(0, 0, NOTIFICATION);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 0);
}

/* What was not accepted is lent again. */
CASE(loan, resumesAShortCount)
{
    openStream(FASTSOCKET_MODE_ZERO_COPY);
    expectLarge(IORING_OP_SEND_ZC);
    complete(0, 1000, MORE);
    expectSend(2, IORING_OP_SEND_ZC, 1000, LARGE - 1000);
    complete(0, 0, NOTIFICATION);
    complete(1, LARGE - 1000, MORE);
    complete(1, 0, NOTIFICATION);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 0);
}

/* ---- when it is tried ---- */

CASE(loan, isForLargeSends)
{
    openStream(FASTSOCKET_MODE_ZERO_COPY);
    transmit(FAST_OUTBOUND_THRESHOLD - 1, 0);
    run();
    expectSend(1, IORING_OP_SEND, 0, FAST_OUTBOUND_THRESHOLD - 1);
    complete(0, FAST_OUTBOUND_THRESHOLD - 1, 0);
    transmit(FAST_OUTBOUND_THRESHOLD, 0);
    run();
    expectSend(2, IORING_OP_SEND_ZC, FAST_OUTBOUND_THRESHOLD - 1, FAST_OUTBOUND_THRESHOLD);
}

CASE(loan, isForWhoAsks)
{
    openStream(0);
    sendLarge(IORING_OP_SEND, 0);
    queued = 0;
    transmit(SMALL, MSG_ZEROCOPY);
    run();
    expectSend(2, IORING_OP_SEND_ZC, 0, SMALL);
    ck_assert_int_eq(sends[1].flags & MSG_ZEROCOPY, 0); /* which would mean something else */
    complete(1, SMALL, MORE);
    complete(1, 0, NOTIFICATION);
}

CASE(loan, needsASocketThatCan)
{
    openStream(FASTSOCKET_MODE_ZERO_COPY);
    self->traits &= ~(uint32_t)FAST_TRAIT_ZERO_COPIES;
    sendLarge(IORING_OP_SEND, 0);
}

/* Of the two operations the one that would be used. */
CASE(loan, needsAKernelThatCan)
{
    openStream(FASTSOCKET_MODE_ZERO_COPY);
    kernel.base.features &= ~FASTRING_FEATURE_SENDMSG_ZERO_COPY;
    sendLarge(IORING_OP_SEND_ZC, 0);
    queued = 0;
    transmit(SMALL, 0);
    transmitBuffer(LARGE);
    run();
    expectSend(2, IORING_OP_SENDMSG, 0, LARGE + SMALL);
    complete(1, LARGE + SMALL, 0);
    kernel.base.features &= ~(FASTRING_FEATURE_SEND_ZERO_COPY | FASTRING_FEATURE_ZERO_COPY_REPORT);
    sendLarge(IORING_OP_SEND, 0);
    kernel.base.features |= FASTRING_FEATURE_SEND_ZERO_COPY;
    sendLarge(IORING_OP_SEND_ZC, 0);
    ck_assert_uint_eq(sends[sendCount - 1].priority, 0); /* no report without the feature */
}

CASE(loan, needsMemory)
{
    openStream(FASTSOCKET_MODE_ZERO_COPY);
    failCall(&loans, 1);
    sendLarge(IORING_OP_SEND, 0);
    ck_assert(!isFailureAwaited(&loans));
    sendLarge(IORING_OP_SEND_ZC, 0);
}

/* A datagram goes without a copy alone, not in a chain. */
CASE(loan, breaksAChain)
{
    openDatagram(FASTSOCKET_MODE_ZERO_COPY, 0);
    transmit(LARGE, 0);
    transmit(SMALL, 0);
    transmit(LARGE, 0);
    run();
    expectSend(1, IORING_OP_SEND_ZC, 0, LARGE);
    ck_assert(!sends[0].linked);
    complete(0, LARGE, MORE);
    ck_assert_uint_eq(sendCount, 3);
    ck_assert(sends[1].linked);
    ck_assert_uint_eq(sends[1].opcode, IORING_OP_SEND);
    expectSend(3, IORING_OP_SEND, LARGE + SMALL, LARGE);
    complete(0, 0, NOTIFICATION);
}

/* ---- the ways back ---- */

/* A failure may come with a notification or without. */
static void refuse(int error, bool notified)
{
    unsigned number = sendCount - 1;
    complete(number, -error, notified ? MORE : 0);
    if (notified)
        complete(number, 0, NOTIFICATION);
}

/* §2.4 ZC results: a socket that can't is sent to by copying from then on */
CASE_ROUNDS(loan, fallsBackForEver, 4)
{
    openStream(FASTSOCKET_MODE_ZERO_COPY);
    expectLarge(IORING_OP_SEND_ZC);
    refuse(round & 1 ? EOPNOTSUPP : EINVAL, round & 2);
    expectSend(2, IORING_OP_SEND, 0, LARGE);
    ck_assert_int_ne(sends[1].flags & MSG_WAITALL, 0); /* which was not to blame */
    complete(1, LARGE, 0);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 0);
    for (int count = 0; count < BACKOFF + 1; count++)
        sendLarge(IORING_OP_SEND, 0);
    ck_assert_int_eq(failed, 0);
}

/* Without memory for it, so many go by copying. */
CASE_ROUNDS(loan, backsOffForAWhile, 4)
{
    openStream(FASTSOCKET_MODE_ZERO_COPY);
    expectLarge(IORING_OP_SEND_ZC);
    refuse(round & 1 ? ENOMEM : ENOBUFS, round & 2);
    expectSend(2, IORING_OP_SEND, 0, LARGE);
    complete(1, LARGE, 0);
    for (int count = 1; count < BACKOFF; count++)
        sendLarge(IORING_OP_SEND, 0);
    sendLarge(IORING_OP_SEND_ZC, 0);
    ck_assert_int_eq(failed, 0);
}

/* Copied all the same, so many times in a row: then without the detour. */
CASE(loan, givesUpWhereItIsCopied)
{
    openStream(FASTSOCKET_MODE_ZERO_COPY);
    for (int count = 0; count < MAX_COPIED - 1; count++)
        sendLarge(IORING_OP_SEND_ZC, COPIED);
    sendLarge(IORING_OP_SEND_ZC, 0);
    for (int count = 0; count < MAX_COPIED; count++)
        sendLarge(IORING_OP_SEND_ZC, COPIED);
    sendLarge(IORING_OP_SEND, 0);
    ck_assert_uint_eq(statistics().copiedZeroCopy, 2 * MAX_COPIED - 1);
    ck_assert_uint_eq(statistics().sentZeroCopy, 2 * MAX_COPIED);
}

/* Other errors are the connection's. */
CASE_ROUNDS(loan, failsAsOthersDo, 2)
{
    openStream(FASTSOCKET_MODE_ZERO_COPY);
    expectLarge(IORING_OP_SEND_ZC);
    refuse(ECONNRESET, round == 1);
    ck_assert_uint_eq(sendCount, 1);
    ck_assert_int_eq(GetFastSocketError(self), ECONNRESET);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 0);
}
