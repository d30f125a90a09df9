/*
 * What an idle socket costs: its outbound side is there while it is needed.
 */
#include "sending.h"
#include "socket/failure.h"

#include <stdlib.h>

AREA(spare, "spare", .open = openSending, .close = closeSending);

static struct Countdown blocks;

/* Blocks alone: others allocate too. */
void* __real_malloc(size_t size);
void* __wrap_malloc(size_t size);
void* __wrap_malloc(size_t size)
{
    return size == FAST_SPARE_SIZE && countdownFails(&blocks) ? NULL : __real_malloc(size);
}

static struct FastSocketStatistics statistics(void)
{
    struct FastSocketStatistics now;
    ck_assert_int_eq(GetFastSocketStatistics(self, &now, sizeof(now)), 0);
    return now;
}

/* One send, which the kernel takes whole. */
static void sendSmall(void)
{
    queued = 0;
    transmit(SMALL, 0);
    run();
    ck_assert_ptr_nonnull(self->outbound);
    complete(sendCount - 1, SMALL, 0);
}

/* Until whatever isn't needed is given back. */
static void rest(void)
{
    for (int turn = 0; turn < 2 * FAST_SPARE_IDLES; turn++)
        run();
}

CASE(spare, isGivenBackWhenNothingIsQueued)
{
    openStream(0);
    ck_assert_ptr_null(self->outbound);
    sendSmall();
    rest();
    ck_assert_ptr_null(self->outbound);
    ck_assert_uint_eq(GetFastSocketOutboundLength(self), 0);
    ck_assert_uint_eq(statistics().sentBytes, SMALL);
    ck_assert_uint_eq(statistics().sentOperations, 1);
    sendSmall();
    rest();
    ck_assert_ptr_null(self->outbound);
    ck_assert_uint_eq(statistics().sentBytes, 2 * SMALL);
    ck_assert_uint_eq(statistics().sentOperations, 2);
}

/* What was used since the last look stays until the next. */
CASE(spare, staysWhileItIsUsedAgain)
{
    openStream(0);
    sendSmall();
    const struct FastOutbound* outbound = self->outbound;
    ck_assert_ptr_nonnull(outbound);
    for (int round = 0; round < 4 * FAST_SPARE_IDLES; round++) {
        sendSmall();
        ck_assert_ptr_eq(self->outbound, outbound);
    }
    ck_assert_uint_eq(ring->spares.count, 0);
    rest();
    ck_assert_ptr_null(self->outbound);
}

static unsigned looks;

static void countLook(struct FastSpare* spare)
{
    looks++;
    FastRingGiveSpare(ring, spare);
}

/* Many at once are not kept waiting: few of them stay. */
CASE(spare, boundsThoseThatStay)
{
    openStream(0);
    looks = 0;
    for (int index = 0; index < FAST_SPARE_STAY + 10; index++)
        FastRingLookLater(ring, FastRingTakeSpare(ring, countLook));
    run();
    ck_assert_uint_eq(looks, 10);
    rest();
    ck_assert_uint_eq(looks, FAST_SPARE_STAY + 10);
    ck_assert_ptr_null(ring->spares.row);
}

CASE(spare, allocatesNothingOnceWarm)
{
    openStream(0);
    sendSmall();
    forgetCalls(&blocks);
    for (int round = 0; round < 20; round++) {
        sendSmall();
        rest();
    }
    ck_assert_int_eq(countCalls(&blocks), 0);
    ck_assert_uint_eq(ring->spares.count, 1);
}

CASE(spare, staysWhileSomethingIsInFlight)
{
    openStream(0);
    transmit(SMALL, 0);
    run();
    const struct FastOutbound* before = self->outbound;
    complete(0, SMALL / 2, 0);
    ck_assert_ptr_eq(self->outbound, before);
    ck_assert_uint_eq(GetFastSocketOutboundLength(self), SMALL - SMALL / 2);
    complete(1, SMALL - SMALL / 2, 0);
    rest();
    ck_assert_ptr_null(self->outbound);
}

