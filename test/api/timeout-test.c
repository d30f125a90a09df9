/* Timeouts: when they fire, in which order, and what may be done inside. */
#include "services.h"

#include <limits.h>

enum
{
    MILLISECOND = 1000000,
    MANY = 5000,
};

static int fired;
static int order[16];
static struct FastRingTimeout* timeouts[16];

SCENE_AREA(timeout, "timeout");

static struct FastRingTimeout* set(int64_t interval, uint64_t flags,
                                   HandleFastRingTimeoutFunction function, void* closure)
{
    struct FastRingTimeout* timeout = SetFastRingTimeout(scene.ring, NULL, interval, flags,
                                                         function, closure);
    ck_assert_ptr_nonnull(timeout);
    return timeout;
}

static void count(struct FastRingTimeout* timeout, void* closure)
{
    ck_assert_ptr_nonnull(timeout);
    if (fired < 16)
        order[fired] = (int)(intptr_t)closure;
    fired++;
}

static void never(struct FastRingTimeout* timeout, void* closure)
{
    (void)timeout;
    (void)closure;
    ck_abort_msg("fired");
}

CASE(timeout, firesOnceAndNotBefore)
{
    int64_t start = nowNs();
    set(20, 0, count, NULL);
    waitCount(scene.ring, &fired, 1);
    ck_assert_int_ge(nowNs() - start, 20 * MILLISECOND);
    set(30, 0, count, NULL);
    waitCount(scene.ring, &fired, 2);
    runTurns(scene.ring, 3);
    ck_assert_int_eq(fired, 2);
    ck_assert_int_eq(GetFastRingInterval(scene.ring), -1);
}

CASE(timeout, zeroFiresInNextTurn)
{
    set(0, 0, count, NULL);
    ck_assert_int_eq(fired, 0);
    ck_assert_int_eq(GetFastRingInterval(scene.ring), 0);
    runTurns(scene.ring, 1);
    ck_assert_int_eq(fired, 1);
}

/* §2.8 interval UINT32_MAX: a timeout ends it */
CASE(timeout, endsAnEndlessWait)
{
    set(10, 0, count, NULL);
    while (fired == 0)
        ck_assert_int_eq(WaitForFastRing(scene.ring, UINT32_MAX, NULL), 0);
}

/* §2.8 GetFastRingInterval: rounded up: a loop that sleeps for so long finds the timeout due */
CASE(timeout, isDueAfterTheInterval)
{
    const struct timespec time = {.tv_nsec = 51 * MILLISECOND - 1};
    runIdle(scene.ring);
    int64_t start = nowNs();
    struct FastRingTimeout* timeout = SetFastRingPreciseTimeout(scene.ring, NULL, &time, 0, count,
                                                                NULL);
    ck_assert_ptr_nonnull(timeout);
    int64_t interval = GetFastRingInterval(scene.ring);
    ck_assert_int_ge(interval * MILLISECOND, start + time.tv_nsec - nowNs());
    waitCount(scene.ring, &fired, 1);
}

CASE(timeout, waitsOutlastNoTimeoutEarly)
{
    int64_t start = nowNs();
    struct FastRingTimeout* timeout = set(100000, FASTRING_TIMEOUT_REPEAT, never, NULL);
    runIdle(scene.ring);
    ck_assert_int_eq(WaitForFastRing(scene.ring, 20, NULL), 0);
    ck_assert_int_ge(nowNs() - start, 20 * MILLISECOND);
    SetFastRingTimeout(NULL, timeout, -1, 0, NULL, NULL);
}

CASE(timeout, firesInOrderOfDeadlines)
{
    set(30, 0, count, (void*)3);
    set(10, 0, count, (void*)1);
    set(20, 0, count, (void*)2);
    set(40, 0, count, (void*)4);
    waitCount(scene.ring, &fired, 4);
    for (int index = 0; index < 4; index++)
        ck_assert_int_eq(order[index], index + 1);
}

/* When a timeout may be due: between the clock before and after it was set, plus its interval. */
struct Span
{
    struct FastRingTimeout* timeout;
    int64_t earliest;
    int64_t latest;
};

static int64_t reached; /* the highest «earliest» of all that have fired */

