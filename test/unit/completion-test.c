/*
 * What a kernel may answer, but this one doesn't when it is asked to: an engine between the ring and
 * the kernel looks at every submission and every completion, and changes some. Refusals of the system
 * calls themselves are made where liburing would be called.
 */
#include "between.h"
#include "fixture.h"
#include "engine/uring-compat.h"
#include "engine/uring-open.h"
#include "ring/life.h"
#include "ring/state.h"

#include <fcntl.h>

enum
{
    ENTRIES = 512, /* of submissions seen */
};

static struct Fixture fixture;
static struct Recorder recorder;
static int pair[2];

/* ---- the engine between ---- */

/* What is done to the operations of one kind, or two; all zero: nothing. */
struct Change
{
    uint8_t opcode;
    uint8_t other;
    int times;
    int result;        /* instead of running it, or … */
    uint32_t length;   /* … its length, when it runs */
    bool notification; /* the result says that one follows, and it does */
};

struct Seen
{
    uint8_t opcode;
    uint16_t priority;
    uint32_t length;
    uint32_t flags;
};

static struct
{
    struct Change change;
    struct Seen seen[ENTRIES];
    int seenCount;
    uint64_t receiver; /* the last multishot receive's operation */
    bool failReceive;  /* its next bytes become an error, and more to come */
    bool holdReceive;  /* its last completion waits */
    bool holdNotifications;
} between;

static void alter(struct io_uring_sqe* entry)
{
    struct Change* change = &between.change;

    if (change->times <= 0 || (entry->opcode != change->opcode && entry->opcode != change->other))
        return;
    change->times--;
    if (change->length > 0) {
        entry->len = change->length;
        return;
    }
    betweenAnswer(entry, change->result, change->notification ? IORING_CQE_F_MORE : 0);
}

static void look(struct io_uring_sqe* entry)
{
    bool receives = entry->opcode == IORING_OP_RECV || entry->opcode == IORING_OP_RECVMSG;

    if (receives && entry->ioprio & IORING_RECV_MULTISHOT)
        between.receiver = entry->user_data;
    if (between.seenCount < ENTRIES)
        between.seen[between.seenCount++] =
            (struct Seen){entry->opcode, entry->ioprio, entry->len, entry->msg_flags};
    alter(entry);
}

static void pass(struct Completion completion)
{
    bool receiver = completion.user_data == between.receiver;

    if (receiver && between.failReceive && completion.flags & IORING_CQE_F_MORE) {
        between.failReceive = false;
        completion.res = -ECONNRESET; /* the buffer is lost, until its provider is released */
        completion.flags = IORING_CQE_F_MORE;
    }
    if ((between.holdNotifications && completion.flags & IORING_CQE_F_NOTIF) ||
        (receiver && between.holdReceive && !(completion.flags & IORING_CQE_F_MORE)))
        betweenHold(completion);
    else
        betweenDeliver(completion);
}

/* ---- system calls ---- */

static int refusal;        /* of the next enters */
static int refusals;       /* so many of them */
static int lastEnter;      /* what the last one gave */
static unsigned lastFlags; /* and what it was asked with */

int __real_io_uring_enter2(unsigned handle, unsigned count, unsigned least, unsigned flags, sigset_t* mask, size_t size);
int __wrap_io_uring_enter2(unsigned handle, unsigned count, unsigned least, unsigned flags, sigset_t* mask, size_t size);
int __real_io_uring_setup(unsigned entries, struct io_uring_params* parameters);
int __wrap_io_uring_setup(unsigned entries, struct io_uring_params* parameters);

int __wrap_io_uring_enter2(unsigned handle, unsigned count, unsigned least, unsigned flags, sigset_t* mask, size_t size)
{
    lastFlags = flags;
    if (refusals > 0) {
        refusals--;
        lastEnter = -refusal;
    } else
        lastEnter = __real_io_uring_enter2(handle, count, least, flags, mask, size);
    return lastEnter;
}

static int failedCall; /* counts down to the allocation that fails */

