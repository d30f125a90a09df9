/*
 * A pool's own state, for the pool's files alone: which thread and which store.
 */
#ifndef FASTSOCKET_POOL_STATE_H
#define FASTSOCKET_POOL_STATE_H

#include "memory/pool-store.h"
#include "base/thread.h"

#include <pthread.h>

struct FastBufferPool
{
    struct FastPoolOwner* owner;
    _Atomic uint64_t thread; /* the own one; 0 = none */
    atomic_bool closed;
    atomic_bool wanted;     /* an allocation has failed since a buffer came home */
    _Atomic size_t reserve; /* bytes that may be free */
    _Atomic size_t little;  /* … and stay so for ever */
    _Atomic uint32_t users;

    struct
    {
        int64_t buffers;
        size_t watch; /* beyond so many free bytes the limits are looked at */
        bool decays;  /* in the middle of a decay's steps */
        struct FastPoolStore store;
    } own; /* the own thread's */

    alignas(64) _Atomic int64_t life;
    _Atomic size_t memory; /* from the system */
    struct FastBuffer* _Atomic returned;
    _Atomic size_t returnedBytes;
    atomic_bool decaying; /* the owner is told to call FastPoolDecay */

    pthread_mutex_t lock; /* of what follows */
    struct
    {
        struct FastPoolStore store;
        size_t shed;     /* bytes given back as surplus, in the last second or so */
        size_t keep;     /* bytes more that may be free, since they were missed then */
        int64_t decayed; /* when, in nanoseconds */
    } shared;
};

static inline bool FastPoolIsOwn(const struct FastBufferPool* pool)
{
    return atomic_load_explicit(&pool->thread, memory_order_relaxed) == FastThreadNumber();
}

static inline bool FastPoolIsClosed(const struct FastBufferPool* pool)
{
    return atomic_load_explicit(&pool->closed, memory_order_acquire);
}

static inline size_t FastPoolReserve(const struct FastBufferPool* pool)
{
    return atomic_load_explicit(&pool->reserve, memory_order_relaxed);
}

static inline size_t FastPoolLittle(const struct FastBufferPool* pool)
{
    return atomic_load_explicit(&pool->little, memory_order_relaxed);
}

/* Bytes that are free in other places than the own store, whose memory strangers had better not touch. */
static inline size_t FastPoolForeignFree(const struct FastBufferPool* pool)
{
    return FastStoreFree(&pool->shared.store) +
           atomic_load_explicit(&pool->returnedBytes, memory_order_relaxed);
}

static inline size_t FastPoolFreeBytes(const struct FastBufferPool* pool)
{
    return FastStoreFree(&pool->own.store) + FastPoolForeignFree(pool);
}

/* What a store may keep, beside what is free elsewhere. */
static inline size_t FastPoolAllowance(const struct FastBufferPool* pool, const struct FastPoolStore* store)
{
    size_t elsewhere = FastPoolFreeBytes(pool) - FastStoreFree(store);
    size_t reserve = FastPoolReserve(pool);
    return reserve > elsewhere ? reserve - elsewhere : 0;
}

/* pool-shared.c. wait: else the lock is not waited for, and finding it taken is as finding nothing. */
struct FastBuffer* FastPoolPopShared(struct FastBufferPool* pool, uint32_t kind, bool wait);
bool FastPoolPushShared(struct FastBufferPool* pool, struct FastBuffer* buffer, bool wait); /* false: closed, too */
bool FastPoolEmptyShared(struct FastBufferPool* pool, bool wait);                           /* false: nothing was free */
void FastPoolMissShared(struct FastBufferPool* pool, size_t footprint);                     /* so much had to be asked of the system */
void FastPoolLimitShared(struct FastBufferPool* pool);                                      /* the reserve has changed */
bool FastPoolDecayShared(struct FastBufferPool* pool, bool begin, size_t* budget);          /* as FastStoreDecay; begin: a period */

/* pool.c */
struct FastBuffer* FastPoolTakeBlock(struct FastBufferPool* pool, size_t size, uint32_t kind);
void FastPoolGiveChain(struct FastBufferPool* pool, struct FastBuffer* chain);

#endif
