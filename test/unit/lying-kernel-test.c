/*
 * A kernel that says what can't be: completions that are longer than their buffer, that name
 * another one than was given to it, or that its own ring of entries contradicts; and a flag that
 * promises work when there is none. An engine between the ring and the kernel says it.
 */
#include "between.h"
#include "fixture.h"
#include "ring/state.h"
#include "socket/core.h"
#include "engine/uring-compat.h"

#include <liburing.h>

enum
{
    BUFFERS = 16,
    LENGTH = 1024,
};

/* ---- the engine between ---- */

static struct
{
    struct FastEngineFunctions functions;
    const struct FastEngineFunctions* kernel;
    unsigned flags;               /* instead of the kernel's */
    struct io_uring_buf* buffers; /* of the provider's ring */
    int lies;                     /* told so far */
    int most;                     /* … and to be reported at most */
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

static int registerBetween(struct FastEngine* engine, uint16_t group, void* memory,
                           uint32_t entries)
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
    sceneOpen(&scene, (struct SceneOptions){.buffers = BUFFERS, .bufferLength = LENGTH});
    ReleaseFastRingBufferProvider(scene.provider, ReleaseRingFastBuffer);
    putBetween(scene.ring->engine);
    scene.provider = CreateFastRingBufferProvider(scene.ring, 0, BUFFERS, LENGTH,
                                                  AllocateRingFastBuffer, scene.inbound);
    ck_assert_ptr_nonnull(scene.provider);
    ck_assert_ptr_nonnull(between.buffers);
}

AREA(lyingKernel, "lying-kernel", .open = setUp, .close = closeScene);

static void tell(bool (*lie)(struct Completion* completion))
{
    between.lies = 0;
    between.most = 1;
    between.lie = lie;
}

/* Where a completion may be made at any time, what was put back a moment ago may be in it. */
static bool canBeSeen(int lie)
{
    return lies[lie].function != twice ||
           scene.ring->engine->inside;
}

/* §2.3 impossible completions: what was put since the last enter can't be in one, where all are
 * made by enters */
CASE(lyingKernel, makesCompletionsInsideAnEnter)
{
    const struct FastEngine* engine = scene.ring->engine;
    const uint64_t deferred = FASTRING_FEATURE_DEFER_TASKRUN;
    if (!runsOnUring(scene.ring))
        ck_assert(engine->inside);
    else if (!(engine->features & deferred))
        ck_assert(!engine->inside);
    else if (engine->features & FASTRING_FEATURE_RECEIVE_BUNDLE) /* it is later than 6.3 */
        ck_assert(engine->inside);
}

static void expectRefused(int lie)
{
    ck_assert_int_eq(between.lies, 1);
    ck_assert_msg(readRing(scene.ring).invalidCompletions == 1, "%s", lies[lie].name);
    ck_assert_uint_eq(GetFastRingFeatures(scene.ring) &
                          (FASTRING_FEATURE_RECEIVE_BUNDLE | FASTRING_FEATURE_RECEIVE_CAP),
                      0);
}

/* A new connection in the place of the one that got the error, on a ring that goes on. */
static void expectWorks(int lie)
{
    static uint8_t data[BUFFERS * LENGTH * 4];
    static uint8_t got[sizeof(data)];

    ck_assert_uint_ge(readRing(scene.ring).providedBuffers + lies[lie].lost, BUFFERS);
    openPair(KIND_TCP);
    fillPattern(data, sizeof(data), 0);
    sendAll(scene.peer, data, sizeof(data));
    waitInput(&scene.ours, sizeof(data));
    ck_assert_int_eq(ReceiveFastSocketData(scene.ours.socket, got, sizeof(got), 0),
                     (ssize_t)sizeof(got));
    ck_assert(checkPattern(got, sizeof(got), 0));
    closePair();
    waitFor(scene.ring, isNothingPending, scene.ring);
}

/* Our socket receives in bundles, if the kernel has them. */
static void beginBundles(void)
{
    static uint8_t data[LENGTH * 8];

    for (int round = 0; round < 20; round++) {
        sendAll(scene.peer, data, sizeof(data));
        waitInput(&scene.ours, sizeof(data));
        ck_assert_int_eq(ReceiveFastSocketData(scene.ours.socket, data, sizeof(data), 0),
                         (ssize_t)sizeof(data));
        runIdle(scene.ring);
    }
    if (GetFastRingFeatures(scene.ring) & FASTRING_FEATURE_RECEIVE_BUNDLE)
        ck_assert_int_eq(scene.ours.socket->inbound.receive.form, FAST_RECEIVE_BUNDLE);
    scene.ours.in = 0;
}