void* __real_calloc(size_t count, size_t size);
void* __wrap_calloc(size_t count, size_t size);

void* __wrap_calloc(size_t count, size_t size)
{
    return (failedCall > 0) && (--failedCall == 0) ? NULL : __real_calloc(count, size);
}

static bool lacksMemory; /* no pool gets any more */

void* __real_aligned_alloc(size_t alignment, size_t size);
void* __wrap_aligned_alloc(size_t alignment, size_t size);

void* __wrap_aligned_alloc(size_t alignment, size_t size)
{
    return lacksMemory ? NULL : __real_aligned_alloc(alignment, size);
}

static struct
{
    int refusal;
    int times;          /* refused whatever is asked for */
    unsigned most;      /* entries; above, refused too */
    unsigned flags[16]; /* of each try */
    unsigned entries[16];
    int count;
} setups;

int __wrap_io_uring_setup(unsigned entries, struct io_uring_params* parameters)
{
    ck_assert_int_lt(setups.count, 16);
    setups.flags[setups.count] = parameters->flags;
    setups.entries[setups.count++] = entries;
    if (setups.times > 0) {
        setups.times--;
        return -setups.refusal;
    }
    if (setups.most > 0 && entries > setups.most)
        return -setups.refusal;
    return __real_io_uring_setup(entries, parameters);
}

/* ---- what the cases share ---- */

static void setUp(void)
{
    fixtureOpen(&fixture, 0, 0, 0);
    memset(&between, 0, sizeof(between));
    betweenPut(fixture.ring->engine, (struct Between){.look = look, .pass = pass});
}

static void tearDown(void)
{
    between.change.times = 0;
    fixtureClose(&fixture);
}

static void openKind(enum Kind kind, int mode)
{
    pairKind(kind, pair);
    openRecorded(&fixture, pair[0], NULL, mode, &recorder);
    runIdle(fixture.ring);
    between.seenCount = 0;
}

static void release(void)
{
    ReleaseFastSocket(recorder.socket);
    close(pair[1]);
    waitFor(fixture.ring, isNothingPending, fixture.ring);
}

/* Reads the pattern from the peer while the ring runs. */
static void expectPattern(uint64_t size, uint64_t position)
{
    static uint8_t data[65536];
    uint64_t checked = 0;

    while (checked < size) {
        ssize_t length = recv(pair[1], data, sizeof(data), MSG_DONTWAIT);
        if (length < 0) {
            ck_assert_int_eq(errno, EAGAIN);
            ck_assert_int_eq(WaitForFastRing(fixture.ring, 1, NULL), 0);
            continue;
        }
        ck_assert_int_gt(length, 0);
        ck_assert(checkPattern(data, (size_t)length, position + checked));
        checked += (uint64_t)length;
    }
    ck_assert_uint_eq(checked, size);
}

/* The n-th of the sends that were submitted, whatever its form; NULL: there are not so many. */
static const struct Seen* seenSend(int number)
{
    for (int index = 0; index < between.seenCount; index++) {
        uint8_t opcode = between.seen[index].opcode;
        bool sends = opcode == IORING_OP_SEND || opcode == IORING_OP_SENDMSG ||
                     opcode == IORING_OP_SEND_ZC || opcode == IORING_OP_SENDMSG_ZC;
        if (sends && number-- == 0)
            return &between.seen[index];
    }
    return NULL;
}

static bool isZeroCopy(const struct Seen* seen)
{
    return seen->opcode == IORING_OP_SEND_ZC || seen->opcode == IORING_OP_SENDMSG_ZC;
}

static bool hasZeroCopy(void)
{
    uint64_t needed = FASTRING_FEATURE_SEND_ZERO_COPY | FASTRING_FEATURE_SENDMSG_ZERO_COPY;

    return (GetFastRingFeatures(fixture.ring) & needed) == needed;
}

static uint64_t heldBuffers(void)
{
    return readRing(fixture.ring).buffers;
}

/* ---- creating ---- */

