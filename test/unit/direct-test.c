/*
 * Large transmits that are tried inside the call: what the system is asked for, and what becomes of
 * each of its answers. The ring's kernel gets what is left.
 */
#include "sending.h"
#include "socket/direct.h"
#include "socket/system.h"

AREA(direct, "direct", .open = openSending, .close = closeSending);

enum
{
    MUCH = FAST_DIRECT_MIN,
    AGAIN = 512 << 10, /* tried though it is not the first in its turn */
    ALL = 1 << 30,
    VECTORS = 64, /* of one call */
};

/* ---- the system, and memory ---- */

static struct Countdown pieces;

FAILING_CALL(&pieces, NULL, struct FastBuffer*, FastPoolAllocateAnyhow,
             (struct FastBufferPool* pool, size_t size), (pool, size))

static ssize_t answer;    /* bytes that are taken at most, or a negative errno */
static unsigned calls;
static size_t offered;    /* bytes of the last call */
static size_t vectors;    /* of the same */
static const void* last;  /* where its last vector begins */
static uint8_t taken[sizeof(bytes)];
static size_t takenCount; /* bytes that were taken, of all calls */

ssize_t __wrap_FastSystemSend(int handle, const struct msghdr* message, int flags);

ssize_t __wrap_FastSystemSend(int handle, const struct msghdr* message, int flags)
{
    size_t left = answer > 0 ? (size_t)answer : 0;
    size_t before = takenCount;
    ck_assert_int_eq(handle, GetFastSocketHandle(self));
    ck_assert_int_eq(flags, 0);
    ck_assert_ptr_null(message->msg_name);
    ck_assert_uint_eq(message->msg_controllen, 0);
    calls++;
    offered = 0;
    vectors = message->msg_iovlen;
    for (size_t index = 0; index < vectors; index++) {
        const struct iovec* part = &message->msg_iov[index];
        size_t count = part->iov_len < left ? part->iov_len : left;
        memcpy(taken + takenCount, part->iov_base, count);
        takenCount += count;
        left -= count;
        offered += part->iov_len;
        last = part->iov_base;
    }
    return answer < 0 ? answer : (ssize_t)(takenCount - before);
}

static void openAnswering(ssize_t result)
{
    openStream(0);
    answer = result;
}

/* Everything that was transmitted, and so many bytes have left by the ring. */
static void expectTaken(size_t count)
{
    ck_assert_uint_eq(takenCount, count);
    ck_assert_mem_eq(taken, bytes, count);
}

/* The rest is the ring's, after which POLLOUT comes, once. */
static void expectRest(size_t position, uint16_t priority)
{
    size_t left = queued - position;
    ck_assert_uint_eq(GetFastSocketOutboundLength(self), left);
    ck_assert_uint_eq(GetFastRingPending(ring), 1);
    ck_assert_int_eq(drained, 0);
    run();
    ck_assert_uint_eq(sendCount, 1);
    ck_assert_uint_eq(sends[0].priority, priority);
    expectSend(1, sends[0].opcode, position, left);
    complete(0, (int)left, 0);
    ck_assert_int_eq(drained, 1);
    ck_assert_int_eq(failed, 0);
    ck_assert_uint_eq(GetFastRingPending(ring), 0);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 0);
}

/* ---- taken ---- */

/* §2.4 at once, §2.4 return 0, §2.1 POLLOUT: from the caller's memory, and told by the next turn */
CASE(direct, sendsFromTheCallersMemory)
{
    struct FastSocketStatistics statistics;
    openAnswering(ALL);
    transmit(MUCH, 0);
    ck_assert_uint_eq(calls, 1);
    ck_assert_uint_eq(vectors, 1);
    ck_assert_ptr_eq(last, bytes);
    ck_assert_uint_eq(GetFastSocketOutboundLength(self), 0);
    ck_assert_uint_eq(GetFastRingPending(ring), 0);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 0);
    ck_assert_int_eq(drained, 0);
    ck_assert_int_eq(GetFastRingInterval(ring), 0);
    run();
    ck_assert_int_eq(drained, 1);
    ck_assert_uint_eq(sendCount, 0);
    expectTaken(MUCH);
    ck_assert_int_eq(GetFastSocketStatistics(self, &statistics, sizeof(statistics)), 0);
    ck_assert_uint_eq(statistics.sentBytes, MUCH);
    ck_assert_uint_eq(statistics.sentOperations, 1);
    ck_assert_uint_eq(self->outbound->progress, 1);
}

