/* Buffer providers under the user's own operations. */
#include "services.h"

#include <liburing.h>

enum
{
    COUNT = 4,
    LENGTH = 128,
};

static struct Fixture fixture;
static struct FastRingBufferProvider* provider;
static int pair[2];
static int made;
static int given;  /* back */
static int failAt; /* the n-th making from now fails; negative: all */

static void setUp(void)
{
    fixtureOpen(&fixture, 0, 0, 0);
    pairUnix(pair, SOCK_DGRAM);
}

static void tearDown(void)
{
    close(pair[0]);
    close(pair[1]);
    fixtureClose(&fixture);
}

static void* make(size_t length, void* closure)
{
    ck_assert_uint_eq(length, LENGTH);
    ck_assert_ptr_eq(closure, &made);
    if (failAt < 0 || (failAt > 0 && --failAt == 0))
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
        CreateFastRingBufferProvider(fixture.ring, group, count, LENGTH, make, &made);
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

static int takeWithoutReplacement(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion,
                                  int reason)
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
    return readRing(fixture.ring).providedBuffers == 65; /* the fixture's, and the one */
}

/* A provider refills itself from its pool also when the pool was released before it. */
START_TEST(refillsFromReleasedPool)
{
    struct FastBufferPool* pool = CreateFastBufferPool(fixture.ring);
    struct FastRingBufferProvider* own =
        CreateFastRingBufferProvider(fixture.ring, 0, 1, LENGTH, AllocateRingFastBuffer, pool);
    struct FastRingDescriptor* descriptor =
        AllocateFastRingDescriptor(fixture.ring, takeWithoutReplacement, own);

    ck_assert_ptr_nonnull(own);
    io_uring_prep_recv(GetFastRingDescriptorSubmission(descriptor), pair[0], NULL, 0, 0);
    PrepareFastRingBuffer(own, GetFastRingDescriptorSubmission(descriptor));
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    ReleaseFastBufferPool(pool);
    taken = NULL;
    sendText(pair[1], "x");
    while (taken == NULL)
        ck_assert_int_eq(WaitForFastRing(fixture.ring, 100, NULL), 0);
    ReleaseFastBuffer(taken);
    waitFor(fixture.ring, isRefilled, NULL);
    ReleaseFastRingBufferProvider(own, ReleaseRingFastBuffer);
}
END_TEST

static int keepBuffer(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion, int reason)
{
    (void)descriptor;
    if (completion != NULL && completion->res > 0)
        made++;
    if (made == 1)
        firstTaken = *completion;
    (void)reason;
    return 1;
}

/* §2.3 bundles: Buffers of a bundle follow in the order of putting back, which is neither that
 * of their numbers nor that of completions when the user's own operation has kept one for a
 * while. */
START_TEST(bundlesFollowTheRing)
{
    static uint8_t data[8 * LENGTH];
    struct Fixture parts = fixture;
    struct Recorder recorder = {0};
    struct FastRingDescriptor* descriptor = NULL;
    uint64_t position = 0;
    int stream[2];

    parts.provider = CreateFastRingBufferProvider(fixture.ring, 0, 8, LENGTH, AllocateRingFastBuffer,
                                                  fixture.inbound);
    descriptor = AllocateFastRingDescriptor(fixture.ring, keepBuffer, NULL);
    io_uring_prep_recv(GetFastRingDescriptorSubmission(descriptor), pair[0], NULL, 0, 0);
    PrepareFastRingBuffer(parts.provider, GetFastRingDescriptorSubmission(descriptor));
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    sendText(pair[1], "x");
    waitCount(fixture.ring, &made, 1);
    pairStream(stream);
    openRecorded(&parts, stream[0], NULL, 0, &recorder);
    runIdle(fixture.ring);
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
    waitFor(fixture.ring, isNothingPending, fixture.ring);
    ReleaseFastRingBufferProvider(parts.provider, ReleaseRingFastBuffer);
}
END_TEST