static void checkRising(struct FastRingTimeout* timeout, void* closure)
{
    struct Span* span = closure;

    ck_assert_ptr_eq(timeout, span->timeout);
    ck_assert_int_ge(nowNs(), span->earliest);
    ck_assert_int_ge(span->latest, reached);
    if (span->earliest > reached)
        reached = span->earliest;
    fired++;
}

static void setSpan(struct Span* span, int64_t interval)
{
    struct timespec precise = {.tv_nsec = interval};
    int64_t before = nowNs();
    struct FastRingTimeout* timeout =
        SetFastRingPreciseTimeout(scene.ring, span->timeout, &precise, 0, checkRising, span);

    ck_assert_ptr_nonnull(timeout);
    span->timeout = timeout;
    span->earliest = before + interval;
    span->latest = nowNs() + interval;
}

/* Many at once, of whom every third is removed and every fifth moved. */
CASE(timeout, manyFireInOrder)
{
    static struct Span many[MANY];
    uint32_t state = 1;
    int left = 0;

    for (int index = 0; index < MANY; index++) {
        state = state * 1103515245 + 12345;
        setSpan(&many[index], (int64_t)(state >> 8) % (200 * MILLISECOND));
    }
    for (int index = 0; index < MANY; index++) {
        if (index % 3 == 0) {
            SetFastRingTimeout(NULL, many[index].timeout, -1, 0, NULL, NULL);
            continue;
        }
        left++;
        if (index % 5 == 0)
            setSpan(&many[index], 50 * MILLISECOND);
    }
    waitCount(scene.ring, &fired, left);
    runTurns(scene.ring, 2);
    ck_assert_int_eq(fired, left);
}

/* ---- repeating ---- */

CASE(timeout, repeatsUntilRemoved)
{
    int64_t start = nowNs();
    struct FastRingTimeout* timeout = set(5, FASTRING_TIMEOUT_REPEAT, count, NULL);
    waitCount(scene.ring, &fired, 5);
    ck_assert_int_ge(nowNs() - start, 25 * MILLISECOND);
    ck_assert_ptr_null(SetFastRingTimeout(scene.ring, timeout, -1, 0, NULL, NULL));
    int before = fired;
    runTurns(scene.ring, 3);
    ck_assert_int_eq(fired, before);
    ck_assert_int_eq(GetFastRingInterval(scene.ring), -1);
}

/* What was missed while nobody ran the ring is not made up for. */
CASE(timeout, repeatsOnceAfterALongPause)
{
    struct FastRingTimeout* timeout = set(20, FASTRING_TIMEOUT_REPEAT, count, NULL);
    int64_t start = nowNs();
    while (nowNs() - start < 100 * MILLISECOND)
        continue;
    runTurns(scene.ring, 1);
    ck_assert_int_eq(fired, 1);
    SetFastRingTimeout(NULL, timeout, -1, 0, NULL, NULL);
}

CASE(timeout, repeatOfZeroDoesNotHoldTheLoop)
{
    struct FastRingTimeout* timeout = set(0, FASTRING_TIMEOUT_REPEAT, count, NULL);
    ck_assert_int_gt(GetFastRingInterval(scene.ring), -1);
    runTurns(scene.ring, 50);
    ck_assert_int_le(fired, 50);
    waitCount(scene.ring, &fired, 3);
    SetFastRingTimeout(NULL, timeout, -1, 0, NULL, NULL);
}

static void removeAtThird(struct FastRingTimeout* timeout, void* closure)
{
    (void)closure;
    if (++fired == 3)
        ck_assert_ptr_null(SetFastRingTimeout(scene.ring, timeout, -1, 0, NULL, NULL));
    ck_assert_int_le(fired, 3);
}

CASE(timeout, repeatingOneRemovesItself)
{
    set(1, FASTRING_TIMEOUT_REPEAT, removeAtThird, NULL);
    waitCount(scene.ring, &fired, 3);
    runIdle(scene.ring);
    ck_assert_int_eq(GetFastRingInterval(scene.ring), -1);
}

static void stopRepeating(struct FastRingTimeout* timeout, void* closure)
{
    fired++;
    ck_assert_ptr_eq(SetFastRingTimeout(scene.ring, timeout, 1, 0, NULL, closure), timeout);
    if (fired > 2)
        SetFastRingTimeout(scene.ring, timeout, 1, 0, count, NULL);
}

