/* Threads: what another thread than the ring's is refused, and what is consumed then; creating in one
 * thread and running in another. */
#include "fixture.h"

#include <liburing.h>
#include <pthread.h>
#include <sys/wait.h>

static struct Fixture fixture;
static struct Recorder recorder;
static int pair[2];

static void setUp(void)
{
    fixtureOpen(&fixture, 0, 0, 0);
}

static void tearDown(void)
{
    fixtureClose(&fixture);
}

static void inThread(void* (*function)(void*), void* closure)
{
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, function, closure), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
}

static void* callEverything(void* closure)
{
    struct FastSocket* socket = closure;
    struct FastSocketStatistics statistics;
    struct iovec vector = {"x", 1};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    uint64_t value = 7;
    char byte = 0;
    int other[2];

    ck_assert_int_eq(IsFastRingThread(fixture.ring), 0);
    ck_assert_int_eq(WaitForFastRing(fixture.ring, 0, NULL), -EPERM);
    ck_assert_int_eq(TransmitFastSocketData(socket, NULL, 0, "x", 1, 0), -EPERM);
    ck_assert_int_eq(TransmitFastSocketMessage(socket, &message, 0), -EPERM);
    ck_assert_int_eq((int)ReceiveFastSocketData(socket, &byte, 1, 0), -EPERM);
    ck_assert_ptr_null(ReceiveFastSocketBuffer(socket));
    ck_assert_int_eq(errno, EPERM);
    ck_assert_int_eq(ShutdownFastSocket(socket), -EPERM);
    ck_assert_int_eq(PauseFastSocket(socket), -EPERM);
    ck_assert_int_eq(ResumeFastSocket(socket), -EPERM);
    ck_assert_int_eq(SetFastSocketHandler(socket, NULL, NULL), -EPERM);
    ck_assert_int_eq(SetFastSocketOption(socket, FASTSOCKET_OPTION_INBOUND_HIGH, 5), -EPERM);
    ck_assert_int_eq(GetFastSocketOption(socket, FASTSOCKET_OPTION_INBOUND_HIGH, &value), -EPERM);
    ck_assert_uint_eq(value, 7);
    ck_assert_int_eq(GetFastSocketStatistics(socket, &statistics, sizeof(statistics)), -EPERM);
    pairStream(other);
    ck_assert_ptr_null(CreateFastSocket(fixture.ring, fixture.provider, fixture.inbound,
                                        fixture.outbound, other[0], NULL, 0, 0, 0, recordEvent,
                                        &recorder));
    ck_assert_int_eq(errno, EPERM);
    sendText(other[0], "mine");
    expectText(other[1], "mine");
    close(other[0]);
    close(other[1]);
    ReleaseFastSocket(socket);
    AbortFastSocket(socket);
    ReleaseFastRing(fixture.ring);
    return NULL;
}

/* §2.8 -EPERM, §2.2 ring, provider, inbound, §2.2 returns: every call from another thread is
 * refused and changes nothing */
START_TEST(refusesOtherThread)
{
    pairStream(pair);
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
    sendText(pair[1], "queued");
    waitInput(&recorder, 6);
    inThread(callEverything, recorder.socket);
    ck_assert_uint_eq(GetFastSocketOutboundLength(recorder.socket), 0);
    receiveText(&recorder, "queued");
    transmitText(recorder.socket, "alive");
    waitDrained(&recorder);
    expectText(pair[1], "alive");
    sendText(pair[1], "both ways");
    receiveText(&recorder, "both ways");
    ck_assert_int_eq(recorder.hup + recorder.err, 0);
    ReleaseFastSocket(recorder.socket);
    close(pair[1]);
}
END_TEST

static void onEvent(struct FastRingEvent* event, uint32_t parameter, void* closure)
{
    (void)event;
    *(uint32_t*)closure = parameter;
}

static void childCallsEverything(struct FastRingEvent* event, struct FastBuffer* buffer)
{
    int status = 0;
    pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct FastRing* own = NULL;
        callEverything(recorder.socket);
        ck_assert_int_eq(SubmitFastRingEvent(event, 13), -EPERM);
        ReleaseFastRingEvent(event);
        ck_assert_mem_eq(GetFastBufferData(buffer), "received", 8);
        ReleaseFastBuffer(buffer);
        ReleaseFastRingBufferProvider(fixture.provider, ReleaseRingFastBuffer);
        ReleaseFastBufferPool(fixture.inbound);
        ReleaseFastRing(fixture.ring);
        own = CreateFastRing(0); /* one of its own works */
        ck_assert_ptr_nonnull(own);
        ck_assert_int_eq(WaitForFastRing(own, 0, NULL), 0);
        ReleaseFastRing(own);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}

