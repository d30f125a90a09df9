/*
 * Tasks that wait for a later turn than the next one: until all that has come is handled, or until
 * completions have places.
 */
#ifndef FASTSOCKET_RING_LATER_H
#define FASTSOCKET_RING_LATER_H

#include "ring/base.h"

/* The slow part of the next. */
void FastRingSortLater(struct FastRing* ring);

/* Behind the completions of a turn: those whose time has come run in the next prepare phase. */
static inline void FastRingBringLater(struct FastRing* ring)
{
    if (!FastTaskIsEmpty(&ring->behind) || !FastTaskIsEmpty(&ring->crowd) || ring->turn.crowded > 0)
        FastRingSortLater(ring);
}

#endif
