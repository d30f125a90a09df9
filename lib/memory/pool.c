/*
 * Pools of counted buffers.
 *
 * A buffer is one block of memory with a header before the data, so that the way from data to header is
 * a subtraction. What is free lies in one of two stores (pool-store.c).
 *
 * The good path is the pool's own thread (FastPoolAdopt): allocation pops the free list of its class,
 * release pushes. Neither locks nor uses an atomic read-modify-write: a release that finds the count
 * at 1 is the only holder and needs no more than an acquire load.
 *
 * All others use the shared store, under the lock: other threads, every thread before the adoption, and
 * every thread if the pool has no owner. A buffer goes home to the store that it was taken from, or a
 * thread that fills buffers for the owner would take each from the system, and the owner pile them up.
 * Other threads put what is the owner's onto a stack, from which the owner takes all at once when it
 * needs a buffer or releases one itself. The owner never waits for the lock: finding it taken, it goes on
 * with its own store.
 *
 * What is free together is bounded by the reserve. An owner's pool keeps so much, and while it has more
 * than a little it asks its owner for calls of FastPoolDecay, which give back half of what was not needed
 * in the last second, in small steps, so that the owner is not kept from its work. So what turn after turn
 * needs is never given back, and a burst's memory goes in some seconds. Pools without an owner: see
 * pool-shared.c.
 *
 * When the system refuses memory, the free blocks of all classes are given back and it is asked once
 * more. Then the caller gets ENOMEM, and the next buffer that comes home tells the owner.
 *
 * The pool's life: «life» counts the buffers in use and one for all users (FastPoolHold) together. So
 * that the owner's thread needs no atomics, what it adds and takes is kept aside in «own», and a large
 * bias keeps the sum from zero meanwhile. FastPoolClose takes the bias out and the owner's share in;
 * from then on every thread is a stranger, and whoever brings the sum to zero ends the pool.
 */
#include "base/poison.h"
#include "memory/pool-state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum
{
    POOL_LITTLE = 4 << 20,   /* so much may stay free for ever */
    POOL_RESERVE = 64 << 20, /* … and so much for a while, without an owner */
    POOL_LOOK = 1 << 20,     /* the own store grows so much until the whole is looked at again */
    POOL_PERIOD_MS = 1000,
    POOL_STEP_MS = 10,     /* between the steps of a decay, */
    POOL_STEP_COST = 4096, /* … each of so many blocks, or 4 KiB for a block */
};

static const size_t sizeLimit = (size_t)1 << 30;
static const int64_t lifeBias = (int64_t)1 << 56;

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

static void giveBlock(struct FastBufferPool* pool, struct FastBuffer* buffer)
{
    atomic_fetch_sub_explicit(&pool->memory, buffer->footprint, memory_order_relaxed);
    FastBlockGive(buffer);
}

void FastPoolGiveChain(struct FastBufferPool* pool, struct FastBuffer* chain)
{
    while (chain != NULL) {
        struct FastBuffer* next = chain->next;
        giveBlock(pool, chain);
        chain = next;
    }
}

/* Any thread, while it has a share in the pool's life, which keeps the owner alive. */
static void startDecay(struct FastBufferPool* pool)
{
    if (pool->owner == NULL || atomic_load_explicit(&pool->decaying, memory_order_relaxed))
        return;
    if (!atomic_exchange(&pool->decaying, true))
        pool->owner->surplus(pool->owner);
}

static void limitForeign(struct FastBufferPool* pool)
{
    if (FastPoolForeignFree(pool) > FastPoolLittle(pool))
        startDecay(pool);
}

/* ---- the own store ---- */

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
    pool->own.watch = allowance < bytes + POOL_LOOK ? allowance : bytes + POOL_LOOK;
    startDecay(pool);
}

static void storeOwn(struct FastBufferPool* pool, struct FastBuffer* buffer)
{
    if (buffer->kind == POOL_LOOSE) {
        giveBlock(pool, buffer);
        return;
    }
    FastStorePush(&pool->own.store, buffer);
    if (FastStoreFree(&pool->own.store) > pool->own.watch)
        limitOwn(pool);
}

/* Takes the whole stack. Nothing is ever popped singly, so that no block can return to the top
 * between the look and the exchange. */
static struct FastBuffer* takeReturned(struct FastBufferPool* pool)
{
    struct FastBuffer* first =
        atomic_exchange_explicit(&pool->returned, NULL, memory_order_acquire);
    size_t footprint = 0;
    for (struct FastBuffer* buffer = first; buffer != NULL; buffer = buffer->next)
        footprint += buffer->footprint;
    atomic_fetch_sub_explicit(&pool->returnedBytes, footprint, memory_order_relaxed);
    return first;
}

