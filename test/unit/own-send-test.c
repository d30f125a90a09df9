/*
 * The user's own sends on a stream (TransmitFastSocketDescriptor): what is nothing but bytes goes
 * out with its neighbours.
 */
#include "sending.h"

AREA(ownSend, "own-send", .open = openSending, .close = closeSending);

/* A descriptor for the next bytes, in a buffer of their own. */
static struct FastRingDescriptor* prepare(size_t size, struct FastBuffer** buffer)
{
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(ring, NULL, NULL);
    ck_assert_ptr_nonnull(descriptor);
    *buffer = AllocateFastBuffer(outbound, size > 0 ? size : 1, 0);
    ck_assert_ptr_nonnull(*buffer);
    memcpy(GetFastBufferData(*buffer), bytes + queued, size);
    io_uring_prep_send(GetFastRingDescriptorSubmission(descriptor), GetFastSocketHandle(self),
                       GetFastBufferData(*buffer), size, 0);
    return descriptor;
}

static void transmitOwn(size_t size)
{
    struct FastBuffer* buffer;
    struct FastRingDescriptor* descriptor = prepare(size, &buffer);
    ck_assert_int_eq(TransmitFastSocketDescriptor(self, descriptor, buffer), 0);
    queued += size;
}

/* Each kind of entry that is bytes. */
CASE_ROUNDS(ownSend, isGathered, 3)
{
    openStream(0);
    transmit(SMALL, 0);
    for (int number = 0; number < 2; number++) {
        struct FastBuffer* buffer;
        struct FastRingDescriptor* descriptor = prepare(LARGE, &buffer);
        struct io_uring_sqe* entry = GetFastRingDescriptorSubmission(descriptor);
        if (round > 0)
            io_uring_prep_write(entry, GetFastSocketHandle(self), GetFastBufferData(buffer), LARGE,
                                0);
        if (round == 2)
            entry->opcode = IORING_OP_WRITE_FIXED;
        ck_assert_int_eq(TransmitFastSocketDescriptor(self, descriptor, buffer), 0);
        queued += LARGE;
    }
    transmit(SMALL, 0);
    run();
    expectSend(1, IORING_OP_SENDMSG, 0, 2 * SMALL + 2 * LARGE);
    ck_assert_uint_eq(sends[0].count, 4);
    complete(0, SMALL + LARGE + 1, 0);
    expectSend(2, IORING_OP_SENDMSG, SMALL + LARGE + 1, SMALL + LARGE - 1);
    ck_assert_int_eq(drained, 0);
    complete(1, SMALL + LARGE - 1, 0);
    ck_assert_int_eq(drained, 1);
}

/* Small ones are copied behind what is queued, and leave as one piece. */
CASE(ownSend, isCopiedIfSmall)
{
    openStream(0);
    for (int number = 0; number < 3; number++)
        transmitOwn(SMALL);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 1);
    run();
    expectSend(1, IORING_OP_SEND, 0, 3 * SMALL);
    complete(0, 3 * SMALL, 0);
}

/* What asks for zero copy goes so, and nothing else with it. */
CASE(ownSend, keepsZeroCopyApart)
{
    struct FastBuffer* buffer;
    openStream(0);
    transmitOwn(LARGE);
    struct FastRingDescriptor* descriptor = prepare(LARGE, &buffer);
    io_uring_prep_send_zc(GetFastRingDescriptorSubmission(descriptor), GetFastSocketHandle(self),
                          GetFastBufferData(buffer), LARGE, 0, 0);
    ck_assert_int_eq(TransmitFastSocketDescriptor(self, descriptor, buffer), 0);
    queued += LARGE;
    transmitOwn(LARGE);
    run();
    expectSend(1, IORING_OP_SEND, 0, LARGE);
    complete(0, LARGE, 0);
    expectSend(2, IORING_OP_SEND_ZC, LARGE, LARGE);
    complete(1, LARGE, IORING_CQE_F_MORE);
    complete(1, 0, IORING_CQE_F_NOTIF);
    expectSend(3, IORING_OP_SEND, 2 * LARGE, LARGE);
    complete(2, LARGE, 0);
}

/* A message, of a vector, is an operation of its own as before, in its place. */
CASE(ownSend, keepsVectorsApart)
{
    struct FastBuffer* buffer;
    openStream(0);
    transmitOwn(LARGE);
    struct FastRingDescriptor* descriptor = prepare(LARGE, &buffer);
    struct iovec vector = {.iov_base = GetFastBufferData(buffer), .iov_len = LARGE};
    struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1};
    io_uring_prep_sendmsg(GetFastRingDescriptorSubmission(descriptor), GetFastSocketHandle(self),
                          &header, 0);
    ck_assert_int_eq(TransmitFastSocketDescriptor(self, descriptor, buffer), 0);
    queued += LARGE;
    run();
    expectSend(1, IORING_OP_SEND, 0, LARGE);
    complete(0, LARGE, 0);
    expectSend(2, IORING_OP_SEND, LARGE, LARGE);
    complete(1, LARGE, 0);
}

/* Wrong ones are refused, and consumed. */
CASE_ROUNDS(ownSend, refusesNamesAndFlags, 2)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    struct FastBuffer* buffer;
    openStream(0);
    struct FastRingDescriptor* descriptor = prepare(LARGE, &buffer);
    struct io_uring_sqe* entry = GetFastRingDescriptorSubmission(descriptor);
    if (round == 0)
        io_uring_prep_send_set_addr(entry, (struct sockaddr*)&address, sizeof(address));
    else
        entry->msg_flags = MSG_PEEK;
    ck_assert_int_eq(TransmitFastSocketDescriptor(self, descriptor, buffer),
                     round == 0 ? -EISCONN : -EINVAL);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 0);
    run();
    ck_assert_uint_eq(sendCount, 0);
}

/* Without a byte it is an operation, which says when all before it was accepted. */
CASE(ownSend, sendsNothing)
{
    openStream(0);
    transmitOwn(0);
    run();
    expectSend(1, IORING_OP_SEND, 0, 0);
    complete(0, 0, 0);
    ck_assert_int_eq(drained, 1);
}
