/*
 * The short ways of what is received: each is taken while a list of conditions holds, and each case
 * is one in which a single one of them does not, so that only the long way does what was promised.
 */
#include "sending.h"
#include "services.h"

#include <limits.h>

enum
{
    FEW = 64,       /* bundles of one buffer in a row, until there are none; then twice as many */
    BUNDLE_RUN = 4, /* full buffers in a row, until bundles are tried */
};

static int hangups;
static int inputs;
static int told; /* bytes, by the last POLLIN */
static uint8_t got[BUFFERS * LENGTH];

static void setUp(void)
{
    hangups = 0;
    inputs = 0;
    told = 0;
    openSending();
}

AREA(shortReceive, "short-receive", .open = setUp, .close = closeSending);

static void onAny(struct FastSocket* socket, int event, int parameter)
{
    onEvent(socket, event, parameter);
    hangups += (event & POLLHUP) != 0;
    inputs += (event & POLLIN) != 0;
    if (event & POLLIN)
        told = parameter;
}

static void hear(void)
{
    ck_assert_int_eq(SetFastSocketHandler(self, onAny, NULL), 0);
}

static void openReceiving(void)
{
    openStream(0);
    hear();
}

/* ---- the kernel fills a buffer ---- */

static const struct io_uring_sqe* receiveInFlight(void)
{
    return simulatedFind(&kernel, (uintptr_t)&self->inbound.receive.operation);
}

static void deliver(uint16_t id, int result, uint32_t flags)
{
    simulatedComplete(&kernel, (uintptr_t)&self->inbound.receive.operation, result,
                      flags | IORING_CQE_F_BUFFER | (uint32_t)id << IORING_CQE_BUFFER_SHIFT);
}

/* Takes the next buffer, fills it with the next bytes, and says so; the turn is the caller's. */
static uint16_t fill(size_t size, uint32_t flags)
{
    const struct io_uring_buf* buffer = simulatedTakeBuffer(&kernel, FastProviderGroup(provider));
    ck_assert_ptr_nonnull(buffer);
    uint16_t id = buffer->bid;
    memcpy((void*)(uintptr_t)buffer->addr, bytes + queued, size);
    queued += size;
    deliver(id, (int)size, flags);
    return id;
}

static void receive(size_t size, uint32_t flags)
{
    fill(size, flags | IORING_CQE_F_MORE);
    run();
}

static void expectRead(size_t position, size_t size)
{
    ck_assert_int_eq(ReceiveFastSocketData(self, got, sizeof(got), 0), (ssize_t)size);
    ck_assert_mem_eq(got, bytes + position, size);
}

static bool isBundle(void)
{
    const struct io_uring_sqe* entry = receiveInFlight();
    ck_assert_ptr_nonnull(entry);
    return entry->ioprio & FAST_URING_RECVSEND_BUNDLE;
}

/* ---- one that comes (isPlain of receive.c) ---- */

CASE(shortReceive, takesBytes)
{
    openReceiving();
    receive(SMALL, 0);
    ck_assert_int_eq(inputs, 1);
    ck_assert_int_eq(told, SMALL);
    expectRead(0, SMALL);
    expectRead(0, 0);
}

/* §2.1 POLLIN: no more than an int has. The queue is said to be as long as no test has memory
 * for. */
CASE(shortReceive, tellsNoMoreThanAnIntHas)
{
    openReceiving();
    receive(SMALL, 0);
    self->inbound.queue.length += INT_MAX;
    receive(SMALL, 0);
    ck_assert_int_eq(inputs, 2);
    ck_assert_int_eq(told, INT_MAX);
    self->inbound.queue.length -= INT_MAX;
    expectRead(0, 2 * SMALL);
}

/* One that lacks IORING_CQE_F_MORE was the last: another receive follows. */
CASE(shortReceive, goesOnAfterTheLast)
{
    openReceiving();
    fill(SMALL, 0);
    run();
    expectRead(0, SMALL);
    ck_assert_ptr_nonnull(receiveInFlight());
    receive(SMALL, 0);
    expectRead(SMALL, SMALL);
}

/* The end may come with a buffer, and with a flag that it can't keep. */
CASE(shortReceive, endsWithoutBytes)
{
    openReceiving();
    fill(0, IORING_CQE_F_MORE);
    run();
    ck_assert_int_eq(inputs, 0);
    ck_assert_int_eq(hangups, 1);
}