CASE(spare, staysWithOptionsThatWereSet)
{
    uint64_t value;
    openStream(0);
    ck_assert_int_eq(SetFastSocketOption(self, FASTSOCKET_OPTION_OUTBOUND_LIMIT, SMALL), 0);
    sendSmall();
    ck_assert_int_eq(GetFastSocketOption(self, FASTSOCKET_OPTION_OUTBOUND_LIMIT, &value), 0);
    ck_assert_uint_eq(value, SMALL);
    transmit(SMALL, 0);
    ck_assert_int_eq(TransmitFastSocketData(self, NULL, 0, bytes, SMALL, 0), -EAGAIN);
    run();
    ck_assert_int_eq(SetFastSocketOption(self, FASTSOCKET_OPTION_OUTBOUND_LIMIT, 0), 0);
    complete(1, SMALL, 0);
    rest();
    ck_assert_ptr_null(self->outbound);
    ck_assert_int_eq(SetFastSocketOption(self, FASTSOCKET_OPTION_ZERO_COPY_THRESHOLD, 1), 0);
    sendSmall();
    ck_assert_int_eq(GetFastSocketOption(self, FASTSOCKET_OPTION_ZERO_COPY_THRESHOLD, &value), 0);
    ck_assert_uint_eq(value, 1);
}

/* What is set to what it was is nothing to remember. */
CASE(spare, isGivenBackWithOptionsAsTheyWere)
{
    openStream(0);
    ck_assert_int_eq(SetFastSocketOption(self, FASTSOCKET_OPTION_ZERO_COPY_THRESHOLD,
                                         FAST_OUTBOUND_THRESHOLD),
                     0);
    rest();
    ck_assert_ptr_null(self->outbound);
    ck_assert_int_eq(SetFastSocketOption(self, FASTSOCKET_OPTION_OUTBOUND_LIMIT, SMALL), 0);
    rest();
    ck_assert_ptr_nonnull(self->outbound);
    ck_assert_int_eq(SetFastSocketOption(self, FASTSOCKET_OPTION_OUTBOUND_LIMIT, 0), 0);
    rest();
    ck_assert_ptr_null(self->outbound);
}

/* Of a barrier nothing is counted when a failure drops it. */
CASE(spare, isGivenBackAfterADrop)
{
    openStream(0);
    self->connection = FAST_CONNECTION_BEGUN;
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(ring, NULL, NULL);
    io_uring_prep_nop(GetFastRingDescriptorSubmission(descriptor));
    ck_assert_int_eq(TransmitFastSocketDescriptor(self, descriptor, NULL), 0);
    rest();
    ck_assert_ptr_nonnull(self->outbound);
    FastSocketFail(self, ECONNREFUSED);
    rest();
    ck_assert_int_eq(failed, 1);
    ck_assert_ptr_null(self->outbound);
}

/* A datagram that the next one continues is not forgotten. */
CASE(spare, staysWhileCorked)
{
    openDatagram(0, 0);
    transmit(SMALL, MSG_MORE);
    run();
    complete(0, SMALL, 0);
    ck_assert_ptr_nonnull(self->outbound);
    transmit(SMALL, 0);
    run();
    complete(1, SMALL, 0);
    rest();
    ck_assert_ptr_null(self->outbound);
}

CASE(spare, staysWithALoan)
{
    openStream(FASTSOCKET_MODE_ZERO_COPY);
    transmit(LARGE, 0);
    run();
    complete(0, LARGE, IORING_CQE_F_MORE);
    ck_assert_ptr_nonnull(self->outbound);
    complete(0, 0, IORING_CQE_F_NOTIF);
    ck_assert_uint_eq(statistics().sentZeroCopy, 1);
}