/* §2.2 returns, §2.2 handle: without memory NULL and ENOMEM, and the descriptor as it was */
START_TEST(createsNothingWithoutMemory)
{
    struct msghdr message = {.msg_namelen = 16};

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    for (int call = 1; call <= 2; call++) {
        failedCall = call;
        errno = 0;
        ck_assert_ptr_null(CreateFastSocket(fixture.ring, fixture.provider, fixture.inbound,
                                            fixture.outbound, pair[0], &message, 0, 0, 0, recordEvent,
                                            &recorder));
        ck_assert_int_eq(errno, ENOMEM);
        ck_assert_int_eq(failedCall, 0);
        ck_assert_int_eq(fcntl(pair[0], F_GETFD), 0);
    }
    ck_assert_uint_eq(readRing(fixture.ring).sockets, 0);
    openRecorded(&fixture, pair[0], &message, 0, &recorder);
    sendText(pair[1], "works");
    receiveText(&recorder, "works");
    release();
}
END_TEST

/* ---- receiving ---- */

/* §2.3 F_MORE on an error CQE: the receive is told of at once, and in flight until its last completion */
START_TEST(waitsForTheLastCompletion)
{
    const enum Kind kinds[] = {KIND_TCP, KIND_UNIX_STREAM, KIND_UNIX_SEQPACKET};

    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        openKind(kinds[index], 0);
        between.failReceive = true;
        between.holdReceive = true;
        sendText(pair[1], "x");
        waitHangup(&recorder);
        ck_assert_int_eq(recorder.err, 1);
        ck_assert_int_eq(recorder.lastError, ECONNRESET);
        ck_assert_int_eq(recorder.lastHangup, ECONNRESET);
        runTurns(fixture.ring, 10);
        for (int seen = 0; seen < between.seenCount; seen++)
            ck_assert_msg(between.seen[seen].opcode != IORING_OP_RECV &&
                              between.seen[seen].opcode != IORING_OP_RECVMSG,
                          "a second receive beside the first");
        ReleaseFastSocket(recorder.socket);
        close(pair[1]);
        for (int turn = 0; turn < 1000 && betweenHeld() == 0; turn++)
            ck_assert_int_eq(WaitForFastRing(fixture.ring, 1, NULL), 0);
        runTurns(fixture.ring, 10);
        ck_assert_int_eq(betweenHeld(), 1);
        ck_assert_uint_eq(GetFastRingPending(fixture.ring), 1);
        ck_assert_int_ge(fcntl(pair[0], F_GETFD), 0);
        between.holdReceive = false;
        betweenRelease();
        waitFor(fixture.ring, isNothingPending, fixture.ring);
        ck_assert_int_eq(fcntl(pair[0], F_GETFD), -1);
        /* The lost buffer comes home with its provider, and the next receive wants all of them. */
        tearDown();
        setUp();
    }
}
END_TEST

static bool isWhole(void* closure)
{
    (void)closure;
    return readRing(fixture.ring).providedBuffers == 4;
}

/* §2.3 buffers and provider: without memory a slot stays out, the ring shrinks to nothing and rests; and
 * is whole again when memory is there */
START_TEST(shrinksWithoutMemory)
{
    enum
    {
        MANY = 100,
    };
    struct FastBuffer* kept[MANY];
    struct FastRingStatistics before;
    char data[16] = "";
    int count = 0;
    int next = 0;

    fixtureClose(&fixture);
    fixtureOpen(&fixture, 0, 4, 512);
    openKind(KIND_UNIX_DATAGRAM, 0);
    lacksMemory = true;
    for (;;) {
        struct FastBuffer* buffer = NULL;
        snprintf(data, sizeof(data), "%d", next);
        sendText(pair[1], data);
        next++;
        runIdle(fixture.ring);
        buffer = ReceiveFastSocketBuffer(recorder.socket);
        if (buffer == NULL)
            break;
        ck_assert_int_eq(memcmp(GetFastBufferData(buffer), data, GetFastBufferLength(buffer)), 0);
        kept[count++] = buffer;
        ck_assert_int_lt(count, MANY);
    }
    ck_assert_int_ge(count, 4);
    before = readRing(fixture.ring);
    ck_assert_uint_eq(before.providedBuffers, 0);
    for (int turn = 0; turn < 30; turn++)
        ck_assert_int_eq(WaitForFastRing(fixture.ring, 1, NULL), 0);
    ck_assert_uint_le(readRing(fixture.ring).completions - before.completions, 5);
    lacksMemory = false;
    receiveText(&recorder, data);
    waitFor(fixture.ring, isWhole, NULL);
    for (int index = 0; index < count; index++)
        ReleaseFastBuffer(kept[index]);
    ck_assert_int_eq(recorder.err + recorder.hup, 0);
    release();
}
END_TEST

