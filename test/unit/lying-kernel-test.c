/*
 * A kernel that says what can't be: completions that are longer than their buffer, that name another one
 * than was given to it, or that its own ring of entries contradicts; and a flag that promises work when
 * there is none. An engine between the ring and the kernel says it.
 */
#include "between.h"
#include "fixture.h"
#include "ring/state.h"
#include "engine/uring-compat.h"

#include <liburing.h>

enum
{
    BUFFERS = 16,
    LENGTH = 1024,
};

static struct Fixture fixture;
static struct Recorder recorder;
static int pair[2];

/* ---- the engine between ---- */

static struct
{
    struct FastEngineFunctions functions;
    const struct FastEngineFunctions* kernel;
    unsigned flags;               /* instead of the kernel's */
    struct io_uring_buf* buffers; /* of the provider's ring */
    int lies;                     /* told so far */
    int most;                     /* … and to be told at most */
    bool (*lie)(struct Completion* completion);
} between;

static uint16_t bufferOf(const struct Completion* completion)
{
    return (uint16_t)(completion->flags >> IORING_CQE_BUFFER_SHIFT);
}

static void setBuffer(struct Completion* completion, uint16_t id)
{
    completion->flags = (completion->flags & 0xffff) | (uint32_t)id << IORING_CQE_BUFFER_SHIFT;
}

static void pass(struct Completion completion)
{
    if (between.lie != NULL && between.lies < between.most && completion.res > 0 &&
        completion.flags & IORING_CQE_F_BUFFER && between.lie(&completion))
        between.lies++;
    betweenDeliver(completion);
}

static int registerBetween(struct FastEngine* engine, uint16_t group, void* memory, uint32_t entries)
{
    between.buffers = memory;
    return between.kernel->registerBuffers(engine, group, memory, entries);
}

static void putBetween(struct FastEngine* engine)
{
    memset(&between, 0, sizeof(between));
    between.kernel = engine->functions;
    between.functions = *engine->functions;
    between.functions.registerBuffers = registerBetween;
    engine->functions = &between.functions;
    betweenPut(engine, (struct Between){.pass = pass});
}

/* ---- lies ---- */

static bool tooLong(struct Completion* completion)
{
    completion->res = LENGTH + 1;
    return true;
}

static bool longerThanAll(struct Completion* completion)
{
    completion->res = BUFFERS * LENGTH + 1;
    return true;
}

static bool noSuchBuffer(struct Completion* completion)
{
    setBuffer(completion, BUFFERS);
    return true;
}

/* The same completion twice: the second names a buffer that was only put back after it. */
static bool twice(struct Completion* completion)
{
    struct Completion first = *completion;

    first.flags |= IORING_CQE_F_MORE;
    betweenDeliver(first);
    return true;
}

/* As if the entry had been shorter when the kernel took it: the bytes lie elsewhere then. */
static bool shortEntry(struct Completion* completion)
{
    for (int place = 0; place < BUFFERS; place++)
        if (between.buffers[place].bid == bufferOf(completion))
            between.buffers[place].len = (uint32_t)completion->res - 1;
    return true;
}

static bool otherMemory(struct Completion* completion)
{
    for (int place = 0; place < BUFFERS; place++)
        if (between.buffers[place].bid == bufferOf(completion))
            between.buffers[place].addr += 64;
    return true;
}

static const struct
{
    const char* name;
    bool (*function)(struct Completion* completion);
    bool lost; /* which buffer the kernel has filled can't be known: it stays out */
} lies[] = {
    {"too long", tooLong, false},           {"longer than all", longerThanAll, false},
    {"no such buffer", noSuchBuffer, true}, {"twice", twice, false},
    {"short entry", shortEntry, false},     {"other memory", otherMemory, true},
};

enum
{
    LIES = sizeof(lies) / sizeof(lies[0]),
};

/* ---- what the cases share ---- */

static void setUp(void)
{
    fixtureOpen(&fixture, 0, BUFFERS, LENGTH);
    ReleaseFastRingBufferProvider(fixture.provider, ReleaseRingFastBuffer);
    putBetween(fixture.ring->engine);
    fixture.provider = CreateFastRingBufferProvider(fixture.ring, 0, BUFFERS, LENGTH, AllocateRingFastBuffer,
                                                    fixture.inbound);
    ck_assert_ptr_nonnull(fixture.provider);
    ck_assert_ptr_nonnull(between.buffers);
}