/* The entry that the kernel takes next, or one behind it: nothing is on its way. */
static struct io_uring_buf* nextBuffer(uint32_t behind)
{
    const struct FastRingBufferProvider* provider = scene.provider;
    uint32_t place = provider->sequence - provider->available + behind;

    return &between.buffers[place & (BUFFERS - 1)];
}

/* ---- completions that can't be ---- */

/* §2.3 impossible completions: a stream gets one error, none of the bytes, and the others go on */
CASE_ROUNDS(lyingKernel, endAStream, 3 * LIES)
{
    const enum Kind kinds[] = {KIND_TCP, KIND_UNIX_STREAM, KIND_TCP};
    char text[64];

    if (round / LIES == 2) /* once without bundles */
        scene.ring->engine->features &= ~FASTRING_FEATURE_RECEIVE_BUNDLE;
    else if (lies[round % LIES].function == tooLong)
        return; /* a bundle may be as long */
    if (!canBeSeen(round % LIES))
        return;
    openPair(kinds[round / LIES]);
    runIdle(scene.ring);
    beginBundles();
    tell(lies[round % LIES].function);
    sendText(scene.peer, "not to be believed");
    waitHangup(&scene.ours);
    expectRefused(round % LIES);
    ck_assert_int_eq(scene.ours.lastError, EIO);
    ck_assert_int_eq(scene.ours.lastHangup, EIO);
    ssize_t length = ReceiveFastSocketData(scene.ours.socket, text, sizeof(text), 0);
    if (lies[round % LIES].function == twice) /* the first was true */
        ck_assert_int_eq(length, 18);
    else
        ck_assert_int_eq(length, -EIO);
    closePair();
    waitFor(scene.ring, isNothingPending, scene.ring);
    expectWorks(round % LIES);
}

/* §2.3 impossible completions: nothing of a connection is reported from behind the hole, though it
 * is in the queue */
CASE(lyingKernel, endBeforeWhatFollows)
{
    static uint8_t data[LENGTH * 3];
    char text[64];

    scene.ring->engine->features &= ~FASTRING_FEATURE_RECEIVE_BUNDLE;
    openPair(KIND_TCP);
    runIdle(scene.ring);
    sendAll(scene.peer, data, sizeof(data)); /* a completion for each buffer, all in one enter */
    tell(tooLong);
    waitHangup(&scene.ours);
    ck_assert_int_eq(scene.ours.in, 0);
    ck_assert_int_eq(ReceiveFastSocketData(scene.ours.socket, text, sizeof(text), 0), -EIO);
    closePair();
    waitFor(scene.ring, isNothingPending, scene.ring);
    ck_assert_uint_eq(readRing(scene.ring).providedBuffers, BUFFERS);
}

static bool hasAllOrFailed(void* closure)
{
    const struct Recorder* seen = closure;

    return seen->err > 0 || GetFastSocketInboundLength(seen->socket) == (size_t)LENGTH * 3;
}

/* §2.3 impossible completions: of several buffers, one that was shorter than it seems */
CASE_ROUNDS(lyingKernel, endABundle, 2)
{
    static uint8_t data[LENGTH * 3];

    if (!(GetFastRingFeatures(scene.ring) & FASTRING_FEATURE_RECEIVE_BUNDLE))
        skipTest("the kernel has no bundles");
    openPair(KIND_TCP);
    runIdle(scene.ring);
    beginBundles();
    /* What a receive in vain was seen to leave there. */
    nextBuffer((uint32_t)round)->len = LENGTH / 4;
    fillPattern(data, sizeof(data), 0);
    sendAll(scene.peer, data, sizeof(data));
    waitFor(scene.ring, hasAllOrFailed, &scene.ours);
    uint8_t got[sizeof(data)];
    ssize_t length = ReceiveFastSocketData(scene.ours.socket, got, sizeof(got), 0);
    if (length > 0)
        ck_assert(checkPattern(got, (size_t)length, 0));
    if (scene.ours.err == 0) { /* the kernel has given it alone, and said how much is in it */
        ck_assert_int_eq(length, (ssize_t)sizeof(data));
        ck_assert_uint_eq(readRing(scene.ring).invalidCompletions, 0);
    } else {
        waitHangup(&scene.ours);
        ck_assert_uint_eq(readRing(scene.ring).invalidCompletions, 1);
        ck_assert_int_eq(scene.ours.lastError, EIO);
        ck_assert_int_eq(ReceiveFastSocketData(scene.ours.socket, got, sizeof(got), 0), -EIO);
    }
    closePair();
    waitFor(scene.ring, isNothingPending, scene.ring);
    ck_assert_uint_eq(readRing(scene.ring).providedBuffers, BUFFERS);
}

