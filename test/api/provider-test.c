/* Buffer providers under the user's own operations. */
#include "services.h"

#include <liburing.h>

enum
{
    COUNT = 4,
    LENGTH = 128,
};

static struct FastRingBufferProvider* provider;
static int pair[2];
static int made;
static int given;  /* back */
static struct Countdown makings;

static void setUp(void)
{
    openScene();
    pairUnix(pair, SOCK_DGRAM);
}

static void tearDown(void)
{
    close(pair[0]);
    close(pair[1]);
    closeScene();
}

AREA(provider, "provider", .open = setUp, .close = tearDown);

static void* make(size_t length, void* closure)
{
    ck_assert_uint_eq(length, LENGTH);
    ck_assert_ptr_eq(closure, &made);
    if (countdownFails(&makings))
        return NULL;
    made++;
    return calloc(1, length);
}

static void give(void* buffer)
{
    ck_assert_ptr_nonnull(buffer);
    given++;
    free(buffer);
}

static struct FastRingBufferProvider* create(uint16_t group, uint16_t count)
{
    struct FastRingBufferProvider* created =
        CreateFastRingBufferProvider(scene.ring, group, count, LENGTH, make, &made);
    ck_assert_msg(created != NULL, "CreateFastRingBufferProvider: %s", strerror(errno));
    return created;
}

/* ---- pools ---- */

static struct FastBuffer* taken;
static struct io_uring_cqe firstTaken;

static void* refuse(size_t length, void* closure)
{
    (void)length;
    (void)closure;
    return NULL;
}

static int takeWithoutReplacement(struct FastRingDescriptor* descriptor,
                                  struct io_uring_cqe* completion, int reason)
{
    struct FastRingBufferProvider* from = GetFastRingDescriptorClosure(descriptor);
    ck_assert_int_eq(reason, FASTRING_REASON_COMPLETE);
    taken = GetFastBuffer(GetFastRingBuffer(from, completion));
    ck_assert_int_eq(AdvanceFastRingBuffer(from, completion, refuse, NULL), -ENOMEM);
    return 0;
}

static bool isRefilled(void* closure)
{
    (void)closure;
    return readRing(scene.ring).providedBuffers == 65; /* the scene's, and the one */
}

/* A provider refills itself from its pool also when the pool was released before it. */
CASE(provider, refillsFromReleasedPool)
{
    struct FastBufferPool* pool = CreateFastBufferPool(scene.ring);
    struct FastRingBufferProvider* own =
        CreateFastRingBufferProvider(scene.ring, 0, 1, LENGTH, AllocateRingFastBuffer, pool);
    struct FastRingDescriptor* descriptor =
        AllocateFastRingDescriptor(scene.ring, takeWithoutReplacement, own);

    ck_assert_ptr_nonnull(own);
    io_uring_prep_recv(GetFastRingDescriptorSubmission(descriptor), pair[0], NULL, 0, 0);
    PrepareFastRingBuffer(own, GetFastRingDescriptorSubmission(descriptor));
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    ReleaseFastBufferPool(pool);
    taken = NULL;
    sendText(pair[1], "x");
    while (taken == NULL)
        ck_assert_int_eq(WaitForFastRing(scene.ring, 100, NULL), 0);
    ReleaseFastBuffer(taken);
    waitFor(scene.ring, isRefilled, NULL);
    ReleaseFastRingBufferProvider(own, ReleaseRingFastBuffer);
}

static int keepBuffer(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion,
                      int reason)
{
    (void)descriptor;
    if (completion != NULL && completion->res > 0)
        made++;
    if (made == 1)
        firstTaken = *completion;
    (void)reason;
    return 1;
}

/* Gives the stage another provider, and a receive of the user's own from the pair that keeps its
 * buffers: one, or all that are there. */
