/*
 * Operations that are looked at again after a time, since no event would tell that they can go on.
 */
#ifndef FASTSOCKET_ENGINE_SOFT_LOOK_H
#define FASTSOCKET_ENGINE_SOFT_LOOK_H

#include "engine/soft-state.h"

/* Whether what goes to this address and finds no room may lack it at somebody else's, of whom a
 * poll of our own socket says nothing. */
bool FastSoftIsElsewhere(const void* name, socklen_t length);

/* Lets an operation that is in no place and was refused wait for its next look: after twice as long
 * as the last time, if there was one since FastSoftForgetLook. Returns 0 or -ENOMEM. */
int FastSoftAddLook(struct FastSoft* soft, struct FastSoftOperation* operation);

/* Of one with FAST_SOFT_LOOKED, which may be in any place: it is looked at no more. */
void FastSoftForgetLook(struct FastSoft* soft, struct FastSoftOperation* operation);

/* What is left of a wait's time until the next look, in nanoseconds, as the time itself is. */
int64_t FastSoftBoundWait(const struct FastSoft* soft, int64_t timeout);

/* Calls look with the number of each operation whose time has come, and that waits for it. It adds
 * and forgets none. */
void FastSoftTakeLooks(struct FastSoft* soft, void (*look)(struct FastSoft* soft, uint32_t number));

/* At the engine's end: nothing is looked at any more. */
void FastSoftFreeLooks(struct FastSoft* soft);

#endif
