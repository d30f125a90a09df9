/*
 * A ring's clock and timers, and those who wait for memory. Functions of timers run after the
 * dispatch phase.
 */
#ifndef FASTSOCKET_RING_TIMERS_H
#define FASTSOCKET_RING_TIMERS_H

#include "ring/base.h"

enum
{
    FAST_MILLISECOND = 1000000, /* nanoseconds */
};

/* Nanoseconds, CLOCK_MONOTONIC. */
int64_t FastRingNow(struct FastRing* ring);

/* nanoseconds from now; one that is set already is moved. */
void FastRingSetTimer(struct FastRing* ring, struct FastTimer* timer, int64_t nanoseconds);

/* Harmless when it is not set. */
void FastRingStopTimer(struct FastRing* ring, struct FastTimer* timer);

/* Runs what is due; what is set meanwhile belongs to the next turn. */
void FastRingExpireTimers(struct FastRing* ring);

/* A task of those that an allocation has failed: deferred when memory may be had again, reported by
 * FastRingMemoryReturned, or after a while at the latest. */
void FastRingWaitMemory(struct FastRing* ring, struct FastTask* task);

/* The same of a member's that waits in no queue. */
void FastRingWaitMemoryWork(struct FastRing* ring, struct FastRingWorker* worker,
                            enum FastRingWork number);

/* Somebody has given memory back. On the ring's thread. */
void FastRingMemoryReturned(struct FastRing* ring);

/* At creation. */
void FastRingPrepareMemory(struct FastRing* ring);

#endif
