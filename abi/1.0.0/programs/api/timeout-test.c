/* Timeouts: when they fire, in which order, and what may be done inside. */
#include "services.h"

#include <limits.h>

enum
{
    MILLISECOND = 1000000,
    MANY = 5000,
};

static struct Fixture fixture;
static int fired;
static int order[16];
static struct FastRingTimeout* timeouts[16];

static void setUp(void)
{
    fixtureOpen(&fixture, 0, 0, 0);
}

static void tearDown(void)
{
    fixtureClose(&fixture);
}

static struct FastRingTimeout* set(int64_t interval, uint64_t flags, HandleFastRingTimeoutFunction function,
                                   void* closure)
{
    struct FastRingTimeout* timeout = SetFastRingTimeout(fixture.ring, NULL, interval, flags, function, closure);
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

START_TEST(firesOnceAndNotBefore)
{
    int64_t start = nowNs();
    set(20, 0, count, NULL);
    waitCount(fixture.ring, &fired, 1);
    ck_assert_int_ge(nowNs() - start, 20 * MILLISECOND);
    set(30, 0, count, NULL);
    waitCount(fixture.ring, &fired, 2);
    runTurns(fixture.ring, 3);
    ck_assert_int_eq(fired, 2);
    ck_assert_int_eq(GetFastRingInterval(fixture.ring), -1);
}
END_TEST

START_TEST(zeroFiresInNextTurn)
{
    set(0, 0, count, NULL);
    ck_assert_int_eq(fired, 0);
    ck_assert_int_eq(GetFastRingInterval(fixture.ring), 0);
    runTurns(fixture.ring, 1);
    ck_assert_int_eq(fired, 1);
}
END_TEST

START_TEST(endsAnEndlessWait)
{
    set(10, 0, count, NULL);
    while (fired == 0)
        ck_assert_int_eq(WaitForFastRing(fixture.ring, UINT32_MAX, NULL), 0);
}
END_TEST

START_TEST(waitsOutlastNoTimeoutEarly)
{
    int64_t start = nowNs();
    struct FastRingTimeout* timeout = set(100000, FASTRING_TIMEOUT_REPEAT, never, NULL);
    runIdle(fixture.ring);
    ck_assert_int_eq(WaitForFastRing(fixture.ring, 20, NULL), 0);
    ck_assert_int_ge(nowNs() - start, 20 * MILLISECOND);
    SetFastRingTimeout(NULL, timeout, -1, 0, NULL, NULL);
}
END_TEST

START_TEST(firesInOrderOfDeadlines)
{
    set(30, 0, count, (void*)3);
    set(10, 0, count, (void*)1);
    set(20, 0, count, (void*)2);
    set(40, 0, count, (void*)4);
    waitCount(fixture.ring, &fired, 4);
    for (int index = 0; index < 4; index++)
        ck_assert_int_eq(order[index], index + 1);
}
END_TEST

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
        SetFastRingPreciseTimeout(fixture.ring, span->timeout, &precise, 0, checkRising, span);

    ck_assert_ptr_nonnull(timeout);
    span->timeout = timeout;
    span->earliest = before + interval;
    span->latest = nowNs() + interval;
}

/* Many at once, of whom every third is removed and every fifth moved. */
START_TEST(manyFireInOrder)
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
    waitCount(fixture.ring, &fired, left);
    runTurns(fixture.ring, 2);
    ck_assert_int_eq(fired, left);
}
END_TEST

/* ---- repeating ---- */

START_TEST(repeatsUntilRemoved)
{
    int64_t start = nowNs();
    struct FastRingTimeout* timeout = set(5, FASTRING_TIMEOUT_REPEAT, count, NULL);
    waitCount(fixture.ring, &fired, 5);
    ck_assert_int_ge(nowNs() - start, 25 * MILLISECOND);
    ck_assert_ptr_null(SetFastRingTimeout(fixture.ring, timeout, -1, 0, NULL, NULL));
    int before = fired;
    runTurns(fixture.ring, 3);
    ck_assert_int_eq(fired, before);
    ck_assert_int_eq(GetFastRingInterval(fixture.ring), -1);
}
END_TEST