/* §2.6 result of a cancel: it found nothing, and yet the receive is in flight: no close before its end */
START_TEST(cancelsUntilItIsOver)
{
    const int results[] = {-ENOENT, -EALREADY, 0};

    for (size_t index = 0; index < sizeof(results) / sizeof(results[0]); index++) {
        openKind(KIND_TCP, 0);
        between.change = (struct Change){
            .opcode = IORING_OP_ASYNC_CANCEL, .other = IORING_OP_ASYNC_CANCEL, .times = 1000, .result = results[index]};
        AbortFastSocket(recorder.socket);
        runTurns(fixture.ring, 20);
        ck_assert_int_lt(between.change.times, 1000);
        ck_assert_int_gt(between.change.times, 0);
        ck_assert_uint_eq(GetFastRingPending(fixture.ring), 1);
        ck_assert_int_ge(fcntl(pair[0], F_GETFD), 0);
        between.change.times = 0;
        waitFor(fixture.ring, isNothingPending, fixture.ring);
        ck_assert_int_eq(fcntl(pair[0], F_GETFD), -1);
        close(pair[1]);
    }
}
END_TEST

/* ---- sending ---- */

/* §2.4 transient send results: the same is sent again, in order and once, and nothing is told */
START_TEST(sendsAgain)
{
    const enum Kind kinds[] = {KIND_TCP, KIND_UNIX_STREAM, KIND_UDP, KIND_UNIX_DATAGRAM, KIND_UNIX_SEQPACKET};
    const int errors[] = {EAGAIN, ENOBUFS, ENOMEM, EINTR, ECANCELED};

    for (size_t kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++) {
        for (size_t index = 0; index < sizeof(errors) / sizeof(errors[0]); index++) {
            openKind(kinds[kind], 0);
            between.change = (struct Change){
                .opcode = IORING_OP_SEND, .other = IORING_OP_SENDMSG, .times = 3, .result = -errors[index]};
            transmitText(recorder.socket, "one");
            runTurns(fixture.ring, 1);
            transmitText(recorder.socket, "two");
            waitDrained(&recorder);
            runIdle(fixture.ring);
            ck_assert_int_eq(between.change.times, 0);
            expectText(pair[1], "one");
            expectText(pair[1], "two");
            expectNothing(pair[1]);
            ck_assert_int_eq(recorder.err + recorder.hup, 0);
            ck_assert_int_eq(recorder.out, 2);
            ck_assert_uint_eq(readSocket(recorder.socket).sentBytes, 6);
            ck_assert_uint_eq(readSocket(recorder.socket).failedMessages, 0);
            release();
        }
    }
}
END_TEST

/* §2.4 POLL_FIRST, §2.4 short count: after a short count the rest, behind a poll; not otherwise */
START_TEST(pollsAfterAShortCount)
{
    openKind(KIND_TCP, 0);
    between.change = (struct Change){
        .opcode = IORING_OP_SEND, .other = IORING_OP_SEND, .times = 1, .length = 4};
    transmitText(recorder.socket, "0123456789");
    waitDrained(&recorder);
    transmitText(recorder.socket, "next");
    waitDrained(&recorder);
    expectText(pair[1], "0123456789next");
    expectNothing(pair[1]);
    ck_assert_ptr_nonnull(seenSend(2));
    ck_assert_ptr_null(seenSend(3));
    ck_assert_uint_eq(seenSend(0)->length, 10);
    ck_assert_uint_eq(seenSend(1)->length, 6);
    ck_assert_uint_eq(seenSend(2)->length, 4);
    ck_assert_uint_eq(seenSend(0)->priority & IORING_RECVSEND_POLL_FIRST, 0);
    ck_assert_uint_ne(seenSend(1)->priority & IORING_RECVSEND_POLL_FIRST, 0);
    ck_assert_uint_eq(seenSend(2)->priority & IORING_RECVSEND_POLL_FIRST, 0);
    ck_assert_uint_eq(readSocket(recorder.socket).sentBytes, 14);
    ck_assert_int_eq(recorder.out, 3);
    release();
}
END_TEST

