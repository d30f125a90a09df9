/* Events: doorbells for other threads and signal handlers. */
#include "services.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>

enum
{
    THREADS = 4,
    SUBMITS = 20000,
};

static struct Fixture fixture;
static struct FastRingEvent* event;
static int calls;
static uint32_t lastParameter;
static pthread_t caller;

static void setUp(void)
{
    fixtureOpen(&fixture, 0, 0, 0);
}

static void tearDown(void)
{
    fixtureClose(&fixture);
}

static void count(struct FastRingEvent* which, uint32_t parameter, void* closure)
{
    ck_assert_ptr_eq(closure, &calls);
    ck_assert_ptr_eq(which, event);
    calls++;
    lastParameter = parameter;
    caller = pthread_self();
}

static void never(struct FastRingEvent* which, uint32_t parameter, void* closure)
{
    (void)which;
    (void)parameter;
    (void)closure;
    ck_abort_msg("called");
}

static struct FastRingEvent* create(HandleFastRingEventFunction function)
{
    struct FastRingEvent* created = CreateFastRingEvent(fixture.ring, function, &calls);
    ck_assert_ptr_nonnull(created);
    return created;
}

static void* submitOnce(void* closure)
{
    ck_assert_int_eq(SubmitFastRingEvent(closure, 42), 0);
    return NULL;
}

START_TEST(comesFromAnotherThread)
{
    event = create(count);
    runTurns(fixture.ring, 2);
    inThread(submitOnce, event);
    waitCount(fixture.ring, &calls, 1);
    ck_assert_uint_eq(lastParameter, 42);
    ck_assert(pthread_equal(caller, pthread_self()));
    ck_assert_uint_ge(readRing(fixture.ring).wakes, 1);
    runIdle(fixture.ring);
    ck_assert_int_eq(calls, 1);
    ReleaseFastRingEvent(event);
}
END_TEST

START_TEST(comesFromTheSameThread)
{
    event = create(count);
    runTurns(fixture.ring, 2);
    ck_assert_int_eq(SubmitFastRingEvent(event, UINT32_MAX), 0);
    ck_assert_int_eq(calls, 0); /* never from inside the submit */
    waitCount(fixture.ring, &calls, 1);
    ck_assert_uint_eq(lastParameter, UINT32_MAX);
    ReleaseFastRingEvent(event);
}
END_TEST

START_TEST(isKeptBeforeTheFirstWait)
{
    event = create(count);
    inThread(submitOnce, event);
    waitCount(fixture.ring, &calls, 1);
    ck_assert_uint_eq(lastParameter, 42);
    ReleaseFastRingEvent(event);
}
END_TEST

START_TEST(mergesAndTheLastWins)
{
    event = create(count);
    runTurns(fixture.ring, 2);
    for (uint32_t parameter = 1; parameter <= 1000; parameter++)
        ck_assert_int_eq(SubmitFastRingEvent(event, parameter), 0);
    waitCount(fixture.ring, &calls, 1);
    runIdle(fixture.ring);
    ck_assert_int_eq(calls, 1);
    ck_assert_uint_eq(lastParameter, 1000);
    ReleaseFastRingEvent(event);
}
END_TEST

/* ---- an endless wait ends ---- */

static atomic_bool sleeping;

static void* submitWhileSleeping(void* closure)
{
    while (!atomic_load(&sleeping))
        sched_yield();
    return submitOnce(closure);
}

/* §2.8 interval UINT32_MAX: it ends when something comes */
START_TEST(endsAnEndlessWait)
{
    pthread_t thread;

    event = create(count);
    runTurns(fixture.ring, 2);
    ck_assert_int_eq(pthread_create(&thread, NULL, submitWhileSleeping, event), 0);
    atomic_store(&sleeping, true);
    while (calls == 0)
        ck_assert_int_eq(WaitForFastRing(fixture.ring, UINT32_MAX, NULL), 0);
    pthread_join(thread, NULL);
    ReleaseFastRingEvent(event);
}
END_TEST

/* Each submit is answered before the next: none may be lost between a wake and its arming. */
static atomic_uint answered;

static void answer(struct FastRingEvent* which, uint32_t parameter, void* closure)
{
    (void)which;
    (void)closure;
    calls++;
    atomic_store(&answered, parameter);
}

static void* submitAndAwait(void* closure)
{
    for (uint32_t parameter = 1; parameter <= 3000; parameter++) {
        ck_assert_int_eq(SubmitFastRingEvent(closure, parameter), 0);
        while (atomic_load(&answered) != parameter)
            sched_yield();
    }
    return NULL;
}

START_TEST(losesNone)
{
    pthread_t thread;

    event = create(answer);
    ck_assert_int_eq(pthread_create(&thread, NULL, submitAndAwait, event), 0);
    while (atomic_load(&answered) != 3000)
        ck_assert_int_eq(WaitForFastRing(fixture.ring, UINT32_MAX, NULL), 0);
    pthread_join(thread, NULL);
    ck_assert_int_eq(calls, 3000);
    ReleaseFastRingEvent(event);
}
END_TEST

/* ---- many threads, many events ---- */

