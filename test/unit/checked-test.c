/*
 * Waiting as under valgrind, without it: an engine that believes to be watched keeps what the
 * table in engine.h says of enter. What valgrind itself says is asked by
 * test/tools/valgrind-test.py.
 */
#include "engine/uring-open.h"
#include "fixture.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

enum
{
    LENGTH = 8,
    ROUNDS = 500,
    LIMIT = 60, /* enters with a mask until a signal must have come */
};

static const int64_t millisecond = 1000000;

static struct FastEngine* engine;
static atomic_bool over;
static atomic_int delivered;

static void openEngine(uint64_t masked)
{
    ck_assert_int_eq(FastUringOpen(&engine, LENGTH, masked), 0);
    engine->checked = true;
}

static void closeEngine(void)
{
    engine->functions->close(engine);
    engine->functions->destroy(engine);
}

static void note(int number)
{
    (void)number;
    atomic_fetch_add(&delivered, 1);
}

static void catchSignal(void)
{
    struct sigaction action = {.sa_handler = note};
    ck_assert_int_eq(sigaction(SIGUSR1, &action, NULL), 0);
}

static void* wakeAlways(void* closure)
{
    int* turns = closure;
    for (int turn = 0; turn < *turns; turn++)
        engine->functions->wake(engine);
    return NULL;
}

/* Each wake of another thread ends a wait without limit: none is lost, however they meet. */
static void wakes(uint64_t masked)
{
    openEngine(masked);
    for (int round = 0; round < ROUNDS; round++) {
        pthread_t thread;
        int turns = 1;
        engine->functions->prepareWake(engine, FastEngineReserve(engine));
        ck_assert_int_eq(pthread_create(&thread, NULL, wakeAlways, &turns), 0);
        while (FastEnginePeek(engine) == NULL)
            ck_assert_int_eq(engine->functions->enter(engine, -1, NULL), 0);
        ck_assert_int_eq(FastEnginePeek(engine)->res, sizeof(uint64_t));
        FastEngineAdvance(engine);
        pthread_join(thread, NULL);
    }
    closeEngine();
}

AREA(checked, "checked");

/* §2.8 valgrind: a wait ends with what another thread brings */
CASE(checked, isWoken)
{
    wakes(0);
}

/* §2.8 valgrind: the same where the ring itself is polled */
CASE(checked, isWokenWithoutFeatures)
{
    wakes(UINT64_MAX);
}

/* §2.8 valgrind: time ends a wait, and none is needed to look */
CASE(checked, returnsAtItsTime)
{
    openEngine(0);
    ck_assert_int_eq(engine->functions->enter(engine, millisecond, NULL), 0);
    ck_assert_int_eq(engine->functions->enter(engine, 0, NULL), 0);
    ck_assert_ptr_null(FastEnginePeek(engine));
    closeEngine();
}

static void* signalAlways(void* closure)
{
    while (!atomic_load(&over))
        pthread_kill(*(pthread_t*)closure, SIGUSR1);
    return NULL;
}

/* §2.8 valgrind: a signal ends a wait without limit */
CASE(checked, returnsAtASignal)
{
    pthread_t self = pthread_self();
    pthread_t thread;

    openEngine(0);
    catchSignal();
    ck_assert_int_eq(pthread_create(&thread, NULL, signalAlways, &self), 0);
    int result = engine->functions->enter(engine, -1, NULL);
    atomic_store(&over, true);
    pthread_join(thread, NULL);
    ck_assert_int_eq(result, -EINTR);
    closeEngine();
}

/* §2.8 valgrind: the mask lets a blocked signal through, and holds one back, during the wait
 * alone */
CASE(checked, obeysTheMask)
{
    sigset_t blocked;
    sigset_t unblocked;

    openEngine(0);
    catchSignal();
    sigemptyset(&unblocked);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &blocked, NULL);
    raise(SIGUSR1);
    ck_assert_int_eq(engine->functions->enter(engine, millisecond, &blocked), 0);
    ck_assert_int_eq(atomic_load(&delivered), 0);
    for (int turn = 0; turn < LIMIT && atomic_load(&delivered) == 0; turn++)
        (void)engine->functions->enter(engine, -1, &unblocked);
    ck_assert_int_eq(atomic_load(&delivered), 1);
    raise(SIGUSR1);
    ck_assert_int_eq(atomic_load(&delivered), 1);
    closeEngine();
}

/* §2.8 valgrind: with a mask, too, a completion ends the wait */
CASE(checked, isWokenWithAMask)
{
    sigset_t none;

    openEngine(0);
    sigemptyset(&none);
    engine->functions->prepareWake(engine, FastEngineReserve(engine));
    engine->functions->wake(engine);
    ck_assert_int_eq(engine->functions->enter(engine, -1, &none), 0);
    ck_assert_ptr_nonnull(FastEnginePeek(engine));
    closeEngine();
}