static void expectCorked(enum Kind kind, int mode, bool corked)
{
    const uint64_t size = 5 << 20;
    int count = 0;

    openKind(kind, mode);
    transmitPattern(recorder.socket, size, 0);
    expectPattern(size, 0);
    waitDrained(&recorder);
    while (seenSend(count) != NULL)
        count++;
    ck_assert_int_ge(count, 2);
    for (int index = 0; index < count - 1; index++)
        ck_assert_int_eq((seenSend(index)->flags & MSG_MORE) != 0, corked);
    ck_assert_uint_eq(seenSend(count - 1)->flags & MSG_MORE, 0);
    for (int index = 0; index < count; index++)
        ck_assert_uint_eq(seenSend(index)->flags & (MSG_NOSIGNAL | MSG_WAITALL), MSG_NOSIGNAL | MSG_WAITALL);
    release();
}

/* §2.4 AUTO_CORK, §2.4 flags (send): all but the last operation of a burst hold back, on TCP and asked
 * for; every one waits for all and raises no signal */
START_TEST(corksAllButTheLast)
{
    expectCorked(KIND_TCP, FASTSOCKET_MODE_AUTO_CORK, true);
    expectCorked(KIND_TCP, 0, false);
    expectCorked(KIND_UNIX_STREAM, FASTSOCKET_MODE_AUTO_CORK, false);
}
END_TEST

/* ---- zero copy ---- */

enum
{
    PIECE = 65536,
};

/* §2.4 ZC results, §2.4 ZERO_COPY choice: what the kernel refuses is copied, with a notification of the
 * failure or without; and remembered */
START_TEST(copiesWhatIsRefused)
{
    const int errors[] = {EOPNOTSUPP, EINVAL, ENOMEM, ENOBUFS};

    if (!hasZeroCopy())
        skipTest("the kernel has no zero copy");
    for (size_t index = 0; index < sizeof(errors) / sizeof(errors[0]); index++) {
        for (int notification = 0; notification < 2; notification++) {
            uint64_t before = 0;
            openKind(KIND_TCP, FASTSOCKET_MODE_ZERO_COPY);
            before = heldBuffers();
            between.change = (struct Change){.opcode = IORING_OP_SEND_ZC,
                                             .other = IORING_OP_SENDMSG_ZC,
                                             .times = 1,
                                             .result = -errors[index],
                                             .notification = notification != 0};
            for (uint64_t part = 0; part < 3; part++) {
                transmitPattern(recorder.socket, PIECE, part * PIECE);
                expectPattern(PIECE, part * PIECE);
                waitDrained(&recorder);
            }
            ck_assert_int_eq(between.change.times, 0);
            ck_assert(isZeroCopy(seenSend(0)));
            for (int number = 1; seenSend(number) != NULL; number++)
                ck_assert(!isZeroCopy(seenSend(number)));
            runIdle(fixture.ring);
            ck_assert_int_eq(recorder.err, 0);
            ck_assert_uint_eq(readSocket(recorder.socket).sentZeroCopy, 0);
            ck_assert_uint_eq(heldBuffers(), before);
            release();
        }
    }
}
END_TEST

/* §2.4 ZC results: a failure that is the connection's, with a notification or without, gives the memory
 * back */