/* Its header is no payload. */
CASE(shortReceive, stripsTheHeaderOfAMessage)
{
    openDatagram(0, 0);
    hear();
    size_t header = self->inbound.queue.rules->headroom;
    ck_assert_uint_gt(header, 0);
    struct io_uring_recvmsg_out out = {.payloadlen = SMALL};
    memcpy(bytes, &out, sizeof(out));
    receive(header + SMALL, 0);
    ck_assert_int_eq(told, SMALL);
    ck_assert_uint_eq(GetFastSocketInboundLength(self), SMALL);
    expectRead(header, SMALL);
}

/* What was not read yet stays before what comes. */
CASE(shortReceive, keepsWhatIsUnread)
{
    openReceiving();
    receive(SMALL, 0);
    receive(SMALL, 0);
    ck_assert_uint_eq(GetFastSocketInboundLength(self), 2 * SMALL);
    expectRead(0, 2 * SMALL);
}

static void openForBundles(void)
{
    kernel.base.features |= FASTRING_FEATURE_RECEIVE_BUNDLE;
    openReceiving();
    self->traits |= FAST_TRAIT_BUNDLES;
}

static void receiveFull(int count)
{
    for (int number = 0; number < count; number++) {
        queued = 0;
        receive(LENGTH, IORING_CQE_F_SOCK_NONEMPTY);
        expectRead(0, LENGTH);
    }
}

/* Full buffers speak for bundles. */
CASE(shortReceive, weighsFullBuffers)
{
    openForBundles();
    receiveFull(BUNDLE_RUN - 1);
    ck_assert(!isBundle());
    receiveFull(1);
    ck_assert(isBundle());
}

/* … and one with a piece speaks against them again. */
CASE(shortReceive, weighsAPieceAfterFullOnes)
{
    openForBundles();
    receiveFull(BUNDLE_RUN - 1);
    receive(SMALL, 0);
    expectRead(LENGTH, SMALL);
    receiveFull(1);
    ck_assert(!isBundle());
    receiveFull(1);
    ck_assert(isBundle());
}

/* Bundles of a piece speak for single buffers. */
CASE(shortReceive, weighsPiecesInBundles)
{
    openForBundles();
    receiveFull(BUNDLE_RUN);
    for (int number = 0; number < 2 * FEW; number++) {
        ck_assert(isBundle());
        queued = 0;
        receive(SMALL, 0);
        expectRead(0, SMALL);
    }
    ck_assert(!isBundle());
}

/* The receive that was to find the end has brought bytes: another one has to. */
CASE(shortReceive, looksForTheEndAgain)
{
    openReceiving();
    self->inbound.end = FAST_INPUT_AWAITED;
    unsigned before = kernel.entered;
    receive(SMALL, 0);
    expectRead(0, SMALL);
    ck_assert_uint_gt(kernel.entered, before + 1); /* a cancellation, and another receive */
    ck_assert_int_eq(self->inbound.end, FAST_INPUT_AWAITED);
}

static uint64_t buffersInUse(void)
{
    struct FastRingStatistics statistics;
    ck_assert_int_eq(GetFastRingStatistics(ring, &statistics, sizeof(statistics)), 0);
    return statistics.buffers;
}

/* A resume where nothing was held back leaves nothing to do: it would be a turn of its own. */
CASE(shortReceive, resumesWhatIsNotPausedForNothing)
{
    openReceiving();
    run();
    ck_assert_int_eq(ResumeFastSocket(self), 0);
    ck_assert(!FastRingWorkIsQueued(&self->worker, FAST_RING_DISPATCH));
    ck_assert_int_eq(PauseFastSocket(self), 0);
    ck_assert_int_eq(ResumeFastSocket(self), 0);
    ck_assert(FastRingWorkIsQueued(&self->worker, FAST_RING_DISPATCH));
    run();
}

/* A released socket takes what comes, and keeps none of it. */
CASE(shortReceive, dropsWhatComesAfterTheRelease)
{
    openReceiving();
    transmit(SMALL, 0);
    run();
    uint64_t before = buffersInUse();
    ReleaseFastSocket(self);
    receive(SMALL, 0);
    ck_assert_int_eq(inputs, 0);
    ck_assert_uint_eq(buffersInUse(), before);
    ck_assert_uint_eq(FastProviderAvailable(provider), BUFFERS);
    simulatedComplete(&kernel, (uintptr_t)&self->inbound.receive.operation, 0, 0);
    complete(0, SMALL, 0);
    self = NULL;
}

