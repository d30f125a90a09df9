/*
 * Ticks.
 *
 * Good path: the timer expires, and everybody in the list is looked at. Who wants to be looked at
 * again says within what time; the shortest of these is the time to the next tick. A list without
 * anybody has no timer.
 *
 * Failures: a long list: each turn walks a part of it, and the next turn goes on where that has
 * stopped, so that ten thousand sockets keep nobody waiting. A program that has kept the loop from
 * its work: what has come meanwhile is handled first, or those would seem to have done nothing who
 * have only not been heard.
 */
#include "ring/tick.h"

enum
{
    TICK_MAX_WALK = 1024, /* that are looked at in one turn */
    TICK_MAX_WAIT = 1024, /* turns for what has come meanwhile */
};

static void enter(struct FastRing* ring, struct FastTick* tick)
{
    tick->next = ring->ticks.first;
    tick->place = &ring->ticks.first;
    if (tick->next != NULL)
        tick->next->place = &tick->next;
    ring->ticks.first = tick;
}

/* A walk that would go on with it goes on behind it. */
static void leave(struct FastRing* ring, struct FastTick* tick)
{
    if (ring->ticks.next == tick)
        ring->ticks.next = tick->next;
    *tick->place = tick->next;
    if (tick->next != NULL)
        tick->next->place = tick->place;
    tick->place = NULL;
}

static void lookAt(struct FastRing* ring, struct FastTick* tick, int64_t now)
{
    int64_t within = tick->look(tick, now);
    if (tick->place == NULL)
        return; /* it has removed itself */
    if (within == 0)
        leave(ring, tick);
    else if (within < ring->ticks.shortest)
        ring->ticks.shortest = within;
}

static void walk(struct FastRing* ring)
{
    int64_t now = FastRingNow(ring);
    for (int count = 0; count < TICK_MAX_WALK && ring->ticks.next != NULL; count++) {
        struct FastTick* tick = ring->ticks.next;
        ring->ticks.next = tick->next;
        lookAt(ring, tick, now);
    }
}

/* A tick that is late by more than another waits for what the ring still has to handle, or to ask
 * the kernel for; with a bound, since a ring may never have handled all. */
static bool isPutOff(struct FastRing* ring)
{
    const struct FastTimer* timer = &ring->ticks.timer;
    bool late = ring->ticks.waited > 0 ||
                FastRingNow(ring) - timer->deadline > ring->ticks.period;
    bool behind = FastRingHasCompletions(ring) || !FastTaskIsEmpty(&ring->prepare);
    if (ring->ticks.next == NULL && late && behind && ring->ticks.waited < TICK_MAX_WAIT) {
        ring->ticks.waited++;
        return true;
    }
    ring->ticks.waited = 0;
    return false;
}

static void onTimer(struct FastTimer* timer)
{
    struct FastRing* ring = FAST_CONTAINER(timer, struct FastRing, ticks.timer);
    if (isPutOff(ring)) {
        FastRingSetTimer(ring, timer, 0);
        return;
    }
    if (ring->ticks.next == NULL) { /* not the rest of a walk */
        ring->ticks.next = ring->ticks.first;
        ring->ticks.shortest = INT64_MAX;
    }
    walk(ring);
    if (ring->ticks.next == NULL)
        ring->ticks.period = ring->ticks.shortest;
    if (ring->ticks.first != NULL)
        FastRingSetTimer(ring, timer, ring->ticks.next != NULL ? 0 : ring->ticks.period);
}

/* Never later than it would have come. */
static void hasten(struct FastRing* ring, int64_t within)
{
    struct FastTimer* timer = &ring->ticks.timer;
    timer->function = onTimer;
    if (!FastTimerIsSet(timer) || timer->deadline - FastRingNow(ring) > within)
        FastRingSetTimer(ring, timer, within);
}

void FastRingAddTick(struct FastRing* ring, struct FastTick* tick, int64_t within)
{
    if (ring->ticks.first == NULL)
        ring->ticks.period = INT64_MAX;
    if (tick->place == NULL)
        enter(ring, tick);
    if (within < ring->ticks.shortest)
        ring->ticks.shortest = within; /* should a walk be under way, which it is not part of */
    if (within >= ring->ticks.period)
        return;
    ring->ticks.period = within;
    hasten(ring, within);
}

void FastRingRemoveTick(struct FastRing* ring, struct FastTick* tick)
{
    if (tick->place == NULL)
        return;
    leave(ring, tick);
    if (ring->ticks.first == NULL)
        FastRingStopTimer(ring, &ring->ticks.timer);
}
