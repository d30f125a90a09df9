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
};

/* At the start of a block that is in use. */
struct FastSpare
{
    struct FastSpare* next;   /* in the row of those to be looked at */
    struct FastSpare** place; /* NULL: in no row */
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
void FastRingForgetSpare(struct FastSpare* spare);

/* Has it looked at, once, before the ring sleeps. */
static inline void FastRingLookLater(struct FastRing* ring, struct FastSpare* spare)
{
    if (spare->place == NULL)
        FastRingRowSpare(ring, spare);
}

/* The ring has nothing to do. */
void FastRingLookAtSpares(struct FastRing* ring);

/* Frees those that nobody uses, at the end of the ring. */
void FastRingFreeSpares(struct FastRing* ring);

#endif
