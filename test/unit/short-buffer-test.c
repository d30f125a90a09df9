/*
 * The short way of a buffer that is handed over: taken while a list of conditions holds, and each
 * case is one in which a single one of them does not, so that only the long way does what was
 * promised. Whatever becomes of its bytes, one reference is consumed.
 */
#include "sending.h"
#include "services.h"

#include <fcntl.h>

enum
{
    GATHERED = 4096, /* bytes, at least, of what is not copied */
    LIMIT = 10 * SMALL,
    PIECE = 8192,
};

AREA(shortBuffer, "short-buffer", .open = openSending, .close = closeSending);

static struct FastBuffer* makeBuffer(struct FastBufferPool* pool, size_t size)
{
    struct FastBuffer* buffer = AllocateFastBuffer(pool, size, 0);
    ck_assert_ptr_nonnull(buffer);
    memcpy(GetFastBufferData(buffer), bytes + queued, size);
    return buffer;
}

/* All of a new one, whose pool has as many in use afterwards as before. */
static int handOver(struct FastSocket* socket, size_t size, int flags)
{
    size_t before = FastPoolBuffers(inbound);
    int result = TransmitFastSocketBuffer(socket, NULL, 0, makeBuffer(inbound, size), 0, size,
                                          flags);
    ck_assert_uint_eq(FastPoolBuffers(inbound), before);
    return result;
}

static void transmitCopied(size_t size)
{
    ck_assert_int_eq(handOver(self, size, 0), 0);
    queued += size;
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

/* §2.4 order: copied bytes, handed-over ones and gathered ones follow each other as they came */
CASE(shortBuffer, keepsTheOrder)
{
    openStream(0);
    keepOutbound();
    transmitCopied(SMALL);
    transmit(SMALL, 0);
    transmitCopied(SMALL);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 1);
    transmitBuffer(LARGE);
    transmitCopied(SMALL);
    ck_assert_uint_eq(outboundLength(), queued);
    run();
    expectSend(1, IORING_OP_SENDMSG, 0, queued);
    complete(0, (int)queued, 0);
    ck_assert_int_eq(drained, 1);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 0);
}

/* One that is first is in GetFastRingPending until it was sent. */
CASE(shortBuffer, countsAsPending)
{
    openStream(0);
    keepOutbound();
    transmitCopied(SMALL);
    ck_assert_uint_eq(GetFastRingPending(ring), 1);
    transmitCopied(SMALL);
    ck_assert_uint_eq(GetFastRingPending(ring), 1);
    run();
    complete(0, 2 * SMALL, 0);
    ck_assert_uint_eq(GetFastRingPending(ring), 0);
}

/* §2.4 TransmitFastSocketBuffer: from so many bytes on it is gathered, to an empty queue and
 * behind others */
CASE(shortBuffer, gathersFromABound)
{
    openStream(0);
    keepOutbound();
    for (int round = 0; round < 2; round++) {
        transmitCopied(SMALL);
        transmitCopied(GATHERED - 1);
        ck_assert_uint_eq(FastPoolBuffers(outbound), 1);
        transmitBuffer(GATHERED);
        ck_assert_uint_eq(FastPoolBuffers(outbound), 3); /* a piece that refers to it, too */
        run();
        complete((unsigned)round, SMALL + 2 * GATHERED - 1, 0);
    }
    transmitBuffer(GATHERED);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 2);
}

/* A part of it. */
CASE(shortBuffer, sendsAPart)
{
    openStream(0);
    keepOutbound();
    for (int round = 0; round < 2; round++) {
        struct FastBuffer* buffer = makeBuffer(inbound, 3 * SMALL);
        ck_assert_int_eq(
            TransmitFastSocketBuffer(self, NULL, 0, buffer, 2 * SMALL, SMALL, 0), 0);
    }
    memcpy(bytes + SMALL, bytes + 2 * SMALL, SMALL);
    memcpy(bytes, bytes + 2 * SMALL, SMALL);
    run();
    expectSend(1, IORING_OP_SEND, 0, 2 * SMALL);
}

