/*
 * Unread bytes of all sockets of a ring, against FASTRING_OPTION_INBOUND_LIMIT.
 */
#ifndef FASTSOCKET_RING_LIMIT_H
#define FASTSOCKET_RING_LIMIT_H

#include "ring/base.h"

/* What FastRingAddInbound does when the limit is reached: members are asked to receive less. */
void FastRingThrottle(struct FastRing* ring);

/* There may be room again: serves who waits, if so. */
void FastRingRelieve(struct FastRing* ring);

/* The limit has changed: who waits is served if the ring is below it now. */
void FastRingReconsiderLimit(struct FastRing* ring);

/* Bytes have come that nobody has read. */
static inline void FastRingAddInbound(struct FastRing* ring, size_t length)
{
    ring->inbound.length += length;
    if (ring->inbound.length >= ring->options.inboundLimit && !ring->inbound.throttled)
        FastRingThrottle(ring);
}

/* They are read, or given up. */
static inline void FastRingTakeInbound(struct FastRing* ring, size_t length)
{
    ring->inbound.length -= length;
    if (ring->inbound.throttled || ring->inbound.waiting.first != NULL)
        FastRingRelieve(ring);
}

/* Nothing more may be received. */
static inline bool FastRingInboundIsFull(const struct FastRing* ring)
{
    return ring->inbound.length >= ring->options.inboundLimit;
}

/* FASTRING_OPTION_INBOUND_LIMIT, in bytes. */
static inline uint64_t FastRingInboundLimit(const struct FastRing* ring)
{
    return ring->options.inboundLimit;
}

/* Has the waiter of a socket that stopped because of the limit served when there is room again. */
void FastRingWaitInbound(struct FastRing* ring, struct FastWaiter* waiter);

#endif
