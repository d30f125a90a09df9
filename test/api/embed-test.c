/* A ring inside a foreign event loop: epoll, the handle and the interval, and nothing else. */
#include "services.h"

#include <liburing.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

static int loop;
static int calls;

static void setUp(void)
{
    openScene();
    loop = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    ck_assert_int_ge(loop, 0);
    ck_assert_int_eq(epoll_ctl(loop, EPOLL_CTL_ADD, GetFastRingHandle(scene.ring), &event), 0);
}

static void tearDown(void)
{
    close(loop);
    closeScene();
}

AREA(embed, "embed", .open = setUp, .close = tearDown);

/* The kernel may interrupt it while it takes another ring down, of the test before or of the
 * library's own search for features. */
static int sleepForeign(int interval)
{
    struct epoll_event event;
    int ready = epoll_wait(loop, &event, 1, interval);

    if (ready < 0) {
        ck_assert_int_eq(errno, EINTR);
        return 0;
    }
    return ready;
}

/* A foreign loop as the manual tells it: ask last, sleep no longer, run when woken or when time
 * is up. An endless sleep that nothing ends is bounded by the test's own timeout alone. */
static void runForeign(const int* counter, int atLeast)
{
    while (*counter < atLeast) {
        int interval = GetFastRingInterval(scene.ring);
        ck_assert_int_ge(interval, -1);
        (void)sleepForeign(interval);
        ck_assert_int_eq(WaitForFastRing(scene.ring, 0, NULL), 0);
    }
}

/* Until the ring has nothing to do and the loop would sleep. */
static void runToSleep(void)
{
    while (GetFastRingInterval(scene.ring) == 0 || sleepForeign(0) > 0)
        ck_assert_int_eq(WaitForFastRing(scene.ring, 0, NULL), 0);
}

static void onTimeout(struct FastRingTimeout* timeout, void* closure)
{
    (void)timeout;
    (void)closure;
    calls++;
}

/* §2.8 GetFastRingInterval: a timeout when nothing else comes */
CASE(embed, timeoutWithoutTraffic)
{
    runToSleep();
    ck_assert_ptr_nonnull(SetFastRingTimeout(scene.ring, NULL, 30, 0, onTimeout, NULL));
    int64_t start = nowNs();
    runForeign(&calls, 1);
    ck_assert_int_ge(nowNs() - start, 30000000);
    ck_assert_int_eq(GetFastRingInterval(scene.ring), -1);
}

CASE(embed, repeatingTimeoutWithoutTraffic)
{
    runToSleep();
    struct FastRingTimeout* timeout =
        SetFastRingTimeout(scene.ring, NULL, 5, FASTRING_TIMEOUT_REPEAT, onTimeout, NULL);
    uint64_t turns = readRing(scene.ring).turns;
    runForeign(&calls, 10);
    /* the interval is rounded up: no turns in vain just before the time */
    ck_assert_uint_le(readRing(scene.ring).turns - turns, 25);
    SetFastRingTimeout(NULL, timeout, -1, 0, NULL, NULL);
}

/* §2.8 GetFastRingInterval: queued work asks for a turn at once */
CASE(embed, queuedWorkIsTold)
{
    runToSleep();
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(scene.ring, NULL, NULL);
    io_uring_prep_nop(GetFastRingDescriptorSubmission(descriptor));
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    ck_assert_int_eq(GetFastRingInterval(scene.ring), 0);
    runToSleep();
    ck_assert_uint_eq(readRing(scene.ring).operations, 0);
}

static int onCompletion(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion,
                        int reason)
{
    (void)descriptor;
    (void)completion;
    calls += reason == FASTRING_REASON_COMPLETE;
    return 0;
}

static void* sendLater(void* closure)
{
    sendText(*(int*)closure, "x");
    return NULL;
}

/* §2.8 handle: a completion */
CASE(embed, completionWakesTheLoop)
{
    static char input[16];
    int pair[2];
    pthread_t thread;

    pairStream(pair);
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(scene.ring, onCompletion,
                                                                       NULL);
    io_uring_prep_recv(GetFastRingDescriptorSubmission(descriptor), pair[0], input, sizeof(input),
                       0);
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    runToSleep();
    ck_assert_int_eq(calls, 0);
    ck_assert_int_eq(GetFastRingInterval(scene.ring), -1);
    ck_assert_int_eq(pthread_create(&thread, NULL, sendLater, &pair[1]), 0);
    runForeign(&calls, 1);
    pthread_join(thread, NULL);
    close(pair[0]);
    close(pair[1]);
}

static void onEvent(struct FastRingEvent* event, uint32_t parameter, void* closure)
{
    (void)event;
    (void)parameter;
    (void)closure;
    calls++;
}

