/*
 * What check mode (base/check.h) needs to hear of what is made on a ring.
 *
 * In check mode a ring never says that it is open (FastRingIsOpen), so that every call goes the
 * long way, which ends here; without it nothing is asked for that is not asked for anyway. What is
 * gone refers to a ring that is none and never open, and so ends here, too.
 */
#ifndef FASTSOCKET_RING_MISUSE_H
#define FASTSOCKET_RING_MISUSE_H

#include "ring/base.h"

#include <stdlib.h>

/* As FastRingCheckOf, in full. */
int FastRingCheckOfAll(const struct FastRing* ring, const void* object);

/* As FastRingCheck, in a call on an object that was made on the ring. */
static inline int FastRingCheckOf(const struct FastRing* ring, const void* object)
{
    return FastRingIsOpen(ring) ? 0 : FastRingCheckOfAll(ring, object);
}

/* As FastRingCheckRelease, in full. */
int FastRingCheckReleaseAll(const struct FastRing* ring, const void* object);

/* The same in the call that releases it. */
static inline int FastRingCheckRelease(const struct FastRing* ring, const void* object)
{
    return FastRingIsOpen(ring) ? 0 : FastRingCheckReleaseAll(ring, object);
}

/* As FastRingBury, in check mode. */
void FastRingBuryAll(void* object, size_t size, struct FastRing** ring);

/* Frees an object of so many bytes, whose member this is that names its ring. */
static inline void FastRingBury(void* object, size_t size, struct FastRing** ring)
{
    if (FastCheckRuns())
        FastRingBuryAll(object, size, ring);
    else
        free(object);
}

/* The end of a ring, before its members are closed: what users have not released of them. */
void FastRingCheckMembers(const struct FastRing* ring);

/* And behind that: buffers. */
void FastRingCheckBuffers(const struct FastRing* ring);

#endif
