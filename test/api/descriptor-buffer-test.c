/*
 * Buffers of a provider that users' own operations are given: each one that a completion names is
 * its user's, or goes back to its ring, however the operation ends. What the ring has is counted by
 * taking it all: a receive that is sent more messages than there are buffers ends with ENOBUFS.
 */
#include "fixture.h"

#include <fcntl.h>
#include <liburing.h>

enum
{
    BUFFERS = 16,
    LENGTH = 256,
    CONNECTIONS = 100,
};

SCENE_AREA_OF(descriptorBuffer, "descriptor-buffer", .buffers = BUFFERS, .bufferLength = LENGTH);

/* ---- operations ---- */

/* What a handler saw, and what it does with it. */
static struct
{
    int told;     /* completions */
    int bytes;    /* of these, with bytes in a buffer */
    int last;     /* result of the last one */
    bool over;    /* the last completion is in */
    int keep;     /* completions after which the descriptor is let go; 0: never */
    bool advance; /* puts each buffer back */
    struct io_uring_cqe* taken; /* otherwise copies of them */
} seen;

static int onCompletion(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion,
                        int reason)
{
    (void)descriptor;
    if (completion == NULL)
        return 0;
    seen.told++;
    seen.last = completion->res;
    seen.over = reason == FASTRING_REASON_COMPLETE;
    if (completion->res > 0 && GetFastRingBuffer(scene.provider, completion) != NULL) {
        if (seen.taken != NULL)
            memcpy((char*)seen.taken + (size_t)seen.bytes * sizeof(*seen.taken), completion,
                   sizeof(*completion));
        seen.bytes++;
        if (seen.advance)
            ck_assert_int_eq(AdvanceFastRingBuffer(scene.provider, completion, NULL, NULL), 0);
    }
    return seen.keep == 0 || seen.told < seen.keep;
}

static struct FastRingDescriptor* receiveFrom(int handle, HandleFastRingCompletionFunction function)
{
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(scene.ring, function, NULL);
    struct io_uring_sqe* entry = GetFastRingDescriptorSubmission(descriptor);
    io_uring_prep_recv_multishot(entry, handle, NULL, 0, 0);
    PrepareFastRingBuffer(scene.provider, entry);
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    return descriptor;
}

static void sendRecords(int count)
{
    for (int index = 0; index < count; index++)
        ck_assert_int_eq(send(scene.peer, "record", 6, MSG_NOSIGNAL), 6);
}

static void closeBoth(void)
{
    close(scene.handle);
    closePeer();
}

static bool isIdle(void* closure)
{
    (void)closure;
    return readRing(scene.ring).operations == 0;
}

/* Until no operation is in flight; one that was just submitted is from the next turn on. */
static void finish(void)
{
    runTurns(scene.ring, 1);
    waitFor(scene.ring, isIdle, NULL);
}

/* Both what the statistics say and what a receive really finds. */
static void expectAllBuffers(void)
{
    struct io_uring_cqe* taken = calloc(BUFFERS, sizeof(struct io_uring_cqe));
    finish();
    ck_assert_uint_eq(readRing(scene.ring).providedBuffers, BUFFERS);
    memset(&seen, 0, sizeof(seen));
    seen.taken = taken;
    pairUnix(scene.pair, SOCK_SEQPACKET);
    sendRecords(BUFFERS + 1);
    struct FastRingDescriptor* descriptor = receiveFrom(scene.handle, onCompletion);
    finish();
    ck_assert_int_eq(seen.last, -ENOBUFS);
    ck_assert_int_eq(seen.bytes, BUFFERS);
    ck_assert_uint_eq(readRing(scene.ring).providedBuffers, 0);
    for (int index = 0; index < BUFFERS; index++)
        ck_assert_int_eq(AdvanceFastRingBuffer(scene.provider, &taken[index], NULL, NULL), 0);
    ck_assert_uint_eq(readRing(scene.ring).providedBuffers, BUFFERS);
    free(taken);
    ReleaseFastRingDescriptor(descriptor);
    closeBoth();
}

/* ---- ends ---- */

