/*
 * What all threads but a pool's own do: other threads, every thread before the adoption, and every
 * thread if the pool has no owner.
 *
 * Good path: they use the shared store, under the lock. What they release of the owner's goes onto
 * a stack, from which the owner takes all at once when it needs a buffer or releases one itself.
 *
 * Too much lies there already, or the pool is closed: it goes back to the system. A release that
 * follows an allocation in vain notifies the owner.
 */
#include "memory/pool-state.h"

/* ---- the owner is asked to do something ---- */

/* While the thread has a share in the pool's life, which keeps the owner alive. */
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

/* Tries to leave a block to the owner; false when enough is waiting for it. */
static bool pushReturned(struct FastBufferPool* pool, struct FastBuffer* buffer)
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

/* ---- allocation and release ---- */

static struct FastBuffer* fetchShared(struct FastBufferPool* pool, size_t size, uint32_t kind)
{
    struct FastBuffer* buffer = FastPoolTakeBlock(pool, size, kind);

    if (buffer == NULL && FastPoolEmptyShared(pool, true))
        buffer = FastPoolTakeBlock(pool, size, kind);
    if (buffer == NULL)
        return NULL;
    buffer->shared = true;
    if (kind != POOL_LOOSE)
        FastPoolMissShared(pool, buffer->footprint);
    return buffer;
}

struct FastBuffer* FastPoolAllocateShared(struct FastBufferPool* pool, size_t size, uint32_t kind)
{
    struct FastBuffer* buffer = FastPoolPopShared(pool, kind, true);

    if (buffer == NULL)
        buffer = fetchShared(pool, size, kind);
    if (buffer != NULL)
        FastPoolAddLife(pool, 1);
    return buffer;
}

static bool storeForeign(struct FastBufferPool* pool, struct FastBuffer* buffer)
{
    if (FastPoolIsClosed(pool) || buffer->kind == POOL_LOOSE)
        return false;
    return buffer->shared ? FastPoolPushShared(pool, buffer, true) : pushReturned(pool, buffer);
}

void FastPoolReleaseForeign(struct FastBufferPool* pool, struct FastBuffer* buffer)
{
    if (!storeForeign(pool, buffer))
        FastPoolGiveBlock(pool, buffer);
    FastPoolLimitForeign(pool);
    FastPoolNotifyHome(pool);
    FastPoolAddLife(pool, -1);
}