START_TEST(givesBackAfterFailure)
{
    if (!hasZeroCopy())
        skipTest("the kernel has no zero copy");
    for (int notification = 0; notification < 2; notification++) {
        uint64_t before = 0;
        openKind(KIND_TCP, FASTSOCKET_MODE_ZERO_COPY);
        before = heldBuffers();
        between.change = (struct Change){.opcode = IORING_OP_SEND_ZC,
                                         .other = IORING_OP_SENDMSG_ZC,
                                         .times = 1,
                                         .result = -EPIPE,
                                         .notification = notification != 0};
        transmitPattern(recorder.socket, PIECE, 0);
        waitHangup(&recorder);
        runIdle(fixture.ring);
        ck_assert_int_eq(recorder.err, 1);
        ck_assert_int_eq(recorder.lastError, EPIPE);
        ck_assert_uint_eq(heldBuffers(), before);
        release();
    }
}
END_TEST

/* §2.4 ZC ordering, §2.1 POLLOUT: the next send and POLLOUT don't wait for notifications, which come in
 * any order */
START_TEST(sendsBeforeNotifications)
{
    enum
    {
        PARTS = 20,
    };
    uint64_t before = 0;

    if (!hasZeroCopy())
        skipTest("the kernel has no zero copy");
    openKind(KIND_TCP, FASTSOCKET_MODE_ZERO_COPY);
    before = heldBuffers();
    between.holdNotifications = true;
    for (uint64_t part = 0; part < PARTS; part++) {
        transmitPattern(recorder.socket, PIECE, part * PIECE);
        expectPattern(PIECE, part * PIECE);
        waitDrained(&recorder);
    }
    runIdle(fixture.ring);
    ck_assert_int_eq(recorder.out, 1 + PARTS);
    ck_assert_uint_ge(readSocket(recorder.socket).sentZeroCopy, PARTS);
    ck_assert_int_ge(betweenHeld(), PARTS);
    ck_assert_uint_ge(heldBuffers(), before + PARTS);
    between.holdNotifications = false;
    betweenRelease();
    runIdle(fixture.ring);
    ck_assert_uint_eq(heldBuffers(), before);
    ck_assert_int_eq(recorder.out, 1 + PARTS);
    release();
}
END_TEST

/* §2.4 ZC and Release, §2.6 shutdown and close: closed without the notifications, which find their
 * memory */
START_TEST(closesBeforeNotifications)
{
    uint64_t before = 0;

    if (!hasZeroCopy())
        skipTest("the kernel has no zero copy");
    openKind(KIND_TCP, FASTSOCKET_MODE_ZERO_COPY);
    before = heldBuffers();
    between.holdNotifications = true;
    transmitPattern(recorder.socket, PIECE, 0);
    expectPattern(PIECE, 0);
    release();
    ck_assert_int_eq(fcntl(pair[0], F_GETFD), -1);
    ck_assert_int_ge(betweenHeld(), 1);
    ck_assert_uint_gt(heldBuffers(), before);
    between.holdNotifications = false;
    betweenRelease();
    runIdle(fixture.ring);
    ck_assert_uint_eq(heldBuffers(), before);
}
END_TEST

/* ---- the loop ---- */

/* §2.8 transient refusals: a kernel that refuses for a while is asked again, and the wait gives 0 */
START_TEST(entersAgain)
{
    const int errors[] = {EBUSY, EAGAIN, ENOMEM};

    for (size_t index = 0; index < sizeof(errors) / sizeof(errors[0]); index++) {
        openKind(KIND_TCP, 0);
        refusal = errors[index];
        refusals = 10;
        transmitText(recorder.socket, "sent");
        for (int turn = 0; turn < 5; turn++) {
            ck_assert_int_eq(WaitForFastRing(fixture.ring, 1, NULL), 0);
            ck_assert_int_eq(lastEnter, -errors[index]);
        }
        ck_assert_uint_eq(GetFastSocketOutboundLength(recorder.socket), 4);
        waitDrained(&recorder);
        ck_assert_int_eq(refusals, 0);
        expectText(pair[1], "sent");
        expectNothing(pair[1]);
        ck_assert_int_eq(recorder.err + recorder.hup, 0);
        release();
    }
}
END_TEST