static struct FastRingDescriptor* keepReceived(struct Scene* stage, uint16_t buffers,
                                               bool multishot)
{
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(scene.ring, keepBuffer,
                                                                       NULL);
    struct io_uring_sqe* entry = GetFastRingDescriptorSubmission(descriptor);

    if (multishot)
        io_uring_prep_recv_multishot(entry, pair[0], NULL, 0, 0);
    else
        io_uring_prep_recv(entry, pair[0], NULL, 0, 0);
    stage->provider = CreateFastRingBufferProvider(stage->ring, 0, buffers, LENGTH,
                                                   AllocateRingFastBuffer, stage->inbound);
    PrepareFastRingBuffer(stage->provider, entry);
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    return descriptor;
}

/* §2.3 bundles: Buffers of a bundle follow in the order of putting back, which is neither that
 * of their numbers nor that of completions when the user's own operation has kept one for a
 * while. */
CASE(provider, bundlesFollowTheRing)
{
    static uint8_t data[8 * LENGTH];
    struct Scene parts = scene;
    struct Recorder recorder = {0};
    struct FastRingDescriptor* descriptor = NULL;
    uint64_t position = 0;
    int stream[2];

    descriptor = keepReceived(&parts, 8, false);
    sendText(pair[1], "x");
    waitCount(scene.ring, &made, 1);
    pairStream(stream);
    openRecorded(&parts, stream[0], NULL, 0, &recorder);
    runIdle(scene.ring);
    for (int round = 0; round < 20; round++) {
        size_t size = round == 0 ? 3 * LENGTH : (size_t)(round % 8 + 1) * LENGTH;
        fillPattern(data, size, position);
        sendAll(stream[1], data, size);
        waitInput(&recorder, size);
        ck_assert_int_eq(ReceiveFastSocketData(recorder.socket, data, size, 0), size);
        ck_assert(checkPattern(data, size, position));
        position += size;
        if (round == 0)
            ck_assert_int_eq(AdvanceFastRingBuffer(parts.provider, &firstTaken, NULL, NULL), 0);
    }
    ReleaseFastSocket(recorder.socket);
    close(stream[1]);
    ReleaseFastRingDescriptor(descriptor);
    waitFor(scene.ring, isNothingPending, scene.ring);
    ReleaseFastRingBufferProvider(parts.provider, ReleaseRingFastBuffer);
}

/* §2.3 res 0: an end comes without a buffer, and none is put back for it, least of all the first */
CASE(provider, putsNothingBackAtAnEnd)
{
    static uint8_t data[20 * LENGTH];
    struct Scene parts = scene;
    struct Recorder recorder = {0};
    struct FastRingDescriptor* descriptor = NULL;
    uint8_t* kept = NULL;
    int stream[2];

    descriptor = keepReceived(&parts, 2, false);
    sendText(pair[1], "kept");
    waitCount(scene.ring, &made, 1);
    ck_assert_uint_eq(firstTaken.flags >> IORING_CQE_BUFFER_SHIFT, 0);
    kept = GetFastRingBuffer(parts.provider, &firstTaken);
    ck_assert_ptr_nonnull(kept);
    for (int round = 0; round < 10; round++) {
        pairKind(round % 2 ? KIND_TCP : KIND_UNIX_STREAM, stream);
        openRecorded(&parts, stream[0], NULL, 0, &recorder);
        runIdle(scene.ring);
        close(stream[1]);
        waitHangup(&recorder);
        ReleaseFastSocket(recorder.socket);
    }
    pairStream(stream);
    openRecorded(&parts, stream[0], NULL, 0, &recorder);
    fillPattern(data, sizeof(data), 0);
    sendAll(stream[1], data, sizeof(data));
    waitInput(&recorder, sizeof(data));
    ck_assert_int_eq(memcmp(kept, "kept", 4), 0);
    ck_assert_ptr_eq(GetFastRingBuffer(parts.provider, &firstTaken), kept);
    ck_assert_int_eq(ReceiveFastSocketData(recorder.socket, data, sizeof(data), 0), sizeof(data));
    ck_assert(checkPattern(data, sizeof(data), 0));
    ck_assert_int_eq(AdvanceFastRingBuffer(parts.provider, &firstTaken, NULL, NULL), 0);
    ReleaseFastSocket(recorder.socket);
    close(stream[1]);
    ReleaseFastRingDescriptor(descriptor);
    waitFor(scene.ring, isNothingPending, scene.ring);
    ReleaseFastRingBufferProvider(parts.provider, ReleaseRingFastBuffer);
}

