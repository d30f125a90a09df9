/*
 * Blocks that come and go.
 *
 * Good path: a block is taken from those that were given back last, whose memory is still in the
 * processor's caches. While the ring is busy nothing is asked of it; now and then, when there is
 * nothing to do, those in the row are looked at, and most are given back. What was used since the
 * last time stays until the next: it may well be used again.
 *
 * As many are kept as were taken lately between two such looks, so that what goes on as before
 * allocates nothing. What a burst brought goes in some looks of a ring that rests: as long as more
 * than a few are kept, it goes on to look.
 */
#include "ring/spare.h"

#include <stdlib.h>

enum
{
    SPARE_MOST = 4096, /* never more */
    SPARE_SHARE = 8,   /* of a surplus an eighth is forgotten at each look, */
    SPARE_HALF = 2,    /* or half of it where none was taken since the last */
};

struct FastSpare* FastRingTakeSpare(struct FastRing* ring, void (*look)(struct FastSpare* spare))
{
    struct FastSpare* spare = ring->spares.free;
    if (spare != NULL) {
        ring->spares.free = spare->next;
        ring->spares.count--;
    } else
        spare = malloc(FAST_SPARE_SIZE);
    if (spare == NULL)
        return NULL;
    ring->spares.taken++;
    spare->place = NULL;
    spare->used = true;
    spare->look = look;
    return spare;
}

void FastRingForgetSpare(struct FastRing* ring, struct FastSpare* spare)
{
    if (spare->place == NULL)
        return;
    ring->spares.rowed--;
    *spare->place = spare->next;
    if (spare->next != NULL)
        spare->next->place = spare->place;
    spare->place = NULL;
}

void FastRingGiveSpare(struct FastRing* ring, struct FastSpare* spare)
{
    FastRingForgetSpare(ring, spare);
    if (ring->spares.count >= SPARE_MOST || FastRingIsEnding(ring)) {
        free(spare);
        return;
    }
    spare->next = ring->spares.free;
    ring->spares.free = spare;
    ring->spares.count++;
}

void FastRingRowSpare(struct FastRing* ring, struct FastSpare* spare)
{
    spare->next = ring->spares.row;
    spare->place = &ring->spares.row;
    if (spare->next != NULL)
        spare->next->place = &spare->next;
    ring->spares.row = spare;
    ring->spares.rowed++;
}

static void freeOne(struct FastRing* ring)
{
    struct FastSpare* spare = ring->spares.free;
    ring->spares.free = spare->next;
    ring->spares.count--;
    free(spare);
}

/* What is needed of a surplus is seen at the next looks; it shrinks slowly. */
static void shrink(struct FastRing* ring)
{
    uint32_t taken = ring->spares.taken > FAST_SPARE_FEW ? ring->spares.taken : FAST_SPARE_FEW;
    uint32_t surplus = ring->spares.keep > taken ? ring->spares.keep - taken : 0;
    uint32_t share = ring->spares.taken > 0 ? SPARE_SHARE : SPARE_HALF;
    ring->spares.keep = taken + surplus - (surplus + share - 1) / share;
    ring->spares.taken = 0;
    while (ring->spares.count > ring->spares.keep)
        freeOne(ring);
}

void FastRingLookAtSpares(struct FastRing* ring)
{
    uint32_t staying = 0;
    struct FastSpare* next = ring->spares.row;
    while (next != NULL) {
        struct FastSpare* spare = next;
        next = spare->next;
        if (spare->used && staying < FAST_SPARE_STAY) {
            spare->used = false;
            staying++;
        } else {
            FastRingForgetSpare(ring, spare);
            spare->look(spare);
        }
    }
    ring->spares.idles = 0;
    shrink(ring);
}

void FastRingFreeSpares(struct FastRing* ring)
{
    while (ring->spares.free != NULL)
        freeOne(ring);
}
