/* A ring inside a foreign event loop: epoll, the handle and the interval, and nothing else. */
#include "services.h"

#include <liburing.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

static struct Fixture fixture;
static int loop;
static int calls;

static void setUp(void)
{
    fixtureOpen(&fixture, 0, 0, 0);
    loop = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    ck_assert_int_ge(loop, 0);
    ck_assert_int_eq(epoll_ctl(loop, EPOLL_CTL_ADD, GetFastRingHandle(fixture.ring), &event), 0);
}

static void tearDown(void)
{
    close(loop);
    fixtureClose(&fixture);
}

/* The kernel may interrupt it while it takes another ring down, of the test before or of the library's
 * own search for features. */
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

/* A foreign loop as the manual tells it: ask last, sleep no longer, run when woken or when time is up.
 * An endless sleep that nothing ends is bounded by the test's own timeout alone. */
static void runForeign(const int* counter, int atLeast)
{
    while (*counter < atLeast) {
        int interval = GetFastRingInterval(fixture.ring);
        ck_assert_int_ge(interval, -1);
        (void)sleepForeign(interval);
        ck_assert_int_eq(WaitForFastRing(fixture.ring, 0, NULL), 0);
    }
}

/* Until the ring has nothing to do and the loop would sleep. */
static void settle(void)
{
    while (GetFastRingInterval(fixture.ring) == 0 || sleepForeign(0) > 0)
        ck_assert_int_eq(WaitForFastRing(fixture.ring, 0, NULL), 0);
}

static void onTimeout(struct FastRingTimeout* timeout, void* closure)
{
    (void)timeout;
    (void)closure;
    calls++;
}

/* §2.8 GetFastRingInterval: a timeout when nothing else comes */
START_TEST(timeoutWithoutTraffic)
{
    settle();
    ck_assert_ptr_nonnull(SetFastRingTimeout(fixture.ring, NULL, 30, 0, onTimeout, NULL));
    int64_t start = nowNs();
    runForeign(&calls, 1);
    ck_assert_int_ge(nowNs() - start, 30000000);
    ck_assert_int_eq(GetFastRingInterval(fixture.ring), -1);
}
END_TEST

START_TEST(repeatingTimeoutWithoutTraffic)
{
    settle();
    struct FastRingTimeout* timeout =
        SetFastRingTimeout(fixture.ring, NULL, 5, FASTRING_TIMEOUT_REPEAT, onTimeout, NULL);
    uint64_t turns = readRing(fixture.ring).turns;
    runForeign(&calls, 10);
    /* the interval is rounded up: no turns in vain just before the time */
    ck_assert_uint_le(readRing(fixture.ring).turns - turns, 25);
    SetFastRingTimeout(NULL, timeout, -1, 0, NULL, NULL);
}
END_TEST

/* §2.8 GetFastRingInterval: queued work asks for a turn at once */
START_TEST(queuedWorkIsTold)
{
    settle();
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(fixture.ring, NULL, NULL);
    io_uring_prep_nop(GetFastRingDescriptorSubmission(descriptor));
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    ck_assert_int_eq(GetFastRingInterval(fixture.ring), 0);
    settle();
    ck_assert_uint_eq(readRing(fixture.ring).operations, 0);
}
END_TEST

static int onCompletion(struct FastRingDescriptor* descriptor, struct io_uring_cqe* completion, int reason)
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
START_TEST(completionWakesTheLoop)
{
    static char input[16];
    int pair[2];
    pthread_t thread;

    pairStream(pair);
    struct FastRingDescriptor* descriptor = AllocateFastRingDescriptor(fixture.ring, onCompletion, NULL);
    io_uring_prep_recv(GetFastRingDescriptorSubmission(descriptor), pair[0], input, sizeof(input), 0);
    ck_assert_int_eq(SubmitFastRingDescriptor(descriptor), 0);
    settle();
    ck_assert_int_eq(calls, 0);
    ck_assert_int_eq(GetFastRingInterval(fixture.ring), -1);
    ck_assert_int_eq(pthread_create(&thread, NULL, sendLater, &pair[1]), 0);
    runForeign(&calls, 1);
    pthread_join(thread, NULL);
    close(pair[0]);
    close(pair[1]);
}
END_TEST

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