static uint32_t flagsTaken[3];
static uint8_t* dataTaken[3];

static int noteBuffer(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion,
                      int reason)
{
    (void)descriptor;
    if (reason == FASTRING_REASON_RELEASED || completion->res <= 0 || made == 3)
        return 0;
    flagsTaken[made] = completion->flags;
    dataTaken[made] = GetFastRingBuffer(provider, completion);
    made++;
    return 1;
}

/* §2.3 incremental buffers (not needed for 1.0): none; each completion has a buffer of its own,
 * and ends it */
CASE(provider, endsABufferWithEachCompletion)
{
    const uint32_t more = 1U << 4; /* IORING_CQE_F_BUF_MORE */
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(scene.ring, noteBuffer,
                                                                       NULL);
    int stream[2];

    provider = CreateFastRingBufferProvider(scene.ring, 0, 4, 4096, AllocateRingFastBuffer,
                                            scene.inbound);
    ck_assert_ptr_nonnull(provider);
    pairStream(stream);
    io_uring_prep_recv_multishot(GetFastRingDescriptorSubmission(descriptor), stream[0], NULL, 0,
                                 0);
    PrepareFastRingBuffer(provider, GetFastRingDescriptorSubmission(descriptor));
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    for (int count = 0; count < 3; count++) {
        sendText(stream[1], "piece");
        waitCount(scene.ring, &made, count + 1);
        ck_assert_uint_eq(flagsTaken[count] & more, 0);
        ck_assert_ptr_nonnull(GetFastBuffer(dataTaken[count]));
        for (int other = 0; other < count; other++)
            ck_assert((dataTaken[count] >= dataTaken[other] + 4096) ||
                      (dataTaken[other] >= dataTaken[count] + 4096));
    }
    ReleaseFastRingDescriptor(descriptor);
    runIdle(scene.ring);
    ReleaseFastRingBufferProvider(provider, ReleaseRingFastBuffer);
    close(stream[0]);
    close(stream[1]);
}

/* §2.3 ReceiveFastSocketBuffer: every buffer kept by the user's own operation, a socket beside
 * it waits without a turn too many. */
CASE(provider, starvesQuietlyBesideKeptBuffers)
{
    struct Scene parts = scene;
    struct Recorder recorder = {0};
    struct FastRingDescriptor* descriptor = NULL;
    uint64_t before = 0;
    int stream[2];

    descriptor = keepReceived(&parts, 2, true);
    sendText(pair[1], "x");
    sendText(pair[1], "y");
    waitCount(scene.ring, &made, 2);
    pairStream(stream);
    openRecorded(&parts, stream[0], NULL, 0, &recorder);
    sendText(stream[1], "z");
    runIdle(scene.ring);
    before = readRing(scene.ring).completions;
    for (int turn = 0; turn < 20; turn++)
        ck_assert_int_eq(WaitForFastRing(scene.ring, 1, NULL), 0);
    ck_assert_uint_le(readRing(scene.ring).completions - before, 2);
    ck_assert_int_eq(recorder.in, 0);
    ck_assert_int_eq(AdvanceFastRingBuffer(parts.provider, &firstTaken, NULL, NULL), 0);
    waitInput(&recorder, 1);
    ReleaseFastSocket(recorder.socket);
    close(stream[1]);
    ReleaseFastRingDescriptor(descriptor);
    waitFor(scene.ring, isNothingPending, scene.ring);
    runIdle(scene.ring);
    ReleaseFastRingBufferProvider(parts.provider, ReleaseRingFastBuffer);
}

/* ---- creation ---- */