/* §2.8 -EPERM, §2.6 shutdown and close: a forked child is another thread, also of a ring that has not run
 * yet: it shares the kernel's side of it, and spoils nothing of its parent's */
START_TEST(refusesForkedChild)
{
    uint32_t parameter = 0;
    struct FastRingEvent* event = CreateFastRingEvent(fixture.ring, onEvent, &parameter);
    struct FastBuffer* buffer = AllocateFastBuffer(fixture.outbound, 8, 0);

    memcpy(GetFastBufferData(buffer), "received", 8);
    pairTcp(pair);
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
    childCallsEverything(event, buffer);
    for (int round = 0; round < 3; round++) {
        sendText(pair[1], "question");
        receiveText(&recorder, "question");
        transmitText(recorder.socket, "answer");
        childCallsEverything(event, buffer); /* with an answer queued */
        waitDrained(&recorder);
        expectText(pair[1], "answer");
    }
    ck_assert_int_eq(recorder.hup + recorder.err, 0);
    ck_assert_int_eq(SubmitFastRingEvent(event, 12), 0);
    runIdle(fixture.ring);
    ck_assert_uint_eq(parameter, 12);
    ReleaseFastBuffer(buffer);
    ReleaseFastRingEvent(event);
    ReleaseFastSocket(recorder.socket);
    close(pair[1]);
}
END_TEST

struct Given
{
    struct FastBuffer* buffer;
    struct FastRingDescriptor* descriptor;
};

static void* transmitOwned(void* closure)
{
    struct Given* given = closure;

    ck_assert_int_eq(
        TransmitFastSocketBuffer(recorder.socket, NULL, 0, HoldFastBuffer(given->buffer), 0, 10, 0),
        -EPERM);
    ck_assert_int_eq(
        TransmitFastSocketDescriptor(recorder.socket, given->descriptor, given->buffer), -EPERM);
    return NULL;
}

/* §2.4 TransmitFastSocketDescriptor ownership: -EPERM: the buffer is released, the descriptor
 * left alone */
START_TEST(consumesBufferOnly)
{
    struct Given given;
    uint64_t held = 0;

    pairStream(pair);
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
    runIdle(fixture.ring);
    held = readRing(fixture.ring).buffers;
    given.buffer = AllocateFastBuffer(fixture.outbound, 10, 0);
    given.descriptor = AllocateFastRingDescriptor(fixture.ring, NULL, NULL);
    io_uring_prep_send(GetFastRingDescriptorSubmission(given.descriptor), pair[0],
                       GetFastBufferData(given.buffer), 10, 0);
    inThread(transmitOwned, &given);
    runIdle(fixture.ring);
    ck_assert_uint_eq(readRing(fixture.ring).buffers, held);
    ck_assert_ptr_eq(GetFastRingDescriptorRing(given.descriptor), fixture.ring);
    ReleaseFastRingDescriptor(given.descriptor);
    expectNothing(pair[1]);
    ReleaseFastSocket(recorder.socket);
    close(pair[1]);
}
END_TEST

static void* createAll(void* closure)
{
    struct Fixture* made = closure;

    fixtureOpen(made, 0, 0, 0);
    pairTcp(pair);
    openRecorded(made, pair[0], NULL, FASTSOCKET_MODE_ZERO_COPY, &recorder);
    transmitPattern(recorder.socket, 100000, 0);
    setOption(recorder.socket, FASTSOCKET_OPTION_INBOUND_HIGH, 50000);
    return NULL;
}