/* What was missed while nobody ran the ring is not made up for. */
START_TEST(repeatsOnceAfterALongPause)
{
    struct FastRingTimeout* timeout = set(20, FASTRING_TIMEOUT_REPEAT, count, NULL);
    int64_t start = nowNs();
    while (nowNs() - start < 100 * MILLISECOND)
        continue;
    runTurns(fixture.ring, 1);
    ck_assert_int_eq(fired, 1);
    SetFastRingTimeout(NULL, timeout, -1, 0, NULL, NULL);
}
END_TEST

START_TEST(repeatOfZeroDoesNotHoldTheLoop)
{
    struct FastRingTimeout* timeout = set(0, FASTRING_TIMEOUT_REPEAT, count, NULL);
    ck_assert_int_gt(GetFastRingInterval(fixture.ring), -1);
    runTurns(fixture.ring, 50);
    ck_assert_int_le(fired, 50);
    waitCount(fixture.ring, &fired, 3);
    SetFastRingTimeout(NULL, timeout, -1, 0, NULL, NULL);
}
END_TEST

static void removeAtThird(struct FastRingTimeout* timeout, void* closure)
{
    (void)closure;
    if (++fired == 3)
        ck_assert_ptr_null(SetFastRingTimeout(fixture.ring, timeout, -1, 0, NULL, NULL));
    ck_assert_int_le(fired, 3);
}

START_TEST(repeatingOneRemovesItself)
{
    set(1, FASTRING_TIMEOUT_REPEAT, removeAtThird, NULL);
    waitCount(fixture.ring, &fired, 3);
    runIdle(fixture.ring);
    ck_assert_int_eq(GetFastRingInterval(fixture.ring), -1);
}
END_TEST

static void stopRepeating(struct FastRingTimeout* timeout, void* closure)
{
    fired++;
    ck_assert_ptr_eq(SetFastRingTimeout(fixture.ring, timeout, 1, 0, NULL, closure), timeout);
    if (fired > 2)
        SetFastRingTimeout(fixture.ring, timeout, 1, 0, count, NULL);
}

/* flags are taken anew: what repeated fires once more, then is freed */
START_TEST(updateTakesFlagsAnew)
{
    set(1, FASTRING_TIMEOUT_REPEAT, stopRepeating, NULL);
    waitCount(fixture.ring, &fired, 4);
    runTurns(fixture.ring, 3);
    ck_assert_int_eq(fired, 4);
    ck_assert_int_eq(GetFastRingInterval(fixture.ring), -1);
}
END_TEST

/* ---- inside ---- */

static void removeSelf(struct FastRingTimeout* timeout, void* closure)
{
    (void)closure;
    fired++;
    ck_assert_ptr_null(SetFastRingTimeout(NULL, timeout, -1, 0, NULL, NULL));
}

START_TEST(removesItself)
{
    set(0, 0, removeSelf, NULL);
    runTurns(fixture.ring, 3);
    ck_assert_int_eq(fired, 1);
}
END_TEST

static void removeOthers(struct FastRingTimeout* timeout, void* closure)
{
    (void)closure;
    fired++;
    for (int index = 0; index < 3; index++)
        if (timeouts[index] != timeout)
            SetFastRingTimeout(NULL, timeouts[index], -1, 0, NULL, NULL);
}

/* All are due in the same turn; the first takes the others away. */
START_TEST(removesOthersDueAtOnce)
{
    for (int index = 0; index < 3; index++)
        timeouts[index] = set(0, 0, removeOthers, NULL);
    runTurns(fixture.ring, 3);
    ck_assert_int_eq(fired, 1);
}
END_TEST

static void again(struct FastRingTimeout* timeout, void* closure)
{
    if (++fired < 5)
        ck_assert_ptr_eq(SetFastRingTimeout(fixture.ring, timeout, 0, 0, NULL, closure), timeout);
}

START_TEST(updatesItself)
{
    timeouts[0] = set(0, 0, again, NULL);
    for (int turn = 1; turn <= 5; turn++) {
        runTurns(fixture.ring, 1);
        ck_assert_int_eq(fired, turn);
    }
    runTurns(fixture.ring, 3);
    ck_assert_int_eq(fired, 5);
}
END_TEST

static void updateThenRemove(struct FastRingTimeout* timeout, void* closure)
{
    (void)closure;
    fired++;
    ck_assert_ptr_eq(SetFastRingTimeout(fixture.ring, timeout, 0, 0, NULL, NULL), timeout);
    ck_assert_ptr_null(SetFastRingTimeout(fixture.ring, timeout, -1, 0, NULL, NULL));
}