/* §2.8 signal: an interrupted enter gives 0, at once */
START_TEST(interruptedOneGivesZero)
{
    openKind(KIND_TCP, 0);
    refusal = EINTR;
    refusals = 1;
    ck_assert_int_eq(WaitForFastRing(fixture.ring, UINT32_MAX, NULL), 0);
    ck_assert_int_eq(refusals, 0);
    release();
}
END_TEST

/* §2.8 dead ring: what the kernel says to a ring that is no more is told, and nothing else is negative */
START_TEST(tellsADeadRing)
{
    const int errors[][2] = {{EEXIST, EOWNERDEAD}, {EBADF, EBADF}, {ENXIO, ENXIO}};

    runIdle(fixture.ring);
    for (size_t index = 0; index < sizeof(errors) / sizeof(errors[0]); index++) {
        refusal = errors[index][0];
        refusals = 1;
        ck_assert_int_eq(WaitForFastRing(fixture.ring, 1, NULL), -errors[index][1]);
        ck_assert_int_eq(WaitForFastRing(fixture.ring, 0, NULL), 0);
    }
}
END_TEST

/* §2.8 never positive, §2.8 wait gives 0: though the kernel counts what it was given */
START_TEST(countsNothing)
{
    for (int count = 0; count < 5; count++) {
        struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(fixture.ring, NULL, NULL);
        io_uring_prep_nop(GetFastRingDescriptorSubmission(descriptor));
        ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    }
    ck_assert_int_eq(WaitForFastRing(fixture.ring, 0, NULL), 0);
    ck_assert_int_ge(lastEnter, 5);
}
END_TEST

/* §2.8 NO_IOWAIT: asked for at every enter where the kernel has it, and only there */
START_TEST(asksForNoIoWait)
{
    bool has = GetFastRingFeatures(fixture.ring) & FASTRING_FEATURE_NO_IOWAIT;
    struct FastEngine* engine = NULL;
    struct FastRing* other = NULL;

    ck_assert_int_eq(WaitForFastRing(fixture.ring, 1, NULL), 0);
    ck_assert_int_eq((lastFlags & FAST_URING_ENTER_NO_IOWAIT) != 0, has);
    ck_assert_int_eq(FastUringOpen(&engine, 64, FASTRING_FEATURE_NO_IOWAIT), 0);
    other = FastRingCreateOn(engine);
    ck_assert_ptr_nonnull(other);
    ck_assert_int_eq(WaitForFastRing(other, 1, NULL), 0);
    ck_assert_uint_eq(lastFlags & FAST_URING_ENTER_NO_IOWAIT, 0);
    ReleaseFastRing(other);
}
END_TEST

/* ---- set-up ---- */

static const unsigned best = IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER |
                             IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE;

/* Forgets the tries of before; the features are known by now. */
static void refuseSetups(int error, int times, unsigned most)
{
    memset(&setups, 0, sizeof(setups));
    setups.refusal = error;
    setups.times = times;
    setups.most = most;
}

/* §2.8 set-up flags, §2.8 first wait: the best first, fewer when the kernel refuses; disabled at first */
START_TEST(triesTheBestFlagsFirst)
{
    unsetenv("FASTSOCKET_FEATURES_OFF"); /* also in a run without some features */
    for (int refused = 0; refused < 4; refused++) {
        struct FastRing* other = NULL;
        refuseSetups(EINVAL, refused, 0);
        other = CreateFastRing(0);
        ck_assert_ptr_nonnull(other);
        ck_assert_int_gt(setups.count, refused); /* an older kernel refuses more */
        for (int index = 0; index < setups.count; index++) {
            unsigned flags = setups.flags[index];
            ck_assert_uint_ne(flags & IORING_SETUP_R_DISABLED, 0);
            ck_assert_uint_ne(flags & IORING_SETUP_CQSIZE, 0);
            ck_assert_int_eq((flags & best) == best, index < 2);
            ck_assert_int_eq((flags & FAST_URING_SETUP_NO_SQARRAY) != 0, index == 0);
            ck_assert_int_eq((flags & IORING_SETUP_COOP_TASKRUN) != 0, index == 2);
        }
        ck_assert_int_eq(WaitForFastRing(other, 0, NULL), 0);
        ReleaseFastRing(other);
    }
    refuseSetups(EINVAL, 100, 0);
    errno = 0;
    ck_assert_ptr_null(CreateFastRing(0));
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(setups.count, 4);
}
END_TEST

