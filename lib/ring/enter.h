/*
 * Entering the kernel: once a turn, and where something can't wait for the next.
 */
#ifndef FASTSOCKET_RING_ENTER_H
#define FASTSOCKET_RING_ENTER_H

#include "ring/base.h"

/* As the engine's enter: submits what is reserved and waits at most timeout nanoseconds; negative:
 * no limit. */
int FastRingEnter(struct FastRing* ring, int64_t timeout, const sigset_t* mask);

/* Submits and collects, handles nothing; as the engine's enter. */
int FastRingEnterNow(struct FastRing* ring);

/* Until what is reserved by now has entered the kernel, its SIGPIPE does not reach the program. */
void FastRingGuardPipe(struct FastRing* ring);

#endif