/* §2.4 at once beside the queue, §2.4 order: what was queued before goes in the same call */
CASE(direct, takesWhatIsQueuedInFront)
{
    openAnswering(ALL);
    transmit(SMALL, MSG_MORE);
    transmitBuffer(LARGE);
    transmit(SMALL, 0);
    ck_assert_uint_eq(GetFastRingPending(ring), 1);
    transmit(2 * MUCH, 0); /* more than the last piece has room for */
    ck_assert_uint_eq(vectors, 4);
    expectTaken(queued);
    ck_assert_uint_eq(GetFastRingPending(ring), 0);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 0);
    transmit(SMALL, 0);
    run();
    expectSend(1, IORING_OP_SEND, takenCount, SMALL);
    ck_assert_int_eq(drained, 0);
    complete(0, SMALL, 0);
    ck_assert_int_eq(drained, 1);
}

/* §2.4 at once in part, §2.4 short count: whatever is left is queued, in order, and waits for
 * room */
CASE(direct, queuesTheRest)
{
    const size_t counts[] = {0, 1, SMALL - 1, SMALL, SMALL + 1, MUCH / 2, SMALL + MUCH - 1};
    for (size_t index = 0; index < sizeof(counts) / sizeof(counts[0]); index++) {
        openAnswering((ssize_t)counts[index]);
        transmit(SMALL, 0);
        transmit(MUCH, 0);
        transmit(SMALL, 0);
        expectTaken(counts[index]);
        expectRest(counts[index], IORING_RECVSEND_POLL_FIRST);
        ck_assert_uint_eq(calls, 1);
        AbortFastSocket(self);
        run();
        close(peer);
        queued = takenCount = sendCount = calls = 0;
        drained = 0;
    }
    openAnswering(0);
}

/* §2.4 at once in part: in the middle of a vector; what one call has no room for is queued, too */
CASE(direct, takesManyVectors)
{
    struct iovec parts[2 * VECTORS];
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2 * VECTORS};
    size_t size = MUCH / VECTORS;
    for (size_t index = 0; index < 2 * VECTORS; index++)
        parts[index] = (struct iovec){.iov_base = bytes + index * size, .iov_len = size};
    openAnswering((ssize_t)(size * VECTORS - 3));
    queued = size * 2 * VECTORS;
    ck_assert_int_eq(TransmitFastSocketMessage(self, &message, 0), 0);
    ck_assert_uint_eq(vectors, VECTORS);
    ck_assert_ptr_eq(parts[5].iov_base, bytes + 5 * size);
    expectTaken(MUCH - 3);
    expectRest(MUCH - 3, IORING_RECVSEND_POLL_FIRST);
}

/* All that was offered was taken: then there may be room for more. */
CASE(direct, goesOnBehindManyVectors)
{
    struct iovec parts[VECTORS + 1];
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = VECTORS + 1};
    size_t size = MUCH / VECTORS;
    for (size_t index = 0; index <= VECTORS; index++)
        parts[index] = (struct iovec){.iov_base = bytes + index * size, .iov_len = size};
    openAnswering(ALL);
    queued = size * (VECTORS + 1);
    ck_assert_int_eq(TransmitFastSocketMessage(self, &message, 0), 0);
    expectTaken(MUCH);
    expectRest(MUCH, 0);
}

/* ---- refused ---- */

/* §2.4 at once and refused, §2.4 transient send results: no event, and nothing is lost */
CASE(direct, waitsForRoom)
{
    openAnswering(-EAGAIN);
    transmit(SMALL, 0);
    transmit(MUCH, 0);
    expectRest(0, IORING_RECVSEND_POLL_FIRST);
}

CASE_ROUNDS(direct, triesAgain, 3)
{
    const int errors[] = {EINTR, ENOBUFS, ENOMEM};
    openAnswering(-errors[round]);
    transmit(MUCH, 0);
    ck_assert_uint_eq(GetFastSocketOutboundLength(self), MUCH);
    while (sendCount == 0) /* memory is waited for, some milliseconds */
        ck_assert_int_eq(WaitForFastRing(ring, 1, NULL), 0);
    expectRest(0, 0);
}