static void* submitLater(void* closure)
{
    ck_assert_int_eq(SubmitFastRingEvent(closure, 1), 0);
    return NULL;
}

CASE(embed, eventWakesTheLoop)
{
    struct FastRingEvent* event = CreateFastRingEvent(scene.ring, onEvent, NULL);
    for (int round = 1; round <= 20; round++) {
        pthread_t thread;
        runToSleep();
        ck_assert_int_eq(GetFastRingInterval(scene.ring), -1);
        ck_assert_int_eq(pthread_create(&thread, NULL, submitLater, event), 0);
        runForeign(&calls, round);
        pthread_join(thread, NULL);
    }
    ReleaseFastRingEvent(event);
}

CASE(embed, eventBeforeTheFirstTurnIsTold)
{
    struct FastRingEvent* event = CreateFastRingEvent(scene.ring, onEvent, NULL);
    inThread(submitLater, event);
    runForeign(&calls, 1);
    ReleaseFastRingEvent(event);
}

static void onForeignCounter(struct FastRingWatch* watch, int result, void* closure)
{
    uint64_t value;
    (void)watch;
    ck_assert_int_eq(result, POLLIN);
    ck_assert_int_eq(read(*(int*)closure, &value, sizeof(value)), sizeof(value));
    calls++;
}

static void* count(void* closure)
{
    uint64_t one = 1;
    ck_assert_int_eq(write(*(int*)closure, &one, sizeof(one)), sizeof(one));
    return NULL;
}

/* §2.8 handle: A wake-up that comes out of an eventfd takes another way through the kernel, to
 * an eventfd again. */
CASE(embed, watchedCounterWakesTheLoop)
{
    int counter = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct FastRingWatch* watch =
        AddFastRingWatch(scene.ring, counter, POLLIN, 0, onForeignCounter, &counter);
    for (int round = 1; round <= 20; round++) {
        pthread_t thread;
        runToSleep();
        ck_assert_int_eq(pthread_create(&thread, NULL, count, &counter), 0);
        runForeign(&calls, round);
        pthread_join(thread, NULL);
    }
    RemoveFastRingWatch(watch);
    runToSleep();
    close(counter);
}

static void echo(struct FastSocket* socket, int event, int parameter, struct Recorder* recorder)
{
    char data[256];
    (void)parameter;
    (void)recorder;
    if (event == POLLIN) {
        ssize_t size = ReceiveFastSocketData(socket, data, sizeof(data), 0);
        ck_assert_int_gt(size, 0);
        ck_assert_int_eq(TransmitFastSocketData(socket, NULL, 0, data, (size_t)size, 0), 0);
    }
}

static void* pingPong(void* closure)
{
    int handle = *(int*)closure;
    for (int round = 0; round < 200; round++) {
        sendText(handle, "ping");
        expectText(handle, "ping");
    }
    shutdown(handle, SHUT_WR);
    return NULL;
}

/* An echo to a thread, by a loop that runs until the counter says so. */
static void echoIn(void (*runLoop)(const int* counter, int atLeast))
{
    struct Recorder recorder = {.then = echo};
    int pair[2];
    pthread_t thread;

    pairTcp(pair);
    openRecorded(&scene, pair[0], NULL, 0, &recorder);
    ck_assert_int_eq(pthread_create(&thread, NULL, pingPong, &pair[1]), 0);
    runLoop(&recorder.hup, 1);
    pthread_join(thread, NULL);
    ReleaseFastSocket(recorder.socket);
    close(pair[1]);
}

/* §2.8 handle, §2.8 GetFastRingInterval: sockets in a foreign loop */
CASE(embed, socketsWorkInTheLoop)
{
    echoIn(runForeign);
}

/* ---- loops that can't ask before they sleep ---- */

/* It sleeps until the handle says something, for ever if it must. */
static void runBlind(const int* counter, int atLeast)
{
    while (*counter < atLeast) {
        (void)sleepForeign(-1);
        ck_assert_int_eq(WaitForFastRing(scene.ring, 0, NULL), 0);
    }
}

/* §2.8 output between turns: it wakes the loop, and what its answers bring does so too */
CASE(embed, socketsWorkInABlindLoop)
{
    echoIn(runBlind);
}

static void expectShown(void)
{
    ck_assert_int_eq(sleepForeign(0), 1);
    runToSleep();
    ck_assert_int_eq(sleepForeign(0), 0);
}

static void onFlush(void* closure, int reason)
{
    (void)closure;
    (void)reason;
    calls++;
}

static void onPost(struct FastRing* ring, void* closure)
{
    (void)ring;
    (void)closure;
    calls++;
}

