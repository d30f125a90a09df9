/*
 * Pools of counted buffers: a pool's life.
 *
 * A buffer is one block of memory with a header before the data, so that the way from data to
 * header is a subtraction (buffer.h). What is free lies in one of two stores (pool-store.c): the
 * own thread's (pool-own.c) and that of all others (pool-shared.c). Buffers go home to the store
 * that they were taken from, or a thread that fills buffers for the owner would take each from the
 * system, and the owner pile them up (pool-foreign.c).
 *
 * What is free together is bounded by the reserve. An owner's pool keeps so much, and while it has
 * more than a little it asks its owner for calls of FastPoolDecay, which give back half of what was
 * not needed in the last second, in small steps, so that the owner is not kept from its work. So
 * what turn after turn needs is never given back, and a burst's memory goes in some seconds. Pools
 * without an owner: see pool-shared.c.
 *
 * When the system refuses memory, the free blocks of all classes are given back and it is asked
 * once more. Then the caller gets ENOMEM, and the next buffer that comes home notifies the owner.
 *
 * The pool's life: «life» counts the buffers in use and one for all users (FastPoolHold) together.
 * So that the owner's thread needs no atomics, what it adds and takes is kept aside in «own», and a
 * large bias keeps the sum from zero meanwhile. FastPoolClose takes the bias out and the owner's
 * share in; from then on every thread is a stranger, and whoever brings the sum to zero ends the
 * pool.
 */
#include "memory/pool.h"
#include "memory/pool-state.h"
#include "base/check.h"
#include "base/poison.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum
{
    POOL_RESERVE = 64 << 20, /* so much may be free for a while, without an owner */
};

static const int64_t lifeBias = (int64_t)1 << 56;

/* ---- life ---- */

/* Nobody uses the pool any more. An owner may still want to ask it for its levels, in its own
 * thread, and frees it when that is over. */
static void finishPool(struct FastBufferPool* pool)
{
    FastPoolGiveChain(pool, FastPoolTakeReturned(pool)); /* by releases that raced with the close */
    if (pool->owner != NULL)
        pool->owner->gone(pool->owner);
    else
        FastPoolFree(pool);
}

void FastPoolAddLife(struct FastBufferPool* pool, int64_t change)
{
    if (atomic_fetch_add_explicit(&pool->life, change, memory_order_acq_rel) + change == 0)
        finishPool(pool);
}

struct FastBufferPool* FastPoolCreate(struct FastPoolOwner* owner)
{
    struct FastBufferPool* pool = aligned_alloc(alignof(struct FastBufferPool), sizeof(*pool));

    if (pool == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    memset(pool, 0, sizeof(*pool));
    pool->owner = owner;
    FastCheckBegin();
    FastForkWatch();
    pool->forks = FastForkCount();
    pthread_mutex_init(&pool->lock, NULL);
    atomic_init(&pool->reserve, POOL_RESERVE);
    atomic_init(&pool->little, POOL_LITTLE);
    pool->own.watch = POOL_LITTLE;
    atomic_init(&pool->users, 1);
    atomic_init(&pool->life, lifeBias + 1);
    return pool;
}

void FastPoolFree(struct FastBufferPool* pool)
{
    FastForkDestroyLock(&pool->lock, pool->forks);
    if (!FastCheckRuns()) {
        free(pool);
        return;
    }
    FastCheckBury(pool, sizeof(*pool), sizeof(*pool));
    FastCheckSeal(pool);
}

struct FastPoolOwner* FastPoolGetOwner(const struct FastBufferPool* pool)
{
    return pool->owner;
}

void FastPoolAdopt(struct FastBufferPool* pool)
{
    if (FastPoolIsClosed(pool))
        return;
    atomic_store_explicit(&pool->thread, FastThreadNumber(), memory_order_relaxed);
    pool->own.quick = !FastPoisonIsHeard() && !FastCheckRuns();
}

void FastPoolHold(struct FastBufferPool* pool)
{
    atomic_fetch_add_explicit(&pool->users, 1, memory_order_relaxed);
}

void FastPoolDrop(struct FastBufferPool* pool)
{
    if (atomic_fetch_sub_explicit(&pool->users, 1, memory_order_acq_rel) > 1)
        return;
    FastPoolClose(pool);
    FastPoolAddLife(pool, -1);
}

void FastPoolClose(struct FastBufferPool* pool)
{
    if (FastPoolIsClosed(pool))
        return;

    bool locked = FastForkLock(&pool->lock, pool->forks, true);
    atomic_store_explicit(&pool->closed, true, memory_order_release);
    atomic_store_explicit(&pool->thread, 0, memory_order_relaxed);
    pool->own.quick = false;
    if (locked)
        pthread_mutex_unlock(&pool->lock);
    FastPoolEmptyShared(pool, true);
    struct FastBuffer* chain = FastPoolTakeReturned(pool);
    FastStoreEmpty(&pool->own.store, &chain);
    FastPoolGiveChain(pool, chain);
    int64_t buffers = pool->own.buffers;
    pool->own.buffers = 0;
    FastPoolAddLife(pool, buffers - lifeBias);
}

/* ---- levels ---- */

size_t FastPoolBuffers(const struct FastBufferPool* pool)
{
    int64_t life = atomic_load_explicit(&pool->life, memory_order_relaxed) + pool->own.buffers;

    if (!atomic_load_explicit(&pool->closed, memory_order_relaxed))
        life -= lifeBias;
    if (atomic_load_explicit(&pool->users, memory_order_relaxed) > 0)
        life--;
    return (size_t)life;
}

size_t FastPoolMemory(const struct FastBufferPool* pool)
{
    return atomic_load_explicit(&pool->memory, memory_order_relaxed);
}
