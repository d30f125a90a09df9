/*
 * Tasks that wait for a later turn than the next one: until all that has come is handled, or until
 * completions have places.
 */
#ifndef FASTSOCKET_RING_LATER_H
#define FASTSOCKET_RING_LATER_H

#include "ring/base.h"

enum
{
    FAST_RING_CROWDED = 1024, /* turns that tasks wait for a place at most */
};

/* Whether a poll that completes often may be reserved now. The kernel ends one whose completion has
 * no place, or comes while older ones have none, by another one: armed again at once, many of them
 * would never rest. A ring that never has places arms them all the same after a time; one that has
 * never lacked any is not asked: a first overflow is only one. */
static inline bool FastRingHasPlace(const struct FastRing* ring)
{
    return ring->statistics.overflows == 0 ||
           (!FastEngineOverflown(ring->engine) &&
            FastEnginePlaces(ring->engine) > FastEngineReserved(ring->engine)) ||
           ring->turn.crowded >= FAST_RING_CROWDED;
}

/* In the prepare phase, where that says no: runs a task in that of a later turn. */
static inline void FastRingAwaitPlace(struct FastRing* ring, struct FastLink* link, size_t number)
{
    FastTaskAppend(&ring->crowd, link, number);
}

/* The slow part of the next. */
void FastRingSortLater(struct FastRing* ring);

/* Behind the completions of a turn: those whose time has come run in the next prepare phase. */
static inline void FastRingBringLater(struct FastRing* ring)
{
    if (!FastTaskIsEmpty(&ring->behind) || !FastTaskIsEmpty(&ring->crowd) || ring->turn.crowded > 0)
        FastRingSortLater(ring);
}

#endif
