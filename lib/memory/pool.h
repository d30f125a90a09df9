/*
 * What the units above call of pools and buffers. Knows nothing of rings: CreateFastBufferPool, which
 * ties a pool to a ring, stands in ring-pool.c.
 */
#ifndef FASTSOCKET_POOL_H
#define FASTSOCKET_POOL_H

#include <Ring/FastBuffer.h>
#include <stdbool.h>

struct FastPoolOwner
{
    void (*home)(struct FastPoolOwner* owner); /* any thread: memory came back after an allocation had failed */
    void (*gone)(struct FastPoolOwner* owner); /* any thread: closed, dropped and empty; the owner calls FastPoolFree, now or later */
    void (*surplus)(struct FastPoolOwner* owner); /* any thread: have FastPoolDecay called in the owner's thread, soon */
};

/*
 * Makes a pool with one reference, its user's.
 *
 * owner      NULL: locked, all threads alike. Otherwise one thread, told by FastPoolAdopt, uses the
 *            pool without locks.
 */
struct FastBufferPool* FastPoolCreate(struct FastPoolOwner* owner);
struct FastPoolOwner* FastPoolGetOwner(const struct FastBufferPool* pool);

/* From now on the calling thread is the pool's own. */
void FastPoolAdopt(struct FastBufferPool* pool);

/* Owner's thread only: references of sockets and the like. The pool closes with the last. */
void FastPoolHold(struct FastBufferPool* pool);
void FastPoolDrop(struct FastBufferPool* pool);

/* Bytes that the pool may keep free. Owner's thread; 64 MiB until it is called. */
void FastPoolSetReserve(struct FastBufferPool* pool, size_t bytes);

/* Owner's thread: gives back of what was not needed lately. Returns in how many milliseconds to call it
 * again; 0 = not until surplus is called. */
uint32_t FastPoolDecay(struct FastBufferPool* pool);

/* No allocation any more (ECANCELED); buffers go back to the system, the pool itself with the last
 * reference and buffer. */
void FastPoolClose(struct FastBufferPool* pool);

/* The last of a pool that has an owner: after gone. */
void FastPoolFree(struct FastBufferPool* pool);

/* Levels, for the owner's thread. */
size_t FastPoolBuffers(const struct FastBufferPool* pool); /* in use */
size_t FastPoolMemory(const struct FastBufferPool* pool);  /* bytes from the system, the reserve included */

/* Room in the buffer's header for who holds it alone: a link for its queue, and a number. Undefined
 * after allocation. */
struct FastBuffer** FastBufferLink(struct FastBuffer* buffer);
uint64_t* FastBufferNote(struct FastBuffer* buffer);

/* Bytes of memory that a buffer takes, for accounting. */
size_t FastBufferFootprint(const struct FastBuffer* buffer);

#endif