START_TEST(updatesThenRemovesItself)
{
    set(0, 0, updateThenRemove, NULL);
    runTurns(fixture.ring, 3);
    ck_assert_int_eq(fired, 1);
    ck_assert_int_eq(GetFastRingInterval(fixture.ring), -1);
}
END_TEST

static void setAnother(struct FastRingTimeout* timeout, void* closure)
{
    (void)timeout;
    (void)closure;
    fired++;
    timeouts[0] = set(0, 0, setAnother, NULL);
}

/* One set inside runs a turn later, so that no chain can hold the loop. */
START_TEST(oneSetInsideWaitsForNextTurn)
{
    set(0, 0, setAnother, NULL);
    for (int turn = 1; turn <= 10; turn++) {
        runTurns(fixture.ring, 1);
        ck_assert_int_eq(fired, turn);
    }
    SetFastRingTimeout(NULL, timeouts[0], -1, 0, NULL, NULL);
}
END_TEST

static void releaseRing(struct FastRingTimeout* timeout, void* closure)
{
    (void)closure;
    fired++;
    timeouts[0] = timeout;
    ReleaseFastRing(fixture.ring);
}

START_TEST(releasesTheRingInside)
{
    struct FastRingTimeout* other = set(100000, 0, never, NULL);
    struct FastRingTimeout* timeout = set(0, FASTRING_TIMEOUT_REPEAT, releaseRing, NULL);
    int result = 0;
    while (result == 0)
        result = WaitForFastRing(fixture.ring, 100, NULL);
    ck_assert_int_eq(result, -ECANCELED);
    ck_assert_int_eq(fired, 1);
    fixture.ring = NULL;
    refuses(ECANCELED, SetFastRingTimeout(NULL, other, 5, 0, never, NULL));
    ck_assert_ptr_null(SetFastRingTimeout(NULL, other, -1, 0, NULL, NULL));
    ck_assert_ptr_null(SetFastRingPreciseTimeout(NULL, timeout, NULL, 0, NULL, NULL));
}
END_TEST

/* ---- changes ---- */

START_TEST(updateMovesAndKeepsFunction)
{
    struct FastRingTimeout* timeout = set(100000, 0, count, (void*)7);
    ck_assert_ptr_eq(SetFastRingTimeout(NULL, timeout, 0, 0, NULL, (void*)8), timeout);
    runTurns(fixture.ring, 1);
    ck_assert_int_eq(fired, 1);
    ck_assert_int_eq(order[0], 7);
}
END_TEST

START_TEST(updateReplacesFunctionAndClosure)
{
    struct FastRingTimeout* timeout = set(0, 0, never, NULL);
    ck_assert_ptr_eq(SetFastRingTimeout(fixture.ring, timeout, 0, 0, count, (void*)9), timeout);
    runTurns(fixture.ring, 1);
    ck_assert_int_eq(order[0], 9);
}
END_TEST

START_TEST(updatePostpones)
{
    struct FastRingTimeout* timeout = set(0, 0, never, NULL);
    ck_assert_ptr_eq(SetFastRingTimeout(fixture.ring, timeout, 100000, 0, NULL, NULL), timeout);
    runTurns(fixture.ring, 3);
    SetFastRingTimeout(fixture.ring, timeout, -1, 0, NULL, NULL);
}
END_TEST

START_TEST(removalBeforeItFires)
{
    ck_assert_ptr_null(SetFastRingTimeout(fixture.ring, set(0, 0, never, NULL), -5, 0, NULL, NULL));
    ck_assert_ptr_null(SetFastRingTimeout(NULL, set(0, 0, never, NULL), INT64_MIN, 77, never, NULL));
    ck_assert_ptr_null(SetFastRingPreciseTimeout(NULL, set(0, 0, never, NULL), NULL, 0, NULL, NULL));
    struct timespec negative = {.tv_sec = -1, .tv_nsec = 5};
    ck_assert_ptr_null(SetFastRingPreciseTimeout(NULL, set(0, 0, never, NULL), &negative, 0, NULL, NULL));
    runTurns(fixture.ring, 3);
}
END_TEST

/* ---- precise ones ---- */

