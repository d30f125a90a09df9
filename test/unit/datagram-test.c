/*
 * The short ways of datagrams, in and out: what each of their conditions keeps to the long way.
 */
#include "sending.h"

#include "socket/core.h"

#include <pthread.h>

enum
{
    HEADROOM = sizeof(struct io_uring_recvmsg_out),
    PAYLOAD = 10,
    PORT = 1000,
    UNREAD = 80, /* messages, of which the last are in buffers of their own size */
};

AREA(datagram, "datagram", .open = openSending, .close = closeSending);

/* ---- in ---- */

static uint64_t receiver(void)
{
    const struct io_uring_sqe* entry = simulatedFindCode(&kernel, IORING_OP_RECVMSG);
    ck_assert_ptr_nonnull(entry);
    return entry->user_data;
}

/* The next buffer, as the kernel would; its number as a flag. */
static uint32_t fill(struct io_uring_recvmsg_out header)
{
    const struct io_uring_buf* buffer = simulatedTakeBuffer(&kernel, FastProviderGroup(provider));
    ck_assert_ptr_nonnull(buffer);
    uint8_t* place = (uint8_t*)(uintptr_t)buffer->addr;
    memcpy(place, &header, sizeof(header));
    memcpy(place + sizeof(header), bytes, PAYLOAD);
    return (uint32_t)buffer->bid << IORING_CQE_BUFFER_SHIFT;
}

static void deliver(int result, uint32_t flags)
{
    simulatedComplete(&kernel, receiver(), result, flags);
    run();
}

static void deliverOne(void)
{
    uint32_t buffer = fill((struct io_uring_recvmsg_out){.payloadlen = PAYLOAD});
    deliver(HEADROOM + PAYLOAD, buffer | IORING_CQE_F_BUFFER | IORING_CQE_F_MORE);
}

static struct FastSocketStatistics statisticsOf(void)
{
    struct FastSocketStatistics statistics;
    ck_assert_int_eq(GetFastSocketStatistics(self, &statistics, sizeof(statistics)), 0);
    return statistics;
}

CASE(datagram, isReceived)
{
    uint8_t data[PAYLOAD];
    openDatagram(0, 0);
    self->inbound.errors = 3;
    self->inbound.unexpectedEnd = true;
    for (unsigned number = 1; number < 10; number++) {
        deliverOne();
        ck_assert_uint_eq(GetFastSocketInboundLength(self), number * PAYLOAD);
    }
    ck_assert_uint_eq(self->inbound.errors, 0);
    ck_assert(!self->inbound.unexpectedEnd);
    ck_assert_uint_eq(statisticsOf().receivedMessages, 9);
    ck_assert_uint_eq(statisticsOf().receivedBytes, 9 * PAYLOAD);
    for (unsigned number = 1; number < 10; number++) {
        ck_assert_int_eq(ReceiveFastSocketData(self, data, 1, MSG_PEEK | MSG_TRUNC), PAYLOAD);
        ck_assert_int_eq(ReceiveFastSocketData(self, data, sizeof(data), 0), PAYLOAD);
        ck_assert_mem_eq(data, bytes, PAYLOAD);
    }
    ck_assert_uint_eq(GetFastSocketInboundLength(self), 0);
}

CASE(datagram, needsABuffer)
{
    openDatagram(0, 0);
    deliver(HEADROOM + PAYLOAD, IORING_CQE_F_MORE);
    ck_assert_uint_eq(GetFastSocketInboundLength(self), 0);
    ck_assert_uint_eq(statisticsOf().receivedMessages, 0);
}

CASE(datagram, isReceivedByTheLastOfAReceive)
{
    openDatagram(0, 0);
    uint32_t buffer = fill((struct io_uring_recvmsg_out){.payloadlen = PAYLOAD});
    deliver(HEADROOM + PAYLOAD, buffer | IORING_CQE_F_BUFFER);
    ck_assert_uint_eq(GetFastSocketInboundLength(self), PAYLOAD);
    deliverOne(); /* it was armed again */
    ck_assert_uint_eq(GetFastSocketInboundLength(self), 2 * PAYLOAD);
}

/* Of a length that can't be, in a buffer that is none, or with an errno: nobody hears of bytes. */
CASE_ROUNDS(datagram, isRefused, 4)
{
    static const int results[] = {HEADROOM - 1, LENGTH + 1, HEADROOM + PAYLOAD, -EIO};
    openDatagram(0, 0);
    uint32_t buffer = fill((struct io_uring_recvmsg_out){.payloadlen = PAYLOAD});
    if (round == 2)
        buffer = BUFFERS << IORING_CQE_BUFFER_SHIFT;
    deliver(results[round], buffer | IORING_CQE_F_BUFFER | IORING_CQE_F_MORE);
    ck_assert_uint_eq(GetFastSocketInboundLength(self), 0);
    ck_assert_uint_eq(statisticsOf().receivedMessages, 0);
    ck_assert_int_eq(failed, 1);
}