/* flags are taken again: what repeated fires once more, then is freed */
CASE(timeout, updateTakesFlagsAnew)
{
    set(1, FASTRING_TIMEOUT_REPEAT, stopRepeating, NULL);
    waitCount(scene.ring, &fired, 4);
    runTurns(scene.ring, 3);
    ck_assert_int_eq(fired, 4);
    ck_assert_int_eq(GetFastRingInterval(scene.ring), -1);
}

/* ---- inside ---- */

static void removeSelf(struct FastRingTimeout* timeout, void* closure)
{
    (void)closure;
    fired++;
    ck_assert_ptr_null(SetFastRingTimeout(NULL, timeout, -1, 0, NULL, NULL));
}

CASE(timeout, removesItself)
{
    set(0, 0, removeSelf, NULL);
    runTurns(scene.ring, 3);
    ck_assert_int_eq(fired, 1);
}

static void removeOthers(struct FastRingTimeout* timeout, void* closure)
{
    (void)closure;
    fired++;
    for (int index = 0; index < 3; index++)
        if (timeouts[index] != timeout)
            SetFastRingTimeout(NULL, timeouts[index], -1, 0, NULL, NULL);
}

/* All are due in the same turn; the first takes the others away. */
CASE(timeout, removesOthersDueAtOnce)
{
    for (int index = 0; index < 3; index++)
        timeouts[index] = set(0, 0, removeOthers, NULL);
    runTurns(scene.ring, 3);
    ck_assert_int_eq(fired, 1);
}

static void again(struct FastRingTimeout* timeout, void* closure)
{
    if (++fired < 5)
        ck_assert_ptr_eq(SetFastRingTimeout(scene.ring, timeout, 0, 0, NULL, closure), timeout);
}

CASE(timeout, updatesItself)
{
    timeouts[0] = set(0, 0, again, NULL);
    for (int turn = 1; turn <= 5; turn++) {
        runTurns(scene.ring, 1);
        ck_assert_int_eq(fired, turn);
    }
    runTurns(scene.ring, 3);
    ck_assert_int_eq(fired, 5);
}

static void updateThenRemove(struct FastRingTimeout* timeout, void* closure)
{
    (void)closure;
    fired++;
    ck_assert_ptr_eq(SetFastRingTimeout(scene.ring, timeout, 0, 0, NULL, NULL), timeout);
    ck_assert_ptr_null(SetFastRingTimeout(scene.ring, timeout, -1, 0, NULL, NULL));
}

CASE(timeout, updatesThenRemovesItself)
{
    set(0, 0, updateThenRemove, NULL);
    runTurns(scene.ring, 3);
    ck_assert_int_eq(fired, 1);
    ck_assert_int_eq(GetFastRingInterval(scene.ring), -1);
}

static void setAnother(struct FastRingTimeout* timeout, void* closure)
{
    (void)timeout;
    (void)closure;
    fired++;
    timeouts[0] = set(0, 0, setAnother, NULL);
}

/* One set inside runs a turn later, so that no chain can hold the loop. */
CASE(timeout, oneSetInsideWaitsForNextTurn)
{
    set(0, 0, setAnother, NULL);
    for (int turn = 1; turn <= 10; turn++) {
        runTurns(scene.ring, 1);
        ck_assert_int_eq(fired, turn);
    }
    SetFastRingTimeout(NULL, timeouts[0], -1, 0, NULL, NULL);
}

static void releaseRing(struct FastRingTimeout* timeout, void* closure)
{
    (void)closure;
    fired++;
    timeouts[0] = timeout;
    ReleaseFastRing(scene.ring);
}

CASE(timeout, releasesTheRingInside)
{
    struct FastRingTimeout* other = set(100000, 0, never, NULL);
    struct FastRingTimeout* timeout = set(0, FASTRING_TIMEOUT_REPEAT, releaseRing, NULL);
    waitRingEnd();
    ck_assert_int_eq(fired, 1);
    refuses(ECANCELED, SetFastRingTimeout(NULL, other, 5, 0, never, NULL));
    ck_assert_ptr_null(SetFastRingTimeout(NULL, other, -1, 0, NULL, NULL));
    ck_assert_ptr_null(SetFastRingPreciseTimeout(NULL, timeout, NULL, 0, NULL, NULL));
}

