/* Rings and threads: made in one and run in another, outliving their own, and many at once. */
#include "services.h"

#include <liburing.h>
#include <stdatomic.h>

static struct FastRing* ring;
static int calls;
static int before;

static void setUp(void)
{
    before = countDescriptors();
    ring = CreateFastRing(0);
    ck_assert_ptr_nonnull(ring);
}

static void tearDown(void)
{
    ck_assert_int_eq(countDescriptors(), before);
}

static void onTimeout(struct FastRingTimeout* timeout, void* closure)
{
    (void)timeout;
    (void)closure;
    calls++;
}

static void onEvent(struct FastRingEvent* event, uint32_t parameter, void* closure)
{
    (void)event;
    (void)parameter;
    (void)closure;
    calls++;
}

static void onWatch(struct FastRingWatch* watch, int result, void* closure)
{
    (void)result;
    (void)closure;
    calls++;
    RemoveFastRingWatch(watch);
}

static int onCompletion(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion, int reason)
{
    (void)descriptor;
    (void)completion;
    (void)reason;
    calls++;
    return 0;
}

static void onFlush(void* closure, int reason)
{
    (void)closure;
    (void)reason;
    calls++;
}

/* ---- made in one thread, run in another ---- */

static void* runAndRelease(void* closure)
{
    ck_assert_int_eq(IsFastRingThread(ring), 1);
    waitCount(ring, &calls, *(int*)closure);
    ck_assert_int_eq(IsFastRingThread(ring), 1);
    ReleaseFastRing(ring);
    return NULL;
}

/* §2.8 first wait: what was made in one thread runs in another */
START_TEST(runsInAnotherThread)
{
    int expected = 5;
    struct Fixture parts = {.ring = ring};
    struct Recorder recorder = {.then = NULL};
    int pair[2];

    ck_assert_int_eq(IsFastRingThread(ring), 1);
    pairTcp(pair);
    parts.inbound = CreateFastBufferPool(ring);
    parts.outbound = CreateFastBufferPool(ring);
    parts.provider = CreateFastRingBufferProvider(ring, 0, 16, 1024, AllocateRingFastBuffer, parts.inbound);
    ck_assert_ptr_nonnull(parts.provider);
    openRecorded(&parts, pair[0], NULL, 0, &recorder);
    transmitText(recorder.socket, "from another thread");
    ck_assert_ptr_nonnull(SetFastRingTimeout(ring, NULL, 1, 0, onTimeout, NULL));
    ck_assert_ptr_nonnull(SetFastRingFlushHandler(ring, onFlush, NULL));
    ck_assert_ptr_nonnull(AddFastRingWatch(ring, pair[1], POLLOUT, 0, onWatch, NULL));
    struct FastRingEvent* event = CreateFastRingEvent(ring, onEvent, NULL);
    SubmitFastRingEvent(event, 1);
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(ring, onCompletion, NULL);
    io_uring_prep_nop(GetFastRingDescriptorSubmission(descriptor));
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    ck_assert_int_eq(calls, 0);

    inThread(runAndRelease, &expected);
    expectText(pair[1], "from another thread");
    expectEnd(pair[1]);
    ReleaseFastSocket(recorder.socket);
    ReleaseFastRingBufferProvider(parts.provider, ReleaseRingFastBuffer);
    ReleaseFastBufferPool(parts.inbound);
    ReleaseFastBufferPool(parts.outbound);
    ReleaseFastRingEvent(event);
    close(pair[1]);
}
END_TEST

/* ---- in the wrong thread ---- */

static void* tryEverything(void* closure)
{
    struct FastRingStatistics statistics;
    uint64_t value;

    (void)closure;
    ck_assert_int_eq(IsFastRingThread(ring), 0);
    ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), -EPERM);
    ck_assert_int_eq(GetFastRingHandle(ring), -EPERM);
    ck_assert_int_eq(GetFastRingInterval(ring), -EPERM);
    ck_assert_uint_eq(GetFastRingPending(ring), 0);
    ck_assert_uint_ne(GetFastRingFeatures(ring), 0); /* any thread */
    ck_assert_int_eq(SetFastRingOption(ring, FASTRING_OPTION_SPIN, 1), -EPERM);
    ck_assert_int_eq(GetFastRingOption(ring, FASTRING_OPTION_SPIN, &value), -EPERM);
    ck_assert_int_eq(GetFastRingStatistics(ring, &statistics, sizeof(statistics)), -EPERM);
    refuses(EPERM, SetFastRingFlushHandler(ring, onFlush, NULL));
    ck_assert_int_eq(RemoveFastRingFlushHandler(ring, NULL), -EPERM);
    refuses(EPERM, SetFastRingTimeout(ring, NULL, 1, 0, onTimeout, NULL));
    refuses(EPERM, AddFastRingWatch(ring, 0, POLLIN, 0, onWatch, NULL));
    refuses(EPERM, CreateFastRingEvent(ring, onEvent, NULL));
    refuses(EPERM, AllocateFastRingDescriptor(ring, NULL, NULL));
    refuses(EPERM, CreateFastBufferPool(ring));
    refuses(EPERM, CreateFastRingBufferProvider(ring, 0, 1, 64, AllocateRingFastBuffer, NULL));
    ReleaseFastRing(ring); /* does nothing */
    return NULL;
}

