/*
 * What a program asks of a ring.
 *
 * Handle and interval are for a ring that is a guest in another event loop: that polls the handle,
 * and waits no longer than the interval.
 */
#include "ring/timers.h"
#include "ring/turn.h"

#include <Ring/FastSocket.h>
#include <limits.h>

int GetFastRingHandle(struct FastRing* ring)
{
    int result = FastRingCheck(ring);
    if (result < 0)
        return result;
    result = ring->engine->functions->getHandle(ring->engine);
    if (result < 0 || ring->turn.asked)
        return result;
    ring->turn.asked = true;
    FastRingSetOutside(ring, !ring->turn.running);
    if (ring->turn.outside && (!FastRingIsStarted(ring) || FastRingHasWork(ring)))
        FastRingShow(ring);
    return result;
}

/* Rounded up: a timer that is due in less than a millisecond must not make the loop spin. */
int GetFastRingInterval(struct FastRing* ring)
{
    int result = FastRingCheck(ring);
    if (result < 0)
        return result;
    /* The first wait makes the thread the ring's, and submits what was prepared before it. */
    if (!FastRingIsStarted(ring) || FastRingHasWork(ring))
        return 0;
    const struct FastTimer* timer = FastTimerFirst(&ring->timers);
    int64_t deadline = timer != NULL ? timer->deadline : INT64_MAX;
    if (ring->engine->due != 0 && ring->engine->due < deadline)
        deadline = ring->engine->due;
    if (deadline == INT64_MAX)
        return -1;
    int64_t left = deadline - FastRingNow(ring);
    int64_t milliseconds = left > 0 ? (left + FAST_MILLISECOND - 1) / FAST_MILLISECOND : 0;
    return milliseconds < INT_MAX ? (int)milliseconds : INT_MAX;
}

size_t GetFastRingPending(struct FastRing* ring)
{
    return FastRingCheck(ring) < 0 ? 0 : ring->pending;
}

int IsFastRingThread(struct FastRing* ring)
{
    return ring != NULL && FastRingIsOwned(ring);
}

/* Of any thread, and of a ring that has ended: programs decide by it what to print. */
uint64_t GetFastRingFeatures(struct FastRing* ring)
{
    return ring != NULL ? ring->engine->features : 0;
}

const char* GetFastRingEngine(struct FastRing* ring)
{
    return ring != NULL ? ring->engine->functions->name : NULL;
}

int GetFastRingStatistics(struct FastRing* ring, struct FastRingStatistics* statistics, size_t size)
{
    int result = statistics != NULL ? FastRingCheck(ring) : -EINVAL;
    if (result < 0)
        return result;
    struct FastRingStatistics now = ring->statistics;
    if (ring->engine->functions->countCalls != NULL)
        now.systemCalls = ring->engine->functions->countCalls(ring->engine);
    now.inboundLength = ring->inbound.length;
    /* our own, by which other threads are heard, is none of the program's */
    now.operations -= ring->calls.armed;
    for (const struct FastRingMember* member = ring->members; member != NULL; member = member->next)
        if (member->functions->count != NULL)
            member->functions->count(member, &now);
    FastCopyStatistics(statistics, size, &now, sizeof(now));
    return 0;
}

const char* GetFastSocketVersion(void)
{
#define TEXT(value)                  #value
#define VERSION(major, minor, patch) TEXT(major) "." TEXT(minor) "." TEXT(patch)
    return VERSION(FASTSOCKET_VERSION_MAJOR, FASTSOCKET_VERSION_MINOR, FASTSOCKET_VERSION_PATCH);
#undef VERSION
#undef TEXT
}