static void tearDown(void)
{
    fixtureClose(&fixture);
}

static void tell(bool (*lie)(struct Completion* completion))
{
    between.lies = 0;
    between.most = 1;
    between.lie = lie;
}

/* Without deferred work a completion may be made at any time, so that what was put back a moment ago may
 * be in it. */
static bool canBeSeen(int lie)
{
    return lies[lie].function != twice ||
           GetFastRingFeatures(fixture.ring) & FASTRING_FEATURE_DEFER_TASKRUN;
}

static void expectRefused(int lie)
{
    ck_assert_int_eq(between.lies, 1);
    ck_assert_msg(readRing(fixture.ring).invalidCompletions == 1, "%s", lies[lie].name);
    ck_assert_uint_eq(GetFastRingFeatures(fixture.ring) &
                          (FASTRING_FEATURE_RECEIVE_BUNDLE | FASTRING_FEATURE_RECEIVE_CAP),
                      0);
}

/* A new connection in the place of the one that was told the error, on a ring that goes on. */
static void expectWorks(int lie)
{
    static uint8_t data[BUFFERS * LENGTH * 4];
    static uint8_t got[sizeof(data)];

    ck_assert_uint_ge(readRing(fixture.ring).providedBuffers + lies[lie].lost, BUFFERS);
    pairTcp(pair);
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
    fillPattern(data, sizeof(data), 0);
    sendAll(pair[1], data, sizeof(data));
    waitInput(&recorder, sizeof(data));
    ck_assert_int_eq(ReceiveFastSocketData(recorder.socket, got, sizeof(got), 0), (ssize_t)sizeof(got));
    ck_assert(checkPattern(got, sizeof(got), 0));
    ReleaseFastSocket(recorder.socket);
    close(pair[1]);
    waitFor(fixture.ring, isNothingPending, fixture.ring);
}

/* ---- completions that can't be ---- */

/* §2.3 impossible completions: a stream gets one error, none of the bytes, and the others go on */
START_TEST(endAStream)
{
    const enum Kind kinds[] = {KIND_TCP, KIND_UNIX_STREAM, KIND_TCP};
    char text[64];

    if (_i / LIES == 2) /* once without bundles */
        fixture.ring->engine->features &= ~FASTRING_FEATURE_RECEIVE_BUNDLE;
    else if (lies[_i % LIES].function == tooLong)
        return; /* a bundle may be as long */
    if (!canBeSeen(_i % LIES))
        return;
    pairKind(kinds[_i / LIES], pair);
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
    runIdle(fixture.ring);
    tell(lies[_i % LIES].function);
    sendText(pair[1], "not to be believed");
    waitHangup(&recorder);
    expectRefused(_i % LIES);
    ck_assert_int_eq(recorder.lastError, EIO);
    ck_assert_int_eq(recorder.lastHangup, EIO);
    ssize_t length = ReceiveFastSocketData(recorder.socket, text, sizeof(text), 0);
    if (lies[_i % LIES].function == twice) /* the first was true */
        ck_assert_int_eq(length, 18);
    else
        ck_assert_int_eq(length, -EIO);
    ReleaseFastSocket(recorder.socket);
    close(pair[1]);
    waitFor(fixture.ring, isNothingPending, fixture.ring);
    expectWorks(_i % LIES);
}
END_TEST

/* §2.3 impossible completions: nothing of a connection is told from behind the hole, though it is in the queue */
START_TEST(endBeforeWhatFollows)
{
    static uint8_t data[LENGTH * 3];
    char text[64];

    fixture.ring->engine->features &= ~FASTRING_FEATURE_RECEIVE_BUNDLE;
    pairTcp(pair);
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
    runIdle(fixture.ring);
    sendAll(pair[1], data, sizeof(data)); /* a completion for each buffer, all in one enter */
    tell(tooLong);
    waitHangup(&recorder);
    ck_assert_int_eq(recorder.in, 0);
    ck_assert_int_eq(ReceiveFastSocketData(recorder.socket, text, sizeof(text), 0), -EIO);
    ReleaseFastSocket(recorder.socket);
    close(pair[1]);
    waitFor(fixture.ring, isNothingPending, fixture.ring);
    ck_assert_uint_eq(readRing(fixture.ring).providedBuffers, BUFFERS);
}
END_TEST