/* §2.4 -EINVAL: as the long way has them */
CASE(shortBuffer, checksArguments)
{
    const struct sockaddr_in address = {.sin_family = AF_INET};
    const struct sockaddr* name = (const struct sockaddr*)&address;
    openStream(0);
    for (int round = 0; round < 2; round++) { /* to an empty queue, and behind others */
        size_t before = FastPoolBuffers(inbound);
        ck_assert_int_eq(handOver(NULL, SMALL, 0), -EINVAL);
        ck_assert_int_eq(handOver(self, SMALL, MSG_TRUNC), -EINVAL);
        ck_assert_int_eq(TransmitFastSocketBuffer(self, NULL, 0, NULL, 0, SMALL, 0), -EINVAL);
        ck_assert_int_eq(TransmitFastSocketBuffer(self, name, sizeof(address),
                                                  makeBuffer(inbound, SMALL), 0, SMALL, 0),
                         -EISCONN);
        ck_assert_int_eq(TransmitFastSocketBuffer(self, NULL, sizeof(address),
                                                  makeBuffer(inbound, SMALL), 0, SMALL, 0),
                         -EINVAL);
        ck_assert_int_eq(TransmitFastSocketBuffer(self, NULL, 0, makeBuffer(inbound, SMALL), 1,
                                                  SMALL, 0),
                         -EINVAL);
        ck_assert_int_eq(TransmitFastSocketBuffer(self, NULL, 0, makeBuffer(inbound, SMALL),
                                                  SIZE_MAX, 2, 0),
                         -EINVAL);
        ck_assert_uint_eq(FastPoolBuffers(inbound), before);
        transmitCopied(SMALL);
        keepOutbound();
    }
    ck_assert_uint_eq(outboundLength(), 2 * SMALL);
}

/* Made by the caller, in whose thread it is consumed. */
static void* handOverElsewhere(void* closure)
{
    *(int*)closure = handOver(self, SMALL, 0);
    return NULL;
}

CASE(shortBuffer, refusesAnotherThread)
{
    int elsewhere = 0;
    openStream(0);
    transmitCopied(SMALL);
    inThread(handOverElsewhere, &elsewhere);
    ck_assert_int_eq(elsewhere, -EPERM);
    ck_assert_uint_eq(outboundLength(), SMALL);
}

CASE(shortBuffer, keepsFlags)
{
    openStream(0);
    keepOutbound();
    ck_assert_int_eq(handOver(self, SMALL, MSG_MORE), 0);
    run();
    ck_assert_int_eq(sends[0].flags & MSG_MORE, MSG_MORE);
    transmitCopied(SMALL);
    complete(0, SMALL, 0);
    ck_assert_int_eq(handOver(self, SMALL, MSG_OOB), 0);
    complete(1, SMALL, 0);
    ck_assert_int_eq(sends[2].flags & MSG_OOB, MSG_OOB);
    complete(2, SMALL, 0);
    ck_assert_int_eq(handOver(self, SMALL, MSG_NOSIGNAL), 0);
    run();
    ck_assert_uint_eq(sends[3].bytes, SMALL);
}

CASE(shortBuffer, refusesAfterAShutdown)
{
    openStream(0);
    transmitCopied(SMALL);
    run();
    ck_assert_int_eq(ShutdownFastSocket(self), 0);
    ck_assert_int_eq(handOver(self, SMALL, 0), -EPIPE);
    ck_assert_uint_eq(outboundLength(), SMALL);
}

CASE(shortBuffer, refusesAfterAFailure)
{
    openStream(0);
    transmitCopied(SMALL);
    run();
    complete(0, -ECONNRESET, 0);
    ck_assert_int_eq(failed, 1);
    ck_assert_int_eq(handOver(self, SMALL, 0), -EPIPE);
    ck_assert_uint_eq(outboundLength(), SMALL); /* what was dropped */
}

CASE(shortBuffer, keepsTheLimit)
{
    openStream(0);
    ck_assert_int_eq(SetFastSocketOption(self, FASTSOCKET_OPTION_OUTBOUND_LIMIT, LIMIT), 0);
    while (outboundLength() < LIMIT)
        transmitCopied(SMALL);
    ck_assert_int_eq(handOver(self, SMALL, 0), -EAGAIN);
    ck_assert_uint_eq(outboundLength(), LIMIT);
}

/* Without a pool for sending, what is copied lies in the other one: unlike bytes alone, a buffer is
 * not refused. */
CASE(shortBuffer, needsNoPool)
{
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    peer = pair[1];
    self = CreateFastSocket(ring, provider, inbound, NULL, pair[0], NULL, 0, 0, 0, onEvent, NULL);
    ck_assert_ptr_nonnull(self);
    run();
    keepOutbound();
    for (int number = 0; number < 2; number++) {
        struct FastBuffer* buffer = makeBuffer(outbound, SMALL);
        ck_assert_int_eq(TransmitFastSocketBuffer(self, NULL, 0, buffer, 0, SMALL, 0), 0);
        queued += SMALL;
    }
    ck_assert_uint_eq(FastPoolBuffers(outbound), 0);
    run();
    expectSend(1, IORING_OP_SEND, 0, 2 * SMALL);
}