CASE(provider, isFilledAtOnce)
{
    static const struct
    {
        uint16_t asked;
        int got;
    } counts[] = {{1, 1},     {2, 2},       {3, 4},         {0, 256},
                  {200, 256}, {1000, 1024}, {32768, 32768}, {20000, 32768}};
    for (size_t index = 0; index < sizeof(counts) / sizeof(counts[0]); index++) {
        made = 0;
        given = 0;
        uint64_t before = readRing(scene.ring).providedBuffers;
        provider = create(0, counts[index].asked);
        ck_assert_int_eq(made, counts[index].got);
        ck_assert_uint_eq(readRing(scene.ring).providedBuffers, before + (uint64_t)made);
        ReleaseFastRingBufferProvider(provider, give);
        ck_assert_int_eq(given, counts[index].got);
    }
}

static void createFew(uint16_t group)
{
    uint64_t before = readRing(scene.ring).providedBuffers;
    provider = CreateFastRingBufferProvider(scene.ring, group, 64, 64 << 10,
                                            AllocateRingFastBuffer, scene.inbound);
    ck_assert_ptr_nonnull(provider);
    ck_assert_uint_lt(readRing(scene.ring).providedBuffers, before + 64);
}

/* Of large buffers that a pool makes some wait for input at first; all for a user's operation: that
 * was prepared for them, or names their number, even before they have it. */
CASE_ROUNDS(provider, isFilledForOperations, 3)
{
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(scene.ring, NULL, NULL);
    struct io_uring_sqe* entry = GetFastRingDescriptorSubmission(descriptor);
    uint64_t before = readRing(scene.ring).providedBuffers;
    bool prepares = round == 0;
    bool isLate = round == 2;

    io_uring_prep_recv(entry, pair[0], NULL, 0, 0);
    if (!isLate)
        createFew(prepares ? 0 : 9);
    if (prepares)
        PrepareFastRingBuffer(provider, entry);
    else {
        entry->flags |= IOSQE_BUFFER_SELECT;
        entry->buf_group = 9;
        ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    }
    if (isLate)
        createFew(9);
    if (!prepares)
        runTurns(scene.ring, 1);
    ck_assert_uint_eq(readRing(scene.ring).providedBuffers, before + 64);
    ReleaseFastRingDescriptor(descriptor);
    runIdle(scene.ring);
    ReleaseFastRingBufferProvider(provider, ReleaseRingFastBuffer);
}

CASE(provider, groupsAreUnique)
{
    struct FastRingBufferProvider* picked[3];
    struct FastRingBufferProvider* chosen = create(77, COUNT);
    ck_assert_uint_eq(GetFastRingBufferGroup(chosen), 77);
    refuses(EEXIST, CreateFastRingBufferProvider(scene.ring, 77, COUNT, LENGTH, make, &made));
    for (int index = 0; index < 3; index++) {
        picked[index] = create(0, COUNT);
        uint16_t group = GetFastRingBufferGroup(picked[index]);
        ck_assert_uint_ne(group, 0);
        ck_assert_uint_ne(group, 77);
        ck_assert_uint_ne(group, GetFastRingBufferGroup(scene.provider));
        for (int other = 0; other < index; other++)
            ck_assert_uint_ne(group, GetFastRingBufferGroup(picked[other]));
        refuses(EEXIST,
                CreateFastRingBufferProvider(scene.ring, group, COUNT, LENGTH, make, &made));
    }
    ReleaseFastRingBufferProvider(chosen, give);
    chosen = create(77, COUNT); /* free again */
    ReleaseFastRingBufferProvider(chosen, give);
    for (int index = 0; index < 3; index++)
        ReleaseFastRingBufferProvider(picked[index], give);
    ck_assert_int_eq(given, made);
}

CASE(provider, highestGroupWorks)
{
    provider = create(65535, COUNT);
    ck_assert_uint_eq(GetFastRingBufferGroup(provider), 65535);
    ReleaseFastRingBufferProvider(provider, give);
}