/* §2.8 -EPERM: every call of the ring */
START_TEST(refusesOtherThreads)
{
    runTurns(ring, 1);
    inThread(tryEverything, NULL);
    runTurns(ring, 1);
    ReleaseFastRing(ring);
}
END_TEST

/* ---- the ring outlives its thread ---- */

struct Estate
{
    struct FastRingDescriptor* descriptor;
    struct FastRingTimeout* timeout;
    struct FastRingWatch* watch;
    struct FastRingEvent* event;
    struct FastBufferPool* pool;
    struct FastRingBufferProvider* provider;
    struct FastListener* listener;
    struct FastBuffer* buffer;
    struct Recorder recorder;
    int pair[2];
    int port;
};

static void onListener(struct FastListener* listener, int handle, void* closure)
{
    (void)listener;
    (void)handle;
    (void)closure;
}

static void* liveAndDie(void* closure)
{
    struct Estate* estate = closure;
    struct Fixture parts = {.ring = ring};
    struct sockaddr_storage address;
    socklen_t length;

    runTurns(ring, 1);
    pairStream(estate->pair);
    estate->pool = CreateFastBufferPool(ring);
    estate->provider = CreateFastRingBufferProvider(ring, 0, 4, 256, AllocateRingFastBuffer, estate->pool);
    parts.inbound = parts.outbound = estate->pool;
    parts.provider = estate->provider;
    openRecorded(&parts, estate->pair[0], NULL, 0, &estate->recorder);
    estate->descriptor = AllocateFastRingDescriptor(ring, onCompletion, NULL);
    io_uring_prep_poll_add(GetFastRingDescriptorSubmission(estate->descriptor), estate->pair[1], POLLIN);
    SubmitFastRingDescriptor(estate->descriptor);
    estate->timeout = SetFastRingTimeout(ring, NULL, 100000, 0, onTimeout, NULL);
    estate->watch = AddFastRingWatch(ring, estate->pair[1], POLLPRI, 0, onWatch, NULL);
    estate->event = CreateFastRingEvent(ring, onEvent, NULL);
    estate->listener = CreateFastListener(ring, listenTcp(&address, &length), 0, onListener, NULL);
    ck_assert_ptr_nonnull(estate->listener);
    runTurns(ring, 3);
    estate->buffer = AllocateFastBuffer(estate->pool, 100, 0);
    SubmitFastRingEvent(estate->event, 1); /* never to be heard */
    return NULL;
}

static void inherit(struct Estate* estate)
{
    ck_assert_int_eq(SubmitFastRingEvent(estate->event, 1), -ECANCELED);
    ck_assert_int_eq(SubmitFastRingDescriptor(estate->descriptor), -ECANCELED);
    ck_assert_int_eq(UpdateFastRingWatch(estate->watch, POLLIN), -ECANCELED);
    refuses(ECANCELED, AllocateFastBuffer(estate->pool, 1, 0));
    ck_assert_int_eq(TransmitFastSocketData(estate->recorder.socket, NULL, 0, "x", 1, 0), -EPIPE);
    ReleaseFastSocket(estate->recorder.socket);
    ReleaseFastRingDescriptor(estate->descriptor);
    SetFastRingTimeout(NULL, estate->timeout, -1, 0, NULL, NULL);
    RemoveFastRingWatch(estate->watch);
    ReleaseFastRingEvent(estate->event);
    ReleaseFastListener(estate->listener);
    ReleaseFastRingBufferProvider(estate->provider, ReleaseRingFastBuffer);
    ReleaseFastBufferPool(estate->pool);
    ReleaseFastBuffer(estate->buffer);
    close(estate->pair[1]);
}

static int heardBefore;

/* §2.8 thread exited, §2.8 dead ring: nothing is delivered, and shells are left */
START_TEST(isReleasedAfterItsThread)
{
    static struct Estate estate;
    inThread(liveAndDie, &estate);
    heardBefore = calls;
    int result = WaitForFastRing(ring, 0, NULL);
    ck_assert_msg(result == -EPERM || result == -EOWNERDEAD, "%d", result);
    ReleaseFastRing(ring);
    ck_assert_int_eq(calls, heardBefore); /* nothing is delivered */
    ck_assert_int_eq(estate.recorder.hup, 0);
    inherit(&estate);
}
END_TEST

static void* releaseIt(void* closure)
{
    (void)closure;
    ReleaseFastRing(ring);
    return NULL;
}

/* §2.8 thread exited: by a third thread */
START_TEST(isReleasedAfterItsThreadByAnyThread)
{
    static struct Estate estate;
    inThread(liveAndDie, &estate);
    inThread(releaseIt, NULL); /* which may well have been given the same stack */
    inherit(&estate);
}
END_TEST

