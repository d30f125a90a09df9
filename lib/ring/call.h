/*
 * Calls from other threads, and the wake that brings them.
 */
#ifndef FASTSOCKET_RING_CALL_H
#define FASTSOCKET_RING_CALL_H

#include "ring/base.h"

/* Something that another thread wants run on the ring's thread, in the dispatch phase. */
struct FastRingCall
{
    void (*function)(struct FastRingCall* call);
    struct FastRingCall* _Atomic next;
    atomic_bool pending;
};

/* Any thread, async-signal-safe. The call must live until it has run; submits before that merge.
 * Returns -ECANCELED when the ring is gone, -EPERM in a forked child. Calls pending when the ring
 * ends are run before it is gone or are dropped (pending stays true: nothing of the ring refers to
 * them then). */
int FastRingSubmitCall(struct FastRing* ring, struct FastRingCall* call);

/* At creation. */
void FastRingPrepareCalls(struct FastRing* ring);

/* From now on other threads are heard. On the ring's thread. */
void FastRingArmCalls(struct FastRing* ring);

/* At the end: completes the operation that hears other threads, if it is in flight. */
void FastRingEndCalls(struct FastRing* ring);

/* Runs the calls that are there. */
void FastRingRunCalls(struct FastRing* ring);

#endif
