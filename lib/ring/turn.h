/*
 * One turn of a ring.
 */
#ifndef FASTSOCKET_RING_TURN_H
#define FASTSOCKET_RING_TURN_H

#include "ring/base.h"

/* All phases once, as WaitForFastRing says it of interval and mask. Returns 0, -EINTR, or what is
 * wrong with a dead engine. */
int FastRingRunTurn(struct FastRing* ring, uint32_t interval, const sigset_t* mask);

/* At the end: runs the loop until every operation is final, or nothing has come for some
 * seconds. */
void FastRingDrain(struct FastRing* ring);

/* Something is there to be done without waiting. */
bool FastRingHasWork(const struct FastRing* ring);

#endif