/* An end that is awaited is behind it: only another receive finds it. */
CASE(datagram, isReceivedBeforeAnEnd)
{
    openDatagram(0, 0);
    unsigned before = kernel.entered;
    self->inbound.end = FAST_INPUT_AWAITED;
    deliverOne();
    ck_assert_uint_eq(GetFastSocketInboundLength(self), PAYLOAD);
    ck_assert_uint_eq(kernel.entered, before + 2); /* a cancellation, a receive */
}

CASE(datagram, isDiscarded)
{
    openDatagram(0, 0);
    self->inbound.discard = true;
    deliverOne();
    ck_assert_uint_eq(GetFastSocketInboundLength(self), 0);
    ck_assert_uint_eq(statisticsOf().receivedMessages, 0);
}

CASE(datagram, movesIntoABufferOfItsSize)
{
    openDatagram(0, 0);
    for (unsigned number = 0; number < UNREAD; number++)
        deliverOne();
    ck_assert_uint_eq(FastBufferSize(self->inbound.queue.first), LENGTH);
    ck_assert_uint_eq(FastBufferSize(self->inbound.queue.last), HEADROOM + PAYLOAD);
}

CASE(datagram, isTruncated)
{
    uint8_t data[PAYLOAD];
    openDatagram(0, 0);
    uint32_t buffer = fill((struct io_uring_recvmsg_out){
        .payloadlen = LENGTH,
        .flags = MSG_TRUNC,
    });
    deliver(HEADROOM + PAYLOAD, buffer | IORING_CQE_F_BUFFER | IORING_CQE_F_MORE);
    ck_assert_uint_eq(statisticsOf().receivedTruncated, 1);
    ck_assert_int_eq(ReceiveFastSocketData(self, data, sizeof(data), MSG_TRUNC), LENGTH);
}

/* ---- out ---- */

static int transmitName(const void* name, socklen_t length, size_t size, int flags)
{
    return TransmitFastSocketData(self, (struct sockaddr*)(uintptr_t)name, length, bytes, size,
                                  flags);
}

static struct sockaddr_in internet4(unsigned port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

/* One is queued, to whom others may be joined. */
static struct sockaddr_in openQueue(void)
{
    struct sockaddr_in address = internet4(PORT);
    openDatagram(0, 0);
    ck_assert_int_eq(transmitName(&address, sizeof(address), SMALL, 0), 0);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 1);
    return address;
}

static void expectQueue(size_t messages, size_t size)
{
    ck_assert_uint_eq(FastPoolBuffers(outbound), messages);
    ck_assert_uint_eq(GetFastSocketOutboundLength(self), size);
}

CASE(datagram, joinsWhatIsQueued)
{
    struct sockaddr_in address = openQueue();
    ck_assert_int_eq(transmitName(&address, sizeof(address), SMALL, 0), 0);
    ck_assert_int_eq(transmitName(&address, sizeof(address), SMALL, MSG_NOSIGNAL), 0);
    expectQueue(1, 3 * SMALL);
    ck_assert_uint_eq(GetFastRingPending(ring), 1);
    run();
    ck_assert_uint_eq(sendCount, 1);
    ck_assert_uint_eq(sends[0].bytes, 3 * SMALL);
    ck_assert_uint_eq(sends[0].segment, SMALL);
}

static void* transmitElsewhere(void* address)
{
    return (void*)(intptr_t)transmitName(address, sizeof(struct sockaddr_in), SMALL, 0);
}

/* What the long way says of a wrong call stays so behind a datagram that the right one would
 * join. */
CASE(datagram, isNotTransmitted)
{
    struct sockaddr_in address = openQueue();
    const socklen_t length = sizeof(address);
    pthread_t thread;
    void* result;
    ck_assert_int_eq(TransmitFastSocketData(NULL, (struct sockaddr*)&address, length, bytes, SMALL,
                                            0),
                     -EINVAL);
    ck_assert_int_eq(TransmitFastSocketData(self, (struct sockaddr*)&address, length, NULL, SMALL,
                                            0),
                     -EINVAL);
    ck_assert_int_eq(transmitName(NULL, length, SMALL, 0), -EINVAL);
    ck_assert_int_eq(transmitName(&address, length, SMALL, 1 << 30), -EINVAL);
    ck_assert_int_eq(pthread_create(&thread, NULL, transmitElsewhere, &address), 0);
    ck_assert_int_eq(pthread_join(thread, &result), 0);
    ck_assert_int_eq((int)(intptr_t)result, -EPERM);
    expectQueue(1, SMALL);
}