/* ---- changes ---- */

CASE(timeout, updateMovesAndKeepsFunction)
{
    struct FastRingTimeout* timeout = set(100000, 0, count, (void*)7);
    ck_assert_ptr_eq(SetFastRingTimeout(NULL, timeout, 0, 0, NULL, (void*)8), timeout);
    runTurns(scene.ring, 1);
    ck_assert_int_eq(fired, 1);
    ck_assert_int_eq(order[0], 7);
}

CASE(timeout, updateReplacesFunctionAndClosure)
{
    struct FastRingTimeout* timeout = set(0, 0, never, NULL);
    ck_assert_ptr_eq(SetFastRingTimeout(scene.ring, timeout, 0, 0, count, (void*)9), timeout);
    runTurns(scene.ring, 1);
    ck_assert_int_eq(order[0], 9);
}

CASE(timeout, updatePostpones)
{
    struct FastRingTimeout* timeout = set(0, 0, never, NULL);
    ck_assert_ptr_eq(SetFastRingTimeout(scene.ring, timeout, 100000, 0, NULL, NULL), timeout);
    runTurns(scene.ring, 3);
    SetFastRingTimeout(scene.ring, timeout, -1, 0, NULL, NULL);
}

CASE(timeout, removalBeforeItFires)
{
    ck_assert_ptr_null(SetFastRingTimeout(scene.ring, set(0, 0, never, NULL), -5, 0, NULL, NULL));
    ck_assert_ptr_null(
        SetFastRingTimeout(NULL, set(0, 0, never, NULL), INT64_MIN, 77, never, NULL));
    ck_assert_ptr_null(
        SetFastRingPreciseTimeout(NULL, set(0, 0, never, NULL), NULL, 0, NULL, NULL));
    struct timespec negative = {.tv_sec = -1, .tv_nsec = 5};
    ck_assert_ptr_null(
        SetFastRingPreciseTimeout(NULL, set(0, 0, never, NULL), &negative, 0, NULL, NULL));
    RemoveFastRingTimeout(set(0, 0, never, NULL));
    RemoveFastRingTimeout(set(0, FASTRING_TIMEOUT_REPEAT, never, NULL));
    RemoveFastRingTimeout(NULL);
    runTurns(scene.ring, 3);
}

/* ---- precise ones ---- */

CASE(timeout, preciseKeepsItsGrain)
{
    struct timespec interval = {.tv_nsec = 1500000};
    int64_t start = nowNs();
    ck_assert_ptr_nonnull(SetFastRingPreciseTimeout(scene.ring, NULL, &interval, 0, count, NULL));
    ck_assert_int_ge(GetFastRingInterval(scene.ring), 0);
    ck_assert_int_le(GetFastRingInterval(scene.ring), 2);
    waitCount(scene.ring, &fired, 1);
    ck_assert_int_ge(nowNs() - start, 1500000);
}

CASE(timeout, preciseRepeats)
{
    struct timespec interval = {.tv_nsec = 200000};
    int64_t start = nowNs();
    struct FastRingTimeout* timeout = SetFastRingPreciseTimeout(
        scene.ring, NULL, &interval, FASTRING_TIMEOUT_REPEAT, count, NULL);
    ck_assert_ptr_nonnull(timeout);
    waitCount(scene.ring, &fired, 10);
    ck_assert_int_ge(nowNs() - start, 2000000);
    ck_assert_ptr_null(SetFastRingPreciseTimeout(scene.ring, timeout, NULL, 0, NULL, NULL));
}

/* Of no nanoseconds at all: once in a turn, as of no milliseconds. */
CASE(timeout, preciseRepeatOfZeroDoesNotHoldTheLoop)
{
    const struct timespec none = {0};
    struct FastRingTimeout* timeout = SetFastRingPreciseTimeout(
        scene.ring, NULL, &none, FASTRING_TIMEOUT_REPEAT, count, NULL);
    ck_assert_ptr_nonnull(timeout);
    runTurns(scene.ring, 50);
    ck_assert_int_le(fired, 50);
    waitCount(scene.ring, &fired, 3);
    ck_assert_ptr_null(SetFastRingPreciseTimeout(scene.ring, timeout, NULL, 0, NULL, NULL));
}

