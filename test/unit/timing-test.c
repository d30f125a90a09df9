/*
 * Timeouts of sockets, on a clock that the test sets and a ring without a kernel: they are exact to
 * the coarseness that the header tells, and what they find out of a send in flight is as well.
 */
#include "sending.h"

#include "socket/poll.h"
#include "socket/timing.h"

#include <time.h>

enum
{
    MS = 1000000, /* nanoseconds */
    FOR_EVER = 1 << 30,
};

static int64_t now;
static int hangups;
static int inputs;
static int64_t failedAt;
static struct Countdown blocks;

int __real_clock_gettime(clockid_t clock, struct timespec* time);
int __wrap_clock_gettime(clockid_t clock, struct timespec* time);
int __wrap_clock_gettime(clockid_t clock, struct timespec* time)
{
    if (clock != CLOCK_MONOTONIC)
        return __real_clock_gettime(clock, time);
    *time = (struct timespec){.tv_sec = now / (1000 * MS), .tv_nsec = now % (1000 * MS)};
    return 0;
}

void* __real_calloc(size_t count, size_t size);
void* __wrap_calloc(size_t count, size_t size);
void* __wrap_calloc(size_t count, size_t size)
{
    return size == sizeof(struct FastTiming) && countdownFails(&blocks)
               ? NULL
               : __real_calloc(count, size);
}

static void setUp(void)
{
    now = 123456789;
    hangups = 0;
    inputs = 0;
    failedAt = 0;
    openSending();
}

AREA(timing, "timing", .open = setUp, .close = closeSending);

static void onAny(struct FastSocket* socket, int event, int parameter)
{
    onEvent(socket, event, parameter);
    inputs += event == POLLIN;
    hangups += event == POLLHUP;
    if (event == POLLERR)
        failedAt = now;
    if (event == POLLHUP)
        ck_assert_int_eq(parameter, failure);
}

static void openTimed(void)
{
    openStream(0);
    ck_assert_int_eq(SetFastSocketHandler(self, onAny, NULL), 0);
}

static void set(int option, uint64_t value)
{
    ck_assert_int_eq(SetFastSocketOption(self, option, value), 0);
}

/* What the header promises for so many milliseconds. */
static int64_t coarseness(int64_t milliseconds)
{
    int64_t part = milliseconds / 8;
    return (part < 10 ? 10 : part > 1000 ? 1000 : part) * MS;
}

/* A millisecond in which the loop runs. What it has found out in the phase of the timers is told in
 * the turn behind. */
static void pass(int64_t milliseconds)
{
    for (int64_t index = 0; index < milliseconds; index++) {
        now += MS;
        ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0);
        ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0);
    }
}

/* Runs until POLLERR; then it is not earlier than so long after a time, and late by no more than
 * it may be. */
static void expectOver(int64_t since, int64_t milliseconds, int64_t shortest)
{
    for (int64_t index = 0; failed == 0 && index < 2 * milliseconds + 3000; index++)
        pass(1);
    ck_assert_int_eq(failed, 1);
    ck_assert_int_eq(failure, ETIMEDOUT);
    ck_assert_int_ge(failedAt, since + milliseconds * MS);
    ck_assert_int_le(failedAt, since + milliseconds * MS + coarseness(shortest) + MS);
    pass(2000);
    ck_assert_int_eq(failed, 1);
}

static void expectFatal(void)
{
    ck_assert_int_eq(hangups, 1);
    ck_assert_int_eq(GetFastSocketError(self), ETIMEDOUT);
    ck_assert_int_eq(TransmitFastSocketData(self, NULL, 0, "x", 1, 0), -EPIPE);
    ck_assert_int_eq(GetFastRingInterval(ring), -1); /* nothing ticks any more */
}

/* The kernel fills a buffer. */
static void receiveOf(struct FastSocket* socket, size_t size)
{
    const struct io_uring_buf* buffer = simulatedTakeBuffer(&kernel, FastProviderGroup(provider));
    ck_assert_ptr_nonnull(buffer);
    simulatedComplete(&kernel, (uintptr_t)&socket->inbound.receive.operation, (int)size,
                      IORING_CQE_F_MORE | IORING_CQE_F_BUFFER |
                          (uint32_t)buffer->bid << IORING_CQE_BUFFER_SHIFT);
}

static void receive(size_t size)
{
    receiveOf(self, size);
}

static const int64_t lengths[] = {1, 9, 80, 300, 1000, 7999, 8000, 30000};