/* … and so does what it says of the socket. */
CASE_ROUNDS(datagram, isNotTransmittedAnyMore, 4)
{
    struct sockaddr_in address = openQueue();
    if (round == 0)
        self->shutdown = FAST_SHUTDOWN_WANTED;
    else if (round == 1)
        self->connection = FAST_CONNECTION_FAILING;
    else if (round == 2)
        self->stage = FAST_STAGE_CLOSED;
    else
        ck_assert_int_eq(SetFastSocketOption(self, FASTSOCKET_OPTION_OUTBOUND_LIMIT, SMALL), 0);
    ck_assert_int_eq(transmitName(&address, sizeof(address), SMALL, 0),
                     round == 3 ? -EAGAIN : -EPIPE);
    self->shutdown = FAST_SHUTDOWN_NONE;
    self->connection = FAST_CONNECTION_MADE;
    self->stage = FAST_STAGE_LIVE;
    expectQueue(1, SMALL);
}

/* Each differs by one thing from one that would be joined. */
CASE_ROUNDS(datagram, isNotJoined, 9)
{
    struct sockaddr_in address = openQueue();
    struct sockaddr_in other = internet4(round == 0 ? PORT + 1 : PORT);
    struct FastItem* item = self->outbound->queue.last;
    struct FastMessage* message = FastItemMessage(item);
    size_t size = SMALL;
    if (round == 1)
        size = SMALL + 1;
    else if (round == 2)
        size = 0;
    else if (round == 3)
        self->traits &= ~(uint32_t)FAST_TRAIT_JOINS;
    else if (round == 4)
        item->order = FAST_ORDER_QUEUE;
    else if (round == 5)
        item->room = SMALL - 1;
    else if (round == 6)
        message->together = 1;
    else if (round == 7)
        item->flags = MSG_DONTROUTE;
    else if (round == 8)
        item->state = FAST_ITEM_IN_FLIGHT;
    ck_assert_int_eq(transmitName(&other, sizeof(address), size, 0), 0);
    expectQueue(2, SMALL + size);
    item->state = FAST_ITEM_QUEUED;
}

/* An address is compared with all of its bytes, and by its length. */
CASE_ROUNDS(datagram, isNotJoinedByItsAddress, 3)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)};
    socklen_t length = sizeof(address);
    memset(&address.sin6_addr.s6_addr[10], 0xff, 2);
    openDatagram(0, 0);
    ck_assert_int_eq(transmitName(&address, length, SMALL, 0), 0);
    ck_assert_int_eq(transmitName(NULL, length, SMALL, 0), -EINVAL);
    address.sin6_scope_id = round == 1;
    if (round == 2)
        length = 0;
    ck_assert_int_eq(transmitName(&address, length, SMALL, 0), 0);
    expectQueue(round == 0 ? 1 : 2, 2 * SMALL);
}

/* One that is longer than it need be isn't taken for the same unseen. */
CASE_ROUNDS(datagram, isJoinedByALongAddress, 2)
{
    struct sockaddr_in address = internet4(PORT);
    struct sockaddr_storage storage = {0};
    openDatagram(0, 0);
    memcpy(&storage, &address, sizeof(address));
    ck_assert_int_eq(transmitName(&storage, sizeof(storage), SMALL, 0), 0);
    address = internet4(PORT + (unsigned)round);
    memcpy(&storage, &address, sizeof(address));
    ck_assert_int_eq(transmitName(&storage, sizeof(storage), SMALL, 0), 0);
    expectQueue(1 + (size_t)round, 2 * SMALL);
}

CASE(datagram, isJoinedUpToTheLargestRun)
{
    struct sockaddr_in address = internet4(PORT);
    size_t size = 30000;
    openDatagram(0, 0);
    ck_assert_int_eq(transmitName(&address, sizeof(address), size, 0), 0);
    self->outbound->queue.last->room = 3 * (uint32_t)size; /* as if there were that much */
    self->outbound->queue.last->length = 2 * size;
    self->outbound->queue.length = 2 * size;
    ck_assert_int_eq(transmitName(&address, sizeof(address), size, 0), 0);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 2);
    self->outbound->queue.first->length = size;
}
