/*
 * What a kernel may answer, but this one doesn't when it is asked to: an engine between the ring
 * and the kernel looks at every submission and every completion, and changes some. Refusals of the
 * system calls themselves are made where liburing would be called.
 */
#include "between.h"
#include "fixture.h"
#include "engine/uring-compat.h"
#include "engine/uring-open.h"
#include "ring/life.h"
#include "ring/state.h"

#include <fcntl.h>
#include <sys/resource.h>

enum
{
    ENTRIES = 512, /* of submissions seen */
};

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

static int refusal;        /* what a failing enter gives */
static struct Countdown enters;
static int lastEnter;      /* what the last one gave */
static unsigned lastFlags; /* and what it was asked with */

int __real_io_uring_enter2(unsigned handle, unsigned count, unsigned least, unsigned flags,
                           sigset_t* mask, size_t size);
int __wrap_io_uring_enter2(unsigned handle, unsigned count, unsigned least, unsigned flags,
                           sigset_t* mask, size_t size);
int __real_io_uring_setup(unsigned entries, struct io_uring_params* parameters);
int __wrap_io_uring_setup(unsigned entries, struct io_uring_params* parameters);

int __wrap_io_uring_enter2(unsigned handle, unsigned count, unsigned least, unsigned flags,
                           sigset_t* mask, size_t size)
{
    lastFlags = flags;
    if (countdownFails(&enters))
        lastEnter = -refusal;
    else
        lastEnter = __real_io_uring_enter2(handle, count, least, flags, mask, size);
    return lastEnter;
}

static struct Countdown otherEnters; /* of an engine without that call */

static int refuseEnter(void)
{
    if (!countdownFails(&otherEnters))
        return 0;
    lastEnter = -refusal;
    return lastEnter;
}

/* Those of the ring's engine that may be refused. */
static struct Countdown* entersOfRing(void)
{
    return runsOnUring(scene.ring) ? &enters : &otherEnters;
}

static struct Countdown allocations;

FAILING_CALL(&allocations, NULL, void*, calloc, (size_t count, size_t size), (count, size))

static struct Countdown bufferRings;

int __real_io_uring_register(unsigned handle, unsigned what, const void* data, unsigned count);
int __wrap_io_uring_register(unsigned handle, unsigned what, const void* data, unsigned count);

int __wrap_io_uring_register(unsigned handle, unsigned what, const void* data, unsigned count)
{
    if (what == IORING_REGISTER_PBUF_RING && countdownFails(&bufferRings))
        return -ENOMEM;
    return __real_io_uring_register(handle, what, data, count);
}

static struct Countdown poolMemory; /* what pools get */

FAILING_CALL(&poolMemory, NULL, void*, aligned_alloc, (size_t alignment, size_t size),
             (alignment, size))

static struct
{
    int refusal;
    struct Countdown calls; /* fail whatever is asked for */
    unsigned most;      /* entries; above, refused too */
    unsigned flags[64]; /* of each try */
    unsigned entries[64];
    int count;
} setups;

int __wrap_io_uring_setup(unsigned entries, struct io_uring_params* parameters)
{
    if (parameters == NULL) /* whether there is io_uring at all, for words about a refusal */
        return -EFAULT;
    ck_assert_int_lt(setups.count, 64);
    setups.flags[setups.count] = parameters->flags;
    setups.entries[setups.count++] = entries;
    if (countdownFails(&setups.calls))
        return -setups.refusal;
    if (setups.most > 0 && entries > setups.most)
        return -setups.refusal;
    return __real_io_uring_setup(entries, parameters);
}

/* ---- what the cases share ---- */

static void setUp(void)
{
    openScene();
    memset(&between, 0, sizeof(between));
    betweenPut(scene.ring->engine,
               (struct Between){.look = look, .pass = pass, .refuse = refuseEnter});
}

static void tearDown(void)
{
    between.change.times = 0;
    closeScene();
}

AREA(completion, "completion", .open = setUp, .close = tearDown);

static void openKind(enum Kind kind, int mode)
{
    openPairWith(.kind = kind, .mode = mode);
    runIdle(scene.ring);
    between.seenCount = 0;
}

static void release(void)
{
    closePair();
    waitFor(scene.ring, isNothingPending, scene.ring);
}