enum
{
    LENGTHS = sizeof(lengths) / sizeof(lengths[0]),
};

/* ---- idle ---- */

/* §2.9 idle timeout: from when it was set, if nothing moves */
CASE_ROUNDS(timing, isIdleFromTheBeginning, LENGTHS)
{
    openTimed();
    set(FASTSOCKET_OPTION_IDLE_TIMEOUT, (uint64_t)lengths[round]);
    expectOver(now, lengths[round], lengths[round]);
    expectFatal();
}

/* §2.9 never early, §2.9 idle timeout: from the last byte, in either direction, whenever in a tick
 * it moves */
CASE_ROUNDS(timing, isIdleFromTheLastByte, 2 * 23)
{
    const int64_t milliseconds = 400;
    int64_t last = 0;
    openTimed();
    set(FASTSOCKET_OPTION_IDLE_TIMEOUT, (uint64_t)milliseconds);
    for (int step = 0; step < 5; step++) {
        pass(61 + round * 7);
        if (round % 2 == 0)
            receive(1);
        else {
            transmit(SMALL, 0);
            run();
            simulatedComplete(&kernel, sends[sendCount - 1].owner, SMALL, 0);
        }
        last = now;
        run();
    }
    ck_assert_int_eq(inputs, round % 2 == 0 ? 5 : 0);
    expectOver(last, milliseconds, milliseconds);
    expectFatal();
}

/* §2.9 idle timeout: not while the program has paused the socket, but from the resume on, also
 * behind a pause that no tick has seen */
CASE(timing, isNotIdleInAPause)
{
    openTimed();
    set(FASTSOCKET_OPTION_IDLE_TIMEOUT, 1000);
    pass(900);
    ck_assert_int_eq(PauseFastSocket(self), 0);
    pass(10000);
    ck_assert_int_eq(failed, 0);
    ck_assert_int_eq(ResumeFastSocket(self), 0);
    pass(990);
    ck_assert_int_eq(failed, 0);
    ck_assert_int_eq(PauseFastSocket(self), 0);
    ck_assert_int_eq(ResumeFastSocket(self), 0);
    expectOver(now, 1000, 1000);
}

/* §2.9 idle timeout: nor while what nobody has read holds up what follows */
CASE(timing, isNotIdleAtAMark)
{
    const uint16_t stops[] = {FAST_STOP_HIGH_MARK, FAST_STOP_RING_LIMIT, FAST_STOP_RECORD};

    openTimed();
    set(FASTSOCKET_OPTION_IDLE_TIMEOUT, 300);
    for (size_t index = 0; index < sizeof(stops) / sizeof(stops[0]); index++) {
        self->inbound.stops |= stops[index];
        pass(2000);
        ck_assert_int_eq(failed, 0);
        self->inbound.stops &= (uint16_t)~stops[index];
        pass(250);
        ck_assert_int_eq(failed, 0);
    }
    pass(1000);
    ck_assert_int_eq(failed, 1);
}

/* §2.9 idle timeout: begins with the connection */
CASE(timing, isNotIdleWhileItConnects)
{
    openTimed();
    FastPollConnection(self);
    set(FASTSOCKET_OPTION_IDLE_TIMEOUT, 300);
    pass(2000);
    ck_assert_int_eq(failed, 0);
    self->connection = FAST_CONNECTION_MADE;
    expectOver(now, 300, 300);
}

/* Once both directions have ended nothing can come. */
CASE(timing, isNotIdleBehindBothEnds)
{
    openTimed();
    set(FASTSOCKET_OPTION_IDLE_TIMEOUT, 300);
    simulatedComplete(&kernel, (uintptr_t)&self->inbound.receive.operation, 0, 0);
    run();
    pass(200);
    ck_assert_int_eq(ShutdownFastSocket(self), 0);
    pass(3000);
    ck_assert_int_eq(failed, 0);
}

/* The end of input alone is no reason: the program may have forgotten to send. */
CASE(timing, isIdleBehindTheEndOfInput)
{
    openTimed();
    set(FASTSOCKET_OPTION_IDLE_TIMEOUT, 300);
    int64_t since = now;
    ck_assert_int_eq(SetFastSocketHandler(self, onEvent, NULL), 0);
    simulatedComplete(&kernel, (uintptr_t)&self->inbound.receive.operation, 0, 0);
    run();
    ck_assert_int_eq(SetFastSocketHandler(self, onAny, NULL), 0);
    expectOver(since, 300, 300);
}

