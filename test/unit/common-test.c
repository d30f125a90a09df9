/*
 * What sockets have in common, and what few of them need: made when asked for, and what happens
 * where there is no memory for it.
 */
#include "sending.h"

#include <errno.h>
#include <stdlib.h>

AREA(common, "common", .open = openSending, .close = closeSending);

enum
{
    SHARED = 8 + sizeof(struct FastCommon), /* with its count of references */
    SETS = 3 * FAST_RING_SHARED,
    MORE = 2 << 20, /* than the high mark */
    LEAST = 4096,
};

static struct Countdown sets;
static struct Countdown extras;

/* These two alone: others allocate too. */
void* __real_malloc(size_t size);
void* __wrap_malloc(size_t size);
void* __wrap_malloc(size_t size)
{
    return size == SHARED && countdownFails(&sets) ? NULL : __real_malloc(size);
}

void* __real_calloc(size_t count, size_t size);
void* __wrap_calloc(size_t count, size_t size);
void* __wrap_calloc(size_t count, size_t size)
{
    return size == sizeof(struct FastExtra) && countdownFails(&extras) ? NULL
                                                                       : __real_calloc(count, size);
}

static struct FastSocket* openOther(int handle, int mode, struct msghdr* header)
{
    return CreateFastSocket(ring, provider, inbound, outbound, handle, header, 0, mode, 0, onEvent,
                            NULL);
}

static void expectOption(struct FastSocket* socket, int option, uint64_t expected)
{
    uint64_t value;
    ck_assert_int_eq(GetFastSocketOption(socket, option, &value), 0);
    ck_assert_uint_eq(value, expected);
}

/* ---- in common ---- */

CASE(common, isKeptOnceUntilOneDiffers)
{
    openStream(0);
    struct FastSocket* other = openOther(peer, 0, NULL);
    ck_assert_ptr_nonnull(other);
    peer = -1;
    ck_assert_ptr_eq(FastSocketCommon(self), FastSocketCommon(other));
    ck_assert_int_eq(SetFastSocketOption(self, FASTSOCKET_OPTION_TURN_LIMIT, LEAST), 0);
    expectOption(self, FASTSOCKET_OPTION_TURN_LIMIT, LEAST);
    expectOption(other, FASTSOCKET_OPTION_TURN_LIMIT, 256 << 10);
    ck_assert_int_eq(SetFastSocketOption(other, FASTSOCKET_OPTION_TURN_LIMIT, LEAST), 0);
    ck_assert_ptr_eq(FastSocketCommon(self), FastSocketCommon(other));
    AbortFastSocket(other);
    run();
    expectOption(self, FASTSOCKET_OPTION_TURN_LIMIT, LEAST);
}

/* More of them than the ring remembers. */
CASE(common, outlivesWhatIsRemembered)
{
    openStream(0);
    struct FastSocket* other = openOther(peer, 0, NULL);
    ck_assert_ptr_nonnull(other);
    peer = -1;
    for (uint64_t value = 1; value <= SETS; value++)
        ck_assert_int_eq(SetFastSocketOption(self, FASTSOCKET_OPTION_TURN_LIMIT, value), 0);
    expectOption(self, FASTSOCKET_OPTION_TURN_LIMIT, SETS);
    expectOption(other, FASTSOCKET_OPTION_TURN_LIMIT, 256 << 10);
    AbortFastSocket(other);
    run();
}

/* Without memory they are as they were. */
CASE(common, keepsItsOptionsWithoutMemory)
{
    openStream(0);
    failEveryCall(&sets);
    ck_assert_int_eq(SetFastSocketOption(self, FASTSOCKET_OPTION_INBOUND_HIGH, LEAST), -ENOMEM);
    failNoCall(&sets);
    expectOption(self, FASTSOCKET_OPTION_INBOUND_HIGH, 1 << 20);
    expectOption(self, FASTSOCKET_OPTION_INBOUND_LOW, 256 << 10);
    ck_assert_int_eq(SetFastSocketOption(self, FASTSOCKET_OPTION_INBOUND_HIGH, LEAST), 0);
    expectOption(self, FASTSOCKET_OPTION_INBOUND_HIGH, LEAST);
    expectOption(self, FASTSOCKET_OPTION_INBOUND_LOW, LEAST / 4);
}