/* §2.6 drain: nor does it take the buffers of all others at once for what it throws away. It is
 * not armed anew for the sake of bundles, either. */
CASE(shortReceive, dropsWhatComesBufferByBuffer)
{
    openForBundles();
    receiveFull(BUNDLE_RUN);
    ck_assert(isBundle());
    transmit(SMALL, 0);
    run();
    ReleaseFastSocket(self);
    fill(LENGTH, 0); /* that one ends */
    run();
    ck_assert(!isBundle());
    unsigned before = kernel.entered;
    for (int number = 0; number < 8 * BUNDLE_RUN; number++)
        receive(LENGTH, IORING_CQE_F_SOCK_NONEMPTY);
    ck_assert(!isBundle());
    ck_assert_uint_eq(kernel.entered, before);
    simulatedComplete(&kernel, (uintptr_t)&self->inbound.receive.operation, 0, 0);
    complete(0, SMALL, 0);
    self = NULL;
}

/* Not a slot of the provider's. */
CASE_ROUNDS(shortReceive, refusesAnUnknownBuffer, 2)
{
    openReceiving();
    deliver(round == 0 ? BUFFERS : UINT16_MAX, SMALL, IORING_CQE_F_MORE);
    run();
    ck_assert_int_eq(inputs, 0);
    ck_assert_int_eq(failed, 1);
    ck_assert_int_eq(ReceiveFastSocketData(self, got, sizeof(got), 0), -EIO);
}

/* ---- what a provider can have filled (FastProviderRoom) ---- */

/* Says that slot has so many bytes, and expects that nobody believes it. */
static void expectLie(uint16_t id, size_t size)
{
    deliver(id, (int)size, IORING_CQE_F_MORE);
    run();
    ck_assert_int_eq(inputs, 0);
    ck_assert_int_eq(ReceiveFastSocketData(self, got, sizeof(got), 0), -EIO);
}

/* Others are put over the entry of one that the kernel has taken. */
static uint16_t takeEarly(void)
{
    uint16_t id = simulatedTakeBuffer(&kernel, FastProviderGroup(provider))->bid;
    for (int number = 0; number <= BUFFERS; number++) {
        queued = 0;
        receive(SMALL, 0);
        expectRead(0, SMALL);
    }
    inputs = 0;
    return id;
}

CASE(shortReceive, believesALateBuffer)
{
    openReceiving();
    uint16_t id = takeEarly();
    memcpy(provider->slots[id].buffer, bytes, SMALL);
    deliver(id, SMALL, IORING_CQE_F_MORE);
    run();
    ck_assert_int_eq(inputs, 1);
    expectRead(0, SMALL);
}

/* No memory was there for it. */
CASE(shortReceive, refusesAVacantSlot)
{
    openReceiving();
    uint16_t id = takeEarly();
    void* data = provider->slots[id].buffer;
    provider->slots[id].buffer = NULL;
    deliver(id, SMALL, IORING_CQE_F_MORE);
    run();
    provider->slots[id].buffer = data;
    ck_assert_int_eq(inputs, 0);
    ck_assert_int_eq(ReceiveFastSocketData(self, got, sizeof(got), 0), -EIO);
}

/* A user's own operation has it. */
CASE(shortReceive, refusesAClaimedSlot)
{
    openReceiving();
    const struct io_uring_buf* buffer = simulatedTakeBuffer(&kernel, FastProviderGroup(provider));
    uint16_t id = buffer->bid;
    ck_assert_uint_ne(FastProviderClaim(&provider->group, id, SMALL, false), 0);
    ck_assert_uint_eq(FastProviderClaim(&provider->group, id, 0, false), 0); /* nor without bytes */
    expectLie(id, SMALL);
    FastProviderUnclaim(&provider->group, id, SMALL, false);
}

/* The same completion twice, where the second can't know of what was put since: with deferred work
 * alone. Otherwise it may. */
CASE_ROUNDS(shortReceive, refusesWhatWasPutBehindIt, 2)
{
    openReceiving();
    if (round == 0)
        kernel.base.inside = true;
    uint16_t id = fill(SMALL, IORING_CQE_F_MORE);
    deliver(id, SMALL, IORING_CQE_F_MORE);
    run();
    ck_assert_int_eq(failed, round == 0);
    ck_assert_uint_eq(GetFastSocketInboundLength(self), round == 0 ? SMALL : 2 * SMALL);
}