/* §2.4 at once and reset, §2.1 POLLERR fatal (stream), §2.4 -EPIPE: told by an event, never inside
 * the call */
CASE_ROUNDS(direct, failsLater, 3)
{
    const int errors[] = {ECONNRESET, EPIPE, ETIMEDOUT};
    openAnswering(-errors[round]);
    transmit(SMALL, 0);
    transmit(MUCH, 0);
    ck_assert_int_eq(failed, 0);
    ck_assert_int_eq(GetFastSocketError(self), 0);
    ck_assert_uint_eq(GetFastSocketOutboundLength(self), SMALL + MUCH);
    transmit(AGAIN, 0);
    ck_assert_uint_eq(calls, 1);
    run();
    ck_assert_int_eq(failed, 1);
    ck_assert_int_eq(GetFastSocketError(self), errors[round]);
    ck_assert_int_eq(TransmitFastSocketData(self, NULL, 0, bytes, MUCH, 0), -EPIPE);
    ck_assert_uint_eq(GetFastSocketOutboundLength(self), queued);
    ck_assert_int_eq(drained, 0);
    ck_assert_uint_eq(sendCount, 0);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 0);
}

/* What says only that there is no room, or no memory, just now: it is no error. */
static const ssize_t passing[] = {MUCH / 2, -EAGAIN, -EINTR, -ENOBUFS, -ENOMEM};

enum
{
    PASSING = sizeof(passing) / sizeof(passing[0]),
};

static int hangups;

static void onHangup(struct FastSocket* socket, int event, int parameter)
{
    onEvent(socket, event, parameter);
    if (event & POLLIN)
        transmit(MUCH, 0);
    hangups += (event & POLLHUP) != 0;
    if (event & POLLHUP)
        ck_assert_int_eq(parameter, 0);
}

static void completeReceive(int result, uint32_t flags)
{
    simulatedComplete(&kernel, (uintptr_t)&self->inbound.receive.operation, result, flags);
}

/* What is left goes out, since nobody has failed. */
static void finish(void)
{
    while (sendCount == 0)
        ck_assert_int_eq(WaitForFastRing(ring, 1, NULL), 0);
    complete(0, (int)(queued - takenCount), 0);
    ck_assert_int_eq(failed, 0);
    ck_assert_int_eq(drained, 1);
}

/* §2.4 at once and refused, §2.7 read at EOF: while a transmit waits for room, too */
CASE_ROUNDS(direct, readsTheEndBehindALackOfRoom, PASSING)
{
    openAnswering(passing[round]);
    FILE* stream = GetFastSocketStream(self, 0);
    ck_assert_ptr_nonnull(stream);
    completeReceive(0, 0);
    run();
    transmit(MUCH, 0);
    ck_assert_int_eq(fgetc(stream), EOF);
    ck_assert(feof(stream));
    ck_assert(!ferror(stream));
    ck_assert_int_eq(fclose(stream), 0);
    finish();
}

/* §2.4 at once and refused, §2.4 at once in a callback, §2.1 half-close: told in the turn in which
 * it comes */
CASE_ROUNDS(direct, tellsTheEndBehindALackOfRoom, PASSING)
{
    openAnswering(passing[round]);
    ck_assert_int_eq(SetFastSocketHandler(self, onHangup, NULL), 0);
    const struct io_uring_buf* buffer = simulatedTakeBuffer(&kernel, FastProviderGroup(provider));
    ck_assert_ptr_nonnull(buffer);
    completeReceive(SMALL, IORING_CQE_F_MORE | IORING_CQE_F_BUFFER |
                               (uint32_t)buffer->bid << IORING_CQE_BUFFER_SHIFT);
    completeReceive(0, 0);
    ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0);
    ck_assert_uint_eq(calls, 1);
    ck_assert_int_eq(hangups, 1);
    finish();
}

