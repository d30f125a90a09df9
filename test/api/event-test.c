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

static struct FastRingEvent* event;
static int calls;
static uint32_t lastParameter;
static pthread_t caller;

SCENE_AREA(event, "event");

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
    struct FastRingEvent* created = CreateFastRingEvent(scene.ring, function, &calls);
    ck_assert_ptr_nonnull(created);
    return created;
}

static void* submitOnce(void* closure)
{
    ck_assert_int_eq(SubmitFastRingEvent(closure, 42), 0);
    return NULL;
}

CASE(event, comesFromAnotherThread)
{
    event = create(count);
    runTurns(scene.ring, 2);
    inThread(submitOnce, event);
    waitCount(scene.ring, &calls, 1);
    ck_assert_uint_eq(lastParameter, 42);
    ck_assert(pthread_equal(caller, pthread_self()));
    ck_assert_uint_ge(readRing(scene.ring).wakes, 1);
    runIdle(scene.ring);
    ck_assert_int_eq(calls, 1);
    ReleaseFastRingEvent(event);
}

CASE(event, comesFromTheSameThread)
{
    event = create(count);
    runTurns(scene.ring, 2);
    ck_assert_int_eq(SubmitFastRingEvent(event, UINT32_MAX), 0);
    ck_assert_int_eq(calls, 0); /* never from inside the submit */
    waitCount(scene.ring, &calls, 1);
    ck_assert_uint_eq(lastParameter, UINT32_MAX);
    ReleaseFastRingEvent(event);
}

CASE(event, isKeptBeforeTheFirstWait)
{
    event = create(count);
    inThread(submitOnce, event);
    waitCount(scene.ring, &calls, 1);
    ck_assert_uint_eq(lastParameter, 42);
    ReleaseFastRingEvent(event);
}

CASE(event, mergesAndTheLastWins)
{
    event = create(count);
    runTurns(scene.ring, 2);
    for (uint32_t parameter = 1; parameter <= 1000; parameter++)
        ck_assert_int_eq(SubmitFastRingEvent(event, parameter), 0);
    waitCount(scene.ring, &calls, 1);
    runIdle(scene.ring);
    ck_assert_int_eq(calls, 1);
    ck_assert_uint_eq(lastParameter, 1000);
    ReleaseFastRingEvent(event);
}

/* ---- an endless wait ends ---- */

static atomic_bool sleeping;

static void* submitWhileSleeping(void* closure)
{
    while (!atomic_load(&sleeping))
        sched_yield();
    return submitOnce(closure);
}

/* §2.8 interval UINT32_MAX: it ends when something comes */
CASE(event, endsAnEndlessWait)
{
    pthread_t thread;

    event = create(count);
    runTurns(scene.ring, 2);
    ck_assert_int_eq(pthread_create(&thread, NULL, submitWhileSleeping, event), 0);
    atomic_store(&sleeping, true);
    while (calls == 0)
        ck_assert_int_eq(WaitForFastRing(scene.ring, UINT32_MAX, NULL), 0);
    pthread_join(thread, NULL);
    ReleaseFastRingEvent(event);
}

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

CASE(event, losesNone)
{
    pthread_t thread;

    event = create(answer);
    ck_assert_int_eq(pthread_create(&thread, NULL, submitAndAwait, event), 0);
    while (atomic_load(&answered) != 3000)
        ck_assert_int_eq(WaitForFastRing(scene.ring, UINT32_MAX, NULL), 0);
    pthread_join(thread, NULL);
    ck_assert_int_eq(calls, 3000);
    ReleaseFastRingEvent(event);
}

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

CASE(event, comeFromManyThreads)
{
    pthread_t threads[THREADS];

    for (int index = 0; index < THREADS; index++) {
        events[index] = CreateFastRingEvent(scene.ring, note, &seen[index]);
        ck_assert_ptr_nonnull(events[index]);
        ck_assert_int_eq(pthread_create(&threads[index], NULL, submitMany, events[index]), 0);
    }
    ck_assert(runUntil(scene.ring, allSeen, NULL));
    for (int index = 0; index < THREADS; index++) {
        pthread_join(threads[index], NULL);
        ReleaseFastRingEvent(events[index]);
    }
    ck_assert_int_le(calls, THREADS * SUBMITS);
}

/* ---- signal handlers ---- */

static void onSignal(int number)
{
    (void)number;
    SubmitFastRingEvent(event, 7);
}

CASE(event, comesFromASignalHandler)
{
    struct sigaction action = {.sa_handler = onSignal};
    struct itimerval timer = {.it_value.tv_usec = 1000, .it_interval.tv_usec = 500};

    event = create(count);
    sigaction(SIGALRM, &action, NULL);
    runTurns(scene.ring, 1);
    raise(SIGALRM);
    waitCount(scene.ring, &calls, 1);
    ck_assert_uint_eq(lastParameter, 7);
    setitimer(ITIMER_REAL, &timer, NULL);
    while (calls < 50)
        ck_assert_int_eq(WaitForFastRing(scene.ring, UINT32_MAX, NULL), 0);
    memset(&timer, 0, sizeof(timer));
    setitimer(ITIMER_REAL, &timer, NULL);
    signal(SIGALRM, SIG_IGN);
    ReleaseFastRingEvent(event);
}