/* Reads the pattern from the peer while the ring runs. */
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

    return (GetFastRingFeatures(scene.ring) & needed) == needed;
}

/* ---- creating ---- */

/* §2.2 returns, §2.2 handle: without memory NULL and ENOMEM, and the descriptor as it was */
CASE(completion, createsNothingWithoutMemory)
{
    struct msghdr message = {.msg_namelen = 16};

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, scene.pair), 0);
    for (int call = 1; call <= 2; call++) {
        failCall(&allocations, call);
        errno = 0;
        ck_assert_ptr_null(CreateFastSocket(scene.ring, scene.provider, scene.inbound,
                                            scene.outbound, scene.handle, &message, 0, 0, 0,
                                            recordEvent, &scene.ours));
        ck_assert_int_eq(errno, ENOMEM);
        ck_assert(!isFailureAwaited(&allocations));
        ck_assert_int_eq(fcntl(scene.handle, F_GETFD), 0);
    }
    ck_assert_uint_eq(readRing(scene.ring).sockets, 0);
    openRecorded(&scene, scene.handle, &message, 0, &scene.ours);
    sendText(scene.peer, "works");
    receiveText(&scene.ours, "works");
    release();
}

/* ---- receiving ---- */

/* §2.3 F_MORE on an error CQE: the receive is reported at once, and in flight until its last
 * completion */
CASE(completion, waitsForTheLastCompletion)
{
    const enum Kind kinds[] = {KIND_TCP, KIND_UNIX_STREAM, KIND_UNIX_SEQPACKET};

    for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
        openKind(kinds[index], 0);
        between.failReceive = true;
        between.holdReceive = true;
        sendText(scene.peer, "x");
        waitHangup(&scene.ours);
        ck_assert_int_eq(scene.ours.err, 1);
        ck_assert_int_eq(scene.ours.lastError, ECONNRESET);
        ck_assert_int_eq(scene.ours.lastHangup, ECONNRESET);
        runTurns(scene.ring, 10);
        for (int seen = 0; seen < between.seenCount; seen++)
            ck_assert_msg(between.seen[seen].opcode != IORING_OP_RECV &&
                              between.seen[seen].opcode != IORING_OP_RECVMSG,
                          "a second receive beside the first");
        closePair();
        for (int turn = 0; turn < 1000 && betweenHeld() == 0; turn++)
            ck_assert_int_eq(WaitForFastRing(scene.ring, 1, NULL), 0);
        runTurns(scene.ring, 10);
        ck_assert_int_eq(betweenHeld(), 1);
        ck_assert_uint_eq(GetFastRingPending(scene.ring), 1);
        ck_assert_int_ge(fcntl(scene.handle, F_GETFD), 0);
        between.holdReceive = false;
        betweenRelease();
        waitFor(scene.ring, isNothingPending, scene.ring);
        ck_assert_int_eq(fcntl(scene.handle, F_GETFD), -1);
        /* The lost buffer comes home with its provider, and the next receive wants all of them. */
        tearDown();
        setUp();
    }
}

static bool isWhole(void* closure)
{
    (void)closure;
    return readRing(scene.ring).providedBuffers == 4;
}

/* §2.3 buffers and provider: without memory a slot stays out, the ring shrinks to nothing and
 * rests; and is whole again when memory is there */
CASE(completion, shrinksWithoutMemory)
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

    reopenScene(.buffers = 4, .bufferLength = 512);
    openKind(KIND_UNIX_DATAGRAM, 0);
    failEveryCall(&poolMemory);
    for (;;) {
        struct FastBuffer* buffer = NULL;
        snprintf(data, sizeof(data), "%d", next);
        sendText(scene.peer, data);
        next++;
        runIdle(scene.ring);
        buffer = ReceiveFastSocketBuffer(scene.ours.socket);
        if (buffer == NULL)
            break;
        ck_assert_int_eq(memcmp(GetFastBufferData(buffer), data, GetFastBufferLength(buffer)), 0);
        kept[count++] = buffer;
        ck_assert_int_lt(count, MANY);
    }
    ck_assert_int_ge(count, 4);
    before = readRing(scene.ring);
    ck_assert_uint_eq(before.providedBuffers, 0);
    for (int turn = 0; turn < 30; turn++)
        ck_assert_int_eq(WaitForFastRing(scene.ring, 1, NULL), 0);
    ck_assert_uint_le(readRing(scene.ring).completions - before.completions, 5);
    failNoCall(&poolMemory);
    receiveText(&scene.ours, data);
    waitFor(scene.ring, isWhole, NULL);
    for (int index = 0; index < count; index++)
        ReleaseFastBuffer(kept[index]);
    ck_assert_int_eq(scene.ours.err + scene.ours.hup, 0);
    release();
}

