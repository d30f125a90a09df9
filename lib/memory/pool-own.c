/*
 * What a pool's own thread does (FastPoolAdopt), beyond the few steps of allocate.c.
 *
 * Good path: allocation pops the free list of its class, release pushes. Neither locks nor uses an
 * atomic read-modify-write: a release that finds the count at 1 is the only holder and needs no
 * more than an acquire load.
 *
 * The list is empty: what other threads have returned is collected, then what lies unused in the
 * shared store, then the system is asked. The own thread never waits for the lock: finding it
 * taken, it goes on with its own store.
 *
 * More is free than the reserve, or than a little: given back at once, or by the decay.
 */
#include "memory/pool.h"
#include "memory/pool-state.h"

enum
{
    OWN_LOOK = 1 << 20, /* the store grows so much until the whole is looked at again */
    OWN_PERIOD_MS = 1000,
    OWN_STEP_MS = 10,     /* between the steps of a decay */
    OWN_STEP_COST = 4096, /* blocks of one step, 4 KiB counting as one block */
};

/* ---- what is free, and too much ---- */

static void shedOwn(struct FastBufferPool* pool)
{
    struct FastPoolStore* store = &pool->own.store;
    struct FastBuffer* chain = NULL;

    FastStoreShed(store, FastPoolAllowance(pool, store), &chain);
    FastPoolGiveChain(pool, chain);
}

/* Looks again soon, since others may bring blocks, too. */
static void limitOwn(struct FastBufferPool* pool)
{
    if (FastPoolFreeBytes(pool) > FastPoolReserve(pool))
        shedOwn(pool);
    size_t bytes = FastStoreFree(&pool->own.store);
    pool->own.watch = FastPoolLittle(pool);
    if (bytes <= pool->own.watch)
        return;
    size_t allowance = FastPoolAllowance(pool, &pool->own.store);
    pool->own.watch = allowance < bytes + OWN_LOOK ? allowance : bytes + OWN_LOOK;
    FastPoolStartDecay(pool);
}

static void storeOwn(struct FastBufferPool* pool, struct FastBuffer* buffer)
{
    if (buffer->kind == POOL_LOOSE) {
        FastPoolGiveBlock(pool, buffer);
        return;
    }
    FastStorePush(&pool->own.store, buffer);
    if (FastStoreFree(&pool->own.store) > pool->own.watch)
        limitOwn(pool);
}

/* ---- what others have returned ---- */

static void collectReturned(struct FastBufferPool* pool)
{
    if (atomic_load_explicit(&pool->returned, memory_order_relaxed) == NULL)
        return;
    struct FastBuffer* buffer = FastPoolTakeReturned(pool);
    while (buffer != NULL) {
        struct FastBuffer* next = buffer->next;
        storeOwn(pool, buffer);
        buffer = next;
    }
}

/* ---- an empty list, and a full one ---- */

/* Gives back all that is free; false when nothing was. */
static bool emptyOwn(struct FastBufferPool* pool)
{
    struct FastBuffer* chain = NULL;

    FastStoreEmpty(&pool->own.store, &chain);
    FastPoolGiveChain(pool, chain);
    bool shared = FastPoolEmptyShared(pool, false);
    return shared || chain != NULL;
}

struct FastBuffer* FastPoolFetchOwn(struct FastBufferPool* pool, size_t size, uint32_t kind)
{
    collectReturned(pool);
    struct FastBuffer* buffer = FastStorePop(&pool->own.store, kind);
    if (buffer == NULL && FastStoreFree(&pool->shared.store) > 0)
        buffer = FastPoolPopShared(pool, kind, false);
    if (buffer == NULL)
        buffer = FastPoolTakeBlock(pool, size, kind);
    if (buffer == NULL && emptyOwn(pool))
        buffer = FastPoolTakeBlock(pool, size, kind);
    if (buffer != NULL)
        buffer->shared = false;
    return buffer;
}

/* A buffer of another thread's goes where that finds it again, unless this one would have to
 * wait. */
void FastPoolReleaseOwn(struct FastBufferPool* pool, struct FastBuffer* buffer)
{
    pool->own.buffers--;
    if (!buffer->shared) {
        storeOwn(pool, buffer);
    } else if (FastPoolPushShared(pool, buffer, false)) {
        FastPoolLimitForeign(pool);
    } else {
        buffer->shared = false;
        storeOwn(pool, buffer);
    }
    collectReturned(pool);
    FastPoolNotifyHome(pool);
}

void FastPoolTakeCare(struct FastBufferPool* pool)
{
    if (FastStoreFree(&pool->own.store) > pool->own.watch)
        limitOwn(pool);
    collectReturned(pool);
    FastPoolNotifyHome(pool);
}

/* ---- the reserve, and the decay ---- */

void FastPoolSetReserve(struct FastBufferPool* pool, size_t bytes)
{
    size_t little = bytes < POOL_LITTLE ? bytes : POOL_LITTLE;

    atomic_store_explicit(&pool->reserve, bytes, memory_order_relaxed);
    atomic_store_explicit(&pool->little, little, memory_order_relaxed);
    pool->own.watch = little;
    if (FastPoolIsOwn(pool)) {
        collectReturned(pool);
        limitOwn(pool);
    }
    FastPoolLimitShared(pool);
}

/* Another thread may bring some just now, and find that the decay is still on. */
static uint32_t endDecay(struct FastBufferPool* pool)
{
    atomic_store(&pool->decaying, false);
    pool->own.watch = FastPoolLittle(pool);
    if (FastPoolForeignFree(pool) <= FastPoolLittle(pool) || atomic_exchange(&pool->decaying, true))
        return 0;
    return OWN_PERIOD_MS;
}

/* One step; false when more of the period's are to come. */
static bool decayStep(struct FastBufferPool* pool, bool begin)
{
    struct FastBuffer* chain = NULL;
    size_t budget = OWN_STEP_COST;

    if (begin)
        FastStoreBeginPeriod(&pool->own.store);
    bool done = FastStoreDecay(&pool->own.store, FastPoolLittle(pool), &budget, &chain);
    FastPoolGiveChain(pool, chain);
    return FastPoolDecayShared(pool, begin, &budget) && done;
}

uint32_t FastPoolDecay(struct FastBufferPool* pool)
{
    if (!FastPoolIsOwn(pool))
        return 0;
    collectReturned(pool);
    bool done = decayStep(pool, !pool->own.decays);
    pool->own.decays = !done;
    if (!done)
        return OWN_STEP_MS;
    return FastPoolFreeBytes(pool) > FastPoolLittle(pool) ? OWN_PERIOD_MS : endDecay(pool);
}