/* §2.8 ENOMEM at creation: half the entries, as often as needed, down to 64 */
START_TEST(halvesWithoutMemory)
{
    struct FastRing* other = NULL;
    unsigned entries = 1024;

    waitsForMemory = false;
    refuseSetups(ENOMEM, 0, 64);
    other = CreateFastRing(entries);
    ck_assert_ptr_nonnull(other);
    ck_assert_int_ge(setups.count, 5);
    for (int index = 0; index < setups.count; index++) {
        ck_assert_uint_eq(setups.entries[index], entries);
        if (entries > 64) /* there the kernel is asked, and an old one refuses the best flags */
            entries /= 2;
    }
    ck_assert_int_eq(WaitForFastRing(other, 0, NULL), 0);
    ReleaseFastRing(other);

    refuseSetups(ENOMEM, 0, 32);
    errno = 0;
    ck_assert_ptr_null(CreateFastRing(1024));
    ck_assert_int_eq(errno, ENOMEM);
    ck_assert_uint_eq(setups.entries[setups.count - 1], 64);
}
END_TEST

static int reports;

static void onReport(struct FastRingWatch* watch, int result, void* closure)
{
    (void)watch;
    (void)closure;
    ck_assert_int_eq(result, POLLIN);
    reports++;
}

/* A wake-up that comes late is not reported by a level-triggered watch: its user might read, and wait. */
START_TEST(reportsWhatStillHolds)
{
    for (uint32_t flags = 0; flags <= FASTRING_WATCH_ONCE; flags++) {
        struct FastRingWatch* watch = NULL;
        pairStream(pair);
        reports = 0;
        between.change = (struct Change){.opcode = IORING_OP_POLL_ADD, .times = 2, .result = POLLIN};
        watch = AddFastRingWatch(fixture.ring, pair[0], POLLIN, flags, onReport, NULL);
        ck_assert_ptr_nonnull(watch);
        runIdle(fixture.ring);
        ck_assert_int_eq(between.change.times, 0);
        ck_assert_int_eq(reports, 0);
        sendText(pair[1], "now");
        waitCount(fixture.ring, &reports, 1);
        RemoveFastRingWatch(watch);
        runIdle(fixture.ring);
        close(pair[0]);
        close(pair[1]);
    }
}
END_TEST

int main(void)
{
    Suite* suite = suite_create("completion");
    TCase* area = tcase_create("completion");

    tcase_add_checked_fixture(area, setUp, tearDown);
    tcase_add_test(area, createsNothingWithoutMemory);
    tcase_add_test(area, waitsForTheLastCompletion);
    tcase_add_test(area, shrinksWithoutMemory);
    tcase_add_test(area, cancelsUntilItIsOver);
    tcase_add_test(area, sendsAgain);
    tcase_add_test(area, pollsAfterAShortCount);
    tcase_add_test(area, corksAllButTheLast);
    tcase_add_test(area, copiesWhatIsRefused);
    tcase_add_test(area, givesBackAfterFailure);
    tcase_add_test(area, sendsBeforeNotifications);
    tcase_add_test(area, closesBeforeNotifications);
    tcase_add_test(area, entersAgain);
    tcase_add_test(area, interruptedOneGivesZero);
    tcase_add_test(area, tellsADeadRing);
    tcase_add_test(area, countsNothing);
    tcase_add_test(area, asksForNoIoWait);
    tcase_add_test(area, triesTheBestFlagsFirst);
    tcase_add_test(area, halvesWithoutMemory);
    tcase_add_test(area, reportsWhatStillHolds);
    suite_add_tcase(suite, area);
    return runSuite(suite);
}