/* ---- connecting ---- */

/* §2.9 connect timeout: from the creation to the connection */
CASE_ROUNDS(timing, connectsInTime, LENGTHS)
{
    openTimed();
    FastPollConnection(self);
    set(FASTSOCKET_OPTION_CONNECT_TIMEOUT, (uint64_t)lengths[round]);
    transmit(SMALL, 0);
    expectOver(now, lengths[round], lengths[round]);
    expectFatal();
    ck_assert_uint_eq(GetFastSocketOutboundLength(self), SMALL); /* it was dropped */
}

/* §2.9 connect timeout: changed while it runs, its time goes on */
CASE(timing, goesOnConnecting)
{
    openTimed();
    FastPollConnection(self);
    set(FASTSOCKET_OPTION_CONNECT_TIMEOUT, 10000);
    int64_t since = now;
    pass(900);
    set(FASTSOCKET_OPTION_CONNECT_TIMEOUT, 1000);
    expectOver(since, 1000, 1000);
}

/* Connected in time: then nothing ticks, and nothing fails. */
CASE(timing, forgetsWhatIsConnected)
{
    openTimed();
    FastPollConnection(self);
    set(FASTSOCKET_OPTION_CONNECT_TIMEOUT, 1000);
    pass(990);
    self->connection = FAST_CONNECTION_MADE;
    pass(5000);
    ck_assert_int_eq(failed, 0);
    ck_assert_int_eq(GetFastRingInterval(ring), -1);
}

/* A connection that waits for its first bytes has its time from these on. */
CASE(timing, connectsFromTheFirstBytesOn)
{
    openTimed();
    self->traits |= FAST_TRAIT_RECEIVES_EARLY;
    set(FASTSOCKET_OPTION_CONNECT_TIMEOUT, 400);
    pass(3000);
    ck_assert_int_eq(failed, 0);
    FastPollConnection(self);
    expectOver(now, 400, 400);
}

/* ---- transmitting ---- */

/* §2.9 transmit timeout: from when something is queued, if nothing of it is taken */
CASE_ROUNDS(timing, transmitsInTime, LENGTHS)
{
    openTimed();
    set(FASTSOCKET_OPTION_TRANSMIT_TIMEOUT, (uint64_t)lengths[round]);
    pass(lengths[round] * 2 + 7);
    ck_assert_int_eq(failed, 0);
    transmit(SMALL, 0);
    expectOver(now, lengths[round], lengths[round]);
    expectFatal();
}

/* §2.9 transmit timeout: what is taken begins the time again, also where only a look into the send
 * shows it */
CASE(timing, looksIntoTheSend)
{
    openTimed();
    set(FASTSOCKET_OPTION_TRANSMIT_TIMEOUT, 1000);
    transmit(LARGE, 0);
    run();
    holdsCancels = true;
    int64_t since = now;
    while (canceler == 0 && now < since + 1125 * (int64_t)MS)
        pass(1);
    ck_assert(canceler != 0); /* before its time is over */
    ck_assert_int_eq(failed, 0);
    complete(sendCount - 1, SMALL, 0);
    simulatedComplete(&kernel, canceler, 0, 0);
    run();
    canceler = 0;
    holdsCancels = false;
    ck_assert_uint_eq(sendCount, 2); /* it goes on */
    expectOver(now, 1000, 1000);
    expectFatal();
}

/* A look that nobody answers is waited for, for a second. */
CASE(timing, waitsForTheAnswer)
{
    openTimed();
    set(FASTSOCKET_OPTION_TRANSMIT_TIMEOUT, 200);
    transmit(LARGE, 0);
    run();
    holdsCancels = true;
    pass(250);
    ck_assert(canceler != 0);
    uint64_t first = canceler;
    holdsCancels = false;
    pass(900);
    ck_assert_int_eq(failed, 0);
    pass(200);
    ck_assert_int_eq(failed, 1);
    simulatedComplete(&kernel, first, -ENOENT, 0);
}

/* Input that comes is no progress of output, and does not put its end off. */
CASE(timing, transmitsInTimeBesideInput)
{
    openTimed();
    set(FASTSOCKET_OPTION_TRANSMIT_TIMEOUT, 400);
    set(FASTSOCKET_OPTION_IDLE_TIMEOUT, 1000);
    transmit(SMALL, 0);
    int64_t since = now;
    for (int step = 0; step < 200 && failed == 0; step++) {
        char byte;
        receive(1);
        pass(7);
        (void)ReceiveFastSocketData(self, &byte, 1, 0);
    }
    expectOver(since, 400, 400);
}