/* §2.6 result of a cancel: it found nothing, and yet the receive is in flight: no close before
 * its end */
CASE(completion, cancelsUntilItIsOver)
{
    const int results[] = {-ENOENT, -EALREADY, 0};

    for (size_t index = 0; index < sizeof(results) / sizeof(results[0]); index++) {
        openKind(KIND_TCP, 0);
        between.change = (struct Change){.opcode = IORING_OP_ASYNC_CANCEL,
                                         .other = IORING_OP_ASYNC_CANCEL,
                                         .times = 1000,
                                         .result = results[index]};
        AbortFastSocket(scene.ours.socket);
        runTurns(scene.ring, 20);
        ck_assert_int_lt(between.change.times, 1000);
        ck_assert_int_gt(between.change.times, 0);
        ck_assert_uint_eq(GetFastRingPending(scene.ring), 1);
        ck_assert_int_ge(fcntl(scene.handle, F_GETFD), 0);
        between.change.times = 0;
        waitFor(scene.ring, isNothingPending, scene.ring);
        ck_assert_int_eq(fcntl(scene.handle, F_GETFD), -1);
        closePeer();
    }
}

/* ---- sending ---- */

/* §2.4 transient send results: the same is sent again, in order and once, and nothing is
 * reported */
CASE(completion, sendsAgain)
{
    const enum Kind kinds[] = {KIND_TCP, KIND_UNIX_STREAM, KIND_UDP, KIND_UNIX_DATAGRAM,
                               KIND_UNIX_SEQPACKET};
    const int errors[] = {EAGAIN, ENOBUFS, ENOMEM, EINTR, ECANCELED};

    for (size_t kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++) {
        for (size_t index = 0; index < sizeof(errors) / sizeof(errors[0]); index++) {
            openKind(kinds[kind], 0);
            between.change = (struct Change){.opcode = IORING_OP_SEND,
                                             .other = IORING_OP_SENDMSG,
                                             .times = 3,
                                             .result = -errors[index]};
            transmitText(scene.ours.socket, "one");
            runTurns(scene.ring, 1);
            transmitText(scene.ours.socket, "two");
            waitDrained(&scene.ours);
            runIdle(scene.ring);
            ck_assert_int_eq(between.change.times, 0);
            expectText(scene.peer, "one");
            expectText(scene.peer, "two");
            expectNothing(scene.peer);
            ck_assert_int_eq(scene.ours.err + scene.ours.hup, 0);
            ck_assert_int_eq(scene.ours.out, 2);
            ck_assert_uint_eq(readSocket(scene.ours.socket).sentBytes, 6);
            ck_assert_uint_eq(readSocket(scene.ours.socket).failedMessages, 0);
            release();
        }
    }
}

/* §2.4 order: what was to go behind it waits, too */
CASE(completion, sendsAgainInOrder)
{
    const enum Kind kinds[] = {KIND_TCP, KIND_UDP, KIND_UNIX_DATAGRAM, KIND_UNIX_SEQPACKET};

    for (size_t kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++) {
        openKind(kinds[kind], 0);
        between.change = (struct Change){
            .opcode = IORING_OP_SEND, .other = IORING_OP_SENDMSG, .times = 1, .result = -EAGAIN};
        transmitText(scene.ours.socket, "one");
        transmitText(scene.ours.socket, "two");
        waitDrained(&scene.ours);
        ck_assert_int_eq(between.change.times, 0);
        expectText(scene.peer, "one");
        expectText(scene.peer, "two");
        expectNothing(scene.peer);
        release();
    }
}

