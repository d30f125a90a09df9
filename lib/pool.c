/*
 * Pools of counted buffers.
 *
 * A buffer is one block of memory: a header of 64 bytes, then the data, so that the way from data to
 * header is a subtraction. Blocks come in classes of 2^n bytes of data; larger ones are cut to
 * measure and never kept. From 32 KiB on they are mapped one by one, because only then does their
 * memory really return to the system.
 *
 * The good path is the pool's own thread (FastPoolAdopt): allocation pops the free list of its class,
 * release pushes. Neither locks nor uses an atomic read-modify-write: a release that finds the count
 * at 1 is the only holder and needs no more than an acquire load.
 *
 * Other threads allocate from the system, and release onto a stack from which the owner takes all at
 * once, when it needs a buffer or releases one itself. What the stack may hold is bounded, since
 * an idle owner would never take it. A pool without an owner has one lock instead.
 *
 * Free blocks are kept up to the larger of 4 MiB and what is in use; the release that exceeds it gives
 * the surplus back, so that a burst's memory goes while the burst ebbs.
 *
 * When the system refuses memory, the free blocks of all classes are given back and it is asked once
 * more. Then the caller gets ENOMEM, and the next buffer that comes home tells the owner.
 *
 * The pool's life: «life» counts the buffers in use and one for all users (FastPoolHold) together. So
 * that the owner's thread needs no atomics, what it adds and takes is kept aside in «own», and a large
 * bias keeps the sum from zero meanwhile. FastPoolClose takes the bias out and the owner's share in;
 * from then on every thread is a stranger, and whoever brings the sum to zero ends the pool.
 */
#include "pool.h"
#include "thread.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define POOL_POISONS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOL_POISONS 1
#endif
#endif
#ifdef POOL_POISONS
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size)   ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

enum
{
    POOL_SHIFT = 8,            /* the smallest class: 256 bytes */
    POOL_CLASSES = 14,         /* the largest: 2 MiB */
    POOL_LOOSE = POOL_CLASSES, /* the class of blocks cut to measure */
    POOL_MAPPED = 32 << 10,
    POOL_RESERVE = 4 << 20,
    POOL_RETURNED = 4 << 20,
};

static const size_t sizeLimit = (size_t)1 << 30;
static const int64_t lifeBias = (int64_t)1 << 56;

struct FastBuffer
{
    alignas(64) struct FastBufferPool* pool;
    struct FastBuffer* next; /* on a free list or the stack of returned ones; in use: its holder's */
    size_t size;             /* as asked for */
    size_t length;
    size_t footprint; /* bytes from the system */
    _Atomic uint32_t references;
    uint32_t kind;
    uint64_t note; /* its holder's */
};

_Static_assert(sizeof(struct FastBuffer) == 64, "data begins 64 bytes behind the header");

struct PoolClass
{
    struct FastBuffer* first;
    size_t footprint; /* of all blocks on the list */
};

struct FastBufferPool
{
    struct FastPoolOwner* owner;
    _Atomic uint64_t thread; /* the own one; 0 = none */
    atomic_bool closed;
    atomic_bool wanted; /* an allocation has failed since a buffer came home */
    _Atomic uint32_t users;

    /* The own thread's. Without an owner: under the lock, and buffers stays 0. */
    struct
    {
        int64_t buffers;
        int64_t memory;
        size_t free; /* bytes on the lists */
        struct PoolClass classes[POOL_CLASSES];
    } own;
    pthread_mutex_t lock; /* used without an owner only */

    alignas(64) _Atomic int64_t life;
    _Atomic int64_t memory; /* what strangers took from the system and gave back */
    struct FastBuffer* _Atomic returned;
    _Atomic size_t returnedBytes;
};

static bool isOwn(struct FastBufferPool* pool)
{
    return atomic_load_explicit(&pool->thread, memory_order_relaxed) == FastThreadNumber();
}

static bool isClosed(struct FastBufferPool* pool)
{
    return atomic_load_explicit(&pool->closed, memory_order_acquire);
}

/* ---- blocks, from the system and back ---- */

