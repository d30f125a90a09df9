/*
 * Tasks that wait for a later turn.
 *
 * What they wait for may never come on a ring that is always busy: both have waited long enough
 * after so many turns.
 */
#include "ring/later.h"

#include <limits.h>

enum
{
    LATER_BEHIND = 1024, /* turns; thousands of sockets at once need many */
};

static void bringBehind(struct FastRing* ring)
{
    if (FastRingHasCompletions(ring) && ++ring->turn.behind < LATER_BEHIND)
        return;
    ring->turn.behind = 0;
    while (FastTaskMove(&ring->behind, &ring->prepare))
        continue;
}

/* As many as completions have places for: who comes in vain waits again. After too long a time
 * without any, all of them. */
static void bringCrowd(struct FastRing* ring)
{
    unsigned places = FastEngineOverflown(ring->engine) ? 0 : FastEnginePlaces(ring->engine);
    if (places == 0) {
        if (++ring->turn.crowded < FAST_RING_CROWDED)
            return;
        places = UINT_MAX;
    }
    while (places > 0 && FastTaskMove(&ring->crowd, &ring->prepare))
        places--;
}

void FastRingSortLater(struct FastRing* ring)
{
    if (!FastTaskIsEmpty(&ring->behind))
        bringBehind(ring);
    if (!FastTaskIsEmpty(&ring->crowd))
        bringCrowd(ring);
    else
        ring->turn.crowded = 0;
}