/* §2.8 first wait: created in a thread that ends, run in this one */
START_TEST(createsElsewhere)
{
    static uint8_t data[100000];
    struct Fixture made;
    int descriptors = countDescriptors();

    inThread(createAll, &made);
    made.descriptors = descriptors;
    ck_assert_int_eq(IsFastRingThread(made.ring), 1);
    for (size_t done = 0; done < sizeof(data);) {
        ssize_t size = recv(pair[1], data, sizeof(data), MSG_DONTWAIT);
        if (size < 0) {
            ck_assert_int_eq(WaitForFastRing(made.ring, 1, NULL), 0);
            continue;
        }
        ck_assert(checkPattern(data, (size_t)size, done));
        done += (size_t)size;
    }
    sendText(pair[1], "answer");
    receiveText(&recorder, "answer");
    ReleaseFastSocket(recorder.socket);
    close(pair[1]);
    fixtureClose(&made);
}
END_TEST

static void* runAll(void* closure)
{
    struct Fixture* made = closure;

    ck_assert_int_eq(WaitForFastRing(made->ring, 0, NULL), 0);
    ck_assert_int_eq(IsFastRingThread(made->ring), 1);
    transmitText(recorder.socket, "from thread");
    sendText(pair[1], "to thread");
    receiveText(&recorder, "to thread");
    waitDrained(&recorder);
    ReleaseFastSocket(recorder.socket);
    ck_assert_int_eq(shutdown(pair[1], SHUT_WR), 0);
    waitFor(made->ring, isNothingPending, made->ring);
    ReleaseFastRingBufferProvider(made->provider, ReleaseRingFastBuffer);
    ReleaseFastBufferPool(made->inbound);
    ReleaseFastBufferPool(made->outbound);
    ReleaseFastRing(made->ring);
    memset(made, 0, offsetof(struct Fixture, descriptors));
    return NULL;
}

/* created here, run and ended in a thread */
START_TEST(runsElsewhere)
{
    struct Fixture made;

    fixtureOpen(&made, 0, 0, 0);
    pairTcp(pair);
    openRecorded(&made, pair[0], NULL, 0, &recorder);
    inThread(runAll, &made);
    expectText(pair[1], "from thread");
    expectEnd(pair[1]);
    close(pair[1]);
    fixtureClose(&made);
}
END_TEST

/* several rings in several threads at once */
static void* echoMuch(void* closure)
{
    struct Recorder own = {0};
    struct Fixture made;
    int two[2];

    (void)closure;
    made.ring = CreateFastRing(0);
    ck_assert_ptr_nonnull(made.ring);
    made.inbound = CreateFastBufferPool(made.ring);
    made.outbound = CreateFastBufferPool(made.ring);
    made.provider = CreateFastRingBufferProvider(made.ring, 0, 16, 4096, AllocateRingFastBuffer,
                                                 made.inbound);
    pairStream(two);
    openRecorded(&made, two[0], NULL, 0, &own);
    for (int round = 0; round < 200; round++) {
        char text[32];
        snprintf(text, sizeof(text), "round %d", round);
        sendText(two[1], text);
        receiveText(&own, text);
        transmitText(own.socket, text);
        waitDrained(&own);
        expectText(two[1], text);
    }
    ReleaseFastSocket(own.socket);
    close(two[1]);
    waitFor(made.ring, isNothingPending, made.ring);
    ReleaseFastRingBufferProvider(made.provider, ReleaseRingFastBuffer);
    ReleaseFastBufferPool(made.inbound);
    ReleaseFastBufferPool(made.outbound);
    ReleaseFastRing(made.ring);
    return NULL;
}

START_TEST(runsManyRings)
{
    pthread_t threads[4];
    int before = countDescriptors();

    for (int index = 0; index < 4; index++)
        ck_assert_int_eq(pthread_create(&threads[index], NULL, echoMuch, NULL), 0);
    for (int index = 0; index < 4; index++)
        ck_assert_int_eq(pthread_join(threads[index], NULL), 0);
    ck_assert_int_eq(countDescriptors(), before);
}
END_TEST

int main(void)
{
    Suite* suite = suite_create("socket-thread");
    TCase* area = tcase_create("thread");

    tcase_add_checked_fixture(area, setUp, tearDown);
    tcase_add_test(area, refusesOtherThread);
    tcase_add_test(area, refusesForkedChild);
    tcase_add_test(area, consumesBufferOnly);
    tcase_add_test(area, createsElsewhere);
    tcase_add_test(area, runsElsewhere);
    tcase_add_test(area, runsManyRings);
    suite_add_tcase(suite, area);
    return runSuite(suite);
}