/* §2.4 -ENOMEM: for all of it before the call, since bytes can't be taken back */
CASE(direct, needsMemoryFirst)
{
    int needed = 0;
    openAnswering(ALL);
    /* What is freed is not had again without a call. */
    FastPoolSetReserve(FastSocketOutboundPool(self), 0);
    transmit(SMALL, 0);
    failNoCall(&pieces);
    forgetCalls(&pieces);
    ck_assert_int_eq(TransmitFastSocketData(self, NULL, 0, bytes + queued, AGAIN, 0), 0);
    needed = countCalls(&pieces);
    ck_assert_int_gt(needed, 1);
    run();
    takenCount = SMALL + AGAIN;
    queued = takenCount;
    calls = 0;
    drained = 0;
    transmit(SMALL, 0);
    for (int call = 1; call <= needed; call++) {
        failCall(&pieces, call);
        ck_assert_int_eq(TransmitFastSocketData(self, NULL, 0, bytes, AGAIN, 0), -ENOMEM);
        ck_assert(!isFailureAwaited(&pieces));
        ck_assert_uint_eq(calls, 0);
        ck_assert_uint_eq(GetFastSocketOutboundLength(self), SMALL);
        ck_assert_uint_eq(FastPoolBuffers(outbound), 1);
    }
    failNoCall(&pieces);
    run();
    expectSend(1, IORING_OP_SEND, SMALL + AGAIN, SMALL);
}

/* ---- not tried ---- */

static void expectQueued(void)
{
    ck_assert_uint_eq(calls, 0);
    ck_assert_uint_eq(GetFastSocketOutboundLength(self), queued);
}

CASE(direct, leavesLittleToTheQueue)
{
    openAnswering(ALL);
    transmit(MUCH - 1, 0);
    expectQueued();
}

/* §2.4 at once beside the queue, §2.4 flags (send): the queue knows what they mean */
CASE_ROUNDS(direct, leavesFlagsToTheQueue, 6)
{
    const int flags[] = {MSG_MORE, MSG_EOR, MSG_OOB, MSG_CONFIRM, MSG_DONTROUTE, MSG_ZEROCOPY};
    openAnswering(ALL);
    transmit(MUCH, flags[round]);
    expectQueued();
}

/* Memory that is ours already is gathered. */
CASE(direct, leavesBuffersToTheQueue)
{
    openAnswering(ALL);
    transmitBuffer(MUCH);
    expectQueued();
}

/* §2.4 at once beside the queue, §2.4 Message control data: of the transmit itself, or queued in
 * front of it */
CASE_ROUNDS(direct, leavesControlDataToTheQueue, 2)
{
    openAnswering(ALL);
    transmitControl(round == 0 ? MUCH : SMALL, SOL_SOCKET, SCM_RIGHTS, peer);
    expectQueued();
    transmit(MUCH, 0);
    expectQueued();
}

CASE(direct, ignoresFlagsWithoutEffect)
{
    openAnswering(ALL);
    transmit(MUCH, MSG_NOSIGNAL | MSG_WAITALL | MSG_DONTWAIT);
    ck_assert_uint_eq(calls, 1);
}

/* §2.4 at once beside the queue, §2.4 flags (send): of what is queued in front of it */
CASE_ROUNDS(direct, leavesQueuedFlagsInFront, 2)
{
    const int flags[] = {MSG_OOB, MSG_EOR};
    openAnswering(ALL);
    transmit(SMALL, flags[round]);
    transmit(MUCH, 0);
    expectQueued();
}

/* §2.4 at once beside the queue, §2.4 AUTO_CORK: which needs to know what follows */
CASE(direct, leavesModesToTheQueue)
{
    openStream(FASTSOCKET_MODE_AUTO_CORK);
    answer = ALL;
    transmit(MUCH, 0);
    expectQueued();
}

/* §2.4 at once beside the queue, §2.4 ZERO_COPY choice: what the kernel is to send without a copy;
 * below the threshold it is copied, and may go */
CASE_ROUNDS(direct, leavesZeroCopyToTheQueue, 3)
{
    openStream(FASTSOCKET_MODE_ZERO_COPY);
    answer = ALL;
    if (round == 1)
        ck_assert_int_eq(
            SetFastSocketOption(self, FASTSOCKET_OPTION_ZERO_COPY_THRESHOLD, MUCH + 1), 0);
    if (round == 2)
        self->traits &= ~(uint32_t)FAST_TRAIT_ZERO_COPIES;
    transmit(MUCH, 0);
    ck_assert_uint_eq(calls, round > 0);
}