/* §2.8 output between turns: and whatever else is queued then */
CASE(embed, whatIsQueuedOutsideIsShown)
{
    struct Recorder recorder = {.then = NULL};
    int pair[2];

    pairTcp(pair);
    openRecorded(&scene, pair[0], NULL, 0, &recorder);
    expectShown(); /* a creation */
    for (int round = 0; round < 3; round++) {
        transmitText(recorder.socket, "output");
        transmitText(recorder.socket, "and more");
        expectShown();
        expectText(pair[1], "outputand more");
    }
    ck_assert_ptr_nonnull(SetFastRingFlushHandler(scene.ring, onFlush, NULL));
    expectShown();
    ck_assert_int_eq(calls, 1);
    ck_assert_int_eq(PostFastRingCall(scene.ring, onPost, NULL), 0);
    expectShown();
    ck_assert_int_eq(calls, 2);
    struct FastRingTimeout* late = SetFastRingTimeout(scene.ring, NULL, 100000, 0, onTimeout, NULL);
    ck_assert_int_eq(sleepForeign(0), 1);
    RemoveFastRingTimeout(late);
    runToSleep();
    ReleaseFastSocket(recorder.socket);
    ck_assert_int_eq(sleepForeign(0), 1);
    close(pair[1]);
}

static void transmitAgain(struct FastRing* ring, void* closure)
{
    (void)ring;
    transmitText(closure, "inside");
}

/* §2.8 output between turns: what a turn's own callbacks have queued is shown when it ends */
CASE(embed, whatIsQueuedInsideIsShown)
{
    struct Recorder recorder = {.then = NULL};
    int pair[2];

    pairTcp(pair);
    openRecorded(&scene, pair[0], NULL, 0, &recorder);
    runToSleep();
    ck_assert_int_eq(PostFastRingCall(scene.ring, transmitAgain, recorder.socket), 0);
    ck_assert_int_eq(WaitForFastRing(scene.ring, 0, NULL), 0);
    ck_assert_int_eq(sleepForeign(0), 1);
    runToSleep();
    expectText(pair[1], "inside");
    ReleaseFastSocket(recorder.socket);
    close(pair[1]);
}

/* A handle that is asked for before the first wait, and after something is queued. */
CASE(embed, handleOfANewRingIsShown)
{
    struct FastRing* fresh = CreateFastRing(16);
    ck_assert_ptr_nonnull(SetFastRingFlushHandler(fresh, onFlush, NULL));
    struct pollfd state = {.fd = GetFastRingHandle(fresh), .events = POLLIN};
    ck_assert_int_eq(poll(&state, 1, 0), 1);
    for (int turns = 0; poll(&state, 1, 0) > 0; turns++) {
        ck_assert_int_lt(turns, 100);
        runTurns(fresh, 1);
    }
    ck_assert_int_eq(calls, 1);
    ck_assert_int_eq(GetFastRingInterval(fresh), -1);
    ReleaseFastRing(fresh);
}

/* §2.8 GetFastRingInterval, §2.8 handle, §2.8 nothing to do: nothing happens, and the loop sleeps:
 * no turn is asked for */
CASE(embed, idleRingIsQuiet)
{
    struct Recorder recorder = {.then = NULL};
    int pair[2];

    pairTcp(pair);
    openRecorded(&scene, pair[0], NULL, 0, &recorder);
    runToSleep();
    for (int round = 0; round < 20; round++) {
        ck_assert_int_eq(GetFastRingInterval(scene.ring), -1);
        ck_assert_int_eq(sleepForeign(5), 0);
    }
    ReleaseFastSocket(recorder.socket);
    close(pair[1]);
}

/* A ring in another ring's watch: two loops of ours. */
static void runInner(struct FastRingWatch* watch, int result, void* closure)
{
    (void)watch;
    ck_assert_int_eq(result, POLLIN);
    ck_assert_int_eq(WaitForFastRing(closure, 0, NULL), 0);
}

CASE(embed, ringInsideARing)
{
    struct FastRing* inner = CreateFastRing(16);
    struct FastRingEvent* event = CreateFastRingEvent(inner, onEvent, NULL);
    runTurns(inner, 2);
    struct FastRingWatch* watch = AddFastRingWatch(scene.ring, GetFastRingHandle(inner), POLLIN, 0,
                                                   runInner, inner);
    ck_assert_ptr_nonnull(watch);
    runTurns(scene.ring, 2);
    inThread(submitLater, event);
    waitCount(scene.ring, &calls, 1);
    RemoveFastRingWatch(watch);
    runIdle(scene.ring);
    ReleaseFastRingEvent(event);
    ReleaseFastRing(inner);
}