/* §2.3 own operations: a handler that lets its receive go takes no more than what it saw */
CASE(descriptorBuffer, comeBackWhenTheHandlerLetsGo)
{
    for (int told = 1; told <= 3; told++) {
        memset(&seen, 0, sizeof(seen));
        seen.keep = told;
        seen.advance = true;
        pairUnix(scene.pair, SOCK_SEQPACKET);
        sendRecords(5);
        receiveFrom(scene.handle, onCompletion);
        finish();
        ck_assert_int_eq(seen.told, told);
        closeBoth();
        expectAllBuffers();
    }
}

static struct FastRingDescriptor* other;

static int releaseOther(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion,
                        int reason)
{
    ReleaseFastRingDescriptor(other);
    other = NULL;
    return onCompletion(descriptor, completion, reason);
}

/* §2.3 own operations: a receive that is released by another's handler, with completions in the
 * queue */
CASE(descriptorBuffer, comeBackFromAReleasedReceive)
{
    int second[2];

    memset(&seen, 0, sizeof(seen));
    seen.advance = true;
    pairUnix(scene.pair, SOCK_SEQPACKET);
    pairUnix(second, SOCK_SEQPACKET);
    sendRecords(4);
    for (int index = 0; index < 4; index++)
        ck_assert_int_eq(send(second[1], "record", 6, 0), 6);
    struct FastRingDescriptor* descriptor = receiveFrom(scene.handle, releaseOther);
    other = receiveFrom(second[0], onCompletion);
    waitCount(scene.ring, &seen.told, 4);
    ck_assert_ptr_null(other);
    ReleaseFastRingDescriptor(descriptor);
    closeBoth();
    close(second[0]);
    close(second[1]);
    expectAllBuffers();
}

/* §2.3 own operations: a receive without a handler discards what comes, not its buffers */
CASE(descriptorBuffer, comeBackWithoutAHandler)
{
    pairUnix(scene.pair, SOCK_SEQPACKET);
    sendRecords(BUFFERS * 3 / 2);
    receiveFrom(scene.handle, NULL);
    runIdle(scene.ring);
    ck_assert_uint_eq(readRing(scene.ring).providedBuffers, BUFFERS);
    closePeer();
    finish();
    close(scene.handle);
    expectAllBuffers();
}

/* §2.3 own operations: cancelled before it was submitted, idle, and with completions in the
 * queue */
CASE(descriptorBuffer, comeBackFromACancelledReceive)
{
    for (int turns = 0; turns < 3; turns++) {
        memset(&seen, 0, sizeof(seen));
        seen.advance = true;
        pairUnix(scene.pair, SOCK_SEQPACKET);
        struct FastRingDescriptor* descriptor = receiveFrom(scene.handle, onCompletion);
        runTurns(scene.ring, turns);
        sendRecords(3);
        ck_assert_int_eq(CancelFastRingDescriptor(descriptor), 0);
        finish();
        ck_assert(seen.over);
        ReleaseFastRingDescriptor(descriptor);
        closeBoth();
        expectAllBuffers();
    }
}

static void readOnce(int handle, bool cancel)
{
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(scene.ring, onCompletion,
                                                                       NULL);
    struct io_uring_sqe* entry = GetFastRingDescriptorSubmission(descriptor);
    io_uring_prep_read(entry, handle, NULL, LENGTH, (uint64_t)-1);
    PrepareFastRingBuffer(scene.provider, entry);
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    runTurns(scene.ring, 2);
    if (cancel)
        (void)CancelFastRingDescriptor(descriptor);
    finish();
    ReleaseFastRingDescriptor(descriptor);
}

/* §2.3 res 0: a read that ends, fails or is cancelled may bring a buffer, of which nobody hears
 * bytes */
CASE(descriptorBuffer, comeBackFromAReadWithoutBytes)
{
    int ends[2];

    memset(&seen, 0, sizeof(seen));
    ck_assert_int_eq(pipe(ends), 0);
    readOnce(ends[0], true); /* nothing to read */
    ck_assert_int_lt(seen.last, 0);
    close(ends[1]);
    readOnce(ends[0], false); /* the end */
    ck_assert_int_eq(seen.last, 0);
    close(ends[0]);
    int directory = open("/", O_RDONLY | O_CLOEXEC);
    readOnce(directory, false);
    ck_assert_int_lt(seen.last, 0);
    close(directory);
    expectAllBuffers();
}

