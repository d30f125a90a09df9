/*
 * The provider and the pools that a ring has itself, for sockets that are given none.
 */
#ifndef FASTSOCKET_RING_STOCK_H
#define FASTSOCKET_RING_STOCK_H

#include "memory/pool.h"
#include "memory/provider.h"

/* What a ring has. */
struct FastRingStock
{
    struct FastRing* ring;
    struct FastRingMember member;
    struct FastRingBufferProvider* provider;
    struct FastBufferPool* inbound;
    struct FastBufferPool* outbound;
};

/* The ring's own, made by the first call as its options say, and gone with it. NULL and errno, as
 * for providers and pools. A ring that still takes what is made on it, in its own thread. */
const struct FastRingStock* FastRingStockGet(struct FastRing* ring);

#endif
