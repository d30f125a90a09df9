/* Threads: what another thread than the ring's is refused, and what is consumed then; creating
 * in one thread and running in another. */
#include "services.h"

#include <liburing.h>
#include <pthread.h>
#include <sys/wait.h>

SCENE_AREA(thread, "thread");

static void* callEverything(void* closure)
{
    struct FastSocket* socket = closure;
    struct FastSocketStatistics statistics;
    struct iovec vector = {"x", 1};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    uint64_t value = 7;
    char byte = 0;
    int other[2];

    ck_assert_int_eq(IsFastRingThread(scene.ring), 0);
    ck_assert_int_eq(WaitForFastRing(scene.ring, 0, NULL), -EPERM);
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
    ck_assert_ptr_null(CreateFastSocket(scene.ring, scene.provider, scene.inbound,
                                        scene.outbound, other[0], NULL, 0, 0, 0, recordEvent,
                                        &scene.ours));
    ck_assert_int_eq(errno, EPERM);
    sendText(other[0], "mine");
    expectText(other[1], "mine");
    close(other[0]);
    close(other[1]);
    ReleaseFastSocket(socket);
    AbortFastSocket(socket);
    ReleaseFastRing(scene.ring);
    return NULL;
}

/* §2.8 -EPERM, §2.2 ring, provider, inbound, §2.2 returns: every call from another thread is
 * refused and changes nothing */
CASE(thread, refusesOtherThread)
{
    openPair(KIND_UNIX_STREAM);
    sendText(scene.peer, "queued");
    waitInput(&scene.ours, 6);
    inThread(callEverything, scene.ours.socket);
    ck_assert_uint_eq(GetFastSocketOutboundLength(scene.ours.socket), 0);
    receiveText(&scene.ours, "queued");
    transmitText(scene.ours.socket, "alive");
    waitDrained(&scene.ours);
    expectText(scene.peer, "alive");
    sendText(scene.peer, "both ways");
    receiveText(&scene.ours, "both ways");
    ck_assert_int_eq(scene.ours.hup + scene.ours.err, 0);
}

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
        callEverything(scene.ours.socket);
        ck_assert_int_eq(SubmitFastRingEvent(event, 13), -EPERM);
        ReleaseFastRingEvent(event);
        ck_assert_mem_eq(GetFastBufferData(buffer), "received", 8);
        ReleaseFastBuffer(buffer);
        ReleaseFastRingBufferProvider(scene.provider, ReleaseRingFastBuffer);
        ReleaseFastBufferPool(scene.inbound);
        ReleaseFastRing(scene.ring);
        own = CreateFastRing(0); /* one of its own works */
        ck_assert_ptr_nonnull(own);
        ck_assert_int_eq(WaitForFastRing(own, 0, NULL), 0);
        ReleaseFastRing(own);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}

/* §2.8 -EPERM, §2.6 shutdown and close: a forked child is another thread, also of a ring that
 * has not run yet: it shares the kernel's side of it, and spoils nothing of its parent's */
CASE(thread, refusesForkedChild)
{
    uint32_t parameter = 0;
    struct FastRingEvent* event = CreateFastRingEvent(scene.ring, onEvent, &parameter);
    struct FastBuffer* buffer = AllocateFastBuffer(scene.outbound, 8, 0);

    memcpy(GetFastBufferData(buffer), "received", 8);
    openPair(KIND_TCP);
    childCallsEverything(event, buffer);
    for (int round = 0; round < 3; round++) {
        sendText(scene.peer, "question");
        receiveText(&scene.ours, "question");
        transmitText(scene.ours.socket, "answer");
        childCallsEverything(event, buffer); /* with an answer queued */
        waitDrained(&scene.ours);
        expectText(scene.peer, "answer");
    }
    ck_assert_int_eq(scene.ours.hup + scene.ours.err, 0);
    ck_assert_int_eq(SubmitFastRingEvent(event, 12), 0);
    runIdle(scene.ring);
    ck_assert_uint_eq(parameter, 12);
    ReleaseFastBuffer(buffer);
    ReleaseFastRingEvent(event);
}

struct Given
{
    struct FastBuffer* buffer;
    struct FastRingDescriptor* descriptor;
};

static void* transmitOwned(void* closure)
{
    struct Given* given = closure;

    ck_assert_int_eq(TransmitFastSocketBuffer(scene.ours.socket, NULL, 0,
                                              HoldFastBuffer(given->buffer), 0, 10, 0),
                     -EPERM);
    ck_assert_int_eq(
        TransmitFastSocketDescriptor(scene.ours.socket, given->descriptor, given->buffer), -EPERM);
    return NULL;
}