CASE(direct, leavesUntriedFamiliesToTheQueue)
{
    openAnswering(ALL);
    self->traits &= ~(uint32_t)FAST_TRAIT_SENDS_AT_ONCE;
    transmit(MUCH, 0);
    expectQueued();
}

/* §2.4 at once beside the queue: two sends at once would mix their bytes */
CASE(direct, waitsForWhatIsInFlight)
{
    openAnswering(ALL);
    transmit(SMALL, 0);
    run();
    transmit(MUCH, 0);
    expectQueued();
    complete(0, SMALL, 0);
    expectSend(2, IORING_OP_SENDMSG, SMALL, MUCH);
}

/* §2.4 at once beside the queue: room is known to lack */
CASE(direct, waitsBehindAShortCount)
{
    openAnswering(ALL);
    transmit(SMALL, 0);
    run();
    simulatedComplete(&kernel, sends[0].owner, SMALL / 2, 0);
    ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0);
    ck_assert_uint_eq(self->outbound->inFlight, 0);
    transmit(MUCH, 0);
    ck_assert_uint_eq(calls, 0);
    ck_assert_uint_eq(GetFastSocketOutboundLength(self), queued - SMALL / 2);
}

/* §2.4 at once beside the queue: whatever stops the next send of that */
CASE_ROUNDS(direct, waitsWhileSendsAreStopped, 3)
{
    openAnswering(ALL);
    transmit(SMALL, 0);
    uint8_t stops = round == 0 ? FAST_SEND_STOP_BACKOFF : round == 1 ? FAST_SEND_STOP_ROOM : 0;
    self->outbound->stops = stops;
    self->outbound->canceling = round == 2 ? FAST_SEND_CANCEL_IN_FLIGHT : FAST_SEND_CANCEL_NONE;
    transmit(MUCH, 0);
    expectQueued();
    self->outbound->stops = 0;
    self->outbound->canceling = FAST_SEND_CANCEL_NONE;
}

/* §2.2 fast open: a connection on which nothing has moved may be a deferred one. */
CASE_ROUNDS(direct, asksForTheConnection, 3)
{
    openAnswering(ALL);
    self->traits |= FAST_TRAIT_RECEIVES_EARLY; /* the state that TCP is asked for can't be had */
    if (round == 1)
        self->statistics.bytes = 1;
    if (round == 2) {
        transmit(SMALL, 0);
        run();
        complete(0, SMALL, 0);
    }
    transmit(MUCH, 0);
    ck_assert_uint_eq(calls, round > 0);
}

CASE(direct, waitsForTheConnection)
{
    openAnswering(ALL);
    self->connection = FAST_CONNECTION_BEGUN;
    transmit(MUCH, 0);
    expectQueued();
    self->connection = FAST_CONNECTION_MADE;
}

/* §2.2 limit: messages that go out together */
CASE(direct, respectsTheLimitOfMessages)
{
    openAnswering(ALL);
    self->outbound = NULL;
    struct FastCommon common = *FastSocketCommon(self);
    common.maxMessages = 1;
    ck_assert_int_eq(FastSocketShare(self, &common), 0);
    transmit(MUCH, 0);
    ck_assert_uint_eq(calls, 1);
    run();
    transmit(SMALL, 0);
    transmit(MUCH, 0);
    ck_assert_uint_eq(calls, 1);
    ck_assert_uint_eq(GetFastSocketOutboundLength(self), SMALL + MUCH);
}

/* §2.4 at once: of several in a turn those that are not that large are gathered */
CASE(direct, triesOneATurn)
{
    openAnswering(ALL);
    transmit(MUCH, 0);
    transmit(MUCH, 0);
    ck_assert_uint_eq(calls, 1);
    transmit(AGAIN, 0);
    ck_assert_uint_eq(calls, 2);
    expectTaken(queued);
    run();
    ck_assert_int_eq(drained, 1);
    transmit(MUCH, 0);
    ck_assert_uint_eq(calls, 3);
}

/* Behind a short count only much is worth another call, which takes the rest along. */
CASE(direct, triesMuchAgainBehindAShortCount)
{
    openAnswering(MUCH / 2);
    transmit(MUCH, 0);
    answer = ALL;
    transmit(MUCH, 0);
    ck_assert_uint_eq(calls, 1);
    transmit(AGAIN, 0);
    ck_assert_uint_eq(calls, 2);
    expectTaken(queued);
    ck_assert_uint_eq(GetFastRingPending(ring), 0);
    run();
    ck_assert_int_eq(drained, 1);
    ck_assert_uint_eq(sendCount, 0);
}