/* ---- many at once ---- */

static void* liveAlone(void* closure)
{
    struct FastRing* own = CreateFastRing(32);
    int fired = 0;
    ck_assert_ptr_nonnull(own);
    for (int round = 1; round <= 50; round++) {
        struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(own, NULL, NULL);
        io_uring_prep_nop(GetFastRingDescriptorSubmission(descriptor));
        ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
        struct FastBuffer* buffer = AllocateFastBuffer(closure, 3000, 0);
        runTurns(own, 1);
        ReleaseFastBuffer(buffer);
        fired++;
    }
    ReleaseFastRing(own);
    return NULL;
}

START_TEST(eachThreadHasItsRing)
{
    pthread_t threads[4];
    struct FastBufferPool* shared = CreateFastBufferPool(NULL);
    for (int index = 0; index < 4; index++)
        ck_assert_int_eq(pthread_create(&threads[index], NULL, liveAlone, shared), 0);
    for (int index = 0; index < 4; index++)
        pthread_join(threads[index], NULL);
    ReleaseFastBufferPool(shared);
    ReleaseFastRing(ring);
}
END_TEST

/* ---- received data goes to workers ---- */

enum
{
    WORKERS = 3,
    MESSAGES = 3000,
    BUFFERS = 8,
};

static struct FastBuffer* _Atomic desk[WORKERS];
static atomic_bool closed;

static void* work(void* closure)
{
    struct FastBuffer* _Atomic* place = closure;
    size_t sum = 0;
    for (;;) {
        bool last = atomic_load(&closed);
        struct FastBuffer* buffer = atomic_exchange(place, NULL);
        if (buffer != NULL) {
            sum += GetFastBufferLength(buffer);
            ReleaseFastBuffer(buffer);
        } else if (last) {
            return (void*)sum;
        } else {
            sched_yield();
        }
    }
}

static void handOut(struct FastSocket* socket, int event, int parameter, struct Recorder* recorder)
{
    static int next;
    (void)parameter;
    (void)recorder;
    if (event != POLLIN)
        return;
    struct FastBuffer* buffer;
    while ((buffer = ReceiveFastSocketBuffer(socket)) != NULL) {
        struct FastBuffer* old = atomic_exchange(&desk[next++ % WORKERS], buffer);
        calls += (int)(old != NULL ? GetFastBufferLength(old) : 0);
        ReleaseFastBuffer(old);
    }
}

static void* talk(void* closure)
{
    for (int index = 0; index < MESSAGES; index++)
        sendText(*(int*)closure, "message");
    shutdown(*(int*)closure, SHUT_WR);
    return NULL;
}

/* §2.3 ReceiveFastSocketBuffer: A worker gives buffers back in its own time, while few of them
 * keep the receive starving. */
START_TEST(workersHoldReceivedBuffers)
{
    struct Recorder recorder = {.then = handOut};
    struct Fixture parts = {.ring = ring};
    pthread_t workers[WORKERS];
    pthread_t talker;
    size_t sum = 0;
    void* result;
    int pair[2];

    pairStream(pair);
    parts.inbound = CreateFastBufferPool(ring);
    parts.provider = CreateFastRingBufferProvider(ring, 0, BUFFERS, 64, AllocateRingFastBuffer, parts.inbound);
    openRecorded(&parts, pair[0], NULL, 0, &recorder);
    for (int index = 0; index < WORKERS; index++)
        pthread_create(&workers[index], NULL, work, &desk[index]);
    pthread_create(&talker, NULL, talk, &pair[1]);
    waitCount(ring, &recorder.hup, 1);
    pthread_join(talker, NULL);
    atomic_store(&closed, true);
    for (int index = 0; index < WORKERS; index++) {
        pthread_join(workers[index], &result);
        sum += (size_t)result;
    }
    ck_assert_uint_eq(sum + (size_t)calls, MESSAGES * strlen("message"));
    ReleaseFastSocket(recorder.socket);
    ReleaseFastRingBufferProvider(parts.provider, ReleaseRingFastBuffer);
    runIdle(ring);
    ck_assert_uint_eq(readRing(ring).buffers, 0);
    ReleaseFastBufferPool(parts.inbound);
    ReleaseFastRing(ring);
    close(pair[1]);
}
END_TEST

int main(void)
{
    Suite* suite = suite_create("thread");
    TCase* tcase = tcase_create("thread");

    tcase_add_checked_fixture(tcase, setUp, tearDown);
    tcase_add_test(tcase, runsInAnotherThread);
    tcase_add_test(tcase, refusesOtherThreads);
    tcase_add_test(tcase, isReleasedAfterItsThread);
    tcase_add_test(tcase, isReleasedAfterItsThreadByAnyThread);
    tcase_add_test(tcase, eachThreadHasItsRing);
    tcase_add_test(tcase, workersHoldReceivedBuffers);
    suite_add_tcase(suite, tcase);
    return runSuite(suite);
}