START_TEST(preciseKeepsItsGrain)
{
    struct timespec interval = {.tv_nsec = 1500000};
    int64_t start = nowNs();
    ck_assert_ptr_nonnull(SetFastRingPreciseTimeout(fixture.ring, NULL, &interval, 0, count, NULL));
    ck_assert_int_ge(GetFastRingInterval(fixture.ring), 0);
    ck_assert_int_le(GetFastRingInterval(fixture.ring), 2);
    waitCount(fixture.ring, &fired, 1);
    ck_assert_int_ge(nowNs() - start, 1500000);
}
END_TEST

START_TEST(preciseRepeats)
{
    struct timespec interval = {.tv_nsec = 200000};
    int64_t start = nowNs();
    struct FastRingTimeout* timeout =
        SetFastRingPreciseTimeout(fixture.ring, NULL, &interval, FASTRING_TIMEOUT_REPEAT, count, NULL);
    ck_assert_ptr_nonnull(timeout);
    waitCount(fixture.ring, &fired, 10);
    ck_assert_int_ge(nowNs() - start, 2000000);
    ck_assert_ptr_null(SetFastRingPreciseTimeout(fixture.ring, timeout, NULL, 0, NULL, NULL));
}
END_TEST

/* ---- the interval for foreign loops ---- */

START_TEST(intervalFollowsTheFirst)
{
    runIdle(fixture.ring);
    ck_assert_int_eq(GetFastRingInterval(fixture.ring), -1);
    struct FastRingTimeout* far = set(1000000, 0, never, NULL);
    ck_assert_int_gt(GetFastRingInterval(fixture.ring), 100000);
    ck_assert_int_le(GetFastRingInterval(fixture.ring), 1000000);
    struct FastRingTimeout* near = set(50000, 0, never, NULL);
    ck_assert_int_le(GetFastRingInterval(fixture.ring), 50000);
    SetFastRingTimeout(NULL, near, -1, 0, NULL, NULL);
    ck_assert_int_gt(GetFastRingInterval(fixture.ring), 100000);
    SetFastRingTimeout(NULL, far, INT64_MAX, 0, NULL, NULL);
    ck_assert_int_eq(GetFastRingInterval(fixture.ring), INT_MAX);
    struct timespec forever = {.tv_sec = INT64_MAX, .tv_nsec = 999999999};
    SetFastRingPreciseTimeout(NULL, far, &forever, FASTRING_TIMEOUT_REPEAT, NULL, NULL);
    ck_assert_int_eq(GetFastRingInterval(fixture.ring), INT_MAX);
    runTurns(fixture.ring, 2);
    SetFastRingTimeout(NULL, far, -1, 0, NULL, NULL);
    ck_assert_int_eq(GetFastRingInterval(fixture.ring), -1);
}
END_TEST

/* ---- bad input ---- */

START_TEST(refusesBadArguments)
{
    struct timespec interval = {.tv_sec = 1000};
    struct FastRingTimeout* timeout = set(100000, 0, never, NULL);

    runIdle(fixture.ring);
    refuses(EINVAL, SetFastRingTimeout(NULL, NULL, 1, 0, never, NULL));
    refuses(EINVAL, SetFastRingTimeout(NULL, NULL, -1, 0, never, NULL));
    refuses(EINVAL, SetFastRingTimeout(fixture.ring, NULL, 1, 0, NULL, NULL));
    refuses(EINVAL, SetFastRingTimeout(fixture.ring, NULL, 1, 2, never, NULL));
    refuses(EINVAL, SetFastRingTimeout(fixture.ring, timeout, 1, UINT64_C(1) << 40, never, NULL));
    refuses(EINVAL, SetFastRingPreciseTimeout(NULL, NULL, &interval, 0, never, NULL));
    refuses(EINVAL, SetFastRingPreciseTimeout(fixture.ring, NULL, &interval, 0, NULL, NULL));
    interval.tv_nsec = 1000000000;
    refuses(EINVAL, SetFastRingPreciseTimeout(fixture.ring, NULL, &interval, 0, never, NULL));
    interval.tv_nsec = -1;
    refuses(EINVAL, SetFastRingPreciseTimeout(fixture.ring, timeout, &interval, 0, never, NULL));
    /* a refused update leaves it as it was */
    ck_assert_int_gt(GetFastRingInterval(fixture.ring), 50000);
    SetFastRingTimeout(NULL, timeout, -1, 0, NULL, NULL);
}
END_TEST