static struct FastRingEvent* events[THREADS];
static uint32_t seen[THREADS];

static void note(struct FastRingEvent* which, uint32_t parameter, void* closure)
{
    uint32_t* last = closure;
    ck_assert_ptr_eq(which, events[last - seen]);
    ck_assert_uint_ge(parameter, *last);
    *last = parameter;
    calls++;
}

static void* submitMany(void* closure)
{
    for (uint32_t parameter = 1; parameter <= SUBMITS; parameter++)
        ck_assert_int_eq(SubmitFastRingEvent(closure, parameter), 0);
    return NULL;
}

static bool allSeen(void* closure)
{
    (void)closure;
    for (int index = 0; index < THREADS; index++) {
        if (seen[index] != SUBMITS)
            return false;
    }
    return true;
}

START_TEST(comeFromManyThreads)
{
    pthread_t threads[THREADS];

    for (int index = 0; index < THREADS; index++) {
        events[index] = CreateFastRingEvent(fixture.ring, note, &seen[index]);
        ck_assert_ptr_nonnull(events[index]);
        ck_assert_int_eq(pthread_create(&threads[index], NULL, submitMany, events[index]), 0);
    }
    ck_assert(runUntil(fixture.ring, allSeen, NULL));
    for (int index = 0; index < THREADS; index++) {
        pthread_join(threads[index], NULL);
        ReleaseFastRingEvent(events[index]);
    }
    ck_assert_int_le(calls, THREADS * SUBMITS);
}
END_TEST

/* ---- signal handlers ---- */

static void onSignal(int number)
{
    (void)number;
    SubmitFastRingEvent(event, 7);
}

START_TEST(comesFromASignalHandler)
{
    struct sigaction action = {.sa_handler = onSignal};
    struct itimerval timer = {.it_value.tv_usec = 1000, .it_interval.tv_usec = 500};

    event = create(count);
    sigaction(SIGALRM, &action, NULL);
    runTurns(fixture.ring, 1);
    raise(SIGALRM);
    waitCount(fixture.ring, &calls, 1);
    ck_assert_uint_eq(lastParameter, 7);
    setitimer(ITIMER_REAL, &timer, NULL);
    while (calls < 50)
        ck_assert_int_eq(WaitForFastRing(fixture.ring, UINT32_MAX, NULL), 0);
    memset(&timer, 0, sizeof(timer));
    setitimer(ITIMER_REAL, &timer, NULL);
    signal(SIGALRM, SIG_IGN);
    ReleaseFastRingEvent(event);
}
END_TEST

/* ---- inside its function ---- */

static void submitAgain(struct FastRingEvent* which, uint32_t parameter, void* closure)
{
    (void)closure;
    calls++;
    ck_assert_int_eq(SubmitFastRingEvent(which, parameter + 1), 0);
    ck_assert_int_le(calls, 1000000);
}

/* A chain of submits does not hold the loop: one call a turn at most. */
START_TEST(submitsItself)
{
    event = create(submitAgain);
    runTurns(fixture.ring, 1);
    SubmitFastRingEvent(event, 1);
    for (int turn = 0; turn < 20; turn++) {
        int before = calls;
        runTurns(fixture.ring, 1);
        ck_assert_int_le(calls, before + 1);
    }
    waitCount(fixture.ring, &calls, 5);
    ReleaseFastRingEvent(event);
    int after = calls;
    runTurns(fixture.ring, 5);
    ck_assert_int_eq(calls, after);
}
END_TEST

static void releaseSelf(struct FastRingEvent* which, uint32_t parameter, void* closure)
{
    (void)closure;
    calls++;
    if (parameter == 1)
        ck_assert_int_eq(SubmitFastRingEvent(which, 2), 0);
    ReleaseFastRingEvent(which);
}

START_TEST(releasesItself)
{
    SubmitFastRingEvent(create(releaseSelf), 0);
    waitCount(fixture.ring, &calls, 1);
    runIdle(fixture.ring);
    ck_assert_int_eq(calls, 1);
}
END_TEST

START_TEST(releasesItselfWhenSubmittedAgain)
{
    SubmitFastRingEvent(create(releaseSelf), 1);
    waitCount(fixture.ring, &calls, 1);
    runIdle(fixture.ring);
    ck_assert_int_eq(calls, 1);
}
END_TEST

static void releaseOthers(struct FastRingEvent* which, uint32_t parameter, void* closure)
{
    (void)which;
    (void)parameter;
    (void)closure;
    calls++;
    for (int index = 0; index < THREADS; index++) {
        ReleaseFastRingEvent(events[index]);
        events[index] = NULL;
    }
}

START_TEST(releasesOthersSubmitted)
{
    for (int index = 0; index < THREADS; index++)
        events[index] = create(releaseOthers);
    for (int index = 0; index < THREADS; index++)
        ck_assert_int_eq(SubmitFastRingEvent(events[index], 1), 0);
    waitCount(fixture.ring, &calls, 1);
    runIdle(fixture.ring);
    ck_assert_int_eq(calls, 1);
}
END_TEST