/* As a foreign-function interface has them. The first takes two longs wherever a time_t may have
 * two sizes, and where a long is as wide as a time_t. */
struct FastRingTimeout* setTwoLongs(struct FastRing* ring, struct FastRingTimeout* timeout,
                                    const long* interval, uint64_t flags,
                                    HandleFastRingTimeoutFunction function, void* closure)
    __asm__("SetFastRingPreciseTimeout");
struct FastRingTimeout* setTwoWide(struct FastRing* ring, struct FastRingTimeout* timeout,
                                   const int64_t* interval, uint64_t flags,
                                   HandleFastRingTimeoutFunction function, void* closure)
    __asm__("SetFastRingPreciseTimeout64");

/* §2.8 precise timeouts: each function has a layout of its own, whatever a struct timespec is */
CASE(timeout, preciseOfEachLayout)
{
    const int64_t wide[] = {0, 30 * MILLISECOND}, wideWrong[] = {0, 1000 * MILLISECOND},
                  wideNegative[] = {-1, 0}, wideLong[] = {INT64_C(1) << 40, 1};
    int64_t start = nowNs();
    struct FastRingTimeout* timeout = setTwoWide(scene.ring, NULL, wide, 0, count, NULL);

    ck_assert_ptr_nonnull(timeout);
    waitCount(scene.ring, &fired, 1);
    ck_assert_int_ge(nowNs() - start, wide[1]);
    refuses(EINVAL, setTwoWide(scene.ring, NULL, wideWrong, 0, never, NULL));
    timeout = setTwoWide(scene.ring, NULL, wideLong, 0, never, NULL);
    ck_assert_int_eq(GetFastRingInterval(scene.ring), INT_MAX);
    ck_assert_ptr_null(setTwoWide(scene.ring, timeout, wideNegative, 0, NULL, NULL));
    timeout = setTwoWide(scene.ring, NULL, wideLong, 0, never, NULL);
    ck_assert_ptr_null(setTwoWide(scene.ring, timeout, NULL, 0, NULL, NULL));
    ck_assert_int_eq(GetFastRingInterval(scene.ring), -1);

#if defined(__TIMESIZE) || __SIZEOF_LONG__ == 8
    const long two[] = {0, 30 * MILLISECOND}, wrong[] = {0, 1000 * MILLISECOND},
               negative[] = {-1, 0};

    start = nowNs();
    ck_assert_ptr_nonnull(setTwoLongs(scene.ring, NULL, two, 0, count, NULL));
    waitCount(scene.ring, &fired, 2);
    ck_assert_int_ge(nowNs() - start, two[1]);
    refuses(EINVAL, setTwoLongs(scene.ring, NULL, wrong, 0, never, NULL));
    timeout = setTwoLongs(scene.ring, NULL, two, 0, never, NULL);
    ck_assert_ptr_null(setTwoLongs(scene.ring, timeout, negative, 0, NULL, NULL));
    runTurns(scene.ring, 3);
#endif
}

/* ---- the interval for foreign loops ---- */

CASE(timeout, intervalFollowsTheFirst)
{
    runIdle(scene.ring);
    ck_assert_int_eq(GetFastRingInterval(scene.ring), -1);
    struct FastRingTimeout* far = set(1000000, 0, never, NULL);
    ck_assert_int_gt(GetFastRingInterval(scene.ring), 100000);
    ck_assert_int_le(GetFastRingInterval(scene.ring), 1000000);
    struct FastRingTimeout* near = set(50000, 0, never, NULL);
    ck_assert_int_le(GetFastRingInterval(scene.ring), 50000);
    SetFastRingTimeout(NULL, near, -1, 0, NULL, NULL);
    ck_assert_int_gt(GetFastRingInterval(scene.ring), 100000);
    SetFastRingTimeout(NULL, far, INT64_MAX, 0, NULL, NULL);
    ck_assert_int_eq(GetFastRingInterval(scene.ring), INT_MAX);
    struct timespec forever = {
        .tv_sec = sizeof(time_t) == sizeof(int64_t) ? (time_t)INT64_MAX : (time_t)INT32_MAX,
        .tv_nsec = 999999999,
    };
    SetFastRingPreciseTimeout(NULL, far, &forever, FASTRING_TIMEOUT_REPEAT, NULL, NULL);
    ck_assert_int_eq(GetFastRingInterval(scene.ring), INT_MAX);
    runTurns(scene.ring, 2);
    SetFastRingTimeout(NULL, far, -1, 0, NULL, NULL);
    ck_assert_int_eq(GetFastRingInterval(scene.ring), -1);
}

