/*
 * What sockets ask of the tie between a pool and a ring.
 */
#ifndef FASTSOCKET_RING_POOL_H
#define FASTSOCKET_RING_POOL_H

#include "memory/pool.h"
#include "ring/ring.h"

/* The ring that a pool was made for; NULL if it has none. */
struct FastRing* FastPoolRing(const struct FastBufferPool* pool);

#endif