/* ---- inside its function ---- */

static void submitAgain(struct FastRingEvent* which, uint32_t parameter, void* closure)
{
    (void)closure;
    calls++;
    ck_assert_int_eq(SubmitFastRingEvent(which, parameter + 1), 0);
    ck_assert_int_le(calls, 1000000);
}

/* A chain of submits does not hold the loop: one call a turn at most. */
CASE(event, submitsItself)
{
    event = create(submitAgain);
    runTurns(scene.ring, 1);
    SubmitFastRingEvent(event, 1);
    for (int turn = 0; turn < 20; turn++) {
        int before = calls;
        runTurns(scene.ring, 1);
        ck_assert_int_le(calls, before + 1);
    }
    waitCount(scene.ring, &calls, 5);
    ReleaseFastRingEvent(event);
    int after = calls;
    runTurns(scene.ring, 5);
    ck_assert_int_eq(calls, after);
}

static void releaseSelf(struct FastRingEvent* which, uint32_t parameter, void* closure)
{
    (void)closure;
    calls++;
    if (parameter == 1)
        ck_assert_int_eq(SubmitFastRingEvent(which, 2), 0);
    ReleaseFastRingEvent(which);
}

CASE(event, releasesItself)
{
    SubmitFastRingEvent(create(releaseSelf), 0);
    waitCount(scene.ring, &calls, 1);
    runIdle(scene.ring);
    ck_assert_int_eq(calls, 1);
}

CASE(event, releasesItselfWhenSubmittedAgain)
{
    SubmitFastRingEvent(create(releaseSelf), 1);
    waitCount(scene.ring, &calls, 1);
    runIdle(scene.ring);
    ck_assert_int_eq(calls, 1);
}

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

CASE(event, releasesOthersSubmitted)
{
    for (int index = 0; index < THREADS; index++)
        events[index] = create(releaseOthers);
    for (int index = 0; index < THREADS; index++)
        ck_assert_int_eq(SubmitFastRingEvent(events[index], 1), 0);
    waitCount(scene.ring, &calls, 1);
    runIdle(scene.ring);
    ck_assert_int_eq(calls, 1);
}

static void releaseRing(struct FastRingEvent* which, uint32_t parameter, void* closure)
{
    (void)which;
    (void)parameter;
    (void)closure;
    calls++;
    ReleaseFastRing(scene.ring);
}

CASE(event, releasesTheRingInside)
{
    event = create(releaseRing);
    SubmitFastRingEvent(event, 1);
    waitRingEnd();
    ck_assert_int_eq(calls, 1);
    ck_assert_int_eq(SubmitFastRingEvent(event, 1), -ECANCELED);
    ReleaseFastRingEvent(event);
}

/* ---- releases ---- */

CASE(event, releasedOneIsNotCalled)
{
    event = create(never);
    runTurns(scene.ring, 1);
    SubmitFastRingEvent(event, 1);
    ReleaseFastRingEvent(event);
    runIdle(scene.ring);
    ReleaseFastRingEvent(NULL);
}

CASE(event, releasedWhileSubmittedBeforeTheRing)
{
    event = create(never);
    SubmitFastRingEvent(event, 1);
    ReleaseFastRingEvent(event);
    endRing();
}

static void* submitToShell(void* closure)
{
    ck_assert_int_eq(SubmitFastRingEvent(closure, 1), -ECANCELED);
    return NULL;
}

CASE(event, isAShellAfterTheRing)
{
    event = create(never);
    endRing();
    ck_assert_int_eq(SubmitFastRingEvent(event, 1), -ECANCELED);
    inThread(submitToShell, event);
    ReleaseFastRingEvent(event);
}

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
CASE(event, submittersOutliveTheRing)
{
    pthread_t threads[THREADS];

    for (int index = 0; index < THREADS; index++) {
        events[index] = CreateFastRingEvent(scene.ring, note, &seen[index]);
        pthread_create(&threads[index], NULL, submitUntilRefused, events[index]);
    }
    waitCount(scene.ring, &calls, 100);
    endRing();
    for (int index = 0; index < THREADS; index++) {
        pthread_join(threads[index], NULL);
        ReleaseFastRingEvent(events[index]);
    }
    ck_assert(atomic_load(&refused));
}

/* ---- bad input ---- */

static void* createInThread(void* closure)
{
    (void)closure;
    refuses(EPERM, CreateFastRingEvent(scene.ring, never, NULL));
    ReleaseFastRingEvent(event); /* does nothing */
    return NULL;
}

CASE(event, refusesBadInput)
{
    refuses(EINVAL, CreateFastRingEvent(NULL, never, NULL));
    refuses(EINVAL, CreateFastRingEvent(scene.ring, NULL, NULL));
    ck_assert_int_eq(SubmitFastRingEvent(NULL, 1), -EINVAL);
    event = create(count);
    runTurns(scene.ring, 1);
    inThread(createInThread, NULL);
    SubmitFastRingEvent(event, 1);
    waitCount(scene.ring, &calls, 1);
    ReleaseFastRingEvent(event);
}