static void* useInThread(void* closure)
{
    struct io_uring_sqe entry = {0};
    PrepareFastRingBuffer(closure, &entry); /* does nothing */
    ck_assert_uint_eq(entry.flags + entry.buf_group, 0);
    refuses(EPERM, CreateFastRingBufferProvider(scene.ring, 0, COUNT, LENGTH, make, &made));
    ReleaseFastRingBufferProvider(closure, give); /* does nothing */
    return NULL;
}

CASE(provider, refusesBadArguments)
{
    struct io_uring_sqe entry = {0};
    struct io_uring_cqe completion = {0};

    refuses(EINVAL, CreateFastRingBufferProvider(NULL, 0, COUNT, LENGTH, make, &made));
    refuses(EINVAL, CreateFastRingBufferProvider(scene.ring, 0, 32769, LENGTH, make, &made));
    refuses(EINVAL, CreateFastRingBufferProvider(scene.ring, 0, COUNT, 63, make, &made));
    refuses(EINVAL, CreateFastRingBufferProvider(scene.ring, 0, COUNT, (1 << 30) + 1, make, &made));
    refuses(EINVAL, CreateFastRingBufferProvider(scene.ring, 0, COUNT, LENGTH, NULL, &made));
    ck_assert_int_eq(made, 0);
    ReleaseFastRingBufferProvider(NULL, give);
    ck_assert_uint_eq(GetFastRingBufferGroup(NULL), 0);
    PrepareFastRingBuffer(NULL, &entry);
    ck_assert_uint_eq(entry.flags, 0);

    provider = create(0, COUNT);
    PrepareFastRingBuffer(provider, NULL);
    ck_assert_ptr_null(GetFastRingBuffer(provider, NULL));
    ck_assert_ptr_null(GetFastRingBuffer(NULL, &completion));
    ck_assert_ptr_null(GetFastRingBuffer(provider, &completion)); /* it has none */
    ck_assert_int_eq(AdvanceFastRingBuffer(provider, NULL, NULL, NULL), -EINVAL);
    ck_assert_int_eq(AdvanceFastRingBuffer(NULL, &completion, NULL, NULL), -EINVAL);
    ck_assert_int_eq(AdvanceFastRingBuffer(provider, &completion, NULL, NULL), -EINVAL);
    /* beyond the group */
    completion.flags = IORING_CQE_F_BUFFER | (COUNT << IORING_CQE_BUFFER_SHIFT);
    ck_assert_ptr_null(GetFastRingBuffer(provider, &completion));
    ck_assert_int_eq(AdvanceFastRingBuffer(provider, &completion, NULL, NULL), -EINVAL);
    runTurns(scene.ring, 1);
    inThread(useInThread, provider);
    ck_assert_int_eq(given, 0);
    ReleaseFastRingBufferProvider(provider, give);
    ck_assert_int_eq(given, COUNT);
}

static void refuseWithoutPool(struct FastRing* ring)
{
    refuses(EINVAL, CreateFastRingBufferProvider(ring, 0, 8, 4096, AllocateRingFastBuffer, NULL));
}

/* One that could not be made, as a program may find out later. */
CASE(provider, refusesNoPool)
{
    uint64_t before = readRing(scene.ring).providedBuffers;
    refuseWithoutPool(scene.ring);
    ck_assert_uint_eq(readRing(scene.ring).providedBuffers, before);
}

struct Apart
{
    struct FastRing* ring;
    pthread_barrier_t meeting;
};

static void* runApart(void* closure)
{
    struct Apart* apart = closure;
    ck_assert_int_eq(WaitForFastRing(apart->ring, 0, NULL), 0);
    pthread_barrier_wait(&apart->meeting);
    pthread_barrier_wait(&apart->meeting);
    ReleaseFastRing(apart->ring);
    return NULL;
}

