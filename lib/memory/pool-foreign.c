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
    if (buffer->shared)
        return FastPoolPushShared(pool, buffer, true);
    return FastPoolPushReturned(pool, buffer);
}

void FastPoolReleaseForeign(struct FastBufferPool* pool, struct FastBuffer* buffer)
{
    if (!storeForeign(pool, buffer))
        FastPoolGiveBlock(pool, buffer);
    FastPoolLimitForeign(pool);
    FastPoolNotifyHome(pool);
    FastPoolAddLife(pool, -1);
}