/* §2.4 POLL_FIRST, §2.4 short count: after a short count the rest, behind a poll; not otherwise */
CASE(completion, pollsAfterAShortCount)
{
    openKind(KIND_TCP, 0);
    between.change = (struct Change){
        .opcode = IORING_OP_SEND, .other = IORING_OP_SEND, .times = 1, .length = 4};
    transmitText(scene.ours.socket, "0123456789");
    waitDrained(&scene.ours);
    transmitText(scene.ours.socket, "next");
    waitDrained(&scene.ours);
    expectText(scene.peer, "0123456789next");
    expectNothing(scene.peer);
    ck_assert_ptr_nonnull(seenSend(2));
    ck_assert_ptr_null(seenSend(3));
    ck_assert_uint_eq(seenSend(0)->length, 10);
    ck_assert_uint_eq(seenSend(1)->length, 6);
    ck_assert_uint_eq(seenSend(2)->length, 4);
    ck_assert_uint_eq(seenSend(0)->priority & IORING_RECVSEND_POLL_FIRST, 0);
    ck_assert_uint_ne(seenSend(1)->priority & IORING_RECVSEND_POLL_FIRST, 0);
    ck_assert_uint_eq(seenSend(2)->priority & IORING_RECVSEND_POLL_FIRST, 0);
    ck_assert_uint_eq(readSocket(scene.ours.socket).sentBytes, 14);
    ck_assert_int_eq(scene.ours.out, 3);
    release();
}

static void expectCorked(enum Kind kind, int mode, bool corked)
{
    const uint64_t size = 5 << 20;
    int count = 0;

    openKind(kind, mode);
    transmitPattern(scene.ours.socket, size, 0);
    expectPattern(scene.peer, size, 0);
    waitDrained(&scene.ours);
    while (seenSend(count) != NULL)
        count++;
    ck_assert_int_ge(count, 2);
    for (int index = 0; index < count - 1; index++)
        ck_assert_int_eq((seenSend(index)->flags & MSG_MORE) != 0, corked);
    ck_assert_uint_eq(seenSend(count - 1)->flags & MSG_MORE, 0);
    for (int index = 0; index < count; index++)
        ck_assert_uint_eq(seenSend(index)->flags & (MSG_NOSIGNAL | MSG_WAITALL),
                          MSG_NOSIGNAL | MSG_WAITALL);
    release();
}

/* §2.4 AUTO_CORK, §2.4 flags (send): all but the last operation of a burst hold back, on TCP and
 * asked for; every one waits for all and raises no signal */
CASE(completion, corksAllButTheLast)
{
    expectCorked(KIND_TCP, FASTSOCKET_MODE_AUTO_CORK, true);
    expectCorked(KIND_TCP, 0, false);
    expectCorked(KIND_UNIX_STREAM, FASTSOCKET_MODE_AUTO_CORK, false);
}

/* ---- zero copy ---- */

enum
{
    PIECE = 65536,
};

/* The next send without copy fails so. */
static void refuseZeroCopy(int result, bool notification)
{
    between.change = (struct Change){.opcode = IORING_OP_SEND_ZC,
                                     .other = IORING_OP_SENDMSG_ZC,
                                     .times = 1,
                                     .result = result,
                                     .notification = notification};
}

/* §2.4 ZC results, §2.4 ZERO_COPY choice: what the kernel refuses is copied, with a notification
 * of the failure or without; and remembered */
CASE(completion, copiesWhatIsRefused)
{
    const int errors[] = {EOPNOTSUPP, EINVAL, ENOMEM, ENOBUFS};

    if (!hasZeroCopy())
        skipTest("the kernel has no zero copy");
    for (size_t index = 0; index < sizeof(errors) / sizeof(errors[0]); index++) {
        for (int notification = 0; notification < 2; notification++) {
            uint64_t before = 0;
            openKind(KIND_TCP, FASTSOCKET_MODE_ZERO_COPY);
            before = liveBuffers();
            refuseZeroCopy(-errors[index], notification != 0);
            for (uint64_t part = 0; part < 3; part++) {
                transmitPattern(scene.ours.socket, PIECE, part * PIECE);
                expectPattern(scene.peer, PIECE, part * PIECE);
                waitDrained(&scene.ours);
            }
            ck_assert_int_eq(between.change.times, 0);
            ck_assert(isZeroCopy(seenSend(0)));
            for (int number = 1; seenSend(number) != NULL; number++)
                ck_assert(!isZeroCopy(seenSend(number)));
            runIdle(scene.ring);
            ck_assert_int_eq(scene.ours.err, 0);
            ck_assert_uint_eq(readSocket(scene.ours.socket).sentZeroCopy, 0);
            ck_assert_uint_eq(liveBuffers(), before);
            release();
        }
    }
}

