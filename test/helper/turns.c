#include "turns.h"

#include <dirent.h>
#include <stddef.h>
#include <time.h>

#include <check.h>
#include <string.h>

enum
{
    BOUND_SECONDS = 60, /* of runUntil: bounds a hang, nothing else */
    STEP_MILLISECONDS = 100,
    IDLE_TURNS = 8,
};

int countDescriptors(void)
{
    DIR* directory = opendir("/proc/self/fd");
    int count = 0;

    ck_assert_ptr_nonnull(directory);
    for (struct dirent* entry = readdir(directory); entry != NULL; entry = readdir(directory))
        count += (entry->d_name[0] != '.');
    closedir(directory);
    return count - 1; /* the directory's own */
}

static int64_t secondsNow(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

bool runUntil(struct FastRing* ring, Condition condition, void* closure)
{
    int64_t end = secondsNow() + BOUND_SECONDS;

    while (!condition(closure)) {
        if (secondsNow() > end)
            return false;
        ck_assert_int_eq(WaitForFastRing(ring, STEP_MILLISECONDS, NULL), 0);
    }
    return true;
}

bool isPositive(void* closure)
{
    return __atomic_load_n((int*)closure, __ATOMIC_ACQUIRE) > 0;
}

bool isNothingPending(void* closure)
{
    return GetFastRingPending(closure) == 0;
}

void runTurns(struct FastRing* ring, int turns)
{
    for (; turns > 0; turns--)
        ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0);
}

void runIdle(struct FastRing* ring)
{
    int64_t end = secondsNow() + BOUND_SECONDS;

    for (int quiet = 0; quiet < IDLE_TURNS;) {
        uint64_t before = readRing(ring).completions;
        ck_assert_int_eq(WaitForFastRing(ring, 0, NULL), 0);
        quiet = ((readRing(ring).completions == before) && (GetFastRingInterval(ring) != 0))
                    ? quiet + 1
                    : 0;
        ck_assert_msg(secondsNow() <= end, "the ring never becomes idle");
    }
}

struct FastRingStatistics readRing(struct FastRing* ring)
{
    struct FastRingStatistics statistics;

    ck_assert_int_eq(GetFastRingStatistics(ring, &statistics, sizeof(statistics)), 0);
    return statistics;
}

struct CountGoal
{
    const int* count;
    int atLeast;
};

static bool hasCount(void* closure)
{
    struct CountGoal* goal = closure;

    return __atomic_load_n(goal->count, __ATOMIC_ACQUIRE) >= goal->atLeast;
}

void waitFor(struct FastRing* ring, Condition condition, void* closure)
{
    ck_assert_msg(runUntil(ring, condition, closure), "what is waited for never comes");
}

void waitCount(struct FastRing* ring, const int* count, int atLeast)
{
    struct CountGoal goal = {count, atLeast};

    ck_assert_msg(runUntil(ring, hasCount, &goal), "%d of %d came", *count, atLeast);
}

bool runsOnUring(struct FastRing* ring)
{
    return strcmp(GetFastRingEngine(ring), "io_uring") == 0;
}