/* §2.3 own operations: many peers that send more than their reader takes starve nobody */
CASE(descriptorBuffer, surviveHostileConnections)
{
    int handles[CONNECTIONS][2];

    memset(&seen, 0, sizeof(seen));
    seen.keep = 1; /* each is let go at its first record, as by a program that doesn't like it */
    seen.advance = true;
    for (int index = 0; index < CONNECTIONS; index++) {
        pairUnix(scene.pair, SOCK_SEQPACKET);
        memcpy(handles[index], scene.pair, sizeof(scene.pair));
        sendRecords(3);
        seen.told = 0;
        receiveFrom(scene.handle, onCompletion);
        finish();
        ck_assert_int_eq(seen.told, 1);
    }
    ck_assert_uint_eq(readRing(scene.ring).providedBuffers, BUFFERS);
    expectAllBuffers();
    for (int index = 0; index < CONNECTIONS; index++) {
        close(handles[index][0]);
        close(handles[index][1]);
    }
}

static int keepUnread(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion,
                      int reason)
{
    (void)descriptor;
    (void)reason;
    if (completion != NULL && completion->res > 0) {
        memcpy(seen.taken, completion, sizeof(*completion));
        seen.told++;
    }
    return completion != NULL;
}

/* §2.3 own operations: what a handler saw is its own until it is advanced, once */
CASE(descriptorBuffer, areTheirUsersUntilTheyAreAdvanced)
{
    struct io_uring_cqe* taken = calloc(1, sizeof(struct io_uring_cqe));

    memset(&seen, 0, sizeof(seen));
    seen.taken = taken;
    pairUnix(scene.pair, SOCK_SEQPACKET);
    struct FastRingDescriptor* descriptor = receiveFrom(scene.handle, keepUnread);
    sendRecords(1);
    waitCount(scene.ring, &seen.told, 1);
    ck_assert_uint_eq(readRing(scene.ring).providedBuffers, BUFFERS - 1);
    ck_assert_ptr_nonnull(GetFastRingBuffer(scene.provider, taken));
    ck_assert_mem_eq(GetFastRingBuffer(scene.provider, taken), "record", 6);
    ck_assert_int_eq(AdvanceFastRingBuffer(scene.provider, taken, NULL, NULL), 0);
    ck_assert_uint_eq(readRing(scene.ring).providedBuffers, BUFFERS);
    ck_assert_int_eq(AdvanceFastRingBuffer(scene.provider, taken, NULL, NULL), -EINVAL);
    ck_assert_ptr_null(GetFastRingBuffer(scene.provider, taken));
    ReleaseFastRingDescriptor(descriptor);
    closeBoth();
    free(taken);
    expectAllBuffers();
}

static void onWatch(struct FastRingWatch* watch, int events, void* closure)
{
    (void)watch;
    (void)events;
    (void)closure;
}

/* Another provider with the same number. */
static void renewProvider(void)
{
    uint16_t group = GetFastRingBufferGroup(scene.provider);
    ReleaseFastRingBufferProvider(scene.provider, ReleaseRingFastBuffer);
    scene.provider = CreateFastRingBufferProvider(scene.ring, group, BUFFERS, LENGTH,
                                                  AllocateRingFastBuffer, scene.inbound);
    ck_assert_ptr_nonnull(scene.provider);
}

/* A completion was made before its provider was released; another has the same number when it is
 * told. */
