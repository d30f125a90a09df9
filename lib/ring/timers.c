/*
 * A ring's clock and timers, and those who wait for memory.
 *
 * What an allocation has failed is tried again when somebody gives memory back, and after a while
 * at the latest, since memory also comes back elsewhere in the machine.
 */
#include "ring/timers.h"

#include <time.h>

enum
{
    MEMORY_MS = 10, /* who lacks memory is tried again after */
};

int64_t FastRingNow(struct FastRing* ring)
{
    (void)ring;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 * FAST_MILLISECOND + now.tv_nsec;
}

void FastRingSetTimer(struct FastRing* ring, struct FastTimer* timer, int64_t nanoseconds)
{
    int64_t now = FastRingNow(ring);
    FastTimerSet(&ring->timers, timer,
                 nanoseconds < INT64_MAX - now ? now + nanoseconds : INT64_MAX);
    if (ring->turn.outside && FastTimerFirst(&ring->timers) == timer)
        FastRingShow(ring); /* a foreign loop sleeps no longer than it was told */
}

void FastRingStopTimer(struct FastRing* ring, struct FastTimer* timer)
{
    FastTimerStop(&ring->timers, timer);
}

void FastRingExpireTimers(struct FastRing* ring)
{
    struct FastTimer* timer = FastTimerFirst(&ring->timers);
    if (timer == NULL)
        return;
    int64_t now = FastRingNow(ring);
    uint64_t order = ring->timers.order;
    while ((timer = FastTimerFirst(&ring->timers)) != NULL && timer->deadline <= now &&
           timer->order < order) {
        FastTimerStop(&ring->timers, timer);
        timer->function(timer);
    }
}

static void wait(struct FastRing* ring, struct FastLink* link, size_t number)
{
    FastTaskAppend(&ring->memory.waiting, link, number);
    if (!FastTimerIsSet(&ring->memory.timer))
        FastRingSetTimer(ring, &ring->memory.timer, (int64_t)MEMORY_MS * FAST_MILLISECOND);
}

void FastRingWaitMemory(struct FastRing* ring, struct FastTask* task)
{
    if (!FastTaskIsQueued(task))
        wait(ring, &task->link, FAST_WORK_ALONE);
}

void FastRingWaitMemoryWork(struct FastRing* ring, struct FastRingWorker* worker,
                            enum FastRingWork number)
{
    wait(ring, &worker->links[number - 1], number);
}

void FastRingMemoryReturned(struct FastRing* ring)
{
    while (FastTaskMove(&ring->memory.waiting, &ring->prepare))
        continue;
}

static void onMemoryTimer(struct FastTimer* timer)
{
    FastRingMemoryReturned(FAST_CONTAINER(timer, struct FastRing, memory.timer));
}

void FastRingPrepareMemory(struct FastRing* ring)
{
    ring->memory.timer.function = onMemoryTimer;
}
