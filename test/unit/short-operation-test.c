/*
 * The short way of an operation that is nothing but few bytes (TransmitFastSocketDescriptor): taken
 * while a list of conditions holds, and each case is one in which a single one of them does not, so
 * that only the long way does what was promised. Descriptor and buffer are consumed in each.
 */
#include "sending.h"
#include "services.h"

enum
{
    GATHERED = 4096, /* bytes, at least, of what is not copied */
    LIMIT = 10 * SMALL,
    PIECE = 8192,
};

AREA(shortOperation, "short-operation", .open = openSending, .close = closeSending);

static int onOperation(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion,
                       int reason)
{
    (void)descriptor, (void)completion, (void)reason;
    ck_abort_msg("of what is nothing but bytes nobody is told");
    return 0;
}

/* A send of the next bytes, which lie in a new buffer of a pool. */
static struct FastRingDescriptor* prepare(struct FastBufferPool* pool, size_t size, int flags,
                                          struct FastBuffer** buffer)
{
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(ring, onOperation, NULL);
    ck_assert_ptr_nonnull(descriptor);
    *buffer = AllocateFastBuffer(pool, size, 0);
    ck_assert_ptr_nonnull(*buffer);
    memcpy(GetFastBufferData(*buffer), bytes + queued, size);
    io_uring_prep_send(GetFastRingDescriptorSubmission(descriptor), GetFastSocketHandle(self),
                       GetFastBufferData(*buffer), size, flags);
    return descriptor;
}

static int operate(struct FastBufferPool* pool, size_t size, int flags)
{
    struct FastBuffer* buffer;
    struct FastRingDescriptor* descriptor = prepare(pool, size, flags, &buffer);
    return TransmitFastSocketDescriptor(self, descriptor, buffer);
}

/* One that is copied: its pool has as many buffers in use afterwards as before. */
static void operateCopied(size_t size)
{
    size_t before = FastPoolBuffers(inbound);
    ck_assert_int_eq(operate(inbound, size, 0), 0);
    ck_assert_uint_eq(FastPoolBuffers(inbound), before);
    queued += size;
}

static void expectRefusal(int expected, int flags)
{
    size_t before = FastPoolBuffers(inbound);
    size_t length = GetFastSocketOutboundLength(self);
    ck_assert_int_eq(operate(inbound, SMALL, flags), expected);
    ck_assert_uint_eq(FastPoolBuffers(inbound), before);
    ck_assert_uint_eq(GetFastSocketOutboundLength(self), length);
}

/* The outbound side stays while an option of it is set, the queue is empty, and a block is at
 * hand. */
static void keepOutbound(void)
{
    ck_assert_int_eq(SetFastSocketOption(self, FASTSOCKET_OPTION_OUTBOUND_LIMIT, 1 << 20), 0);
    ReleaseFastBuffer(AllocateFastBuffer(outbound, PIECE, 0));
}

CASE(shortOperation, keepsTheOrder)
{
    openStream(0);
    keepOutbound();
    operateCopied(SMALL);
    transmit(SMALL, 0);
    operateCopied(SMALL);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 1);
    transmitBuffer(LARGE);
    operateCopied(SMALL);
    ck_assert_uint_eq(GetFastRingPending(ring), 1);
    run();
    expectSend(1, IORING_OP_SENDMSG, 0, queued);
    complete(0, (int)queued, 0);
    ck_assert_int_eq(drained, 1);
    ck_assert_uint_eq(GetFastRingPending(ring), 0);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 0);
}

/* From so many bytes on it is gathered, to an empty queue and behind others. */
CASE(shortOperation, gathersFromABound)
{
    openStream(0);
    for (unsigned round = 0; round < 2; round++) {
        keepOutbound();
        if (round > 0)
            operateCopied(GATHERED - 1);
        ck_assert_int_eq(operate(outbound, GATHERED, 0), 0);
        ck_assert_uint_eq(FastPoolBuffers(outbound), round == 0 ? 2 : 3);
        run();
        complete(round, (int)(GATHERED + (round > 0 ? GATHERED - 1 : 0)), 0);
    }
}

CASE(shortOperation, keepsFlags)
{
    openStream(0);
    keepOutbound();
    ck_assert_int_eq(operate(inbound, SMALL, MSG_MORE), 0);
    run();
    ck_assert_int_eq(sends[0].flags & MSG_MORE, MSG_MORE);
    operateCopied(SMALL);
    complete(0, SMALL, 0);
    ck_assert_int_eq(operate(inbound, SMALL, MSG_OOB), 0);
    complete(1, SMALL, 0);
    ck_assert_int_eq(sends[2].flags & MSG_OOB, MSG_OOB);
    complete(2, SMALL, 0);
    ck_assert_int_eq(operate(inbound, SMALL, MSG_NOSIGNAL), 0);
    run();
    ck_assert_uint_eq(sends[3].bytes, SMALL);
}

