/*
 * One turn of a ring.
 */
#ifndef FASTSOCKET_RING_TURN_H
#define FASTSOCKET_RING_TURN_H

#include "ring/base.h"

/* All phases once, as WaitForFastRing says it of interval and mask. Returns 0, -EINTR, or what is
 * wrong with a dead engine. */
int FastRingRunTurn(struct FastRing* ring, uint32_t interval, const sigset_t* mask);

/* A function of the user's has left the last turn, or the end, without a return: does what should
 * have followed it. What is left of the phases is for the next turn. */
void FastRingGoOn(struct FastRing* ring);

/* At the end: runs the loop until every operation is final, or nothing has come for some
 * seconds. */
void FastRingDrain(struct FastRing* ring);

/* At creation. */
void FastRingPrepareLastly(struct FastRing* ring);

/* When it is closed: what its last steps have brought. */
void FastRingRunLastly(struct FastRing* ring);

/* Something is there to be done without waiting. */
bool FastRingHasWork(const struct FastRing* ring);

#endif