/* ---- small ones ---- */

/* §2.4 flags (send): what is joined to a MSG_MORE is what it waited for */
CASE_ROUNDS(direct, endsWhatHeldBack, 2)
{
    openAnswering(ALL);
    transmit(SMALL, MSG_MORE);
    transmit(SMALL, round == 0 ? 0 : MSG_MORE);
    run();
    expectSend(1, IORING_OP_SEND, 0, (size_t)2 * SMALL);
    ck_assert_int_eq((sends[0].flags & MSG_MORE) != 0, round == 1);
}

/* Joined to what is in flight: sent behind it. */
CASE(direct, joinsWhatIsInFlight)
{
    openAnswering(ALL);
    transmit(SMALL, 0);
    run();
    transmit(SMALL, 0);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 1);
    complete(0, SMALL, 0);
    expectSend(2, IORING_OP_SEND, SMALL, SMALL);
    complete(1, SMALL, 0);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 0);
}

/* ---- afterwards ---- */

/* Until whatever isn't needed is given back. */
static void rest(void)
{
    for (int turn = 0; turn < 2 * FAST_SPARE_IDLES; turn++)
        run();
}

/* Nothing was ever in the queue. */
CASE(direct, leavesNothingBehind)
{
    openAnswering(ALL);
    transmit(MUCH, 0);
    ck_assert_ptr_nonnull(self->outbound);
    rest();
    ck_assert_ptr_null(self->outbound);
}

CASE(direct, leavesNothingBehindWithoutMemory)
{
    openAnswering(ALL);
    failCall(&pieces, 1);
    ck_assert_int_eq(TransmitFastSocketData(self, NULL, 0, bytes, MUCH, 0), -ENOMEM);
    ck_assert_ptr_nonnull(self->outbound);
    rest();
    ck_assert_ptr_null(self->outbound);
}

/* What was used since the last look stays until the next. */
CASE(direct, keepsWhatIsUsedAgain)
{
    openAnswering(ALL);
    transmit(MUCH, 0);
    run();
    const struct FastOutbound* outbound = self->outbound;
    for (int round = 0; round < 4 * FAST_SPARE_IDLES; round++) {
        queued = takenCount = 0;
        transmit(MUCH, 0);
        run();
        ck_assert_ptr_eq(self->outbound, outbound);
    }
    ck_assert_uint_eq(sendCount, 0);
}

/* ---- the end ---- */

/* §2.4 at once and released, §2.6 flush: what is left is the release's, and nothing is told */
CASE_ROUNDS(direct, isReleasedInTheSameTurn, 4)
{
    const ssize_t answers[] = {ALL, MUCH / 2, -EAGAIN, -ECONNRESET};
    openAnswering(answers[round]);
    transmit(MUCH, 0);
    size_t left = MUCH - takenCount;
    ReleaseFastSocket(self);
    self = NULL; /* it may be gone any time now */
    run();
    ck_assert_uint_eq(sendCount, round == 1 || round == 2);
    if (sendCount > 0) {
        expectSend(1, IORING_OP_SEND, takenCount, left);
        complete(0, (int)left, 0);
    }
    ck_assert_int_eq(drained + failed, 0);
    ck_assert_uint_eq(FastPoolBuffers(outbound), 0);
    const struct io_uring_sqe* receive = simulatedFindCode(&kernel, IORING_OP_RECV);
    if (receive != NULL) /* the peer ends, too */
        simulatedComplete(&kernel, receive->user_data, 0, 0);
}

/* §2.4 at once and released, §2.6 AbortFastSocket: nothing is sent or told any more */
CASE_ROUNDS(direct, isAbortedInTheSameTurn, 4)
{
    const ssize_t answers[] = {ALL, MUCH / 2, -EAGAIN, -ECONNRESET};
    openAnswering(answers[round]);
    transmit(MUCH, 0);
    AbortFastSocket(self);
    self = NULL;
    ck_assert_uint_eq(FastPoolBuffers(outbound), 0);
    run();
    ck_assert_uint_eq(sendCount, 0);
    ck_assert_int_eq(drained + failed, 0);
}