/* §2.4 ZC results: a failure that is the connection's, with a notification or without, gives the
 * memory back */
CASE(completion, givesBackAfterFailure)
{
    if (!hasZeroCopy())
        skipTest("the kernel has no zero copy");
    for (int notification = 0; notification < 2; notification++) {
        uint64_t before = 0;
        openKind(KIND_TCP, FASTSOCKET_MODE_ZERO_COPY);
        before = liveBuffers();
        refuseZeroCopy(-EPIPE, notification != 0);
        transmitPattern(scene.ours.socket, PIECE, 0);
        waitHangup(&scene.ours);
        runIdle(scene.ring);
        ck_assert_int_eq(scene.ours.err, 1);
        ck_assert_int_eq(scene.ours.lastError, EPIPE);
        ck_assert_uint_eq(liveBuffers(), before);
        release();
    }
}

/* §2.4 ZC ordering, §2.1 POLLOUT: the next send and POLLOUT don't wait for notifications, which
 * come in any order */
CASE(completion, sendsBeforeNotifications)
{
    enum
    {
        PARTS = 20,
    };
    uint64_t before = 0;

    if (!hasZeroCopy())
        skipTest("the kernel has no zero copy");
    openKind(KIND_TCP, FASTSOCKET_MODE_ZERO_COPY);
    before = liveBuffers();
    between.holdNotifications = true;
    for (uint64_t part = 0; part < PARTS; part++) {
        transmitPattern(scene.ours.socket, PIECE, part * PIECE);
        expectPattern(scene.peer, PIECE, part * PIECE);
        waitDrained(&scene.ours);
    }
    runIdle(scene.ring);
    ck_assert_int_eq(scene.ours.out, 1 + PARTS);
    ck_assert_uint_ge(readSocket(scene.ours.socket).sentZeroCopy, PARTS);
    ck_assert_int_ge(betweenHeld(), PARTS);
    ck_assert_uint_ge(liveBuffers(), before + PARTS);
    between.holdNotifications = false;
    betweenRelease();
    runIdle(scene.ring);
    ck_assert_uint_eq(liveBuffers(), before);
    ck_assert_int_eq(scene.ours.out, 1 + PARTS);
    release();
}

/* §2.4 ZC and Release, §2.6 shutdown and close: closed without the notifications, which find their
 * memory */
CASE(completion, closesBeforeNotifications)
{
    uint64_t before = 0;

    if (!hasZeroCopy())
        skipTest("the kernel has no zero copy");
    openKind(KIND_TCP, FASTSOCKET_MODE_ZERO_COPY);
    before = liveBuffers();
    between.holdNotifications = true;
    transmitPattern(scene.ours.socket, PIECE, 0);
    expectPattern(scene.peer, PIECE, 0);
    release();
    ck_assert_int_eq(fcntl(scene.handle, F_GETFD), -1);
    ck_assert_int_ge(betweenHeld(), 1);
    ck_assert_uint_gt(liveBuffers(), before);
    between.holdNotifications = false;
    betweenRelease();
    runIdle(scene.ring);
    ck_assert_uint_eq(liveBuffers(), before);
}

/* ---- the loop ---- */

/* §2.8 transient refusals: a kernel that refuses for a while is asked again, and the wait gives
 * 0 */
CASE(completion, entersAgain)
{
    const int errors[] = {EBUSY, EAGAIN, ENOMEM};

    for (size_t index = 0; index < sizeof(errors) / sizeof(errors[0]); index++) {
        openKind(KIND_TCP, 0);
        refusal = errors[index];
        failCalls(entersOfRing(), 10);
        transmitText(scene.ours.socket, "sent");
        for (int turn = 0; turn < 5; turn++) {
            ck_assert_int_eq(WaitForFastRing(scene.ring, 1, NULL), 0);
            ck_assert_int_eq(lastEnter, -errors[index]);
        }
        ck_assert_uint_eq(GetFastSocketOutboundLength(scene.ours.socket), 4);
        waitDrained(&scene.ours);
        ck_assert(!isFailureAwaited(entersOfRing()));
        expectText(scene.peer, "sent");
        expectNothing(scene.peer);
        ck_assert_int_eq(scene.ours.err + scene.ours.hup, 0);
        release();
    }
}

