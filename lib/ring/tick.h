/*
 * One timer of a ring for all whose time need not be kept exactly: each is looked at as often as
 * the most impatient of them asks for, and finds out by itself whether anything has happened since.
 */
#ifndef FASTSOCKET_RING_TICK_H
#define FASTSOCKET_RING_TICK_H

#include "ring/timers.h"

/* Zeroed memory with a function is none that is looked at. */
struct FastTick
{
    struct FastTick* next;
    struct FastTick** place; /* what points to it; NULL: it is not in the ring's list */

    /* It is looked at, at a time of FastRingNow, in the phase of the timers: no user is called.
     * Returns the nanoseconds within which it is to be looked at again; 0: not any more. */
    int64_t (*look)(struct FastTick* tick, int64_t now);
};

/* Has it looked at within so many nanoseconds, and again and again: at the next tick of the ring,
 * which comes sooner if that is needed. */
void FastRingAddTick(struct FastRing* ring, struct FastTick* tick, int64_t within);

/* It is not looked at any more. Harmless where it is not. */
void FastRingRemoveTick(struct FastRing* ring, struct FastTick* tick);

#endif