/* The descriptor stays the caller's. */
CASE(common, createsNothingWithoutMemory)
{
    struct msghdr header = {.msg_namelen = 16};
    openStream(0);
    failEveryCall(&sets);
    ck_assert_ptr_null(openOther(peer, FASTSOCKET_MODE_AUTO_CORK, NULL));
    ck_assert_int_eq(errno, ENOMEM);
    failNoCall(&sets);
    failEveryCall(&extras);
    ck_assert_ptr_null(openOther(peer, 0, &header));
    ck_assert_int_eq(errno, ENOMEM);
    failNoCall(&extras);
    struct FastSocket* other = openOther(peer, 0, &header);
    ck_assert_ptr_nonnull(other);
    peer = -1;
    ck_assert_uint_eq(GetFastSocketMessageHeader(other)->msg_namelen, 16);
    ck_assert_ptr_null(GetFastSocketMessageHeader(self));
    AbortFastSocket(other);
    run();
}

/* §2.3 MSG_WAITALL: what is waited for comes, whether or not there is memory for another mark */
CASE(common, waitsForAllWithoutMemory)
{
    uint8_t* data = malloc(MORE);
    openStream(0);
    failEveryCall(&sets);
    ck_assert_int_eq(ReceiveFastSocketData(self, data, MORE, MSG_WAITALL), 0);
    failNoCall(&sets);
    ck_assert_uint_eq(self->inbound.queue.wanted, MORE);
    expectOption(self, FASTSOCKET_OPTION_INBOUND_HIGH, 1 << 20);
    ck_assert_int_eq(ReceiveFastSocketData(self, data, MORE, MSG_WAITALL), 0);
    expectOption(self, FASTSOCKET_OPTION_INBOUND_HIGH, MORE);
    free(data);
}

/* ---- what few need ---- */

static const struct io_uring_sqe* receive(void)
{
    return simulatedFindCode(&kernel, IORING_OP_RECV);
}

static void backOffAndGoOn(void)
{
    ck_assert_ptr_null(self->extra);
    ck_assert_uint_ne(self->inbound.stops & FAST_STOP_BACKOFF, 0);
    ck_assert_ptr_null(receive());
    failNoCall(&extras);
    FastRingMemoryReturned(ring);
    run();
}

CASE(common, backsOffWithoutMemoryToWaitForBuffers)
{
    openStream(0);
    ck_assert_ptr_null(self->extra);
    failEveryCall(&extras);
    simulatedComplete(&kernel, receive()->user_data, -ENOBUFS, 0);
    run();
    backOffAndGoOn();
    ck_assert_ptr_nonnull(receive());
    simulatedComplete(&kernel, receive()->user_data, -ENOBUFS, 0);
    run();
    ck_assert_ptr_nonnull(self->extra);
    ck_assert_uint_eq(self->inbound.stops & FAST_STOP_BACKOFF, 0);
}

static void bring(uint16_t length)
{
    const struct io_uring_buf* buffer = simulatedTakeBuffer(&kernel,
                                                            FastProviderGroup(provider));
    ck_assert_ptr_nonnull(buffer);
    simulatedComplete(&kernel, receive()->user_data, length,
                      IORING_CQE_F_BUFFER | (uint32_t)buffer->bid << IORING_CQE_BUFFER_SHIFT);
    run();
}

CASE(common, backsOffWithoutMemoryToWaitForRoom)
{
    uint8_t data[LENGTH];
    openStream(0);
    ck_assert_int_eq(SetFastRingOption(ring, FASTRING_OPTION_INBOUND_LIMIT, LENGTH), 0);
    failEveryCall(&extras);
    bring(LENGTH);
    backOffAndGoOn();
    ck_assert_ptr_nonnull(self->extra);
    ck_assert_uint_ne(self->inbound.stops & FAST_STOP_RING_LIMIT, 0);
    ck_assert_ptr_null(receive());
    ck_assert_int_eq(ReceiveFastSocketData(self, data, sizeof(data), 0), LENGTH);
    run();
    ck_assert_ptr_nonnull(receive());
}
