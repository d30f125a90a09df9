/*
 * Values that many members of a ring have alike, kept once for all of them.
 */
#ifndef FASTSOCKET_RING_SHARED_H
#define FASTSOCKET_RING_SHARED_H

#include "ring/base.h"

/* A copy of these bytes that never changes, aligned for any pointer: the same one as before where
 * it was asked for lately. It is there until FastRingUnshare, once for each call. NULL: no
 * memory. */
const void* FastRingShare(struct FastRing* ring, const void* values, size_t size);

/* Any thread, and also after the ring's end. */
void FastRingUnshare(const void* values);

/* The end of the ring, which keeps none any more. */
void FastRingForgetShared(struct FastRing* ring);

#endif