/* §2.8 signal: an interrupted enter gives 0, at once */
CASE(completion, interruptedOneGivesZero)
{
    openKind(KIND_TCP, 0);
    refusal = EINTR;
    failCalls(entersOfRing(), 1);
    ck_assert_int_eq(WaitForFastRing(scene.ring, UINT32_MAX, NULL), 0);
    ck_assert(!isFailureAwaited(entersOfRing()));
    release();
}

/* §2.8 dead ring: what the kernel says to a ring that is no more is reported, and nothing else is
 * negative */
CASE(completion, tellsADeadRing)
{
    const int errors[][2] = {{EEXIST, EOWNERDEAD}, {EBADF, EBADF}, {ENXIO, ENXIO}};

    runIdle(scene.ring);
    for (size_t index = 0; index < sizeof(errors) / sizeof(errors[0]); index++) {
        refusal = errors[index][0];
        failCalls(entersOfRing(), 1);
        ck_assert_int_eq(WaitForFastRing(scene.ring, 1, NULL), -errors[index][1]);
        ck_assert_int_eq(WaitForFastRing(scene.ring, 0, NULL), 0);
    }
}

/* §2.8 never positive, §2.8 wait gives 0: though the kernel counts what it was given */
CASE(completion, countsNothing)
{
    for (int count = 0; count < 5; count++) {
        struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(scene.ring, NULL, NULL);
        io_uring_prep_nop(GetFastRingDescriptorSubmission(descriptor));
        ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    }
    ck_assert_int_eq(WaitForFastRing(scene.ring, 0, NULL), 0);
    if (runsOnUring(scene.ring))
        ck_assert_int_ge(lastEnter, 5);
}

/* §2.8 NO_IOWAIT: asked for at every enter where the kernel has it, and only there */
CASE(completion, asksForNoIoWait)
{
    bool has = GetFastRingFeatures(scene.ring) & FASTRING_FEATURE_NO_IOWAIT;
    struct FastEngine* engine = NULL;
    struct FastRing* other = NULL;

    needUring();
    ck_assert_int_eq(WaitForFastRing(scene.ring, 1, NULL), 0);
    ck_assert_int_eq((lastFlags & FAST_URING_ENTER_NO_IOWAIT) != 0, has);
    ck_assert_int_eq(FastUringOpen(&engine, 64, FASTRING_FEATURE_NO_IOWAIT), 0);
    other = FastRingCreateOn(engine);
    ck_assert_ptr_nonnull(other);
    ck_assert_int_eq(WaitForFastRing(other, 1, NULL), 0);
    ck_assert_uint_eq(lastFlags & FAST_URING_ENTER_NO_IOWAIT, 0);
    ReleaseFastRing(other);
}

/* ---- set-up ---- */

static const unsigned best = IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER |
                             IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE;

/* Forgets the tries of before; the features are known by now. */
static void refuseSetups(int error, int times, unsigned most)
{
    memset(&setups, 0, sizeof(setups));
    setups.refusal = error;
    failCalls(&setups.calls, times);
    setups.most = most;
}

/* §2.8 set-up flags, §2.8 first wait: the best first, fewer when the kernel refuses; disabled at
 * first */
CASE(completion, triesTheBestFlagsFirst)
{
    needUring();
    setenv("FASTSOCKET_ENGINE", "io_uring", 1);
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
    ck_assert_int_eq(errno, ENOSYS); /* it is older than all of them */
    ck_assert_int_eq(setups.count, 4);
}

