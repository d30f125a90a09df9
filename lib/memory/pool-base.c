/*
 * What all parts of a pool need: blocks from the system, the stack of what others have returned,
 * and what the owner is asked for.
 *
 * The owner is asked while the asking thread has a share in the pool's life, which keeps the owner
 * alive.
 */
#include "memory/pool-state.h"

/* ---- blocks, from the system and back ---- */

struct FastBuffer* FastPoolTakeBlock(struct FastBufferPool* pool, size_t size, uint32_t kind)
{
    struct FastBuffer* buffer = FastBlockTake(size, kind);

    if (buffer == NULL)
        return NULL;
    buffer->pool = pool;
    atomic_fetch_add_explicit(&pool->memory, buffer->footprint, memory_order_relaxed);
    return buffer;
}

void FastPoolGiveBlock(struct FastBufferPool* pool, struct FastBuffer* buffer)
{
    atomic_fetch_sub_explicit(&pool->memory, buffer->footprint, memory_order_relaxed);
    FastBlockGive(buffer);
}

void FastPoolGiveChain(struct FastBufferPool* pool, struct FastBuffer* chain)
{
    while (chain != NULL) {
        struct FastBuffer* next = chain->next;
        FastPoolGiveBlock(pool, chain);
        chain = next;
    }
}

/* ---- the stack of what is the owner's ---- */

/* Takes the whole stack. Nothing is ever popped singly, so that no block can return to the top
 * between the look and the exchange. */
struct FastBuffer* FastPoolTakeReturned(struct FastBufferPool* pool)
{
    struct FastBuffer* first =
        atomic_exchange_explicit(&pool->returned, NULL, memory_order_acquire);
    size_t footprint = 0;
    for (struct FastBuffer* buffer = first; buffer != NULL; buffer = buffer->next)
        footprint += buffer->footprint;
    atomic_fetch_sub_explicit(&pool->returnedBytes, footprint, memory_order_relaxed);
    return first;
}

bool FastPoolPushReturned(struct FastBufferPool* pool, struct FastBuffer* buffer)
{
    size_t footprint = buffer->footprint;

    atomic_fetch_add_explicit(&pool->returnedBytes, footprint, memory_order_relaxed);
    if (FastPoolForeignFree(pool) > FastPoolLittle(pool) &&
        FastPoolFreeBytes(pool) > FastPoolReserve(pool)) {
        atomic_fetch_sub_explicit(&pool->returnedBytes, footprint, memory_order_relaxed);
        return false;
    }
    struct FastBuffer* first = atomic_load_explicit(&pool->returned, memory_order_relaxed);
    do
        buffer->next = first;
    while (!atomic_compare_exchange_weak_explicit(&pool->returned, &first, buffer,
                                                  memory_order_release, memory_order_relaxed));
    return true;
}

/* ---- the owner is asked to do something ---- */

void FastPoolStartDecay(struct FastBufferPool* pool)
{
    if (pool->owner == NULL || atomic_load_explicit(&pool->decaying, memory_order_relaxed))
        return;
    if (!atomic_exchange(&pool->decaying, true))
        pool->owner->surplus(pool->owner);
}

void FastPoolLimitForeign(struct FastBufferPool* pool)
{
    if (FastPoolForeignFree(pool) > FastPoolLittle(pool))
        FastPoolStartDecay(pool);
}

/* Before the releasing thread gives up its share in the pool's life, which keeps the owner
 * alive. */
void FastPoolNotifyHome(struct FastBufferPool* pool)
{
    if (!atomic_load_explicit(&pool->wanted, memory_order_relaxed) || FastPoolIsClosed(pool))
        return;
    if (atomic_exchange_explicit(&pool->wanted, false, memory_order_acq_rel) && pool->owner != NULL)
        pool->owner->home(pool->owner);
}