CASE(spare, lacksMemory)
{
    openStream(0);
    failCall(&blocks, 1);
    ck_assert_int_eq(TransmitFastSocketData(self, NULL, 0, bytes, SMALL, 0), -ENOMEM);
    rest();
    ck_assert_ptr_null(self->outbound);
    sendSmall();
}

/* A close would reset the connection while input is unread, and destroy what was sent: so a release
 * without memory for its bound waits for some. */
CASE(spare, releasesInOrderWithoutMemory)
{
    openStream(0);
    sendSmall();
    rest();
    FastRingFreeSpares(ring);
    FastSocketHold(self);
    failEveryCall(&blocks);
    ReleaseFastSocket(self);
    run();
    ck_assert_uint_eq(self->stage, FAST_STAGE_FLUSHING);
    failNoCall(&blocks);
    FastRingMemoryReturned(ring);
    run();
    ck_assert_uint_eq(self->stage, FAST_STAGE_DRAINING);
    FastSocketEnterStage(self, FAST_STAGE_CANCELING);
    run();
    ck_assert_uint_eq(self->stage, FAST_STAGE_CLOSED);
    FastSocketDrop(self);
    close(peer);
    openStream(0);
}

enum
{
    MANY = 200
};

/* A burst that needs so many at once. */
static void takeAndGive(int count)
{
    static struct FastSpare* taken[MANY];
    for (int index = 0; index < count; index++)
        taken[index] = FastRingTakeSpare(ring, NULL);
    for (int index = 0; index < count; index++)
        FastRingGiveSpare(ring, taken[index]);
}

/* As many are kept as were taken between two looks; a surplus is given up bit by bit, and less
 * slowly where none was taken. */
CASE(spare, keepsWhatWasNeededLately)
{
    openStream(0);
    takeAndGive(MANY);
    FastRingLookAtSpares(ring);
    ck_assert_uint_eq(ring->spares.count, MANY);
    takeAndGive(1);
    FastRingLookAtSpares(ring);
    ck_assert_uint_lt(ring->spares.count, MANY);
    ck_assert_uint_gt(ring->spares.count, MANY * 3 / 4);
    uint32_t before = ring->spares.count - FAST_SPARE_FEW;
    FastRingLookAtSpares(ring);
    ck_assert_uint_eq(ring->spares.count, FAST_SPARE_FEW + before / 2);
    for (int look = 0; look < 10; look++)
        FastRingLookAtSpares(ring);
    ck_assert_uint_eq(ring->spares.count, FAST_SPARE_FEW);
}

/* What nobody uses goes when the ring rests, though nothing is in the row. */
CASE(spare, comesHomeAfterABurst)
{
    openStream(0);
    takeAndGive(MANY);
    ck_assert_ptr_null(ring->spares.row);
    run();
    ck_assert_uint_eq(ring->spares.count, MANY);
    for (int time = 0; time < 2; time++)
        rest();
    ck_assert_uint_eq(ring->spares.count, FAST_SPARE_FEW);
}

/* … and then there is nothing to look at any more. */
CASE(spare, restsWithAFew)
{
    openStream(0);
    takeAndGive(FAST_SPARE_FEW);
    uint32_t before = ring->spares.idles;
    run();
    ck_assert_uint_eq(ring->spares.idles, before);
    ck_assert_uint_eq(ring->spares.count, FAST_SPARE_FEW);
}

/* A ring that needs as many again and again allocates none, however it rests in between. */
CASE(spare, keepsWhatIsNeededAgain)
{
    openStream(0);
    takeAndGive(MANY);
    forgetCalls(&blocks);
    for (int round = 0; round < 20; round++) {
        for (int turn = 0; turn < FAST_SPARE_IDLES / 4; turn++)
            run();
        takeAndGive(MANY);
    }
    ck_assert_int_eq(countCalls(&blocks), 0);
    ck_assert_uint_eq(ring->spares.count, MANY);
}