/* No bytes are a marker. */
CASE(shortBuffer, sendsNoBytes)
{
    openStream(0);
    keepOutbound();
    ck_assert_int_eq(handOver(self, 0, 0), 0);
    run();
    ck_assert_uint_eq(sendCount, 0);
    ck_assert_int_eq(drained, 1);
    transmitCopied(SMALL);
    ck_assert_int_eq(handOver(self, 0, 0), 0);
    transmitCopied(SMALL);
    run();
    expectSend(1, IORING_OP_SEND, 0, SMALL);
    complete(0, SMALL, 0);
    expectSend(2, IORING_OP_SEND, SMALL, SMALL);
}

/* Who holds it still has it, with its bytes, at any time. */
CASE(shortBuffer, leavesAHeldOneAlone)
{
    openStream(0);
    keepOutbound();
    struct FastBuffer* buffer = makeBuffer(inbound, SMALL);
    for (int number = 0; number < 2; number++) {
        ck_assert_int_eq(
            TransmitFastSocketBuffer(self, NULL, 0, HoldFastBuffer(buffer), 0, SMALL, 0), 0);
        ck_assert_mem_eq(GetFastBufferData(buffer), bytes, SMALL);
    }
    memcpy(bytes + SMALL, bytes, SMALL);
    memset(GetFastBufferData(buffer), 0, SMALL); /* copied: nobody sees that */
    run();
    expectSend(1, IORING_OP_SEND, 0, 2 * SMALL);
    ck_assert_uint_eq(atomic_load(&buffer->references), 1);
    ReleaseFastBuffer(buffer);
}

static void* makeElsewhere(void* closure)
{
    return makeBuffer(closure, SMALL);
}

/* It goes home to where it came from: another thread's store, the pool for sending, a pool of
 * nobody's, another ring's. */
CASE(shortBuffer, sendsItHome)
{
    struct FastRing* other = CreateFastRing(0);
    struct FastBufferPool* pools[] = {inbound, outbound, CreateFastBufferPool(NULL),
                                      CreateFastBufferPool(other)};
    openStream(0);
    keepOutbound();
    for (int round = 0; round < 2; round++) { /* to an empty queue, and behind others */
        for (size_t index = 0; index < sizeof(pools) / sizeof(*pools); index++) {
            size_t before = FastPoolBuffers(pools[index]);
            size_t piece = pools[index] == outbound && outboundLength() == 0;
            struct FastBuffer* buffer = inThread(makeElsewhere, pools[index]);
            ck_assert_int_eq(TransmitFastSocketBuffer(self, NULL, 0, buffer, 0, SMALL, 0), 0);
            ck_assert_uint_eq(FastPoolBuffers(pools[index]), before + piece);
        }
    }
    ReleaseFastBufferPool(pools[2]);
    ReleaseFastBufferPool(pools[3]);
    ReleaseFastRing(other);
}

/* … nor do more messages go together than the user's limit allows. */
CASE(shortBuffer, keepsTheLimitOfMessages)
{
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    peer = pair[1];
    openSocket(pair[0], 0, 2);
    for (int number = 0; number < 3; number++)
        transmitCopied(SMALL);
    run();
    ck_assert_uint_eq(sends[0].bytes, 2 * SMALL);
    complete(0, 2 * SMALL, 0);
    expectSend(2, IORING_OP_SEND, 2 * SMALL, SMALL);
}

CASE(shortBuffer, refusesWhatIsOpenForReadingOnly)
{
    int ends[2];
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    peer = ends[1];
    openSocket(ends[0], FASTSOCKET_MODE_FILE_IO, 0);
    keepOutbound();
    ck_assert_int_eq(handOver(self, SMALL, 0), -EBADF);
}

/* A datagram is a message, also the first of a burst. */
CASE(shortBuffer, keepsDatagramsApart)
{
    openDatagram(0, 0);
    keepOutbound();
    transmitCopied(SMALL);
    run();
    complete(0, SMALL, 0);
    transmitCopied(SMALL);
    transmitCopied(SMALL + 1);
    run();
    ck_assert_uint_eq(sendCount, 3);
    ck_assert_uint_eq(sends[1].bytes, SMALL);
    ck_assert_uint_eq(sends[2].bytes, SMALL + 1);
}