/* Its memory is the user's until its notification. */
CASE(shortOperation, keepsZeroCopy)
{
    struct FastBuffer* buffer;
    openStream(0);
    keepOutbound();
    struct FastRingDescriptor* descriptor = prepare(outbound, SMALL, 0, &buffer);
    GetFastRingDescriptorSubmission(descriptor)->opcode = IORING_OP_SEND_ZC;
    ck_assert_int_eq(TransmitFastSocketDescriptor(self, descriptor, buffer), 0);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 1);
    run();
    ck_assert_uint_eq(sendCount, 1);
    ck_assert_uint_eq(sends[0].bytes, SMALL);
}

CASE(shortOperation, refusesAfterAShutdown)
{
    openStream(0);
    operateCopied(SMALL);
    run();
    ck_assert_int_eq(ShutdownFastSocket(self), 0);
    expectRefusal(-EPIPE, 0);
}

CASE(shortOperation, refusesAfterAFailure)
{
    openStream(0);
    operateCopied(SMALL);
    run();
    complete(0, -ECONNRESET, 0);
    ck_assert_int_eq(failed, 1);
    expectRefusal(-EPIPE, 0);
}

CASE(shortOperation, keepsTheLimit)
{
    openStream(0);
    ck_assert_int_eq(SetFastSocketOption(self, FASTSOCKET_OPTION_OUTBOUND_LIMIT, LIMIT), 0);
    while (GetFastSocketOutboundLength(self) < LIMIT)
        operateCopied(SMALL);
    expectRefusal(-EAGAIN, 0);
}

CASE(shortOperation, checksArguments)
{
    openStream(0);
    for (int round = 0; round < 2; round++) { /* to an empty queue, and behind others */
        keepOutbound();
        expectRefusal(-EINVAL, MSG_PEEK);
        struct FastBuffer* buffer;
        struct FastRingDescriptor* descriptor = prepare(inbound, SMALL, 0, &buffer);
        GetFastRingDescriptorSubmission(descriptor)->fd = peer;
        ck_assert_int_eq(TransmitFastSocketDescriptor(self, descriptor, buffer), -EINVAL);
        descriptor = prepare(inbound, SMALL, 0, &buffer);
        GetFastRingDescriptorSubmission(descriptor)->flags = IOSQE_FIXED_FILE;
        ck_assert_int_eq(TransmitFastSocketDescriptor(self, descriptor, buffer), -EINVAL);
        transmit(SMALL, 0);
    }
    ck_assert_uint_eq(GetFastSocketOutboundLength(self), 2 * SMALL);
}

/* No more messages go together than the user's limit allows. */
CASE(shortOperation, keepsTheLimitOfMessages)
{
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    peer = pair[1];
    openSocket(pair[0], 0, 2);
    for (int number = 0; number < 3; number++)
        operateCopied(SMALL);
    run();
    ck_assert_uint_eq(sends[0].bytes, 2 * SMALL);
    complete(0, 2 * SMALL, 0);
    expectSend(2, IORING_OP_SEND, 2 * SMALL, SMALL);
}

/* Without a pool for sending, what is copied lies in the other one. */
CASE(shortOperation, needsNoPool)
{
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    peer = pair[1];
    self = CreateFastSocket(ring, provider, inbound, NULL, pair[0], NULL, 0, 0, 0, onEvent, NULL);
    ck_assert_ptr_nonnull(self);
    run();
    keepOutbound();
    for (int number = 0; number < 2; number++) {
        ck_assert_int_eq(operate(outbound, SMALL, 0), 0);
        queued += SMALL;
    }
    ck_assert_uint_eq(FastPoolBuffers(outbound), 0);
    run();
    expectSend(1, IORING_OP_SEND, 0, 2 * SMALL);
}

/* Who holds the buffer still has it, with its bytes. */
CASE(shortOperation, leavesAHeldOneAlone)
{
    struct FastBuffer* buffer;
    openStream(0);
    keepOutbound();
    struct FastRingDescriptor* descriptor = prepare(inbound, SMALL, 0, &buffer);
    HoldFastBuffer(buffer);
    ck_assert_int_eq(TransmitFastSocketDescriptor(self, descriptor, buffer), 0);
    ck_assert_mem_eq(GetFastBufferData(buffer), bytes, SMALL);
    memset(GetFastBufferData(buffer), 0, SMALL); /* copied: nobody sees that */
    run();
    expectSend(1, IORING_OP_SEND, 0, SMALL);
    ck_assert_uint_eq(atomic_load(&buffer->references), 1);
    ReleaseFastBuffer(buffer);
}