CASE(descriptorBuffer, areNotTheNextProviders)
{
    int ends[2];

    memset(&seen, 0, sizeof(seen));
    seen.advance = true;
    pairUnix(scene.pair, SOCK_SEQPACKET);
    ck_assert_int_eq(pipe(ends), 0);
    struct FastRingWatch* watches[3];
    for (int index = 0; index < 3; index++)
        watches[index] = AddFastRingWatch(scene.ring, ends[0], POLLIN, 0, onWatch, NULL);
    struct FastRingDescriptor* descriptor = receiveFrom(scene.handle, onCompletion);
    runTurns(scene.ring, 2);
    sendRecords(1);
    RemoveFastRingWatch(watches[0]); /* enters, so that the completion is there */
    RemoveFastRingWatch(watches[1]); /* or now: an enter with completions need not look for more */
    renewProvider();
    RemoveFastRingWatch(watches[2]); /* once more */
    waitCount(scene.ring, &seen.told, 1);
    ck_assert_int_eq(seen.last, 6);
    ck_assert_int_eq(seen.bytes, 0);
    ck_assert_uint_eq(readRing(scene.ring).invalidCompletions, 0);
    ReleaseFastRingDescriptor(descriptor);
    closeBoth();
    close(ends[0]);
    close(ends[1]);
    expectAllBuffers();
}

static int released;

static void countRelease(void* buffer)
{
    released++;
    ReleaseRingFastBuffer(buffer);
}

/* §2.3 own operations: what waits in a thread of the kernel's has a buffer already, which lives
 * until it is over, though its provider is gone and another one has the number */
CASE(descriptorBuffer, outliveTheirProvider)
{
    char data[6];
    memset(&seen, 0, sizeof(seen));
    released = 0;
    pairStream(scene.pair);
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(scene.ring, onCompletion,
                                                                       NULL);
    struct io_uring_sqe* entry = GetFastRingDescriptorSubmission(descriptor);
    io_uring_prep_recv(entry, scene.handle, NULL, LENGTH, 0);
    PrepareFastRingBuffer(scene.provider, entry);
    entry->flags |= IOSQE_ASYNC;
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    runTurns(scene.ring, 10);
    uint16_t group = GetFastRingBufferGroup(scene.provider);
    ReleaseFastRingBufferProvider(scene.provider, countRelease);
    ck_assert_int_eq(released, 0);
    scene.provider = CreateFastRingBufferProvider(scene.ring, group, BUFFERS, LENGTH,
                                                  AllocateRingFastBuffer, scene.inbound);
    ck_assert_ptr_nonnull(scene.provider);
    sendRecords(1);
    waitCount(scene.ring, &seen.told, 1);
    runIdle(scene.ring);
    ck_assert_int_gt(released, 0);
    if (seen.last == -ENOBUFS) /* it looked for one after the wait only: the bytes are there */
        ck_assert_int_eq(recv(scene.handle, data, sizeof(data), MSG_DONTWAIT), 6);
    else
        ck_assert_int_eq(seen.last, 6);
    ReleaseFastRingDescriptor(descriptor);
    closeBoth();
}

/* §2.3 own operations: what waits for the rest of its bytes has a buffer, too, which is none of the
 * next provider's */
CASE(descriptorBuffer, keepTheirProviderInPart)
{
    char rest[LENGTH - 6] = {0};
    memset(&seen, 0, sizeof(seen));
    pairStream(scene.pair);
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(scene.ring, onCompletion,
                                                                       NULL);
    struct io_uring_sqe* entry = GetFastRingDescriptorSubmission(descriptor);
    io_uring_prep_recv(entry, scene.handle, NULL, LENGTH, MSG_WAITALL);
    PrepareFastRingBuffer(scene.provider, entry);
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    sendRecords(1);
    runTurns(scene.ring, 2);
    renewProvider();
    ck_assert_int_eq(send(scene.peer, rest, sizeof(rest), 0), sizeof(rest));
    waitCount(scene.ring, &seen.told, 1);
    ck_assert_int_eq(seen.last, LENGTH);
    ck_assert_int_eq(seen.bytes, 0);
    ReleaseFastRingDescriptor(descriptor);
    closeBoth();
    expectAllBuffers();
}

/* §2.3 own operations: a receive that goes on is filled from the next provider with the number,
 * whose buffers are all its own */
