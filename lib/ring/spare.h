/*
 * Memory that many have need of, but few at a time: blocks that are taken when something begins,
 * looked at when the ring has nothing to do, and kept for the next one who takes one.
 */
#ifndef FASTSOCKET_RING_SPARE_H
#define FASTSOCKET_RING_SPARE_H

#include "ring/base.h"

enum
{
    FAST_SPARE_SIZE = 384, /* bytes of a block */
    FAST_SPARE_IDLES = 16, /* until the next look: it costs something, and so does giving back */
    FAST_SPARE_STAY = 256, /* blocks that may stay where nothing needs them just now */
    FAST_SPARE_FEW = 16,   /* that nobody uses are kept in any case */
};

/* At the start of a block that is in use. */
struct FastSpare
{
    struct FastSpare* next;   /* in the row of those to be looked at */
    struct FastSpare** place; /* NULL: in no row */
    bool used;                /* since the last look */
    /* The ring has nothing to do: whoever needs the block no more gives it back. It may queue
     * nothing, and call no user. */
    void (*look)(struct FastSpare* spare);
};

/* A block, in which look is set and all else is not; NULL without memory. */
struct FastSpare* FastRingTakeSpare(struct FastRing* ring, void (*look)(struct FastSpare* spare));

/* Gives it back; also after the ring. */
void FastRingGiveSpare(struct FastRing* ring, struct FastSpare* spare);

/* What FastRingLookLater does. */
void FastRingRowSpare(struct FastRing* ring, struct FastSpare* spare);

/* It is not looked at any more. */
void FastRingForgetSpare(struct FastRing* ring, struct FastSpare* spare);

/* It was used, and may be needed no more: has it looked at, once, when the ring has had nothing to
 * do for some times (FAST_SPARE_IDLES), or sooner where there are many. */
static inline void FastRingLookLater(struct FastRing* ring, struct FastSpare* spare)
{
    spare->used = true;
    if (spare->place == NULL)
        FastRingRowSpare(ring, spare);
}

/* Looks at those in the row; few that were used since the last time stay until the next. Frees some
 * of those that nobody uses, if they are many. */
void FastRingLookAtSpares(struct FastRing* ring);

/* Whether there is anything to look at. */
static inline bool FastRingHasSpares(const struct FastRing* ring)
{
    return ring->spares.row != NULL || ring->spares.count > FAST_SPARE_FEW;
}

/* The ring has nothing to do, and there is: whether it is time to look. */
static inline bool FastRingSparesAreDue(struct FastRing* ring)
{
    return ++ring->spares.idles >= FAST_SPARE_IDLES || ring->spares.rowed > FAST_SPARE_STAY;
}

/* Frees those that nobody uses, at the end of the ring. */
void FastRingFreeSpares(struct FastRing* ring);

#endif
