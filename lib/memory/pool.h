/*
 * What the units above call of pools and buffers. Knows nothing of rings: CreateFastBufferPool,
 * which ties a pool to a ring, stands in ring-pool.c.
 */
#ifndef FASTSOCKET_POOL_H
#define FASTSOCKET_POOL_H

#include "memory/pool-state.h"

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

/* The memory that AllocateRingFastBuffer has made last in the calling thread, told once; NULL if
 * that was with another closure, or nothing. */
const void* FastPoolTakeMade(const void* closure);

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

/* A block of the own store, made a buffer: the short way of an allocation in the own thread. NULL:
 * the long one has to be gone. */
static inline struct FastBuffer* FastPoolTakeQuickly(struct FastBufferPool* pool, size_t size)
{
    if (!pool->own.quick || size > FAST_BLOCK_SMALL)
        return NULL;
    struct FastBuffer* buffer = FastStorePop(&pool->own.store, FastBlockSmallClass(size));
    if (buffer == NULL)
        return NULL;
    pool->own.buffers++;
    buffer->size = size;
    buffer->length = 0;
    atomic_store_explicit(&buffer->references, 1, memory_order_relaxed);
    return buffer;
}

/* Puts a buffer that nobody holds any more back there. false: the long way has to be gone. */
static inline bool FastPoolGiveQuickly(struct FastBufferPool* pool, struct FastBuffer* buffer)
{
    if (!pool->own.quick || buffer->shared || buffer->kind == POOL_LOOSE)
        return false;
    pool->own.buffers--;
    FastStorePush(&pool->own.store, buffer);
    if (FastPoolNeedsCare(pool))
        FastPoolTakeCare(pool);
    return true;
}

/* The long ways. */
struct FastBuffer* FastPoolAllocateAnyhow(struct FastBufferPool* pool, size_t size);
void FastPoolReleaseAnyhow(struct FastBufferPool* pool, struct FastBuffer* buffer);

/*
 * AllocateFastBuffer and ReleaseFastBuffer for who knows that it runs in the thread that the pool's
 * owner adopts it for, or that has adopted it (the thread of its ring); of a pool without an owner,
 * in any. A buffer of another pool is released as ever.
 */
static inline struct FastBuffer* FastPoolAllocate(struct FastBufferPool* pool, size_t size)
{
    struct FastBuffer* buffer = FastPoolTakeQuickly(pool, size);
    return buffer != NULL ? buffer : FastPoolAllocateAnyhow(pool, size);
}

/* A count of 1 is the caller's, and nobody else can raise it: no read-modify-write is needed. */
static inline void FastPoolRelease(struct FastBufferPool* pool, struct FastBuffer* buffer)
{
    bool last = atomic_load_explicit(&buffer->references, memory_order_acquire) == 1;
    if (!last || buffer->pool != pool || !FastPoolGiveQuickly(pool, buffer))
        FastPoolReleaseAnyhow(pool, buffer);
}

/* As ReleaseFastBuffer, for the library's own references: the function of a wrapped one is called
 * where users may be called, if this is the thread of the pool's owner. */
void FastBufferDrop(struct FastBuffer* buffer);

/* Levels, for the owner's thread. */
size_t FastPoolBuffers(const struct FastBufferPool* pool); /* in use */
size_t FastPoolMemory(const struct FastBufferPool* pool);  /* from the system, free ones too */

#endif
