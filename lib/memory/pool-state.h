/*
 * A pool's own state, for the pool's files alone: which thread and which store.
 */
#ifndef FASTSOCKET_POOL_STATE_H
#define FASTSOCKET_POOL_STATE_H

#include "memory/pool-owner.h"
#include "memory/pool-store.h"
#include "base/thread.h"

#include <pthread.h>

enum
{
    POOL_LITTLE = 4 << 20, /* bytes that may stay free for ever, if the reserve is no less */
};

struct FastBufferPool
{
    struct FastPoolOwner* owner;
    _Atomic uint64_t thread; /* the own one; 0 = none */
    atomic_bool closed;
    atomic_bool wanted;     /* an allocation has failed since a buffer came home */
    _Atomic size_t reserve; /* bytes that may be free */
    _Atomic size_t little;  /* bytes that may stay free for ever */
    _Atomic uint32_t users;

    struct
    {
        /* The short ways of pool.h may be taken: there is an own thread, the pool is open, and
         * nobody has to hear of memory that is free. */
        bool quick;
        int64_t buffers;
        size_t watch; /* beyond so many free bytes the limits are looked at */
        bool decays;  /* in the middle of a decay's steps */
        struct FastPoolStore store;
    } own; /* the own thread's */

    alignas(64) _Atomic int64_t life;
    _Atomic size_t memory; /* from the system */
    struct FastBuffer* _Atomic returned;
    _Atomic size_t returnedBytes;
    atomic_bool decaying; /* the owner was asked to call FastPoolDecay */

    uint64_t forks;       /* FastForkCount() when the pool was made */
    pthread_mutex_t lock; /* of what follows */
    struct
    {
        struct FastPoolStore store;
        size_t shed;     /* bytes given back as surplus, in the last second or so */
        size_t keep;     /* bytes more that may be free, since they were missed then */
        int64_t decayed; /* when, in nanoseconds */
    } shared;
};

/* The calling thread is the pool's own. */
static inline bool FastPoolIsOwn(const struct FastBufferPool* pool)
{
    return atomic_load_explicit(&pool->thread, memory_order_relaxed) == FastThreadNumber();
}

/* There is an own thread: for who knows that it is either that or none is. */
static inline bool FastPoolIsAdopted(const struct FastBufferPool* pool)
{
    return atomic_load_explicit(&pool->thread, memory_order_relaxed) != 0;
}

/* Nothing is allocated any more. Its own thread need not ask: it is none any more then. */
static inline bool FastPoolIsClosed(const struct FastBufferPool* pool)
{
    return atomic_load_explicit(&pool->closed, memory_order_acquire);
}

/* Bytes that may be free. */
static inline size_t FastPoolReserve(const struct FastBufferPool* pool)
{
    return atomic_load_explicit(&pool->reserve, memory_order_relaxed);
}

/* Bytes that may be free for ever. */
static inline size_t FastPoolLittle(const struct FastBufferPool* pool)
{
    return atomic_load_explicit(&pool->little, memory_order_relaxed);
}

/* Bytes that are free in other places than the own store, whose memory strangers had better not
 * touch. */
static inline size_t FastPoolForeignFree(const struct FastBufferPool* pool)
{
    return FastStoreFree(&pool->shared.store) +
           atomic_load_explicit(&pool->returnedBytes, memory_order_relaxed);
}

/* Bytes that are free in all places. */
static inline size_t FastPoolFreeBytes(const struct FastBufferPool* pool)
{
    return FastStoreFree(&pool->own.store) + FastPoolForeignFree(pool);
}

/* What a store may keep, beside what is free elsewhere. */
static inline size_t FastPoolAllowance(const struct FastBufferPool* pool,
                                       const struct FastPoolStore* store)
{
    size_t elsewhere = FastPoolFreeBytes(pool) - FastStoreFree(store);
    size_t reserve = FastPoolReserve(pool);
    return reserve > elsewhere ? reserve - elsewhere : 0;
}

/* ---- pool-base.c ---- */

/* A block from the system, and back to it. */
struct FastBuffer* FastPoolTakeBlock(struct FastBufferPool* pool, size_t size, uint32_t kind);
void FastPoolGiveBlock(struct FastBufferPool* pool, struct FastBuffer* buffer);
void FastPoolGiveChain(struct FastBufferPool* pool, struct FastBuffer* chain);

/* The stack of what others have returned of the owner's: takes all; adds one, false: enough
 * waits there. */
struct FastBuffer* FastPoolTakeReturned(struct FastBufferPool* pool);
bool FastPoolPushReturned(struct FastBufferPool* pool, struct FastBuffer* buffer);

/* Any thread: has the owner call FastPoolDecay soon; the second only if more than a little is
 * free. */
void FastPoolStartDecay(struct FastBufferPool* pool);
void FastPoolLimitForeign(struct FastBufferPool* pool);

/* Any thread: memory has come home; notifies the owner if an allocation has failed since the
 * last time. */
void FastPoolNotifyHome(struct FastBufferPool* pool);

/* ---- pool-shared.c: wait: else the lock is not waited for, and finding it taken is as finding
 * nothing ---- */

/* A block of a class; NULL: none is free. */
struct FastBuffer* FastPoolPopShared(struct FastBufferPool* pool, uint32_t kind, bool wait);

/* false: not taken in, since the block is a loose one, the lock is taken or the pool closed. */
bool FastPoolPushShared(struct FastBufferPool* pool, struct FastBuffer* buffer, bool wait);

/* Gives back all that is free; false: nothing was. */
bool FastPoolEmptyShared(struct FastBufferPool* pool, bool wait);

/* So many bytes had to be asked of the system: that much more is kept the next time. */
void FastPoolMissShared(struct FastBufferPool* pool, size_t footprint);

/* The reserve has changed. */
void FastPoolLimitShared(struct FastBufferPool* pool);

/* As FastStoreDecay; begin: a period. */
bool FastPoolDecayShared(struct FastBufferPool* pool, bool begin, size_t* budget);

/* ---- pool.c ---- */

/* What a stranger's buffer, or the last user, adds to the pool's life. It may be gone
 * afterwards. */
void FastPoolAddLife(struct FastBufferPool* pool, int64_t change);

/* ---- pool-own.c: in the own thread ---- */

/* A block that no list of the own store has; NULL: no memory. What lies unused in the shared
 * store becomes the own one's. */
struct FastBuffer* FastPoolFetchOwn(struct FastBufferPool* pool, size_t size, uint32_t kind);

/* Takes back what nobody holds any more. */
void FastPoolReleaseOwn(struct FastBufferPool* pool, struct FastBuffer* buffer);

/* After a release: whether there is anything to do beside, and what there is. */
static inline bool FastPoolNeedsCare(const struct FastBufferPool* pool)
{
    return FastStoreFree(&pool->own.store) > pool->own.watch ||
           atomic_load_explicit(&pool->returned, memory_order_relaxed) != NULL ||
           atomic_load_explicit(&pool->wanted, memory_order_relaxed);
}

/* Sheds what is too much, takes home what others have returned, notifies the owner. */
void FastPoolTakeCare(struct FastBufferPool* pool);

/* ---- pool-foreign.c: in the others ---- */

/* A block of the shared store or the system, and a share in the life of the pool; NULL: no
 * memory. */
struct FastBuffer* FastPoolAllocateShared(struct FastBufferPool* pool, size_t size, uint32_t kind);
/* The buffer goes home, or to the system, and its share ends: the pool may be gone afterwards. */
void FastPoolReleaseForeign(struct FastBufferPool* pool, struct FastBuffer* buffer);

#endif