/* §2.8 ENOMEM at creation: half the entries, as often as needed, down to 64 */
CASE(completion, halvesWithoutMemory)
{
    struct FastRing* other = NULL;
    unsigned entries = 1024;

    needUring();
    setenv("FASTSOCKET_ENGINE", "io_uring", 1);
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

/* ---- which engine ---- */

static void expectEngine(const char* name, int error)
{
    errno = 0;
    struct FastRing* other = CreateFastRing(1024);
    if (name == NULL) {
        ck_assert_ptr_null(other);
        ck_assert_int_eq(errno, error);
        return;
    }
    ck_assert_ptr_nonnull(other);
    ck_assert_str_eq(GetFastRingEngine(other), name);
    ck_assert_int_eq(WaitForFastRing(other, 0, NULL), 0);
    ReleaseFastRing(other);
}

/* refused by a filter or a switch, unknown, or older than all of the flags: epoll, but for whoever
 * asks for io_uring; other failures stay what they are */
CASE(completion, takesEpollWhereRefused)
{
    const int errors[][2] = {
        {EPERM, EPERM}, {EACCES, EACCES}, {ENOSYS, ENOSYS}, {EINVAL, ENOSYS}};
    bool refused = reasonAgainstUring() != NULL; /* anyway, and by what we can't know */

    unsetenv("FASTSOCKET_FEATURES_OFF");
    for (size_t index = 0; index < sizeof(errors) / sizeof(errors[0]); index++) {
        unsetenv("FASTSOCKET_ENGINE");
        refuseSetups(errors[index][0], 100, 0);
        expectEngine("epoll", 0);
        if (refused)
            continue;
        setenv("FASTSOCKET_ENGINE", "io_uring", 1);
        refuseSetups(errors[index][0], 100, 0);
        expectEngine(NULL, errors[index][1]);
    }
    unsetenv("FASTSOCKET_ENGINE");
    refuseSetups(EMFILE, 100, 0);
    if (!refused)
        expectEngine(NULL, EMFILE);
    refuseSetups(0, 0, 0);
}

/* So much may be locked from now on; false where a privilege is lacking to raise it. */
static bool limitLocked(rlim_t bytes)
{
    const struct rlimit limit = {bytes, bytes};

    return setrlimit(RLIMIT_MEMLOCK, &limit) == 0;
}

/* The kernel charges rings to RLIMIT_MEMLOCK, and not even the smallest is allowed: epoll, where
 * there is such a limit. */
CASE(completion, takesEpollWithoutLockedMemory)
{
    bool refused = reasonAgainstUring() != NULL; /* anyway, and the kernel isn't asked for more */

    unsetenv("FASTSOCKET_ENGINE");
    waitsForMemory = false;
    if (!refused && limitLocked(RLIM_INFINITY)) {
        refuseSetups(ENOMEM, 0, 32);
        expectEngine(NULL, ENOMEM);
    }
    ck_assert(limitLocked(0));
    refuseSetups(ENOMEM, 0, 32);
    expectEngine("epoll", 0);
    refuseSetups(0, 0, 0);
    waitsForMemory = true;
}

/* the smallest ring has used the limit up, so that no provider would work: the same, but for
 * whoever asks for io_uring */
CASE(completion, takesEpollWithoutLockedMemoryForBuffers)
{
    needUring();
    failEveryCall(&bufferRings);
    refuseSetups(0, 0, 0);
    unsetenv("FASTSOCKET_ENGINE");
    if (limitLocked(RLIM_INFINITY))
        expectEngine("io_uring", 0);
    (void)limitLocked(8 << 20); /* or it is lower */
    expectEngine("epoll", 0);
    setenv("FASTSOCKET_ENGINE", "io_uring", 1);
    expectEngine("io_uring", 0);
    failNoCall(&bufferRings);
}

static int reports;

static void onReport(struct FastRingWatch* watch, int result, void* closure)
{
    (void)watch;
    (void)closure;
    ck_assert_int_eq(result, POLLIN);
    reports++;
}

/* A wake-up that comes late is not reported by a level-triggered watch: its user might read, and
 * wait. */
CASE(completion, reportsWhatStillHolds)
{
    for (uint32_t flags = 0; flags <= FASTRING_WATCH_ONCE; flags++) {
        struct FastRingWatch* watch = NULL;
        pairStream(scene.pair);
        reports = 0;
        between.change = (struct Change){
            .opcode = IORING_OP_POLL_ADD, .times = 2, .result = POLLIN};
        watch = AddFastRingWatch(scene.ring, scene.handle, POLLIN, flags, onReport, NULL);
        ck_assert_ptr_nonnull(watch);
        runIdle(scene.ring);
        ck_assert_int_eq(between.change.times, 0);
        ck_assert_int_eq(reports, 0);
        sendText(scene.peer, "now");
        waitCount(scene.ring, &reports, 1);
        RemoveFastRingWatch(watch);
        runIdle(scene.ring);
        close(scene.handle);
        closePeer();
    }
}