/* The last buffer of a provider may close the pool, which only its own ring's thread can. */
CASE(provider, refusesAnotherThreadsPool)
{
    struct Apart apart = {.ring = CreateFastRing(0)};
    pthread_t thread;
    struct FastBufferPool* foreign = CreateFastBufferPool(apart.ring);
    struct FastRing* second = CreateFastRing(0); /* of this thread */
    struct FastBufferPool* pools[] = {CreateFastBufferPool(NULL), scene.inbound,
                                      CreateFastBufferPool(second)};
    ck_assert_int_eq(pthread_barrier_init(&apart.meeting, NULL, 2), 0);
    ck_assert_int_eq(WaitForFastRing(second, 0, NULL), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, runApart, &apart), 0);
    pthread_barrier_wait(&apart.meeting);
    refuses(EINVAL, CreateFastRingBufferProvider(scene.ring, 0, COUNT, LENGTH,
                                                 AllocateRingFastBuffer, foreign));
    for (size_t index = 0; index < sizeof(pools) / sizeof(pools[0]); index++) {
        provider = CreateFastRingBufferProvider(scene.ring, 0, COUNT, LENGTH,
                                                AllocateRingFastBuffer, pools[index]);
        ck_assert_ptr_nonnull(provider);
        ReleaseFastRingBufferProvider(provider, ReleaseRingFastBuffer);
    }
    ReleaseFastBufferPool(pools[0]);
    ReleaseFastBufferPool(pools[2]);
    ReleaseFastRing(second);
    pthread_barrier_wait(&apart.meeting);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    pthread_barrier_destroy(&apart.meeting);
    ReleaseFastBufferPool(foreign);
}

/* No memory for the n-th buffer: with one it works and fills up later, without any it is
 * refused. */
CASE(provider, survivesShortageAtCreation)
{
    failEveryCall(&makings);
    refuses(ENOMEM, CreateFastRingBufferProvider(scene.ring, 0, COUNT, LENGTH, make, &made));
    for (int call = 1; call <= COUNT; call++) {
        failCall(&makings, call);
        made = 0;
        given = 0;
        provider = CreateFastRingBufferProvider(scene.ring, 0, COUNT, LENGTH, make, &made);
        if (provider == NULL) {
            ck_assert_int_eq(errno, ENOMEM);
            ck_assert_int_eq(made, 0);
            continue;
        }
        waitCount(scene.ring, &made, COUNT);
        ReleaseFastRingBufferProvider(provider, give);
        ck_assert_int_eq(given, COUNT);
    }
}

/* ---- receiving ---- */

enum Answer
{
    GIVE_BACK, /* the same buffer */
    REPLACE,   /* another one; we keep the old one */
    FAIL,      /* another one, which can't be made */
    NEGLECT,   /* nothing: the slot stays taken */
};

static enum Answer answers;
static int received;
static int starved;
static int last;
static char text[LENGTH + 1];
static void* kept[64];
static int keptCount;

static int onReceive(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion,
                     int reason)
{
    (void)descriptor;
    last = reason == FASTRING_REASON_RELEASED ? -ECANCELED : completion->res;
    if (reason == FASTRING_REASON_RELEASED || completion->res < 0) {
        starved += last == -ENOBUFS;
        return 1;
    }
    uint8_t* buffer = GetFastRingBuffer(provider, completion);
    ck_assert_ptr_nonnull(buffer);
    memcpy(text, buffer, (size_t)completion->res);
    text[completion->res] = '\0';
    received++;
    switch (answers) {
    case GIVE_BACK:
        ck_assert_int_eq(AdvanceFastRingBuffer(provider, completion, NULL, NULL), 0);
        break;
    case REPLACE:
        kept[keptCount++] = buffer;
        ck_assert_int_eq(AdvanceFastRingBuffer(provider, completion, make, &made), 0);
        break;
    case FAIL:
        kept[keptCount++] = buffer;
        ck_assert_int_eq(AdvanceFastRingBuffer(provider, completion, make, &made), -ENOMEM);
        /* no longer there */
        ck_assert_ptr_null(GetFastRingBuffer(provider, completion));
        break;
    case NEGLECT:
        break;
    }
    return 1;
}