/* An operation of the user's that is no send takes as long as he likes. */
CASE(timing, doesNotTransmitABarrier)
{
    openTimed();
    set(FASTSOCKET_OPTION_TRANSMIT_TIMEOUT, 100);
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(ring, NULL, NULL);
    ck_assert_ptr_nonnull(descriptor);
    io_uring_prep_poll_add(GetFastRingDescriptorSubmission(descriptor), self->handle, POLLIN);
    ck_assert_int_eq(TransmitFastSocketDescriptor(self, descriptor, NULL), 0);
    pass(3000);
    ck_assert_int_eq(failed, 0);
}

/* §2.9 transmit timeout of a release: a release to a dead peer ends by it, and only then */
CASE(timing, endsAReleaseInTime)
{
    openTimed();
    set(FASTSOCKET_OPTION_TRANSMIT_TIMEOUT, 2000);
    set(FASTSOCKET_OPTION_RELEASE_TIMEOUT, FOR_EVER);
    transmit(SMALL, 0);
    pass(1500);
    ReleaseFastSocket(self);
    self = NULL;
    pass(499);
    ck_assert_uint_eq(GetFastRingPending(ring), 1);
    pass(260);
    ck_assert_uint_eq(GetFastRingPending(ring), 0);
    ck_assert_int_eq(failed, 0);
    ck_assert_int_eq(GetFastRingInterval(ring), -1);
}

/* §2.6 flush: what the peer takes now and then begins the time again; without that it ends */
CASE(timing, flushesAsLongAsItMoves)
{
    openTimed();
    set(FASTSOCKET_OPTION_RELEASE_TIMEOUT, 1000);
    transmit(LARGE, 0);
    run();
    ReleaseFastSocket(self);
    self = NULL;
    for (int count = 0; count < 5; count++) {
        pass(900);
        ck_assert_uint_eq(GetFastRingPending(ring), 1);
        complete(sendCount - 1, SMALL, 0);
        ck_assert_uint_eq(sendCount, (unsigned)count + 2); /* it goes on */
    }
    ck_assert_uint_eq(GetFastRingPending(ring), 1);
    pass(4000);
    ck_assert_uint_eq(GetFastRingPending(ring), 0);
}

/* §2.9 linger timeout: as long as it is set, 0 not at all */
CASE_ROUNDS(timing, lingersAsLong, 4)
{
    static const int64_t milliseconds[] = {1000, 0, 1, 5000};
    openTimed();
    if (round > 0)
        set(FASTSOCKET_OPTION_LINGER_TIMEOUT, (uint64_t)milliseconds[round]);
    ReleaseFastSocket(self);
    self = NULL;
    run(); /* the time begins in a turn */
    pass(milliseconds[round] > 0 ? milliseconds[round] - 1 : 0);
    ck_assert_uint_eq(GetFastRingPending(ring), milliseconds[round] > 0);
    pass(2);
    ck_assert_uint_eq(GetFastRingPending(ring), 0);
}

/* §2.6 drain: no longer than that for a peer who goes on writing, whom nobody reads */
CASE(timing, lingersNoLongerForInput)
{
    openTimed();
    run();
    struct FastSocket* released = self;
    ReleaseFastSocket(self);
    self = NULL;
    run();
    for (int count = 0; count < 9; count++) {
        pass(100);
        ck_assert_uint_eq(GetFastRingPending(ring), 1);
        receiveOf(released, SMALL);
    }
    pass(200);
    ck_assert_uint_eq(GetFastRingPending(ring), 0);
}

/* ---- datagrams and files ---- */

/* §2.9 timeout of datagrams: told once, and again when one has moved; nothing is dropped */
CASE(timing, tellsDatagramsOnce)
{
    openDatagram(0, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(9)};
    ck_assert_int_eq(SetFastSocketHandler(self, onAny, NULL), 0);
    set(FASTSOCKET_OPTION_IDLE_TIMEOUT, 300);
    expectOver(now, 300, 300);
    ck_assert_int_eq(GetFastSocketError(self), 0);
    ck_assert_int_eq(
        TransmitFastSocketData(self, (struct sockaddr*)&address, sizeof(address), "x", 1, 0), 0);
    run();
    pass(2000);
    ck_assert_int_eq(failed, 1); /* in flight, not sent */
    simulatedComplete(&kernel, sends[0].owner, 1, 0);
    run();
    failed = 0;
    expectOver(now, 300, 300);
    set(FASTSOCKET_OPTION_TRANSMIT_TIMEOUT, 300);
    set(FASTSOCKET_OPTION_IDLE_TIMEOUT, 0);
    ck_assert_int_eq(
        TransmitFastSocketData(self, (struct sockaddr*)&address, sizeof(address), "x", 1, 0), 0);
    failed = 0;
    expectOver(now, 300, 300);
    ck_assert_uint_eq(GetFastSocketOutboundLength(self), 1);
    ck_assert_int_eq(hangups, 0);
}

