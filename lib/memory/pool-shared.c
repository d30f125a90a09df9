/*
 * The store of a pool that all threads but its own one share, under the lock.
 *
 * While the pool has an own thread, which decays by a timer, the store keeps what the reserve
 * allows. Without one nobody comes to decay. There the release that finds more free than in use
 * gives the surplus back at once; an allocation that then misses it has so much more kept the next
 * time («keep»), until a use of the pool a second or more later finds that it was not needed.
 *
 * Blocks go back to the system outside the lock, and who must not wait passes by when it is taken.
 * In a forked child nobody waits: it may be taken for ever there, by a thread that the child has
 * not, in the middle of something. Such a store is left alone, and the system asked instead.
 */
#include "memory/pool-state.h"

#include <time.h>

enum
{
    SHARED_NS_PER_SECOND = 1000000000,
};

/* Whether somebody calls FastPoolDecay. */
static bool isTimed(const struct FastBufferPool* pool)
{
    return atomic_load_explicit(&pool->thread, memory_order_relaxed) != 0;
}

static bool lock(struct FastBufferPool* pool, bool wait)
{
    return FastForkLock(&pool->lock, pool->forks, wait);
}

static void unlock(struct FastBufferPool* pool, struct FastBuffer* chain)
{
    pthread_mutex_unlock(&pool->lock);
    FastPoolGiveChain(pool, chain);
}

/* ---- without an own thread ---- */

static void decayAtUse(struct FastBufferPool* pool, struct FastBuffer** chain)
{
    struct FastPoolStore* store = &pool->shared.store;
    struct timespec clock;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &clock);
    int64_t now = (int64_t)clock.tv_sec * SHARED_NS_PER_SECOND + clock.tv_nsec;
    if (now - pool->shared.decayed < SHARED_NS_PER_SECOND)
        return;
    size_t before = FastStoreFree(store);
    size_t budget = SIZE_MAX;
    FastStoreBeginPeriod(store);
    FastStoreDecay(store, FastPoolLittle(pool), &budget, chain);
    size_t gone = before - FastStoreFree(store);
    pool->shared.keep -= gone < pool->shared.keep ? gone : pool->shared.keep;
    pool->shared.shed = 0;
    pool->shared.decayed = now;
}

static size_t allowanceAtUse(const struct FastBufferPool* pool)
{
    size_t used = atomic_load_explicit(&pool->memory, memory_order_relaxed) -
                  FastStoreFree(&pool->shared.store);
    size_t little = FastPoolLittle(pool);
    size_t most = (used > little ? used : little) + pool->shared.keep;

    return most < FastPoolReserve(pool) ? most : FastPoolReserve(pool);
}

static void limitAtUse(struct FastBufferPool* pool, struct FastBuffer** chain)
{
    struct FastPoolStore* store = &pool->shared.store;

    decayAtUse(pool, chain);
    size_t before = FastStoreFree(store);
    FastStoreShed(store, allowanceAtUse(pool), chain);
    pool->shared.shed += before - FastStoreFree(store);
}

void FastPoolMissShared(struct FastBufferPool* pool, size_t footprint)
{
    struct FastBuffer* chain = NULL;

    if (isTimed(pool) || FastPoolIsClosed(pool) || !lock(pool, true))
        return;
    decayAtUse(pool, &chain);
    size_t missed = footprint < pool->shared.shed ? footprint : pool->shared.shed;
    pool->shared.shed -= missed;
    pool->shared.keep += missed;
    unlock(pool, chain);
}

/* ---- always ---- */

struct FastBuffer* FastPoolPopShared(struct FastBufferPool* pool, uint32_t kind, bool wait)
{
    if (!lock(pool, wait))
        return NULL;
    struct FastBuffer* buffer = FastStorePop(&pool->shared.store, kind);
    unlock(pool, NULL);
    return buffer;
}

static void limitStore(struct FastBufferPool* pool, struct FastBuffer** chain)
{
    struct FastPoolStore* store = &pool->shared.store;

    if (isTimed(pool))
        FastStoreShed(store, FastPoolAllowance(pool, store), chain);
    else
        limitAtUse(pool, chain);
}

bool FastPoolPushShared(struct FastBufferPool* pool, struct FastBuffer* buffer, bool wait)
{
    struct FastBuffer* chain = NULL;

    if (buffer->kind == POOL_LOOSE || !lock(pool, wait))
        return false;
    bool open = !FastPoolIsClosed(pool); /* else nobody would empty it again */
    if (open) {
        FastStorePush(&pool->shared.store, buffer);
        if (FastPoolForeignFree(pool) > FastPoolLittle(pool))
            limitStore(pool, &chain);
    }
    unlock(pool, chain);
    return open;
}

bool FastPoolEmptyShared(struct FastBufferPool* pool, bool wait)
{
    struct FastBuffer* chain = NULL;

    if (!lock(pool, wait))
        return false;
    FastStoreEmpty(&pool->shared.store, &chain);
    unlock(pool, chain);
    return chain != NULL;
}

void FastPoolLimitShared(struct FastBufferPool* pool)
{
    struct FastBuffer* chain = NULL;

    if (!lock(pool, true))
        return;
    limitStore(pool, &chain);
    unlock(pool, chain);
}

bool FastPoolDecayShared(struct FastBufferPool* pool, bool begin, size_t* budget)
{
    struct FastBuffer* chain = NULL;

    if (!lock(pool, false))
        return false;
    if (begin)
        FastStoreBeginPeriod(&pool->shared.store);
    bool done = FastStoreDecay(&pool->shared.store, 0, budget, &chain);
    unlock(pool, chain);
    return done;
}