static size_t pageSize(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static uint32_t classOf(size_t size)
{
    if (size <= (size_t)1 << POOL_SHIFT)
        return 0;
    uint32_t kind = (uint32_t)(64 - __builtin_clzll(size - 1)) - POOL_SHIFT;
    return kind < POOL_CLASSES ? kind : (uint32_t)POOL_LOOSE;
}

static struct FastBuffer* takeBlock(struct FastBufferPool* pool, size_t size, uint32_t kind)
{
    size_t capacity = kind < POOL_CLASSES ? (size_t)1 << (kind + POOL_SHIFT) : size;
    size_t footprint = sizeof(struct FastBuffer) + capacity;
    struct FastBuffer* buffer;

    if (capacity >= POOL_MAPPED) {
        footprint = (footprint + pageSize() - 1) & ~(pageSize() - 1);
        buffer = mmap(NULL, footprint, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (buffer == MAP_FAILED)
            return NULL;
    } else {
        buffer = aligned_alloc(alignof(struct FastBuffer), footprint);
        if (buffer == NULL)
            return NULL;
    }
    buffer->pool = pool;
    buffer->next = NULL;
    buffer->footprint = footprint;
    buffer->kind = kind;
    return buffer;
}

static void giveBlock(struct FastBuffer* buffer)
{
    size_t footprint = buffer->footprint;

    ASAN_UNPOISON_MEMORY_REGION(buffer, footprint);
    if (footprint < POOL_MAPPED) {
        free(buffer);
        return;
    }
    if (munmap(buffer, footprint) < 0) {
        /* UNTESTED: it can fail where it would split a mapping and the process has no more to
         * spare. Then only the addresses stay taken. */
        (void)madvise(buffer, footprint, MADV_DONTNEED);
    }
}

/* ---- free lists: the own thread, or under the lock ---- */

static struct FastBuffer* popFree(struct FastBufferPool* pool, uint32_t kind)
{
    struct PoolClass* list = &pool->own.classes[kind];
    struct FastBuffer* buffer = list->first;

    if (buffer == NULL)
        return NULL;
    list->first = buffer->next;
    list->footprint -= buffer->footprint;
    pool->own.free -= buffer->footprint;
    ASAN_UNPOISON_MEMORY_REGION(buffer + 1, buffer->footprint - sizeof(*buffer));
    return buffer;
}

static void pushFree(struct FastBufferPool* pool, struct FastBuffer* buffer)
{
    struct PoolClass* list = &pool->own.classes[buffer->kind];

    ASAN_POISON_MEMORY_REGION(buffer + 1, buffer->footprint - sizeof(*buffer));
    buffer->next = list->first;
    list->first = buffer;
    list->footprint += buffer->footprint;
    pool->own.free += buffer->footprint;
}

static void dropFree(struct FastBufferPool* pool, uint32_t kind)
{
    struct FastBuffer* buffer = popFree(pool, kind);

    pool->own.memory -= (int64_t)buffer->footprint;
    giveBlock(buffer);
}

static void dropAllFree(struct FastBufferPool* pool)
{
    for (uint32_t kind = 0; kind < POOL_CLASSES; kind++) {
        while (pool->own.classes[kind].first != NULL)
            dropFree(pool, kind);
    }
}

static size_t totalMemory(const struct FastBufferPool* pool)
{
    return (size_t)(pool->own.memory + atomic_load_explicit(&pool->memory, memory_order_relaxed));
}

/* The class with most to give, so that one which is in steady use beside a burst keeps its blocks. */
static uint32_t fattestClass(const struct FastBufferPool* pool)
{
    uint32_t fattest = 0;
    for (uint32_t kind = 1; kind < POOL_CLASSES; kind++) {
        if (pool->own.classes[kind].footprint > pool->own.classes[fattest].footprint)
            fattest = kind;
    }
    return fattest;
}

static void trimFree(struct FastBufferPool* pool)
{
    while (pool->own.free > POOL_RESERVE && pool->own.free > totalMemory(pool) - pool->own.free)
        dropFree(pool, fattestClass(pool));
}

static void storeFree(struct FastBufferPool* pool, struct FastBuffer* buffer)
{
    if (buffer->kind == POOL_LOOSE) {
        pool->own.memory -= (int64_t)buffer->footprint;
        giveBlock(buffer);
    } else {
        pushFree(pool, buffer);
    }
    trimFree(pool);
}

static struct FastBuffer* allocateFree(struct FastBufferPool* pool, size_t size, uint32_t kind)
{
    struct FastBuffer* buffer = kind < POOL_CLASSES ? popFree(pool, kind) : NULL;

    if (buffer != NULL)
        return buffer;
    buffer = takeBlock(pool, size, kind);
    if (buffer == NULL && pool->own.free > 0) {
        dropAllFree(pool);
        buffer = takeBlock(pool, size, kind);
    }
    if (buffer != NULL)
        pool->own.memory += (int64_t)buffer->footprint;
    return buffer;
}

/* ---- what strangers return ---- */

/* Tries to leave a block to the owner; false when enough is waiting for it. */
static bool pushReturned(struct FastBufferPool* pool, struct FastBuffer* buffer)
{
    size_t footprint = buffer->footprint;
    size_t waiting =
        atomic_fetch_add_explicit(&pool->returnedBytes, footprint, memory_order_relaxed);

    if (waiting + footprint > POOL_RETURNED) {
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

/* Takes the whole stack. Nothing is ever popped singly, so that no block can return to the top
 * between the look and the exchange. */
static struct FastBuffer* takeReturned(struct FastBufferPool* pool)
{
    if (atomic_load_explicit(&pool->returned, memory_order_relaxed) == NULL)
        return NULL;
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
    struct FastBuffer* buffer = takeReturned(pool);

    while (buffer != NULL) {
        struct FastBuffer* next = buffer->next;
        storeFree(pool, buffer);
        buffer = next;
    }
}

static void giveForeign(struct FastBufferPool* pool, struct FastBuffer* buffer)
{
    atomic_fetch_sub_explicit(&pool->memory, (int64_t)buffer->footprint, memory_order_relaxed);
    giveBlock(buffer);
}

/* Nobody uses the pool any more. An owner may still want to ask it for its levels, in its own thread,
 * and frees it when that is over. */
static void finishPool(struct FastBufferPool* pool)
{
    struct FastBuffer* buffer = takeReturned(pool); /* by releases that raced with the close */

    while (buffer != NULL) {
        struct FastBuffer* next = buffer->next;
        giveForeign(pool, buffer);
        buffer = next;
    }
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
    if (kind == POOL_LOOSE || pool->own.classes[kind].first == NULL)
        collectReturned(pool);
    struct FastBuffer* buffer = allocateFree(pool, size, kind);
    if (buffer != NULL)
        pool->own.buffers++;
    return buffer;
}

static struct FastBuffer* allocateShared(struct FastBufferPool* pool, size_t size, uint32_t kind)
{
    pthread_mutex_lock(&pool->lock);
    struct FastBuffer* buffer = allocateFree(pool, size, kind);
    pthread_mutex_unlock(&pool->lock);
    if (buffer != NULL)
        addLife(pool, 1);
    return buffer;
}

static struct FastBuffer* allocateForeign(struct FastBufferPool* pool, size_t size, uint32_t kind)
{
    struct FastBuffer* buffer = takeBlock(pool, size, kind);

    if (buffer != NULL) {
        atomic_fetch_add_explicit(&pool->memory, (int64_t)buffer->footprint, memory_order_relaxed);
        addLife(pool, 1);
    }
    return buffer;
}

/* Before the releasing thread gives up its share in the pool's life, which keeps the owner alive. */
static void tellHome(struct FastBufferPool* pool)
{
    if (!atomic_load_explicit(&pool->wanted, memory_order_relaxed) || isClosed(pool))
        return;
    if (atomic_exchange_explicit(&pool->wanted, false, memory_order_acq_rel) && pool->owner != NULL)
        pool->owner->home(pool->owner);
}

static void releaseOwn(struct FastBufferPool* pool, struct FastBuffer* buffer)
{
    pool->own.buffers--;
    storeFree(pool, buffer);
    collectReturned(pool);
    tellHome(pool);
}

static void releaseShared(struct FastBufferPool* pool, struct FastBuffer* buffer)
{
    pthread_mutex_lock(&pool->lock);
    storeFree(pool, buffer);
    if (isClosed(pool))
        dropAllFree(pool);
    pthread_mutex_unlock(&pool->lock);
    addLife(pool, -1);
}

static void releaseForeign(struct FastBufferPool* pool, struct FastBuffer* buffer)
{
    if (isClosed(pool) || buffer->kind == POOL_LOOSE || !pushReturned(pool, buffer))
        giveForeign(pool, buffer);
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
    if (!isClosed(pool))
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

void FastPoolClose(struct FastBufferPool* pool)
{
    if (isClosed(pool))
        return;

    pthread_mutex_lock(&pool->lock);
    atomic_store_explicit(&pool->closed, true, memory_order_release);
    atomic_store_explicit(&pool->thread, 0, memory_order_relaxed);
    if (pool->owner != NULL)
        collectReturned(pool);
    dropAllFree(pool);
    int64_t buffers = pool->own.buffers;
    pool->own.buffers = 0;
    pthread_mutex_unlock(&pool->lock);
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
    if (pool->owner != NULL)
        return totalMemory(pool);
    pthread_mutex_t* lock = &((struct FastBufferPool*)pool)->lock;
    pthread_mutex_lock(lock);
    size_t memory = totalMemory(pool);
    pthread_mutex_unlock(lock);
    return memory;
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
    if (isClosed(pool)) {
        errno = ECANCELED;
        return NULL;
    }

    uint32_t kind = classOf(size);
    struct FastBuffer* buffer;
    if (isOwn(pool))
        buffer = allocateOwn(pool, size, kind);
    else if (pool->owner != NULL)
        buffer = allocateForeign(pool, size, kind);
    else
        buffer = allocateShared(pool, size, kind);
    if (buffer == NULL) {
        atomic_store_explicit(&pool->wanted, true, memory_order_release);
        errno = ENOMEM;
        return NULL;
    }
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
    if (isOwn(pool))
        releaseOwn(pool, buffer);
    else if (pool->owner != NULL)
        releaseForeign(pool, buffer);
    else
        releaseShared(pool, buffer);
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
