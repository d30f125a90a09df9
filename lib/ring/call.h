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
    _Atomic uint64_t request; /* FAST_RING_CALL_PENDING and a value, or 0 */
    uint32_t value;           /* of the last submit that it runs for */
};

/* In its request: it is on its way. */
#define FAST_RING_CALL_PENDING (UINT64_C(1) << 32)

/* It has not begun to run since it was submitted. */
static inline bool FastRingCallIsPending(const struct FastRingCall* call)
{
    return (atomic_load(&call->request) & FAST_RING_CALL_PENDING) != 0;
}

/* Any thread, async-signal-safe. The call must live until it has run; submits before that merge.
 * Returns -ECANCELED when the ring is gone or has run its last calls, -EPERM in a forked child.
 * Calls pending when the ring ends are run before it is gone. */
int FastRingSubmitCall(struct FastRing* ring, struct FastRingCall* call);

/* The same with a value: the call finds the last one that was taken, and none that was refused. */
int FastRingSubmitValue(struct FastRing* ring, struct FastRingCall* call, uint32_t value);

/* The same of a call that was never submitted: any thread, but not in signal handlers. The ring may
 * end as soon as the call is in its queue. */
int FastRingPostCall(struct FastRing* ring, struct FastRingCall* call);

/* At creation. */
void FastRingPrepareCalls(struct FastRing* ring);

/* From now on other threads are heard. On the ring's thread. */
void FastRingArmCalls(struct FastRing* ring);

/* At the end: completes the operation that hears other threads, if it is in flight. */
void FastRingEndCalls(struct FastRing* ring);

/* A call did not return: those behind it are run by the next turn. */
void FastRingGoOnCalls(struct FastRing* ring);

/* At the end: runs the calls that are there, and takes in no more. false: there were none. */
bool FastRingCloseCalls(struct FastRing* ring);

#endif