static struct FastRingDescriptor* prepareReceive(bool multishot)
{
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(scene.ring, onReceive, NULL);
    struct io_uring_sqe* entry = GetFastRingDescriptorSubmission(descriptor);
    if (multishot)
        io_uring_prep_recv_multishot(entry, pair[0], NULL, 0, 0);
    else
        io_uring_prep_recv(entry, pair[0], NULL, LENGTH, 0);
    entry->ioprio |= 1 << 4; /* bundles: taken away by the next call */
    PrepareFastRingBuffer(provider, entry);
    ck_assert_uint_eq(entry->ioprio & (1 << 4), 0);
    ck_assert_uint_eq(entry->buf_group, GetFastRingBufferGroup(provider));
    ck_assert(entry->flags & IOSQE_BUFFER_SELECT);
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    return descriptor;
}

static void giveKept(void)
{
    while (keptCount > 0)
        free(kept[--keptCount]);
}

CASE(provider, receivesAndGivesBack)
{
    provider = create(0, COUNT);
    struct FastRingDescriptor* descriptor = prepareReceive(true);
    for (int round = 1; round <= 5 * COUNT; round++) {
        char word[16];
        snprintf(word, sizeof(word), "word %d", round);
        sendText(pair[1], word);
        waitCount(scene.ring, &received, round);
        ck_assert_str_eq(text, word);
    }
    ck_assert_int_eq(made, COUNT);
    ck_assert_int_eq(starved, 0);
    ReleaseFastRingDescriptor(descriptor);
    runIdle(scene.ring);
    ReleaseFastRingBufferProvider(provider, give);
    ck_assert_int_eq(given, COUNT);
}

CASE(provider, receivesAndReplaces)
{
    provider = create(0, COUNT);
    answers = REPLACE;
    struct FastRingDescriptor* descriptor = prepareReceive(true);
    for (int round = 1; round <= 5 * COUNT; round++) {
        sendText(pair[1], "text");
        waitCount(scene.ring, &received, round);
        ck_assert_int_eq(memcmp(kept[round - 1], "text", 4), 0);
    }
    ck_assert_int_eq(made, 6 * COUNT);
    ReleaseFastRingDescriptor(descriptor);
    runIdle(scene.ring);
    ReleaseFastRingBufferProvider(provider, give);
    ck_assert_int_eq(given, COUNT);
    giveKept();
}

/* §2.3 buffers and provider: The slot stays out, and the provider fills it by itself when it
 * can. */
CASE(provider, refillsAfterShortage)
{
    provider = create(0, COUNT);
    answers = FAIL;
    struct FastRingDescriptor* descriptor = prepareReceive(true);
    runTurns(scene.ring, 2);
    failEveryCall(&makings);
    for (int round = 1; round <= COUNT; round++) {
        sendText(pair[1], "text");
        waitCount(scene.ring, &received, round);
    }
    sendText(pair[1], "more");
    waitCount(scene.ring, &starved, 1);
    runTurns(scene.ring, 5);
    ck_assert_int_eq(received, COUNT);
    failNoCall(&makings);
    waitCount(scene.ring, &made, 2 * COUNT);
    answers = GIVE_BACK;
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    waitCount(scene.ring, &received, COUNT + 1);
    ck_assert_str_eq(text, "more");
    ReleaseFastRingDescriptor(descriptor);
    runIdle(scene.ring);
    ReleaseFastRingBufferProvider(provider, give);
    ck_assert_int_eq(given, COUNT);
    giveKept();
}

CASE(provider, worksSingleShot)
{
    provider = create(0, 1);
    struct FastRingDescriptor* descriptor = prepareReceive(false);
    for (int round = 1; round <= 5; round++) {
        sendText(pair[1], "text");
        waitCount(scene.ring, &received, round);
        ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    }
    ReleaseFastRingDescriptor(descriptor);
    runIdle(scene.ring);
    ReleaseFastRingBufferProvider(provider, give);
    ck_assert_int_eq(given, 1);
}

