/*
 * What a turn that is traced says of its ring: turns, entries and completions, and what has become
 * of its members.
 */
#ifndef FASTSOCKET_RING_TRACE_H
#define FASTSOCKET_RING_TRACE_H

#include "ring/base.h"

enum
{
    FAST_LOOK_COUNTS = 2,
};

/* A member as traces tell of it. */
struct FastLook
{
    const void* object; /* as its user knows it */
    int handle;
    uint64_t bits;            /* what holds of it */
    const char* const* names; /* of each bit */
    /* what is counted where it may be over again before anybody looks; the names may be NULL */
    uint64_t counts[FAST_LOOK_COUNTS];
    const char* countNames[FAST_LOOK_COUNTS];
};

/* A turn begins. From now on every call goes the long way, where it is traced. */
void FastRingTraceTurn(struct FastRing* ring);

/* Tells of the entries that were reserved since the last time. */
void FastRingTraceEntries(struct FastRing* ring);

/* A completion is about to be handled. */
void FastRingTraceCompletion(struct FastRing* ring, const struct io_uring_cqe* completion);

/* Compares the members with what they were after the last turn: what was decided is told then. */
void FastRingTraceMembers(struct FastRing* ring);

/* The ring is closed. */
void FastRingTraceEnd(struct FastRing* ring);

#endif