static void collectReturned(struct FastBufferPool* pool)
{
    if (atomic_load_explicit(&pool->returned, memory_order_relaxed) == NULL)
        return;
    struct FastBuffer* buffer = takeReturned(pool);
    while (buffer != NULL) {
        struct FastBuffer* next = buffer->next;
        storeOwn(pool, buffer);
        buffer = next;
    }
}

/* Gives back all that is free; false when nothing was. */
static bool emptyOwn(struct FastBufferPool* pool)
{
    struct FastBuffer* chain = NULL;

    FastStoreEmpty(&pool->own.store, &chain);
    FastPoolGiveChain(pool, chain);
    bool shared = FastPoolEmptyShared(pool, false);
    return shared || chain != NULL;
}

/* A block that no list of the own thread's has. */
static struct FastBuffer* fetchOwn(struct FastBufferPool* pool, size_t size, uint32_t kind)
{
    collectReturned(pool);
    struct FastBuffer* buffer = FastStorePop(&pool->own.store, kind);
    if (buffer == NULL && FastStoreFree(&pool->shared.store) > 0)
        buffer = FastPoolPopShared(pool, kind, false); /* what lies unused there becomes the owner's */
    if (buffer == NULL)
        buffer = FastPoolTakeBlock(pool, size, kind);
    if (buffer == NULL && emptyOwn(pool))
        buffer = FastPoolTakeBlock(pool, size, kind);
    if (buffer != NULL)
        buffer->shared = false;
    return buffer;
}

/* ---- what strangers return of the owner's ---- */

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

/* Nobody uses the pool any more. An owner may still want to ask it for its levels, in its own thread,
 * and frees it when that is over. */
static void finishPool(struct FastBufferPool* pool)
{
    FastPoolGiveChain(pool, takeReturned(pool)); /* by releases that raced with the close */
    if (pool->owner != NULL)
        pool->owner->gone(pool->owner);
    else
        FastPoolFree(pool);
}

/* The pool may be gone afterwards. */
static void addLife(struct FastBufferPool* pool, int64_t change)
{
    if (atomic_fetch_add_explicit(&pool->life, change, memory_order_acq_rel) + change == 0)
        finishPool(pool);
}

/* ---- allocation and release, in each kind of thread ---- */

static struct FastBuffer* allocateOwn(struct FastBufferPool* pool, size_t size, uint32_t kind)
{
    struct FastBuffer* buffer = FastStorePop(&pool->own.store, kind);

    if (buffer == NULL)
        buffer = fetchOwn(pool, size, kind);
    if (buffer != NULL)
        pool->own.buffers++;
    return buffer;
}

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

static struct FastBuffer* allocateShared(struct FastBufferPool* pool, size_t size, uint32_t kind)
{
    struct FastBuffer* buffer = FastPoolPopShared(pool, kind, true);

    if (buffer == NULL)
        buffer = fetchShared(pool, size, kind);
    if (buffer != NULL)
        addLife(pool, 1);
    return buffer;
}

/* Before the releasing thread gives up its share in the pool's life, which keeps the owner alive. */
static void tellHome(struct FastBufferPool* pool)
{
    if (!atomic_load_explicit(&pool->wanted, memory_order_relaxed) || FastPoolIsClosed(pool))
        return;
    if (atomic_exchange_explicit(&pool->wanted, false, memory_order_acq_rel) && pool->owner != NULL)
        pool->owner->home(pool->owner);
}

/* A buffer of another thread's goes where that finds it again, unless the owner would have to wait. */
static void releaseOwn(struct FastBufferPool* pool, struct FastBuffer* buffer)
{
    pool->own.buffers--;
    if (!buffer->shared)
        storeOwn(pool, buffer);
    else if (FastPoolPushShared(pool, buffer, false))
        limitForeign(pool);
    else {
        buffer->shared = false;
        storeOwn(pool, buffer);
    }
    collectReturned(pool);
    tellHome(pool);
}

static bool storeForeign(struct FastBufferPool* pool, struct FastBuffer* buffer)
{
    if (FastPoolIsClosed(pool) || buffer->kind == POOL_LOOSE)
        return false;
    return buffer->shared ? FastPoolPushShared(pool, buffer, true) : pushReturned(pool, buffer);
}

static void releaseForeign(struct FastBufferPool* pool, struct FastBuffer* buffer)
{
    if (!storeForeign(pool, buffer))
        giveBlock(pool, buffer);
    limitForeign(pool);
    tellHome(pool);
    addLife(pool, -1);
}

/* ---- what the units above call ---- */

struct FastBufferPool* FastPoolCreate(struct FastPoolOwner* owner)
{
    struct FastBufferPool* pool = aligned_alloc(alignof(struct FastBufferPool), sizeof(*pool));