static bool hasAllOrFailed(void* closure)
{
    const struct Recorder* seen = closure;

    return seen->err > 0 || GetFastSocketInboundLength(seen->socket) == (size_t)LENGTH * 3;
}

/* §2.3 impossible completions: of several buffers, one that was shorter than it seems */
START_TEST(endABundle)
{
    static uint8_t data[LENGTH * 3];

    if (!(GetFastRingFeatures(fixture.ring) & FASTRING_FEATURE_RECEIVE_BUNDLE))
        skipTest("the kernel has no bundles");
    pairTcp(pair);
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
    runIdle(fixture.ring);
    between.buffers[_i].len = LENGTH / 4; /* what a receive in vain was seen to leave there */
    fillPattern(data, sizeof(data), 0);
    sendAll(pair[1], data, sizeof(data));
    waitFor(fixture.ring, hasAllOrFailed, &recorder);
    uint8_t got[sizeof(data)];
    ssize_t length = ReceiveFastSocketData(recorder.socket, got, sizeof(got), 0);
    if (length > 0)
        ck_assert(checkPattern(got, (size_t)length, 0));
    if (recorder.err == 0) { /* the kernel has given it alone, and said how much is in it */
        ck_assert_int_eq(length, (ssize_t)sizeof(data));
        ck_assert_uint_eq(readRing(fixture.ring).invalidCompletions, 0);
    } else {
        waitHangup(&recorder);
        ck_assert_uint_eq(readRing(fixture.ring).invalidCompletions, 1);
        ck_assert_int_eq(recorder.lastError, EIO);
        ck_assert_int_eq(ReceiveFastSocketData(recorder.socket, got, sizeof(got), 0), -EIO);
    }
    ReleaseFastSocket(recorder.socket);
    close(pair[1]);
    waitFor(fixture.ring, isNothingPending, fixture.ring);
    ck_assert_uint_eq(readRing(fixture.ring).providedBuffers, BUFFERS);
}
END_TEST

/* §2.3 impossible completions: a datagram socket is told, and works on */
START_TEST(costOneDatagram)
{
    char text[64];

    if (!canBeSeen(_i % LIES))
        return;
    pairKind(_i / LIES == 0 ? KIND_UDP : KIND_UNIX_DATAGRAM, pair);
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
    runIdle(fixture.ring);
    tell(lies[_i % LIES].function);
    sendText(pair[1], "not to be believed");
    waitFor(fixture.ring, hasFailed, &recorder);
    expectRefused(_i % LIES);
    ck_assert_int_eq(recorder.lastError, EIO);
    while (ReceiveFastSocketData(recorder.socket, text, sizeof(text), 0) > 0)
        continue;
    sendText(pair[1], "good");
    receiveText(&recorder, "good");
    ck_assert_int_eq(recorder.hup, 0);
    ReleaseFastSocket(recorder.socket);
    close(pair[1]);
    waitFor(fixture.ring, isNothingPending, fixture.ring);
    expectWorks(_i % LIES);
}
END_TEST

static int told;
static struct
{
    int results[4];
    bool named[4];
} heard;

static int onCompletion(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion, int reason)
{
    (void)descriptor;
    (void)reason;
    if (completion == NULL || told == 4)
        return 0;
    heard.results[told] = completion->res;
    heard.named[told] = GetFastRingBuffer(fixture.provider, completion) != NULL;
    if (heard.named[told])
        ck_assert_int_eq(AdvanceFastRingBuffer(fixture.provider, completion, NULL, NULL), 0);
    told++;
    return 1;
}