CASE(descriptorBuffer, areTheNextProvidersFromThenOn)
{
    memset(&seen, 0, sizeof(seen));
    seen.advance = true;
    pairUnix(scene.pair, SOCK_SEQPACKET);
    struct FastRingDescriptor* descriptor = receiveFrom(scene.handle, onCompletion);
    for (int round = 1; round <= 4; round++) {
        sendRecords(BUFFERS / 2);
        waitCount(scene.ring, &seen.bytes, round * BUFFERS / 2);
        renewProvider();
    }
    ck_assert(!seen.over);
    ReleaseFastRingDescriptor(descriptor);
    closeBoth();
    expectAllBuffers();
}

/* §2.3 own operations: a completion that was advanced says nothing of what its buffer holds
 * later */
CASE(descriptorBuffer, areNotAnEarlierCompletions)
{
    struct io_uring_cqe* first = calloc(1, sizeof(struct io_uring_cqe));
    struct io_uring_cqe* last = calloc(1, sizeof(struct io_uring_cqe));

    memset(&seen, 0, sizeof(seen));
    seen.taken = first;
    pairUnix(scene.pair, SOCK_SEQPACKET);
    struct FastRingDescriptor* descriptor = receiveFrom(scene.handle, keepUnread);
    sendRecords(1);
    waitCount(scene.ring, &seen.told, 1);
    ck_assert_int_eq(AdvanceFastRingBuffer(scene.provider, first, NULL, NULL), 0);
    seen.taken = last;
    for (int count = 2; count <= BUFFERS + 1; count++) { /* once around */
        sendRecords(1);
        waitCount(scene.ring, &seen.told, count);
        if (count <= BUFFERS)
            ck_assert_int_eq(AdvanceFastRingBuffer(scene.provider, last, NULL, NULL), 0);
    }
    ck_assert_uint_eq(last->flags >> IORING_CQE_BUFFER_SHIFT,
                      first->flags >> IORING_CQE_BUFFER_SHIFT);
    ck_assert_ptr_null(GetFastRingBuffer(scene.provider, first));
    ck_assert_int_eq(AdvanceFastRingBuffer(scene.provider, first, NULL, NULL), -EINVAL);
    ck_assert_ptr_nonnull(GetFastRingBuffer(scene.provider, last));
    last->user_data = 0; /* as of a program that keeps result and flags alone */
    ck_assert_int_eq(AdvanceFastRingBuffer(scene.provider, last, NULL, NULL), 0);
    ReleaseFastRingDescriptor(descriptor);
    closeBoth();
    free(first);
    free(last);
    expectAllBuffers();
}

static bool isOver(void* closure)
{
    (void)closure;
    return seen.over;
}

/* §2.3 own operations: one that has filled the last buffer is told when more comes, not before */
CASE(descriptorBuffer, areNotAskedForWithoutInput)
{
    struct io_uring_cqe* taken = calloc(BUFFERS, sizeof(struct io_uring_cqe));
    static const char bytes[BUFFERS * LENGTH];

    memset(&seen, 0, sizeof(seen));
    seen.taken = taken;
    pairTcp(scene.pair); /* of others not every kernel knows whether there is more */
    ck_assert_int_eq(send(scene.peer, bytes, sizeof(bytes), MSG_NOSIGNAL), sizeof(bytes));
    struct FastRingDescriptor* descriptor = receiveFrom(scene.handle, onCompletion);
    waitCount(scene.ring, &seen.bytes, BUFFERS);
    runIdle(scene.ring);
    if (!seen.over || !runsOnUring(scene.ring)) { /* old kernels ask at once */
        ck_assert_int_eq(seen.told, BUFFERS);
        ck_assert(!seen.over);
        ck_assert_int_eq(send(scene.peer, bytes, 1, MSG_NOSIGNAL), 1);
    }
    waitFor(scene.ring, isOver, NULL);
    ck_assert_int_eq(seen.last, -ENOBUFS);
    for (int index = 0; index < BUFFERS; index++)
        ck_assert_int_eq(AdvanceFastRingBuffer(scene.provider, &taken[index], NULL, NULL), 0);
    ReleaseFastRingDescriptor(descriptor);
    closeBoth();
    free(taken);
    expectAllBuffers();
}