START_TEST(eventWakesTheLoop)
{
    struct FastRingEvent* event = CreateFastRingEvent(fixture.ring, onEvent, NULL);
    for (int round = 1; round <= 20; round++) {
        pthread_t thread;
        settle();
        ck_assert_int_eq(GetFastRingInterval(fixture.ring), -1);
        ck_assert_int_eq(pthread_create(&thread, NULL, submitLater, event), 0);
        runForeign(&calls, round);
        pthread_join(thread, NULL);
    }
    ReleaseFastRingEvent(event);
}
END_TEST

START_TEST(eventBeforeTheFirstTurnIsTold)
{
    struct FastRingEvent* event = CreateFastRingEvent(fixture.ring, onEvent, NULL);
    inThread(submitLater, event);
    runForeign(&calls, 1);
    ReleaseFastRingEvent(event);
}
END_TEST

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
START_TEST(watchedCounterWakesTheLoop)
{
    int counter = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct FastRingWatch* watch =
        AddFastRingWatch(fixture.ring, counter, POLLIN, 0, onForeignCounter, &counter);
    for (int round = 1; round <= 20; round++) {
        pthread_t thread;
        settle();
        ck_assert_int_eq(pthread_create(&thread, NULL, count, &counter), 0);
        runForeign(&calls, round);
        pthread_join(thread, NULL);
    }
    RemoveFastRingWatch(watch);
    settle();
    close(counter);
}
END_TEST

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

/* §2.8 handle, §2.8 GetFastRingInterval: sockets in a foreign loop */
START_TEST(socketsWorkInTheLoop)
{
    struct Recorder recorder = {.then = echo};
    int pair[2];
    pthread_t thread;

    pairTcp(pair);
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
    ck_assert_int_eq(pthread_create(&thread, NULL, pingPong, &pair[1]), 0);
    runForeign(&recorder.hup, 1);
    pthread_join(thread, NULL);
    ReleaseFastSocket(recorder.socket);
    close(pair[1]);
}
END_TEST

/* §2.8 GetFastRingInterval, §2.8 handle: nothing happens, and the loop sleeps: no turn is asked
 * for */
START_TEST(idleRingIsQuiet)
{
    struct Recorder recorder = {.then = NULL};
    int pair[2];

    pairTcp(pair);
    openRecorded(&fixture, pair[0], NULL, 0, &recorder);
    settle();
    for (int round = 0; round < 20; round++) {
        ck_assert_int_eq(GetFastRingInterval(fixture.ring), -1);
        ck_assert_int_eq(sleepForeign(5), 0);
    }
    ReleaseFastSocket(recorder.socket);
    close(pair[1]);
}
END_TEST

/* A ring in another ring's watch: two loops of ours. */
static void runInner(struct FastRingWatch* watch, int result, void* closure)
{
    (void)watch;
    ck_assert_int_eq(result, POLLIN);
    ck_assert_int_eq(WaitForFastRing(closure, 0, NULL), 0);
}

START_TEST(ringInsideARing)
{
    struct FastRing* inner = CreateFastRing(16);
    struct FastRingEvent* event = CreateFastRingEvent(inner, onEvent, NULL);
    runTurns(inner, 2);
    struct FastRingWatch* watch = AddFastRingWatch(fixture.ring, GetFastRingHandle(inner), POLLIN, 0, runInner, inner);
    ck_assert_ptr_nonnull(watch);
    runTurns(fixture.ring, 2);
    inThread(submitLater, event);
    waitCount(fixture.ring, &calls, 1);
    RemoveFastRingWatch(watch);
    runIdle(fixture.ring);
    ReleaseFastRingEvent(event);
    ReleaseFastRing(inner);
}
END_TEST

int main(void)
{
    Suite* suite = suite_create("embed");
    TCase* tcase = tcase_create("embed");

    tcase_add_checked_fixture(tcase, setUp, tearDown);
    tcase_add_test(tcase, timeoutWithoutTraffic);
    tcase_add_test(tcase, repeatingTimeoutWithoutTraffic);
    tcase_add_test(tcase, queuedWorkIsTold);
    tcase_add_test(tcase, completionWakesTheLoop);
    tcase_add_test(tcase, eventWakesTheLoop);
    tcase_add_test(tcase, eventBeforeTheFirstTurnIsTold);
    tcase_add_test(tcase, watchedCounterWakesTheLoop);
    tcase_add_test(tcase, socketsWorkInTheLoop);
    tcase_add_test(tcase, idleRingIsQuiet);
    tcase_add_test(tcase, ringInsideARing);
    suite_add_tcase(suite, tcase);
    return runSuite(suite);
}