/* §2.3 impossible completions: a datagram socket gets an error, and works on */
CASE_ROUNDS(lyingKernel, costOneDatagram, 2 * LIES)
{
    char text[64];

    if (!canBeSeen(round % LIES))
        return;
    openPair(round / LIES == 0 ? KIND_UDP : KIND_UNIX_DATAGRAM);
    runIdle(scene.ring);
    tell(lies[round % LIES].function);
    sendText(scene.peer, "not to be believed");
    waitFor(scene.ring, hasFailed, &scene.ours);
    expectRefused(round % LIES);
    ck_assert_int_eq(scene.ours.lastError, EIO);
    while (ReceiveFastSocketData(scene.ours.socket, text, sizeof(text), 0) > 0)
        continue;
    sendText(scene.peer, "good");
    receiveText(&scene.ours, "good");
    ck_assert_int_eq(scene.ours.hup, 0);
    closePair();
    waitFor(scene.ring, isNothingPending, scene.ring);
    expectWorks(round % LIES);
}

static int told;
static struct
{
    int results[4];
    bool named[4];
} heard;

static int onCompletion(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion,
                        int reason)
{
    (void)descriptor;
    (void)reason;
    if (completion == NULL || told == 4)
        return 0;
    heard.results[told] = completion->res;
    heard.named[told] = GetFastRingBuffer(scene.provider, completion) != NULL;
    if (heard.named[told])
        ck_assert_int_eq(AdvanceFastRingBuffer(scene.provider, completion, NULL, NULL), 0);
    told++;
    return 1;
}

/* §2.3 impossible completions: a user's own receive hears an error, and of no buffer */
CASE_ROUNDS(lyingKernel, areAnErrorOfTheUsersReceive, LIES)
{
    if (!canBeSeen(round))
        return;
    told = 0;
    memset(&heard, 0, sizeof(heard));
    pairUnix(scene.pair, SOCK_SEQPACKET);
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(scene.ring, onCompletion,
                                                                       NULL);
    struct io_uring_sqe* entry = GetFastRingDescriptorSubmission(descriptor);
    io_uring_prep_recv_multishot(entry, scene.handle, NULL, 0, 0);
    PrepareFastRingBuffer(scene.provider, entry);
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    runIdle(scene.ring);
    tell(lies[round].function);
    sendText(scene.peer, "not to be believed");
    sendText(scene.peer, "good");
    waitCount(scene.ring, &told, lies[round].function == twice ? 3 : 2);
    expectRefused(round);
    int wrong = lies[round].function == twice ? 1 : 0;
    if (wrong == 1)
        ck_assert_int_eq(heard.results[0], 18);
    ck_assert_int_eq(heard.results[wrong], -EIO);
    ck_assert(!heard.named[wrong]);
    ck_assert_int_eq(heard.results[wrong + 1], 4);
    ck_assert(heard.named[wrong + 1]);
    ReleaseFastRingDescriptor(descriptor);
    closePeer();
    runIdle(scene.ring);
    close(scene.handle);
    expectWorks(round);
}

/* ---- work that isn't there ---- */

static bool isReadable(int handle, int milliseconds)
{
    struct pollfd state = {.fd = handle, .events = POLLIN};

    return poll(&state, 1, milliseconds) > 0;
}

/* One round of a foreign loop that does not sleep; false: there was no reason to run the ring. */
static bool embeddedRound(void)
{
    if (GetFastRingInterval(scene.ring) != 0 && !isReadable(GetFastRingHandle(scene.ring), 0))
        return false;
    ck_assert_int_eq(WaitForFastRing(scene.ring, 0, NULL), 0);
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

/* §2.8 nothing to do: costs no turn, although IORING_SQ_TASKRUN stays set; what comes later is
 * not missed */
CASE(lyingKernel, taskRunWithoutTasksRests)
{
    needUring();
    openPair(KIND_UDP);
    (void)GetFastRingHandle(scene.ring);
    roundsUntilRest();
    between.flags = IORING_SQ_TASKRUN;
    betweenSetFlags(scene.ring->engine, &between.flags);
    for (int round = 0; round < 5; round++) {
        (void)roundsUntilRest();
        ck_assert_int_eq(GetFastRingInterval(scene.ring), -1);
        ck_assert(!embeddedRound());
        int before = scene.ours.in;
        char text[16];
        sendText(scene.peer, "wake");
        ck_assert(isReadable(GetFastRingHandle(scene.ring), 60000));
        for (int turn = 0; turn < 20 && scene.ours.in == before; turn++)
            (void)embeddedRound();
        ck_assert_int_gt(scene.ours.in, before);
        ck_assert_int_eq(ReceiveFastSocketData(scene.ours.socket, text, sizeof(text), 0), 4);
    }
    between.flags = 0;
    closePair();
    waitFor(scene.ring, isNothingPending, scene.ring);
}