    if (pool == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    memset(pool, 0, sizeof(*pool));
    pool->owner = owner;
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
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

struct FastPoolOwner* FastPoolGetOwner(const struct FastBufferPool* pool)
{
    return pool->owner;
}

void FastPoolAdopt(struct FastBufferPool* pool)
{
    if (!FastPoolIsClosed(pool))
        atomic_store_explicit(&pool->thread, FastThreadNumber(), memory_order_relaxed);
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
    addLife(pool, -1);
}

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
    return POOL_PERIOD_MS;
}

/* One step; false when more of the period's are to come. */
static bool decayStep(struct FastBufferPool* pool, bool begin)
{
    struct FastBuffer* chain = NULL;
    size_t budget = POOL_STEP_COST;

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
        return POOL_STEP_MS;
    return FastPoolFreeBytes(pool) > FastPoolLittle(pool) ? POOL_PERIOD_MS : endDecay(pool);
}

void FastPoolClose(struct FastBufferPool* pool)
{
    if (FastPoolIsClosed(pool))
        return;

    pthread_mutex_lock(&pool->lock);
    atomic_store_explicit(&pool->closed, true, memory_order_release);
    atomic_store_explicit(&pool->thread, 0, memory_order_relaxed);
    pthread_mutex_unlock(&pool->lock);
    FastPoolEmptyShared(pool, true);
    struct FastBuffer* chain = takeReturned(pool);
    FastStoreEmpty(&pool->own.store, &chain);
    FastPoolGiveChain(pool, chain);
    int64_t buffers = pool->own.buffers;
    pool->own.buffers = 0;
    addLife(pool, buffers - lifeBias);
}

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

size_t FastBufferFootprint(const struct FastBuffer* buffer)
{
    return buffer->footprint;
}

struct FastBuffer** FastBufferLink(struct FastBuffer* buffer)
{
    return &buffer->next;
}

uint64_t* FastBufferNote(struct FastBuffer* buffer)
{
    return &buffer->note;
}

/* ---- what users call ---- */

struct FastBuffer* AllocateFastBuffer(struct FastBufferPool* pool, size_t size, int option)
{
    if (pool == NULL || option != 0) {
        errno = EINVAL;
        return NULL;
    }
    if (size > sizeLimit) {
        errno = EMSGSIZE;
        return NULL;
    }
    if (FastPoolIsClosed(pool)) {
        errno = ECANCELED;
        return NULL;
    }

    uint32_t kind = FastBlockClass(size);
    struct FastBuffer* buffer =
        FastPoolIsOwn(pool) ? allocateOwn(pool, size, kind) : allocateShared(pool, size, kind);
    if (buffer == NULL) {
        atomic_store_explicit(&pool->wanted, true, memory_order_release);
        errno = ENOMEM;
        return NULL;
    }
    FastUnpoison(buffer + 1, size);
    buffer->size = size;
    buffer->length = 0;
    atomic_store_explicit(&buffer->references, 1, memory_order_relaxed);
    return buffer;
}

struct FastBuffer* HoldFastBuffer(struct FastBuffer* buffer)
{
    if (buffer != NULL)
        atomic_fetch_add_explicit(&buffer->references, 1, memory_order_relaxed);
    return buffer;
}

void ReleaseFastBuffer(struct FastBuffer* buffer)
{
    if (buffer == NULL)
        return;
    /* A count of 1 is ours, and nobody else can raise it: no read-modify-write is needed. */
    if (atomic_load_explicit(&buffer->references, memory_order_acquire) != 1 &&
        atomic_fetch_sub_explicit(&buffer->references, 1, memory_order_acq_rel) != 1)
        return;

    struct FastBufferPool* pool = buffer->pool;
    FastPoison(buffer + 1, buffer->footprint - sizeof(*buffer));
    if (FastPoolIsOwn(pool))
        releaseOwn(pool, buffer);
    else
        releaseForeign(pool, buffer);
}

struct FastBuffer* GetFastBuffer(void* data)
{
    return data != NULL ? (struct FastBuffer*)((char*)data - sizeof(struct FastBuffer)) : NULL;
}

uint8_t* GetFastBufferData(struct FastBuffer* buffer)
{
    return buffer != NULL ? (uint8_t*)(buffer + 1) : NULL;
}

size_t GetFastBufferLength(struct FastBuffer* buffer)
{
    return buffer != NULL ? buffer->length : 0;
}

int SetFastBufferLength(struct FastBuffer* buffer, size_t length)
{
    if (buffer == NULL || length > buffer->size)
        return -EINVAL;
    buffer->length = length;
    return 0;
}

size_t GetFastBufferSize(struct FastBuffer* buffer)
{
    return buffer != NULL ? buffer->size : 0;
}

void* AllocateRingFastBuffer(size_t size, void* closure)
{
    return GetFastBufferData(AllocateFastBuffer(closure, size, 0));
}

void ReleaseRingFastBuffer(void* buffer)
{
    ReleaseFastBuffer(GetFastBuffer(buffer));
}