/* §2.3 res 0: an end comes without a buffer, and none is put back for it, least of all the first */
START_TEST(putsNothingBackAtAnEnd)
{
    static uint8_t data[20 * LENGTH];
    struct Fixture parts = fixture;
    struct Recorder recorder = {0};
    struct FastRingDescriptor* descriptor = NULL;
    uint8_t* kept = NULL;
    int stream[2];

    parts.provider = CreateFastRingBufferProvider(fixture.ring, 0, 2, LENGTH, AllocateRingFastBuffer,
                                                  fixture.inbound);
    descriptor = AllocateFastRingDescriptor(fixture.ring, keepBuffer, NULL);
    io_uring_prep_recv(GetFastRingDescriptorSubmission(descriptor), pair[0], NULL, 0, 0);
    PrepareFastRingBuffer(parts.provider, GetFastRingDescriptorSubmission(descriptor));
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    sendText(pair[1], "kept");
    waitCount(fixture.ring, &made, 1);
    ck_assert_uint_eq(firstTaken.flags >> IORING_CQE_BUFFER_SHIFT, 0);
    kept = GetFastRingBuffer(parts.provider, &firstTaken);
    ck_assert_ptr_nonnull(kept);
    for (int round = 0; round < 10; round++) {
        pairKind(round % 2 ? KIND_TCP : KIND_UNIX_STREAM, stream);
        openRecorded(&parts, stream[0], NULL, 0, &recorder);
        runIdle(fixture.ring);
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
    waitFor(fixture.ring, isNothingPending, fixture.ring);
    ReleaseFastRingBufferProvider(parts.provider, ReleaseRingFastBuffer);
}
END_TEST

static uint32_t flagsTaken[3];
static uint8_t* dataTaken[3];

static int noteBuffer(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion, int reason)
{
    (void)descriptor;
    if (reason == FASTRING_REASON_RELEASED || completion->res <= 0 || made == 3)
        return 0;
    flagsTaken[made] = completion->flags;
    dataTaken[made] = GetFastRingBuffer(provider, completion);
    made++;
    return 1;
}

/* §2.3 incremental buffers (not needed for 1.0): none; each completion has a buffer of its own, and ends it */
START_TEST(endsABufferWithEachCompletion)
{
    const uint32_t more = 1U << 4; /* IORING_CQE_F_BUF_MORE */
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(fixture.ring, noteBuffer, NULL);
    int stream[2];

    provider = CreateFastRingBufferProvider(fixture.ring, 0, 4, 4096, AllocateRingFastBuffer,
                                            fixture.inbound);
    ck_assert_ptr_nonnull(provider);
    pairStream(stream);
    io_uring_prep_recv_multishot(GetFastRingDescriptorSubmission(descriptor), stream[0], NULL, 0, 0);
    PrepareFastRingBuffer(provider, GetFastRingDescriptorSubmission(descriptor));
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    for (int count = 0; count < 3; count++) {
        sendText(stream[1], "piece");
        waitCount(fixture.ring, &made, count + 1);
        ck_assert_uint_eq(flagsTaken[count] & more, 0);
        ck_assert_ptr_nonnull(GetFastBuffer(dataTaken[count]));
        for (int other = 0; other < count; other++)
            ck_assert((dataTaken[count] >= dataTaken[other] + 4096) ||
                      (dataTaken[other] >= dataTaken[count] + 4096));
    }
    ReleaseFastRingDescriptor(descriptor);
    runIdle(fixture.ring);
    ReleaseFastRingBufferProvider(provider, ReleaseRingFastBuffer);
    close(stream[0]);
    close(stream[1]);
}
END_TEST

/* §2.3 ReceiveFastSocketBuffer: every buffer kept by the user's own operation, a socket beside
 * it waits without a turn too many. */
START_TEST(starvesQuietlyBesideKeptBuffers)
{
    struct Fixture parts = fixture;
    struct Recorder recorder = {0};
    struct FastRingDescriptor* descriptor = NULL;
    uint64_t before = 0;
    int stream[2];

    parts.provider = CreateFastRingBufferProvider(fixture.ring, 0, 2, LENGTH, AllocateRingFastBuffer,
                                                  fixture.inbound);
    descriptor = AllocateFastRingDescriptor(fixture.ring, keepBuffer, NULL);
    io_uring_prep_recv_multishot(GetFastRingDescriptorSubmission(descriptor), pair[0], NULL, 0, 0);
    PrepareFastRingBuffer(parts.provider, GetFastRingDescriptorSubmission(descriptor));
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    sendText(pair[1], "x");
    sendText(pair[1], "y");
    waitCount(fixture.ring, &made, 2);
    pairStream(stream);
    openRecorded(&parts, stream[0], NULL, 0, &recorder);
    sendText(stream[1], "z");
    runIdle(fixture.ring);
    before = readRing(fixture.ring).completions;
    for (int turn = 0; turn < 20; turn++)
        ck_assert_int_eq(WaitForFastRing(fixture.ring, 1, NULL), 0);
    ck_assert_uint_le(readRing(fixture.ring).completions - before, 2);
    ck_assert_int_eq(recorder.in, 0);
    ck_assert_int_eq(AdvanceFastRingBuffer(parts.provider, &firstTaken, NULL, NULL), 0);
    waitInput(&recorder, 1);
    ReleaseFastSocket(recorder.socket);
    close(stream[1]);
    ReleaseFastRingDescriptor(descriptor);
    waitFor(fixture.ring, isNothingPending, fixture.ring);
    runIdle(fixture.ring);
    ReleaseFastRingBufferProvider(parts.provider, ReleaseRingFastBuffer);
}
END_TEST

/* ---- creation ---- */

START_TEST(isFilledAtOnce)
{
    static const struct
    {
        uint16_t asked;
        int got;
    } counts[] = {{1, 1}, {2, 2}, {3, 4}, {0, 256}, {200, 256}, {1000, 1024}, {32768, 32768}, {20000, 32768}};
    for (size_t index = 0; index < sizeof(counts) / sizeof(counts[0]); index++) {
        made = 0;
        given = 0;
        uint64_t before = readRing(fixture.ring).providedBuffers;
        provider = create(0, counts[index].asked);
        ck_assert_int_eq(made, counts[index].got);
        ck_assert_uint_eq(readRing(fixture.ring).providedBuffers, before + (uint64_t)made);
        ReleaseFastRingBufferProvider(provider, give);
        ck_assert_int_eq(given, counts[index].got);
    }
}
END_TEST

START_TEST(groupsAreUnique)
{
    struct FastRingBufferProvider* picked[3];
    struct FastRingBufferProvider* chosen = create(77, COUNT);
    ck_assert_uint_eq(GetFastRingBufferGroup(chosen), 77);
    refuses(EEXIST, CreateFastRingBufferProvider(fixture.ring, 77, COUNT, LENGTH, make, &made));
    for (int index = 0; index < 3; index++) {
        picked[index] = create(0, COUNT);
        uint16_t group = GetFastRingBufferGroup(picked[index]);
        ck_assert_uint_ne(group, 0);
        ck_assert_uint_ne(group, 77);
        ck_assert_uint_ne(group, GetFastRingBufferGroup(fixture.provider));
        for (int other = 0; other < index; other++)
            ck_assert_uint_ne(group, GetFastRingBufferGroup(picked[other]));
        refuses(EEXIST, CreateFastRingBufferProvider(fixture.ring, group, COUNT, LENGTH, make, &made));
    }
    ReleaseFastRingBufferProvider(chosen, give);
    chosen = create(77, COUNT); /* free again */
    ReleaseFastRingBufferProvider(chosen, give);
    for (int index = 0; index < 3; index++)
        ReleaseFastRingBufferProvider(picked[index], give);
    ck_assert_int_eq(given, made);
}
END_TEST

START_TEST(highestGroupWorks)
{
    provider = create(65535, COUNT);
    ck_assert_uint_eq(GetFastRingBufferGroup(provider), 65535);
    ReleaseFastRingBufferProvider(provider, give);
}
END_TEST

static void* useInThread(void* closure)
{
    refuses(EPERM, CreateFastRingBufferProvider(fixture.ring, 0, COUNT, LENGTH, make, &made));
    ReleaseFastRingBufferProvider(closure, give); /* does nothing */
    return NULL;
}

START_TEST(refusesBadArguments)
{
    struct io_uring_sqe entry = {0};
    struct io_uring_cqe completion = {0};

    refuses(EINVAL, CreateFastRingBufferProvider(NULL, 0, COUNT, LENGTH, make, &made));
    refuses(EINVAL, CreateFastRingBufferProvider(fixture.ring, 0, 32769, LENGTH, make, &made));
    refuses(EINVAL, CreateFastRingBufferProvider(fixture.ring, 0, COUNT, 63, make, &made));
    refuses(EINVAL, CreateFastRingBufferProvider(fixture.ring, 0, COUNT, (1 << 30) + 1, make, &made));
    refuses(EINVAL, CreateFastRingBufferProvider(fixture.ring, 0, COUNT, LENGTH, NULL, &made));
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
    completion.flags = IORING_CQE_F_BUFFER | (COUNT << IORING_CQE_BUFFER_SHIFT); /* beyond the group */
    ck_assert_ptr_null(GetFastRingBuffer(provider, &completion));
    ck_assert_int_eq(AdvanceFastRingBuffer(provider, &completion, NULL, NULL), -EINVAL);
    runTurns(fixture.ring, 1);
    inThread(useInThread, provider);
    ck_assert_int_eq(given, 0);
    ReleaseFastRingBufferProvider(provider, give);
    ck_assert_int_eq(given, COUNT);
}
END_TEST

/* No memory for the n-th buffer: with one it works and fills up later, without any it is refused. */
START_TEST(survivesShortageAtCreation)
{
    failAt = -1;
    refuses(ENOMEM, CreateFastRingBufferProvider(fixture.ring, 0, COUNT, LENGTH, make, &made));
    for (int call = 1; call <= COUNT; call++) {
        failAt = call;
        made = 0;
        given = 0;
        provider = CreateFastRingBufferProvider(fixture.ring, 0, COUNT, LENGTH, make, &made);
        if (provider == NULL) {
            ck_assert_int_eq(errno, ENOMEM);
            ck_assert_int_eq(made, 0);
            continue;
        }
        waitCount(fixture.ring, &made, COUNT);
        ReleaseFastRingBufferProvider(provider, give);
        ck_assert_int_eq(given, COUNT);
    }
}
END_TEST

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

static int onReceive(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion, int reason)
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
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(fixture.ring, onReceive, NULL);
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

START_TEST(receivesAndGivesBack)
{
    provider = create(0, COUNT);
    struct FastRingDescriptor* descriptor = prepareReceive(true);
    for (int round = 1; round <= 5 * COUNT; round++) {
        char word[16];
        snprintf(word, sizeof(word), "word %d", round);
        sendText(pair[1], word);
        waitCount(fixture.ring, &received, round);
        ck_assert_str_eq(text, word);
    }
    ck_assert_int_eq(made, COUNT);
    ck_assert_int_eq(starved, 0);
    ReleaseFastRingDescriptor(descriptor);
    runIdle(fixture.ring);
    ReleaseFastRingBufferProvider(provider, give);
    ck_assert_int_eq(given, COUNT);
}
END_TEST

START_TEST(receivesAndReplaces)
{
    provider = create(0, COUNT);
    answers = REPLACE;
    struct FastRingDescriptor* descriptor = prepareReceive(true);
    for (int round = 1; round <= 5 * COUNT; round++) {
        sendText(pair[1], "text");
        waitCount(fixture.ring, &received, round);
        ck_assert_int_eq(memcmp(kept[round - 1], "text", 4), 0);
    }
    ck_assert_int_eq(made, 6 * COUNT);
    ReleaseFastRingDescriptor(descriptor);
    runIdle(fixture.ring);
    ReleaseFastRingBufferProvider(provider, give);
    ck_assert_int_eq(given, COUNT);
    giveKept();
}
END_TEST

/* §2.3 buffers and provider: The slot stays out, and the provider fills it by itself when it
 * can. */
START_TEST(refillsAfterShortage)
{
    provider = create(0, COUNT);
    answers = FAIL;
    struct FastRingDescriptor* descriptor = prepareReceive(true);
    runTurns(fixture.ring, 2);
    failAt = -1;
    for (int round = 1; round <= COUNT; round++) {
        sendText(pair[1], "text");
        waitCount(fixture.ring, &received, round);
    }
    sendText(pair[1], "more");
    waitCount(fixture.ring, &starved, 1);
    runTurns(fixture.ring, 5);
    ck_assert_int_eq(received, COUNT);
    failAt = 0;
    waitCount(fixture.ring, &made, 2 * COUNT);
    answers = GIVE_BACK;
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    waitCount(fixture.ring, &received, COUNT + 1);
    ck_assert_str_eq(text, "more");
    ReleaseFastRingDescriptor(descriptor);
    runIdle(fixture.ring);
    ReleaseFastRingBufferProvider(provider, give);
    ck_assert_int_eq(given, COUNT);
    giveKept();
}
END_TEST

START_TEST(worksSingleShot)
{
    provider = create(0, 1);
    struct FastRingDescriptor* descriptor = prepareReceive(false);
    for (int round = 1; round <= 5; round++) {
        sendText(pair[1], "text");
        waitCount(fixture.ring, &received, round);
        ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    }
    ReleaseFastRingDescriptor(descriptor);
    runIdle(fixture.ring);
    ReleaseFastRingBufferProvider(provider, give);
    ck_assert_int_eq(given, 1);
}
END_TEST

START_TEST(neglectedBuffersAreReleasedToo)
{
    provider = create(0, COUNT);
    answers = NEGLECT;
    struct FastRingDescriptor* descriptor = prepareReceive(true);
    for (int round = 1; round <= 2; round++) {
        sendText(pair[1], "text");
        waitCount(fixture.ring, &received, round);
    }
    ReleaseFastRingDescriptor(descriptor);
    runIdle(fixture.ring);
    ReleaseFastRingBufferProvider(provider, give);
    ck_assert_int_eq(given, COUNT);
}
END_TEST

/* ---- release ---- */

static void* remembered[COUNT];

static void* remember(size_t length, void* closure)
{
    (void)closure;
    remembered[made] = malloc(length);
    return remembered[made++];
}

START_TEST(forgetsWithoutFunction)
{
    provider = CreateFastRingBufferProvider(fixture.ring, 0, COUNT, LENGTH, remember, NULL);
    ck_assert_ptr_nonnull(provider);
    ReleaseFastRingBufferProvider(provider, NULL);
    for (int index = 0; index < COUNT; index++)
        free(remembered[index]); /* ours to know */
}
END_TEST

START_TEST(isAShellAfterTheRing)
{
    struct io_uring_cqe completion = {.flags = IORING_CQE_F_BUFFER};
    provider = create(0, COUNT);
    runTurns(fixture.ring, 1);
    ReleaseFastRing(fixture.ring);
    fixture.ring = NULL;
    ck_assert_int_eq(AdvanceFastRingBuffer(provider, &completion, NULL, NULL), -ECANCELED);
    ck_assert_int_eq(given, 0);
    ReleaseFastRingBufferProvider(provider, give);
    ck_assert_int_eq(given, COUNT);
}
END_TEST

START_TEST(inFlightAtTheRingsEnd)
{
    provider = create(0, COUNT);
    struct FastRingDescriptor* descriptor = prepareReceive(true);
    runTurns(fixture.ring, 2);
    ReleaseFastRing(fixture.ring);
    fixture.ring = NULL;
    ReleaseFastRingBufferProvider(provider, give);
    ck_assert_int_eq(given, COUNT);
    ReleaseFastRingDescriptor(descriptor);
}
END_TEST

static int releaseInside(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion, int reason)
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

START_TEST(isReleasedInsideACallback)
{
    provider = create(0, COUNT);
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(fixture.ring, releaseInside, NULL);
    struct io_uring_sqe* entry = GetFastRingDescriptorSubmission(descriptor);
    io_uring_prep_recv_multishot(entry, pair[0], NULL, 0, 0);
    PrepareFastRingBuffer(provider, entry);
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    sendText(pair[1], "text");
    waitCount(fixture.ring, &received, 1);
    runIdle(fixture.ring);
    ck_assert_int_eq(given, COUNT);
}
END_TEST

int main(void)
{
    Suite* suite = suite_create("provider");
    TCase* tcase = tcase_create("provider");

    tcase_add_checked_fixture(tcase, setUp, tearDown);
    tcase_add_test(tcase, isFilledAtOnce);
    tcase_add_test(tcase, refillsFromReleasedPool);
    tcase_add_test(tcase, starvesQuietlyBesideKeptBuffers);
    tcase_add_test(tcase, bundlesFollowTheRing);
    tcase_add_test(tcase, putsNothingBackAtAnEnd);
    tcase_add_test(tcase, endsABufferWithEachCompletion);
    tcase_add_test(tcase, groupsAreUnique);
    tcase_add_test(tcase, highestGroupWorks);
    tcase_add_test(tcase, refusesBadArguments);
    tcase_add_test(tcase, survivesShortageAtCreation);
    tcase_add_test(tcase, receivesAndGivesBack);
    tcase_add_test(tcase, receivesAndReplaces);
    tcase_add_test(tcase, refillsAfterShortage);
    tcase_add_test(tcase, worksSingleShot);
    tcase_add_test(tcase, neglectedBuffersAreReleasedToo);
    tcase_add_test(tcase, forgetsWithoutFunction);
    tcase_add_test(tcase, isAShellAfterTheRing);
    tcase_add_test(tcase, inFlightAtTheRingsEnd);
    tcase_add_test(tcase, isReleasedInsideACallback);
    suite_add_tcase(suite, tcase);
    return runSuite(suite);
}
