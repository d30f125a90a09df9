/*
 * What the units above call of pools and buffers. Knows nothing of rings: CreateFastBufferPool,
 * which ties a pool to a ring, stands in ring-pool.c.
 */
#ifndef FASTSOCKET_POOL_H
#define FASTSOCKET_POOL_H

#include "memory/buffer.h"
#include "memory/pool-owner.h"

/*
 * Makes a pool with one reference, its user's.
 *
 * owner      NULL: locked, all threads alike. Otherwise one thread, the one that FastPoolAdopt
 * names, uses the pool without locks.
 */
struct FastBufferPool* FastPoolCreate(struct FastPoolOwner* owner);

/* Whom FastPoolCreate was given. */
struct FastPoolOwner* FastPoolGetOwner(const struct FastBufferPool* pool);

/* From now on the calling thread is the pool's own. */
void FastPoolAdopt(struct FastBufferPool* pool);

/* Owner's thread only: references of sockets and the like. The pool closes with the last. */
void FastPoolHold(struct FastBufferPool* pool);
void FastPoolDrop(struct FastBufferPool* pool);

/* Bytes that the pool may keep free. Owner's thread; 64 MiB until it is called. */
void FastPoolSetReserve(struct FastBufferPool* pool, size_t bytes);

/* Owner's thread: gives back of what was not needed lately. Returns in how many milliseconds to
 * call it again; 0 = not until surplus is called. */
uint32_t FastPoolDecay(struct FastBufferPool* pool);

/* No allocation any more (ECANCELED); buffers go back to the system, the pool itself with the last
 * reference and buffer. */
void FastPoolClose(struct FastBufferPool* pool);

/* The last of a pool that has an owner: after gone. */
void FastPoolFree(struct FastBufferPool* pool);

/*
 * AllocateFastBuffer and ReleaseFastBuffer for who knows that it runs in the thread that the pool's
 * owner adopts it for, or that has adopted it (the thread of its ring); of a pool without an owner,
 * in any. A buffer of another pool is released as ever.
 */
struct FastBuffer* FastPoolAllocate(struct FastBufferPool* pool, size_t size);
void FastPoolRelease(struct FastBufferPool* pool, struct FastBuffer* buffer);

/* Levels, for the owner's thread. */
size_t FastPoolBuffers(const struct FastBufferPool* pool); /* in use */
size_t FastPoolMemory(const struct FastBufferPool* pool);  /* from the system, free ones too */

#endif