/* §2.4 TransmitFastSocketDescriptor ownership: -EPERM: the buffer is released, the descriptor
 * left alone */
CASE(thread, consumesBufferOnly)
{
    struct Given given;
    uint64_t held = 0;

    openPair(KIND_UNIX_STREAM);
    runIdle(scene.ring);
    held = readRing(scene.ring).buffers;
    given.buffer = AllocateFastBuffer(scene.outbound, 10, 0);
    given.descriptor = AllocateFastRingDescriptor(scene.ring, NULL, NULL);
    io_uring_prep_send(GetFastRingDescriptorSubmission(given.descriptor), scene.handle,
                       GetFastBufferData(given.buffer), 10, 0);
    inThread(transmitOwned, &given);
    runIdle(scene.ring);
    ck_assert_uint_eq(readRing(scene.ring).buffers, held);
    ck_assert_ptr_eq(GetFastRingDescriptorRing(given.descriptor), scene.ring);
    ReleaseFastRingDescriptor(given.descriptor);
    expectNothing(scene.peer);
}

static void* createAll(void* closure)
{
    struct Scene* made = closure;

    sceneOpen(made, (struct SceneOptions){0});
    pairTcp(scene.pair);
    openRecorded(made, scene.handle, NULL, FASTSOCKET_MODE_ZERO_COPY, &scene.ours);
    transmitPattern(scene.ours.socket, 100000, 0);
    setOption(scene.ours.socket, FASTSOCKET_OPTION_INBOUND_HIGH, 50000);
    return NULL;
}

/* §2.8 first wait: created in a thread that ends, run in this one */
CASE(thread, createsElsewhere)
{
    static uint8_t data[100000];
    struct Scene made;
    int descriptors = countDescriptors();

    inThread(createAll, &made);
    made.descriptors = descriptors;
    ck_assert_int_eq(IsFastRingThread(made.ring), 1);
    for (size_t done = 0; done < sizeof(data);) {
        ssize_t size = recv(scene.peer, data, sizeof(data), MSG_DONTWAIT);
        if (size < 0) {
            ck_assert_int_eq(WaitForFastRing(made.ring, 1, NULL), 0);
            continue;
        }
        ck_assert(checkPattern(data, (size_t)size, done));
        done += (size_t)size;
    }
    sendText(scene.peer, "answer");
    receiveText(&scene.ours, "answer");
    closePair();
    sceneClose(&made);
}

static void* runAll(void* closure)
{
    struct Scene* made = closure;

    ck_assert_int_eq(WaitForFastRing(made->ring, 0, NULL), 0);
    ck_assert_int_eq(IsFastRingThread(made->ring), 1);
    transmitText(scene.ours.socket, "from thread");
    sendText(scene.peer, "to thread");
    receiveText(&scene.ours, "to thread");
    waitDrained(&scene.ours);
    ReleaseFastSocket(scene.ours.socket);
    ck_assert_int_eq(shutdown(scene.peer, SHUT_WR), 0);
    waitFor(made->ring, isNothingPending, made->ring);
    ReleaseFastRingBufferProvider(made->provider, ReleaseRingFastBuffer);
    ReleaseFastBufferPool(made->inbound);
    ReleaseFastBufferPool(made->outbound);
    ReleaseFastRing(made->ring);
    memset(made, 0, offsetof(struct Scene, ours));
    return NULL;
}

/* created here, run and ended in a thread */
CASE(thread, runsElsewhere)
{
    struct Scene made;

    sceneOpen(&made, (struct SceneOptions){0});
    pairTcp(scene.pair);
    openRecorded(&made, scene.handle, NULL, 0, &scene.ours);
    inThread(runAll, &made);
    expectText(scene.peer, "from thread");
    expectEnd(scene.peer);
    closePeer();
    sceneClose(&made);
}

/* several rings in several threads at once */
static void* echoMuch(void* closure)
{
    struct Recorder own = {0};
    struct Scene made;
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

CASE(thread, runsManyRings)
{
    pthread_t threads[4];
    int before = countDescriptors();

    for (int index = 0; index < 4; index++)
        ck_assert_int_eq(pthread_create(&threads[index], NULL, echoMuch, NULL), 0);
    for (int index = 0; index < 4; index++)
        ck_assert_int_eq(pthread_join(threads[index], NULL), 0);
    ck_assert_int_eq(countDescriptors(), before);
}