START_TEST(refusesForeignRing)
{
    struct FastRing* other = CreateFastRing(8);
    struct FastRingTimeout* timeout = set(100000, 0, never, NULL);
    refuses(EINVAL, SetFastRingTimeout(other, timeout, 0, 0, never, NULL));
    refuses(EINVAL, SetFastRingTimeout(other, timeout, -1, 0, never, NULL));
    SetFastRingTimeout(fixture.ring, timeout, -1, 0, NULL, NULL);
    ReleaseFastRing(other);
}
END_TEST

static void* useInThread(void* closure)
{
    struct timespec interval = {.tv_sec = 0};
    refuses(EPERM, SetFastRingTimeout(fixture.ring, NULL, 0, 0, never, NULL));
    refuses(EPERM, SetFastRingPreciseTimeout(fixture.ring, NULL, &interval, 0, never, NULL));
    refuses(EPERM, SetFastRingTimeout(NULL, closure, 0, 0, never, NULL));
    refuses(EPERM, SetFastRingTimeout(NULL, closure, -1, 0, never, NULL));
    return NULL;
}

START_TEST(refusesOtherThreads)
{
    struct FastRingTimeout* timeout = set(100000, 0, never, NULL);
    runTurns(fixture.ring, 1);
    inThread(useInThread, timeout);
    runTurns(fixture.ring, 2);
    ck_assert_int_gt(GetFastRingInterval(fixture.ring), 10000);
    SetFastRingTimeout(NULL, timeout, -1, 0, NULL, NULL);
}
END_TEST

START_TEST(isAShellAfterTheRing)
{
    struct FastRingTimeout* timeout = set(0, FASTRING_TIMEOUT_REPEAT, never, NULL);
    ReleaseFastRing(fixture.ring);
    fixture.ring = NULL;
    refuses(ECANCELED, SetFastRingTimeout(NULL, timeout, 0, 0, never, NULL));
    ck_assert_ptr_null(SetFastRingTimeout(NULL, timeout, -1, 0, NULL, NULL));
}
END_TEST

int main(void)
{
    Suite* suite = suite_create("timeout");
    TCase* tcase = tcase_create("timeout");

    tcase_add_checked_fixture(tcase, setUp, tearDown);
    tcase_add_test(tcase, firesOnceAndNotBefore);
    tcase_add_test(tcase, zeroFiresInNextTurn);
    tcase_add_test(tcase, endsAnEndlessWait);
    tcase_add_test(tcase, waitsOutlastNoTimeoutEarly);
    tcase_add_test(tcase, firesInOrderOfDeadlines);
    tcase_add_test(tcase, manyFireInOrder);
    tcase_add_test(tcase, repeatsUntilRemoved);
    tcase_add_test(tcase, repeatsOnceAfterALongPause);
    tcase_add_test(tcase, repeatOfZeroDoesNotHoldTheLoop);
    tcase_add_test(tcase, repeatingOneRemovesItself);
    tcase_add_test(tcase, updateTakesFlagsAnew);
    tcase_add_test(tcase, removesItself);
    tcase_add_test(tcase, removesOthersDueAtOnce);
    tcase_add_test(tcase, updatesItself);
    tcase_add_test(tcase, updatesThenRemovesItself);
    tcase_add_test(tcase, oneSetInsideWaitsForNextTurn);
    tcase_add_test(tcase, releasesTheRingInside);
    tcase_add_test(tcase, updateMovesAndKeepsFunction);
    tcase_add_test(tcase, updateReplacesFunctionAndClosure);
    tcase_add_test(tcase, updatePostpones);
    tcase_add_test(tcase, removalBeforeItFires);
    tcase_add_test(tcase, preciseKeepsItsGrain);
    tcase_add_test(tcase, preciseRepeats);
    tcase_add_test(tcase, intervalFollowsTheFirst);
    tcase_add_test(tcase, refusesBadArguments);
    tcase_add_test(tcase, refusesForeignRing);
    tcase_add_test(tcase, refusesOtherThreads);
    tcase_add_test(tcase, isAShellAfterTheRing);
    suite_add_tcase(suite, tcase);
    return runSuite(suite);
}