/* ---- bad input ---- */

CASE(timeout, refusesBadArguments)
{
    struct timespec interval = {.tv_sec = 1000};
    struct FastRingTimeout* timeout = set(100000, 0, never, NULL);

    runIdle(scene.ring);
    refuses(EINVAL, SetFastRingTimeout(NULL, NULL, 1, 0, never, NULL));
    refuses(EINVAL, SetFastRingTimeout(NULL, NULL, -1, 0, never, NULL));
    /* and none to remove is none */
    ck_assert_ptr_null(SetFastRingTimeout(scene.ring, NULL, -1, 0, never, NULL));
    refuses(EINVAL, SetFastRingTimeout(scene.ring, NULL, 1, 0, NULL, NULL));
    refuses(EINVAL, SetFastRingTimeout(scene.ring, NULL, 1, 2, never, NULL));
    refuses(EINVAL, SetFastRingTimeout(scene.ring, timeout, 1, UINT64_C(1) << 40, never, NULL));
    refuses(EINVAL, SetFastRingPreciseTimeout(NULL, NULL, &interval, 0, never, NULL));
    refuses(EINVAL, SetFastRingPreciseTimeout(scene.ring, NULL, &interval, 0, NULL, NULL));
    interval.tv_nsec = 1000000000;
    refuses(EINVAL, SetFastRingPreciseTimeout(scene.ring, NULL, &interval, 0, never, NULL));
    interval.tv_nsec = -1;
    refuses(EINVAL, SetFastRingPreciseTimeout(scene.ring, timeout, &interval, 0, never, NULL));
    /* a refused update leaves it as it was */
    ck_assert_int_gt(GetFastRingInterval(scene.ring), 50000);
    SetFastRingTimeout(NULL, timeout, -1, 0, NULL, NULL);
}

CASE(timeout, refusesForeignRing)
{
    struct FastRing* other = CreateFastRing(8);
    struct FastRingTimeout* timeout = set(100000, 0, never, NULL);
    refuses(EINVAL, SetFastRingTimeout(other, timeout, 0, 0, never, NULL));
    refuses(EINVAL, SetFastRingTimeout(other, timeout, -1, 0, never, NULL));
    SetFastRingTimeout(scene.ring, timeout, -1, 0, NULL, NULL);
    ReleaseFastRing(other);
}

static void* useInThread(void* closure)
{
    struct timespec interval = {.tv_sec = 0};
    refuses(EPERM, SetFastRingTimeout(scene.ring, NULL, 0, 0, never, NULL));
    refuses(EPERM, SetFastRingPreciseTimeout(scene.ring, NULL, &interval, 0, never, NULL));
    refuses(EPERM, SetFastRingTimeout(NULL, closure, 0, 0, never, NULL));
    refuses(EPERM, SetFastRingTimeout(NULL, closure, -1, 0, never, NULL));
    RemoveFastRingTimeout(closure); /* does nothing */
    return NULL;
}

CASE(timeout, refusesOtherThreads)
{
    struct FastRingTimeout* timeout = set(100000, 0, never, NULL);
    runTurns(scene.ring, 1);
    inThread(useInThread, timeout);
    runTurns(scene.ring, 2);
    ck_assert_int_gt(GetFastRingInterval(scene.ring), 10000);
    RemoveFastRingTimeout(timeout);
    ck_assert_int_eq(GetFastRingInterval(scene.ring), -1);
}

CASE(timeout, isAShellAfterTheRing)
{
    struct FastRingTimeout* timeout = set(0, FASTRING_TIMEOUT_REPEAT, never, NULL);
    struct FastRingTimeout* another = set(0, FASTRING_TIMEOUT_REPEAT, never, NULL);
    endRing();
    RemoveFastRingTimeout(another);
    refuses(ECANCELED, SetFastRingTimeout(NULL, timeout, 0, 0, never, NULL));
    ck_assert_ptr_null(SetFastRingTimeout(NULL, timeout, -1, 0, NULL, NULL));
}
