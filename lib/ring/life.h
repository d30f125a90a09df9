/*
 * A ring on an engine that somebody has opened: for CreateFastRing, and for tests of what needs no
 * kernel.
 */
#ifndef FASTSOCKET_RING_LIFE_H
#define FASTSOCKET_RING_LIFE_H

#include "ring/ring.h"

/* What CreateFastRing does with an engine that it has opened. The engine is the ring's from now on,
 * and is closed and destroyed if no ring comes of it. NULL with errno ENOMEM. */
struct FastRing* FastRingCreateOn(struct FastEngine* engine);

/* A call of the program's that calls functions of its own, wherever it is made. */
struct FastRingVisit
{
    bool outside; /* of a turn */
    bool left;    /* a turn was, and is still to be gone on with */
    struct FastFrame frame;
};

/* Its functions are called from now on: none may run the ring, which ends no earlier than the call.
 * place: the frame of the call (FAST_FRAME_PLACE). */
void FastRingBeginVisit(struct FastRing* ring, struct FastRingVisit* visit, const char* place);

/* None is any more. 0, or -ECANCELED: one of them has released the ring, which is gone now. */
int FastRingEndVisit(struct FastRing* ring, const struct FastRingVisit* visit);

#endif