/* ---- setting ---- */

/* §2.9 timeout setting: begins its time again; 0 ends it; another one has its own */
CASE(timing, changesWhileItRuns)
{
    openTimed();
    set(FASTSOCKET_OPTION_IDLE_TIMEOUT, 500);
    pass(450);
    set(FASTSOCKET_OPTION_IDLE_TIMEOUT, 500);
    pass(450);
    ck_assert_int_eq(failed, 0);
    set(FASTSOCKET_OPTION_IDLE_TIMEOUT, 0);
    pass(100); /* a tick */
    ck_assert_int_eq(GetFastRingInterval(ring), -1);
    pass(2000);
    set(FASTSOCKET_OPTION_IDLE_TIMEOUT, 60000);
    pass(1000);
    set(FASTSOCKET_OPTION_IDLE_TIMEOUT, 100);
    expectOver(now, 100, 100);
}

/* The clock of a longer one is as fine as the shortest on the ring. */
CASE(timing, isAsFineAsTheShortest)
{
    openTimed();
    set(FASTSOCKET_OPTION_TRANSMIT_TIMEOUT, 80);
    set(FASTSOCKET_OPTION_IDLE_TIMEOUT, 5000);
    expectOver(now, 5000, 80);
}

/* §2.9 timeout without memory: nothing is changed, and nothing ticks */
CASE(timing, lacksMemory)
{
    uint64_t value = 1;
    openTimed();
    failEveryCall(&blocks);
    ck_assert_int_eq(SetFastSocketOption(self, FASTSOCKET_OPTION_IDLE_TIMEOUT, 100), -ENOMEM);
    ck_assert_int_eq(GetFastSocketOption(self, FASTSOCKET_OPTION_IDLE_TIMEOUT, &value), 0);
    ck_assert_uint_eq(value, 0);
    ck_assert_int_eq(SetFastSocketOption(self, FASTSOCKET_OPTION_LINGER_TIMEOUT, 100), 0);
    ck_assert_int_eq(SetFastSocketOption(self, FASTSOCKET_OPTION_IDLE_TIMEOUT, 0), 0);
    failNoCall(&blocks);
    ck_assert_int_eq(GetFastRingInterval(ring), -1);
    pass(1000);
    ck_assert_int_eq(failed, 0);
}

/* §2.9 no timer: a ring whose sockets have no timeouts has none, and they have no block */
CASE(timing, costsNothingUnset)
{
    openTimed();
    transmit(SMALL, 0);
    run();
    complete(0, SMALL, 0);
    ck_assert_ptr_null(self->extra);
    ck_assert_int_eq(GetFastRingInterval(ring), -1);
    set(FASTSOCKET_OPTION_OUTBOUND_LOW, 10);
    ck_assert_ptr_null(self->extra);
    ck_assert_int_eq(GetFastRingInterval(ring), -1);
}

/* ---- POLLOUT at the low mark ---- */

/* §2.9 low mark of output: when the queue falls to it, and when it is empty */
CASE(timing, tellsTheLowMark)
{
    openStream(0);
    set(FASTSOCKET_OPTION_OUTBOUND_LOW, SMALL);
    transmit(4 * SMALL, 0);
    run();
    complete(0, SMALL, 0);
    run();
    ck_assert_int_eq(drained, 0);
    complete(1, 2 * SMALL - 1, 0);
    ck_assert_int_eq(drained, 0);
    complete(2, 1, 0);
    ck_assert_int_eq(drained, 1);
    ck_assert_uint_eq(GetFastSocketOutboundLength(self), SMALL);
    complete(3, 1, 0);
    ck_assert_int_eq(drained, 1); /* it was there before */
    transmit(SMALL, 0);
    complete(4, SMALL - 1, 0);
    ck_assert_int_eq(drained, 2); /* risen, and fallen to it */
    complete(5, SMALL, 0);
    ck_assert_int_eq(drained, 3);
}