static void releaseRing(struct FastRingEvent* which, uint32_t parameter, void* closure)
{
    (void)which;
    (void)parameter;
    (void)closure;
    calls++;
    ReleaseFastRing(fixture.ring);
}

START_TEST(releasesTheRingInside)
{
    int result = 0;
    event = create(releaseRing);
    SubmitFastRingEvent(event, 1);
    while (result == 0)
        result = WaitForFastRing(fixture.ring, 100, NULL);
    ck_assert_int_eq(result, -ECANCELED);
    fixture.ring = NULL;
    ck_assert_int_eq(calls, 1);
    ck_assert_int_eq(SubmitFastRingEvent(event, 1), -ECANCELED);
    ReleaseFastRingEvent(event);
}
END_TEST

/* ---- releases ---- */

START_TEST(releasedOneIsNotCalled)
{
    event = create(never);
    runTurns(fixture.ring, 1);
    SubmitFastRingEvent(event, 1);
    ReleaseFastRingEvent(event);
    runIdle(fixture.ring);
    ReleaseFastRingEvent(NULL);
}
END_TEST

START_TEST(releasedWhileSubmittedBeforeTheRing)
{
    event = create(never);
    SubmitFastRingEvent(event, 1);
    ReleaseFastRingEvent(event);
    ReleaseFastRing(fixture.ring);
    fixture.ring = NULL;
}
END_TEST

static void* submitToShell(void* closure)
{
    ck_assert_int_eq(SubmitFastRingEvent(closure, 1), -ECANCELED);
    return NULL;
}

START_TEST(isAShellAfterTheRing)
{
    event = create(never);
    ReleaseFastRing(fixture.ring);
    fixture.ring = NULL;
    ck_assert_int_eq(SubmitFastRingEvent(event, 1), -ECANCELED);
    inThread(submitToShell, event);
    ReleaseFastRingEvent(event);
}
END_TEST

static atomic_bool refused;

static void* submitUntilRefused(void* closure)
{
    uint32_t parameter = 0;
    while (SubmitFastRingEvent(closure, parameter++) == 0)
        continue;
    ck_assert_int_eq(SubmitFastRingEvent(closure, 0), -ECANCELED);
    atomic_store(&refused, true);
    return NULL;
}

/* Threads go on submitting while the ring is released. */
START_TEST(submittersOutliveTheRing)
{
    pthread_t threads[THREADS];

    for (int index = 0; index < THREADS; index++) {
        events[index] = CreateFastRingEvent(fixture.ring, note, &seen[index]);
        pthread_create(&threads[index], NULL, submitUntilRefused, events[index]);
    }
    waitCount(fixture.ring, &calls, 100);
    ReleaseFastRing(fixture.ring);
    fixture.ring = NULL;
    for (int index = 0; index < THREADS; index++) {
        pthread_join(threads[index], NULL);
        ReleaseFastRingEvent(events[index]);
    }
    ck_assert(atomic_load(&refused));
}
END_TEST

/* ---- bad input ---- */

static void* createInThread(void* closure)
{
    (void)closure;
    refuses(EPERM, CreateFastRingEvent(fixture.ring, never, NULL));
    ReleaseFastRingEvent(event); /* does nothing */
    return NULL;
}

START_TEST(refusesBadInput)
{
    refuses(EINVAL, CreateFastRingEvent(NULL, never, NULL));
    refuses(EINVAL, CreateFastRingEvent(fixture.ring, NULL, NULL));
    ck_assert_int_eq(SubmitFastRingEvent(NULL, 1), -EINVAL);
    event = create(count);
    runTurns(fixture.ring, 1);
    inThread(createInThread, NULL);
    SubmitFastRingEvent(event, 1);
    waitCount(fixture.ring, &calls, 1);
    ReleaseFastRingEvent(event);
}
END_TEST

int main(void)
{
    Suite* suite = suite_create("event");
    TCase* tcase = tcase_create("event");

    tcase_add_checked_fixture(tcase, setUp, tearDown);
    tcase_add_test(tcase, comesFromAnotherThread);
    tcase_add_test(tcase, comesFromTheSameThread);
    tcase_add_test(tcase, isKeptBeforeTheFirstWait);
    tcase_add_test(tcase, mergesAndTheLastWins);
    tcase_add_test(tcase, endsAnEndlessWait);
    tcase_add_test(tcase, losesNone);
    tcase_add_test(tcase, comeFromManyThreads);
    tcase_add_test(tcase, comesFromASignalHandler);
    tcase_add_test(tcase, submitsItself);
    tcase_add_test(tcase, releasesItself);
    tcase_add_test(tcase, releasesItselfWhenSubmittedAgain);
    tcase_add_test(tcase, releasesOthersSubmitted);
    tcase_add_test(tcase, releasesTheRingInside);
    tcase_add_test(tcase, releasedOneIsNotCalled);
    tcase_add_test(tcase, releasedWhileSubmittedBeforeTheRing);
    tcase_add_test(tcase, isAShellAfterTheRing);
    tcase_add_test(tcase, submittersOutliveTheRing);
    tcase_add_test(tcase, refusesBadInput);
    suite_add_tcase(suite, tcase);
    return runSuite(suite);
}