CASE(provider, neglectedBuffersAreReleasedToo)
{
    provider = create(0, COUNT);
    answers = NEGLECT;
    struct FastRingDescriptor* descriptor = prepareReceive(true);
    for (int round = 1; round <= 2; round++) {
        sendText(pair[1], "text");
        waitCount(scene.ring, &received, round);
    }
    ReleaseFastRingDescriptor(descriptor);
    runIdle(scene.ring);
    ReleaseFastRingBufferProvider(provider, give);
    ck_assert_int_eq(given, COUNT);
}

/* ---- release ---- */

static void* remembered[COUNT];

static void* remember(size_t length, void* closure)
{
    (void)closure;
    remembered[made] = malloc(length);
    return remembered[made++];
}

CASE(provider, forgetsWithoutFunction)
{
    provider = CreateFastRingBufferProvider(scene.ring, 0, COUNT, LENGTH, remember, NULL);
    ck_assert_ptr_nonnull(provider);
    ReleaseFastRingBufferProvider(provider, NULL);
    for (int index = 0; index < COUNT; index++)
        free(remembered[index]); /* ours to know */
}

CASE(provider, isAShellAfterTheRing)
{
    struct io_uring_cqe completion = {.flags = IORING_CQE_F_BUFFER};
    provider = create(0, COUNT);
    runTurns(scene.ring, 1);
    endRing();
    ck_assert_int_eq(AdvanceFastRingBuffer(provider, &completion, NULL, NULL), -ECANCELED);
    ck_assert_int_eq(given, 0);
    ReleaseFastRingBufferProvider(provider, give);
    ck_assert_int_eq(given, COUNT);
}

CASE(provider, inFlightAtTheRingsEnd)
{
    provider = create(0, COUNT);
    struct FastRingDescriptor* descriptor = prepareReceive(true);
    runTurns(scene.ring, 2);
    endRing();
    ReleaseFastRingBufferProvider(provider, give);
    ck_assert_int_eq(given, COUNT);
    ReleaseFastRingDescriptor(descriptor);
}

static int releaseInside(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion,
                         int reason)
{
    (void)descriptor;
    (void)reason;
    if (completion != NULL && completion->res >= 0 && provider != NULL) {
        AdvanceFastRingBuffer(provider, completion, NULL, NULL);
        ReleaseFastRingBufferProvider(provider, give);
        provider = NULL;
        received++;
    }
    return 0;
}

CASE(provider, isReleasedInsideACallback)
{
    provider = create(0, COUNT);
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(scene.ring, releaseInside,
                                                                       NULL);
    struct io_uring_sqe* entry = GetFastRingDescriptorSubmission(descriptor);
    io_uring_prep_recv_multishot(entry, pair[0], NULL, 0, 0);
    PrepareFastRingBuffer(provider, entry);
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    sendText(pair[1], "text");
    waitCount(scene.ring, &received, 1);
    runIdle(scene.ring);
    ck_assert_int_eq(given, COUNT);
}

/* ---- without a scene ---- */

AREA(bareProvider, "provider-bare");

CASE(bareProvider, refusesNoPoolBeforeThereIsOne)
{
    struct FastRing* ring = CreateFastRing(0);
    ck_assert_ptr_nonnull(ring);
    refuseWithoutPool(ring);
    ReleaseFastRing(ring);
}

/* Its ring is gone: it will never have memory. */
CASE(bareProvider, refusesADefunctPool)
{
    struct FastRing* ring = CreateFastRing(0);
    struct FastRing* other = CreateFastRing(0);
    struct FastBufferPool* pool = CreateFastBufferPool(other);
    ck_assert_ptr_nonnull(pool);
    ReleaseFastRing(other);
    refuses(ECANCELED,
            CreateFastRingBufferProvider(ring, 0, 8, 4096, AllocateRingFastBuffer, pool));
    ReleaseFastBufferPool(pool);
    ReleaseFastRing(ring);
}