/* In another enter it may have been filled. */
CASE(shortReceive, believesWhatWasPutBeforeTheEnter)
{
    openReceiving();
    kernel.base.inside = true;
    for (int number = 0; number < 3 * BUFFERS; number++)
        receive(SMALL, 0);
    ck_assert_uint_eq(GetFastSocketInboundLength(self), 3 * BUFFERS * SMALL);
}

/* An entry that says something else than was put there; or that has less room. */
CASE_ROUNDS(shortReceive, looksAtTheEntry, 4)
{
    openReceiving();
    struct io_uring_buf* entry = FastProviderEntry(provider, 0);
    uint16_t id = entry->bid;
    (void)simulatedTakeBuffer(&kernel, FastProviderGroup(provider));
    if (round == 0)
        entry->addr += 64;
    if (round == 1)
        entry->bid = (uint16_t)(id + 1);
    if (round == 2)
        entry->len = SMALL - 1;
    if (round == 3)
        entry->len = SMALL;
    if (round < 3) {
        expectLie(id, SMALL);
        return;
    }
    deliver(id, SMALL, IORING_CQE_F_MORE);
    run();
    ck_assert_int_eq(told, SMALL);
}

/* ---- one that is read (isFlowing of read.c) ---- */

static void* readElsewhere(void* closure)
{
    *(ssize_t*)closure = ReceiveFastSocketData(self, got, sizeof(got), 0);
    return NULL;
}

CASE(shortReceive, checksArguments)
{
    ssize_t elsewhere = 0;
    openReceiving();
    receive(SMALL, 0);
    ck_assert_int_eq(ReceiveFastSocketData(NULL, got, SMALL, 0), -EINVAL);
    ck_assert_int_eq(ReceiveFastSocketData(self, NULL, SMALL, 0), -EINVAL);
    ck_assert_int_eq(ReceiveFastSocketData(self, got, SMALL, MSG_OOB), -EINVAL);
    inThread(readElsewhere, &elsewhere);
    ck_assert_int_eq(elsewhere, -EPERM);
    expectRead(0, SMALL);
    ck_assert_int_eq(ReceiveFastSocketData(self, got, 0, 0), -EINVAL);
}

CASE(shortReceive, peeks)
{
    openReceiving();
    receive(SMALL, 0);
    ck_assert_int_eq(ReceiveFastSocketData(self, got, SMALL, MSG_PEEK), SMALL);
    expectRead(0, SMALL);
}

/* More than there is room for stays, and so does a second chunk. */
CASE(shortReceive, readsNoMoreThanThereIsRoomFor)
{
    openReceiving();
    receive(SMALL, 0);
    memset(got, 0, sizeof(got));
    ck_assert_int_eq(ReceiveFastSocketData(self, got, SMALL - 1, 0), SMALL - 1);
    ck_assert_uint_eq(got[SMALL - 1], 0);
    expectRead(SMALL - 1, 1);
}

CASE(shortReceive, readsOverTheBorderOfChunks)
{
    openReceiving();
    receive(LENGTH, 0);
    receive(SMALL, 0);
    expectRead(0, LENGTH + SMALL);
}

/* Messages are read one by one, from behind their headers. */
CASE(shortReceive, readsAMessage)
{
    stripsTheHeaderOfAMessage(0);
}

/* The connection has failed, and its input is still to end: «no bytes» does not say it all. */
CASE(shortReceive, tellsTheErrorOfASend)
{
    openReceiving();
    close(peer);
    peer = -1;
    transmit(SMALL, 0);
    run();
    simulatedComplete(&kernel, sends[0].owner, -ECONNRESET, 0);
    receive(SMALL, 0);
    ck_assert_ptr_nonnull(receiveInFlight());
    memcpy(bytes, bytes + SMALL, SMALL); /* behind those that were sent */
    expectRead(0, SMALL);
    ck_assert_int_eq(ReceiveFastSocketData(self, got, SMALL, 0), -ECONNRESET);
}

/* Below the low mark the receive goes on. */
CASE(shortReceive, goesOnBelowTheMark)
{
    openReceiving();
    ck_assert_int_eq(SetFastSocketOption(self, FASTSOCKET_OPTION_INBOUND_HIGH, SMALL), 0);
    receive(SMALL, 0);
    ck_assert_ptr_null(receiveInFlight());
    expectRead(0, SMALL);
    run();
    ck_assert_ptr_nonnull(receiveInFlight());
}