/* §2.3 impossible completions: a user's own receive hears an error, and of no buffer */
START_TEST(areAnErrorOfTheUsersReceive)
{
    if (!canBeSeen(_i))
        return;
    told = 0;
    memset(&heard, 0, sizeof(heard));
    pairUnix(pair, SOCK_SEQPACKET);
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(fixture.ring, onCompletion, NULL);
    struct io_uring_sqe* entry = GetFastRingDescriptorSubmission(descriptor);
    io_uring_prep_recv_multishot(entry, pair[0], NULL, 0, 0);
    PrepareFastRingBuffer(fixture.provider, entry);
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    runIdle(fixture.ring);
    tell(lies[_i].function);
    sendText(pair[1], "not to be believed");
    sendText(pair[1], "good");
    waitCount(fixture.ring, &told, lies[_i].function == twice ? 3 : 2);
    expectRefused(_i);
    int wrong = lies[_i].function == twice ? 1 : 0;
    if (wrong == 1)
        ck_assert_int_eq(heard.results[0], 18);
    ck_assert_int_eq(heard.results[wrong], -EIO);
    ck_assert(!heard.named[wrong]);
    ck_assert_int_eq(heard.results[wrong + 1], 4);
    ck_assert(heard.named[wrong + 1]);
    ReleaseFastRingDescriptor(descriptor);
    close(pair[1]);
    runIdle(fixture.ring);
    close(pair[0]);
    expectWorks(_i);
}
END_TEST

/* ---- work that isn't there ---- */

static bool isReadable(int handle, int milliseconds)
{
    struct pollfd state = {.fd = handle, .events = POLLIN};

    return poll(&state, 1, milliseconds) > 0;
}

/* One round of a foreign loop that does not sleep; false: there was no reason to run the ring. */
static bool embeddedRound(void)
{
    if (GetFastRingInterval(fixture.ring) != 0 && !isReadable(GetFastRingHandle(fixture.ring), 0))
        return false;
    ck_assert_int_eq(WaitForFastRing(fixture.ring, 0, NULL), 0);
    return true;
}

static int roundsUntilRest(void)
{
    int rounds = 0;

    while (embeddedRound()) {
        rounds++;
        ck_assert_msg(rounds < 20, "an embedded ring doesn't rest");
    }
    return rounds;
}

/* §2.8 nothing to do: costs no turn, although IORING_SQ_TASKRUN stays set; what comes later is not missed */
START_TEST(taskRunWithoutTasksRests)
{
    pairKind(KIND_UDP, pair);
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
    (void)GetFastRingHandle(fixture.ring);
    roundsUntilRest();
    between.flags = IORING_SQ_TASKRUN;
    fixture.ring->engine->completion.flags = &between.flags;
    for (int round = 0; round < 5; round++) {
        (void)roundsUntilRest();
        ck_assert_int_eq(GetFastRingInterval(fixture.ring), -1);
        ck_assert(!embeddedRound());
        int before = recorder.in;
        char text[16];
        sendText(pair[1], "wake");
        ck_assert(isReadable(GetFastRingHandle(fixture.ring), 60000));
        for (int turn = 0; turn < 20 && recorder.in == before; turn++)
            (void)embeddedRound();
        ck_assert_int_gt(recorder.in, before);
        ck_assert_int_eq(ReceiveFastSocketData(recorder.socket, text, sizeof(text), 0), 4);
    }
    ReleaseFastSocket(recorder.socket);
    close(pair[1]);
    waitFor(fixture.ring, isNothingPending, fixture.ring);
}
END_TEST

int main(void)
{
    Suite* suite = suite_create("lying-kernel");
    TCase* tcase = tcase_create("lying-kernel");

    tcase_add_checked_fixture(tcase, setUp, tearDown);
    tcase_add_loop_test(tcase, endAStream, 0, 3 * LIES);
    tcase_add_test(tcase, endBeforeWhatFollows);
    tcase_add_loop_test(tcase, endABundle, 0, 2);
    tcase_add_loop_test(tcase, costOneDatagram, 0, 2 * LIES);
    tcase_add_loop_test(tcase, areAnErrorOfTheUsersReceive, 0, LIES);
    tcase_add_test(tcase, taskRunWithoutTasksRests);
    suite_add_tcase(suite, tcase);
    return runSuite(suite);
}
